"""The pipeline: who is asked when, and that nothing passes which somebody failed to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from gateway.control.errors import BadCall, NotAllowed
from gateway.pipeline import ADDON_DEADLINE, Pipeline, UnknownHook
from gateway.request import binding
from protocols.command import FunctionCall, Parameter, Path, Statement
from protocols.result import NULL, Column, Columns, Ending, MaskPlan, Outcome, RowBatch
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Hold, Replace

SESSION = Session("0190-s", Identity("ada"), Target("clinic", "postgres", "db", 5432), "app", "clinic", "127.0.0.1:1")
SELECT = Statement("SELECT ssn FROM patients")
HOLD = Hold("rule", "it is privileged", frozenset({"dba"}))
DONE = Decision(SELECT, Allow(), SELECT.text)


class Said:
    """An addon that answers what it was told, and remembers what it was asked."""

    def __init__(self, log: list[str] | None = None, name: str = "", **answers: Any) -> None:
        self.log, self.name, self.heard = [] if log is None else log, name, []
        for hook, answer in answers.items():
            setattr(self, f"on_{hook}", self._answering(hook, answer))

    def _answering(self, hook: str, answer: Any) -> Callable[[Any], Any]:
        def method(asked: Any) -> Any:
            self.log.append(f"{self.name}{hook}")
            self.heard.append(asked)
            if isinstance(answer, Exception):
                raise answer
            return answer(asked) if callable(answer) else answer

        return method


class Approvers:
    """What control would answer, when a test says so."""

    def __init__(self, state: Any = "pending") -> None:
        self.submitted: list[Mapping[str, Any]] = []
        self.withdrawn: list[str] = []
        self.state, self.waiting = state, Deferred()

    def submit(self, request: Mapping[str, Any]) -> Deferred[Mapping[str, Any]]:
        self.submitted.append(request)
        if isinstance(self.state, (Exception, Deferred)):
            return fail(self.state) if isinstance(self.state, Exception) else self.state
        return succeed({"state": self.state, "request": "r1", "grant": "g1"} if isinstance(self.state, str) else self.state)

    def answer(self, request: str) -> Deferred[Mapping[str, Any]]:
        assert request == "r1"
        return self.waiting

    def withdraw(self, request: str, why: str) -> None:
        self.withdrawn.append(request)


def pipeline(*addons: object, approvals: Any = None, clock: Clock | None = None) -> Pipeline:
    return Pipeline(addons, approvals or Approvers(), clock or Clock())


def decided(chain: Pipeline, command: Any = SELECT) -> Decision:
    """What is decided at once; anything else than a Decision fails the test."""
    decision = chain.decide(SESSION, command, lambda *_: None)
    assert isinstance(decision, Decision)
    return decision


def deny(decision: Any) -> Deny:
    assert isinstance(decision, Decision) and isinstance(decision.verdict, Deny)
    return decision.verdict


# -- order -------------------------------------------------------------------------------


def test_phases_come_in_order_whatever_the_order_of_addons() -> None:
    """Rewrite, judge, ask; the order of the configuration counts inside one."""
    log: list[str] = []
    both = {"ask": None, "judge": None, "rewrite": None, "decided": None}
    decided(pipeline(Said(log, "a.", **both), Said(log, "b.", **both)))
    assert log == ["a.rewrite", "b.rewrite", "a.judge", "b.judge", "a.ask", "b.ask", "a.decided", "b.decided"]


def test_nobody_waits_where_nothing_waits() -> None:
    """Nearly every command is decided without a Deferred."""
    assert decided(pipeline()).verdict == Allow()
    assert decided(pipeline(Said(rewrite=Replace("x"), judge=Allow("r"), ask=None, decided=None))).rule == "r"


def test_each_rewriter_sees_what_the_earlier_left() -> None:
    """And those who judge see both: the client's text and the one that will be sent."""
    first = Said(rewrite=Replace("SELECT 'a'", "m", ("ssn",)))
    second, judge = Said(rewrite=Replace("SELECT 'b'", "n", ("mrn",))), Said(judge=None)
    decision = decided(pipeline(first, second, judge))
    assert second.heard[0].statement.text == "SELECT 'a'"
    assert (judge.heard[0].command, judge.heard[0].sent) == (SELECT, "SELECT 'b'")
    assert (decision.sent, decision.columns, decision.command) == ("SELECT 'b'", ("ssn", "mrn"), SELECT)


