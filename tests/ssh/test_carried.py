"""What one read brings is told at once: it comes out as if its messages had been told one by one, whatever they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from protocols.effects import Malformed, Report
from protocols.ssh import messages as m, sftp
from protocols.ssh.effects import AskCommand, Carry, IntendCommand, SendClient, SendTarget, SshEffect
from protocols.ssh.filter import Filters, none
from protocols.ssh.messages import string, u32
from protocols.ssh.relay import SshRelay
from protocols.verdict import Allow, Decision, Deny
from tests.ssh.channels import Opinions, request, runs
from tests.ssh.test_sftp_channel import INIT, VERSION, closes, contents, frame, handle, opens, reads, removes, status, writes
from tests.ssh.test_ssh_interleavings import Sieve

SFTP = request("subsystem", string(b"sftp"))
PACKET = 32
"""Small, so that what is longer has to be cut."""


@dataclass
class Table:
    """One relay with two channels; verdicts and records come behind what one read brought."""

    window: int
    filters: Filters = none
    packet: int = PACKET
    up: list[tuple[Any, ...]] = field(default_factory=list)
    down: list[tuple[Any, ...]] = field(default_factory=list)
    rest: list[tuple[Any, ...]] = field(default_factory=list)
    credit: Counter[tuple[bool, bytes]] = field(default_factory=Counter)
    later: list[Callable[[], list[SshEffect]]] = field(default_factory=list)

    def begins(self, command: bytes) -> Table:
        self.relay = SshRelay(Opinions(self.filters))
        for channel in (0, 1):
            self.does(self.relay.from_client(m.Open("session", channel + 7, self.window, self.packet).write()))
            self.does(self.relay.from_target(m.Confirmation(channel, channel + 40, self.window, self.packet).write()))
            self.does(self.relay.from_client(command[:1] + u32(channel) + command[5:]))
        self.settles()
        return self

    def does(self, effects: list[SshEffect]) -> None:
        for effect in effects:
            match effect:
                case AskCommand(number, command):
                    verdict = Deny("no", "OST-203") if command.text.startswith("remove") else Allow()
                    self.later.append(partial(self.relay.answer, number, Decision(command, verdict)))
                case IntendCommand(number):
                    self.later.append(partial(self.relay.recorded, number))
                case SendClient(payload) | SendTarget(payload):
                    self.sent(type(effect) is SendClient, payload)
                case Carry(side, data):
                    for payload in data:
                        self.sent(side == "client", bytes(payload))
                case Report(number, _, outcome):
                    counted = () if "cut" in outcome.facts else (outcome,)  # bytes of a message that was cut are counted whole
                    self.rest.append(("report", number, outcome.ending, *counted))
                case Malformed(side, why):
                    self.rest.append(("malformed", side, why))
                case _:
                    self.rest.append((repr(effect),))

    def settles(self) -> None:
        """What waits for an answer gets it."""
        while self.later:
            self.does(self.later.pop(0)())

    def sent(self, down: bool, payload: bytes) -> None:
        """Data is compared as a stream: messages may be cut elsewhere. The two directions do not wait for each other."""
        out = self.down if down else self.up
        if payload[0] == m.WINDOW_ADJUST:
            self.credit[down, payload[1:5]] += m.read_adjust(payload)
            return
        if payload[0] != m.DATA:
            out.append((payload,))
            return
        assert len(payload) <= m.DATA_AT + self.packet
        channel, data = payload[1:5], m.read_data(payload)[1]
        if out and out[-1][:2] == (m.DATA, channel):
            out[-1] = (m.DATA, channel, out[-1][2] + data)
        elif data:
            out.append((m.DATA, channel, data))


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        pieces.append(stream[at:at + size])
        at, turn = at + size, turn + 1
    return pieces


def told(table: Table, side: str, messages: list[bytes], at_once: bool) -> None:
    if at_once and len(messages) > 0:
        table.does(table.relay.carry(side, [memoryview(message) for message in messages]))
    else:
        for message in messages:
            table.does(table.relay.from_client(message) if side == "client" else table.relay.from_target(message))
    table.settles()


def ended(table: Table) -> tuple[Any, ...]:
    """Everything that came of it, with what is reported at the end."""
    table.does(table.relay.close("over"))
    return table.up, table.down, table.rest, table.credit


def same(command: bytes, reads: list[tuple[str, list[bytes]]], window: int = 1 << 20, filters: Filters = none) -> None:
    one, all_at_once = (Table(window, filters).begins(command) for _ in range(2))
    for side, messages in reads:
        told(one, side, messages, False)
        told(all_at_once, side, messages, True)
    assert ended(all_at_once) == ended(one)


ANY = st.one_of(
    st.builds(m.write_data, st.sampled_from([0, 0, 0, 0, 1, 9]), st.binary(max_size=40)),
    st.builds(m.write_adjust, st.sampled_from([0, 0, 0, 1, 9]), st.sampled_from([0, 1, 7, 100, 1 << 31])),
    st.sampled_from([m.write_adjust(0, 5)[:-1], m.write_adjust(0, 5) + b"over", b"\x5d\0"]),
    st.sampled_from([m.write_data(0, b"abc") + b"over", m.write_data(0, b"abc")[:-1], b"\x5e\0\0", b"\x5e", m.write_data(0, b"")]),
)
READS = st.lists(st.tuples(st.sampled_from(["client", "target"]), st.lists(ANY, min_size=1, max_size=8)), max_size=6)


@settings(deadline=None, max_examples=150)
@given(reads=READS, window=st.sampled_from([60, 200, 1 << 20]), sieve=st.booleans())
def test_whatever_one_read_brings_is_as_if_it_came_message_by_message(
    reads: list[tuple[str, list[bytes]]], window: int, sieve: bool
) -> None:
    """Broken ones too: what came before them passes; order, credit, digests and reports are the same."""
    filters: Filters = (lambda decision, number: ((Sieve(),), (Sieve(),))) if sieve else none
    same(runs(b"id"), reads, window, filters=filters)


ASKED = st.lists(st.sampled_from([
    lambda n: writes(n, 0, b"w" * 50), lambda n: writes(n, 50, b"x" * 90), lambda n: reads(n, 0), lambda n: writes(n, 140, b""),
    lambda n: removes(n), lambda n: opens(n, b"/other"), lambda n: closes(n), lambda n: writes(n, 0, b"lost", b"nobody"),
    lambda n: frame(99, u32(n)), lambda n: b"\xff\xff\xff\xff",
]), max_size=12)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(asked=ASKED, sizes=st.lists(st.integers(1, PACKET), min_size=1, max_size=4), at_once=st.integers(1, 12),
       window=st.sampled_from([300, 1 << 20]))  # fmt: skip
def test_files_that_one_read_brings_are_asked_recorded_and_digested_as_ever(
    asked: list[Callable[[int], bytes]], sizes: list[int], at_once: int, window: int
) -> None:
    """Requests and answers cut anywhere: refused ones are taken out, what passes has the same bytes, digests and outcomes."""
    frames = [make(number + 2) for number, make in enumerate(asked)]
    answers = [
        contents(n + 2, b"r" * 70) if make[4] == sftp.READ else status(n + 2)
        for n, make in enumerate(frames) if make[4:5] and make[4] in (sftp.READ, sftp.WRITE, sftp.CLOSE)
    ]
    begin = [
        ("client", [m.write_data(0, INIT)]), ("target", [m.write_data(0, VERSION)]),
        ("client", [m.write_data(0, piece) for piece in cut(opens(1), [PACKET])]), ("target", [m.write_data(0, handle(1))]),
    ]
    up = [m.write_data(0, piece) for piece in cut(b"".join(frames), sizes)]
    down = [m.write_data(0, piece) for piece in cut(b"".join(answers), sizes)]
    rest = [("client", up[at:at + at_once]) for at in range(0, len(up), at_once)]
    rest += [("target", down[at:at + at_once]) for at in range(0, len(down), at_once)]
    same(SFTP, begin + rest, window)


def test_acknowledgements_that_one_read_brings_leave_as_one() -> None:
    """Of a file's pieces and of a window: one packet each, with all that they say."""
    table = Table(1 << 20, packet=1000).begins(SFTP)
    for side, data in (("client", INIT), ("target", VERSION), ("client", opens(1)), ("target", handle(1))):
        for piece in cut(data, [PACKET]):
            told(table, side, [m.write_data(0, piece)], False)
    for number in (2, 3):
        for piece in cut(writes(number, 0, b"w"), [PACKET]):
            told(table, "client", [m.write_data(0, piece)], False)
    brought = [m.write_data(0, status(2)[:9]), m.write_data(0, status(2)[9:] + status(3)[:1]), m.write_data(0, status(3)[1:])]
    brought += [m.write_adjust(0, 5), m.write_adjust(0, 6)]
    carried, credit = table.relay.carry("target", [memoryview(message) for message in brought])
    assert isinstance(carried, Carry) and carried.data == [m.write_data(7, status(2) + status(3))]
    assert credit == SendClient(m.write_adjust(7, 11))


@pytest.mark.parametrize("size", [7, PACKET], ids=["little", "whole"])
def test_files_pass_in_the_messages_that_brought_them(size: int) -> None:
    """Nothing is put together anew while nothing is done with it; what is kept of a head leaves in front of the next ones."""
    table = Table(1 << 20).begins(SFTP)
    for side, data in (("client", INIT), ("target", VERSION), ("client", opens(1)), ("target", handle(1))):
        for piece in cut(data, [PACKET]):
            told(table, side, [m.write_data(0, piece)], False)
    brought = [memoryview(m.write_data(40, piece)) for piece in cut(writes(2, 0, b"w" * 200) + writes(3, 200, b"x" * 300)[:-3], [size])]
    messages = [memoryview(m.addressed(bytes(message), 0)) for message in brought]
    [effect] = table.relay.carry("client", messages)
    assert isinstance(effect, Carry) and effect.data == brought
