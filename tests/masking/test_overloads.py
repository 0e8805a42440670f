"""An owner's overload refuses only what may mean it: not every use of a name that is the server's too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from addons.masking import Masking
from protocols.command import Path, Statement
from protocols.hooks import RewriteHook
from protocols.verdict import Allow, Deny, Replace
from tests.masking.gate import Catalogs, session
from tests.servers import PostgresServer

SCHEMA = """
CREATE TABLE people (id int, ssn text, name text, born date);
CREATE TYPE leaky AS (v text);
CREATE TABLE holds (id int, x leaky, xs leaky[]);
CREATE FUNCTION eq(leaky, int) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM people WHERE id = $2 AND ssn LIKE $1.v)';
CREATE OPERATOR = (LEFTARG = leaky, RIGHTARG = int, FUNCTION = eq);
CREATE OPERATOR ~~ (LEFTARG = leaky, RIGHTARG = int, FUNCTION = eq);
CREATE FUNCTION whole(people, int) RETURNS boolean LANGUAGE sql AS 'SELECT $1.ssn > $2::text';
CREATE OPERATOR > (LEFTARG = people, RIGHTARG = int, FUNCTION = whole);
CREATE FUNCTION step(text, leaky) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people';
CREATE AGGREGATE max(leaky) (sfunc = step, stype = text);
CREATE FUNCTION upper(int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = $1';
CREATE FUNCTION public.json_object(int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = $1';
CREATE FUNCTION told(leaky) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE ssn LIKE $1.v';
CREATE CAST (leaky AS text) WITH FUNCTION told(leaky);
CREATE FUNCTION told(numeric, int) RETURNS date LANGUAGE sql AS 'SELECT born FROM people WHERE id = $1';
CREATE CAST (numeric AS date) WITH FUNCTION told(numeric, int);
CREATE FUNCTION strpos(leaky, int) RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM people WHERE id = $2 AND ssn LIKE $1.v';
CREATE OPERATOR >= (LEFTARG = leaky, RIGHTARG = int, FUNCTION = eq);
CREATE TABLE plain (id int, name text, at date);
"""

FINE = [
    "SELECT id FROM plain WHERE id = 1 AND name = 'x' AND at = '2020-01-01'", "SELECT id FROM plain WHERE id = $1", "SELECT id FROM plain WHERE '1' = id",
    "SELECT id::text, 'x'::text, CAST(at AS text) FROM plain", "SELECT max(name), max(at), max('x') FROM plain", "SELECT a.id FROM plain a JOIN plain b ON a.id = b.id WHERE a.id IN (1, 2)",
    "SELECT upper(name), upper(name::text), upper(btrim(name)), upper('5') FROM plain WHERE name LIKE 'x%'", "SELECT strpos(name, 'x') FROM plain WHERE name ~~ 'y%'",
    "UPDATE plain SET name = 'x' WHERE id = 1", "SELECT id FROM plain WHERE id > 3 AND at > '2020-01-01'",
]  # fmt: skip

REFUSED = [
    "SELECT id FROM holds WHERE x = 1", "SELECT ROW('9%') = 1", "SELECT '(9%)'::leaky = 1", "SELECT max(x) FROM holds", "SELECT max(e) FROM holds, unnest(xs) e",
    "SELECT id FROM plain WHERE '(9%)' ~~ id", "SELECT upper(id) FROM plain", "SELECT upper($1)",
    "SELECT upper(name) FROM (SELECT id AS name FROM plain) q", "SELECT upper(name) FROM plain, generate_series(1, 2) name",
    "SELECT upper(name) FROM (SELECT name::int FROM plain) q", "SELECT upper(name) FROM (SELECT 1, 2) q(name, x), plain", "SELECT strpos('9%', id) FROM plain", "SELECT strpos('9%', 1)",
    "SELECT upper(x) FROM json_to_recordset('[]') AS q(x int), plain", "WITH plain AS (SELECT 1 AS name) SELECT upper(name) FROM plain",
    "WITH plain(name) AS (VALUES (1)) SELECT upper(name) FROM plain", "WITH w AS (SELECT (y).id FROM (SELECT p AS y FROM plain p) q) SELECT upper(id::text) FROM w, holds WHERE x = 1",
    "SELECT upper(name) FROM holds name, (SELECT name FROM plain) q", "SELECT upper(NULLIF(id, 2)) FROM plain", "SELECT upper(q.column1) FROM (VALUES (1)) q, plain",
    "SELECT id FROM holds WHERE x IN (SELECT 1)", "SELECT CASE x WHEN 1 THEN 2 END FROM holds", "SELECT 1 FROM holds JOIN (SELECT 1 AS x) q USING (x)",
    "SELECT 1 FROM holds NATURAL JOIN (SELECT 1 AS x) q", "SELECT id FROM holds WHERE x BETWEEN 1 AND 2", "SELECT id FROM people p WHERE p > 5", "SELECT x OPERATOR(public.=) 1 FROM holds",
    "SELECT x::text FROM holds", "SELECT CAST(ROW('9%')::leaky AS text)", "SELECT e::text FROM holds, unnest(xs) e", "SELECT 1.0::date", "SELECT max(v) FROM made", "WITH c AS (SELECT x FROM holds) SELECT max(x) FROM c", "PREPARE p AS SELECT id FROM plain WHERE id = 1",
    "ALTER TABLE plain ADD z leaky; SELECT max(z) FROM plain", "SELECT json_object(1)", "UPDATE plain SET name = '' WHERE id = 1 RETURNING json_object(id)",
]  # fmt: skip


@pytest.fixture(scope="module")
def addon(server: PostgresServer) -> Iterator[Masking]:
    server.sql("CREATE DATABASE crowded OWNER app")
    server.sql(SCHEMA, "crowded")
    yield Masking(columns=[{"relation": "public.people", "column": "ssn"}], catalogs=Catalogs(server.port, "crowded"))
    server.sql("DROP DATABASE crowded")


def asked(addon: Masking, text: str, **more: object) -> Allow | Deny | Replace:
    answer = addon.on_rewrite(RewriteHook(session(database="crowded"), Statement(text, **more)))
    return answer if isinstance(answer, (Allow, Deny, Replace)) else answer.result


@pytest.mark.parametrize("sql", FINE)
def test_the_servers_own_meaning_passes(addon: Masking, sql: str) -> None:
    assert isinstance(asked(addon, sql), (Allow, Replace)), asked(addon, sql)


@pytest.mark.parametrize("sql", REFUSED)
def test_what_may_mean_an_overload_is_refused(addon: Masking, sql: str) -> None:
    assert asked(addon, sql).code in ("OST-503", "OST-506", "OST-510")


def test_a_declared_parameter_may_be_of_the_home_made_type(addon: Masking, server: PostgresServer) -> None:
    oid = int(server.sql("SELECT 'leaky'::regtype::oid::int8", "crowded"))
    for path in (Path.PARSE, Path.BIND):
        assert asked(addon, "SELECT $1 = 1", path=path, types=(oid,)).code == "OST-503"
        assert isinstance(asked(addon, "SELECT $1 = 1", path=path, types=(23,)), Allow)


def test_what_the_protocol_prepared_is_not_executed_in_sql_there(addon: Masking) -> None:
    """Its columns may have other types by then, and nobody looks at it again."""
    assert asked(addon, "EXECUTE s", prepared={"s": "SELECT 1"}).code == "OST-502" and isinstance(asked(addon, "EXECUTE s"), Allow)
