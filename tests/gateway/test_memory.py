"""What is answered from memory, and that nothing is which anything it rests on has changed under."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from addons.approval import Approval
from addons.limits import Limits
from addons.masking import Masking
from addons.policy import Policy
from addons.sql.settings import Settings
from gateway.memory import KEPT, KEPT_LENGTH, Memory
from gateway.opinions import Opinions
from gateway.pipeline import Pipeline
from protocols.command import Parameter, Path, Statement, Transaction
from protocols.result import NULL, Column, Columns, Ending, MaskPlan, Outcome
from protocols.session import Identity, Session, Target
from protocols.tally import Tally
from protocols.verdict import Allow, Decision, Deny, Hold, Replace, Reveal
from tests.masking.gate import OneWorker
from tests.sql.little import snapshot

SESSION = Session("0190-s", Identity("ada", groups=frozenset({"staff"})), Target("clinic", "postgres", "db", 5432), "rw", "db", "p")
OTHER_SESSION = replace(SESSION, id="0190-o")
SELECT = Statement("SELECT 1")
YES = Allow("yes", remember=True)
WHOLE, OTHER = snapshot(), snapshot(without=("public.twin",))


class Said:
    """Answers as told, and counts how often it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[str] = []
        for name, answer in answers.items():
            setattr(self, name if name == "standing" else f"on_{name}", self._answering(name, answer))

    def _answering(self, name: str, answer: Any) -> Callable[[Any], Any]:
        def method(hook: Any) -> Any:
            self.asked.append(name)
            return answer(hook) if callable(answer) else answer

        return method


def ask(*addons: object, statements: tuple[Statement, ...] = (SELECT, SELECT)) -> list[Decision]:
    """The decisions on all of them, in one session."""
    opinions = opinions_of(*addons)
    return [opinions.decide(statement, lambda *_: None) for statement in statements]


def opinions_of(*addons: object) -> Opinions:
    pipeline = Pipeline(addons, None, Clock())
    return Opinions(lambda: (pipeline, 0), SESSION)


def test_who_promised_is_not_asked_again_and_who_listens_is_told() -> None:
    """The decision is about the new command and says the same."""
    addon = Said(rewrite=Replace("SELECT 2", columns=("a",), remember=True), judge=YES, ask=Allow(remember=True), decided=None)
    first, again = ask(addon, statements=(SELECT, Statement("SELECT 1", name="p", parameters=(Parameter(23, 0, b"1"),))))
    assert (again.verdict, again.sent, again.columns, again.rule) == (first.verdict, "SELECT 2", ("a",), "yes")
    assert again.command.name == "p" and addon.asked == ["rewrite", "judge", "ask", "decided", "decided"]


@pytest.mark.parametrize("answer", [Allow("yes"), None, Deny("no"), Deny("no", "OST-200")], ids=["silent", "none", "deny", "deny"])
def test_nobody_who_did_not_promise_is_left_out(answer: Any) -> None:
    """Not saying anything about memory is the default, and is asked every time; so is a refusal."""
    one, other = Said(judge=answer), Said(judge=YES)
    first, again = ask(other, one)
    assert one.asked == ["judge", "judge"] and again == first


def test_of_several_only_those_who_promised_are_left_out() -> None:
    """A limit counts each statement, whatever the others remember; what it says then stands."""
    told = iter([Allow(), Allow("late"), Deny("enough")])
    before, counting, after = Said(judge=YES), Said(judge=lambda _: next(told)), Said(judge=Allow(remember=True), ask=YES)
    decisions = ask(before, counting, after, statements=(SELECT,) * 3)
    assert [d.rule for d in decisions] == ["yes", "yes", ""] and isinstance(decisions[2].verdict, Deny) and decisions[2].addon == "Said"
    assert before.asked == ["judge"] and len(counting.asked) == 3 and after.asked == ["judge", "ask"]


