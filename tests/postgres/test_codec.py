"""Bytes to frames: captured ones four ways, and what must never be buffered."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalError, PeerError
from protocols.postgres import codec
from protocols.postgres.codec import STREAM_OVER, Frame, FrameReader, Opened, encode, encode_startup
from tests.postgres.captured import CLIENT, OPENINGS, TARGET

VECTORS = {f"{side}: {name}": raw for side, all_ in (("C", CLIENT), ("T", TARGET)) for name, (raw, _) in all_.items()}

ROW = encode(b"D", b"\0\1\0\0\0\4abcd")


def drain(reader: FrameReader) -> list[Frame]:
    frames: list[Frame] = []
    while (frame := reader.next_frame()) is not None:
        assert isinstance(frame, Frame)
        frames.append(frame)
    return frames


@pytest.mark.parametrize("raw", VECTORS.values(), ids=VECTORS)
class TestCaptured:
    def test_whole(self, raw: bytes) -> None:
        reader = FrameReader()
        reader.feed(raw)
        assert drain(reader) == [Frame(raw[:1], raw[5:])] and not len(reader)

    def test_byte_by_byte(self, raw: bytes) -> None:
        """Nothing comes before the last byte."""
        reader = FrameReader()
        for byte in raw[:-1]:
            reader.feed(bytes((byte,)))
            assert reader.next_frame() is None
        reader.feed(raw[-1:])
        assert drain(reader) == [Frame(raw[:1], raw[5:])]

    @pytest.mark.parametrize("begun", [1, 4, 5, 7])
    def test_with_the_next_begun(self, raw: bytes, begun: int) -> None:
        """The rest waits, and what is taken next is right."""
        reader = FrameReader()
        reader.feed(raw + ROW[:begun])
        assert drain(reader) == [Frame(raw[:1], raw[5:])] and len(reader) == begun
        reader.feed(ROW[begun:])
        assert drain(reader) == [Frame(b"D", ROW[5:])]

    def test_encoded_back(self, raw: bytes) -> None:
        assert encode(raw[:1], raw[5:]) == raw == encode(*Frame(raw[:1], raw[5:]))


@pytest.mark.parametrize("raw", [raw for raw, _ in OPENINGS.values()], ids=OPENINGS)
@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_openings(raw: bytes, step: int) -> None:
    """Frames without a tag, in any pieces."""
    reader, taken = FrameReader(), []
    for at in range(0, len(raw), step):
        reader.feed(raw[at : at + step])
        if (body := reader.next_startup()) is not None:
            taken.append(body)
    assert taken == [raw[4:]] and encode_startup(taken[0]) == raw


def test_a_limit_is_checked_before_buffering() -> None:
    """Five bytes are enough to refuse a 2 GiB promise."""
    reader = FrameReader(limit=16)
    reader.feed(b"Q\x7f\xff\xff\xff")
    with pytest.raises(PeerError):
        reader.next_frame()


@pytest.mark.parametrize("length", [0, 1, 3, 0x80000000, 0xFFFFFFFF])
def test_impossible_lengths(length: int) -> None:
    """Less than the length's own four bytes, and what would be negative."""
    reader = FrameReader()
    reader.feed(b"Q" + length.to_bytes(4, "big") + b"select 1\0")
    with pytest.raises(PeerError):
        reader.next_frame()


@pytest.mark.parametrize("length", [0, 4, 7, 10_001, 0x47455420, 0xFFFFFFFF])
def test_impossible_startup_lengths(length: int) -> None:
    """Too short for a version, too long for a server, and "GET " of HTTP."""
    reader = FrameReader()
    reader.feed(length.to_bytes(4, "big"))
    with pytest.raises(PeerError):
        reader.next_startup()


def test_limits_are_per_tag() -> None:
    """A tag's own limit replaces the general one, upward and downward."""
    reader = FrameReader({ord("p"): 3, ord("B"): 20}, limit=8)
    for tag, length, good in [("p", 3, True), ("p", 4, False), ("B", 20, True), ("B", 21, False), ("Q", 9, False)]:
        fresh = FrameReader({ord("p"): 3, ord("B"): 20}, limit=8)
        fresh.feed(encode(tag.encode(), b"x" * length))
        if good:
            assert drain(fresh)
        else:
            with pytest.raises(PeerError):
                drain(fresh)
    reader.feed(encode(b"B", b"x" * 20)[:5])
    assert reader.peek_header() == (b"B", 20) and len(reader) == 5


def test_errors_say_where() -> None:
    """The offset counts from the connection's first byte."""
    reader = FrameReader()
    reader.feed(ROW + ROW + b"Q\0\0\0\1")
    drain_two = [reader.next_frame(), reader.next_frame()]
    assert len(drain_two) == 2
    with pytest.raises(PeerError) as caught:
        reader.next_frame()
    assert caught.value.offset == 2 * len(ROW) + 1


def test_nothing_to_read_is_no_head() -> None:
    reader = FrameReader()
    assert reader.peek_header() is None and reader.next_startup() is None and reader.next_run() is None


