"""Text to trees: the server's grammar decides, and nothing else is guessed."""

from __future__ import annotations

import pytest

from addons.sql.parse import STATEMENT_LIMIT, Unparsable, deparse, parse, walk


def test_statements_come_in_order() -> None:
    """A multi-statement string is several trees, empty statements none."""
    names = [type(s).__name__ for s in parse("select 1;; drop table t; commit").statements]
    assert names == ["SelectStmt", "DropStmt", "TransactionStmt"]


def test_unicode_escapes_are_read_as_the_server_reads_them() -> None:
    """U&"\\0073sn" is the column ssn."""
    found = [m.sval for m in walk(parse('select U&"\\0073sn" from patients').result) if type(m).__name__ == "String"]
    assert "ssn" in found


@pytest.mark.parametrize("text", ["selec 1", "select 'a", "select 1 \0 ; drop table t", "select '" + "x" * STATEMENT_LIMIT + "'", "select " + "+".join("1" * 500)])
def test_what_the_grammar_refuses_is_unparsable(text: str) -> None:
    """Nothing is half understood."""
    with pytest.raises(Unparsable):
        parse(text)


def test_deparsed_text_parses_to_the_same_statement() -> None:
    """The text that is sent says what was judged."""
    parsed = parse("select a, count(*) filter (where b) from t group by 1")
    again = parse(deparse(parsed.result))
    assert deparse(again.result) == deparse(parsed.result)


def test_walk_meets_every_nested_statement() -> None:
    """DML inside a CTE is found."""
    kinds = {type(m).__name__ for m in walk(parse("with x as (delete from t returning *) select * from x").result)}
    assert {"DeleteStmt", "SelectStmt", "RangeVar"} <= kinds
