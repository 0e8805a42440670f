# cython: language_level=3, boundscheck=False, wraparound=False
"""
Byte loops over rows: walking, counting and masking DataRow messages. Nothing else in Python runs per row.

One text for two speeds. It runs as it stands; setup.py also compiles it, as `protocols._kernel`, which is used
where it was built unless OSTIARY_PURE is set. There, what holds bytes is a bare pointer: in both, each read
stands behind the check that it lies inside.

Source: PostgreSQL 18 manual, 54.7, DataRow: "D", int32 length, int16 columns, then for
each int32 length (-1 is NULL) and that many bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from os import environ
from struct import Struct

from protocols.errors import LocalError, PeerError
from protocols.result import NULL, CellMask

try:
    import cython
except ImportError:

    class cython:  # type: ignore[no-redef]  # noqa: N801
        """What this text needs of Cython where it is not installed."""

        compiled, cfunc = False, staticmethod(lambda function: function)


if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcpy

_LENGTH = Struct("!I")  # of a message: counts itself, not the tag
_CELL = Struct("!i")  # bytes of the value; -1 is NULL
_unpack_length, _unpack_cell, _pack_length = _LENGTH.unpack_from, _CELL.unpack_from, _LENGTH.pack_into
_NULL = b"\xff\xff\xff\xff"
_LONG = 2048  # bytes that are hashed where they lie
_STAGE = 32 << 10  # bytes of shorter ones that are put together for it: they stay in the processor's first cache
_LARGEST = 0x7FFFFFFF  # the protocol's lengths are signed 32-bit


def scan(
    buffer: bytes | bytearray | memoryview,
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    tags: frozenset[int],
    largest: cython.longlong,
) -> tuple[int, int]:
    """
    Walk consecutive whole frames with a tag in `tags`, making no objects of them.

    It ends quietly at another tag, at a body above `largest`, at a frame that is
    not all there and at one whose length is wrong: the reader says what that is.

    :returns: how many, and the offset behind the last of them.
    """
    held: object = buffer if isinstance(buffer, (bytes, bytearray)) else bytes(buffer)
    if not 0 <= start <= stop <= len(held):
        raise ValueError("a span outside its buffer")
    data: cython.p_const_uchar = held
    count: cython.Py_ssize_t = 0
    length: cython.longlong
    last: cython.int = -1
    while stop - start >= 5:
        if data[start] != last:  # a run has one tag, as a rule: it is looked up once
            last = data[start]
            if last not in tags:
                break
        length = _word(data, start + 1) if cython.compiled else _unpack_length(data, start + 1)[0]
        if length < 4 or length > largest + 4 or length > stop - start - 1:
            break
        start += 1 + length
        count += 1
    return count, start


def bound(data: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> tuple[tuple[int, ...], tuple[bytes | None, ...]] | None:
    """
    What stands in a Bind message behind its names: formats and values. The formats of results are looked at and left.

    :returns: None for anything that is not exactly that, from `start` to `stop`: whoever reads it whole says what is wrong.
    """
    if not 0 <= start <= stop <= len(data):
        raise ValueError("a span outside its buffer")
    raw: cython.p_const_uchar = data
    at: cython.Py_ssize_t = start
    size: cython.longlong
    index: cython.Py_ssize_t
    formats: list = []
    values: list = []
    count: cython.Py_ssize_t = _short(raw, at, stop)
    if count < 0 or stop - at - 2 < 2 * count:
        return None
    for index in range(count):
        formats.append(_short(raw, at + 2 + 2 * index, stop))
    at += 2 + 2 * count
    count = _short(raw, at, stop)
    at += 2
    for index in range(count):
        if stop - at < 4:
            return None
        size = _signed(raw, at) if cython.compiled else _unpack_cell(raw, at)[0]
        at += 4
        if size == -1:
            values.append(None)
            continue
        if size < 0 or size > stop - at:
            return None
        values.append(data[at : at + size])
        at += size
    if count < 0 or not all([code <= 1 for code in formats]) or len(formats) > 1 and len(formats) != len(values):
        return None
    count = _short(raw, at, stop)
    if count < 0 or stop - at - 2 != 2 * count:
        return None
    for index in range(count):
        if _short(raw, at + 2 + 2 * index, stop) > 1:
            return None
    return tuple(formats), tuple(values)


@cython.cfunc
def _short(data: cython.p_const_uchar, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """An unsigned int16 in network order; -1 where it is not there."""
    return -1 if stop - at < 2 else data[at] << 8 | data[at + 1]


def payload(frames: bytes | bytearray, begin: cython.Py_ssize_t = 0, end: cython.Py_ssize_t = -1) -> memoryview:
    """
    What a run of whole CopyData messages carries, without their heads; not copied out of where it was put together.

    :param end: where the run ends in `frames`, which is then not cut out of it; -1 for their end.
    :raises PeerError: a length does not add up.
    """
    held: object = frames
    if end < 0:
        end = len(held)
    if not 0 <= begin <= end <= len(held):
        raise ValueError("a span outside its buffer")
    data: cython.p_const_uchar = held
    # Nobody sees the bytes before they are written, so what is compiled does not zero them.
    room: object = PyBytes_FromStringAndSize(cython.NULL, end - begin) if cython.compiled else bytearray(end - begin)
    out: cython.p_uchar = room
    start: cython.Py_ssize_t = begin
    at: cython.Py_ssize_t = 0
    length: cython.longlong
    while start < end:
        if end - start < 5:
            raise PeerError("message cut short", offset=start - begin)
        length = _word(data, start + 1) if cython.compiled else _unpack_length(data, start + 1)[0]
        if length < 4 or length > end - start - 1:
            raise PeerError("message outside its run", offset=start - begin)
        if cython.compiled:
            memcpy(out + at, data + start + 5, length - 4)
        else:
            out[at : at + length - 4] = data[start + 5 : start + 1 + length]
        at += length - 4
        start += 1 + length
    return memoryview(room)[:at]


def carried(frames: memoryview, largest: cython.longlong, update: Callable[[memoryview], object]) -> tuple[int, int]:
    """
    Tell a hash what the whole CopyData messages carry that `frames` begins with. It ends quietly as `scan` does.

    :param update: the hash's; called with stretches one behind the other, none of which is to be kept.
    :returns: bytes of those messages, and bytes that they carry.
    """
    size: cython.Py_ssize_t = len(frames)
    long: cython.Py_ssize_t = _LONG
    room: cython.Py_ssize_t = _STAGE
    stage: object = PyBytes_FromStringAndSize(cython.NULL, _STAGE) if cython.compiled else bytearray(_STAGE)
    staged: memoryview = memoryview(stage)
    if cython.compiled:
        whole: cython.const_uchar[::1] = frames
        data: cython.p_const_uchar = cython.address(whole[0]) if size else cython.NULL
        out: cython.p_char = PyBytes_AS_STRING(stage)
    else:
        data, out = frames, stage
    start: cython.Py_ssize_t = 0
    at: cython.Py_ssize_t = 0  # of what is staged: many short ones are one call
    total: cython.Py_ssize_t = 0
    length: cython.longlong
    while size - start >= 5 and data[start] == 100:  # "d"
        length = (_word(data, start + 1) if cython.compiled else _unpack_length(data, start + 1)[0]) - 4
        if length < 0 or length > largest or length > size - start - 5:
            break
        start += 5
        if at and (length >= long or length > room - at):
            update(staged[:at])
            at = 0
        if length >= long:
            update(frames[start : start + length])
        elif cython.compiled:
            memcpy(out + at, data + start, length)
            at += length
        else:
            out[at : at + length] = data[start : start + length]
            at += length
        start += length
        total += length
    if at:
        update(staged[:at])
    return start, total


def mask_rows(rows: bytes | memoryview, masks: tuple[CellMask, ...]) -> tuple[bytes, int]:
    """
    Put masks into a run of whole DataRow messages.

    :returns: the run with masked cells replaced, and how many cells were. NULL stays NULL.
    :raises PeerError: a length does not add up, or a row has not as many columns as `masks`.
    :raises LocalError: a masked row could be larger than any message.
    """
    held: bytes = rows if isinstance(rows, bytes) else bytes(rows)
    growth, cells, ends = _encoded(masks)
    if growth + len(held) > _LARGEST:
        raise LocalError(f"a masked row of up to {growth + len(held)} bytes cannot be sent")
    room: bytearray = bytearray(len(held) + growth * _count(held, len(held), len(masks)))
    at: cython.Py_ssize_t
    masked: cython.Py_ssize_t
    at, masked = _fill(room, held, len(held), cells, ends, len(masks))
    return bytes(memoryview(room)[:at]), masked


@lru_cache(maxsize=256)
def _encoded(masks: tuple[CellMask, ...]) -> tuple[int, bytes, object]:
    """
    How much longer a row can become; the masked cells as they travel, joined; and where each of them ends,
    behind a zero. A clear column's has no bytes.

    :raises LocalError: as `mask_rows`, before room is taken for them.
    """
    growth = sum([0 if m is None or m is NULL else len(m) for m in masks])
    if growth > _LARGEST:
        raise LocalError(f"a masked row of up to {growth} bytes cannot be sent")
    cells = [b"" if m is None else _NULL if m is NULL else _CELL.pack(len(m)) + m for m in masks]
    ends = array("q", [0, *accumulate([len(cell) for cell in cells])])
    return growth, b"".join(cells), ends.tobytes() if cython.compiled else ends


@cython.cfunc
def _count(data: cython.p_const_uchar, end: cython.Py_ssize_t, width: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """How many rows; each has the head it must have, and ends inside."""
    start: cython.Py_ssize_t = 0
    count: cython.Py_ssize_t = 0
    length: cython.longlong
    while start < end:
        if end - start < 7:
            raise PeerError("row cut short", offset=start)
        length = _word(data, start + 1) if cython.compiled else _unpack_length(data, start + 1)[0]
        if data[start] != 68 or length < 6 or length > end - start - 1:  # 68 is "D"
            raise PeerError("row does not fit its description", offset=start)
        if (data[start + 5] << 8 | data[start + 6]) != width:
            raise PeerError("row does not fit its description", offset=start)
        start += 1 + length
        count += 1
    return count


@cython.cfunc
def _fill(
    out: cython.p_uchar,
    data: cython.p_const_uchar,
    end: cython.Py_ssize_t,
    cells: cython.p_const_uchar,
    table: object,
    width: cython.Py_ssize_t,
) -> tuple[cython.Py_ssize_t, cython.Py_ssize_t]:
    """The masked rows into `out`, which has room; their heads were checked. How many bytes, and cells masked."""
    ends: cython.p_const_longlong = _integers(table) if cython.compiled else table
    start: cython.Py_ssize_t = 0
    at: cython.Py_ssize_t = 0
    masked: cython.Py_ssize_t = 0
    stop: cython.Py_ssize_t
    here: cython.Py_ssize_t
    after: cython.Py_ssize_t
    clear: cython.Py_ssize_t  # everything from there on is still to be copied
    head: cython.Py_ssize_t
    column: cython.Py_ssize_t
    size: cython.int
    while start < end:
        stop = start + 1 + (_word(data, start + 1) if cython.compiled else _unpack_length(data, start + 1)[0])
        head, clear, here = at, start, start + 7
        for column in range(width):
            if stop - here < 4:
                raise PeerError("cell outside its row", offset=here)
            size = _signed(data, here) if cython.compiled else _unpack_cell(data, here)[0]
            after = here + 4 + (size if size > 0 else 0)
            if size < -1 or after > stop:
                raise PeerError("cell outside its row", offset=here)
            if size >= 0 and ends[column] != ends[column + 1]:
                at = _put(out, at, data, clear, here)
                at = _put(out, at, cells, ends[column], ends[column + 1])
                clear = after
                masked += 1
            here = after
        if here != stop:
            raise PeerError("bytes behind the last cell", offset=here)
        at = _put(out, at, data, clear, stop)
        if cython.compiled:
            _store(out, head + 1, at - head - 1)
        else:
            _pack_length(out, head + 1, at - head - 1)
        start = stop
    return at, masked


@cython.cfunc
def _put(
    out: cython.p_uchar, at: cython.Py_ssize_t, data: cython.p_const_uchar, start: cython.Py_ssize_t, stop: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Copy a stretch; where the next one goes."""
    if cython.compiled:
        memcpy(out + at, data + start, stop - start)
    else:
        out[at : at + stop - start] = data[start:stop]
    return at + stop - start


if cython.compiled:

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _word(data: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.longlong:
        """An unsigned int32 in network order."""
        high: cython.longlong = data[at] << 8 | data[at + 1]
        return high << 16 | data[at + 2] << 8 | data[at + 3]

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _signed(data: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.int:
        """A signed one."""
        return cython.cast(cython.int, _word(data, at))

    @cython.cfunc
    def _integers(table: bytes) -> cython.p_const_longlong:
        """What an array("q") holds, for as long as the caller keeps it."""
        return cython.cast(cython.p_const_longlong, cython.cast(cython.p_const_char, table))

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _store(out: cython.p_uchar, at: cython.Py_ssize_t, value: cython.Py_ssize_t) -> cython.void:
        """An int32 in network order into its place."""
        out[at] = value >> 24 & 255
        out[at + 1] = value >> 16 & 255
        out[at + 2] = value >> 8 & 255
        out[at + 3] = value & 255

elif not environ.get("OSTIARY_PURE"):
    try:
        from protocols import _kernel
    except ImportError:
        pass
    else:
        names = ("bound", "carried", "mask_rows", "payload", "scan")
        globals().update({name: getattr(_kernel, name) for name in names if hasattr(_kernel, name)})  # an older build has fewer