def test_one_who_holds_the_second_time_is_heard() -> None:
    """The long form goes on with what is remembered, and asks nobody twice."""
    told = iter([Allow(), Hold("rule", "why", frozenset({"dba"}), mode="retry")])
    quiet, holding = Said(rewrite=Allow(remember=True), judge=YES), Said(judge=lambda _: next(told))

    class Control:
        def submit(self, request: Any) -> Deferred[Any]:
            return succeed({"state": "pending", "request": "r1"})

    pipeline = Pipeline((quiet, holding), Control(), Clock())
    opinions = Opinions(lambda: (pipeline, 0), SESSION)
    assert isinstance(opinions.decide(SELECT, lambda *_: None).verdict, Allow)
    assert said(answered(opinions.decide(SELECT, lambda *_: None)))[:2] == (Deny, "OST-301") and quiet.asked == ["rewrite", "judge"]


def test_behind_a_rewriter_that_is_asked_again_everybody_is() -> None:
    """They would be asked about another text."""
    texts = iter(["SELECT 2", "SELECT 3"])
    judge = Said(judge=YES)
    decisions = ask(Said(rewrite=lambda _: Replace(next(texts))), judge)
    assert [d.sent for d in decisions] == ["SELECT 2", "SELECT 3"] and judge.asked == ["judge"] * 2


@pytest.mark.parametrize(
    "other",
    [
        Statement("SELECT  1"), Statement("SELECT 1", Path.PARSE), Statement("SELECT 1", Path.BIND), Statement("SELECT 1", pipelined=True),
        Statement("SELECT 1", transaction=Transaction.OPEN), Statement("SELECT 1", transaction=Transaction.FAILED),
        Statement("SELECT 1", types=(23,)), Statement("SELECT 1", settings={"search_path": "other"}),
    ],
    ids=["text", "parse", "bind", "pipelined", "open", "failed", "types", "settings"],
)
def test_another_question_is_asked(other: Statement) -> None:
    """All that the promise is about; other settings make all questions others."""
    addon = Said(judge=YES)
    ask(addon, statements=(SELECT, other, SELECT))
    assert len(addon.asked) == (3 if other.settings else 2)


def test_a_standing_that_changed_forgets_everything() -> None:
    """Also what another addon said: nobody finds out which answer it was for."""
    standing = iter([1, 1, 1, 2, 2, 1, 1])
    one, other = Said(judge=YES, standing=lambda _: next(standing)), Said(judge=YES)
    ask(one, other, statements=(SELECT,) * 4)
    assert other.asked == ["judge"] * 3


def test_a_standing_that_could_change_in_place_is_not_trusted() -> None:
    """It would be equal to itself whatever had changed."""
    kept: list[int] = []
    addon = Said(judge=YES, standing=lambda _: kept)
    ask(addon)
    assert addon.asked.count("judge") == 2


def test_what_changed_while_it_was_asked_is_not_kept() -> None:
    """It rests neither on what was before nor on what came; when that returns it would be wrong."""
    standing = iter([0, 1, 0, 0, 0])
    addon = Said(judge=YES, standing=lambda _: next(standing))
    ask(addon, statements=(SELECT,) * 3)
    assert addon.asked.count("judge") == 2


def test_an_addon_that_fails_to_tell_its_standing_is_asked() -> None:
    def broken(_session: Session) -> int:
        raise RuntimeError("lost")

    addon = Said(judge=YES, standing=broken)
    ask(addon)
    assert addon.asked.count("judge") == 2


def test_a_remembered_verdict_does_not_outlive_a_reload() -> None:
    """A new pipeline, or only a new revision."""
    addon = Said(judge=YES)
    current = [Pipeline((addon,), None, Clock()), 0]
    opinions = Opinions(lambda: (current[0], current[1]), SESSION)
    opinions.decide(SELECT, lambda *_: None)
    current[1] = 1
    opinions.decide(SELECT, lambda *_: None)
    assert addon.asked == ["judge"] * 2
    current[0] = Pipeline((Said(judge=Deny("not any more")),), None, Clock())
    assert isinstance(opinions.decide(SELECT, lambda *_: None).verdict, Deny)


