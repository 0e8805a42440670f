"""
The store: segments, ledger, keys and anchor as one thing that records.

Used by one thread. Whatever fails, the store is abandoned and opened again: a
failed sync must never be tried twice, because the kernel may have dropped the pages.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lmdb

from gateway.config import Audit
from gateway.notary.anchor import FileAnchor
from gateway.notary.entry import Entry
from gateway.notary.environment import Unfit, sync_directory
from gateway.notary.kernel import Row, rows
from gateway.notary.keys import Keys
from gateway.notary.layout import Layout
from gateway.notary.ledger import Ledger
from gateway.notary.record import COMMON, FIELDS, Kind, event, parse_event
from gateway.notary.recovery import Last, recover
from gateway.notary.seal import seal
from gateway.notary.segment import STREAM, Page, SealedSegment, Segment, is_reserved, reserve
from gateway.notary.state import State

HEAD_SECONDS = 30.0
"""Between two ledger entries that name the open segment's size: what a thief of its key could cut off."""
_SLACK = 32 << 20
"""Bytes of map beyond segment_bytes: one batch, and pages that a transaction frees later."""
_CLOCK_STEP_NS = 1_000_000_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ALLOW, _DENY = 1, 2
_SEGMENT_MAKER = 0
"""The worker number of headers and carried state; its sequence starts again in every segment."""


class StoreError(Exception):
    """There is no store here, or another notary has it. Says what to do."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall and monotonic nanoseconds; the second one goes on through suspend."""

    wall_ns: Callable[[], int] = time.time_ns
    boot_ns: Callable[[], int] = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)


class Lock:
    """One notary per store, for as long as this file is held."""

    def __init__(self, file: Path) -> None:
        try:
            self._fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as e:
            raise StoreError(f"{file.parent}: {e.strerror}") from e
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._fd)
            raise StoreError(f"another notary has {file.parent}") from e

    def release(self) -> None:
        os.close(self._fd)


def create(audit: Audit, keys: Keys, clock: Clock = Clock()) -> None:
    """Make an empty store with its genesis entry. One that exists is left as it is."""
    layout = Layout(audit.directory)
    if layout.ledger.exists():
        return
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in ("open", "sealed"):
        (layout.root / folder).mkdir(mode=0o700, exist_ok=True)
    Ledger.create(layout.ledger, keys.identity, clock.wall_ns()).close()
    sync_directory(layout.root)


def _nobody_waits(refusals: list[str]) -> None:
    """For word that records are durable."""


