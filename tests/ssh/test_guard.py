"""Line rules on a real bash in a real pseudo-terminal. They stop mistakes, not adversaries: what they miss is written down here too."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "terminal"))

from programs import EDITOR, Program  # noqa: E402
from twisted.internet.task import Clock  # noqa: E402

from addons.ssh.typed import Typed  # noqa: E402
from protocols.command import Pty  # noqa: E402
from protocols.ssh.filter import Filtered  # noqa: E402
from protocols.ssh.guard import CLEARED, CLEARING, KILLED, PATIENCE, QUIET, Guard  # noqa: E402
from protocols.verdict import Deny  # noqa: E402

NO_RM = Typed("no-rm", programs=frozenset({"rm", "shred"}))
VICTIM = "victim"


def judge(line: str) -> Deny | None:
    return NO_RM.refuses(line)


class Shell:
    """A person at a guarded bash; the guard's clock moves when the program is quiet."""

    def __init__(self, program: Program, pty: Pty = Pty("xterm", 80, 24), judged: Callable[[str], Deny | None] = judge) -> None:
        self.program, self.clock = program, Clock()
        self.refused: list[str] = []
        self.lines: list[str] = []
        self.told = b""

        def keep(line: str) -> Deny | None:
            self.lines.append(line)
            return judged(line)

        self.guard = Guard(pty, keep, lambda line, deny: self.refused.append(line), self._later, self._resume)

    def _later(self, seconds: float, call: Callable[[], None]) -> Any:
        return self.clock.callLater(seconds, call)

    def _resume(self) -> None:
        self._did(self.guard.keys.resume())

    def _did(self, did: Filtered) -> None:
        for _, data in did.passed:
            self.program.send(data)
        if did.ahead:
            self.program.send(did.ahead)
        if did.back:
            self.told += did.back
            self.guard.told(0, did.back)

    def types(self, keys: bytes) -> bytes:
        """All at once, as a paste is; what is shown until everything is quiet."""
        self._did(self.guard.keys.feed(0, keys))
        shown = b""
        while True:
            came = self.program.quiet(0.12)
            shown += came
            self.guard.feed(0, came)
            waits = bool(self.clock.getDelayedCalls())
            self.clock.advance(QUIET)
            if not came and not waits and not self.clock.getDelayedCalls():
                return shown


@pytest.fixture
def where(tmp_path: Path) -> Path:
    (tmp_path / VICTIM).write_text("kept")
    (tmp_path / "script.sh").write_text(f"rm {VICTIM}\n")
    (tmp_path / "aliases").write_text("alias zap=rm\n")
    return tmp_path


def typed(where: Path, *keys: bytes) -> Shell:
    """In a fresh bash; what they began has ended."""
    with Program(["bash", "--norc"], where, INPUTRC="/dev/null") as program:
        shell = begun(program)
        for each in keys:
            shell.types(each)
        program.send(b"echo fin''ished\r")
        program.until(b"finished")
        return shell


def begun(program: Program) -> Shell:
    """It has shown its first prompt."""
    shell = Shell(program)
    shell.guard.feed(0, program.until(b"demo$ "))
    return shell


CAUGHT = {
    "plainly": [b"rm victim\r"],
    "key by key": [bytes([key]) for key in b"rm victim\r"],
    "behind others": [b"cd . && sudo -n true; rm -f victim\r"],
    "in a pipe and a substitution": [b"echo $(rm victim)\r"],
    "corrected": [b"rx victim", b"\x01\x06\x1b[3~m\r"],
    "inserted in the middle": [b"echo victim", b"\x01\x0b", b"rm \x19\r", b"\x01rm victim #\r"],
    "completed": [b"rm vic\t", b"\r"],
    "of many columns": [b"true " + b"x" * 150 + b"; rm victim\r"],
    "cursor in the middle": [b"rm victim" + b"\x1b[D" * 5 + b"\r"],
    "pasted, the last of three": [b"echo one\recho two\rrm victim\r"],
    "pasted, the first of three": [b"rm victim\recho two\recho three\r"],
    "pasted in brackets": [b"\x1b[200~echo one\rrm victim\x1b[201~", b"\r"],
    "from history": [b"echo rm victim\r", b"\x1b[A\x01" + b"\x1b[3~" * 5 + b"\r"],
    "found in history": [b"history -s 'rm victim'\r", b"\x12rm vic", b"\r"],
    "with ^J": [b"rm victim\n"],
    "with ^O": [b"rm victim\x0f"],
    "after a clear screen": [b"rm vic\x0ctim\r"],
    "after a list of completions": [b"touch victim2\r", b"rm vic\t\t", b"tim\r"],
    "by its path": [b"/bin/rm victim\r"],
    "as an argument": [b"env rm victim\r"],
    "an alias": [b"alias zap=r\\m\r", b"zap victim\r"],
    "a quoted letter": [b"r''m victim\r"],
    "behind a refusal": [b"rm victim\r", b"rm victim\r"],
}


