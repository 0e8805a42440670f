"""A source replaced, and the text that says so."""

from __future__ import annotations

import pytest

from addons.sql.parse import Unparsable, parse
from addons.sql.resolve import Reference
from addons.sql import rewrite
from addons.sql.rewrite import put_sources
from addons.sql.shape import shape

INSIDE = "SELECT id, '***'::text AS ssn FROM public.patients"


def rewritten(sql: str) -> str:
    def replace(reference: Reference) -> str | None:
        return INSIDE if reference.name.relname == "patients" else None

    return rewrite.rewritten(parse(sql).copy(), lambda _index, statement: put_sources(statement, replace))


def same(left: str, right: str) -> bool:
    return shape(parse(left).data()) == shape(parse(right).data())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ssn FROM patients", f"SELECT ssn FROM ({INSIDE}) patients"),
        ("SELECT p.ssn FROM patients AS p", f"SELECT p.ssn FROM ({INSIDE}) p"),
        ("SELECT b FROM patients p(a, b)", f"SELECT b FROM ({INSIDE}) p(a, b)"),
        ("SELECT * FROM a JOIN patients USING (id)", f"SELECT * FROM a JOIN ({INSIDE}) patients USING (id)"),
        ("SELECT public.patients.ssn FROM public.patients", f"SELECT patients.ssn FROM ({INSIDE}) patients"),
        ("SELECT d.public.patients.* FROM public.patients", f"SELECT patients.* FROM ({INSIDE}) patients"),
        ("WITH patients AS (SELECT 1) SELECT * FROM patients", "WITH patients AS (SELECT 1) SELECT * FROM patients"),
        ("SELECT 1; SELECT ssn FROM patients -- no", f"SELECT 1; SELECT ssn FROM ({INSIDE}) patients"),
        (
            "SELECT x FROM patients, LATERAL (SELECT patients.ssn) t(x)",
            f"SELECT x FROM ({INSIDE}) patients, LATERAL (SELECT patients.ssn) t(x)",
        ),
    ],
)
def test_sources(sql: str, expected: str) -> None:
    assert same(rewritten(sql), expected)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn FROM patients WHERE state = 'it''s \\ odd' AND id > $1 AND x = E'a\\nb'",
        'SELECT "a""b", U&"\\0061" FROM patients WHERE "Select" IS NOT DISTINCT FROM 1.50',
        "SELECT id::numeric(10,2), '{1,2}'::int[], interval '1' day, timestamp with time zone 'now' FROM patients",
        "SELECT sum(id) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM patients",
        "SELECT a FROM patients GROUP BY GROUPING SETS ((a), ROLLUP (b, c)) HAVING count(*) > 1 ORDER BY 1 NULLS FIRST LIMIT 3 OFFSET 2",
        "SELECT x[1:2][3], (y).z, ROW(1, 2), ARRAY[[1], [2]] FROM patients FOR UPDATE OF patients SKIP LOCKED",
    ],
)
def test_the_rest_of_the_statement_is_as_it_was(sql: str) -> None:
    """Put back, the rewritten tree is the client's."""
    assert same(
        rewritten(sql).replace("OF patients", "OF patients"), sql.replace("FROM patients", f"FROM ({INSIDE}) patients")
    )


def test_where_no_sub_select_may_stand_it_is_refused() -> None:
    with pytest.raises(Unparsable):
        rewritten("SELECT * FROM patients TABLESAMPLE system (1)")


def test_the_original_tree_is_left_alone() -> None:
    """Trees are shared by all who parsed the same text."""
    before = shape(parse("SELECT ssn FROM patients").data())
    rewritten("SELECT ssn FROM patients")
    assert shape(parse("SELECT ssn FROM patients").data()) == before


def test_shape_sees_literals() -> None:
    assert not same("CREATE TABLESPACE t LOCATION '/a'", "CREATE TABLESPACE t LOCATION '/b'")
    assert not same("SELECT 1", "SELECT 2") and same("SELECT  1", "select 1 /* x */")
