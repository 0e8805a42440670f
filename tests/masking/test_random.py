"""Random queries bring no canary back, and no layer but the first was needed."""

from __future__ import annotations

import collections
from types import ModuleType
from typing import Any

import psycopg

from addons.masking import Masking
from tests.masking.gate import Catalogs, Gate, session
from tests.masking.queries import Queries
from tests.masking.test_attacks import MORE
from tests.servers import PostgresServer

COUNT = 500


def tables(server: PostgresServer) -> dict[str, list[str]]:
    """Providers' numbers, written backwards, hold a canary's digits; they are left out."""
    sql = (
        "SELECT table_name, array_agg(quote_ident(column_name) ORDER BY ordinal_position) FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name !~ '^(providers|charts|pg_)' GROUP BY 1 ORDER BY 1"
    )
    with psycopg.connect(host="127.0.0.1", port=server.port, user="app", dbname="wide") as connection:
        return dict(connection.execute(sql).fetchall())


def test_random_queries(corpus: ModuleType, wide: PostgresServer, columns: list[dict[str, Any]]) -> None:
    addon = Masking(columns=[*columns, *MORE], catalogs=Catalogs(wide.port, "wide"))
    queries, gate = Queries(tables(wide), seed=20), Gate(addon, wide.port, session(database="wide"), "wide")
    gate.connection.execute("SET statement_timeout = '2s'")
    seen, bad = collections.Counter(), []
    for _ in range(COUNT):
        sql = queries.next()
        for result in gate.run(sql):
            seen["refused" if result.refused else "error" if result.error else "rows"] += 1
            text = b"\n".join(cell or b"" for row in result.rows for cell in row) + (result.error or "").encode()
            if corpus.find_canaries(text) or result.alarm or "OST-515" in (result.error or ""):
                bad.append((sql, result.sent, corpus.find_canaries(text), result.alarm, result.error))
    gate.close()
    assert not bad, "\n".join(map(str, bad[:5]))
    assert seen["rows"] > 0.6 * COUNT, seen
