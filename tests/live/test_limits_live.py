"""
Limits through a whole gateway: each ends in an error that says which, never in a result that is short and looks whole.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.house import ADA, CLEAR, HOPE, House, environment, psql
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

ROWS, BYTES, TEXT = 1000, 200_000, "SELECT n, repeat('x', {width}) FROM generate_series(1, {rows}) n"


@pytest.fixture(scope="module")
def limited(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Engineers have little of most, others of what a busy machine may take long for by itself."""
    postgres15.sql("CREATE DATABASE limited")
    few = {"groups": ["engineers"], "rows": ROWS, "bytes": BYTES, "per_minute": 400}
    rules = [{"identities": [CLEAR], "idle": 2.0}, {"identities": [HOPE], "duration": 0.5}, few]
    addon = {"use": "addons.limits.Limits", "rules": rules}
    with House(tmp_path_factory.mktemp("limits") / "h", postgres15, database="limited", addons=[addon]) as house:
        yield house


@pytest.mark.parametrize("way", ["simple", "extended", "copy"])
@pytest.mark.parametrize(("width", "rows", "code"), [(1, ROWS + 1, "OST-401"), (1000, 400, "OST-402")])
def test_a_result_over_its_limit_is_an_error_and_never_a_short_success(limited: House, way: str, width: int, rows: int, code: str) -> None:
    """Whatever came before is followed by the error; after rows the session goes on."""
    text = TEXT.format(width=width, rows=rows)
    with limited.connect(ADA) as connection:
        with pytest.raises(psycopg.Error, match=code):
            take(connection, text, way)
        if way != "copy":  # a COPY that the target had finished ends its session
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("way", ["simple", "extended", "copy"])
def test_a_result_within_it_is_whole(limited: House, way: str) -> None:
    with limited.connect(ADA) as connection:
        assert take(connection, TEXT.format(width=1, rows=ROWS), way) == ROWS


@pytest.mark.parametrize("way", ["simple", "extended"])
def test_a_writing_query_over_its_limit_is_never_called_undone_when_it_was_done(limited: House, way: str) -> None:
    """Whether the target was done before it heard of it is a race, and so either is right, if it is what the client is told."""
    limited.server.sql("DROP TABLE IF EXISTS written; CREATE TABLE written (a int)", "limited")
    text = f"WITH d AS (INSERT INTO written SELECT generate_series(1, {ROWS + 1}) RETURNING a) SELECT a FROM d"
    with limited.connect(ADA) as connection:
        with pytest.raises(psycopg.Error, match="OST-401") as told:
            take(connection, text, way)
        undone = not connection.broken
    assert undone or "It was done" in str(told.value)
    assert limited.server.sql("SELECT count(*) FROM written", "limited") == str(0 if undone else ROWS + 1)


def take(connection: psycopg.Connection[Any], text: str, way: str) -> int:
    """How many rows came."""
    if way == "copy":
        with connection.cursor().copy(f"COPY ({text}) TO STDOUT") as out:
            return sum(bytes(block).count(b"\n") for block in out)
    cursor = psycopg.ClientCursor(connection) if way == "simple" else connection.cursor(binary=True)
    return len(cursor.execute(text).fetchall())


def test_psql_ends_with_an_error_too(limited: House) -> None:
    said = psql(limited.facts(ADA), TEXT.format(width=1, rows=ROWS + 1), "-v", "ON_ERROR_STOP=1")
    assert said.returncode == 3 and "OST-401" in said.stderr and environment(limited.facts(ADA))["PGPASSWORD"] not in said.stderr


def test_a_copy_that_is_cut_is_an_error_in_psql_too(limited: House) -> None:
    """It ends the session, when the target had sent all of it before it could be cancelled."""
    said = psql(limited.facts(ADA), f"COPY ({TEXT.format(width=1, rows=ROWS + 1)}) TO STDOUT;", "-v", "ON_ERROR_STOP=1")
    assert said.returncode != 0 and "OST-401" in said.stderr


def test_a_statement_that_takes_too_long_is_cancelled_at_the_server(limited: House) -> None:
    with limited.connect(HOPE) as connection:
        with pytest.raises(psycopg.errors.QueryCanceled, match="OST-403"):
            connection.execute("SELECT pg_sleep(600)")
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert limited.server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()") == "0"


def test_too_many_statements_in_a_minute_are_refused(limited: House) -> None:
    with limited.connect(ADA) as connection, pytest.raises(psycopg.Error, match="OST-404"), connection.pipeline():
        for _ in range(2 * 400 + 1):  # at once: one by one a busy machine may take a minute for them
            connection.execute("SELECT 1")


def test_who_is_idle_outside_a_transaction_is_told_and_closed(limited: House) -> None:
    """In a transaction nobody is idle."""
    with limited.connect(CLEAR, autocommit=False) as busy:
        busy.execute("SELECT 1")
        with limited.connect(CLEAR) as idle:
            assert select.select([idle.fileno()], [], [], 60)[0], "nothing is said to it"
            with pytest.raises(psycopg.Error, match="OST-405") as caught:
                idle.execute("SELECT 1")
            assert caught.value.sqlstate == "57P05"  # idle_session_timeout, as the server says it
        assert busy.execute("SELECT 2").fetchone() == (2,)
        busy.rollback()
