"""Functions, operators and fields are judged by lists, and by the catalog where there is one."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace

import pytest

from addons.sql.assess import Assessor, columns_of, with_prepared
from addons.sql.catalog import Column, Function, Relation
from addons.sql.listed import Listed
from addons.sql.settings import Gate


def function(oid: int, name: str, body: str = "", *, language: str = "sql", schema: str = "public", arguments: int = 0) -> Function:
    return Function(oid, schema, name, "f", "v", language, False, False, 23, (23,) * arguments, arguments, False, body)


FUNCTIONS = [
    function(1, "active_patients", "SELECT count(*) FROM patients WHERE active"), function(2, "purge", "DELETE FROM events"),
    function(3, "hidden", language="plpgsql"), function(4, "outer_one", "SELECT active_patients()"), function(5, "outer_two", "SELECT purge()"),
    function(6, "lower", "SELECT purge()", arguments=1), function(7, "loop", "SELECT loop()"), function(8, "wipe_row", "DELETE FROM t", arguments=1),
    function(9, "runs", "EXECUTE p"), function(10, "broken", "SELEC"), function(11, "sets", "SELECT set_config('work_mem', '1', false)"),
    function(13, "json_scalar", "DELETE FROM t", arguments=1), function(14, "json_object", "DELETE FROM t", arguments=1),
    function(12, "upper", "", schema="pg_catalog", language="internal", arguments=1),
]


def snapshot(operators: dict[str, tuple[int, ...]] | None = None) -> SimpleNamespace:
    """As much of a catalog as is asked for."""
    table = Relation(1, "public", "t", "r", 0, (Column(1, "id", 23, "integer", True),))
    names = {f.name for f in FUNCTIONS}
    return SimpleNamespace(
        revision="r", casts={}, types={}, ranges={}, by_type_name={}, implicit=frozenset(), kin=lambda _oid: True, functions={f.oid: f for f in FUNCTIONS}, operators=MappingProxyType(operators or {}),
        by_function_name={n: tuple(f for f in FUNCTIONS if f.name == n) for n in names},
        named=lambda schema, name: (table,) if name == "t" else (), policies={}, runs={}, type_runs={}, defaults={}, aggregates={}, triggers=(), foreign_keys=(), relations={1: table}, ancestors=lambda _oid: set(), descendants=lambda _oid: set(),
    )


def classes(text: str, *, listed: tuple[str, ...] = (), catalog: object = None) -> set[str]:
    return {k for part in Assessor(listed, Gate()).assess(text, catalog) for k in part.classes}


@pytest.mark.parametrize(("text", "expected"), [
    ("SELECT lower('x'), count(*), row_number() OVER () FROM t", "read"), ("SELECT purge()", "read function-unlisted"),
    ("SELECT \"pg_read_file\"('/x')", "read file"), ("SELECT pg_catalog.pg_read_file('/x')", "read file"),
    ("SELECT U&\"\\0070g_read_file\"('/x')", "read file"), ("SELECT/**/pg_read_file/**/('/x')", "read file"),
    ("SELECT (SELECT pg_read_file(x) FROM (VALUES ('/x')) v(x))", "read file"), ("SELECT * FROM pg_ls_dir('/')", "read file"),
    ("SELECT * FROM ROWS FROM (pg_ls_dir('/'), generate_series(1, 2))", "read file"), ("SELECT 1 ORDER BY pg_read_file('/x')", "read file"),
    ("SELECT sum(1) FILTER (WHERE pg_read_file('/x') = '')", "read file"), ("SELECT sum(1) OVER (ORDER BY pg_read_file('/x'))", "read file"),
    ("SELECT ('/etc/passwd'::text).pg_read_file", "read file"), ("SELECT (v).pg_read_file FROM (VALUES ('/x')) t(v)", "read file"),
    ("SELECT CASE WHEN true THEN lo_import('/x') END", "read file"), ("SELECT 1 LIMIT length(pg_read_file('/x'))", "read file"),
    ("EXECUTE p(pg_read_file('/x'))", "file"), ("COPY t FROM STDIN WHERE pg_read_file('/x') = ''", "write file"),
    ("CREATE INDEX ON t (pg_read_file(a))", "ddl file"), ("SELECT query_to_xml('x', true, false, '')", "read dynamic"),
    ("SELECT * FROM dblink('x', 'y') AS t(a int)", "read network"), ("SELECT public.dblink_exec('x')", "read network"),
    ("SELECT nextval('s')", "read write"), ("SELECT lo_creat(-1)", "read large-object"), ("SELECT pg_sleep(1)", "read"),
    ("SELECT pg_logical_emit_message(true, 'a', 'b')", "read replication"), ("SELECT pg_cancel_backend(1)", "read server-config"),
    ("SELECT set_config('role', 'x', false)", "read session-identity"), ("SELECT 1 WHERE set_config('role', 'x', false) = ''", "read session-identity"),
    ("SELECT set_config('search_path', '', false) WHERE false", "read server-config"), ("SELECT evil.set_config('a', 'b', false)", "read function-unlisted"),
    ("SELECT 1 OPERATOR(pg_catalog.+) 1", "read"), ("SELECT 1 OPERATOR(evil.+) 1", "read function-unlisted"), ("SELECT 1 === 1", "read function-unlisted"),
    ("SELECT * FROM t ORDER BY a USING ===", "read function-unlisted"), ("SELECT * FROM t TABLESAMPLE system (1)", "read"),
    ("SELECT * FROM t TABLESAMPLE evil (1)", "read function-unlisted"), ("SELECT 1 = ANY (SELECT 1)", "read"),
    ("SELECT 1 === ANY (SELECT 1)", "read function-unlisted"), ("SELECT (a).b FROM t", "read function-unlisted"), ("SELECT t.b FROM t", "read"),
    ("SELECT (a).lower FROM t", "read"), ("SELECT (information_schema._pg_expandarray(a)).n FROM t", "read"), ("SELECT (t).* FROM t", "read"),
    ("SET ROLE x", "session-identity"), ("PREPARE p AS SELECT purge()", "read session function-unlisted"), ("CALL p()", "procedural function-unlisted"),
    ("EXPLAIN SELECT purge()", "read function-unlisted"), ("DECLARE c CURSOR FOR SELECT purge()", "read function-unlisted"),
    ("CREATE TEMP TABLE t AS SELECT 1 WHERE purge() IS NULL", "read ddl function-unlisted"), ("SELECT now() AT TIME ZONE 'UTC'", "read"),
    ("SELECT extract(year FROM now()), position('a' IN 'b'), substring('a' FROM 1), overlay('a' PLACING 'b' FROM 1), trim('a')", "read"),
    ("SELECT 'a' LIKE 'b' ESCAPE 'c', 'a' SIMILAR TO 'b', normalize('a'), 'a' IS NORMALIZED", "read"),
    ("SELECT current_user, session_user, current_date, localtimestamp, current_catalog", "read"),
])
def test_without_a_catalog(text: str, expected: str) -> None:
    """Wherever in a statement a function stands, and however its name is written."""
    assert classes(text) == set(expected.split())


@pytest.mark.parametrize(("text", "listed", "expected"), [
    ("SELECT purge()", ("purge",), "read"), ("SELECT public.purge()", ("purge",), "read"), ("SELECT purge()", ("public.purge",), "read"),
    ("SELECT public.purge()", ("public.purge",), "read"), ("SELECT evil.purge()", ("public.purge",), "read function-unlisted"),
    ("SELECT 1 === 1", ("===",), "read"), ("CALL bump(1)", ("bump",), "write"), ("CALL bump(purge())", ("bump",), "write function-unlisted"),
])
def test_what_the_operator_lists(text: str, listed: tuple[str, ...], expected: str) -> None:
    """A qualified entry stands for its own schema only."""
    assert classes(text, listed=listed) == set(expected.split())


@pytest.mark.parametrize(("text", "expected"), [
    ("SELECT active_patients()", "read"), ("SELECT purge()", "read write-unfiltered"), ("SELECT hidden()", "read function-unlisted"),
    ("SELECT outer_one()", "read"), ("SELECT outer_two()", "read write-unfiltered"), ("SELECT loop()", "read function-unlisted"),
    ("SELECT lower('x')", "read write-unfiltered"), ("SELECT pg_catalog.lower('x')", "read"), ("SELECT upper('x')", "read"),
    ("SELECT runs()", "read dynamic"), ("SELECT broken()", "read function-unlisted"), ("SELECT sets()", "read session dynamic"),
    ("SELECT (1).wipe_row", "read write-unfiltered"), ("SELECT t.wipe_row FROM t", "read write-unfiltered"), ("SELECT (a).b FROM t", "read"),
    ("SELECT ('/x'::text).pg_read_file", "read file"), ("SELECT evil.purge()", "read function-unlisted"), ("CALL purge()", "procedural write-unfiltered"),
    ("DELETE FROM t WHERE id IN (SELECT id FROM t WHERE id = 1)", "read write"),
    ("SELECT json_scalar(1)", "read write-unfiltered"), ("SELECT json_value('{}', '$.a'), json_array('a', 1)", "read"),
    ("SELECT json_object(1)", "read write-unfiltered"), ("SELECT json_object('a': 1)", "read write-unfiltered"),
])
def test_with_a_catalog(text: str, expected: str) -> None:
    """A SQL function is what its body is, also when it hides behind a field or the name of a server's function."""
    assert classes(text, catalog=snapshot()) == set(expected.split())


