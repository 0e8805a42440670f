"""What a write reads beside its target, upserts that propose rows, and what else of a table's keeping tells of its values: a third author's."""

# flake8: noqa: E501  (a statement reads best on one line)
from __future__ import annotations

from tests.masking.attempts.attempt import FILL, Attempt, laundering, oracle, policy, value, within

HIT = "SELECT k, v FROM scratch ORDER BY k"
GUESS = "'987-65-4321'"

LAUNDERED: tuple[Attempt, ...] = tuple(
    laundering(f"a write reads {what}", sql)
    for what, sql in {
        "a field of json of the row": "INSERT INTO scratch (v) SELECT to_jsonb(p) ->> 'ssn' FROM patients p",
        "json of a sub-select's row": "INSERT INTO scratch (v) SELECT row_to_json(t)::text FROM (SELECT id, ssn FROM patients) t",
        "a column through three CTEs": "INSERT INTO scratch (v) WITH a AS (SELECT * FROM patients), b(x, y, z) AS (SELECT * FROM a), c AS (SELECT z AS harmless FROM b) SELECT harmless FROM c",
        "a recursive CTE": "WITH RECURSIVE r(n, s) AS (SELECT 1, ssn FROM patients UNION ALL SELECT n + 1, s FROM r WHERE n < 2) INSERT INTO scratch (v) SELECT s FROM r",
        "a union's second arm": "INSERT INTO scratch (v) SELECT name FROM departments UNION ALL SELECT full_name FROM patients",
        "a lateral's column": "INSERT INTO scratch (v) SELECT x.s FROM departments d, LATERAL (SELECT p.ssn FROM patients p WHERE p.dept_id = d.id) x(s)",
        "a window's value": "INSERT INTO scratch (v) SELECT first_value(ssn) OVER (ORDER BY id) FROM patients",
        "an aggregate": "INSERT INTO scratch (v) SELECT string_agg(ssn, ',') FROM patients GROUP BY state",
        "a table by TABLE": "INSERT INTO scratch SELECT tax_key, state FROM (TABLE patient_mv) t",
        "a CTE with the target's name": "WITH scratch AS (SELECT id::text AS k, ssn AS v FROM patients) INSERT INTO scratch SELECT * FROM scratch",
        "a set operation in VALUES": "INSERT INTO scratch (k, v) VALUES ('a', (SELECT ssn FROM patients WHERE id = 1)), ('b', 'c')",
        "an alias that is the masked table's name": "UPDATE scratch patients SET v = p.ssn FROM patients p WHERE patients.k = 'k' || p.id",
        "a correlated sub-select in SET": "UPDATE scratch SET v = (SELECT p.ssn FROM patients p WHERE 'k' || p.id = scratch.k) WHERE k IN ('k1', 'k2')",
        "several columns by one sub-select": "UPDATE scratch s SET (k, v) = (SELECT p.state, p.ssn FROM patients p WHERE 'k' || p.id = s.k) WHERE k IN ('k1', 'k2')",
        "a view's renamed column": "UPDATE scratch SET v = d.chart_no FROM patient_directory d WHERE k = 'k' || d.id",
        "a join's column by USING": "UPDATE scratch SET v = ssn FROM patients a JOIN encounters b USING (id) WHERE k = 'k' || id",
        "a row's array": "INSERT INTO scratch (v) SELECT (array_agg(p))[1]::text FROM patients p",
        "hstore of the row": "INSERT INTO scratch (v) SELECT hstore(p) -> 'ssn' FROM patients p",
        "keys of trigrams": "INSERT INTO scratch (v) SELECT full_name || array_to_string(show_trgm(full_name), ',') FROM patients",
        "MERGE's inserted value": "MERGE INTO scratch s USING patients p ON s.k = p.id::text WHEN NOT MATCHED THEN INSERT (k, v) VALUES (p.id::text, p.ssn)",
        "MERGE's updated value": "MERGE INTO scratch s USING patients p ON s.k = 'k' || p.id WHEN MATCHED THEN UPDATE SET v = p.ssn",
        "MERGE's source by a sub-select": "MERGE INTO scratch s USING (SELECT 'k' || id AS k, ssn AS note FROM patients) p ON s.k = p.k WHEN MATCHED THEN UPDATE SET v = p.note",
        "MERGE's source by WITH": "WITH p AS (SELECT 'k' || id AS k, ssn AS note FROM patients) MERGE INTO scratch s USING p ON s.k = p.k WHEN MATCHED THEN UPDATE SET v = note",
        "MERGE's row by a sub-select in SET": "MERGE INTO scratch s USING departments d ON s.k = 'k' || d.id WHEN MATCHED THEN UPDATE SET (k, v) = (SELECT p.state, p.ssn FROM patients p WHERE p.id = d.id)",
        "a kept row's part": "UPDATE scratch SET v = ((a.before).ssn) FROM audit_log a WHERE k = 'k' || a.id",
        "a document's part": "INSERT INTO scratch (v) SELECT doc ->> 'ssn' FROM patient_docs",
    }.items()
)  # fmt: skip
"""`check` looks at scratch; those that write to departments leave nothing there, and are oracles of their own below."""

