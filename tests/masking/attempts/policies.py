"""Ways on which what policy forbids might be done: by somebody who may read, write what is filtered, and use transactions and sessions."""

# flake8: noqa: E501  (a statement reads best on one line)
from __future__ import annotations

from dataclasses import replace

from tests.house import ADA
from tests.masking.attempts.attempt import FILL, UNREAD, Attempt, overloaded, policy
from tests.masking.attempts.wire import SYNC, asked, bind, call, execute, parse

EMPTIED = "SELECT count(k) = 0 FROM scratch"

FILTERS: tuple[Attempt, ...] = tuple(
    policy(f"a filter that holds in every row: {sql}", sql, check=EMPTIED, undo=FILL)
    for sql in (
        "DELETE FROM scratch WHERE tableoid = 'scratch'::regclass",
        "DELETE FROM scratch WHERE cmin = '0' OR xmax = '0'",
        "DELETE FROM scratch WHERE xmax = '0'",
        "DELETE FROM scratch WHERE k IN (SELECT k LIMIT 1)",
        "DELETE FROM scratch WHERE k = (SELECT scratch.k LIMIT 1)",
        "DELETE FROM scratch WHERE k IN (SELECT scratch.k FROM departments LIMIT 1000)",
        "DELETE FROM scratch WHERE k IN (VALUES (k))",
        "DELETE FROM scratch WHERE k = ANY (ARRAY[k])",
        "DELETE FROM scratch WHERE k = ANY (ARRAY(SELECT k FROM scratch))",
        "DELETE FROM scratch WHERE k = ANY (SELECT s.k FROM scratch s WHERE s.k = scratch.k LIMIT 1)",
        "DELETE FROM scratch WHERE k IN (SELECT s.k FROM scratch s WHERE s.k >= scratch.k ORDER BY s.k LIMIT 1)",
        "DELETE FROM scratch WHERE k = (SELECT max(s.k) FROM scratch s WHERE s.k <= scratch.k LIMIT 1)",
        "DELETE FROM scratch WHERE k IN (SELECT x FROM departments d, LATERAL (SELECT scratch.k AS x) l LIMIT 1)",
        "UPDATE scratch SET k = NULL WHERE k = ANY (SELECT s.k FROM scratch s WHERE s.ctid = scratch.ctid LIMIT 1)",
        "DELETE FROM scratch s USING unnest(ARRAY(SELECT k FROM scratch)) u(x) WHERE s.k = u.x",
        "DELETE FROM scratch USING (SELECT k AS x FROM scratch) t WHERE scratch.k = t.x",
        "DELETE FROM scratch USING (VALUES (1)) v(x) WHERE v.x = 1",
        "DELETE FROM scratch s USING departments d WHERE d.id = 1",
        "DELETE FROM scratch s USING scratch t WHERE s.v = t.v AND t.k = 'k1'",
        "DELETE FROM scratch WHERE (k = 'k1') IS NOT NULL",
        "DELETE FROM scratch WHERE k = 'k1' OR k <> 'k1'",
        "DELETE FROM scratch WHERE NOT k = 'nobody'",
        "DELETE FROM scratch WHERE k LIKE 'k%' ESCAPE 'k' OR k LIKE '%k%'",
        "DELETE FROM scratch WHERE k LIKE '%%' || ''",
        "DELETE FROM scratch WHERE k ILIKE '%'",
        "DELETE FROM scratch WHERE k LIKE E'\\x25'",
        "DELETE FROM scratch WHERE k LIKE '_%'",
        "DELETE FROM scratch WHERE k NOT LIKE 'x%'",
        "DELETE FROM scratch WHERE k ^@ ''",
        "DELETE FROM scratch WHERE k LIKE ANY (ARRAY['%'])",
        "DELETE FROM scratch WHERE length(k) = 2",
        "DELETE FROM scratch WHERE v COLLATE \"C\" = 'v' IS TRUE OR true",
        "DELETE FROM scratch WHERE k BETWEEN '' AND 'zzz'",
        "DELETE FROM scratch WHERE k = coalesce(k, 'x')",
        "DELETE FROM scratch WHERE CASE WHEN k = 'k1' THEN true ELSE true END",
        "DELETE FROM scratch WHERE scratch = scratch",
        "DELETE FROM scratch WHERE (k, v) = (k, v)",
        "DELETE FROM scratch WHERE 'k1' IN ('k1', k)",
        "DELETE FROM scratch WHERE ctid = ANY (ARRAY(SELECT ctid FROM scratch))",
        "DELETE FROM scratch WHERE ctid >= '(0,0)'",
        "DELETE FROM scratch WHERE EXISTS (SELECT FROM departments WHERE id = 1)",
        "DELETE FROM scratch WHERE current_setting('is_superuser') = 'on'",
        "WITH gone AS (DELETE FROM scratch RETURNING k) SELECT k FROM gone WHERE k = 'k1'",
        "WITH ids AS (SELECT k FROM scratch) DELETE FROM scratch WHERE k IN (SELECT k FROM ids)",
        "WITH ids AS (SELECT k FROM scratch LIMIT 9999) DELETE FROM scratch USING ids WHERE ids.k = scratch.k",
        "MERGE INTO scratch s USING (VALUES ('k1')) v(x) ON s.k <> v.x OR s.k = v.x WHEN MATCHED THEN DELETE",
        "MERGE INTO scratch s USING scratch t ON s.k = t.k WHEN MATCHED THEN DELETE",
        "EXPLAIN ANALYZE DELETE FROM scratch",
        "COPY (DELETE FROM scratch RETURNING k) TO STDOUT",
    )
)  # fmt: skip

