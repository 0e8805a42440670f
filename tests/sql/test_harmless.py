"""What may be called failed though it ran: a text that changes nothing. Each list is one claim."""

from __future__ import annotations

from addons.sql.harmless import harmless

READS = [
    "SELECT 1", "SELECT n, repeat('x', 3) FROM generate_series(1, 5) n", "SELECT count(*), a || 'x' FROM t WHERE b LIKE 'x%' GROUP BY 2 ORDER BY 1",
    "WITH a AS (SELECT 1) SELECT * FROM a", "FETCH 5 FROM c", "SHOW ALL", "BEGIN; SELECT 1", "TABLE t", "EXPLAIN ANALYZE SELECT 1",
]
WRITES = [
    "WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d", "WITH d AS (INSERT INTO t VALUES (1) RETURNING *) TABLE d",
    "SELECT * FROM t FOR UPDATE", "SELECT f()", "SELECT nextval('s')", "SELECT setval('s', 1)", "SELECT lo_create(1)", "SELECT pg_notify('a', 'b')",
    "SELECT 1 INTO y", "EXECUTE p", "EXPLAIN ANALYZE DELETE FROM t", "DELETE FROM t WHERE id = 1; SELECT 1", "SET a.b = 1; SELECT 1", "DO $$ $$",
    "SELEC 1", f"SELECT '{'x' * 5000}'",
]


def test_what_changes_nothing_is_harmless() -> None:
    assert [text for text in READS if not harmless(text)] == []


def test_what_may_change_anything_is_not() -> None:
    """A write wherever it stands, a user's function, what is not seen, not SQL or too long to look at."""
    assert [text for text in WRITES if harmless(text)] == []