PREPARED: tuple[Attempt, ...] = (
    laundering("a write that is prepared in SQL", "PREPARE w AS INSERT INTO scratch (v) SELECT ssn FROM patients", "EXECUTE w", "DEALLOCATE ALL"),
    laundering("a prepared write of a parameter's row", "PREPARE w (int) AS UPDATE scratch SET v = p.ssn FROM patients p WHERE p.id = $1 AND k = 'k' || p.id", "EXECUTE w(1)", "DEALLOCATE ALL"),
    laundering("a write in WITH, whose rows are written on", "WITH u AS (UPDATE scratch SET v = 'x' WHERE k = 'k1' RETURNING k) INSERT INTO scratch (k, v) SELECT u.k, p.ssn FROM u, patients p"),
    laundering("a write in WITH of masked rows", "WITH u AS (UPDATE ward SET note = NULL WHERE id = 1 RETURNING secret) INSERT INTO scratch (v) SELECT secret FROM u"),
    laundering("a department named by an upsert", "INSERT INTO departments (id, code, name) SELECT p.id, 'CODE' || p.id, p.ssn FROM patients p WHERE p.id = 1 ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.name", check="SELECT note FROM departments", undo="UPDATE departments SET note = NULL"),
    laundering("a department named by a sub-select of an upsert", "INSERT INTO departments (id, code, name) VALUES (1, 'CARD', 'x') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.name || (SELECT string_agg(ssn, ' ') FROM patients)", check="SELECT note FROM departments", undo="UPDATE departments SET note = NULL"),
)  # fmt: skip

RETURNED: tuple[Attempt, ...] = (
    value("a write returns what MERGE read", *within("MERGE INTO scratch s USING patients p ON s.k = 'k' || p.id WHEN MATCHED THEN UPDATE SET v = 'x' RETURNING p.ssn"), since=17),
) + tuple(
    value(f"a write returns {what}", *within(*steps))
    for what, steps in {
        "what it reads beside": ("UPDATE scratch s SET v = 'x' FROM patients p WHERE s.k = 'k' || p.id RETURNING p.ssn",),
        "the row beside": ("UPDATE scratch s SET v = 'x' FROM patients p WHERE s.k = 'k' || p.id RETURNING p",),
        "everything": ("UPDATE scratch s SET v = 'x' FROM patients p WHERE s.k = 'k' || p.id RETURNING *",),
        "json of the row beside": ("DELETE FROM scratch s USING patients p WHERE s.k = 'k' || p.id RETURNING row_to_json(p)",),
        "a sub-select's value": ("INSERT INTO scratch SELECT id::text, state FROM patients RETURNING (SELECT max(ssn) FROM patients)",),
        "the same relation's other rows": ("UPDATE patients a SET state = b.state FROM patients b WHERE a.id = b.id RETURNING b.ssn, a.ssn",),
        "a prepared write's columns": ("PREPARE w AS UPDATE patients SET state = 'XX' WHERE id = 1 RETURNING ssn, mrn", "EXECUTE w", "DEALLOCATE ALL"),
        "a prepared deletion's row": ("PREPARE w AS DELETE FROM patient_docs WHERE id = 1 RETURNING *", "EXECUTE w", "DEALLOCATE ALL"),
    }.items()
)  # fmt: skip

