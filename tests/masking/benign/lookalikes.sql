-- What only looks dangerous, ordinary session work, filters of all sorts, and second looks at masked columns that tell nothing.

-- words in texts and names
SELECT 'DELETE FROM patients; --' AS note, E'\x44ROP' AS e, U&'\0044ROP TABLE x' AS u, $x$GRANT $$ ALL$x$ AS d
SELECT sql FROM (VALUES ('TRUNCATE scratch'), ('ALTER SYSTEM SET x = 1')) v(sql) ORDER BY 1
SELECT d."grant", d."copy" FROM (SELECT id AS "grant", code AS "copy" FROM departments) AS d ORDER BY 1
SELECT position('DROP' IN detail), overlay('DROPS' placing 'x' from 1 for 4), trim(both 'x' from 'xDROPx'), substring('TRUNCATE' from 2 for 3) FROM app_events ORDER BY id LIMIT 2
SELECT /* ; DROP TABLE patients /* nested; */ */ 1 AS one -- DELETE FROM scratch
SELECT id FROM app_events WHERE kind <> 'drop table' AND detail NOT LIKE '%; DELETE%' ORDER BY id
SELECT to_tsvector('simple', 'drop table; grant all')::text, quote_literal('''; DROP'), format('DROP TABLE %I', 'x')
SELECT count(*) AS "delete from", max(id) AS "; --" FROM app_events
WITH truncate AS (SELECT 1 AS alter), revoke AS (SELECT alter FROM truncate) SELECT * FROM revoke
INSERT INTO scratch (k, v) VALUES ('grant', E'line\nDROP TABLE x;\t--'), ('copy', $$FROM PROGRAM 'id'$$) RETURNING v
SELECT 'SELECT ssn FROM patients' AS query, json_build_object('ssn', 'none', 'mrn', 1)
SELECT ssn.id, ssn.mrn FROM (SELECT id, code AS mrn FROM departments) ssn ORDER BY 1
SELECT id AS ssn, state AS full_name FROM patients ORDER BY id

-- session work
SET statement_timeout = '30s' ;; SET lock_timeout = '5s' ;; SET idle_in_transaction_session_timeout = '60s' ;; SHOW lock_timeout
SET TIME ZONE 'Europe/Berlin' ;; SHOW timezone
SET LOCAL search_path = public ;; SELECT code FROM departments WHERE id = 1
SET extra_float_digits = 3 ;; SET datestyle = 'ISO, MDY' ;; SET intervalstyle = 'postgres' ;; SET client_min_messages = warning ;; SELECT 1
SET application_name = 'DROP TABLE patients' ;; SHOW application_name
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE ;; SHOW transaction_isolation
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ ;; SELECT count(*) FROM patients
SET LOCAL work_mem = '16MB' ;; SELECT id FROM encounters ORDER BY cost LIMIT 3
SET LOCAL enable_seqscan = off ;; SELECT code FROM departments WHERE id = 2
SET CONSTRAINTS ALL DEFERRED ;; INSERT INTO scratch VALUES ('x', 'y')
LISTEN updates ;; NOTIFY updates, 'DROP TABLE x' ;; UNLISTEN *
LOCK TABLE scratch IN ROW EXCLUSIVE MODE ;; SELECT count(*) FROM scratch
SELECT pg_advisory_xact_lock(42), pg_try_advisory_xact_lock(43)
SELECT pg_size_pretty(pg_total_relation_size('patients')) IS NOT NULL, to_regclass('public.patients') IS NOT NULL, has_table_privilege('patients', 'select')
SELECT pg_get_viewdef('dept_load'::regclass, true), pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'departments_pkey'
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'patients' ORDER BY 1
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'patients' ORDER BY ordinal_position
SELECT relname, n_live_tup >= 0 AS known FROM pg_stat_user_tables WHERE relname IN ('patients', 'encounters') ORDER BY 1
SELECT name, setting FROM pg_settings WHERE name IN ('TimeZone', 'server_encoding') ORDER BY 1
SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND datname = current_database()
SELECT count(*) > 0 FROM pg_locks WHERE pid = pg_backend_pid()
SELECT c.conname, a.attname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey) WHERE c.conrelid = 'encounters'::regclass ORDER BY 1, 2
SELECT txid_current_if_assigned() IS NULL, pg_is_in_recovery(), pg_current_wal_lsn() IS NOT NULL, current_setting('server_version_num')::int > 90000
SELECT proname, pg_get_function_result(oid) FROM pg_proc WHERE proname = 'active_patients'

-- filters that name their rows
DELETE FROM app_events WHERE id = 4::int
DELETE FROM app_events WHERE id = CAST('4' AS integer)
DELETE FROM app_events WHERE (id = 4)
DELETE FROM app_events WHERE id IN (4, 5, 6) AND kind IS NOT NULL
DELETE FROM app_events WHERE kind = 'login' OR kind = 'logout'
DELETE FROM app_events WHERE at::date = '2024-01-03'
DELETE FROM app_events WHERE date(at) = '2024-01-03'
DELETE FROM app_events WHERE date_trunc('day', at) = '2024-01-03'
DELETE FROM app_events WHERE at >= '2024-01-03' AND at < '2024-01-04' AND kind = 'login'
DELETE FROM app_events WHERE at >= current_date - 7 AND at < current_date
DELETE FROM app_events WHERE at BETWEEN now() - interval '1 day' AND now()
DELETE FROM app_events WHERE id = (SELECT max(e.id) FROM app_events e)
DELETE FROM scratch WHERE k = ANY (string_to_array('k1,k2', ','))
DELETE FROM scratch WHERE upper(k) = 'K1' AND v IS NOT NULL
DELETE FROM scratch WHERE k ILIKE 'k1%'
DELETE FROM scratch WHERE k = $1 AND v = $2 -- $ k1 | v
DELETE FROM scratch WHERE ctid IN (SELECT s.ctid FROM scratch s WHERE s.k = 'k1' LIMIT 1)
UPDATE app_events SET detail = 'x' WHERE id = 3 AND "drop" IS NOT TRUE RETURNING id
UPDATE app_events SET detail = concat(detail, '; DROP') WHERE id = $1 RETURNING detail -- $ 3
UPDATE app_events SET kind = CASE id WHEN 1 THEN 'a' WHEN 2 THEN 'b' END WHERE id IN (1, 2) RETURNING id, kind
UPDATE encounters SET status = 'billed' WHERE status = 'open' AND patient_id = 1
UPDATE encounters SET cost = round(cost * 1.05, 2) WHERE id = ANY ('{1,2}'::int[]) RETURNING id, cost
UPDATE patients SET active = NOT active WHERE id = 2 AND state = 'TX' RETURNING id, active
UPDATE scratch s SET v = x.v FROM (SELECT unnest($1::text[]) AS k, unnest($2::text[]) AS v) x WHERE s.k = x.k -- $ {k1,k2} | {a,b}
UPDATE scratch SET v = x.v FROM jsonb_each_text('{"k1": "a"}') AS x(k, v) WHERE scratch.k = x.k

-- masked columns that decide nothing, or only whether they are equal or there
SELECT count(*) FROM (SELECT ssn FROM patients GROUP BY ssn HAVING count(*) > 1) d
SELECT a.id, b.id FROM patients a JOIN patients b ON a.email = b.email AND a.id < b.id
SELECT count(DISTINCT p.ssn), count(DISTINCT p.state) FROM patients p JOIN encounters e ON e.patient_id = p.id
SELECT id, count(*) OVER (PARTITION BY phone) AS same_phone FROM patients ORDER BY id
SELECT state, count(email), count(cc_number), count(*) FROM patients GROUP BY ROLLUP (state) ORDER BY 1
SELECT round(100.0 * count(email) / count(*), 1) AS reachable FROM patients
SELECT id FROM patients WHERE full_name IS NOT NULL AND cc_number IS NULL ORDER BY id
[full_name, ssn, dob] SELECT p.id, p.full_name, p.ssn, p.dob, d.name FROM patients p LEFT JOIN departments d ON d.id = p.dept_id WHERE p.height_cm BETWEEN 160 AND 180 ORDER BY d.name, p.id LIMIT 3 OFFSET 1
[full_name] SELECT DISTINCT p.id, p.state FROM patients p JOIN encounters e ON e.patient_id = p.id WHERE e.cost > 150 ORDER BY p.id
[patient] SELECT e.id, (SELECT p.full_name FROM patients p WHERE p.id = e.patient_id AND p.active) AS patient FROM encounters e ORDER BY e.id
[card] SELECT id, 'xxxx-' || right(cc_number, 4) AS card, state FROM patients ORDER BY id
[born] SELECT id, to_char(dob, 'YYYY') AS born FROM patients ORDER BY id
[label] SELECT id, format('%s (%s)', full_name, mrn) AS label FROM patients ORDER BY id
[p] SELECT p FROM patients p ORDER BY p.id
[mrn, ssn, full_name, dob, phone, email, cc_number, address] SELECT p.*, d.code FROM patients p JOIN departments d ON d.id = p.dept_id ORDER BY p.id
[mrn, ssn, full_name, dob, phone, email, cc_number, address, notes] SELECT * FROM patients p JOIN departments d ON d.id = p.dept_id JOIN encounters e ON e.patient_id = p.id WHERE e.id < 4 ORDER BY e.id
[notes] SELECT kind, array_agg(notes ORDER BY id) AS notes, count(*) FROM encounters GROUP BY kind ORDER BY kind
[j] SELECT json_build_object('id', id, 'name', full_name, 'state', state) AS j FROM patients ORDER BY id
[string_agg] SELECT state, string_agg(full_name, ', ' ORDER BY id) FROM patients GROUP BY state ORDER BY state
[max] SELECT dept_id, max(full_name) FROM patients GROUP BY dept_id ORDER BY dept_id
