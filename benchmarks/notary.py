"""
What durability costs: appends of so many records, one after another, to a notary in a process of its own.

    python -m benchmarks.notary [--against CHECKOUT] [--floor] [--records 1,2,8,32] [--batches 400] [--rounds 7] [--json FILE]

The records are those that a worker's journal makes of prepared point queries: an intent and its outcome. Processor time is
what the scheduler counted. Others on the machine only add to it, so of the reactor's thread the tenth part of all stretches of
20 appends that took least speaks; of the other threads (one fills LMDB), their mean. From the sizes comes what a batch and
what a record takes.
With another checkout its notary is measured in the same rounds, the two in turns. `--floor` adds what no notary in Python goes
below on this machine: a loop that receives an append, signs, writes one block and answers, and records nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
from twisted.internet.task import Clock

from benchmarks.measure import fsync_floor, interleaved, percentile, summary
from benchmarks.peers import site
from benchmarks.postgres import commit, machine
from gateway import link
from gateway.config import Audit
from gateway.journal import Journal
from gateway.notary.process import init_store
from protocols.result import Ending, Outcome
from protocols.session import Session
from protocols.verdict import Decision
from tests.notary import recorded

ROOT = Path(__file__).parent.parent
TOKEN = "bench"
STRETCH = 20  # appends between looks at the processor time

Sample = dict[str, Any]

SERVE = """
import gc, sys
from pathlib import Path
from gateway import reactor as lean
lean.install()
from twisted.internet import reactor
from gateway.config import Audit
from gateway.notary.process import Notary
folder = Path(sys.argv[1])
audit = Audit(folder / "audit", segment_records=1 << 24, segment_bytes=128 << 20)
notary = Notary(audit, "bench", folder, {"bench": "worker"}, reactor)
notary.listen(folder / "socket")
notary.startService()
reactor.callWhenRunning(gc.freeze)
reactor.run()
"""

BARE = """
import mmap, os, socket, sys
from pathlib import Path
import msgpack
from gateway import link
from gateway.notary.ahead import HALF, opened
from gateway.notary.note import Signer
folder, key, at = Path(sys.argv[1]), Signer.generate("bench"), 0
(folder / "file").write_bytes(bytes(HALF))
file, block = opened(folder / "file"), memoryview(mmap.mmap(-1, 4096))
os.fsync(file)
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(folder / "socket"))
listening.listen()
peer, _ = listening.accept()
peer.recv(1 << 20)
peer.sendall(link.pack(["up", 1]))
while data := peer.recv(1 << 20):
    _, _, first, items = msgpack.unpackb(data[4:])
    key.sign("a head" * 15)
    os.pwrite(file, block, at)
    at = (at + 4096) % HALF
    peer.sendall(link.pack(["ack", first + len(items) - 1, ()]))
"""

DONE = Outcome(Ending.COMPLETE, ("SELECT 1",), rows=1, bytes=13, columns=("abalance",))
TEXT = "SELECT abalance FROM pgbench_accounts WHERE aid = $1;"


class Deaf:
    """A waiter that is told and does nothing."""

    def durable(self, sequence: int) -> None:
        """Its time was taken on the wire."""

    def refused(self, sequence: int, why: str) -> None:
        raise RuntimeError(why)

    def unrecordable(self, why: str) -> None:
        raise RuntimeError(why)


class Worker:
    """A worker's end: the journal makes appends, they are kept, and played when all of them are made."""

    why_down = ""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._unpacker = msgpack.Unpacker(raw=False)
        self._made: list[bytes] = []
        self._socket.sendall(link.pack(["hello", TOKEN]))
        said, number = self._hear()
        while said != "up":  # it says "down" while its store is opened
            said, number = self._hear()
        self._number, self._commands, self._waiter = number, 0, Deaf()
        self._journal = Journal(self, Clock(), 1e9)
        self._session = recorded.session("bench@clinic.example")
        self._journal.opened(self._session, {}, self._waiter)
        self._journal.flush()
        self.play()

    def listen(self, journal: Journal) -> None:
        """As NotaryClient."""
        journal.up(self._number)

    def append(self, worker: int, first: int, items: Sequence[Any]) -> None:
        """As NotaryClient; what is made is acknowledged before it is sent, so that the journal goes on."""
        self._made.append(link.pack(["append", worker, first, items]))
        self._journal.acknowledged(first + len(items) - 1, ())

    def make(self, batches: int, records: int) -> None:
        """So many appends; intents and outcomes in turns, whatever the size."""
        for _ in range(batches):
            for _ in range(records):
                self._record(self._journal, self._session)
            self._journal.flush()

    def _record(self, journal: Journal, said: Session) -> None:
        number, ended = divmod(self._commands, 2)
        self._commands += 1
        decided: Decision = recorded.allowed(TEXT, b"%d" % (number % 100_000), addon="Policy", rule="reads")
        if ended:
            journal.report(said, number, decided, DONE, 200 + number % 1000)
        else:
            journal.intend(said, number, decided, self._waiter)

    def play(self, looked: Callable[[], None] = lambda: None) -> list[float]:
        """Microseconds from each append to its acknowledgement; every STRETCH appends somebody looks."""
        waited = []
        made, self._made = self._made, []
        for place, frame in enumerate(made):
            if place % STRETCH == 0:
                looked()
            begin = time.perf_counter()
            self._socket.sendall(frame)
            said = self._hear()
            waited.append((time.perf_counter() - begin) * 1e6)
            if said[0] != "ack":
                raise RuntimeError(f"the notary said {said}")
        return waited

    def _hear(self) -> list[Any]:
        """One frame; msgpack knows itself where one ends, so that the length before it is passed over."""
        head = self._socket.recv(4, socket.MSG_WAITALL)
        body = self._socket.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        self._unpacker.feed(body)
        return [*self._unpacker.unpack(), None][:2]


