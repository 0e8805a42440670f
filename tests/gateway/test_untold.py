"""Who is not asked what it stands on, and not told what comes again; and that nothing is missed by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_memory import CLEAR, MASKED, OTHER_SESSION, SELECT, SESSION, SHAPE, WHOLE, YES, House, Said, Shelf, ask, opinions_of
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from addons.masking import Masking
from addons.policy import Policy
from addons.sql.settings import Settings
from gateway.catalog import Catalogs
from gateway.locked import Reading
from gateway.opinions import Opinions
from gateway.pipeline import Pipeline
from protocols.command import Path, Statement, Transaction
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook
from protocols.result import Ending, Outcome
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision, Replace


class Counted:
    """Says what it stands on, and counts when that changes; promises that it needs not be told."""

    def __init__(self, *, tally: Tally | None = None, untold: Any = True) -> None:
        self.tallies, self.stands, self.calls, self._untold = (tally,) if tally is not None else None, 0, [], untold

    def standing(self, _session: Session) -> int:
        self.calls.append("standing")
        return self.stands

    def untold(self, _session: Session, _decision: Decision) -> bool:
        self.calls.append("untold")
        return self._untold() if callable(self._untold) else self._untold

    def on_judge(self, _hook: Any) -> Allow:
        self.calls.append("judge")
        return YES

    def on_columns(self, hook: Any) -> None:
        self.calls.append(("columns", hook.standing))

    def on_decided(self, _hook: Any) -> None:
        self.calls.append("decided")

    def on_outcome(self, _hook: Any) -> None:
        self.calls.append("outcome")


ENDS = Outcome(Ending.COMPLETE, transaction="I")


def again(addon: Counted, *, statement: Statement = SELECT, outcome: Outcome = ENDS, between: Callable[[], None] = lambda: None) -> list[Any]:
    """What it is asked and told of a command that was asked twice before, decided and ended."""
    opinions = opinions_of(addon)
    for last in (False, False, True):
        if last:
            addon.calls.clear()
        decision = opinions.decide(statement, lambda *_: None)
        if last:
            between()
        opinions.ended(decision, outcome if last else ENDS)
    return addon.calls


def test_of_what_comes_again_who_promised_is_neither_asked_nor_told() -> None:
    """Not even what it stands on, where that is counted."""
    assert again(Counted(tally=Tally())) == []


def test_whose_standing_nobody_counts_is_asked_for_it_each_time() -> None:
    assert again(Counted()) == ["standing", "outcome"]


def test_one_whose_standing_nobody_counts_has_all_others_asked() -> None:
    """A count that is one of several says nothing about the rest."""
    counted, other = Counted(tally=Tally()), Counted()
    ask(counted, other, statements=(SELECT,) * 4)
    assert counted.calls.count("standing") == other.calls.count("standing") == 5


@pytest.mark.parametrize("untold", [False, None, 1, lambda: 1 / 0], ids=["no", "nothing", "no answer", "broken"])
def test_who_does_not_promise_is_told_each_time(untold: Any) -> None:
    """True and nothing else is a promise."""
    assert again(Counted(tally=Tally(), untold=untold)) == ["decided", "outcome"]


def test_an_addon_without_the_word_is_told_each_time() -> None:
    listening = Said(decided=None, outcome=None)
    opinions = opinions_of(Counted(tally=Tally()), listening)
    for _ in range(3):
        opinions.ended(opinions.decide(SELECT, lambda *_: None), ENDS)
    assert listening.asked == ["decided", "outcome"] * 3


@pytest.mark.parametrize(
    "outcome",
    [Outcome(Ending.ERROR, transaction="I"), Outcome(Ending.COMPLETE, transaction="T"), Outcome(Ending.COMPLETE), Outcome(Ending.SKIPPED, transaction="I")],
    ids=["error", "transaction", "unsaid", "skipped"],
)
def test_an_end_that_is_not_as_ever_is_told_to_everybody(outcome: Outcome) -> None:
    assert again(Counted(tally=Tally()), outcome=outcome) == ["outcome"]


def test_an_end_behind_a_change_is_told_to_everybody() -> None:
    tally = Tally()
    assert again(Counted(tally=tally), between=tally.moved) == ["outcome"]


def test_what_is_pipelined_is_told_each_time() -> None:
    """How the transaction stands is not known of it."""
    assert again(Counted(tally=Tally()), statement=replace(SELECT, pipelined=True)) == ["decided", "outcome"]


def test_a_count_that_moved_forgets_only_what_changed() -> None:
    """Somebody else's change costs a question."""
    tally = Tally()
    addon = Counted(tally=tally)
    opinions = opinions_of(addon)
    for changes in (False, False, False, True):
        addon.calls.clear()
        tally.moved()
        addon.stands += changes
        opinions.decide(SELECT, lambda *_: None)
    assert addon.calls == ["standing", "judge", "standing", "decided"]


