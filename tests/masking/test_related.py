"""A view that compares masked columns with what a client may write is told from one that only filters."""

from __future__ import annotations

import pytest

from addons.masking.related import Reading, mixed, reading
from addons.sql.calls import Calls
from addons.sql.parse import parse
from addons.sql.resolve import Names
from addons.sql.scope import hidden
from tests.masking.test_cover import cover
from tests.sql.little import snapshot

SNAPSHOT = snapshot()
PATIENTS = cover("public.patients.ssn", "public.patients.mrn")

ANSWERS = [
    "SELECT p.id FROM public.patients p JOIN public.departments d ON d.code = p.ssn",
    "SELECT p.id FROM public.patients p, public.departments d WHERE p.id > 0 AND p.ssn LIKE d.code",
    "SELECT p.id FROM public.patients p LEFT JOIN public.departments d ON d.id = p.id AND d.code < p.mrn",
    "SELECT p.id FROM public.patients p JOIN (SELECT code AS ssn FROM public.departments) d USING (ssn)",
    "SELECT p.id FROM public.patients p NATURAL JOIN (SELECT code AS ssn FROM public.departments) d",
    "SELECT id FROM public.patients WHERE ssn > state",
    "SELECT id FROM public.patients WHERE state = 'VT' OR NOT (ssn > state AND id > 1)",
    "SELECT id FROM public.patients p WHERE EXISTS (SELECT FROM public.departments d WHERE p.ssn LIKE d.code)",
    "SELECT id FROM public.patients p WHERE ssn IN (SELECT code FROM public.departments)",
    "SELECT id FROM public.patients p WHERE ssn > ALL (SELECT code FROM public.departments)",
    "SELECT id FROM public.patients p WHERE ssn = (SELECT max(code) FROM public.departments)",
    "SELECT id FROM (SELECT p.id, p.ssn AS a, d.code AS b FROM public.patients p, public.departments d) t WHERE a = b",
    "WITH t AS (SELECT ssn || state AS x FROM public.patients) SELECT count(*) FROM t WHERE x LIKE '9%'",
    "SELECT count(*) FILTER (WHERE ssn > state) FROM public.patients",
    "SELECT max(id) FROM public.patients GROUP BY state HAVING max(ssn) > state",
    "SELECT id FROM public.patients ORDER BY greatest(ssn, state) LIMIT 1",
    "SELECT id FROM public.patients WHERE CASE WHEN ssn > state THEN true END",
    "SELECT code FROM public.departments UNION SELECT ssn FROM public.patients",
    "SELECT code FROM public.departments EXCEPT ALL SELECT ssn FROM public.patients",
    "SELECT DISTINCT coalesce(nullif(ssn, '1'), state) FROM public.patients",
    "SELECT id FROM public.patients WHERE ssn = current_setting('app.guess')",
    "SELECT id FROM public.patients WHERE ssn LIKE chr(nextval('s')::int)",
    "SELECT rank() OVER (PARTITION BY ssn = state) FROM public.patients",
    "SELECT id FROM public.departments WHERE public.secret_of(id) = 'x'",
    "SELECT g FROM public.patients p, LATERAL generate_series(id, length(ssn)) g",
]

FILTERS = [
    "SELECT id, state FROM public.patients WHERE ssn LIKE '9%' AND state = 'VT'",
    "SELECT id, state FROM public.patients WHERE ssn LIKE '9%' OR state = 'VT'",
    "SELECT p.id FROM public.patients p JOIN public.departments d ON d.id = p.id AND p.ssn > '5'",
    "SELECT a.id FROM public.patients a JOIN public.patients b ON a.ssn = b.ssn",
    "SELECT a.id FROM public.patients a JOIN public.patients b USING (ssn)",
    "SELECT d.id, EXISTS (SELECT FROM public.patients p WHERE p.id = d.id AND p.ssn > '5') FROM public.departments d",
    "SELECT id FROM public.departments d WHERE id IN (SELECT id FROM public.patients WHERE ssn > '5')",
    "SELECT DISTINCT state, ssn FROM public.patients",
    "SELECT id, ssn FROM public.patients UNION SELECT id, mrn FROM public.patients",
    "SELECT state, count(*) FROM public.patients GROUP BY ROLLUP (state, ssn)",
    "SELECT id, ssn || state, ssn = state FROM public.patients",
    "SELECT id FROM public.departments WHERE code = current_setting('app.code')",
    "SELECT id, upper(ssn) FROM public.patients ORDER BY ssn, state LIMIT 3",
]


def answers(sql: str) -> bool:
    found = reading(parse(sql).statements[0], Names(SNAPSHOT), PATIENTS.everything, Calls(SNAPSHOT, frozenset()).opaque)
    assert found is not None
    return found.answers


@pytest.mark.parametrize("sql", ANSWERS)
def test_a_view_that_compares_masked_with_written_values_is_known(sql: str) -> None:
    assert answers(sql)


@pytest.mark.parametrize("sql", FILTERS)
def test_a_view_that_filters_by_fixed_text_is_none_of_those(sql: str) -> None:
    assert not answers(sql)


