"""
A segment's write-ahead file: one synchronous write makes a batch durable, long before LMDB holds it.

A batch is its records and the signed head over all of the segment until then, so nothing in here is without a
signature either. Batches begin at block boundaries of a file whose space is reserved. The file has two halves: one is
written while LMDB takes over the other, and a half is used again when LMDB holds all of it.

Reading: batches that LMDB holds are passed over; the others must follow one another without a gap. A last one that was cut
short by a crash was never acknowledged; as a changed one looks the same, that there is one is told.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import msgpack

from gateway.notary.environment import Place, Unfit
from gateway.notary.kernel import Row, digest, framed

NAME = "ahead"
HALF = 4 << 20
"""Bytes; also about the most that recovery has to read again."""

_BLOCK = 4096
_MAGIC = b"OstAhead"
_HEADER = Struct("!8sQII32s")  # magic, index of the first record, records, bytes of payload, SHA-256 of what follows the magic
_FACTS = Struct("!QII")


class Batch(NamedTuple):
    """Records that became durable together, and the head that covers them and all before them."""

    first: int
    rows: Sequence[Row]
    head: str

    @property
    def end(self) -> int:
        return self.first + len(self.rows)


class TooLarge(Exception):
    """A batch that fits into no half."""


class AheadFile:
    """Written by one thread, past the page cache where the file system can: that takes a fifth of a write's processor time."""

    def __init__(self, path: Path) -> None:
        self._place = Place(path, 2 * HALF)
        self._fd = opened(path)
        self._room = memoryview(mmap.mmap(-1, HALF))  # at a page's beginning, and shared: a child that is forked meanwhile moves none
        self._half, self._at = 0, 0
        self._ends = [0, 0]  # of each half: the number of records up to the end of its last batch

    def append(self, batch: Batch, settled: Callable[[int], None]) -> None:
        """
        On stable storage when this returns.

        :param settled: blocks until LMDB holds the first n records; what it raises comes out of here.
        :raises TooLarge: nothing was written.
        :raises OSError: whether it was written is not known; the segment must be abandoned.
        """
        length = framed(self._room, *batch)
        if not length:
            raise TooLarge
        if self._at + length > HALF:
            settled(self._ends[1 - self._half])
            self._half, self._at = 1 - self._half, 0
        if os.pwrite(self._fd, self._room[:length], self._half * HALF + self._at) != length:
            raise OSError(errno.ENOSPC, "a write to the reserved write-ahead file was cut short")
        self._place.check()
        self._at += length
        self._ends[self._half] = batch.end

    def close(self) -> None:
        os.close(self._fd)
        self._room.release()  # and with it the memory, whoever still holds this


def opened(path: Path) -> int:
    """For synchronous writes from the caller's memory; through the page cache where the file system wants that (open(2), O_DIRECT)."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_DSYNC | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    else:
        try:
            os.preadv(fd, [mmap.mmap(-1, _BLOCK)], 0)  # it may be opened so and then want larger blocks
            return fd
        except OSError:
            os.close(fd)
    return os.open(path, os.O_RDWR | os.O_DSYNC)


def reserve(path: Path) -> None:
    """Make the file, all of it written, so that no batch meets a full disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for _ in range(2):
            file.write(bytes(HALF))
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class Remains:
    """
    What a write-ahead file holds: whole batches by half, each half in order.

    `changed` is what no crash can do, "" for nothing. `torn`: the newest batch is not whole, by a crash or by somebody.
    """

    batches: Sequence[Batch]
    changed: str
    torn: bool

    @property
    def end(self) -> int:
        """The number of records up to the end of the last whole batch."""
        return max((batch.end for batch in self.batches), default=0)

    def after(self, size: int) -> list[Batch]:
        """
        The batches that come after the first `size` records, in order.

        :raises Unfit: one is missing before another.
        """
        found = {batch.first: batch for batch in self.batches if batch.first >= size}
        batches = []
        while size in found:
            batches.append(found.pop(size))
            size = batches[-1].end
        if found:
            raise Unfit(f"record {size} is missing in its write-ahead file, which goes on at {min(found)}")
        return batches


def read(path: Path) -> Remains:
    """
    All of it.

    :raises Unfit: it is gone, or shorter than it was made.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise Unfit(f"its write-ahead file: {e.strerror}") from e
    if len(data) < 2 * HALF:
        raise Unfit(f"its write-ahead file was cut: {len(data)} bytes of {2 * HALF}")
    halves = [_half(data[:HALF]), _half(data[HALF:])]
    newest = max(halves, key=lambda half: half.end)
    wrong = sorted({one for half in halves for one in half.wrong(half is newest)})
    first_use = bool(halves[0].batches) and halves[0].batches[0].first == 0
    return Remains(
        [batch for half in halves for batch in half.batches],
        f"the batch before record {wrong[0]} of its write-ahead file was changed" if wrong else "",
        any(half.is_torn(first_use, half is newest) for half in halves),
    )


def tail(path: Path, size: int) -> list[Batch]:
    """As `Remains.after`, and as `read`."""
    return read(path).after(size)


@dataclass(frozen=True, slots=True)
class _Half:
    """Batches of a half's newest use, records before which something is not whole, and what is behind the last batch."""

    batches: list[Batch]
    holes: list[int]
    behind: bytes

    @property
    def end(self) -> int:
        return self.batches[-1].end if self.batches else 0

    def wrong(self, newest: bool) -> list[int]:
        """Records before which something is not whole that was, since more was written after it."""
        if newest:
            return self.holes
        begun_again = self.holes and self.holes[0] == self.batches[0].first
        return [*(self.holes[1:] if begun_again else self.holes), *([self.end + 1] if self._next_begun() else [])]

    def is_torn(self, first_use: bool, newest: bool) -> bool:
        """
        Whether what was to be written last may not be whole.

        :param first_use: nothing was ever written behind the last batch.
        """
        if first_use or not self.batches:
            return self.behind.strip(b"\0") != b""
        if not newest:
            return bool(self.holes) and self.holes[0] == self.batches[0].first
        return self._next_begun()

    def _next_begun(self) -> bool:
        begun = len(self.behind) >= _HEADER.size and self.behind.startswith(_MAGIC)
        return begun and _HEADER.unpack_from(self.behind)[1] == self.end


def _half(data: bytes) -> _Half:
    batches: list[Batch] = []
    holes, at, end = [], 0, 0
    while at < len(data):
        found = _batch(data, at)
        if found is None:
            at += _BLOCK
            continue
        batch, length = found
        if batches and batch.first < batches[-1].end:
            break  # an earlier use
        if at != end:
            holes.append(batch.first)
        batches.append(batch)
        at = end = at + length
    return _Half(batches, holes, data[end:])


def _batch(data: bytes, at: int) -> tuple[Batch, int] | None:
    """What begins at a block, and its length in whole blocks; None when nothing whole does."""
    if data[at : at + len(_MAGIC)] != _MAGIC or at + _HEADER.size > len(data):
        return None
    _, first, count, length, told = _HEADER.unpack_from(data, at)
    begin = at + _HEADER.size
    payload = data[begin : begin + length]
    if digest(_FACTS.pack(first, count, length), payload) != told:
        return None
    try:
        rows, head = msgpack.unpackb(payload, raw=False)
        batch = Batch(first, [(leaf, body) for leaf, body in rows], head) if len(rows) == count > 0 else None
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        return None
    return batch and (batch, -(-(_HEADER.size + length) // _BLOCK) * _BLOCK)
