"""Recording a channel: nothing is shown that is not recorded first, nothing is lost, and nothing passes when nothing can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from channels import CLIENT, PACKET, TARGET, WINDOW, data, eof, exit_status, request
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from protocols.command import Pty, Shell
from protocols.errors import Unrecordable
from protocols.recording import Chunk, Code, Input, Recorded, Recorder, Settings
from protocols.ssh import messages as m
from protocols.ssh.filter import Filtered
from protocols.ssh.flow import Flow
from protocols.ssh.ledger import Ledger, Overrun
from protocols.ssh.messages import read_data
from protocols.ssh.stream import Moved, Stream
from protocols.ssh.tape import AHEAD_LIMIT, Tape, Typing

PTY = Pty("xterm", 80, 24)


class Studio:
    """A session whose store answers when a test says so. The target's bytes go through a real stream."""

    def __init__(self, settings: Settings, pty: Pty | None = PTY) -> None:
        self.clock, self.why = Clock(), ""
        self.chunks: list[Chunk] = []
        self.ended: list[Recorded] = []
        self.sequence = self.acked = 0
        self.tape = Tape(self, settings, Recorder(1, CLIENT, 4), CLIENT, pty)
        self.typing = Typing(self.tape)
        self.down, self.up = (Stream(Flow(Ledger.opened(WINDOW), number, PACKET)) for number in (CLIENT, TARGET))
        self.down.filtered([self.tape])
        self.up.filtered([self.typing])
        self.shown = self.reached = b""
        self.granted = 0
        self.bare: list[int] = []

    def now(self) -> int:
        return int(self.clock.seconds() * 1e6)

    def chunk(self, chunk: Chunk, waiter: Tape) -> int:
        if self.why:
            raise Unrecordable(self.why)
        self.chunks.append(chunk)
        self.sequence += 1
        return self.sequence

    def recorded(self, recorded: Recorded, waiter: Tape) -> int:
        self.ended.append(recorded)
        return self.chunk(Chunk(0, 0, 0, 0, ()), waiter)

    def later(self, seconds: float, call: Callable[[], None]) -> Any:
        return self.clock.callLater(seconds, call)

    def resume(self, channel: int) -> None:
        assert channel == CLIENT
        self.took(self.up.resume())
        self.took(self.down.resume())

    def took(self, moved: Moved) -> None:
        self.granted += moved.grant
        for payload in moved.out:
            number, kind = int.from_bytes(payload[1:5], "big"), payload[0]
            if kind not in (94, 95):
                self.bare.append(kind)
            elif number == CLIENT:
                self.shown += read_data(payload)[1]
            else:
                self.reached += read_data(payload)[1]

    def output(self, text: bytes) -> None:
        self.took(self.down.data(data(text)))

    def types(self, text: bytes) -> None:
        self.took(self.up.data(data(text)))

    def ack(self) -> None:
        """Everything is durable."""
        self.acked = self.sequence
        self.tape.durable(self.sequence)

    def fails(self) -> None:
        self.why = "full"
        self.tape.unrecordable("full")

    @property
    def recorded_output(self) -> bytes:
        """Of the chunks as a reader takes them: the first of each number."""
        numbered = {chunk.number: chunk for chunk in reversed(self.chunks) if chunk.recording}
        assert list(sorted(numbered)) == list(range(len(numbered)))
        events = [event for number in sorted(numbered) for event in numbered[number].events]
        return b"".join(text for _, code, text in events if code in (Code.OUTPUT, Code.NOTICE))


STRICT, BUFFERED = Settings(), Settings(strict=False)


def test_strict_output_is_shown_when_its_chunk_is_durable_and_not_before() -> None:
    """What came later waits for its own."""
    studio = Studio(STRICT)
    studio.output(b"hello ")
    studio.output(b"world")
    studio.clock.advance(0)
    assert (studio.shown, len(studio.chunks)) == (b"", 1)
    studio.output(b"!")
    studio.ack()
    assert studio.shown == b"hello world"
    studio.clock.advance(0)
    studio.ack()
    assert studio.shown == studio.recorded_output == b"hello world!"
    assert studio.chunks[0].events[:2] == ((0, Code.TERM, b"xterm"), (0, Code.RESIZE, b"80x24"))


