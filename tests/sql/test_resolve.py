"""Which names are relations, by the server's own scoping of WITH."""

from __future__ import annotations

import pytest
from postgast import pg_query_pb2 as tree

from addons.sql.parse import parse, walk
from addons.sql.resolve import Names, references
from tests.sql.little import snapshot


def named(sql: str) -> list[str]:
    return [r.name.relname for r in references(parse(sql).statements[0])]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM a, b JOIN c ON true", ["a", "b", "c"]),
        ("WITH a AS (SELECT 1) SELECT * FROM a", []),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", ["a"]),
        ("WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a", []),
        ("WITH b AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM b, a", ["a"]),
        ("WITH a AS (SELECT 1) SELECT * FROM s.a", ["a"]),
        ("WITH a AS (SELECT 1) SELECT (SELECT max(x) FROM a) FROM b", ["b"]),
        ("SELECT (WITH a AS (SELECT 1) SELECT * FROM a), x FROM a", ["a"]),
        ("(WITH a AS (SELECT 1) SELECT * FROM a) UNION SELECT * FROM a", ["a"]),
        ("WITH a AS (SELECT 1) SELECT * FROM a UNION SELECT * FROM a ORDER BY 1", []),
        ("WITH a AS (SELECT 1) DELETE FROM a", ["a"]),
        ("WITH a AS (SELECT 1) UPDATE b SET x = 1 FROM a", ["b"]),
        ("WITH a AS (SELECT 1) DELETE FROM b USING a", ["b"]),
        ("WITH a AS (SELECT 1) MERGE INTO b USING a ON true WHEN MATCHED THEN DELETE", ["b"]),
        ("WITH a AS (SELECT 1) INSERT INTO a SELECT * FROM a", ["a"]),
        ("SELECT * FROM a FOR UPDATE OF a", ["a"]),
        ("SELECT * FROM a TABLESAMPLE system (1)", ["a"]),
        ("CREATE VIEW v AS SELECT * FROM a", ["v", "a"]),
        ("SELECT * FROM (SELECT * FROM (a CROSS JOIN b) AS j) AS k", ["a", "b"]),
        ("EXPLAIN WITH a AS (SELECT 1) SELECT * FROM a, c", ["c"]),
    ],
)
def test_with_names_are_not_relations(sql: str, expected: list[str]) -> None:
    assert sorted(named(sql)) == sorted(expected)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM a",
        "SELECT * FROM b JOIN a ON true",
        "SELECT (SELECT 1 FROM a)",
        "SELECT 1 WHERE EXISTS (TABLE a)",
        "VALUES ((SELECT 1 FROM a))",
        "SELECT 1 FROM b ORDER BY (SELECT 1 FROM a)",
        "SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM a)) FROM b",
    ],
)
def test_every_source_can_be_replaced(sql: str) -> None:
    found = [r for r in references(parse(sql).statements[0]) if r.name.relname == "a"]
    assert len(found) == 1 and found[0].node is not None and not found[0].writing


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM a",
        "WITH x AS (UPDATE a SET b = 1 RETURNING 1) SELECT 1",
        "INSERT INTO b SELECT * FROM a",
        "UPDATE b SET c = (SELECT 1 FROM a)",
    ],
)
def test_what_stands_in_a_write_says_so(sql: str) -> None:
    assert [r.writing for r in references(parse(sql).statements[0]) if r.name.relname == "a"] == [True]


def found(name: str, path: tuple[str, ...] | None = None) -> list[str]:
    parsed = parse(f"SELECT * FROM {name}")
    var = next(m for m in walk(parsed.result) if isinstance(m, tree.RangeVar))
    return [r.label for r in Names(snapshot(), path).relations(var)]


def test_an_unqualified_name_may_be_any_of_its_name_while_the_path_is_unknown() -> None:
    assert found("twin") == ["public.twin", "other.twin"]
    assert found("other.twin") == ["other.twin"]
    assert found("departments") == ["public.departments"]
    assert found("nowhere.twin") == [] and found("missing") == []


def test_a_known_path_decides() -> None:
    assert found("twin", ("other", "public")) == ["other.twin"]
    assert found("twin", ("public",)) == ["public.twin"]


def test_a_path_with_the_users_own_schema_does_not() -> None:
    """Nobody here knows the account's name at the target."""
    assert found("twin", ("$user", "public")) == ["public.twin", "other.twin"]
    assert found("twin", ("$user", "public", "other")) == ["public.twin", "other.twin"]  # which the account may be called, and then comes first
    assert found("twin", ("public", "$user", "other")) == ["public.twin"]
