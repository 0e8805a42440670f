"""Ways on which a masked value itself might arrive: in a row, an error, a notice, a name."""

# flake8: noqa: E501  (a statement reads best on one line)
from __future__ import annotations

from tests.masking.attempts.attempt import Attempt, overloaded, value, within
from tests.masking.attempts.wire import SYNC, asked, bind, call, close, copied, describe, execute, parse, query

EXPRESSIONS: tuple[Attempt, ...] = tuple(
    value(name, *([sql] if isinstance(sql, str) else sql))
    for name, sql in {
        "an operator of the server's, with its schema": "SELECT ssn OPERATOR(pg_catalog.||) '' FROM patients",
        "a cast written as a function": "SELECT text(ssn), name(mrn), bpchar(ssn) FROM patients p",
        "a field of a sub-select's row": "SELECT ((SELECT p FROM patients p WHERE id = 1)).ssn",
        "a row through an array": "SELECT ((array_agg(p))[1]).ssn FROM patients p",
        "a row through json into another type": "SELECT (jsonb_populate_record(NULL::hospital.charts, to_jsonb(p))).mrn FROM patients p",
        "a row through json into a record": "SELECT x.* FROM patients p, json_to_record(row_to_json(p)) AS x(mrn text, ssn text)",
        "a row kept in a field of another type": "SELECT f FROM folders",
        "a field of a row kept in a field": "SELECT (f).p, ((f).p).ssn FROM folders",
        "rows kept in fields of an array": "SELECT fs FROM folders",
        "a row of a table that keeps rows in fields": "SELECT to_json(x) FROM folders x",
        "a kept row of a view": "SELECT d, (d).chart_no FROM snaps",
        "a kept row of a materialized view": "SELECT m, (m).tax_key FROM snaps",
        "a range made of a value": "SELECT r, lower(r) FROM v_range",
        "ROWS FROM": "SELECT * FROM ROWS FROM (string_to_table((SELECT string_agg(ssn, ',') FROM patients), ','), generate_series(1, 3)) WITH ORDINALITY",
        "VALUES by LATERAL": "SELECT v.* FROM patients p, LATERAL (VALUES (p.ssn), (p.mrn)) v",
        "TABLE in a WITH": "WITH t AS MATERIALIZED (TABLE patients) SELECT t.* FROM t",
        "a CTE in a CTE of one name": "WITH patients AS (WITH patients AS (TABLE patients) TABLE patients) TABLE patients",
        "a sub-select's alias is the table": "SELECT patients.ssn FROM (TABLE patients) patients, LATERAL (SELECT patients.ssn) x",
        "unicode escapes with another character": "SELECT U&\"s!0073n\" UESCAPE '!' FROM U&\"p*0061tients\" UESCAPE '*'",
        "a comment in a comment": "SELECT /* /* ' */ -- */ ssn /**/ FROM /*$$*/ patients /* ; */ ;;",
        "dollar quotes around a join": "SELECT $a$'$a$ || ssn || $b$--$b$ FROM patients",
        "an escape string in front": "SELECT E'\\'', ssn, '\\' FROM patients --'",
        "a JSON object's key": "SELECT json_object_agg(ssn, mrn) FROM patients",
        "a row's JSON by path": "SELECT jsonb_path_query(to_jsonb(p), '$.*') FROM patients p",
        "FETCH from a cursor with the table's name": ["BEGIN", "DECLARE patients SCROLL CURSOR FOR TABLE patients", "FETCH LAST patients", "FETCH ABSOLUTE 1 FROM patients", "ROLLBACK"],
        "two cursors, one closed and opened again": ["BEGIN", "DECLARE c CURSOR FOR TABLE departments", "CLOSE c", "DECLARE c BINARY CURSOR FOR SELECT ssn FROM patients", "FETCH ALL c", "ROLLBACK"],
        "an inheritance child by its parent's row": "SELECT q FROM patients_archive p, LATERAL (SELECT p::patients AS q) x",
        "a text search headline": "SELECT ts_headline(full_name, to_tsquery('quillfeather | zyxandra')) FROM patients",
        "grouped and rolled up": "SELECT ssn, count(*) FROM patients GROUP BY CUBE (ssn)",
        "LISTEN and a payload": ["LISTEN x", "SELECT pg_notify('x', string_agg(ssn, ',')) FROM patients"],
        "a setting by set_config": ["SELECT set_config('application_name', min(ssn), false) FROM patients", "SHOW application_name"],
        "a setting by a write": ["BEGIN", "UPDATE departments SET note = set_config('application_name', (SELECT min(ssn) FROM patients), false)", "SHOW application_name", "ROLLBACK"],
        "a setting by pg_settings": ["UPDATE pg_settings SET setting = (SELECT min(ssn) FROM patients) WHERE name = 'application_name'", "SHOW application_name"],
        "quotes made unsafe by pg_settings": ["UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'", "SELECT 'a\\'', ssn FROM patients --'"],
        "an index's expression": "SELECT pg_get_indexdef('patients_upper'::regclass, 1, true), most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'patients_upper'",
        "the statistics of an expression": "SELECT * FROM pg_stats_ext_exprs",
        "the statistics' own table": "SELECT pg_mcv_list_items(stxdmcv) FROM pg_statistic_ext_data",
        "cursors by function": ["BEGIN", "DECLARE c CURSOR FOR SELECT ssn FROM patients", "SELECT * FROM pg_cursor()", "SELECT cursor_to_xml('c', 9, true, false, '')", "ROLLBACK"],
        "a large object of it": within("SELECT lo_from_bytea(4711, convert_to(string_agg(ssn, ','), 'UTF8')) FROM patients", "SELECT lo_get(4711)"),
        "a sequence of it": within("CREATE TEMP SEQUENCE s", "SELECT setval('s', translate(min(ssn), '-', '')::bigint) FROM patients", "SELECT last_value FROM s"),
        "an advisory lock of it": within("SELECT pg_advisory_xact_lock(translate(min(ssn), '-', '')::bigint) FROM patients", "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks WHERE locktype = 'advisory'"),
        "a role's row by lock": "SELECT p.* FROM patients p FOR NO KEY UPDATE OF p NOWAIT",
        "xmltable of the row": "SELECT x.* FROM patients p, XMLTABLE('/r' PASSING xmlelement(name r, p.ssn) COLUMNS s text PATH '.') x",
    }.items()
)  # fmt: skip

