"""Terminals through a whole gateway: recorded before they are shown, replayed as they were, and stopped when they cannot be."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "terminal"))

from programs import EDITOR, PATIENCE, Program  # noqa: E402

from protocols.screen import Screen  # noqa: E402
from tests.house import as_recorded, until  # noqa: E402
from tests.servers import free_port  # noqa: E402
from tests.ssh_house import ADA, GRACE, WEB, SshHouse  # noqa: E402
from tests.sshd import Sshd  # noqa: E402
from tests.sshlive.test_ssh_tools import hears  # noqa: E402

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def house(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    """Everything is recorded, typing where the terminal shows it."""
    with SshHouse(tmp_path_factory.mktemp("rec") / "h", sshd, recording={"channels": "full", "input": "echoed"}) as house:
        yield house


class Terminal(Program):
    """A person's ssh with a shell of a known prompt, and the screen before them."""

    def __init__(self, house: SshHouse, *words: str) -> None:
        super().__init__(house.line("-tt", "127.0.0.1", *(words or ("exec env PS1='demo$ ' bash --norc --noprofile",))), house.client)

    def shows(self, text: str) -> None:
        """Read until it stands on the screen, in whatever pieces it comes."""
        end = time.monotonic() + PATIENCE
        while not any(text in line for line in self.screen()):
            assert self.read(end - time.monotonic()), f"{text!r} is not on the screen: {self.screen()}"

    def screen(self) -> list[str]:
        screen = Screen(80, 24)
        for data in self.reads:
            screen.feed(data)
        return screen.display()


def newest(house: SshHouse) -> str:
    """The session that was opened last."""
    return str(house.records("--kind", "opened")[-1]["session"])


def cast(house: SshHouse, session: str, out: Path) -> tuple[str, Path]:
    """Of its first recording; with what the verifier said."""
    done = house.audit("export", "--format", "asciicast", "--session", session, "--out", str(out))
    assert done.returncode == 0, done.stderr
    line = [sys.executable, str(out / "verify.py"), "--key", str(house.public_key)]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout, out / "readable" / "sessions" / f"{session}-1.cast"


def replayed(file: Path) -> list[str]:
    screen = Screen(80, 24)
    for line in file.read_text().splitlines()[1:]:
        _, code, text = json.loads(line)
        if code == "o":
            screen.feed(text.encode())
    return screen.display()


@pytest.mark.parametrize("keys", [
    {b"echo hello; seq 30\r": "30", b"printf '\\033[5;5Hthere\\033[1m!\\n'\r": "there!", b"cat /nonexistent\r": "No such file"},
    {EDITOR.encode() + b" -u NONE -N\r": "~", b"isome text\x1b": "some text", b"yy5p:set number\r": "6 some text", b":q!\r": "demo$"},
], ids=["a shell", "an editor"])
def test_a_recording_replays_to_the_screen_that_the_person_saw(house: SshHouse, tmp_path: Path, keys: dict[bytes, str]) -> None:
    """Through real ssh and sshd; the bundle verifies and says that the recording is whole."""
    with Terminal(house) as terminal:
        terminal.until(b"demo$ ")
        for key, shown in keys.items():
            terminal.send(key)
            terminal.shows(shown)
        terminal.send(b"exit 5\r")
        assert terminal.exit() == 5
        seen = terminal.screen()
    session = newest(house)
    until(lambda: house.records("--session", session, "--kind", "recorded"), "the recording has ended")
    said, file = cast(house, session, tmp_path / "out")
    assert f"recording 1 of session {session}: complete" in said
    live = [line for line in seen if not line.startswith("Connection to")]
    assert [line for line in replayed(file) if line] == [line for line in live if line]
    assert json.loads(file.read_text().splitlines()[0])["env"]["TERM"] == "xterm-256color"


