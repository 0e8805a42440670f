"""All filters of a terminal at once, behind real streams: whatever comes, every byte leaves once or was refused, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from channels import CLIENT, PACKET, TARGET, WINDOW, data, eof
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from protocols.command import Pty
from protocols.errors import Unrecordable
from protocols.recording import Chunk, Input, Recorded, Recorder, Settings
from protocols.ssh.flow import Flow
from protocols.ssh.guard import CLEARED, KILLED, QUIET, Guard
from protocols.ssh.ledger import Ledger
from protocols.ssh.messages import DATA, read_data
from protocols.ssh.pause import Pause
from protocols.ssh.stream import Moved, Stream
from protocols.ssh.tape import Tape, Typing
from protocols.ssh.veil import Veil
from protocols.verdict import Deny

PTY = Pty("xterm", 20, 5)


class Same:
    """A mask of nothing that keeps its last byte back."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        whole, self._kept = self._kept + data[:-1], data[-1:]
        return whole

    def flush(self) -> bytes:
        kept, self._kept = self._kept, b""
        return kept

    @property
    def holds(self) -> bool:
        return bool(self._kept)


class Terminal:
    """A channel with everything on, and a store that answers when it is told to."""

    def __init__(self, strict: bool, paused: bool, judge: Callable[[str], Deny | None]) -> None:
        self.clock, self.why, self.sequence = Clock(), "", 0
        self.shown = self.reached = self.own = b""
        self.ended: list[int] = []
        self.pause = Pause(paused, ("stands", "goes on"), self.clock.callLater, lambda: self.resume(CLIENT))
        self.guard = Guard(PTY, judge, lambda line, deny: None, self.clock.callLater, lambda: self.resume(CLIENT))
        self.tape = Tape(self, Settings(strict, input=Input.ECHOED), Recorder(1, CLIENT, 1), CLIENT, PTY)
        self.down, self.up = (Stream(Flow(Ledger.opened(WINDOW), number, PACKET)) for number in (CLIENT, TARGET))
        veil = Veil(Same, self.clock.callLater, lambda: self.resume(CLIENT))
        self.down.filtered([self.pause.screen, veil, self.guard, self.tape])
        self.up.filtered([self.pause.keys, self.guard.keys, Typing(self.tape)])

    def now(self) -> int:
        return int(self.clock.seconds() * 1e6)

    def chunk(self, chunk: Chunk, waiter: Tape) -> int:
        if self.why:
            raise Unrecordable(self.why)
        self.sequence += 1
        return self.sequence

    def recorded(self, recorded: Recorded, waiter: Tape) -> int:
        return self.sequence

    def later(self, seconds: float, call: Callable[[], None]) -> Any:
        return self.clock.callLater(seconds, call)

    def resume(self, channel: int) -> None:
        self.took(TARGET, self.up.resume())
        self.took(CLIENT, self.down.resume())

    def took(self, side: int, moved: Moved) -> None:
        for payload in moved.out:
            if payload[0] != DATA:
                self.ended.append(side)
            elif side == CLIENT:
                self.shown += read_data(payload)[1]
            else:
                self.reached += read_data(payload)[1]
        if moved.back:
            self.took(CLIENT, Moved(self.down.inject(moved.back)))

    def settle(self) -> None:
        """The store answers, somebody observes, and time passes."""
        self.why = ""
        self.pause.turn(False)
        for _ in range(60):
            self.clock.advance(0.6)
            self.tape.durable(self.sequence)
            while self.guard.keys._held and not self.tape.stopped:  # each Enter waits for an echo that never comes
                self.clock.advance(QUIET)


def without_own(shown: bytes) -> bytes:
    """What the target sent: it has no lower-case letters in this test, and the gateway's lines begin with one."""
    lines = shown.split(b"ostiary: ")
    return lines[0].removesuffix(b"\r\n") + b"".join(line.partition(b"\r\n")[2].removesuffix(b"\r\n") for line in lines[1:])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("out"), st.binary(min_size=1, max_size=12).map(lambda b: b.upper().replace(b"\r", b"R").replace(b"\n", b"N"))),
        st.tuples(st.just("in"), st.lists(st.sampled_from([b"LS", b"\r", b"RM", b"\x1b[200~", b"\x1b[201~", b"\x0f", b"\x04", b"X" * 30]), min_size=1, max_size=5).map(b"".join)),
        st.tuples(st.sampled_from(["ack", "fail", "mend", "tick", "second", "pause", "go", "resize"]), st.just(b"")),
    ), max_size=40)


def run(terminal: Terminal, steps: list[tuple[str, bytes]]) -> tuple[bytes, bytes]:
    sent = typed = b""
    for what, text in steps:
        match what:
            case "out":
                sent += text
                terminal.took(CLIENT, terminal.down.data(data(text)))
            case "in":
                typed += text
                terminal.took(TARGET, terminal.up.data(data(text)))
            case "ack":
                terminal.tape.durable(terminal.sequence)
            case "fail":
                terminal.why = "full"
                terminal.tape.unrecordable("full")
            case "mend":
                terminal.why = ""
            case "tick" | "second":
                terminal.clock.advance(0.02 if what == "tick" else 1)
            case "pause" | "go":
                terminal.pause.turn(what == "pause")
            case "resize":
                terminal.down.resized(30, 4)
    return sent, typed


@settings(max_examples=200)
@given(st.booleans(), st.booleans(), STEPS)
def test_nothing_is_lost_where_nothing_is_refused(strict: bool, paused: bool, steps: list[tuple[str, bytes]]) -> None:
    """However the store, the observer and the clock behave; the ends come last."""
    terminal = Terminal(strict, paused, lambda line: None)
    sent, typed = run(terminal, steps)
    terminal.took(TARGET, terminal.up.bare(eof()))
    terminal.took(CLIENT, terminal.down.bare(eof()))
    terminal.settle()
    assert terminal.reached == typed and without_own(terminal.shown) == sent
    assert sorted(terminal.ended) == sorted([CLIENT, TARGET])
    for stream in (terminal.up, terminal.down):
        assert stream.quiet
        stream.gone()
    assert not terminal.clock.getDelayedCalls()


@settings(max_examples=200)
@given(st.booleans(), STEPS)
def test_no_line_passes_that_is_refused(strict: bool, steps: list[tuple[str, bytes]]) -> None:
    """Whatever the screen shows: of what is typed a part passes, in order, and no Enter outside a paste does."""
    terminal = Terminal(strict, False, lambda line: Deny("no", "OST-203"))
    _, typed = run(terminal, [step for step in steps if b"\x1b[20" not in step[1]])
    terminal.settle()
    kept = terminal.reached.replace(CLEARED, b"|").replace(KILLED, b"|")
    for part in kept.split(b"|"):
        assert part in typed
    assert terminal.up.quiet
