"""
From the write-ahead file into LMDB: a thread of its own takes over whole batches, many in one transaction.

What it has not taken over yet is here for readers. When LMDB refuses, everybody who adds or waits hears why.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

import lmdb

from gateway.notary.ahead import Batch

PATIENCE = 0.2
"""Seconds that a batch may wait for others, so that they share a transaction: each costs a few synchronous writes, whatever is in it."""
_ENOUGH = 1 << 20  # bytes that wait for no others


class Settling:
    """
    :param env: where the records go; nobody else writes there.
    :param put: one durable transaction for all of these batches.
    """

    def __init__(self, env: lmdb.Environment, put: Callable[[lmdb.Environment, Sequence[Batch]], None]) -> None:
        self._env, self._put = env, put
        self._batches: deque[tuple[Batch, int]] = deque()  # and its bytes
        self._added = self._taken = 0  # bytes until now; one is the adder's, the other the thread's, so that adding needs no lock
        self._size = self._wanted = 0
        self._idle = False  # the thread waits for a first batch, or is about to
        self._turn = threading.Condition()
        self._ending = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="notary-settling", daemon=True)
        self._thread.start()

    def add(self, batch: Batch, size: int) -> None:
        """A durable batch of `size` bytes. Raises what LMDB said of an earlier one."""
        self._check()
        self._batches.append((batch, size))
        self._added += size
        if self._idle or self._added - self._taken >= _ENOUGH:
            with self._turn:
                self._turn.notify_all()

    def wait(self, size: int) -> None:
        """Until LMDB holds the first `size` records. Raises what it said if it never will."""
        with self._turn:
            self._wanted = max(self._wanted, size)
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._failure is not None or self._size >= size)
            self._check()

    def waiting(self) -> list[Batch]:
        """What LMDB may not hold yet."""
        with self._turn:
            return self._all()

    def stop(self) -> None:
        """Take over nothing more."""
        with self._turn:
            self._ending = True
            self._turn.notify_all()
        self._thread.join()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        clean = False
        try:
            while (batches := self._take()) is not None:
                self._put(self._env, batches)
                self._took(batches)
            clean = True
        except (lmdb.Error, OSError) as error:
            self._fail(error)
        finally:
            if not clean and self._failure is None:
                self._fail(lmdb.Error("the thread that fills LMDB ended"))

    def _take(self) -> list[Batch] | None:
        with self._turn:
            self._idle = True  # before it looks: who adds after the look sees this, and gives word
            self._turn.wait_for(lambda: self._ending or bool(self._batches))
            self._idle = False
            self._turn.wait_for(self._has_enough, PATIENCE)
            return None if self._ending else self._all()

    def _all(self) -> list[Batch]:
        """Copied in one step of the interpreter: somebody adds without a lock, and a deque that changes cannot be walked."""
        return [batch for batch, _ in list(self._batches)]

    def _has_enough(self) -> bool:
        return self._ending or self._added - self._taken >= _ENOUGH or self._wanted > self._size

    def _took(self, batches: list[Batch]) -> None:
        with self._turn:
            for _ in batches:
                self._taken += self._batches.popleft()[1]
            self._size = batches[-1].end
            self._turn.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._turn:
            self._failure = error
            self._turn.notify_all()
