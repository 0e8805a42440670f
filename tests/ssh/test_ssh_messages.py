"""Connection-layer messages: what is written is read back, and no cut or random payload does worse than Unreadable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from protocols.ssh import messages as m

U32 = st.integers(0, 2**32 - 1)
NAME = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=64)
READERS: list[Callable[[bytes], object]] = [
    m.Open.read, m.Confirmation.read, m.ChannelRequest.read, m.GlobalRequest.read,
    m.read_data, m.read_adjust, m.recipient,
]
MESSAGES = st.one_of(
    st.builds(m.Open, NAME, U32, U32, U32, st.binary()),
    st.builds(m.Confirmation, U32, U32, U32, U32, st.binary()),
    st.builds(m.ChannelRequest, U32, NAME, st.booleans(), st.binary()),
    st.builds(m.GlobalRequest, NAME, st.booleans(), st.binary()),
)


@given(MESSAGES)
def test_what_is_written_is_read_back(message: m.Open) -> None:
    assert type(message).read(message.write()) == message


@given(U32, U32, st.binary(), st.integers(0, 5))
def test_data_keeps_its_stream_through_renumbering(first: int, second: int, data: bytes, stream: int) -> None:
    moved = m.addressed(m.write_data(first, data, stream), second)
    assert moved == m.write_data(second, data, stream)
    assert m.recipient(moved) == second
    assert m.read_data(moved) == (stream, data)


@given(st.binary(min_size=1, max_size=80))
def test_random_bytes_are_at_worst_unreadable(payload: bytes) -> None:
    for read in READERS:
        try:
            read(payload)
        except m.Unreadable:
            pass


@pytest.mark.parametrize("payload", [
    m.write_data(1, b"abc")[:-1],
    m.write_data(1, b"abc") + b"x",
    bytes([m.DATA]) + m.u32(1) + b"\xff\xff\xff\xff" + b"abc",
])
def test_a_length_that_does_not_fit_is_refused(payload: bytes) -> None:
    with pytest.raises(m.Unreadable):
        m.read_data(payload)


@pytest.mark.parametrize("name", [b"x" * (m.NAME_LIMIT + 1), b"ex ec", b"\x1b[2J", b"\xff"])
def test_a_name_is_short_and_printable(name: bytes) -> None:
    with pytest.raises(m.Unreadable):
        m.GlobalRequest.read(bytes([m.GLOBAL_REQUEST]) + m.string(name) + b"\0")


def test_an_adjust_is_read_back_and_ends_where_it_ends() -> None:
    assert m.read_adjust(m.write_adjust(7, 9)) == 9
    with pytest.raises(m.Unreadable):
        m.read_adjust(m.write_adjust(7, 9) + b"\0")


def test_an_open_failure_says_why() -> None:
    fields = m.Reader(m.write_open_failure(3, m.ADMINISTRATIVELY_PROHIBITED, "no (OST-200)"))
    assert (fields.u32(), fields.u32(), fields.string(), fields.string()) == (3, 1, b"no (OST-200)", b"")
    fields.end()