DECIDED: tuple[Attempt, ...] = tuple(
    oracle(f"a write is decided by {what}", *within(sql, HIT))
    for what, sql in {
        "a pattern beside it": "UPDATE scratch s SET v = 'hit' FROM patients p WHERE p.ssn LIKE '987%' AND s.k = 'k' || p.id",
        "a row that exists": "UPDATE scratch SET v = 'hit' WHERE k = 'k1' AND EXISTS (SELECT FROM patients WHERE ssn > '5')",
        "a guess in DELETE USING": f"DELETE FROM scratch s USING patients p WHERE p.ssn = {GUESS} AND s.k = 'k' || p.id",
        "a length": "INSERT INTO scratch (k) SELECT id::text FROM patients WHERE length(address) > 12",
        "the first of an order": "INSERT INTO scratch (k) SELECT id::text FROM patients ORDER BY ssn DESC LIMIT 1",
        "groups of parts": "INSERT INTO scratch (k, v) SELECT min(id)::text, count(*)::text FROM patients GROUP BY left(ssn, 2)",
        "the first of each": "INSERT INTO scratch (k) SELECT DISTINCT ON (left(ssn, 2)) id::text FROM patients",
        "a join by a guess": f"INSERT INTO scratch (k) SELECT p.id::text FROM patients p JOIN (VALUES ({GUESS})) g(s) ON p.ssn = g.s",
        "a list that has it": "INSERT INTO scratch (k) SELECT id::text FROM departments WHERE '987-65-4321' IN (SELECT ssn FROM patients)",
        "a list that has it not": "DELETE FROM scratch WHERE k = 'k1' AND '987-65-4321' <> ALL (SELECT ssn FROM patients)",
        "a case": "INSERT INTO scratch (k, v) SELECT id::text, CASE WHEN ssn > '5' THEN 'a' ELSE 'b' END FROM patients",
        "a comparison that is written": "UPDATE scratch s SET v = (p.ssn > '5')::text FROM patients p WHERE s.k = 'k' || p.id",
        "rows compared": "INSERT INTO scratch (k) SELECT a.id::text FROM ONLY patients a, ONLY patients b WHERE (a.ssn, a.id) > (b.ssn, b.id) AND b.id = 3",
        "a count with a filter": "INSERT INTO scratch (v) SELECT (count(*) FILTER (WHERE ssn > '5'))::text FROM patients",
        "a division by a comparison": "INSERT INTO scratch (v) SELECT (1 / (CASE WHEN ssn LIKE '987%' THEN 0 ELSE 1 END))::text FROM patients WHERE id = 1",
        "rows of a pattern": "INSERT INTO scratch (v) SELECT (regexp_matches(ssn, '7', 'g'))[1] FROM patients",
        "locked rows of a CTE": "WITH due AS (SELECT id FROM patients WHERE ssn > '5' FOR UPDATE) UPDATE scratch SET v = 'hit' FROM due WHERE k = 'k' || due.id",
        "MERGE's condition": f"MERGE INTO scratch s USING patients p ON s.k = 'k' || p.id AND p.ssn = {GUESS} WHEN MATCHED THEN UPDATE SET v = 'hit'",
        "MERGE's clause": "MERGE INTO scratch s USING patients p ON s.k = 'k' || p.id WHEN MATCHED AND p.ssn > '5' THEN UPDATE SET v = 'hit' WHEN MATCHED THEN UPDATE SET v = 'miss'",
        "MERGE's missing": f"MERGE INTO scratch s USING (SELECT id FROM patients WHERE ssn = {GUESS}) p ON s.k = p.id::text WHEN NOT MATCHED THEN INSERT VALUES (p.id::text, 'hit')",
        "similarity": "INSERT INTO scratch (k) SELECT id::text FROM patients WHERE similarity(ssn, '987-65-4321') > 0.5",
        "trigrams by an operator": "UPDATE scratch s SET v = 'hit' FROM patients p WHERE p.ssn % '987-65-4321' AND s.k = 'k' || p.id",
        "a set operation": "INSERT INTO scratch (k) SELECT '987-65-4321' INTERSECT SELECT ssn FROM patients",
        "a limit": "INSERT INTO scratch (k) SELECT n::text FROM generate_series(1, 99) n LIMIT (SELECT length(min(address)) FROM patients)",
        "a series as long as it": "INSERT INTO scratch (k) SELECT n::text FROM patients p, generate_series(1, length(p.address)) n WHERE p.id = 1",
        "an upsert's filter beside": "INSERT INTO departments (id, code, name) VALUES (1, 'CARD', 'x') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name WHERE EXISTS (SELECT FROM patients WHERE ssn > '5' AND id = 1) RETURNING id",
        "a view's column beside": "DELETE FROM scratch s USING patient_directory d WHERE d.chart_no LIKE 'MRN-77%' AND s.k = 'k' || d.id",
    }.items()
)  # fmt: skip

