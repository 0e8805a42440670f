-- The same database with other values in every masked column: other orders, lengths and first letters; the same NULLs, the same equals.
UPDATE patients SET mrn = 'MRN-' || 9000000 - id * 1001, ssn = (400 - id) || '-11-00' || id % 10 || '00',
    full_name = chr(90 - id % 20) || 'erson Other', dob = date '1980-06-01' - id * 400, phone = '111-000-' || 1000 + id,
    email = CASE WHEN email IS NOT NULL THEN 'x' || id || '@other.example' END,
    cc_number = CASE WHEN cc_number IS NOT NULL THEN '30000000000' || id END, address = 'elsewhere ' || id;
UPDATE encounters SET notes = 'nothing of ' || id;
UPDATE patient_docs d SET doc = jsonb_build_object('ssn', p.ssn, 'mrn', p.mrn, 'name', p.full_name, 'visits', 90 - p.id * 2),
    xdoc = NULL, tags = ARRAY['not', p.mrn] FROM ONLY patients p WHERE p.id = d.id;
UPDATE ward w SET secret = p.ssn FROM ONLY patients p WHERE p.id = w.id;
UPDATE audit_log a SET before = p, befores = ARRAY[p] FROM ONLY patients p WHERE p.id = a.id;
UPDATE visits SET patient = 'Other ' || 90 - id;
UPDATE charts c SET mrn = p.mrn, born = p.dob, small = 'zz', n = 9, raw = p.ssn::bytea, tags = ARRAY[p.ssn] FROM ONLY patients p WHERE p.id = c.id;
UPDATE twins t SET ssn = p.ssn, filled = p.ssn, owner = p.ssn, grade = 60 - p.id, wide = 60 - p.id, born = p.dob FROM ONLY patients p WHERE p.id = t.id % 100;
UPDATE cased SET mail = 'Bea@y' WHERE id = 1; UPDATE cased SET mail = 'bea@Y' WHERE id = 2;
UPDATE holder SET code = 'B' || id;
UPDATE worn SET code = 'B' || id;
UPDATE stays s SET born = p.dob, secret = p.ssn, factor = 500 * (7 - s.id), during = daterange(p.dob, p.dob + 300) FROM ONLY patients p WHERE p.id = s.id;
UPDATE births b SET born = p.dob FROM ONLY patients p WHERE p.id = b.id;
UPDATE folders f SET f = ROW('x', p)::folder, fs = ARRAY[ROW('x', p)::folder] FROM ONLY patients p WHERE p.id = f.id;
REFRESH MATERIALIZED VIEW patient_mv; REFRESH MATERIALIZED VIEW mv_nested; REFRESH MATERIALIZED VIEW mv_rank;
UPDATE snaps s SET d = d.*::patient_directory, m = m.*::patient_mv FROM patient_directory d JOIN patient_mv m USING (id) WHERE d.id = s.id;
ANALYZE;
