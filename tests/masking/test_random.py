"""Random queries bring no canary back, and what they read of clean columns is what the server says directly."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import psycopg
from psycopg import pq

from addons.masking import Masking
from tests.masking.gate import Catalogs, Gate, session
from tests.masking.queries import Queries
from tests.masking.test_attacks import MORE
from tests.servers import PostgresServer

SEED = int(os.environ.get("OSTIARY_SEED", "20"))
COUNT = int(os.environ.get("OSTIARY_COUNT", "50000" if os.environ.get("OSTIARY_PROFILE") == "soak" else "500"))


def tables(server: PostgresServer) -> dict[str, list[str]]:
    """Providers' numbers, written backwards, hold a canary's digits; they are left out."""
    sql = (
        "SELECT table_name, array_agg(quote_ident(column_name) ORDER BY ordinal_position) FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name !~ '^(providers|charts|pg_)' GROUP BY 1 ORDER BY 1"
    )
    with psycopg.connect(host="127.0.0.1", port=server.port, user="app", dbname="wide") as connection:
        return dict(connection.execute(sql).fetchall())


def test_random_queries_bring_nothing_back(
    corpus: ModuleType, wide: PostgresServer, columns: list[dict[str, Any]], tell: Callable[[str], None]
) -> None:
    addon = Masking(columns=[*columns, *MORE], catalogs=Catalogs(wide.port, "wide"))
    queries, gate = Queries(tables(wide), seed=SEED), Gate(addon, wide.port, session(database="wide"), "wide")
    gate.connection.execute("SET statement_timeout = '2s'")
    seen, bad = collections.Counter(), []
    tell(f"{COUNT} queries, seed {SEED}")
    for number in range(1, COUNT + 1):
        statements = queries.asked()
        for result in [result for sql in statements for result in gate.run(sql, mode="copy")]:
            seen["refused" if result.refused else "error" if result.error else "rows"] += 1
            text = b"\n".join(cell or b"" for row in result.rows for cell in row) + (result.error or "").encode()
            if corpus.find_canaries(text) or result.alarm or "OST-515" in (result.error or ""):
                bad.append((statements, result.sent, corpus.find_canaries(text), result.alarm, result.error))
        if number % 5_000 == 0:
            tell(f"{number} queries: {dict(seen)}, {len(bad)} wrong")
    gate.close()
    assert not bad, "\n".join(map(str, bad[:5]))
    assert seen["rows"] > 0.4 * COUNT, seen


def test_clean_columns_are_as_in_a_direct_run(
    server: PostgresServer, addon: Masking, columns: list[dict[str, Any]]
) -> None:
    """Also grouped, filtered and joined, through views, next to masked columns of the same relations."""
    clean = {
        "patients": ["id", "state", "zip3", "height_cm", "active", "created_at"], "encounters": ["id", "kind", "cost", "happened"],
        "patient_directory": ["id", "state"], "directory_nested": ["id"], "dept_load": ["code", "n"], "departments": ["id", "name"],
    }  # fmt: skip
    queries, gate = Queries(clean, seed=SEED - 13, plain=True), Gate(addon, server.port, session())
    direct = psycopg.connect(host="127.0.0.1", port=server.port, user="app", dbname="clinic", autocommit=True).pgconn
    wrong, same = [], 0
    for number in range(COUNT):
        sql = queries.next()
        if number % 3 == 0:
            sql = f"SELECT n0, count(*) FROM ({sql}) z WHERE n0 IS NOT NULL GROUP BY n0"
        (mine,), theirs = gate.run(sql), direct.exec_(sql.encode())
        expected = [[theirs.get_value(i, j) for j in range(theirs.nfields)] for i in range(theirs.ntuples)]
        failed = theirs.error_field(pq.DiagnosticField.SQLSTATE) or b""
        if mine.sqlstate != failed.decode() or sorted(map(repr, mine.rows)) != sorted(map(repr, expected)):
            wrong.append((sql, mine.sent, mine.error, mine.rows[:2], expected[:2]))
        same += not failed
    gate.close()
    direct.finish()
    assert not wrong, "\n".join(map(str, wrong[:5]))
    assert same > 0.5 * COUNT
