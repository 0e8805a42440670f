"""
One measurement of `benchmarks.scale` each: how a cost grows with sessions, targets, rules, records.

    python -m benchmarks.growth append|verify|search FOLDER RECORDS
    python -m benchmarks.growth age|start|prove|read FOLDER ENTRIES

Records and ledgers are measured in processes of their own, so that each says what memory it took at most.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks import peers
from benchmarks.measure import cpu_seconds, percentile
from benchmarks.peers import BenchHouse, Peer
from benchmarks.tasks import Numbers, answers, idler, point
from gateway.evidence.query import Query, Search, search
from gateway.evidence.view import StoppedView
from gateway.notary import keys
from gateway.notary.ledger import Ledger
from gateway.notary.merkle import CompactRange, leaf_hash
from gateway.notary.note import Checkpoint
from gateway.worker import most_sessions
from tests.house import BENCH
from tests.notary import recorded

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ASKED = 200  # questions whose latency is looked at
QUIET = 2.0  # seconds in which nobody asks
WARM = 20  # sessions before the first that counts: what is loaded or grown once is not a session's
SEGMENTS = 8  # of an old ledger
PAGE = 4096  # entries
AT_ONCE = 32  # clients that log in at the same time; records in one append


def family(made: BenchHouse) -> list[int]:
    return [one.pid for one in made.family()]


def uss(made: BenchHouse) -> int:
    """Bytes that the workers have for themselves."""
    return sum(psutil.Process(made.pid(name)).memory_full_info().uss for name in made.workers())


def by_workers(counts: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Sizes by the workers that so many sessions need; more than this process may have itself cannot be asked for."""
    held = most_sessions() - WARM
    found: dict[int, list[int]] = {}
    for count in sorted(counts):
        # A listening socket is shared, and whoever is idle takes the next connection: room for three in five on one of two.
        workers = 1 if count <= held else math.ceil(count * 1.2 / held)
        found.setdefault(workers, []).append(count)
    return list(found.items())


async def sessions(made: BenchHouse, counts: Sequence[int]) -> list[tuple[int, Numbers]]:
    """More and more idle sessions on the stub: what one takes to open and to keep, and how fast any of them still answers."""
    gate, luck, found = asyncio.Semaphore(AT_ONCE), random.Random(1), []
    lines = [await idler(made, gate) for _ in range(WARM)]
    start = uss(made)
    for count in counts:
        spent, begin, more = cpu_seconds(family(made)), time.perf_counter(), WARM + count - len(lines)
        lines += await asyncio.gather(*(idler(made, gate) for _ in range(more)))
        opening, spent = time.perf_counter() - begin, cpu_seconds(family(made)) - spent
        numbers = {"open_ms": spent / more * 1e3, "opened_per_s": more / opening, "kib": (uss(made) - start) / 1024 / count}
        found.append((count, numbers | await _looked_at(made, lines, luck)))
    for _, writer in lines:
        writer.close()
    return found


async def _looked_at(made: BenchHouse, lines: Sequence[Line], luck: random.Random) -> Numbers:
    """Processor time while nobody asks, and how long an answer takes when somebody does."""
    spent = cpu_seconds(family(made))
    await asyncio.sleep(QUIET)
    quiet = (cpu_seconds(family(made)) - spent) / QUIET * 1e3
    waits, spent = [], cpu_seconds(family(made))
    for _ in range(ASKED):
        begin = time.perf_counter()
        if not await answers(*luck.choice(lines)):
            raise RuntimeError("a session did not answer")
        waits.append((time.perf_counter() - begin) * 1e3)
    cost = (cpu_seconds(family(made)) - spent) / ASKED * 1e6
    return {"quiet_ms": quiet, "p50_ms": statistics.median(waits), "p99_ms": percentile(waits, 0.99), "query_us": cost}


async def targets(made: BenchHouse, count: int) -> Numbers:
    """A session on each of so many targets: what a target costs the worker once it is in use, and what its logins take."""
    gate, base = asyncio.Semaphore(AT_ONCE), uss(made)
    spent = cpu_seconds(family(made))
    lines = await asyncio.gather(*(idler(made, gate, target=name) for name in made.stubs))
    opened = cpu_seconds(family(made)) - spent
    looked = await _looked_at(made, lines, random.Random(1))
    for _, writer in lines:
        writer.close()
    return {"kib": (uss(made) - base) / 1024 / count, "open_ms": opened / count * 1e3, "worker_mib": base / (1 << 20), **looked}


