"""
Attempts to have a statement judged by what was there before one's own uncommitted DDL, each in a transaction that is rolled back.

Written against the whole gateway. One succeeds when its last step runs (and, where it reads, brings the canary).
`first.json` is what came of each when it was first made, before anything was mended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CANARY = "canary-7731904"

SETUP = f"""
CREATE TABLE secrets (id int PRIMARY KEY, v text); INSERT INTO secrets VALUES (1, '{CANARY}');
CREATE TABLE locked (id int PRIMARY KEY, a int); INSERT INTO locked SELECT i, 0 FROM generate_series(1, 50) i;
CREATE TABLE emp (id int PRIMARY KEY, a int); INSERT INTO emp SELECT i, 0 FROM generate_series(1, 50) i;
CREATE TABLE free (id int PRIMARY KEY, a int); INSERT INTO free SELECT i, 0 FROM generate_series(1, 50) i;
CREATE TABLE spare (id int, a int); CREATE TABLE parent (id int, a int); CREATE TABLE parted (id int, a int) PARTITION BY RANGE (id);
CREATE TABLE picks (id int); INSERT INTO picks VALUES (1);
CREATE SCHEMA vault; CREATE TABLE vault.box (id int PRIMARY KEY, a int); INSERT INTO vault.box VALUES (1, 0);
CREATE TABLE cards (id int, pin text); INSERT INTO cards VALUES (1, '{CANARY}');
CREATE TABLE patients (id int PRIMARY KEY, ssn text, note text); INSERT INTO patients VALUES (1, '{CANARY}', 'calm');
CREATE FUNCTION harmless() RETURNS text LANGUAGE sql AS $$SELECT h FROM (VALUES ('x'::text)) v (h) LIMIT 1$$;
CREATE FUNCTION number() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION around() RETURNS text LANGUAGE sql AS 'SELECT harmless()';
CREATE FUNCTION evil() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT v FROM secrets); END';
CREATE FUNCTION swap() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
 EXECUTE 'CREATE OR REPLACE FUNCTION harmless() RETURNS text LANGUAGE plpgsql AS ''BEGIN RETURN (SELECT v FROM secrets); END'''; END $$;
