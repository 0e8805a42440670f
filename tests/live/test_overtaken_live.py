"""DDL that is committed while a statement of a masked session waits for its lock, in the same worker and in another."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.house import ADA, CLEAR, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

READ = "SELECT upper(y) FROM overtaken_v"
WRITE = "INSERT INTO overtaken_log SELECT 1 RETURNING (SELECT max(y) FROM overtaken_v)"
COPY = "COPY (SELECT y FROM overtaken_v) TO STDOUT"
WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%overtaken_v%'"


@pytest.fixture(scope="module")
def house(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres15.sql("CREATE TABLE overtaken (id int, note text, ssn text); INSERT INTO overtaken VALUES (1, 'calm', 'raw-ssn')")
    postgres15.sql("CREATE TABLE overtaken_log (id int)")
    postgres15.sql("CREATE VIEW overtaken_v AS SELECT note AS y FROM overtaken")
    with House(tmp_path_factory.mktemp("overtaken"), postgres15, masked={"public.overtaken": ["ssn"]}, workers=2) as made:
        yield made


def connect(house: House, worker: str, subject: str, **more: Any) -> psycopg.Connection[Any]:
    """A session in that worker: the other cannot accept meanwhile."""
    [other] = set(house.workers()) - {worker}
    house.kill(other, signal.SIGSTOP)
    try:
        return house.connect(subject, **more)
    finally:
        house.kill(other, signal.SIGCONT)


def rows(connection: psycopg.Connection[Any], text: str, prepared: bool) -> list[Any]:
    with connection.cursor() as cursor:
        if text == COPY:
            with cursor.copy(text) as copy:
                return list(copy.rows())
        return cursor.execute(text, [] if prepared else None, prepare=prepared).fetchall()


def reads(ada: psycopg.Connection[Any]) -> bool:
    try:
        return rows(ada, "SELECT y FROM overtaken_v", False) == [("calm",)]
    except psycopg.Error:
        return False


@pytest.mark.parametrize("owners", ["worker-1", "worker-2"], ids=["the same worker", "another worker"])
@pytest.mark.parametrize(("text", "prepared"), [(READ, False), (READ, True), (COPY, False), (WRITE, False)], ids=["simple", "prepared", "COPY", "write"])
def test_a_view_that_is_replaced_under_a_waiting_statement_shows_nothing(house: House, text: str, prepared: bool, owners: str) -> None:
    """Also where the statement's clean shape was remembered. What only reads ends in an error; a write is not told to be undone."""
    calm = [("CALM" if text == READ else "calm",)]
    with connect(house, "worker-1", ADA) as ada, connect(house, owners, CLEAR, autocommit=False) as owner, psycopg.connect(house.direct(), autocommit=True) as watch:
        owner.execute("CREATE OR REPLACE VIEW overtaken_v AS SELECT note AS y FROM overtaken")
        owner.commit()
        until(lambda: reads(ada), "the worker has heard of it")  # until then it refuses, on a machine that is slow to tell it
        for _ in range(3):
            assert rows(ada, text, prepared) == calm
        owner.execute("CREATE OR REPLACE VIEW overtaken_v AS SELECT ssn AS y FROM overtaken")
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(rows, ada, text, prepared)
            until(lambda: watch.execute(WAITING).rowcount, "the statement waits for the view's lock")
            owner.commit()
            if text == WRITE:
                assert asked.result(60) == [(None,)]
            else:
                with pytest.raises(psycopg.Error, match="OST-528"):
                    asked.result(60)
    with house.connect(ADA) as ada:
        assert ada.execute("SELECT y FROM overtaken_v").fetchall() == [("***",)]


@pytest.mark.parametrize("owners", ["worker-1", "worker-2"], ids=["the same worker", "another worker"])
@pytest.mark.parametrize("commit", ["COMMIT AND CHAIN", "COMMIT; BEGIN", "COMMIT; BEGIN; SELECT 1/0"], ids=["chain", "begin", "error"])
def test_what_is_committed_by_a_session_that_stays_in_a_transaction_is_heard_of(house: House, commit: str, owners: str) -> None:
    """No status says that it was committed; a read that was remembered shows nothing raw."""
    with connect(house, "worker-1", ADA) as ada, connect(house, owners, CLEAR) as owner:
        owner.execute("CREATE OR REPLACE VIEW overtaken_v AS SELECT note AS y FROM overtaken")
        until(lambda: reads(ada), "the worker has heard of it")
        for _ in range(3):
            assert rows(ada, READ, False) == [("CALM",)]
        owner.execute("BEGIN; CREATE OR REPLACE VIEW overtaken_v AS SELECT ssn AS y FROM overtaken")
        try:
            owner.execute(commit)
        except psycopg.errors.DivisionByZero:
            pass
        try:
            shown = str(rows(ada, READ, False))
        except psycopg.Error as error:
            shown = str(error)
        assert "raw-ssn" not in shown.lower()
