"""What a query's columns are made of, and where masked values would decide something."""

from __future__ import annotations

import pytest

from addons.sql.calls import Calls
from addons.sql.catalog import Relation
from addons.sql.lineage import Lineage
from addons.sql.parse import parse
from addons.sql.resolve import Names
from addons.sql.scope import Output
from tests.sql.little import snapshot

SNAPSHOT = snapshot()
MASKED = {"patients": ("ssn", "mrn"), "twin": ("secret",)}


def masked(relation: Relation) -> dict[str, Output]:
    labels = {name: f"{relation.name}.{name}" for name in MASKED.get(relation.name, ())}
    return {name: Output(name, frozenset({label}), label) for name, label in labels.items()}


def read(sql: str, *, strict: bool = False) -> tuple[list[tuple[str, str]], list[str]]:
    calls = Calls(SNAPSHOT, frozenset())
    lineage = Lineage(Names(SNAPSHOT), masked, strict=strict, opaque=calls.opaque, nulls=frozenset({"patients.mrn"}))
    outputs = lineage.query(parse(sql).statements[0]) or []
    return [(o.name, " ".join(sorted(o.taint))) for o in outputs], [u.where for u in lineage.uses]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id, ssn, state FROM patients", [("id", ""), ("ssn", "patients.ssn"), ("state", "")]),
        ("SELECT ssn AS color FROM patients", [("color", "patients.ssn")]),
        ("SELECT p.ssn || p.state FROM patients p", [("?column?", "patients.ssn")]),
        ("SELECT a FROM (SELECT ssn, id FROM patients) t(a, b)", [("a", "patients.ssn")]),
        ("SELECT b FROM (SELECT ssn, id FROM patients) t(a, b)", [("b", "")]),
        (
            "WITH c(x) AS (SELECT ssn FROM patients) SELECT x, upper(x) FROM c",
            [("x", "patients.ssn"), ("upper", "patients.ssn")],
        ),
        ("SELECT (SELECT ssn) FROM patients", [("ssn", "patients.ssn")]),
        (
            "SELECT x.* FROM departments d, LATERAL (SELECT ssn, d.id FROM patients) x",
            [("ssn", "patients.ssn"), ("id", "")],
        ),
        ("SELECT p FROM patients p", [("p", "patients.mrn patients.ssn")]),
        ("SELECT (p).ssn, (p).state FROM patients p", [("ssn", "patients.ssn"), ("state", "")]),
        ("SELECT id FROM patients UNION ALL SELECT ssn FROM patients", [("id", "patients.ssn")]),
        ("VALUES (1, (SELECT ssn FROM patients))", [("column1", ""), ("column2", "patients.ssn")]),
        (
            "SELECT count(*), count(mrn), max(ssn) FROM patients",
            [("count", ""), ("count", ""), ("max", "patients.ssn")],
        ),
        ("SELECT mrn IS NULL, ssn IS NULL FROM patients", [("?column?", ""), ("?column?", "patients.ssn")]),
        ("SELECT id FROM (SELECT * FROM departments) d", [("id", "")]),
        (
            "SELECT j.* FROM (patients CROSS JOIN departments) AS j(a, b)",
            [("a", ""), ("b", "patients.ssn")]
            + [
                ("mrn", "patients.mrn"),
                ("dob", ""),
                ("state", ""),
                ("doc", ""),
                ("id", ""),
                ("code", ""),
                ("name", ""),
            ],
        ),
        (
            "WITH RECURSIVE r(n, s) AS (SELECT 1, 'x' UNION ALL SELECT n + 1, ssn FROM r, patients) SELECT s, n FROM r",
            [("s", "patients.ssn"), ("n", "")],
        ),
        ("SELECT d.id, code FROM departments d JOIN patients p USING (id)", [("id", ""), ("code", "")]),
        ("SELECT public.patients.ssn FROM public.patients", [("ssn", "patients.ssn")]),
        ("SELECT ARRAY(SELECT ssn FROM patients)", [("array", "patients.ssn")]),
        ("SELECT CAST(ssn AS text), state::text FROM patients", [("ssn", "patients.ssn"), ("state", "")]),
    ],
)
def test_columns(sql: str, expected: list[tuple[str, str]]) -> None:
    assert read(sql)[0] == expected


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("SELECT 1 FROM patients WHERE ssn = 'x'", "WHERE"),
        ("SELECT 1 FROM patients p WHERE p::text = 'x'", "WHERE"),
        ("SELECT 1 FROM patients ORDER BY ssn", "ORDER BY"),
        ("SELECT ssn FROM patients ORDER BY 1", "ORDER BY"),
        ("SELECT ssn AS id2 FROM patients ORDER BY id2", "ORDER BY"),
        ("SELECT 1 FROM patients GROUP BY ssn", "GROUP BY"),
        ("SELECT 1 FROM patients GROUP BY GROUPING SETS ((ssn), ())", "GROUP BY"),
        ("SELECT max(id) FROM patients HAVING max(ssn) > ''", "HAVING"),
        ("SELECT DISTINCT ssn FROM patients", "DISTINCT"),
        ("SELECT DISTINCT ON (ssn) id FROM patients", "DISTINCT"),
        ("SELECT ssn FROM patients UNION SELECT 'x'", "a set operation that compares rows"),
        ("SELECT ssn FROM patients EXCEPT ALL SELECT 'x'", "a set operation that compares rows"),
        ("SELECT 1 FROM patients a JOIN departments d ON a.ssn = d.code", "JOIN ON"),
        ("SELECT 1 FROM patients a JOIN patients b USING (ssn)", "JOIN USING"),
        ("SELECT 1 FROM patients a NATURAL JOIN archive b", "JOIN USING"),
        ("SELECT count(DISTINCT ssn) FROM patients", "count(DISTINCT)"),
        ("SELECT count(*) FILTER (WHERE ssn = 'x') FROM patients", "FILTER"),
        ("SELECT array_agg(id ORDER BY ssn) FROM patients", "array_agg(ORDER BY)"),
        ("SELECT rank() OVER (ORDER BY ssn) FROM patients", "a window's ORDER BY"),
        ("SELECT rank() OVER w FROM patients WINDOW w AS (PARTITION BY ssn)", "PARTITION BY"),
        ("SELECT CASE WHEN ssn = 'x' THEN 1 END FROM patients", "CASE"),
        ("SELECT 1 FROM departments WHERE code IN (SELECT ssn FROM patients)", "IN or a comparison with a sub-select"),
        ("SELECT 1 FROM departments LIMIT (SELECT length(max(ssn)) FROM patients)", "LIMIT"),
        ("SELECT 1 FROM patients, generate_series(1, length(ssn)) g", "a function in FROM"),
        ("SELECT ctid FROM patients", "a system column"),
        ("SELECT EXISTS (SELECT FROM patients WHERE ssn = 'x')", "WHERE"),
        ("SELECT id FROM (SELECT id, ssn AS s FROM patients) t WHERE s = 'x'", "WHERE"),
    ],
)
def test_where_masks_would_decide(sql: str, where: str) -> None:
    assert where in read(sql)[1]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn FROM patients WHERE state = 'VT' ORDER BY id",
        "SELECT state, max(ssn) FROM patients GROUP BY state",
        "SELECT ssn FROM patients UNION ALL SELECT code FROM departments",
        "SELECT id FROM patients WHERE mrn IS NOT NULL",
        "SELECT state AS ssn FROM patients ORDER BY ssn",
        "SELECT id FROM (SELECT id, state AS ssn FROM patients) t WHERE ssn = 'x'",
        "SELECT d.code FROM departments d WHERE EXISTS (SELECT FROM patients p WHERE p.id = d.id)",
        "WITH patients AS (SELECT 1 AS ssn) SELECT * FROM patients WHERE ssn = 1",
        "SELECT ctid FROM departments",
        "SELECT CASE WHEN state = 'VT' THEN ssn END FROM patients",
        "SELECT ssn FROM patients LIMIT 3",
    ],
)
def test_where_they_would_not(sql: str) -> None:
    assert read(sql)[1] == []


