"""Masked columns that are only compared with their like: the answer is the bare server's, and no guess can be compared with a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from addons.masking import Masking
from protocols.command import Statement
from protocols.verdict import Replace
from tests.masking.gate import Catalogs, Gate, session
from tests.masking.test_attacks import MORE
from tests.servers import PostgresServer

RIGHT = [
    "SELECT count(DISTINCT ssn) FROM public.patients",
    "SELECT state, count(DISTINCT mrn) FROM public.patients GROUP BY state ORDER BY state",
    "SELECT count(DISTINCT ssn), count(*), count(ssn) FROM twins",
    "SELECT count(DISTINCT s) FROM (SELECT ssn AS s FROM twins) t",
    "WITH t(a) AS (SELECT ssn FROM twins) SELECT count(DISTINCT a) FROM t",
    "SELECT count(DISTINCT t.ssn) FILTER (WHERE t.id > 100) FROM twins t",
    "SELECT 1 FROM twins HAVING count(DISTINCT ssn) > 3",
    "SELECT code, (SELECT count(DISTINCT t.ssn) FROM twins t WHERE t.id > d.id) FROM departments d ORDER BY id",
    "SELECT a.id, b.id FROM twins a JOIN twins b ON a.ssn = b.ssn AND a.id < b.id ORDER BY 1, 2",
    "SELECT a.id FROM twins a, public.patients b WHERE a.ssn = b.ssn ORDER BY 1",
    "SELECT a.id, b.code FROM twins a JOIN twins b USING (ssn) ORDER BY 1, 2",
    "SELECT a.id FROM twins a JOIN twins b ON a.grade = b.wide WHERE a.id <= b.id ORDER BY 1",
    "SELECT a.id FROM twins a JOIN twins b ON a.id = b.id + 1 AND a.ssn <> b.ssn ORDER BY 1",
    "SELECT count(*) AS n FROM twins GROUP BY ssn HAVING count(*) > 1 ORDER BY n",
    "SELECT id, row_number() OVER (PARTITION BY ssn ORDER BY id) FROM twins ORDER BY id",
    "SELECT count(DISTINCT born), count(DISTINCT wide), count(DISTINCT grade) FROM twins",
    "COPY (SELECT count(DISTINCT ssn) FROM twins) TO STDOUT",
]

REFUSED = [
    "SELECT ssn, count(*) FROM twins GROUP BY ssn",  # it would show surrogates
    "SELECT count(DISTINCT ssn), max(ssn) FROM twins",
    "SELECT count(DISTINCT ssn), (SELECT t FROM twins t LIMIT 1) FROM twins",
    "SELECT count(DISTINCT upper(ssn)) FROM twins",
    "SELECT count(DISTINCT (ssn, 'x')) FROM twins",
    "SELECT array_agg(DISTINCT ssn) FROM twins",
    "SELECT id FROM twins JOIN (VALUES ('987-65-4321')) v(s) ON ssn = s",
    "SELECT t.id FROM twins t JOIN departments d ON t.ssn = d.code",
    "SELECT id FROM twins WHERE ssn = 'x'",
    "SELECT id FROM twins WHERE ssn < ssn",
    "SELECT count(DISTINCT filled) FROM twins",  # a default may be the guess
    "SELECT count(DISTINCT key) FROM v_guesses",  # a clear column may be the guess
    "SELECT p.id FROM v_guesses p JOIN v_guesses q ON p.key = q.key AND p.id <> q.id",
    "SELECT count(DISTINCT note) FROM copied",  # a trigger may copy the guess
    "SELECT count(DISTINCT tail) FROM ward",  # a generation may
    "SELECT count(DISTINCT n) FROM public.charts",  # 1.0 = 1.00
    "SELECT a.id FROM twins a JOIN twins b ON a.ssn = b.born::text",
    "SELECT a.id FROM twins a JOIN twins b ON a.born = b.ssn",
    "SELECT count(DISTINCT x) FROM (SELECT ssn FROM twins UNION ALL SELECT '987-65-4321') t(x)",
    "SELECT count(DISTINCT x) FROM (SELECT ssn FROM twins UNION SELECT code FROM departments) t(x)",
    "SELECT count(DISTINCT s) FROM (SELECT COALESCE(ssn, 'x') FROM twins) t(s)",
    "EXPLAIN VERBOSE SELECT count(DISTINCT ssn) FROM twins",  # it would show the key
    "SELECT count(DISTINCT ssn) FROM twins; SELECT ssn FROM twins",  # one key, two statements
]


@pytest.fixture(scope="module")
def masking(wide: PostgresServer, columns: list[dict[str, Any]]) -> Masking:
    return Masking(columns=[*columns, *MORE], catalogs=Catalogs(wide.port, "wide"))


@pytest.fixture
def gate(masking: Masking, wide: PostgresServer) -> Iterator[Gate]:
    gate = Gate(masking, wide.port, session(database="wide"), "wide")
    yield gate
    gate.close()


@pytest.fixture
def bare(wide: PostgresServer) -> Iterator[Gate]:
    gate = Gate(Masking(columns=[], catalogs=Catalogs(wide.port, "wide")), wide.port, session(database="wide"), "wide")
    yield gate
    gate.close()


@pytest.mark.parametrize("sql", RIGHT)
def test_what_is_only_compared_is_answered_as_by_the_bare_server(gate: Gate, bare: Gate, sql: str) -> None:
    mine, theirs = gate.run(sql, mode="copy")[0], bare.run(sql, mode="copy")[0]
    assert not mine.refused and not mine.error and not mine.alarm, mine
    assert mine.rows == theirs.rows and theirs.rows
    assert "sha256" in mine.sent


@pytest.mark.parametrize("sql", REFUSED)
def test_what_shows_a_surrogate_or_compares_a_guess_is_refused(gate: Gate, sql: str) -> None:
    (result,) = gate.run(sql)
    assert result.refused is not None and result.refused.code == "OST-510", result


def test_each_statement_has_a_key_of_its_own(gate: Gate) -> None:
    sent = [gate.decide(Statement(f"SELECT count(DISTINCT ssn) FROM twins WHERE id > {n}")) for n in range(2)]
    texts = {answer.text.split("||")[1].split("'")[1] for answer in sent if isinstance(answer, Replace)}
    assert len(texts) == 2 and all(len(key) == 32 for key in texts)


def test_texts_that_are_equal_without_being_the_same_are_not_compared(gate: Gate, wide: PostgresServer) -> None:
    if wide.sql("SELECT count(*) FROM pg_collation WHERE collname = 'anycase'", "wide") == "0":
        pytest.skip("this server is built without ICU")
    (result,) = gate.run("SELECT count(DISTINCT mail) FROM cased")
    assert result.refused is not None and result.refused.code == "OST-510", result


def test_nulls_are_no_value(gate: Gate, bare: Gate) -> None:
    sql = "SELECT count(DISTINCT s) FROM (SELECT t.ssn FROM departments d LEFT JOIN twins t ON t.id = d.id + 1000) x(s)"
    assert gate.run(sql)[0].rows == bare.run(sql)[0].rows == [[b"0"]]
