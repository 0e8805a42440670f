"""
A long statement is analysed by a process beside the worker: nobody else waits for it, and whatever happens meanwhile
(cancel, a client that leaves, a reload, the end of any of these processes) happens to it alone.

The analyst is stopped by a signal while a test looks around, so that "meanwhile" is as long as it has to be.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg
import pytest

from addons.sql.analysis import LONG
from gateway.analyses import PAGES
from tests.house import ADA, CLEAR, EVERYTHING, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

NUMBERS = itertools.count(1000)
PADDING = ", ".join(["1"] * LONG)
TABLES = """
CREATE TABLE wards (id int PRIMARY KEY, name text, beds int); INSERT INTO wards VALUES (1, 'north', 10);
CREATE TABLE patients (id int PRIMARY KEY, name text, ssn text); INSERT INTO patients VALUES (1, 'patient 1', 'CANARY-1');
"""
NEVER = [{"name": "never", "classes": ["write"], "verdict": "deny", "reason": "Not any more."}]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    postgres15.sql("CREATE DATABASE long")
    postgres15.sql(TABLES, "long")
    with House(tmp_path_factory.mktemp("long") / "h", postgres15, database="long", workers=1, masked={"public.patients": ["ssn"]}) as made:
        yield made


@pytest.fixture
def ada(house: House) -> Iterator[psycopg.Connection]:
    with house.connect(ADA) as connection:
        connection.execute(f"SELECT 1 WHERE 1 IN ({PADDING})")  # there is an analyst
        yield connection


@pytest.fixture(autouse=True)
def beds(house: House) -> None:
    house.server.sql("UPDATE wards SET beds = 10", "long")


def more_beds(count: int = 1) -> str:
    """A text that nobody has seen yet."""
    return f"UPDATE wards SET beds = beds + {count} WHERE id IN ({next(NUMBERS)}, {PADDING})"


def found(house: House) -> str:
    return house.server.sql("SELECT beds FROM wards WHERE id = 1", "long")


def analysts(house: House) -> list[psutil.Process]:
    return [one for one in psutil.Process(house.pid("worker-1")).children() if "gateway.analyst" in one.cmdline()]


@contextmanager
def stopped(house: House) -> Iterator[None]:
    """No analyst moves."""
    held = analysts(house)
    for one in held:
        one.suspend()
    try:
        yield
    finally:
        for one in held:
            with suppress(psutil.NoSuchProcess):
                one.resume()


def begin(house: House, connection: psycopg.Connection, text: str) -> None:
    """Send it. The worker has it when a session that was opened later is answered."""
    connection.pgconn.send_query(text.encode())
    connection.pgconn.flush()
    with house.connect(CLEAR) as later:
        later.execute("SELECT 1")


def result(connection: psycopg.Connection) -> tuple[str, str]:
    """(SQLSTATE or "", the first line of the message or the command's tag), once it is there."""
    said = ("", "")
    while (answer := connection.pgconn.get_result()) is not None:
        state = (answer.error_field(ord("C")) or b"").decode()
        said = state, (answer.error_message if state else answer.command_status or b"").decode()
    return said


def waits(connection: psycopg.Connection) -> bool:
    connection.pgconn.consume_input()
    return bool(connection.pgconn.is_busy())


def test_nobody_waits_for_somebody_elses_long_statement(house: House, ada: psycopg.Connection) -> None:
    """Short texts, also ones that nobody has seen, and rewritten ones, are answered while it is analysed."""
    with stopped(house):
        begin(house, ada, more_beds())
        with house.connect(CLEAR) as other:
            assert other.execute("SELECT name FROM wards WHERE id = 1 AND beds = 10").fetchone() == ("north",)
            assert other.execute("SELECT ssn FROM patients WHERE id = 1").fetchone() == ("CANARY-1",)
        with house.connect(ADA) as second:
            assert second.execute("SELECT ssn FROM patients WHERE id = 1").fetchone() == ("***",)
        assert waits(ada) and found(house) == "10"
    assert result(ada) == ("", "UPDATE 1") and found(house) == "11"


def test_some_pages_do_not_wait_for_a_megabyte(house: House, ada: psycopg.Connection) -> None:
    with house.connect(CLEAR) as other:
        other.execute(f"SELECT 1 WHERE 1 IN ({', '.join(['1'] * PAGES)})")
        (pages,) = (one for one in analysts(house) if one.pid not in {each.pid for each in analysts(house)[:1]})
        pages.suspend()
        try:
            begin(house, other, f"SELECT 2 WHERE 1 IN ({', '.join(['1'] * PAGES)})")
            assert ada.execute(f"SELECT 3 WHERE 1 IN ({PADDING})").fetchone() == (3,)
            assert waits(other)
        finally:
            pages.resume()
        assert result(other) == ("", "SELECT 1")


def test_what_is_pipelined_behind_it_keeps_its_place(house: House, ada: psycopg.Connection) -> None:
    raw = ada.pgconn
    with stopped(house):
        raw.enter_pipeline_mode()
        for text in (more_beds(), "UPDATE wards SET beds = beds * 2 WHERE id = 1"):
            raw.send_query_params(text.encode(), None)
        raw.pipeline_sync()
        raw.flush()
        with house.connect(CLEAR) as other:
            assert other.execute("SELECT beds FROM wards WHERE id = 1").fetchone() == (10,)
        assert waits(ada)
    assert [result(ada), result(ada)] == [("", "UPDATE 1")] * 2 and found(house) == "22"
    raw.get_result()  # of the sync
    raw.exit_pipeline_mode()


def test_it_is_masked_as_a_short_one_is(ada: psycopg.Connection) -> None:
    """In both ways to send it; the second time it is known."""
    text = f"SELECT ssn, name FROM patients WHERE id IN ({PADDING})"
    for prepare in (False, True, True):
        assert ada.execute(text, prepare=prepare).fetchall() == [("***", "patient 1")]


def test_a_cancel_reaches_it(house: House, ada: psycopg.Connection) -> None:
    with stopped(house):
        begin(house, ada, more_beds())
        ada.cancel()
        state, said = result(ada)
        assert state == "57014" and "OST-304" in said
    assert ada.execute("SELECT 1").fetchone() == (1,) and found(house) == "10"


@pytest.mark.parametrize("politely", [True, False])
def test_it_never_runs_when_its_client_has_left(politely: bool, house: House, ada: psycopg.Connection) -> None:
    leaving = house.connect(ADA)
    (mine,) = leaving.execute("SELECT pg_backend_pid()").fetchone()
    with stopped(house):
        begin(house, leaving, more_beds())
        if politely:
            leaving.close()
        else:
            with socket.socket(fileno=os.dup(leaving.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        until(lambda: house.server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {mine}") == "0", "the session's end")
    leaving.close()
    assert ada.execute(f"SELECT 1 WHERE 1 IN ({PADDING})").fetchone() == (1,) and found(house) == "10"


def test_it_is_judged_by_the_policy_in_force_when_it_is_answered(house: House, ada: psycopg.Connection) -> None:
    policy = next(one for one in house.addons if one["use"].endswith("Policy"))
    with stopped(house):
        begin(house, ada, more_beds(2))
        policy["rules"] = NEVER
        house.reload()
        assert waits(ada)
    state, said = result(ada)
    assert state == "42501" and "Not any more" in said and found(house) == "10"
    policy["rules"], policy["default"] = [], dict(EVERYTHING)
    house.reload()


def test_a_statement_that_ends_its_analyst_is_refused_alone(house: House, ada: psycopg.Connection) -> None:
    """As one would that overflows the parser's stack, or takes all memory: no session ends, and the next one has another analyst."""
    with house.connect(CLEAR) as other:
        with stopped(house):
            begin(house, ada, more_beds())
            begin(house, other, more_beds())
            assert waits(ada) and waits(other)
            for one in analysts(house):
                one.kill()
            said = sorted((result(ada), result(other)))
        assert said[0] == ("", "UPDATE 1")
        assert said[1][0] == "54001" and "OST-216" in said[1][1]
        assert other.execute("SELECT 1").fetchone() == ada.execute("SELECT 1").fetchone() == (1,)
    assert found(house) == "11"


def test_no_analyst_outlives_its_worker(house: House, ada: psycopg.Connection) -> None:
    """Whether it is killed or leaves."""
    killed = analysts(house)
    house.kill("worker-1", signal.SIGKILL)
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in killed), "its analysts' end")
    with house.connect(ADA) as again:
        again.execute(f"SELECT 1 WHERE 1 IN ({PADDING})")
        left = analysts(house)
    house.stop()
    assert left and not any(one.is_running() for one in left)
