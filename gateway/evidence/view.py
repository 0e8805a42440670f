"""
Ways to read a store: stopped, straight from its files; live, through the notary for whatever
it still writes. Both give the same records.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from struct import Struct
from typing import Any

import lmdb
import msgpack

from gateway.frame import DAMAGED, FRAME_LIMIT, STARTING, pack
from gateway.notary import examine
from gateway.notary.environment import Unfit, check
from gateway.notary.examine import Findings, Job
from gateway.notary.layout import Files, Layout
from gateway.notary.ledger import LedgerError, is_head
from gateway.notary.record import BadRecord, parse_leaf, unpack
from gateway.notary.segment import SealedSegment

_LENGTH = Struct("!I")
_PAGE = 4 << 20  # bytes per read
_PATIENCE = 10.0  # seconds for an answer of the notary
_LIVE = "live"  # a Job's `leaves` when they come from the notary

Row = tuple[int, bytes, bytes | None]


class Unreadable(Exception):
    """The store cannot be read. Says why and what to do."""


class Damaged(Unreadable):
    """
    What is there is not what was recorded. Says what `verify` does.

    :param where: a segment's number; or what else it is.
    :ivar what: the same without what to do.
    """

    def __init__(self, where: int | str, why: str) -> None:
        self.what = f"{f'segment {where}' if isinstance(where, int) else where}: {why}"
        super().__init__(f"{self.what}: run `ostiary audit verify`")


class _Sealed:
    """What is sealed is read only as what was sealed: a file's hash is in the ledger, and reading all of it takes a tenth of what looking through it does."""

    _layout: Layout

    def __init__(self) -> None:
        self._unfit: dict[int, str] = {}
        self._seals: dict[int, bytes] | None = None  # SHA-256 of the leaves, by segment

    def files(self, number: int) -> Files | None:
        return self._layout.files(number)

    def unfit(self, number: int) -> str:
        """Why a segment's records are not to be believed; "" for none of the reasons that a look at its file shows. Bodies are proved one by one."""
        if number not in self._unfit:
            self._unfit[number] = self._looked_at(number)
        return self._unfit[number]

    def _looked_at(self, number: int) -> str:
        files, sealed = self.files(number), self._sealed().get(number)
        if files is None or sealed is None or files[0].parent.name != "sealed":
            return ""
        try:
            for file in filter(None, files):
                check(file)
            return "" if examine.file_sha256(files[0]) == sealed else "its file is not the one that was sealed"
        except (OSError, Unfit) as e:
            return str(e)

    def _sealed(self) -> dict[int, bytes]:
        if self._seals is None:
            try:
                self._seals = {entry[3]: entry[6] for entry in self.events() if entry[0] == "seg.seal"}
            except Damaged:
                self._seals = {}  # who looks is told of such a ledger elsewhere
        return self._seals

    def events(self) -> list[list[Any]]:
        """The ledger's entries but for heads. Raises Damaged."""
        raise NotImplementedError


class StoppedView(_Sealed):
    """A store that nobody writes; keeps a notary from starting while it is open."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._layout = Layout(directory)
        self._lock = _lock(self._layout)
        self._events: list[list[Any]] | None = None  # nobody adds to them

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def ledger(self) -> tuple[list[bytes], str]:
        return examine.read_ledger(self._layout.ledger)

    def events(self) -> list[list[Any]]:
        """Its ledger's entries but for heads, read in this process as records are. Raises Damaged."""
        if self._events is None:
            try:
                packed, _ = examine.read_ledger_file(str(self._layout.ledger / "data.mdb"))
                self._events = [unpack(leaf) for leaf in packed if not is_head(leaf)]
            except (Unfit, lmdb.Error, LedgerError, BadRecord, UnicodeDecodeError) as e:
                raise Damaged("ledger", str(e)) from e
        return self._events

    def published(self) -> bytes | None:
        return _published(self._layout)

    def present(self) -> set[int]:
        return self._layout.present()

    def job(self, number: int, log: str, key: bytes, heads: tuple[tuple[int, bytes], ...]) -> Job | None:
        return _file_job(self._layout, number, log, key, heads)

    def examine(self, jobs: Sequence[Job]) -> list[Findings]:
        return examine.examine(jobs)

    def page(self, number: int, start: int) -> tuple[list[Row], str]:
        """Records of a segment from `start`, and its head; no records at its end."""
        return _file_page(self._layout, number, start)

    def record_viewing(self, what: str, facts: dict[str, str]) -> bool:
        """Whether it was recorded that evidence is looked at; nobody is here to do so."""
        return False

    def end(self) -> tuple[int, int] | None:
        """None: it does not grow."""


