"""
What the gateway costs on PostgreSQL, beside what others cost in the same minutes.

    python -m benchmarks.postgres [--rounds N] [--seconds S] [--rows N] [--idle N] [--json FILE] [--plots DIR]
                                  [--only point,bulk,tls,connects,idle,start,crowd] [--noisy]

Starts everything itself: PostgreSQL 15, haproxy, pgbouncer in session mode, a stock Twisted forwarder, and two
gateways with policy and masking on: one whose evidence is on this disk, and one, named "not durable", whose
evidence is in memory (/dev/shm). Every measurement goes round all peers in shuffled order.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import measure, peers, tasks
from benchmarks.peers import BenchHouse, Peer
from benchmarks.report import NOISE, point_noise, table
from tests.servers import make_certificates

FIGURES = ("point", "bulk", "tls", "connects", "idle", "start", "crowd")
VAULT = "\\set aid random(1, 1000000)\nselect abalance from vault where aid = :aid;\n"
"""As pgbench's own, of a table with a masked column: each text is another one and is rewritten."""

MODES, CLIENTS = ("simple", "extended", "prepared"), (1, 8, 32)


class Bench:
    """Everything started, and the samples so far."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack, folder: Path, memory: Path) -> None:
        self._options, self._luck = options, random.Random(options.seed)
        self.samples: list[dict[str, Any]] = []
        self._certificates = make_certificates(folder / "certificates")
        self._site, self._stack, self._folder = peers.snapshot(folder), stack, folder
        self.kernel = peers.kernel(self._site)
        self._server = peers.database(stack, self._certificates, options.rows)
        self._house = peers.house(folder / "durable", self._server, options.workers)
        made = [
            peers.direct(self._server),
            peers.haproxy(stack, folder, self._server),
            peers.pgbouncer(stack, folder, self._server, self._certificates),
            peers.pump(stack, self._site, self._server, self._certificates),
            peers.gateway(stack, "gateway", self._house),
            peers.gateway(stack, "gateway, not durable", peers.house(memory / "volatile", self._server, options.workers)),
        ]
        self.peers: dict[str, Peer] = {peer.name: peer for peer in made}
        self.floor = measure.fsync_floor(folder) | {"commit": tasks.commit(folder / "store")}

    def run(self) -> None:
        for figure in self._options.only:
            getattr(self, f"_{figure}")()

    def _round(self, figure: str, case: str, names: list[str], one: Callable[[Peer], tasks.Numbers]) -> None:
        """All peers in turn, `rounds` times."""

        def sample(name: str) -> None:
            numbers = one(self.peers[name])
            self.samples.append({"figure": figure, "case": case, "peer": name, "load": os.getloadavg()[0], "numbers": numbers})

        print(f"{datetime.datetime.now():%H:%M:%S} load {os.getloadavg()[0]:4.1f}  {figure} {case}", file=sys.stderr, flush=True)
        measure.interleaved(names, self._options.rounds, sample, self._luck)

    def _point(self) -> None:
        for peer in self.peers.values():
            tasks.point(peer, "prepared", 4, 1)  # caches filled, catalogs read
        for mode in MODES:
            for clients in CLIENTS:
                self._round("point", f"{mode}/{clients}", list(self.peers), lambda peer: tasks.point(peer, mode, clients, self._options.seconds))

        for mode in ("simple", "prepared"):
            self._round(
                "point", f"{mode}, masked table/8", ["direct", "gateway"],
                lambda peer: tasks.point(peer, mode, 8, self._options.seconds, VAULT),
            )

    def _bulk(self) -> None:
        for text in ("select * from clear", "copy clear to stdout"):
            self._round("bulk", f"clear/{text.split()[0]}", list(self.peers), lambda peer: tasks.bulk(peer, text))
        rows = peers.copied_rows(self._server, self._folder)
        self._round("bulk", "clear/copy in", list(self.peers), lambda peer: tasks.copy_in(peer, peers.COPY_IN, rows))
        self._round("bulk", "masked/select", ["direct", "gateway"], lambda peer: tasks.bulk(peer, "select * from big"))

    def _tls(self) -> None:
        self._round("tls", "client side", ["stock Twisted", "gateway"], lambda peer: tasks.bulk(peer, "select * from clear", "require"))

    def _connects(self) -> None:
        for mode, names in (("disable", list(self.peers)), ("require", ["direct", "pgbouncer", "stock Twisted", "gateway"])):
            self._round("connects", "plain" if mode == "disable" else "TLS", names, lambda peer: tasks.connects(peer, self._options.seconds, mode))

    def _idle(self) -> None:
        """In houses of their own, so that memory freed by what ran before does not hide what a session takes."""
        for case, sslmode, target in (("plain", "disable", None), ("TLS both sides", "require", self._certificates)):
            with BenchHouseAt(self._folder / case, self._server, 1, target) as made:
                self._take("idle", case, tasks.idle(made, 150, sslmode))

    def _start(self) -> None:
        with BenchHouseAt(self._folder / "start", self._server, self._options.workers) as made:
            made.token("bench")
            for _ in range(self._options.rounds):
                self._take("start", "stopped house", tasks.start(made))

    def _crowd(self) -> None:
        stub = peers.stub(self._stack, self._site)
        with BenchHouseAt(self._folder / "crowd", self._server, self._options.workers, stub=stub) as made:
            peer = Peer("gateway", made.facts("bench"), lambda: [one.pid for one in made.family()])
            busy = min(100, max(8, self._options.idle // 10))
            self._take("crowd", f"{self._options.idle} idle, {busy} busy", tasks.crowd(made, peer, self._options.idle, busy, self._options.seconds))

    def _take(self, figure: str, case: str, numbers: tasks.Numbers) -> None:
        print(f"{datetime.datetime.now():%H:%M:%S} load {os.getloadavg()[0]:4.1f}  {figure} {case}", file=sys.stderr, flush=True)
        self.samples.append({"figure": figure, "case": case, "peer": "gateway", "load": os.getloadavg()[0], "numbers": numbers})


class BenchHouseAt(ExitStack):
    """A gateway of its own for one measurement."""

    def __init__(
        self, folder: Path, server: Any, workers: int, target: Any = None, stub: int = 0, stubs: tuple[str, ...] = ("stub",), rules: Any = peers.RULES,
    ) -> None:
        super().__init__()
        self._made = peers.house(folder, server, workers, rules=rules)
        self._made.target_tls, self._made.stub_port, self._made.stubs = target, stub, stubs
        self._made.write()

    def __enter__(self) -> BenchHouse:  # type: ignore[override]
        super().__enter__()
        self._made.start()
        self.callback(self._made.stop)
        return self._made


def machine() -> dict[str, Any]:
    models = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processors": len(models), "model": models[0] if models else "", "kernel": os.uname().release,
        "python": platform.python_version(), "load": os.getloadavg(),
    }  # fmt: skip


def commit() -> str:
    git = ["git", "-C", str(peers.ROOT)]
    done = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False).stdout
    return (done.stdout.strip() or "unknown") + ("+" if changed else "")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description=__doc__.splitlines()[1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of one point measurement")
    parser.add_argument("--rows", type=int, default=peers.ROWS, help="of the bulk tables")
    parser.add_argument("--idle", type=int, default=5000, help="idle sessions beside busy ones")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(FIGURES), help=",".join(FIGURES))
    parser.add_argument("--json", type=Path, help="raw numbers; for benchmarks.compare")
    parser.add_argument("--plots", type=Path, help="a directory for PNGs; needs the extra `bench`")
    parser.add_argument("--noisy", action="store_true", help="report even when the baseline says that nothing can be compared")
    chosen = parser.parse_args()
    unknown = set(chosen.only) - set(FIGURES)
    if unknown:
        parser.error(f"unknown figures: {', '.join(sorted(unknown))}")
    return chosen


def finish(raw: dict[str, Any], bench: Bench, chosen: argparse.Namespace) -> None:
    """Everything that a run knows, into its file too."""
    settings = {name: getattr(chosen, name) for name in ("rounds", "seconds", "rows", "idle", "workers", "seed", "only")}
    raw |= {"kernel": bench.kernel, "options": settings, "floor": bench.floor, "samples": bench.samples}
    raw["machine"]["load_after"] = os.getloadavg()
    if chosen.json:
        chosen.json.write_text(json.dumps(raw, indent=1) + "\n")


def main() -> int:
    chosen = options()
    missing = peers.programs()
    if missing:
        print(f"missing: {', '.join(missing)}; apt-get install --no-install-recommends haproxy pgbouncer postgresql-15", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-bench-")))
        folder.chmod(0o755)  # pgbouncer runs as another user
        memory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/dev/shm")))
        raw = {"commit": commit(), "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%MZ}", "machine": machine()}
        bench = Bench(chosen, stack, folder, memory)
        try:
            bench.run()
        finally:  # what was measured before something failed is worth keeping
            finish(raw, bench, chosen)
    noise = point_noise(raw)
    if noise > NOISE and not chosen.noisy:
        print(f"the baseline moved by {noise:.0%} between rounds: nothing can be compared (--noisy reports anyway)", file=sys.stderr)
        return 1
    print(table(raw))
    if chosen.plots:
        from benchmarks.plots import draw

        draw(raw, chosen.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
