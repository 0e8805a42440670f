"""
Control's memory: one LMDB environment, named and versioned, every value sealed.

    state/control/data.mdb   meta (clear): name, version · all other tables: key -> sealed msgpack map

One process has it open at a time (an flock on state/control/owner); the CLI opens it
itself only when control is not running. A write is on disk when its transaction ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import msgpack

from gateway.control.errors import StoreRefused
from gateway.control.seal import Seal

NAME = b"ostiary-control"
VERSION = 4

MAP_SIZE = 1 << 30
"""Bytes of address space, not of disk. A request keeps its statement, at most 1 MiB each."""

TABLES = (
    "tokens", "tokens_by_subject", "secrets", "identities",
    "requests", "grants", "revocations", "counters", "outbox", "authorities", "certificates",
    "codes", "signed",
)

KEY_LIMIT = 511  # bytes, LMDB's own; what is longer was never stored

Transaction = lmdb.Transaction
Value = dict[str, Any]


class Table:
    """One named table of sealed maps. Keys are in clear and sort as bytes."""

    def __init__(self, name: str, handle: Any, seal: Seal) -> None:
        self._name, self._handle, self._seal = name.encode(), handle, seal

    def get(self, txn: Transaction, key: str) -> Value | None:
        """What is stored there; None for nothing."""
        place = key.encode("utf-8", "replace")
        raw = txn.get(place, db=self._handle) if 0 < len(place) <= KEY_LIMIT else None
        return None if raw is None else self._opened(place, raw)

    def put(self, txn: Transaction, key: str, value: Value) -> None:
        body = msgpack.packb(value, use_bin_type=True)
        txn.put(key.encode(), self._seal.close(self._place(key.encode()), body), db=self._handle)

    def delete(self, txn: Transaction, key: str) -> bool:
        """Whether there was something to delete."""
        return bool(txn.delete(key.encode(), db=self._handle))

    def items(self, txn: Transaction, prefix: str = "") -> Iterator[tuple[str, Value]]:
        """Pairs in the order of their keys."""
        start = prefix.encode()
        with txn.cursor(db=self._handle) as cursor:
            found = cursor.set_range(start) if start else cursor.first()
            while found and cursor.key().startswith(start):
                key = bytes(cursor.key())
                yield key.decode(), self._opened(key, cursor.value())
                found = cursor.next()

    def _place(self, key: bytes) -> bytes:
        return self._name + b"\0" + key

    def _opened(self, key: bytes, raw: bytes) -> Value:
        return msgpack.unpackb(self._seal.open(self._place(key), bytes(raw)), raw=False, strict_map_key=False)


class Store:
    """
    The environment, opened and brought to this version.

    :raises StoreRefused: another process has it, it is newer than this program, or it is damaged.
    """

    def __init__(self, directory: Path, seal: Seal) -> None:
        self.seal = seal
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner = _owned(directory / "owner")
        try:
            self._environment = _opened(directory)
            self.tables = {name: Table(name, self._environment.open_db(name.encode()), seal) for name in TABLES}
            self._meta = self._environment.open_db(b"meta")
            self._bring_up_to_date()
        except BaseException:
            os.close(self._owner)
            raise

    def __getitem__(self, table: str) -> Table:
        return self.tables[table]

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent view."""
        with self._environment.begin() as txn:
            yield txn

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """All of it on disk when the block ends, or nothing of it."""
        try:
            with self._environment.begin(write=True) as txn:
                yield txn
        except lmdb.Error as error:
            raise StoreRefused(f"control's store cannot be written: {type(error).__name__}") from None

    @property
    def version(self) -> int:
        with self._environment.begin() as txn:
            return int(txn.get(b"version", db=self._meta))

    def close(self) -> None:
        self._environment.close()
        os.close(self._owner)

    def _bring_up_to_date(self) -> None:
        from gateway.control.migrations import MIGRATIONS

        with self.write() as txn:
            name = txn.get(b"name", db=self._meta)
            if name is None:
                txn.put(b"name", NAME, db=self._meta)
                txn.put(b"version", b"%d" % VERSION, db=self._meta)
                return
            if bytes(name) != NAME:
                raise StoreRefused("this directory holds another program's store, not control's")
            version = int(txn.get(b"version", db=self._meta))
            if version > VERSION:
                raise StoreRefused(f"control's store has version {version}; this program knows {VERSION}. Upgrade Ostiary.")
            for step in range(version, VERSION):
                MIGRATIONS[step](self.tables, txn)
            txn.put(b"version", b"%d" % VERSION, db=self._meta)


def _owned(path: Path) -> int:
    """An open file that no other process has locked."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StoreRefused(f"another process has control's store open (lock {path})") from None
    return handle


def _opened(directory: Path) -> lmdb.Environment:
    try:
        return lmdb.open(str(directory), map_size=MAP_SIZE, max_dbs=32, mode=0o600, max_readers=16)
    except lmdb.Error as error:
        raise StoreRefused(f"control's store in {directory} cannot be opened: {type(error).__name__}") from None