def test_memory_is_bounded() -> None:
    """By questions and by characters, whatever a client sends."""
    memory = Memory()
    memory.rest_on([])
    memory.recall(SELECT)
    for number in range(3 * KEPT):
        memory.keep(Statement(f"SELECT {number}"), "x", (), 0, [YES])
        assert len(memory._known) <= KEPT
    for number in range(50):
        memory.keep(Statement(str(number) * (KEPT_LENGTH // 20)), "", (), 0, [YES])
        assert sum(len(known[0]) for known in memory._known) <= KEPT_LENGTH
    memory.keep(Statement("x" * KEPT_LENGTH), "y", (), 0, [YES])
    assert memory.recall(Statement("x" * KEPT_LENGTH)) is None


SHAPE = Columns((Column("a", 1, 1, 25),))
SHAPES = tuple(Columns((Column("a", *origin, 25),)) for origin in ((0, 0), (20000, 2), (99999, 1)))


def test_that_a_shape_is_clear_is_remembered_with_its_question_and_masks_are_not() -> None:
    """A mask is an alarm each time, and what made it may have to be read again."""
    plans = iter([None, MaskPlan((NULL,)), MaskPlan((NULL,)), None])
    standing = iter([0, 0, 0, 0, 0, 1, 1])
    addon = Said(judge=YES, columns=lambda _: next(plans), standing=lambda _: next(standing))
    opinions = opinions_of(addon)
    decision = [opinions.decide(SELECT, lambda *_: None) for _ in range(2)][1]
    assert opinions.plan(decision, SHAPE) is None and opinions.plan(decision, SHAPE) is None
    assert opinions.plan(decision, SHAPE).cells == (NULL,), "what it rests on has changed"
    assert opinions.plan(decision, Columns(SHAPE.fields)).cells == (NULL,) and addon.asked.count("columns") == 3


# -- the addons that come with the gateway -----------------------------------------------------


@pytest.mark.parametrize("known", [False, True], ids=["new", "remembered"])
def test_what_anothers_ddl_overtakes_is_masked_although_its_shape_was_clear(known: bool) -> None:
    """It is on its way, and the server may be done with it: the statement may have waited for it, and read what it made."""
    house, columns = House(), Columns((Column("code", 0, 0, 25),))
    read, ddl = Statement("SELECT upper(code) FROM departments"), Statement("CREATE OR REPLACE VIEW v AS SELECT code FROM departments")
    for _ in range(3 if known else 0):
        decision = house.remembering.decide(read, lambda *_: None)
        assert house.remembering.plan(decision, columns) is None
        house.remembering.ended(decision, Outcome(Ending.COMPLETE, transaction="I"))
    decision = house.remembering.decide(read, lambda *_: None)
    answered(house.chains[0].decide(OTHER_SESSION, ddl, lambda *_: None))
    assert house.remembering.plan(decision, columns).cells == (NULL,)


class House:
    """All of them, twice: one session with a memory and one without, to which the same happens."""

    def __init__(self, *, clear: str = "staff", bare: bool = False) -> None:
        """
        :param clear: the group that sees a column as it is; `bare`: only with addons that let all of their answers be remembered.
        """
        self._clear_to, self._bare = clear, bare
        self.reported: Mapping[str, str] = {}
        self.hour, self.revealing, self.strict = 12, False, False
        self.tally, self.clock = Tally(), Clock()
        self.shelves, self.tracked = [Shelf(self.tally), Shelf(Tally())], [Settings(tally=self.tally), Settings()]
        for tracked in self.tracked:
            tracked.start(SESSION, '"$user", public')
        self.chains = [self._chain(number) for number in range(2)]
        self.remembering = Opinions(lambda: (self.chains[0], int(self.strict)), SESSION)
        self.running: list[tuple[Decision, Decision]] = []
        self.others: list[list[Decision]] = [[], []]

    def _chain(self, number: int) -> Pipeline:
        catalogs, tracked = self.shelves[number], self.tracked[number]
        columns = [
            {"relation": "public.patients", "column": "ssn"}, {"relation": "public.twin", "column": "secret", "clear": [self._clear_to]},
            {"relation": "other.twin", "column": "secret"},
        ]  # fmt: skip
        default = {"read": "allow", "write": "deny" if self.strict else "allow", "transaction": "allow", "session": "allow", "ddl": "allow"}
        night = {"name": "night", "classes": ["write"], "relations": ["public.twin"], "hours": "20:00-24:00", "verdict": "deny"}
        now = lambda: datetime.datetime(2026, 11, 23, self.hour)  # noqa: E731
        return Pipeline(
            (
                Masking(columns=columns, catalogs=catalogs, settings=tracked, reveal={"approvers": ["privacy"]}, reveals=self, sink=self),
                Policy(default=default, rules=[night], catalogs=catalogs, settings=tracked, now=now),
                *(() if self._bare else (Approval(rules=[{"name": "late", "groups": ["staff"], "hours": "22:00-24:00", "approvers": ["dba"], "mode": "retry"}], now=now),
                Limits(rows=1000, per_minute=40, clock=self.clock))),
            ),
            self, self.clock,
        )  # fmt: skip

    def open(self, _session: Session) -> bool:
        return self.revealing

    def submit(self, request: Any) -> Deferred[Any]:
        return succeed({"state": "pending", "request": "r1"})

    def ask(self, _session: Session, _rule: Any) -> Deferred[list[Reveal]]:
        return succeed([Reveal("r", "g", b"x" * 32, frozenset({"public.patients.ssn"}), 1e12)] if self.revealing else [])

    def revealed(self, request: str, shown: bool) -> None:
        """Counted elsewhere."""

    def note(self, *_: Any) -> None:
        """Kept by nobody."""

    def decide(self, statement: Statement) -> None:
        with_memory = answered(self.remembering.decide(statement, lambda *_: None))
        without = answered(self.chains[1].decide(self.remembering.session, statement, lambda *_: None))
        assert said(with_memory) == said(without)
        self.running.append((with_memory, without))

    def end(self, ending: Ending, transaction: Transaction) -> None:
        for with_memory, without in self.running:
            if isinstance(with_memory.verdict, Allow):
                outcome = Outcome(ending, transaction=transaction.value)
                self.remembering.ended(with_memory, outcome)
                self.chains[1].ended(SESSION, without, outcome)
        self.running.clear()

    def rows(self) -> None:
        """Every result's shape comes, of all that runs."""
        for with_memory, without in self.running:
            if isinstance(with_memory.verdict, Allow):
                for shape in SHAPES:
                    assert self.remembering.plan(with_memory, shape) == self.chains[1].plan(SESSION, without, shape)

    def other(self, text: str) -> None:
        """Another session's command is on its way."""
        for number, chain in enumerate(self.chains):
            self.others[number].append(answered(chain.decide(OTHER_SESSION, Statement(text), lambda *_: None)))

    def other_ends(self) -> None:
        for chain, decisions in zip(self.chains, self.others):
            for decision in decisions:
                if isinstance(decision.verdict, Allow):
                    chain.ended(OTHER_SESSION, decision, Outcome(Ending.COMPLETE, transaction="I"))
            decisions.clear()

    def reload(self) -> None:
        self.end(Ending.COMPLETE, Transaction.IDLE)
        self.other_ends()
        self.strict = not self.strict
        self.chains = [self._chain(number) for number in range(2)]


class Shelf(OneWorker):
    """A catalog that changes when told, and is read again when it is doubted."""

    def __init__(self, tally: Tally) -> None:
        self.now = self.known = WHOLE
        self.tally = tally

    def suspect(self, session: Session) -> None:
        super().suspect(session)
        self.tally.moved()

    doubt = suspect

    def snapshot(self, _session: Session) -> Any:
        return self.known

    def refresh(self, _session: Session) -> Deferred[Any]:
        self.known, self.settled = self.now, self.doubts
        self.tally.moved()
        return succeed(self.known)


def answered(decision: Any) -> Decision:
    if not isinstance(decision, Deferred):
        return decision
    results: list[Decision] = []
    decision.addCallback(results.append)
    return results[0]


def said(decision: Decision) -> tuple[Any, ...]:
    """What anybody sees of it."""
    verdict = decision.verdict
    return type(verdict), getattr(verdict, "code", ""), verdict.rule, decision.sent, decision.columns, decision.addon, decision.rule, decision.grant


MASKED, CLEAR, WRITE = "SELECT ssn FROM patients", "SELECT secret FROM public.twin", "UPDATE public.twin SET secret = $1 WHERE id = 1"
MASK, VALUE = (Parameter(25, 0, b"***"),), (Parameter(25, 0, b"x"),)
LITERALS = (
    "SELECT code FROM departments WHERE id = 1", "SELECT code FROM departments WHERE id = 2", "SELECT code FROM departments WHERE code = 'declare'",
    "SELECT code FROM departments WHERE code = 'insert ***'", "SELECT ssn FROM patients WHERE id = 1", "SELECT ssn FROM patients WHERE id = 2",
    "SELECT set_config('search_path', 'pg_catalog', false)", "SELECT set_config('application_name', 'public', false)",
    "SELECT secret FROM public.twin WHERE id = 1", "SELECT secret FROM public.twin WHERE id = 2",
)  # fmt: skip
TEXTS = (
    "SELECT 1", MASKED, CLEAR, "SELECT secret FROM twin", "SELECT * FROM same", "SELECT code FROM departments WHERE id = $1", WRITE,
    "UPDATE departments SET name = 'x' WHERE id = 1", "INSERT INTO patients (ssn) VALUES ($1)", "SET search_path = pg_catalog",
    "SET search_path = public", "RESET ALL", "BEGIN", "ROLLBACK", "CREATE TABLE made (a int)", "SELECT * FROM made",
    *LITERALS, "PREPARE q AS SELECT ssn FROM patients", "PREPARE q AS UPDATE departments SET name = ''", "EXECUTE q", "DEALLOCATE q", "not SQL", "",
)  # fmt: skip
ASKED = st.builds(
    Statement, st.sampled_from(TEXTS), st.sampled_from([Path.SIMPLE, Path.BIND, Path.BIND, Path.PARSE]), st.just(()),
    st.sampled_from(["", "p"]), transaction=st.sampled_from([Transaction.IDLE, Transaction.OPEN]), types=st.sampled_from([(), (25,)]),
)  # fmt: skip
REPORTS = ({}, {"standard_conforming_strings": "off"}, {"search_path": "public"})
HAPPENS = st.one_of(
    *[st.tuples(st.just("ask"), st.integers(0, 4), st.sampled_from([(), VALUE, MASK]))] * 6,
    st.just(("end", Ending.COMPLETE, Transaction.IDLE)), st.just(("rows",)),
    st.tuples(st.just("other"), st.sampled_from(["CREATE OR REPLACE VIEW v AS SELECT code FROM departments", "CREATE TEMP TABLE t (a int)", "SELECT 1"])),
    st.tuples(st.just("end"), st.sampled_from([Ending.COMPLETE, Ending.ERROR]), st.sampled_from([Transaction.IDLE, Transaction.OPEN])),
    st.tuples(st.just("hour"), st.sampled_from([12, 21, 23])), st.tuples(st.just("time"), st.sampled_from([0.5, 30.0])),
    st.tuples(st.just("settings"), st.sampled_from(REPORTS)), st.sampled_from([("doubt",), ("catalog",), ("reveal",), ("reload",), ("other ends",)]),
)  # fmt: skip


def happen(house: House, each: tuple[Any, ...], pool: list[Statement]) -> None:
    match each:
        case ("ask", number, values):
            house.decide(replace(pool[number % len(pool)], parameters=values, settings=house.reported))
        case ("end", ending, transaction):
            house.end(ending, transaction)
        case ("hour", hour):
            house.hour = hour
        case ("time", seconds):
            house.clock.advance(seconds)
        case ("settings", reported):
            house.reported = reported
        case ("rows",):
            house.rows()
        case ("other", text):
            house.other(text)
        case ("other ends",):
            house.other_ends()
        case ("doubt",):
            for shelf in house.shelves:
                shelf.doubt(SESSION)
        case ("catalog",):
            for shelf in house.shelves:
                shelf.now = OTHER if shelf.now is WHOLE else WHOLE
                shelf.doubt(SESSION)
        case ("reveal",):
            house.revealing = not house.revealing
            house.tally.moved()
        case ("reload",):
            house.reload()


@settings(max_examples=150, deadline=None)
@given(st.lists(ASKED, min_size=1, max_size=4), st.lists(HAPPENS, min_size=5, max_size=40), st.sampled_from(["staff", "nobody"]), st.booleans())
def test_with_a_memory_and_without_one_the_same_is_decided(
    pool: list[Statement], happened: list[tuple[Any, ...]], clear: str, bare: bool
) -> None:
    """
    Whatever statements, values, settings, transactions, DDL, prepared names, hours, counts, catalogs, reveals and reloads
    come in whatever order.
    """
    house = House(clear=clear, bare=bare)
    for each in happened:
        happen(house, each, pool)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(LITERALS), min_size=2, max_size=4), st.lists(HAPPENS, min_size=5, max_size=30))
def test_what_is_remembered_of_a_form_is_what_is_decided_of_each_text(texts: list[str], happened: list[tuple[Any, ...]]) -> None:
    """Likewise, of texts that differ in their literals only; some of which are refused, rewritten, or set something."""
    house = House(clear="nobody", bare=True)
    for each in happened:
        happen(house, each, [Statement(text) for text in texts])


ASK, ENDED = ("ask", 0, ()), ("end", Ending.COMPLETE, Transaction.IDLE)
CHANGES: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "an hour": (WRITE, [("hour", 21)]),
    "the hour of an approval": (CLEAR, [("hour", 23)]),
    "a limit that is used up": ("SELECT 1", [ASK] * 37),
    "a reveal": (MASKED, [("reveal",)]),
    "a reload": (WRITE, [("reload",)]),
    "a catalog without the table": (CLEAR, [("catalog",)]),
    "a setting": ("SELECT 1", [("settings", REPORTS[1])]),
    "a search path": ("SELECT secret FROM twin", [("ask", 1, ()), ENDED]),
    "a search path on its way": ("SELECT secret FROM twin", [("ask", 1, ())]),
    "a table that the session made": ("SELECT * FROM made", [("ask", 2, ())]),
    "a value": (WRITE, []),
    "a name that stands for something else": ("EXECUTE q", [("ask", 3, ())]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_remembered_verdict_does_not_outlive(change: str) -> None:
    """It is asked about, asked again, and answered otherwise after the change; with a memory as without."""
    text, happened = CHANGES[change]
    others = ["SET search_path = pg_catalog", "CREATE TABLE made (a int)", "PREPARE q AS SELECT ssn FROM patients", "SET search_path = public"]
    pool, house = [Statement(one) for one in (text, *others)], House()
    for each in (("ask", 4, ()), ENDED, ASK, ASK):
        happen(house, each, pool)
    before = house.running[-1]
    for each in happened:
        happen(house, each, pool)
    happen(house, ("ask", 0, MASK if change == "a value" else ()), pool)
    assert said(house.running[-1][0]) != said(before[0]), "the change makes no difference, so that nothing is shown"


def test_a_reveal_that_is_over_is_not_remembered() -> None:
    """The other way round: what it showed is masked again."""
    house, pool = House(), [Statement(MASKED)]
    for each in (("reveal",), ASK, ASK):
        happen(house, each, pool)
    assert house.running[-1][0].reveal is not None
    for each in (("reveal",), ASK):
        happen(house, each, pool)
    assert house.running[-1][0].reveal is None and house.running[-1][0].sent != MASKED


@pytest.mark.parametrize("text", ["SELECT 1", MASKED, CLEAR, "UPDATE departments SET name = 'x' WHERE id = 1", "EXPLAIN SELECT 1"])
def test_the_addons_of_the_gateway_remember_what_comes_again(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would compare nothing with nothing."""
    house, asked = House(), []
    judge = Policy.on_judge
    monkeypatch.setattr(Policy, "on_judge", lambda self, hook: asked.append(hook) or judge(self, hook))
    opinions = opinions_of(*house.chains[0]._addons[:2])
    for _ in range(3):
        opinions.decide(Statement(text, Path.BIND), lambda *_: None)
    assert len(asked) == 1
