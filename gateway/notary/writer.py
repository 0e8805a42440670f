"""
What writes evidence, in the reactor's thread: jobs in, one synchronous write for all of them, answers out.

It commits at the end of each turn of the reactor: what came meanwhile is one batch, so batches form by themselves and no
timer delays a lone record. The write is some hundred microseconds in which nothing else could be acknowledged; a thread
for it costs more than that, since it and the reactor would wait for each other's interpreter lock. Only what is slow has
threads: opening a store, and chores that no commit waits for.

When the store refuses, every job is refused, the store is abandoned, and it is opened anew until that works.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import lmdb
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gateway.frame import STARTING
from gateway.notary.entry import Entry
from gateway.notary.environment import Unfit
from gateway.notary.keys import KeyFileError
from gateway.notary.ledger import LedgerError
from gateway.notary.recovery import Unsound
from gateway.notary.seal import SealError, Unsealable, seal
from gateway.notary.store import Store, StoreError
from gateway.reactor import end_of_turn

FAILURES = (lmdb.Error, OSError, StoreError, Unsound, Unfit, LedgerError, KeyFileError, SealError)
"""What a store may say instead of recording. Anything else is a bug of ours, and ends the thread."""

_BATCH_RECORDS = 512
_BATCH_BYTES = 2 << 20
_TICK = 1.0  # seconds between looks at what is due by time
_CHORE_RETRY = 5.0  # seconds; zeroing a segment again and again would load a full disk
_FAREWELL = 5.0  # seconds that a thread may take to end
_RETRY = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts to open the store


class Job(Protocol):
    """Something to record."""

    weight: tuple[int, int]  #: records, bytes
    first: bool  #: it asks the state, so what came before it must be durable

    def entries(self, store: Store) -> Sequence[Entry]:
        """What to record."""

    def done(self, refusals: Sequence[str]) -> None:
        """It is durable, but for what was refused."""

    def failed(self, why: str) -> None:
        """It is not recorded."""


class Writer:
    """
    :param open_store: makes a Store; called in a thread, again after every failure.
    :param clock: the reactor.
    :param deliver: `reactor.callFromThread`.
    :param up: told when recording works (again).
    :param down: told why it does not.
    :param news: told after each commit.
    :param unsealable: told of a closed segment why it cannot be sealed, being damaged; "" once it could be. In the chores' thread.
    """

    def __init__(
        self, open_store: Callable[[], Store], clock: IReactorTime, deliver: Callable[..., Any],
        up: Callable[[], None], down: Callable[[str], None], news: Callable[[], None],
        unsealable: Callable[[int, str], None] = lambda number, why: None,
    ) -> None:
        self._unsealable = unsealable
        self._open, self._clock, self._deliver, self._up, self._down, self._news = open_store, clock, deliver, up, down, news
        self._log = Logger()
        self._jobs: deque[Job] = deque()
        self._end_of_turn = end_of_turn(clock)
        self._soon = False  # `_turn` is due
        self._tick: IDelayedCall | None = None
        self._why = STARTING
        self._working = False
        self._seals: deque[tuple[Store, int, bytes, bytes]] = deque()
        self._sealing: set[int] = set()
        self._chores_wanted, self._ended = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self.store: Store | None = None

    def start(self) -> None:
        self._thread(self._chores, "notary-chores")
        self._thread(self._open_it, "notary-opener")

    def stop(self) -> None:
        """Commit what is queued, and close the store in good order; `join` waits for the threads."""
        self._ended.set()
        self._chores_wanted.set()
        while self._working and self._jobs:
            self._turn()
        if self._working and self.store is not None:
            try:
                self.store.close()
            except FAILURES as e:
                self._give_up(e)
        self._refuse("the notary has stopped")

    def join(self) -> None:
        """After `stop`, from another thread than the reactor's: until nothing of this runs."""
        for thread in self._threads:
            thread.join(_FAREWELL)

    def submit(self, job: Job) -> None:
        """Queue a job; it is answered at once when nothing can be recorded."""
        if not self._working:
            job.failed(self._why)
            return
        self._jobs.append(job)
        if not self._soon:
            self._soon = True
            self._end_of_turn(self._turn)

    # Opening

    def _thread(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()

    def _open_it(self) -> None:
        """In a thread of its own: recovery may read much."""
        attempt = 0
        while not self._ended.is_set():
            try:
                store = self._open()
            except FAILURES as e:
                self._deliver(self._refuse, describe(e))
                self._ended.wait(_RETRY[min(attempt, len(_RETRY) - 1)])
                attempt += 1
                continue
            self._deliver(self._opened, store)
            return
        # Whoever stopped us has nothing open that must be closed.

    def _opened(self, store: Store) -> None:
        if self._ended.is_set():
            store.close()
            return
        self.store, self._working = store, True
        self._tick = self._clock.callLater(_TICK, self._look)
        self._up()
        self._chores_wanted.set()

    # Recording

    def _take(self) -> list[Job]:
        """What is waiting, up to one batch's worth."""
        jobs, records, size = [], 0, 0
        while self._jobs and records < _BATCH_RECORDS and size < _BATCH_BYTES:
            if jobs and self._jobs[0].first:
                break
            job = self._jobs.popleft()
            jobs.append(job)
            records, size = records + job.weight[0], size + job.weight[1]
        return jobs

    def _turn(self) -> None:
        """One batch for all jobs, then word to each of them."""
        self._soon = False
        store = self.store
        if not self._working or store is None or not self._jobs:
            return
        jobs = self._take()
        self._guarded(jobs, lambda: self._record(store, jobs))
        if self._working and self._jobs and not self._soon:
            self._soon = True
            self._end_of_turn(self._turn)

    def _record(self, store: Store, jobs: list[Job]) -> None:
        entries: list[Entry] = []
        ends = []
        for job in jobs:
            entries.extend(job.entries(store))
            ends.append(len(entries))
        unsealed = len(store.unsealed)
        store.commit(entries, lambda refusals: _tell(jobs, ends, refusals))
        if len(store.unsealed) != unsealed:
            self._chores_wanted.set()
        self._news()

    def _look(self) -> None:
        """What is due by time, and what the chores have finished."""
        store = self.store
        if not self._working or store is None:
            return
        self._guarded([], lambda: self._do_what_is_due(store))
        if self._working:
            self._tick = self._clock.callLater(_TICK, self._look)

    def _do_what_is_due(self, store: Store) -> None:
        self._take_seals(store)
        store.tick()
        self._chores_wanted.set()

    def _guarded(self, jobs: Sequence[Job], act: Callable[[], None]) -> None:
        """When the store refuses, so do we, and open it again; a bug of ours refuses for good, never in silence."""
        clean = False
        try:
            act()
            clean = True
        except FAILURES as e:
            clean = True
            for job in jobs:
                job.failed(describe(e))
            self._give_up(e)
            if not self._ended.is_set():
                self._thread(self._open_it, "notary-opener")
        finally:
            if not clean:
                self._refuse("the notary has failed")

    def _give_up(self, error: BaseException) -> None:
        self._log.error("evidence cannot be recorded: {why}", why=describe(error))
        self._refuse(describe(error))
        store, self.store = self.store, None
        if store is not None:
            store.abandon()

    def _take_seals(self, store: Store) -> None:
        """Copies that the other thread has made, unless a store before this one asked for them."""
        while self._seals:
            asker, number, leaves, bodies = self._seals.popleft()
            if asker is store:
                store.sealed(number, leaves, bodies)
            self._sealing.discard(number)

    def _refuse(self, why: str) -> None:
        self._working, self._why = False, why
        if self._tick is not None and self._tick.active():
            self._tick.cancel()
        self._tick = None
        jobs = list(self._jobs)
        self._jobs.clear()
        for job in jobs:
            job.failed(why)
        self._down(why)

    def _chores(self) -> None:
        """Work that commits need not wait for: the next segment's space, compact copies of closed ones."""
        while True:
            self._chores_wanted.wait()
            self._chores_wanted.clear()
            if self._ended.is_set():
                return
            store = self.store
            if store is None or not self._working:
                continue
            try:
                store.prepare_spare()
                self._seal(store)
            except (OSError, lmdb.Error, SealError) as e:
                self._log.error("evidence: a chore failed and will be tried again: {why}", why=describe(e))
                self._ended.wait(_CHORE_RETRY)


    def _seal(self, store: Store) -> None:
        """
        Copies of closed segments; one that cannot be made, of a segment that is damaged, keeps back none of the others.

        :raises SealError: one could not.
        """
        failed: SealError | None = None
        for number in sorted(set(store.unsealed) - self._sealing):
            try:
                made = seal(store.layout.open(number), store.layout.sealed(number))
            except SealError as e:
                failed = e
                if isinstance(e, Unsealable):
                    self._unsealable(number, str(e))
                continue
            self._unsealable(number, "")
            self._sealing.add(number)
            self._seals.append((store, number, *made))
        if failed is not None:
            raise failed


def _tell(jobs: list[Job], ends: Sequence[int], refusals: Sequence[str]) -> None:
    """Each job, whose entries ended there, that it is durable. None of them is left to hear of what fails afterwards."""
    start = 0
    if len(jobs) == 1:
        jobs[0].done(refusals)
    else:
        for job, end in zip(jobs, ends, strict=True):
            job.done(refusals[start:end])
            start = end
    jobs.clear()


def describe(error: BaseException) -> str:
    """For an operator: what failed, without a traceback."""
    if isinstance(error, OSError):
        return f"{error.filename or 'evidence store'}: {error.strerror or type(error).__name__}"
    return f"{type(error).__name__}: {error}" if isinstance(error, lmdb.Error) else str(error)
