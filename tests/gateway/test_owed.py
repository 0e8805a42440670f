"""What a journal owes to the next notary, and how it is given: nothing twice, nothing that did not run, and not without end."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from recorded import DONE, Told, allowed, denied, session
from scribe import Client
from twisted.internet.task import Clock

from gateway import journal as journals, owed
from gateway.journal import Journal
from gateway.notary.record import Kind
from protocols.command import Parameter, Statement
from protocols.errors import Unrecordable
from protocols.result import Ending
from protocols.session import Session
from protocols.verdict import Decision, Deny


def test_what_ends_while_nothing_can_be_recorded_is_recorded_when_it_can_be(book: Journal, client: Client) -> None:
    """Its real outcome, not an unknown one; refusals, notes and the session's end, in their order."""
    told, who, other = Told(), session(), session()
    for one in (who, other):
        book.opened(one, {}, told)
    book.intend(who, 1, allowed("SELECT pg_sleep(9)"), told)
    score = book.score(other, allowed("SELECT 1"))
    book.intend_again(score, 1, None, (), (), (), told)
    book.flush()
    book.acknowledged(4, [])
    book.down("gone")
    book.report(who, 1, allowed("SELECT pg_sleep(9)"), DONE, 9)
    assert book.report_again(score, 1, "SELECT 1", 1, 9, 5)
    book.refuse(who, 2, denied("DROP"))
    book.note(None, "login.failed", {"peer": "10.0.0.9"})
    book.closed(who, "client gone")
    client.appends.clear()
    book.up(6)
    book.flush()
    found = [fields for fields, _ in client.items()]
    assert [one["kind"] for one in found] == [Kind.OUTCOME, Kind.OUTCOME, Kind.REFUSAL, Kind.NOTE, Kind.CLOSED]
    assert [(one["ending"], one["ref"]) for one in found[:2]] == [(Ending.COMPLETE, [5, 3]), (Ending.COMPLETE, [5, 4])]


def test_a_session_that_could_not_begin_leaves_no_end(book: Journal, client: Client) -> None:
    """It was refused, and nothing of it ran."""
    who = session()
    book.down("gone")
    with pytest.raises(Unrecordable):
        book.opened(who, {}, Told())
    with pytest.raises(Unrecordable, match="beginning"):
        book.closed(who, "no session can be recorded")
    book.up(6)
    book.flush()
    assert not client.items()


def taken(book: Journal, client: Client, last: int) -> list[dict[str, Any]]:
    """Fields of what the next incarnation gets, the old one having recorded up to `last`."""
    client.appends.clear()
    book.up(6, last)
    book.flush()
    return [fields for fields, _ in client.items()]


def test_a_session_whose_beginning_was_not_acknowledged_begins_in_the_evidence_before_anything_of_it_runs(book: Journal, client: Client) -> None:
    who, told = session(), Told()
    book.opened(who, {"tls": "verify"}, told)
    book.flush()
    book.down("gone")
    client.appends.clear()
    book.up(6, 0)
    book.intend(who, 1, allowed("SELECT 1"), told)
    book.closed(who, "bye")
    book.flush()
    assert [Kind(fields["kind"]) for fields, _ in client.items()] == [Kind.OPENED, Kind.INTENT, Kind.OUTCOME, Kind.CLOSED]
    assert client.items()[0][1]["facts"] == {"tls": "verify"} and client.appends[0][:2] == (6, 1)


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "waiting"])
def test_what_has_happened_and_is_not_acknowledged_is_given_to_the_next_notary(book: Journal, client: Client, sent: bool) -> None:
    """Refusals, outcomes, notes and ends; what the old one did record is not given twice."""
    who, told = session(), Told()
    book.opened(who, {}, told)
    book.intend(who, 1, allowed("SELECT 1"), told)
    book.flush()
    book.acknowledged(2, [])
    book.refuse(who, 2, denied("DROP TABLE a"))
    book.report(who, 1, allowed("SELECT 1"), DONE, 5)
    book.note(who, "cancel", {})
    book.closed(who, "bye")
    if sent:
        book.flush()
    book.down("gone")
    assert [Kind(one["kind"]) for one in taken(book, client, 3)] == [Kind.OUTCOME, Kind.NOTE, Kind.CLOSED]
    assert client.items()[0][0]["ref"] == [5, 2]
    book.down("gone again")
    assert [Kind(one["kind"]) for one in taken(book, client, 3)] == []