# -- large bodies -----------------------------------------------------------------------------------


def streaming() -> FrameReader:
    return FrameReader(streamed=codec.ROWS)


def test_a_large_row_comes_in_pieces() -> None:
    """Opened by its head alone; every byte of the body, none of what follows."""
    body = bytes(range(256)) * 4096
    reader, got = streaming(), bytearray()
    whole = encode(b"D", body) + ROW
    reader.feed(whole[:5])
    assert reader.next_frame() == Opened(b"D", len(body)) and reader.body_left == len(body)
    for at in range(5, len(whole), 65_521):
        reader.feed(whole[at : at + 65_521])
        while piece := reader.body_chunk(10_000):
            got += piece
    assert got == body and reader.body_left == 0
    assert drain(reader) == [Frame(b"D", ROW[5:])]


def test_the_next_frame_waits_for_the_body() -> None:
    """Forgetting a body would read its bytes as frames; it is our bug, and loud."""
    reader = streaming()
    reader.feed(codec.encode_head(b"d", STREAM_OVER + 1) + ROW)
    assert isinstance(reader.next_frame(), Opened)
    assert reader.next_run() is None
    with pytest.raises(RuntimeError):
        reader.next_frame()


def test_a_body_of_the_threshold_is_whole() -> None:
    """And other tags never stream: over the limit, they are refused."""
    reader = streaming()
    reader.feed(encode(b"D", bytes(STREAM_OVER)))
    assert isinstance(reader.next_frame(), Frame)
    reader.feed(codec.encode_head(b"C", codec.BODY_LIMIT + 1))
    with pytest.raises(PeerError):
        reader.next_frame()


def test_memory_stays_flat_under_a_large_stream() -> None:
    """64 MiB of one row pass through a reader that holds a read's worth."""
    reader, piece = streaming(), bytes(64 << 10)
    reader.feed(codec.encode_head(b"D", 64 << 20))
    assert isinstance(reader.next_frame(), Opened)
    tracemalloc.start()
    for _ in range(1024):
        reader.feed(piece)
        while reader.body_chunk():
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.body_left == 0 and peak < 1 << 20


# -- runs -------------------------------------------------------------------------------------------


def test_a_run_of_rows_is_one_piece() -> None:
    """Up to another tag, a large body or an unfinished frame."""
    for behind, left in [(encode(b"C", b"SELECT 3\0"), 14), (ROW[:-1], len(ROW) - 1), (b"", 0)]:
        reader = streaming()
        reader.feed(ROW * 3 + behind)
        run = reader.next_run()
        assert run is not None and (run.count, run.data) == (3, ROW * 3) and len(reader) == left
        assert reader.next_run() is None


def test_a_run_stops_at_a_large_or_a_wrong_row() -> None:
    """The reader then opens the one, and refuses the other."""
    reader = streaming()
    reader.feed(ROW + encode(b"D", bytes(STREAM_OVER + 1)))
    assert reader.next_run() == codec.Run(1, ROW)
    assert reader.next_run() is None and isinstance(reader.next_frame(), Opened)
    wrong = streaming()
    wrong.feed(ROW + b"D\0\0\0\3")
    assert wrong.next_run() == codec.Run(1, ROW)
    with pytest.raises(PeerError):
        wrong.next_frame()


def test_has_waiting_looks_behind() -> None:
    """A whole Terminate behind others is seen; a begun one is not; nothing is taken."""
    reader = FrameReader()
    reader.feed(ROW + ROW + b"X\0\0\0")
    assert not reader.has_waiting(b"X")
    reader.feed(b"\4")
    assert reader.has_waiting(b"X") and len(reader) == 2 * len(ROW) + 5


# -- speed by construction, and anything at all -------------------------------------------------------


def test_a_huge_buffer_is_walked_in_linear_time() -> None:
    """Bytes moved inside the buffer stay in proportion to bytes fed, whatever the pieces."""
    moved = 0

    class Counting(bytearray):
        def __init__(self, source: memoryview) -> None:
            nonlocal moved
            moved += len(source)
            super().__init__(source)

    original, codec.bytearray = bytearray, Counting  # type: ignore[attr-defined]
    try:
        reader, fed = FrameReader(), 0
        reader.feed(ROW * 100_000)  # a backlog that grows while it is slowly eaten
        for _ in range(2000):
            reader.feed(ROW * 3)
            fed += 3
            for _ in range(50):
                assert reader.next_frame() is not None
    finally:
        codec.bytearray = original  # type: ignore[attr-defined]
    assert moved < 4 * (100_000 + fed) * len(ROW)


@given(st.lists(st.binary(max_size=64), max_size=20), st.booleans())
def test_any_bytes_give_frames_or_a_peer_error(pieces: list[bytes], stream: bool) -> None:
    """Nothing else is raised, and what was taken is what was fed."""
    reader = FrameReader(limit=300, streamed=codec.ROWS if stream else frozenset())
    fed, taken = b"".join(pieces), b""
    try:
        for piece in pieces:
            reader.feed(piece)
            while (frame := reader.next_frame()) is not None:
                if isinstance(frame, Opened):
                    taken += codec.encode_head(*frame)
                    break
                taken += encode(*frame)
            if reader.body_left:
                taken += reader.body_chunk()
                break
    except PeerError:
        return
    assert fed.startswith(taken)