class LiveView(_Sealed):
    """A store that a notary writes. What is sealed is read from files, the rest through its socket."""

    def __init__(self, directory: Path, path: Path) -> None:
        super().__init__()
        self._layout = Layout(directory)
        self._link = NotaryReader(path)
        self._link.wait_for_its_start()
        self._newest: int | None = None
        self._events: list[list[Any]] = []  # as far as the notary has told them

    def close(self) -> None:
        self._link.close()

    def ledger(self) -> tuple[list[bytes], str]:
        """All entries, and the checkpoint that covers exactly these."""
        entries: list[bytes] = []
        more, checkpoint = self._link.ask("ledger", 0)
        while more:
            entries += more
            if len(entries) >= _covered(checkpoint):
                break
            more, checkpoint = self._link.ask("ledger", len(entries))
        if not checkpoint:
            raise Unreadable("the notary has closed its ledger")
        self._limit(unpack(leaf) for leaf in entries if not is_head(leaf))
        return entries, checkpoint

    def events(self) -> list[list[Any]]:
        """As StoppedView's; of what a year's ledger holds the notary sends a hundredth, and of what it sent before nothing again."""
        there = len(self._events) + 1
        while len(self._events) < there:
            more, there = self._link.ask("events", len(self._events))
            self._events += more
        self._limit(self._events)
        return self._events

    def _limit(self, entries: Iterable[Sequence[Any]]) -> None:
        self._newest = max((entry[3] for entry in entries if entry[0] == "seg.open"), default=0)

    def published(self) -> bytes | None:
        return _published(self._layout)

    def present(self) -> set[int]:
        """Once the ledger was read: without segments that began after that."""
        present = self._layout.present()
        return present if self._newest is None else {number for number in present if number <= self._newest}

    def job(self, number: int, log: str, key: bytes, heads: tuple[tuple[int, bytes], ...]) -> Job | None:
        if self._is_sealed(number):
            return _file_job(self._layout, number, log, key, heads)
        if not self._layout.open(number).exists():
            return None
        return Job(_LIVE, None, number, log, key, heads)

    def examine(self, jobs: Sequence[Job]) -> list[Findings]:
        """Sealed segments in a child, the notary's pages here: they are bytes, not a mapped file."""
        filed = iter(examine.examine([job for job in jobs if job.leaves != _LIVE]))
        return [self._examine_live(job) if job.leaves == _LIVE else next(filed) for job in jobs]

    def _examine_live(self, job: Job) -> Findings:
        examiner, size, head = examine.Examiner(job), 0, ""
        while True:
            rows, head = self.page(job.number, size)
            size += len(rows)
            for row in rows:
                examiner.feed(*row)
            if not rows or size >= int(head.split("\n")[1]):
                return examiner.finish(head)

    def page(self, number: int, start: int) -> tuple[list[Row], str]:
        """As StoppedView's."""
        if self._is_sealed(number):
            return _file_page(self._layout, number, start)
        rows, head = self._link.ask("read", number, start)
        return [(index, leaf, body) for index, leaf, body in rows], head

    def record_viewing(self, what: str, facts: dict[str, str]) -> bool:
        """Recorded, durable, before anything is shown. Raises Unreadable when that cannot be."""
        self._link.ask("admin", what, facts)
        return True

    def follow(self) -> Iterator[tuple[int, int]]:
        """(segment, size) now, and after every commit, for ever."""
        self._link.ask("follow")
        yield self.end()  # what was committed before the notary knew that we follow
        while True:
            yield self._link.news()

    def end(self) -> tuple[int, int]:
        """The open segment and its size: where the next record will be."""
        number, size, _ = self._link.ask("status")
        return number, size

    def _is_sealed(self, number: int) -> bool:
        return not self._layout.open(number).exists() and self._layout.files(number) is not None


View = StoppedView | LiveView