CREATE VIEW calling AS SELECT harmless() AS h; CREATE VIEW shown AS SELECT id, a FROM free; CREATE VIEW shown_twice AS SELECT * FROM shown;
CREATE TABLE door (a int); INSERT INTO door VALUES (0); CREATE RULE r AS ON UPDATE TO door DO ALSO DELETE FROM shown WHERE id = 1;
CREATE TABLE grand (id int, a int) PARTITION BY RANGE (id); ALTER TABLE grand ATTACH PARTITION parted FOR VALUES FROM (0) TO (100);
CREATE FUNCTION plus(int, int) RETURNS text LANGUAGE sql AS $$SELECT 'x'::text$$;
CREATE OPERATOR <+> (FUNCTION = plus, LEFTARG = int, RIGHTARG = int);
CREATE TYPE home AS (a int); CREATE FUNCTION as_text(home) RETURNS text LANGUAGE sql AS $$SELECT 'x'::text$$;
CREATE CAST (home AS text) WITH FUNCTION as_text(home);
CREATE TYPE cave AS (a int); CREATE FUNCTION from_cave(cave) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT v FROM secrets); END';
CREATE CAST (cave AS text) WITH FUNCTION from_cave(cave);
CREATE FUNCTION attr(free) RETURNS text LANGUAGE sql AS $$SELECT 'x'::text$$;
CREATE FUNCTION step(text, text) RETURNS text LANGUAGE sql AS 'SELECT $1'; CREATE AGGREGATE gather(text) (SFUNC = step, STYPE = text);
CREATE PROCEDURE walk() LANGUAGE sql AS 'SELECT 1';
"""

EVIL = "LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT v FROM secrets); END'"
REPLACED = f"CREATE OR REPLACE FUNCTION harmless() RETURNS text {EVIL}"
IN_SQL = "CREATE OR REPLACE FUNCTION harmless() RETURNS text LANGUAGE sql AS 'SELECT v FROM secrets'"
WIPES = "LANGUAGE plpgsql AS 'BEGIN DELETE FROM locked; RETURN 1; END'"


@dataclass(frozen=True)
class Attempt:
    """
    :ivar who: "ada" has rules and no masks, "claude" may call what is not listed too, "grace" sees masks, "hope" may touch few rows of emp.
    :ivar steps: each a Query of its own; "@" in front has it prepared by the protocol, "=" only prepared, to be run by a later "@", "!" is one that fails.
    :ivar reads: success is the canary in the last step's rows.
    """

    name: str
    steps: Sequence[str]
    who: str = "ada"
    reads: bool = True


def _writes(name: str, *steps: str, who: str = "ada") -> Attempt:
    return Attempt(name, steps, who, reads=False)


def _reads(name: str, *steps: str, who: str = "ada") -> Attempt:
    return Attempt(name, steps, who)


ATTEMPTS = (
    # functions
    _reads("a replaced function", REPLACED, "SELECT harmless()"),
    _reads("a replaced function in SQL", IN_SQL, "SELECT harmless()"),
    _reads("a replaced function in one string", f"{REPLACED}; SELECT harmless()"),
    _reads("a replaced function in one string with its own transaction", f"COMMIT; BEGIN; {REPLACED}; SELECT harmless(); ROLLBACK"),
    _reads("a replaced function by the protocol's statements", f"@{REPLACED}", "@SELECT harmless()"),
    _reads("a replaced function that was prepared before", "=SELECT harmless()", REPLACED, "@SELECT harmless()"),
    _reads("a replaced function behind another", REPLACED, "SELECT around()"),
    _reads("a replaced function in an INSERT's RETURNING", REPLACED, "INSERT INTO spare VALUES (1, 1) RETURNING harmless()"),
    _reads("a replaced function under EXPLAIN ANALYZE's like", REPLACED, "COPY (SELECT harmless()) TO STDOUT"),
    _reads("a replaced function in FROM", REPLACED, "SELECT * FROM harmless() h"),
    _reads("a replaced function after a savepoint that is rolled back", REPLACED, "SAVEPOINT s", "ROLLBACK TO s", "SELECT harmless()"),
    _reads("a replaced function after a failed statement", REPLACED, "SAVEPOINT s", "!SELECT 1/0", "ROLLBACK TO s", "SELECT harmless()"),
    _reads("a function dropped and made again", "DROP FUNCTION harmless() CASCADE", f"CREATE FUNCTION harmless() RETURNS text {EVIL}", "SELECT harmless()"),
    _reads("a function that gets another's name", "ALTER FUNCTION harmless() RENAME TO was", "ALTER FUNCTION evil() RENAME TO harmless", "SELECT harmless()"),
    _reads("a function that gets another's name in one string", "ALTER FUNCTION harmless() RENAME TO was; ALTER FUNCTION evil() RENAME TO harmless; SELECT harmless()"),
    _reads("a function moved out and another in", "ALTER FUNCTION harmless() SET SCHEMA vault", f"CREATE FUNCTION harmless() RETURNS text {EVIL}", "SELECT public.harmless()"),
    _reads("PREPARE before and EXECUTE after", "PREPARE p AS SELECT harmless()", REPLACED, "EXECUTE p"),
    _reads("PREPARE, the change and EXECUTE in one string", f"PREPARE p AS SELECT harmless(); {REPLACED}; EXECUTE p"),
    _reads("a cursor before and FETCH after", "DECLARE c CURSOR FOR SELECT harmless()", IN_SQL, "FETCH c"),
    _reads("DO replaces it", f"DO $d$ BEGIN EXECUTE $e${REPLACED}$e$; END $d$", "SELECT harmless()"),
    _reads("DO and the call in one string", f"DO $d$ BEGIN EXECUTE $e${REPLACED}$e$; END $d$; SELECT harmless()"),
    _reads("CALL replaces it", "CREATE PROCEDURE swaps() LANGUAGE plpgsql AS 'BEGIN PERFORM swap(); END'", "CALL swaps()", "SELECT harmless()"),
    _reads("a function that runs DDL replaces a function", "SELECT swap()", "SELECT harmless()", who="claude"),
    _reads("a pg_temp function", f"CREATE FUNCTION pg_temp.harmless() RETURNS text {EVIL}", "SELECT pg_temp.harmless()"),
    _writes("a replaced function in a view", "CREATE OR REPLACE FUNCTION harmless() RETURNS text LANGUAGE plpgsql AS 'BEGIN DELETE FROM locked; RETURN 1; END'", "SELECT * FROM calling"),
    _writes("a function in a view of this transaction", "CREATE VIEW fresh AS SELECT number() AS n", f"CREATE OR REPLACE FUNCTION number() RETURNS int {WIPES}", "SELECT * FROM fresh"),
    _writes("a replaced procedure", "CREATE OR REPLACE PROCEDURE walk() LANGUAGE sql AS 'DELETE FROM locked WHERE id = 1'", "CALL walk()"),
    # what is called without its name
    _reads("a replaced operator's function", f"CREATE OR REPLACE FUNCTION plus(int, int) RETURNS text {EVIL}", "SELECT 1 <+> 2"),
    _reads("an operator of the server's for a type of one's own", f"CREATE FUNCTION eq(free, free) RETURNS text {EVIL}",
           "CREATE OPERATOR public.= (FUNCTION = eq, LEFTARG = free, RIGHTARG = free)", "SELECT f = f FROM free f WHERE f.id = 1"),
    _reads("an operator that is made anew", f"CREATE FUNCTION minus(int, int) RETURNS text {EVIL}", "DROP OPERATOR <+> (int, int)",
           "CREATE OPERATOR <+> (FUNCTION = minus, LEFTARG = int, RIGHTARG = int)", "SELECT 1 <+> 2"),
    _reads("a replaced cast's function", f"CREATE OR REPLACE FUNCTION as_text(home) RETURNS text {EVIL}", "SELECT ROW(1)::home::text"),
    _reads("a cast that is made", f"CREATE FUNCTION of_free(free) RETURNS text {EVIL}", "CREATE CAST (free AS text) WITH FUNCTION of_free(free)", "SELECT f::text FROM free f WHERE f.id = 1"),
    _reads("a type with a cast that gets another name", "ALTER TYPE cave RENAME TO den", "SELECT CAST(ROW(1)::den AS text)"),
    _reads("a domain over a type with a cast", "CREATE DOMAIN pit AS cave", "SELECT CAST(ROW(1)::pit AS text)"),
    _reads("field notation", f"CREATE OR REPLACE FUNCTION attr(free) RETURNS text {EVIL}", "SELECT f.attr FROM free f WHERE f.id = 1"),
    _reads("field notation by a name of the server's", f"CREATE FUNCTION upper(free) RETURNS text {EVIL}", "SELECT f.upper FROM free f WHERE f.id = 1"),
    _reads("an overload of a name of the server's", f"CREATE FUNCTION lower(free) RETURNS text {EVIL}", "SELECT lower(f) FROM free f WHERE f.id = 1"),
    _reads("an overload of a name of the server's in one string", f"CREATE FUNCTION lower(free) RETURNS text {EVIL}; SELECT lower(f) FROM free f WHERE f.id = 1"),
    _reads("an aggregate's function", f"CREATE OR REPLACE FUNCTION step(text, text) RETURNS text {EVIL}", "SELECT gather('x')"),
    _reads("an aggregate with a name of the server's", f"CREATE FUNCTION onward(text, free) RETURNS text {EVIL}", "CREATE AGGREGATE min(free) (SFUNC = onward, STYPE = text)", "SELECT min(f) FROM free f"),
    # relations
    _writes("a replaced view", "CREATE OR REPLACE VIEW shown AS SELECT id, a FROM locked", "DELETE FROM shown WHERE id = 1"),
    _writes("a new view", "CREATE VIEW fresh AS SELECT id, a FROM locked", "DELETE FROM fresh WHERE id = 1"),
    _writes("a new view in one string", "CREATE VIEW fresh AS SELECT id, a FROM locked; DELETE FROM fresh WHERE id = 1"),
    _writes("a view over a view of this transaction", "CREATE VIEW fresh AS SELECT id, a FROM locked", "CREATE VIEW fresher AS SELECT * FROM fresh", "DELETE FROM fresher WHERE id = 1"),
    _writes("a temporary view that hides a table", "CREATE TEMP VIEW free AS SELECT id, a FROM locked", "DELETE FROM free WHERE id = 1"),
    _writes("a table that gets another name", "ALTER TABLE locked RENAME TO unlocked", "DELETE FROM unlocked WHERE id = 1"),
    _writes("two tables that swap names", "ALTER TABLE free RENAME TO was", "ALTER TABLE locked RENAME TO free", "DELETE FROM free WHERE id = 1"),
    _writes("a table that moves to another schema", "ALTER TABLE vault.box SET SCHEMA public", "DELETE FROM public.box WHERE id = 1"),
    _writes("a schema that gets another name", "ALTER SCHEMA vault RENAME TO attic", "DELETE FROM attic.box WHERE id = 1"),
    _writes("a schema that gets another name in one string", "ALTER SCHEMA vault RENAME TO attic; DELETE FROM attic.box WHERE id = 1"),
    _writes("a child of another parent", "ALTER TABLE locked INHERIT parent", "DELETE FROM parent WHERE id = 1"),
    _writes("a partition that is attached", "ALTER TABLE parted ATTACH PARTITION locked FOR VALUES FROM (0) TO (100)", "DELETE FROM parted WHERE id = 1"),
    _writes("a rule that is made", "CREATE RULE r AS ON UPDATE TO spare DO INSTEAD DELETE FROM locked WHERE id = 1", "UPDATE spare SET a = 1 WHERE id = 1"),
    _writes("a replaced function in a rule", "CREATE RULE r AS ON INSERT TO spare DO ALSO SELECT number()", f"CREATE OR REPLACE FUNCTION number() RETURNS int {WIPES}", "INSERT INTO spare VALUES (1, 1)"),
    _writes("a filter whose column is gone", "ALTER TABLE picks RENAME COLUMN id TO pick", "DELETE FROM free WHERE id IN (SELECT id FROM picks LIMIT 5)"),
    _writes("a filter whose column is gone in one string", "ALTER TABLE picks DROP COLUMN id; DELETE FROM free WHERE id IN (SELECT id FROM picks LIMIT 5)"),
    _reads("a column that gets another name", "ALTER TABLE cards RENAME COLUMN pin TO p", "SELECT p FROM cards"),
    _writes("a replaced view under another view", "CREATE OR REPLACE VIEW shown AS SELECT id, a FROM locked", "DELETE FROM shown_twice WHERE id = 1"),
    _writes("a replaced view behind a rule", "CREATE OR REPLACE VIEW shown AS SELECT id, a FROM locked", "UPDATE door SET a = 1 WHERE a = 0"),
    _writes("a name that is another table's when it is executed", "PREPARE p AS DELETE FROM free WHERE id = 1", "ALTER TABLE free RENAME TO was", "ALTER TABLE locked RENAME TO free", "EXECUTE p"),
    _writes("a name that is another table's when it is bound", "=DELETE FROM free WHERE id = 1", "ALTER TABLE free RENAME TO was; ALTER TABLE locked RENAME TO free", "@DELETE FROM free WHERE id = 1"),
    _writes("a partition of what gets another parent", "ALTER TABLE parted ATTACH PARTITION locked FOR VALUES FROM (0) TO (100)", "UPDATE grand SET a = 1 WHERE id = 1"),
    _writes("a table that DO renames", "DO $d$ BEGIN ALTER TABLE locked RENAME TO unlocked; END $d$", "DELETE FROM unlocked WHERE id = 1"),
    _writes("a table that DO renames, said in pieces", "DO $d$ BEGIN EXECUTE 'ALTER TABLE lo' || 'cked RENAME TO unlocked'; END $d$", "DELETE FROM unlocked WHERE id = 1"),
    _reads("a function that DO renames", "DO $d$ BEGIN ALTER FUNCTION harmless() RENAME TO was; ALTER FUNCTION evil() RENAME TO harmless; END $d$", "SELECT harmless()"),
    _reads("a replaced function in a prepared statement of the string", f"PREPARE p AS SELECT around(); {REPLACED}; EXECUTE p"),
    _reads("an ALTER that lets a function run otherwise", "ALTER FUNCTION harmless() SET search_path = vault", f"{REPLACED}", "TABLE calling"),
    # how many rows
    _writes("a replaced view under a limit in one string", "CREATE OR REPLACE VIEW shown AS SELECT id, a FROM emp; UPDATE shown SET a = 1 WHERE id BETWEEN 1 AND 40", who="hope"),
    _writes("two tables that swap names under a limit in one string", "ALTER TABLE free RENAME TO was; ALTER TABLE emp RENAME TO free; UPDATE free SET a = 1 WHERE id BETWEEN 1 AND 40", who="hope"),
    _writes("a limit on what is executed under another name", "PREPARE p AS UPDATE free SET a = 1 WHERE id BETWEEN 1 AND 40", "ALTER TABLE free RENAME TO was", "ALTER TABLE emp RENAME TO free", "EXECUTE p", who="hope"),
    _writes("a limit on a function that is executed by name", "PREPARE p AS SELECT number()", "CREATE OR REPLACE FUNCTION number() RETURNS int LANGUAGE sql AS 'UPDATE emp SET a = 1 WHERE id BETWEEN 1 AND 40 RETURNING 1'", "EXECUTE p", who="hope"),
    _writes("a replaced view under a limit", "CREATE OR REPLACE VIEW shown AS SELECT id, a FROM emp", "UPDATE shown SET a = 1 WHERE id BETWEEN 1 AND 40", who="hope"),
    _writes("a table under a limit that gets another name", "ALTER TABLE emp RENAME TO staff", "UPDATE staff SET a = 1 WHERE id BETWEEN 1 AND 40", who="hope"),
    _writes("a view in the place of a table under a limit", "DROP TABLE spare", "CREATE VIEW spare AS SELECT id, a FROM emp", "UPDATE spare SET a = 1 WHERE id BETWEEN 1 AND 40", who="hope"),
    _writes("a replaced function under a limit", "CREATE OR REPLACE FUNCTION number() RETURNS int LANGUAGE sql AS 'UPDATE emp SET a = 1 WHERE id BETWEEN 1 AND 40 RETURNING 1'", "SELECT number()", who="hope"),
    _writes("a replaced function under a limit in one string",
            "CREATE OR REPLACE FUNCTION number() RETURNS int LANGUAGE sql AS 'UPDATE emp SET a = 1 WHERE id BETWEEN 1 AND 40 RETURNING 1'; SELECT number()", who="hope"),
    # masks
    _reads("masked: a function of a row in a write", "CREATE FUNCTION lower(patients) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn'", "UPDATE patients p SET note = lower(p) WHERE id = 1 RETURNING note", who="grace"),
    _reads("masked: field notation in a write", "CREATE FUNCTION lower(patients) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn'", "UPDATE patients p SET note = p.lower WHERE id = 1 RETURNING note", who="grace"),
    _writes("masked: field notation in a filter", "CREATE FUNCTION lower(patients) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn'", "DELETE FROM patients p WHERE id = 1 AND p.lower LIKE 'can%'", who="grace"),
    _reads("masked: an overload in one string", "CREATE FUNCTION lower(patients) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn'; SELECT lower(p) FROM patients p", who="grace"),
    _reads("masked: a clean view is replaced", "CREATE OR REPLACE VIEW shown AS SELECT id, id AS a, ssn FROM patients", "SELECT ssn FROM shown", who="grace"),
    _reads("masked: a table takes the place of another", "ALTER TABLE spare RENAME TO gone", "ALTER TABLE patients RENAME TO spare", "SELECT ssn FROM spare", who="grace"),
    _writes("clear: a mask through a view of this transaction", "CREATE VIEW fresh AS SELECT * FROM patients", "UPDATE fresh SET ssn = '***' WHERE id = 1"),
    _writes("clear: a mask into a renamed table", "ALTER TABLE patients RENAME TO people", "UPDATE people SET ssn = '***' WHERE id = 1"),
    _writes("clear: a mask into a renamed column", "ALTER TABLE patients RENAME COLUMN ssn TO number", "UPDATE patients SET number = '***' WHERE id = 1"),
    _writes("clear: a mask in one string", "CREATE VIEW fresh AS SELECT * FROM patients; UPDATE fresh SET ssn = '***' WHERE id = 1"),
)  # fmt: skip
