"""
One channel between the legs: its numbers, its two directions, its answers, and the end of it.

The gateway has one number for it on both legs, never used again; each message leaves under
the receiver's own number. A channel is forgotten when both sides have said CLOSE and were told it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from protocols.command import Pty
from protocols.result import Ending, Outcome
from protocols.ssh import refusal
from protocols.ssh.desk import CLIENT, TARGET, Desk, other
from protocols.ssh.files import Files
from protocols.ssh.filter import Filter
from protocols.ssh.flow import OVERHEAD, WAITING_LIMIT, Flow
from protocols.ssh.ledger import Ledger, Overrun
from protocols.ssh.messages import (
    CHANNEL_FAILURE, CHANNEL_SUCCESS, CLOSE, EOF, EXTENDED_DATA, STDERR, ChannelRequest, Unreadable, read_adjust, read_data, string,
    write_adjust, write_bare,
)
from protocols.ssh.replies import Replies, Slot
from protocols.ssh.stream import Moved, Stream

PACKET_LIMIT = 64 << 10
"""Longest data of one message that either side is told the other takes; common peers ask for 32 KiB."""

INTERRUPT = b"\x03"
"""Ctrl-C: on a terminal the client passes it on, where else it ends."""

KEYS = 256
"""Bytes that may be typed on a terminal while its shell is held."""


class _Carried:
    """One direction of a channel that carries files, as a Sink; what cannot be read ends that channel and no other."""

    def __init__(self, channel: Channel, files: Files, up: bool) -> None:
        self._channel, self._files, self._up = channel, files, up

    def take(self, data: bytes) -> list[bytes]:
        return self._look([data], None)

    @property
    def carries(self) -> bool:
        return self._files.begun or not self._up

    def carry(self, messages: list[memoryview], bodies: list[memoryview]) -> list[bytes | memoryview]:
        return self._look(bodies, messages)

    def end(self) -> list[bytes]:
        return [] if self._up else self._files.stops()

    def _look(self, bodies: Sequence[bytes | memoryview], messages: list[memoryview] | None) -> list[Any]:
        try:
            return (self._files.up if self._up else self._files.down)(bodies, messages)
        except Unreadable as error:
            self._channel.unreadable(str(error))
            return self._files.rest(self._up)


def _nothing() -> None:
    """Nobody waits for the end."""


class Channel:
    """
    :ivar to: the directions by who receives; one is there as soon as its receiver's window is known.
    :ivar replies: by who asks.
    :ivar running: number of the command that the channel is for, 0 for none.
    :ivar offered: channel types that the target may open because of this one, by the command that allowed it.
    :ivar doomed: why it is to end as soon as it is open, "" if it is not.
    :ivar asking: number of the question that the client's messages wait behind, 0 for none.
    :ivar held: whether the person was told that what the channel is for waits for people.
    """

    def __init__(self, desk: Desk, number: int, kind: str, opener: str, theirs: int) -> None:
        """:param theirs: the opener's own number."""
        self._desk, self.number, self.kind, self.opener = desk, number, kind, opener
        self.numbers: dict[str, int] = {opener: theirs}
        self.to: dict[str, Stream] = {}
        self.replies = {CLIENT: Replies(), TARGET: Replies()}
        self.pty: Pty | None = None
        self.environment: list[tuple[bytes, bytes]] = []
        self.running = self.asking = 0
        self.offered: dict[str, int] = {}
        self.held = False
        self.facts: dict[str, str] = {}
        self._backlog: deque[bytes] = deque()
        self._backlog_size = 0
        self._closed_by: set[str] = set()
        self._shut = False
        self._files: Files | None = None
        self._broken = self.doomed = ""
        self.when_gone: Callable[[], None] = _nothing

    # -- opening -----------------------------------------------------------------------

    def window(self, side: str, number: int, window: int, packet: int) -> None:
        """One side said what it calls the channel and what it takes."""
        self.numbers[side] = number
        self.to[side] = Stream(Flow(Ledger.opened(window), number, min(packet, PACKET_LIMIT)))

    @property
    def open(self) -> bool:
        return len(self.to) == 2

    @property
    def client(self) -> int:
        """The client's own number."""
        return self.numbers[CLIENT]

    # -- its command -------------------------------------------------------------------

    def filtered(self, up: Sequence[Filter], down: Sequence[Filter]) -> None:
        """Its command was allowed: what looks at the client's bytes and the target's. Without a terminal both are digested."""
        for side, filters in ((TARGET, up), (CLIENT, down)):
            self.to[side].gone()
            self.to[side].filtered(filters)
            if self.pty is None:
                self.to[side].totals.digested()

    def carries_files(self, sure: bool, likely: bool = False) -> None:
        """From here on it is SFTP, or is if the client begins like it."""
        files = self._files = Files(self._desk, self, self.to[TARGET].flow, self.to[CLIENT].flow, sure, likely)
        self._carried = _Carried(self, files, True)
        self.to[TARGET].through(self._carried)
        self.to[CLIENT].through(_Carried(self, files, False))
        if sure:
            self.turned_out(True)

    def turned_out(self, files: bool) -> None:
        """It is SFTP, whose files have digests of their own; or it is not, and nothing is read in it."""
        for stream in self.to.values():
            if files:
                stream.totals.undigested()
            else:
                stream.through(None)
        self._files = self._files if files else None

    def unreadable(self, why: str) -> None:
        """What it carries is not what it says; it ends when what was read until now has left."""
        self._broken = why

    def breaks(self, why: str) -> None:
        """As `unreadable`, at once."""
        self.cut(f"this channel's SFTP cannot be read, so it ends: {why} [OST-706]")

    def hold(self) -> None:
        """What it is for waits for people. Servers open no window before that runs, but whoever gives up has to say so."""
        if self.pty is not None and not self.held:
            self.grant(self.to[TARGET].flow.ledger.lends(KEYS))
        self.held = True

    def without_pty(self) -> None:
        """The target gave no terminal."""
        self.pty = None

    def resized(self, columns: int, rows: int) -> None:
        for stream in self.to.values():
            stream.resized(columns, rows)

    # -- what comes --------------------------------------------------------------------

    def data(self, side: str, payload: bytes) -> None:
        if self._shut or self._closed_by:  # of one side, or for one that listens no more
            return
        stream = self.to[other(side)]
        if side == CLIENT and self.asking:
            typed = read_data(payload)[1]
            stream.flow.came(len(typed))
            self._keep(payload)
            if self.held and self.pty is not None and INTERRUPT in typed:
                self._desk.give_up(self.asking)
        elif side == CLIENT and self._nobodys(payload):
            self._ignored(payload)
        else:
            self.moved(other(side), stream.data(payload))

    def carry(self, side: str, messages: list[memoryview]) -> None:
        """As `data`, of several, which pass together where nothing has to be done with any of them."""
        to, free = other(side), not (self._shut or self._closed_by)
        if free and side == CLIENT:
            free = not self.asking and not self._nobodys(messages[0])
        passed = self.to[to].carry(messages) if free else None
        if passed is not None:
            if passed:
                self._desk.carry(to, passed)
            self.moved(to, Moved())  # it may have to end behind them
            return
        for payload in messages:
            self.data(side, bytes(payload))

    def bare(self, side: str, payload: bytes) -> None:
        """A message without data, to pass on in its turn."""
        if not self._shut:
            self.moved(other(side), self.to[other(side)].bare(payload))

    def adjust(self, side: str, messages: Sequence[bytes | memoryview]) -> None:
        """A side opened its window, in one step or several; the other hears of one."""
        flow, count = self.to[side].flow, 0
        try:
            for message in messages:
                count = flow.ledger.widened(count, read_adjust(message))
        finally:  # what came before a broken one counts
            if count:
                out, grant = flow.adjusted(count)
                self.moved(side, Moved(out, 0 if self._shut else grant))

    def judged(self) -> None:
        """The verdict has come that the client's messages wait behind."""
        self.asking = 0
        self._desk.ready.append(self)

    def waits(self, payload: bytes) -> bool:
        """Whether a client's message has to wait for a verdict; it is kept then."""
        if not self.asking or self._shut:
            return False
        self._keep(payload)
        return True

    def kept(self) -> bytes | None:
        """The next message that no verdict is in the way of any more."""
        if self._files is not None and not self.ending and not self.asking:
            self.moved(TARGET, Moved(self._carried.take(b"")))
        if self.asking or not self._backlog:
            return None
        payload = self._backlog.popleft()
        self._backlog_size -= len(payload) + OVERHEAD
        return payload

    def again(self, payload: bytes) -> None:
        """Data that was kept, and counted when it came."""
        if not self._shut:
            if self._nobodys(payload):
                self._ignored(payload, counted=True)
            else:
                self.moved(TARGET, self.to[TARGET].counted(*read_data(payload)))

    def _keep(self, payload: bytes) -> None:
        self._backlog.append(payload)
        self._backlog_size += len(payload) + OVERHEAD
        if self._backlog_size > WAITING_LIMIT:
            raise Overrun("too much waits in one channel")

    def _nobodys(self, payload: bytes | memoryview) -> bool:
        """Whether a client's data is for no command: it came before any, or as a stream that only targets have."""
        return self.kind == "session" and (not self.running or payload[0] == EXTENDED_DATA)

    def _ignored(self, payload: bytes, counted: bool = False) -> None:
        """Nobody would read it, and nobody was asked about it: it is not passed on."""
        flow, count = self.to[TARGET].flow, len(read_data(payload)[1])
        if not counted:
            flow.came(count)
        self.moved(TARGET, Moved(grant=flow.ledger.dropped(count)))

    # -- what goes ---------------------------------------------------------------------

    def moved(self, side: str, moved: Moved) -> None:
        """Something went toward this side."""
        self.moved_out(side, moved.out)
        sender = other(side)
        if moved.grant and sender not in self._closed_by and not self.to[sender].flow.closed:
            self._desk.send(sender, write_adjust(self.numbers[sender], moved.grant))
        if moved.back:
            self.inject(sender, moved.back)
        if self._broken:
            why, self._broken = self._broken, ""
            self.breaks(why)

    def moved_out(self, side: str, messages: list[bytes]) -> None:
        """As `moved`, where there are only messages."""
        for message in messages:
            self._desk.send(side, message)

    def inject(self, side: str, data: bytes, stream: int = 0) -> None:
        """The gateway's own bytes."""
        if side in self.to:
            self.moved_out(side, self.to[side].inject(data, stream))

    def tell(self, text: str) -> None:
        """A line for the person: on the terminal, or on standard error."""
        self.inject(CLIENT, refusal.line(text), 0 if self.pty else STDERR)

    def reply(self, side: str, slot: Slot, success: bool) -> None:
        """The gateway's own answer to a request of this side."""
        self._say(side, self.replies[side].answer(slot, write_bare(CHANNEL_SUCCESS if success else CHANNEL_FAILURE, 0)))

    def replied(self, side: str, payload: bytes) -> None:
        """This side answers what the other asked."""
        if not self._shut:
            self._say(other(side), self.replies[other(side)].replied(payload))

    def _say(self, side: str, answers: list[bytes]) -> None:
        for answer in answers:
            self.moved_out(side, self.to[side].flow.bare(answer))

    def resume(self) -> None:
        """A filter has something to say."""
        for side in (TARGET, CLIENT):
            if not self._shut and side in self.to:
                self.moved(side, self.to[side].resume())
        self._end()

    # -- for what it carries -----------------------------------------------------------

    def grant(self, count: int) -> None:
        """Give the client this credit."""
        self.moved(TARGET, Moved(grant=count))

    def own(self, frame: bytes) -> None:
        """Send the client the gateway's own bytes now."""
        self.moved_out(CLIENT, self.to[CLIENT].flow.inject(frame))

    def leave(self, messages: list[bytes]) -> None:
        """Send the target these."""
        self.moved_out(TARGET, messages)

    def wait(self, number: int) -> None:
        """Look at nothing more of the client's before this question is answered."""
        self.asking = number

    # -- ends --------------------------------------------------------------------------

    def refuse(self, text: str) -> None:
        """The gateway ends the channel before its command began: the person reads why, a script gets a status."""
        self.tell(text)
        for payload in (refusal.exit_status(0, refusal.EXIT_REFUSED), write_bare(EOF, 0), write_bare(CLOSE, 0)):
            self.moved_out(CLIENT, self.to[CLIENT].flow.bare(payload))
        self.moved_out(TARGET, self.to[TARGET].close())
        self._stop()

    def cut(self, text: str) -> None:
        """The gateway ends the channel while its command runs."""
        if self.open and not self._shut:
            if self.kind == "session":
                self.tell(text)
            self.facts["cut"] = text
            for side in (CLIENT, TARGET):
                self.moved_out(side, self.to[side].close())
            self._stop()

    def _stop(self) -> None:
        self._shut = True
        self._backlog.clear()
        self._backlog_size = 0
        for stream in self.to.values():
            stream.gone()

    def closed(self, side: str, payload: bytes) -> None:
        """CLOSE came from this side: the other gets it behind what came before it, and nobody waits for verdicts any more."""
        if side in self._closed_by:
            return
        if side == CLIENT and self.asking:
            self._desk.withdraw(self.asking)
            self.asking = 0
            self._backlog.clear()
        self.bare(side, payload)
        self._closed_by.add(side)
        if self._shut or len(self._closed_by) == 2:
            for each in self._closed_by:  # it reads no more of what still waits for it
                self.moved_out(each, self.to[each].close())
        self._end()

    def _end(self) -> None:
        """The target has closed, and all that it sent has been looked at: its command is over."""
        if TARGET in self._closed_by and (self.to[CLIENT].quiet or CLIENT in self._closed_by):
            self.ended(Ending.COMPLETE)

    @property
    def ending(self) -> bool:
        """Whether nobody listens to the client's requests any more."""
        return self._shut or bool(self._closed_by)

    def hears(self, side: str) -> bool:
        """Whether this side's requests count: a client that has closed is still told how its command ended."""
        return not self.ending or side == TARGET and not self._shut and self._closed_by == {CLIENT}

    def lost(self, why: str) -> None:
        """The target is gone: the person is told, and a script gets a signal instead of silence (RFC 4254, 6.10)."""
        if not self.ending:
            self.tell(why)
            fields = string(b"HUP") + b"\0" + string(why.encode()) + string(b"")
            self.moved_out(CLIENT, self.to[CLIENT].flow.bare(ChannelRequest(0, "exit-signal", False, fields).write()))
            self.moved_out(CLIENT, self.to[CLIENT].close())

    @property
    def over(self) -> bool:
        """Whether both sides have said CLOSE and were told it."""
        return len(self._closed_by) == 2 and all(stream.flow.closed for stream in self.to.values())

    def gone(self) -> None:
        """Forgotten from here on."""
        self.ended(Ending.UNKNOWN)
        self.when_gone()
        for stream in self.to.values():
            stream.gone()

    def ended(self, ending: Ending) -> None:
        """The command of this channel is over."""
        number, self.running = self.running, 0
        if self._files is not None:
            self._files.gone()
            self._files = None
        if number:
            self._desk.ended(number, self.outcome(ending))

    def outcome(self, ending: Ending = Ending.UNKNOWN) -> Outcome:
        """What came of the channel's command, as far as it is known: exit, bytes and digests of both directions."""
        if ending is Ending.COMPLETE and self.kind == "session" and not {"exit", "signal"} & self.facts.keys():
            ending = Ending.UNKNOWN
        if not self.open:
            return Outcome(ending, transaction="I", facts=dict(self.facts))
        up, down = self.to[TARGET].totals, self.to[CLIENT].totals
        facts = dict(self.facts)
        for name, totals in (("sent", up), ("received", down)):
            facts[f"{name}_bytes"] = str(totals.bytes)
            if totals.sha256:
                facts[f"{name}_sha256"] = totals.sha256.hex()
        if down.extended:
            facts["stderr_bytes"] = str(down.extended)
        return Outcome(ending, bytes=down.bytes + down.extended, transaction="I", facts=facts)
