"""
A home for the visitors of the demo's host, where root runs it: in /var/tmp, which `nobody` can reach, and gone with the demo.

Whoever holds the lock on the directory uses it. What a demo left that was killed has the name and the owner of such a home
and no lock, and is removed when the next one begins.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from gateway.demo.place import Runner

PLACE = Path("/var/tmp")
PREFIX = "ostiary-visitor-"


class Home:
    """One that this process uses until it removes it, or ends."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock

    @classmethod
    def make(cls, who: Runner, place: Path = PLACE) -> Home:
        """A new and empty one."""
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = _lock(path)  # before it has its owner, by whom others would take it for one that was left
        assert lock is not None
        os.chown(path, who.uid, who.gid)
        return cls(path, lock)

    @classmethod
    def kept(cls, link: Path) -> Home | None:
        """The one that a link leads to; None where it is no link, or another process uses it."""
        lock = _lock(link.resolve()) if link.is_symlink() else None
        return cls(link.resolve(), lock) if lock is not None else None

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(who: Runner, place: Path = PLACE) -> None:
    """Remove what killed demos left: nothing that another process uses, and nobody else's."""
    for path in place.glob(f"{PREFIX}*"):
        lock = _lock(path)
        if lock is None:
            continue
        if os.fstat(lock).st_uid == who.uid:
            Home(path, lock).remove()
        else:
            os.close(lock)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the directory's lock; None when it is no directory, or another has it. No child inherits it."""
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(directory)
        return None
    return directory
