"""Which rows a write can reach: a filter counts only when the text bounds them."""

from __future__ import annotations

import pytest

from addons.sql.bounds import Columns, filtered, finite_query
from addons.sql.classify import unknown_columns
from addons.sql.parse import parse

KNOWN = {"events": frozenset({"id", "at", "kind", "detail", "active"}), "departments": frozenset({"id", "code", "name"})}


def known(schema: str, name: str) -> frozenset[str] | None:
    return KNOWN.get(name)


def bounded(text: str, columns: Columns = known) -> bool:
    statement = parse(text).statements[0]
    others = statement.using_clause if type(statement).__name__ == "DeleteStmt" else statement.from_clause
    where = statement.where_clause if statement.HasField("where_clause") else None
    return filtered(statement.relation, others, where, {}, columns)


NAMES_ITS_ROWS = [
    "id = 1", "1 = id", "id = -1", "id = $1", "id = 1 AND random() < 2", "true AND id = 1", "events.id = 1", "public.events.id = 1",
    "id IN (1, 2)", "id = ANY($1)", "id = ANY('{1,2}')", "id = ANY(ARRAY[1, 2])", "id IN (VALUES (1), (2))",
    "id = 1 OR id = 2", "(id = 1 OR id = 2) AND active", "id = 1 OR (kind = 'x' AND id > 3)", "id BETWEEN 1 AND 5",
    "id >= 3 AND id < 9", "at BETWEEN '2024-01-01' AND '2024-02-01'", "detail LIKE 'event 1%'", "id::text = '5'",
    "lower(kind) = 'login'", "(id, kind) = (1, 'x')", "(id, kind) IN ((1, 'x'), (2, 'y'))", "id IS NOT DISTINCT FROM 3",
    "CURRENT OF c", "EXISTS (SELECT 1 FROM departments d WHERE d.id = events.id AND d.code = 'ER')", "ctid = '(0,1)'",
    "date(at) = '2024-01-03'", "date_trunc('day', at) = '2024-01-03'", "date_trunc('month', at) = $1", "at >= current_date - 7 AND at < current_date",
    "at BETWEEN now() - interval '1 day' AND now()", "at >= date_trunc('day', now()) - interval '2 weeks 1 day' AND at < now() + interval '1 hour'",
    "id = (SELECT max(departments.id) FROM departments)", "id = 1 AND id IN (SELECT id FROM events)",
]

REACHES_ANYTHING = [
    "true", "1 = 1", "1=1 AND 2=2", "'a' = 'a'", "id = id", "id IS NOT NULL", "id IS NULL OR id IS NOT NULL", "NOT false",
    "id > 0", "id >= -1", "id <> 5", "id != 0", "id < 2147483647", "id > $1", "id BETWEEN -2147483648 AND 2147483647",
    "id BETWEEN $1 AND $2", "detail BETWEEN '0' AND '9'", "at < '2999-01-01'", "at BETWEEN '1900-01-01' AND '2100-01-01'",
    "at BETWEEN '2024-01-01' AND '2024-99-99'", "id = 1 OR true", "id = 1 OR 1 = 1", "id = 1 OR id > 0", "id = 1 IS TRUE",
    "NOT (id = 1)", "coalesce(id = 1, true)", "CASE WHEN true THEN true ELSE id = 1 END", "id = 1 IS NOT NULL",
    "detail LIKE '%'", "detail LIKE '_%'", "detail LIKE '%%'", "detail ~ '.*'", "detail ~ '^'", "detail >= ''", "detail <> ''",
    "detail SIMILAR TO '%'", "detail NOT LIKE 'zzz'", "length(detail) >= 0", "length(detail) = 7", "id * 0 = 0", "id - id = 0",
    "id::boolean", "id::boolean = true", "detail::varchar(1) = 'e'", "left(detail, 0) = ''", "active", "active = true",
    "active = 'f'", "active IN (true, false)", "active = ANY('{t,f}')", "active = ANY(ARRAY[true, false])",
    "active = true OR active = false", "tableoid = 'events'::regclass", "xmax = '0'", "id IN (SELECT id FROM events)",
    "id IN (SELECT events.id)", "id = (SELECT events.id)", "id = (SELECT e.id FROM departments d LIMIT 1)",
    "id = ANY(ARRAY(SELECT id FROM events))", "EXISTS (SELECT 1)", "EXISTS (SELECT 1 FROM events)",
    "EXISTS (SELECT 1 FROM departments d WHERE d.code = 'ER')", "kind = (SELECT kind FROM departments WHERE departments.id = 1)",
    "id IN (SELECT events.id FROM departments d WHERE d.id = 1)", "id IN (SELECT generate_series(1, 100000))",
    "id IN (SELECT events.* FROM departments d WHERE d.id = 1)", "id IN (SELECT id FROM events LIMIT 100000)",
    "id IN (SELECT id FROM events WHERE id > 0)", "id IN (SELECT id FROM events LIMIT ALL)",
    "id IN (SELECT id FROM departments EXCEPT SELECT 0)", "id IN (SELECT 1 UNION SELECT id FROM events)",
    "date_trunc('century', at) = '2001-01-01'", "date_trunc($1, at) = '2001-01-01'", "at >= current_date - 900 AND at < current_date", "at < now()",
    "at BETWEEN now() - interval '9 years' AND now()", "at BETWEEN now() - $1::interval AND now()", "at BETWEEN now() - interval 'P9Y' AND now()",
    "at BETWEEN now() AND '2999-01-01'", "at > now() AND at > now() + interval '1 day'",
    "id IN (SELECT e.id FROM events e ORDER BY e.active FETCH FIRST 1 ROW WITH TIES)",
    "id IN (WITH x AS (SELECT 1 id) SELECT id FROM x)", "id = random() OR id > 0", "1 = ANY(ARRAY[id, 1])",
    "id = CASE WHEN true THEN id END", "id = coalesce(id, 1)", "id = nullif(id, -1)", "id = (ARRAY[id])[1]", "id = abs(id)", "(id = 1) = (id = 1)",
    "active IN (VALUES (true), (false))", "id = ANY(ARRAY[id])", "(id, 1) = (id, 1)", "id OPERATOR(pg_catalog.=) id",
]


