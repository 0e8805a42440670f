"""Approval: who always asks, and how."""

from __future__ import annotations

import datetime

import pytest

from addons.approval import Approval
from protocols.command import FunctionCall, Path, Statement, Transaction
from protocols.hooks import AskHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Hold
from tests.sql.later import Later

RULES = [{"name": "agents-ask", "kinds": ["agent"], "approvers": ["approvers"], "quorum": 2, "reason": "Agents ask."}]


def ask(approval: Approval, text: str = "SELECT 1", kind: str = "agent", **more: object) -> object:
    who = Session("s", Identity("a", kind), Target("clinic", "postgres", "h", 5432), "rw", "d", "p")
    return approval.on_ask(AskHook(who, Statement(text, **more), text))


def test_who_always_asks() -> None:
    held = ask(Approval(timeout=60, lifetime=30, rules=RULES))
    assert held == Hold("agents-ask", "Agents ask.", frozenset({"approvers"}), "retry", 2, 60.0, 30.0)
    assert ask(Approval(rules=RULES), kind="human") == Allow(remember=True)
    assert ask(Approval()) == Allow(remember=True)


@pytest.mark.parametrize(("text", "asked"), [
    ("BEGIN", False), ("COMMIT; BEGIN", False), ("SHOW x", False), ("", False), ("SELECT 1", True), ("BEGIN; SELECT 1", True), ("SET work_mem = 1", True),
    ("EXECUTE p", True), ("SELEC", True), ("DEALLOCATE ALL", False), ("NOTIFY x", False),
])
def test_nobody_is_asked_about_plumbing(text: str, asked: bool) -> None:
    """Clients open transactions by themselves; what reads, writes or sets anything is asked."""
    assert isinstance(ask(Approval(rules=RULES), text), Hold) is asked


def test_parse_is_never_asked_and_the_fast_path_is() -> None:
    assert ask(Approval(rules=RULES), path=Path.PARSE) == Allow(remember=True)
    who = Session("s", Identity("a", "agent"), Target("clinic", "postgres", "h", 5432), "rw", "d", "p")
    assert isinstance(Approval(rules=RULES).on_ask(AskHook(who, FunctionCall(1), "")), Hold)


def test_a_person_waits_and_everybody_else_comes_back() -> None:
    everyone = Approval(rules=[{"name": "all", "approvers": ["a"]}])
    assert ask(everyone, kind="human").mode == "hold"
    assert ask(everyone, kind="human", transaction=Transaction.OPEN).mode == "retry"
    assert ask(everyone, kind="human", pipelined=True).mode == "retry"
    assert ask(everyone, kind="workload").mode == "retry"
    assert ask(Approval(rules=[{"name": "all", "approvers": ["a"], "mode": "hold"}]), kind="agent").mode == "hold"


def test_hours_are_not_remembered() -> None:
    rules = [{"name": "night", "hours": "18:00-08:00", "approvers": ["a"]}]
    assert ask(Approval(rules=rules, now=lambda: datetime.datetime(2026, 11, 23, 12))) == Allow(remember=False)
    assert isinstance(ask(Approval(rules=rules, now=lambda: datetime.datetime(2026, 11, 23, 20))), Hold)


@pytest.mark.parametrize(("options", "complaint"), [
    ({"timeout": 0}, "timeout: must be a number above 0"), ({"rules": [{"approvers": ["a"]}]}, r"rules\[0\].name"),
    ({"rules": [{"name": "x"}]}, r"rules\[0\].approvers"), ({"rules": [{"name": "x", "approvers": ["a"], "when": 1}]}, r"rules\[0\].when: unknown key"),
    ({"rules": [{"name": "x", "approvers": ["a"], "hours": "08:00-18:00"}]}, r"rules\[0\].hours: no clock"),
])
def test_wrong_options_are_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Approval(**options)


@pytest.mark.parametrize(("text", "asked"), [("BEGIN; " * 1000, False), ("BEGIN; " * 1000 + "SELECT 1", True)])
def test_a_long_text_is_asked_about_as_a_short_one(text: str, asked: bool) -> None:
    """Analysed elsewhere, and only where a rule is about its session at all."""
    later = Later()
    found: list[object] = []
    approval = Approval(rules=RULES, analyses=later)
    assert isinstance(ask(approval, text, kind="human"), Allow) and later.count == 0
    ask(approval, text).addBoth(found.append)
    assert found == []
    later.answer_all()
    assert isinstance(found[0], Hold) is asked and not approval._analysis._mine