@pytest.mark.parametrize("before", [0, 1, 2])
def test_who_was_not_told_before_a_reload_hears_what_it_stood_on_there(before: int) -> None:
    """The chain may have become another one; the result that is on its way is not shown by another addon's word."""
    tally = Tally()
    addons = [Counted(tally=tally) for _ in range(2)]
    addons[0].stands = 7
    current = [Pipeline((addons[0],), None, Clock()), 0]
    opinions = Opinions(lambda: (current[0], current[1]), SESSION)
    decision = [opinions.decide(SELECT, lambda *_: None) for _ in range(2)][1]
    current[:] = Pipeline((*(Said(judge=YES) for _ in range(before)), addons[1], Counted(tally=tally)), None, Clock()), 1
    opinions.decide(Statement("SELECT 2"), lambda *_: None)
    assert opinions.plan(decision, SHAPE) is None
    assert addons[1].calls[-1] == ("columns", 7)


def test_who_was_not_told_hears_what_it_stood_on_when_rows_come() -> None:
    """What it would have kept of the decision it can find out from that; who was told is not misled."""
    tally = Tally()
    addon = Counted(tally=tally)
    addon.stands = 7
    opinions = opinions_of(addon)
    first, second = (opinions.decide(SELECT, lambda *_: None) for _ in range(2))
    tally.moved()
    addon.stands = 8
    assert opinions.plan(first, SHAPE) is None and opinions.plan(second, SHAPE) is None
    assert addon.calls[-3:] == [("columns", None), "standing", ("columns", 7)]


ONE, TWO = Statement("SELECT a FROM t WHERE b = 1"), Statement("SELECT a FROM t WHERE b = 2")
FORMED = Allow("yes", remember=True, formed=True)


@pytest.mark.parametrize(
    ("answers", "statements", "asked"),
    [
        ({"judge": FORMED}, (ONE, TWO), 1), ({"judge": YES}, (ONE, TWO), 2), ({"judge": FORMED, "ask": YES}, (ONE, TWO), 2),
        ({"judge": replace(FORMED, remember=False)}, (ONE, TWO), 2), ({"judge": FORMED, "rewrite": Replace("SELECT 1", remember=True)}, (ONE, TWO), 2),
        ({"judge": FORMED}, (ONE, replace(TWO, text="SELECT a FROM t WHERE c = 2")), 2), ({"judge": FORMED}, (ONE, replace(TWO, transaction=Transaction.OPEN)), 2),
        ({"judge": FORMED}, (replace(ONE, path=Path.BIND), replace(TWO, path=Path.BIND)), 2), ({"judge": FORMED}, (ONE, replace(TWO, settings={"a": "b"})), 2),
        ({"judge": FORMED}, (replace(ONE, text="SELECT 'a'"), replace(TWO, text="SELECT E'a'")), 2),
    ],
    ids=["formed", "not", "one not", "not remembered", "rewritten", "another form", "transaction", "prepared", "settings", "no form"],
)  # fmt: skip
def test_texts_of_one_form_are_one_question_only_where_everybody_says_so(
    answers: dict[str, Any], statements: tuple[Statement, ...], asked: int
) -> None:
    """And each goes to the target as it is."""
    addon = Said(**answers)
    decisions = ask(addon, statements=statements)
    assert addon.asked.count("judge") == asked
    assert [d.sent for d in decisions] == [answers["rewrite"].text if "rewrite" in answers else s.text for s in statements]


