"""Policy about long texts, which are analysed elsewhere: the same answers, by what is true when they are given."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from addons.policy import Policy
from addons.sql.analysis import LONG
from addons.sql.catalog import Snapshot
from addons.sql.settings import Settings
from protocols.command import Path, Statement
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook
from protocols.result import Ending, Outcome
from protocols.verdict import Allow, Decision, Deny
from tests.addons.test_policy import CLINIC, STRICT, session
from tests.masking.shelf import Shelf
from tests.sql.later import Later
from tests.sql.little import snapshot

PADDING = ", ".join(["1"] * LONG)
LISTED = f"id IN ({PADDING})"


class Room:
    """Policy, its analysts and a catalog."""

    def __init__(self, **options: Any) -> None:
        self.later, self.settings, self.shelf = Later(), Settings(), Shelf(snapshot())
        self.policy = Policy(
            default=STRICT, rules=CLINIC, catalogs=self.shelf, settings=self.settings, analyses=self.later, **options
        )

    def ask(self, text: str, name: str = "s", **more: Any) -> Any:
        """The verdict, or the list that it comes to stand in."""
        answer = self.policy.on_judge(JudgeHook(session(name=name), Statement(text, **more), text))
        if not isinstance(answer, Deferred):
            return answer
        found: list[Any] = []
        answer.addBoth(found.append)
        return found

    def decided(self, text: str, verdict: Any, name: str = "s", **more: Any) -> Decision:
        allowed = verdict if isinstance(verdict, Deny) else Allow()
        decision = Decision(Statement(text, **more), allowed, text)
        self.policy.on_decided(DecidedHook(session(name=name), decision))
        return decision

    def run(self, text: str, **more: Any) -> Any:
        answer = self.ask(text, **more)
        self.later.answer_all()
        verdict = answer[0] if isinstance(answer, list) else answer
        decision = self.decided(text, verdict, **more)
        self.policy.on_outcome(OutcomeHook(session(), decision, Outcome(Ending.COMPLETE, transaction="I")))
        return verdict


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.mark.parametrize(("text", "code"), [
    (f"SELECT id FROM departments WHERE {LISTED}", None), (f"DELETE FROM patients WHERE {LISTED}", None),
    (f"SELECT {PADDING}; DROP TABLE patients", "OST-203"), (f"SELECT {PADDING}; SELECT f()", "OST-205"), (f"SELEC {PADDING}", "OST-201"),
    (f"SELECT {PADDING}; EXECUTE q", "OST-209"), (f"SELECT {PADDING}; SET search_path = evil", "OST-206"),
])  # fmt: skip
def test_a_long_text_is_judged_as_a_short_one(text: str, code: str | None, room: Room) -> None:
    verdict = room.run(text)
    assert isinstance(verdict, Allow) if code is None else verdict.code == code
    assert room.later.count == 2


def test_a_short_text_asks_nobody(room: Room) -> None:
    assert isinstance(room.run("SELECT 1"), Allow) and room.later.count == 0


def test_nothing_is_allowed_before_the_answer(room: Room) -> None:
    assert room.ask(f"SELECT {PADDING}") == [] and len(room.later.asked) == 1


def test_a_text_that_is_known_is_not_asked_about_again(room: Room) -> None:
    room.run(f"SELECT {PADDING}")
    room.run(f"SELECT {PADDING}", name="other")
    assert room.later.count == 2


def test_an_answer_by_an_older_catalog_is_not_used(room: Room) -> None:
    """While it is analysed a function is made that has the name of one of the server's."""
    answer = room.ask(f"SELECT {PADDING}, secret_of(1)")
    room.shelf.next = newer()
    room.shelf.doubt(session())
    room.later.answer()
    assert answer == [] and room.shelf.asked == 1
    assert room.later.asked[0][2] is room.shelf.known and room.shelf.known.revision != snapshot().revision
    room.later.answer_all()
    assert isinstance(answer[0], Allow) and room.shelf.asked == 1


def newer() -> Snapshot:
    return snapshot(without=("public.twin",))


def test_who_is_gone_is_not_waited_for(room: Room) -> None:
    answer = room.policy.on_judge(JudgeHook(session(), Statement(f"SELECT {PADDING}"), ""))
    answer.addErrback(lambda _: None)
    answer.cancel()
    assert room.later.asked == []
    room.policy.on_closed(ClosedHook(session()))
    assert not room.policy._analysis._mine


def test_what_a_long_text_sets_is_followed(room: Room) -> None:
    """Also when it was only analysed elsewhere, and others were analysed before it was decided."""
    room.settings.start(session(), "public")
    text = f"SET search_path = pg_catalog; SELECT {PADDING}"
    answer = room.ask(text)
    room.later.answer_all()
    for number in range(3):
        room.run(f"SELECT {number}, {PADDING}", name="other")
    room.policy._analysis._kept.clear()
    decision = room.decided(text, answer[0])
    room.policy.on_outcome(OutcomeHook(session(), decision, Outcome(Ending.COMPLETE, transaction="I")))
    assert room.settings.search_path(session()) == ("pg_catalog",)


def test_what_a_long_text_prepares_is_judged_when_it_is_executed(room: Room) -> None:
    """The text that EXECUTE runs is analysed elsewhere too."""
    assert isinstance(room.run(f"PREPARE q AS SELECT id FROM departments WHERE {LISTED}"), Allow)
    room.policy._analysis._kept.clear()
    before = room.later.count
    assert isinstance(room.run("EXECUTE q"), Allow) and room.later.count == before + 1
    assert room.run("EXECUTE r").code == "OST-209"
    answer = room.ask("EXECUTE pr", prepared={"pr": f"DELETE FROM patients WHERE true OR {LISTED}"})
    room.later.answer_all()
    assert answer[0].rule == "privileged-writes"


def test_a_catalog_that_changed_while_people_thought_does_not_lose_what_was_decided(room: Room) -> None:
    """on_decided cannot wait: it goes by what the verdict went by."""
    text = f"PREPARE q AS SELECT id FROM departments WHERE {LISTED}"
    answer = room.ask(text)
    room.later.answer_all()
    room.shelf.known = newer()
    room.decided(text, answer[0])
    assert isinstance(room.run("EXECUTE q"), Allow)


def test_preparing_by_protocol_leaves_nothing_behind(room: Room) -> None:
    room.run(f"SELECT {PADDING}", path=Path.PARSE)
    assert not room.policy._analysis._mine


def test_what_is_answered_from_memory_is_followed_all_the_same(room: Room) -> None:
    """The pipeline tells of what it remembers without asking: nobody waits then, whatever others asked meanwhile."""
    text = f"SET search_path = pg_catalog; SELECT {PADDING}"
    room.settings.start(session(), "public")
    room.run(text)
    for forget in (lambda: None, room.policy._analysis._kept.clear):
        forget()
        room.settings.start(session(), "public")
        room.policy.on_outcome(OutcomeHook(session(), room.decided(text, Allow()), Outcome(Ending.COMPLETE, transaction="I")))
        assert room.settings.search_path(session()) == ("pg_catalog",) and room.later.asked == []


def test_a_long_query_that_differs_in_its_literals_only_is_known_by_its_form(room: Room) -> None:
    columns = ", ".join(["upper(code), name"] * 120)
    assert LONG < len(columns) < 4000
    for number in range(3):
        assert isinstance(room.run(f"SELECT {columns} FROM departments WHERE id = {number}"), Allow)
    assert room.later.count == 1
