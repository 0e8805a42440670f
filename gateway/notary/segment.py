"""
One segment: a write-ahead file and the LMDB environment behind it, with records and the signed head over all of them.

Every commit stores its records *and* the head in one synchronous write, so no durable record is without a signature;
LMDB gets both a moment later, many commits in one transaction. The key exists in memory only, while the segment is open.

Keys of the one database: b"h" the head (a signed note); b"r" index 0 the leaf; b"r"
index 1 the stored body. One ascending run, so that appends fill pages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import lmdb

from gateway.notary import ahead, environment
from gateway.notary.ahead import AheadFile, Batch, Remains, TooLarge
from gateway.notary.environment import Place, Unfit, open_read_only, open_writable
from gateway.notary.kernel import Row, room
from gateway.notary.merkle import CompactRange
from gateway.notary.note import Signer
from gateway.notary.settling import Settling

HEAD = b"h"
_ROW = Struct("!cQB")  # b"r", index, 0 leaf or 1 body
_key = _ROW.pack

STREAM = 0
"""The number of the one physical stream; the format allows more."""

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


def _nobody_waits() -> None:
    """For word that a batch is durable."""


class Segment:
    """The open segment. Only the writer's thread commits; short reads may come from another."""

    def __init__(self, path: Path, number: int, log: str, map_size: int) -> None:
        self.path, self.number = path, number
        self.signer = Signer.generate(origin_of(log, number))
        self._map_size = map_size
        self._ahead = AheadFile(path / ahead.NAME)
        try:
            self._env: lmdb.Environment | None = open_writable(path, map_size)
        except BaseException:
            self._ahead.close()
            raise
        self._place = Place(path / "data.mdb")
        self._settling = Settling(self._env, self._take_over)
        self._tree = CompactRange()
        self._closing = threading.Lock()
        self.used = 0

    @property
    def size(self) -> int:
        return self._tree.size

    @property
    def root(self) -> bytes:
        return self._tree.root()

    def commit(self, rows: Sequence[Row], durable: Callable[[], None] = _nobody_waits) -> None:
        """
        Put records and the head over them on stable storage, or nothing.

        :param durable: called once they are there, before anything that nobody has to wait for. What comes out of here later is of LMDB,
            and concerns what is recorded next: these are in the write-ahead file, where recovery finds them.
        :raises lmdb.Error: the store refused. The segment must be abandoned.
        :raises OSError: a file is not where it was, or not writable.
        """
        tree, size = self._tree.with_leaves([leaf for leaf, _ in rows]), room(rows)
        if self.used + size > self._map_size:  # LMDB would find out when it is too late to refuse
            raise lmdb.MapFullError("the segment is full")
        batch = Batch(self._tree.size, rows, self.signer.head(tree.size, tree.root()))
        try:
            self._ahead.append(batch, self._settling.wait)
        except TooLarge:
            self._settling.add(batch, size)
            self._settling.wait(tree.size)
            durable()
        else:
            durable()
            self._settling.add(batch, size)
        self._tree, self.used = tree, self.used + size

    def _take_over(self, env: lmdb.Environment, batches: Sequence[Batch]) -> None:
        """In the settling thread. Until this returns the write-ahead file keeps them."""
        put(env, batches)
        self._place.check()

    def settle(self) -> None:
        """Until LMDB holds every record. Raises as `commit`."""
        self._settling.wait(self.size)

    def page(self, start: int, limit: int) -> Page:
        """Records from `start`, about `limit` bytes of them; for a thread other than the writer's."""
        with self._closing:
            if self._env is None:
                return Page([], "")
            waiting = self._settling.waiting()  # before LMDB is read: what it takes meanwhile is there twice, not nowhere
            return with_tail(read_page(self._env, start, limit), waiting, start, limit)

    def close(self) -> None:
        """Forget the key and let go of the files, as they are."""
        with self._closing:
            if self._env is not None:
                self.signer.forget()
                self._settling.stop()
                self._ahead.close()
                self._env.close()
                self._env = None


def reserve(path: Path, map_size: int) -> None:
    """Both files of a segment to be, with all their space."""
    environment.reserve(path, map_size)
    ahead.reserve(path / ahead.NAME)
    environment.sync_directory(path)


def is_reserved(path: Path, map_size: int) -> bool:
    """Whether `reserve` has been here, for this size."""
    files = ((path / "data.mdb", map_size), (path / ahead.NAME, 2 * ahead.HALF))
    return all(file.exists() and file.stat().st_size == size for file, size in files)


