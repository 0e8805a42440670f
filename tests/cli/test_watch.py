"""`ostiary session watch`: past and live, by somebody who is known, and never unrecorded."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

sys.path[:0] = [str(Path(__file__).parent.parent / "terminal"), str(Path(__file__).parent.parent / "notary")]

from recorded import Told, seal_all, session  # noqa: E402
from theatre import Stage  # noqa: E402

from gateway.cli.watch import Watched  # noqa: E402
from gateway.evidence.view import StoppedView, rows  # noqa: E402
from gateway.ids import Ids  # noqa: E402
from gateway.journal import Journal  # noqa: E402
from gateway.notary import keys  # noqa: E402
from gateway.notary.client import connect  # noqa: E402
from gateway.notary.layout import Layout  # noqa: E402
from gateway.notary.process import Notary  # noqa: E402
from gateway.notary.record import Kind, parse_leaf, unpack  # noqa: E402
from gateway.notary.seal import bodies_file, leaves_file  # noqa: E402
from gateway.notary.store import Store  # noqa: E402
from gateway.toml import load  # noqa: E402
from protocols.recording import Code, Recorder  # noqa: E402

ADA = "ada@clinic.example"


@pytest.fixture
def staged(tool: Any) -> Stage:
    """Two recordings of one session, in the tool's own store."""
    config = load(tool.config)
    store = Store(config.audit, keys.load(config.state, config.name))
    stage = Stage(store)
    for name in (b"first", b"second"):
        stage.tape()
        for word in (name, b" \x1b[1mword\x1b[m", b" \x1b]52;c;cm0=\x07\x1b[6nend\r\n"):
            stage.outputs(word)
            stage.clock.advance(60)
        if name == b"first":
            stage.saw(stage.tapes[-1].end())
            stage.tapes[-1].closed()
    stage.ends()
    store.close()
    return stage


def watched(tool: Any, stage: Stage, *words: str, code: int = 0, token: str | None = None) -> Any:
    given = tool.token(ADA) if token is None else token
    return tool("session", "watch", stage.session.id, "--as", ADA, "--idle", "0", *words, token=given, code=code)


def test_a_past_session_is_shown_as_it_was_and_cannot_drive_the_watcher_s_terminal(tool: Any, staged: Stage) -> None:
    """The newest recording, or the one that is asked for."""
    shown = watched(tool, staged).stdout
    assert "second \x1b[1mword\x1b[m end" in shown and "first" not in shown
    assert "\x1b]52" not in shown and "\x1b[6n" not in shown
    assert "first \x1b[1mword" in watched(tool, staged, "--recording", "1", "--speed", "1000").stdout
    assert "second" in watched(tool, staged, "--at", "1:59").stdout


def test_only_somebody_who_proves_who_they_are_sees_anything(tool: Any, staged: Stage) -> None:
    """A wrong token shows nothing at all."""
    refused = watched(tool, staged, token="ost_nonsense", code=1)
    assert "OST-601" in refused.stderr and "second" not in refused.output


@pytest.mark.parametrize("words, said", [
    (("--recording", "7"), "no such recording"), (("--at", "noon"), "no time"),
])
def test_what_is_not_there_is_said(tool: Any, staged: Stage, words: tuple[str, ...], said: str) -> None:
    assert said in watched(tool, staged, *words, code=1).stderr


def test_what_is_no_sessions_id_is_said_with_where_ids_are(tool: Any, staged: Stage) -> None:
    staged.session = SimpleNamespace(id="nonsense")
    said = watched(tool, staged, code=1).stderr
    assert "'nonsense' is no session's id" in said and "ostiary session list" in said


def test_a_session_that_was_not_recorded(tool: Any, staged: Stage) -> None:
    staged.session = session()
    assert "no such recording" in watched(tool, staged, code=1).stderr
    staged.session = session(id="nonsense")
    watched(tool, staged, code=1)


class Long:
    """
    A store of seven segments; a session's recording is in the fourth and the fifth.

    :ivar read: segments that were read to find it, in order of their reading.
    """

    def __init__(self, tool: Any, identifier: str) -> None:
        self._config, self.read = load(tool.config), []
        made = keys.load(self._config.state, self._config.name)
        self._bodies = made.bodies
        store = Store(self._config.audit, made)
        for number in range(7):
            if number == 3:
                self.stage = Stage(store, session(id=identifier or Ids()()))
                self.stage.tape()
                self.stage.outputs(b"begun ")
            elif number == 4:
                self.stage.outputs(b"ended")
                self.stage.ends()
            store.rotate("records")
        store.close()

    def recording(self) -> bytes:
        """What is found of it."""
        view = StoppedView(self._config.audit.directory)
        page = view.page

        def counted(number: int, start: int) -> Any:
            self.read += [] if number in self.read else [number]
            return page(number, start)

        view.page = counted  # type: ignore[method-assign]
        try:
            found = Watched(view, self._bodies, UUID(self.stage.session.id).bytes, None, lambda count, of: None).recording()
            assert found is not None
            return b"".join(data for _, code, data in found.events() if code == "o")
        finally:
            view.close()


