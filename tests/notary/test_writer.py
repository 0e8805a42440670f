"""The writer: batches by themselves, refuses everything on failure, opens again, ends cleanly."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lmdb
import pytest
from twisted.internet.task import Clock
from recorded import checked, new_store

from gateway.notary.record import Kind, event
from gateway.notary.entry import Entry
from gateway.notary.seal import SealError
from gateway.notary.store import Store, StoreError
from gateway.notary.writer import Writer

NOTE = event(Kind.NOTE, "x")


class Job:
    """A note of the notary's own."""

    weight = (1, 100)

    def __init__(self, log: queue.Queue[tuple[str, Any]], *, first: bool = False) -> None:
        self._log, self.first = log, first

    def entries(self, store: Store) -> Sequence[Entry]:
        return [store.own(NOTE)]

    def done(self, refusals: Sequence[str]) -> None:
        self._log.put(("done", list(refusals)))

    def failed(self, why: str) -> None:
        self._log.put(("failed", why))


class Bench:
    """A writer whose words go into a queue; the calling thread plays the reactor."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self.log: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.calls: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.clock = Clock()
        self.writer = Writer(
            open_store, self.clock, lambda *call: self.calls.put(call), lambda: self.log.put(("up", None)),
            lambda why: self.log.put(("down", why)), lambda: None,
        )

    def turn(self) -> None:
        """What a reactor does in one: calls from threads, calls that are due."""
        while not self.calls.empty():
            call, *arguments = self.calls.get()
            call(*arguments)
        self.clock.advance(0)

    def next(self, word: str) -> Any:
        """What comes with the next such word; others are passed over."""
        for _ in range(4000):
            self.turn()
            try:
                said, what = self.log.get(timeout=0.005)
            except queue.Empty:
                continue
            if said == word:
                return what
        raise AssertionError(f"never said {word!r}")

    def stop(self) -> None:
        self.writer.stop()
        self.writer.join()
        self.turn()


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for bench in made:
        bench.stop()


def started(benches: list[Bench], open_store: Callable[[], Store]) -> Bench:
    bench = Bench(open_store)
    benches.append(bench)
    bench.writer.start()
    return bench


def test_before_it_is_up_jobs_are_refused(tmp_path: Path, benches: list[Bench]) -> None:
    may_open = threading.Event()

    def open_store() -> Store:
        may_open.wait(20)
        return new_store(tmp_path)

    bench = started(benches, open_store)
    bench.writer.submit(Job(bench.log))
    assert "starting" in bench.next("failed")
    may_open.set()
    bench.next("up")
    bench.writer.submit(Job(bench.log))
    assert bench.next("done") == [""]


def counted(store: Store) -> list[int]:
    """Sizes of what is committed from now on."""
    sizes: list[int] = []
    real = store.commit

    def commit(entries: Sequence[Entry], *durable: Any) -> list[str]:
        sizes.append(len(entries))
        return real(entries, *durable)

    store.commit = commit  # type: ignore[method-assign]
    return sizes


def test_what_came_in_one_turn_is_one_batch(tmp_path: Path, benches: list[Bench]) -> None:
    store = new_store(tmp_path)
    sizes = counted(store)
    bench = started(benches, lambda: store)
    bench.next("up")
    for count in (100, 1, 30):
        for _ in range(count):
            bench.writer.submit(Job(bench.log))
        for _ in range(count):
            bench.next("done")
    assert sizes == [100, 1, 30]


def test_much_is_committed_in_bounded_batches(tmp_path: Path, benches: list[Bench]) -> None:
    store = new_store(tmp_path)
    sizes = counted(store)
    bench = started(benches, lambda: store)
    bench.next("up")
    for _ in range(1300):
        bench.writer.submit(Job(bench.log))
    for _ in range(1300):
        bench.next("done")
    assert sizes == [512, 512, 276]


def test_a_job_that_asks_the_state_comes_after_what_was_before_it(tmp_path: Path, benches: list[Bench]) -> None:
    store = new_store(tmp_path)
    sizes = counted(store)
    bench = started(benches, lambda: store)
    bench.next("up")
    for first in (False, False, False, True, False, False):
        bench.writer.submit(Job(bench.log, first=first))
    for _ in range(6):
        bench.next("done")
    assert sizes == [3, 3]


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), OSError(28, "No space left"), lmdb.DiskError("x"), lmdb.MapFullError("x")]
)
def test_a_failed_commit_refuses_all_and_is_never_tried_twice(
    tmp_path: Path, benches: list[Bench], error: Exception
) -> None:
    """A sync that failed once may pretend to succeed the second time: the kernel has dropped the pages."""
    opened: list[Store] = []

    def open_store() -> Store:
        store = new_store(tmp_path)
        opened.append(store)
        if len(opened) == 1:
            def fail(entries: Sequence[Entry], *durable: Any) -> list[str]:
                raise error

            store.commit = fail  # type: ignore[method-assign]
        return store

    bench = started(benches, open_store)
    bench.next("up")
    bench.writer.submit(Job(bench.log))
    assert bench.next("failed") and bench.next("down")
    bench.next("up")
    assert len(opened) == 2
    bench.writer.submit(Job(bench.log))
    assert bench.next("done") == [""]
    bench.stop()
    benches.clear()
    assert checked(tmp_path).problems == []


def test_what_fails_behind_a_durable_batch_does_not_take_it_back(tmp_path: Path, benches: list[Bench]) -> None:
    """It was told before LMDB was, and it is there when the store is opened again."""
    opened: list[Store] = []

    def open_store() -> Store:
        opened.append(new_store(tmp_path))
        return opened[-1]

    bench = started(benches, open_store)
    bench.next("up")
    before = opened[0].segment.size

    def refuses(batch: Any, size: int) -> None:
        raise lmdb.DiskError("no more")

    opened[0].segment._settling.add = refuses  # type: ignore[method-assign]
    bench.writer.submit(Job(bench.log))
    assert bench.next("done") == [""] and "no more" in bench.next("down")
    bench.next("up")
    assert len(opened[1].page(1, before, 1 << 20).rows) == 1
    said = [bench.log.get_nowait()[0] for _ in range(bench.log.qsize())]
    assert "failed" not in said
    bench.stop()
    benches.clear()
    assert checked(tmp_path).problems == []


def test_it_tries_to_open_until_it_can(tmp_path: Path, benches: list[Bench]) -> None:
    attempts: list[int] = []

    def open_store() -> Store:
        attempts.append(1)
        if len(attempts) < 3:
            raise StoreError("not yet")
        return new_store(tmp_path)

    bench = started(benches, open_store)
    assert bench.next("down") == "not yet"
    bench.next("up")
    assert len(attempts) == 3


def test_stopping_commits_what_is_queued_and_closes_in_good_order(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    bench = Bench(lambda: store)
    bench.writer.start()
    bench.next("up")
    for _ in range(50):
        bench.writer.submit(Job(bench.log))
    bench.stop()
    said = [bench.log.get_nowait()[0] for _ in range(bench.log.qsize())]
    assert said.count("done") == 50 and said[-1] == "down"
    bench.writer.submit(Job(bench.log))
    assert "stopped" in bench.next("failed")
    report = checked(tmp_path)
    assert report.problems == [] and report.unanchored_records == report.records


def test_a_bug_of_ours_ends_in_refusal_not_in_silence(tmp_path: Path) -> None:
    """Workers must hear of it: their commands would wait for ever otherwise."""
    store = new_store(tmp_path)

    def broken(entries: Sequence[Entry], *durable: Any) -> list[str]:
        raise ZeroDivisionError

    store.commit = broken  # type: ignore[method-assign]
    bench = Bench(lambda: store)
    bench.writer.start()
    bench.next("up")
    bench.writer.submit(Job(bench.log))
    with pytest.raises(ZeroDivisionError):
        bench.turn()
    assert bench.next("down")
    bench.writer.submit(Job(bench.log))
    assert "failed" in bench.next("failed")
    bench.stop()
    store.abandon()


def test_a_closed_segment_that_cannot_be_copied_keeps_back_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is damaged and will not be copied tomorrow either; those behind it would fill the disk."""
    asked: list[str] = []

    def seal(segment: Path, prefix: Path) -> tuple[bytes, bytes]:
        asked.append(segment.name)
        if segment.name == "1":
            raise SealError("sealing 1 failed with 1")
        return b"leaves", b"bodies"

    class Closed:
        unsealed = [3, 1, 2]
        layout = SimpleNamespace(open=lambda number: Path(str(number)), sealed=lambda number: tmp_path / str(number))

    monkeypatch.setattr("gateway.notary.writer.seal", seal)
    writer = Writer(lambda: new_store(tmp_path), Clock(), lambda *call: None, lambda: None, lambda why: None, lambda: None)
    for expected in (["1", "2", "3"], ["1"]):  # what is copied and not yet taken is not copied again
        asked.clear()
        with pytest.raises(SealError):
            writer._seal(Closed())  # type: ignore[arg-type]
        assert asked == expected
    assert [number for _, number, *_ in writer._seals] == [2, 3]
