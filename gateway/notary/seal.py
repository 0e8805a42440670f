"""
A closed segment to its compact copy: leaves in one file, bodies in another, both read-only.

A compact copy holds no freed pages, so every byte of it means something, and the
ledger can name its hash. Runs as a child: the notary goes on while it works.

    python -m gateway.notary.seal SEGMENT_DIR SEALED_PREFIX
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import lmdb

from gateway.notary.environment import Unfit, create_compact, open_read_only, sync_directory
from gateway.notary.examine import file_sha256
from gateway.notary.merkle import CompactRange
from gateway.notary.note import Checkpoint, NoteError, split_note
from gateway.notary.segment import HEAD, row_key

_PORTION = 4 << 20
_SLACK = 8 << 20
_DAMAGED = 3  # what the child exits with
_ROOT = Path(__file__).parent.parent.parent
_Row = tuple[bytes, bytes]


class SealError(Exception):
    """The copy was not made; the segment stays as it is and is tried again."""


class Unsealable(SealError):
    """The segment is damaged. Says how."""


def leaves_file(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".mdb")


def bodies_file(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".bodies.mdb")


def seal(segment: Path, prefix: Path) -> tuple[bytes, bytes]:
    """Copy, in a child. Gives the two files' SHA-256."""
    ran = subprocess.run(
        [sys.executable, "-m", "gateway.notary.seal", str(segment), str(prefix)],
        cwd=_ROOT, capture_output=True, check=False, stdin=subprocess.DEVNULL,
    )
    if ran.returncode == _DAMAGED or ran.returncode < 0:  # a damaged file kills whoever maps it
        raise Unsealable(ran.stderr.decode(errors="replace").strip() or f"reading it killed the reader ({signal.Signals(-ran.returncode).name})")
    if ran.returncode:
        raise SealError(f"sealing {segment.name} failed with {ran.returncode}")
    return file_sha256(leaves_file(prefix)), file_sha256(bodies_file(prefix))


def copy(segment: Path, prefix: Path) -> None:
    """
    In this process. A file appears under its name when it is whole; leaves last, so that they imply their bodies.

    :raises Unfit, lmdb.Error, NoteError, UnicodeDecodeError: it is damaged; what is sealed is what its head covers, and nothing else.
    """
    source = segment / "data.mdb"
    size = source.stat().st_size + _SLACK
    finals = (bodies_file(prefix), leaves_file(prefix))
    scratches = [final.with_name(final.name + ".new") for final in finals]
    for scratch in scratches:
        scratch.unlink(missing_ok=True)
    with ExitStack() as stack:
        old = stack.enter_context(closing(open_read_only(source)))
        bodies, leaves = (stack.enter_context(closing(create_compact(scratch, size))) for scratch in scratches)
        with old.begin() as txn:
            head, tree = txn.get(HEAD, b""), CompactRange()
            _put(leaves, [(HEAD, head)])
            for some_leaves, some_bodies in _portions(txn):
                _put(leaves, some_leaves)
                _put(bodies, some_bodies)
                tree = tree.with_leaves([leaf for _, leaf in some_leaves])
        covered = Checkpoint.parse(split_note(head.decode())[0])
        if (tree.size, tree.root()) != (covered.size, covered.root):
            raise Unfit("its records are not those that its head covers")
        for env in (bodies, leaves):
            env.sync(True)
    for scratch, final in zip(scratches, finals):
        os.chmod(scratch, 0o400)
        os.replace(scratch, final)
    sync_directory(prefix.parent)


def _portions(txn: lmdb.Transaction) -> Iterator[tuple[list[_Row], list[_Row]]]:
    """Leaves and bodies, keys and values as they are stored, a few MiB at a time."""
    some: tuple[list[_Row], list[_Row]] = [], []
    left = _PORTION
    cursor = txn.cursor()
    if cursor.set_range(row_key(0, False)):
        for key, value in cursor:
            some[key[-1]].append((key, value))
            left -= len(value)
            if left <= 0:
                yield some
                some, left = ([], []), _PORTION
    yield some


def _put(env: lmdb.Environment, rows: list[_Row]) -> None:
    with env.begin(write=True) as txn:
        if txn.cursor().putmulti(rows, append=True)[1] != len(rows):
            raise lmdb.KeyExistsError("a segment's records are in order")


if __name__ == "__main__":
    os.nice(10)
    try:
        copy(Path(sys.argv[1]), Path(sys.argv[2]))
    except (Unfit, NoteError, UnicodeDecodeError, lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError) as e:
        sys.exit(print(e, file=sys.stderr) or _DAMAGED)
