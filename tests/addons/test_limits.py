"""Limits end in an error, and time is watched only while it counts."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from addons.limits import Limits
from protocols.command import Path, Statement, Transaction
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook, RowsHook, SessionHook, TextHook
from protocols.result import Ending, Outcome, RowBatch
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 5432), "rw", "d", "p")


class Ended:
    """What was cancelled and closed."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def cancel(self, session: Session, why: Deny) -> None:
        self.heard.append(("cancel", why.code))

    def end(self, session: Session, why: Deny) -> None:
        self.heard.append(("end", why.code))


def decision(path: Path = Path.SIMPLE, verdict: Allow | Deny | None = None) -> Decision:
    return Decision(Statement("SELECT 1", path), verdict or Allow(), "SELECT 1")


def rows(limits: Limits, total: int, size: int = 0, who: Session = SESSION) -> Deny | None:
    return limits.on_rows(RowsHook(who, decision(), RowBatch(1, 1, total, size)))


def judge(limits: Limits, path: Path = Path.SIMPLE) -> Allow | Deny:
    return limits.on_judge(JudgeHook(SESSION, Statement("SELECT 1", path), "SELECT 1"))


def test_rows_and_bytes() -> None:
    """The limit itself passes; one more is an error."""
    limits = Limits(rows=10, bytes=100)
    assert rows(limits, 10, 100) is None
    assert rows(limits, 11).code == "OST-401" and rows(limits, 1, 101).code == "OST-402"
    assert rows(Limits(), 10**9, 10**12) is None and judge(limits) == Allow(remember=True)
    assert "more than 1000000 rows" in rows(Limits(rows=1_000_000), 1_000_001).reason
    assert "larger than 0.5 bytes" in rows(Limits(bytes=0.5), 1, 1).reason


def test_rules_go_over_the_default() -> None:
    limits = Limits(rows=10, bytes=100, rules=[{"kinds": ["agent"], "rows": 2}])
    agent = Session("a", Identity("x", "agent"), SESSION.target, "rw", "d", "p")
    assert rows(limits, 3, who=agent).code == "OST-401" and rows(limits, 1, 101, agent).code == "OST-402" and rows(limits, 3) is None


def test_statements_per_minute() -> None:
    """A bucket: what is spent comes back with time; PARSE costs nothing; the answer is never remembered."""
    clock = Clock()
    limits = Limits(per_minute=60, clock=clock)
    assert all(judge(limits) == Allow(remember=False) for _ in range(60))
    assert judge(limits).code == "OST-404" and judge(limits, Path.PARSE) == Allow(remember=True)
    clock.advance(1)
    assert judge(limits) == Allow(remember=False) and isinstance(judge(limits), Deny)
    clock.advance(3600)
    assert sum(isinstance(judge(limits), Allow) for _ in range(100)) == 60


@pytest.mark.parametrize(("text", "many"), [
    ("SELECT 1;" * 8, 8), ("SELECT 1; SELECT 2", 2), ("SELECT ';;;'; SELECT $$;;$$ -- ;;", 2), ("SELECT 1;", 1), ("", 1), (";;", 1), ("SELECT 1; ;", 1),
    ("SELEC 1; SELEC 2; SELECT 3", 3), ("SELECT ';;a", 3), ("CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b); SELECT 1", 2),
    ("SELECT '\udc80'; SELECT 1; SELECT 2", 3), ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3", 2),
    ("SELECT 1;" + "(" * 9000 + ";;a", 4), ("INSERT INTO t VALUES " + ", ".join(["('a;b')"] * 9000) + "; SELECT 1", 2),
], ids=lambda value: str(value)[:20].encode("ascii", "replace").decode())  # fmt: skip
def test_each_statement_of_a_string_counts_against_the_minute(text: str, many: int) -> None:
    """As it would in a pipeline; one by Bind is one, and who is refused has spent nothing."""

    def ask(path: Path = Path.SIMPLE, **settings: str) -> Allow | Deny:
        return limits.on_judge(JudgeHook(SESSION, Statement(text, path, settings=settings), text))

    for left in (many - 1, many):
        limits = Limits(per_minute=left + 10, clock=Clock())
        assert all(isinstance(judge(limits), Allow) for _ in range(10))
        assert isinstance(ask(), Deny if left < many else Allow)
        assert sum(isinstance(judge(limits), Allow) for _ in range(20)) == (left if left < many else 0)
    limits = Limits(per_minute=1, clock=Clock())
    assert isinstance(ask(Path.BIND), Allow)


def test_statements_count_by_semicolons_where_quotes_may_end_elsewhere() -> None:
    text = "SELECT '\\', '; SELECT 1; SELECT 2; --'"
    limits = Limits(per_minute=4, clock=Clock())
    assert isinstance(limits.on_judge(JudgeHook(SESSION, Statement(text, settings={"standard_conforming_strings": "off"}), text)), Allow)
    assert isinstance(judge(limits), Deny)


def test_a_limits_rule_is_named_in_what_it_refuses() -> None:
    limits = Limits(rows=10, bytes=9, per_minute=5, clock=Clock(), rules=[{"name": "few", "rows": 1, "per_minute": 1}])
    assert rows(limits, 2).rule == rows(limits, 1, 10).rule == "few"
    assert isinstance(judge(limits), Allow) and judge(limits).rule == "few"
    assert rows(Limits(rows=1), 2).rule == ""


