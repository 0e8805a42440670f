"""Questions about long texts on their way to the worker's analyst: whose turn it is, and what becomes of those who wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from addons.sql.analysis import Unanswered
from addons.sql.catalog import Snapshot
from addons.sql.parcels import Unpacking
from gateway.analyses import IDLE, PAGES, PATIENCE, Analyses, Failed, Lanes
from gateway.analyst import SNAPSHOTS
from protocols.session import Identity, Session, Target
from tests.sql.little import snapshot


@dataclass(frozen=True)
class About:
    """A question of a name and no answer of its own: the test says it."""

    text: str
    name: str = ""


class Scripted:
    """An analyst that answers when the test does."""

    def __init__(self, asking: Analyses) -> None:
        self.asking, self.frames, self.killed = asking, [], False

    def send(self, frame: tuple[Any, ...]) -> None:
        self.frames.append(frame)

    def kill(self) -> None:
        self.killed = True

    @property
    def asked(self) -> list[str]:
        return [frame[1][0].text for frame in self.frames if frame[0] == "ask"]

    def say(self, *answers: Any) -> None:
        self.asking.said(self, True, list(answers))


class Room:
    """The questions of one worker, and everything that it hired."""

    def __init__(self) -> None:
        self.clock, self.hired = Clock(), []
        self.analyses = Analyses(self.clock, self._hire)

    def _hire(self, asking: Analyses) -> Scripted:
        self.hired.append(Scripted(asking))
        return self.hired[-1]

    def ask(self, text: str, who: str = "ada", session: str = "", known: Snapshot | None = None) -> Deferred[Any]:
        said = Session(session or f"{who}-{text}", Identity(who), Target("t", "postgres", "h", 1), "rw", "d", "p")
        return self.analyses.ask(said, (About(text),), known)

    @property
    def analyst(self) -> Scripted:
        return self.hired[-1]


@pytest.fixture
def room() -> Room:
    return Room()


def results(*asked: Deferred[Any]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for each in asked:
        found.append(answers := [])
        each.addBoth(answers.append)
    return found


def failed(result: list[Any]) -> type:
    return type(result[0].value)


def test_one_question_is_out_at_a_time_and_nobody_is_hired_before_it(room: Room) -> None:
    assert room.hired == []
    first, second = results(room.ask("1"), room.ask("2"))
    assert room.analyst.asked == ["1"]
    room.analyst.say("one")
    assert first == [["one"]] and second == [] and room.analyst.asked == ["1", "2"]
    room.analyst.say("two")
    assert second == [["two"]] and len(room.hired) == 1


def test_a_flood_of_one_identity_does_not_starve_another(room: Room) -> None:
    """Identities take turns, whoever came first."""
    results(*(room.ask(f"a{n}") for n in range(5)), room.ask("b0", "bob"), room.ask("b1", "bob"), room.ask("c0", "eve"))
    for _ in range(7):
        room.analyst.say(None)
    assert room.analyst.asked == ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4"]


def test_what_a_session_asks_next_of_the_same_text_comes_before_others(room: Room) -> None:
    """Its tree is still there; another text of the same session has to wait for its turn."""
    room.ask("x", session="s").addCallback(lambda _: room.ask("x", session="s")).addCallback(lambda _: room.ask("y", session="s"))
    results(room.ask("other", "bob"))
    for _ in range(3):
        room.analyst.say(None)
    assert room.analyst.asked == ["x", "x", "other", "y"]


def test_a_question_that_is_taken_back_is_never_asked(room: Room) -> None:
    first, second, third = asked = [room.ask(text) for text in "123"]
    heard = results(*asked)
    second.cancel()
    first.cancel()
    assert [failed(one) for one in heard[:2]] == [CancelledError] * 2
    room.analyst.say("nobody listens")
    assert room.analyst.asked == ["1", "3"]
    room.analyst.say("three")
    assert heard[2] == [["three"]]
    del third


def test_who_waits_too_long_is_refused_and_others_go_on(room: Room) -> None:
    first, second = results(room.ask("1"), room.ask("2"))
    room.clock.advance(PATIENCE - 1)
    room.analyst.say("one")
    third = results(room.ask("3"))[0]
    room.clock.advance(1)
    assert room.hired[0].killed  # it had the second one
    assert first == [["one"]] and failed(second) is Unanswered and second[0].value.begun
    assert room.analyst.asked == ["3"] and len(room.hired) == 2
    fourth = results(room.ask("4"))[0]
    room.clock.advance(PATIENCE - 1)
    assert failed(third) is Unanswered and third[0].value.begun and room.analyst.asked == ["4"]
    room.clock.advance(1)
    assert failed(fourth) is Unanswered


def test_who_never_had_a_turn_is_told_so(room: Room) -> None:
    first = room.ask("1")
    second = results(room.ask("2", "bob"))[0]
    results(first)
    first.cancel()  # whoever asked is gone, and the analyst does not come to its end
    room.clock.advance(PATIENCE)
    assert failed(second) is Unanswered
    assert room.hired[0].killed


def test_an_analyst_that_nobody_waits_for_is_ended_in_time_too(room: Room) -> None:
    asked = room.ask("1")
    results(asked)
    asked.cancel()
    room.clock.advance(PATIENCE)
    assert room.hired[0].killed
    assert results(room.ask("2"))[0] == [] and room.analyst.asked == ["2"] and len(room.hired) == 2


def test_a_text_that_ends_its_analyst_is_refused_and_the_next_one_has_another(room: Room) -> None:
    first, second = results(room.ask("1"), room.ask("2"))
    room.hired[0].asking.ended(room.hired[0])
    assert failed(first) is Unanswered and first[0].value.begun
    assert room.analyst.asked == ["2"] and len(room.hired) == 2
    room.hired[0].asking.ended(room.hired[0])  # told twice
    room.hired[0].say("too late")
    assert second == []
    room.analyst.say("two")
    assert second == [["two"]]


def test_a_bug_over_there_is_no_answer(room: Room) -> None:
    heard = results(room.ask("1"))[0]
    room.analyst.asking.said(room.analyst, False, "KeyError")
    assert failed(heard) is Failed and str(heard[0].value) == "KeyError"


def test_an_analyst_with_nothing_to_do_is_let_go(room: Room) -> None:
    results(room.ask("1"))
    room.analyst.say(None)
    room.clock.advance(IDLE - 1)
    results(room.ask("2"))
    room.clock.advance(1)
    assert not room.analyst.killed
    room.analyst.say(None)
    room.clock.advance(IDLE)
    assert room.analyst.killed and not room.clock.getDelayedCalls()


def test_the_end_of_the_worker_refuses_whoever_waits_and_leaves_nothing_behind(room: Room) -> None:
    heard = results(room.ask("1"), room.ask("2"))
    room.analyses.stop()
    assert [failed(one) for one in heard] == [Unanswered] * 2
    assert failed(results(room.ask("3"))[0]) is Unanswered
    assert room.analyst.killed and not room.clock.getDelayedCalls()


def test_a_catalog_is_told_once_in_pieces_with_others_between_them(room: Room) -> None:
    """The worker does not stop for a large catalog: each piece is a turn of the reactor."""
    known = snapshot()
    results(room.ask("1", known=known), room.ask("2", known=known))
    assert [frame[0] for frame in room.analyst.frames] == ["parcel"]
    while room.analyst.frames[-1][0] != "ask":
        room.clock.advance(0)
    told = [frame for frame in room.analyst.frames if frame[0] == "parcel"]
    unpacking = Unpacking()
    for _, revision, parcel in told:
        assert revision == known.revision
        unpacking.take(parcel)
    assert unpacking.whole() == known
    room.analyst.say(None)
    assert [frame[0] for frame in room.analyst.frames[len(told):]] == ["catalog", "ask", "ask"]


def test_what_the_analyst_has_forgotten_is_told_again(room: Room) -> None:
    """Both sides keep the same few catalogs."""
    from dataclasses import replace

    many = [replace(snapshot(), revision=str(number)) for number in range(SNAPSHOTS + 1)]

    def told(known: Snapshot) -> bool:
        results(room.ask("x", known=known))
        before = len(room.analyst.frames)
        while room.analyst.frames[-1][0] != "ask":
            room.clock.advance(0)
        room.analyst.say(None)
        return any(frame[0] == "catalog" for frame in room.analyst.frames[before - 1:])

    assert [told(one) for one in (*many[:SNAPSHOTS], many[0])] == [True] * SNAPSHOTS + [False]
    assert [told(one) for one in (many[SNAPSHOTS], many[1], many[0], many[SNAPSHOTS])] == [True, True, False, False]


def test_an_analyst_that_ends_while_it_is_told_takes_its_question_along(room: Room) -> None:
    known = snapshot()
    heard = results(room.ask("1", known=known))[0]
    room.analyst.asking.ended(room.analyst)
    room.clock.advance(0)
    assert failed(heard) is Unanswered and room.hired[0].asked == []
    results(room.ask("2", known=known))
    while room.analyst.frames[-1][0] != "ask":
        room.clock.advance(0)
    assert any(frame[0] == "catalog" for frame in room.analyst.frames)


def test_some_pages_do_not_wait_for_a_megabyte() -> None:
    clock, hired = Clock(), []
    lanes = Lanes(clock, lambda asking: hired.append(Scripted(asking)) or hired[-1])
    who = Session("s", Identity("ada"), Target("t", "postgres", "h", 1), "rw", "d", "p")
    for text in ("x" * (PAGES + 1), "x" * PAGES):
        lanes.ask(who, (About(text),), None).addErrback(lambda _: None)
    assert [[len(text) for text in one.asked] for one in hired] == [[PAGES + 1], [PAGES]]
    lanes.stop()
    assert not clock.getDelayedCalls()
