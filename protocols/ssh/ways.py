"""
The connection layer of a client that named no target (`ssh -J`): it may open ways, and nothing else.

A way is a channel of type direct-tcpip. It leads to no socket: what is in it is another SSH connection, which the gateway
answers itself, so a host and a port are only a name here. Sessions, listeners and agents are answered with failure.

Source: RFC 4254, 4, 5 and 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.ssh import messages as m
from protocols.ssh.messages import ChannelRequest, Confirmation, GlobalRequest, Open, Reader, Unreadable

WAYS = 64
"""Ways of one connection that are asked about, open, or not closed by the client yet."""
WINDOW = 2 << 20
"""Bytes that a client may send ahead on one way; what waits for its reader is kept here."""
OWED = WINDOW >> 2
"""Bytes read until the client is told, so that not each packet has an answer."""
PACKET = 32 << 10
HOST_LIMIT = 255  # bytes
UNTAKEN = 256
"""Answers that may wait for a client that takes none."""

_MOST = (1 << 32) - 1
NO_TARGET = "the user name does not say which target (OST-625): ssh IDENTITY@TARGET@GATEWAY, or ssh -J IDENTITY@GATEWAY ACCOUNT@TARGET"


@dataclass(frozen=True, slots=True)
class Say:
    """Send this to the client."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """The client wants a way there; answer with `admit` or `refuse`."""

    number: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Heard:
    """It sent this on a way; say `took` once somebody has read it."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Room:
    """More may be sent on a way."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The client is done with a way, asked about or open."""

    number: int


@dataclass(frozen=True, slots=True)
class Prove:
    """It wants proof of the gateway's host keys (OpenSSH PROTOCOL 2.5); answer at once, with `Say`."""

    details: bytes


@dataclass(frozen=True, slots=True)
class Misled:
    """It wants a session, and named no target for it. Nothing else is open: say so, and hang up."""

    why: str


WayEffect = Misled | Say | Asked | Heard | Room | Ended | Prove


@dataclass(slots=True)
class _Way:
    """:ivar window: bytes that we may send; :ivar credit: bytes that the client may; :ivar owed: bytes read that it was not told of."""

    theirs: int
    window: int
    packet: int
    credit: int = 0
    owed: int = 0
    open: bool = False
    heard: bool = True  # until its EOF
    closed: bool = False  # by us


