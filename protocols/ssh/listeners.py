"""
Global requests (RFC 4254, 4 and 7.1; OpenSSH PROTOCOL 2.4, 2.5): listeners at the target are commands, what is about one leg
only is answered by the gateway, and the rest with failure. Answers come in the order of the requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocols.command import Forward, ForwardKind
from protocols.result import Ending, Outcome
from protocols.ssh.channel import Channel
from protocols.ssh.desk import CLIENT, TARGET, Desk
from protocols.ssh.messages import PORT_LIMIT, REQUEST_FAILURE, REQUEST_SUCCESS, GlobalRequest, Open, Reader
from protocols.ssh.replies import Replies, Slot
from protocols.verdict import Decision, Deny

HOST_LIMIT = 4096
LISTENER_LIMIT = 256
"""Listeners of one session that stand or are asked about."""

Place = tuple[str, str]
"""What a channel names its listener by: ("forwarded-tcpip", port) or ("forwarded-streamlocal@openssh.com", path)."""

_FAILURE = bytes([REQUEST_FAILURE])


@dataclass(slots=True)
class Standing:
    """A listener at the target, or an offer of the client's, and what came through it."""

    connections: int = 0
    sent: int = 0
    received: int = 0

    def outcome(self, ending: Ending = Ending.COMPLETE) -> Outcome:
        facts = {"connections": str(self.connections), "sent_bytes": str(self.sent), "received_bytes": str(self.received)}
        return Outcome(ending, bytes=self.received, transaction="I", facts=facts)


class Listen:
    """tcpip-forward or streamlocal-forward."""

    def __init__(self, listeners: Listeners, command: Forward, payload: bytes, slot: Slot) -> None:
        self._listeners, self.command, self._payload, self._slot = listeners, command, payload, slot

    def allowed(self, decision: Decision, number: int) -> None:
        """Other requests go on; only answers keep their order."""

    def recorded(self, number: int) -> None:
        self._listeners.listen(self.command, number, self._payload, self._slot)

    def denied(self, deny: Deny, number: int) -> None:
        self._listeners.denied(self._slot)

    def told(self, words: str) -> None:
        """A global request has no place for it."""