MERGES: tuple[Attempt, ...] = (
    policy("MERGE deletes what the source does not have", "MERGE INTO scratch s USING (VALUES ('none')) v(x) ON s.k = v.x WHEN NOT MATCHED BY SOURCE THEN DELETE", check=EMPTIED, undo=FILL, since=17),
    policy("an upsert of rows written out changes others", "INSERT INTO departments (id, code, name) SELECT id, code, name FROM departments ON CONFLICT (id) DO UPDATE SET note = 'hit'", check="SELECT count(*) > 3 FROM departments WHERE note = 'hit'", undo="UPDATE departments SET note = NULL"),
    policy("a parameter that is every key", lambda oid: asked("DELETE FROM scratch WHERE k LIKE $1", "%"), check=EMPTIED, undo=FILL),
    policy("a parameter that is the boolean", lambda oid: asked("DELETE FROM scratch WHERE $1 = true", "t", oids=(16,)), check=EMPTIED, undo=FILL),
    policy("a parameter compared with itself", lambda oid: asked("DELETE FROM scratch WHERE $1 = $1", "t"), check=EMPTIED, undo=FILL),
    policy("SQL functions in SQL functions", "SELECT deep()", check="SELECT count(*) = 0 FROM app_events", undo="INSERT INTO app_events (kind) SELECT 'login' FROM generate_series(1, 12) WHERE NOT EXISTS (SELECT FROM app_events)"),
    overloaded(policy("a function that writes has a listed name", "SELECT abs('x'::text)", check=EMPTIED, undo=FILL)),
    replace(policy("a function that writes has a listed name, and the catalog was not read yet", "SELECT abs('x'::text)", check=EMPTIED, undo=FILL), where=UNREAD),
    overloaded(policy("such a function by a value's notation", "SELECT ('x'::text).abs", check=EMPTIED, undo=FILL)),
    overloaded(policy("such a function in a filter", "UPDATE departments SET floor = 1 WHERE code = 'ER' AND abs(name) = 'x'", check=EMPTIED, undo=FILL)),
    overloaded(policy("such a function by the fast path", lambda oid: call(oid("abs(text)"), b"x"), check=EMPTIED, undo=FILL)),
    overloaded(policy("such a function in a lateral", "SELECT * FROM departments d, LATERAL abs(d.name)", check=EMPTIED, undo=FILL)),
    overloaded(policy("such a function of an unknown literal", "SELECT abs(x) FROM (SELECT 'a' AS x) t", check=EMPTIED, undo=FILL)),
    overloaded(policy("such a function of a parameter's type", lambda oid: asked("SELECT abs($1)", "x", oids=(25,)), check=EMPTIED, undo=FILL)),
)  # fmt: skip

