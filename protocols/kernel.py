"""
Byte loops over rows: counting and masking DataRow messages. Nothing else in Python runs per row.

One file for two speeds: interpreted as it stands, compiled later without a second text.
Source: PostgreSQL 18 manual, 54.7, DataRow: "D", int32 length, int16 columns, then for
each int32 length (-1 is NULL) and that many bytes.
"""

from __future__ import annotations

from struct import Struct

from protocols.errors import PeerError
from protocols.result import NULL, CellMask

_HEAD = Struct("!cIH")  # tag, length (counts itself, not the tag), columns
_CELL = Struct("!i")  # bytes of the value; -1 is NULL
_LENGTH = Struct("!I")
_NULL = b"\xff\xff\xff\xff"


def mask_rows(rows: bytes | memoryview, masks: tuple[CellMask, ...]) -> tuple[bytes, int]:
    """
    Put masks into a run of whole DataRow messages.

    :returns: the run with masked cells replaced, and how many cells were. NULL stays NULL.
    :raises PeerError: a length does not add up, or a row has not as many columns as `masks`.
    """
    encoded = [None if m is None else _NULL if m is NULL else _CELL.pack(len(m)) + m for m in masks]
    out, start, end, masked = bytearray(), 0, len(rows), 0
    while start < end:
        row, start, count = _mask_row(rows, start, end, encoded)
        out += row
        masked += count
    return bytes(out), masked


def _mask_row(
    rows: bytes | memoryview, start: int, end: int, masks: list[bytes | None]
) -> tuple[bytes, int, int]:
    """One row's bytes, where the next begins, and how many cells were masked."""
    if end - start < _HEAD.size:
        raise PeerError("row cut short", offset=start)
    tag, length, columns = _HEAD.unpack_from(rows, start)
    stop = start + 1 + length
    if tag != b"D" or stop > end or columns != len(masks):
        raise PeerError("row does not fit its description", offset=start)
    here, clear_from, masked, parts = start + _HEAD.size, start + 5, 0, []
    for mask in masks:
        if here + 4 > stop:
            raise PeerError("cell outside its row", offset=here)
        (size,) = _CELL.unpack_from(rows, here)
        after = here + 4 + max(size, 0)
        if after > stop or size < -1:
            raise PeerError("cell outside its row", offset=here)
        if mask is not None and size >= 0:
            parts += rows[clear_from:here], mask
            clear_from, masked = after, masked + 1
        here = after
    if here != stop:
        raise PeerError("bytes behind the last cell", offset=here)
    parts.append(rows[clear_from:stop])
    body = b"".join(parts)
    return b"D" + _LENGTH.pack(len(body) + 4) + body, stop, masked


def payload(frames: bytes) -> bytes:
    """
    What a run of whole CopyData messages carries, without their heads.

    :raises PeerError: a length does not add up.
    """
    parts, start, end = [], 0, len(frames)
    while start < end:
        if end - start < 5:
            raise PeerError("message cut short", offset=start)
        (length,) = _LENGTH.unpack_from(frames, start + 1)
        stop = start + 1 + length
        if length < 4 or stop > end:
            raise PeerError("message outside its run", offset=start)
        parts.append(frames[start + 5 : stop])
        start = stop
    return b"".join(parts)
