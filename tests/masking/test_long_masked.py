"""Masking of long texts, which are analysed elsewhere: the same answers, by the catalog that is true when they are given."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from addons.masking import Masking
from addons.sql.analysis import LONG
from addons.sql.settings import Settings
from protocols.command import Parameter, Path, Statement
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook, RewriteHook
from protocols.result import Ending, Outcome
from protocols.session import Session
from protocols.verdict import Allow, Decision, Deny, Replace
from tests.masking.shelf import COLUMNS, Shelf, session
from tests.sql.later import Later
from tests.sql.little import snapshot

PADDING = ", ".join(["1"] * LONG)
LISTED = f"id IN ({PADDING})"


class Room:
    """Masking, its analysts and a catalog."""

    def __init__(self) -> None:
        self.later, self.settings, self.shelf = Later(), Settings(), Shelf(snapshot())
        self.masking = self.addon()

    def addon(self) -> Masking:
        """One more, as after a reload."""
        return Masking(columns=COLUMNS, catalogs=self.shelf, settings=self.settings, analyses=self.later)

    def ask(self, text: str, who: Session | None = None, **more: Any) -> Any:
        """The verdict, or the list that it comes to stand in."""
        return self._said(self.masking.on_rewrite(RewriteHook(who or session(), Statement(text, **more))))

    def _said(self, answer: Any) -> Any:
        if not isinstance(answer, Deferred):
            return answer
        found: list[Any] = []
        answer.addBoth(found.append)
        return found

    def _answered(self, answer: Any) -> Any:
        self.later.answer_all()
        return answer[0] if isinstance(answer, list) else answer

    def run(self, text: str, who: Session | None = None, transaction: str = "I", **more: Any) -> Any:
        verdict = self._answered(self.ask(text, who, **more))
        if not isinstance(verdict, Deny):
            judged = self._answered(self._said(self.masking.on_judge(JudgeHook(who or session(), Statement(text, **more), text))))
            verdict = judged if isinstance(judged, Deny) else verdict
        decision = Decision(Statement(text, **more), verdict if isinstance(verdict, Deny) else Allow(), text)
        self.masking.on_decided(DecidedHook(who or session(), decision))
        self.masking.on_outcome(OutcomeHook(who or session(), decision, Outcome(Ending.COMPLETE, transaction=transaction)))
        return verdict


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.mark.parametrize(("text", "expected"), [
    (f"SELECT id FROM departments WHERE {LISTED}", Allow), (f"SELECT id, ssn FROM patients WHERE {LISTED}", Replace),
    (f"SELECT id FROM patients WHERE ssn > 'x' AND {LISTED}", "OST-510"), (f"SELEC {PADDING}", "OST-501"),
    (f"SELECT secret_of(id) FROM departments WHERE {LISTED}", "OST-503"), (f"UPDATE patients SET ssn = 'x' WHERE {LISTED}", "OST-513"),
])  # fmt: skip
def test_a_long_text_is_judged_as_a_short_one(text: str, expected: Any, room: Room) -> None:
    verdict = room.run(text)
    assert verdict.code == expected if isinstance(expected, str) else isinstance(verdict, expected)
    if expected is Replace:
        assert "'***'" in verdict.text and verdict.columns == ("public.patients.ssn",)


def test_a_short_text_asks_nobody(room: Room) -> None:
    assert isinstance(room.run("SELECT ssn FROM patients"), Replace) and room.later.count == 0


def test_nothing_passes_before_the_answer(room: Room) -> None:
    assert room.ask(f"SELECT ssn FROM patients WHERE {LISTED}") == [] and len(room.later.asked) == 1


def test_an_answer_by_an_older_catalog_is_not_used(room: Room) -> None:
    """While a text is analysed the table that it names comes to lie over another, masked one."""
    room.shelf.known = snapshot(without=("public.twin",))
    text = f"SELECT secret FROM twin WHERE {LISTED}"
    room.masking = Masking(
        columns=[{"relation": "other.twin", "column": "secret"}], catalogs=room.shelf, settings=room.settings, analyses=room.later
    )
    answer = room.ask(text)
    room.shelf.next = snapshot()
    room.shelf.doubt(session())
    room.later.answer()
    assert answer == [] and room.shelf.asked == 1 and room.later.asked[0][2] is room.shelf.known
    room.later.answer_all()
    assert isinstance(answer[0], Deny)


def test_a_path_that_came_to_be_known_otherwise_meanwhile_is_asked_about(room: Room) -> None:
    room.settings.start(session(), "public")
    answer = room.ask(f"SELECT secret FROM twin WHERE {LISTED}")
    assert room.later.asked[0][1][-1].path == ("public",)
    room.settings.start(session(), "other")
    room.later.answer()
    assert answer == [] and room.later.asked[0][1][-1].path == ("other",)
    room.later.answer()
    assert answer == [] and "FROM other.twin" in room.later.asked[0][1][-1].text
    room.later.answer()
    assert isinstance(answer[0], Replace) and "FROM other.twin" in answer[0].text and not answer[0].columns


def test_of_a_long_text_the_evidence_names_every_meaning_of_a_name_that_several_schemas_have(room: Room) -> None:
    """It waits for nothing more, and says no less."""
    columns = [{"relation": "public.twin", "column": "secret", "clear": ["privacy"]}]
    masking = Masking(columns=columns, catalogs=room.shelf, settings=room.settings, analyses=room.later)
    room.settings.start(session("privacy"), "other")
    answer: list = []
    masking.on_rewrite(RewriteHook(session("privacy"), Statement(f"SELECT secret FROM twin WHERE {LISTED}"))).addCallback(answer.append)
    room.later.answer()
    assert isinstance(answer[0], Allow) and answer[0].seen.clear == ("public.twin.secret",)


def test_a_relation_that_is_not_known_has_the_catalog_read_once(room: Room) -> None:
    room.shelf.known, room.shelf.next = snapshot(without=("public.twin", "other.twin")), snapshot()
    assert isinstance(room.run(f"SELECT secret FROM other.twin WHERE {LISTED}"), Allow) and room.shelf.asked == 1
    assert room.run(f"SELECT 1 FROM nowhere WHERE {LISTED}").code == "OST-506" and room.shelf.asked == 2


def test_ddl_in_a_long_text_makes_everybody_wait_for_a_newer_catalog(room: Room) -> None:
    """Also from somebody who sees everything clear, of whose texts nothing else is asked."""
    room.run(f"SELECT {PADDING}; CREATE TABLE fresh (id int)", session("privacy"))
    assert room.shelf.doubts == 1
    assert room.later.count == 5  # what it makes, changes, sets and names, and what of the declared columns it reads
    room.run(f"SELECT {PADDING}", session("privacy"))
    assert room.shelf.doubts == 1


def test_names_that_a_long_text_makes_are_the_sessions_own(room: Room) -> None:
    room.run(f"BEGIN; CREATE TEMP TABLE fresh (id int); SELECT {PADDING}", transaction="T")
    assert isinstance(room.run(f"SELECT id FROM fresh WHERE {LISTED}", transaction="T"), Allow)
    assert isinstance(room.run("SELECT id FROM fresh", transaction="T"), Allow)


def test_masks_are_not_saved_by_a_long_text_either(room: Room) -> None:
    """Of somebody who sees the column clear: literals and parameters."""
    clear = session("privacy")
    assert room.run(f"UPDATE patients SET ssn = '***' WHERE {LISTED}", clear).code == "OST-526"
    bound = {"parameters": (Parameter(25, False, b"***"),), "path": Path.BIND}
    assert room.run(f"UPDATE patients SET ssn = $1 WHERE {LISTED}", clear, **bound).code == "OST-526"
    assert isinstance(room.run(f"UPDATE patients SET ssn = 'x' WHERE {LISTED}", clear), Allow)


def test_misdeclared_masking_refuses_a_long_text_by_its_own_code(room: Room) -> None:
    room.masking = Masking(columns=[{"relation": "public.patients", "column": "sn"}], catalogs=room.shelf, analyses=room.later)
    assert room.run(f"SELECT {PADDING}").code == "OST-520"


def test_who_is_gone_is_not_waited_for(room: Room) -> None:
    answer = room.masking.on_rewrite(RewriteHook(session(), Statement(f"SELECT {PADDING}")))
    answer.addErrback(lambda _: None)
    answer.cancel()
    assert room.later.asked == []
    room.masking.on_closed(ClosedHook(session()))
    assert not room.masking._analysis._mine


def test_the_path_is_followed_after_a_reload(room: Room) -> None:
    """
    The settings of a session outlive the addons: what the new one tells counts as what the old one told. Otherwise
    a name would be looked up where the session no longer looks, past a masked table.
    """
    room.settings.start(session(), "other")
    room.run("SET search_path = other")
    room.masking = room.addon()
    room.run("SET search_path = public")
    assert room.settings.search_path(session()) == ("public",)


def test_what_is_answered_from_memory_is_followed_all_the_same(room: Room) -> None:
    """The pipeline may not ask again what it remembers, and tells of it: nobody waits then, whatever others asked meanwhile."""
    text = f"CREATE TABLE fresh (id int); SELECT {PADDING}"
    clear = session("privacy")
    room.run(text, clear)
    decision = Decision(Statement(text), Allow(), text)
    for forget in (lambda: None, room.masking._analysis._kept.clear):
        forget()
        doubts = room.shelf.doubts
        room.masking.on_decided(DecidedHook(clear, decision))
        room.masking.on_outcome(OutcomeHook(clear, decision, Outcome(Ending.COMPLETE, transaction="I")))
        assert room.shelf.doubts == doubts + 1 and room.later.asked == []


def test_a_long_query_that_differs_in_its_literals_only_is_known_by_its_form(room: Room) -> None:
    """What a program sends again and again with other values is analysed once; what it sets is looked at each time."""
    columns = ", ".join(["upper(code), name"] * 120)
    assert LONG < len(columns) < 4000
    for number in range(3):
        assert isinstance(room.run(f"SELECT {columns} FROM departments WHERE id = {number}"), Allow)
    assert room.later.count == 5
    room.settings.start(session(), "public")
    room.run(f"SELECT {columns}, set_config('search_path', 'other', false) FROM departments WHERE id = 1")
    assert room.settings.search_path(session()) in (("other",), None)


def test_evidence_names_what_a_long_text_reads_in_the_clear(room: Room) -> None:
    """As of a short one; of a text that nobody could look through, every declared column, and that it is so."""
    clear = session("privacy")
    assert room.run(f"SELECT mrn FROM patients WHERE {LISTED}", clear).seen.clear == ("public.patients.mrn",)
    assert room.run(f"SELECT id FROM departments WHERE {LISTED}", clear).seen is None
    room.shelf.known = None
    assert room.run(f"SELECT dob FROM patients WHERE {LISTED}", clear).seen.clear[0] == "*"


def test_a_long_text_is_not_parsed_here(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when it is asked about nor when it is decided, rewritten or not; what an analyst does is another process's."""
    texts = [f"SELECT ssn FROM patients WHERE {LISTED}", f"SELECT id FROM departments WHERE {LISTED}", f"UPDATE patients SET id = 1 WHERE {LISTED}"]
    for text in texts:
        verdict = room.run(text)
        sent = verdict.text if isinstance(verdict, Replace) else text
        with monkeypatch.context() as patch:
            patch.setattr("postgast.parse", lambda read: pytest.fail(f"parsed {read[:40]}") if len(read) > LONG else None)
            room.masking.on_rewrite(RewriteHook(session(), Statement(text)))
            decision = Decision(Statement(text), Allow(), sent)
            room.masking.on_decided(DecidedHook(session(), decision))
            room.masking.on_outcome(OutcomeHook(session(), decision, Outcome(Ending.COMPLETE, transaction="I")))