def two_on_their_way(book: Journal) -> tuple[Session, Told]:
    """A session's first two intents, and who waits for them."""
    who, told = session(), Told()
    book.opened(who, {}, told)
    book.flush()
    book.acknowledged(1, [])
    for number in (1, 2):
        book.intend(who, number, allowed("DROP TABLE t"), told)
    book.flush()
    return who, told


def test_what_did_not_run_is_not_given_again_nor_what_came_of_it(book: Journal, client: Client, clock: Clock) -> None:
    """An intent that is recorded all the same is said to have come to nothing, once."""
    who, told = two_on_their_way(book)
    clock.advance(2.1)  # it does not answer: who waits is refused, and the outcomes say so
    clock.advance(2.1)
    assert told.told[-1][0] == "unrecordable"
    book.down("gone")
    (outcome,) = taken(book, client, 2)
    assert (outcome["kind"], outcome["command"], outcome["ending"], outcome["ref"]) == (Kind.OUTCOME, 1, "refused", [5, 2])


def test_an_intent_that_turns_out_to_be_recorded_is_said_to_have_come_to_nothing(book: Journal, client: Client) -> None:
    who, told = two_on_their_way(book)
    book.down("gone")
    (outcome,) = taken(book, client, 2)
    assert (outcome["kind"], outcome["command"], outcome["ending"], outcome["ref"]) == (Kind.OUTCOME, 1, "refused", [5, 2])
    book.report(who, 1, allowed("DROP TABLE t"), DONE, 5)  # as the relay tells it of what it refused
    book.flush()
    assert len(client.items()) == 1


def test_what_is_owed_is_bounded_and_what_was_missed_is_counted(book: Journal, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage of hours is no memory without end."""
    monkeypatch.setattr(owed, "LIMIT", 3)
    book.down("gone")
    for _ in range(3):
        book.note(None, "login.failed", {})
    for _ in range(2):
        with pytest.raises(Unrecordable):
            book.note(None, "login.failed", {})
    client.appends.clear()
    book.up(6)
    book.flush()
    assert len(client.items()) == 4 and client.items()[-1][1]["facts"] == {"count": "2"}


def test_refusals_without_end_take_no_room_from_outcomes_and_ends(book: Journal, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these there are no more than what ran, and nobody makes more of them while nothing begins."""
    monkeypatch.setattr(owed, "LIMIT", 3)
    who, told = session(), Told()
    book.opened(who, {}, told)
    book.intend(who, 1, allowed("INSERT"), told)
    book.flush()
    book.acknowledged(2, [])
    book.down("gone")
    for number in range(2, 10):
        with contextlib.suppress(Unrecordable):
            book.refuse(session(), number, denied("x"))
    book.report(who, 1, allowed("INSERT"), DONE, 9)
    book.closed(who, "bye")
    kinds = [Kind(one["kind"]) for one in taken(book, client, 2)]
    assert kinds == [Kind.REFUSAL] * 3 + [Kind.OUTCOME, Kind.CLOSED, Kind.NOTE]


def test_what_is_owed_is_given_whole_when_it_is_more_than_may_wait(book: Journal, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values count as they are recorded; none of them is lost on the way."""
    monkeypatch.setattr(journals, "WINDOW_BYTES", 1 << 16)
    book.down("gone")
    values = tuple(Parameter(25, 0, b"z" * 4000) for _ in range(39))
    decision = Decision(Statement("INSERT", parameters=values), Deny("masks"), sent="INSERT")
    for number in range(100):
        with contextlib.suppress(Unrecordable):
            book.refuse(session(), number, decision)
    *refusals, missed = taken(book, client, 0)
    assert len(refusals) == owed.BYTES // (39 * 4000) and missed["kind"] == Kind.NOTE
    assert client.items()[-1][1]["facts"] == {"count": str(100 - len(refusals))}


def test_what_a_silent_notary_has_no_room_for_is_counted_when_it_speaks_again(book: Journal, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped, or its disk is slow, and it is not dead."""
    monkeypatch.setattr(journals, "WINDOW_RECORDS", 2)
    told = 0
    for number in range(12):
        try:
            book.refuse(session(), number, denied("x"))
            told += 1
        except Unrecordable:
            pass
    book.flush()
    book.acknowledged(told, [])
    book.flush()
    assert told == 8 and client.items()[-1][1]["facts"] == {"count": "4"} and len(client.items()) == told + 1


def test_what_is_owed_of_long_texts_is_bounded_by_their_size(book: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed, "BYTES", 1000)
    who = session()
    book.down("gone")
    book.refuse(who, 1, denied("x" * 400))
    with pytest.raises(Unrecordable):
        book.refuse(who, 2, denied("x" * 400))