def test_a_password_is_not_in_the_evidence_and_a_command_is(house: SshHouse) -> None:
    """The terminal's echo decides, not what it looks like."""
    with Terminal(house) as terminal:
        terminal.until(b"demo$ ")
        terminal.send(b"read -rsp 'secret? ' x; echo got ${#x}\r")
        terminal.until(b"secret? ")
        terminal.send(b"hunter2-never-recorded\r")
        terminal.until(b"got 22")
        terminal.send(b"exit\r")
        terminal.exit()
    session = newest(house)
    until(lambda: house.records("--session", session, "--kind", "recorded"), "the recording has ended")
    events = [event for record in house.records("--session", session, "--kind", "chunk") for event in record["body"]["events"]]
    typed = [decoded(event) for event in events if event[1] == "i"]
    assert any("read -rsp" in text for text in typed) and any(event[1] == "h" for event in events)
    assert not any("hunter2" in decoded(event) for event in events)


def decoded(event: list[Any]) -> str:
    return as_recorded(event[2]).decode(errors="replace")


def test_output_without_a_terminal_is_recorded_where_policy_says_full(house: SshHouse, ssh_house: SshHouse) -> None:
    """Elsewhere by its totals and SHA-256; either way the script gets its bytes and its status."""
    for each, chunks in ((house, True), (ssh_house, False)):
        done = each.ssh("echo plain; echo error >&2; exit 3")
        assert (done.stdout, done.stderr, done.returncode) == (b"plain\n", b"error\n", 3)
        session = newest(each)
        until(lambda: each.records("--session", session, "--kind", "outcome"), "its outcome is recorded")
        outcome = each.records("--session", session, "--kind", "outcome")[0]["body"]["facts"]
        assert outcome["received_bytes"] == "6" and outcome["stderr_bytes"] == "6" and outcome["received_sha256"]
        assert bool(each.records("--session", session, "--kind", "chunk")) is chunks


def test_text_of_a_screen_is_found(house: SshHouse) -> None:
    """`audit search --text`, across colours."""
    with Terminal(house, r"printf 'the \033[31mneed\033[0mle-7391\n'") as terminal:
        terminal.exit()
    session = newest(house)
    found = house.records("--text", "NEEDLE-7391", "--kind", "chunk")
    assert [record["session"] for record in found] == [session]


@pytest.mark.parametrize("terminal_setting", ["strict", pytest.param("buffered", marks=pytest.mark.soak)])
def test_when_the_store_does_not_answer_the_terminal_stops_and_goes_on_by_itself(
    sshd: Sshd, tmp_path: Path, terminal_setting: str
) -> None:
    """Nothing passes unrecorded, in either direction; the person is told; nothing is lost."""
    unseen = tmp_path / "unseen"
    with SshHouse(tmp_path / "h", sshd, recording={"terminal": terminal_setting}, audit={"timeout": 1.0}) as house:
        notary = house.pid("notary")
        with Terminal(house) as terminal:
            terminal.until(b"demo$ ")
            os.kill(notary, signal.SIGSTOP)
            terminal.send(b"echo one$((1+1))\r")
            told = terminal.until(b"nothing can be recorded now")
            terminal.send(f"touch {unseen}; echo two$((1+2))\r".encode())
            assert b"two3" not in told + terminal.quiet(0.5)
            assert not unseen.exists()
            os.kill(notary, signal.SIGCONT)
            again = terminal.until(b"it is recorded again")
            assert b"two3" in again or terminal.until(b"two3")  # one read may bring both
            assert unseen.exists()
            terminal.send(b"exit\r")
            assert terminal.exit() == 0
            shown = b"".join(terminal.reads)
        assert b"one2" in shown
        session = newest(house)
        until(lambda: house.records("--session", session, "--kind", "recorded"), "the recording has ended")
        said, file = cast(house, session, tmp_path / "out")
        assert "complete" in said and "two3" in file.read_text()


