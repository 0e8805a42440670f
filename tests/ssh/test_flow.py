"""One direction of a channel against a plain list: order kept, no byte lost, nothing beyond the window or behind CLOSE."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocols.ssh import messages as m
from protocols.ssh.flow import WAITING_LIMIT, Flow
from protocols.ssh.ledger import Ledger, Overrun

THEIRS, OURS = 7, 42
STEPS = st.lists(st.one_of(
    st.tuples(st.just("send"), st.binary(min_size=1, max_size=60)),
    st.tuples(st.just("inject"), st.binary(min_size=1, max_size=60)),
    st.tuples(st.sampled_from(["hold", "free", "adjust"]), st.just(b"")),
))


def data_of(sent: list[bytes]) -> bytes:
    return b"".join(m.read_data(message)[1] for message in sent if message[0] == m.DATA)


@given(st.integers(0, 200), st.integers(1, 50), STEPS)
def test_what_leaves_is_what_came_in_its_order(window: int, packet: int, steps: list[tuple[str, bytes]]) -> None:
    flow, sent, expected, sender, taken = Flow(Ledger.opened(window), OURS, packet), [], b"", window, 0
    for step, data in steps:
        if step == "send":
            data = data[:sender]
            sender, expected = sender - len(data), expected + data
            sent += flow.take(m.write_data(THEIRS, data))
        elif step == "inject":
            expected += data
            sent += flow.inject(data)
        elif step == "adjust":
            free, taken = len(data_of(sent)) - taken, len(data_of(sent))
            out, grant = flow.adjusted(free)
            sent, sender = sent + out, sender + grant
        else:
            sent += flow.hold(step == "hold")
        assert expected.startswith(data_of(sent))
        assert len(data_of(sent)) - taken <= window
    sent += flow.hold(False) + flow.take(m.write_bare(m.EOF, THEIRS)) + flow.take(m.write_bare(m.CLOSE, THEIRS))
    while not flow.closed:
        sent += flow.adjusted(100)[0]
    assert data_of(sent) == expected
    assert [message[0] for message in sent[-2:]] == [m.EOF, m.CLOSE]
    assert all(m.recipient(message) == OURS and len(message) <= 9 + packet for message in sent)
    assert flow.waiting == 0


def test_eof_and_close_leave_once() -> None:
    flow = Flow(Ledger.opened(10), OURS, 10)
    ends = [m.write_bare(m.EOF, THEIRS), m.write_bare(m.EOF, THEIRS), m.write_bare(m.CLOSE, THEIRS), m.write_bare(m.CLOSE, THEIRS)]
    assert [out[0] for end in ends for out in flow.take(end)] == [m.EOF, m.CLOSE]
    assert flow.close() == []


def test_what_is_let_go_after_the_end_leaves_nobody() -> None:
    flow = Flow(Ledger.opened(10), OURS, 10)
    flow.came(3)
    assert flow.close() == [m.write_bare(m.CLOSE, OURS)]
    assert flow.put(b"abc") == flow.inject(b"x") == flow.bare(m.write_bare(m.EOF, THEIRS)) == []


def test_data_behind_eof_ends_the_connection() -> None:
    flow = Flow(Ledger.opened(10), OURS, 10)
    flow.take(m.write_bare(m.EOF, THEIRS))
    with pytest.raises(Overrun):
        flow.take(m.write_data(THEIRS, b"x"))


def test_what_waits_is_bounded_by_bytes_and_by_messages() -> None:
    big = Flow(Ledger.opened(1 << 30), OURS, 1 << 20)
    big.hold(True)
    with pytest.raises(Overrun):
        for _ in range(5):
            big.take(m.write_data(THEIRS, bytes(1 << 20)))
    small = Flow(Ledger.opened(1 << 30), OURS, 1 << 20)
    small.hold(True)
    with pytest.raises(Overrun):
        for _ in range(WAITING_LIMIT // 64):
            small.take(m.write_data(THEIRS, b""))
            small.take(m.write_data(THEIRS, b"x"))