@pytest.mark.parametrize("keys", CAUGHT.values(), ids=CAUGHT)
def test_a_refused_line_is_not_run(where: Path, keys: list[bytes]) -> None:
    """Enter never reaches the shell; the person reads why, and the shell goes on."""
    shell = typed(where, *keys)
    assert (where / VICTIM).exists() and shell.refused
    assert all(re.search(r"r(?:''|\\)?m", line) for line in shell.refused) and b"no-rm" in shell.told and b"OST-203" in shell.told


MISSED = {
    "a variable": [b"x=rm; $x -rf victim\r"],
    "base64": [b"echo cm0gdmljdGltCg== | base64 -d | sh\r"],
    "a script": [b"sh script.sh\r"],
    "a backslash and a new line": [b"r\\\r", b"m victim\r"],
    "without echo": [b"stty -echo; bash --noediting\r", b"rm victim\r"],
    "another program's way": [b"python3 -c \"import os; os.remove('victim')\"\r"],
    "an alias from a file": [b". ./aliases\r", b"zap victim\r"],
}


@pytest.mark.parametrize("keys", MISSED.values(), ids=MISSED)
@pytest.mark.xfail(strict=True, reason="line rules stop mistakes, not adversaries")
def test_an_adversary_is_stopped(where: Path, keys: list[bytes]) -> None:
    """They are not: policies that must hold refuse the shell."""
    typed(where, *keys)
    assert (where / VICTIM).exists()


def test_other_lines_pass_and_work(where: Path) -> None:
    """Each is judged as it stands, and once."""
    shell = typed(where, b"echo one\r", b"echo t\x08two three\x1b[D\x1b[D\r", b"\r", b"seq 200\r", b"echo 'rm x'\r")
    assert not shell.refused
    assert shell.lines == ["echo one", "echo two three", "seq 200", "echo 'rm x'"]


def test_an_editor_and_a_password_get_their_keys(where: Path) -> None:
    """A full-screen program reads Enter itself; a line without echo is empty."""
    with Program(["bash", "--norc"], where) as program:
        shell = begun(program)
        shell.types(EDITOR.encode() + b" -u NONE -N note\r")
        shell.types(b"irm victim\rsecond\x1b")
        shell.types(b":wq\r")
        assert (where / "note").read_text() == "rm victim\nsecond\n"
        shell.types(b"read -rsp 'password: ' x; echo ${#x}\r")
        assert b"9" in shell.types(b"rm victim\r") and not shell.refused


def test_a_screen_that_is_never_quiet_does_not_keep_enter_for_ever(where: Path) -> None:
    """After half a second the line is read as it stands."""
    with Program(["cat"], where) as program:
        shell = Shell(program)
        shell._did(shell.guard.keys.feed(0, b"hello\r"))
        for _ in range(int(PATIENCE / QUIET) * 2):
            shell.guard.feed(0, b".")
            shell.clock.advance(QUIET * 0.9)
        shell.clock.advance(QUIET)
        assert not shell.guard.keys._held


def test_a_line_of_a_megabyte_is_refused(where: Path) -> None:
    """It cannot be on the screen whole, so nobody can say what it is."""
    shell = typed(where, *[b"true " + b"x" * 3000] * 8, b"; rm victim\r")
    assert (where / VICTIM).exists() or re.search("rm", "".join(shell.refused))
    assert shutil.which("bash")


