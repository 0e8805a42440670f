"""COPY of masked tables: what leaves is what a SELECT would show, byte for byte in every format; what enters is a write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from addons.masking import Masking
from protocols.command import Statement
from protocols.verdict import Allow, Deny, Replace
from tests.masking.gate import Catalogs, Gate, session
from tests.servers import PostgresServer
from tests.masking.test_attacks import MORE

MASKED = [
    "COPY public.patients TO STDOUT",
    "COPY public.patients (state, ssn, id) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE (ssn))",
    "COPY public.patients (id, ssn) TO STDOUT WITH BINARY",
    "COPY (SELECT id, upper(ssn) || 'x', p FROM public.patients p ORDER BY id) TO STDOUT",
    "COPY (TABLE patient_directory) TO STDOUT (DELIMITER '|', NULL '-')",
    "COPY public.ward TO STDOUT",
    "COPY public.visits_old TO STDOUT",
    "COPY public.charts TO STDOUT (FORMAT csv)",
]
"""Each of them shows masked columns."""


@pytest.fixture(scope="module")
def masking(wide: PostgresServer, columns: list[dict[str, Any]]) -> Masking:
    return Masking(columns=[*columns, *MORE], catalogs=Catalogs(wide.port, "wide"))


@pytest.fixture
def gate(masking: Masking, wide: PostgresServer) -> Iterator[Gate]:
    gate = Gate(masking, wide.port, session(database="wide"), "wide")
    yield gate
    gate.close()


def clear(server: PostgresServer, sql: str) -> list[bytes]:
    """What the bare server says."""
    with psycopg.connect(host="127.0.0.1", port=server.port, user="app", dbname="wide") as connection:
        with connection.cursor().copy(sql) as copy:
            return [bytes(part) for part in copy]


@pytest.mark.parametrize("sql", MASKED)
def test_a_masked_copy_has_every_row_and_no_value(gate: Gate, wide: PostgresServer, corpus: Any, sql: str) -> None:
    (result, ended) = gate.run(sql, mode="copy")
    rows, bare = [row[0] for row in result.rows], clear(wide, sql)
    assert len(rows) == len(bare) > 0 and rows != bare and not ended.error
    assert not corpus.leaks({"sql": [sql]}, [result.as_corpus()], b"", b"")
    assert corpus.leaks({"sql": [sql]}, [{**result.as_corpus(), "rows": [[row] for row in bare]}], b"", b""), "it would leak"


def test_clear_columns_of_a_masked_table_are_as_they_are(gate: Gate, wide: PostgresServer) -> None:
    for sql in ("COPY public.patients (id, state, height_cm) TO STDOUT", "COPY public.patients (id, state) TO STDOUT (FORMAT binary)"):
        assert [row[0] for row in gate.run(sql, mode="copy")[0].rows] == clear(wide, sql)


def test_a_tables_own_rows_only_and_no_generated_column(gate: Gate, wide: PostgresServer) -> None:
    """As the manual has it: COPY of a name leaves children and generated columns out."""
    for sql in ("COPY public.patients (id) TO STDOUT", "COPY public.ward (id, code) TO STDOUT"):
        assert [row[0] for row in gate.run(sql, mode="copy")[0].rows] == clear(wide, sql)
    (result, _) = gate.run("COPY public.ward TO STDOUT", mode="copy")
    assert {len(row[0].split(b"\t")) for row in result.rows} == {4}, "tail is generated"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("COPY public.visits TO STDOUT", "OST-512"),  # partitioned: the server takes only a query of it
        ("COPY public.v_star TO STDOUT", "OST-512"),
        ("COPY mv_nested TO STDOUT", "OST-512"),
        ("COPY public.patients TO '/tmp/ostiary-never'", "OST-502"),
        ("COPY public.patients TO PROGRAM 'cat'", "OST-502"),
        ("COPY (SELECT id FROM public.patients WHERE ssn = 'x') TO STDOUT", "OST-510"),
        ("COPY (SELECT ctid FROM public.patients) TO STDOUT", "OST-511"),
        ("COPY (UPDATE public.patients SET active = active RETURNING ssn) TO STDOUT", "OST-512"),
        ("COPY (DELETE FROM public.patients RETURNING id) TO STDOUT", "OST-512"),
        ("COPY (SELECT secret FROM public.ward, get_patient_ssn(1)) TO STDOUT", "OST-503"),
        ("COPY pg_authid TO STDOUT", "OST-505"),
        ("COPY public.patients FROM STDIN", "OST-513"),
        ("COPY public.patients (id, ssn) FROM STDIN", "OST-513"),
        ("COPY public.patients (id, state) FROM STDIN WHERE ssn IS NULL", "OST-514"),
        ("COPY public.ward (id, code) FROM STDIN WHERE tail = '1'", "OST-514"),
        ("COPY public.patients (id, state) FROM STDIN WHERE patients.* IS NULL", "OST-514"),
    ],
)
def test_what_cannot_be_masked_or_would_write_a_mask_is_refused(gate: Gate, sql: str, code: str) -> None:
    (result,) = gate.run(sql, mode="copy")
    assert isinstance(result.refused, Deny) and result.refused.code == code, result


@pytest.mark.parametrize(
    "sql", ["COPY public.patients (id, state) FROM STDIN", "COPY public.ward (id, code) FROM STDIN WHERE id > 5"],
)
def test_clear_columns_may_be_copied_in(gate: Gate, sql: str) -> None:
    results = gate.run(sql, mode="copy")
    assert not any(result.refused or result.error for result in results)


def test_several_copies_in_one_string(gate: Gate, corpus: Any) -> None:
    sql = "COPY departments TO STDOUT; COPY public.patients TO STDOUT; SELECT 1; COPY public.ward (secret) TO STDOUT"
    results = gate.run(sql, mode="copy")
    assert not corpus.leaks({"sql": [sql]}, [result.as_corpus() for result in results], b"", b"")
    assert [row[0] for row in results[-2].rows][0] == b"***\n"


def test_a_prepared_copy_names_its_schema(masking: Masking, gate: Gate) -> None:
    """Where nobody can tell which path it is: `charts` is in two schemas."""
    assert gate.run("COPY charts TO STDOUT", mode="extended")[0].refused.code == "OST-504"
    assert not gate.run("COPY public.charts TO STDOUT", mode="extended")[0].refused


def test_what_is_clear_goes_as_it_came(masking: Masking, gate: Gate) -> None:
    for sql in ("COPY departments TO STDOUT", "COPY (SELECT 1) TO STDOUT", "COPY hospital.charts FROM STDIN"):
        assert isinstance(gate.decide(Statement(sql)), Allow)
    assert isinstance(gate.decide(Statement("COPY public.patients TO STDOUT")), Replace)