def put(env: lmdb.Environment, batches: Sequence[Batch]) -> None:
    """Batches in order, and the head over all of them, in one transaction."""
    rows: list[tuple[bytes, bytes]] = []
    for batch in batches:
        for index, (leaf, body) in enumerate(batch.rows, batch.first):
            rows.append((_key(b"r", index, 0), leaf))
            if body is not None:
                rows.append((_key(b"r", index, 1), body))
    with env.begin(write=True) as txn:
        _, added = txn.cursor().putmulti(rows, append=True)
        if added != len(rows):
            raise lmdb.KeyExistsError("LMDB holds a record of these already")
        txn.put(HEAD, batches[-1].head.encode())


def settle(path: Path) -> None:
    """
    What a crash left in a segment's write-ahead file goes into its LMDB. Only once both are known to be sound.

    :raises Unfit: see `ahead.tail`.
    """
    env = open_writable(path, (path / "data.mdb").stat().st_size + 4 * ahead.HALF)
    try:
        batches = ahead.tail(path / ahead.NAME, size_of(read_page(env, 0, 0).head))
        if batches:
            put(env, batches)
    finally:
        env.close()


def size_of(head: str) -> int:
    """
    The number of records that a head names; 0 for none. Its signature is looked at elsewhere.

    :raises Unfit: it names none.
    """
    try:
        return int(head.split("\n")[1]) if head else 0
    except (IndexError, ValueError):
        raise Unfit("its head is no checkpoint") from None


def with_tail(page: Page, batches: Sequence[Batch], start: int, limit: int) -> Page:
    """A page of LMDB's with what comes behind it, if the page is its last."""
    if not batches:
        return page
    held = batches[0].first  # LMDB may have taken some over since; the head is that of the last of these
    rows = [row for row in page.rows if row[0] < held]
    limit -= sum(len(leaf) + len(body or b"") for _, leaf, body in rows)
    place = rows[-1][0] + 1 if rows else max(start, held)
    if place >= held:
        for batch in batches:
            if batch.end <= place or limit <= 0:
                continue
            for index, (leaf, body) in enumerate(batch.rows, batch.first):
                if index >= place and limit > 0:
                    rows.append((index, leaf, body))
                    limit -= len(leaf) + len(body or b"")
    return Page(rows, batches[-1].head)


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
    """
    A segment that nobody writes: its compact copy, leaves in one file and bodies in another that may expire alone; or
    what a notary left open, with its write-ahead file.

    :raises Unfit: a file is not what it must be.
    """

    def __init__(self, leaves: Path, bodies: Path | None) -> None:
        self._leaves = open_read_only(leaves)
        self.ahead: Remains | None = None  #: of a sealed one there is none
        self._tail: list[Batch] = []
        if leaves.name == "data.mdb":
            self._look_ahead(leaves.parent / ahead.NAME)
        try:
            self._bodies = open_read_only(bodies) if bodies is not None and bodies.exists() else None
        except BaseException:
            self._leaves.close()
            raise

    def page(self, start: int, limit: int) -> Page:
        """As `Segment.page`."""
        page = with_tail(read_page(self._leaves, start, limit), self._tail, start, limit)
        if self._bodies is None:
            return page
        with self._bodies.begin() as txn:
            rows = [(index, leaf, body or txn.get(row_key(index, True))) for index, leaf, body in page.rows]
        return Page(rows, page.head)

    def _look_ahead(self, file: Path) -> None:
        try:
            self.ahead = ahead.read(file)
            self._tail = self.ahead.after(self._held())
        except Unfit:
            self._leaves.close()
            raise

    def _held(self) -> int:
        """How many records LMDB holds, by its head."""
        return size_of(read_page(self._leaves, 0, 0).head)

    def contradictions(self) -> Iterator[str]:
        """What LMDB and the write-ahead file do not tell alike of records that both held."""
        if self.ahead is None:
            return
        if self.ahead.changed:
            yield self.ahead.changed
        held, end = self._held(), self.ahead.end
        with self._leaves.begin() as txn:
            for batch in self.ahead.batches:
                for index, (leaf, _) in enumerate(batch.rows, batch.first):
                    if index < held and txn.get(row_key(index, False)) != leaf:
                        yield f"record {index} is another one in its write-ahead file"
            since = sum(len(leaf) + len(body or b"") for index, leaf, body in _rows(txn, end) if index < held)
        if end < held and since < ahead.HALF // 2:  # a batch that fits into no half is in LMDB alone
            yield f"its write-ahead file ends at record {end}, and LMDB has taken {held} from it: an older copy, or emptied"

    def close(self) -> None:
        self._leaves.close()
        if self._bodies is not None:
            self._bodies.close()
