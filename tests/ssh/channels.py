"""
A conversation with SSH's relay, checked at every step. Effects are compared as short tuples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from protocols.command import (
    AgentForward, Exec, FileOperation, Forward, Shell, SshCommand, Subsystem, X11Forward,
)
from protocols.effects import Malformed, Refused, Report
from protocols.result import Outcome
from protocols.ssh import messages as m
from protocols.ssh.effects import (
    AskCommand, IntendCommand, ProveHostKeys, Remark, SendClient, SendTarget, SshEffect, WithdrawCommand,
)
from protocols.ssh.filter import Filters, none
from protocols.ssh.relay import SshRelay
from protocols.verdict import Allow, Decision, Deny, Hold

Step = tuple[Any, ...]

CLIENT, TARGET, GATEWAY = 7, 42, 0
"""What each calls the first channel."""
WINDOW, PACKET = 2 << 20, 32768


@dataclass
class Opinions:
    """What nobody objects to."""

    filters: Filters = none
    unforwarded: str = ""
    variables: frozenset[bytes] = frozenset({b"LANG"})

    def environment(self, name: bytes, value: bytes) -> bool:
        return name in self.variables


def request(kind: str, details: bytes = b"", reply: bool = True, channel: int = GATEWAY) -> bytes:
    return m.ChannelRequest(channel, kind, reply, details).write()


def runs(line: bytes, channel: int = GATEWAY) -> bytes:
    return request("exec", m.string(line), channel=channel)


def shell(channel: int = GATEWAY) -> bytes:
    return request("shell", channel=channel)


def pty(channel: int = GATEWAY) -> bytes:
    return request("pty-req", m.string(b"xterm") + b"".join(map(m.u32, (80, 24, 0, 0))) + m.string(b"\0"), channel=channel)


def env(name: bytes, value: bytes = b"C", channel: int = GATEWAY) -> bytes:
    return request("env", m.string(name) + m.string(value), reply=False, channel=channel)


def exit_status(status: int, channel: int = GATEWAY) -> bytes:
    return request("exit-status", m.u32(status), reply=False, channel=channel)


def data(payload: bytes, channel: int = GATEWAY, stream: int = 0) -> bytes:
    return m.write_data(channel, payload, stream)


def yes(channel: int = GATEWAY) -> bytes:
    return m.write_bare(m.CHANNEL_SUCCESS, channel)


def no(channel: int = GATEWAY) -> bytes:
    return m.write_bare(m.CHANNEL_FAILURE, channel)


def eof(channel: int = GATEWAY) -> bytes:
    return m.write_bare(m.EOF, channel)


def close(channel: int = GATEWAY) -> bytes:
    return m.write_bare(m.CLOSE, channel)


def adjust(count: int, channel: int = GATEWAY) -> bytes:
    return m.write_adjust(channel, count)


def global_request(kind: str, details: bytes = b"", reply: bool = True) -> bytes:
    return m.GlobalRequest(kind, reply, details).write()


# -- what the relay wants done, in short ---------------------------------------------------


def to_client(payload: bytes) -> Step:
    return "to client", payload


def to_target(payload: bytes) -> Step:
    return "to target", payload


def asks(number: int, text: str) -> Step:
    return "asks", number, text


def intends(number: int) -> Step:
    return "intends", number


def refuses(number: int) -> Step:
    return "refuses", number


def reports(number: int, ending: str = "complete") -> Step:
    return "reports", number, ending


def withdraws(number: int) -> Step:
    return "withdraws", number


def malformed(side: str) -> Step:
    return "malformed", side


def named(command: SshCommand) -> str:
    match command:
        case Exec(line):
            return f"exec {line.decode()}"
        case Shell():
            return "shell"
        case Subsystem(name):
            return f"subsystem {name}"
        case FileOperation():
            return command.text
        case Forward(kind, host, port):
            return f"{kind.value} {host}:{port}"
        case AgentForward():
            return "agent"
        case X11Forward():
            return "x11"
    raise AssertionError(f"no short form of {command}")


def brief(effect: SshEffect) -> Step:
    match effect:
        case SendClient(payload):
            return to_client(payload)
        case SendTarget(payload):
            return to_target(payload)
        case AskCommand(number, command):
            return asks(number, named(command))
        case IntendCommand(number, _):
            return intends(number)
        case WithdrawCommand(number):
            return withdraws(number)
        case Refused(number, _):
            return refuses(number)
        case Report(number, _, outcome):
            return reports(number, outcome.ending.value)
        case Malformed(side, _):
            return malformed(side)
        case ProveHostKeys(details):
            return "proves", details
        case Remark(kind, _):
            return "remarks", kind
    raise AssertionError(f"no short form of {effect}")


class Playbook:
    """Say a line, and what must come of it, no more and no less."""

    def __init__(self, opinions: Opinions | None = None) -> None:
        self.relay = SshRelay(opinions or Opinions())
        self.asked: dict[int, SshCommand] = {}
        self.outcomes: dict[int, Outcome] = {}
        self._line = 0

    def client(self, payload: bytes, *expected: Step) -> Self:
        return self._check(self.relay.from_client(payload), expected)

    def target(self, payload: bytes, *expected: Step) -> Self:
        return self._check(self.relay.from_target(payload), expected)

    def verdict(self, number: int, verdict: Allow | Deny, *expected: Step) -> Self:
        return self._check(self.relay.answer(number, Decision(self.asked[number], verdict)), expected)

    def recorded(self, number: int, *expected: Step) -> Self:
        return self._check(self.relay.recorded(number), expected)

    def unrecorded(self, number: int, *expected: Step) -> Self:
        return self._check(self.relay.refused(number, "the store is full"), expected)

    def ungranted(self, number: int, *expected: Step, why: str) -> Self:
        return self._check(self.relay.ungranted(number, why), expected)

    def held(self, number: int, *expected: Step) -> Self:
        return self._check(self.relay.held(number, "r1", Hold("rule", "why", frozenset({"leads"}))), expected)

    def says(self, effects: list[SshEffect], *expected: Step) -> Self:
        """Any other call of the relay's, already made."""
        return self._check(effects, expected)

    def opened(self, kind: str = "session", gateway: int = GATEWAY, client: int = CLIENT, target: int = TARGET, window: int = WINDOW) -> Self:
        """The client opens a channel and the target confirms it."""
        asked = m.Open(kind, client, window, PACKET)
        self.client(asked.write(), to_target(m.Open(kind, gateway, window, PACKET).write()))
        said = m.Confirmation(gateway, target, window, PACKET)
        return self.target(said.write(), to_client(m.Confirmation(client, gateway, window, PACKET).write()))

    def running(self, payload: bytes = b"", name: str = "exec id", number: int = 1) -> Self:
        """The first channel is open, and its command runs."""
        payload = payload or runs(b"id")
        self.opened().client(payload, asks(number, name)).verdict(number, Allow(), intends(number))
        self.recorded(number, to_target(m.addressed(payload, TARGET)))
        return self.target(yes(), to_client(yes(CLIENT)))

    def _check(self, effects: list[SshEffect], expected: tuple[Step, ...]) -> Self:
        self._line += 1
        for effect in effects:
            match effect:
                case AskCommand(number, command):
                    self.asked[number] = command
                case Report(number, _, outcome):
                    assert number not in self.outcomes, f"line {self._line}: {number} is reported twice"
                    self.outcomes[number] = outcome
        got = tuple(brief(effect) for effect in effects)
        assert got == expected, f"line {self._line}: {got}"
        return self
