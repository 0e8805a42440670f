"""
How the gateway's costs grow: with idle sessions, targets, policy rules, and records.

    python -m benchmarks.scale [--only idle,sessions,crowd,targets,rules,records,ledger] [--sessions 1,10,…] [--records 10000,…]
                               [--ledger 1000,…] [--json FILE] [--page docs/scale.md] [--plots docs/scale]

Sessions are a stub's (`benchmarks.stub`: it logs anybody in and answers with one row), since PostgreSQL has no room for
thousands of them; rules and busy clients are measured on a real one. Ten thousand sessions and ten million records are asked
for by name: `--sessions 10000` takes a minute or more, and as many workers as it needs at two descriptors a session;
`--records 10000000` takes half an hour and 5 GB. With `--keep`, figures that are not measured now stay as --json has them.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import resource
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import growth, peers, tasks
from benchmarks.peers import Peer
from benchmarks.postgres import BenchHouseAt, commit, machine
from benchmarks.report import placed
from benchmarks.scalepage import table
from tests.house import BENCH
from tests.servers import make_certificates

FIGURES = ("idle", "sessions", "crowd", "targets", "rules", "records", "ledger")
IDLE = 150  # sessions
BUSY = 100  # clients of a real database, beside idle ones of a stub
ROWS = 1000  # of the tables that nobody reads here

Sample = dict[str, Any]


class Scale:
    """Everything started that more than one figure needs, and the samples so far."""

    def __init__(self, chosen: argparse.Namespace, stack: ExitStack, folder: Path) -> None:
        self._chosen, self._stack, self._folder = chosen, stack, folder
        self.samples: list[Sample] = []
        self._commit = commit()  # of the copy that is made now and measured
        self._certificates = make_certificates(folder / "certificates")
        site = peers.snapshot(folder)
        self._server = peers.database(stack, self._certificates, ROWS)
        self._stub = peers.stub(stack, site)

    def run(self) -> None:
        for figure in self._chosen.only:
            getattr(self, f"_{figure}")()

    def _take(self, figure: str, case: str, at: int, numbers: tasks.Numbers) -> None:
        print(f"{datetime.datetime.now():%H:%M:%S} load {os.getloadavg()[0]:4.1f}  {figure} {case} {at}", file=sys.stderr, flush=True)
        when = {"commit": self._commit, "date": today(), "load": os.getloadavg()[0]}
        self.samples.append({"figure": figure, "case": case, "at": at, **when, "numbers": numbers})

    def _idle(self) -> None:
        for case, sslmode, target in (
            ("plain", "disable", None), ("TLS to the client", "require", None), ("TLS both sides", "require", self._certificates),
        ):
            with BenchHouseAt(self._folder / f"idle {case}", self._server, 1, target) as made:
                self._take("idle", case, IDLE, tasks.idle(made, IDLE, sslmode))

    def _sessions(self) -> None:
        for workers, counts in growth.by_workers(self._chosen.sessions):
            with BenchHouseAt(self._folder / f"sessions {workers}", self._server, workers, stub=self._stub) as made:
                for count, numbers in asyncio.run(growth.sessions(made, counts)):
                    self._take("sessions", "stub", count, numbers | {"workers": workers})

    def _crowd(self) -> None:
        for count in self._chosen.crowd:
            with BenchHouseAt(self._folder / f"crowd {count}", self._server, 1, stub=self._stub) as made:
                peer = Peer("gateway", made.facts(BENCH), lambda made=made: growth.family(made))
                self._take("crowd", f"{BUSY} busy", count, tasks.crowd(made, peer, count, BUSY, self._chosen.seconds))

    def _targets(self) -> None:
        for count in self._chosen.targets:
            names = tuple(f"stub{number}" for number in range(count))
            with BenchHouseAt(self._folder / f"targets {count}", self._server, 1, stub=self._stub, stubs=names) as made:
                self._take("targets", "stub", count, asyncio.run(growth.targets(made, count)))

    def _rules(self) -> None:
        for count in self._chosen.rules:
            rules = [
                {"name": f"rule-{number}", "classes": ["write", "read"], "relations": [f"public.t{number}"], "verdict": "deny"}
                for number in range(count)
            ]
            with BenchHouseAt(self._folder / f"rules {count}", self._server, 1, rules=rules) as made:
                self._take("rules", "point queries", count, growth.rules(made, self._chosen.seconds))

    def _records(self) -> None:
        for count in self._chosen.records:
            with tempfile.TemporaryDirectory(prefix="ostiary-scale-") as folder:
                self._take("records", "store", count, growth.records(Path(folder), count))

    def _ledger(self) -> None:
        for count in self._chosen.ledger:
            with tempfile.TemporaryDirectory(prefix="ostiary-scale-") as folder:
                self._take("ledger", "store", count, growth.ledger(Path(folder), count))


def today() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%MZ}"


def _numbers(text: str) -> list[int]:
    return sorted({int(one) for one in text.split(",")})


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[1])
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(FIGURES), help=",".join(FIGURES))
    parser.add_argument("--sessions", type=_numbers, default=[1, 10, 100, 1000])
    parser.add_argument("--crowd", type=_numbers, default=[5000], help=f"idle sessions beside {BUSY} busy ones")
    parser.add_argument("--targets", type=_numbers, default=[1, 10, 100])
    parser.add_argument("--rules", type=_numbers, default=[1, 10, 100, 1000])
    parser.add_argument("--records", type=_numbers, default=[1000, 10_000, 100_000])
    parser.add_argument("--ledger", type=_numbers, default=[1000, 10_000, 100_000], help="entries; a busy year has a million")
    parser.add_argument("--seconds", type=int, default=2, help="of one run of point queries")
    parser.add_argument("--json", type=Path, help="raw numbers")
    parser.add_argument("--keep", action="store_true", help="what --json has of figures that are not measured now stays")
    parser.add_argument("--page", type=Path, help="a page that gets the tables between its marks")
    parser.add_argument("--plots", type=Path, help="a directory for PNGs; needs the extra `bench`")
    chosen = parser.parse_args()
    unknown = set(chosen.only) - set(FIGURES)
    if unknown:
        parser.error(f"unknown figures: {', '.join(sorted(unknown))}")
    return chosen


def kept(chosen: argparse.Namespace) -> list[Sample]:
    """Samples of an earlier run, of figures that this one leaves out."""
    if not (chosen.keep and chosen.json and chosen.json.exists()):
        return []
    before = json.loads(chosen.json.read_text())
    of = {"commit": before["commit"], "date": before["date"]}
    return [of | sample for sample in before["samples"] if sample["figure"] not in chosen.only]


def shown(raw: dict[str, Any], chosen: argparse.Namespace) -> None:
    """What was measured, wherever it was asked for."""
    text = table(raw)
    print(text)
    if chosen.json:
        chosen.json.write_text(json.dumps(raw, indent=1) + "\n")
    if chosen.page:
        chosen.page.write_text(placed(chosen.page.read_text(), text))
    if chosen.plots:
        from benchmarks.curves import draw

        draw(raw, chosen.plots)


def main() -> int:
    chosen = options()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    raw: dict[str, Any] = {"commit": commit(), "date": today(), "machine": machine()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-scale-")))
        folder.chmod(0o755)
        scale = Scale(chosen, stack, folder)
        try:
            scale.run()
        finally:  # what was measured before something failed is worth keeping
            raw["samples"] = [*kept(chosen), *scale.samples]
            raw["machine"]["load_after"] = os.getloadavg()
            shown(raw, chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
