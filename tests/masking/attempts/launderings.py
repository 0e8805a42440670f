"""Ways on which a masked value might come to stand where nobody masks it."""

# flake8: noqa: E501  (a statement reads best on one line)
from __future__ import annotations

from tests.masking.attempts.attempt import FILL, Attempt, laundering, overloaded
from tests.masking.attempts.wire import asked

LAUNDERINGS: tuple[Attempt, ...] = (
    laundering("an INSERT reads a row's field", "INSERT INTO scratch(k) SELECT (p).ssn FROM patients p"),
    laundering("an INSERT reads functional notation", "INSERT INTO scratch(k) SELECT ssn(p) FROM patients p"),
    laundering("an INSERT reads a column without its table", "INSERT INTO scratch(k) SELECT secret FROM departments, ward"),
    laundering("an INSERT reads a column of an alias's list", "INSERT INTO scratch(k) SELECT c FROM ward AS w(a, b, c)"),
    laundering("an INSERT reads a join's alias", "INSERT INTO scratch(k) SELECT j.ssn FROM (patients CROSS JOIN departments) AS j(a, b, ssn)"),
    laundering("an INSERT reads a made column", "INSERT INTO scratch(k) SELECT tail || secret FROM ward"),
    laundering("an INSERT reads a kept row", "INSERT INTO scratch(k) SELECT ((f).p).ssn FROM folders"),
    laundering("an INSERT reads a kept row as text", "INSERT INTO scratch(k) SELECT f::text FROM folders"),
    laundering("an INSERT reads a view's kept row", "INSERT INTO scratch(k) SELECT d::text FROM snaps"),
    laundering("an INSERT reads a view of a view", "INSERT INTO scratch(k) SELECT blob FROM directory_nested"),
    laundering("an INSERT reads a range's view", "INSERT INTO scratch(k) SELECT r::text FROM v_range"),
    overloaded(laundering("an INSERT reads an overload", "INSERT INTO scratch(k) SELECT lower(id) FROM departments")),
    laundering("an INSERT reads a column's notation of a function", "INSERT INTO scratch(k) SELECT d.dept_leak FROM departments d"),
    overloaded(laundering("an INSERT reads an operator's overload", "INSERT INTO scratch(k) SELECT ROW('x')::leaky - id FROM departments")),
    laundering("an INSERT through WITH of the INSERT's own", "WITH p AS (SELECT ssn AS x FROM patients) INSERT INTO scratch(k) SELECT x FROM p"),
    laundering("an INSERT with the WITH inside", "INSERT INTO scratch(k) WITH departments AS (SELECT ssn AS code FROM patients) SELECT code FROM departments"),
    laundering("an INSERT by VALUES of a sub-select", "INSERT INTO scratch(k) VALUES ((SELECT min(ssn) FROM patients))"),
    laundering("an INSERT of a row by stars", "INSERT INTO scratch SELECT code, secret FROM (SELECT ward.* FROM ward) x"),
    laundering("an INSERT by parameters and a sub-select", asked("INSERT INTO scratch(k) SELECT $1 || secret FROM ward", "x")),
    laundering("an INSERT prepared in SQL", "PREPARE i AS INSERT INTO scratch(k) SELECT secret FROM ward", "EXECUTE i"),
    laundering("an INSERT in a COPY", "COPY (INSERT INTO scratch(k) SELECT secret FROM ward RETURNING 1) TO STDOUT"),
    laundering("an INSERT in EXPLAIN ANALYZE", "EXPLAIN ANALYZE INSERT INTO scratch(k) SELECT secret FROM ward"),
    laundering("an INSERT in a WITH of a SELECT", "WITH i AS (INSERT INTO scratch(k) SELECT secret FROM ward RETURNING 1) SELECT count(*) FROM i"),
    laundering("an UPDATE reads a FROM's column without its table", "INSERT INTO scratch VALUES ('k')", "UPDATE scratch SET v = secret FROM ward WHERE id = 1"),
    laundering("an UPDATE reads a lateral sub-select", "INSERT INTO scratch VALUES ('k')", "UPDATE scratch SET v = x.s FROM ward w, LATERAL (SELECT w.secret AS s) x"),
    laundering("an UPDATE sets several by a row", "INSERT INTO scratch VALUES ('k')", "UPDATE scratch SET (k, v) = ROW(code, secret) FROM ward"),
    laundering("an UPDATE of a masked table by itself", "UPDATE ward SET note = right(secret, 11)", check="SELECT note FROM ward", undo="UPDATE ward SET note = NULL"),
    laundering("an UPDATE through a view into a clear column", "UPDATE v_star SET zip3 = ssn WHERE id = 1", check="SELECT zip3 FROM patients", undo="UPDATE patients SET zip3 = '057' WHERE id = 1"),
    laundering("an UPDATE by a function of the row", "UPDATE ward w SET note = w.secret::text || '' WHERE id = 1", check="SELECT note FROM ward", undo="UPDATE ward SET note = NULL"),
    laundering("an upsert copies the old row", "INSERT INTO ward AS w (id, code) VALUES (1, 'W1') ON CONFLICT (id) DO UPDATE SET note = w.secret", check="SELECT note FROM ward", undo="UPDATE ward SET note = NULL"),
    laundering("an upsert copies by a sub-select", "INSERT INTO ward (id, code) VALUES (1, 'W1') ON CONFLICT (id) DO UPDATE SET note = (SELECT min(ssn) FROM patients)", check="SELECT note FROM ward", undo="UPDATE ward SET note = NULL"),
    laundering("MERGE inserts", "MERGE INTO scratch s USING ward w ON s.k = w.code WHEN NOT MATCHED THEN INSERT VALUES (w.code, w.secret)"),
    laundering("MERGE updates by a clear source", "INSERT INTO scratch VALUES ('k')", "MERGE INTO scratch s USING (SELECT secret AS x FROM ward WHERE id = 1) w ON true WHEN MATCHED THEN UPDATE SET v = x"),
    laundering("a table made of a prepared statement", "PREPARE q AS SELECT secret FROM ward", "CREATE TABLE laundered AS EXECUTE q", check="TABLE laundered", undo="DROP TABLE IF EXISTS laundered"),
    laundering("a materialized view made", "CREATE MATERIALIZED VIEW laundered AS SELECT secret AS x FROM ward", check="TABLE laundered", undo="DROP MATERIALIZED VIEW IF EXISTS laundered"),
    overloaded(laundering("a table with a default of an overload", "CREATE TABLE laundered (id int, v text DEFAULT lower(1))", "INSERT INTO laundered VALUES (1)", check="TABLE laundered", undo="DROP TABLE IF EXISTS laundered")),
    overloaded(laundering("a column added with an overload's value", "ALTER TABLE departments ADD COLUMN x text DEFAULT lower(1)", check="TABLE departments", undo="ALTER TABLE departments DROP COLUMN IF EXISTS x")),
    overloaded(laundering("a clear column's type changed by an overload", "ALTER TABLE scratch ALTER v TYPE text USING lower(1)", "INSERT INTO scratch VALUES ('a')", "ALTER TABLE scratch ALTER v TYPE text USING lower(1)")),
    laundering("a trigger on the masked table", "CREATE TRIGGER t BEFORE UPDATE ON ward FOR EACH ROW EXECUTE FUNCTION take_code()", "ALTER TABLE ward ADD COLUMN x text DEFAULT 'x'", "UPDATE ward SET id = id", check="SELECT note FROM ward", undo="DROP TRIGGER IF EXISTS t ON ward; ALTER TABLE ward DROP COLUMN IF EXISTS x; UPDATE ward SET note = NULL", bare=False),
    laundering("a rule on a clear table", "CREATE RULE laundry AS ON INSERT TO scratch DO ALSO UPDATE scratch SET v = (SELECT min(ssn) FROM patients)", "INSERT INTO scratch VALUES ('k')", undo="DROP RULE IF EXISTS laundry ON scratch; " + FILL),
    laundering("a comment of a value", "COMMENT ON TABLE scratch IS 'x'", "DO $$BEGIN EXECUTE format('COMMENT ON TABLE scratch IS %L', (SELECT min(ssn) FROM patients)); END$$", check="SELECT obj_description('scratch'::regclass)", undo="COMMENT ON TABLE scratch IS NULL"),
    laundering("COPY to a file", "COPY (SELECT ssn FROM patients) TO '/tmp/ostiary-laundered'", "COPY scratch(k) FROM '/tmp/ostiary-laundered'", undo=FILL + "; COPY (SELECT 1) TO PROGRAM 'rm -f /tmp/ostiary-laundered'"),
)  # fmt: skip
