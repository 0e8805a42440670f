"""
psycopg's own tests from a checkout (`make suites SRC=DIR`, DIR/psycopg), with its pure-Python implementation on the
system's libpq: what passes directly passes through the gateway. Without a checkout there is nothing to run.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.house import BENCH, House
from tests.servers import POSTGRES, PostgresServer
from tests.suites.suite import Suite, expected, unexplained

pytestmark = pytest.mark.live

HERE = Path(__file__).parent
SOURCES = os.environ.get("OSTIARY_SUITES", "")
LIMIT = 3600.0  # seconds
LEFT_OUT = "not slow and not timing and not flakey and not subprocess and not gevent and not dns and not crdb"
OPTIONS = ("-m", LEFT_OUT, "-p", "anyio", "--ignore=tests/test_typing.py", "--ignore=tests/test_module.py", "--ignore=tests/crdb")


@pytest.mark.skipif(not SOURCES, reason="needs checkouts: make suites SRC=DIR")
def test_psycopgs_own_suite(tmp_path: Path) -> None:
    """A copy of the checkout is used: some tests write beside themselves."""
    source = Path(SOURCES) if (Path(SOURCES) / "psycopg_pool").exists() else Path(SOURCES) / "psycopg"
    folder = tmp_path / "psycopg"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".git"))
    suite, known = Suite(folder, OPTIONS), expected(HERE / "psycopg.expected")
    ours = {"PSYCOPG_IMPL": "python", "PYTHONPATH": f"{folder / 'psycopg'}{os.pathsep}{folder / 'psycopg_pool'}"}
    settings = {"log_statement": "none", "max_prepared_transactions": "10"}
    servers = [PostgresServer(POSTGRES, settings) for _ in range(2)]
    try:
        alone, behind = (server.start() for server in servers)
        with House(tmp_path / "h", behind) as house:
            login = f"host=127.0.0.1 port={alone.port} user=postgres dbname=postgres password=x sslmode=disable"
            both = [
                suite.start({**ours, "PSYCOPG_TEST_DSN": dsn}, tmp_path / name)
                for name, dsn in (("direct", login), ("through", house.dsn(BENCH)))
            ]
            direct, through = (one.done(LIMIT) for one in both)
            assert len(direct.results) > 1000 and len(direct.failed) < len(direct.results) / 10, direct.said[-4000:]
            left = unexplained(direct, through, known)
            if left:
                again = {**ours, "PSYCOPG_TEST_DSN": house.dsn(BENCH)}
                left &= suite.start(again, tmp_path / "again", sorted(left)).done(LIMIT).failed
            print(f"psycopg: {len(through.results)} tests, {len(direct.failed)} fail directly, {len(through.failed)} through the gateway")
            for name in sorted(left):
                print(name)
            assert not left, through.said[-20000:]
    finally:
        for server in servers:
            server.stop()