@pytest.mark.parametrize("where", NAMES_ITS_ROWS)
def test_a_filter_that_names_its_rows(where: str) -> None:
    """A conjunct compares a column of the written relation with constants."""
    assert bounded(f"DELETE FROM events WHERE {where}")


@pytest.mark.parametrize("where", REACHES_ANYTHING)
def test_a_filter_that_is_none(where: str) -> None:
    """Whatever may hold in every row is no filter, however it is written."""
    assert not bounded(f"DELETE FROM events WHERE {where}")
    assert not bounded(f"UPDATE events SET detail = '' WHERE {where}", unknown_columns)


@pytest.mark.parametrize(("text", "expected"), [
    ("DELETE FROM events e USING departments d WHERE e.id = d.id AND d.code = 'ER'", True),
    ("DELETE FROM events e USING departments d WHERE d.code = 'ER'", False),
    ("DELETE FROM events e USING departments d WHERE e.id = d.id", False),
    ("DELETE FROM events e USING departments d", False),
    ("DELETE FROM events e USING events f WHERE e.id = f.id AND f.kind = 'x'", True),
    ("DELETE FROM events e USING events e2 WHERE e.id = e.id AND e2.id = 1", False),
    ("UPDATE events SET kind = v.k FROM (VALUES (1, 'a')) AS v(id, k) WHERE events.id = v.id", True),
    ("UPDATE events SET kind = 'x' FROM (VALUES (true), (false)) AS v(b) WHERE events.active = v.b", False),
    ("UPDATE events SET kind = 'x' FROM events f, LATERAL (SELECT f.id) AS v(id) WHERE events.id = v.id", False),
    ("UPDATE events SET kind = 'x' FROM events f, LATERAL (VALUES (f.id)) AS v(id) WHERE events.id = v.id", False),
    ("UPDATE events SET kind = 'x' FROM unnest($1::int[]) AS v(id) WHERE events.id = v.id", True),
    ("UPDATE events SET kind = 'x' FROM generate_series(1, 99999999) AS v(id) WHERE events.id = v.id", False),
    ("UPDATE events SET kind = 'x' FROM unnest(ARRAY[true, false]) AS v(b) WHERE events.active = v.b", False),
    ("UPDATE events SET kind = 'x' FROM unnest('{t,f}'::bool[]) AS v(b) WHERE events.active = v.b", False),
    ("UPDATE events SET kind = v.b FROM jsonb_each_text($1) AS v(a, b) WHERE events.kind = v.a", True),
    ("UPDATE events SET kind = 'x' FROM generate_series(1, 50) AS v(id) WHERE events.id = v.id", True),
    ("UPDATE events SET kind = d.name FROM departments d WHERE d.id = events.id", False),
    ("UPDATE events SET kind = 'x' FROM (SELECT d.id FROM departments d WHERE d.code = 'E') s WHERE s.id = events.id", True),
    ("UPDATE events e SET kind = 'x' FROM departments a JOIN departments b ON a.id = b.id WHERE e.id = a.id AND b.code = 'E'", True),
    ("UPDATE events e SET kind = 'x' FROM departments a LEFT JOIN departments b ON a.id = b.id AND a.code = 'E' WHERE e.id = a.id", False),
])
def test_joins_carry_a_bound_only_through_equality(text: str, expected: bool) -> None:
    """A filter on another relation counts when an equality ties the written one to it."""
    assert bounded(text) is expected
    assert bounded(text, unknown_columns) is expected


