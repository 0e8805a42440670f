"""
One segment: an LMDB environment that holds records, and the signed head over all of them.

Every commit stores its records *and* the head in the same transaction, so no durable
record is without a signature. The key exists in memory only, while the segment is open.

Keys of the one database: b"h" the head (a signed note); b"r" index 0 the leaf; b"r"
index 1 the stored body. One ascending run, so that appends fill pages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import lmdb

from gateway.notary.environment import Place, open_read_only, open_writable
from gateway.notary.merkle import CompactRange, leaf_hash
from gateway.notary.note import Checkpoint, Signer

HEAD = b"h"
_ROW = Struct("!cQB")  # b"r", index, 0 leaf or 1 body
_PAGE = 4096

STREAM = 0
"""The number of the one physical stream; the format allows more."""

Row = tuple[bytes, bytes | None]
"""A leaf and its stored body."""


def origin_of(log: str, number: int) -> str:
    """The name under which a segment's heads are signed."""
    return f"{log}/s{STREAM}/{number}"


def row_key(index: int, body: bool) -> bytes:
    return _ROW.pack(b"r", index, body)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a segment, in order, and its head at that moment."""

    rows: list[tuple[int, bytes, bytes | None]]
    head: str


class Segment:
    """The open segment. Only the writer's thread commits; short reads may come from another."""

    def __init__(self, path: Path, number: int, log: str, map_size: int) -> None:
        self.path, self.number = path, number
        self.signer = Signer.generate(origin_of(log, number))
        self._env: lmdb.Environment | None = open_writable(path, map_size)
        self._place = Place(path / "data.mdb")
        self._tree = CompactRange()
        self._closing = threading.Lock()
        self.used = 0

    @property
    def size(self) -> int:
        return self._tree.size

    @property
    def root(self) -> bytes:
        return self._tree.root()

    def commit(self, rows: Sequence[Row]) -> None:
        """
        Put records and the head over them on stable storage, or nothing.

        :raises lmdb.Error: the store refused. The segment must be abandoned.
        :raises OSError: the file is not where it was.
        """
        assert self._env is not None
        tree, used, index = self._tree.copy(), self.used, self._tree.size
        with self._env.begin(write=True) as txn:
            for leaf, body in rows:
                txn.put(row_key(index, False), leaf, append=True)
                if body is not None:
                    txn.put(row_key(index, True), body, append=True)
                tree.append(leaf_hash(leaf))
                used += _footprint(leaf) + _footprint(body)
                index += 1
            head = self.signer.sign(Checkpoint(self.signer.name, tree.size, tree.root()).text)
            txn.put(HEAD, head.encode())
        self._place.check()
        self._tree, self.used = tree, used

    def page(self, start: int, limit: int) -> Page:
        """Records from `start`, about `limit` bytes of them; for a thread other than the writer's."""
        with self._closing:
            if self._env is None:
                return Page([], "")
            return read_page(self._env, start, limit)

    def close(self) -> None:
        """Forget the key and let go of the file."""
        with self._closing:
            if self._env is not None:
                self._env.close()
                self._env = None


def read_page(env: lmdb.Environment, start: int, limit: int) -> Page:
    """One short read transaction; a long one would keep freed pages from being used again."""
    rows: list[tuple[int, bytes, bytes | None]] = []
    with env.begin() as txn:
        head = (txn.get(HEAD) or b"").decode()
        for row in _rows(txn, start):
            rows.append(row)
            limit -= len(row[1]) + len(row[2] or b"")
            if limit <= 0:
                break
    return Page(rows, head)


def _rows(txn: lmdb.Transaction, start: int) -> Iterator[tuple[int, bytes, bytes | None]]:
    cursor = txn.cursor()
    if not cursor.set_range(row_key(start, False)):
        return
    held: tuple[int, bytes, bytes | None] | None = None
    for key, value in cursor:
        if len(key) != _ROW.size or key[:1] != b"r":
            break
        _, index, body = _ROW.unpack(key)
        if body and held is not None and held[0] == index:
            held = (index, held[1], value)
            continue
        if held is not None:
            yield held
        held = (index, value, None)
    if held is not None:
        yield held


class SealedSegment:
    """A segment's compact copy: leaves in one file, bodies in another that may expire alone."""

    def __init__(self, leaves: Path, bodies: Path | None) -> None:
        self._leaves = open_read_only(leaves)
        self._bodies = open_read_only(bodies) if bodies is not None and bodies.exists() else None

    def page(self, start: int, limit: int) -> Page:
        """As `Segment.page`."""
        page = read_page(self._leaves, start, limit)
        if self._bodies is None:
            return page
        with self._bodies.begin() as txn:
            rows = [(index, leaf, body or txn.get(row_key(index, True))) for index, leaf, body in page.rows]
        return Page(rows, page.head)

    def close(self) -> None:
        self._leaves.close()
        if self._bodies is not None:
            self._bodies.close()


def _footprint(value: bytes | None) -> int:
    """Bytes a value takes: big ones live in whole pages of their own."""
    if value is None:
        return 0
    size = len(value) + 32
    return size if size < _PAGE // 2 else -(-size // _PAGE) * _PAGE
