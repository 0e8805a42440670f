"""Statements to classes, by their trees: an attack is not another statement for being written otherwise."""

from __future__ import annotations

import pytest
from postgast import pg_query_pb2 as tree

from addons.sql.classify import NODES_LIMIT, STATEMENTS_LIMIT, classify
from addons.sql.kinds import ALTER_DESTRUCTIVE, ALTER_PRIVILEGE, CLASSES, PARTS, STATEMENTS
from addons.sql.parse import Unparsable, parse


def classes(text: str) -> set[str]:
    """All classes of all statements of a string, before functions and settings are weighed."""
    return {kind for found in classify(parse(text)) for kind in found.classes}


CASES = [
    ("SELECT 1", "read"), ("TABLE t", "read"), ("VALUES (1)", "read"), ("", ""), (";;", ""),
    ("SELECT * FROM t FOR UPDATE", "read write"), ("SELECT * FROM t FOR KEY SHARE", "read write"),
    ("SELECT 1 INTO x", "read ddl"), ("SELECT 1 INTO TEMP x", "read ddl"), ("CREATE TABLE x AS SELECT 1", "read ddl"),
    ("INSERT INTO t VALUES (1)", "write"), ("INSERT INTO t SELECT * FROM u", "read write"), ("INSERT INTO t DEFAULT VALUES", "write"),
    ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "write"),
    ("INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = excluded.x", "write"),
    ("INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 'z'", "write write-unfiltered"),
    ("INSERT INTO t SELECT * FROM u ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write write-unfiltered"),
    ("INSERT INTO t SELECT * FROM u WHERE u.id = 1 ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("INSERT INTO t SELECT * FROM u WHERE id IN (1, 2) ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("INSERT INTO t SELECT * FROM u WHERE u.id > 1 ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write write-unfiltered"),
    ("INSERT INTO t SELECT * FROM u LIMIT 10 ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("INSERT INTO t SELECT * FROM u LIMIT 100000 ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write write-unfiltered"),
    ("INSERT INTO t SELECT * FROM unnest($1::int[]) ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("INSERT INTO t SELECT 1, 2 ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("INSERT INTO t SELECT generate_series(1, 9) ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("INSERT INTO t SELECT generate_series(1, 9999) ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write write-unfiltered"),
    ("INSERT INTO t SELECT g FROM generate_series(1, 9) g ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("INSERT INTO t SELECT g FROM generate_series(1, 9999) g ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write write-unfiltered"),
    ("INSERT INTO t SELECT g FROM generate_series(1, 9, 0) g ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write write-unfiltered"),
    ("WITH n(id) AS (VALUES (1)) INSERT INTO t SELECT id FROM n ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write"),
    ("WITH n(id) AS (SELECT id FROM u) INSERT INTO t SELECT id FROM n ON CONFLICT (id) DO UPDATE SET x = excluded.x", "read write write-unfiltered"),
    ("INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1, at = now()", "write"),
    ("INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = (SELECT max(u.x) FROM u)", "read write write-unfiltered"),
    ("INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = now()", "write write-unfiltered"),
    ("INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 'z' WHERE t.id = 1", "write"),
    ("INSERT INTO t(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 'z' WHERE true", "write write-unfiltered"),
    ("UPDATE t SET a = 1", "write-unfiltered"), ("UPDATE t SET a = 1 WHERE id = 1", "write"), ("DELETE FROM t", "write-unfiltered"),
    ("DELETE FROM ONLY t", None), ("DELETE FROM t -- WHERE id = 1", "write-unfiltered"),
    ("DELETE FROM t /* WHERE */ /* id = 1 */", "write-unfiltered"), ("UPDATE t SET a = 'where id=1'", "write-unfiltered"),
    ('DELETE FROM U&"\\0074" WHERE true', "write-unfiltered"), ("dElEtE\nfRoM\tt", "write-unfiltered"),
    ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "read write-unfiltered"),
    ("WITH a AS (WITH b AS (DELETE FROM t RETURNING 1) SELECT 1) SELECT 1", None),
    ("WITH x AS (SELECT 1) UPDATE t SET a = 1", "read write-unfiltered"),
    ("WITH x AS (SELECT 1 AS id) UPDATE t SET a = 1 FROM x WHERE t.id = x.id", "read write"),
    ("WITH RECURSIVE x AS (SELECT 1 AS id) UPDATE t SET a = 1 FROM x WHERE t.id = x.id", "read write-unfiltered"),
    ("WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT 1", "read write"),
    ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", "write-unfiltered"),
    ("MERGE INTO t USING (VALUES (1)) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1", "write"),
    ("MERGE INTO t USING s ON t.id = 1 WHEN MATCHED THEN DELETE", "write"),
    ("MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (1)", "write"),
    ("MERGE INTO t USING s ON t.id = 1 WHEN NOT MATCHED BY SOURCE THEN DELETE", "write-unfiltered"),
    ("COPY t TO STDOUT", "read"), ("COPY t FROM STDIN", "write"), ("COPY t TO '/tmp/x'", "read file"),
    ("COPY t FROM PROGRAM 'id'", "write program"), ("COPY (DELETE FROM t RETURNING 1) TO STDOUT", "write-unfiltered"),
    ("COPY (SELECT 1) TO PROGRAM 'cat'", "read program"), ("COPY pg_class FROM STDIN", "server-config"),
    ("EXPLAIN DELETE FROM t", "read"), ("EXPLAIN ANALYZE DELETE FROM t", "read write-unfiltered"),
    ("EXPLAIN (ANALYZE) UPDATE t SET a = 1", "read write-unfiltered"), ("EXPLAIN (ANALYZE false) DELETE FROM t", "read"),
    ("EXPLAIN (ANALYZE 1) DELETE FROM t", "read write-unfiltered"), ("EXPLAIN (ANALYZE false, ANALYZE) DELETE FROM t", "read write-unfiltered"),
    ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", "read ddl"), ("EXPLAIN (VERBOSE) SELECT 1", "read"),
    ("PREPARE p AS DELETE FROM t", "write-unfiltered"), ("DECLARE c CURSOR FOR SELECT 1", "read"), ("FETCH c", "read"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1 FOR UPDATE", "read write"), ("CLOSE c", "session"), ("MOVE c", "read"),
    ("CREATE VIEW v AS SELECT 1", "read ddl"), ("CREATE RULE r AS ON INSERT TO t DO INSTEAD DELETE FROM u", "procedural ddl write-unfiltered"),
    ("CREATE MATERIALIZED VIEW v AS SELECT 1", "read ddl"), ("REFRESH MATERIALIZED VIEW v", "maintenance"),
    ("DO $$BEGIN END$$", "procedural"), ("DO LANGUAGE plpython3u 'pass'", "procedural program"), ("CALL p()", "procedural"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", "procedural ddl"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x'", "procedural ddl program"),
    ("CREATE PROCEDURE f() LANGUAGE sql BEGIN ATOMIC DELETE FROM t; END", "procedural ddl write-unfiltered"),
    ("CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()", "procedural ddl"),
    ("CREATE OPERATOR === (leftarg = int, rightarg = int, function = f)", "procedural ddl"),
    ("CREATE AGGREGATE a(text) (sfunc = textcat, stype = text)", "procedural ddl"), ("CREATE CAST (int AS text) WITH FUNCTION f(int)", "procedural ddl"),
    ("CREATE EXTENSION file_fdw", "program ddl"), ("LOAD 'x'", "program"), ("CREATE LANGUAGE x", "program ddl"),
    ("DROP TABLE t", "ddl-destructive"), ("DrOp/**/TaBlE/* x */t", "ddl-destructive"), ("TRUNCATE t", "ddl-destructive"),
    ("ALTER TABLE t ADD c int", "ddl"), ("ALTER TABLE t DROP c", "ddl ddl-destructive"), ("ALTER TABLE t ALTER c SET EXPRESSION AS (1)", "ddl ddl-destructive"),
    ("ALTER TABLE t ALTER CONSTRAINT k NOT ENFORCED", "ddl ddl-destructive"), ("ALTER TABLE t ALTER CONSTRAINT k ENFORCED", "ddl"), ("ALTER TABLE t ALTER CONSTRAINT k DEFERRABLE", "ddl"),
    ("ALTER TABLE t ALTER c TYPE int USING 0", "ddl ddl-destructive"),
    ("ALTER TABLE t DISABLE ROW LEVEL SECURITY", "ddl privilege"), ("ALTER TABLE t DISABLE TRIGGER ALL", "ddl privilege"),
    ("ALTER TABLE t OWNER TO x", "ddl privilege"), ("ALTER TABLE t DETACH PARTITION p", "ddl ddl-destructive"),
    ("DROP OWNED BY x", "privilege ddl-destructive"), ("REASSIGN OWNED BY x TO y", "privilege"), ("DROP ROLE x", "privilege ddl-destructive"),
    ("GRANT ALL ON t TO PUBLIC", "privilege"), ("REVOKE ALL ON t FROM x", "privilege"), ("GRANT a TO b", "privilege"),
    ("CREATE USER x", "privilege"), ("ALTER USER x SUPERUSER", "privilege"), ("ALTER ROLE x SET search_path = y", "privilege server-config"),
    ("ALTER ROLE x RENAME TO y", "privilege"), ("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO x", "privilege"),
    ("CREATE POLICY p ON t USING (true)", "privilege"), ("DROP POLICY p ON t", "privilege ddl-destructive"),
    ("SELECT rolpassword FROM pg_authid", "read privilege"), ("SELECT passwd FROM pg_catalog.pg_shadow", "read privilege"),
    ("SELECT * FROM public.pg_authid_notes", "read"), ("SELECT * FROM pg_hba_file_rules", "read file"),
    ("SELECT data FROM pg_largeobject", "read large-object"),
    ("ALTER SYSTEM SET work_mem = '1MB'", "server-config"), ("ALTER DATABASE d SET work_mem = '1MB'", "server-config"),
    ("UPDATE pg_catalog.pg_class SET relname = 'x' WHERE oid = 1", "server-config"), ("DELETE FROM pg_statistic WHERE starelid = 1", "server-config"),
    ("UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'", "server-config"),
    ("INSERT INTO pg_proc SELECT * FROM pg_proc", "read server-config"),
    ("CREATE SERVER s FOREIGN DATA WRAPPER w", "network ddl"), ("CREATE USER MAPPING FOR x SERVER s", "network privilege"),
    ("CREATE FOREIGN TABLE t (a int) SERVER s", "network ddl"), ("IMPORT FOREIGN SCHEMA x FROM SERVER s INTO y", "network ddl"),
    ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "network replication"), ("CREATE PUBLICATION p", "replication"),
    ("CREATE TABLESPACE s LOCATION '/x'", "file ddl"), ("VACUUM FULL t", "maintenance"), ("ANALYZE", "maintenance"),
    ("CLUSTER t", "maintenance"), ("REINDEX TABLE t", "maintenance"), ("CHECKPOINT", "maintenance"),
    ("LOCK TABLE t", "lock"), ("LOCK TABLE t IN ACCESS SHARE MODE", "read"), ("LOCK t IN ROW EXCLUSIVE MODE", "write"),
    ("BEGIN", "transaction"), ("SAVEPOINT \"drop\"", "transaction"), ("PREPARE TRANSACTION 'x'", "transaction"),
    ("SET CONSTRAINTS ALL DEFERRED", "transaction"), ("SHOW ALL", "session"), ("LISTEN x", "session"), ("NOTIFY x", "session"),
    ("DISCARD ALL", "session"), ("DEALLOCATE ALL", "session"), ("COMMENT ON TABLE t IS 'x'", "ddl"), ("CREATE SCHEMA s CREATE TABLE t (a int)", "ddl"),
    ("SELECT 'DROP TABLE t'", "read"), ("SELECT $$TRUNCATE t; DROP TABLE t$$", "read"), ("SELECT 1 AS \"DROP TABLE t\"", "read"),
    ("SELECT E'it\\'s; DROP TABLE t; --'", "read"), ("WITH \"drop\" AS (SELECT 1 x) SELECT x FROM \"drop\"", "read"),
    ("BEGIN; UPDATE t SET a = 1 WHERE id = 8; COMMIT", "transaction write"), ("SELECT 1; DROP TABLE t", "read ddl-destructive"),
    ("SELECT 1 WHERE EXISTS (SELECT 1 FROM t FOR UPDATE)", "read write"),
    ("SELECT JSON_OBJECT('a': 1), XMLELEMENT(NAME a, 1), GROUPING(x) FROM t GROUP BY CUBE (x)", "read"),
    ("SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a int PATH '$'))", "read"), ("SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS a int)", "read"),
]


@pytest.mark.parametrize(("text", "expected"), [c for c in CASES if c[1] is not None])
def test_classes(text: str, expected: str) -> None:
    """Each statement is what it does, wherever in the tree it does it."""
    assert classes(text) == set(expected.split())


@pytest.mark.parametrize("text", [c[0] for c in CASES if c[1] is None])
def test_what_the_server_nests_or_refuses_is_still_seen(text: str) -> None:
    """Forms whose grammar or nesting is unusual are no way round."""
    assert "write-unfiltered" in classes(text)


OWN = ["DROP TABLE pg_temp.x", "DROP TABLE IF EXISTS pg_temp.x, PG_TEMP.y RESTRICT", "DROP VIEW pg_temp.v", "DROP SEQUENCE pg_temp.s", "DROP INDEX pg_temp.i"]
OTHERS = [
    "DROP TABLE x", "DROP TABLE pg_temp.x, x", 'DROP TABLE "PG_TEMP".x', "DROP TABLE pg_temp_3.x", "DROP TABLE other.pg_temp.x", "DROP TABLE pg_temp",
    "DROP TABLE pg_temp.x CASCADE", "DROP SCHEMA pg_temp", "DROP FUNCTION pg_temp.f()", "DROP TYPE pg_temp.t", "DROP POLICY p ON pg_temp.x", "DROP TABLE s.x",
    "CREATE TEMP TABLE x (); DROP TABLE x", "TRUNCATE pg_temp.x",
]


def test_only_what_is_certainly_its_own_session_s_is_dropped_as_it_was_made() -> None:
    """A name without pg_temp may mean a table again that others have; with it, nobody else's is reached."""
    assert [text for text in OWN if classes(text) != {"ddl"}] == []
    assert [text for text in OTHERS if "ddl-destructive" not in classes(text)] == []


def test_every_node_type_of_the_grammar_is_placed() -> None:
    """A statement node that a new grammar brings is not silently allowed: it must be listed or it is unknown."""
    every = {f.message_type.name for f in tree.Node.DESCRIPTOR.fields}
    assert {name for name in every if name.endswith("Stmt")} - STATEMENTS.keys() == {
        "PLAssignStmt", "RawStmt", "SetOperationStmt", "ReturnStmt", "ReplicaIdentityStmt",
    }
    assert not (STATEMENTS.keys() | PARTS) - every
    assert set().union(*STATEMENTS.values()) <= CLASSES.keys()
    assert not ALTER_DESTRUCTIVE & ALTER_PRIVILEGE and ALTER_DESTRUCTIVE | ALTER_PRIVILEGE <= set(tree.AlterTableType.keys())


def test_an_unknown_node_is_class_unknown() -> None:
    """A node that is in no list makes its statement unknown, and nothing below it is looked at."""
    parsed = parse("SELECT 1")
    changed = tree.SelectStmt()
    changed.CopyFrom(parsed.statements[0])
    changed.where_clause.var.varno = 1
    found = classify(type(parsed)(parsed.text, (changed,), parsed.result))
    assert "unknown" in found[0].classes


def test_what_is_touched() -> None:
    """Relations without CTE names, columns written and read, functions, operators."""
    text = 'WITH patients AS (SELECT a FROM s.real) UPDATE "T" SET b = lower(c) FROM patients WHERE "T".id OPERATOR(x.===) 1'
    found = classify(parse(text))[0]
    assert found.relations == {("s", "real"), ("", "T")} and found.written == {("", "T")}
    assert found.columns == {"a", "b", "c", "id"}
    assert found.functions == {("", "lower")} and ("x", "===") in found.operators


def test_a_cte_hides_a_relation_only_where_it_is_in_scope() -> None:
    """A CTE named like a table does not hide the table elsewhere in the statement."""
    assert classify(parse("SELECT * FROM (WITH t AS (SELECT 1) SELECT * FROM t) x"))[0].relations == set()
    assert classify(parse("SELECT * FROM (WITH t AS (SELECT 1) SELECT * FROM t) x, t"))[0].relations == {("", "t")}
    assert classify(parse("WITH t AS (SELECT * FROM t) SELECT * FROM t"))[0].relations == {("", "t")}
    assert classify(parse("WITH t AS (SELECT 1) SELECT * FROM public.t"))[0].relations == {("public", "t")}
    assert classify(parse("WITH t AS (SELECT 1) DELETE FROM t WHERE id = 1"))[0].written == {("", "t")}


@pytest.mark.parametrize("text", [
    "SELECT p FROM patients p", "SELECT row_to_json(patients) FROM patients", "SELECT a FROM patients AS t(a)", "TABLE patients", "COPY patients TO STDOUT",
    "SELECT 1 FROM patients NATURAL JOIN other", "INSERT INTO patients VALUES (1)", "SELECT (p).* FROM patients p", "SELECT s FROM (SELECT 1) s",
    "UPDATE patients p SET a = 1 WHERE id = 1 RETURNING p", "EXPLAIN SELECT p FROM patients p", "WITH c AS (TABLE patients) SELECT 1 FROM c",
    "UPDATE patients SET a = 1 WHERE id = 1 RETURNING old", "DELETE FROM patients WHERE id = 1 RETURNING to_json(new)",
    "UPDATE patients SET a = 1 WHERE id = 1 RETURNING WITH (OLD AS o) o", "EXPLAIN ANALYZE DELETE FROM patients WHERE id = 1 RETURNING old",
])
def test_whole_rows_touch_every_column(text: str) -> None:
    """A rule about a column is not passed by without its name."""
    assert "*" in classify(parse(text))[0].columns


@pytest.mark.parametrize("text", [
    "SELECT 1 FROM a JOIN b USING (ssn)", "SELECT (p).ssn FROM p", "INSERT INTO t(ssn) VALUES (1)", "UPDATE t SET ssn = 1", "UPDATE t SET (ssn) = ROW (1)",
    "COPY t (ssn) TO STDOUT", "INSERT INTO t(id) VALUES (1) ON CONFLICT (ssn) DO NOTHING", "SELECT 1 FROM t ORDER BY ssn", "CREATE INDEX ON t (ssn)",
    "MERGE INTO t USING s ON t.id = 1 WHEN MATCHED THEN UPDATE SET ssn = 1", "SELECT count(*) FILTER (WHERE ssn = '') FROM t",
])
def test_every_place_of_a_column_is_seen(text: str) -> None:
    assert "ssn" in classify(parse(text))[0].columns


def test_what_an_older_server_takes_for_a_column_is_one() -> None:
    assert classify(parse("SELECT system_user FROM t"))[0].columns == {"system_user"}


def test_a_clean_query_touches_no_star() -> None:
    assert classify(parse("SELECT p.id, count(*) FROM patients p JOIN d ON d.id = p.id GROUP BY 1"))[0].columns == {"id"}


def test_what_is_too_large_is_refused_and_not_looked_into() -> None:
    """A limit on statements and on what one of them holds; long lists of constants are no such thing."""
    assert len(classify(parse("INSERT INTO t VALUES " + ",".join("(1, 'x')" for _ in range(60_000))))) == 1
    with pytest.raises(Unparsable, match="statements"):
        classify(parse("SELECT 1;" * (STATEMENTS_LIMIT + 1)))
    with pytest.raises(Unparsable, match="larger"):
        classify(parse("SELECT " + ",".join("lower(c)" for _ in range(NODES_LIMIT // 2))))


def test_thousands_of_ctes_cost_no_more_than_their_number() -> None:
    """Each sees the ones before it, and none copies them."""
    text = "WITH c0 AS (SELECT 1), " + ", ".join(f"c{n} AS (SELECT * FROM c{n - 1})" for n in range(1, 8000)) + " SELECT * FROM c7999, c8000"
    assert classify(parse(text))[0].relations == {("", "c8000")}


def test_reasons_hold_no_values() -> None:
    """What is shown to clients names relations and never literals."""
    for found in classify(parse("DELETE FROM t WHERE a <> 'secret-4711'; SELECT pg_read_file('/secret-4711')")):
        assert not any("4711" in why for why in found.classes.values())


@pytest.mark.parametrize("word", ["VACUUM", "ANALYZE"])
def test_one_node_two_commands(word: str) -> None:
    assert classify(parse(f"{word} t"))[0].classes["maintenance"] == f"is {word}"
