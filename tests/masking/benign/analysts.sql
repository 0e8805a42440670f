-- What analysts type. Before the statement: [columns that come back masked]; behind it: -- $ parameters; ;; separates messages.

-- joins
[full_name] SELECT p.id, p.full_name, e.kind, e.cost FROM patients p LEFT JOIN encounters e ON e.patient_id = p.id AND e.kind = 'visit' ORDER BY p.id, e.id
[full_name] SELECT p.id, p.full_name FROM patients p RIGHT JOIN departments d ON d.id = p.dept_id ORDER BY d.id, p.id
SELECT d.code, e.kind, count(*) FROM departments d FULL JOIN encounters e ON e.dept_id = d.id GROUP BY 1, 2 ORDER BY 1, 2
[full_name] SELECT a.id, a.full_name, b.id AS same_state FROM ONLY patients a JOIN ONLY patients b USING (state) WHERE a.id <> b.id ORDER BY 1, 3
SELECT p.id FROM patients p WHERE EXISTS (SELECT 1 FROM encounters e WHERE e.patient_id = p.id AND e.status = 'open') ORDER BY 1
SELECT p.id FROM patients p WHERE NOT EXISTS (SELECT FROM encounters e WHERE e.patient_id = p.id AND e.cost > 250) ORDER BY 1
[mrn] SELECT p.id, p.mrn FROM patients p LEFT JOIN patient_docs x ON x.patient_id = p.id WHERE x.id IS NULL ORDER BY p.id
[notes] SELECT e.id, e.notes, l.test, l.value FROM encounters e CROSS JOIN LATERAL (SELECT * FROM lab_results l WHERE l.encounter_id = e.id ORDER BY l.value DESC LIMIT 1) l ORDER BY e.id
[last_name] SELECT p.id, s.n, upper(p.full_name) AS last_name FROM patients p, LATERAL (SELECT count(*) AS n, sum(cost) AS total FROM encounters e WHERE e.patient_id = p.id) s WHERE s.n > 2 ORDER BY p.id
[email, phone] SELECT d.name, p.email, p.phone FROM departments d JOIN patients p ON p.dept_id = d.id AND p.active ORDER BY d.name, p.id
SELECT e.id, d.code, r.display FROM encounters e JOIN departments d ON d.id = e.dept_id JOIN providers r ON r.id = e.provider_id AND r.dept_id = d.id ORDER BY e.id
[ssn] SELECT p.id, p.ssn FROM patients p NATURAL JOIN (VALUES ('VT'), ('CA')) s(state) ORDER BY p.id