POWERS: tuple[Attempt, ...] = (
    policy("a role by set_config", "SELECT set_config('role', 'ost_reader', false)", "SELECT 'now ' || current_user", marks=("now ost_reader",)),
    policy("a role by a computed name", "SELECT set_config('ro' || 'le', 'ost_reader', false)", "SELECT 'now ' || current_user", marks=("now ost_reader",)),
    policy("a role by LOCAL and quotes", "BEGIN", 'SET LOCAL "role" TO ost_reader', "SELECT 'now ' || current_user", "ROLLBACK", marks=("now ost_reader",)),
    policy("a role by U& and comments", "BEGIN", "SET/**/ROLE/**/U&\"ost\\005Freader\"", "SELECT 'now ' || current_user", "ROLLBACK", marks=("now ost_reader",)),
    policy("a role by SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION ost_clerk", "SELECT 'now ' || current_user", marks=("now ost_clerk",)),
    policy("row security switched off by pg_settings", "UPDATE pg_settings SET setting = 'off' WHERE name = 'row_security'", "SELECT 'now ' || current_setting('row_security')", marks=("now off",)),
    policy("a setting in a write's expression", "UPDATE departments SET floor = length(set_config('session_replication_role', 'replica', false)) WHERE id = 1", "SELECT 'now ' || current_setting('session_replication_role')", marks=("now replica",), undo="UPDATE departments SET floor = 2 WHERE id = 1"),
    policy("a file by a value's notation", "SELECT ('PG_VERSION'::text).pg_read_file", marks=("15\n", "16\n", "17\n", "18\n")),
    policy("a file by unicode escapes", "SELECT U&\"pg!005Fread!005Ffile\" UESCAPE '!' ('PG_VERSION')", marks=("15\n", "16\n", "17\n", "18\n")),
    policy("a file by the fast path", lambda oid: call(oid("pg_read_file(text)"), b"PG_VERSION"), marks=("15\n", "16\n", "17\n", "18\n")),
    policy("a file by COPY into a table", "COPY scratch (k) FROM '/etc/hostname'", check="SELECT count(*) > 9 FROM scratch", undo=FILL),
    policy("a program by COPY of a query", "COPY (SELECT 1) TO PROGRAM 'cat > /tmp/ostiary-ran'", "SELECT 1", marks=("COPY 1",)),
    policy("SQL in a string by XML", "SELECT query_to_xml($$DELETE FROM scratch$$, true, false, '')", check=EMPTIED, undo=FILL, bare=False),
    overloaded(policy("SQL in a string by text search", "SELECT ts_rewrite('a'::tsquery, $$SELECT 'a'::tsquery, 'b'::tsquery FROM (SELECT abs('x'::text)) q$$)", check=EMPTIED, undo=FILL)),
    policy("a statement behind an empty one", ";;/* ; */;DELETE FROM scratch;;", check=EMPTIED, undo=FILL),
    policy("a statement behind a nested comment", "SELECT 1 /* /* */ ; */ ; DELETE FROM scratch -- */", check=EMPTIED, undo=FILL),
    policy("a statement behind a line's end in a comment", "SELECT 1 -- \rDELETE FROM scratch", "SELECT 1 --\r; DELETE FROM scratch", check=EMPTIED, undo=FILL),
    policy("a statement behind another space", "SELECT 1;\x0bDELETE FROM scratch", "SELECT 1;\x0cDELETE\x0cFROM\x0cscratch", check=EMPTIED, undo=FILL),
    policy("a statement in a dollar quote that ends early", "SELECT $a$ $b$ $a$; DELETE FROM scratch; SELECT $a$ $b$ $a$", check=EMPTIED, undo=FILL),
    policy("a statement behind a string that goes on", "SELECT 'a'\n'b'; DELETE FROM scratch --'", check=EMPTIED, undo=FILL),
    policy("a prepared statement with the name of another", "PREPARE p AS SELECT 1", "DEALLOCATE p", "PREPARE p AS DELETE FROM scratch", "EXECUTE p", check=EMPTIED, undo=FILL),
    policy("a statement prepared by the protocol, executed in SQL", parse("DELETE FROM scratch", "p") + SYNC, "EXECUTE p", check=EMPTIED, undo=FILL),
    policy("a name of quotes prepared and executed", 'PREPARE "p" AS SELECT 1; PREPARE "P" AS DELETE FROM scratch; EXECUTE "P"', check=EMPTIED, undo=FILL),
    policy("an unnamed statement in a pipeline with an error", parse("SELECT 1") + bind() + parse("SELEC") + execute() + SYNC, parse("DELETE FROM scratch") + bind() + execute() + SYNC, check=EMPTIED, undo=FILL),
    policy("half of a transaction stays", "BEGIN", "INSERT INTO departments (id, code, name) VALUES (500, 'half', 'x')", "DROP TABLE scratch", "COMMIT", check="SELECT count(*) = 1 FROM departments WHERE id = 500", undo="DELETE FROM departments WHERE id = 500; CREATE TABLE IF NOT EXISTS scratch (k text, v text); " + FILL),
    policy("a table made by SELECT INTO in a CTE's place", "SELECT 1 AS a INTO made", check="SELECT count(*) = 1 FROM pg_class WHERE relname = 'made'", undo="DROP TABLE IF EXISTS made"),
    policy("a table made in EXPLAIN ANALYZE", "EXPLAIN ANALYZE CREATE TABLE made AS SELECT 1 AS a", check="SELECT count(*) = 1 FROM pg_class WHERE relname = 'made'", undo="DROP TABLE IF EXISTS made"),
    policy("a large object by a listed write", "INSERT INTO scratch SELECT lo_from_bytea(777, 'x')::text", "SELECT lo_create(778)", check="SELECT count(*) > 0 FROM pg_largeobject_metadata WHERE oid IN (777, 778)", undo="SELECT lo_unlink(oid) FROM pg_largeobject_metadata; " + FILL),
    policy("a catalog written", "UPDATE pg_class SET reltuples = 77 WHERE relname = 'scratch'", check="SELECT reltuples = 77 FROM pg_class WHERE relname = 'scratch'", undo="UPDATE pg_class SET reltuples = 9 WHERE relname = 'scratch'"),
    policy("statistics written", "SELECT pg_clear_relation_stats('public', 'departments')", "SELECT pg_restore_relation_stats('schemaname', 'public', 'relname', 'departments', 'reltuples', 77::real)", check="SELECT reltuples = 77 FROM pg_class WHERE oid = 'departments'::regclass", undo="ANALYZE departments", since=18),
    policy("WAL written", "SELECT 'lsn ' || (pg_logical_emit_message(false, 'x', 'y') IS NOT NULL)", marks=("lsn true",)),
    policy("another session ended", "SELECT 'ended ' || count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = 0", marks=("ended 0",)),
    overloaded(policy("a rule's DELETE by an operator's overload", "SELECT 'ran ' || (ROW('x')::leaky = 1)", marks=("ran true", "ran false"))),
    policy("a strong lock by a weak name", "BEGIN", "LOCK TABLE ONLY scratch IN SHARE ROW EXCLUSIVE MODE", "SELECT 'locked ' || mode FROM pg_locks WHERE relation = 'scratch'::regclass", "ROLLBACK", marks=("locked ShareRowExclusiveLock",)),
)  # fmt: skip