CODE: tuple[Attempt, ...] = tuple(
    overloaded(value(name, *([sql] if isinstance(sql, str) else sql)))
    for name, sql in {
        "a function of a listed name for another type": "SELECT lower(1)",
        "the same from FROM": "SELECT * FROM lower(1)",
        "the same quoted and with its schema": 'SELECT public."lower"(2), U&"lo\\0077er"(3)',
        "the same by a lateral column": "SELECT lower(d.id) FROM departments d",
        "a function of a column's notation": "SELECT (d).name, d.name, name(d) FROM departments d",
        "a cast's field": "SELECT (d.id::leaky).v FROM departments d",
        "a cast of an array": "SELECT (ARRAY[1, 2])::leaky[]",
        "a cast on the way into a column": within("CREATE TEMP TABLE l (v leaky)", "INSERT INTO l SELECT 1::leaky", "TABLE l"),
        "an operator of a listed name for another type": "SELECT ROW('x')::leaky - 1",
        "the same with the server's schema in front": "SELECT NULL::leaky OPERATOR(public.-) 1",
        "an aggregate of a listed name for another type": "SELECT max(v) FROM (VALUES (ROW('x')::leaky)) t(v)",
        "a window of that aggregate": "SELECT max(v) OVER () FROM (VALUES (ROW('x')::leaky)) t(v)",
        "such a function in what an INSERT reads": within("INSERT INTO scratch(k) VALUES (lower(1)) RETURNING k"),
        "such a function in a SET": within("UPDATE departments SET note = lower(id) WHERE id = 1 RETURNING note"),
        "such a function in a default of a temporary table": within("CREATE TEMP TABLE d (id int, v text DEFAULT lower(1))", "INSERT INTO d VALUES (1)", "TABLE d"),
        "such a function in LIMIT's error": "SELECT 1 LIMIT lower(1)::int",
        "such a function in a prepared statement": ["PREPARE l(int) AS SELECT lower($1)", "EXECUTE l(1)"],
        "such a function in a cursor": ["BEGIN", "DECLARE c CURSOR FOR SELECT lower(1)", "FETCH c", "ROLLBACK"],
        "such a function in COPY": "COPY (SELECT lower(1)) TO STDOUT",
    }.items()
)  # fmt: skip

CALLS: tuple[Attempt, ...] = tuple(
    value(name, sql)
    for name, sql in {
        "VARIADIC and named arguments": "SELECT concat(VARIADIC array_agg(ssn)) FROM patients",
        "format of a row": "SELECT format('%s %L', p, ssn) FROM patients p",
    }.items()
)