def test_a_rewriter_leaves_everything_but_the_text() -> None:
    """Parameters, path, name and settings stay the statement's own."""
    second = Said(rewrite=None)
    whole = Statement("SELECT $1", Path.BIND, (Parameter(25, 0, b"x"),), "s", pipelined=True, prepared={"s": "SELECT $1"})
    decided(pipeline(Said(rewrite=Replace("SELECT 2")), second), whole)
    assert second.heard[0].statement == replace(whole, text="SELECT 2")


@pytest.mark.parametrize("phase", ["rewrite", "judge", "ask"])
def test_the_first_deny_ends_the_question_and_everybody_hears_of_it(phase: str) -> None:
    """Nobody further is asked; an addon at any position is told what was decided."""
    log: list[str] = []
    no = Deny("no", rule="r")
    before, after = Said(log, "a.", decided=None), Said(log, "z.", judge=None, ask=None, decided=None)
    decision = decided(pipeline(before, Said(log, "b.", **{phase: no}), after))
    assert (decision.verdict, decision.addon, decision.rule) == (no, "Said", "r")
    assert "z.ask" not in log and log[-2:] == ["a.decided", "z.decided"] and after.heard[-1].decision == decision


def test_a_function_call_is_not_rewritten_but_judged() -> None:
    """It has no text; every later phase is asked about it."""
    log: list[str] = []
    decided(pipeline(Said(log, rewrite=None, judge=None, ask=None)), FunctionCall(1))
    assert log == ["judge", "ask"]


def test_an_addon_with_an_unknown_hook_is_refused_at_start() -> None:
    """A misspelt hook would be a control that never runs."""
    with pytest.raises(UnknownHook, match="Said.on_jugde"):
        pipeline(Said(jugde=Deny("no")))


def test_the_wire_can_skip_what_nobody_hears() -> None:
    """`hears` is per hook."""
    chain = pipeline(Said(rows=None))
    assert chain.hears("on_rows") and not chain.hears("on_columns")


# -- closed on failure -------------------------------------------------------------------

FAULTS: dict[str, Any] = {
    "raises": ValueError("078-05-1120"), "fails later": lambda _: fail(ValueError("078-05-1120")), "garbage": 5,
    "yes": True, "a class": Deny, "wrong verdict": lambda hook: Replace("x") if hook.method != "on_rewrite" else HOLD,
}  # fmt: skip


@pytest.mark.parametrize("phase", ["rewrite", "judge", "ask"])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_addon_that_misbehaves_is_a_deny_with_its_name(phase: str, fault: str, caplog: Any) -> None:
    """OST-901, the addon named; what it said is neither shown nor logged."""
    answer = FAULTS[fault]
    chain = pipeline(Said(**{phase: (lambda _: Deny) if fault == "a class" else answer}), Said(judge=Allow("yes")))
    decision = chain.decide(SESSION, SELECT, lambda *_: None)
    results: list[Any] = [decision]
    if isinstance(decision, Deferred):
        decision.addBoth(lambda d: results.__setitem__(0, d))
    refused = deny(results[0])
    assert refused.code == "OST-901" and "Said" in refused.reason and results[0].addon == "Said"
    assert "078-05-1120" not in refused.reason + caplog.text


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_the_log_says_where_an_addon_failed_and_not_what_it_said(later: bool) -> None:
    """File and line, so that its author can mend it; the text may quote what a client sent."""

    def fails(hook: Any) -> Any:
        raise ValueError("078-05-1120")

    line = fails.__code__.co_firstlineno + 1
    with capturedLogs() as logged:
        chain = pipeline(Said(judge=(lambda hook: maybeDeferred(fails, hook)) if later else fails))
        found: list[Any] = [chain.decide(SESSION, SELECT, lambda *_: None)]
        if isinstance(found[0], Deferred):
            found[0].addCallback(found.append)
    assert deny(found[-1]).code == "OST-901"
    [said] = [str(formatEvent(event)) for event in logged]
    assert f"ValueError at fails {__file__}:{line}" in said and "078-05-1120" not in said


