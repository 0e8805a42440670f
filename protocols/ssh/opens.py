"""
Channels come to be: which types are opened by whom (RFC 4254, 5.1, 6.1, 6.3.2, 7.2; OpenSSH PROTOCOL 2.4), and which are commands.

What the client wants the target to connect to is a command, and so is what comes to its listener there. What else the target
opens toward the client stands on a command that was allowed before: an agent, a display. Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.command import Forward, ForwardKind
from protocols.result import Ending, Outcome
from protocols.ssh.channel import PACKET_LIMIT, Channel
from protocols.ssh.desk import CLIENT, TARGET, Desk, other
from protocols.ssh.listeners import Listeners
from protocols.ssh.messages import (
    ADMINISTRATIVELY_PROHIBITED, CONNECT_FAILED, PORT_LIMIT, RESOURCE_SHORTAGE, UNKNOWN_TYPE, Confirmation, Open, Reader, Unreadable,
    write_open_failure,
)
from protocols.ssh.refusal import words
from protocols.verdict import Decision, Deny

CHANNEL_LIMIT = 4096
"""Channels of one session that are open, opening or asked about."""
HOST_LIMIT = 4096
"""Bytes of a host's name or a socket's path."""


class Connect:
    """A channel whose opening is a command: direct-tcpip or direct-streamlocal."""

    def __init__(self, opens: Opens, open: Open, command: Forward) -> None:
        self._opens, self._open, self.command = opens, open, command

    def allowed(self, decision: Decision, number: int) -> None:
        """Nothing follows it before the client knows the channel."""

    def recorded(self, number: int) -> None:
        self._opens.connect(self._open, number)

    def denied(self, deny: Deny, number: int) -> None:
        self._opens.denied(self._open, words(deny))

    def told(self, words: str) -> None:
        """A channel that is not open has no place for it."""


class Arrival:
    """A connection that came to a listener of the client's, which was allowed as command `listener`."""

    def __init__(self, opens: Opens, open: Open, command: Forward, listener: int) -> None:
        self._opens, self._open, self.command, self._listener = opens, open, command, listener

    def allowed(self, decision: Decision, number: int) -> None:
        """Nothing follows it before the target knows the channel."""

    def recorded(self, number: int) -> None:
        self._opens.arrived(self._open, self._listener, number)

    def denied(self, deny: Deny, number: int) -> None:
        self._opens.denied(self._open, words(deny), TARGET)

    def told(self, words: str) -> None:
        """A channel that is not open has no place for it."""


