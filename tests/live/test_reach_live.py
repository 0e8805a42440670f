"""
Rules that name a relation, through a whole gateway: they are met under every name by which its rows are reached.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.house import ADA, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

DATABASE = "reached"
SETUP = """
CREATE TABLE emp (id int, a int) PARTITION BY RANGE (id);
CREATE TABLE emp1 PARTITION OF emp FOR VALUES FROM (0) TO (500) PARTITION BY RANGE (id);
CREATE TABLE emp1a PARTITION OF emp1 FOR VALUES FROM (0) TO (500); CREATE TABLE emp2 PARTITION OF emp DEFAULT;
INSERT INTO emp SELECT i, 0 FROM generate_series(1, 999) i;
CREATE TABLE base (id int, a int); CREATE TABLE kid () INHERITS (base); INSERT INTO kid SELECT i, 0 FROM generate_series(1, 100) i;
CREATE VIEW seen AS SELECT id, a AS b FROM emp1; CREATE VIEW seen_twice AS SELECT * FROM seen;
CREATE TABLE door (a int); CREATE RULE r AS ON UPDATE TO door DO ALSO UPDATE base SET a = 1;
CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items SELECT i, 0 FROM generate_series(1, 1000) i;
CREATE TABLE free (id int, a int); INSERT INTO free SELECT i, 0 FROM generate_series(1, 100) i;
CREATE TABLE closed (id int, ssn text) PARTITION BY LIST (id); CREATE TABLE closed_1 PARTITION OF closed DEFAULT;
INSERT INTO closed VALUES (1, 'x'); CREATE VIEW closed_view AS SELECT id, ssn AS other FROM closed_1;
CREATE TABLE top (id int); CREATE TABLE sub (ssn text) INHERITS (top); CREATE TABLE other_sub () INHERITS (top);
CREATE TABLE loose (id int, quiet text); INSERT INTO loose VALUES (1, 'x'); CREATE SCHEMA side; CREATE TABLE side.closed (id int);
CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM closed_1';
CREATE FUNCTION peek_atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT count(*) FROM closed; END;
CREATE FUNCTION peek_return() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM closed);
CREATE FUNCTION peek_far(int) RETURNS bigint LANGUAGE sql AS 'SELECT peek() + $1';
CREATE PROCEDURE peek_in() LANGUAGE sql AS 'UPDATE closed SET ssn = ssn WHERE id = 1';
CREATE FUNCTION peek_path() RETURNS bigint LANGUAGE sql SET search_path = public AS 'SELECT count(*) FROM closed';
CREATE FUNCTION side_path() RETURNS bigint LANGUAGE sql SET search_path = side AS 'SELECT count(*) FROM closed';
CREATE FUNCTION peek_op(int, int) RETURNS bigint LANGUAGE sql AS 'SELECT peek()';
CREATE OPERATOR <~> (FUNCTION = peek_op, LEFTARG = int, RIGHTARG = int);
CREATE TYPE home AS (a int); CREATE FUNCTION as_text(home) RETURNS text LANGUAGE sql AS 'SELECT peek()::text';
CREATE CAST (home AS text) WITH FUNCTION as_text(home);
CREATE FUNCTION wipe_closed() RETURNS int LANGUAGE sql AS 'DELETE FROM closed WHERE id = 99 RETURNING 1';
CREATE VIEW harmless AS SELECT wipe_closed(); CREATE VIEW behind AS SELECT * FROM harmless; CREATE VIEW reading AS SELECT peek();
CREATE FUNCTION whispered() RETURNS text LANGUAGE sql AS 'SELECT quiet FROM loose';
CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM emp1 WHERE id < 100 RETURNING 1';
CREATE FUNCTION vouched() RETURNS int LANGUAGE sql AS 'DELETE FROM emp1 WHERE id = 99 RETURNING 1';
CREATE FUNCTION wipe_in_with() RETURNS int LANGUAGE sql AS 'WITH gone AS (DELETE FROM emp WHERE id < 100 RETURNING 1) SELECT count(*)::int FROM gone';
CREATE FUNCTION loosen() RETURNS int LANGUAGE sql AS 'UPDATE loose SET id = 1 WHERE id = 1 RETURNING 1';
CREATE FUNCTION two(a int) RETURNS int LANGUAGE sql AS 'SELECT 2'; CREATE FUNCTION two(a text) RETURNS int LANGUAGE sql AS 'SELECT wipe()';
"""
ROWS = {
    "use": "addons.rows.Rows", "functions": ["vouched"],
    "touched": [
        {"name": "free", "rows": 1000, "relations": ["free"], "kinds": ["human"]},
        {"name": "few", "rows": 5, "relations": ["public.emp", "base", "items"], "kinds": ["human"]},
    ],
}
RULES = [
    {"name": "no closed", "relations": ["public.closed"], "verdict": "deny"},
    {"name": "no sub", "relations": ["sub"], "verdict": "deny"},
    {"name": "no quiet", "relations": ["loose"], "columns": ["quiet"], "verdict": "deny"},
]


@pytest.fixture(scope="module", params=["postgres15", "postgres18"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    server: PostgresServer = request.getfixturevalue(request.param)
    server.sql(f"CREATE DATABASE {DATABASE}")
    server.sql(SETUP, DATABASE)
    with House(tmp_path_factory.mktemp("reach") / "h", server, database=DATABASE, rules=RULES, addons=[ROWS], workers=1) as made:
        yield made


@pytest.mark.parametrize("sql", [
    "UPDATE emp SET a = 1", "UPDATE emp1 SET a = 1", "UPDATE ONLY emp1a SET a = 1", "DELETE FROM public.emp2", "UPDATE base SET a = 1", "UPDATE kid SET a = 1",
    "UPDATE seen SET b = 1", "DELETE FROM seen_twice", "UPDATE door SET a = 1", "UPDATE emp1 SET a = free.a FROM free WHERE free.id = emp1.id",
])  # fmt: skip
def test_a_limit_holds_under_every_name_that_reaches_the_rows(sql: str, house: House) -> None:
    with psycopg.connect(house.direct()) as direct:
        direct.execute("INSERT INTO door SELECT 1 FROM generate_series(1, 6)")
    with house.connect(ADA, autocommit=False) as connection:
        with pytest.raises((psycopg.errors.ProgramLimitExceeded, psycopg.errors.InsufficientPrivilege), match="OST-40[67]"):
            connection.execute(sql)
        connection.rollback()


def test_a_view_that_the_open_transaction_made_is_no_way_around_a_limit(house: House) -> None:
    with house.connect(ADA, autocommit=False) as connection:
        connection.execute("CREATE VIEW fresh AS SELECT * FROM emp")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-407"):
            connection.execute("UPDATE fresh SET a = 1")
        connection.rollback()


def test_what_reaches_none_of_the_rows_is_not_limited(house: House) -> None:
    with house.connect(ADA, autocommit=False) as connection:
        assert connection.execute("UPDATE free SET a = 1").rowcount == 100
        assert connection.execute("UPDATE emp1 SET a = 1 WHERE id <= 5").rowcount == 5
        connection.rollback()


UPDATING = "ON CONFLICT (id) DO UPDATE SET v = 9"


@pytest.mark.parametrize("sql", [
    f"INSERT INTO items SELECT i, 1 FROM generate_series(1, 1000) i {UPDATING}",
    f"INSERT INTO items SELECT i, 1 FROM generate_series(1, 1000) i LIMIT 6 {UPDATING}",
    f"INSERT INTO items SELECT i, 1 FROM generate_series(1, 1000) i ORDER BY 2 FETCH FIRST 1 ROW WITH TIES {UPDATING}",
    f"INSERT INTO items VALUES (generate_series(1, 1000), 1) {UPDATING}",
    f"INSERT INTO items VALUES (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1) {UPDATING}",
    f"WITH w AS (INSERT INTO items SELECT i, 1 FROM generate_series(1, 1000) i {UPDATING} RETURNING 1) SELECT count(*) FROM w",
    f"PREPARE p AS INSERT INTO items TABLE items {UPDATING}",
    f"EXPLAIN ANALYZE INSERT INTO items TABLE items {UPDATING}",
])  # fmt: skip
def test_rows_that_an_upsert_may_update_count_as_touched(sql: str, house: House) -> None:
    with house.connect(ADA) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-407"):
            connection.execute(sql)
        assert connection.execute("SELECT count(*) FROM items WHERE v = 9").fetchone() == (0,)


@pytest.mark.parametrize("sql", [
    f"INSERT INTO items VALUES (1, 1), (2, 1) {UPDATING}", f"INSERT INTO items VALUES (1, abs(-1)) {UPDATING}",
    f"INSERT INTO items SELECT i, 1 FROM generate_series(1, 1000) i LIMIT 5 {UPDATING}",
    "INSERT INTO items SELECT i, 1 FROM generate_series(1, 1000) i ON CONFLICT DO NOTHING",
])  # fmt: skip
def test_an_upsert_of_no_more_rows_is_as_it_is_without_a_limit(sql: str, house: House) -> None:
    with house.connect(ADA, autocommit=False) as connection:
        assert connection.execute(sql).rowcount <= 5
        connection.rollback()


def test_an_upsert_with_parameters_counts_its_rows_not_its_values(house: House) -> None:
    with house.connect(ADA, autocommit=False) as connection:
        assert connection.execute(f"INSERT INTO items VALUES (%s, %s) {UPDATING}", (1, 1)).rowcount == 1
        connection.rollback()


@pytest.mark.parametrize("sql", [
    "SELECT * FROM closed", "SELECT id FROM closed_1", "UPDATE closed_view SET other = 'y' WHERE id = 1", "TRUNCATE closed_1", "SELECT * FROM sub", "SELECT id FROM top",
    "COPY closed_1 TO STDOUT",
])  # fmt: skip
def test_what_is_denied_of_a_relation_is_denied_under_every_name_that_reaches_its_rows(sql: str, house: House) -> None:
    with house.connect(ADA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-203"):
        connection.execute(sql)


def test_what_is_denied_of_one_child_leaves_the_others_alone(house: House) -> None:
    with house.connect(ADA) as connection:
        assert connection.execute("SELECT * FROM other_sub").rowcount == 0


@pytest.mark.parametrize("sql", [
    "SELECT peek()", "SELECT public.peek()", "SELECT peek_atomic()", "SELECT peek_return()", "SELECT peek_far(1) FROM loose", "CALL peek_in()", "SELECT peek_path()",
    "SELECT 1 <~> 2", "SELECT 1 OPERATOR(public.<~>) 2", "SELECT ROW(1)::home::text", "SELECT CAST(ROW(1)::home AS text)", "SELECT whispered()", "SELECT * FROM whispered()",
    "SELECT * FROM harmless", "SELECT 1 FROM behind", "PREPARE p AS SELECT peek()", "EXPLAIN ANALYZE SELECT peek()", "COPY (SELECT peek()) TO STDOUT",
    "DECLARE c CURSOR WITH HOLD FOR SELECT peek()", "SELECT 1 WHERE EXISTS (SELECT peek_far(2))",
])  # fmt: skip
def test_rules_about_relations_and_columns_are_met_by_what_functions_reach(sql: str, house: House) -> None:
    """Text and parsed bodies, operators' and casts' functions, procedures, and what a view's function writes."""
    with house.connect(ADA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-203"):
        connection.execute(sql)


def test_a_functions_own_search_path_says_what_its_body_means(house: House) -> None:
    with house.connect(ADA) as connection:
        assert connection.execute("SELECT side_path()").fetchone() == (0,)


def test_a_view_that_reads_is_a_relation_of_its_own_also_by_a_function(house: House) -> None:
    with house.connect(ADA) as connection:
        assert connection.execute("SELECT * FROM reading").fetchone() == (1,)


@pytest.mark.parametrize("sql", [
    "SELECT wipe()", "SELECT wipe() FROM free WHERE id = 1", "SELECT wipe_in_with()", "SELECT two('x')", "UPDATE free SET a = 1 WHERE id = wipe()",
    "SELECT 1 WHERE (SELECT wipe()) = 1", "PREPARE p AS SELECT wipe()",
])  # fmt: skip
def test_a_limit_holds_for_rows_that_a_function_touches(sql: str, house: House) -> None:
    with house.connect(ADA) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-407"):
            connection.execute(sql)
        assert connection.execute("SELECT count(*) FROM emp WHERE id < 100").fetchone() == (99,)


def test_functions_that_touch_nothing_limited_or_that_are_listed_run(house: House) -> None:
    with house.connect(ADA, autocommit=False) as connection:
        assert connection.execute("SELECT loosen(), vouched()").fetchone() == (1, 1)
        connection.rollback()