CALLERS = tuple(f"caller{n}@clinic.example" for n in range(9))
"""Each has a minute's look-ups of their own."""

MANY = tuple(f"MRN-{n}" for n in range(30))

COUNTS: tuple[Attempt, ...] = (
    policy(
        "look-ups by EXECUTE of what the protocol prepared are not counted",
        parse("SELECT id FROM public.patients WHERE mrn = $1", "look") + SYNC,
        *(f"EXECUTE look('{mrn}')" for mrn in MANY), "EXECUTE look('MRN-7731904')",
        marks=("SELECT 1",), who=CALLERS[0],
    ),
    policy(
        "look-ups by EXECUTE in one string are not counted",
        parse("SELECT id FROM public.patients WHERE mrn = $1", "look") + SYNC,
        "; ".join(f"EXECUTE look('{mrn}')" for mrn in (*MANY, "MRN-7731904")),
        marks=("SELECT 1",), who=CALLERS[7],
    ),
    policy(
        "look-ups by EXPLAIN ANALYZE of EXECUTE are not counted",
        parse("SELECT id FROM public.patients WHERE mrn = $1", "look") + SYNC,
        *(f"EXPLAIN (ANALYZE, TIMING off, COSTS off) EXECUTE look('{mrn}')" for mrn in (*MANY, "MRN-7731904")),
        marks=("rows=1",), who=CALLERS[8],
    ),
    policy(
        "the key of a comparison is shown by EXPLAIN of EXECUTE",
        parse("SELECT count(DISTINCT ssn) FROM public.twins", "s") + SYNC, "EXPLAIN (VERBOSE) EXECUTE s",
        marks=("sha256",), who=ADA, bare=False,
    ),
    policy(
        "the key of a comparison is shown by the server's lists",
        parse("SELECT count(DISTINCT ssn) FROM public.twins", "s") + SYNC, "SELECT statement FROM pg_prepared_statements",
        "BEGIN", "DECLARE c CURSOR FOR SELECT count(DISTINCT ssn) FROM public.twins", "SELECT statement FROM pg_cursors", "ROLLBACK",
        "SELECT query FROM pg_stat_activity", marks=("sha256",), who=ADA, bare=False,
    ),
    policy(
        "look-ups in one pipeline are not counted",
        parse("SELECT id FROM public.patients WHERE mrn = $1", "look") + b"".join(bind(mrn, name="look") + execute() for mrn in (*MANY, "MRN-7731904")) + SYNC,
        marks=("SELECT 1",), who=CALLERS[1],
    ),
    policy(
        "look-ups by cursors that are opened again are not counted",
        "BEGIN", *(text for mrn in (*MANY, "MRN-7731904") for text in (f"DECLARE c CURSOR FOR SELECT id FROM public.patients WHERE mrn = '{mrn}'", "FETCH c", "CLOSE c")), "ROLLBACK",
        marks=("FETCH 1",), who=CALLERS[2],
    ),
    policy(
        "look-ups in a statement of many conditions count once",
        "SELECT a.id FROM " + ", ".join(f"public.patients p{n}" for n in range(30)) + ", departments a WHERE " + " AND ".join(f"p{n}.mrn = 'MRN-7731904'" for n in range(30)) + " AND a.id = 1",
        marks=("SELECT 1",), who=CALLERS[3],
    ),
    policy(
        "look-ups by several rows of VALUES in a write count once",
        "UPDATE public.patients SET state = v.x FROM (VALUES " + ", ".join(f"('{mrn}', 'XX')" for mrn in (*MANY, "MRN-7731904")) + ") v(m, x) WHERE mrn = v.m",
        marks=("UPDATE 1",), who=CALLERS[4], undo="UPDATE public.patients SET state = 'VT' WHERE id = 1",
    ),
    policy(
        "look-ups of writes are not counted",
        "BEGIN", *(f"UPDATE public.patients SET state = 'XX' WHERE mrn = '{mrn}'" for mrn in (*MANY, "MRN-7731904")), "ROLLBACK",
        marks=("UPDATE 1",), who=CALLERS[5],
    ),
    policy(
        "look-ups by COPY are not counted",
        *(f"COPY (SELECT id FROM public.patients WHERE mrn = '{mrn}') TO STDOUT" for mrn in (*MANY, "MRN-7731904")),
        marks=("COPY 1",), who=CALLERS[6],
    ),
)  # fmt: skip

POLICIES = FILTERS + MERGES + POWERS + COUNTS