WRITES: tuple[Attempt, ...] = (
    value("returning through a view of renamed columns", *within("DELETE FROM patient_directory WHERE id = 1 RETURNING *"), bare=False),
    value("returning through a view of a star", *within("UPDATE v_star SET state = 'XX' WHERE id = 1 RETURNING *")),
    value("returning the view's row", *within("UPDATE v_star v SET state = 'XX' WHERE id = 1 RETURNING v")),
    value("returning a FROM's row", *within("UPDATE departments d SET floor = 1 FROM patients p WHERE p.id = d.id AND d.id = 1 RETURNING p")),
    value("returning a FROM's column without its table", *within("UPDATE scratch SET v = 'x' FROM patients RETURNING ssn", "INSERT INTO scratch VALUES ('k')", "UPDATE scratch SET v = 'x' FROM patients RETURNING ssn")),
    value("returning what a kept row holds", *within("UPDATE folders SET id = id WHERE id = 1 RETURNING f")),
    value("returning a kept row of a view", *within("UPDATE snaps SET id = id WHERE id = 1 RETURNING *")),
    value("returning a made column", *within("INSERT INTO stays (id, units) VALUES (99, 3) RETURNING *", "UPDATE ward SET note = 'x' WHERE id = 1 RETURNING tail || secret")),
    value("returning by MERGE", *within("MERGE INTO ward w USING departments d ON w.id = d.id WHEN MATCHED THEN UPDATE SET note = 'x' RETURNING w.*"), since=17),
    value("returning OLD", *within("UPDATE ward SET note = 'x' WHERE id = 1 RETURNING OLD.*, NEW.secret"), since=18),
    value("returning OLD by another name", *within("DELETE FROM ward WHERE id = 1 RETURNING WITH (OLD AS note, NEW AS n) note.secret"), since=18),
    value("a row that a NOT NULL refuses", *within("UPDATE patients SET active = NULL WHERE id = 1")),
    value("a row that a check refuses", *within("ALTER TABLE ward ADD CHECK (note <> 'q')", "UPDATE ward SET note = 'q' WHERE id = 1"), "UPDATE stays SET note = secret WHERE id = 1"),
    value("a key that is taken", *within("UPDATE ward SET code = 'W2' WHERE id = 1", "INSERT INTO stays (id) VALUES (1)", "UPDATE stays SET rooms = int4range(3, 4) WHERE id = 1"), bare=False),
    value("ranges that exclude each other", *within("UPDATE stays SET rooms = int4range(1, 9) WHERE id IN (1, 3)")),
    value("a row that another refers to", *within("DELETE FROM patients WHERE id = 1", "DELETE FROM badge WHERE code = 'B1'"), bare=False),
    value("a COPY that fails at a row", query("COPY patients (id, state) FROM STDIN") + copied("1\tXX\n"), bare=False),
    value("a COPY's warnings about rows", query("COPY departments (id) FROM STDIN (ON_ERROR ignore, LOG_VERBOSITY verbose)") + copied("x\n"), since=17, bare=False),
    value("a trigger's words", *within("INSERT INTO noisy VALUES (2)", "INSERT INTO failing VALUES (1)")),
    value("words of a trigger that a COPY meets", query("COPY noisy (id) FROM STDIN") + copied("1\n")),
    value("an upsert's old row by its whole", *within("INSERT INTO ward AS w (id, code) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET note = w::text RETURNING note")),
)  # fmt: skip

NEW_SERVERS: tuple[Attempt, ...] = (
    value("JSON_TABLE over rows", "SELECT t.* FROM patients p, JSON_TABLE(to_jsonb(p), '$' COLUMNS (s text PATH '$.ssn', NESTED PATH '$.mrn' COLUMNS (m text PATH '$'))) t", since=17),
    value("JSON_VALUE of a passed value", "SELECT JSON_VALUE('{}'::jsonb, '$x' PASSING ssn AS x) FROM patients", since=17),
    value("JSON_VALUE beside JSON() of a value", "SELECT JSON_VALUE('1'::jsonb, '$' RETURNING text) || JSON_SERIALIZE(JSON(to_json(ssn)::text)) FROM patients", since=17),
    value("JSON_ARRAY of a query", "SELECT JSON_ARRAY(SELECT ssn FROM patients)", since=16),
    value("JSON_OBJECT with keys", "SELECT JSON_OBJECT(ssn VALUE mrn ABSENT ON NULL) FROM patients", since=16),
    value("JSON_ARRAYAGG", "SELECT JSON_ARRAYAGG(ssn ORDER BY id RETURNING jsonb) FROM patients", since=16),
    value("JSON_SCALAR and JSON_SERIALIZE", "SELECT JSON_SERIALIZE(JSON_SCALAR(ssn)) FROM patients", since=17),
    value("any_value", "SELECT any_value(ssn) FROM patients", since=16),
    value("pg_input_error_info", "SELECT (pg_input_error_info(ssn, 'integer')).* FROM patients", since=16),
    value("a virtual column added", *within("ALTER TABLE ward ADD COLUMN peek text GENERATED ALWAYS AS (secret || '') VIRTUAL", "SELECT peek FROM ward"), since=18),
    value("array_sort and reverse of bytes", "SELECT array_sort(array_agg(ssn)), reverse(min(ssn)::bytea) FROM patients", since=18),
)  # fmt: skip

