"""The catalog's reader: one reading for all who wait, never an answer older than the question, and polling."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from gateway.catalog import CLOSING, COMMITTING, DIGEST, OPENING, QUERIES, READING, Catalogs
from protocols.session import Identity, Session, Target

ROWS: dict[str, list[tuple[str | None, ...]]] = {
    "schemas": [("public",)],
    "relations": [("20000", "public", "patients", "r", "20001")],
    "columns": [("20000", "1", "id", "23", "integer", "t", None, "f", "f"), ("20000", "2", "ssn", "25", "text", "f", None, "f", "f")],
    "rules": [],
    "inherits": [],
    "views": [],
    "functions": [],
    "types": [],
    "operators": [],
    "casts": [],
    "constraints": [],
}


def session(target: str = "clinic", database: str = "clinicdb") -> Session:
    return Session("s", Identity("ada"), Target(target, "postgres", "h", 1), "rw", database, "p")


class Server:
    """Answers each query from ROWS; `gate` holds the first one back."""

    def __init__(self) -> None:
        self.dialled, self.closed, self.digest = 0, 0, "one"
        self.asked: list[str] = []
        self.gate: Deferred | None = None
        self.down = False

    def connect(self, _session: Session) -> Deferred:
        self.dialled += 1
        return fail(ConnectionRefusedError()) if self.down else succeed(self)

    def query(self, sql: str) -> Deferred:
        self.asked.append(sql)
        if sql == OPENING[0] and self.gate is not None:
            return self.gate
        if sql == DIGEST:
            return succeed([(self.digest,)])
        return succeed(next((ROWS.get(name, []) for name, text in QUERIES.items() if text == sql), []))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalogs(server: Server, clock: Clock) -> Catalogs:
    return Catalogs(server.connect, clock, interval=15)


def fired(deferred: Deferred) -> list:
    found: list = []
    deferred.addBoth(found.append)
    return found


def test_nothing_is_known_before_a_reading(catalogs: Catalogs) -> None:
    assert catalogs.snapshot(session()) is None


def test_a_reading_is_one_transaction_with_nothing_on_the_path(server: Server, catalogs: Catalogs) -> None:
    """Names come out qualified, and all queries see the same moment."""
    snapshot = fired(catalogs.refresh(session()))[0]
    assert server.asked[: len(OPENING)] == list(OPENING) and server.asked[-1] == CLOSING
    assert "REPEATABLE READ READ ONLY" in OPENING[0] and "'search_path', ''" in OPENING[1]
    assert [c.name for c in snapshot.relations[20000].columns] == ["id", "ssn"]
    assert catalogs.snapshot(session()) is snapshot and server.closed == 1


def test_databases_do_not_share_a_snapshot(catalogs: Catalogs) -> None:
    fired(catalogs.refresh(session()))
    assert catalogs.snapshot(session(database="other")) is None
    assert catalogs.snapshot(session(target="other")) is None


def test_those_who_come_during_a_reading_share_the_next_one(server: Server, catalogs: Catalogs) -> None:
    """The one under way may have begun before what they saw."""
    server.gate = Deferred()
    first, second, third = (fired(catalogs.refresh(session())) for _ in range(3))
    assert server.dialled == 1
    gate, server.gate = server.gate, None
    gate.callback([])
    assert server.dialled == 2
    assert len(first) == len(second) == len(third) == 1 and second[0] is third[0] is not first[0]


def test_a_failed_reading_keeps_the_old_snapshot_and_tells_who_waits(server: Server, catalogs: Catalogs) -> None:
    snapshot = fired(catalogs.refresh(session()))[0]
    server.down = True
    failure = fired(catalogs.refresh(session()))[0]
    assert failure.check(ConnectionRefusedError)
    assert catalogs.snapshot(session()) is snapshot


def test_a_failed_reading_does_not_end_the_ones_behind_it(server: Server, catalogs: Catalogs, clock: Clock) -> None:
    server.gate = Deferred()
    first = fired(catalogs.refresh(session()))
    second = fired(catalogs.refresh(session()))
    gate, server.gate = server.gate, None
    gate.errback(ConnectionRefusedError())
    assert first[0].check(ConnectionRefusedError) and second[0].relations


def test_a_reading_that_hangs_is_given_up(server: Server, catalogs: Catalogs, clock: Clock) -> None:
    server.gate = Deferred()
    waiting = fired(catalogs.refresh(session()))
    clock.advance(READING)
    assert waiting and server.closed == 1


def test_polling_reads_again_only_when_the_digest_changed(server: Server, catalogs: Catalogs, clock: Clock) -> None:
    fired(catalogs.refresh(session()))
    catalogs.start()
    first = catalogs.snapshot(session())
    clock.advance(15)
    assert catalogs.snapshot(session()) is first
    server.digest = "two"
    clock.advance(15)
    assert catalogs.snapshot(session()) is not first
    catalogs.stop()
    assert not clock.getDelayedCalls()


def test_a_target_that_is_gone_does_not_stop_the_polling_of_others(server: Server, clock: Clock) -> None:
    """A reload may take a target away; connecting to it then raises."""
    gone: set[str] = set()

    def connect(asked: Session) -> Deferred:
        if asked.target.name in gone:
            raise KeyError(asked.target.name)
        return server.connect(asked)

    catalogs = Catalogs(connect, clock, interval=15)
    for target in ("old", "clinic"):
        fired(catalogs.refresh(session(target)))
    catalogs.start()
    gone.add("old")
    server.digest, first = "two", catalogs.snapshot(session())
    clock.advance(15)
    assert catalogs.snapshot(session()) is not first
    assert fired(catalogs.refresh(session("old")))[0].check(KeyError)
    catalogs.stop()


def test_a_poll_that_fails_is_tried_again(server: Server, catalogs: Catalogs, clock: Clock) -> None:
    fired(catalogs.refresh(session()))
    catalogs.start()
    server.down = True
    clock.advance(15)
    server.down, server.digest = False, "two"
    first = catalogs.snapshot(session())
    clock.advance(15)
    assert catalogs.snapshot(session()) is not first
    catalogs.stop()


def test_a_session_begins_with_what_the_target_has_now(server: Server, catalogs: Catalogs) -> None:
    """What another client changed since the last reading is seen before the first statement."""
    fired(catalogs.refresh(session()))
    first = catalogs.snapshot(session())
    assert fired(catalogs.check(session())) == [None] and catalogs.snapshot(session()) is first
    server.digest = "two"
    assert fired(catalogs.check(session())) == [None] and catalogs.snapshot(session()) is not first


def test_sessions_that_begin_together_share_a_look(server: Server, catalogs: Catalogs) -> None:
    """Three hundred logins at once are two looks: the one under way, and one begun after they came."""
    fired(catalogs.refresh(session()))
    held, answers = Deferred(), []
    ask, server.query = server.query, lambda sql: held.addCallback(lambda _: ask(sql))  # type: ignore[method-assign]
    dialled = server.dialled
    for _ in range(300):
        catalogs.check(session()).addCallback(answers.append)
    server.query = ask  # type: ignore[method-assign]
    held.callback(None)
    assert len(answers) == 300 and server.dialled == dialled + 2


def test_a_look_that_fails_lets_the_session_try(server: Server, catalogs: Catalogs) -> None:
    """If the target is gone, dialling it says so in better words."""
    fired(catalogs.refresh(session()))
    assert fired(catalogs.current(session())) == [True]
    server.down = True
    assert fired(catalogs.check(session())) == [None]
    assert fired(catalogs.current(session())) == [False], "whoever has to know is told that nobody does"


def test_doubt_lasts_until_a_reading_that_began_after_it(server: Server, catalogs: Catalogs) -> None:
    """DDL that passes during a reading may not be in it."""
    told: list[tuple[str, str]] = []
    catalogs.on_doubt = lambda target, database: told.append((target, database))
    fired(catalogs.refresh(session()))
    server.gate = Deferred()
    early = fired(catalogs.refresh(session()))
    catalogs.doubt(session())
    assert told == [("clinic", "clinicdb")] and catalogs.stale(session())
    gate, server.gate = server.gate, None
    gate.callback([])
    assert len(early) == 1 and catalogs.stale(session())
    fired(catalogs.refresh(session()))
    assert not catalogs.stale(session())


def test_another_workers_doubt_is_not_sent_back(catalogs: Catalogs) -> None:
    """Or two workers would tell each other for ever."""
    told: list[tuple[str, str]] = []
    catalogs.on_doubt = lambda target, database: told.append((target, database))
    fired(catalogs.refresh(session()))
    catalogs.heard("clinic", "clinicdb")
    assert catalogs.stale(session()) and told == []


def test_what_another_worker_commits_is_known_until_it_says_that_it_ended(catalogs: Catalogs) -> None:
    """By database; and whatever rests on it is asked about again."""
    counted = catalogs.tally.count
    catalogs.begun("s-9", "clinic", "other")
    assert not catalogs.elsewhere(session())
    catalogs.begun("s-8", "clinic", "clinicdb")
    assert catalogs.elsewhere(session()) and catalogs.tally.count == counted + 2
    catalogs.ended("s-9")
    catalogs.ended("nobody's")
    assert catalogs.elsewhere(session())
    catalogs.ended("s-8")
    assert not catalogs.elsewhere(session()) and catalogs.tally.count == counted + 4


def test_a_commit_whose_end_was_not_heard_counts_as_a_change(server: Server, catalogs: Catalogs) -> None:
    """Control was away; what is under way now is told when it is back, and the catalog looked at."""
    fired(catalogs.refresh(session()))
    catalogs.begun("s-8", "clinic", "clinicdb")
    catalogs.back([["s-8", "clinic", "clinicdb"]])
    assert catalogs.elsewhere(session()) and not catalogs.stale(session())
    catalogs.back([])
    assert not catalogs.elsewhere(session()) and catalogs.stale(session())


def test_who_waits_for_another_workers_commit_goes_on_when_it_ended_or_takes_long(catalogs: Catalogs, clock: Clock) -> None:
    """It may itself wait for a lock that who waits here holds."""
    assert fired(catalogs.over(session())) == [None]
    catalogs.begun("s-8", "clinic", "clinicdb")
    catalogs.begun("s-9", "clinic", "clinicdb")
    first, second = fired(catalogs.over(session())), fired(catalogs.over(session()))
    catalogs.ended("s-8")
    assert first == second == []
    catalogs.ended("s-9")
    assert first == second == [None]
    catalogs.begun("s-8", "clinic", "clinicdb")
    third = fired(catalogs.over(session()))
    clock.advance(COMMITTING)
    assert third == [None]
    catalogs.ended("s-8")