@pytest.mark.parametrize("phase", ["rewrite", "judge", "ask"])
def test_an_addon_that_thinks_too_long_is_a_deny_with_its_name(phase: str) -> None:
    """After the deadline, not before."""
    clock, thinking, results = Clock(), Deferred(), []
    chain = pipeline(Said(**{phase: lambda _: thinking}), clock=clock)
    chain.decide(SESSION, SELECT, lambda *_: None).addBoth(results.append)
    clock.advance(ADDON_DEADLINE - 0.1)
    assert not results
    clock.advance(0.2)
    assert deny(results[0]).code == "OST-901" and "Said did not answer" in deny(results[0]).reason


def test_a_patient_addon_is_waited_for() -> None:
    """Its word counts, and the phases go on behind it."""
    thinking, results, log = Deferred(), [], []
    chain = pipeline(Said(log, rewrite=lambda _: thinking), Said(log, judge=Allow("later")))
    chain.decide(SESSION, SELECT, lambda *_: None).addBoth(results.append)
    assert log == ["rewrite"]
    thinking.callback(Replace("SELECT 1"))
    assert results[0].rule == "later" and results[0].sent == "SELECT 1" and log == ["rewrite", "judge"]


def test_a_cancelled_question_is_a_deny_and_asks_nobody_else() -> None:
    """The client is gone while an addon thinks."""
    log: list[str] = []
    results: list[Any] = []
    chain = pipeline(Said(log, judge=lambda _: Deferred()), Said(log, "b.", judge=None, decided=None))
    whole = chain.decide(SESSION, SELECT, lambda *_: None)
    whole.addBoth(results.append)
    whole.cancel()
    assert (deny(results[0]).code, deny(results[0]).sqlstate) == ("OST-304", "57014") and log == ["judge", "b.decided"]


def test_an_addon_that_answers_a_cancellation_with_yes_does_not_start_a_new_wait() -> None:
    """Its canceller allows; the next wait is cancelled too, and no request is left behind."""
    approvals, results = Approvers(), []
    chain = pipeline(Said(judge=lambda _: Deferred(lambda d: d.callback(HOLD))), approvals=approvals)
    whole = chain.decide(SESSION, SELECT, lambda *_: None)
    whole.addBoth(results.append)
    whole.cancel()
    assert deny(results[0]).code == "OST-304" and approvals.withdrawn == ["r1"]


def test_a_command_leaves_when_everything_is_said_that_has_to_be_said_before() -> None:
    """By whoever wants a word with it at the last moment, behind people; then everybody is told."""
    log: list[str] = []
    said: Deferred[None] = Deferred()
    chain = pipeline(Said(log, ask=HOLD, decided=None, leaving=said), approvals=Approvers({"state": "granted", "request": "r1", "grant": "g1"}))
    found: list[Decision] = []
    chain.decide(SESSION, SELECT, lambda *_: None).addCallback(found.append)
    assert log == ["ask", "leaving"] and found == []
    said.callback(None)
    assert log == ["ask", "leaving", "decided"] and isinstance(found[0].verdict, Allow) and found[0].grant == "g1"


@pytest.mark.parametrize("answer", [Deny("not now", "OST-1"), ValueError("broken"), lambda _: fail(ValueError("late"))], ids=["a deny", "a failure", "a late failure"])
def test_what_cannot_be_said_before_a_command_leaves_keeps_it_back(answer: Any) -> None:
    first, second = Said(leaving=answer), Said(leaving=None, decided=None)
    answer = pipeline(first, second).decide(SESSION, SELECT, lambda *_: None)
    found = [answer] if isinstance(answer, Decision) else []
    if not found:
        answer.addCallback(found.append)
    assert deny(found[0]).code in ("OST-1", "OST-901") and found[0].addon == "Said"
    assert second.log == ["decided"], "told, and not asked any more"


