"""
The relay between two honest peers that count for themselves, in random order, with small windows and packets,
verdicts and records whenever they come: bytes keep their order, nobody's credit goes below zero, nothing follows
CLOSE, and every request is answered once and in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given, settings, strategies as st

from protocols.command import Exec
from protocols.effects import Malformed, Report
from protocols.ssh import messages as m
from protocols.ssh.effects import AskCommand, IntendCommand, SendClient, SendTarget, SshEffect, WithdrawCommand
from protocols.ssh.filter import Filtered, Filters, none
from protocols.ssh.relay import SshRelay
from protocols.verdict import Allow, Decision, Deny, Hold
from tests.ssh.channels import Opinions, request, runs

OPS = [
    "data", "data", "out", "out", "err", "adjust up", "adjust down", "unknown", "signal", "eof", "eof down", "status", "close", "close down",
    "answer", "refuse", "record", "unrecorded", "held", "reply", "resume",
]
STEPS = st.lists(st.tuples(st.sampled_from(OPS), st.integers(0, 2), st.integers(0, 40)), min_size=80, max_size=200)


class Sieve:
    """
    A filter that keeps back up to three bytes, drops every SEVEN, puts an OWN behind every sixth byte that it lets go, and at times
    withholds credit.
    """

    SEVEN, OWN = 7, 0xFF

    def __init__(self) -> None:
        self.held: list[tuple[int, int]] = []
        self.let_go = 0

    def feed(self, stream: int, data: bytes) -> Filtered:
        self.held += [(stream, byte) for byte in data]
        return self.lets_go(len(self.held) - 3)

    def lets_go(self, count: int) -> Filtered:
        gone, self.held = self.held[:max(count, 0)], self.held[max(count, 0):]
        passed = [(stream, bytes([byte])) for stream, byte in gone if byte != self.SEVEN]
        before, self.let_go = self.let_go, self.let_go + len(passed)
        ahead = bytes([self.OWN]) * (self.let_go // 6 - before // 6)
        return Filtered(passed, len(gone) - len(passed), ahead, withhold=self.let_go % 5 == 4)

    def resume(self) -> Filtered:
        did = self.lets_go(2)
        did.withhold = False
        return did

    def end(self) -> Filtered:
        return self.lets_go(2)

    def told(self, stream: int, data: bytes) -> None: ...

    def resized(self, columns: int, rows: int) -> None: ...

    def closed(self) -> None: ...


def sieves(decision: Decision, number: int) -> tuple[list[Sieve], list[Sieve]]:
    """Two in a row each way."""
    return [Sieve(), Sieve()], [Sieve(), Sieve()]


@dataclass
class End:
    """One peer's end of one channel."""

    number: int
    gateway: int = -1
    window: int = 0  #: what it may send
    offered: int = 0  #: what it will take
    unread: int = 0
    sent: bytearray = field(default_factory=bytearray)
    got: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    eof: bool = False
    closed: bool = False
    heard_eof: bool = False
    heard_close: bool = False
    waiting: list[str] = field(default_factory=list)  #: client: answers it expects; target: requests it has to answer
    answers: list[str] = field(default_factory=list)