KEPT: tuple[Attempt, ...] = (
    oracle("rows clustered by a masked key", *within("CLUSTER patients USING patients_ssn_key", "SELECT id FROM ONLY patients")),
    oracle("rows clustered by a masked key, then numbered", *within("CLUSTER patients USING patients_mrn_key", "SELECT id, row_number() OVER () FROM ONLY patients")),
    oracle("rows clustered by a masked key, then limited", *within("CLUSTER patients USING patients_ssn_key", "SELECT id FROM ONLY patients LIMIT 1")),
    oracle("rows clustered by a masked key, then gathered", *within("CLUSTER patients USING patients_ssn_key", "SELECT array_agg(id) FROM ONLY patients")),
    oracle("rows clustered by an expression of a masked column", *within("CLUSTER patients USING patients_upper", "SELECT id FROM ONLY patients")),
    oracle("rows of a table clustered before", *within("CLUSTER stays USING stays_key", "SELECT id FROM stays")),
    oracle("a key that a new table refers to", *within("CREATE TABLE guesses (s text REFERENCES patients (ssn))", "INSERT INTO guesses VALUES ('987-65-4321')")),
    oracle("a key that a new column refers to", *within("ALTER TABLE scratch ADD COLUMN s text REFERENCES patients (ssn) DEFAULT '987-65-4321'")),
    oracle("a key that a constraint refers to", *within("UPDATE scratch SET v = '987-65-4321'", "ALTER TABLE scratch ADD FOREIGN KEY (v) REFERENCES patients (ssn)")),
    oracle("a constraint that values may break", *within("ALTER TABLE patients ADD CHECK (ssn > '5')")),
    oracle("a unique expression that values may break", *within("CREATE UNIQUE INDEX ON patients (left(ssn, 1))")),
    oracle("an index that divides", *within("CREATE INDEX ON patients ((1 / (CASE WHEN ssn > '5' THEN 0 ELSE 1 END)))")),
    oracle("a type that values may not fit", *within("ALTER TABLE twins ALTER ssn TYPE numeric USING 1 / (CASE WHEN ssn > '5' THEN 0 ELSE 1 END)")),
    oracle("an index's size", *within("CREATE INDEX wide ON patients (repeat(address, 300))", "SELECT pg_relation_size('wide')"), bare=False),
    oracle("a statistic's words", *within("ANALYZE patients", "SELECT attname, n_distinct, correlation FROM pg_stats WHERE tablename = 'patients' AND attname = 'ssn'")),
    oracle("a plan that knows the order", *within("SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off", "SELECT id FROM patients ORDER BY ssn")),
    oracle("EXPLAIN of a write's estimate", *within("EXPLAIN UPDATE scratch s SET v = 'x' FROM patients p WHERE p.dob < '1905-01-01'")),
    oracle("a statistic made of an expression", *within("CREATE STATISTICS mine ON (ssn > '5'), state FROM patients", "ANALYZE patients", "EXPLAIN SELECT id FROM patients WHERE (ssn > '5')")),
    oracle("a sequence moved by masked values", *within("SELECT setval('app_events_id_seq', count(*) FILTER (WHERE ssn > '5') + 100) FROM patients", "SELECT nextval('app_events_id_seq')"), bare=False),
    oracle("a lock by a value", *within("SELECT pg_try_advisory_xact_lock(hashtext(ssn)) FROM patients", "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1")),
)  # fmt: skip

