"""What the proof of a rewritten text rests on: two trees are alike where they hold the same, whatever stood where."""

from __future__ import annotations

from collections.abc import Iterator

import postgast
import pytest
from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql import native
from addons.sql.shape import alike, shape

TEXTS = {
    "a query": "SELECT p.id, count(DISTINCT x) FILTER (WHERE y IS NULL) FROM ONLY s.p, LATERAL (SELECT 1.5 AS x) t WHERE id IN (1, 2) GROUP BY 1",
    "constants": "SELECT 'a', 1, 2.5, true, NULL, B'01', $1, '{1,2}'::int[], ARRAY[1, 2], interval '1' day",
    "WITH": "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT n FROM a ORDER BY n DESC NULLS FIRST LIMIT 3",
    "writes": "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a; UPDATE t SET a = 2 WHERE a = 1",
    "a place": "CREATE TABLESPACE t LOCATION '/a'",
}
NAMED = {"argvalues": TEXTS.values(), "ids": TEXTS.keys()}


def scalars(message: Message) -> Iterator[tuple[Message, str, object]]:
    """Every value in a tree, but what says where it stood: its message, field and value."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inside in value if field.is_repeated else (value,):
                yield from scalars(inside)
        elif not (isinstance(value, int) and (field.name.endswith("location") or "list_" in field.name or field.name == "stmt_len")):
            yield message, field.name, value


def other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value + "x"


@pytest.mark.parametrize("text", **NAMED)
def test_no_value_in_a_tree_may_differ(text: str) -> None:
    """Each by itself: none is left out of the comparison."""
    data = native.parse(text)
    changed = tree.ParseResult.FromString(data)
    for message, field, value in list(scalars(changed)):
        setattr(message, field, other(value))
        assert not alike(data, changed.SerializeToString()), (field, value)
        setattr(message, field, value)
    assert alike(data, changed.SerializeToString())


@pytest.mark.parametrize("text", **NAMED)
def test_where_things_stand_is_no_difference(text: str) -> None:
    moved = "/* a */  " + text.replace(" ", "  ") + " ;"
    assert native.parse(moved) != native.parse(text)
    assert alike(native.parse(moved), native.parse(text)) and shape(native.parse(moved)) == shape(native.parse(text))


def test_what_is_absent_is_a_difference() -> None:
    for one, another in (("SELECT a", "SELECT a, b"), ("SELECT 1", "SELECT 1; SELECT 1"), ("TABLE a", "TABLE ONLY a"), ("SELECT a", "SELECT a.a")):
        assert not alike(native.parse(one), native.parse(another))


@pytest.mark.parametrize("text", **NAMED)
def test_the_parser_says_nothing_that_the_description_leaves_out(text: str) -> None:
    """What is not described would be lost when trees are copied, and in comparing them."""
    data = native.parse(text)
    read = tree.ParseResult.FromString(data)
    read.DiscardUnknownFields()
    assert tree.ParseResult.FromString(data) == read == postgast.parse(text)


@pytest.mark.parametrize("text", **NAMED)
def test_bytes_are_written_as_their_tree_is(text: str) -> None:
    assert native.deparse(native.parse(text)) == postgast.deparse(postgast.parse(text))


def test_what_the_grammar_refuses_says_where() -> None:
    with pytest.raises(postgast.PgQueryError) as found:
        native.parse("SELECT FROM FROM")
    assert found.value.cursorpos == 13
    empty = tree.ParseResult()
    empty.stmts.add().stmt.SetInParent()
    with pytest.raises(postgast.PgQueryError):
        native.deparse(empty.SerializeToString())