class World:
    """Both peers, the relay between them, and whoever answers for addons and notary."""

    def __init__(self, window: int, packet: int, filters: Filters = none) -> None:
        self.relay, self.window, self.packet = SshRelay(Opinions(filters)), window, packet
        self.up: list[End] = []  # the client's
        self.down: list[End] = []
        self.asked: dict[int, Exec] = {}
        self.intended: list[int] = []
        self.reported: list[int] = []
        self.failed = False
        for number in range(3):
            client, target = End(100 + number), End(200 + number)
            self.up.append(client)
            self.down.append(target)
            self.do(self.relay.from_client(m.Open("session", client.number, window, packet).write()))
            self.do(self.relay.from_target(m.Confirmation(target.gateway, target.number, window, packet).write()))
            client.offered = target.offered = client.window = target.window = window
            self.say(client, runs(b"x", client.gateway))
            client.waiting.append("start")

    def do(self, effects: list[SshEffect]) -> None:
        for effect in effects:
            match effect:
                case SendClient(payload):
                    self.hears(self.up, payload)
                case SendTarget(payload):
                    self.hears(self.down, payload)
                case AskCommand(number, command):
                    self.asked[number] = command
                case IntendCommand(number, _):
                    self.intended.append(number)
                case WithdrawCommand(number):
                    self.asked.pop(number)
                case Report(number, _, _):
                    assert number not in self.reported
                    self.reported.append(number)
                case Malformed(side, why):
                    raise AssertionError(f"{side}: {why}")

    def hears(self, ends: list[End], payload: bytes) -> None:
        kind = payload[0]
        if kind == m.OPEN:
            self.down[-1].gateway = m.Open.read(payload).sender
            return
        if kind == m.OPEN_CONFIRMATION:
            said = m.Confirmation.read(payload)
            self.up[-1].gateway = said.sender
            return
        end = next(each for each in ends if each.number == m.recipient(payload))
        assert not end.heard_close, "something behind CLOSE"
        if kind in (m.DATA, m.EXTENDED_DATA):
            stream, data = m.read_data(payload)
            assert not end.heard_eof and len(data) <= self.packet
            end.offered -= len(data)
            end.unread += len(data)
            assert end.offered >= 0, "beyond the window"
            (end.errors if stream else end.got).extend(data)
        elif kind == m.WINDOW_ADJUST:
            end.window += m.read_adjust(payload)
        elif kind == m.EOF:
            assert not end.heard_eof
            end.heard_eof = True
        elif kind == m.CLOSE:
            end.heard_close = True
        elif kind in (m.CHANNEL_SUCCESS, m.CHANNEL_FAILURE):
            end.answers.append("yes" if kind == m.CHANNEL_SUCCESS else "no")
            assert len(end.answers) <= len(end.waiting)
        elif m.ChannelRequest.read(payload).reply:
            end.waiting.append(m.ChannelRequest.read(payload).kind)

    def say(self, end: End, payload: bytes) -> None:
        self.do((self.relay.from_client if end in self.up else self.relay.from_target)(payload))

    def step(self, op: str, at: int, size: int) -> None:
        client, target = self.up[at], self.down[at]
        match op:
            case "data":
                self.send(client, bytes(range(size)))
            case "out" | "err":
                self.send(target, bytes(range(size)), int(op == "err"))
            case "adjust up" | "adjust down":
                end = target if op == "adjust up" else client
                count = min(size, end.unread)
                if count and not end.closed:
                    end.unread, end.offered = end.unread - count, end.offered + count
                    self.say(end, m.write_adjust(end.gateway, count))
            case "unknown" | "signal":
                if not client.closed:
                    client.waiting.append(op)
                    self.say(client, request(op, m.string(b"TERM"), True, client.gateway))
            case "eof" | "eof down":
                self.end(client if op == "eof" else target, m.EOF)
            case "close" | "close down":
                self.end(client if op == "close" else target, m.CLOSE)
            case "status":
                if not target.closed:
                    self.say(target, request("exit-status", m.u32(0), False, target.gateway))
            case "reply":
                self.reply(target)
            case "resume":
                self.do(self.relay.resume(client.number))
            case _:
                self.gateway(op, size)

    def gateway(self, op: str, size: int) -> None:
        if op in ("answer", "refuse") and self.asked:
            number = sorted(self.asked)[size % len(self.asked)]
            command = self.asked.pop(number)
            self.do(self.relay.answer(number, Decision(command, Allow() if op == "answer" else Deny("no"))))
        elif op in ("record", "unrecorded") and self.intended:
            number = self.intended.pop(size % len(self.intended))
            self.do(self.relay.recorded(number) if op == "record" else self.relay.refused(number, "full"))
        elif op == "held" and self.asked:
            self.do(self.relay.held(next(iter(self.asked)), "r", Hold("r", "", frozenset({"a"}))))

    def send(self, end: End, data: bytes, stream: int = 0) -> None:
        data = data[:min(end.window, self.packet)]
        if data and not (end.eof or end.closed or end.heard_close):
            end.window -= len(data)
            if not stream:
                end.sent.extend(data)
            self.say(end, m.write_data(end.gateway, data, stream))

    def end(self, end: End, kind: int) -> None:
        if end.closed or (kind == m.EOF and end.eof):
            return
        end.eof, end.closed = True, end.closed or kind == m.CLOSE
        self.say(end, m.write_bare(kind, end.gateway))

    def reply(self, target: End) -> None:
        if not target.closed and len(target.answers) < len(target.waiting):
            kind = target.waiting[len(target.answers)]
            target.answers.append("yes")
            assert kind in ("exec", "signal")
            self.say(target, m.write_bare(m.CHANNEL_SUCCESS, target.gateway))

    @staticmethod
    def sifted(data: bytes) -> bytes:
        """Without what sieves drop and add."""
        return bytes(byte for byte in data if byte not in (Sieve.SEVEN, Sieve.OWN))

    def check(self) -> None:
        for client, target in zip(self.up, self.down, strict=True):
            assert self.sifted(client.sent).startswith(self.sifted(target.got))
            assert self.sifted(target.sent).startswith(self.sifted(client.got))
            assert min(client.window, target.window) >= 0
            expected = {"start": "yes", "signal": "yes", "unknown": "no"}
            assert client.answers == [expected[kind] for kind in client.waiting[:len(client.answers)]]


NO_CREDIT_BEHIND_CLOSE = [("data", 0, 8), ("data", 0, 3), ("close down", 0, 0), ("answer", 0, 0)]


@example(11, 8, NO_CREDIT_BEHIND_CLOSE, sieves)
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(1, 50), STEPS, st.sampled_from([none, sieves]))
def test_any_order_of_events(window: int, packet: int, steps: list[tuple[str, int, int]], filters: Filters) -> None:
    world = World(window, packet, filters)
    for step in steps:
        world.step(*step)
        world.check()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.integers(1, 50), STEPS, st.sampled_from([none, sieves]))
def test_in_the_end_everything_arrives_and_is_answered(
    window: int, packet: int, steps: list[tuple[str, int, int]], filters: Filters
) -> None:
    """Where no channel was refused or closed early: once all verdicts, records, credit and answers are there."""
    world = World(window, packet, filters)
    for op, at, size in steps:
        if op not in ("refuse", "unrecorded", "close", "close down"):
            world.step(op, at, size)
    for _ in range(400):
        for at in range(3):
            for op in ("answer", "record", "resume", "adjust up", "adjust down", "reply"):
                world.step(op, at, 40)
    world.check()
    for at, (client, target) in enumerate(zip(world.up, world.down, strict=True)):
        assert [world.sifted(end) for end in (target.got, client.got)] == [world.sifted(end) for end in (client.sent, target.sent)]
        assert len(client.answers) == len(client.waiting)
        assert client.window == window and target.window == window, "credit was lost or made"
        for op in ("close", "close down"):
            world.step(op, at, 0)
        assert client.heard_close and target.heard_close
    assert sorted(world.reported) == [1, 2, 3]
    assert all(world.relay.from_client(m.write_data(end.gateway, b"late")) == [] for end in world.up)
