"""The notary as a service, inline: workers over socketpairs, failure and recovery, grants across connections."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from recorded import DONE, ORIGIN, Told, allowed, audit, checked, denied, journal, new_store, session
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from gateway.evidence import readable
from gateway.evidence.query import Query, Search, search
from gateway.evidence.view import LiveView, open_view, rows
from gateway.journal import Journal
from gateway.notary import anchor, desk, keys, process
from gateway.notary.client import Denied, NotaryClient, connect
from gateway.notary.process import Notary, init_store
from gateway.notary.record import Kind, Record, event, parse_leaf, unpack
from gateway.notary.segment import STREAM, Segment
from protocols.errors import Unrecordable

TOKENS = {"w": "worker-1", "w2": "worker-2", "c": "control"}
PATIENCE = 6000
FAR = time.time_ns() + 10**16  # months away: a long run may come here late
BINDING = b"b" * 32


class Expecting:
    """A waiter on whose word a test can wait."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._waits: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def durable(self, sequence: int) -> None:
        self._tell("durable", sequence)

    def refused(self, sequence: int, why: str) -> None:
        self._tell("refused", sequence, why)

    def unrecordable(self, why: str) -> None:
        self._tell("unrecordable", why)

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        for holds, waiting in list(self._waits):
            if holds():
                self._waits.remove((holds, waiting))
                waiting.callback(None)

    def until(self, holds: Callable[[], bool]) -> Deferred[None]:
        waiting: Deferred[None] = Deferred().addTimeout(30, reactor)
        if holds():
            waiting.callback(None)
        else:
            self._waits.append((holds, waiting))
        return waiting

    def durable_to(self, sequence: int) -> Deferred[None]:
        return self.until(lambda: any(what[0] == "durable" and what[1] >= sequence for what in self.told))

    def heard(self, word: str) -> Deferred[None]:
        return self.until(lambda: any(what[0] == word for what in self.told))


class Rig:
    """A notary in this process, and connections to it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.settings = folder, audit(folder, **changes)
        init_store(self.settings, ORIGIN, folder)
        self.clients: list[NotaryClient] = []
        self.start()

    def start(self) -> None:
        self.notary = Notary(self.settings, ORIGIN, self.folder, TOKENS)
        self.notary.startService()

    def dial(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.notary.adopt(theirs)
        return ours

    async def client(self, token: str = "w") -> NotaryClient:
        client = await connect(reactor, self.dial, token)
        self.clients.append(client)
        await until(lambda: client.worker is not None)
        return client

    async def journal(self, token: str = "w", timeout: float = 10.0) -> Journal:
        return Journal(await self.client(token), reactor, timeout)

    async def stop(self) -> None:
        for client in self.clients:
            client.close()
        await self.notary.stopService()

    async def records(self) -> list[Record]:
        """Everything, once stopped."""
        await self.stop()
        view = open_view(self.settings.directory)
        found = [parse_leaf(leaf) for n in sorted(view.present()) for _, leaf, _ in rows(view, n)]
        view.close()
        return found


async def until(holds: Callable[[], bool]) -> None:
    """The reactor turns until it holds; a test that waits for nothing ends."""
    for _ in range(PATIENCE):
        if holds():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("waited in vain")


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Path]:
    """A folder whose paths fit into a UNIX socket's name."""
    folder = Path(f"/tmp/ost-{os.getpid()}-{time.monotonic_ns() % 10**9}")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest_twisted.ensureDeferred
async def test_a_session_is_durable_before_its_waiter_is_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    book, waiter, who = await rig.journal(), Expecting(), session()
    book.opened(who, {"tls": "verify"}, waiter)
    last = book.intend(who, 1, allowed("SELECT 1"), waiter)
    assert waiter.told == []
    await waiter.durable_to(last)
    book.report(who, 1, allowed("SELECT 1"), DONE, 10)
    book.refuse(who, 2, denied("DROP TABLE patients"))
    book.note(who, "cancel", {"by": "client"})
    book.closed(who, "bye")
    book.flush()
    await until(lambda: book._acked == book._sequence)
    found = await rig.records()
    kinds = [r.kind for r in found if r.stamp.worker == found[3].stamp.worker]
    assert kinds == [
        Kind.WORKER, Kind.OPENED, Kind.INTENT, Kind.OUTCOME, Kind.REFUSAL, Kind.NOTE, Kind.CLOSED,
    ]
    assert checked(tmp_path).problems == []


