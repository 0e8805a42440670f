"""Look-ups by a masked column: permitted ones answer as the bare server does, count, and ask nothing else of the value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from addons.masking import Masking
from protocols.command import Path, Statement
from protocols.verdict import Deny, Replace
from tests.masking.gate import Catalogs, Gate, session
from tests.masking.test_attacks import MORE
from tests.servers import PostgresServer

SSN, MRN = "987-65-4321", "MRN-7731904"


class Counts:
    """What control keeps."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def count(self, subject: str, statements: int) -> Deferred[int]:
        self.asked[subject] = self.asked.get(subject, 0) + statements
        return succeed(self.asked[subject])


RIGHT = [
    f"SELECT id, state FROM public.patients WHERE mrn = '{MRN}'",
    f"SELECT id FROM public.patients WHERE '{MRN}'::text = mrn AND id > 0",
    f"SELECT p.id, d.code FROM public.patients p JOIN departments d ON d.id = p.dept_id WHERE p.mrn = '{MRN}'",
    f"SELECT p.id, d.code FROM public.patients p LEFT JOIN departments d ON d.id = p.dept_id WHERE p.mrn = '{MRN}'",
    f"SELECT d.id, p.state FROM departments d, public.patients p WHERE p.mrn = '{MRN}' AND d.id = p.dept_id",
    f"SELECT count(*), count(DISTINCT ssn) FROM public.patients WHERE mrn = '{MRN}' AND ssn = '{SSN}'",
    "SELECT id FROM public.patients WHERE mrn = 'MRN-none'",
    f"SELECT id FROM ONLY public.patients AS p WHERE p.mrn = '{MRN}' ORDER BY id LIMIT 1",
    f"COPY (SELECT id FROM public.patients WHERE mrn = '{MRN}') TO STDOUT",
]

REFUSED = [
    "SELECT id FROM public.patients WHERE full_name = 'x'",  # not permitted
    f"SELECT id FROM public.patients WHERE mrn = '{MRN}' OR id = 2",
    f"SELECT id FROM public.patients WHERE NOT mrn = '{MRN}'",
    f"SELECT id FROM public.patients WHERE mrn <> '{MRN}'",
    f"SELECT id FROM public.patients WHERE mrn >= '{MRN}'",
    f"SELECT id FROM public.patients WHERE mrn LIKE '{MRN}'",
    f"SELECT id FROM public.patients WHERE mrn IN ('{MRN}', 'x')",
    f"SELECT id FROM public.patients WHERE (mrn = '{MRN}') = true",
    f"SELECT id FROM public.patients WHERE mrn = '{MRN}' || ''",
    "SELECT id FROM public.patients WHERE mrn = (SELECT code FROM departments LIMIT 1)",
    "SELECT id FROM public.patients WHERE mrn = state",
    f"SELECT id, mrn = '{MRN}' FROM public.patients WHERE mrn = '{MRN}' ORDER BY mrn = '{MRN}'",
    f"SELECT id FROM public.patients WHERE left(mrn, 3) = '{MRN[:3]}'",
    f"SELECT d.id FROM departments d LEFT JOIN public.patients p ON p.dept_id = d.id WHERE p.mrn = '{MRN}'",
    f"SELECT d.id FROM departments d LEFT JOIN public.patients p ON p.dept_id = d.id AND p.mrn = '{MRN}'",
    f"SELECT d.id FROM departments d WHERE EXISTS (SELECT FROM public.patients WHERE mrn = '{MRN}')",
    "SELECT p.id FROM (VALUES ('a'), ('b')) v(x), public.patients p WHERE p.mrn = v.x",
    f"SELECT id FROM v_star WHERE mrn = '{MRN}'",
    f"SELECT id FROM public.patients WHERE mrn = '{MRN}' UNION SELECT id FROM public.patients WHERE mrn = 'x'",
    f"SELECT id FROM public.patients HAVING bool_or(mrn = '{MRN}')",
    f"EXPLAIN SELECT id FROM public.patients WHERE mrn = '{MRN}'",
    "PREPARE q AS SELECT id FROM public.patients WHERE mrn = $1",
    f"SELECT 1; SELECT id FROM public.patients WHERE mrn = '{MRN}'",
    f"WITH patients AS (SELECT 1 AS id, ssn AS mrn FROM public.patients) SELECT id FROM patients WHERE mrn = '{MRN}'",
]


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture(scope="module")
def catalogs(wide: PostgresServer) -> Catalogs:
    """Read once: nothing here changes what is read."""
    return Catalogs(wide.port, "wide")


@pytest.fixture
def masking(catalogs: Catalogs, columns: list[dict[str, Any]], counts: Counts) -> Masking:
    permitted = [{**one, "lookup": one["relation"] == "public.patients" and one["column"] in ("mrn", "ssn")} for one in columns]
    return Masking(columns=[*permitted, *MORE], catalogs=catalogs, counts=counts, lookups_per_minute=5)


@pytest.fixture
def gate(masking: Masking, wide: PostgresServer) -> Iterator[Gate]:
    gate = Gate(masking, wide.port, session(database="wide"), "wide")
    yield gate
    gate.close()