def test_buffered_output_is_shown_at_once_and_recorded_within_its_delay() -> None:
    """All of a second's output in one chunk, be it ten reads."""
    studio = Studio(BUFFERED)
    for _ in range(10):
        studio.output(b".")
    assert studio.shown == b"." * 10 and not studio.chunks
    studio.clock.advance(1)
    assert len(studio.chunks) == 1 and studio.recorded_output == studio.shown


def test_a_buffered_recording_shows_only_so_much_that_is_not_durable() -> None:
    """Beyond that it is strict, until the evidence has caught up."""
    studio = Studio(BUFFERED)
    for _ in range(40):
        studio.output(b"x" * 16384)
        studio.clock.advance(0)
    assert AHEAD_LIMIT < len(studio.shown) <= AHEAD_LIMIT + 16384
    studio.ack()
    assert len(studio.shown) == 40 * 16384
    studio.output(b"y")
    assert studio.shown[-1:] == b"y"


@pytest.mark.parametrize("settings", [STRICT, BUFFERED])
def test_when_nothing_can_be_recorded_nothing_passes_and_then_all_of_it(settings: Settings) -> None:
    """Neither what the target says nor what is typed; the person is told, and it goes on by itself."""
    studio = Studio(settings)
    studio.output(b"before ")
    studio.clock.advance(1)
    studio.ack()
    studio.fails()
    studio.output(b"unrecorded ")
    studio.clock.advance(1)
    studio.output(b"more")
    studio.types(b"rm -rf /\r")
    assert b"more" not in studio.shown and studio.reached == b""
    assert b"nothing can be recorded now" in studio.shown and studio.shown.count(b"OST-801") == 1
    studio.why = ""
    studio.clock.advance(1)
    assert b"more" not in studio.shown and studio.reached == b""  # it is written, and not durable
    studio.ack()
    studio.clock.advance(1)
    studio.ack()
    assert studio.shown.endswith(b"it is recorded again\r\n") and b"more" in studio.shown
    assert studio.reached == b"rm -rf /\r"
    assert b"".join(sorted(studio.shown.split())) == b"".join(sorted(studio.recorded_output.split()))


def test_a_chunk_that_may_be_durable_is_recorded_again_as_it_was() -> None:
    """The notary went away with it: the same number and the same bytes, not new ones."""
    studio = Studio(STRICT)
    studio.output(b"once")
    studio.clock.advance(0)
    studio.tape.unrecordable("gone")
    assert studio.shown == b""
    studio.clock.advance(0.5)
    studio.ack()
    first, again = studio.chunks[:2]
    assert first.number == again.number == 0 and again.events == first.events
    assert without_notices(studio.shown) == b"once"


def test_the_end_and_the_exit_status_come_behind_the_last_chunk() -> None:
    """A script that reads the status has read the output; the totals follow."""
    studio = Studio(STRICT)
    studio.output(b"result")
    studio.took(studio.down.bare(exit_status(0)))
    studio.took(studio.down.bare(eof()))
    assert (studio.shown, studio.bare) == (b"", [])
    studio.ack()
    assert (studio.shown, studio.bare) == (b"result", [98, 96])
    studio.down.gone()
    (ended,) = studio.ended
    assert (ended.recording, ended.command, ended.chunks, ended.output) == (1, 4, 1, 6)


def test_a_window_may_be_resized_while_nothing_passes() -> None:
    """As often as somebody drags its corner; other requests wait, and are bounded."""
    studio = Studio(STRICT)
    studio.fails()
    studio.types(b"held")
    resize = request("window-change", b"".join(map(m.u32, (90, 30, 0, 0))), reply=False)
    for _ in range(2000):
        studio.took(studio.up.bare(resize))
    assert len(studio.bare) == 2000
    with pytest.raises(Overrun):
        for _ in range(2000):
            studio.took(studio.up.bare(request("signal", m.string(b"INT"), reply=False)))
    assert len(studio.bare) == 2000


