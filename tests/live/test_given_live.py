"""
What a name was given as is what the server goes on with: a prepared statement, a cursor or a portal is not run or read on when its
text would be masked, or ruled, in another way now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from protocols.postgres import messages
from tests.house import ADA, EVERYTHING, GRACE, PEOPLE, House, mask
from tests.live.test_search_path import bound, sent
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

RAW = "900-11-0001"
SETUP = """
DROP SCHEMA IF EXISTS given CASCADE; CREATE SCHEMA given;
CREATE TABLE given.patients (id int PRIMARY KEY, ssn text);
CREATE TABLE given.notes (id int PRIMARY KEY, body text);
INSERT INTO given.patients SELECT i, '900-11-' || lpad(i::text, 4, '0') FROM generate_series(1, 9) i;
INSERT INTO given.notes SELECT i, 'n' || i FROM generate_series(1, 9) i;
CREATE FUNCTION given.reopens(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS 'BEGIN CLOSE c; OPEN c FOR SELECT ssn FROM given.patients; RETURN c; END';
CREATE FUNCTION given.reprepares() RETURNS int LANGUAGE sql AS 'DEALLOCATE s; PREPARE s AS SELECT ssn FROM given.patients; SELECT 1';
CREATE VIEW given.seen AS SELECT id, body AS x FROM given.notes;
"""
SEEING = {**PEOPLE, GRACE: {**PEOPLE[GRACE], "groups": [*PEOPLE[GRACE]["groups"], "privacy"]}}
MASKS = [mask("given.patients", "ssn")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    masked = {"given.patients": ["ssn"]}
    postgres15.sql(SETUP)
    listed = {"functions": ["given.reopens", "given.reprepares"]}
    with House(tmp_path_factory.mktemp("given"), postgres15, masked=masked, people=SEEING, workers=1, options=listed, masking=listed) as made:
        yield made


@pytest.fixture(autouse=True)
def afresh(house: House) -> None:
    house.server.sql(SETUP)
    declared(house, MASKS)


def declared(house: House, columns: list[dict[str, object]], *rules: dict[str, Any]) -> None:
    """Other masks and rules, in force."""
    masking = next(one for one in house.addons if one["use"].endswith("Masking"))
    policy = next(one for one in house.addons if one["use"].endswith("Policy"))
    masking["columns"], policy["rules"], policy["default"] = columns, list(rules), dict(EVERYTHING)
    house.reload()


def replaced(house: House) -> None:
    """The view shows something else, and everybody knows."""
    with house.connect(GRACE) as clear:
        clear.execute("CREATE OR REPLACE VIEW given.seen AS SELECT id, ssn AS x FROM given.patients")


def refused(connection: psycopg.Connection[Any], text: str, code: str = "OST-529") -> None:
    with pytest.raises(psycopg.Error, match=code):
        connection.execute(text)


USES = {
    "an expression": ("PREPARE p AS SELECT upper(x) FROM given.seen LIMIT 1", "EXECUTE p"),
    "a guess": ("PREPARE p(text) AS SELECT count(*) FROM given.seen WHERE x = $1", f"EXECUTE p('{RAW}')"),
    "a write": ("PREPARE p AS INSERT INTO given.notes SELECT 100, x FROM given.seen WHERE id = 5", "EXECUTE p"),
    "its plan": ("PREPARE p AS SELECT upper(x) FROM given.seen LIMIT 1", "EXPLAIN ANALYZE EXECUTE p"),
}


@pytest.mark.parametrize(("prepare", "execute"), USES.values(), ids=list(USES))
def test_what_sql_prepared_is_not_executed_behind_a_view_that_others_replaced(house: House, prepare: str, execute: str) -> None:
    with house.connect(ADA) as ada:
        ada.execute(prepare)
        replaced(house)
        with pytest.raises(psycopg.Error, match="OST-5"):
            ada.execute(execute)
        assert house.server.sql("SELECT count(*) FROM given.notes WHERE id = 100") == "0"


def test_execute_sent_by_parse_and_bind_is_judged_alike(house: House) -> None:
    with house.connect(ADA) as ada:
        ada.execute("PREPARE p AS SELECT upper(x) FROM given.seen LIMIT 1")
        assert ada.execute("EXECUTE p", prepare=True).fetchone() == ("N1",)
        replaced(house)
        with pytest.raises(psycopg.Error, match="OST-529"):
            ada.execute("EXECUTE p", prepare=True)


def test_what_the_protocol_prepared_is_not_executed_by_sql_then(house: House) -> None:
    with house.connect(ADA) as ada:
        ada.pgconn.prepare(b"p", b"SELECT upper(x) FROM given.seen LIMIT 1")
        assert ada.execute("EXECUTE p").fetchone() == ("N1",)
        replaced(house)
        refused(ada, "EXECUTE p")


def test_what_means_the_same_goes_on(house: House) -> None:
    """Also where a view was replaced that it does not read, and where what it reads is masked as it was."""
    with house.connect(ADA) as ada:
        ada.execute("PREPARE p AS SELECT upper(body) FROM given.notes ORDER BY id LIMIT 1")
        ada.execute("PREPARE m AS SELECT ssn FROM given.patients LIMIT 1")
        replaced(house)
        declared(house, [*MASKS, mask("given.notes", "id")], {"name": "other", "relations": ["given.seen"], "verdict": "deny"})
        assert ada.execute("EXECUTE m").fetchone() == ("***",)
        declared(house, MASKS)
        assert ada.execute("EXECUTE p").fetchone() == ("N1",)


def test_what_a_reload_masks_is_not_executed_or_fetched_as_it_was(house: House) -> None:
    with house.connect(ADA) as ada:
        ada.execute("PREPARE p AS SELECT upper(body) FROM given.notes LIMIT 1")
        ada.execute("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT upper(body) FROM given.notes ORDER BY id; COMMIT")
        assert ada.execute("FETCH 1 FROM c").fetchall() == [("N1",)]
        declared(house, [*MASKS, mask("given.notes", "body")])
        for text in ("EXECUTE p", "FETCH 2 FROM c", "MOVE 1 FROM c"):
            refused(ada, text)
        assert ada.execute("SELECT body FROM given.notes LIMIT 1").fetchone() == ("***",), "the session lives"


def test_a_cursor_is_not_read_on_when_a_reload_denies_what_it_reads(house: House) -> None:
    with house.connect(ADA) as ada:
        ada.execute("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT body FROM given.notes ORDER BY id; COMMIT")
        declared(house, MASKS, {"name": "no notes", "relations": ["given.notes"], "verdict": "deny"})
        refused(ada, "FETCH 2 FROM c", "OST-218")
        declared(house, MASKS)
        assert ada.execute("FETCH 1 FROM c").fetchall() == [("n1",)]


@pytest.mark.parametrize("how", ["SELECT given.reopens('p')", "PREPARE n AS SELECT given.reopens('p')"], ids=["called", "executed"])
def test_a_portals_name_that_a_listed_function_gives_to_a_cursor_shows_that_under_its_own_decision(house: House, how: str) -> None:
    """Masked, and on record as what it is."""
    with house.connect(ADA, sslmode="disable") as connection:
        text = "SELECT body FROM given.notes ORDER BY id"
        assert sent(connection, "BEGIN", bound(text, 1, "p"))[0].endswith(b"n1")
        sent(connection, how, *(["EXECUTE n"] if how.startswith("PREPARE") else []))
        rows = sent(connection, messages.Execute("p", 0).encode(), "COMMIT")
    assert rows and all(row.endswith(b"***") for row in rows)
    assert any((record.get("body") or {}).get("text") == 'FETCH FORWARD ALL FROM "p"' for record in house.records("--kind", "intent"))


def test_a_statements_name_that_a_listed_function_gives_to_another_is_not_run_under_the_old_decision(house: House) -> None:
    with house.connect(ADA, sslmode="disable") as connection:
        sent(connection, messages.Parse("s", "SELECT body FROM given.notes", ()).encode(), "SELECT given.reprepares()")
        rows = sent(connection, messages.Bind("", "s", (), (), ()).encode() + messages.Execute("", 0).encode())
        assert rows == [], "nobody knows what it runs"
        connection.execute("SELECT 1")
