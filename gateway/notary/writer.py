"""
The one thread that writes evidence. Jobs in, answers back in the reactor's thread.

It commits again as soon as the last commit ended: what came meanwhile is one
transaction, so batches form by themselves and no timer delays a lone record. When
the store refuses, every job is refused, the store is abandoned, and it is opened
anew until that works.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import lmdb
from twisted.logger import Logger

from gateway.notary.environment import Unfit
from gateway.notary.keys import KeyFileError
from gateway.notary.ledger import LedgerError
from gateway.notary.recovery import Unsound
from gateway.notary.seal import SealError, seal
from gateway.notary.store import Entry, Store, StoreError

FAILURES = (lmdb.Error, OSError, StoreError, Unsound, Unfit, LedgerError, KeyFileError, SealError)
"""What a store may say instead of recording. Anything else is a bug of ours, and ends the thread."""

_BATCH_RECORDS = 512
_BATCH_BYTES = 2 << 20
_TICK = 1.0  # seconds between looks at what is due by time
_CHORE_RETRY = 5.0  # seconds; zeroing a segment again and again would load a full disk
_RETRY = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts to open the store


class Job(Protocol):
    """Something to record."""

    weight: tuple[int, int]  #: records, bytes
    first: bool  #: it asks the state, so what came before it must be durable

    def entries(self, store: Store) -> Sequence[Entry]:
        """What to record. In the writer's thread."""

    def done(self, refusals: Sequence[str]) -> None:
        """It is durable, but for what was refused. In the reactor's thread."""

    def failed(self, why: str) -> None:
        """It is not recorded. In the reactor's thread."""


class Writer:
    """
    :param open_store: makes a Store; called in the thread, again after every failure.
    :param deliver: `reactor.callFromThread`.
    :param up: told when recording works (again), in the reactor's thread.
    :param down: told why it does not, likewise.
    :param news: told after each commit, likewise.
    """

    def __init__(
        self, open_store: Callable[[], Store], deliver: Callable[..., Any],
        up: Callable[[], None], down: Callable[[str], None], news: Callable[[], None],
    ) -> None:
        self._open, self._deliver, self._up, self._down, self._news = open_store, deliver, up, down, news
        self._log = Logger()
        self._jobs: deque[Job] = deque()
        self._more = threading.Condition()
        self._stopping = False
        self._why = "the notary is starting"
        self._working = False
        self._seals: deque[tuple[Store, int, bytes, bytes]] = deque()
        self._sealing: set[int] = set()
        self._chores_wanted, self._ended = threading.Event(), threading.Event()
        self.store: Store | None = None
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._run, "notary-writer"), (self._chores, "notary-chores"))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Commit what is queued, close the store in good order, end. Blocks until then."""
        with self._more:
            self._stopping = True
            self._more.notify()
        self._ended.set()
        self._chores_wanted.set()
        self._threads[0].join()
        self._threads[1].join(5.0)

    def submit(self, job: Job) -> None:
        """Queue a job; it is answered at once when nothing can be recorded."""
        with self._more:
            if self._working:
                self._jobs.append(job)
                self._more.notify()
                return
        job.failed(self._why)

    def _run(self) -> None:
        try:
            self._open_and_serve()
        finally:
            self._refuse("the notary has stopped")

    def _open_and_serve(self) -> None:
        attempt = 0
        while not self._stopping:
            try:
                store = self.store = self._open()
            except FAILURES as e:
                self._refuse(describe(e))
                self._pause(_RETRY[min(attempt, len(_RETRY) - 1)])
                attempt += 1
                continue
            attempt = 0
            self._serve(store)

    def _serve(self, store: Store) -> None:
        with self._more:
            self._working = True
        self._deliver(self._up)
        self._chores_wanted.set()
        try:
            while not self._stopping or self._jobs:
                self._turn(store, self._take())
            with self._more:
                self._working = False
            store.close()
        except FAILURES as e:
            self._log.error("evidence cannot be recorded: {why}", why=describe(e))
            self._refuse(describe(e))
            store.abandon()

    def _take(self) -> list[Job]:
        """What is waiting, up to one transaction's worth."""
        with self._more:
            if not self._jobs and not self._stopping:
                self._more.wait(_TICK)
            jobs, records, size = [], 0, 0
            while self._jobs and records < _BATCH_RECORDS and size < _BATCH_BYTES:
                if jobs and self._jobs[0].first:
                    break
                job = self._jobs.popleft()
                jobs.append(job)
                records, size = records + job.weight[0], size + job.weight[1]
            return jobs

    def _turn(self, store: Store, jobs: list[Job]) -> None:
        """One transaction for all jobs, then word to each of them."""
        if jobs:
            try:
                self._commit(store, jobs)
            except FAILURES as e:
                self._deliver(_fail_all, jobs, describe(e))
                raise
        self._take_seals(store)
        unsealed = len(store.unsealed)
        store.tick()
        if jobs and (len(store.unsealed) != unsealed or not store.layout.spare.exists()):
            self._chores_wanted.set()

    def _take_seals(self, store: Store) -> None:
        """Copies that the other thread has made, unless a store before this one asked for them."""
        while self._seals:
            asker, number, leaves, bodies = self._seals.popleft()
            if asker is store:
                store.sealed(number, leaves, bodies)
            self._sealing.discard(number)

    def _commit(self, store: Store, jobs: list[Job]) -> None:
        entries: list[Entry] = []
        ends = []
        for job in jobs:
            entries.extend(job.entries(store))
            ends.append(len(entries))
        refusals = store.commit(entries)
        starts = [0, *ends[:-1]]
        answers = [(job, refusals[start:end]) for job, start, end in zip(jobs, starts, ends, strict=True)]
        self._deliver(_answer_all, answers, self._news)

    def _refuse(self, why: str) -> None:
        with self._more:
            self._working, self._why = False, why
            jobs = list(self._jobs)
            self._jobs.clear()
        self._deliver(_fail_all, jobs, why)
        self._deliver(self._down, why)

    def _pause(self, seconds: float) -> None:
        with self._more:
            self._more.wait_for(lambda: self._stopping, seconds)

    def _chores(self) -> None:
        """Work that commits need not wait for: the next segment's space, compact copies of closed ones."""
        while True:
            self._chores_wanted.wait()
            self._chores_wanted.clear()
            if self._stopping:
                return
            store = self.store
            if store is None or not self._working:
                continue
            try:
                store.prepare_spare()
                for number in set(store.unsealed) - self._sealing:
                    self._sealing.add(number)
                    self._seals.append((store, number, *seal(store.layout.open(number), store.layout.sealed(number))))
            except (OSError, lmdb.Error, SealError) as e:
                self._sealing.clear()
                self._log.error("evidence: a chore failed and will be tried again: {why}", why=describe(e))
                self._ended.wait(_CHORE_RETRY)


def describe(error: BaseException) -> str:
    """For an operator: what failed, without a traceback."""
    if isinstance(error, OSError):
        return f"{error.filename or 'evidence store'}: {error.strerror or type(error).__name__}"
    return f"{type(error).__name__}: {error}" if isinstance(error, lmdb.Error) else str(error)


def _fail_all(jobs: Sequence[Job], why: str) -> None:
    for job in jobs:
        job.failed(why)


def _answer_all(answers: Sequence[tuple[Job, Sequence[str]]], news: Callable[[], None]) -> None:
    for job, refusals in answers:
        job.done(refusals)
    news()