NAMES: tuple[Attempt, ...] = (
    value("a temporary table of the name, dropped", "CREATE TEMP TABLE patients (ssn text)", "SELECT ssn FROM patients", "DROP TABLE pg_temp.patients", "SELECT ssn FROM patients"),
    value("a temporary table of the name, rolled back", "BEGIN", "SAVEPOINT s", "CREATE TEMP TABLE patients (ssn text)", "ROLLBACK TO s", "SELECT ssn FROM patients", "ROLLBACK"),
    value("a temporary table of the name, gone at COMMIT", "BEGIN", "CREATE TEMP TABLE patients (ssn text) ON COMMIT DROP", "COMMIT", "SELECT ssn FROM patients"),
    value("a temporary table of the name, discarded", "CREATE TEMP TABLE ward (secret text)", "DISCARD TEMP", "SELECT secret FROM ward"),
    value("a temporary table of the name, in one string", "CREATE TEMP TABLE ward (secret text); DROP TABLE ward; SELECT secret FROM ward"),
    value("a temporary table of the name, in one pipeline", b"".join(parse(t) + bind() + execute() for t in ("CREATE TEMP TABLE ward (secret text)", "DROP TABLE pg_temp.ward", "SELECT secret FROM ward")) + SYNC),
    value("prepared while a temporary table had the name", "CREATE TEMP TABLE ward (secret text)", "PREPARE w AS SELECT secret FROM ward", "DROP TABLE pg_temp.ward", "EXECUTE w"),
    value("parsed while a temporary table had the name", "CREATE TEMP TABLE ward (secret text)", parse("SELECT secret FROM ward", "w") + SYNC, "DROP TABLE pg_temp.ward", bind(name="w") + execute() + SYNC),
    value("a cursor of a name that changes hands", "CREATE SCHEMA front", "CREATE TABLE front.ward (secret text)", "SET search_path = front, public", "PREPARE w AS SELECT secret FROM ward", "DROP SCHEMA front CASCADE", "EXECUTE w"),
    value("a view of a temporary table of the name", "CREATE TEMP TABLE ward (secret text)", "CREATE TEMP VIEW pv AS SELECT secret FROM ward", "DROP TABLE pg_temp.ward CASCADE", "CREATE TEMP VIEW pv AS SELECT secret FROM ward", "TABLE pv"),
    value("a view made anew by another name", *within("CREATE VIEW innocent AS SELECT note AS x FROM departments", "CREATE OR REPLACE VIEW innocent AS SELECT secret AS x FROM ward", "SELECT x FROM innocent")),
    value("a recursive view made", *within("CREATE RECURSIVE VIEW rv (s) AS SELECT ssn FROM patients UNION SELECT s FROM rv", "TABLE rv")),
    value("a masked column's partition detached", *within("ALTER TABLE visits DETACH PARTITION visits_2023", "SELECT patient FROM visits_2023")),
    value("a table attached in the place of a partition", *within("CREATE TABLE visits_2050 (LIKE visits)", "ALTER TABLE visits ATTACH PARTITION visits_2050 FOR VALUES IN (2050)", "TABLE visits_2050"), bare=False),
    value("a view's schema changed", *within("ALTER VIEW patient_directory SET SCHEMA hospital", "SELECT chart_no FROM hospital.patient_directory")),
    value("a masked row type changed", *within("ALTER TABLE folders ALTER f TYPE text USING f::text", "TABLE folders")),
    value("a type's field renamed", *within("ALTER TYPE folder RENAME ATTRIBUTE p TO q", "SELECT (f).q FROM folders")),
    value("a domain renamed", *within("ALTER DOMAIN chart RENAME TO plain", "SELECT mrn FROM public.charts")),
    value("a table rewritten by a column's new type", *within("ALTER TABLE charts ALTER mrn TYPE text", "SELECT mrn FROM public.charts")),
    value("a function made in the place of an operator's", *within("CREATE FUNCTION pg_temp.abs(int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM public.patients WHERE id = $1'", "SELECT pg_temp.abs(1)")),
    value("an event trigger", *within("CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE '%', (SELECT min(ssn) FROM public.patients); END$$", "CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION et()", "CREATE TABLE et1 ()")),
    overloaded(value("a default that reads by a listed name", *within("ALTER TABLE departments ALTER note SET DEFAULT lower(1)", "INSERT INTO departments (id, code, name) VALUES (77, 'x', 'y') RETURNING note"))),
    overloaded(value("a search path in front of the server's names", "SET search_path = public, pg_catalog", "SELECT lower(1), 'x' OPERATOR(public.===) 1")),
)  # fmt: skip