def test_nothing_is_computed_of_masked_and_written_values_together() -> None:
    """Whether it is NULL, or fails, would tell how they compare."""
    statement = parse("SELECT nullif(ssn, state) AS a, upper(ssn) AS b, state AS c FROM public.patients").statements[0]
    outputs = reading(statement, Names(SNAPSHOT), PATIENTS.everything, Calls(SNAPSHOT, frozenset()).opaque).outputs
    assert [(mixed(o.taint), bool(hidden(o.taint))) for o in outputs] == [(True, True), (False, True), (False, False)]


DATED = cover("public.patients.dob", "public.visits.at", "public.patients.ssn")
KINDS = {"public.patients.dob": "date", "public.visits.at": "timestamptz"}

SETTINGS = [
    "SELECT id FROM public.visits WHERE at < '2000-01-01'::date",
    "SELECT id FROM public.visits WHERE at::date = '2000-01-01'::date",
    "SELECT id FROM public.visits WHERE at::text LIKE '%-05-%'",
    "SELECT id FROM public.visits WHERE date_trunc('day'::text, at) = '2000-01-01 00:00:00+00'::timestamp with time zone",
    "SELECT id FROM public.visits WHERE EXTRACT(hour FROM at) = 3",
    "SELECT id FROM public.visits WHERE to_char(at, 'HH24'::text) = '03'",
    "SELECT id FROM public.visits WHERE at + '1 day'::interval < '2000-01-01 00:00:00+00'::timestamp with time zone",
    "SELECT id FROM public.visits v WHERE (SELECT max(at) FROM public.visits) < '2000-01-01'::date",
    "SELECT id FROM (SELECT id, at AS b FROM public.visits) s WHERE b < '2000-01-01'::date",
    "SELECT id FROM public.patients WHERE dob::text LIKE '%-05-%'",
    "SELECT id FROM public.patients WHERE (dob || ''::text) LIKE '%-05-%'",
    "SELECT id FROM public.patients WHERE concat(dob) LIKE '%-05-%'",
    "SELECT id FROM public.patients WHERE dob > CURRENT_DATE",
    "SELECT id FROM public.patients WHERE dob > (CURRENT_DATE - 6570)",
    "SELECT id FROM public.patients WHERE dob > now()",
    "SELECT id FROM public.patients WHERE dob IN ('2000-01-01'::date, '2000-01-01 00:00:00+00'::timestamp with time zone)",
    "SELECT id FROM public.patients WHERE ssn::date > '2000-01-01'::date",
    "SELECT id FROM public.patients WHERE ssn = obj_description('notes'::regclass)",
    "SELECT id FROM public.patients WHERE to_regclass(ssn) IS NOT NULL",
    "SELECT id FROM public.patients WHERE pg_try_advisory_lock(ascii(ssn)::bigint)",
    "SELECT id FROM public.patients WHERE ssn = CURRENT_SCHEMA",
    "SELECT max(id) FROM public.visits GROUP BY note HAVING max(at)::text LIKE '2%'",
]

FIXED = [
    "SELECT id FROM public.visits WHERE at < '2000-01-01 00:00:00+00'::timestamp with time zone",
    "SELECT id FROM public.visits WHERE at > (now() - '30 days'::interval) AND at IS NOT NULL",
    "SELECT id FROM public.visits WHERE at >= CURRENT_TIMESTAMP",
    "SELECT id FROM public.patients WHERE dob < '2000-01-01'::date OR dob = ANY (ARRAY['2001-01-01'::date, '2002-01-01'::date])",
    "SELECT id FROM public.patients WHERE dob BETWEEN '2000-01-01'::date AND '2000-12-31'::date",
    "SELECT id FROM public.patients WHERE EXTRACT(year FROM dob) < 2000::numeric",
    "SELECT a.id FROM public.patients a JOIN public.patients b ON a.dob = b.dob AND a.dob IS DISTINCT FROM NULL",
    "SELECT dob, count(dob) FROM public.patients GROUP BY dob ORDER BY dob",
    "SELECT DISTINCT dob FROM public.patients",
    "SELECT id FROM public.patients WHERE concat(ssn, 'x') LIKE '9%' AND length(ssn) = 11",
    "SELECT id FROM public.patients WHERE state::date = CURRENT_DATE",
]


@pytest.mark.parametrize("text", SETTINGS)
def test_a_filter_that_means_what_the_readers_settings_say_answers(text: str) -> None:
    """Whoever slides their time zone over such a boundary reads the value."""
    assert asked(text).answers


@pytest.mark.parametrize("text", FIXED)
def test_a_filter_that_means_the_same_to_everybody_is_fixed_text(text: str) -> None:
    found = asked(text)
    assert not found.answers


def asked(text: str) -> Reading:
    found = reading(parse(text).statements[0], Names(DATED.snapshot), DATED.everything, lambda _message: "", lambda label: KINDS.get(label, ""))
    assert found is not None
    return found
