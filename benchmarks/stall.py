"""
What one session waits while another, on the same worker, sends statements that take long to read.

    python -m benchmarks.stall [--seconds S] [--only SHAPE]… [--json FILE]

One PostgreSQL and one gateway with one worker, policy and masking on. A session runs a small prepared query every other
millisecond; meanwhile another, in a process of its own, sends texts of one shape, each another text and each as soon as
the one before is answered; the last shape is a pipeline of small ones. Latencies in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.measure import cpu_seconds, percentile
from tests.house import ADA, BENCH, House
from tests.servers import POSTGRES_15, PostgresServer

SIZE = 1 << 20  # characters; a little less is sent
MASKED = {"public.patients": ["ssn"]}
TABLES = (
    "CREATE TABLE wards (id int PRIMARY KEY, name text, beds int); INSERT INTO wards SELECT n, 'ward ' || n, n FROM generate_series(1, 100) n;"
    "CREATE TABLE patients (id int PRIMARY KEY, name text, ssn text); INSERT INTO patients SELECT n, 'p', '900-00' FROM generate_series(1, 100) n;"
)
RULES = [{"name": "privileged", "groups": ["engineers"], "classes": ["ddl"], "verdict": "deny"}]


def _many(head: str, item: str, tail: str = "", most: int = SIZE) -> str:
    return head + ", ".join([item] * min(most, (SIZE - len(head) - len(tail) - 64) // (len(item) + 2))) + tail


SHAPES: Mapping[str, Callable[[int], str]] = {
    "nothing": lambda number: "",
    "one long string": lambda number: f"SELECT length('{number}{'x' * (SIZE - 64)}')",
    "rows of literals": lambda number: _many(f"INSERT INTO wards (id, name, beds) SELECT {number}, 'x', 1 WHERE false UNION ALL VALUES ", "(123456, 'north ward', 10)") + " LIMIT 0",
    "list of literals": lambda number: _many(f"SELECT {number} FROM wards WHERE id IN (", "123456", ")"),
    "10,000 expressions": lambda number: _many(f"SELECT {number} FROM (SELECT ", "lower('a' || 'b')", ") x", 1600),
    "masked, one long string": lambda number: f"SELECT ssn, length('{number}{'x' * (SIZE - 2000)}') FROM patients",
    "masked, list of literals": lambda number: _many(f"SELECT ssn, {number} FROM patients WHERE id IN (", "123456", ")", 40_000),
    "masked, 10,000 expressions": lambda number: _many(f"SELECT {number} + count(*) FROM patients WHERE id IN (", "length('a' || 'b')", ")", 10_000),
    "some pages": lambda number: _many(f"SELECT ssn, {number} FROM patients WHERE id IN (", "123456", ")", 1500),
}  # fmt: skip
COLD = "small ones, pipelined"


def neighbour(facts: Mapping[str, str], shape: str, begun: Event, over: Event, told: Any) -> None:
    """Sends until it is told to end; then tells how many were answered, and how many of those refused."""
    answered = refused = 0
    with psycopg.connect(**facts, autocommit=True) as connection:
        connection.execute("SELECT 1")
        begun.set()
        while not over.is_set():
            if shape == "nothing":
                over.wait()
            elif shape == COLD:
                with connection.pipeline():
                    for number in range(answered, answered + 200):
                        connection.execute(f"SELECT name FROM wards WHERE id = {number} AND beds > 0", prepare=False)
                answered += 200
            else:
                text = SHAPES[shape](answered)
                try:
                    connection.pgconn.exec_(text.encode())
                finally:
                    answered += 1
                refused += connection.pgconn.error_message != b""
    told.send((answered, refused))


def latencies(connection: psycopg.Connection, seconds: float) -> list[float]:
    """Of a small prepared query, again and again."""
    found, until = [], time.perf_counter() + seconds
    while (begin := time.perf_counter()) < until:
        connection.execute("SELECT name FROM wards WHERE id = %s", [len(found) % 100], prepare=True).fetchall()
        found.append((time.perf_counter() - begin) * 1e3)
        time.sleep(0.002)
    return found


def beside(house: House, shape: str, seconds: float) -> dict[str, float]:
    """The one session's latencies beside the other's statements."""
    spawned = multiprocessing.get_context("spawn")
    begun, over, (here, there) = spawned.Event(), spawned.Event(), spawned.Pipe()
    other = spawned.Process(target=neighbour, args=(house.facts(BENCH), shape, begun, over, there))
    other.start()
    try:
        with house.connect(ADA) as connection:
            latencies(connection, 0.2)
            begun.wait(60)
            time.sleep(0.5)  # its first statement is on its way
            before = cpu_seconds([house.pid("worker-1")])
            found = latencies(connection, seconds)
            spent = cpu_seconds([house.pid("worker-1")]) - before
        over.set()
        answered, refused = here.recv()
    finally:
        over.set()
        other.join()
    return {
        "p50": percentile(found, 0.5), "p99": percentile(found, 0.99), "max": max(found), "queries": len(found),
        "answered": answered, "refused": refused, "worker_cpu": spent / seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", action="append", choices=[*SHAPES, COLD], help="a shape; may be given more than once")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = PostgresServer(POSTGRES_15, {"log_statement": "none", "log_min_error_statement": "panic"})
        stack.callback(server.stop)
        server.start()
        server.sql(TABLES)
        house = stack.enter_context(House(folder / "h", server, workers=1, masked=MASKED, rules=RULES))
        found = {}
        for shape in options.only or [*SHAPES, COLD]:
            found[shape] = beside(house, shape, options.seconds)
            print(f"{shape:28}" + "".join(f"{name} {value:9.2f}  " for name, value in found[shape].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"load": os.getloadavg()[0], "beside": found}, indent=1))


if __name__ == "__main__":
    main()