class Listeners:
    """Global requests of both sides, and what stands because of them."""

    def __init__(self, desk: Desk, no_more_sessions: Callable[[], None]) -> None:
        self._desk, self._no_more_sessions = desk, no_more_sessions
        self._replies = {CLIENT: Replies(), TARGET: Replies()}
        self._standing: dict[int, Standing] = {}
        self._places: dict[Place, int] = {}
        self._asked = 0
        self._proofs: list[Slot] = []

    # -- requests ----------------------------------------------------------------------

    def from_client(self, payload: bytes) -> None:
        """
        :raises Unreadable: its fields are not what its name says, or too many wait.
        """
        request = GlobalRequest.read(payload)
        slot = self._replies[CLIENT].expect(request.reply)
        match request.kind:
            case "tcpip-forward" | "streamlocal-forward@openssh.com":
                self._ask(request, payload, slot)
            case "cancel-tcpip-forward" | "cancel-streamlocal-forward@openssh.com":
                self._cancel(request, payload, slot)
            case "hostkeys-prove-00@openssh.com" if request.reply:
                self._prove(request, slot)
            case "no-more-sessions@openssh.com":
                self._no_more_sessions()
                self._say(CLIENT, slot, bytes([REQUEST_SUCCESS]))
            case _:  # a keepalive too: any answer is one
                self._say(CLIENT, slot, _FAILURE)

    def from_target(self, payload: bytes) -> None:
        """The target's keys and keepalives concern its own leg."""
        request = GlobalRequest.read(payload)
        self._say(TARGET, self._replies[TARGET].expect(request.reply), _FAILURE)

    def replied(self, side: str, payload: bytes) -> None:
        """
        REQUEST_SUCCESS or REQUEST_FAILURE came from this side.

        :raises Unreadable: nobody had asked.
        """
        asker = TARGET if side == CLIENT else CLIENT
        for answer in self._replies[asker].replied(payload):
            self._desk.send(asker, answer)

    def keepalive(self, side: str) -> None:
        """Ask this side whether it is there; its answer goes no further."""
        asker = TARGET if side == CLIENT else CLIENT
        self._replies[asker].own()
        self._desk.send(side, GlobalRequest("keepalive@openssh.com", True).write())

    def proved(self, payload: bytes) -> None:
        """The transport's answer to the oldest request for proof of host keys."""
        self._say(CLIENT, self._proofs.pop(0), payload)

    def _prove(self, request: GlobalRequest, slot: Slot) -> None:
        self._proofs.append(slot)
        self._desk.prove(request.details)

    def _say(self, side: str, slot: Slot, payload: bytes) -> None:
        for answer in self._replies[side].answer(slot, payload):
            self._desk.send(side, answer)

    # -- listeners ---------------------------------------------------------------------

    def _ask(self, request: GlobalRequest, payload: bytes, slot: Slot) -> None:
        kind, host, port = _place(request)
        if len(self._standing) + self._asked >= LISTENER_LIMIT or port > PORT_LIMIT:
            self._say(CLIENT, slot, _FAILURE)
            return
        self._asked += 1
        self._desk.ask(Listen(self, Forward(kind, host, port), payload, slot))

    def listen(self, command: Forward, number: int, payload: bytes, slot: Slot) -> None:
        """It is recorded: the target is asked to listen."""
        self._asked -= 1
        standing = self._standing[number] = Standing()
        self._desk.runs(number, standing.outcome)
        if slot.wanted:
            slot.done = lambda answer: self._answered(command, number, answer)
            self._replies[CLIENT].passed(slot)
        else:
            self._places[_named(command.kind, command.host, command.port)] = number
        self._desk.send(TARGET, payload)

    def denied(self, slot: Slot) -> None:
        self._asked -= 1
        self._say(CLIENT, slot, _FAILURE)

    def _answered(self, command: Forward, number: int, answer: bytes) -> None:
        """It listens or not; for port 0 the answer names the port (RFC 4254, 7.1)."""
        if answer[0] != REQUEST_SUCCESS:
            self._end(number, Ending.ERROR)
            return
        port = command.port
        if command.kind is ForwardKind.REMOTE and port == 0:
            port = Reader(answer).u32()
        self._places[_named(command.kind, command.host, port)] = number

    def _cancel(self, request: GlobalRequest, payload: bytes, slot: Slot) -> None:
        number = self._places.pop(_named(*_place(request)), 0)
        if not number:
            self._say(CLIENT, slot, _FAILURE)
            return
        self._end(number, Ending.COMPLETE)
        self._replies[CLIENT].passed(slot)
        self._desk.send(TARGET, payload)

    def _end(self, number: int, ending: Ending) -> None:
        standing = self._standing.pop(number, None)
        if standing is not None:
            self._desk.ended(number, standing.outcome(ending))

    # -- what comes through them -------------------------------------------------------

    def stands_on(self, open: Open) -> int:
        """The command of the listener that such a channel comes from; 0 for none."""
        fields = Reader(open.details, 0)
        if open.kind == "forwarded-tcpip":
            fields.string(HOST_LIMIT)  # a server may write the address otherwise than it was asked for
            return self._places.get((open.kind, str(fields.u32())), 0)
        if open.kind == "forwarded-streamlocal@openssh.com":
            return self._places.get((open.kind, fields.string(HOST_LIMIT).decode("utf-8", "backslashreplace")), 0)
        return 0

    @staticmethod
    def arrival(open: Open) -> Forward | None:
        """
        What came, as a command; None for what is no connection to a listener.

        :raises Unreadable: its fields are not what its type says.
        """
        fields = Reader(open.details, 0)
        if open.kind == "forwarded-tcpip":
            host, port, whence = _shown(fields), fields.u32(), (_shown(fields), fields.u32())
            fields.end()
            return Forward(ForwardKind.INCOMING, host, port, originator=whence)
        if open.kind == "forwarded-streamlocal@openssh.com":
            path = _shown(fields)
            fields.string(HOST_LIMIT)  # reserved
            fields.end()
            return Forward(ForwardKind.INCOMING_UNIX, path)
        return None

    def offers(self, number: int) -> None:
        """The client's agent or display may be reached because of this command."""
        standing = self._standing[number] = Standing()
        self._desk.runs(number, standing.outcome)

    def ends(self, number: int) -> None:
        """What was offered is no more."""
        self._end(number, Ending.COMPLETE)

    def connected(self, number: int, channel: Channel) -> None:
        """The target opens a channel because of this command. What is no command itself is noted."""
        if not channel.running:
            self._desk.remark("ssh.connection", command=str(number), type=channel.kind)
        channel.facts["listener"] = str(number)
        standing = self._standing.get(number)
        if standing is None:
            return
        standing.connections += 1

        def add() -> None:
            if channel.open:
                standing.sent += channel.to[TARGET].totals.bytes
                standing.received += channel.to[CLIENT].totals.bytes

        channel.when_gone = add


def _place(request: GlobalRequest) -> tuple[ForwardKind, str, int]:
    fields = Reader(request.details, 0)
    host = _shown(fields)
    if "streamlocal" in request.kind:
        fields.end()
        return ForwardKind.REMOTE_UNIX, host, 0
    port = fields.u32()
    fields.end()
    return ForwardKind.REMOTE, host, port


def _shown(fields: Reader) -> str:
    return fields.string(HOST_LIMIT).decode("utf-8", "backslashreplace")


def _named(kind: ForwardKind, host: str, port: int) -> Place:
    if kind is ForwardKind.REMOTE_UNIX:
        return "forwarded-streamlocal@openssh.com", host
    return "forwarded-tcpip", str(port)
