"""
A closed segment to its compact copy: leaves in one file, bodies in another, both read-only.

A compact copy holds no freed pages, so every byte of it means something, and the
ledger can name its hash. Runs as a child: the notary goes on while it works.

    python -m gateway.notary.seal SEGMENT_DIR SEALED_PREFIX
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from gateway.notary.environment import create_compact, open_read_only, sync_directory
from gateway.notary.examine import file_sha256
from gateway.notary.segment import HEAD, read_page, row_key

_PAGE = 4 << 20
_SLACK = 8 << 20
_ROOT = Path(__file__).parent.parent.parent


class SealError(Exception):
    """The copy was not made; the segment stays as it is and is tried again."""


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
    if ran.returncode:
        raise SealError(f"sealing {segment.name} failed with {ran.returncode}")
    return file_sha256(leaves_file(prefix)), file_sha256(bodies_file(prefix))


def copy(segment: Path, prefix: Path) -> None:
    """In this process. A file appears under its name when it is whole; leaves last, so that they imply their bodies."""
    source = segment / "data.mdb"
    size = source.stat().st_size + _SLACK
    scratch = prefix.with_name(prefix.name + ".new")
    for final, body in ((bodies_file(prefix), True), (leaves_file(prefix), False)):
        scratch.unlink(missing_ok=True)
        with closing(open_read_only(source)) as old, closing(create_compact(scratch, size)) as new:
            start = 0
            while True:
                page = read_page(old, start, _PAGE)
                with new.begin(write=True) as txn:
                    if not body:
                        txn.put(HEAD, page.head.encode())
                    for index, leaf, stored in page.rows:
                        value = stored if body else leaf
                        if value is not None:
                            txn.put(row_key(index, body), value, append=True)
                if not page.rows:
                    break
                start = page.rows[-1][0] + 1
            new.sync(True)
        os.chmod(scratch, 0o400)
        os.replace(scratch, final)
    sync_directory(prefix.parent)


if __name__ == "__main__":
    os.nice(10)
    copy(Path(sys.argv[1]), Path(sys.argv[2]))
