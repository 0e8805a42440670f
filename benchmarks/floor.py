"""
What no worker in Python goes below on this machine, beside the gateway and pgbouncer: pgbench -S through all of them in turns.

    python -m benchmarks.floor [--mode MODE] [--clients 1,8,32] [--seconds N] [--rounds N] [--against CHECKOUT]

The floor is a bare epoll loop between clients and a PostgreSQL with a worker's three wakes for each query, a client's read, a notary's
word, a target's answer, and their sends. It looks at nothing that passes. Its notary is that of `benchmarks.notary`, which signs, writes
one block and answers. As a worker's journal does, it sends what a turn brought as one append, and none while one is not acknowledged.
Processor time is what the scheduler counted in the middle of each run, behind the logins, of the process that is a worker or takes its
place, and of the notary. Another checkout's gateway takes its turns as well.

    python -m benchmarks.floor --loop PORT TARGET SOCKET        # the loop itself
"""

from __future__ import annotations

import argparse
import os
import random
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import peers
from benchmarks.measure import interleaved
from benchmarks.notary import BARE
from gateway import link
from tests import house as houses
from tests.servers import Certificates, PostgresServer, free_port, make_certificates

_READ = 64 << 10  # bytes
_RECORD = [bytes(120), bytes(150), None]  # an intent's, and so an outcome's: what they hold is nobody's business here


def _ours(connected: socket.socket) -> socket.socket:
    if connected.family == socket.AF_INET:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


class Floor:
    """The loop."""

    def __init__(self, port: int, target: int, notary: str) -> None:
        self._target, self._poll = target, select.epoll()
        self._do: dict[int, Callable[[], None]] = {}
        self._outgoing: list[tuple[socket.socket, bytes]] = []
        self._waiting: deque[tuple[socket.socket, bytes]] = deque()
        self._sequence, self._answers, self._unacknowledged = 0, 0, False
        self._notary = socket.socket(socket.AF_UNIX)
        self._notary.connect(notary)
        self._notary.sendall(link.pack(["hello", "floor"]))
        self._notary.recv(_READ)
        self._hear(self._notary, self._durable)
        self._listening = socket.create_server(("127.0.0.1", port), backlog=64)
        self._hear(self._listening, self._accept)

    def _hear(self, one: socket.socket, do: Callable[[], None]) -> None:
        self._do[one.fileno()] = do
        self._poll.register(one, select.EPOLLIN)

    def _accept(self) -> None:
        client = _ours(self._listening.accept()[0])
        target = _ours(socket.create_connection(("127.0.0.1", self._target)))
        self._hear(client, lambda: self._asked(client, target))
        self._hear(target, lambda: self._answered(target, client))

    def _asked(self, client: socket.socket, target: socket.socket) -> None:
        data = client.recv(_READ)
        if data:
            self._outgoing.append((target, data))
        else:
            self._end(client, target)

    def _answered(self, target: socket.socket, client: socket.socket) -> None:
        data = target.recv(_READ)
        if data:
            self._answers += 1
            client.send(data)
        else:
            self._end(client, target)

    def _end(self, *both: socket.socket) -> None:
        self._outgoing = [(target, data) for target, data in self._outgoing if target not in both]
        self._waiting = deque((target, data) for target, data in self._waiting if target not in both)
        for one in both:
            del self._do[one.fileno()]
            one.close()

    def _durable(self) -> None:
        if not self._notary.recv(_READ):
            raise SystemExit("the notary is gone")
        self._unacknowledged = False
        waiting, self._waiting = self._waiting, deque()
        for target, data in waiting:
            target.send(data)

    def _append(self) -> None:
        """An intent of each, and the outcomes since the last."""
        count = len(self._outgoing) + self._answers
        self._notary.send(link.pack(["append", 1, self._sequence + 1, [_RECORD] * count]))
        self._sequence += count
        self._waiting.extend(self._outgoing)
        self._outgoing, self._answers, self._unacknowledged = [], 0, True

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if (do := self._do.get(descriptor)) is not None:  # another event of this turn may have closed it
                    do()
            if self._outgoing and not self._unacknowledged:
                self._append()


class Way(NamedTuple):
    """To the database. `worker` and `notary`: processes; a pooler has no notary."""

    peer: peers.Peer
    worker: int
    notary: int | None = None


class Run(NamedTuple):
    """`p50`: µs; `worker` and `notary`: µs of processor time a query."""

    tps: float
    p50: float
    worker: float
    notary: float


def bare(stack: ExitStack, folder: Path, server: PostgresServer, code: Path) -> Way:
    """The floor, signing as the gateway does whose code that is."""
    folder.mkdir()
    notary = subprocess.Popen([sys.executable, "-c", BARE, os.fspath(folder)], cwd=code)
    stack.callback(peers._end, notary)
    while not (folder / "socket").exists():
        time.sleep(0.05)
    port = free_port()
    loop = peers._spawn(stack, [sys.executable, "-m", "benchmarks.floor", "--loop", str(port), str(server.port), str(folder / "socket")], port, peers.ROOT)
    return Way(peers.Peer("floor", peers._facts(port), list), loop.pid, notary.pid)


