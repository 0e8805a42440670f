"""SET in all its forms, and the lists of names that the server splits."""

from __future__ import annotations

import pytest

from addons.sql.changes import Change, change_of, plain_calls, set_config, split_identifiers
from addons.sql.parse import parse


@pytest.mark.parametrize(("text", "expected"), [
    ("SET search_path = a, \"B\"", Change("search_path", ("a", "B"))),
    ("SET LOCAL search_path TO ''", Change("search_path", ("",), local=True)),
    ("SET SCHEMA 'x'", Change("search_path", ("x",))),
    ("SET \"Standard_Conforming_Strings\" TO off", Change("standard_conforming_strings", ("off",))),
    ("SET NAMES 'sjis'", Change("client_encoding", ("sjis",))),
    ("SET TIME ZONE 'UTC'", Change("timezone", ("UTC",))),
    ("SET SESSION AUTHORIZATION x", Change("session_authorization", ("x",))),
    ("RESET ROLE", Change("role", form="reset")),
    ("SET role TO DEFAULT", Change("role", form="reset")),
    ("RESET ALL", Change("", form="all")),
    ("SET a.b = 1", Change("a.b", ("1",))),
    ("SET search_path FROM CURRENT", Change("search_path", None)),
    ("SET TRANSACTION READ ONLY", Change("transaction", form="transaction")),
])
def test_set(text: str, expected: Change) -> None:
    """Names as the server compares them, values as literals."""
    assert change_of(parse(text).statements[0]) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("SELECT set_config('search_path', '', false)", Change("search_path", ("",), "text", False, True)),
    ("SELECT pg_catalog.set_config('Role', 'x', true)", Change("role", ("x",), "text", True, True)),
    ("SELECT set_config('a', 'b', $1)", Change("a", ("b",), "text", True, True, False)),
    ("SELECT set_config('a', 'b', null)", Change("a", ("b",), "text", False, True)),
    ("SELECT set_config('a', 'b', 'f')", Change("a", ("b",), "text", False, True)),
    ("SELECT set_config('a', 'b', 0::bool)", Change("a", ("b",), "text", False, True)),
    ("SELECT set_config('a', 'b', not true)", Change("a", ("b",), "text", True, True, False)),
    ("SELECT set_config('a', 'bc'::varchar(1), false)", Change("a", None, "text", False, True)),
    ("SELECT set_config('a', 'b', false), generate_series(1, 0)", Change("a", ("b",), "text", False, True, False)),
    ("SELECT set_config('a', 'b', false) ORDER BY generate_series(1, 0)", Change("a", ("b",), "text", False, True, False)),
    ("SELECT set_config('a', unnest('{}'::text[]), false)", Change("a", None, "text", False, True, False)),
    ("SELECT set_config('a' || 'b', 'c', false)", Change("", ("c",), "text", False, True, False)),
    ("SELECT set_config('a', v, false) FROM t", Change("a", None, "text", False, False, False)),
    ("SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'Lock_Timeout'", Change("lock_timeout", ("x",), "text", False, False, False)),
    ("SELECT set_config(name, 'x', false) FROM pg_settings WHERE name <> 'lock_timeout'", Change("", ("x",), "text", False, False, False)),
    ("SELECT set_config(name, 'x', false) FROM t WHERE name = 'lock_timeout'", Change("", ("x",), "text", False, False, False)),
])
def test_set_config_is_read_as_the_set_that_it_is(text: str, expected: Change) -> None:
    """A name or value that is computed is not known; nor is how often it happens beside what may give no row."""
    assert [set_config(*found) for found in plain_calls(parse(text).statements[0])] == [expected]


@pytest.mark.parametrize("text", [
    "SELECT set_config('a', 'b', false) LIMIT 0", "SELECT set_config('a', 'b', false) UNION SELECT ''", "VALUES (set_config('a', 'b', false))",
    "WITH x AS (SELECT 1) SELECT set_config('a', 'b', false)", "SELECT coalesce(set_config('a', 'b', false), '')",
    "SELECT evil.set_config('a', 'b', false)",
])
def test_a_call_that_may_not_run_once_is_not_plain(text: str) -> None:
    """Only a plain column of a plain SELECT happens exactly once."""
    assert list(plain_calls(parse(text).statements[0])) == []


@pytest.mark.parametrize(("text", "expected"), [
    ("", ()), ("  ", ()), ("a", ("a",)), ('"$user", Public', ("$user", "public")), ('""', ("",)), ('"a""b" , c', ('a"b', "c")),
    ("a,", None), (",a", None), ("a,,b", None), ("a b", None), ('"a', None), ('"a"b', None), ('a"b', None),
])
def test_lists_of_names_are_split_as_the_server_splits_them(text: str, expected: tuple[str, ...] | None) -> None:
    """What the server would refuse is None."""
    assert split_identifiers(text) == expected