def test_a_users_operator_is_its_function() -> None:
    assert classes("SELECT 1 + 1", catalog=snapshot({"+": (2,)})) == {"read", "write-unfiltered"}
    assert classes("SELECT 1 OPERATOR(pg_catalog.+) 1", catalog=snapshot({"+": (2,)})) == {"read"}


def test_the_fast_path_is_judged_by_name() -> None:
    assessor = Assessor((), Gate())
    assert set(assessor.function(("pg_catalog", "lower"), snapshot()).classes) == {"read"}
    assert set(assessor.function(("pg_catalog", "lo_open"), snapshot()).classes) == {"large-object"}
    assert set(assessor.function(("public", "purge"), snapshot()).classes) == {"write-unfiltered"}


def test_prepared_names_stand_for_all_they_may_run() -> None:
    """Classes, and what rules ask about: relations, columns, kinds."""
    assessor = Assessor((), Gate())
    part = assessor.assess("EXECUTE p")[0]
    assert set(with_prepared(part, lambda name: []).classes) == {"dynamic"}
    whole = with_prepared(part, lambda name: [*assessor.assess("SELECT a FROM t"), *assessor.assess("DROP TABLE u")])
    assert set(whole.classes) == {"read", "ddl-destructive"} and whole.finding.relations == {("", "t"), ("", "u")}
    assert whole.finding.kinds == {"Execute", "Drop"} and "a" in whole.finding.columns
    assert not part.finding.relations  # others use it too


def test_columns_of_a_catalog() -> None:
    assert columns_of(snapshot())("", "t") == {"id"} and columns_of(snapshot())("", "u") is None and columns_of(None)("", "t") is None


def test_listed_names() -> None:
    listed = Listed(frozenset({"a", "s.b"}))
    assert ("", "a") in listed and ("x", "a") in listed and ("", "b") in listed and ("s", "b") in listed and ("x", "b") not in listed
