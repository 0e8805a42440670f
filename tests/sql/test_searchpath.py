"""The search path through transactions: what the machine says is what a server says."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons.sql.changes import split_identifiers
from addons.sql.parse import parse
from addons.sql.searchpath import MOST_SENT, MOST_STEPS, Tracker, steps
from addons.sql.settings import Settings
from addons.sql.worlds import MARKS
from protocols.command import Statement
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision
from tests.servers import POSTGRES, PostgresServer

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


BEGUN = [ok("SET search_path = a"), ok("BEGIN", "T")]


@pytest.mark.parametrize("code", ["VACUUM t", "CREATE DATABASE d", "REINDEX DATABASE CONCURRENTLY d", "CREATE INDEX CONCURRENTLY i ON t (x)", "CALL p()"])
def test_what_may_have_been_committed_at_once_is_not_known_to_be_taken_back(code: str) -> None:
    """In a pipeline, by a command that must run outside of a block, or by code; in a block an error takes all of it back."""
    assert after(ok("SET search_path = a", ""), ok(code, ""), ("SELECT 1/0", "error", "I")) is None
    assert after(ok("SET search_path = a", ""), (code, "error", "I")) is None
    assert after(ok("SET search_path = a", ""), ok(code, ""), ("SELECT 1/0", "error", "I"), ok("SET search_path = b")) == ("b",)
    assert after(ok("BEGIN", "T"), ok("SET search_path = a", "T"), (code, "error", "E"), ok("ROLLBACK")) == START


def test_discard_all_is_not_known_to_be_taken_back() -> None:
    pipeline = [ok("SET search_path = a"), ok("DISCARD ALL", ""), ("SELECT 1/0", "error", "I")]
    assert after(*pipeline) is None
    assert after(*pipeline, ok("DISCARD ALL")) == START


def test_a_commit_in_front_of_an_error_stays() -> None:
    """Of a string that failed nobody says how far it got."""
    assert after(*BEGUN, ok("SET search_path = b", "T"), ("COMMIT; SELECT 1/0", "error", "I")) is None


@pytest.mark.parametrize("text", ["SET search_path = b; SAVEPOINT s; SELECT 1/0", "SET search_path = b; COMMIT; BEGIN; SAVEPOINT s; SELECT 1/0"], ids=["savepoint", "begin"])
def test_a_savepoint_is_not_taken_for_one_that_stood_before(text: str) -> None:
    assert after(*BEGUN, ok("SAVEPOINT s", "T"), (text, "error", "E"), ok("ROLLBACK TO s", "T")) is None


def test_a_local_reset_ends_with_the_transaction() -> None:
    local = ok("SET LOCAL search_path TO DEFAULT", "T")
    assert after(*BEGUN, local) == START
    assert after(*BEGUN, local, ok("COMMIT")) == ("a",)
    assert after(ok("SET search_path = a"), ok("SET LOCAL search_path TO DEFAULT")) == ("a",)


ONE = "SELECT set_config('search_path', 'b', false)"


def bound(*ends: tuple[str, str, str, int], text: str = ONE, name: str = "") -> tuple[str, ...] | None:
    """The path after `text` was bound and these ended: (text, ending, status, rows)."""
    tracker = Tracker(START)
    tracker.sent(text, steps(parse(text)), name)
    for one, ending, status, rows in ends:
        if one != text:
            tracker.sent(one, steps(parse(one)))
        tracker.ended(one, ending, status, rows=rows)
    return tracker.path()


def test_what_a_suspended_portal_did_counts() -> None:
    """A row limit ends it "suspended", be it done or not; where it gives one row by one call, it is done."""
    assert bound((ONE, "suspended", "I", 1)) == ("b",)
    assert bound((ONE, "suspended", "I", 0)) is None
    many = "SELECT set_config('search_path', 'b', false) FROM generate_series(1, 3)"
    assert bound((many, "suspended", "I", 1), text=many) is None
    assert bound(("SET search_path = b", "suspended", "I", 0), text="SET search_path = b") == START


@pytest.mark.parametrize("ending", ["complete", "suspended", "error", "skipped", "limit", "refused"])
def test_what_was_done_behind_a_portal_may_have_been_done_after_it(ending: str) -> None:
    """It set the path when it gave its row, and ended when it was resumed or closed."""
    assert bound(("SET search_path = a", "complete", "T", 0), (ONE, ending, "T", 1)) is None


@pytest.mark.parametrize("ending", ["limit", "refused", "unknown"])
def test_what_a_limit_cut_may_be_done_all_the_same(ending: str) -> None:
    assert after((ONE, ending, "I")) is None
    assert after(ok("SET search_path = b", ""), ("SELECT 1", ending, "I")) is None
    assert bound((ONE, ending, "I", 1)) is None


@pytest.mark.parametrize("text", [
    "DECLARE c CURSOR WITH HOLD FOR SELECT set_config('search_path', 'b', false)", "CREATE VIEW v AS SELECT set_config('search_path', 'b', false)",
    "CREATE TABLE t (x text DEFAULT set_config('search_path', 'b', false))",
], ids=["cursor", "view", "default"])  # fmt: skip
def test_what_sets_the_path_whenever_it_is_read_is_never_followed(text: str) -> None:
    assert after(ok(text), ok("SET search_path = a")) is None


@pytest.mark.parametrize("text", [
    "UPDATE pg_settings SET setting = 'b' WHERE name = 'search_path'", "UPDATE pg_catalog.pg_settings SET setting = 'b'",
    "WITH x AS (UPDATE pg_settings SET setting = 'b' RETURNING 1) SELECT 1",
    "MERGE INTO pg_settings s USING t ON s.name = t.name WHEN MATCHED THEN UPDATE SET setting = 'b'",
], ids=["update", "schema", "cte", "merge"])  # fmt: skip
def test_writing_the_view_of_settings_may_set_the_path(text: str) -> None:
    assert after(ok(text)) is None
    assert after(ok(text), ok("SET search_path = a")) == ("a",)


def test_a_text_that_does_more_than_is_followed_leaves_the_path_unknown_until_the_next_set() -> None:
    """To follow it would keep the others waiting."""
    many = ("; ".join(["SET search_path = a"] * (MOST_STEPS + 1)), "complete", "I")
    assert after(many) is None and after(many, ok("SET search_path = b")) == ("b",)
    failed = (many[0] + "; SELECT 1/0", "error", "I")
    assert after(failed) is None and after(failed, ok("SET search_path = b")) == ("b",)


def test_savepoints_beyond_what_is_followed_leave_the_path_unknown_and_the_end_of_the_transaction_known() -> None:
    marks = [step for n in range(MARKS + 1) for step in (ok(f"SAVEPOINT s{n}", "T"), ok("SET LOCAL search_path = a", "T"))]
    assert after(ok("BEGIN", "T"), *marks[:-2]) == ("a",)
    assert after(ok("BEGIN", "T"), *marks, ok("COMMIT")) is None
    assert after(ok("BEGIN", "T"), *marks, ok("COMMIT"), ok("SET search_path = b")) == ("b",)


def test_while_more_is_on_its_way_than_is_followed_the_path_is_unknown() -> None:
    tracker, text = Tracker(("a",)), "SET search_path = a"
    keys = [object() for _ in range(MOST_SENT + 1)]
    for key in keys:
        tracker.sent(key, steps(parse(text)))
    assert tracker.path() is None
    for key in keys:
        tracker.ended(key, "complete", "I")
    assert tracker.path() == ("a",)


def test_an_error_that_is_on_its_way_may_take_the_path_back() -> None:
    """Behind it, a commit keeps nothing."""
    tracker = Tracker(START)
    for text, status in (("BEGIN", "T"), ("SET search_path = a", "T")):
        tracker.sent(text, steps(parse(text)))
        tracker.ended(text, "complete", status)
    tracker.sent(3, steps(parse("COMMIT")))
    assert tracker.path() is None


@pytest.fixture(scope="module")
def connection() -> Iterator[psycopg.Connection]:
    server = PostgresServer(POSTGRES)
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
    "SET search_path = k; COMMIT; SELECT 1/0", "COMMIT; SELECT 1/0", "SET LOCAL search_path TO DEFAULT", "SET search_path = l; SAVEPOINT s; SELECT 1/0",
    "SELECT set_config('search_path', 'm', null)", "SELECT set_config('search_path', 'n', 'f')", "RELEASE s; SAVEPOINT s; SELECT 1/0",
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