CALLED: tuple[Attempt, ...] = tuple(
    (value if kind == "value" else oracle)(f"an extension's function: {name}", sql)
    for kind, name, sql in (
        ("oracle", "similarity shown", "SELECT id, similarity(ssn, '987-65-4321') FROM patients ORDER BY id"),
        ("oracle", "similarity ordered", "SELECT id FROM patients ORDER BY similarity(full_name, 'Zyxandra Quillfeather'), id"),
        ("oracle", "similarity by distance", "SELECT id FROM patients ORDER BY full_name <-> 'Zyxandra', id"),
        ("oracle", "trigrams counted", "SELECT id, array_length(show_trgm(full_name), 1) FROM patients ORDER BY id"),
        ("value", "hstore of the row", "SELECT hstore(p) FROM patients p"),
        ("value", "hstore of rows", "SELECT hstore(array_agg(id::text), array_agg(ssn)) FROM patients"),
        ("value", "hstore's pairs", "SELECT (each(hstore(p))).value FROM patients p"),
        ("value", "a row changed by hstore", "SELECT p #= hstore('state', 'x') FROM patients p"),
        ("value", "hstore to json", "SELECT hstore_to_json(hstore(p)) FROM patients p"),
        ("value", "hstore of a kept row", "SELECT hstore(before) FROM audit_log"),
        ("value", "a record made by hstore", "SELECT (populate_record(NULL::patients, hstore(p))).ssn FROM patients p"),
        ("oracle", "a set by hstore", "SELECT p.id, s FROM patients p, skeys(hstore(p.ssn, 'x')) s"),
    )
)  # fmt: skip

NEVER = ("another connection", "the write-ahead log")  #: what the test's servers do not have: a way in without a socket, a slot
READ: tuple[Attempt, ...] = tuple(
    value(what, *steps, bare=what not in NEVER)
    for what, steps in {
        "a multirange of dates": ("SELECT range_agg(daterange(dob, dob + 1)) FROM patients",),
        "the bounds of a range": ("SELECT lower(daterange(dob, NULL)), upper(daterange(NULL, dob)) FROM patients",),
        "a mode within a group": ("SELECT mode() WITHIN GROUP (ORDER BY ssn), percentile_disc(0.1) WITHIN GROUP (ORDER BY mrn) FROM patients",),
        "a cursor that is held over": ("BEGIN", "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT ssn FROM patients", "COMMIT", "FETCH LAST FROM c", "FETCH BACKWARD 2 FROM c", "CLOSE c"),
        "a row's type in SQL": ("PREPARE q (int) AS SELECT ((SELECT p FROM patients p WHERE id = $1)).ssn", "EXECUTE q(1)", "DEALLOCATE ALL"),
        "a query by xml": ("SELECT query_to_xml('SELECT ssn FROM patients', true, false, '')",),
        "a table by xml": ("SELECT table_to_xml('patients', true, false, '')", "SELECT database_to_xml(true, false, '')"),
        "another connection": ("SELECT * FROM dblink('dbname=' || current_database() || ' user=app', 'SELECT ssn FROM patients') AS t(s text)",),
        "the write-ahead log": ("SELECT pg_logical_slot_get_changes('none', NULL, NULL)",),
        "a page": ("SELECT t_data FROM heap_page_items(get_raw_page('patients', 0))",),
        "the server's file": ("SELECT pg_read_binary_file(pg_relation_filepath('patients'))",),
        "a listened name": ("LISTEN a", "SELECT pg_notify('a', ssn) FROM patients", "SELECT 1"),
        "a setting made of a value": ("SELECT set_config('application_name', ssn, false) FROM patients", "SHOW application_name"),
        "a setting kept by a write": ("SELECT set_config('ostiary.x', ssn, false) FROM patients", "SELECT current_setting('ostiary.x')"),
        "a debugging plan": ("SET client_min_messages = debug1", "SET debug_print_parse = on", "SELECT ssn FROM patients", "RESET client_min_messages"),
        "a row cast to its type": ("SELECT (ROW(p.*)::patients).ssn FROM patients_archive p", "SELECT (SELECT p FROM patients p LIMIT 1).*"),
        "a sub-select's star": ("SELECT ((SELECT p FROM patients p LIMIT 1)).*",),
        "other sessions' words": ("SELECT query FROM pg_stat_statements", "SELECT query FROM pg_stat_activity"),
    }.items()
)  # fmt: skip

