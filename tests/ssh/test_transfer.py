"""Runs of an SFTP stream: with or without them the same passes, is asked, answered, counted and digested."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

from hypothesis import given, settings, strategies as st

from protocols.ssh import messages as m, sftp
from protocols.ssh.messages import string, u32
from protocols.ssh.transfer import Transfers
from tests.ssh.test_carried import SFTP, Table, cut, ended, told
from tests.ssh.test_sftp_channel import INIT, VERSION, closes, contents, frame, handle, opens, reads, removes, status, writes

PACKET = 1000
Read = tuple[str, list[bytes]]


def outcome(turns: list[Read], runs: bool) -> tuple[object, ...]:
    table = Table(1 << 20, packet=PACKET).begins(SFTP)
    with nullcontext() if runs else patch.multiple(Transfers, asked=lambda *_: 0, answered=lambda *_: 0):
        for side, messages in turns:
            told(table, side, messages, True)
        return ended(table)


def begun(*more: Read) -> list[Read]:
    says = [("client", INIT), ("target", VERSION), ("client", opens(1)), ("target", handle(1)), ("client", opens(2, b"/b")), ("target", handle(2, b"i"))]
    return [(side, [m.write_data(0, data)]) for side, data in says] + list(more)


def read_of(number: int, handle: bytes, claimed: int) -> bytes:
    """With another length than it has."""
    body = u32(number) + string(handle) + u32(0) + u32(0) + u32(100)
    return u32(claimed) + bytes([sftp.READ]) + body


ASKED: list[Callable[[int], bytes]] = [
    lambda n: writes(n, 0, b"w" * 50), lambda n: writes(n, 50, b"x" * 700), lambda n: writes(n, 7, b"y" * 30, b"i"), lambda n: reads(n, 0),
    lambda n: reads(n, 70), lambda n: reads(n, 0, b"i"), lambda n: writes(n, 750, b""), lambda n: removes(n), lambda n: opens(n, b"/other"),
    lambda n: closes(n), lambda n: writes(n, 0, b"lost", b"nobody"), lambda n: reads(n, 0, b"nobody"), lambda n: reads(3, 0),
    lambda n: reads(n, 0, b"h" * 300), lambda n: read_of(n, b"h", 23), lambda n: read_of(n, b"h", 21), lambda n: frame(sftp.FSTAT, u32(n) + string(b"h")),
    lambda n: u32(2000) + writes(n, 0, b"z" * 10)[4:], lambda n: frame(99, u32(n)), lambda n: b"\xff\xff\xff\xff",
]  # fmt: skip
ANSWERS: list[Callable[[int], bytes]] = [
    lambda n: contents(n, b"r" * 70), lambda n: contents(n, b""), lambda n: status(n), lambda n: status(n, sftp.FAILURE),
    lambda n: frame(sftp.ATTRS, u32(n) + u32(0)), lambda n: frame(sftp.DATA, u32(n)), lambda n: frame(sftp.STATUS, u32(n) + u32(0)),
    lambda n: handle(n, b"k"), lambda n: contents(4000, b"nobody's"),
]  # fmt: skip
LIKELY = st.integers(0, 3) | st.integers(0, len(ASKED) - 1)
TURN = st.tuples(st.lists(LIKELY, max_size=6), st.lists(st.integers(0, 2) | st.integers(0, len(ANSWERS) - 1), max_size=6))
SIZES = st.lists(st.integers(1, PACKET) | st.sampled_from([9, 13, 25, PACKET]), min_size=1, max_size=4)


@settings(deadline=None, max_examples=120)
@given(turns=st.lists(TURN, max_size=4), sizes=SIZES)
def test_with_or_without_runs_the_same_comes_of_it(turns: list[tuple[list[int], list[int]]], sizes: list[int]) -> None:
    """Whatever is asked and answered, in whatever pieces, refused and broken: bytes, order, credit, records and digests."""
    number = answered = 2
    said = begun()
    for asked, answers in turns:
        up = b"".join(ASKED[which](number + at + 1) for at, which in enumerate(asked))
        number += len(asked)
        down = b"".join(ANSWERS[which](answered + at + 1) for at, which in enumerate(answers))
        answered += len(answers)
        said += [(side, [m.write_data(0, each) for each in cut(data, sizes)]) for side, data in (("client", up), ("target", down)) if data]
    assert outcome(said, True) == outcome(said, False)


def test_a_run_goes_through_all_that_is_usual_and_stops_before_the_rest() -> None:
    """Else the two ways above would be one."""
    frames, transfers = sftp.Frames(True), Transfers()
    table = Table(1 << 20, packet=PACKET).begins(SFTP)
    for side, messages in begun():
        told(table, side, messages, True)
    files = table.relay._opens.channels[0]._files
    assert files is not None
    transfers.handles.update(files._handles)
    usual = reads(9, 0) + writes(10, 0, b"w" * 50) + reads(11, 70)
    assert transfers.asked(frames, usual + closes(12)) == len(usual) and list(transfers.sent) == [9, 10, 11]
    answers, back = sftp.Frames(False), contents(9, b"r" * 70) + status(10)
    assert transfers.answered(answers, back + status(11, sftp.FAILURE)) == len(back) and list(transfers.sent) == [11]
    assert transfers.asked(frames, reads(11, 0)) == 0