@pytest.mark.parametrize("where", ["id IN (SELECT id FROM departments WHERE code = 'x')", "id IN (SELECT id FROM events LIMIT 10)"])
def test_names_without_a_qualifier_need_the_catalog(where: str) -> None:
    """A lone name in a sub-query may be the outer table's column, unless the catalog says whose it is."""
    assert bounded(f"DELETE FROM events WHERE {where}")
    assert not bounded(f"DELETE FROM events WHERE {where}", unknown_columns)


LOOKS_AROUND = [
    "id IN (SELECT e.id FROM events e WHERE e.id = events.id LIMIT 1)", "id IN (SELECT e.id FROM events e WHERE e.id >= events.id ORDER BY e.id LIMIT 1)",
    "id = ANY (SELECT e.id FROM events e WHERE e.ctid = events.ctid LIMIT 1)", "id IN (SELECT d.id FROM departments d ORDER BY d.id - events.id LIMIT 1)",
    "id IN (SELECT d.id FROM departments d WHERE kind = code LIMIT 5)", "id = ANY(ARRAY(SELECT e.id FROM events e WHERE e.id = events.id LIMIT 1))",
    "id IN (SELECT e.id FROM events e WHERE EXISTS (SELECT FROM departments d WHERE d.id = events.id) LIMIT 1)",
    "id IN (SELECT e.id FROM events e JOIN departments d ON d.id = events.id LIMIT 1)",
    "id IN (SELECT e.id FROM events e LEFT JOIN LATERAL (SELECT events.id AS x) l ON l.x = e.id LIMIT 1)",
    "id IN (SELECT e.id FROM events e GROUP BY e.id HAVING e.id = events.id LIMIT 1)",
]


@pytest.mark.parametrize("where", LOOKS_AROUND)
def test_a_limit_bounds_nothing_where_the_query_around_decides_the_rows(where: str) -> None:
    """It holds for each row around by itself, so that each may find its own."""
    assert not bounded(f"DELETE FROM events WHERE {where}")
    assert not bounded(f"DELETE FROM events WHERE {where}", unknown_columns)


@pytest.mark.parametrize("where", [
    "id IN (SELECT e.id FROM events e WHERE e.kind = 'x' ORDER BY e.at LIMIT 10)",
    "id IN (SELECT e.id FROM events e WHERE EXISTS (SELECT FROM departments d WHERE d.id = e.id) LIMIT 10)",
    "id IN (SELECT id FROM events WHERE kind = $1 ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED)",
])
def test_a_batch_by_limit_is_bounded(where: str) -> None:
    """As job queues write it."""
    assert bounded(f"DELETE FROM events WHERE {where}")


def test_a_functions_alias_is_its_columns_name() -> None:
    """The server takes a name that another source has too for ambiguous, so a column that is not known of does no harm."""
    assert bounded("UPDATE events SET detail = 'x' FROM regexp_split_to_table('a,b', ',') AS t WHERE kind = t")
    assert bounded("UPDATE events SET detail = j.note FROM json_to_recordset('[]') AS j(event int, note text) WHERE id = event")
    assert not bounded("UPDATE events SET detail = 'x' FROM regexp_split_to_table('a,b', ',') AS id WHERE id = id")
    assert not bounded("UPDATE events SET detail = 'x' FROM regexp_split_to_table(kind, ',') AS t WHERE kind = t")
    assert not bounded("UPDATE events SET detail = 'x' FROM regexp_split_to_table('a,b', ',') AS t WHERE kind = other")


def test_a_name_that_two_relations_have_bounds_neither() -> None:
    """`id` is in both: nothing is decided by guessing."""
    assert not bounded("DELETE FROM events USING departments d WHERE id = 1")
    assert bounded("DELETE FROM events USING departments d WHERE kind = 'x'")


@pytest.mark.parametrize(("query", "expected"), [
    ("VALUES (1), (2)", True), ("SELECT 1", True), ("SELECT unnest(ARRAY[1])", True), ("SELECT unnest($1::int[]), unnest($2::text[])", True), ("SELECT lower('a')", False),
    ("SELECT unnest(ARRAY(SELECT e.id FROM events e))", False), ("SELECT generate_series(1, 5000)", False), ("SELECT e.id FROM events e", False),
    ("SELECT e.id FROM events e WHERE e.id = 1", True), ("SELECT 1 INTERSECT SELECT e.id FROM events e", True),
    ("DELETE FROM events WHERE id = 1 RETURNING id", True), ("DELETE FROM events RETURNING id", False),
    ("INSERT INTO events(id) VALUES (1) RETURNING id", True),
])
def test_queries_with_named_rows(query: str, expected: bool) -> None:
    """What a CTE or sub-select hands on."""
    assert finite_query(parse(query).statements[0], {}, unknown_columns) is expected


def test_thousands_of_alternatives_are_judged() -> None:
    """A long OR neither fails nor costs more than its length."""
    assert bounded("DELETE FROM events WHERE " + " OR ".join(f"id = {n}" for n in range(3000)))