WIRE: tuple[Attempt, ...] = (
    value("a row in binary", asked("SELECT p, ssn, dob FROM patients p", binary=True)),
    value("a kept row in binary", asked("SELECT f, fs FROM folders", binary=True)),
    value("a kept row of a view in binary", asked("SELECT d FROM snaps", binary=True)),
    value("a parameter of the table's row type", lambda oid: asked("SELECT $1, ($1).ssn, p FROM patients p", None, oids=(oid("patients"),))),
    value("a parameter whose type is a name's", lambda oid: asked("SELECT ssn FROM patients WHERE tableoid = $1", "patients", oids=(oid("regclass"),))),
    value("a portal of the protocol fetched in SQL", "BEGIN", parse("TABLE patients") + bind(portal="c") + SYNC, "FETCH ALL FROM c", "ROLLBACK"),
    value("a statement of the protocol executed in SQL", parse("SELECT ssn FROM patients", "s") + SYNC, "EXECUTE s"),
    value("a statement of SQL bound by the protocol", "PREPARE s AS SELECT ssn, p FROM patients p", bind(name="s", binary=True) + describe() + execute() + SYNC),
    value("a cursor of SQL executed by the protocol", "BEGIN", "DECLARE c CURSOR FOR SELECT ssn FROM patients", describe("P", "c") + execute("c") + SYNC, "ROLLBACK"),
    value("a name closed in an aborted pipeline", parse("SELECT note FROM departments", "s") + SYNC, parse("nonsense") + close("S", "s") + parse("SELECT ssn FROM patients", "s") + SYNC, bind(name="s") + execute() + SYNC, bare=False),
    value("a name prepared twice in a pipeline", parse("SELECT note FROM departments", "s") + close("S", "s") + parse("SELECT ssn FROM patients", "s") + bind(name="s") + describe() + execute() + SYNC),
    value("the unnamed statement replaced by a simple query", parse("SELECT ssn FROM patients") + SYNC, "SELECT 1", bind() + execute() + SYNC, bare=False),
    value("several results under one description", "BEGIN", parse("SELECT id, note FROM departments", "s") + parse("SELECT id, ssn FROM patients", "t") + describe("S", "s") + bind(name="t") + execute() + SYNC, "ROLLBACK"),
    value("a portal suspended, then read on", "BEGIN", parse("SELECT ssn FROM patients") + bind(portal="p", binary=True) + describe("P", "p") + execute("p", 2) + SYNC, execute("p", 1) + execute("p") + SYNC, "ROLLBACK"),
    overloaded(value("a fast-path call of a listed name for another type", lambda oid: call(oid("lower(int)"), b"\0\0\0\x01"))),
    value("a fast-path call of an operator's function", lambda oid: call(oid("op_leak(text,int)"), b"x", b"\0\0\0\x01")),
    value("a fast-path call of a cast", lambda oid: call(oid("cast_leak(int)"), b"\0\0\0\x01")),
    value("a second text behind the first's end", b"Q" + (4 + 9 + 24).to_bytes(4, "big") + b"SELECT 1\0" + b"SELECT ssn FROM patients", bare=False),
    value("COPY in binary", "COPY (SELECT p, ssn FROM patients p) TO STDOUT (FORMAT binary)"),
    value("COPY as csv with a header and quotes", "COPY (SELECT * FROM folders) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)"),
    value("COPY of kept rows", "COPY folders TO STDOUT", "COPY snaps (d, m) TO STDOUT"),
    value("COPY by the extended protocol", parse("COPY public.patients (ssn) TO STDOUT") + bind() + execute() + SYNC),
    value("several COPYs and a SELECT", "COPY folders TO STDOUT; SELECT f FROM folders; COPY ward (tail) TO STDOUT; COPY (SELECT tail FROM ward) TO STDOUT"),
)  # fmt: skip

VALUES = EXPRESSIONS + CODE + CALLS + WRITES + NEW_SERVERS + NAMES + WIRE