def rules(made: BenchHouse, seconds: int) -> Numbers:
    """Point queries under so many rules: new texts, each judged, and known ones."""
    peer, found = Peer("gateway", made.facts(BENCH), lambda: family(made)), {}
    for mode in ("simple", "prepared"):
        point(peer, mode, 4, 1)
        numbers = point(peer, mode, 4, seconds)
        found |= {f"{mode}_us": numbers["cpu_us"], f"{mode}_p50_us": numbers["p50"]}
    return found


def records(folder: Path, count: int) -> Numbers:
    """A store of so many: what one takes to append, and the whole to verify and to search through."""
    found = _phases(("append", "verify", "search"), folder, count)
    size = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
    return found | {"bytes": size / count}


def ledger(folder: Path, count: int) -> Numbers:
    """A ledger of so many entries: what a notary takes to start on it, `verify` to prove it, and a live reader to be given it."""
    _phases(("age",), folder, count)
    return _phases(("start", "prove", "read"), folder, count)


def _phases(phases: Sequence[str], folder: Path, count: int) -> Numbers:
    """Each in a process of its own."""
    found: Numbers = {}
    for phase in phases:
        command = [sys.executable, "-m", "benchmarks.growth", phase, str(folder), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=peers.ROOT)
        found |= {f"{phase}_{name}": value for name, value in json.loads(done.stdout).items()}
    return found


def _append(folder: Path, count: int) -> None:
    store = recorded.new_store(folder, segment_bytes=64 << 20)
    book, said, told = recorded.journal(store), recorded.session(), recorded.Told()
    book.opened(said, {}, told)
    for number in range(count // 2):  # each with its outcome
        book.intend(said, number, recorded.allowed(f"SELECT abalance FROM pgbench_accounts WHERE aid = {number}"), told)
        book.report(said, number, recorded.allowed(""), recorded.DONE, 900)
        if number % AT_ONCE == 0:
            book.flush()
            told.told.clear()
    book.flush()
    recorded.seal_all(store)
    store.close()


def _verify(folder: Path, count: int) -> None:
    report = recorded.checked(folder)
    if report.problems or report.records < count:
        raise RuntimeError(f"{report.records} of {count} records: {report.problems[:3]}")


def _search(folder: Path, count: int) -> None:
    """One identity's, from the first record to the last; nobody has that name."""
    view = StoppedView(folder / "audit")
    try:
        if list(search(view, Search(Query(identity="nobody@clinic.example"), None))):
            raise RuntimeError("found what is not there")
    finally:
        view.close()


def _age(folder: Path, count: int) -> None:
    """Heads are all that makes a ledger long; each of them is in the anchor file, too."""
    store = recorded.new_store(folder, segment_bytes=1 << 20)
    for _ in range(SEGMENTS):
        recorded.fill(store, 2)
        segment = store.segment
        head = ["head", time.time_ns(), 0, segment.number, segment.size, segment.root]
        store.ledger.append([head] * (count // SEGMENTS))
        store.rotate("aged")
        recorded.seal_all(store)
    entries, _ = store.ledger.page(0, store.ledger.size)
    store.close()
    tree, signer = CompactRange(), keys.load(folder, recorded.ORIGIN).identity
    with open(folder / "anchor", "w") as anchor:
        for entry in entries:
            tree.append(leaf_hash(entry))
            anchor.write(signer.sign(Checkpoint(signer.name, tree.size, tree.root()).text) + "\n")


def _start(folder: Path, count: int) -> None:
    store = recorded.new_store(folder)
    if store.ledger.size < count:
        raise RuntimeError(f"{store.ledger.size} of {count} entries")
    store.abandon()


def _prove(folder: Path, count: int) -> None:
    report = recorded.checked(folder)
    if report.problems or report.entries < count:
        raise RuntimeError(f"{report.entries} of {count} entries: {report.problems[:3]}")


def _read(folder: Path, count: int) -> None:
    """Page by page, as the notary gives it to who looks at a live store."""
    book, size = Ledger(folder / "audit" / "ledger", keys.load(folder, recorded.ORIGIN).identity), 0
    while more := book.page(size, PAGE)[0]:
        size += len(more)
    book.close()
    if size < count:
        raise RuntimeError(f"{size} of {count} entries")


def _most() -> int:
    """KiB that this process held at most, since it was itself: getrusage counts what its parent held, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


PHASES = {
    "append": _append, "verify": _verify, "search": _search, "age": _age, "start": _start, "prove": _prove, "read": _read,
}  # fmt: skip


def main() -> int:
    phase, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    begin, spent = time.perf_counter(), time.process_time()
    PHASES[phase](folder, count)
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() - spent + child.ru_utime + child.ru_stime
    print(json.dumps({"s": time.perf_counter() - begin, "us": cpu / count * 1e6, "mib": max(_most(), child.ru_maxrss) / 1024}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
