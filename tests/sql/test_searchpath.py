"""The search path through transactions: what the machine says is what a server says."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons.sql.changes import split_identifiers
from addons.sql.parse import parse
from addons.sql.searchpath import Tracker, steps
from addons.sql.settings import Settings
from protocols.command import Statement
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision
from tests.servers import POSTGRES_15, PostgresServer

START = ("$user", "public")
SESSION = Session("s-1", Identity("ada"), Target("clinic", "postgres", "db", 5432), "rw", "clinicdb", "10.0.0.9:5555")


def after(*texts: tuple[str, str, str]) -> tuple[str, ...] | None:
    """The path after (text, ending, transaction status) one by one."""
    tracker = Tracker(START)
    for text, ending, status in texts:
        tracker.sent(text, steps(parse(text)))
        tracker.ended(text, ending, status)
    return tracker.path()


def ok(text: str, status: str = "I") -> tuple[str, str, str]:
    return text, "complete", status


def test_set_holds_until_reset() -> None:
    assert after(ok("SET search_path = a, b")) == ("a", "b")
    assert after(ok("SET search_path = a"), ok("RESET search_path")) == START
    assert after(ok("SET search_path = a"), ok("DISCARD ALL")) == START
    assert after(ok("SELECT pg_catalog.set_config('search_path', '', false)")) == ()
    assert after(("SET search_path = a", "error", "I")) == START
    assert after(("SET search_path = a", "skipped", "I")) == START


def test_a_rollback_takes_it_back() -> None:
    assert after(ok("BEGIN", "T"), ok("SET search_path = a", "T"), ok("ROLLBACK")) == START
    assert after(ok("BEGIN", "T"), ok("SET search_path = a", "T"), ok("COMMIT")) == ("a",)
    assert after(ok("BEGIN", "T"), ok("SET search_path = a", "T"), ("SELECT 1/0", "error", "E"), ok("COMMIT")) == START
    assert after(ok("SET search_path = z"), ok("BEGIN", "T"), ok("RESET search_path", "T"), ok("ROLLBACK AND CHAIN", "T")) == ("z",)


def test_local_ends_with_the_transaction() -> None:
    inside = [ok("BEGIN", "T"), ok("SET search_path = a", "T"), ok("SET LOCAL search_path = b", "T")]
    assert after(*inside) == ("b",)
    assert after(*inside, ok("COMMIT")) == ("a",)
    assert after(*inside, ok("ROLLBACK")) == START
    assert after(ok("SET LOCAL search_path = b")) == START


def test_savepoints() -> None:
    inside = [ok("BEGIN", "T"), ok("SET search_path = a", "T"), ok("SAVEPOINT s", "T"), ok("SET search_path = b", "T")]
    assert after(*inside) == ("b",)
    assert after(*inside, ok("ROLLBACK TO s", "T")) == ("a",)
    assert after(*inside, ok("RELEASE s", "T"), ok("COMMIT")) == ("b",)
    assert after(*inside, ("SELECT 1/0", "error", "E"), ok("ROLLBACK TO SAVEPOINT s", "T"), ok("COMMIT")) == ("a",)


def test_what_is_on_its_way_makes_the_path_uncertain() -> None:
    """Between a SET and its answer nobody can say, unless it changes nothing."""
    tracker = Tracker(START)
    tracker.sent(1, steps(parse("SET search_path = a")))
    assert tracker.path() is None
    tracker.ended(1, "complete", "I")
    assert tracker.path() == ("a",)
    tracker.sent(2, steps(parse("BEGIN; SET search_path = a; COMMIT")))
    assert tracker.path() == ("a",)


def test_what_cannot_be_followed_is_lost_until_it_is_set_again() -> None:
    lost = ok("SELECT set_config(x, y, false) FROM t")
    assert after(lost) is None
    assert after(lost, ok("SET search_path = a")) == ("a",)
    assert after(ok("EXPLAIN ANALYZE SELECT set_config('search_path', 'a', false)")) is None
    assert after(ok("WITH x AS (SELECT set_config('search_path', 'a', false)) SELECT * FROM x")) is None
    assert after(ok("INSERT INTO t SELECT set_config('search_path', 'a', false)")) is None
    assert after(ok("SELECT set_config('work_mem', 'a', false) FROM t")) == START
    assert after(("BEGIN; SET search_path = a; COMMIT; SELECT 1/0", "error", "I")) is None


def test_a_pipeline_is_one_implicit_transaction() -> None:
    """Before Sync no status comes; an error in it takes all of it back."""
    assert after(ok("SET search_path = a", ""), ok("SELECT 1", "I")) == ("a",)
    assert after(ok("SET search_path = a", ""), ("SELECT 1/0", "error", "I")) == START
    assert after(ok("SET LOCAL search_path = a", "")) == ("a",)
    assert after(ok("SET LOCAL search_path = a", ""), ok("SELECT 1", "I")) == START


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection]:
    server = PostgresServer(POSTGRES_15)
    try:
        server.start()
        with psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", dbname="postgres", autocommit=True) as made:
            yield made
    finally:
        server.stop()


TEXTS = st.sampled_from([
    "BEGIN", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "SAVEPOINT s", "SAVEPOINT u", "ROLLBACK TO s", "ROLLBACK TO u",
    "RELEASE s", "RELEASE u", "SET search_path = a", "SET search_path = b, c", "SET LOCAL search_path = d", "RESET search_path", "SELECT 1",
    "SELECT 1/0", "DISCARD ALL", "SELECT set_config('search_path', 'e', true)", "SELECT set_config('search_path', 'f', false)",
    "SET search_path = g; SELECT 1/0", "BEGIN; SET search_path = h", "SET LOCAL search_path = i; SELECT 1", "BEGIN; SET LOCAL search_path = j; COMMIT",
    "SET search_path = k; COMMIT; SELECT 1/0",
])


ENDINGS = st.tuples(st.sampled_from([Ending.COMPLETE, Ending.COMPLETE, Ending.ERROR, Ending.SKIPPED]), st.sampled_from(["I", "T", "E", ""]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(TEXTS, ENDINGS), min_size=1, max_size=16))
def test_whatever_changes_the_path_of_a_session_is_counted_and_nothing_else(happened: list[str | tuple[Ending, str]]) -> None:
    """One that begins and ends transactions has nobody's remembered answers asked for again, in which all sessions of a worker would be."""
    tracked, running = Settings(), []
    tracked.start(SESSION, "public")
    for one in happened:
        before, stood = tracked.tally.count, tracked.standing(SESSION)
        if isinstance(one, str):
            running.append(Decision(Statement(one), Allow(), one))
            tracked.decided(SESSION, running[-1], "Policy")
        elif running:
            tracked.ended(SESSION, running.pop(0), Outcome(one[0], transaction=one[1]), "Policy")
        assert (tracked.tally.count == before) is (tracked.standing(SESSION) == stood)


