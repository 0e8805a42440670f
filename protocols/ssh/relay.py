"""
Both legs' connection layer as one state machine: messages and verdicts in, effects out (RFC 4254).

Windows go from end to end: OPEN and CONFIRMATION carry the peers' own, DATA and WINDOW_ADJUST pass, so the gateway
keeps no more than what is in flight. It knows no keys, no packets, no clock; what a peer may send raises nothing, it ends in
Malformed behind what was decided before.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from struct import Struct

from protocols.ssh import messages as m
from protocols.ssh.channel import Channel
from protocols.ssh.desk import CLIENT, TARGET, Desk, Opinions
from protocols.ssh.effects import Malformed, SshEffect
from protocols.ssh.ledger import Overrun
from protocols.ssh.listeners import Listeners
from protocols.ssh.messages import Unreadable
from protocols.ssh.opens import Opens
from protocols.ssh.requests import Requests
from protocols.verdict import Decision, Hold

_DATA = (m.DATA, m.EXTENDED_DATA)
_HEAD = Struct(">BI")


class SshRelay:
    """One session. Every method returns what is to be done, in order; `from_*` take one payload each, none of it encrypted."""

    def __init__(self, opinions: Opinions) -> None:
        self._desk = Desk(opinions)
        self._listeners = Listeners(self._desk, self._no_more_sessions)
        self._opens = Opens(self._desk, self._listeners)
        self._requests = Requests(self._desk, self._listeners)
        self._over = False

    # -- what peers say ----------------------------------------------------------------

    def from_client(self, payload: bytes) -> list[SshEffect]:
        """A message of the client's, numbered 80 or above."""
        return self._turn(CLIENT, self._hear, CLIENT, payload)

    def from_target(self, payload: bytes) -> list[SshEffect]:
        return self._turn(TARGET, self._hear, TARGET, payload)

    def carry(self, side: str, data: list[memoryview]) -> list[SshEffect]:
        """Messages of type DATA or WINDOW_ADJUST from "client" or "target", as if they were told one by one."""
        return self._turn(side, self._hear_several, side, data)

    # -- what the gateway says ---------------------------------------------------------

    def answer(self, number: int, decision: Decision) -> list[SshEffect]:
        """The addons' answer to `AskCommand(number)`."""
        return self._turn(CLIENT, self._desk.answer, number, decision)

    def recorded(self, number: int) -> list[SshEffect]:
        """The record of `IntendCommand(number)` is durable."""
        return self._turn(CLIENT, self._desk.recorded, number)

    def refused(self, number: int, why: str) -> list[SshEffect]:
        """That record could not be made: the command does not run."""
        return self._turn(CLIENT, self._desk.refused, number, why)

    def ungranted(self, number: int, why: str) -> list[SshEffect]:
        """The grant it was to spend is not good any more: the command does not run."""
        return self._turn(CLIENT, self._desk.ungranted, number, why)

    def held(self, number: int, request: str, hold: Hold) -> list[SshEffect]:
        """Command `number` waits for people."""
        return self._turn(CLIENT, self._desk.held, number, request, hold)

    def resume(self, channel: int) -> list[SshEffect]:
        """A filter of this channel (the client's number) has something to say."""
        return self._turn(TARGET, self._resume, channel)

    def cut(self, channel: int, why: str) -> list[SshEffect]:
        """End this channel (the client's number) now; the person reads why."""
        return self._turn(TARGET, self._cut, channel, why)

    def unforward(self, why: str) -> list[SshEffect]:
        """End what is forwarded, agents and displays too."""
        return self._turn(TARGET, self._opens.unforward, why)

    def keepalive(self, side: str) -> list[SshEffect]:
        """Ask "client" or "target" whether it is there. Whatever comes from it afterwards is an answer."""
        return self._turn(side, self._listeners.keepalive, side)

    def proved(self, payload: bytes) -> list[SshEffect]:
        """The answer to the oldest ProveHostKeys."""
        return self._turn(CLIENT, self._listeners.proved, payload)

    def close(self, why: str) -> list[SshEffect]:
        """
        The session ends. Clients are told on each channel that runs something, which matters where only the target is gone;
        what runs is reported as far as it is known. Nothing comes of anything afterwards.
        """
        effects = self._turn(TARGET, self._close, why)
        self._over = True
        return effects

    # -- inside ------------------------------------------------------------------------

    def _turn(self, side: str, do: Callable[..., None], *what: object) -> list[SshEffect]:
        """Do it, and what kept messages say behind it; whatever a peer did wrong ends the session."""
        if self._over:
            return []
        try:
            do(*what)
            if self._desk.ready:
                self._kept()
        except (Unreadable, Overrun) as error:
            self._over = True
            self._end()
            self._desk.out.append(Malformed(side, str(error)))
        effects, self._desk.out = self._desk.out, []
        return effects

    def _hear(self, side: str, payload: bytes) -> None:
        if not payload:
            raise Unreadable("an empty message")
        kind = payload[0]
        if kind in _DATA:
            channel = self._opened(side, payload)
            if channel is not None:
                channel.data(side, payload)
        elif kind in _CHANNEL:
            channel = self._opened(side, payload)
            if channel is not None:
                self._on_channel(side, channel, payload)
        else:
            self._elsewhere(side, payload)

    def _hear_several(self, side: str, data: list[memoryview]) -> None:
        for head, alike in groupby(data, _head):
            messages = list(alike)
            channel = self._opened(side, messages[0])
            if channel is None:
                continue
            if head[0] == m.DATA:
                channel.carry(side, messages)
            else:
                channel.adjust(side, messages)
            if channel.over:
                self._opens.forget(channel)

    def _elsewhere(self, side: str, payload: bytes) -> None:
        match payload[0]:
            case m.OPEN:
                (self._opens.from_client if side == CLIENT else self._opens.from_target)(payload)
            case m.OPEN_CONFIRMATION:
                self._opens.confirmed(side, payload)
            case m.OPEN_FAILURE:
                self._opens.failed(side, payload)
            case m.GLOBAL_REQUEST:
                (self._listeners.from_client if side == CLIENT else self._listeners.from_target)(payload)
            case m.REQUEST_SUCCESS | m.REQUEST_FAILURE:
                self._listeners.replied(side, payload)
            case _:
                raise Unreadable("a message that the connection layer does not know")

    def _opened(self, side: str, payload: bytes | memoryview) -> Channel | None:
        """The channel a message is for; None where it is late."""
        channel = self._opens.known(m.recipient(payload))
        if channel is not None and not channel.open:
            raise Unreadable("a message for a channel that is not open yet")
        return channel

    def _on_channel(self, side: str, channel: Channel, payload: bytes) -> None:
        kind = payload[0]
        if kind == m.WINDOW_ADJUST:
            channel.adjust(side, [payload])
        elif kind in (m.CHANNEL_SUCCESS, m.CHANNEL_FAILURE):
            channel.replied(side, payload)
        elif kind == m.CLOSE:
            channel.closed(side, payload)
        elif side == TARGET or not channel.waits(payload):
            self._said(side, channel, payload)
        if channel.over:
            self._opens.forget(channel)

    def _said(self, side: str, channel: Channel, payload: bytes) -> None:
        if payload[0] == m.EOF:
            channel.bare(side, payload)
        elif channel.hears(side):
            (self._requests.from_client if side == CLIENT else self._requests.from_target)(channel, payload)

    def _kept(self) -> None:
        """Messages that waited for a verdict which has come."""
        while self._desk.ready:
            channel = self._desk.ready.pop()
            while (payload := channel.kept()) is not None:
                if payload[0] in _DATA:
                    channel.again(payload)
                else:
                    self._said(CLIENT, channel, payload)
            if channel.over and channel.number in self._opens.channels:
                self._opens.forget(channel)

    def _channels(self, client: int) -> list[Channel]:
        return [c for c in self._opens.channels.values() if c.open and c.client == client]

    def _resume(self, client: int) -> None:
        for channel in self._channels(client):
            channel.resume()
            if channel.over:
                self._opens.forget(channel)

    def _cut(self, client: int, why: str) -> None:
        for channel in self._channels(client):
            channel.cut(why)

    def _no_more_sessions(self) -> None:
        self._opens.sessions = False

    def _close(self, why: str) -> None:
        for channel in self._opens.channels.values():
            if channel.running and channel.kind == "session":
                channel.lost(why)
        self._end()

    def _end(self) -> None:
        for channel in list(self._opens.channels.values()):
            self._opens.forget(channel)
        self._desk.close()


def _head(payload: memoryview) -> tuple[int, ...]:
    """Type, and what stands where a channel's number does, if anything."""
    return _HEAD.unpack_from(payload) if len(payload) >= _HEAD.size else tuple(payload)


_CHANNEL = (m.WINDOW_ADJUST, m.EOF, m.CLOSE, m.CHANNEL_REQUEST, m.CHANNEL_SUCCESS, m.CHANNEL_FAILURE)
