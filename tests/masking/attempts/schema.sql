-- What an owner may have made beside schema.sql: constraints, references, views and overloads that touch masked columns. Runs after it.
-- foreign keys, both ways
CREATE TABLE badge(code text PRIMARY KEY, note text);
INSERT INTO badge SELECT 'B' || n, 'badge ' || n FROM generate_series(1, 8) n;
CREATE TABLE holder(id int PRIMARY KEY, code text REFERENCES badge ON UPDATE CASCADE, note text);
INSERT INTO holder SELECT n, 'B' || (7 - n), 'holder ' || n FROM generate_series(1, 6) n;
CREATE TABLE worn(id int PRIMARY KEY, code text REFERENCES badge ON DELETE CASCADE, note text);
INSERT INTO worn SELECT id, code, note FROM holder;
CREATE TABLE refers(id int, ssn text REFERENCES patients (ssn));
-- checks, exclusions, unique expressions, generated columns between a clear and a masked column
CREATE TABLE stays(id int PRIMARY KEY, born date, died date, secret text, note text, pos int, factor int, units int,
    rooms int4range, during daterange,
    total int GENERATED ALWAYS AS (units * factor) STORED,
    CHECK (died >= born), CHECK (note <> secret),
    EXCLUDE USING gist (rooms WITH &&, during WITH &&));
CREATE UNIQUE INDEX stays_key ON stays ((substr(secret, pos, 1) || note));
INSERT INTO stays SELECT id, dob, NULL, ssn, 'n' || id, id, 1000 * id, 1, int4range(id, id + 1),
    daterange(dob, dob + 3000) FROM ONLY patients;
-- triggers and rules that write a masked column
CREATE TABLE intake(id int, said text);
CREATE TABLE intake_log(id int, said text);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO intake_log VALUES (NEW.id, NEW.said); RETURN NULL; END$$;
CREATE TRIGGER keep AFTER INSERT ON intake FOR EACH ROW EXECUTE FUNCTION keep();
CREATE TABLE kiosk(id int, said text);
CREATE TABLE kiosk_log(id int, said text);
CREATE RULE kiosk AS ON INSERT TO kiosk DO ALSO INSERT INTO kiosk_log VALUES (NEW.id, NEW.said);
-- partitions by a masked column
CREATE TABLE births(id int, born date) PARTITION BY RANGE (born);
CREATE TABLE births_early PARTITION OF births FOR VALUES FROM (MINVALUE) TO ('1905-01-01');
CREATE TABLE births_late PARTITION OF births FOR VALUES FROM ('1905-01-01') TO (MAXVALUE);
INSERT INTO births SELECT id, dob FROM ONLY patients;
-- types that hold rows
CREATE TYPE folder AS (label text, p patients);
CREATE TABLE folders(id int, f folder, fs folder[]);
INSERT INTO folders SELECT id, ROW('x', p)::folder, ARRAY[ROW('x', p)::folder] FROM ONLY patients p;
CREATE TABLE snaps(id int, d patient_directory, m patient_mv);
INSERT INTO snaps SELECT d.id, d, m FROM patient_directory d JOIN patient_mv m USING (id);
CREATE TYPE ssnrange AS RANGE (subtype = text);
CREATE VIEW v_range AS SELECT id, ssnrange(ssn, NULL) AS r FROM ONLY patients;
-- views whose answer depends on what a client may write
CREATE TABLE watch(ssn text, pattern text);
CREATE VIEW v_watched AS SELECT p.id, p.state FROM ONLY patients p JOIN watch w ON w.ssn = p.ssn;
CREATE VIEW v_matched AS SELECT p.id FROM ONLY patients p WHERE EXISTS (SELECT FROM watch w WHERE p.ssn LIKE w.pattern);
CREATE VIEW v_since AS SELECT id, units FROM stays WHERE factor > units;
CREATE VIEW v_checked AS SELECT id, note FROM stays WHERE secret > note WITH CHECK OPTION;
CREATE VIEW v_counted AS SELECT count(*) AS n FROM ONLY patients p, watch w WHERE p.ssn LIKE w.pattern;
-- views that tell an order, a count, a group
CREATE VIEW v_rank AS SELECT id, rank() OVER (ORDER BY ssn) AS r FROM ONLY patients;
CREATE VIEW v_number AS SELECT row_number() OVER w AS r, id FROM ONLY patients WINDOW w AS (ORDER BY dob);
CREATE VIEW v_ordered AS SELECT id FROM ONLY patients ORDER BY dob;
CREATE VIEW v_list AS SELECT array_agg(id ORDER BY ssn) AS ids FROM ONLY patients;
CREATE VIEW v_filter AS SELECT count(*) FILTER (WHERE ssn LIKE '%1') AS odd FROM ONLY patients;
CREATE VIEW v_older AS SELECT id, (SELECT count(*) FROM ONLY patients q WHERE q.dob < p.dob) AS older FROM ONLY patients p;
CREATE VIEW v_group AS SELECT left(ssn, 6) = '987-65' AS known, count(*) AS n FROM ONLY patients GROUP BY 1;
CREATE VIEW v_first AS SELECT DISTINCT ON (active) active, id FROM ONLY patients ORDER BY active, dob;
CREATE VIEW v_null AS SELECT id, ssn IS NOT NULL AND ssn < '5' AS low FROM ONLY patients;
CREATE VIEW v_disc AS SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) AS mid FROM ONLY patients;
CREATE VIEW v_hypo AS SELECT rank('5'::text) WITHIN GROUP (ORDER BY ssn) AS below FROM ONLY patients;
CREATE VIEW v_series AS SELECT p.id, g FROM ONLY patients p, generate_series(1, length(p.ssn)) g;
CREATE VIEW v_coalesce AS SELECT id, coalesce(nullif(ssn, '987-65-4321'), 'same') = 'same' AS same FROM ONLY patients;
CREATE VIEW v_with AS WITH t AS MATERIALIZED (SELECT id, ssn AS s FROM ONLY patients) SELECT id, s >= '5' AS high FROM t;
CREATE VIEW v_limit AS SELECT id FROM ONLY patients ORDER BY ssn FETCH FIRST 2 ROWS WITH TIES;
CREATE MATERIALIZED VIEW mv_rank AS SELECT id, rank() OVER (ORDER BY ssn) AS r FROM ONLY patients;
-- types and functions whose inside asks
CREATE FUNCTION differs(text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT NOT EXISTS (SELECT FROM public.patients WHERE ssn = $1)';
CREATE DOMAIN unknown_ssn AS text CHECK (differs(VALUE));
CREATE FUNCTION deep() RETURNS void LANGUAGE sql AS 'SELECT purge_events()';
-- statistics
CREATE STATISTICS patients_mcv (mcv) ON ssn, state FROM patients;
CREATE STATISTICS patients_expr ON (upper(ssn)), (left(mrn, 9)) FROM patients;
CREATE INDEX patients_upper ON patients (upper(full_name));
ANALYZE;