def test_a_long_command_is_cancelled_and_its_error_says_why() -> None:
    clock, ended = Clock(), Ended()
    limits = Limits(duration=5, clock=clock, sessions=ended)
    one = decision()
    limits.on_decided(DecidedHook(SESSION, one))
    clock.advance(4.9)
    assert not ended.heard
    clock.advance(0.2)
    assert ended.heard == [("cancel", "OST-403")]
    fields = {"S": "ERROR", "C": "57014", "M": "canceling statement due to user request"}
    assert "OST-403" in limits.on_text(TextHook(SESSION, "error", fields, one))["M"]
    assert limits.on_text(TextHook(SESSION, "error", fields, one)) is None, "only the answer to our own cancel"
    limits.on_outcome(OutcomeHook(SESSION, one, Outcome(Ending.ERROR, transaction="I")))
    clock.advance(100)
    assert len(ended.heard) == 1 and not clock.getDelayedCalls()


def test_each_command_of_a_pipeline_has_its_own_time() -> None:
    clock, ended = Clock(), Ended()
    limits = Limits(duration=5, clock=clock, sessions=ended)
    one, two = decision(), decision()
    for each in (one, two, decision(Path.PARSE), decision(verdict=Deny("no"))):
        limits.on_decided(DecidedHook(SESSION, each))
    clock.advance(4)
    limits.on_outcome(OutcomeHook(SESSION, one, Outcome(Ending.COMPLETE)))
    clock.advance(4)
    assert not ended.heard
    clock.advance(2)
    assert ended.heard == [("cancel", "OST-403")]


def test_idle_counts_outside_a_transaction_only() -> None:
    clock, ended = Clock(), Ended()
    limits = Limits(idle=60, clock=clock, sessions=ended)
    for status in ("T", "I"):
        one = decision()
        limits.on_decided(DecidedHook(SESSION, one))
        clock.advance(1000)
        limits.on_outcome(OutcomeHook(SESSION, one, Outcome(Ending.COMPLETE, transaction=status)))
        clock.advance(59)
        assert not ended.heard
    clock.advance(1)
    assert ended.heard == [("end", "OST-405")]


def test_a_refused_command_does_not_keep_the_idle_away() -> None:
    clock, ended = Clock(), Ended()
    limits = Limits(idle=60, clock=clock, sessions=ended)
    limits.on_decided(DecidedHook(SESSION, decision(verdict=Deny("no"))))
    clock.advance(60)
    assert ended.heard == [("end", "OST-405")]
    refused = Decision(Statement("x", transaction=Transaction.OPEN), Deny("no"))
    limits.on_decided(DecidedHook(SESSION, refused))
    assert not clock.getDelayedCalls()


def test_who_comes_in_and_asks_nothing_is_idle() -> None:
    """A reload begins nothing: what runs, or a transaction, may be older than it."""
    clock, ended = Clock(), Ended()
    limits = Limits(idle=60, clock=clock, sessions=ended)
    assert limits.on_session(SessionHook(SESSION, again=True)) == Allow() and not clock.getDelayedCalls()
    assert limits.on_session(SessionHook(SESSION)) == Allow()
    clock.advance(60)
    assert ended.heard == [("end", "OST-405")]


@pytest.mark.parametrize("options", [{"idle": 60}, {"rows": 5}], ids=["idle", "none"])
def test_who_was_never_let_in_leaves_nothing_behind(options: dict[str, float]) -> None:
    """Others may refuse the session, and of that nobody is told."""
    clock = Clock()
    limits = Limits(**options, clock=clock, sessions=Ended())
    limits.on_session(SessionHook(SESSION))
    clock.advance(60)
    assert not limits._watches and not clock.getDelayedCalls()


def test_who_waits_for_somebody_elses_word_is_not_idle() -> None:
    clock, ended = Clock(), Ended()
    limits = Limits(idle=60, clock=clock, sessions=ended)
    limits.on_session(SessionHook(SESSION))
    judge(limits)
    clock.advance(1000)
    limits.on_decided(DecidedHook(SESSION, decision(verdict=Deny("nobody answered"))))
    assert not ended.heard
    clock.advance(60)
    assert ended.heard == [("end", "OST-405")]


@pytest.mark.parametrize("how", ["closed", "stop"])
def test_no_timer_outlives_its_session(how: str) -> None:
    clock, ended = Clock(), Ended()
    limits = Limits(idle=60, duration=5, clock=clock, sessions=ended)
    limits.on_decided(DecidedHook(SESSION, decision()))
    limits.on_closed(ClosedHook(SESSION)) if how == "closed" else limits.stop()
    assert not clock.getDelayedCalls() and not ended.heard


@pytest.mark.parametrize(("options", "complaint"), [
    ({"rows": 0}, "rows: must be a number above 0"), ({"idle": 5}, "need a clock"), ({"idle": 5, "clock": Clock()}, "the power to was not given"),
    ({"rules": [{"row": 1}]}, r"rules\[0\].row: unknown key"), ({"rules": [{"hours": "08:00-18:00", "rows": 1}]}, r"rules\[0\].hours"),
    ({"bytes": True}, "bytes"),
])
def test_wrong_options_are_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Limits(**options)
