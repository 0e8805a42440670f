-- Writes that applications and jobs make beside masked columns, each rolled back.

INSERT INTO scratch (k, v) VALUES ('a', 'b'), ('c', DEFAULT) RETURNING k, v
INSERT INTO scratch SELECT code, name FROM departments
INSERT INTO scratch (k, v) SELECT p.id::text, p.state FROM patients p WHERE p.active
INSERT INTO scratch (k, v) SELECT p.state, count(*)::text FROM patients p GROUP BY p.state
INSERT INTO scratch (k, v) WITH x AS (SELECT id, state FROM patients) SELECT id::text, state FROM x
INSERT INTO scratch (k, v) SELECT e.kind, sum(e.cost)::text FROM encounters e JOIN patients p ON p.id = e.patient_id WHERE p.state = 'CA' GROUP BY e.kind
INSERT INTO scratch DEFAULT VALUES
INSERT INTO departments (id, code, name) VALUES (1, 'CARD', 'Heart') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name RETURNING id, name
INSERT INTO departments (id, code, name, floor) VALUES (9, 'X', 'Y', 1) ON CONFLICT DO NOTHING
INSERT INTO departments AS d (id, code, name) VALUES (2, 'ONC', 'Cancer') ON CONFLICT ON CONSTRAINT departments_pkey DO UPDATE SET name = EXCLUDED.name, floor = d.floor + 1 WHERE d.id = 2 RETURNING d.id, d.name, d.floor
INSERT INTO departments (id, code, name) SELECT id, code, name || '!' FROM departments WHERE id IN (1, 2) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT d.id, d.code, d.name || '!' FROM departments d WHERE d.id IN (1, 2) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT v.id, v.code, v.name FROM (VALUES (1, 'CARD', 'Heart'), (7, 'NEW', 'New')) v(id, code, name) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT * FROM (VALUES (1, 'CARD', 'Heart')) v(id, code, name) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT 1, 'CARD', 'Heart' ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT * FROM unnest(ARRAY[1, 8], ARRAY['CARD', 'EIGHT'], ARRAY['Heart', 'Eight']) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT x.id, x.code, x.name FROM unnest($1::int[], $2::text[], $3::text[]) AS x(id, code, name) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name -- $ {1,8} | {CARD,EIGHT} | {Heart,Eight}
INSERT INTO departments (id, code, name) SELECT id, code, name FROM jsonb_to_recordset('[{"id": 1, "code": "CARD", "name": "Heart"}]') AS x(id int, code text, name text) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
WITH fresh(id, code, name) AS (VALUES (1, 'CARD', 'Heart'), (7, 'NEW', 'New')) INSERT INTO departments (id, code, name) SELECT id, code, name FROM fresh ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT id, code, name FROM departments WHERE id = 1 ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, floor = coalesce(EXCLUDED.floor, departments.floor)
INSERT INTO departments (id, code, name) SELECT id, code, name FROM departments ON CONFLICT DO NOTHING
UPDATE departments SET name = 'Heart' WHERE id = 1 RETURNING id, name, floor
UPDATE departments SET floor = floor + 1, note = NULL WHERE code = 'ER'
UPDATE departments SET (name, floor) = ('Heart', 9) WHERE id = 1
UPDATE departments SET (name, floor) = (SELECT 'Heart', max(floor) FROM departments) WHERE id = 1 RETURNING name, floor
UPDATE departments d SET floor = v.floor FROM (VALUES (1, 5), (2, 6)) v(id, floor) WHERE d.id = v.id RETURNING d.id, d.floor
UPDATE departments d SET name = x.t FROM regexp_split_to_table('CARD,ONC', ',') AS x(t) WHERE d.code = x.t
UPDATE departments SET note = 'listed' FROM regexp_split_to_table('CARD,ONC', ',') AS t WHERE code = t
UPDATE departments d SET note = x.n FROM unnest(ARRAY['CARD', 'ER'], ARRAY['a', 'b']) AS x(c, n) WHERE d.code = x.c
UPDATE departments SET note = u.n FROM unnest($1::text[], $2::text[]) AS u(c, n) WHERE code = u.c -- $ {CARD,ER} | {a,b}
UPDATE departments d SET note = j.note FROM json_to_recordset('[{"id": 1, "note": "x"}]') AS j(id int, note text) WHERE d.id = j.id
UPDATE departments d SET note = 's' || s FROM generate_series(1, 2) s WHERE d.id = s
UPDATE departments d SET floor = d.floor + 1 FROM providers p WHERE p.dept_id = d.id AND p.npi = '1234567893'
UPDATE encounters e SET status = 'paid' FROM patients p WHERE p.id = e.patient_id AND p.id = 3
UPDATE encounters SET status = 'billed' WHERE patient_id IN (SELECT id FROM patients WHERE id = 2) RETURNING id, status
UPDATE encounters SET cost = cost * 1.1 WHERE id = ANY ($1) RETURNING id, cost -- $ {1,2,3}
UPDATE patients SET state = 'NY', active = false WHERE id = 6 RETURNING id, state, active
[full_name] UPDATE patients SET height_cm = 170 WHERE id = 1 RETURNING id, full_name, height_cm
[mrn, ssn, full_name, dob, phone, email, cc_number, address] UPDATE patients SET height_cm = 170 WHERE id = 1 RETURNING *
UPDATE patients SET state = upper(state) WHERE id BETWEEN 1 AND 3
UPDATE app_events SET "drop" = true, "delete" = NULL WHERE id = 3 RETURNING id, "drop", "delete"
UPDATE scratch SET v = v || '!' WHERE k LIKE 'k%' AND v = 'v'
UPDATE ONLY encounters SET status = CASE WHEN cost > 200 THEN 'paid' ELSE 'billed' END WHERE id IN (4, 5) RETURNING id, status
WITH due AS (SELECT id FROM app_events WHERE kind = 'login' ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED) UPDATE app_events e SET detail = 'taken' FROM due WHERE e.id = due.id RETURNING e.id, e.detail
UPDATE app_events SET detail = 'taken' WHERE id = (SELECT id FROM app_events WHERE kind = 'login' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id
DELETE FROM scratch WHERE k = 'k1' RETURNING *
DELETE FROM scratch USING (VALUES ('k2'), ('k3')) v(k) WHERE scratch.k = v.k RETURNING scratch.k
DELETE FROM scratch s USING departments d WHERE s.k = d.code AND d.id = 1
DELETE FROM lab_results WHERE encounter_id IN (SELECT id FROM encounters WHERE patient_id = 1)
DELETE FROM lab_results USING encounters e WHERE e.id = lab_results.encounter_id AND e.id = 2 RETURNING lab_results.id
DELETE FROM app_events WHERE at < '2024-01-05' AND at >= '2024-01-01'
DELETE FROM scratch WHERE (k, v) IN (('k1', 'v'), ('k2', 'v'))
WITH old AS (DELETE FROM scratch WHERE k = 'k4' RETURNING *) INSERT INTO scratch SELECT k || '-old', v FROM old RETURNING k
MERGE INTO departments d USING (VALUES (1, 'Heart'), (7, 'New')) s(id, name) ON d.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, code, name) VALUES (s.id, 'N' || s.id, s.name)
MERGE INTO scratch t USING (SELECT 'k1' AS k) s ON t.k = s.k WHEN MATCHED THEN DELETE
MERGE INTO scratch t USING (SELECT 'k1' AS k, 'new' AS v) s ON t.k = s.k WHEN MATCHED AND t.v <> s.v THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.k, s.v)
SELECT id, state FROM patients WHERE id = 3 FOR UPDATE
[full_name] SELECT id, full_name FROM patients WHERE state = 'CA' ORDER BY id FOR SHARE SKIP LOCKED
SELECT id FROM encounters WHERE status = 'open' ORDER BY id LIMIT 1 FOR NO KEY UPDATE NOWAIT
SAVEPOINT s1 ;; UPDATE scratch SET v = 'x' WHERE k = 'k1' ;; ROLLBACK TO s1 ;; RELEASE s1 ;; SELECT v FROM scratch WHERE k = 'k1'
SELECT nextval('app_events_id_seq') > 0, lastval() > 0, currval('app_events_id_seq') > 0
INSERT INTO departments (id, code, name, floor) VALUES (1, 'CARD', 'Heart', 5) ON CONFLICT (id) DO UPDATE SET floor = departments.floor + 1 RETURNING floor
INSERT INTO departments (id, code, name) VALUES (1, 'CARD', 'Heart') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, note = 'changed ' || current_date
INSERT INTO departments (id, code, name) SELECT DISTINCT dept_id, 'CARD', 'Heart' FROM encounters WHERE dept_id = 1 ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
INSERT INTO departments (id, code, name) SELECT p.dept_id, 'CARD', 'Heart' FROM patients p WHERE p.id = 1 ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name
WITH due AS (SELECT id FROM encounters WHERE status = 'open' ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED) UPDATE encounters e SET status = 'billed' FROM due WHERE e.id = due.id RETURNING e.id, e.status
UPDATE patients p SET state = d.code FROM departments d WHERE d.id = p.dept_id AND p.id IN (SELECT patient_id FROM encounters WHERE id = 4) RETURNING p.id, p.state
DELETE FROM encounters WHERE id = (SELECT max(e.id) FROM encounters e) AND NOT EXISTS (SELECT 1 FROM lab_results l WHERE l.encounter_id = encounters.id)
MERGE INTO scratch s USING (SELECT state, count(*) AS n FROM patients GROUP BY state) p ON s.k = p.state WHEN NOT MATCHED THEN INSERT VALUES (p.state, p.n::text)
PREPARE w (int) AS INSERT INTO scratch SELECT id::text, state FROM patients WHERE id = $1 RETURNING k, v ;; EXECUTE w(3) ;; DEALLOCATE w
PREPARE u (int, text) AS UPDATE patients SET state = $2 WHERE id = $1 ;; EXECUTE u(3, 'NY') ;; DEALLOCATE u
[*] EXPLAIN UPDATE patients SET state = 'NY' WHERE id = 3
[*] EXPLAIN (COSTS off) INSERT INTO scratch SELECT id::text, state FROM patients
