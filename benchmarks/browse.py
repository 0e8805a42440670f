"""
What graphical tools' and drivers' own catalog queries cost through a gateway, for somebody who sees masked columns: for each
tool the slowest query direct and through, and the most that the gateway adds to one, in milliseconds, each by the median of several rounds.

    python -m benchmarks.browse [ROUNDS]

One PostgreSQL 15 and one gateway with one worker, policy and masking on. The queries are those of tests/live/tools, which names their
sources, without DDL: that makes the next statement wait until the catalog was read again, as docs/masking.md says. The first round, in which
the gateway decides each for the first time, is shown by itself.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from tests.house import ADA, House
from tests.live.conftest import CLINIC, MASKED
from tests.servers import POSTGRES_15, PostgresServer

FILES = sorted((Path(__file__).parent.parent / "tests" / "live" / "tools").glob("*.sql"))
ROUNDS = 9


def queries(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.strip() and not line.startswith(("--", "CREATE", "DROP"))]


def spent(connection: psycopg.Connection, text: str) -> float:
    """Milliseconds until the last row."""
    start = time.perf_counter()
    cursor = connection.execute(text)
    if cursor.description:
        cursor.fetchall()
    return (time.perf_counter() - start) * 1e3


def browse(direct: psycopg.Connection, through: psycopg.Connection, texts: list[str], rounds: int) -> list[list[tuple[float, float]]]:
    """For each round each query's (direct, through), one right after the other."""
    return [[(spent(direct, text), spent(through, text)) for text in texts] for _ in range(rounds)]


def report(name: str, rounds: list[list[tuple[float, float]]]) -> None:
    first, rest = rounds[0], list(zip(*rounds[1:], strict=True))
    medians = [tuple(statistics.median(side) for side in zip(*one, strict=True)) for one in rest]
    added = sorted(through - direct for direct, through in medians)
    once = max(through - direct for direct, through in first)
    print(
        f"{name:11} {len(medians):3} queries: slowest direct {max(d for d, _ in medians):6.1f}, through {max(t for _, t in medians):6.1f};"
        f" added at most {added[-1]:5.1f}, median {statistics.median(added):5.2f}; at most {once:5.1f} when first asked",
        flush=True,
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    server = PostgresServer(POSTGRES_15, {}).start()
    try:
        server.sql("CREATE DATABASE clinic")
        server.sql(CLINIC, "clinic")
        with tempfile.TemporaryDirectory() as folder, House(Path(folder) / "h", server, database="clinic", workers=1, masked=MASKED) as house:
            facts = {"autocommit": True, "cursor_factory": psycopg.ClientCursor}
            for file in FILES:
                with psycopg.connect(house.direct(), **facts) as direct, psycopg.connect(house.dsn(ADA), **facts) as through:
                    report(file.stem, browse(direct, through, queries(file), rounds + 1))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
