"""Whose code a statement would run."""

from __future__ import annotations

import dataclasses

import pytest

from addons.sql.calls import Calls
from addons.sql.ties import Check
from addons.sql.parse import parse
from tests.sql.little import snapshot

CALLS = Calls(snapshot(), frozenset({"public.listed"}))


def unlisted(sql: str) -> str:
    return CALLS.unlisted(parse(sql).statements[0])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT lower('A'), pg_catalog.upper('a'), count(*), now(), coalesce(1, 2), current_user",
        "SELECT listed(1), public.listed(2)",
        "SELECT 1 + 1, 'a' || 'b', 'x' LIKE 'y', 3 BETWEEN 1 AND 5, 2 = ANY (ARRAY[1])",
        "SELECT d.code FROM departments d",
        "SELECT '1'::int, now()::date",
        "SELECT set_config('a.b', '1', true), nextval('s')",
    ],
)
def test_the_servers_own_and_listed_ones_pass(sql: str) -> None:
    assert unlisted(sql) == ""


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT secret_of(1)", "secret_of"),
        ("SELECT public.secret_of(1)", "public.secret_of"),
        ("SELECT nobody()", "nobody"),
        ("SELECT query_to_xml('x', true, true, '')", "query_to_xml"),
        ("SELECT pg_catalog.pg_read_file('x')", "pg_read_file"),
        ("SELECT * FROM dblink('x', 'y') AS t(a int)", "dblink"),
        ("SELECT 1 WHERE EXISTS (SELECT secret_of(1))", "secret_of"),
        ("SELECT 'a' <~> 1", "<~>"),
        ("SELECT 'a' OPERATOR(public.<~>) 1", "<~>"),
        ("SELECT 1 %%%% 2", "%%%%"),
        ("SELECT p.of_row FROM patients p", "of_row"),
        ("SELECT (p).of_row FROM patients p", "of_row"),
        ("CALL secret_of(1)", "secret_of"),
        ("CREATE TABLE t (a text DEFAULT secret_of(1))", "secret_of"),
        ("SELECT other.listed(1)", "other.listed"),
        ("SELECT pg_catalog.listed(1)", "pg_catalog.listed"),
        ("CREATE TRIGGER t BEFORE INSERT ON departments EXECUTE FUNCTION secret_of()", "secret_of"),
        ("SELECT pg_stat_get_activity(NULL)", "pg_stat_get_activity"),
        ("SELECT ssn(p) FROM patients p", "ssn"),
    ],
)
def test_others_are_named(sql: str, name: str) -> None:
    assert name in unlisted(sql)


def test_a_users_function_under_a_servers_name_spoils_the_name() -> None:
    """A search_path or an overload could make it the one that is called."""
    known = snapshot()
    shadow = {oid: f for oid, f in known.functions.items()}
    rows = known.by_function_name | {
        "lower": (*known.by_function_name["lower"], _renamed(known.by_function_name["secret_of"][0]))
    }
    calls = Calls(_with(known, rows, shadow), frozenset())
    assert "lower" in calls.unlisted(parse("SELECT lower(id) FROM patients").statements[0])
    assert not calls.unlisted(parse("SELECT lower('x')").statements[0])  # a literal is taken for text before it is taken for a number
    assert calls.unlisted(parse("SELECT pg_catalog.lower('x')").statements[0]) == ""


def _renamed(function: object) -> object:
    return dataclasses.replace(function, name="lower")


def _with(known: object, names: dict, functions: dict) -> object:
    return dataclasses.replace(known, by_function_name=names, functions=functions)


@pytest.mark.parametrize("sql", ["SELECT json_object(1)", "SELECT json_object('a': 1)", "SELECT json_scalar(1)", "SELECT json(1)", "SELECT merge_action()"])
def test_what_an_older_server_takes_for_a_users_function_is_one(sql: str) -> None:
    """The grammar is PostgreSQL 18's: it puts pg_catalog before json_object itself, and knows others as syntax."""
    known = snapshot()
    name = sql.split()[1].partition("(")[0]
    made = dataclasses.replace(known.by_function_name["secret_of"][0], name=name)
    calls = Calls(_with(known, known.by_function_name | {name: (made,)}, known.functions | {made.oid: made}), frozenset())
    assert name in calls.unlisted(parse(sql).statements[0]) and not CALLS.unlisted(parse(sql).statements[0])


def test_what_an_older_server_takes_for_a_users_type_is_one() -> None:
    """A domain named json, whose check runs its owner's code."""
    known = snapshot()
    domain = dataclasses.replace(known.by_type_name["text"][0], oid=30_000, schema="public", name="json", kind="d", base=25)
    check = Check(domain.oid, parse("SELECT secret_of(1)").statements[0])
    calls = Calls(dataclasses.replace(known, by_type_name=known.by_type_name | {"json": (domain,)}, types=known.types | {domain.oid: domain}, checks=(check,)), frozenset())
    assert calls.unlisted(parse("SELECT '1'::json").statements[0]) == "a cast to json" and not CALLS.unlisted(parse("SELECT '1'::json").statements[0])


def test_system_user_is_a_column_before_postgresql_16() -> None:
    known = snapshot()
    table = known.named("public", "departments")[0]
    table = dataclasses.replace(table, columns=(*table.columns, dataclasses.replace(table.columns[0], name="system_user")))
    calls = Calls(dataclasses.replace(known, relations=known.relations | {table.oid: table}), frozenset())
    assert "system_user" in calls.unlisted(parse("UPDATE departments SET name = system_user").statements[0])
    assert not CALLS.unlisted(parse("SELECT system_user, current_user").statements[0])


@pytest.mark.parametrize(
    ("name", "language", "extension", "passes"),
    [
        ("similarity", "c", True, True),
        ("similarity", "sql", True, False),  # whoever owns an extension can add such a function to it
        ("similarity", "c", False, False),
        ("dblink", "c", True, False),
        ("hstore_to_the_moon", "c", True, False),
    ],
    ids=["compiled", "in SQL", "of nobody", "that connects", "not known"],
)
def test_only_compiled_functions_of_known_extensions_pass_by_name(name: str, language: str, extension: bool, passes: bool) -> None:
    known = snapshot()
    made = dataclasses.replace(known.by_function_name["secret_of"][0], name=name, language=language, extension=extension)
    calls = Calls(_with(known, known.by_function_name | {name: (made,)}, known.functions | {made.oid: made}), frozenset())
    assert (calls.unlisted(parse(f"SELECT {name}('a')").statements[0]) == "") is passes
    overload = dataclasses.replace(made, oid=made.oid + 1000, language="plpgsql", extension=False)
    calls = Calls(_with(known, known.by_function_name | {name: (made, overload)}, known.functions | {made.oid: made, overload.oid: overload}), frozenset())
    assert name in calls.unlisted(parse(f"SELECT {name}('a')").statements[0])


def test_the_fast_path_is_by_oid() -> None:
    functions = {f.label: oid for oid, f in snapshot().functions.items()}
    assert CALLS.by_oid(functions["public.listed"]) and CALLS.by_oid(functions["pg_catalog.lower"])
    assert not CALLS.by_oid(functions["public.secret_of"]) and not CALLS.by_oid(1)
