"""
The `file` anchor: every checkpoint of the ledger, appended to a file kept elsewhere.

Nothing local can tell that a whole directory was put back to an older, valid copy; a
checkpoint that was kept outside can. Signed notes follow one another, an empty line between.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.notary.merkle import CompactRange, leaf_hash
from gateway.notary.note import DASH, Checkpoint, NoteError, Verifier

_NEWEST = 64 << 10
"""Bytes of an anchor file that a starting notary reads."""


_DASHES = ("\u2014", "\u2013", "-", "--", "\ufffd")  # what mail makes of the one that a signature begins with
_SIGNATURE = re.compile("[A-Za-z0-9+/=]{92,}")  # a key's id and an Ed25519 signature, or a witness's, in base64


class AnchorMismatch(Exception):
    """A kept checkpoint contradicts the ledger: it was rolled back or forked."""


class FileAnchor:
    """
    Appends in its own thread: the file may be on a disk that answers late or never.

    :param failed: told why it cannot be written. :param lost: told that what was written is not there any more.
    :param written: told that it is written again, after it could not be.
    """

    def __init__(
        self, file: Path, failed: Callable[[OSError], None], lost: Callable[[str], None], written: Callable[[], None] = lambda: None
    ) -> None:
        self._file, self._failed, self._lost, self._written = file, failed, lost, written
        self.trouble: OSError | None = None  #: why the newest checkpoint is not in it
        self._size: int | None = None  # bytes, as we left it
        self._notes: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="anchor", daemon=True)
        self._thread.start()

    def append(self, checkpoint: str) -> None:
        self._notes.put(checkpoint)

    def close(self, timeout: float = 2.0) -> None:
        """Give what is queued a moment to be written."""
        self._notes.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (note := self._notes.get()) is not None:
            try:
                self._look()
                self._size = append(self._file, note)
                before, self.trouble = self.trouble, None
                if before is not None:
                    self._written()
            except OSError as e:
                self.trouble = e
                self._failed(e)

    def _look(self) -> None:
        """Whether what was written is still there. At a start, recovery looks."""
        here = self._file.stat().st_size if self._file.exists() else None
        if self._size is not None and (here is None or here < self._size):
            self._lost(f"anchor_file was {'removed' if here is None else 'cut short'} while the notary ran, and is begun anew")


def append(file: Path, checkpoint: str) -> int:
    """One more checkpoint, durable; how many bytes the file has then. It does not begin in a line that a crash or a full disk left unfinished."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        size = os.fstat(fd).st_size
        unfinished = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        rest = (b"\n\n" if unfinished else b"") + f"{checkpoint}\n".encode()
        while rest:
            rest = rest[os.write(fd, rest):]
        os.fsync(fd)
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def parse(text: str, verifier: Verifier) -> list[Checkpoint]:
    """
    The checkpoints in such a file, in a single note, or in a mail that quotes one. One that is cut short is left out.

    :raises NoteError: one is not signed by this key: somebody wrote into the file.
    """
    return [_open(note, verifier) for note in notes(text)]


def notes(text: str) -> list[str]:
    """
    Whole signed notes of three lines in a text, however it is quoted, indented or wrapped: three words, a dash, a name and a
    signature each. The verifier that bundles carry repeats this rule on its own.
    """
    words = [word for line in text.splitlines() for word in line.lstrip("> |\t").split()]
    found: list[str] = []
    for at, word in enumerate(words):
        if word not in _DASHES or not _is_signature(words[at + 2 : at + 3]):
            continue
        if at >= 3 and not _is_signature(words[at - 1 : at]):  # else one more signature of the same text
            found.append("\n".join(words[at - 3 : at]) + "\n\n")
        if found:
            found[-1] += f"\u2014 {words[at + 1]} {words[at + 2]}\n"
    return found


def newest(file: Path, verifier: Verifier) -> list[Checkpoint]:
    """
    The last checkpoints in such a file, some hundreds: all of them are a year's million, and each has a signature.

    :raises NoteError: as `parse`, of these.
    """
    with open(file, "rb") as opened:
        at = max(0, opened.seek(0, os.SEEK_END) - _NEWEST)
        opened.seek(at)
        text = opened.read().decode(errors="replace")
    if at:  # it begins inside a note: go on behind the first that ends
        _, _, behind = text.partition(f"\n{DASH}")
        _, _, text = behind.partition("\n\n")
    return parse(text, verifier)


def _is_signature(words: list[str]) -> bool:
    return bool(words) and _SIGNATURE.fullmatch(words[0]) is not None


def _open(note: str, verifier: Verifier) -> Checkpoint:
    checkpoint = Checkpoint.parse(verifier.open(note))
    if checkpoint.origin != verifier.name:
        raise NoteError(f"it is of {checkpoint.origin}")
    return checkpoint


def check(anchors: Sequence[Checkpoint], packed: Sequence[bytes]) -> int:
    """
    The size of the newest anchor; 0 when there is none.

    :param packed: the ledger's entries.
    :raises AnchorMismatch: an anchor is newer than the ledger, or of another one.
    """
    tree, newest = CompactRange(), 0
    for anchor in sorted(anchors, key=lambda a: a.size):
        if anchor.size > len(packed):
            raise AnchorMismatch(
                f"rolled back: an anchor has seen {anchor.size} ledger entries, {len(packed)} are here"
            )
        while tree.size < anchor.size:
            tree.append(leaf_hash(packed[tree.size]))
        if tree.root() != anchor.root:
            raise AnchorMismatch(f"forked: the first {anchor.size} ledger entries are not those that were anchored")
        newest = anchor.size
    return newest
