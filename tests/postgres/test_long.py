"""
Values too long to be held: what is known of them is what would be known if they were, however their bytes are cut,
and what is spooled is what was sent.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.values import recorded_values
from protocols.command import Digest, Parameter
from protocols.errors import PeerError
from protocols.postgres import long
from protocols.postgres.codec import STREAM_OVER, Frame, FrameReader, Opened, encode, encode_head
from protocols.postgres.intake import VALUES_LIMIT, Intake, TooLarge
from protocols.postgres.long import LongMessage
from protocols.postgres.messages import Bind, FunctionCall
from protocols.spool import NoRoom

BIG = VALUES_LIMIT + 1


class Memory:
    """A spool that a test can look into; takes `room` bytes."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.data, self.room, self.closed, self.opened = bytearray(), room, 0, 0

    def open(self) -> Memory:
        self.opened += 1
        return self

    def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > self.room:
            raise NoRoom("full")
        self.data += data

    def read(self) -> bytes:
        part = bytes(self.data[:STREAM_OVER])
        del self.data[:STREAM_OVER]
        return part

    def close(self) -> None:
        self.closed += 1


def message_of(data: bytes, spool: Memory, step: int) -> Any:
    intake = Intake(spool)
    for start in range(0, len(data), step):
        intake.feed(data[start : start + step])
        if (got := intake.next_message()) is not None:
            return got
    raise AssertionError("never whole")


@pytest.mark.parametrize("step", [1 << 22, 65_536, 4099])
def test_what_is_spooled_is_what_was_sent_and_what_is_known_is_its_digest(step: int) -> None:
    """Long, short, NULL and empty values, in both formats."""
    values = (b"short", b"x" * 300_000, None, b"", b"y" * BIG, b"z" * long.KEPT, b"z" * (long.KEPT + 1))
    sent, spool = Bind("p", "größe", (0, 1, 1, 0, 1, 0, 1), values, (1, 0)), Memory()
    data = sent.encode()
    got = message_of(data, spool, step)
    assert isinstance(got, LongMessage) and got.failure == "" and bytes(spool.data) == data
    bind = got.bind("utf-8")
    assert (bind.portal, bind.statement, bind.formats, bind.result_formats) == ("p", "größe", sent.formats, (1, 0))
    known = [Digest(len(v), sha256(v).digest()) if v is not None and len(v) > long.KEPT else v for v in values]
    assert list(bind.values) == known


def test_a_function_calls_long_arguments_are_spooled_too() -> None:
    call, spool = FunctionCall(951, (1,), (b"\0\0\0\1", b"w" * BIG), 1), Memory()
    got = message_of(call.encode(), spool, 65_536).call()
    assert (got.oid, got.formats, got.result_format, got.values[0]) == (951, (1,), 1, b"\0\0\0\1")
    assert got.values[1] == Digest(BIG, sha256(b"w" * BIG).digest()) and bytes(spool.data) == call.encode()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.none() | st.binary(max_size=40) | st.integers(long.KEPT - 2, long.KEPT + 2).map(bytes), max_size=12),
    st.sampled_from([b"B", b"F"]), st.integers(1, 5000),
)
def test_evidence_is_the_same_whether_values_were_spooled_or_not(values: list[bytes | None], tag: bytes, step: int) -> None:
    """Of any message: as if it had been over the limit."""
    message = Bind("", "s", (1,), tuple(values)) if tag == b"B" else FunctionCall(1, (1,), tuple(values))
    (frame,) = frames(message.encode())
    held = LongMessage(Opened(tag, len(frame.body)), Memory())
    for start in range(0, len(frame.body), step):
        held.feed(frame.body[start : start + step])
    found = held.bind("utf-8") if tag == b"B" else held.call()
    assert recorded(found.values) == recorded(tuple(values))


def test_many_short_values_are_recorded_alike_too() -> None:
    """Beyond a megabyte of them, by digest."""
    values = tuple(b"%06d" % n * 500 for n in range(600))
    got = message_of(Bind("", "", (), values).encode(), Memory(), 65_536).bind("utf-8")
    assert recorded(got.values) == recorded(values) and any(isinstance(v, Digest) for v in got.values)


def frames(data: bytes) -> list[Frame]:
    reader = FrameReader()
    reader.feed(data)
    return list(iter(reader.next_frame, None))


def recorded(values: tuple[Any, ...]) -> list[list[Any]]:
    return recorded_values([Parameter(0, 1, value) for value in values])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"B", b"F"]), st.binary(max_size=60), st.data())
def test_any_body_is_read_as_the_held_message_would_be(tag: bytes, noise: bytes, data: st.DataObject) -> None:
    """The same values, or the client's fault in both; nothing else is raised."""
    good = Bind("p", "s", (1, 0), (b"a" * 20, b"b" * long.KEPT), ()) if tag == b"B" else FunctionCall(7, (), (b"c" * (long.KEPT + 9),))
    (frame,) = frames(good.encode())
    at = data.draw(st.integers(0, len(frame.body)))
    body = frame.body[:at] + noise + frame.body[at + data.draw(st.integers(0, 8)) :]
    assert read_long(tag, body, data.draw(st.integers(1, len(body) + 1))) == read_held(tag, body)


def read_held(tag: bytes, body: bytes) -> Any:
    try:
        found = Bind.parse(body, "latin-1") if tag == b"B" else FunctionCall.parse(body)
    except PeerError:
        return "wrong"
    return found.formats, recorded(found.values)


def read_long(tag: bytes, body: bytes, step: int) -> Any:
    try:
        held = LongMessage(Opened(tag, len(body)), Memory())
        for start in range(0, len(body), step):
            held.feed(body[start : start + step])
        found = held.bind("latin-1") if tag == b"B" else held.call()
    except PeerError:
        return "wrong"
    return found.formats, recorded(found.values)


@pytest.mark.parametrize("body", [b"\0\0\0\0\0\1\x7f\xff\xff\xff", b"\0\0\0\0\0\1\xff\xff\xff\xfe", b"n" * (2 << 20), b"\0\0\0\0\0\0\0\0"])
def test_a_form_that_no_message_has_is_refused_before_it_is_whole(body: bytes) -> None:
    """A value longer than its message, a length below NULL's, a name without an end, gigabytes behind the last value."""
    held = LongMessage(Opened(b"B", (1 << 30) - 1), Memory())
    with pytest.raises(PeerError):
        for start in range(0, len(body), STREAM_OVER):
            held.feed(body[start : start + STREAM_OVER])


def test_without_room_the_message_is_read_past_and_nothing_of_it_is_kept() -> None:
    spool = Memory(room=1 << 20)
    data = Bind("", "", (), (b"x" * (3 << 20),)).encode()
    intake = Intake(spool)
    got = []
    for start in range(0, len(data + encode(b"S")), 65_536):
        intake.feed((data + encode(b"S"))[start : start + 65_536])
        got += list(iter(intake.next_message, None))
    assert got[0].failure == "full" and got[0].spool is None and spool.closed == 1 and got[1:] == [Frame(b"S", b"")]


def test_without_a_spool_long_values_are_refused() -> None:
    intake = Intake()
    intake.feed(encode(b"B", bytes(BIG)))
    assert list(iter(intake.next_message, None)) == [TooLarge(b"B", BIG)]


def test_a_session_that_ends_in_the_middle_forgets_what_was_spooled() -> None:
    spool = Memory()
    intake = Intake(spool)
    intake.feed(encode_head(b"B", BIG) + b"p\0s\0")
    assert intake.next_message() is None and spool.opened == 1
    intake.discard()
    assert spool.closed == 1
