"""RETURNING of writes: clear columns as the bare server returns them, masks for the rest, and the row count untouched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from addons.masking import Masking
from tests.masking.gate import Catalogs, Gate, Result, session
from tests.masking.test_attacks import MORE
from tests.masking.test_lookups import MRN, Counts
from tests.servers import PostgresServer

RIGHT = [
    "UPDATE public.patients SET state = 'XX' WHERE id < 3 RETURNING *",
    "UPDATE public.patients SET state = 'XX' WHERE id = 1 RETURNING id, ssn, state AS where_from, mrn AS key",
    "UPDATE public.patients AS p SET state = 'XX' WHERE p.id = 1 RETURNING p.*, p.ssn, upper(p.state)",
    "UPDATE public.patients p SET state = d.code FROM departments d WHERE d.id = p.dept_id AND p.id = 1 RETURNING p.ssn, d.code, p.*",
    "DELETE FROM public.ward WHERE id = 1 RETURNING ward.*",
    "DELETE FROM public.ward w USING departments d WHERE w.id = d.id AND w.id = 1 RETURNING w.secret, w.tail, d.code",
    "INSERT INTO public.ward (id, code) VALUES (900, 'new'), (901, 'newer') RETURNING *",
    "INSERT INTO public.ward (id, code) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET code = 'again' RETURNING ward.id, secret, tail",
    "INSERT INTO public.visits (id, year) VALUES (9, 2023) RETURNING id, patient, year",
]

REFUSED = [
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING upper(ssn)",
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING ssn || ''",
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING patients",
    "UPDATE public.patients p SET state = 'x' WHERE id = 1 RETURNING (p).ssn",
    "UPDATE public.patients p SET state = 'x' WHERE id = 1 RETURNING row_to_json(p)",
    "UPDATE public.patients p SET state = 'x' FROM departments d WHERE d.id = p.dept_id RETURNING *",
    "UPDATE public.patients p SET state = 'x' FROM departments d WHERE d.id = p.dept_id RETURNING ssn",
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING (SELECT max(ssn) FROM public.patients)",
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING CASE WHEN ssn LIKE '9%' THEN 1 ELSE 2 END",
    "UPDATE public.patients SET state = ssn WHERE id = 1 RETURNING id",
    "DELETE FROM public.patients WHERE ssn LIKE '9%' RETURNING ssn",
    "INSERT INTO public.ward (id, secret) VALUES (900, 'x') RETURNING id",
    "INSERT INTO public.ward (id, code) SELECT id, ssn FROM public.patients RETURNING *",
    "INSERT INTO public.ward AS w (id, code) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET code = w.secret RETURNING w.code",
    "WITH u AS (UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING ssn) SELECT * FROM u",
]

OLD_AND_NEW = [
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING old.ssn",
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING new.*",
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING WITH (OLD AS o) o.ssn, ssn",
    "UPDATE public.patients SET state = 'x' WHERE id = 1 RETURNING WITH (OLD AS o) *",
]
"""PostgreSQL 18's. The gateway's grammar may know them or not; a value may not come back."""


@pytest.fixture(scope="module")
def masking(wide: PostgresServer, columns: list[dict[str, Any]]) -> Masking:
    return Masking(columns=[*columns, *MORE], catalogs=Catalogs(wide.port, "wide"))


def within(masking: Masking, server: PostgresServer, sql: str, mode: str = "simple") -> Result:
    """In a transaction that is rolled back."""
    gate = Gate(masking, server.port, session(database="wide"), "wide")
    try:
        gate.run("BEGIN")
        return gate.run(sql, mode=mode)[-1]
    finally:
        gate.run("ROLLBACK")
        gate.close()


@pytest.fixture
def bare(wide: PostgresServer) -> Iterator[Masking]:
    yield Masking(columns=[], catalogs=Catalogs(wide.port, "wide"))


@pytest.mark.parametrize("mode", ["simple", "prepared_binary"])
@pytest.mark.parametrize("sql", RIGHT)
def test_every_row_comes_back_with_masks(
    masking: Masking, bare: Masking, wide: PostgresServer, corpus: Any, sql: str, mode: str
) -> None:
    mine, theirs = within(masking, wide, sql, mode), within(bare, wide, sql, mode)
    assert not mine.refused and not mine.error and not mine.alarm, mine
    assert (mine.cmd, mine.cols, len(mine.rows)) == (theirs.cmd, theirs.cols, len(theirs.rows)) and mine.rows
    assert not corpus.leaks({"sql": [sql]}, [mine.as_corpus()], b"", b"")
    for row, bare_row in zip(mine.rows, theirs.rows, strict=True):
        for shown, real in zip(row, bare_row, strict=True):
            assert shown in (real, None, b"***")


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_made_of_a_masked_column_is_refused(masking: Masking, wide: PostgresServer, sql: str) -> None:
    result = within(masking, wide, sql)
    assert result.refused is not None and result.refused.code in ("OST-512", "OST-513", "OST-514"), result


@pytest.mark.parametrize("sql", OLD_AND_NEW)
def test_old_and_new_rows_bring_no_value(masking: Masking, wide: PostgresServer, corpus: Any, sql: str) -> None:
    result = within(masking, wide, sql)
    assert result.refused is not None or result.error, result
    assert not corpus.leaks({"sql": [sql]}, [result.as_corpus()], b"", b"")


def test_a_returned_look_up_still_finds_its_row(wide: PostgresServer) -> None:
    """What the write compares stays in it."""
    columns = [{"relation": "public.patients", "column": name, "lookup": name == "mrn"} for name in ("mrn", "ssn")]
    addon = Masking(columns=columns, catalogs=Catalogs(wide.port, "wide"), counts=Counts())
    result = within(addon, wide, f"UPDATE public.patients SET state = 'XX' WHERE mrn = '{MRN}' RETURNING id, mrn")
    assert result.cmd == "UPDATE 1" and result.rows[0][1] == b"***", result
