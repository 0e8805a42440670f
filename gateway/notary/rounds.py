"""
A watchman's rounds over what is sealed: whether every segment is there, and is what was sealed.

A look at all of them at the start and every few minutes: there, and as long as their own first pages promise. Between looks one
after the other is hashed, slowly, so that what a disk lost, or somebody took, is known while a backup still has it. Files are read
as bytes: LMDB, which trusts them, has no part in it. Nothing waits for this and nothing stops because of it: it tells.

What was found damaged is kept beside the store, so that a restart forgets none of it: the next one looks there first.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from gateway.notary import environment
from gateway.notary.environment import Unfit
from gateway.notary.layout import Layout
from gateway.notary.lives import Events, absent, tell
from gateway.notary.seal import bodies_file, leaves_file

LOOK_SECONDS = 300.0
"""Between two looks at which files are there."""
ROUND_SECONDS = 86400.0
"""Between the beginnings of two rounds in which every file is hashed."""
_SETTLED = 60.0  # seconds after a start: whoever starts has more to do
_MOST = 1 << 63  # beyond any number that a segment or a time has, and the most that the notary's answers carry
_STEP = 1 << 20  # bytes that are read at once
_PACE = 0.25  # seconds of rest after each of them: 4 MiB/s, some percent of a disk and of a processor

_Mark = tuple[int, int, int]
"""A file as it was last looked at: size, time of its last change, inode."""


class Watched(Protocol):
    """Of a Store, what a round looks at."""

    layout: Layout

    @property
    def happened(self) -> Sequence[Sequence[Any]]:
        """What the ledger tells of segments, so far."""


class Rounds:
    """
    :param say: told "damaged", "mended" or "checked", and a sentence; in the thread of this.
    :param pace: seconds of rest after each MiB.
    """

    def __init__(self, say: Callable[[str, str], None], pace: float = _PACE) -> None:
        self._say, self._pace = say, pace
        self.wrong: dict[int, str] = {}  #: what is wrong now, by segment
        self._noticed: dict[int, int] = {}  # when that was, in ns of the epoch
        self._read, self._sealed = set[int](), 0  # segments read whole since the start, of so many
        self.checked_ns = 0  #: when the last whole round ended; 0 for not since the start
        self._marks: dict[Path, _Mark] = {}
        self._store: Watched | None = None
        self._told: tuple[Watched | None, int, dict[int, dict[str, dict[str, Any]]]] = None, 0, {}
        self._wanted, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, store: Watched) -> None:
        """This is the store from now on; look at it at once."""
        self._store = store
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notary-rounds", daemon=True)
            self._thread.start()
        self._wanted.set()

    def stop(self, patience: float = 5.0) -> None:
        self._ended.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(patience)

    def health(self) -> dict[str, Any]:
        """What is wrong, since when it is known, and how much was looked at; for operators."""
        damaged = [{"segment": number, "what": why, "noticed_ns": self._noticed.get(number, 0)} for number, why in list(self.wrong.items())]
        return {"damaged": damaged, "checked_ns": self.checked_ns, "sealed": self._sealed, "read": len(self._read)}

    def recall(self, store: Watched) -> None:
        """What was known before this start. It is read again by the first look, which says so where it is whole now."""
        fates = self._fates(store)
        for number, noticed, why in kept(store.layout.damaged):
            if number in fates and number not in self.wrong:
                self.wrong[number], self._noticed[number] = why, noticed
                self._say("damaged", why)  # whoever reads this start's log, or its records, hears of it

    def look(self, store: Watched) -> None:
        """Whether everything is there; what came back since it was missed is hashed."""
        fates = self._fates(store)
        self._sealed = sum("seg.seal" in about for about in fates.values())
        for number, about in list(fates.items()):
            why = self._seen(store, number, about)
            if why:
                self._forget(store.layout.sealed(number))
                self._found(number, why)
            elif number in self.wrong and self._is_new(store.layout, number):
                self.hash(store, number)

    def hash(self, store: Watched, number: int) -> None:
        """Whether a segment's files are, byte by byte, those that were sealed."""
        about = self._fates(store)[number]
        why = self._seen(store, number, about) or self._unlike(store.layout, number, about)
        if not self._ended.is_set():
            self._read.add(number)
            self._found(number, why)

    # The thread

    def _run(self) -> None:
        assert self._store is not None
        self.recall(self._store)
        looked, began, left = -LOOK_SECONDS, time.monotonic() + _SETTLED - ROUND_SECONDS, deque[int]()
        while not self._ended.is_set():
            store, now = self._store, time.monotonic()
            assert store is not None
            if self._wanted.is_set() or now - looked >= LOOK_SECONDS:
                self._wanted.clear()
                self.look(store)
                looked = now
            elif left:
                self.hash(store, left.popleft())
                if not left and not self._ended.is_set():
                    self._end(store)
            elif now - began >= ROUND_SECONDS:
                left.extend(_order(number for number, about in self._fates(store).items() if "seg.seal" in about))
                began = now
            else:
                self._wanted.wait(max(0.0, min(looked + LOOK_SECONDS, began + ROUND_SECONDS) - now))

    def _end(self, store: Watched) -> None:
        """Of a round."""
        self.checked_ns = time.time_ns()
        sealed = sum("seg.seal" in about for about in self._fates(store).values())
        wrong = f"{len(self.wrong)} damaged or missing" if self.wrong else "all as they were sealed"
        self._say("checked", f"{sealed} sealed segments, {wrong}")

    # One segment

    def _fates(self, store: Watched) -> dict[int, dict[str, dict[str, Any]]]:
        """What the ledger tells of each segment. What it told before is not read again: after a year that takes as long as hashing a small segment."""
        of, read, told = self._told
        if of is not store:
            read, told = 0, {}
        happened = store.happened
        tell(told, happened[read:])
        self._told = store, len(happened), told
        return told

    def _found(self, number: int, why: str) -> None:
        """Tell what has changed."""
        before = self.wrong.get(number, "")
        if why == before:
            return
        if why:
            self.wrong[number], self._noticed[number] = why, time.time_ns()
            self._say("damaged", why)
        else:
            del self.wrong[number], self._noticed[number]
            self._say("mended", f"segment {number} is as it was sealed again")
        self._keep()

    def _keep(self) -> None:
        """For the next start. Where that cannot be written, the next one finds it again by its own rounds."""
        store = self._store
        if store is None:
            return
        file = store.layout.damaged
        beside = file.with_suffix(".new")
        with suppress(OSError):
            beside.write_text("".join(f"{json.dumps([number, self._noticed[number], why])}\n" for number, why in self.wrong.items()))
            os.replace(beside, file)

    def _seen(self, store: Watched, number: int, about: Events) -> str:
        """What a look shows to be wrong. A second look decides: files move while they are sealed and expire."""
        return self._wrong(store.layout, number, about) and self._wrong(store.layout, number, self._fates(store)[number])

    def _wrong(self, layout: Layout, number: int, about: Events) -> str:
        files = layout.files(number)
        why = absent(number, about, files)
        if why or files is None or "seg.seal" not in about:
            return why
        for file in filter(None, files):
            try:
                mark = _mark(file)
                if mark != self._marks.get(file):
                    environment.check(file)
                    if number not in self.wrong:
                        self._marks[file] = mark
            except (OSError, Unfit) as e:
                return f"segment {number}: {'its bodies are ' if file == files[1] else ''}{_words(e)}"
        return ""

    def _forget(self, sealed: Path) -> None:
        """What was taken away may come back as it was: it is looked at anew."""
        for file in (leaves_file(sealed), bodies_file(sealed)):
            self._marks.pop(file, None)

    def _is_new(self, layout: Layout, number: int) -> bool:
        """Whether its files are others than when something was found wrong with them."""
        files = [file for file in layout.files(number) or () if file is not None]
        return any(_mark(file) != self._marks.get(file) for file in files)

    def _unlike(self, layout: Layout, number: int, about: Events) -> str:
        """What is not the file that was sealed. Remembers what was hashed."""
        files, sealed = layout.files(number), about.get("seg.seal")
        if files is None or sealed is None:
            return ""
        leaves, bodies = files
        self._marks |= {file: _mark(file) for file in files if file is not None}
        if self._digest(leaves) != sealed["leaves_sha256"]:
            return f"segment {number}: its file is not the one that was sealed"
        if bodies is not None and self._digest(bodies) != sealed["bodies_sha256"]:
            return f"segment {number}: its bodies are not the file that was sealed"
        return ""

    def _digest(self, file: Path) -> bytes:
        """At the pace of this; b"" for one that cannot be read. What is read does not push out of memory what others need."""
        digest = sha256()
        try:
            with open(file, "rb", buffering=0) as opened:
                while (chunk := opened.read(_STEP)) and not self._ended.is_set():
                    digest.update(chunk)
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    self._ended.wait(self._pace)
        except OSError:
            return b""
        return digest.digest()


def kept(file: Path) -> Iterator[tuple[int, int, str]]:
    """Segment, when that was noticed, and what is wrong. Nobody vouches for this file: what is none of it is passed over."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        with suppress(ValueError, RecursionError):
            match json.loads(line):
                case [int(number), int(noticed), str(why)] if 0 <= number < _MOST and 0 <= noticed < _MOST:
                    yield number, noticed, why


def _order(numbers: Iterable[int]) -> list[int]:
    """From anywhere on, all around: a gateway that is started every day comes by all of them too."""
    found = sorted(numbers)
    at = secrets.randbelow(len(found)) if found else 0
    return found[at:] + found[:at]


def _mark(file: Path) -> _Mark:
    """All zeroes for one that is not there."""
    try:
        found = os.stat(file)
    except OSError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ino


def _words(error: OSError | Unfit) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
