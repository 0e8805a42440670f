"""What PostgreSQL 18 can make of masked columns: virtual generated columns, keys over periods, whole rows named OLD and NEW."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from addons.masking import Masking
from tests.masking.gate import Catalogs, Gate, Result, session
from tests.servers import PostgresServer

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, ssn text, note text, tail text GENERATED ALWAYS AS (right(ssn, 8)) VIRTUAL,
  mixed text GENERATED ALWAYS AS (note || ssn) VIRTUAL, plain text GENERATED ALWAYS AS (upper(note)) VIRTUAL);
INSERT INTO people VALUES (1, '987-65-4321', 'n');
CREATE VIEW tails AS SELECT id, tail FROM people;
CREATE TABLE stays (mrn int4range, span daterange, v int, CONSTRAINT k PRIMARY KEY (mrn, span WITHOUT OVERLAPS));
INSERT INTO stays VALUES ('[1,2)', '[2024-01-01,2024-02-01)', 1);
CREATE TABLE bills (mrn int4range, span daterange, CONSTRAINT k FOREIGN KEY (mrn, PERIOD span) REFERENCES stays (mrn, PERIOD span));
"""
MASKED = {
    "SELECT tail, mixed, plain FROM people": [None, b"***", b"N"], "SELECT * FROM people": [b"1", None, b"***", b"n", b"N"], "SELECT tail FROM tails": [None, b"***"],
    "UPDATE people SET id = 1 WHERE id = 1 RETURNING tail, mixed, plain": [None, b"***", b"N"],
}  # fmt: skip
"""With all that a cell may be then."""

REFUSED = {
    "SELECT id FROM people WHERE tail = '65-4321'": "OST-510", "UPDATE people SET note = 'x' WHERE id = 1": "OST-524",
    "UPDATE people SET id = 1 WHERE id = 1 RETURNING old.tail": "OST-514", "UPDATE people SET id = 1 WHERE id = 1 RETURNING to_json(new)": "OST-514",
    "UPDATE people SET id = 1 WHERE id = 1 RETURNING WITH (OLD AS people) people.tail": "OST-514", "UPDATE stays SET span = '[2024-01-01,2024-01-09)'": "OST-524",
    "INSERT INTO bills VALUES ('[1,2)', '[2024-01-05,2024-01-06)')": "OST-524", "ALTER TABLE people ALTER tail SET EXPRESSION AS (ssn)": "OST-512",
}  # fmt: skip


@pytest.fixture(scope="module")
def masking(server: PostgresServer) -> Iterator[Masking]:
    if server.version < 18:
        pytest.skip("PostgreSQL 18 has them first")
    server.sql("CREATE DATABASE later OWNER app")
    server.sql(SCHEMA, "later")
    columns = [{"relation": "public.people", "column": "ssn"}, {"relation": "public.stays", "column": "mrn"}]
    yield Masking(columns=columns, catalogs=Catalogs(server.port, "later"))
    server.sql("DROP DATABASE later")


def run(masking: Masking, server: PostgresServer, sql: str) -> Result:
    gate = Gate(masking, server.port, session(database="later"), "later")
    try:
        return gate.run(sql)[-1]
    finally:
        gate.close()


@pytest.mark.parametrize("sql", MASKED)
def test_a_virtual_column_is_masked_as_what_it_is_made_of(masking: Masking, server: PostgresServer, sql: str) -> None:
    result = run(masking, server, sql)
    assert result.rows and not result.refused and not result.error and not result.alarm, result
    assert all(cell in MASKED[sql] for row in result.rows for cell in row), result.rows


@pytest.mark.parametrize("sql", REFUSED)
def test_what_would_tell_of_one_is_refused(masking: Masking, server: PostgresServer, sql: str) -> None:
    result = run(masking, server, sql)
    assert result.refused is not None and result.refused.code == REFUSED[sql], result
