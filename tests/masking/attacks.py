"""
Attempts to get a masked value, or an answer about one, written against this addon by its author.

Each is a list of statements sent one by one in a session of its own. None may bring a canary back.
"""

from __future__ import annotations

VALUES: dict[str, list[str]] = {
    # names that are not what they look like
    "a CTE that takes the table's name reads the table": [
        "WITH patients AS (SELECT * FROM patients) SELECT ssn FROM patients"
    ],
    "a CTE of one branch is not seen by the other": [
        "(WITH patients AS (SELECT 'x' AS ssn) SELECT ssn FROM patients) UNION ALL SELECT ssn FROM patients"
    ],
    "a CTE of a sub-select is not seen outside": [
        "SELECT (WITH patients AS (SELECT 'x'::text AS ssn) SELECT ssn FROM patients), p.ssn FROM patients p"
    ],
    "a later CTE is not seen by an earlier one": [
        "WITH a AS (SELECT ssn FROM patients), patients AS (SELECT 1) SELECT * FROM a"
    ],
    "a recursive CTE with the table's name": [
        "WITH RECURSIVE r(n, s) AS (SELECT 1, ssn FROM public.patients UNION ALL SELECT n + 1, s FROM r WHERE n < 2) SELECT s FROM r"
    ],
    "a qualified name passes by the CTE": ["WITH patients AS (SELECT 1 AS ssn) SELECT ssn FROM public.patients"],
    "an alias that is another table's name": [
        "SELECT departments.code FROM (SELECT ssn AS code FROM patients) departments"
    ],
    "unicode escapes": ['SELECT U&"\\0073sn" FROM U&"\\0070atients"'],
    "quoted and qualified": ['SELECT "public"."patients"."ssn" FROM "public"."patients"'],
    "database, schema and table": ["SELECT wide.public.patients.ssn FROM wide.public.patients"],
    "comments between": ["SELECT/**/ssn/**/FROM/**/patients--"],
    "a row of a qualified table": ["SELECT public.patients.* FROM public.patients"],
    "a search path with a stranger in front": [
        "SET search_path = hospital, public",
        "SELECT mrn FROM public.charts",
        "SELECT mrn FROM charts",
    ],
    "the same name in two schemas": [
        "SET search_path = public",
        "SELECT mrn FROM charts",
        "RESET search_path",
        "TABLE charts",
    ],
    # rows and parts of rows
    "functional notation": ["SELECT ssn(p) FROM public.patients p"],
    "a row's field": ["SELECT (p).ssn, (p.*)::text FROM public.patients p"],
    "a join's alias": ["SELECT x FROM (public.patients a CROSS JOIN departments d) AS x"],
    "a join's USING alias": ["SELECT j FROM public.patients a JOIN public.patients b USING (id, ssn) AS j"],
    "ROW of a star": ["SELECT ROW(p.*) FROM public.patients p"],
    "row compared": ["SELECT p = p, p::text FROM public.patients p"],
    "hstore of a row": ["SELECT each(hstore(p)) FROM public.patients p"],
    "json path": ["SELECT doc #>> '{ssn}', doc -> 'mrn' FROM patient_docs", "SELECT doc['ssn'] FROM patient_docs"],
    "xmltable": ["SELECT x.* FROM patient_docs, XMLTABLE('//patient' PASSING xdoc COLUMNS s text PATH '@ssn') x"],
    "array subscripts": ["SELECT tags[2], tags[1:2] FROM patient_docs", "SELECT unnest(tags) FROM patient_docs"],
    "a row kept in another table": ["SELECT before FROM audit_log", "SELECT (before).ssn FROM audit_log"],
    "rows kept in an array": [
        "SELECT befores FROM audit_log",
        "SELECT (befores[1]).ssn FROM audit_log",
        "SELECT unnest(befores) FROM audit_log",
    ],
    "a generated column": ["SELECT tail, secret FROM ward", "SELECT * FROM ward"],
    "a domain": ["SELECT mrn FROM charts", "SELECT mrn::text, born, raw, tags FROM charts"],
    "a partition's parent": [
        "SELECT * FROM visits",
        "SELECT patient FROM visits_old",
        "SELECT patient FROM visits_2023",
    ],
    # views
    "a view over a function": ["SELECT * FROM v_fn"],
    "a view of whole rows": ["SELECT * FROM v_row", "SELECT everything FROM v_row"],
    "a view of a union": ["SELECT label FROM v_union"],
    "a view of json": ["SELECT j ->> 'ssn' FROM v_json"],
    "a view of a star": ["SELECT ssn FROM v_star", "TABLE v_star"],
    "a recursive view": ["SELECT s FROM v_cte"],
    "a view over an operator": ["SELECT o FROM v_op"],
    "a view with USING": ["SELECT mrn FROM v_using"],
    "a view of an aggregate": ["SELECT list FROM v_agg"],
    "a view of a lateral": ["SELECT q FROM v_lateral"],
    "a view of a set-returning function": ["SELECT * FROM v_srf"],
    "a view of a window": ["SELECT f FROM v_win"],
    "a view of renamed columns": ["SELECT harmless FROM v_alias"],
    "a materialized view of views": [
        "SELECT * FROM mv_nested",
        "SELECT nm FROM v_mv",
        "REFRESH MATERIALIZED VIEW mv_nested",
    ],
    "a view's row": ["SELECT d FROM patient_directory d", "SELECT to_json(d) FROM directory_nested d"],
    # code that is not the server's
    "attribute notation calls a function": [
        "SELECT d.dept_leak FROM departments d",
        "SELECT (d).dept_leak FROM departments d",
    ],
    "a user's operator": ["SELECT 'x' === 1", "SELECT 'x' OPERATOR(public.===) 1"],
    "a user's cast": ["SELECT 1::leaky", "SELECT CAST(1 AS public.leaky)", "SELECT (1::leaky).v"],
    "a qualified catalog function that runs SQL": ["SELECT pg_catalog.query_to_xml('TABLE patients', true, false, '')"],
    "a set-returning function in a select list": ["SELECT (find_patients('VT')).*"],
    "a function in a default": [
        "CREATE TEMP TABLE t(v text DEFAULT get_patient_ssn(1))",
        "INSERT INTO t DEFAULT VALUES",
        "TABLE t",
    ],
    "a function in a domain": ["CREATE DOMAIN dd AS text DEFAULT get_patient_ssn(1)"],
    "a function in a generated column": [
        "CREATE TEMP TABLE g(a int, v text GENERATED ALWAYS AS (patient_ssn_imm(a)) STORED)"
    ],
    "a function in an index": ["CREATE INDEX ON departments (patient_ssn_imm(id))"],
    "a function that is made first": [
        "CREATE FUNCTION pg_temp.g() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(ssn) FROM patients); END'",
        "SELECT pg_temp.g()",
    ],
    "a function in SQL that is made first": [
        "CREATE FUNCTION pg_temp.h() RETURNS text BEGIN ATOMIC SELECT max(ssn) FROM public.patients; END",
        "SELECT pg_temp.h()",
    ],
    "a listed function replaced": [
        "CREATE OR REPLACE FUNCTION active_patients() RETURNS bigint LANGUAGE sql AS 'SELECT replace(max(ssn),''-'','''')::bigint FROM public.patients'",
        "SELECT active_patients()",
    ],
    "a function takes a listed name": [
        "BEGIN",
        "ALTER FUNCTION active_patients() RENAME TO old_one",
        "ALTER FUNCTION get_patient_ssn(int) RENAME TO active_patients",
        "SELECT active_patients(1)",
        "ROLLBACK",
    ],
    "an operator that is made first": ["CREATE OPERATOR #=# (RIGHTARG=int, FUNCTION=get_patient_ssn)", "SELECT #=# 1"],
    "an aggregate that is made first": [
        "CREATE AGGREGATE pg_temp.cat(text) (sfunc=textcat, stype=text, initcond='')",
        "SELECT pg_temp.cat(secret) FROM ward",
    ],
    # writes
    "returning a masked column": ["BEGIN", "UPDATE public.patients SET active = active RETURNING *", "ROLLBACK"],
    "returning a row": ["BEGIN", "UPDATE public.patients p SET active = active RETURNING p", "ROLLBACK"],
    "returning a field": ["BEGIN", "DELETE FROM public.patients p WHERE id = 90 RETURNING (p).ssn", "ROLLBACK"],
    "writing a masked column into a clear one": [
        "BEGIN",
        "UPDATE public.patients SET state = ssn WHERE id = 1 RETURNING state",
        "ROLLBACK",
    ],
    "writing a row into a clear one": [
        "BEGIN",
        "UPDATE public.patients p SET state = p::text",
        "SELECT state FROM public.patients",
        "ROLLBACK",
    ],
    "writing a sub-select into a clear one": [
        "BEGIN",
        "UPDATE scratch SET v = (SELECT max(ssn) FROM public.patients)",
        "TABLE scratch",
        "ROLLBACK",
    ],
    "several columns at once": [
        "BEGIN",
        "UPDATE public.patients SET (state, zip3) = (SELECT ssn, mrn)",
        "SELECT state FROM public.patients",
        "ROLLBACK",
    ],
    "UPDATE FROM": [
        "BEGIN",
        "UPDATE ward SET note = p.ssn FROM public.patients p WHERE p.id = ward.id",
        "SELECT note FROM ward",
        "ROLLBACK",
    ],
    "DELETE USING returns": [
        "BEGIN",
        "DELETE FROM ward USING public.patients p WHERE p.id = ward.id RETURNING p.ssn",
        "ROLLBACK",
    ],
    "MERGE": [
        "BEGIN",
        "MERGE INTO scratch s USING public.patients p ON s.k = p.mrn WHEN NOT MATCHED THEN INSERT VALUES (p.mrn, p.ssn)",
        "TABLE scratch",
        "ROLLBACK",
    ],
    "INSERT TABLE": [
        "BEGIN",
        "INSERT INTO scratch SELECT chart_no, contact FROM patient_directory",
        "TABLE scratch",
        "ROLLBACK",
    ],
    "an upsert reads the old row": [
        "BEGIN",
        "INSERT INTO ward AS w (id, code) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET note = w.secret RETURNING note",
        "ROLLBACK",
    ],
    "a write in a CTE": [
        "BEGIN",
        "WITH w AS (UPDATE ward SET note = secret RETURNING note) SELECT * FROM w",
        "ROLLBACK",
    ],
    "a write through a view": ["BEGIN", "UPDATE v_star SET state = ssn RETURNING state", "ROLLBACK"],
    # laundering
    "SELECT INTO": ["SELECT ssn AS a INTO TEMP t9 FROM public.patients", "SELECT a FROM t9"],
    "CREATE TABLE LIKE and copy": [
        "BEGIN",
        "CREATE TABLE c1 (LIKE public.patients)",
        "INSERT INTO c1 TABLE public.patients",
        "TABLE c1",
        "ROLLBACK",
    ],
    "a child of a masked table": ["BEGIN", "CREATE TABLE c2 () INHERITS (public.patients)", "TABLE c2", "ROLLBACK"],
    "a table made a parent's child": [
        "BEGIN",
        "ALTER TABLE public.patients_archive NO INHERIT public.patients",
        "SELECT ssn FROM patients_archive",
        "ROLLBACK",
    ],
    "a column renamed": ["BEGIN", "ALTER TABLE ward RENAME secret TO note2", "SELECT note2 FROM ward", "ROLLBACK"],
    "a view's column renamed": [
        "BEGIN",
        "ALTER VIEW patient_directory RENAME chart_no TO c",
        "SELECT c FROM patient_directory",
        "ROLLBACK",
    ],
    "a schema renamed": [
        "BEGIN",
        "ALTER SCHEMA public RENAME TO shadow",
        "SELECT ssn FROM shadow.patients",
        "ROLLBACK",
    ],
    "a table moved": ["BEGIN", "ALTER TABLE ward SET SCHEMA hospital", "SELECT secret FROM hospital.ward", "ROLLBACK"],
    "a schema with a view in it": [
        "BEGIN",
        "CREATE SCHEMA s9 CREATE VIEW v AS SELECT ssn AS x FROM public.patients",
        "SELECT x FROM s9.v",
        "ROLLBACK",
    ],
    "a rule": [
        "BEGIN",
        "CREATE RULE r AS ON INSERT TO noisy DO INSTEAD SELECT ssn FROM public.patients",
        "INSERT INTO noisy VALUES (1)",
        "ROLLBACK",
    ],
    "an owner's rule that answers a write with rows": ["INSERT INTO ruled VALUES (1)"],
    "a policy": [
        "BEGIN",
        "CREATE POLICY p ON scratch USING (EXISTS (SELECT FROM public.patients WHERE ssn LIKE '9%'))",
        "ROLLBACK",
    ],
    "a prepared CREATE TABLE AS": [
        "PREPARE q9 AS SELECT ssn FROM public.patients",
        "CREATE TEMP TABLE t8 AS EXECUTE q9",
        "TABLE t8",
    ],
    "a foreign table": [
        "BEGIN",
        "CREATE EXTENSION IF NOT EXISTS postgres_fdw",
        "CREATE SERVER me FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', dbname 'clinic')",
        "ROLLBACK",
    ],
    "a column added with a value": [
        "BEGIN",
        "ALTER TABLE ward ADD COLUMN peek text GENERATED ALWAYS AS (secret) STORED",
        "SELECT peek FROM ward",
        "ROLLBACK",
    ],
    "an expression index": ["CREATE INDEX ON ward ((secret::int))"],
    "a type changed": ["BEGIN", "ALTER TABLE ward ALTER secret TYPE int USING secret::int", "ROLLBACK"],
    "a check added": ["BEGIN", "ALTER TABLE ward ADD CHECK (secret > '987-65-4324')", "ROLLBACK"],
    # the server's own relations
    "statistics": [
        "SELECT most_common_vals, histogram_bounds FROM pg_stats",
        "SELECT * FROM pg_statistic",
        "TABLE pg_stats_ext",
    ],
    "TOAST": ["SELECT * FROM pg_toast.pg_toast_2618 LIMIT 1"],
    "large objects": ["SELECT data FROM pg_largeobject"],
    "other sessions' statements": ["SELECT query FROM pg_stat_activity", "SELECT query FROM pg_stat_statements"],
    "a view over statistics": ["CREATE TEMP VIEW sv AS SELECT * FROM pg_stats", "SELECT * FROM sv"],
    # text
    "a trigger's notice": ["BEGIN", "INSERT INTO noisy VALUES (1, 'x')", "ROLLBACK"],
    "a trigger's error, dressed as a missing column": ["INSERT INTO failing VALUES (1, 'x')"],
    "a violated check": ["BEGIN", "UPDATE charts SET id = id", "ROLLBACK", "INSERT INTO charts(id) VALUES (1)"],
    "a duplicate key": ["BEGIN", "UPDATE ward SET id = 2 WHERE id = 1", "ROLLBACK"],
    # ways to run a statement
    "EXPLAIN ANALYZE": ["EXPLAIN ANALYZE SELECT ssn FROM public.patients"],
    "EXPLAIN ANALYZE of a prepared name": [
        "PREPARE e2 AS SELECT ssn FROM public.patients WHERE id = 1", "EXPLAIN ANALYZE EXECUTE e2",
    ],
    "EXPLAIN VERBOSE": ["EXPLAIN VERBOSE SELECT ssn FROM public.patients WHERE id = 1"],
    "a scrolling cursor": [
        "BEGIN",
        "DECLARE c SCROLL CURSOR WITH HOLD FOR TABLE public.patients",
        "COMMIT",
        "FETCH ALL c",
    ],
    "COPY of a view": ["COPY patient_mv TO STDOUT", "COPY (TABLE patient_directory) TO STDOUT"],
    "several statements": ["SELECT 1; SELECT ssn FROM public.patients; SELECT 2"],
    "quotes made unsafe by a function": [
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        "SELECT 'a\\'', ssn FROM public.patients --'",
    ],
    "quotes made unsafe by RESET": [
        "SET standard_conforming_strings TO 'off'",
        "SELECT 'a\\'', ssn FROM public.patients --'",
    ],
    "an anonymous block": ["DO 'BEGIN RAISE EXCEPTION ''%'', (SELECT max(ssn) FROM public.patients); END'"],
    "a procedure": ["CALL wipe_scratch()"],
    "locked rows": ["SELECT ssn FROM public.patients FOR UPDATE", "SELECT p FROM public.patients p FOR SHARE OF p"],
    "a sample": ["SELECT ssn FROM public.patients TABLESAMPLE bernoulli (100)"],
    "system columns": ["SELECT ctid, ssn FROM public.patients", "SELECT p.tableoid, p.ssn FROM public.patients p"],
    "grouping by the key": ["SELECT ssn FROM public.patients GROUP BY id"],
    "only, in parentheses": ["SELECT ssn FROM ONLY (public.patients)", "SELECT ssn FROM public.patients *"],
    "very deep": [
        "SELECT " + "(" * 30 + "SELECT max(ssn) FROM public.patients" + ")" * 30,
        "SELECT " + "||".join(["ssn"] * 40) + " FROM public.patients",
    ],
}

