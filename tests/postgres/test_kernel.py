"""The byte loops over rows: the same as cell by cell, for any rows, and nothing but PeerError for any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalError, PeerError
from protocols.kernel import mask_rows, payload, scan
from protocols.postgres.codec import encode
from protocols.postgres.replies import DataRow
from protocols.result import NULL, CellMask

CELL = st.none() | st.binary(max_size=40)
MASK = st.none() | st.just(NULL) | st.binary(max_size=8)
TABLE = st.integers(0, 6).flatmap(
    lambda width: st.tuples(
        st.lists(st.lists(CELL, min_size=width, max_size=width).map(tuple), max_size=8),
        st.lists(MASK, min_size=width, max_size=width).map(tuple),
    )
)


def slowly(rows: list[tuple[bytes | None, ...]], masks: tuple[CellMask, ...]) -> tuple[bytes, int]:
    """What masking means, cell by cell."""
    out, count = b"", 0
    for row in rows:
        cells: list[bytes | None] = []
        for cell, mask in zip(row, masks):
            hit = cell is not None and mask is not None
            count += hit
            cells.append(cell if not hit else None if mask is NULL else mask)  # type: ignore[arg-type]
        out += DataRow(tuple(cells)).encode()
    return out, count


@given(TABLE)
def test_masking_is_what_it_means_cell_by_cell(table: tuple[list[tuple[bytes | None, ...]], tuple[CellMask, ...]]) -> None:
    """NULL stays NULL and is not counted; clear cells keep every byte."""
    rows, masks = table
    run = b"".join(DataRow(row).encode() for row in rows)
    assert mask_rows(run, masks) == mask_rows(memoryview(run), masks) == slowly(rows, masks)


@given(st.binary(max_size=60), st.lists(MASK, max_size=4))
def test_any_bytes_are_rows_or_the_peers_fault(data: bytes, masks: list[CellMask]) -> None:
    """Nothing else is raised, with and without the head of a row."""
    for run in (data, encode(b"D", data)):
        try:
            mask_rows(run, tuple(masks))
        except PeerError:
            pass


GOOD = DataRow((b"ab", None)).encode()


@pytest.mark.parametrize(
    "run",
    [
        GOOD[:3], GOOD[:-1], b"d" + GOOD[1:], GOOD + b"D", GOOD[:7] + b"\0\0\1\0" + GOOD[11:],  # cut, another tag, a cell past the end
        encode(b"D", b"\0\3" + GOOD[7:]), encode(b"D", b"\0\1" + GOOD[7:]),  # more columns, fewer
        encode(b"D", GOOD[5:] + b"x"), encode(b"D", b"\0\2\xff\xff\xff\xfe\xff\xff\xff\xff"),  # bytes behind, a length of -2
        b"D\0\0\0\2\0\2", b"D\xff\xff\xff\xff\0\2",
    ],
)  # fmt: skip
def test_a_row_that_does_not_add_up_passes_nothing(run: bytes) -> None:
    """A length that lies could show a cell where a mask was meant."""
    with pytest.raises(PeerError):
        mask_rows(GOOD + run, (b"***", b"***"))


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_the_payload_of_copy_data_is_its_bodies(bodies: list[bytes]) -> None:
    """What is digested is what was copied, however it was cut into messages."""
    run = b"".join(encode(b"d", body) for body in bodies)
    assert payload(run) == b"".join(bodies)
    for around in (b"before" + run + b"behind", bytearray(b"before" + run + b"behind")):  # where it lies in what was read
        assert payload(around, 6, 6 + len(run)) == b"".join(bodies)


@pytest.mark.parametrize("span", [(-1, 5), (3, 2), (0, 11)])
def test_a_span_outside_what_was_read_is_nobodys_payload(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        payload(encode(b"d", b"hello"), *span)


@given(st.binary(max_size=30))
def test_any_bytes_are_copy_data_or_the_peers_fault(data: bytes) -> None:
    """Nothing else is raised."""
    try:
        payload(data)
    except PeerError:
        pass


def test_scan_makes_its_way_from_an_offset() -> None:
    """Counts and ends inside any buffer; `stop` is respected, and so are the tags, one of them or several."""
    buffer, d, both, row = bytearray(b"xx" + GOOD * 4), frozenset(b"d"), frozenset(b"Dd"), len(GOOD)
    assert scan(buffer, 2, len(buffer), both, 99) == (4, len(buffer))
    assert scan(memoryview(buffer), 2, len(buffer) - 1, both, 99) == (3, len(buffer) - row)
    assert scan(bytes(buffer), 2 + row, len(buffer), frozenset(b"D"), 99) == (3, len(buffer))
    assert scan(buffer, 2, len(buffer), d, 99) == scan(buffer, 2, 2, both, 99) == (0, 2)
    mixed = GOOD + encode(b"d", b"abc") + GOOD + b"C"
    assert scan(mixed, 0, len(mixed), both, 99) == (3, len(mixed) - 1)
    assert scan(mixed, 0, len(mixed), frozenset(b"D"), 99) == (1, row)


@pytest.mark.parametrize("length", [0, 3, 13 + 4, 0x7FFFFFFF, 0xFFFFFFFF])
def test_scan_ends_before_a_length_that_is_wrong_or_too_large(length: int) -> None:
    """Below its own four bytes, above `largest`, beyond the buffer."""
    bad = GOOD + b"D" + length.to_bytes(4, "big") + bytes(20)
    largest = len(GOOD) - 5 if length == 13 + 4 else 1 << 40
    assert scan(bad, 0, len(bad), frozenset(b"D"), largest) == (1, len(GOOD))


@pytest.mark.parametrize("span", [(-1, 3), (0, 6), (4, 3), (6, 6)])
def test_a_span_outside_its_buffer_is_our_own_bug(span: tuple[int, int]) -> None:
    """No byte outside is ever read."""
    with pytest.raises(ValueError, match="span"):
        scan(b"Dxxxx", *span, frozenset(b"D"), 9)


def test_a_row_that_no_length_could_name_is_not_made() -> None:
    """Refused before room is taken for it."""
    with pytest.raises(LocalError):
        mask_rows(DataRow((b"a",) * 2100).encode(), (bytes(1 << 20),) * 2100)