def test_a_transaction_that_sets_nothing_is_not_counted() -> None:
    tracked = Settings()
    tracked.start(SESSION, "public")
    counted = tracked.tally.count
    for text, status in [("BEGIN", "T"), ("SAVEPOINT a", "T"), ("ROLLBACK TO a", "T"), ("RELEASE a", "T"), ("COMMIT", "I"), ("BEGIN", "T"), ("ROLLBACK", "I")]:
        decision = Decision(Statement(text), Allow(), text)
        tracked.decided(SESSION, decision, "Policy")
        tracked.ended(SESSION, decision, Outcome(Ending.COMPLETE, transaction=status), "Policy")
    assert tracked.tally.count == counted


@pytest.mark.live
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_the_machine_agrees_with_a_server(connection: psycopg.Connection, texts: list[str]) -> None:
    """Whatever is sent, the path that the machine names is the server's, or it says that it cannot tell."""
    pg = connection.pgconn
    pg.exec_(b"ROLLBACK")
    pg.exec_(b"RESET search_path")
    tracker = Tracker(START)
    for text in texts:
        tracker.sent(text, steps(parse(text)))
        result = pg.exec_(text.encode())
        failed = result.status == psycopg.pq.ExecStatus.FATAL_ERROR
        status = {0: "I", 2: "T", 3: "E"}[int(pg.transaction_status)]
        tracker.ended(text, "error" if failed else "complete", status)
        if status != "E":
            shown = pg.exec_(b"SHOW search_path").get_value(0, 0).decode()
            assert tracker.path() in (None, split_identifiers(shown)), texts
            if ";" not in "".join(texts):
                assert tracker.path() is not None, texts
