"""A statement that is allowed without its list's yes: control hears of it before it runs, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from gateway.control.errors import ControlUnavailable
from gateway.control.request import trace
from gateway.lists import Lists
from gateway.memory import Memory
from gateway.pipeline import Pipeline
from protocols.command import FunctionCall, Parameter, Path, Statement
from protocols.tally import Tally
from protocols.verdict import Allow, Decision, Deny, Hold
from tests.fired import got
from tests.gateway.test_pipeline import SESSION, Approvers, Said

BEGIN = Statement("begin;")
LIVE = ["r-1", "ada", "clinic", "app", "clinic", trace("begin")]
HOLD = Hold("rule", "it is privileged", frozenset({"dba"}))


class Control:
    """What control was told, and what it answers."""

    def __init__(self, *live: list[Any], answer: Any = None) -> None:
        self.told: list[dict[str, str]] = []
        self.lists = Lists(self._passed)
        self.lists.are(live or [LIVE])
        self._answer = answer

    def _passed(self, **ran: str) -> Deferred[None]:
        self.told.append(ran)
        if isinstance(self._answer, Exception):
            return fail(self._answer)
        return succeed(None) if self._answer is None else self._answer


def now(answer: Any) -> Any:
    """A Decision, whether or not something was waited for."""
    return got(answer) if isinstance(answer, Deferred) else answer


def decided(control: Control, *addons: object, command: Any = BEGIN, approvals: Any = None, memory: Memory | None = None) -> Any:
    return Pipeline(addons, approvals or Approvers(), Clock(), control.lists).decide(SESSION, command, lambda *_: None, memory)


def test_it_runs_once_control_knows_and_everybody_hears_of_it_then() -> None:
    waits: Deferred[None] = Deferred()
    control, audit = Control(answer=waits), Said(decided=None)
    deciding = decided(control, audit)
    assert not deciding.called and not audit.heard
    assert control.told == [{"subject": "ada", "target": "clinic", "account": "app", "database": "clinic", "session": SESSION.id, "text": "begin;"}]
    waits.callback(None)
    decision = deciding.result
    assert isinstance(decision.verdict, Allow) and decision.grant == "" and len(audit.heard) == 1


def test_what_is_answered_from_memory_moves_a_list_too() -> None:
    control, memory = Control([*LIVE[:-1], trace("commit")]), Memory()
    pipeline = Pipeline((Said(judge=Allow(remember=True)),), Approvers(), Clock(), control.lists)
    first = pipeline.decide(SESSION, BEGIN, lambda *_: None, memory)
    control.lists.are([LIVE])
    again = now(pipeline.decide(SESSION, BEGIN, lambda *_: None, memory))
    assert again.mark is not None and first.verdict == again.verdict and len(control.told) == 1


@pytest.mark.parametrize(
    "command",
    [
        replace(BEGIN, text="commit"), replace(BEGIN, path=Path.PARSE), replace(BEGIN, path=Path.BIND, parameters=(Parameter(25, 0, b"x"),)), FunctionCall(1),
    ],
    ids=["another", "only prepared", "with a value", "no text"],
)  # fmt: skip
def test_control_is_not_asked_about_anything_else(command: Any) -> None:
    control = Control()
    assert isinstance(decided(control, command=command).verdict, Allow) and not control.told


@pytest.mark.parametrize("at", range(1, 5), ids=["subject", "target", "account", "database"])
def test_nor_anywhere_else(at: int) -> None:
    control = Control([*LIVE[:at], "other", *LIVE[at + 1 :]])
    assert isinstance(decided(control).verdict, Allow) and not control.told


def test_what_is_refused_moves_nothing() -> None:
    control = Control()
    assert isinstance(decided(control, Said(judge=Deny("no"))).verdict, Deny) and not control.told


@pytest.mark.parametrize("request_id", ["r-1", "r-2"])
def test_a_statement_that_runs_by_its_lists_grant_has_moved_it_already(request_id: str) -> None:
    """Under another request's grant it moves the list as if it were allowed."""
    control = Control()
    approvals = Approvers({"state": "granted", "request": request_id, "grant": "g-1"})
    assert now(decided(control, Said(judge=HOLD), approvals=approvals)).grant == "g-1"
    assert len(control.told) == (request_id == "r-2")


def test_it_does_not_run_where_control_cannot_be_told() -> None:
    """It would run, and its list stay behind it; everybody hears of the refusal, also who needs not hear of what is allowed."""
    audit = Said(decided=None)
    decision = now(decided(Control(answer=ControlUnavailable("away")), audit))
    assert (decision.verdict.code, decision.mark) == ("OST-305", None) and [one.decision for one in audit.heard] == [decision]


def test_a_client_that_leaves_meanwhile_runs_nothing() -> None:
    deciding = decided(Control(answer=Deferred()))
    deciding.cancel()
    assert deciding.result.verdict.code == "OST-304"


def test_what_has_changed_while_control_was_told_is_decided_again() -> None:
    """Its verdict rested on what is otherwise now."""

    class Catalog(Said):
        revision = 1

        def standing(self, session: Any) -> int:
            return self.revision

    waits: Deferred[None] = Deferred()
    catalog = Catalog(judge=lambda _: Allow() if catalog.revision == 1 else Deny("not any more"), decided=None)
    deciding = decided(Control(answer=waits), catalog)
    catalog.revision = 2
    waits.callback(None)
    assert isinstance(deciding.result.verdict, Deny) and catalog.log == ["judge", "judge", "decided"]


def test_nothing_takes_the_short_way_where_a_list_is_in_force() -> None:
    """Control has to hear of each statement that may be its next."""

    class Counted(Said):
        tallies = (Tally(),)

        def standing(self, session: Any) -> int:
            return 0

        def untold(self, session: Any, decision: Decision) -> bool:
            return True

    control, memory = Control([*LIVE[:-1], trace("commit")]), Memory()
    pipeline = Pipeline((Counted(judge=Allow(remember=True)),), Approvers(), Clock(), control.lists)
    for _ in range(3):
        decision = pipeline.decide(SESSION, BEGIN, lambda *_: None, memory)
    assert pipeline.standing(SESSION, decision, memory) is None
    assert pipeline.standing(replace(SESSION, account="other"), decision, memory) is not None
    control.lists.are([])
    assert pipeline.standing(SESSION, decision, memory) is not None