@given(st.lists(st.tuples(st.sampled_from(b"QPBDCdS"), st.binary(max_size=90)), max_size=30), st.integers(1, 50))
def test_any_split_gives_the_same_frames(frames: list[tuple[int, bytes]], step: int) -> None:
    """Where the network cuts does not matter."""
    made = [Frame(bytes((tag,)), body) for tag, body in frames]
    stream, reader, got = b"".join(encode(*frame) for frame in made), FrameReader(), []
    for at in range(0, len(stream), step):
        reader.feed(stream[at : at + step])
        got += drain(reader)
    assert got == made


def taken_in_runs(reader: FrameReader) -> list[Frame]:
    """As the relay takes them: rows of one kind by the run, all else one by one."""
    frames: list[Frame] = []
    while True:
        tag = reader.tag
        if tag in codec.ROWS and (run := reader.next_run(frozenset((tag,)))) is not None:
            inner = FrameReader()
            inner.feed(run.data)
            found = drain(inner)
            assert len(found) == run.count and {frame.tag[0] for frame in found} == {tag} and not len(inner)
            frames += found
        elif (frame := reader.next_frame()) is not None:
            frames.append(frame)
        else:
            return frames


@given(
    st.lists(st.tuples(st.sampled_from(b"DDDddQC"), st.binary(max_size=40)), max_size=40), st.lists(st.integers(1, 300), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_portions_of_a_read_are_the_read(frames: list[tuple[int, bytes]], sizes: list[int], takes: list[bool]) -> None:
    """In their order, whether or not what came before was taken in between: no message is lost, doubled or taken for a row."""
    made = [Frame(bytes((tag,)), body) for tag, body in frames]
    stream, reader, got, at, fed = b"".join(encode(*frame) for frame in made), FrameReader(), [], 0, 0
    while at < len(stream):
        read = stream[at : at + sizes[fed % len(sizes)]]
        at += len(read)
        portions = reader.portions(read)
        assert b"".join(portions) == read
        for portion in portions:
            reader.feed(portion)
            fed += 1
            if takes[fed % len(takes)]:
                got += taken_in_runs(reader)
    assert got + taken_in_runs(reader) == made


def test_a_statement_behind_rows_is_never_taken_for_one_of_them() -> None:
    """Rows that were counted before anybody took them are not all that there is by then."""
    reader, statement = FrameReader(), encode(b"Q", b"drop table t\0")
    reader.feed(ROW[:7])
    for portion in reader.portions(ROW[7:] + ROW * 2 + statement):
        reader.feed(portion)
    assert reader.next_run() == (3, ROW * 3) and reader.next_frame() == Frame(b"Q", statement[5:])


def test_a_row_too_large_to_hold_is_in_no_portion() -> None:
    reader, row = FrameReader(streamed=codec.ROWS), encode(b"D", bytes(STREAM_OVER + 1))
    reader.feed(row[:7])
    for portion in reader.portions(row[7:] + ROW + ROW[:3]):
        reader.feed(portion)
    assert reader.count_run() == 0 and isinstance(reader.next_frame(), Opened)


def test_a_frame_that_cannot_be_sent_is_ours() -> None:
    with pytest.raises(LocalError):
        codec.encode_head(b"d", 1 << 31)


def test_take_all_is_for_the_next_reader() -> None:
    reader = FrameReader()
    reader.feed(ROW + b"behind")
    drain_one = reader.next_frame()
    assert drain_one == Frame(b"D", ROW[5:]) and reader.take_all() == b"behind" and not len(reader)


def test_what_is_taken_between_two_that_go_on_cannot_go_on_with_them() -> None:
    """A hidden answer would reach the client in the middle of a stretch."""
    first, hidden, last = encode(b"1"), encode(b"T", b"secret"), encode(b"D", b"\0\0")
    reader = FrameReader()
    reader.feed(first + hidden + last)
    reader.next_frame()
    reader.keep()
    reader.next_frame()
    reader.next_frame()
    with pytest.raises(AssertionError, match="between"):
        reader.keep()
    assert reader.kept() == first
    reader.keep()
    assert reader.kept() == last and reader.kept() == b""


def test_neighbours_that_go_on_are_one_piece() -> None:
    """Frames and runs of them, in a buffer of either kind."""
    parts = [encode(b"2"), encode(b"D", b"\0\0") * 3, encode(b"C", b"SELECT 3\0")]
    for cut in (0, 3):
        reader = FrameReader()
        reader.feed(b"".join(parts)[:cut])
        reader.feed(b"".join(parts)[cut:])
        reader.next_frame()
        reader.keep()
        assert reader.count_run(frozenset(b"D")) == 3 and reader.taken == parts[1]
        reader.keep()
        reader.next_frame()
        reader.keep()
        assert reader.kept() == b"".join(parts)