class Store:
    """
    Open for recording. Every method may raise OSError or lmdb.Error: then abandon it.

    :param alone: no worker of before lives any more, so that every session in it is over.
    """

    def __init__(
        self, audit: Audit, keys: Keys, clock: Clock = Clock(), anchor: FileAnchor | None = None, *, alone: bool = False
    ) -> None:
        self._audit, self._keys, self._clock, self._anchor = audit, keys, clock, anchor
        self._bodies = keys.bodies
        self.layout = Layout(audit.directory)
        if not self.layout.ledger.is_dir():
            raise StoreError(f"no evidence store in {audit.directory}: `ostiary init` makes one")
        self._ledger: Ledger | None = None
        self._segment: Segment | None = None
        self._lock = Lock(self.layout.lock)
        self.unsealed: list[int] = []
        self.begun = ""  #: that the anchor file is begun anew
        self._reserving, self._reading = threading.Lock(), threading.Lock()
        self._opened: dict[int, Segment] = {}
        try:
            self._start(recover(self.layout, keys.identity.verifier, audit.anchor_file), alone)
        except BaseException:
            self.abandon()
            raise

    def _start(self, last: Last | None, alone: bool) -> None:
        self._ledger = Ledger(self.layout.ledger, self._keys.identity)
        self.state = last.state if last else State()
        self._drift = self._clock.wall_ns() - self._clock.boot_ns()
        self._sequence, self.worker = 0, self.state.next_worker
        self._next_worker = self.worker + 1
        self._make_room(last)
        cut_short = last is not None and not last.closed
        ending = [self._close_entry(last.number, last.size, last.root, "recovered")] if last and cut_short else []
        self._open_segment(last.number + 1 if last else 1, last.root if last else bytes(32), ending)
        why = "; ".join(filter(None, ("recovered", last.torn))) if last and cut_short else ""
        self.begun = last.begun if last and self._anchor is not None else ""
        noticed = [event(Kind.NOTARY, "started", why), *([event(Kind.NOTARY, "anchor", self.begun)] if self.begun else [])]
        lost = self._lost(list(self.state.open_intents))
        over = self.over(list(self.state.sessions)) if alone else []
        self.commit([self._joined(self.worker, "notary", os.getpid(), os.getuid()), *lost, *over, *map(self.own, noticed)])
        self.unsealed = self._leftovers(self.segment.number)

    def _make_room(self, last: Last | None) -> None:
        """Reserve the next segment; on a full disk, first turn what is closed into its small copies."""
        try:
            self.prepare_spare()
        except OSError:
            closed = {entry[3] for entry in self.ledger.events if entry[0] == "seg.close"}
            self.unsealed = [number for number in self._leftovers(0) if number in closed]
            if not self.unsealed:
                raise
            for number in list(self.unsealed):
                self.sealed(number, *seal(self.layout.open(number), self.layout.sealed(number)))
            self.prepare_spare()

    @property
    def ledger(self) -> Ledger:
        assert self._ledger is not None
        return self._ledger

    @property
    def happened(self) -> list[list[Any]]:
        """What became of segments so far, for another thread."""
        return list(self.ledger.events)

    @property
    def segment(self) -> Segment:
        assert self._segment is not None
        return self._segment

    # What goes in

    def own(self, packed: bytes, body: bytes | None = None, terms: Sequence[str] = ()) -> Entry:
        """A record of the notary's own, next in its sequence."""
        self._sequence += 1
        return Entry.of(self.worker, self._sequence, packed, parse_event(packed), body, terms)

    def join(self, role: str, pid: int, uid: int) -> Entry:
        """A new worker number; the entry is its record 0."""
        number, self._next_worker = self._next_worker, self._next_worker + 1
        return self._joined(number, role, pid, uid)

    def _joined(self, number: int, role: str, pid: int, uid: int) -> Entry:
        packed = event(Kind.WORKER, "joined", number, role, pid, uid)
        return Entry.of(number, 0, packed, parse_event(packed))

    def leave(self, number: int, numbers: Collection[int] = ()) -> list[Entry]:
        """
        A worker is gone: what it left open has an unknown outcome, and its sessions are over.

        :param numbers: those that it had of other notaries, under which it may have opened some.
        """
        intents, opened = self.state.of_worker(number)
        older = [session for session, (worker, _) in self.state.sessions.items() if worker in numbers and session not in opened]
        left = event(Kind.WORKER, "left", number, "", 0, 0)
        return [*self._lost(intents), *self.over([*opened, *older]), self.own(left)]

    def over(self, sessions: Iterable[bytes]) -> list[Entry]:
        """Ends of sessions whose worker cannot tell of them any more."""
        return [self.own(event(Kind.CLOSED, 0, session=s, target=self.state.sessions[s][1])) for s in sessions]

    def _lost(self, intents: Iterable[tuple[int, int]]) -> list[Entry]:
        """Outcomes of intents whose worker, or whose notary, went away first."""
        entries = []
        for key in intents:
            session, target, command = self.state.open_intents[key]
            packed = event(
                Kind.OUTCOME, command, "unknown", "", 0, 0, 0, 0, 0, "",
                session=session, target=target, verdict=_ALLOW, ref=list(key),
            )
            entries.append(self.own(packed))
        return entries

    # The one transaction

    def commit(self, entries: Sequence[Entry], durable: Callable[[list[str]], None] = _nobody_waits) -> list[str]:
        """
        Put all of it on stable storage together.

        :param durable: told the same as is returned, as soon as that is so; see `Segment.commit`.
        :returns: for each entry why it was refused; "" for recorded as it came. A refused
            intent is recorded too, as UNGRANTED, in its own place of the worker's sequence.
        """
        boot = self._clock.boot_ns()
        if self._must_rotate(boot):
            self.rotate("rotated")
            boot = self._clock.boot_ns()
        wall = self._clock.wall_ns()
        entries, refusals = self._judged(entries, wall)
        stepped = self._clock_step(wall - boot)  # behind the notary's own among these: it is the later one in their sequence
        self._write([*entries, *stepped] if stepped else entries, wall, boot, partial(durable, refusals))
        return refusals

    def _judged(self, entries: Sequence[Entry], now_ns: int) -> tuple[Sequence[Entry], list[str]]:
        """Checks every grant, counting those that this very transaction spends; puts what is recorded in place of what is refused."""
        judged, answers = entries, [""] * len(entries)
        pending: dict[str, int] = {}
        for place, entry in [pair for pair in enumerate(entries) if pair[1].fields is not None]:
            fields = entry.fields
            if fields[0] != _INTENT or not fields[_GRANT]:
                continue
            grant = fields[_GRANT]
            why = answers[place] = self.state.refusal(grant, fields[_BINDING], now_ns, pending.get(grant, 0))
            if why:
                judged = [*judged[:place], _ungranted(entry, why), *judged[place + 1 :]]
            else:
                pending[grant] = pending.get(grant, 0) + 1
        return judged, answers

    def _write(self, entries: Sequence[Entry], wall: int, boot: int, durable: Callable[[], object]) -> None:
        segment = self.segment
        segment.commit(self._rows(segment, entries, wall, boot), durable)
        self.state.remember(entries, wall)

    def _rows(self, segment: Segment, entries: Sequence[Entry], wall: int, boot: int) -> list[Row]:
        return rows(entries, segment.number, segment.size, wall, boot, self._bodies)

    def _clock_step(self, drift: int) -> list[Entry]:
        """A record when the wall clock moved against the monotonic one by more than a second."""
        if abs(drift - self._drift) > _CLOCK_STEP_NS:  # or this process was kept waiting between its looks at the two
            drift = self._clock.wall_ns() - self._clock.boot_ns()
        step, self._drift = drift - self._drift, drift
        return [self.own(event(Kind.CLOCK, step))] if abs(step) > _CLOCK_STEP_NS else []

    # Segments

    def _must_rotate(self, boot: int) -> bool:
        segment, audit = self.segment, self._audit
        if segment.size >= audit.segment_records or segment.used >= audit.segment_bytes:
            return True
        return (boot - self._opened_ns) / 1e9 >= audit.segment_seconds

    def rotate(self, reason: str) -> None:
        """Close the open segment and go on in the spare one."""
        old = self.segment
        old.settle()  # what the ledger says is closed is whole in LMDB
        self._open_segment(old.number + 1, old.root, [self._close_entry(old.number, old.size, old.root, reason)])
        with self._reading:
            del self._opened[old.number]
            old.close()
        self.unsealed.append(old.number)

    def _open_segment(self, number: int, previous_root: bytes, ending: list[list[Any]]) -> None:
        """Its first records, then its ledger entry; only then may anything in it be acknowledged."""
        self.prepare_spare()
        path = self.layout.open(number)
        os.rename(self.layout.spare, path)
        sync_directory(path.parent)
        with self._reading:
            segment = self._opened[number] = Segment(path, number, self._keys.identity.name, self._map_size)
        self._segment = segment
        self._opened_ns, self._headed_ns, self._headed = self._clock.boot_ns(), self._clock.boot_ns(), 0
        boot_id = _BOOT_ID.read_text().strip()
        header = event(
            Kind.HEADER, self._keys.identity.name, STREAM, number, previous_root, self.ledger.size, self.ledger.root,
            segment.signer.public, boot_id, self._next_worker,
        )
        wall = self._clock.wall_ns()
        self.state.forget_grants(wall)
        carried = [event(Kind.CARRY, what, rows) for what, rows in self.state.carry(wall)]
        first = [Entry.of(_SEGMENT_MAKER, i, packed, parse_event(packed)) for i, packed in enumerate([header, *carried])]
        segment.commit(self._rows(segment, first, wall, self._clock.boot_ns()))
        segment.settle()
        self._log([*ending, ["seg.open", wall, STREAM, number, segment.signer.public, previous_root, boot_id]])

    @property
    def _map_size(self) -> int:
        return self._audit.segment_bytes + _SLACK

    def prepare_spare(self) -> None:
        """Reserve the next segment's space, unless it is. Any thread may."""
        with self._reserving:
            if is_reserved(self.layout.spare, self._map_size):
                return
            scratch = self.layout.spare.with_name("spare.new")
            for stale in (scratch, self.layout.spare):
                shutil.rmtree(stale, ignore_errors=True)
            try:
                reserve(scratch, self._map_size)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
            os.rename(scratch, self.layout.spare)

    def _leftovers(self, current: int) -> list[int]:
        """Closed segments to be sealed; what is sealed already only has to go."""
        sealed = {entry[3] for entry in self.ledger.events if entry[0] == "seg.seal"}
        unsealed = []
        for number in sorted(self.layout.present() - {current}):
            if number not in sealed:
                unsealed.append(number)
            elif self.layout.open(number).exists():
                shutil.rmtree(self.layout.open(number))
        return unsealed

    def sealed(self, number: int, leaves: bytes, bodies: bytes) -> None:
        """The compact copy of a closed segment is whole: say so in the ledger, then let the original go."""
        _, _, _, _, size, root, _ = next(e for e in self.ledger.events if e[0] == "seg.close" and e[3] == number)
        self._log([["seg.seal", self._clock.wall_ns(), STREAM, number, size, root, leaves, bodies]])
        self.unsealed.remove(number)
        shutil.rmtree(self.layout.open(number))

    # The ledger

    def tick(self) -> None:
        """What is due by time: a ledger entry that names the open segment's size, or its end."""
        if self.segment.size > 1 and self._must_rotate(self._clock.boot_ns()):
            self.rotate("aged")
        now = self._clock.boot_ns()
        if self.segment.size != self._headed and now - self._headed_ns >= HEAD_SECONDS * 1e9:
            self.head()

    def head(self) -> None:
        """Let the ledger, and so the anchors, cover all that is recorded."""
        self._headed, self._headed_ns = self.segment.size, self._clock.boot_ns()
        self._log([["head", self._clock.wall_ns(), STREAM, self.segment.number, self.segment.size, self.segment.root]])

    def _close_entry(self, number: int, size: int, root: bytes, reason: str) -> list[Any]:
        return ["seg.close", self._clock.wall_ns(), STREAM, number, size, root, reason]

    def _log(self, entries: list[list[Any]]) -> None:
        self.ledger.append(entries)
        if self._anchor is not None:
            self._anchor.append(self.ledger.checkpoint)

    # What comes out

    def page(self, number: int, start: int, limit: int) -> Page:
        """Records of any segment, for a thread other than the writer's."""
        with self._reading:  # LMDB opens no file twice in one process
            segment = self._opened.get(number)
            if segment is not None:
                return segment.page(start, limit)
            try:
                return self._closed_page(number, start, limit)
            except (Unfit, lmdb.Error):  # it was sealed at this very moment, and is elsewhere now
                return self._closed_page(number, start, limit)

    def _closed_page(self, number: int, start: int, limit: int) -> Page:
        files = self.layout.files(number)
        if files is None:
            return Page([], "")
        closed = SealedSegment(*files)
        try:
            return closed.page(start, limit)
        finally:
            closed.close()

    # The end

    def close(self) -> None:
        """Stop in good order: the ledger and the anchors cover everything."""
        segment = self.segment
        self._write([self.own(event(Kind.NOTARY, "stopped", ""))], self._clock.wall_ns(), self._clock.boot_ns(), lambda: None)
        segment.settle()
        self._log([self._close_entry(segment.number, segment.size, segment.root, "stopped")])
        self.abandon()

    def abandon(self) -> None:
        """Let go of everything without another write."""
        for segment in list(self._opened.values()):
            segment.close()
        if self._ledger is not None:
            self._ledger.close()
        self._lock.release()


_INTENT = int(Kind.INTENT)
_GRANT = len(COMMON) + FIELDS[Kind.INTENT].index("grant")
_BINDING = len(COMMON) + FIELDS[Kind.INTENT].index("binding")


def _ungranted(entry: Entry, why: str) -> Entry:
    """The record, in place of an intent, that it was refused."""
    _, session, number, target, _, ref, command, *_ = entry.fields
    packed = event(
        Kind.UNGRANTED, command, entry.fields[_GRANT], why, session=session, number=number, target=target, verdict=_DENY, ref=ref
    )
    return entry._replace(packed=packed, fields=parse_event(packed))
