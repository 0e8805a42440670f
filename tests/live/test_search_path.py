"""Where names are looked up, by whichever way a session got its search path; PostgreSQL before 18 does not report it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from protocols.postgres import messages
from protocols.postgres.codec import FrameReader, encode
from tests.house import ADA, CLEAR, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

MOVING = """
CREATE SCHEMA moving;
CREATE DOMAIN moving.checked AS text CHECK (VALUE <> set_config('search_path', 'other, public', false));
CREATE FUNCTION moving.moved() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''search_path'', ''other, public'', false); RETURN NEW; END';
CREATE FUNCTION moving.moves() RETURNS text LANGUAGE plpgsql AS 'BEGIN SET search_path = other, public; RETURN ''x''; END';
CREATE TABLE moving.filled (x text DEFAULT set_config('search_path', 'other, public', false), y int);
CREATE TABLE moving.typed (x moving.checked);
CREATE TABLE moving.held (x text CHECK (x <> set_config('search_path', 'other, public', false)));
CREATE TABLE moving.watched (x int);
CREATE TRIGGER t BEFORE INSERT ON moving.watched FOR EACH ROW EXECUTE FUNCTION moving.moved();
CREATE VIEW moving.by_domain AS SELECT 'x'::text::moving.checked AS d;
CREATE FUNCTION moving.keyed(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN PERFORM set_config(''search_path'', ''other, public'', false); RETURN $1; END';
CREATE TYPE moving.pair AS (a int);
CREATE FUNCTION moving.paired(int) RETURNS moving.pair LANGUAGE plpgsql AS 'BEGIN PERFORM moving.moves(); RETURN ROW($1); END';
CREATE CAST (int AS moving.pair) WITH FUNCTION moving.paired(int) AS ASSIGNMENT;
CREATE VIEW moving.by_cast AS SELECT 1::moving.pair AS c;
CREATE TABLE moving.of_pairs (c moving.pair);
CREATE FUNCTION moving.signed(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM moving.moves(); RETURN $1; END';
CREATE OPERATOR moving.@@@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = moving.signed);
CREATE VIEW moving.by_sign AS SELECT 1 OPERATOR(moving.@@@@) 2 AS o;
CREATE FUNCTION moving.wanting(a text DEFAULT moving.moves()) RETURNS text LANGUAGE sql AS 'SELECT a';
CREATE TABLE moving.parted (x int) PARTITION BY RANGE (moving.keyed(x));
CREATE TABLE moving.part PARTITION OF moving.parted FOR VALUES FROM (0) TO (9);
CREATE FUNCTION moving.fired() RETURNS event_trigger LANGUAGE plpgsql AS
    'BEGIN IF current_user = ''elsewhere'' THEN PERFORM moving.moves(); END IF; END';
CREATE EVENT TRIGGER moving ON ddl_command_end EXECUTE FUNCTION moving.fired();
CREATE TABLE public.labels (x text); CREATE TABLE other.labels (x text); INSERT INTO public.labels VALUES ('old'); INSERT INTO other.labels VALUES ('old');
GRANT SELECT, UPDATE ON public.labels, other.labels TO elsewhere;
GRANT USAGE ON SCHEMA moving TO elsewhere; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA moving TO elsewhere;
"""

LISTED = ["moving.moves", "moving.wanting", "moving.keyed"]

ASKED = {"name": "asked", "relations": ["labels"], "classes": ["write", "write-unfiltered"], "verdict": "approve", "approvers": ["approvers"], "mode": "retry"}


@pytest.fixture(scope="module")
def astray(postgres15: PostgresServer, house15: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Its account's role looks into the schema `other` first; there `wards` has a masked column."""
    postgres15.sql(MOVING, "clinic")
    with House(
        tmp_path_factory.mktemp("astray") / "h", postgres15, database="clinic", user="elsewhere", workers=1,
        masked={"other.wards": ["name"]}, options={"search_paths": ["other, public"], "functions": LISTED}, masking={"functions": LISTED}, rules=[ASKED],
    ) as house:  # fmt: skip
        yield house
    postgres15.sql("DROP EVENT TRIGGER moving; DROP SCHEMA moving CASCADE; DROP TABLE public.labels, other.labels", "clinic")


@pytest.mark.parametrize("path", ["public", '"$user", public', "pg_catalog"])
def test_a_listed_path_may_be_brought_in_options(house: House, path: str) -> None:
    """As pgjdbc's currentSchema and libpq's options do."""
    escaped = path.replace(" ", r"\ ")
    with house.connect(CLEAR, options=f"-c search_path={escaped}") as connection:
        assert connection.execute("SHOW search_path").fetchone() == (path,)


def test_a_path_that_no_list_has_is_refused(house15: House) -> None:
    with pytest.raises(psycopg.OperationalError, match="OST-626"):
        house15.connect(CLEAR, options="-c search_path=other")


def test_the_path_brought_is_where_names_are_looked_up(astray: House) -> None:
    """With `public` first nothing is masked; with `other` first something is."""
    with astray.connect(ADA, options="-csearch_path=public") as connection:
        assert connection.execute("SELECT name FROM wards WHERE id = 1").fetchone() == ("north",)
    with astray.connect(ADA, options=r"-csearch_path=other,\ public") as connection:
        assert connection.execute("SELECT name FROM wards").fetchall() == [("***",)]


def test_the_path_of_the_role_is_known(astray: House) -> None:
    """ALTER ROLE … SET search_path is nothing that a client says; an unqualified name still meets its mask."""
    with astray.connect(ADA) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("other, public",)
        assert connection.execute("SELECT name FROM wards").fetchall() == [("***",)]
    with astray.connect(CLEAR) as connection:
        assert connection.execute("SELECT name FROM wards").fetchall() == [("elsewhere",)]


def test_reset_leads_back_to_where_the_session_began(astray: House) -> None:
    """Not to the server's default."""
    with astray.connect(ADA) as connection:
        connection.execute("SET search_path = public")
        assert connection.execute("SELECT name FROM wards WHERE id = 1").fetchone() == ("north",)
        connection.execute("RESET search_path")
        assert connection.execute("SELECT name FROM wards").fetchall() == [("***",)]


def test_the_question_is_marked_in_the_servers_log(house15: House, postgres15: PostgresServer, tmp_path: Path) -> None:
    """An auditor who compares the server's log with the evidence can tell it from a client's statement. 18 reports the path unasked."""
    with house15.connect(CLEAR, application_name=tmp_path.name) as connection:
        connection.execute("SELECT 'mine'")
    assert ("SHOW /* ostiary */ search_path" in postgres15.statements()) == (postgres15.version < 18)


@pytest.mark.parametrize("behind", ["SELECT 1/0", "SELECT nosuch FROM wards", "SELECT count(*) FROM wards WHERE name LIKE 'x%'"], ids=["error", "parse", "refusal"])
def test_a_path_that_a_failed_pipeline_takes_back_is_not_the_path(astray: House, behind: str) -> None:
    """What stands between two Syncs is one transaction: its error, be it a refusal of ours, undoes the SET before it."""
    with astray.connect(ADA) as connection:
        connection.execute('SET search_path TO other, public')
        with pytest.raises(psycopg.Error), connection.pipeline():
            connection.execute("SET search_path TO public")
            connection.execute(behind)
        assert connection.execute("SHOW search_path").fetchone() == ("other, public",)
        assert connection.execute("SELECT name FROM wards").fetchall() == [("***",)]
        with connection.pipeline():
            connection.execute("SET search_path TO public")
            connection.execute("SELECT 1")
        assert connection.execute("SELECT name FROM wards WHERE id = 1").fetchone() == ("north",)


OTHER = "SELECT set_config('search_path', 'other, public', false)"


def bound(text: str, limit: int = 0, portal: str = "") -> bytes:
    """One statement in the extended protocol, without its Sync."""
    executed = messages.Execute(portal, limit).encode() if limit >= 0 else b""
    return messages.Parse("", text, ()).encode() + messages.Bind(portal, "", (), (), ()).encode() + executed


def sent(connection: psycopg.Connection, *what: str | bytes) -> list[bytes]:
    """Query after Query, and what is bytes with a Sync, behind the driver's back; each is answered before the next. The rows, as they came."""
    rows = []
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.settimeout(60)
        for each in what:
            raw.sendall(messages.Query(each).encode() if isinstance(each, str) else each + encode(b"S"))
            reader = FrameReader()
            while (frame := reader.next_frame()) is None or frame.tag != b"Z":
                if frame is None:
                    heard = raw.recv(65536)
                    assert heard, "the session ended"
                    reader.feed(heard)
                elif frame.tag == b"D":
                    rows.append(frame.body)
        raw.setblocking(False)  # as the driver has it
    return rows


BEHIND = {
    "limit": [bound(OTHER, 1)],
    "limit in a transaction": ["BEGIN", bound(OTHER, 1, "p"), "COMMIT"],
    "limit, resumed": ["BEGIN", bound("SELECT set_config('search_path', 'public', false)", 1, "p"), OTHER, messages.Execute("p", 0).encode(), "COMMIT"],
    "discard": [bound("DISCARD ALL") + bound("SELECT 1/0")],
    "null": ["SELECT set_config('search_path', 'other, public', NULL)"],
    "commit, error": ["BEGIN; SET search_path = other, public", "COMMIT; SELECT 1/0"],
    "savepoints": ["BEGIN", "SAVEPOINT a", "SET search_path = other, public; SAVEPOINT a; SELECT 1/0", "ROLLBACK TO a", "COMMIT"],
    "prepared": ["PREPARE n AS " + OTHER, "SET search_path = public", "EXECUTE n"],
    "prepared, bound by the protocol, limit": ["PREPARE n AS " + OTHER, "SET search_path = public", messages.Bind("", "n", (), (), ()).encode() + messages.Execute("", 1).encode()],
    "prepared, limit": ["PREPARE n AS " + OTHER, "SET search_path = public", bound("EXECUTE n", 1)],
    "cursor": ["BEGIN", "DECLARE c CURSOR FOR " + OTHER, "SET search_path = public", "FETCH c", "COMMIT"],
    "portal": ["BEGIN", bound(OTHER, -1, "p"), "SET search_path = public", "FETCH p", "COMMIT"],
    "default": ["INSERT INTO moving.filled (y) VALUES (1)"],
    "default, by the protocol": [bound("INSERT INTO moving.filled (y) VALUES (1)")],
    "domain's check": ["INSERT INTO moving.typed VALUES ('x')"],
    "check": ["INSERT INTO moving.held VALUES ('x')"],
    "trigger": ["INSERT INTO moving.watched VALUES (1)"],
    "listed function": ["SELECT moving.moves()"],
    "view of settings": ["UPDATE pg_settings SET setting = 'other, public' WHERE name = 'search_path'"],
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_whatever_sets_the_path_no_name_is_looked_up_elsewhere_than_it_was_judged(astray: House, behind: list[str | bytes]) -> None:
    """The server looks into `other` in the end; the session was last seen to set `public`."""
    with astray.connect(ADA, sslmode="disable") as connection:
        sent(connection, "SET search_path = public", *behind)
        assert connection.execute("SHOW search_path").fetchone() == ("other, public",)
        try:
            found = connection.execute("SELECT name || '' FROM wards").fetchall()
        except psycopg.Error as error:
            found = str(error)
        assert found == [("***",)] or "OST-504" in found
        connection.execute("SET search_path = public")
        if "DECLARE" not in str(behind):  # whenever somebody reads the cursor it may set the path again
            assert connection.execute("SELECT name FROM wards WHERE id = 1").fetchone() == ("north",)


UNSEEN = {
    "domain's check in a view": "SELECT d FROM moving.by_domain",
    "cast in a view": "SELECT c FROM moving.by_cast",
    "assignment cast": "INSERT INTO moving.of_pairs VALUES (1)",
    "operator in a view": "SELECT o FROM moving.by_sign",
    "argument's default": "SELECT moving.wanting()",
    "partition's key": "INSERT INTO moving.parted VALUES (1)",
    "event trigger": "CREATE TEMP TABLE made (x int)",
}
"""The path is `other, public` in the end, and nothing that the gateway knows of the catalog says so."""


@pytest.mark.parametrize("behind", UNSEEN.values(), ids=UNSEEN)
def test_what_is_sent_has_the_schema_that_it_was_judged_by(astray: House, behind: str) -> None:
    """A name that may be a masked relation's does not leave what it means to a path that code may have set where nobody sees it."""
    with astray.connect(ADA, sslmode="disable") as connection:
        sent(connection, "SET search_path = public", behind)
        assert connection.execute("SHOW search_path").fetchone() == ("other, public",)
        assert rows_or_code(connection, "SELECT name || '' FROM wards WHERE id IN (1, 9)") in ([("north",)], [("***",)], "OST-504")


def test_a_name_that_no_mask_is_about_is_the_servers_to_look_up(astray: House, postgres15: PostgresServer) -> None:
    """Also where two schemas have it: only the server knows of a temporary table that a function made, and of whom it lets into a schema."""
    text = "SELECT count(*) FROM labels /* plainly */"
    with astray.connect(ADA) as connection:
        connection.execute(text)
    assert text in postgres15.statements()


def test_what_was_prepared_or_declared_means_what_it_meant_whatever_the_path_becomes(astray: House) -> None:
    """Behind a path that nobody saw; by another that was set it is refused, since the server would have looked there."""
    query = "SELECT name || '' FROM wards WHERE id IN (1, 9)"
    with astray.connect(ADA, sslmode="disable") as connection:
        sent(connection, "SET search_path = public", f"PREPARE p AS {query}", UNSEEN["partition's key"])
        assert connection.execute("SHOW search_path").fetchone() == ("other, public",)
        if astray.server.version >= 18:  # it says that the path moved, and then none is believed
            assert rows_or_code(connection, "EXECUTE p") == "OST-529"
            return
        assert rows_or_code(connection, "EXECUTE p") == [("north",)]
        sent(connection, "BEGIN", f"DECLARE c CURSOR FOR {query}", UNSEEN["partition's key"])
        assert rows_or_code(connection, "FETCH c") == [("north",)]
        sent(connection, "COMMIT", "SET search_path = other, public")
        assert rows_or_code(connection, "EXECUTE p") == "OST-529"


def test_a_yes_is_for_the_relation_that_people_were_asked_about(astray: House, postgres15: PostgresServer) -> None:
    """Wherever code has led the path since; and where what was prepared leaves that to the path nobody is asked."""
    text = "UPDATE labels SET x = 'new'"
    with astray.connect(ADA, sslmode="disable") as connection:
        connection.execute("SET search_path = public")
        with pytest.raises(psycopg.Error, match="OST-301") as held:
            connection.execute(text)
        (request,) = re.findall(r"r-[\w-]+", held.value.diag.message_primary)
        assert astray.call("request_show", request=request)["sent"] == "UPDATE public.labels SET x = 'new'"
        astray.approve(request)
        sent(connection, UNSEEN["partition's key"])
        assert connection.execute("SHOW search_path").fetchone() == ("other, public",)
        if astray.server.version >= 18:  # it says that the path moved, and then none is believed
            assert rows_or_code(connection, text) == "OST-310"
            return
        assert connection.execute(text).rowcount == 1
        with pytest.raises(psycopg.Error, match="OST-310"):
            connection.execute("UPDATE labels SET x = %s", ("newer",))
        with pytest.raises(psycopg.Error, match="OST-301"):
            connection.execute("UPDATE public.labels SET x = %s", ("newer",))
    assert [postgres15.sql(f"SELECT x FROM {schema}.labels", "clinic") for schema in ("public", "other")] == ["new", "old"]


def rows_or_code(connection: psycopg.Connection, text: str) -> list[tuple] | str:
    """What a query gives, or why it is refused."""
    try:
        return connection.execute(text).fetchall()
    except psycopg.Error as error:
        return found[0] if (found := re.findall("OST-[0-9]+", str(error))) else str(error)


def test_sqls_execute_sets_nothing_that_the_protocol_prepared(astray: House) -> None:
    """SQL itself prepares queries only."""
    with astray.connect(ADA, sslmode="disable") as connection:
        sent(connection, "SET search_path = public", messages.Parse("n", OTHER, ()).encode(), messages.Parse("m", "SET search_path = other, public", ()).encode())
        for name in "nm":
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                connection.execute(f"EXECUTE {name}")
            connection.rollback()
        assert connection.execute("SHOW search_path").fetchone() == ("public",)


# -- event triggers on login, PostgreSQL 17's: they run before a session's first statement, and nobody here is asked about them ------------

ON_LOGIN = """
CREATE SCHEMA logged; CREATE TABLE logged.patients (id int, ssn text); INSERT INTO logged.patients VALUES (1, 'of another table');
CREATE FUNCTION logged.on_login() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
  IF current_setting('application_name') = 'astray' THEN PERFORM set_config('search_path', 'logged, public', false); END IF;
  IF current_setting('application_name') = 'unwanted' THEN RAISE EXCEPTION 'CANARY: %', (SELECT ssn FROM public.patients WHERE id = 1); END IF;
END$$;
CREATE EVENT TRIGGER logged ON login EXECUTE FUNCTION logged.on_login();
"""


@pytest.fixture
def triggered(house: House) -> Iterator[House]:
    if house.server.version < 17:
        pytest.skip("PostgreSQL 17 has them first")
    house.server.sql(ON_LOGIN, "clinic")
    try:
        yield house
    finally:
        house.server.sql("DROP EVENT TRIGGER logged; DROP SCHEMA logged CASCADE", "clinic")


def test_a_path_that_one_sets_is_where_names_are_looked_up(triggered: House) -> None:
    """What the gateway believes is what the server does: the first table is not the masked one."""
    with triggered.connect(ADA, application_name="astray") as connection:
        assert connection.execute("SELECT ssn FROM patients").fetchall() == [("of another table",)]
        assert connection.execute("SELECT ssn FROM public.patients WHERE id = 1").fetchall() == [("***",)]


def test_what_one_says_as_it_refuses_a_login_reaches_nobody(triggered: House) -> None:
    with pytest.raises(psycopg.OperationalError, match="OST-643") as refused:
        triggered.connect(ADA, application_name="unwanted")
    assert "CANARY" not in str(refused.value)


def test_what_is_prepared_is_masked_as_what_its_names_meant_and_nothing_else_by_another_path(astray: House) -> None:
    """A driver that prepares need not write schemas; whoever changes the path has to prepare again."""
    text = "SELECT name FROM wards WHERE id = %s"
    with astray.connect(ADA, options="-csearch_path=public", autocommit=True) as connection:
        assert connection.execute(text, (1,), prepare=True).fetchone() == ("north",)
        connection.execute("SET search_path = other, public")
        with pytest.raises(psycopg.Error, match="OST-704") as refused:
            connection.execute(text, (1,), prepare=True)
        assert refused.value.sqlstate == "0A000"
        connection.execute("DEALLOCATE ALL")
        assert {row for (row,) in connection.execute("SELECT name FROM wards WHERE id > %s", (0,), prepare=True)} == {"***"}
        connection.execute("SET search_path = public")
        assert connection.execute("SELECT name FROM wards WHERE id = 1 AND 1 = %s", (1,)).fetchone() == ("north",)


def test_what_is_prepared_while_the_path_is_on_its_way_is_refused_without_its_schema(astray: House) -> None:
    with astray.connect(ADA, options="-csearch_path=public", autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="OST-504"), connection.pipeline():
            connection.execute("SET search_path = other, public")
            connection.execute("SELECT name FROM wards WHERE 1 = %s", (1,))
        assert rows_or_code(connection, "SELECT name FROM other.wards WHERE id > 0") == [("***",)]


def test_code_that_moves_the_path_behind_a_prepared_name_moves_nothing(astray: House) -> None:
    with astray.connect(ADA, options="-csearch_path=public", autocommit=True) as connection:
        text = "SELECT name FROM wards WHERE id = %s"
        assert connection.execute(text, (1,), prepare=True).fetchone() == ("north",)
        connection.execute("SELECT moving.moves()")
        with pytest.raises(psycopg.Error, match="OST-(704|504)"):
            connection.execute(text, (1,), prepare=True)