@pytest.mark.parametrize(
    ("sql", "tainted"),
    [
        ("SELECT nobody FROM departments", True),
        ("SELECT d.nobody FROM departments d", True),
        ("SELECT x.id FROM missing x", True),
        ("SELECT secret_of(id) FROM departments", True),
        ("SELECT 'x' <~> id FROM departments", True),
        ("SELECT f.a FROM secret_of(1) AS f(a)", True),
        ("SELECT EXISTS (SELECT FROM patients WHERE ssn = code) FROM departments", True),
        ("SELECT CASE WHEN ssn > 'x' THEN 1 ELSE 2 END FROM patients", True),
        ("SELECT length(ssn) FROM patients", True),
        ("SELECT id FROM patients WHERE ssn > 'x'", False),
        ("SELECT lower(state) FROM patients", False),
        ("SELECT count(*) FROM patients", False),
    ],
)
def test_a_view_is_read_strictly(sql: str, tainted: bool) -> None:
    """Its definition runs on raw values: what is not understood is taken for masked."""
    assert bool(read(sql, strict=True)[0][0][1]) is tainted


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id, rank() OVER (ORDER BY ssn) FROM patients", [("id", ""), ("rank", "patients.ssn")]),
        ("SELECT id, row_number() OVER w FROM patients WINDOW w AS (ORDER BY mrn)", [("id", ""), ("row_number", "patients.mrn")]),
        ("SELECT ntile(2) OVER v FROM patients WINDOW w AS (PARTITION BY ssn), v AS (w ORDER BY id)", [("ntile", "patients.ssn")]),
        ("SELECT sum(id) OVER (w ROWS 1 PRECEDING) FROM patients WINDOW w AS (ORDER BY ssn)", [("sum", "patients.ssn")]),
        ("SELECT count(*) FILTER (WHERE ssn LIKE '9%'), count(*) FROM patients", [("count", "patients.ssn"), ("count", "")]),
        ("SELECT count(*) FILTER (WHERE ssn > '5') a, count(*) FILTER (WHERE ssn > '5') b FROM patients", [("a", "patients.ssn"), ("b", "patients.ssn")]),
        ("SELECT EXISTS (SELECT FROM patients WHERE ssn > '5') a, EXISTS (SELECT FROM patients WHERE ssn > '5') b", [("a", "patients.ssn"), ("b", "patients.ssn")]),
        ("SELECT d.id, x.n FROM departments d, LATERAL (SELECT count(*) n FROM patients WHERE ssn > d.code) x", [("id", ""), ("n", "patients.ssn")]),
        ("SELECT p.id, d.code FROM patients p LEFT JOIN departments d ON p.ssn > d.code", [("id", ""), ("code", "patients.ssn")]),
        ("SELECT p.id, d.code FROM departments d RIGHT JOIN patients p ON p.ssn LIKE '9%'", [("id", ""), ("code", "patients.ssn")]),
        ("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) FROM patients", [("percentile_disc", "patients.ssn")]),
        ("SELECT array_agg(id ORDER BY ssn), array_agg(id) FROM patients", [("array_agg", "patients.ssn"), ("array_agg", "")]),
        ("SELECT string_agg(state, '' ORDER BY CASE WHEN ssn > '5' THEN 1 END) FROM patients", [("string_agg", "patients.ssn")]),
        ("SELECT grouping(ssn), id FROM patients GROUP BY ROLLUP (ssn, id)", [("grouping", "patients.ssn"), ("id", "")]),
    ],
)
def test_strictly_what_decides_a_column_in_its_row_is_what_it_is_made_of(sql: str, expected: list[tuple[str, str]]) -> None:
    """A rank, a filtered count, what an outer join leaves NULL."""
    assert read(sql, strict=True)[0] == expected