class Ways:
    """
    :raises Unreadable: `from_client`, for what no client may send.
    """

    def __init__(self) -> None:
        self._ways: dict[int, _Way] = {}
        self._next = self._untaken = 0

    def __len__(self) -> int:
        return len(self._ways)

    def taken(self) -> None:
        """The client takes what is said to it again."""
        self._untaken = 0

    def from_client(self, payload: bytes, *, full: bool) -> list[WayEffect]:
        """
        A message numbered 80 or above.

        :param full: whether what was said to the client waits to be taken.
        """
        kind = payload[0]
        if kind == m.OPEN:
            return self._opening(Open.read(payload), full)
        if kind == m.GLOBAL_REQUEST:
            return self._global(GlobalRequest.read(payload), full)
        if kind not in _CHANNEL:
            raise Unreadable("a message that no client sends here")
        number = m.recipient(payload)
        way = self._ways.get(number)
        if way is None:
            if number >= self._next:
                raise Unreadable("a message for a channel that was never opened")
            return []
        if not way.open:
            raise Unreadable("a message for a channel that is not open yet")
        return self._on_way(number, way, payload, full)

    # -- answers -----------------------------------------------------------------------

    def admit(self, number: int) -> list[WayEffect]:
        """A way is open."""
        way = self._ways[number]
        way.open, way.credit = True, WINDOW
        return [Say(Confirmation(way.theirs, number, WINDOW, PACKET).write())]

    def refuse(self, number: int, why: str) -> list[WayEffect]:
        """It is not."""
        way = self._ways.pop(number)
        return [Say(m.write_open_failure(way.theirs, m.ADMINISTRATIVELY_PROHIBITED, why))]

    def room(self, number: int) -> int:
        """How many bytes the next `send` on a way may have."""
        way = self._ways.get(number)
        return min(way.window, way.packet) if way is not None and not way.closed else 0

    def send(self, number: int, data: bytes) -> WayEffect:
        """At most `room` bytes."""
        way = self._ways[number]
        way.window -= len(data)
        return Say(m.write_data(way.theirs, data))

    def took(self, number: int, count: int) -> list[WayEffect]:
        """So many bytes of a way have been read."""
        way = self._ways.get(number)
        if way is None or way.closed:
            return []
        way.owed += count
        if way.owed < OWED:
            return []
        count, way.owed = way.owed, 0
        way.credit += count
        return [Say(m.write_adjust(way.theirs, count))]

    def end(self, number: int) -> list[WayEffect]:
        """Nothing more is sent on a way, or read from it."""
        way = self._ways.get(number)
        if way is None or way.closed:
            return []
        way.closed = True
        return [Say(m.write_bare(m.EOF, way.theirs)), Say(m.write_bare(m.CLOSE, way.theirs))]

    # -- inside ------------------------------------------------------------------------

    def _opening(self, open: Open, full: bool) -> list[WayEffect]:
        if open.kind == "session" and not self._ways:
            return [Misled(NO_TARGET)]
        if open.kind == "session":
            return self._answer(m.write_open_failure(open.sender, m.ADMINISTRATIVELY_PROHIBITED, NO_TARGET), full)
        if open.kind != "direct-tcpip":
            return self._answer(m.write_open_failure(open.sender, m.UNKNOWN_TYPE, "no such channel type"), full)
        if len(self._ways) >= WAYS:
            return self._answer(m.write_open_failure(open.sender, m.RESOURCE_SHORTAGE, "too many ways at once"), full)
        fields = Reader(open.details, 0)
        host, port = fields.string(HOST_LIMIT), fields.u32()
        fields.string(HOST_LIMIT), fields.u32()  # who connects to the client
        fields.end()
        number, self._next = self._next, self._next + 1
        self._ways[number] = _Way(open.sender, open.window, min(open.packet, PACKET))
        return [Asked(number, host.decode("utf-8", "backslashreplace"), port)]

    def _global(self, request: GlobalRequest, full: bool) -> list[WayEffect]:
        if request.kind == "hostkeys-prove-00@openssh.com" and request.reply:
            self._count(full)
            return [Prove(request.details)]
        return self._answer(bytes([m.REQUEST_FAILURE]), full) if request.reply else []

    def _answer(self, payload: bytes, full: bool) -> list[WayEffect]:
        self._count(full)
        return [Say(payload)]

    def _count(self, full: bool) -> None:
        self._untaken = self._untaken + 1 if full else 0
        if self._untaken > UNTAKEN:
            raise Unreadable("much is asked and no answer taken")

    def _on_way(self, number: int, way: _Way, payload: bytes, full: bool) -> list[WayEffect]:
        match payload[0]:
            case m.DATA | m.EXTENDED_DATA:
                return self._data(number, way, payload)
            case m.WINDOW_ADJUST:
                way.window += m.read_adjust(payload)
                if way.window > _MOST:
                    raise Unreadable("a window larger than there are")
                return [Room(number)]
            case m.EOF:
                heard, way.heard = way.heard, False
                return [Ended(number)] if heard and not way.closed else []
            case m.CLOSE:
                return self._closed(number, way)
        request = ChannelRequest.read(payload)
        return self._answer(m.write_bare(m.CHANNEL_FAILURE, way.theirs), full) if request.reply else []

    def _data(self, number: int, way: _Way, payload: bytes) -> list[WayEffect]:
        stream, data = m.read_data(payload)
        if len(data) > way.credit or not way.heard:
            raise Unreadable("more data than was asked for")
        way.credit -= len(data)
        return [] if way.closed or stream or not data else [Heard(number, data)]

    def _closed(self, number: int, way: _Way) -> list[WayEffect]:
        del self._ways[number]
        if way.closed:
            return []
        return [Say(m.write_bare(m.CLOSE, way.theirs)), Ended(number)]


_CHANNEL = (m.WINDOW_ADJUST, m.DATA, m.EXTENDED_DATA, m.EOF, m.CLOSE, m.CHANNEL_REQUEST)