ORACLES: dict[str, tuple[list[str], list[str]]] = {
    name: ([template.replace("CANARY", "987-65-4321")], [template.replace("CANARY", "111-11-1111")])
    for name, template in {
        "a row compared": "SELECT id FROM public.patients p WHERE p::text LIKE '%CANARY%'",
        "a field of a row": "SELECT id FROM public.patients p WHERE (p).ssn = 'CANARY'",
        "an IN": "SELECT id FROM departments WHERE 'CANARY' IN (SELECT ssn FROM public.patients)",
        "an EXISTS": "SELECT EXISTS (SELECT FROM public.patients WHERE ssn = 'CANARY')",
        "an ANY": "SELECT 'CANARY' = ANY (SELECT ssn FROM public.patients)",
        "an array": "SELECT ARRAY(SELECT ssn FROM public.patients) @> ARRAY['CANARY']",
        "a CASE in a sort": "SELECT id FROM public.patients ORDER BY CASE WHEN ssn = 'CANARY' THEN 0 ELSE 1 END, id",
        "NULLIF": "SELECT NULLIF(ssn, 'CANARY') IS NULL FROM public.patients",
        "a FILTER": "SELECT count(*) FILTER (WHERE ssn = 'CANARY') FROM public.patients",
        "a HAVING": "SELECT state FROM public.patients GROUP BY state HAVING bool_or(ssn = 'CANARY')",
        "a LIMIT": "SELECT id FROM departments LIMIT (SELECT count(*) FROM public.patients WHERE ssn = 'CANARY')",
        "an INTERSECT": "SELECT ssn FROM public.patients INTERSECT SELECT 'CANARY'",
        "a join": "SELECT p.id FROM public.patients p JOIN (SELECT 'CANARY' AS ssn) x USING (ssn)",
        "a natural join": "SELECT count(*) FROM public.patients NATURAL JOIN (SELECT 'CANARY'::text AS ssn) x",
        "a division by zero": "SELECT 1 / (CASE WHEN max(ssn) = 'CANARY' THEN 0 ELSE 1 END) FROM public.patients WHERE id = 1",
        "a view's column": "SELECT id FROM v_alias JOIN departments ON id = id2 WHERE harmless = 'CANARY'",
        "an update's filter": "UPDATE public.patients SET active = active WHERE ssn = 'CANARY'",
        "a delete's filter": "DELETE FROM public.patients WHERE ssn = 'CANARY' AND id < 0",
        "an update's filter by row": "UPDATE public.patients p SET active = active WHERE p::text LIKE '%CANARY%'",
        "an upsert's conflict": "INSERT INTO ward(id, secret) VALUES (1, 'CANARY') ON CONFLICT DO NOTHING",
        "a write's error": "INSERT INTO scratch SELECT (1 / (position('CANARY' in max(ssn))))::text FROM public.patients",
        "EXPLAIN": "EXPLAIN SELECT 1 FROM public.patients WHERE ssn = 'CANARY'",
        "a prepared statement": "PREPARE z AS SELECT count(*) FROM public.patients WHERE ssn = 'CANARY'; EXECUTE z",
        "a hash": "SELECT md5(ssn) = md5('CANARY') FROM public.patients WHERE id = 1",
        "greatest": "SELECT greatest(ssn, 'CANARY') = 'CANARY' FROM public.patients WHERE id = 1",
        "rows of a function": "SELECT count(*) FROM public.patients, generate_series(1, position('CANARY' in ssn))",
    }.items()
}