def test_only_what_was_echoed_is_recorded_of_typing() -> None:
    """A command is; the password that it asks for is not, but that something was typed."""
    studio = Studio(Settings(input=Input.ECHOED))
    for typed, answer in ((b"su\r", b"su\r\nPassword: "), (b"s3cret\r", b"\r\n# ")):
        studio.types(typed)
        studio.output(answer)
    studio.clock.advance(0)
    events = [(code, text) for chunk in studio.chunks for _, code, text in chunk.events]
    assert (Code.INPUT, b"su\r") in events and (Code.HIDDEN, b"") in events
    assert not any(b"s3" in text for _, text in events)
    assert studio.reached == b"su\rs3cret\r"


@pytest.mark.parametrize("wanted, kept", [(Input.OFF, b""), (Input.ALL, b"s3cret\r")])
def test_typing_is_recorded_by_policy_alone(wanted: Input, kept: bytes) -> None:
    """Nothing of it, or all of it."""
    studio = Studio(Settings(input=wanted))
    studio.types(b"s3cret\r")
    studio.clock.advance(1)
    studio.tape.closed()
    typed = [text for chunk in studio.chunks for _, code, text in chunk.events if code is Code.INPUT]
    assert b"".join(typed) == kept


def test_a_window_s_size_and_the_gateway_s_own_words_are_in_the_recording() -> None:
    """A replay shows what the person saw."""
    studio = Studio(STRICT)
    studio.took(Moved(studio.down.inject(b"approved by grace\r\n")))
    studio.down.resized(100, 30)
    studio.clock.advance(1)
    events = [(code, text) for _, code, text in studio.chunks[0].events]
    assert events[2:] == [(Code.NOTICE, b"approved by grace\r\n"), (Code.RESIZE, b"100x30")]
    assert studio.shown == b"approved by grace\r\n"


STEPS = st.lists(st.one_of(
    st.binary(min_size=1, max_size=20), st.sampled_from(["ack", "fail", "mend", "turn", "second", "again"])), max_size=40)


@example(STRICT, [b"\0", "turn", b"\1", "ack", "turn", b"\0", "fail"])
@given(st.sampled_from([STRICT, BUFFERED]), STEPS)
def test_whatever_happens_every_byte_is_shown_once_in_order_and_recorded(settings: Settings, steps: list[bytes | str]) -> None:
    """The store fails and mends at any moment; what is strict is never ahead of what is durable."""
    studio, sent = Studio(settings), b""
    durable = 0
    for step in [*steps, "mend", "second", "ack", "second", "ack", "second", "ack"]:
        match step:
            case "ack":
                durable = len(studio.chunks)
                studio.ack()
            case "fail":
                studio.fails()
            case "again":
                studio.tape.unrecordable("gone")
            case "mend":
                studio.why = ""
            case "turn" | "second":
                studio.clock.advance(1 if step == "second" else 0)
            case bytes():
                text = step.replace(b"o", b"0")
                sent += text
                studio.output(text)
        if settings.strict:
            once = {chunk.number: chunk for chunk in studio.chunks[:durable] if chunk.recording}  # a chunk may be recorded again
            written = b"".join(text for chunk in once.values() for _, code, text in chunk.events if code is Code.OUTPUT)
            assert all(piece in written for piece in without_notices(studio.shown).splitlines())
    assert without_notices(studio.shown) == sent == without_notices(studio.recorded_output)


def without_notices(shown: bytes) -> bytes:
    for said in (b"ostiary: nothing can be recorded now, so nothing passes; it goes on by itself [OST-801]\r\n", b"ostiary: it is recorded again\r\n"):
        shown = shown.replace(said, b"")
    return shown


def test_a_shell_s_tape_is_a_filter() -> None:
    """It answers as the relay expects."""
    studio = Studio(STRICT)
    assert studio.tape.feed(0, b"x") == Filtered() and isinstance(Shell(0, PTY).pty, Pty)
