"""The author's own attempts, against a schema with more roads than the corpus's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg import pq

from addons.masking import Masking
from tests.masking.attacks import ORACLES, VALUES
from tests.masking.gate import Catalogs, Gate, Result, session
from tests.servers import PostgresServer

MORE = [
    {"relation": "public.ward", "column": "secret"},
    {"relation": "public.visits_old", "column": "patient"},
    *({"relation": "public.charts", "column": name} for name in ("mrn", "born", "small", "n", "raw", "tags")),
    *({"relation": "public.twins", "column": name} for name in ("ssn", "filled", "owner", "grade", "wide", "born")),
    {"relation": "public.copied", "column": "note"},
    {"relation": "public.cased", "column": "mail"},
]


NONSENSE = frozenset({b"42601", b"42P01", b"42703", b"42883"})  #: no such syntax, table, column, function


@pytest.fixture(scope="module")
def strict(wide: PostgresServer, columns: list[dict[str, Any]]) -> Masking:
    return Masking(
        columns=[*columns, *MORE], catalogs=Catalogs(wide.port, "wide"), functions=["public.active_patients"]
    )


def attempt(addon: Masking, server: PostgresServer, statements: list[str], name: str) -> tuple[list[Result], bytes]:
    gate = Gate(addon, server.port, session(name=name, database="wide"), "wide")
    try:
        return [r for sql in statements for r in gate.run(sql)], b"\n".join(gate.misc)
    finally:
        gate.close()


@pytest.mark.parametrize("name", VALUES)
def test_no_value_comes_back(name: str, corpus: ModuleType, wide: PostgresServer, strict: Masking) -> None:
    results, misc = attempt(strict, wide, VALUES[name], name)
    leaked = corpus.leaks({"sql": VALUES[name]}, [r.as_corpus() for r in results], misc, b"")
    assert not leaked, [(r.sent, r.rows[:2], r.error) for r in results]
    assert not [r.alarm for r in results if r.alarm], "only the wire's metadata held it back"


@pytest.mark.parametrize("name", VALUES)
def test_each_attempt_works_on_the_bare_server(name: str, wide: PostgresServer) -> None:
    """An attempt that the grammar or the schema refuses proves nothing: the first statement is no nonsense."""
    connection = psycopg.connect(host="127.0.0.1", port=wide.port, user="app", dbname="wide")
    connection.pgconn.exec_(b"BEGIN")
    result = connection.pgconn.exec_(VALUES[name][0].encode())
    connection.close()
    code, inside = result.error_field(pq.DiagnosticField.SQLSTATE), result.error_field(pq.DiagnosticField.CONTEXT)
    assert inside or code not in NONSENSE, result.error_message


@pytest.mark.parametrize("name", ORACLES)
def test_no_question_is_answered(name: str, corpus: ModuleType, wide: PostgresServer, strict: Masking) -> None:
    answers = [
        corpus.simplify([r.as_corpus() for r in attempt(strict, wide, sql, f"{name} {i}")[0]])
        for i, sql in enumerate(ORACLES[name])
    ]
    assert answers[0] == answers[1]