def test_nobody_is_asked_about_the_leaving_of_what_is_denied() -> None:
    addon = Said(judge=Deny("no", "OST-1"), leaving=None)
    decided(pipeline(addon))
    assert addon.log == ["judge"]


def test_a_failure_in_being_told_changes_nothing() -> None:
    """The decision stands, and the others are still told."""
    after = Said(decided=None, outcome=None, closed=None)
    chain = pipeline(Said(decided=ValueError("x"), outcome=ValueError("x"), closed=ValueError("x")), after)
    assert decided(chain).verdict == Allow()
    chain.ended(SESSION, DONE, Outcome(Ending.COMPLETE))
    chain.closed(SESSION)
    assert [type(hook).__name__ for hook in after.heard] == ["DecidedHook", "OutcomeHook", "ClosedHook"]


# -- sessions ----------------------------------------------------------------------------


def test_a_session_needs_a_rule_that_admits_it() -> None:
    """No addon, no opinion and an Allow without a rule are all no."""
    for addons in ((), (Said(session=None),), (Said(session=Allow()),), (Said(judge=Allow("r")),)):
        assert isinstance(pipeline(*addons).admit(SESSION), Deny)
    assert pipeline(Said(session=Allow("staff"))).admit(SESSION) == Allow()


@pytest.mark.parametrize("answer", [Deny("no"), ValueError("x"), 5, HOLD], ids=["deny", "raises", "garbage", "hold"])
def test_one_no_keeps_a_session_out(answer: Any) -> None:
    """Whoever else admits it."""
    assert isinstance(pipeline(Said(session=Allow("staff")), Said(session=answer)).admit(SESSION), Deny)


# -- approval ----------------------------------------------------------------------------


def asked(
    *holds: Hold, approvals: Any = None, command: Any = SELECT
) -> tuple[list[Any], Any, list[tuple[str, Hold]], Any]:
    """Decide with these holds: results, approvers, what `held` was told, the Deferred or Decision."""
    approvals, results, told = approvals or Approvers(), [], []
    addons = [Said(**{"judge" if i % 2 else "ask": hold}) for i, hold in enumerate(holds)]
    whole = pipeline(*addons, approvals=approvals).decide(SESSION, command, lambda *what: told.append(what))
    whole.addBoth(results.append) if isinstance(whole, Deferred) else results.append(whole)
    return results, approvals, told, whole


def test_a_granted_command_passes_bound_to_what_was_asked() -> None:
    """The decision carries grant, request and binding, and is never remembered."""
    results, approvals, told, _ = asked(HOLD)
    assert told == [("r1", HOLD)] and not results
    approvals.waiting.callback({"state": "granted", "grant": "g9", "by": "bob"})
    decision = results[0]
    assert (decision.verdict, decision.grant, decision.request) == (Allow("rule", remember=False), "g9", "r1")
    assert decision.binding == binding(SESSION, SELECT, SELECT.text) == approvals.submitted[0]["binding"]


def test_a_request_shows_the_approver_what_will_run() -> None:
    """Who, where, the exact text before and after, the values, and why."""
    _, approvals, _, _ = asked(HOLD, command=Statement("SELECT $1", Path.BIND, (Parameter(23, 1, b"\0\0\0\7"),)))
    request = approvals.submitted[0]
    assert (request["subject"], request["target"], request["text"]) == ("ada", "clinic", "SELECT $1")
    assert request["parameters"] == [[23, 1, b"\0\0\0\7"]] and request["why"] == "it is privileged"


@pytest.mark.parametrize(("state", "code"), [("denied", "OST-302"), ("expired", "OST-303"), ("withdrawn", "OST-304")])
def test_anything_but_granted_is_no(state: str, code: str) -> None:
    """With who and why, where control says so."""
    results, approvals, _, _ = asked(HOLD)
    approvals.waiting.callback({"state": state, "grant": "g1", "by": "bob", "reason": "not today"})
    assert deny(results[0]).code == code and "bob: not today" in deny(results[0]).reason
    assert ("has expired" if state == "expired" else f"was {state}") in deny(results[0]).reason


