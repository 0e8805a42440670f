"""A client's bytes as messages, each under its ceiling, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PeerError
from protocols.postgres.codec import STREAM_LIMIT, STREAM_OVER, Frame, Run, encode, encode_head
from protocols.postgres.intake import TEXT_LIMIT, VALUES_LIMIT, Intake, Piece, TooLarge

MESSAGES = {
    "small": (encode(b"Q", b"SELECT 1\0"), [Frame(b"Q", b"SELECT 1\0")]),
    "without a body": (encode(b"S"), [Frame(b"S", b"")]),
    "large but allowed": (encode(b"Q", b"x" * TEXT_LIMIT), [Frame(b"Q", b"x" * TEXT_LIMIT)]),
    "values": (encode(b"B", b"x" * VALUES_LIMIT), [Frame(b"B", b"x" * VALUES_LIMIT)]),
    "text over its limit": (encode(b"P", b"x" * (TEXT_LIMIT + 1)), [TooLarge(b"P", TEXT_LIMIT + 1)]),
}


def everything(intake: Intake) -> list[object]:
    return list(iter(intake.next_message, None))


@pytest.mark.parametrize("step", [1 << 22, 65_536, 999])
@pytest.mark.parametrize("name", MESSAGES)
def test_messages_come_whole_however_they_are_cut(name: str, step: int) -> None:
    """And the next one begins where they end."""
    stream, expected = MESSAGES[name]
    intake, got = Intake(), []
    for start in range(0, len(stream + encode(b"H")), step):
        intake.feed((stream + encode(b"H"))[start : start + step])
        got += everything(intake)
    assert got == [*expected, Frame(b"H", b"")] and len(intake) == 0


def test_copy_data_comes_in_runs_and_pieces() -> None:
    """Small messages together, a large one by head and parts; together they are what was sent."""
    small, large = encode(b"d", b"ab") + encode(b"d", b"c"), encode(b"d", b"x" * (STREAM_OVER + 1))
    intake = Intake()
    intake.feed(small + large + small)
    got = everything(intake)
    assert got[0] == Run(2, small) and got[1] == Piece(large[:5], True, STREAM_OVER + 1) and got[-1] == Run(2, small)
    assert b"".join(each.data for each in got[1:-1] if isinstance(each, Piece)) == large and got[-2].left == 0


def test_a_body_over_its_ceiling_is_not_kept() -> None:
    """Half a gigabyte is read past, and nothing of it stays."""
    intake, chunk = Intake(), bytes(1 << 20)
    size = VALUES_LIMIT + (2 << 20)
    intake.feed(encode_head(b"B", size))
    for _ in range(size >> 20):
        assert intake.next_message() is None
        intake.feed(chunk)
        assert len(intake) <= len(chunk)
    assert everything(intake) == [TooLarge(b"B", size)]


@pytest.mark.parametrize("head", [b"Q\0\0\0\3", b"Q\xff\xff\xff\xff", b"E\x7f\xff\xff\xff", b"d\xff\xff\xff\xff"])
def test_a_length_that_no_message_has_is_refused_before_its_body(head: bytes) -> None:
    """Five bytes are enough."""
    intake = Intake()
    intake.feed(head)
    with pytest.raises(PeerError):
        intake.next_message()
    assert STREAM_LIMIT < 0x7FFFFFFF


def test_goodbye_is_seen_behind_whole_messages_only() -> None:
    """Inside a body an X is a letter."""
    intake = Intake()
    intake.feed(encode(b"Q", encode(b"X")))
    assert not intake.terminates()
    intake.feed(encode(b"X"))
    assert intake.terminates()
    intake = Intake()
    intake.feed(encode_head(b"d", STREAM_OVER + 100) + bytes(50))
    everything(intake)
    intake.feed(encode(b"X"))
    assert not intake.terminates()


@given(st.lists(st.binary(max_size=20), max_size=6), st.integers(1, 9))
def test_any_bytes_are_messages_or_the_clients_fault(parts: list[bytes], step: int) -> None:
    """Nothing else is raised, and the same messages come out however they are cut."""
    stream, results = b"".join(encode(bytes((65 + len(part),)), part) for part in parts) + b"Q\0\0", []
    for cut in (step, len(stream)):
        intake, got = Intake(), []
        for start in range(0, len(stream), cut):
            intake.feed(stream[start : start + cut])
            try:
                got += everything(intake)
            except PeerError:
                got.append("refused")
                break
        results.append(got)
    assert results[0] == results[1]