@pytest_twisted.ensureDeferred
async def test_thousands_in_one_turn_are_one_append_and_few_commits(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    book, waiter, who = await rig.journal(), Expecting(), session()
    for number in range(3000):
        last = book.intend(who, number, allowed("SELECT 1"), waiter)
    await waiter.durable_to(last)
    assert len(waiter.told) < 20
    await rig.stop()
    assert checked(tmp_path).problems == []


@pytest_twisted.ensureDeferred
async def test_a_grant_is_spent_once_across_connections_and_restarts(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    control, one, two = await rig.client("c"), await rig.journal("w"), await rig.journal("w2")
    await control.grant("g", BINDING, FAR, 1, "request-1", {"approver": "grace"})
    first, second = Expecting(), Expecting()
    decision = allowed("DROP TABLE a", grant="g", binding=BINDING)
    one.intend(session(), 1, decision, first)
    two.intend(session(), 1, decision, second)
    await first.until(lambda: bool(first.told))
    await second.until(lambda: bool(second.told))
    assert sorted(t[0][0] for t in (first.told, second.told)) == ["durable", "refused"]
    await rig.stop()
    rig.start()
    third, book = Expecting(), await rig.journal()
    book.intend(session(), 1, decision, third)
    await third.heard("refused")
    assert "spent" in third.told[0][2]
    found = await rig.records()
    assert [r.kind for r in found].count(Kind.UNGRANTED) == 2
    assert checked(tmp_path).problems == []


@pytest_twisted.ensureDeferred
async def test_a_lost_worker_leaves_unknown_outcomes(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    client = await rig.client()
    book, waiter, who = Journal(client, reactor), Expecting(), session()
    book.opened(who, {}, waiter)
    await waiter.durable_to(book.intend(who, 1, allowed("SELECT pg_sleep(9)"), waiter))
    before = rig.notary.writer.store.segment.size
    client.close()
    await until(lambda: rig.notary.writer.store.segment.size >= before + 3)
    found = await rig.records()
    ending = [r for r in found if r.kind in (Kind.OUTCOME, Kind.CLOSED, Kind.WORKER)][-3:]
    assert [r.kind for r in ending] == [Kind.OUTCOME, Kind.CLOSED, Kind.WORKER]
    assert ending[0].get("ending") == "unknown" and ending[2].get("what") == "left"


@pytest_twisted.ensureDeferred
async def test_sessions_of_a_worker_that_died_while_there_was_no_notary_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one that lives and comes back are not, idle as they are, until it goes too."""
    monkeypatch.setattr(process, "BURIAL", 0.5)
    store, told, numbers = new_store(tmp_path), Told(), []
    gone, idle = session(), session()
    for who in (gone, idle):
        book = journal(store)
        book.opened(who, {}, told)
        book.flush()
        numbers.append(store.state.sessions[uuid.UUID(who.id).bytes][0])
    store.abandon()
    rig = Rig(tmp_path)
    client = NotaryClient(reactor, rig.dial, "w")
    client._numbers = [numbers[1]]
    rig.clients.append(await client.start())
    await until(lambda: client.worker is not None)
    sessions = rig.notary.writer.store.state.sessions
    assert len(sessions) == 2
    await until(lambda: len(sessions) == 1)
    assert set(sessions) == {uuid.UUID(idle.id).bytes}
    client.close()
    await until(lambda: not sessions)
    await rig.stop()
    assert checked(tmp_path).problems == []


@pytest_twisted.ensureDeferred
async def test_a_session_that_was_taken_for_lost_and_goes_on_begins_again_in_the_evidence(tmp_path: Path) -> None:
    """Its worker had lost the notary alone. One that ended meanwhile does not; and when the worker is gone after all, the session is lost again."""
    rig = Rig(tmp_path)
    client = await rig.client()
    book, waiter, who, short_lived = Journal(client, reactor), Expecting(), session(), session("bob@clinic.example")
    book.opened(short_lived, {}, waiter)
    await waiter.durable_to(book.opened(who, {"floor": "verified"}, waiter))
    before, sessions = client.worker, rig.notary.writer.store.state.sessions
    client._link.transport.loseConnection()
    await until(lambda: client.worker is None)
    book.closed(short_lived, "bye")
    await until(lambda: client.worker not in (None, before))
    assert set(sessions) == {uuid.UUID(who.id).bytes} or not book.settled
    await waiter.durable_to(book.intend(who, 1, allowed("SELECT 1"), waiter))
    assert set(sessions) == {uuid.UUID(who.id).bytes} and sessions[uuid.UUID(who.id).bytes][0] == client.worker
    client.close()
    await until(lambda: not sessions)
    found = [(r.kind, r.fields[2]) for r in await rig.records() if r.session == uuid.UUID(who.id).bytes]
    lost = (Kind.CLOSED, 0)
    assert found == [(Kind.OPENED, 0), lost, (Kind.OPENED, 1), (Kind.INTENT, 2), (Kind.OUTCOME, 0), lost]
    view = open_view(rig.settings.directory)
    finder = Search(Query(kind="opened", session=who.id), keys.load(tmp_path, ORIGIN).bodies)
    said = [readable.summary(one.shown()) for one in search(view, finder)]
    view.close()
    assert len(said) == 2 and said[1].startswith("goes on: its worker was taken for gone; from ") and said[1].endswith(", floor verified")
    assert checked(tmp_path).problems == []


@pytest.mark.parametrize("written", [True, False], ids=["written", "not_written"])
@pytest_twisted.ensureDeferred
async def test_what_was_on_its_way_when_the_store_failed_is_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool) -> None:
    """Be it that it failed before it was on the disk, or behind that."""
    rig = Rig(tmp_path)
    book, waiter, who = await rig.journal(), Expecting(), session()
    book.opened(who, {}, waiter)
    await waiter.durable_to(book.intend(who, 1, allowed("SELECT 1"), waiter))
    commit = Segment.commit

    def failing(segment: Segment, rows: Any, durable: Any = None) -> None:
        monkeypatch.setattr(Segment, "commit", commit)
        if written:
            commit(segment, rows)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Segment, "commit", failing)
    late, late_told = session(), Expecting()
    book.refuse(who, 2, denied("DROP TABLE patients"))
    book.report(who, 1, allowed("SELECT 1"), DONE, 10)
    book.opened(late, {}, late_told)
    book.intend(late, 1, allowed("SELECT 2"), late_told)
    book.flush()
    await late_told.heard("unrecordable")
    await until(lambda: book._worker is not None)
    for one in (who, late):
        book.closed(one, "bye")
    book.flush()
    await until(lambda: book.settled)
    records = [r for r in await rig.records() if r.session]
    for one in (who, late):  # the notary's own have no number
        numbers = [r.fields[2] for r in records if r.session == uuid.UUID(one.id).bytes and (r.fields[2] or r.kind == Kind.OPENED)]
        assert numbers == list(range(len(numbers)))
    found = [(r.session, r.kind, r.get("ending") if r.kind == Kind.OUTCOME else "") for r in records]
    unknown = [] if written else [(Kind.OUTCOME, "unknown")]
    assert sorted(one[1:] for one in found if one[0] == uuid.UUID(who.id).bytes) == sorted(
        [(Kind.OPENED, ""), (Kind.INTENT, ""), (Kind.REFUSAL, ""), (Kind.OUTCOME, "complete"), (Kind.CLOSED, ""), *unknown]
    )
    came_to_nothing = [(Kind.INTENT, ""), (Kind.OUTCOME, "refused"), (Kind.OUTCOME, "unknown")] if written else []
    assert sorted(one[1:] for one in found if one[0] == uuid.UUID(late.id).bytes) == sorted([(Kind.OPENED, ""), (Kind.CLOSED, ""), *came_to_nothing])
    assert checked(tmp_path).problems == []


@pytest_twisted.ensureDeferred
async def test_what_became_of_segments_is_told_without_the_heads_between(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live, a few at a time, and stopped."""
    monkeypatch.setattr(desk, "_ENTRIES", 2)
    rig = Rig(short, segment_records=8)
    rig.notary.listen(os.fspath(short / "socket"))
    book, waiter, who = await rig.journal(), Expecting(), session()
    for number in range(6):
        await waiter.durable_to(book.intend(who, number, allowed("SELECT 1"), waiter))
        ledger = rig.notary.writer.store.ledger
        ledger.append([["head", 1, STREAM, 1, number, bytes(32)]])
    view = await deferToThread(open_view, rig.settings.directory)
    assert isinstance(view, LiveView)
    told, (packed, _) = await deferToThread(view.events), await deferToThread(view.ledger)
    view.close()
    await rig.stop()
    assert len(packed) >= len(told) + 6 and {entry[0] for entry in told} >= {"genesis", "seg.open", "seg.close"}
    assert told == [entry for entry in map(unpack, packed) if entry[0] != "head"]
    view = open_view(rig.settings.directory)
    assert view.events()[: len(told)] == told
    view.close()


@pytest_twisted.ensureDeferred
async def test_an_unknown_token_is_denied(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(Denied):
        await connect(reactor, rig.dial, "guess")
    await rig.stop()


BROKEN: dict[str, tuple[int, list[list[Any]]]] = {
    "a gap": (5, [[event(Kind.NOTE, "x"), None, None]]),
    "nothing": (1, []),
    "an approval": (1, [[event(Kind.APPROVAL, "g", BINDING, FAR, 1, "r"), None, None]]),
    "a header": (1, [[event(Kind.HEADER, "o", 0, 1, b"", 0, b"", b"", "", 1), None, None]]),
    "no msgpack": (1, [[b"\xc1", None, None]]),
    "too long": (1, [[event(Kind.NOTE, "x" * 4000), None, None]]),
    "a text as body": (1, [[event(Kind.NOTE, "x"), "text", None]]),
    "too many terms": (1, [[event(Kind.NOTE, "x"), None, ["t"] * 9]]),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest_twisted.ensureDeferred
async def test_a_worker_that_breaks_the_rules_is_cut_off(tmp_path: Path, name: str) -> None:
    """And nothing of it is recorded but that it came and went; others go on."""
    rig = Rig(tmp_path)
    client, other = await rig.client(), await rig.journal("w2")
    number = client.worker
    client.append(number or 0, *BROKEN[name])
    await until(lambda: client.worker != number)
    waiter = Expecting()
    await waiter.durable_to(other.intend(session(), 1, allowed("SELECT 1"), waiter))
    found = await rig.records()
    assert [r.kind for r in found if r.stamp.worker == number] == [Kind.WORKER]
    assert checked(tmp_path).problems == []


@pytest_twisted.ensureDeferred
async def test_a_worker_cannot_speak_of_anothers_session(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    one, waiter, who = await rig.journal(), Expecting(), session()
    await waiter.durable_to(one.opened(who, {}, waiter))
    thief = await rig.client("w2")
    book, robbed = Journal(thief, reactor), Expecting()
    book.intend(who, 1, allowed("SELECT 1"), robbed)
    await robbed.heard("unrecordable")
    found = await rig.records()
    assert Kind.INTENT not in [r.kind for r in found]


@pytest_twisted.ensureDeferred
async def test_only_control_may_grant(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    worker = await rig.client()
    with pytest.raises(Unrecordable):
        await worker.grant("g", BINDING, FAR)
    await rig.stop()


@pytest.mark.parametrize(
    "fields", [("", BINDING, FAR, 1), ("g", b"short", FAR, 1), ("g" * 65, BINDING, FAR, 1), ("g", BINDING, FAR, -1)]
)
@pytest_twisted.ensureDeferred
async def test_a_malformed_grant_is_not_recorded(tmp_path: Path, fields: tuple[Any, ...]) -> None:
    rig = Rig(tmp_path)
    control = await rig.client("c")
    with pytest.raises(Unrecordable):
        await control.grant(*fields)
    assert Kind.APPROVAL not in [r.kind for r in await rig.records()]


@pytest_twisted.ensureDeferred
async def test_a_directory_that_vanishes_stops_everything_until_it_is_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    book, waiter, who = await rig.journal(), Expecting(), session()
    await waiter.durable_to(book.intend(who, 1, allowed("SELECT 1"), waiter))
    (tmp_path / "audit").rename(tmp_path / "gone")
    lost = Expecting()
    book.intend(who, 2, allowed("SELECT 2"), lost)
    await lost.heard("unrecordable")
    with pytest.raises(Unrecordable):
        book.intend(who, 3, allowed("SELECT 3"), lost)
    (tmp_path / "gone").rename(tmp_path / "audit")
    await until(lambda: book._worker is not None)
    again = Expecting()
    await again.durable_to(book.intend(who, 4, allowed("SELECT 4"), again))
    found = await rig.records()
    intents = [r.get("command") for r in found if r.kind == Kind.INTENT]
    assert 1 in intents and 4 in intents and 3 not in intents
    assert checked(tmp_path).problems == []


def mounted(folder: Path, size: str) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "ostiary-test", str(folder)]
    ran = subprocess.run(command, capture_output=True, check=False)
    return ran.returncode == 0


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own; only root may make one."""
    folder = tmp_path / "disk"
    if not mounted(folder, "110m"):
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest_twisted.ensureDeferred
async def test_a_full_disk_refuses_and_recovers_by_itself(tmp_path: Path, disk: Path) -> None:
    """Commits go on in the reserved space; what has no room is the next segment."""
    rig = Rig(tmp_path, directory=disk / "audit", segment_records=50)
    book, waiter, who = await rig.journal(), Expecting(), session()
    await waiter.durable_to(book.intend(who, 1, allowed("SELECT 1"), waiter))
    await until(lambda: rig.notary.writer.store.layout.spare.exists())
    with open(disk / "ballast", "wb") as ballast, pytest.raises(OSError):
        while True:
            ballast.write(bytes(1 << 20))
            ballast.flush()
    lost, number = Expecting(), 2
    while not any(told[0] == "unrecordable" for told in lost.told):
        try:
            book.intend(who, number, allowed("SELECT 2"), lost)
        except Unrecordable:
            break
        number += 1
        await deferLater(reactor, 0.002)
    assert number > 50  # two segments' worth went into reserved space
    (disk / "ballast").unlink()
    await until(lambda: book._worker is not None)
    again = Expecting()
    await again.durable_to(book.intend(who, 10_000, allowed("SELECT 3"), again))
    durable = max((told[1] for told in lost.told if told[0] == "durable"), default=0)
    found = await rig.records()
    assert len([r for r in found if r.kind == Kind.INTENT]) >= durable
    shutil.rmtree(tmp_path / "audit", ignore_errors=True)
    (tmp_path / "audit").symlink_to(disk / "audit")
    assert checked(tmp_path).problems == []


@pytest_twisted.ensureDeferred
async def test_a_read_only_disk_is_waited_out(tmp_path: Path, disk: Path) -> None:
    rig = Rig(tmp_path, directory=disk / "audit")
    await rig.client()
    await rig.stop()
    remount(disk, "ro")
    rig.start()
    client = await connect(reactor, rig.dial, "w")
    rig.clients.append(client)
    await until(lambda: "Read-only" in client.why_down)
    remount(disk, "rw")
    await until(lambda: client.worker is not None)
    await rig.stop()


@pytest_twisted.ensureDeferred
async def test_a_store_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """Workers that come first are told why, and served when it is there."""
    rig = Rig(tmp_path)
    await rig.stop()
    (tmp_path / "audit").rename(tmp_path / "later")
    rig.start()
    client = await connect(reactor, rig.dial, "w")
    rig.clients.append(client)
    assert client.worker is None
    await until(lambda: "ostiary init" in client.why_down)
    with pytest.raises(Unrecordable):
        Journal(client, reactor).intend(session(), 1, allowed("SELECT 1"), Expecting())
    (tmp_path / "later").rename(tmp_path / "audit")
    await until(lambda: client.worker is not None)
    await rig.stop()


@pytest_twisted.ensureDeferred
async def test_a_path_is_listened_on_again_after_a_kill_and_clients_come_back(short: Path) -> None:
    rig = Rig(short)
    rig.notary.listen(short / "n.sock")
    client = await connect(reactor, short / "n.sock", "w")
    rig.clients.append(client)
    await until(lambda: client.worker is not None)
    first = client.worker
    assert (short / "audit" / "notary.socket").read_text() == str(short / "n.sock")
    await rig.notary.stopService()
    await until(lambda: client.worker is None)
    with socket.socket(socket.AF_UNIX) as dead:  # what a killed notary leaves
        (short / "n.sock").unlink(missing_ok=True)
        dead.bind(str(short / "n.sock"))
    rig.start()
    rig.notary.listen(short / "n.sock")
    await until(lambda: client.worker is not None)
    assert client.worker != first
    await rig.stop()


@pytest_twisted.ensureDeferred
async def test_segments_are_sealed_in_the_background(tmp_path: Path) -> None:
    rig = Rig(tmp_path, segment_records=100)
    book, waiter, who = await rig.journal(), Expecting(), session()
    for number in range(450):
        last = book.intend(who, number, allowed("SELECT 1"), waiter)
        if number % 50 == 0:
            await waiter.durable_to(last)
    await waiter.durable_to(last)
    store = rig.notary.writer.store
    await until(lambda: store.segment.number > 3 and not store.unsealed)
    assert len(list((tmp_path / "audit" / "sealed").glob("*.bodies.mdb"))) == store.segment.number - 1
    await rig.stop()
    report = checked(tmp_path)
    assert report.problems == [] and report.records > 900


@pytest_twisted.ensureDeferred
async def test_the_anchor_file_follows_the_ledger(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.client()
    await rig.stop()
    kept = anchor.parse((tmp_path / "anchor").read_text(), keys.load_public(tmp_path))
    report = checked(tmp_path, kept)
    assert report.code == 0 and report.unanchored_records == 0 and kept[-1].size == report.entries


@pytest_twisted.ensureDeferred
async def test_a_tampered_store_is_not_written_to(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.client()
    await rig.stop()
    shutil.rmtree(tmp_path / "audit" / "open")
    (tmp_path / "audit" / "open").mkdir()
    rig.clients.clear()
    rig.start()
    client = await connect(reactor, rig.dial, "w")
    await until(lambda: "not on disk" in client.why_down)
    client.close()
    await rig.notary.stopService()
    assert not list((tmp_path / "audit" / "open").iterdir())
