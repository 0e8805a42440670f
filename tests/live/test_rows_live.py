"""
Limits on rows through a whole gateway: a write that would touch too many fails and changes nothing; the planner is asked aside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.house import ADA, BENCH, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

DATABASE = "rowed"
SETUP = """
CREATE TABLE items (id int PRIMARY KEY, kind int NOT NULL, note text, secret text);
INSERT INTO items SELECT i, i % 10, 'n', 's' FROM generate_series(1, 1000) i;
CREATE TABLE parts (id int, item int); INSERT INTO parts SELECT i, 1 + i % 3 FROM generate_series(1, 30) i;
CREATE TABLE logs (day int, v int) PARTITION BY RANGE (day);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (10); CREATE TABLE logs_2 PARTITION OF logs DEFAULT;
INSERT INTO logs SELECT i, i FROM generate_series(0, 19) i;
ANALYZE;
"""
ROWS = {
    "use": "addons.rows.Rows",
    "touched": [{"name": "few", "rows": 10, "kinds": ["human"]}],
    "estimated": [{"name": "big", "rows": 500, "statements": ["select"], "kinds": ["human"]}],
}


@pytest.fixture(scope="module", params=["postgres15", "postgres18"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    server: PostgresServer = request.getfixturevalue(request.param)
    server.sql(f"CREATE DATABASE {DATABASE}")
    server.sql(SETUP, DATABASE)
    with House(tmp_path_factory.mktemp("rows") / "h", server, database=DATABASE, masked={"public.items": ["secret"]}, addons=[ROWS], workers=1) as made:
        yield made


def left(house: House, table: str = "items") -> int:
    with psycopg.connect(house.direct()) as direct:
        found = direct.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    assert found is not None
    return int(found[0])


TOO_MANY = [
    "DELETE FROM items WHERE id BETWEEN 1 AND 11",
    "DELETE FROM items",
    "DELETE FROM items WHERE id <= 11 RETURNING id, secret",
    "UPDATE items SET note = 'x' WHERE kind = 3",
    "WITH w AS (SELECT id FROM parts) UPDATE items i SET note = 'x' FROM w WHERE w.id = i.id",
    "DELETE FROM logs WHERE day > 5",
    "EXPLAIN ANALYZE DELETE FROM parts",
]


@pytest.mark.parametrize("sql", TOO_MANY)
def test_a_write_that_would_touch_too_many_rows_fails_and_changes_nothing(sql: str, house: House) -> None:
    before = [left(house, table) for table in ("items", "logs", "parts")]
    with house.connect(ADA) as connection:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="OST-406|54000"):
            connection.execute(sql)
        assert connection.execute("SELECT count(*) FROM items WHERE note = 'x'").fetchone() == (0,)
    assert [left(house, table) for table in ("items", "logs", "parts")] == before


JUST = [
    ("UPDATE items SET note = 'y' WHERE id BETWEEN 1 AND 10", 10),
    ("UPDATE items SET note = 'y' WHERE id = 1 OR note = 'none'", 1),
    ("UPDATE items i SET note = 'z' FROM parts p WHERE p.item = i.id", 3),  # thirty parts of three items
    ("DELETE FROM logs WHERE day BETWEEN 5 AND 14", 10),
    ("UPDATE items SET note = 'n' WHERE id = -1", 0),
    ("UPDATE items SET note = 'n' WHERE id = 1 RETURNING id, secret", 1),
]


@pytest.mark.parametrize(("sql", "count"), JUST)
def test_one_that_touches_no_more_is_as_it_is_without_a_limit(sql: str, count: int, house: House) -> None:
    with house.connect(ADA, autocommit=False) as connection:
        assert connection.execute(sql).rowcount == count
        connection.rollback()


def test_the_transaction_is_told_the_truth(house: House) -> None:
    """A failed statement fails the transaction, as any error does; a savepoint brings it back."""
    with house.connect(ADA, autocommit=False) as connection:
        connection.execute("UPDATE items SET note = 'kept' WHERE id = 1")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded), connection.transaction():
            connection.execute("DELETE FROM items WHERE id > %s", (900,))
        assert connection.execute("SELECT note FROM items WHERE id = 1").fetchone() == ("kept",)
        assert connection.execute("UPDATE items SET note = %s WHERE id = %s", ("kept", 2), prepare=True).rowcount == 1
        connection.rollback()


def test_what_others_write_meanwhile_is_not_touched_beyond_the_limit(house: House) -> None:
    """The statement waits for a row that another changes; rows that come meanwhile are not of its snapshot."""
    with psycopg.connect(house.direct()) as other, house.connect(ADA) as connection:
        other.execute("UPDATE parts SET item = 77 WHERE id = 1")
        counts: list[int] = []
        thread = threading.Thread(target=lambda: counts.append(connection.execute("UPDATE parts SET item = 78 WHERE id BETWEEN 1 AND 5 OR item = 77").rowcount))
        thread.start()
        with psycopg.connect(house.direct(), autocommit=True) as watch:
            until(lambda: watch.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s", (DATABASE,)).fetchone(), "the wait")
        other.execute("INSERT INTO parts SELECT 1000 + i, 77 FROM generate_series(1, 50) i")
        other.commit()
        thread.join()
    assert counts == [5]


def test_the_limit_is_for_whom_the_rule_names(house: House) -> None:
    with house.connect(BENCH, autocommit=False) as connection:
        assert connection.execute("UPDATE items SET note = 'x' WHERE kind = 4").rowcount == 100
        connection.rollback()


def test_a_read_that_the_planner_expects_too_much_of_is_refused(house: House) -> None:
    with house.connect(ADA) as connection:
        for sql, values in (("SELECT * FROM items", None), ("SELECT * FROM items WHERE id > %s OR true", (1,))):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-408"):
                connection.execute(sql, values)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-408"), connection.cursor().copy("COPY items TO STDOUT") as copy:
            copy.read()
        assert connection.execute("SELECT id FROM items WHERE kind = %s LIMIT 5", (1,)).rowcount == 5


def test_what_only_the_session_sees_cannot_be_estimated(house: House) -> None:
    """And the session's transaction is not failed by the asking, but by the refusal."""
    with house.connect(ADA) as connection:
        connection.execute("CREATE TEMP TABLE mine (v int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-409"):
            connection.execute("SELECT * FROM mine")


def test_a_locked_table_is_not_waited_for(house: House) -> None:
    with house.connect(ADA, autocommit=False) as connection:
        connection.execute("LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-409"):
            connection.execute("SELECT * FROM parts")
        connection.rollback()
