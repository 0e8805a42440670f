"""The worked example of docs/addons.md does what the page says, built as the gateway builds it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.chain import WrongAddon, build
from gateway.config import AddonEntry
from gateway.pipeline import Pipeline
from protocols.command import FunctionCall, Path, Statement
from protocols.hooks import JudgeHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny

EXAMPLES = File(__file__).parents[2] / "docs" / "examples"
OPTIONS = {"pattern": r"CHG-\d+", "groups": ["engineers"]}


class Notes:
    """A Sink that is a list."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Mapping[str, str]]] = []

    def note(self, session: Session, kind: str, facts: Mapping[str, str]) -> None:
        self.kept.append((kind, facts))


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a site would put its own file where Python finds it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "ticket", raising=False)


def session(application: str, *groups: str) -> Session:
    return Session(
        "0190-1", Identity("ada@clinic.example", groups=frozenset(groups)), Target("clinic", "postgres", "db", 5432),
        "rw", "clinicdb", "127.0.0.1:5000", application,
    )  # fmt: skip


def decide(who: Session, command: Any, notes: Notes | None = None) -> Decision:
    """Through chain and pipeline, which need nobody's approval here."""
    addons = build([AddonEntry("ticket.Ticket", OPTIONS)], {"sink": notes or Notes()})
    decision = Pipeline(addons, approvals=None, clock=Clock()).decide(who, command, lambda *_: None)  # type: ignore[arg-type]
    assert isinstance(decision, Decision)
    return decision


@pytest.mark.parametrize(
    ("text", "application", "allowed"),
    [
        ("SELECT 1", "psql", True),
        ("BEGIN", "psql", True),
        ("UPDATE providers SET accepting = false WHERE id = 1", "psql", False),
        ("UPDATE providers SET accepting = false WHERE id = 1", "psql CHG-1234", True),
        ("SELECT 1; DROP TABLE t", "psql", False),
        ("WITH gone AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM gone", "psql", False),
        ("EXECUTE prepared_earlier", "psql", False),
        ("this is no SQL", "psql", False),
    ],
)
def test_a_change_needs_a_ticket(text: str, application: str, allowed: bool) -> None:
    """Reading does not; what cannot be read does."""
    decision = decide(session(application, "engineers"), Statement(text))
    assert isinstance(decision.verdict, Allow if allowed else Deny)


def test_the_refusal_says_what_to_do() -> None:
    """Code, rule and hint are the site's own."""
    verdict = decide(session("psql", "engineers"), Statement("DELETE FROM t")).verdict
    assert isinstance(verdict, Deny)
    assert (verdict.code, verdict.rule) == ("SITE-001", "ticket") and "PGAPPNAME" in verdict.hint


def test_others_are_not_asked() -> None:
    """It is about the groups that it names."""
    assert isinstance(decide(session("psql", "reports"), Statement("DELETE FROM t")).verdict, Allow)


def test_the_fast_path_may_change_anything() -> None:
    """A function by its OID: nobody can tell from here."""
    assert isinstance(decide(session("psql", "engineers"), FunctionCall(oid=1)).verdict, Deny)


def test_an_allowed_change_is_recorded_with_its_ticket() -> None:
    """Once for what runs; not for reading, not for a Parse that runs nothing yet, not for what was refused."""
    notes, who = Notes(), session("app CHG-77", "engineers")
    decide(who, Statement("SELECT 1"), notes)
    decide(who, Statement("DELETE FROM t", path=Path.PARSE), notes)
    decide(session("app", "engineers"), Statement("DELETE FROM t"), notes)
    assert notes.kept == []
    decide(who, Statement("DELETE FROM t"), notes)
    assert notes.kept == [("site.ticket", {"ticket": "CHG-77"})]


def test_an_answer_that_rests_on_the_session_is_not_remembered() -> None:
    """Else the next session without a ticket would get this one's yes."""
    (addon,) = build([AddonEntry("ticket.Ticket", OPTIONS)], {"sink": Notes()})
    for text in ("SELECT 1", "DELETE FROM t"):
        hook = JudgeHook(session("CHG-1", "engineers"), Statement(text), text)
        verdict = addon.on_judge(hook)  # type: ignore[attr-defined]
        assert isinstance(verdict, Allow) and not verdict.remember


@pytest.mark.parametrize("options", [{"pattern": "(", "groups": []}, {**OPTIONS, "colour": "red"}, {"groups": []}])
def test_a_wrong_option_is_named(options: dict[str, Any]) -> None:
    """`ostiary check` shows this text with the file's name."""
    with pytest.raises(WrongAddon, match=r"addon\[0\]"):
        build([AddonEntry("ticket.Ticket", options)], {"sink": Notes()})