MANY = "INSERT INTO departments (id, code, name) "
CHANGED = {"check": "SELECT count(*) > 3 FROM departments WHERE note = 'hit'", "undo": "UPDATE departments SET note = NULL"}

UPSERTS: tuple[Attempt, ...] = tuple(
    policy(f"an upsert proposes {what}", f"{MANY}{rows} ON CONFLICT (id) DO UPDATE SET note = 'hit' || left(EXCLUDED.name, 0)", **CHANGED)
    for what, rows in {
        "all rows beside a list": "SELECT d.id, d.code, d.name FROM departments d JOIN (VALUES (1)) v(x) ON true",
        "all rows beside a series": "SELECT d.id, d.code, d.name FROM departments d, generate_series(1, 1) g WHERE g = 1",
        "all rows with equal ones": "SELECT d.id, d.code, d.name FROM departments d ORDER BY 1 = 1 FETCH FIRST 1 ROW WITH TIES",
        "all rows of a list of all": "SELECT d.id, d.code, d.name FROM departments d WHERE d.id = ANY (ARRAY(SELECT id FROM departments))",
        "all rows of an OR": "SELECT d.id, d.code, d.name FROM departments d WHERE d.id = 1 OR d.id > 0",
        "all rows of a comparison with itself": "SELECT d.id, d.code, d.name FROM departments d WHERE d.id = d.id",
        "all rows of a CTE": "WITH a AS (SELECT * FROM departments) SELECT id, code, name FROM a",
        "all rows by a function": "SELECT (unnest(array_agg(d))).id, 'x', 'y' FROM departments d",
        "all rows of a union": "SELECT 0, 'NONE', 'x' UNION SELECT id, code, name FROM departments",
        "all rows of a pattern": "SELECT d.id, d.code, d.name FROM departments d WHERE d.code LIKE '%'",
        "all rows, of a lateral": "SELECT l.* FROM (VALUES (1)) v(x), LATERAL (SELECT id, code, name FROM departments) l",
    }.items()
) + (
    policy("a batch with ties", "DELETE FROM scratch WHERE k IN (SELECT s.k FROM scratch s ORDER BY s.v FETCH FIRST 1 ROW WITH TIES)", check="SELECT count(*) = 0 FROM scratch", undo=FILL),
    policy("a name that a function has", "UPDATE scratch SET v = 'hit' FROM regexp_split_to_table('x', ',') AS t WHERE t = 'x'", check="SELECT count(*) > 5 FROM scratch WHERE v = 'hit'", undo=FILL),
    policy("a series that every row meets", "UPDATE scratch SET v = 'hit' FROM generate_series(1, 9) g WHERE k = 'k' || g", check="SELECT count(*) > 5 FROM scratch WHERE v = 'hit'", undo=FILL),
)  # fmt: skip

BESIDE = LAUNDERED + PREPARED + RETURNED + DECIDED + KEPT + CALLED + READ + UPSERTS
