"""
Requests on session channels (RFC 4254, 6; OpenSSH PROTOCOL 2): which pass, which are commands, which
the gateway answers. What is not here is answered with failure.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.command import AgentForward, Exec, Pty, Shell, Subsystem, X11Forward
from protocols.result import Ending
from protocols.ssh.channel import Channel
from protocols.ssh.desk import CLIENT, TARGET, Desk
from protocols.ssh.listeners import Listeners
from protocols.ssh.messages import CHANNEL_SUCCESS, ChannelRequest, Reader
from protocols.ssh.refusal import words
from protocols.ssh.replies import Slot
from protocols.verdict import Decision, Deny

ENVIRONMENT_LIMIT = 128
"""Variables of one channel; more are refused."""
TEXT_LIMIT = 128 << 10
"""Bytes of a command line; Linux takes no longer single argument."""
NAME_LIMIT = 1024
"""Bytes of a variable's, terminal's or signal's name."""
MODES_LIMIT = 4096
_SERVERS = (b"sftp-server", b"internal-sftp")


class Start:
    """Exec, shell or subsystem: what a session channel is for."""

    def __init__(self, desk: Desk, channel: Channel, command: Exec | Shell | Subsystem, payload: bytes, slot: Slot) -> None:
        self._desk, self._channel, self.command, self._payload, self._slot = desk, channel, command, payload, slot

    def allowed(self, decision: Decision, number: int) -> None:
        channel = self._channel
        channel.judged()
        channel.running = number
        self._slot.done = lambda answer: self._answered(number, answer)
        channel.replies[CLIENT].passed(self._slot)
        channel.filtered(*self._desk.opinions.filters(decision, number))
        self._files()
        channel.moved_out(TARGET, channel.to[TARGET].flow.gate(number, self._payload))
        self._desk.runs(number, channel.outcome)

    def _files(self) -> None:
        """SFTP by its name, or where the client begins like it: a shell may start its server under any name, also on a terminal."""
        match self.command:
            case Subsystem("sftp"):
                self._channel.carries_files(sure=True)
            case Subsystem():
                self._channel.carries_files(sure=False, likely=True)
            case Exec(line):
                self._channel.carries_files(sure=False, likely=any(name in line for name in _SERVERS))

    def recorded(self, number: int) -> None:
        self._channel.moved_out(TARGET, self._channel.to[TARGET].flow.open(number))

    def denied(self, deny: Deny, number: int) -> None:
        channel = self._channel
        channel.asking = channel.running = 0  # what waited behind it goes nowhere
        channel.replies[CLIENT].forget(self._slot)
        # Success, then a status: after a failure OpenSSH's client exits with 255 and never shows the line.
        channel.reply(CLIENT, self._slot, True)
        channel.refuse(words(deny))

    def told(self, text: str) -> None:
        self._channel.hold()
        self._channel.tell(text)

    def _answered(self, number: int, answer: bytes) -> None:
        if answer[0] != CHANNEL_SUCCESS and self._channel.running == number:
            self._channel.ended(Ending.ERROR)


class Offer:
    """Agent or X11 forwarding: what the target may open toward the client."""

    def __init__(
        self, listeners: Listeners, channel: Channel, command: AgentForward | X11Forward, payload: bytes, slot: Slot
    ) -> None:
        self._listeners, self._channel, self.command, self._payload, self._slot = listeners, channel, command, payload, slot
        self._kind = "x11" if isinstance(command, X11Forward) else "auth-agent@openssh.com"

    def allowed(self, decision: Decision, number: int) -> None:
        self._slot.done = lambda answer: None if answer[0] == CHANNEL_SUCCESS else self._withdrawn(number)
        self._channel.judged()
        self._channel.replies[CLIENT].passed(self._slot)
        self._channel.moved_out(TARGET, self._channel.to[TARGET].flow.gate(number, self._payload))

    def recorded(self, number: int) -> None:
        self._channel.offered[self._kind] = number
        self._listeners.offers(number)
        self._channel.moved_out(TARGET, self._channel.to[TARGET].flow.open(number))

    def denied(self, deny: Deny, number: int) -> None:
        channel = self._channel
        channel.judged()
        channel.replies[CLIENT].forget(self._slot)
        out, _ = channel.to[TARGET].flow.shut(number)
        channel.moved_out(TARGET, out)
        channel.reply(CLIENT, self._slot, False)

    def told(self, text: str) -> None:
        self._channel.tell(text)

    def _withdrawn(self, number: int) -> None:
        """The target does not want it."""
        self._channel.offered.pop(self._kind, None)
        self._listeners.ends(number)


