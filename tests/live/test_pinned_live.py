"""A text that got its names' schemas is the same statement to the server, whatever the path has become."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from addons.sql.catalog import Snapshot
from addons.sql.pinned import pinned
from addons.sql.resolve import Names
from gateway.catalog import read
from tests.masking.gate import Connection
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

TWO = "".join(
    f"""
CREATE SCHEMA {schema};
CREATE TABLE {schema}.ward (id int PRIMARY KEY, n int DEFAULT 0, name text, UNIQUE (name));
CREATE TABLE {schema}.bed (id int PRIMARY KEY, ward int REFERENCES {schema}.ward, kept bool);
INSERT INTO {schema}.ward SELECT g, g * 10, '{schema} ' || g FROM generate_series(1, 4) g;
INSERT INTO {schema}.bed SELECT g, g, g > {least} FROM generate_series(1, 4) g;
CREATE VIEW {schema}.full AS SELECT * FROM {schema}.ward WHERE n > {least};
"""
    for schema, least in (("one", 10), ("two", 20))
)

STATEMENTS = [
    "SELECT * FROM ward ORDER BY id", "SELECT ward.name, ward.* FROM ward WHERE ward.n > 10 ORDER BY ward.id", "SELECT w FROM ward w, bed WHERE bed.ward = w.id",
    "SELECT ward FROM ward ORDER BY 1", "SELECT (ward).name, ward.tableoid::regclass::text LIKE '%one.%' AS x FROM ward LIMIT 0", "TABLE ward",
    "SELECT one.ward.name FROM ward ORDER BY 1", "SELECT a.id, b.name FROM ward a JOIN two.ward b USING (id) ORDER BY 1", "SELECT ward.id FROM ward NATURAL JOIN bed",
    "WITH ward AS (SELECT id + 100 AS id FROM ward) SELECT ward.id FROM ward ORDER BY 1", "SELECT * FROM \"full\" ORDER BY id",
    "WITH RECURSIVE up(id) AS (SELECT id FROM ward WHERE id = 1 UNION SELECT ward.id FROM ward, up WHERE ward.id = up.id + 1) SELECT * FROM up ORDER BY 1",
    "SELECT name, (SELECT count(*) FROM bed WHERE bed.ward = ward.id AND kept) FROM ward ORDER BY id", "SELECT x.name FROM ward, LATERAL (SELECT ward.name) x ORDER BY 1",
    "SELECT name FROM ward WHERE EXISTS (SELECT FROM bed b WHERE b.ward = ward.id AND b.kept) ORDER BY ward.id FOR UPDATE OF ward SKIP LOCKED",
    "SELECT count(*) FROM ONLY ward TABLESAMPLE SYSTEM (100)", "SELECT name, rank() OVER (ORDER BY ward.n) FROM ward GROUP BY ward.id HAVING count(*) = 1 ORDER BY 2",
    "SELECT name FROM ward UNION ALL SELECT name FROM two.ward ORDER BY 1", "SELECT nosuch FROM ward", "SELECT ward.nosuch FROM ward", "SELECT two.ward.name FROM ward",
    "INSERT INTO ward VALUES (9, 1, 'nine') RETURNING ward.*", "INSERT INTO ward AS w (id, name) SELECT id + 10, name || '!' FROM ward RETURNING w.name",
    "INSERT INTO ward (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = ward.name || excluded.name WHERE ward.n = 10 RETURNING ward.name",
    "INSERT INTO ward (id) VALUES (1)", "UPDATE ward SET name = ward.name || bed.id FROM bed WHERE bed.ward = ward.id AND bed.kept RETURNING ward.id, ward.name, bed.*",
    "UPDATE ward SET (n, name) = (SELECT count(*), 'c' || ward.id FROM bed WHERE bed.ward = ward.id) RETURNING *", "DELETE FROM bed USING ward WHERE ward.id = bed.ward RETURNING ward.name",
    "DELETE FROM ward WHERE ward.id = 1", "WITH gone AS (DELETE FROM bed WHERE kept RETURNING bed.ward) SELECT name FROM ward JOIN gone ON gone.ward = ward.id ORDER BY 1",
    "MERGE INTO ward USING bed ON bed.ward = ward.id WHEN MATCHED AND bed.kept THEN UPDATE SET n = ward.n + 1 WHEN NOT MATCHED THEN DO NOTHING",
    "TRUNCATE bed", "TRUNCATE ward", "LOCK TABLE ward IN SHARE MODE", "EXPLAIN (COSTS off) SELECT * FROM ward WHERE ward.id = 1", "EXPLAIN (COSTS off, VERBOSE) SELECT name FROM ward",
    "ANALYZE bed", "CREATE TEMP TABLE fresh AS SELECT name FROM ward", "CREATE TEMP VIEW shown AS SELECT * FROM ward", "CREATE TABLE one.kin (LIKE ward INCLUDING ALL)",
    "CREATE TABLE one.leaf (x int REFERENCES ward) INHERITS (bed)", "CREATE INDEX ON bed (kept)", "ALTER TABLE ward ADD COLUMN more int", "ALTER TABLE bed DROP COLUMN kept",
    "ALTER TABLE ward RENAME TO rooms", "GRANT SELECT ON ward TO PUBLIC", "CREATE RULE r AS ON DELETE TO bed DO INSTEAD UPDATE ward SET n = 0 WHERE ward.id = old.ward",
    "PREPARE p AS SELECT name FROM ward", "DECLARE c CURSOR FOR SELECT name FROM ward", "SELECT count(*) FROM pg_class WHERE oid = 0", "SELECT * FROM pg_tables WHERE tablename = 'x'",
]  # fmt: skip

FOLLOWED = {"PREPARE": "EXECUTE p", "DECLARE": "FETCH ALL c", "CREATE": "SELECT count(*) FROM one.ward", "ALTER": "SELECT * FROM one.bed", "TRUNCATE": "SELECT * FROM one.bed"}
"""What shows what a statement did that gives no rows."""


@pytest.fixture(scope="module")
def twice(postgres15: PostgresServer) -> Iterator[psycopg.Connection]:
    postgres15.sql("CREATE DATABASE twice")
    postgres15.sql(TWO, "twice")
    with psycopg.connect(host="127.0.0.1", port=postgres15.port, user="postgres", dbname="twice", autocommit=True) as connection:
        yield connection
    postgres15.sql("DROP DATABASE twice")


@pytest.fixture(scope="module")
def snapshot(postgres15: PostgresServer, twice: psycopg.Connection) -> Snapshot:
    answers: list = []
    connection = Connection(postgres15.port, "twice", "postgres")
    read(connection).addBoth(answers.append)
    connection.close()
    return answers[0][0]


def done(connection: psycopg.Connection, path: str, text: str) -> list:
    """Everything that a statement and what follows it say, taken back."""
    said: list = []
    connection.execute(f"BEGIN; SET LOCAL search_path = {path}")
    try:
        for each in (text, FOLLOWED.get(text.split()[0], "SELECT * FROM one.ward, two.ward")):
            cursor = connection.execute(each)
            said += [cursor.statusmessage, cursor.fetchall() if cursor.description else None]
    except psycopg.Error as error:
        said += [error.sqlstate, error.diag.message_primary, error.diag.message_detail]
    connection.execute("ROLLBACK; DEALLOCATE ALL")
    return said


@pytest.mark.parametrize("text", STATEMENTS, ids=range(len(STATEMENTS)))
def test_what_is_sent_does_what_the_clients_text_would_have_done_and_by_any_path(twice: psycopg.Connection, snapshot: Snapshot, text: str) -> None:
    sent = pinned(text, Names(snapshot, ("one",)))
    assert done(twice, "two", sent) == done(twice, "one", text), sent
    assert done(twice, "''", sent) == done(twice, "one", text), sent
