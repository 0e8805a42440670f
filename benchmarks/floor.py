"""
What no worker in Python goes below on this machine, beside the gateway and pgbouncer: pgbench -S through all of them in turns.

    python -m benchmarks.floor [--mode MODE] [--clients 1,8,32] [--seconds N] [--rounds N] [--against CHECKOUT]

The floors are one bare epoll loop between clients and a PostgreSQL (`benchmarks.bare`) that looks at nothing that passes: where another
process signs, writes and answers before a query leaves, as the gateway's notary does; where a thread of the loop's own writes, and nobody
signs; and where nothing is made durable. Processor time is what the scheduler counted in the middle of each run, behind the logins, of
the process that is a worker or takes its place, and of the notary. Another checkout's gateway takes its turns as well.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import peers
from benchmarks.measure import interleaved
from benchmarks.notary import BARE
from tests import house as houses
from tests.servers import Certificates, PostgresServer, free_port, make_certificates

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


def bare(stack: ExitStack, folder: Path, server: PostgresServer, kind: str, code: Path) -> Way:
    """A floor. Its notary signs as the gateway does whose code that is."""
    folder.mkdir()
    notary, place, port = None, folder / "place", free_port()
    if kind == "notary":
        notary = subprocess.Popen([sys.executable, "-c", BARE, os.fspath(folder)], cwd=code)
        stack.callback(peers._end, notary)
        place = folder / "socket"
        while not place.exists():
            time.sleep(0.05)
    command = [sys.executable, "-m", "benchmarks.bare", str(port), str(server.port), kind, os.fspath(place)]
    loop = peers._spawn(stack, command, port, peers.ROOT)
    return Way(peers.Peer(f"floor, {kind}", peers._facts(port), list), loop.pid, notary and notary.pid)


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
        }  # fmt: skip
        for kind in ("notary", "thread", "nothing"):
            ways[f"floor, {kind}"] = bare(stack, folder / kind, server, kind, folder / "gateway" / "site")
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
    return parser.parse_args(given)


def main() -> None:
    chosen = options()
    runs = compare(chosen)
    print(f"{chosen.mode}, load {os.getloadavg()[0]:.1f}; medians of {chosen.rounds} runs of {chosen.seconds:g} s")
    print("| clients | | tps | p50 µs | worker, CPU µs a query | notary |\n|---|---|---|---|---|---|")
    for (name, clients), taken in runs.items():
        tps, p50, worker, notary = (statistics.median(each) for each in zip(*taken))
        print(f"| {clients} | {name} | {tps:.0f} | {p50:.0f} | {worker:.0f} | {notary:.0f} |")


if __name__ == "__main__":
    main()