class Opens:
    """:ivar sessions: whether the client may open more sessions; it may say so once (no-more-sessions)."""

    def __init__(self, desk: Desk, listeners: Listeners) -> None:
        self._desk, self._listeners = desk, listeners
        self.channels: dict[int, Channel] = {}
        self.sessions = True
        self._last = -1
        self._asked = 0
        self._from_client: dict[str, Callable[[Open], None]] = {
            "session": self._session, "direct-tcpip": self._tcp, "direct-streamlocal@openssh.com": self._unix,
        }

    def known(self, number: int) -> Channel | None:
        """
        The channel; None for one that is over, for which late messages may still come.

        :raises Unreadable: there never was one.
        """
        channel = self.channels.get(number)
        if channel is None and number > self._last:
            raise Unreadable("a message for a channel that was never opened")
        return channel

    # -- from the client ---------------------------------------------------------------

    def from_client(self, payload: bytes) -> None:
        open = Open.read(payload)
        take = self._from_client.get(open.kind)
        if take is None:
            self._refuse(CLIENT, open.sender, UNKNOWN_TYPE, "no such channel type")
        elif len(self.channels) + self._asked >= CHANNEL_LIMIT:
            self._refuse(CLIENT, open.sender, RESOURCE_SHORTAGE, "too many channels in one session")
        else:
            take(open)

    def _session(self, open: Open) -> None:
        Reader(open.details, 0).end()
        if self.sessions:
            self._make(CLIENT, open)
        else:
            self._refuse(CLIENT, open.sender, ADMINISTRATIVELY_PROHIBITED, "no more sessions, as was asked for")

    def _tcp(self, open: Open) -> None:
        fields = Reader(open.details, 0)
        host, port = _text(fields), fields.u32()
        originator = (_text(fields), fields.u32())
        fields.end()
        if port > PORT_LIMIT:  # some targets would take what is left of it in 16 bits
            self._refuse(CLIENT, open.sender, CONNECT_FAILED, "there is no such port")
        else:
            self._ask(open, Forward(ForwardKind.DIRECT, host, port, open.sender, originator))

    def _unix(self, open: Open) -> None:
        fields = Reader(open.details, 0)
        path = _text(fields)
        fields.string(HOST_LIMIT), fields.u32()  # reserved
        fields.end()
        self._ask(open, Forward(ForwardKind.DIRECT_UNIX, path, 0, open.sender))

    def _ask(self, open: Open, command: Forward) -> None:
        self._asked += 1
        self._desk.ask(Connect(self, open, command))

    def connect(self, open: Open, number: int) -> None:
        """It is recorded: the target is asked to connect."""
        self._begin(CLIENT, open, number)

    def denied(self, open: Open, why: str, side: str = CLIENT) -> None:
        self._asked -= 1
        self._refuse(side, open.sender, ADMINISTRATIVELY_PROHIBITED, why)

    def _begin(self, side: str, open: Open, number: int) -> Channel | None:
        """The channel of a command that is recorded; None where nothing may be forwarded any more."""
        why = self._desk.opinions.unforwarded
        if why:
            self._desk.ended(number, Outcome(Ending.REFUSED))
            self.denied(open, why, side)
            return None
        self._asked -= 1
        channel = self._make(side, open)
        channel.running = number
        self._desk.runs(number, channel.outcome)
        return channel

    # -- from the target ---------------------------------------------------------------

    def from_target(self, payload: bytes) -> None:
        open = Open.read(payload)
        if len(self.channels) + self._asked >= CHANNEL_LIMIT:
            self._refuse(TARGET, open.sender, RESOURCE_SHORTAGE, "too many channels in one session")
            return
        number = self._listeners.stands_on(open) or self._offered(open.kind)
        if not number:
            self._refuse(TARGET, open.sender, ADMINISTRATIVELY_PROHIBITED, "the client did not ask for it")
            return
        command = self._listeners.arrival(open)
        if command is not None:
            self._asked += 1
            self._desk.ask(Arrival(self, open, command, number))
        elif why := self._desk.opinions.unforwarded:
            self._refuse(TARGET, open.sender, ADMINISTRATIVELY_PROHIBITED, why)
        else:
            self._listeners.connected(number, self._make(TARGET, open))

    def arrived(self, open: Open, listener: int, number: int) -> None:
        """It is recorded: the client hears of it."""
        channel = self._begin(TARGET, open, number)
        if channel is not None:
            self._listeners.connected(listener, channel)

    def _offered(self, kind: str) -> int:
        """The command that lets the target open such a channel; 0 for none."""
        return next((c.offered[kind] for c in self.channels.values() if kind in c.offered), 0)

    # -- both --------------------------------------------------------------------------

    def _make(self, side: str, open: Open) -> Channel:
        self._last += 1
        channel = Channel(self._desk, self._last, open.kind, side, open.sender)
        channel.window(side, open.sender, open.window, open.packet)
        self.channels[self._last] = channel
        asked = Open(open.kind, self._last, open.window, min(open.packet, PACKET_LIMIT), open.details)
        self._desk.send(other(side), asked.write())
        return channel

    def confirmed(self, side: str, payload: bytes) -> None:
        """OPEN_CONFIRMATION came from this side."""
        said = Confirmation.read(payload)
        channel = self._opening(side, said.recipient)
        channel.window(side, said.sender, said.window, said.packet)
        told = Confirmation(
            channel.numbers[channel.opener], channel.number, said.window, min(said.packet, PACKET_LIMIT), said.details,
        )
        self._desk.send(channel.opener, told.write())
        if channel.doomed:
            channel.cut(channel.doomed)

    def failed(self, side: str, payload: bytes) -> None:
        """OPEN_FAILURE came from this side; its code and text go to the opener as they are."""
        fields = Reader(payload)
        channel = self._opening(side, fields.u32())
        channel.facts["open"] = f"failed, code {fields.u32()}"
        text = fields.string().decode("utf-8", "replace")
        code = int(channel.facts["open"].rpartition(" ")[2])
        del self.channels[channel.number]
        channel.ended(Ending.ERROR)
        self._refuse(channel.opener, channel.numbers[channel.opener], code, text)

    def _opening(self, side: str, number: int) -> Channel:
        channel = self.channels.get(number)
        if channel is None or channel.open or channel.opener == side:
            raise Unreadable("an answer to an opening that nobody asked for")
        return channel

    def unforward(self, why: str) -> None:
        """What is forwarded ends, also what is only about to be."""
        for channel in self.channels.values():
            if channel.kind != "session":
                channel.doomed = why
                channel.cut(why)

    def forget(self, channel: Channel) -> None:
        """Both sides are done with it."""
        del self.channels[channel.number]
        channel.gone()
        for number in channel.offered.values():
            self._listeners.ends(number)

    def _refuse(self, side: str, number: int, code: int, text: str) -> None:
        self._desk.send(side, write_open_failure(number, code, text))


def _text(fields: Reader) -> str:
    """A host or a path; bytes that are no UTF-8 stay visible."""
    return fields.string(HOST_LIMIT).decode("utf-8", "backslashreplace")