def test_only_the_segments_that_a_session_was_in_are_read(tool: Any) -> None:
    """Its id says when it began; its end, where to stop."""
    long = Long(tool, "")
    assert long.recording() == b"begun ended"
    assert len(long.read) == 2


@pytest.mark.parametrize("identifier", ["0198ffff-ffff-7000-8000-000000000001", "ffffffff-ffff-7000-8000-000000000001"])
def test_a_session_whose_id_tells_another_time_is_found_all_the_same(tool: Any, identifier: str) -> None:
    """As after a clock was set: the whole store is read, once."""
    long = Long(tool, identifier)
    assert long.recording() == b"begun ended"
    assert len(long.read) == len(set(long.read)) > 2


@pytest_twisted.ensureDeferred
async def test_a_live_session_is_watched_and_that_it_was_is_evidence_before_anything_is_shown(tool: Any, tmp_path: Path) -> None:
    """What was, at once; what comes, as it comes; until the recording ends."""
    config = load(tool.config)
    notary = Notary(config.audit, config.name, config.state, {"w": "worker"})
    socket = Path(f"/tmp/ost-watch-{os.getpid()}-{time.monotonic_ns() % 10**9}")
    notary.listen(socket)
    notary.startService()
    client = await connect(reactor, socket, "w")
    await until(lambda: client.worker is not None)
    book, who, recorder = Journal(client, reactor, 10.0), session(), Recorder(1, 0, 1)
    book.opened(who, {}, Told())

    def shows(text: bytes) -> None:
        recorder.event(0, Code.OUTPUT, text)
        for chunk in recorder.take():
            book.chunk(who, chunk, Told())

    shows(b"before ")
    await until(lambda: book.settled)
    environment = {**os.environ, "OSTIARY_TOKEN": tool.token(ADA), "OSTIARY_CONFIG": str(tool.config)}
    words = [sys.executable, "-m", "gateway.cli.main", "session", "watch", who.id, "--as", ADA]
    watcher = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=Path(__file__).parents[2])
    assert watcher.stdout is not None
    os.set_blocking(watcher.stdout.fileno(), False)
    seen = bytearray()

    def saw(text: bytes) -> bool:
        seen.extend(watcher.stdout.read() or b"")  # type: ignore[union-attr]
        return text in seen

    try:
        await until(lambda: saw(b"before "))
        shows(b"and after")
        await until(lambda: saw(b"before and after"))
        book.recorded(who, recorder.ended(9), Told())
        await until(lambda: watcher.poll() is not None)
        assert watcher.returncode == 0
    finally:
        watcher.kill()
        watcher.wait()
        client.close()
        await notary.stopService()
    assert viewings(config) == [("watched", ADA, who.id)]


def viewings(config: Any) -> list[tuple[str, str, str]]:
    view, bodies = StoppedView(config.audit.directory), keys.load(config.state, config.name).bodies
    found = []
    for number in sorted(view.present()):
        for _, leaf, body in rows(view, number):
            record = parse_leaf(leaf)
            if record.kind == Kind.ADMIN and body is not None:
                (facts,) = unpack(bodies.open(record.session, body)[0])
                found.append((record.get("what"), facts.get("by", ""), facts.get("session", "")))
    view.close()
    return found


async def until(holds: Any) -> None:
    for _ in range(6000):
        if holds():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("waited in vain")


def remove(layout: Layout) -> None:
    for file in (leaves_file, bodies_file):
        file(layout.sealed(1)).unlink()


def change(layout: Layout) -> None:
    file = leaves_file(layout.sealed(1))
    file.chmod(0o600)
    file.write_bytes(file.read_bytes().replace(b"clinic", b"clinik"))


def spoil(layout: Layout) -> None:
    """Pages of the ledger."""
    file = layout.ledger / "data.mdb"
    data = file.read_bytes()
    file.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))


@pytest.mark.parametrize("harm, said, in_short", [
    (remove, "NOT SEARCHED: segment 1 was removed", "segment 1 was removed"),
    (lambda layout: bodies_file(layout.sealed(1)).unlink(), "NOT SEARCHED: segment 1: its bodies were removed", "segment 1: its bodies were removed"),
    (change, "segment 1: its file is not the one that was sealed", "segment 1: its file is not the one that was sealed"),
    (spoil, "ledger: mdb_", "ledger: mdb_"),
    (lambda layout: os.truncate(layout.ledger / "data.mdb", 5000), "ledger: truncated: ", "ledger: truncated: "),
], ids=["removed", "bodies", "changed", "ledger", "ledger cut"])  # fmt: skip
def test_what_is_damaged_of_the_evidence_is_said_and_is_no_session_without_a_recording(
    tool: Any, staged: Stage, harm: Callable[[Layout], object], said: str, in_short: str
) -> None:
    """By its whole id and by the beginning of it; never a traceback, which the tool would not catch."""
    config = load(tool.config)
    store = Store(config.audit, keys.load(config.state, config.name))
    seal_all(store)
    store.close()
    harm(store.layout)
    told = watched(tool, staged, code=1).stderr
    assert said in told and "its session has no terminal" not in told, told
    staged.session = SimpleNamespace(id=staged.session.id[:13])
    told = watched(tool, staged, code=1).stderr
    assert in_short in told and "is no session's id" not in told and "its session has no terminal" not in told, told