@pytest.mark.parametrize(
    "answer", [{}, None, 5, {"state": "granted"}, {"state": "granted", "grant": ""}, {"state": ["granted"]}],
    ids=repr,
)  # fmt: skip
def test_a_garbled_answer_is_no(answer: Any) -> None:
    """At either step; a yes without a grant to spend is none."""
    results, approvals, _, _ = asked(HOLD)
    approvals.waiting.callback(answer)
    assert deny(results[0]).code in ("OST-304", "OST-305")
    results, _, _, _ = asked(HOLD, approvals=Approvers(answer if isinstance(answer, dict) else {"state": 5}))
    assert isinstance(results[0].verdict, Deny)


@pytest.mark.parametrize("late", [False, True])
def test_control_that_fails_is_no(late: bool) -> None:
    """Unreachable when asked, or gone while it is waited for: then the request is withdrawn as well."""
    results, approvals, _, _ = asked(HOLD, approvals=None if late else Approvers(ValueError("078-05-1120")))
    if late:
        approvals.waiting.errback(ValueError("078-05-1120"))
    assert deny(results[0]).code == "OST-305" and approvals.withdrawn == (["r1"] if late else [])


@pytest.mark.parametrize("late", [False, True])
def test_what_cannot_be_asked_says_why_and_what_to_do(late: bool) -> None:
    """Control is there: "try again" would be wrong advice where nobody could answer. It stays a no."""
    nobody = NotAllowed("this needs 1 of approvers, and only 0 could answer; add people to the group")
    results, approvals, _, _ = asked(HOLD, approvals=None if late else Approvers(nobody))
    if late:
        approvals.waiting.errback(nobody)
    refused = deny(results[0])
    assert (refused.code, refused.hint) == ("OST-605", "add people to the group") and "only 0 could answer" in refused.reason
    assert approvals.withdrawn == (["r1"] if late else [])
    results, _, _, _ = asked(HOLD, approvals=Approvers(BadCall("there is no statement to ask for")))
    assert (deny(results[0]).code, deny(results[0]).hint) == ("OST-607", "")


def test_a_withdrawal_that_fails_is_still_no() -> None:
    """Control is gone: the request expires by itself, the command does not run."""
    class Gone(Approvers):
        def withdraw(self, request: str, why: str) -> None:
            raise ConnectionError

    results, _, _, whole = asked(HOLD, approvals=Gone())
    whole.cancel()
    assert deny(results[0]).code == "OST-304"


def test_a_cancelled_question_is_withdrawn() -> None:
    """The client left or pressed Ctrl-C: 57014, and nobody can grant it any more."""
    results, approvals, _, whole = asked(HOLD)
    whole.cancel()
    assert deny(results[0]).sqlstate == "57014" and approvals.withdrawn == ["r1"]
    approvals.waiting.addErrback(lambda failure: failure.trap(CancelledError))
    assert len(results) == 1


def test_a_question_cancelled_before_it_was_submitted_is_no() -> None:
    """No request is known yet; nothing runs."""
    results, approvals, _, whole = asked(HOLD, approvals=Approvers(Deferred()))
    whole.cancel()
    assert deny(results[0]).code == "OST-304" and not approvals.withdrawn


def test_retry_refuses_at_once_with_the_request() -> None:
    """And the identical command passes when its request was granted meanwhile."""
    retry = replace(HOLD, mode="retry")
    results, _, told, _ = asked(retry)
    refused = deny(results[0])
    assert refused.code == "OST-301" and "r1" in refused.hint and not told and ("request", "r1") in refused.facts
    results, _, told, _ = asked(retry, approvals=Approvers("granted"))
    assert results[0].verdict == Allow("rule", remember=False) and results[0].grant == "g1" and not told


def test_a_failing_notice_is_no() -> None:
    """The client could not be told that it waits."""
    approvals, results = Approvers(), []

    def broken(*_: Any) -> None:
        raise ValueError

    pipeline(Said(ask=HOLD), approvals=approvals).decide(SESSION, SELECT, broken).addBoth(results.append)
    assert deny(results[0]).code == "OST-305" and approvals.withdrawn == ["r1"]


