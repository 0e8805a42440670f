"""A command under a reveal: what it spends and when, and that no row leaves after the reveal is over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from twisted.internet.task import Clock

from gateway.pipeline import Pipeline
from protocols.command import Path, Statement
from protocols.result import Ending, Outcome, RowBatch
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Hold, Replace, Reveal
from tests.gateway.test_pipeline import Approvers, Said

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")
REVEAL = Reveal("r-1", "g-1", b"b" * 32, frozenset({"public.patients.ssn"}), 100.0, ("public.patients.ssn",))
SHOW = Said(rewrite=Replace("SELECT ssn FROM patients", "masking", reveal=REVEAL))
SELECT = Statement("SELECT ssn FROM patients")
BATCH = RowBatch(1, 10, 1, 10)


@dataclass
class Control(Approvers):
    """What is in force, and what was said to have been used."""

    live: set[str] = field(default_factory=lambda: {"r-1"})
    used: list[str] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def revealing(self, request: str) -> bool:
        return request in self.live

    def revealed(self, request: str, shown: bool) -> None:
        (self.used if shown else self.withheld).append(request)


def decided(*addons: object, command: Statement = SELECT) -> Decision:
    decision = Pipeline(addons, Control(), Clock()).decide(SESSION, command, lambda *_: None)
    assert isinstance(decision, Decision)
    return decision


def test_it_spends_its_grant_and_nobody_remembers_the_verdict() -> None:
    decision = decided(SHOW)
    assert (decision.grant, decision.request, decision.binding, decision.reveal) == ("g-1", "r-1", b"b" * 32, REVEAL)
    assert isinstance(decision.verdict, Allow) and not decision.verdict.remember


def test_preparing_spends_nothing() -> None:
    decision = decided(SHOW, command=replace(SELECT, path=Path.PARSE))
    assert (decision.grant, decision.reveal, decision.sent) == ("", None, "SELECT ssn FROM patients")


def test_what_is_refused_spends_nothing() -> None:
    decision = decided(SHOW, Said(judge=Deny("no")))
    assert (decision.grant, decision.reveal) == ("", None)


def test_one_command_spends_one_grant() -> None:
    """It is neither run on the reveal without the approval nor on the approval with the reveal."""
    decision = decided(SHOW, Said(ask=Hold("rule", "why", frozenset({"dba"}))))
    assert isinstance(decision.verdict, Deny) and decision.verdict.code == "OST-307" and decision.reveal is None


@pytest.mark.parametrize("how", ["time", "revoked"])
def test_no_row_leaves_after_it_is_over(how: str) -> None:
    """Whatever was opened under it: a portal is read for as long as its client likes."""
    control, clock = Control(), Clock()
    pipeline = Pipeline([SHOW], control, clock)
    decision = pipeline.decide(SESSION, SELECT, lambda *_: None)
    assert pipeline.rows(SESSION, decision, BATCH) is None
    if how == "time":
        clock.advance(100)
    else:
        control.live.clear()
    said = pipeline.rows(SESSION, decision, BATCH)
    assert said is not None and said.code == "OST-522"


def test_control_is_told_of_what_ran() -> None:
    control = Control()
    pipeline = Pipeline([SHOW], control, Clock())
    decision = pipeline.decide(SESSION, SELECT, lambda *_: None)
    assert control.used == []
    pipeline.ended(SESSION, decision, Outcome(Ending.COMPLETE))
    pipeline.ended(SESSION, Decision(SELECT, Allow()), Outcome(Ending.COMPLETE))
    assert control.used == ["r-1"] and not control.withheld


def test_a_command_that_was_refused_when_it_was_recorded_is_no_use() -> None:
    """Control hears of it all the same: why it was refused may be that the grant is spent."""
    control = Control()
    pipeline = Pipeline([SHOW], control, Clock())
    for ending in (Ending.REFUSED, Ending.SKIPPED):
        pipeline.ended(SESSION, pipeline.decide(SESSION, SELECT, lambda *_: None), Outcome(ending))
    assert control.withheld == ["r-1", "r-1"] and not control.used
