"""
One LMDB file: how we open it, how its space is reserved, and when it is fit to be opened at all.

LMDB trusts its file: a truncated one kills the process with SIGBUS. So the size is
compared with what the file's own meta pages promise before LMDB maps it. Layout
from LMDB 0.9 mdb.c (MDB_page, MDB_meta); 0.9 is what every existing tool reads.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct

import lmdb

from gateway.notary.kernel import placed

_META = Struct("=IIQQI92xQQ")  # magic, version, address, map size, page size, (two dbs), last page, transaction
_PAGE_HEADER = 16
_MAGIC = 0xBEEFC0DE
_PAGE_SIZES = {1 << bits for bits in range(9, 17)}
_CHUNK = 1 << 20
_LOCK_SIZE = 8192  # bytes; room for more readers than we have threads

# py-lmdb 3 carries two engines with mutually unreadable formats; say which one.
_ENGINE = {"lib_version": 0} if int(lmdb.__version__.split(".")[0]) >= 3 else {}


class Unfit(Exception):
    """A file that LMDB must not be given. Says why."""


def open_writable(path: Path, map_size: int) -> lmdb.Environment:
    """A directory with data.mdb, every commit on stable storage before it returns."""
    _reserve_lock(path / "lock.mdb")
    env = lmdb.open(
        str(path), map_size=map_size, subdir=True, sync=True, metasync=True, writemap=False, map_async=False,
        readahead=False, max_readers=32, max_dbs=0, mode=0o600, **_ENGINE,
    )
    flags = env.flags()
    if not (flags["sync"] and flags["metasync"]) or flags["writemap"] or flags["map_async"]:
        env.close()
        raise Unfit(f"{path} was opened without full durability")
    return env


def _reserve_lock(file: Path) -> None:
    """
    LMDB maps its lock file and writes into the map: on a full disk a sparse one kills us
    with SIGBUS. Written blocks cannot; LMDB takes a file that is large enough as it is.
    """
    if file.exists() and file.stat().st_size >= _LOCK_SIZE:
        return
    with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as lock:
        lock.write(bytes(_LOCK_SIZE))
        lock.flush()
        os.fsync(lock.fileno())


def open_read_only(file: Path) -> lmdb.Environment:
    """
    A file that nobody writes, sealed or left behind.

    :raises Unfit: its size contradicts its meta pages.
    """
    check(file)
    size = file.stat().st_size
    return lmdb.open(
        str(file), map_size=max(size, 1 << 20), subdir=False, readonly=True, lock=False, max_dbs=0, readahead=True,
        **_ENGINE,
    )


def create_compact(file: Path, map_size: int) -> lmdb.Environment:
    """A single file to be filled in key order once, synced at the end, then never written again."""
    return lmdb.open(
        str(file), map_size=map_size, subdir=False, lock=False, sync=False, writemap=False, max_dbs=0, mode=0o600,
        **_ENGINE,
    )


def check(file: Path) -> None:
    """
    Whether LMDB may map this file.

    :raises Unfit: it is missing, no LMDB 0.9 file, or shorter than it says.
    """
    try:
        with open(file, "rb", buffering=0) as opened:
            first = os.pread(opened.fileno(), _PAGE_HEADER + _META.size, 0)
            page = _page_size(first)
            second = os.pread(opened.fileno(), _PAGE_HEADER + _META.size, page)
            size = os.fstat(opened.fileno()).st_size
    except OSError as e:
        raise Unfit(f"{e.strerror}") from e
    last = 0
    for meta in (first[_PAGE_HEADER:], second[_PAGE_HEADER:]):
        if len(meta) < _META.size or _META.unpack(meta)[0] != _MAGIC or _META.unpack(meta)[1] != 1:
            raise Unfit("not an LMDB 0.9 file")
        last = max(last, _META.unpack(meta)[5])
    if size < (last + 1) * page:
        raise Unfit(f"truncated: {size} bytes, its meta page says at least {(last + 1) * page}")


def _page_size(head: bytes) -> int:
    meta = head[_PAGE_HEADER : _PAGE_HEADER + _META.size]
    page = _META.unpack(meta)[4] if len(meta) == _META.size else 0
    if page not in _PAGE_SIZES:
        raise Unfit("not an LMDB file")
    return page


def reserve(path: Path, map_size: int) -> None:
    """
    Make an environment whose whole map is written to disk, so that no commit can meet a full disk.

    Zeroes, not only fallocate: overwriting written blocks is also the fastest sync.
    """
    path.mkdir(mode=0o700)
    open_writable(path, map_size).close()
    zeroes = bytes(_CHUNK)
    with open(path / "data.mdb", "r+b") as file:
        place = file.seek(0, os.SEEK_END)
        while place < map_size:
            place += file.write(zeroes[: map_size - place])
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Place:
    """
    The file that a path named when we opened it. A directory that is moved away or
    unmounted leaves us writing to a file that no path leads to, and of one that was cut only what was written since is
    left; that must not count as recorded.
    """

    def __init__(self, file: Path, least: int = 0) -> None:
        """:param least: bytes that it always has."""
        self._file, self._least = os.fsencode(file), least
        self._inode, _, *self._device = placed(self._file)

    def check(self) -> None:
        """:raises OSError: the path is gone, or leads elsewhere, or the file is shorter than it may be."""
        inode, size, *device = placed(self._file)
        if inode != self._inode or device != self._device:
            raise FileNotFoundError(f"{os.fsdecode(self._file)} is no longer the file that was opened")
        if size < self._least:
            raise OSError(f"{os.fsdecode(self._file)} was cut: {size} bytes of {self._least}")