def gateway(stack: ExitStack, folder: Path, server: PostgresServer, checkout: Path) -> Way:
    """One, of one worker, from some checkout's code."""
    folder.mkdir()
    houses.ROOT = peers.site(folder / "site", checkout)
    peer = peers.gateway(stack, folder.name, peers.house(folder, server, 1))
    seats = {Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2]: pid for pid in peer.processes()}
    return Way(peer, seats[b"worker-1"], seats[b"notary"])


def pooler(stack: ExitStack, folder: Path, server: PostgresServer, certificates: Certificates) -> Way:
    """pgbouncer."""
    folder.mkdir()
    for place in (folder, folder.parent):
        place.chmod(0o755)  # it runs as another user
    peer = peers.pgbouncer(stack, folder, server, certificates)
    return Way(peer, peer.processes()[0])


def spent(process: int | None) -> float:
    """Microseconds that its threads have run (proc(5): the first field of schedstat)."""
    if process is None:
        return 0.0
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{process}/task").iterdir()) / 1e3


def measured(way: Way, folder: Path, mode: str, clients: int, seconds: float) -> Run:
    """
    pgbench, for so long behind the first answers.

    :raises RuntimeError: it failed, or nothing was answered.
    """
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE", "sslmode": "PGSSLMODE"}
    where = {names[name]: value for name, value in way.peer.facts.items()}
    command = [peers._where("pgbench"), "-S", "-n", "-M", mode, "-c", str(clients), "-T", str(int(seconds + 2 + clients / 20)), "-l", "--log-prefix=log"]
    bench = subprocess.Popen(command, env={**os.environ, **where}, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while bench.poll() is None and not any(log.stat().st_size for log in folder.glob("log.*")):
        time.sleep(0.02)
    began, before = time.time(), [spent(way.worker), spent(way.notary)]
    time.sleep(seconds)
    ended, after = time.time(), [spent(way.worker), spent(way.notary)]
    if bench.wait():
        raise RuntimeError(f"pgbench failed through {way.peer.name}")
    waited = []
    for log in folder.glob("log.*"):
        lines = [line.split() for line in log.read_text().splitlines()]
        waited += [float(line[2]) for line in lines if began <= int(line[4]) + int(line[5]) / 1e6 <= ended]
        log.unlink()
    if not waited:
        raise RuntimeError(f"nothing was answered through {way.peer.name}: give it more seconds")
    worker, notary = ((b - a) / len(waited) for a, b in zip(before, after))
    return Run(len(waited) / (ended - began), statistics.median(waited), worker, notary)


def compare(chosen: argparse.Namespace) -> dict[tuple[str, int], list[Run]]:
    """Runs by way and number of clients."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-floor-")))
        for name in ("certificates", "logs"):
            (folder / name).mkdir()
        certificates = make_certificates(folder / "certificates")
        server = peers.database(stack, certificates, 1000)
        ways = {
            "pgbouncer": pooler(stack, folder / "pgbouncer", server, certificates), "gateway": gateway(stack, folder / "gateway", server, peers.ROOT),
            "floor": bare(stack, folder / "floor", server, folder / "gateway" / "site"),
        }  # fmt: skip
        if chosen.against:
            ways["other"] = gateway(stack, folder / "other", server, chosen.against.resolve())
        runs: dict[tuple[str, int], list[Run]] = {(name, count): [] for count in chosen.clients for name in ways}

        def take(case: tuple[str, int]) -> None:
            print(f"{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:4.1f}  {case[0]}, {case[1]} clients", file=sys.stderr, flush=True)
            runs[case].append(measured(ways[case[0]], folder / "logs", chosen.mode, case[1], chosen.seconds))

        interleaved(list(runs), chosen.rounds, take, random.Random())
    return runs


def options(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__.splitlines()[1])
    parser.add_argument("--mode", choices=("simple", "extended", "prepared"), default="prepared")
    parser.add_argument("--clients", type=lambda text: [int(one) for one in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=2.0, help="of one run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout, measured in the same rounds")
    parser.add_argument("--loop", nargs=3, metavar=("PORT", "TARGET", "SOCKET"), help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main() -> None:
    chosen = options()
    if chosen.loop:
        port, target, notary = chosen.loop
        Floor(int(port), int(target), notary).run()
    runs = compare(chosen)
    print(f"{chosen.mode}, load {os.getloadavg()[0]:.1f}; medians of {chosen.rounds} runs of {chosen.seconds:g} s")
    print("| clients | | tps | p50 µs | worker, CPU µs a query | notary |\n|---|---|---|---|---|---|")
    for (name, clients), taken in runs.items():
        tps, p50, worker, notary = (statistics.median(each) for each in zip(*taken))
        print(f"| {clients} | {name} | {tps:.0f} | {p50:.0f} | {worker:.0f} | {notary:.0f} |")


if __name__ == "__main__":
    main()