class Notary:
    """One in a process, with the code of some checkout and its kernels compiled, on a store of its own."""

    def __init__(self, stack: ExitStack, checkout: Path, program: str = SERVE) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-notary-")))
        init_store(Audit(folder / "audit"), "bench", folder)
        code = site(folder / "site", checkout)
        environment = {**os.environ, "PYTHONPATH": os.fspath(code)}
        self._process = subprocess.Popen([sys.executable, "-c", program, os.fspath(folder)], cwd=code, env=environment)
        stack.callback(self._end)
        self._worker = Worker(self._connected(os.fspath(folder / "socket")))

    def _connected(self, where: str) -> socket.socket:
        while True:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(where)
                return connection
            if self._process.poll() is not None:
                raise RuntimeError(f"the notary ended with {self._process.returncode}")
            time.sleep(0.05)

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait()

    def measure(self, batches: int, records: int) -> Sample:
        """Processor time of a batch in each stretch and in other threads, and how long its acknowledgement took."""
        self._worker.make(batches, records)
        looks: list[int] = []
        before = self._others()
        waited = self._worker.play(lambda: looks.append(self._spent(self._process.pid)))
        stretches = [(end - begin) / STRETCH / 1e3 for begin, end in pairwise(looks)]
        return {
            "stretches": stretches, "others": (self._others() - before) / batches / 1e3,
            "p50": statistics.median(waited), "p99": percentile(waited, 0.99),
        }

    def _spent(self, thread: int) -> int:
        """Nanoseconds that a thread has run (proc(5): the first field of schedstat)."""
        return int(Path(f"/proc/{self._process.pid}/task/{thread}/schedstat").read_text().split()[0])

    def _others(self) -> int:
        threads = [int(task.name) for task in Path(f"/proc/{self._process.pid}/task").iterdir()]
        return sum(self._spent(thread) for thread in threads if thread != self._process.pid)


def line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """(a batch, a record): the straight line through (records, µs), relative errors being alike."""
    weights = [1 / (y * y) for _, y in points]
    total = sum(weights)
    x = sum(w * a for w, (a, _) in zip(weights, points, strict=True)) / total
    y = sum(w * b for w, (_, b) in zip(weights, points, strict=True)) / total
    slope = sum(w * (a - x) * (b - y) for w, (a, b) in zip(weights, points, strict=True))
    slope /= sum(w * (a - x) ** 2 for w, (a, _) in zip(weights, points, strict=True)) or 1.0
    return y - slope * x, slope


def cost(samples: Sequence[Sample]) -> tuple[float, float]:
    """Microseconds of a batch: of the reactor's thread, where nobody disturbed it, and of the others."""
    stretches = [one for sample in samples for one in sample["stretches"]]
    return percentile(stretches, 0.1), statistics.mean(sample["others"] for sample in samples)


def shown(name: str, sizes: Sequence[int], samples: dict[str, list[Sample]]) -> list[str]:
    """Rows of a Markdown table, and the line through them."""
    rows, points = [], []
    for size in sizes:
        taken = samples[f"{name} {size}"]
        own, others = cost(taken)
        points.append((size, own + others))
        p50, p99 = (summary([one[key] for one in taken]) for key in ("p50", "p99"))
        rows.append(
            f"| {name} | {size} | {own:.0f} + {others:.0f} | {min(one['p50'] for one in taken):.0f} | {p50.median:.0f} ± {p50.spread:.0%} "
            f"| {p99.median:.0f} ± {p99.spread:.0%} |"
        )
    batch, record = line(points)
    return [*rows, f"| {name} | n | {batch:.0f} + {record:.1f} × n | | | |"]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notary", description=__doc__.splitlines()[1])
    parser.add_argument("--against", type=Path, help="another checkout, measured in the same rounds")
    parser.add_argument("--floor", action="store_true", help="also what only signs, writes and answers")
    parser.add_argument("--records", type=lambda text: [int(one) for one in text.split(",")], default=[1, 2, 8, 32], help="in a batch")
    parser.add_argument("--batches", type=int, default=400, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="raw numbers")
    return parser.parse_args()


def main() -> int:
    chosen = options()
    with ExitStack() as stack:
        floor = fsync_floor(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-notary-"))))
        notaries = {"notary": Notary(stack, ROOT)}
        if chosen.against:
            notaries["other"] = Notary(stack, chosen.against.resolve())
        if chosen.floor:
            notaries["floor"] = Notary(stack, ROOT, BARE)
        samples: dict[str, list[Sample]] = {f"{name} {size}": [] for name in notaries for size in chosen.records}

        def take(case: str) -> None:
            name, size = case.split()
            samples[case].append(notaries[name].measure(chosen.batches, int(size)))

        interleaved(list(samples), chosen.rounds, take, random.Random())
    print(f"{commit()[:12]}, load {os.getloadavg()[0]:.1f}; durable 4 KiB by O_DSYNC: {floor['O_DSYNC']:.0f} µs")
    print("| | records in a batch | CPU µs a batch, LMDB's thread | acknowledged p50 µs, best round | median | p99 |\n|---|---|---|---|---|---|")
    for name in notaries:
        print("\n".join(shown(name, chosen.records, samples)))
    if chosen.json:
        raw = {"commit": commit(), "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%MZ}", "machine": machine(), "floor": floor}
        chosen.json.write_text(json.dumps(raw | {"samples": samples}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
