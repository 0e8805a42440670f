-- What ORMs, drivers, API servers and BI tools make of it. The shapes are as these projects' logs show them.

-- SQLAlchemy
[patients_mrn, patients_full_name] SELECT patients.id AS patients_id, patients.mrn AS patients_mrn, patients.full_name AS patients_full_name, patients.state AS patients_state FROM patients WHERE patients.id = $1::INTEGER -- $ 3
[patients_1_full_name] SELECT encounters.id AS encounters_id, encounters.kind AS encounters_kind, patients_1.id AS patients_1_id, patients_1.full_name AS patients_1_full_name FROM encounters LEFT OUTER JOIN patients AS patients_1 ON patients_1.id = encounters.patient_id ORDER BY encounters.id LIMIT $1::INTEGER OFFSET $2::INTEGER -- $ 5 | 0
[anon_1_full_name] SELECT anon_1.patients_id AS anon_1_id, anon_1.patients_full_name AS anon_1_full_name, encounters_1.id AS e FROM (SELECT patients.id AS patients_id, patients.full_name AS patients_full_name FROM patients ORDER BY patients.id LIMIT $1) AS anon_1 LEFT OUTER JOIN encounters AS encounters_1 ON anon_1.patients_id = encounters_1.patient_id ORDER BY anon_1.patients_id, encounters_1.id -- $ 2
SELECT count(*) AS count_1 FROM (SELECT patients.id AS patients_id, patients.mrn AS patients_mrn FROM patients WHERE patients.active IS true) AS anon_1
SELECT encounters.patient_id AS encounters_patient_id, encounters.id AS encounters_id FROM encounters WHERE encounters.patient_id IN ($1, $2, $3) ORDER BY encounters.id -- $ 1 | 2 | 3
SELECT EXISTS (SELECT 1 FROM patients WHERE patients.id = $1) AS anon_1 -- $ 2
UPDATE encounters SET status=$1::VARCHAR WHERE encounters.id = $2::INTEGER -- $ paid | 4
INSERT INTO scratch (k, v) SELECT p0::VARCHAR, p1::VARCHAR FROM (VALUES ($1::VARCHAR, $2::VARCHAR, 0), ($3::VARCHAR, $4::VARCHAR, 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING scratch.k -- $ a | b | c | d

-- Django
[mrn, full_name] SELECT "patients"."id", "patients"."mrn", "patients"."full_name", "patients"."state" FROM "patients" WHERE "patients"."id" = 3 LIMIT 21
[full_name] SELECT "encounters"."id", "encounters"."kind", "patients"."id", "patients"."full_name" FROM "encounters" INNER JOIN "patients" ON ("encounters"."patient_id" = "patients"."id") WHERE "patients"."state" = 'CA' ORDER BY "encounters"."id" ASC
SELECT "patients"."state", COUNT("patients"."id") AS "n", COUNT(DISTINCT "encounters"."id") AS "visits" FROM "patients" LEFT OUTER JOIN "encounters" ON ("patients"."id" = "encounters"."patient_id") GROUP BY "patients"."state" HAVING COUNT("patients"."id") > 1 ORDER BY "n" DESC, 1
SELECT COUNT(*) AS "__count" FROM (SELECT DISTINCT "patients"."state" AS "col1" FROM "patients") subquery
SELECT 1 AS "a" FROM "patients" WHERE "patients"."id" = 2 LIMIT 1
SELECT "patients"."id" FROM "patients" WHERE UPPER("patients"."state"::text) LIKE UPPER('%a%') ORDER BY "patients"."id" ASC
SELECT "patients"."id", (SELECT U0."cost" FROM "encounters" U0 WHERE U0."patient_id" = ("patients"."id") ORDER BY U0."happened" DESC LIMIT 1) AS "last_cost" FROM "patients" ORDER BY "patients"."id" ASC
SELECT DISTINCT (DATE_TRUNC('month', "encounters"."happened"))::date AS "datefield" FROM "encounters" WHERE "encounters"."happened" IS NOT NULL ORDER BY 1 ASC
UPDATE "encounters" SET "cost" = ("encounters"."cost" + 1) WHERE "encounters"."id" = 4
UPDATE "encounters" SET "status" = CASE WHEN ("encounters"."id" = 1) THEN 'paid' WHEN ("encounters"."id" = 2) THEN 'open' ELSE NULL END::text WHERE "encounters"."id" IN (1, 2)
DELETE FROM "lab_results" WHERE "lab_results"."id" IN (1, 2)
INSERT INTO "app_events" ("at", "kind", "detail") VALUES ('2024-01-01'::timestamp, 'login', 'x') RETURNING "app_events"."kind"

-- ActiveRecord
[mrn, ssn, full_name, dob, phone, email, cc_number, address] SELECT "patients".* FROM "patients" WHERE "patients"."id" = $1 LIMIT $2 -- $ 1 | 1
[mrn, ssn, full_name, dob, phone, email, cc_number, address] SELECT "patients".* FROM "patients" WHERE "patients"."state" IN ($1, $2) ORDER BY "patients"."id" ASC LIMIT $3 -- $ VT | CA | 10
SELECT 1 AS one FROM "patients" INNER JOIN "encounters" ON "encounters"."patient_id" = "patients"."id" WHERE "encounters"."status" = $1 LIMIT $2 -- $ open | 1
SELECT COUNT(*) FROM (SELECT 1 AS one FROM "patients" WHERE "patients"."active" = $1 LIMIT $2) subquery_for_count -- $ t | 3
[t0_r1] SELECT "patients"."id" AS t0_r0, "patients"."full_name" AS t0_r1, "encounters"."id" AS t1_r0, "encounters"."kind" AS t1_r1 FROM "patients" LEFT OUTER JOIN "encounters" ON "encounters"."patient_id" = "patients"."id" WHERE "patients"."active" = TRUE ORDER BY "patients"."id", "encounters"."id"
INSERT INTO "departments" ("id","code","name") VALUES (1,'CARD','Heart') ON CONFLICT ("code") DO UPDATE SET "name"=excluded."name" RETURNING "id"

-- Hibernate
[full_name, m1_0] select p1_0.id,p1_0.active,p1_0.full_name,p1_0.mrn as m1_0,p1_0.state from patients p1_0 where p1_0.id=$1 -- $ 2
[full_name] select e1_0.id,e1_0.kind,p1_0.id,p1_0.full_name from encounters e1_0 left join patients p1_0 on p1_0.id=e1_0.patient_id where e1_0.cost>$1 order by e1_0.id offset $2 rows fetch first $3 rows only -- $ 150 | 0 | 5
select count(p1_0.id) from patients p1_0 where lower(p1_0.state) like lower($1) escape '\' and p1_0.active=true -- $ c%
select e1_0.status,sum(e1_0.cost) from encounters e1_0 group by e1_0.status having sum(e1_0.cost)>$1 order by 2 desc -- $ 10
[full_name] select p1_0.id, p1_0.full_name from patients p1_0 where p1_0.id in (select e1_0.patient_id from encounters e1_0 where e1_0.status='open') order by p1_0.id for no key update

-- Prisma
[mrn, full_name] SELECT "public"."patients"."id", "public"."patients"."mrn", "public"."patients"."full_name" FROM "public"."patients" WHERE ("public"."patients"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3 -- $ 2 | 1 | 0
SELECT COUNT(*) FROM (SELECT "public"."patients"."id" FROM "public"."patients" WHERE "public"."patients"."active" = $1 OFFSET $2) AS "sub" -- $ t | 0
SELECT "t1"."id", "t1"."state", "patients_encounters"."__prisma_data__" AS "encounters" FROM "public"."patients" AS "t1" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT "t3"."__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'kind', "t2"."kind") AS "__prisma_data__" FROM (SELECT "t1i".* FROM "public"."encounters" AS "t1i" WHERE "t1"."id" = "t1i"."patient_id") AS "t2") AS "t3") AS "t4") AS "patients_encounters" ON TRUE ORDER BY "t1"."id" ASC LIMIT $1 -- $ 3
SELECT "public"."patients"."state", COUNT(*), AVG("public"."patients"."height_cm") FROM "public"."patients" WHERE 1=1 GROUP BY "public"."patients"."state" ORDER BY "public"."patients"."state" ASC OFFSET $1 -- $ 0
UPDATE "public"."encounters" SET "status" = $1 WHERE ("public"."encounters"."id" = $2 AND 1=1) RETURNING "public"."encounters"."id", "public"."encounters"."status" -- $ paid | 5

-- Ecto
[full_name] SELECT p0."id", p0."full_name", p0."state" FROM "patients" AS p0 WHERE (p0."id" = $1) -- $ 4
SELECT p0."state", count(p0."id") FROM "patients" AS p0 LEFT OUTER JOIN "encounters" AS e1 ON e1."patient_id" = p0."id" WHERE (e1."cost" > $1::decimal) GROUP BY p0."state" ORDER BY 1 -- $ 120
SELECT e0."patient_id", e0."id" FROM "encounters" AS e0 WHERE (e0."patient_id" = ANY($1)) ORDER BY e0."patient_id", e0."id" -- $ {1,3}
INSERT INTO "departments" AS d0 ("code","id","name") VALUES ($1,$2,$3) ON CONFLICT ("id") DO UPDATE SET "name" = EXCLUDED."name" RETURNING "id" -- $ CARD | 1 | Heart
UPDATE "encounters" AS e0 SET "status" = $1 FROM "departments" AS d1 WHERE (d1."id" = e0."dept_id") AND (e0."id" = $2) -- $ paid | 4

-- TypeORM, Sequelize, GORM, Knex
[p_full_name] SELECT "p"."id" AS "p_id", "p"."full_name" AS "p_full_name", "e"."id" AS "e_id" FROM "patients" "p" LEFT JOIN "encounters" "e" ON "e"."patient_id"="p"."id" WHERE "p"."id" IN (1, 2) ORDER BY "p"."id" ASC, "e"."id" ASC
SELECT DISTINCT "distinctAlias"."p_id" AS "ids_p_id" FROM (SELECT "p"."id" AS "p_id", "p"."full_name" AS "p_full_name" FROM "patients" "p") "distinctAlias" ORDER BY "p_id" ASC LIMIT 3
[fullName] SELECT "id", "full_name" AS "fullName", "state" FROM "public"."patients" AS "Patient" WHERE "Patient"."active" = true ORDER BY "Patient"."id" LIMIT 10
[mrn, ssn, full_name, dob, phone, email, cc_number, address] SELECT * FROM "patients" WHERE "patients"."id" = 3 AND "patients"."active" IS NOT NULL ORDER BY "patients"."id" LIMIT 1
select "state", count("id") as "n" from "patients" where "active" = true group by "state" order by "state" asc

-- PostgREST, Hasura
[body] WITH pgrst_source AS (SELECT "public"."patients".* FROM "public"."patients" WHERE "public"."patients"."state" = $1 LIMIT $2 OFFSET $3) SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT * FROM pgrst_source) _postgrest_t -- $ CA | 10 | 0
[root] SELECT coalesce(json_agg("root"), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_root.base"."id" AS "id", "_root.base"."full_name" AS "full_name") AS "_e")) AS "root" FROM (SELECT * FROM "public"."patients" WHERE (("public"."patients"."state") = (('CA')::text)) ORDER BY "id") AS "_root.base") AS "_root"
SELECT json_build_object('nodes', (SELECT json_agg(json_build_object('id', id, 'state', state) ORDER BY id) FROM patients), 'total', (SELECT count(*) FROM patients))

-- BI: Tableau, Power BI, Metabase, Superset, Looker, Grafana, Redash
BEGIN ;; declare "SQL_CUR0x7f" cursor with hold for SELECT "patients"."state" AS "state", COUNT(1) AS "cnt:ok" FROM "public"."patients" "patients" GROUP BY 1 ORDER BY 1 ;; fetch 10000 in "SQL_CUR0x7f" ;; close "SQL_CUR0x7f"
[full_name] BEGIN ;; DECLARE c1 NO SCROLL CURSOR WITHOUT HOLD FOR SELECT id, full_name FROM patients ORDER BY id ;; FETCH FORWARD 3 FROM c1 ;; FETCH ALL FROM c1 ;; CLOSE c1
SELECT CAST(EXTRACT(YEAR FROM "encounters"."happened") AS INTEGER) AS "yr", SUM("encounters"."cost") AS "sum:cost:ok" FROM "public"."encounters" "encounters" GROUP BY 1 ORDER BY 1
SELECT SUM(1) AS "COL" FROM (SELECT * FROM patients) "Custom SQL Query" HAVING COUNT(1) > 0
[full_name] select "_"."id", "_"."full_name", "_"."state" from (select "rows"."id" as "id", "rows"."full_name" as "full_name", "rows"."state" as "state" from (select "id", "full_name", "state" from "public"."patients" "$Table") "rows" where "rows"."state" in ('CA', 'VT')) "_" order by "_"."id" limit 1000
[full_name] SELECT "public"."patients"."id" AS "id", "public"."patients"."full_name" AS "full_name", "Departments"."name" AS "Departments__name" FROM "public"."patients" LEFT JOIN "public"."departments" AS "Departments" ON "public"."patients"."dept_id" = "Departments"."id" ORDER BY "public"."patients"."id" ASC LIMIT 2000
SELECT DATE_TRUNC('month', "public"."encounters"."happened") AS "happened", COUNT(*) AS "count", SUM(CASE WHEN "public"."encounters"."cost" > 200 THEN 1 ELSE 0.0 END) / CASE WHEN COUNT(*) = 0 THEN NULL ELSE COUNT(*) END AS "share" FROM "public"."encounters" GROUP BY DATE_TRUNC('month', "public"."encounters"."happened") ORDER BY DATE_TRUNC('month', "public"."encounters"."happened") ASC
SELECT "source"."state" AS "state", count(distinct "source"."id") AS "count" FROM (SELECT "public"."patients"."id" AS "id", "public"."patients"."state" AS "state", "public"."patients"."ssn" AS "ssn" FROM "public"."patients") AS "source" GROUP BY "source"."state" ORDER BY "source"."state" ASC
SELECT DATE_TRUNC('week', happened) AS __timestamp, kind AS kind, sum(cost) AS "SUM(cost)" FROM public.encounters WHERE happened >= TO_DATE('2024-01-01', 'YYYY-MM-DD') AND happened < TO_DATE('2024-06-01', 'YYYY-MM-DD') GROUP BY DATE_TRUNC('week', happened), kind ORDER BY 1, 2 LIMIT 10000
SELECT state AS state, COUNT(*) AS count FROM (SELECT * FROM patients WHERE active) AS virtual_table GROUP BY state ORDER BY count DESC, state LIMIT 1000
[ssn, full_name] SELECT * FROM (SELECT id, ssn, full_name, state FROM patients) AS virtual_table ORDER BY id LIMIT 100
WITH encounters_facts AS (SELECT patient_id, COUNT(*) AS lifetime FROM public.encounters GROUP BY 1) SELECT (DATE(encounters.happened)) AS "encounters.happened_date", COALESCE(SUM(encounters.cost), 0) AS "encounters.total", AVG(encounters_facts.lifetime) AS "f.avg" FROM public.encounters AS encounters LEFT JOIN encounters_facts ON encounters.patient_id = encounters_facts.patient_id WHERE ((encounters.happened) >= (TIMESTAMP '2024-01-01') AND (encounters.happened) < (TIMESTAMP '2024-03-01')) GROUP BY (DATE(encounters.happened)) ORDER BY 1 DESC FETCH NEXT 500 ROWS ONLY
SELECT floor(extract(epoch from at)/86400)*86400 AS "time", kind AS metric, count(*) AS value FROM app_events WHERE at BETWEEN '2024-01-01T00:00:00Z' AND '2024-02-01T00:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
SELECT DISTINCT state FROM patients WHERE state IS NOT NULL ORDER BY state ASC LIMIT 1000

-- dbt and notebooks
[mrn] with source as (select * from "benign"."public"."patients"), renamed as (select id as patient_id, mrn, state as home_state from source) select * from renamed order by patient_id
select count(*) as failures, count(*) != 0 as should_warn, count(*) != 0 as should_error from (select id from "benign"."public"."patients" where id is null) dbt_internal_test
select id as unique_field, count(*) as n_records from patients where id is not null group by id having count(*) > 1
[ssn] SELECT * FROM (SELECT id, ssn FROM patients ORDER BY id) AS q LIMIT 0

-- COPY, EXPLAIN, PREPARE
[ssn] COPY (SELECT id, ssn, state FROM patients ORDER BY id) TO STDOUT
COPY (SELECT id, state FROM patients ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';')
COPY departments TO STDOUT
COPY encounters (id, kind, cost) TO STDOUT CSV
[ssn] COPY patients (id, ssn) TO STDOUT
[*] COPY patients TO STDOUT WITH CSV HEADER
[*] EXPLAIN SELECT id, full_name FROM patients WHERE state = 'CA' ORDER BY id
[*] EXPLAIN (FORMAT json, VERBOSE, SETTINGS) SELECT p.id, e.cost FROM patients p JOIN encounters e ON e.patient_id = p.id
[*] EXPLAIN (COSTS off) SELECT code, (SELECT count(*) FROM encounters e WHERE e.dept_id = d.id) FROM departments d
EXPLAIN (COSTS off) UPDATE departments SET name = 'x' WHERE id = 1
EXPLAIN (COSTS off) INSERT INTO scratch VALUES ('a', 'b')
EXPLAIN (COSTS off) DELETE FROM scratch WHERE k = 'k1'
[*] EXPLAIN (ANALYZE, TIMING off, SUMMARY off, COSTS off) SELECT code FROM departments WHERE id = 1
[full_name] PREPARE q1 (int) AS SELECT id, full_name, state FROM patients WHERE id = $1 ;; EXECUTE q1(2) ;; EXECUTE q1(3) ;; DEALLOCATE q1
PREPARE q2 AS UPDATE departments SET name = $2 WHERE id = $1 RETURNING id, name ;; EXECUTE q2(1, 'Heart') ;; DEALLOCATE ALL
SELECT 1 AS one; SELECT id, state FROM patients WHERE id = 1; SHOW server_version_num
SET LOCAL statement_timeout = '5s' ;; SELECT current_setting('statement_timeout')
SELECT active_patients()
SELECT set_config('application_name', 'reports', false)