def test_a_live_session_can_be_watched(house: SshHouse) -> None:
    """By somebody with their own token, who is in the evidence."""
    with Terminal(house) as terminal:
        terminal.until(b"demo$ ")
        session = newest(house)
        environment = {"OSTIARY_TOKEN": house.token(ADA), "OSTIARY_CONFIG": str(house.file)}
        words = [sys.executable, "-m", "gateway.cli.main", "session", "watch", session, "--as", ADA]
        with Program(words, Path(__file__).parents[2], **environment) as watcher:
            watcher.until(b"demo$ ")
            terminal.send(b"echo watched-$((6*7))\r")
            watcher.until(b"watched-42")
            terminal.send(b"exit\r")
            watcher.exit()
    watched = [record for record in house.records("--kind", "admin") if record["fields"]["what"] == "watched"]
    assert watched[-1]["body"]["facts"]["by"] == ADA and watched[-1]["body"]["facts"]["session"] == session


def test_a_session_that_must_be_observed_waits_for_its_observer(sshd: Sshd, tmp_path: Path) -> None:
    """A command without a terminal is refused; a shell begins, stands still, and goes on once an approver watches it."""
    with SshHouse(tmp_path / "h", sshd, recording={"observers": ["approvers"]}) as house:
        refused = house.ssh("echo unseen")
        assert refused.stdout == b"" and b"OST-214" in refused.stderr
        words = house.line("-tt", "127.0.0.1")
        with Program(words, house.client) as terminal:
            terminal.until(b"observes it: ostiary session watch")
            terminal.send(b"echo seen-$((40+2)); exit 6\r")
            assert b"seen-42" not in terminal.quiet(0.5)
            session = newest(house)
            environment = {"OSTIARY_TOKEN": house.token(GRACE), "OSTIARY_CONFIG": str(house.file)}
            watching = [sys.executable, "-m", "gateway.cli.main", "session", "watch", session, "--as", GRACE]
            with Program(watching, Path(__file__).parents[2], **environment) as watcher:
                terminal.until(b"seen-42")
                watcher.until(b"seen-42")
                assert terminal.exit() == 6
        until(lambda: house.records("--session", session, "--kind", "closed"), "the session has ended")
        notes = [record["fields"]["what"] for record in house.records("--session", session, "--kind", "note")]
        assert "observer.came" in notes


def test_a_reload_that_wants_an_observer_ends_what_runs_unobserved(sshd: Sshd, tmp_path: Path) -> None:
    """A shell, a command and a forward; the session stays, and what begins then is refused or waits."""
    port = free_port()
    with SshHouse(tmp_path / "h", sshd, addons=[{"use": "tests.ssh_rules.Forwards"}]) as house, socket.create_server(("127.0.0.1", 0)) as there:
        with Program(house.line("-tt", "-L", f"{port}:127.0.0.1:{there.getsockname()[1]}", "127.0.0.1"), house.client) as terminal:
            terminal.send(b"echo begun-$((40+2))\r")
            terminal.until(b"begun-42")
            with socket.create_connection(("127.0.0.1", port), 30) as near, there.accept()[0] as far:
                near.sendall(b"before")
                assert hears(far, 6) == b"before"
                house.recording["observers"] = ["approvers"]
                house.reload()
                terminal.until(b"OST-214")
                assert far.recv(1) == near.recv(1) == b"" and terminal.exit() == 255
        assert b"OST-214" in house.ssh("echo unseen").stderr


def test_files_are_copied_whole_where_everything_is_recorded(house: SshHouse, tmp_path: Path) -> None:
    """sftp, there and back, through a recorder; and a megabyte of a command's output."""
    data = os.urandom(300_000)
    (tmp_path / "up").write_bytes(data)
    batch = tmp_path / "batch"
    batch.write_text(f"put {tmp_path / 'up'} {tmp_path / 'there'}\nget {tmp_path / 'there'} {tmp_path / 'back'}\n")
    line = ["sftp", *house.options(), "-P", str(house.ssh_port), "-o", f"User={ADA}@{WEB}", "-b", str(batch), "127.0.0.1"]
    done = subprocess.run(line, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there").read_bytes() == (tmp_path / "back").read_bytes() == data
    big = house.ssh(f"cat {tmp_path / 'up'} {tmp_path / 'up'} {tmp_path / 'up'} {tmp_path / 'up'}")
    assert (big.returncode, big.stdout) == (0, data * 4)
