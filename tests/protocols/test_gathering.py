"""Reads that end inside a row go on together: what a client gets, and when, whatever the network does to it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from protocols import gathering as room
from protocols.gathering import ENOUGH, LONGEST, MUCH, PATIENCE, PLENTY, SMALL, Gathering
from protocols.postgres import replies
from protocols.postgres.codec import STREAM_OVER, FrameReader, encode, lacks_behind
from protocols.result import Outcome
from tests.protocols.scene import READY, Addons, Scene, in_reads, query

ROW = encode(b"D", b"\0\1\0\0\0\x60" + bytes(96))
COPIED = encode(b"d", b"x" * 113)
DONE = replies.CommandComplete("SELECT 1").encode() + READY


class Remembering(Addons):
    """Keeps what came of each command."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Outcome] = []

    def ended(self, decision: Any, outcome: Outcome) -> None:
        self.all.append(outcome)


def asked(text: str = "SELECT 1") -> Scene:
    """A command is on its way."""
    scene = Scene()
    scene.adapter.client_data(query(text))
    scene.durable()
    return scene


# -- in time -----------------------------------------------------------------------------


def test_rows_that_end_inside_a_row_wait_for_its_rest_and_go_on_as_one() -> None:
    scene = asked()
    first, rest = (ROW * 100)[: SMALL + 7], (ROW * 100)[SMALL + 7 :]
    scene.adapter.target_data(first)
    assert scene.client.value() == b""
    scene.adapter.target_data(rest + DONE)
    assert scene.client.value() == ROW * 100 + DONE and not scene.clock.getDelayedCalls()


def test_rows_wait_no_longer_than_they_may() -> None:
    """A server that takes its time over the rest of a row keeps none of the whole ones from the client."""
    scene = asked()
    scene.adapter.target_data((ROW * 100)[:-3])
    scene.clock.advance(LONGEST)
    assert scene.client.value() == ROW * 99
    scene.adapter.target_data(ROW[-3:] + DONE)
    assert scene.client.value() == ROW * 100 + DONE


@pytest.mark.parametrize("end", [b"", DONE, READY, encode(b"N", b"Mx\0\0"), encode(b"C", b"SELECT 1\0")], ids=len)
@pytest.mark.parametrize("row", [ROW, COPIED], ids=["row", "copied"])
def test_an_answers_end_is_never_delayed(row: bytes, end: bytes) -> None:
    """However it is cut off from what was before it: a read that ends between two messages passes at once."""
    stream = row * 200
    for cut in range(SMALL, SMALL + len(row)):
        scene = asked("COPY t TO STDOUT")
        scene.adapter.target_data(stream[:cut])
        scene.adapter.target_data(stream[cut:] + end)
        assert scene.client.value().startswith(stream + end) and not scene.clock.getDelayedCalls()


def test_a_small_read_is_never_delayed() -> None:
    scene = asked()
    scene.adapter.target_data((ROW * 10)[:-1])
    assert scene.client.value() == ROW * 9


def test_what_is_gathered_is_bounded() -> None:
    """By one read over ENOUGH, though no read of them ever ends a row."""
    shown: list[bytes] = []
    clock = Clock()
    gathering = Gathering(clock.callLater, lambda data: bool(data), shown.append, lambda least: None)
    for _ in range(100):
        gathering.add(bytes(8192))
    assert {len(data) for data in shown} == {ENOUGH}
    gathering.flush()
    assert sum(map(len, shown)) == 100 * 8192 and not clock.getDelayedCalls()


# -- behind much of one answer ---------------------------------------------------------------


def deep(row: bytes = ROW) -> tuple[Scene, bytes]:
    """MUCH of an answer has come and ends inside a row; what has come."""
    scene = asked("COPY t TO STDOUT")
    count = 0
    while scene.target.least == 1:
        stream = row * 1000
        stream = stream[7:] if count else stream
        scene.adapter.target_data(stream + row[:7])
        count += 1
    return scene, row * (1000 * count)


