"""Events to chunks: whole, in order, bounded."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from protocols.recording import CHUNK_LIMIT, EVENTS_LIMIT, Chunk, Code, Recorder

EVENTS = st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from(Code), st.integers(0, 3 * CHUNK_LIMIT // 2)), max_size=12)


@given(EVENTS, st.sets(st.integers(0, 11)))
def test_chunks_hold_every_byte_in_order_and_no_more_than_their_limit(events: list[tuple[int, Code, int]], turns: set[int]) -> None:
    """Numbers without a gap, time that never runs backwards, and totals that say so."""
    recorder, chunks, whole = Recorder(7, 2, 5), [], {code: b"" for code in Code}
    for place, (micros, code, size) in enumerate(events):
        data = bytes([place]) * size
        recorder.event(micros, code, data)
        whole[code] += data
        if place in turns:
            chunks += recorder.take()
    chunks += recorder.take()
    ended = recorder.ended(0)
    assert [chunk.number for chunk in chunks] == list(range(ended.chunks)) and not recorder.pending
    assert all(0 < len(chunk.events) <= EVENTS_LIMIT and chunk.bytes <= CHUNK_LIMIT for chunk in chunks)
    flat = [event for chunk in chunks for event in chunk.events]
    assert [micros for micros, _, _ in flat] == sorted(micros for micros, _, _ in flat)
    for code in Code:
        assert b"".join(data for _, said, data in flat if said is code) == whole[code]
    shown = b"".join(data for _, code, data in flat if code in "oen")
    assert (ended.output, ended.input, ended.digest) == (len(shown), len(whole[Code.INPUT]), sha256(shown).digest())
    assert ended.micros == max([0, *(micros for micros, _, _ in events)])


def test_many_small_events_are_cut_too() -> None:
    """A program that writes byte by byte."""
    recorder = Recorder(1, 0)
    for micros in range(EVENTS_LIMIT + 10):
        recorder.event(micros, Code.OUTPUT, b".")
    chunks = recorder.take()
    assert [len(chunk.events) for chunk in chunks] == [EVENTS_LIMIT, 10]
    assert isinstance(chunks[0], Chunk) and (chunks[0].recording, chunks[0].channel, chunks[0].command) == (1, 0, 0)
