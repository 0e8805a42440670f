"""asyncpg's own tests, from its source package: what passes directly passes through the gateway."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.house import BENCH, House, environment
from tests.servers import POSTGRES, PostgresServer
from tests.suites.suite import Suite, expected, source_of, unexplained

pytestmark = pytest.mark.live

HERE = Path(__file__).parent
DATABASES = ("testdb", "asyncpg_intro_test")  # that it makes
LIMIT = 480.0  # seconds for the whole suite


def test_asyncpgs_own_suite(tmp_path: Path) -> None:
    """
    Both at once, each against a server of its own. What fails only through the gateway is run again alone, since the
    suite has tests that count milliseconds; what fails then too must be on the list.
    """
    suite = Suite(source_of("asyncpg", Path(sys.prefix) / "suites"))
    known = expected(HERE / "asyncpg.expected")
    servers = [PostgresServer(POSTGRES, {"log_statement": "none"}) for _ in range(2)]
    try:
        alone, behind = (server.start() for server in servers)
        with House(tmp_path / "h", behind, databases=DATABASES) as house:
            login = {"host": "127.0.0.1", "port": str(alone.port), "user": "postgres", "dbname": "postgres", "sslmode": "disable"}
            both = [
                suite.start(environment(login), tmp_path / "direct"),
                suite.start(environment(house.facts(BENCH)), tmp_path / "through"),
            ]
            direct, through = (one.done(LIMIT) for one in both)
            assert len(direct.results) > 300 and set(through.results) == set(direct.results)
            left = unexplained(direct, through, known)
            if left:
                again = suite.start(environment(house.facts(BENCH)), tmp_path / "again", sorted(left)).done(LIMIT)
                left &= again.failed
            print(f"asyncpg: {len(through.results)} tests, {len(direct.failed)} fail directly, {len(through.failed)} through the gateway")
            assert not left, f"{sorted(left)}\n{through.said[-12000:]}"
            assert "ended by a bug" not in house.text() and "Traceback" not in house.text()
    finally:
        for server in servers:
            server.stop()
