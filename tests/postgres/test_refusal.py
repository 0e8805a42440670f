"""What a refusal is made of."""

from __future__ import annotations

import json

import pytest

from protocols.errors import PeerError
from protocols.postgres import messages
from protocols.postgres.codec import FrameReader
from protocols.postgres.refusal import Poisoned, denial, poison_parse, poison_query, unrecorded, waiting
from protocols.postgres.replies import ErrorResponse
from protocols.verdict import Deny, Hold


def only(data: bytes) -> messages.Message:
    reader = FrameReader()
    reader.feed(data)
    frame = reader.next_frame()
    assert frame is not None and not len(reader)
    return messages.parse(frame)  # type: ignore[arg-type]


def test_poison_is_one_message_of_the_commands_own_protocol() -> None:
    """A Query ends in ReadyForQuery, a Parse in skipping: each as the command in whose place it stands."""
    assert only(poison_query(7)) == messages.Query("ostiary refused command 7")
    assert only(poison_parse(7)) == messages.Parse("ostiary_refused", "ostiary refused command 7")


def test_a_denial_says_why_to_people_and_to_agents() -> None:
    """Code and reason in the message, what to do in the hint, JSON in the detail."""
    fields = denial(Deny("writes need approval", "OST-210", "no-writes", "ask ada", facts=(("request", "r1"),)), 7)
    assert (fields["C"], fields["M"], fields["H"]) == ("42501", "writes need approval [OST-210]", "ask ada")
    assert json.loads(fields["D"]) == {"code": "OST-210", "rule": "no-writes", "command": 7, "request": "r1"}
    assert fields["S"] == fields["V"] == "ERROR"


def test_a_denial_without_rule_or_hint_has_no_empty_fields() -> None:
    """Agents see only what there is."""
    fields = denial(Deny("no"), 1)
    assert "H" not in fields and json.loads(fields["D"]) == {"code": "OST-200", "command": 1}


def test_a_denial_keeps_its_own_sqlstate() -> None:
    """42501 unless the field's own term fits better."""
    assert denial(Deny("no", sqlstate="57014"), 1)["C"] == "57014"


@pytest.mark.parametrize("text", ["héllo", "日本", "a\"b\\c\nd"])
def test_any_text_survives_the_wire(text: str) -> None:
    """Rules and reasons are written by people."""
    fields = denial(Deny(text, rule=text), 1)
    reader = FrameReader()
    reader.feed(ErrorResponse(fields).encode())
    frame = reader.next_frame()
    read = ErrorResponse.parse(frame.body)  # type: ignore[union-attr]
    assert read.message == f"{text} [OST-200]" and json.loads(read.fields["D"])["rule"] == text


def test_what_is_not_recorded_says_that_nothing_was_done() -> None:
    """58030 is the manual's io_error; the hint tells that it may be tried again."""
    deny = unrecorded("disk full")
    assert deny.sqlstate == "58030" and "disk full" in deny.reason and "nothing was changed" in deny.hint


def test_a_held_client_is_told_whom_to_ask() -> None:
    """Groups in order, the request's id, and how to give up; not the statement."""
    fields = waiting("r1", Hold("rule", "it is privileged", frozenset({"ops", "dba"})))
    assert fields["S"] == "NOTICE" and "dba, ops" in fields["H"] and "r1" in fields["H"]
    assert json.loads(fields["D"]) == {"code": "OST-300", "rule": "rule", "request": "r1", "timeout": 300.0}
    assert "waits for 5 minutes at most" in fields["H"] and fields["H"].startswith("someone in dba, ops runs: ")
    two = waiting("r1", Hold("rule", "it is privileged", frozenset({"dba"}), quorum=2))
    assert two["H"].startswith("2 people in dba run: ")


def test_accepted_poison_is_the_targets_fault() -> None:
    """So that its session ends like any other that a target broke."""
    assert issubclass(Poisoned, PeerError)
