"""
The ledger: a small second log, one per host, that never expires. Its leaves are the
life of segments, so that a segment, a stream or a tail that is removed shows as a
leaf without content. Its checkpoint is what anchors and auditors keep.

Entries are msgpack arrays [what, time_ns, …] with fixed positions (`ENTRY_FIELDS`). The
checkpoint is a C2SP tlog checkpoint signed by the identity key.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import Any

import lmdb

from gateway.notary.environment import Place, open_writable, sync_directory
from gateway.notary.merkle import CompactRange, leaf_hash
from gateway.notary.note import Checkpoint, NoteError, Signer, Verifier
from gateway.notary.record import pack, unpack

_NUMBER = Struct("!Q")
CHECKPOINT = b"c"
_MAP_SIZE = 4 << 30
"""Bytes of address space, not of disk: six years of segments and heads are below 1 GB."""

_ROOM = 1 << 20
"""Bytes of disk kept written ahead, so that a full disk stops no rotation into a segment that is reserved."""

_HEAD = pack("head")  # behind the array's own byte

ENTRY_FIELDS: dict[str, tuple[str, ...]] = {
    "genesis": ("origin", "verifier_key", "format"),
    "seg.open": ("stream", "segment", "public_key", "previous_root", "boot_id"),
    "head": ("stream", "segment", "size", "root"),
    "seg.close": ("stream", "segment", "size", "root", "reason"),
    "seg.seal": ("stream", "segment", "size", "root", "leaves_sha256", "bodies_sha256"),
    "body.expire": ("stream", "segment", "who"),
}


class LedgerError(Exception):
    """The ledger contradicts itself, its signature, or the key it is checked with."""


def named(entry: Sequence[Any]) -> dict[str, Any]:
    """An entry's fields by name, with "what" and "time_ns"."""
    names = ("what", "time_ns", *ENTRY_FIELDS.get(entry[0], ()))
    return dict(zip(names, entry, strict=False))


class Ledger:
    """The ledger at work, in the notary. Only the writer's thread appends."""

    def __init__(self, path: Path, signer: Signer) -> None:
        self._path, self._signer = path, signer
        self._env: lmdb.Environment | None = open_writable(path, _MAP_SIZE)
        self._place = Place(path / "data.mdb")
        self._closing = threading.Lock()
        self._tree = CompactRange()
        self.events: list[list[Any]] = []  #: what became of segments; heads, of which a year has a million, are on disk only
        entries, self.checkpoint = read(self._env)
        if entries:
            self._tree = check(entries, self.checkpoint, signer.verifier)
        self._remember(entries)

    @classmethod
    def create(cls, path: Path, signer: Signer, time_ns: int) -> Ledger:
        """A new one, with its first entry."""
        path.mkdir(mode=0o700)
        ledger = cls(path, signer)
        ledger.append([["genesis", time_ns, signer.name, str(signer.verifier), 1]])
        return ledger

    @property
    def size(self) -> int:
        return self._tree.size

    @property
    def root(self) -> bytes:
        return self._tree.root()

    def append(self, entries: Iterable[Sequence[Any]]) -> None:
        """Entries and the checkpoint over them, durable together."""
        assert self._env is not None
        packed = [pack(list(entry)) for entry in entries]
        tree = self._tree.copy()
        with self._env.begin(write=True) as txn:
            for leaf in packed:
                txn.put(_NUMBER.pack(tree.size), leaf)
                tree.append(leaf_hash(leaf))
            checkpoint = self._signer.head(tree.size, tree.root())
            txn.put(CHECKPOINT, checkpoint.encode())
        self._place.check()
        self._tree = tree
        self._remember(packed)
        self.checkpoint = checkpoint
        self._publish()
        with contextlib.suppress(OSError):  # then a later append meets the full disk, and says so
            self._reserve()

    def page(self, start: int, most: int) -> tuple[list[bytes], str]:
        """Entries from `start`, packed, and the checkpoint over all there are; for another thread."""
        with self._closing:
            return ([], "") if self._env is None else read(self._env, start, most)

    def told(self, start: int, most: int) -> tuple[list[list[Any]], int]:
        """Of what became of segments from the `start`th on, and how much of it there is; from memory, whoever asks."""
        return self.events[start : start + most], len(self.events)

    def _reserve(self) -> None:
        """Zeroes past the end of the file; LMDB has no page there."""
        assert self._env is not None
        info = self._env.info()
        needed = (info["last_pgno"] + 1) * self._env.stat()["psize"] + _ROOM
        with open(self._path / "data.mdb", "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size < needed:
                file.write(bytes(needed + _ROOM - size))
                file.flush()
                os.fsync(file.fileno())

    def close(self) -> None:
        with self._closing:
            if self._env is not None:
                self._env.close()
                self._env = None

    def _remember(self, packed: Sequence[bytes]) -> None:
        self.events += [unpack(leaf) for leaf in packed if not is_head(leaf)]

    def _publish(self) -> None:
        """The checkpoint as a text file beside the environment; a copy for people, not the evidence."""
        scratch = self._path / "checkpoint.new"
        with contextlib.suppress(OSError):
            scratch.write_text(self.checkpoint)
            os.replace(scratch, self._path / "checkpoint")
            sync_directory(self._path)


def is_head(packed: bytes) -> bool:
    """Nearly all entries of a ledger that is old are: who asks for the others need not unpack these."""
    return packed[1:6] == _HEAD


def read(env: lmdb.Environment, start: int = 0, most: int | None = None) -> tuple[list[bytes], str]:
    """
    Entries in order, from `start`, and the checkpoint, at one moment.

    :param most: how many; None for all.
    :raises LedgerError: numbers are not contiguous.
    """
    entries: list[bytes] = []
    with env.begin() as txn:
        checkpoint = (txn.get(CHECKPOINT) or b"").decode()
        cursor = txn.cursor()
        found = cursor.set_range(_NUMBER.pack(start))
        for key, value in islice(cursor, most) if found else ():
            if key == CHECKPOINT:
                continue
            if key != _NUMBER.pack(start + len(entries)):
                raise LedgerError(f"entry {start + len(entries)} is missing")
            entries.append(value)
    return entries, checkpoint


def check(entries: Sequence[bytes], checkpoint: str, verifier: Verifier) -> CompactRange:
    """
    Whether the entries are what the checkpoint covers, and its signer is who `verifier` says.

    :returns: the tree over them.
    :raises LedgerError: they are not; the text says what is wrong.
    """
    try:
        found = Checkpoint.parse(verifier.open(checkpoint))
    except NoteError as e:
        raise LedgerError(f"the checkpoint is not signed by the trusted key: {e}") from e
    if found.origin != verifier.name:
        raise LedgerError(f"the checkpoint is of {found.origin}, not {verifier.name}")
    if len(entries) != found.size:
        raise LedgerError(f"the checkpoint says {found.size} entries, {len(entries)} are here")
    tree = CompactRange()
    for leaf in entries:
        tree.append(leaf_hash(leaf))
    if tree.root() != found.root:
        raise LedgerError("an entry was changed: the root does not match the checkpoint")
    first = named(unpack(entries[0])) if entries else {}
    if first.get("what") != "genesis" or first.get("verifier_key") != str(verifier):
        raise LedgerError("it does not begin with a genesis entry of the trusted key")
    return tree