@pytest.mark.parametrize("row", [ROW, COPIED], ids=["row", "copied"])
def test_behind_much_of_one_answer_the_system_gathers(row: bytes) -> None:
    """Everything whole was shown before, and goes on being shown, read by read, to the end; then reads are as they were."""
    scene, came = deep(row)
    assert len(came) >= MUCH and scene.target.least == PLENTY and scene.client.value() == came
    scene.adapter.target_data(row[7:] + row * 1000 + row[:3])
    assert scene.client.value() == came + row * 1001 and scene.target.least == PLENTY
    scene.adapter.target_data(row[3:] + DONE)
    assert scene.client.value() == came + row * 1002 + DONE
    assert scene.target.least == 1 and not scene.clock.getDelayedCalls()


def test_the_last_of_a_large_answer_waits_no_longer_than_it_may() -> None:
    """Nobody can tell that it is the last: if too little comes, what there is is taken, and the next read is waited for again."""
    scene, came = deep()
    scene.clock.advance(PATIENCE)
    assert scene.target.least == 1
    scene.adapter.target_data(ROW[7:] + ROW[:9])
    assert scene.client.value() == came + ROW and scene.target.least == PLENTY
    scene.clock.advance(PATIENCE)
    assert scene.target.least == 1
    scene.adapter.target_data(ROW[9:] + DONE)
    assert scene.client.value() == came + ROW * 2 + DONE and scene.target.least == 1 and not scene.clock.getDelayedCalls()


def test_each_read_of_a_large_answer_has_its_own_patience() -> None:
    """What comes in time is not taken for late."""
    scene, _ = deep()
    for _ in range(5):
        scene.clock.advance(PATIENCE * 0.9)
        scene.adapter.target_data(ROW[7:] + ROW[:7])
        assert scene.target.least == PLENTY