def slow(*shown: bytes) -> list[str]:
    """The lines that a guard judged: `rm victim` is typed, and shown in these pieces, with pauses between them."""
    clock, lines = Clock(), []
    guard: Guard

    def keep(line: str) -> Deny | None:
        lines.append(line)
        return judge(line)

    guard = Guard(Pty("xterm", 80, 24), keep, lambda line, deny: None, clock.callLater, lambda: guard.keys.resume() and None)
    guard.feed(0, b"demo$ ")
    guard.keys.feed(0, b"rm victim\r")
    for piece in shown:
        clock.advance(QUIET * 3)
        assert not lines, "judged before it was shown"
        guard.feed(0, piece)
    for _ in range(int((PATIENCE + CLEARING) / QUIET) + 1):
        clock.advance(QUIET)
    assert not guard.keys._held
    return lines


def test_enter_waits_for_a_slow_host_to_show_what_was_typed() -> None:
    """A pause in the echo is no end of it; what is never shown, such as a password, is not waited for in vain."""
    assert slow(b"rm victim") == slow(b"r", b"m vic", b"tim") == ["rm victim"]
    assert slow() == []


def test_an_echo_in_many_pieces_uses_up_no_patience() -> None:
    """A shell that shows each key by itself is as patiently waited for as one that shows a line at once."""
    clock, lines = Clock(), []
    line = "rm " + "-".join(map(str, range(60)))
    guard = Guard(Pty("xterm", 80, 24), lambda line: lines.append(line), lambda line, deny: None, clock.callLater, lambda: guard.keys.resume() and None)
    guard.feed(0, b"demo$ ")
    guard.keys.feed(0, line.encode() + b"\r")
    for key in line[:-1]:
        guard.feed(0, key.encode())
    clock.advance(QUIET * 3)
    assert not lines
    guard.feed(0, line[-1:].encode())
    clock.advance(QUIET)
    assert lines == [line]


def test_no_part_of_a_refused_line_outlives_it() -> None:
    """An interrupt waits until the shell has deleted the line, and the next keys until it prompts again: what it has not read would be run, or lost."""
    clock, sent = Clock(), []

    def resume() -> None:
        did = guard.keys.resume()
        sent.extend(filter(None, [*(data for _, data in did.passed), did.ahead, did.back and b"told"]))

    guard = Guard(Pty("xterm", 80, 24), judge, lambda line, deny: None, clock.callLater, resume)
    guard.feed(0, b"demo$ ")
    guard.keys.feed(0, b"rm victim\r")
    guard.feed(0, b"rm victim")
    clock.advance(QUIET)
    assert sent == [CLEARED]
    clock.advance(CLEARING / 2)
    assert sent == [CLEARED]
    guard.feed(0, b"\rdemo$ \x1b[K")
    clock.advance(QUIET)
    assert sent == [CLEARED, KILLED, b"told"]
    assert not guard.keys.feed(0, b"ls").passed
    guard.feed(0, b"^C\r\ndemo$ ")
    clock.advance(QUIET)
    assert sent == [CLEARED, KILLED, b"told", b"ls"]


@pytest.mark.parametrize("keys", [b"rm victim " + b"/srv/x " * 20 + b"\r", b"true " + b"/srv/x " * 20 + b"; rm victim" + b"\x01" + b"\r"], ids=["its end shows", "its beginning shows"])
@pytest.mark.parametrize("scrolls", ["TERM", "INPUTRC"])
def test_a_line_of_which_a_part_shows_is_refused(where: Path, keys: bytes, scrolls: str) -> None:
    """Where a shell scrolls sideways, as on a terminal that it does not know, nobody can read the rest."""
    (where / "inputrc").write_text("set horizontal-scroll-mode on\n")
    told = {"TERM": "xterm-nobody-knows"} if scrolls == "TERM" else {"INPUTRC": str(where / "inputrc")}
    with Program(["bash", "--norc"], where, **({"INPUTRC": "/dev/null"} | told)) as program:
        shell = begun(program)
        shell.types(keys)
        assert (where / VICTIM).exists() and b"OST-213" in shell.told
        shell.types(b"echo short\r")
        assert shell.lines[-1] == "echo short"