@pytest.fixture
def bare(wide: PostgresServer, catalogs: Catalogs) -> Iterator[Gate]:
    gate = Gate(Masking(columns=[], catalogs=catalogs), wide.port, session(database="wide"), "wide")
    yield gate
    gate.close()


@pytest.mark.parametrize("sql", RIGHT)
def test_a_permitted_look_up_is_answered(gate: Gate, bare: Gate, counts: Counts, sql: str) -> None:
    mine, theirs = gate.run(sql, mode="copy")[0], bare.run(sql, mode="copy")[0]
    assert not mine.refused and not mine.error and not mine.alarm, mine
    assert mine.rows == theirs.rows and (mine.rows or "none" in sql)
    assert counts.asked == {"lookup:ann@clinic.example": sql.count(" = '") + sql.count("= mrn")}


def test_what_is_found_is_shown_masked(gate: Gate) -> None:
    (result,) = gate.run(f"SELECT * FROM public.patients WHERE mrn = '{MRN}'")
    assert len(result.rows) == 1 and b"***" in result.rows[0] and MRN.encode() not in result.rows[0]


@pytest.mark.parametrize("mode", ["extended", "extended_binary", "prepared_binary"])
def test_a_bound_value_is_looked_up(gate: Gate, bare: Gate, mode: str) -> None:
    sql = "SELECT id, state FROM public.patients WHERE mrn = $1 AND id < $2"
    for value in (MRN, "MRN-none"):
        mine, theirs = (one.run(sql, mode=mode, params=(value, "100"))[-1] for one in (gate, bare))
        assert mine.rows == theirs.rows and not mine.error, mine


@pytest.mark.parametrize("sql", REFUSED)
def test_anything_more_than_one_equality_is_refused(gate: Gate, counts: Counts, sql: str) -> None:
    result = gate.run(sql)[0]
    assert result.refused is not None and result.refused.code in ("OST-510", "OST-512"), result
    assert counts.asked == {}


def test_only_as_many_as_permitted_whatever_runs_them(gate: Gate, counts: Counts) -> None:
    sql = "SELECT id FROM public.patients WHERE mrn = '{}'"
    for number in range(5):
        assert not gate.run(sql.format(number % 2))[0].refused, "a repeated one counts, too"
    refused = gate.run(sql.format(0))[0].refused
    assert isinstance(refused, Deny) and refused.code == "OST-518"


def test_preparing_is_no_look_up_and_every_binding_is(gate: Gate, counts: Counts) -> None:
    sql = "SELECT id FROM public.patients WHERE mrn = $1"
    assert isinstance(gate.decide(Statement(sql, Path.PARSE)), Replace) and counts.asked == {}
    for _ in range(2):
        assert isinstance(gate.decide(Statement(sql, Path.BIND)), Replace)
    assert counts.asked == {"lookup:ann@clinic.example": 2}


def test_writes_may_find_their_rows_by_a_look_up(gate: Gate, counts: Counts) -> None:
    results = [gate.run(sql)[0] for sql in (
        "BEGIN", f"UPDATE public.patients SET state = 'XX' WHERE mrn = '{MRN}'",
        f"DELETE FROM public.ward WHERE secret = '{SSN}'", "ROLLBACK",
    )]
    assert results[1].cmd == "UPDATE 1" and counts.asked == {"lookup:ann@clinic.example": 1}
    assert results[2].refused is not None and results[2].refused.code == "OST-514", "not permitted there"
    for sql in (f"UPDATE public.patients SET state = 'x' WHERE mrn = '{MRN}' OR true", f"UPDATE public.patients SET state = mrn WHERE mrn = '{MRN}'"):
        assert gate.run(sql)[0].refused is not None


def test_a_function_cannot_look_up_uncounted(gate: Gate) -> None:
    body = f"UPDATE public.patients SET state = ''XX'' WHERE mrn = ''{MRN}''"
    assert gate.run(f"CREATE FUNCTION looks() RETURNS void LANGUAGE sql AS '{body}'")[0].refused is not None


def test_when_nobody_can_count_nothing_is_looked_up(wide: PostgresServer, catalogs: Catalogs) -> None:
    class Gone:
        def count(self, subject: str, statements: int) -> Deferred[int]:
            return fail(RuntimeError("control cannot be reached"))

    columns = [{"relation": "public.patients", "column": "mrn", "lookup": True}]
    addon = Masking(columns=columns, catalogs=catalogs, counts=Gone())
    gate = Gate(addon, wide.port, session(database="wide"), "wide")
    try:
        with pytest.raises(AssertionError):  # the pipeline makes a refusal of the failure
            gate.decide(Statement(f"SELECT id FROM public.patients WHERE mrn = '{MRN}'"))
    finally:
        gate.close()


@pytest.mark.parametrize("options", [{"lookups_per_minute": -1}, {"lookups_per_minute": True}, {"lookups_per_minute": "5"}])
def test_a_wrong_limit_is_said(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="lookups_per_minute"):
        Masking(columns=[], catalogs=None, **options)


def test_look_ups_without_somebody_who_counts_are_said() -> None:
    with pytest.raises(ValueError, match="counted"):
        Masking(columns=[{"relation": "public.patients", "column": "mrn", "lookup": True}], catalogs=None)