def test_a_read_that_ends_with_a_row_is_not_taken_for_the_answers_end() -> None:
    """Where rows are narrow many a read does: their answer is large all the same, and stays so."""
    scene = asked()
    row = encode(b"D", b"\0\1\0\0\0\x2e" + bytes(46))
    for read in in_reads(row * (2 * MUCH // len(row)), [144 * len(row)]):
        scene.adapter.target_data(read)
    assert scene.target.least == PLENTY
    scene.clock.advance(PATIENCE)
    scene.adapter.target_data(row)
    assert scene.target.least == PLENTY
    scene.adapter.target_data(DONE)
    assert scene.target.least == 1 and scene.client.value().endswith(row + DONE) and not scene.clock.getDelayedCalls()


@pytest.mark.parametrize("rows", [1000, 1040], ids=["a small last read", "a larger one"])
def test_many_answers_that_are_not_large_are_never_waited_for(rows: int) -> None:
    """Ten times MUCH in answers of 100 KiB: each one's end is shown at once."""
    scene = asked()
    for _ in range(10 * MUCH // (100 << 10)):
        scene.adapter.client_data(query("SELECT 1"))
        scene.durable()
        scene.client.clear()
        for read in in_reads(ROW * rows + DONE, [8192]):
            scene.adapter.target_data(read)
            assert scene.target.least == 1
        assert scene.client.value() == ROW * rows + DONE


@pytest.mark.parametrize("how", ["closed", "malformed"])
def test_a_session_that_ended_waits_for_nothing(how: str) -> None:
    """Its target's goodbye is read when it comes; no timer stays."""
    scene, _ = deep()
    if how == "closed":
        scene.adapter.close("killed")
    else:
        scene.adapter.target_data(ROW[7:] + encode(b"D", b"\0\1") + b"D\0\0\0\1" + ROW[:7])
    assert scene.target.closed and scene.target.least == 1
    assert not [call for call in scene.clock.getDelayedCalls() if call.getTime() < 1]


# -- at the end --------------------------------------------------------------------------


def test_what_a_target_said_before_it_left_reaches_the_client() -> None:
    scene = asked()
    scene.adapter.target_data((ROW * 100)[:-3])
    scene.adapter.target_lost()
    assert scene.client.value().startswith(ROW * 99 + b"E")


def test_a_session_that_ended_shows_nothing_more() -> None:
    """Killed while rows waited: the client gets its farewell, and no row behind it."""
    scene = asked()
    scene.adapter.target_data((ROW * 100)[:-3])
    scene.adapter.close("killed", "killed")
    said = scene.client.value()
    scene.clock.advance(LONGEST)
    assert said[:1] == b"E" and scene.client.value() == said


def test_rows_behind_those_that_wait_for_evidence_stay_behind_them() -> None:
    scene = asked()
    scene.ledger.full = True
    scene.adapter.target_data((ROW * 100)[:-3])
    scene.clock.advance(LONGEST)
    scene.adapter.target_data(ROW[-3:] + (ROW * 100)[:-3])
    assert scene.client.value() == b""
    scene.ledger.drain()
    scene.adapter.target_data(ROW[-3:] + DONE)
    assert scene.client.value() == ROW * 200 + DONE


# -- however it is cut -------------------------------------------------------------------


@settings(deadline=None)
@given(
    much=st.sampled_from([1, MUCH]),
    sizes=st.lists(st.integers(1, 20_000) | st.sampled_from([8192, 8192 * 3, 70_000]), min_size=1, max_size=8),
    bodies=st.lists(st.sampled_from([1, 113, 113, 5000]), min_size=1, max_size=6),
    large=st.booleans(),
    waits=st.integers(0, 3),
)
def test_any_cut_of_a_copy_gives_the_same_bytes_and_the_same_outcome(
    much: int, sizes: list[int], bodies: list[int], large: bool, waits: int
) -> None:
    """Rows, bytes and digest are exact; nothing is lost, doubled or told twice, with pauses between the reads, and large from the start."""
    content = [bytes([65 + index]) * size for index, size in enumerate(bodies)] * 10
    if large:
        content.insert(len(content) // 2, b"z" * (STREAM_OVER + 9))
    stream = encode(b"H", b"\0\0\0") + b"".join(encode(b"d", one) for one in content) + encode(b"c") + DONE
    scene, said = asked("COPY t TO STDOUT"), Remembering()
    scene.adapter._addons = said
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MUCH", much)
        patch.setattr(room, "ENOUGH", min(much, ENOUGH))
        for index, data in enumerate(in_reads(stream, [*sizes, 8192])):
            scene.adapter.target_data(data)
            if waits and index % waits == 0:
                scene.clock.advance(PATIENCE)
    assert scene.client.value() == stream
    [outcome] = said.all
    assert outcome.rows == len(content) and outcome.copied_bytes == sum(map(len, content))
    assert outcome.copied_sha256 == hashlib.sha256(b"".join(content)).digest()


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=30), st.data())
def test_what_a_cut_row_lacks_is_told_by_its_head(bodies: list[int], data: Any) -> None:
    stream = b"".join(encode(b"D", bytes(size)) for size in bodies)
    cut = data.draw(st.integers(0, len(stream)))
    ends = [0]
    for size in bodies:
        ends.append(ends[-1] + size + 5)
    begun = max(end for end in ends if end <= cut)
    expected = 0 if begun == cut else -1 if cut - begun < 5 else min(end for end in ends if end > cut) - cut
    assert lacks_behind(stream[:cut], 0) == expected
    reader = FrameReader()
    reader.feed(stream[:cut])
    while reader.count_run():
        pass
    assert reader.lacks == expected


@pytest.mark.parametrize("end", [b"Z\0\0\0\5", b"D\0\0\0\3", b"D\xff\xff\xff\xff", b"E\0\0\1\0S", b"D\0\0"])
def test_nothing_waits_behind_what_is_no_row_or_no_length(end: bytes) -> None:
    assert lacks_behind(ROW * 3 + end, 0) <= 0
