"""Literals and bare columns, as far as the text shows them."""

from __future__ import annotations

import pytest

from addons.sql.constants import column, constant, pinned, strings, text_of
from addons.sql.parse import parse, unwrap


def value(text: str) -> object:
    return unwrap(unwrap(parse(f"SELECT {text}").statements[0].target_list[0]).val)


@pytest.mark.parametrize(("text", "expected"), [
    ("1", True), ("-1.5", True), ("'x'::text", True), ("$1", True), ("ARRAY[1, $1]", True), ("now() - interval '1 day'", True),
    ("current_date", True), ("a", False), ("ARRAY[a]", False), ("lower(a)", False), ("(SELECT 1)", False), ("sum(1) OVER ()", False),
])
def test_constants(text: str, expected: bool) -> None:
    """One value for all rows."""
    assert constant(value(text)) is expected


@pytest.mark.parametrize(("text", "expected"), [
    ("'x'", "x"), ("5", "5"), ("1.5", "1.5"), ("true", "true"), ("'x'::text::varchar", "x"), ("NULL", None), ("a", None), ("$1", None),
])
def test_literals(text: str, expected: str | None) -> None:
    """A literal's text, casts removed."""
    assert text_of(value(text)) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("a", ("a",)), ("t.a", ("t", "a")), ("a::text", ("a",)), ("lower(a)", ("a",)), ("a::boolean", None), ("a::varchar(1)", None),
    ("a::text[]", None), ("a + 0", None), ("t.*", None), ("tableoid", None), ("t.xmin", None), ("length(a)", None),
])
def test_bare_columns(text: str, expected: tuple[str, ...] | None) -> None:
    """Only what keeps different values different."""
    assert column(value(text)) == expected


def test_a_comparison_of_two_columns_pins_none() -> None:
    """Neither side is a constant."""
    assert list(pinned(value("a = b"))) == []
    assert list(pinned(value("(a, 1) = (2, b)"))) == [("a",), ("b",)]


def test_a_star_has_a_name() -> None:
    assert strings(value("t.*").fields) == ("t", "*")