@pytest.mark.parametrize("text", ["SELECT 1", MASKED, CLEAR, "SELECT code FROM departments WHERE id = $1", "UPDATE departments SET name = 'x' WHERE id = 1"])
def test_the_addons_of_the_gateway_are_left_alone_with_what_comes_again(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise; in the worker, as in these tests, one tally counts for all of them."""
    told: list[str] = []
    for addon in (Masking, Policy):
        for name in ("standing", "on_decided", "on_outcome"):
            monkeypatch.setattr(addon, name, heard(getattr(addon, name), f"{addon.__name__}.{name}", told))
    opinions = opinions_of(*House().chains[0]._addons[:2])
    for last in (False, True):
        assert told or not last
        told.clear()
        opinions.ended(opinions.decide(Statement(text, Path.BIND), lambda *_: None), ENDS)
    assert told == [] and len(opinions._pipeline._grounds._tallies) == 1


def heard(method: Any, name: str, told: list[str]) -> Any:
    return lambda self, hook: told.append(name) or method(self, hook)


def decided(text: str, path: Path = Path.BIND, sent: str = "") -> Decision:
    return Decision(Statement(text, path), Allow(), sent or text)


@pytest.mark.parametrize(("text", "once"), [("SELECT code FROM departments WHERE id = {}", True), ("SELECT ssn FROM patients WHERE id = {}", False)])
def test_the_addons_of_the_gateway_are_asked_once_about_a_form_that_passes_as_it_is(text: str, once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is rewritten each text has another one."""
    asked: list[str] = []
    for addon, name in ((Masking, "on_rewrite"), (Policy, "on_judge"), (Masking, "on_decided"), (Policy, "on_decided")):
        monkeypatch.setattr(addon, name, heard(getattr(addon, name), name, asked))
    opinions = opinions_of(*House(clear="nobody", bare=True).chains[0]._addons)
    for number in range(5):
        assert isinstance(opinions.decide(Statement(text.format(number)), lambda *_: None).verdict, Allow)
    assert len(asked) == (4 if once else 20)


@pytest.mark.parametrize(("text", "remembered"), [("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", False), ("CREATE TABLE made (a int)", True)])
def test_what_may_overtake_a_portal_is_asked_about_each_time(text: str, remembered: bool) -> None:
    """Whether one is open that calls what this changes is not in the question."""
    policy = Policy(default=dict.fromkeys(("read", "ddl", "procedural"), "allow"), catalogs=Shelf(Tally()))
    for _ in range(2):
        verdict = policy.on_judge(JudgeHook(SESSION, Statement(text, Path.BIND), text))
        assert isinstance(verdict, Allow) and verdict.remember is remembered


LEARNT = [
    decided("CREATE TABLE made (a int)"), decided("SELECT 1 AS a INTO made"), decided("SET search_path = public"), decided("BEGIN"), decided("COMMIT"),
    decided("SELECT set_config('search_path', 'public', false)"), decided("DECLARE c CURSOR FOR SELECT 1"), decided("not SQL"),
    decided(MASKED, Path.PARSE, "SELECT '***'"), decided("SELECT 1; DROP TABLE t"),
]  # fmt: skip


@pytest.mark.parametrize("decision", LEARNT, ids=lambda decision: decision.command.text)
def test_masking_hears_of_whatever_it_learns_something_from(decision: Decision) -> None:
    """DDL, what sets the search path, transactions, cursors, names that stand for a rewritten text."""
    masking = House().chains[0]._addons[0]
    assert masking.untold(SESSION, decision) is False and masking.untold(SESSION, decided("SELECT 1")) is True


def test_masking_hears_of_everything_while_a_session_changes_the_catalog() -> None:
    """What it sends then may commit."""
    masking = House().chains[0]._addons[0]
    masking.on_decided(DecidedHook(SESSION, decided("CREATE TABLE made (a int)")))
    assert masking.untold(SESSION, decided("SELECT 1")) is False and masking.untold(OTHER_SESSION, decided("SELECT 1")) is True


@pytest.mark.parametrize("text", ["SET search_path = public", "PREPARE q AS SELECT 1", "BEGIN", "not SQL"])
def test_policy_hears_of_whatever_it_learns_something_from(text: str) -> None:
    """Settings, transactions, prepared names; and of what it was never told before."""
    policy = House().chains[0]._addons[1]
    assert policy.untold(SESSION, decided("SELECT 1")) is False
    for each in ("SELECT 1", text):
        policy.on_judge(JudgeHook(SESSION, Statement(each, Path.BIND), each))
        policy.on_decided(DecidedHook(SESSION, decided(each)))
    assert policy.untold(SESSION, decided(text)) is False and policy.untold(SESSION, decided("SELECT 1")) is True


TELLING = st.tuples(
    st.sampled_from([SESSION, OTHER_SESSION]), st.sampled_from([decision.command.text for decision in LEARNT] + ["SELECT 1", "ROLLBACK", "FETCH c"]),
    st.sampled_from(["decided", "ended", "failed", "closed"]), st.sampled_from(["I", "T", "E", ""]),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.booleans(), st.lists(TELLING, min_size=3, max_size=25))
def test_whatever_changes_what_masking_stands_on_is_counted(settings_: bool, happened: list[tuple[Session, str, str, str]]) -> None:
    """Else what is remembered would outlive it: nobody is asked while the count is the same."""
    tally, shelf = Tally(), Shelf(Tally())
    tracked = Settings(tally=tally) if settings_ else None
    shelf.tally = tally
    masking = Masking(columns=[{"relation": "public.patients", "column": "ssn"}], catalogs=shelf, settings=tracked)
    running: dict[str, list[Decision]] = {SESSION.id: [], OTHER_SESSION.id: []}
    for session, text, what, status in happened:
        shelf.settled = shelf.doubts  # read again at once: a catalog that is known to be old stands on nothing
        before, stood = tally.count, [masking.standing(each) for each in (SESSION, OTHER_SESSION)]
        if what == "decided":
            running[session.id].append(decided(text))
            masking.on_decided(DecidedHook(session, running[session.id][-1]))
        elif what == "closed":
            running[session.id].clear()
            masking.on_closed(ClosedHook(session))
        elif running[session.id]:
            ending = Ending.COMPLETE if what == "ended" else Ending.ERROR
            masking.on_outcome(OutcomeHook(session, running[session.id].pop(0), Outcome(ending, transaction=status)))
        assert tally.count != before or stood == [masking.standing(each) for each in (SESSION, OTHER_SESSION)]


def test_the_catalogs_count_what_they_stand_on() -> None:
    """Those of the worker: what is heard of, and what is read."""
    read: Deferred[Any] = Deferred()
    catalogs = Catalogs(lambda _session: read, Clock())
    counts, stood = [catalogs.tally.count], [catalogs.standing(SESSION)]
    for happens in (lambda: catalogs.refresh(SESSION), lambda: catalogs.doubt(SESSION), lambda: catalogs._done(Reading(WHOLE, "x", {}), catalogs._shelves["clinic", "db"], 1)):
        happens()
        counts.append(catalogs.tally.count)
        stood.append(catalogs.standing(SESSION))
    assert len(set(counts)) == len(set(stood)) == 4