def test_several_holds_become_one_question_as_strict_as_all() -> None:
    """The largest quorum out of the common groups, the shortest times, and retry where any wants it."""
    one = Hold("a", "a", frozenset({"dba", "security"}), quorum=1, timeout=10.0, lifetime=900.0)
    two = Hold("b", "b", frozenset({"security", "ciso"}), mode="retry", quorum=2, timeout=60.0, lifetime=5.0)
    results, approvals, _, _ = asked(one, two)
    request = approvals.submitted[0]
    assert (request["quorum"], request["approvers"], request["mode"]) == (2, ["security"], "retry")
    assert (request["timeout"], request["lifetime"], request["rule"]) == (10.0, 5.0, "b")


def test_holds_that_nobody_could_answer_together_are_refused() -> None:
    """Asking only one group would pass by the other rule."""
    results, approvals, _, _ = asked(HOLD, replace(HOLD, rule="b", approvers=frozenset({"ciso"})))
    assert deny(results[0]).code == "OST-306" and not approvals.submitted


def test_a_deny_behind_a_hold_wins() -> None:
    """People are not asked about what a rule forbids."""
    approvals = Approvers()
    assert deny(decided(pipeline(Said(judge=HOLD), Said(ask=Deny("no")), approvals=approvals))).reason == "no"
    assert not approvals.submitted


def test_parse_is_never_held() -> None:
    """Nothing runs yet: the ask phase is not asked, and a hold of the judges waits for Bind."""
    approvals, ask = Approvers(), Said(ask=HOLD)
    decision = decided(pipeline(Said(judge=HOLD), ask, approvals=approvals), Statement("SELECT $1", Path.PARSE))
    assert isinstance(decision.verdict, Allow) and not ask.heard and not approvals.submitted


@pytest.mark.parametrize(
    "change",
    [{"text": "SELECT 2"}, {"parameters": (Parameter(25, 0, b"x"),)}, {"parameters": (Parameter(25, 1, b"x"),)},
     {"parameters": (Parameter(23, 0, b"x"),)}, {"parameters": (Parameter(25, 0, None),)},
     {"settings": {"search_path": "evil"}}],
    ids=repr,
)  # fmt: skip
def test_a_binding_changes_with_whatever_an_approver_saw(change: dict[str, Any]) -> None:
    """So a grant for one cannot be spent on the other."""
    assert binding(SESSION, SELECT, "s") != binding(SESSION, replace(SELECT, **change), "s")
    for other in ({"account": "rw"}, {"database": "x"}, {"policy_revision": 7}, {"identity": Identity("eve")}):
        assert binding(SESSION, SELECT, "s") != binding(replace(SESSION, **other), SELECT, "s")
    assert binding(SESSION, SELECT, "s") != binding(SESSION, SELECT, "t")
    assert binding(SESSION, SELECT, "s") == binding(replace(SESSION, id="x"), replace(SELECT, pipelined=True), "s")


# -- what comes back ---------------------------------------------------------------------

SHAPE = Columns((Column("id", 0, 0, 23), Column("ssn", 0, 0, 25), Column("mrn", 0, 0, 25)))


def test_masks_add_up() -> None:
    """Where either masks, the cell is masked; the first one's way wins; both alarms are kept."""
    one, two = MaskPlan((None, b"***", None), "odd"), MaskPlan((None, NULL, NULL), "strange")
    plan = pipeline(Said(columns=one), Said(columns=None), Said(columns=two)).plan(SESSION, DONE, SHAPE)
    assert plan == MaskPlan((None, b"***", NULL), "odd; strange")
    assert pipeline(Said(columns=None)).plan(SESSION, DONE, SHAPE) is None


@pytest.mark.parametrize("answer", [ValueError("x"), 5, MaskPlan((None,)), lambda _: Deferred()])
def test_what_cannot_be_masked_with_certainty_is_masked_whole(answer: Any) -> None:
    """An addon that fails, answers nonsense, another number of columns, or later."""
    plan = pipeline(Said(columns=answer)).plan(SESSION, DONE, SHAPE)
    assert plan is not None and plan.cells == (NULL,) * 3 and "Said" in plan.alarm