class Requests:
    """What session channels are asked, by name."""

    def __init__(self, desk: Desk, listeners: Listeners) -> None:
        self._desk, self._listeners = desk, listeners
        self._client: dict[str, Callable[[Channel, ChannelRequest, bytes, Slot], None]] = {
            "env": self._env, "pty-req": self._pty, "shell": self._shell, "exec": self._exec,
            "subsystem": self._subsystem, "window-change": self._resize, "signal": self._plain,
            "break": self._plain, "eow@openssh.com": self._plain, "xon-xoff": self._plain,
            "auth-agent-req@openssh.com": self._agent, "x11-req": self._x11,
        }
        self._target: dict[str, Callable[[Channel, ChannelRequest], None]] = {
            "exit-status": self._exited, "exit-signal": self._signalled,
            "eow@openssh.com": lambda channel, request: None, "xon-xoff": lambda channel, request: None,
        }

    def from_client(self, channel: Channel, payload: bytes) -> None:
        """
        :raises Unreadable: its fields are not what its name says.
        """
        request = ChannelRequest.read(payload)
        slot = channel.replies[CLIENT].expect(request.reply)
        take = self._client.get(request.kind) if channel.kind == "session" else None
        if take is None:
            channel.reply(CLIENT, slot, False)
        else:
            take(channel, request, payload, slot)

    def from_target(self, channel: Channel, payload: bytes) -> None:
        """
        As `from_client`. What the target asks for its own sake, such as a keepalive, the gateway answers.

        :raises Unreadable: its fields are not what its name says.
        """
        request = ChannelRequest.read(payload)
        slot = channel.replies[TARGET].expect(request.reply)
        take = self._target.get(request.kind)
        if take is None and not channel.ending:
            channel.reply(TARGET, slot, False)
        elif take is None:  # the target has been told CLOSE: nothing may follow
            return
        else:
            take(channel, request)
            channel.replies[TARGET].passed(slot)
            channel.bare(TARGET, payload)

    # -- the client's ------------------------------------------------------------------

    def _plain(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        channel.replies[CLIENT].passed(slot)
        channel.bare(CLIENT, payload)

    def _env(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        fields = Reader(request.details, 0)
        name, value = fields.string(NAME_LIMIT), fields.string(TEXT_LIMIT)
        fields.end()
        allowed = not channel.running and len(channel.environment) < ENVIRONMENT_LIMIT
        if allowed and self._desk.opinions.environment(name, value):
            channel.environment.append((name, value))
            self._plain(channel, request, payload, slot)
        else:
            channel.reply(CLIENT, slot, False)

    def _pty(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        fields = Reader(request.details, 0)
        term, columns, rows = fields.string(NAME_LIMIT), fields.u32(), fields.u32()
        fields.u32(), fields.u32()
        modes = fields.string(MODES_LIMIT)
        fields.end()
        if channel.running or channel.pty is not None:
            channel.reply(CLIENT, slot, False)
            return
        channel.pty = Pty(term.decode("utf-8", "backslashreplace"), columns, rows, modes)
        slot.done = lambda answer: None if answer[0] == CHANNEL_SUCCESS else channel.without_pty()
        self._plain(channel, request, payload, slot)

    def _resize(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        fields = Reader(request.details, 0)
        columns, rows = fields.u32(), fields.u32()
        fields.u32(), fields.u32()
        fields.end()
        channel.resized(columns, rows)
        self._plain(channel, request, payload, slot)

    def _shell(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        Reader(request.details, 0).end()
        self._start(channel, Shell(channel.client, channel.pty, tuple(channel.environment)), payload, slot)

    def _exec(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        fields = Reader(request.details, 0)
        line = fields.string(TEXT_LIMIT)
        fields.end()
        self._start(channel, Exec(line, channel.client, channel.pty, tuple(channel.environment)), payload, slot)

    def _subsystem(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        fields = Reader(request.details, 0)
        name = fields.name()
        fields.end()
        self._start(channel, Subsystem(name, channel.client, tuple(channel.environment)), payload, slot)

    def _start(self, channel: Channel, command: Exec | Shell | Subsystem, payload: bytes, slot: Slot) -> None:
        if channel.running:  # one of them for each channel (RFC 4254, 6.5)
            channel.reply(CLIENT, slot, False)
        else:
            channel.asking = self._desk.ask(Start(self._desk, channel, command, payload, slot))

    def _agent(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        Reader(request.details, 0).end()
        self._offer(channel, AgentForward(channel.client), payload, slot)

    def _x11(self, channel: Channel, request: ChannelRequest, payload: bytes, slot: Slot) -> None:
        fields = Reader(request.details, 0)
        single = fields.flag()
        fields.string(NAME_LIMIT), fields.string(NAME_LIMIT)  # protocol and cookie, which is a secret
        screen = fields.u32()
        fields.end()
        self._offer(channel, X11Forward(channel.client, screen, single), payload, slot)

    def _offer(self, channel: Channel, command: AgentForward | X11Forward, payload: bytes, slot: Slot) -> None:
        if channel.running:  # OpenSSH asks before; later its message might overtake what a filter keeps back
            channel.reply(CLIENT, slot, False)
            return
        channel.asking = self._desk.ask(Offer(self._listeners, channel, command, payload, slot))

    # -- the target's ------------------------------------------------------------------

    def _exited(self, channel: Channel, request: ChannelRequest) -> None:
        fields = Reader(request.details, 0)
        channel.facts["exit"] = str(fields.u32())
        fields.end()

    def _signalled(self, channel: Channel, request: ChannelRequest) -> None:
        fields = Reader(request.details, 0)
        channel.facts["signal"] = fields.string(NAME_LIMIT).decode("utf-8", "backslashreplace")