-- windows
[full_name] SELECT id, full_name, rank() OVER (PARTITION BY state ORDER BY height_cm DESC) FROM patients ORDER BY id
SELECT id, cost, lag(cost) OVER w AS before, lead(cost, 1, 0) OVER w AS after FROM encounters WINDOW w AS (PARTITION BY patient_id ORDER BY happened) ORDER BY id
SELECT id, avg(cost) OVER (ORDER BY happened ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS moving FROM encounters ORDER BY id
SELECT id, sum(cost) OVER (ORDER BY happened RANGE BETWEEN interval '10 days' PRECEDING AND CURRENT ROW) FROM encounters ORDER BY id
[dob] SELECT * FROM (SELECT id, dob, state, row_number() OVER (PARTITION BY state ORDER BY created_at) AS rn FROM patients) t WHERE rn = 1 ORDER BY id
SELECT id, percent_rank() OVER (ORDER BY height_cm), cume_dist() OVER (ORDER BY height_cm), ntile(4) OVER (ORDER BY height_cm) FROM patients ORDER BY id
SELECT kind, sum(count(*)) OVER (ORDER BY kind) FROM encounters GROUP BY kind ORDER BY kind
[address] SELECT DISTINCT ON (state) state, id, address FROM patients ORDER BY state, created_at DESC
[first] SELECT id, nth_value(full_name, 1) OVER (ORDER BY id) AS first FROM patients ORDER BY id

-- CTEs
[full_name] WITH active AS (SELECT * FROM patients WHERE active), spend AS (SELECT patient_id, sum(cost) AS total FROM encounters GROUP BY 1) SELECT a.id, a.full_name, s.total FROM active a JOIN spend s ON s.patient_id = a.id ORDER BY s.total DESC
WITH RECURSIVE days(d) AS (SELECT date '2024-01-01' UNION ALL SELECT d + 7 FROM days WHERE d < '2024-03-01') SELECT d, count(e.id) FROM days LEFT JOIN encounters e ON e.happened >= d AND e.happened < d + 7 GROUP BY d ORDER BY d
WITH RECURSIVE tree AS (SELECT id, floor, 1 AS level, ARRAY[id] AS path FROM departments WHERE id = 1 UNION ALL SELECT d.id, d.floor, t.level + 1, t.path || d.id FROM departments d JOIN tree t ON d.id = t.id + 1) SELECT * FROM tree ORDER BY path
WITH p AS MATERIALIZED (SELECT id, state FROM patients) SELECT state, count(*) FROM p GROUP BY state HAVING count(*) > 1 ORDER BY state
[contact] WITH x AS NOT MATERIALIZED (SELECT id, email AS contact, state FROM patients) SELECT x.*, y.n FROM x JOIN (SELECT state, count(*) n FROM x GROUP BY state) y USING (state) ORDER BY id
WITH moved AS (UPDATE scratch SET v = 'moved' WHERE k = 'k1' RETURNING k, v) SELECT * FROM moved
WITH gone AS (DELETE FROM scratch WHERE k IN ('k2', 'k3') RETURNING k) SELECT count(*) FROM gone
WITH made AS (INSERT INTO scratch SELECT 'n' || id, name FROM departments RETURNING k, v) SELECT * FROM made ORDER BY k

-- aggregates and grouping
SELECT state, sex, count(*), grouping(state, sex) FROM patients GROUP BY GROUPING SETS ((state, sex), (state), ()) ORDER BY 1, 2, 4
SELECT kind, status, sum(cost) FROM encounters GROUP BY CUBE (kind, status) ORDER BY 1, 2
SELECT count(*) FILTER (WHERE active) AS active, count(*) FILTER (WHERE NOT active) AS inactive, count(email) AS reachable, count(*) FROM patients
SELECT state, string_agg(id::text, ',' ORDER BY id) FROM patients GROUP BY state ORDER BY state
SELECT mode() WITHIN GROUP (ORDER BY kind), percentile_disc(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY cost) FROM encounters
SELECT bool_and(active), bool_or(active), every(height_cm > 100), bit_or(id) FROM patients
SELECT corr(id, cost)::numeric(6,3), regr_slope(cost, id)::numeric(8,3), stddev_pop(cost)::numeric(8,3) FROM encounters
SELECT width_bucket(cost, 100, 300, 4) AS bucket, count(*), min(cost), max(cost) FROM encounters GROUP BY 1 ORDER BY 1
SELECT date_trunc('month', happened) AS month, count(DISTINCT patient_id), round(sum(cost) / count(*), 2) FROM encounters GROUP BY 1 ORDER BY 1
[names] SELECT state, array_agg(full_name) AS names, count(*) FROM patients GROUP BY state ORDER BY state
[oldest] SELECT state, min(dob) AS oldest, count(*) FROM patients GROUP BY state ORDER BY state
SELECT count(DISTINCT ssn), count(DISTINCT state), count(*) - count(cc_number) AS without_card FROM patients
SELECT d.code, count(DISTINCT p.mrn) FROM departments d LEFT JOIN patients p ON p.dept_id = d.id GROUP BY d.id, d.code ORDER BY d.id
SELECT patient_id, json_object_agg(kind, cost ORDER BY id) FROM encounters GROUP BY patient_id ORDER BY 1
SELECT ranges.r, count(*) FROM patients p JOIN (VALUES (int4range(150, 165)), (int4range(165, 190))) ranges(r) ON p.height_cm <@ ranges.r GROUP BY 1 ORDER BY 1
SELECT status, xmlagg(xmlelement(name k, kind) ORDER BY id)::text FROM encounters GROUP BY status ORDER BY status

-- json, arrays, text
SELECT id, jsonb_build_object('state', state, 'tall', height_cm > 170, 'since', created_at) FROM patients ORDER BY id
[j] SELECT id, to_jsonb(p) AS j FROM patients p ORDER BY id
[row_to_json] SELECT row_to_json(t) FROM (SELECT id, full_name, state FROM patients ORDER BY id) t
[doc] SELECT id, doc FROM patient_docs ORDER BY id
SELECT k, v FROM jsonb_each_text('{"a": 1, "b": [2]}') AS t(k, v) ORDER BY k
SELECT x->>'k' AS k, jsonb_array_length(x->'l') FROM jsonb_array_elements('[{"k": "a", "l": [1]}, {"k": "b", "l": []}]') x
SELECT id, jsonb_path_query_array(jsonb_build_array(id, dept_id), '$[*] ? (@ > 2)') FROM patients ORDER BY id
SELECT u.id, p.state FROM unnest(ARRAY[3, 1, 2]) WITH ORDINALITY AS u(id, ord) JOIN patients p ON p.id = u.id ORDER BY u.ord
SELECT ARRAY(SELECT code FROM departments ORDER BY id) AS codes, array_length(ARRAY(SELECT id FROM patients), 1)
SELECT id, string_to_array(kind || '/' || status, '/') AS parts, (string_to_array(icd10, '.'))[1] AS stem FROM encounters ORDER BY id
SELECT id, detail FROM app_events WHERE to_tsvector('english', detail) @@ plainto_tsquery('english', 'event') ORDER BY id
SELECT id, ts_rank(to_tsvector('simple', name), to_tsquery('simple', 'emergency')) > 0 AS hit, ts_headline('english', name, to_tsquery('emergency')) FROM departments ORDER BY id
SELECT id, similarity(name, 'Cardiolgy') > 0.4 AS close FROM departments ORDER BY id
SELECT id, hstore('state', state) -> 'state' AS s, each(hstore('zip', zip3)) FROM patients ORDER BY id
SELECT id, regexp_replace(icd10, '\.\d+$', '') AS stem, split_part(icd10, '.', 2), lpad(id::text, 4, '0'), initcap(kind) FROM encounters ORDER BY id
SELECT regexp_split_to_table('a,b,c', ','), generate_series(1, 3)
SELECT m[1] AS word FROM regexp_matches('one two three', '\w+', 'g') AS m
[masked_phone] SELECT id, regexp_replace(phone, '\d', 'x', 'g') AS masked_phone, state FROM patients ORDER BY id
[initial] SELECT id, left(full_name, 1) AS initial, state FROM patients ORDER BY id
[name, mail] SELECT id, coalesce(full_name, 'unknown') AS name, lower(email) AS mail, email IS NULL AS no_mail FROM patients ORDER BY id
[contact] SELECT id, concat_ws(', ', address, state) AS contact, state || '-' || zip3 AS region FROM patients ORDER BY id

-- dates
SELECT id, extract(year FROM happened)::int, to_char(happened, 'YYYY-"Q"Q'), happened + interval '1 month', date_part('dow', happened) FROM encounters ORDER BY id
SELECT d::date, (SELECT count(*) FROM encounters e WHERE e.happened = d::date) FROM generate_series(timestamp '2024-01-01', '2024-02-01', '1 week') d ORDER BY 1
[age] SELECT id, extract(year FROM age(timestamp '2024-01-01', dob)) AS age, state FROM patients ORDER BY id
SELECT id, created_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York', created_at::date, justify_interval(interval '40 days') FROM patients ORDER BY id
SELECT id FROM encounters WHERE happened BETWEEN '2024-02-01' AND '2024-03-31' AND (kind, status) IN (('visit', 'open'), ('admit', 'paid')) ORDER BY id
SELECT id FROM patients WHERE created_at >= date_trunc('year', timestamp '2023-06-01') AND created_at < now() ORDER BY id
SELECT (date '2024-02-01', date '2024-02-29') OVERLAPS (date '2024-02-20', date '2024-03-01'), tsrange('2024-01-01', '2024-02-01') * tsrange('2024-01-15', NULL)
SELECT make_date(2024, 2, 29) + 365, make_interval(days => 3), to_timestamp(0) AT TIME ZONE 'UTC', date_bin('15 min', timestamp '2024-01-01 10:07', '2024-01-01')

-- sets, values, sub-queries
SELECT v.id, p.state FROM (VALUES (1), (4)) v(id) LEFT JOIN patients p ON p.id = v.id ORDER BY 1
SELECT id FROM patients WHERE active INTERSECT SELECT patient_id FROM encounters WHERE status = 'paid' ORDER BY 1
(SELECT id, state FROM patients ORDER BY id LIMIT 2) UNION ALL (SELECT id, code FROM departments ORDER BY id DESC LIMIT 2)
[who] SELECT id, full_name AS who FROM patients UNION ALL SELECT id, address FROM patients WHERE id < 3
SELECT code, (SELECT max(height_cm) FROM patients p WHERE p.dept_id = d.id) AS tallest, (SELECT count(*) > 5 FROM encounters e WHERE e.dept_id = d.id) AS busy FROM departments d ORDER BY id
SELECT id FROM patients p WHERE height_cm > (SELECT avg(height_cm) FROM patients q WHERE q.state = p.state) ORDER BY id
SELECT id FROM patients WHERE height_cm >= ALL (SELECT height_cm FROM patients) OR dept_id = ANY (SELECT id FROM departments WHERE floor > 3) ORDER BY id
[full_name] SELECT id, full_name FROM patients WHERE (state, active) = ('CA', true) OR id IN (SELECT patient_id FROM encounters WHERE cost > 270) ORDER BY id
TABLE departments
VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC
SELECT * FROM patients_archive WHERE false
[full_name] SELECT id, full_name, CASE state WHEN 'CA' THEN 'west' WHEN 'VT' THEN 'east' ELSE 'other' END AS side FROM patients ORDER BY side, id
[email] SELECT id, NULLIF(state, 'TX'), GREATEST(height_cm, 170), LEAST(id, 3), email FROM patients ORDER BY id FETCH FIRST 4 ROWS ONLY
SELECT tableoid::regclass IS NOT NULL AS known, 1 AS one FROM departments ORDER BY id LIMIT 1
SELECT id FROM patients WHERE email IS NOT NULL ORDER BY id
SELECT id, cc_number IS NULL AS cash FROM patients ORDER BY id
SELECT state, count(*) FILTER (WHERE phone IS NOT NULL) FROM patients GROUP BY state ORDER BY state
[full_name] SELECT id, full_name FROM patients ORDER BY random() LIMIT 0
SELECT n, sqrt(n)::numeric(6,3), n % 3, n ^ 2, ln(n)::numeric(6,3), gcd(n, 12), factorial(n) FROM generate_series(1, 5) n
SELECT md5('x'), sha256('x'::bytea), encode('abc'::bytea, 'base64'), gen_random_uuid() IS NOT NULL, pg_typeof(1), format('%I %L', 'a b', 'c')
SELECT count(*) FROM patients p, encounters e WHERE p.id = e.patient_id AND p.state LIKE 'C%' AND e.icd10 ILIKE 'c50%' AND e.kind ~ '^(visit|admit)$'
[display_name] SELECT d.id, d.display_name, e.n FROM patient_directory d JOIN (SELECT patient_id, count(*) AS n FROM encounters GROUP BY 1) e ON e.patient_id = d.id ORDER BY e.n DESC, d.id
SELECT code, n, avg_cost FROM dept_load WHERE n > 3 ORDER BY avg_cost DESC
[tax_key] SELECT * FROM patient_mv ORDER BY id
SELECT state, count(*) FROM patient_mv GROUP BY state ORDER BY state