def test_a_result_is_ended_by_the_first_who_wants_it_or_fails() -> None:
    """None lets it pass; anything that is no Deny ends it with the addon's name."""
    batch, limit = RowBatch(1, 10, 1, 10), Deny("too many")
    assert pipeline(Said(rows=None), Said(rows=limit)).rows(SESSION, DONE, batch) == limit
    assert pipeline(Said(rows=None)).rows(SESSION, DONE, batch) is None
    for answer in (ValueError("x"), Allow(), 5):
        refused = pipeline(Said(rows=answer)).rows(SESSION, DONE, batch)
        assert refused is not None and refused.code == "OST-901" and "Said" in refused.reason


def test_text_passes_from_addon_to_addon() -> None:
    """Each sees what the earlier left; the original is not changed in place."""
    fields = {"S": "ERROR", "C": "23505", "M": "ssn 078-05-1120"}
    second = Said(text=lambda hook: {**hook.fields, "H": "h"})
    shown = pipeline(Said(text=lambda hook: {**hook.fields, "M": "?"}), second).text(SESSION, "error", fields, DONE)
    assert shown == {"S": "ERROR", "C": "23505", "M": "?", "H": "h"} and fields["M"] == "ssn 078-05-1120"
    assert second.heard[0].decision == DONE


@pytest.mark.parametrize(
    "answer", [ValueError("x"), 5, {"M": 5}, {"M": "a\0b"}, {"long": "x"}, {"": "x"}, {5: "x"}, lambda _: Deferred()]
)  # fmt: skip
def test_text_that_nobody_could_judge_is_not_shown(answer: Any) -> None:
    """Severity and code stay, since drivers need them; the message says that it was withheld."""
    fields = {"S": "ERROR", "V": "ERROR", "C": "23505", "M": "078-05-1120", "D": "078-05-1120"}
    shown = pipeline(Said(text=answer)).text(SESSION, "error", fields, DONE)
    assert shown == {"S": "ERROR", "V": "ERROR", "C": "23505", "M": "text withheld (OST-901)"}


def test_withheld_text_keeps_the_form_of_its_message() -> None:
    """A notification still has a payload and a parameter a value; both are empty."""
    chain = pipeline(Said(text=ValueError("x")))
    assert chain.text(SESSION, "notification", {"channel": "c", "payload": "p"}, None) == {"channel": "c", "payload": ""}
    assert chain.text(SESSION, "parameter", {"name": "n", "value": "v"}, None) == {"name": "n", "value": ""}
    chain = pipeline(Said(text={"channel": "c"}))
    assert chain.text(SESSION, "notification", {"channel": "c", "payload": "p"}, None) == {"channel": "c", "payload": ""}


def test_a_pipeline_that_was_replaced_lets_go_of_its_timers() -> None:
    """Timers of an old revision must not end sessions that live under the new one."""
    stopped: list[str] = []

    class Timed:
        def stop(self) -> None:
            stopped.append("timed")

    Pipeline([Timed(), object()], Approvers(), Clock()).retire()
    assert stopped == ["timed"]


@pytest.mark.parametrize(
    ("answers", "passes"),
    [
        ((), True),  # nobody has a list of their own: the built-in one has TimeZone
        ((True,), True), ((False,), False), ((True, False), False), ((ValueError(),), False),
    ],
)  # fmt: skip
def test_settings_of_a_connection_pass_when_every_addon_agrees(answers: tuple[Any, ...], passes: bool) -> None:
    """An addon that fails has not agreed."""
    addons = [Said() for _ in answers]
    for addon, answer in zip(addons, answers, strict=True):
        def accepts(name: str, value: str, answer: Any = answer) -> bool:
            if isinstance(answer, Exception):
                raise answer
            return answer

        addon.accepts = accepts
    pipeline = Pipeline([Said(), *addons], Approvers(), Clock())
    assert pipeline.accepts("timezone", "UTC") is passes
    assert not Pipeline([Said()], Approvers(), Clock()).accepts("search_path", "public")