class NotaryReader:
    """A blocking connection to a notary, for command-line tools."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE)
        self._asked = 0
        self._down = ""  # why nothing is recorded
        self._news: list[tuple[int, int]] = []
        try:
            self._socket.connect(str(path))
            self._socket.sendall(pack(["hello", ""]))
            answer = self._receive()
        except OSError as e:
            raise Unreadable(f"the notary of the store does not answer at {path}: {e}") from e
        if answer[0] == "denied":
            raise Unreadable("the notary answers its own user and root only: run this as one of them")
        self._heard(answer)

    def wait_for_its_start(self) -> None:
        """
        One that has not opened its store yet is about to.

        :raises Unreadable: it does not say how that ended.
        """
        try:
            while self._down == STARTING:
                self._heard(self._receive())
        except OSError as e:
            raise Unreadable(f"the notary: {STARTING}, and does not end doing so: {e}") from e

    def ask(self, op: str, *arguments: Any) -> list[Any]:
        """
        One question, its answer.

        :raises Unreadable: the notary refuses, or is gone. :raises Damaged: it cannot read what is asked for.
        """
        self._asked += 1
        try:
            self._socket.sendall(pack([op, self._asked, *arguments]))
            while True:
                what, *rest = self._heard(self._receive())
                if what in ("done", "failed") and rest[0] == self._asked:
                    break
        except OSError as e:
            raise Unreadable(f"the notary does not answer: {e}") from e
        if what == "failed" and DAMAGED in rest[2:]:
            raise Damaged("the notary", rest[1])
        if what == "failed":
            raise Unreadable(f"the notary: {rest[1]}")
        return rest[1:]

    def news(self) -> tuple[int, int]:
        """Wait for the next commit. Raises Unreadable when there will be none for now."""
        self._socket.settimeout(None)
        try:
            while not (self._news or self._down):
                self._heard(self._receive())
        except OSError as e:
            raise Unreadable(f"the notary is gone: {e}") from e
        finally:
            self._socket.settimeout(_PATIENCE)
        if self._down:
            raise Unreadable(f"the notary: {self._down}")
        return self._news.pop(0)

    def _heard(self, frame: list[Any]) -> list[Any]:
        """The same frame; what it says of recording, asked for or not, is kept."""
        match frame:
            case ["news", number, size]:
                self._news.append((number, size))
            case ["down", why]:
                self._down = why
            case ["up", *_]:
                self._down = ""
        return frame

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> list[Any]:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > FRAME_LIMIT:
            raise Unreadable("the notary sent a frame over the limit")
        return msgpack.unpackb(self._exactly(length), raw=False)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = self._socket.recv(min(count - len(data), 1 << 20))
            if not more:
                raise ConnectionError("it closed the connection")
            data += more
        return bytes(data)


def reach(directory: Path) -> NotaryReader | None:
    """The notary of a store, whether it records or not; None where none answers."""
    try:
        return NotaryReader(Path(Layout(directory).socket_name.read_text()))
    except (OSError, Unreadable):
        return None


def open_view(directory: Path) -> View:
    """
    Whichever fits the store as it is now.

    :raises Unreadable: it is no store, or a notary holds it and does not answer.
    """
    directory = directory.resolve()  # children that examine it run elsewhere
    layout = Layout(directory)
    if not layout.ledger.is_dir() and not layout.present():
        raise Unreadable(f"{directory} is not an evidence store")
    try:
        return StoppedView(directory)
    except BlockingIOError:
        pass
    except OSError as e:
        raise Unreadable(f"{directory}: {e.strerror}") from e
    return live(directory)


def live(directory: Path) -> LiveView:
    """
    A store as its notary shows it; the store itself is not opened.

    :raises Unreadable: none answers.
    """
    try:
        path = Path(Layout(directory).socket_name.read_text())
    except OSError as e:
        raise Unreadable(f"no notary of {directory} is reachable (none runs, or it is still starting)") from e
    return LiveView(directory, path)


def rows(view: View, number: int, start: int = 0) -> Iterator[Row]:
    """A segment's records in order. Raises Damaged where they are not its own: changed, or another's file has its place."""
    if why := view.unfit(number):
        raise Damaged(number, why)
    while True:
        page, _ = view.page(number, start)
        if not page:
            return
        index, stamp = page[0][0], parse_leaf(page[0][1]).stamp
        if (stamp.segment, stamp.index) != (number, index):
            raise Damaged(number, f"record {index} says that it is record {stamp.index} of segment {stamp.segment}: moved, swapped or repeated")
        yield from page
        start = page[-1][0] + 1


def _covered(checkpoint: str) -> int:
    """How many entries; 0 of what is no checkpoint: whoever checks it says so."""
    lines = checkpoint.split("\n")
    return int(lines[1]) if len(lines) > 1 and lines[1].isdecimal() else 0


def _published(layout: Layout) -> bytes | None:
    try:
        return layout.checkpoint.read_bytes()
    except FileNotFoundError:
        return None


def _lock(layout: Layout) -> int | None:
    """:raises BlockingIOError: a notary has it."""
    if not layout.lock.exists():
        return None
    fd = os.open(layout.lock, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise
    return fd


def _file_job(layout: Layout, number: int, log: str, key: bytes, heads: tuple[tuple[int, bytes], ...]) -> Job | None:
    files = layout.files(number)
    if files is None:
        return None
    leaves, bodies = files
    sealed = leaves.suffix == ".mdb" and leaves.parent.name == "sealed"
    return Job(str(leaves), bodies and str(bodies), number, log, key, heads, hashed=sealed)


def _file_page(layout: Layout, number: int, start: int) -> tuple[list[Row], str]:
    files = layout.files(number)
    if files is None:
        raise Damaged(number, "it is not here")
    try:
        with closing(SealedSegment(*files)) as segment:
            page = segment.page(start, _PAGE)
    except (lmdb.Error, UnicodeDecodeError) as e:
        raise Damaged(number, f"{type(e).__name__}: {e}") from e
    except Unfit as e:
        if isinstance(e.__cause__, OSError):
            raise Unreadable(f"segment {number}: {e}") from e
        raise Damaged(number, str(e)) from e
    return page.rows, page.head
