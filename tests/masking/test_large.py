"""What a stranger may make the masking addon look through: a large tree is refused before anything walks all of it."""

from __future__ import annotations

import pytest
from postgast import pg_query_pb2 as tree

from addons.masking import statements
from addons.masking.cover import Cover
from addons.masking.declared import declarations
from addons.masking.statements import Statements
from addons.sql import resolve
from addons.sql.calls import Calls
from addons.sql.classify import classify
from addons.sql.parse import parse, unwrap, walk
from addons.sql.settings import Settings
from protocols.verdict import Deny, Replace
from tests.sql.little import snapshot

SNAPSHOT = snapshot()
CALLS = Calls(SNAPSHOT, frozenset())
COVER = Cover(SNAPSHOT, declarations([{"relation": "public.patients", "column": "ssn"}]), CALLS.opaque)


def test_a_statement_of_too_many_parts_is_refused_before_it_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the count of its messages was taken: no list of relations, no look at each kind."""
    monkeypatch.setattr(statements, "MESSAGES_LIMIT", 500)
    small, large = (f"SELECT {', '.join(['height_cm'] * count)} FROM patients" for count in (20, 400))
    assert isinstance(Statements(COVER, CALLS).judgement(small).verdict, Replace)

    def never(*_: object) -> None:
        raise AssertionError("looked through")

    for name in ("references", "makes"):
        monkeypatch.setattr(statements, name, never)
    monkeypatch.setattr(Calls, "first_unlisted", never)
    verdict = Statements(COVER, CALLS).judgement(large).verdict
    assert isinstance(verdict, Deny) and "larger than the gateway looks into" in verdict.reason


def test_what_one_addon_found_in_a_text_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a short text and of a long one; a text that changes settings is looked through as before."""
    settings = Settings()
    quiet = ["SELECT 1", f"SELECT '{'x' * (70 << 10)}'"]
    for text in quiet:
        settings.learn(text, classify(parse(text)))
    telling = "SET search_path = public"
    settings.learn(telling, classify(parse(telling)))
    monkeypatch.setattr("addons.sql.settings.parse", lambda text: pytest.fail("looked through again"))
    assert settings._steps_of(quiet[0], None) == settings._steps_of(quiet[1], None) == ()
    monkeypatch.undo()
    assert [step.what for step in settings._steps_of(telling, None)] == ["set"]


def test_what_is_passed_over_for_relations_can_hold_none() -> None:
    """By the parser's own description: no path of fields leads from one of them to a RangeVar, but by names and constants."""
    scalar = {"String", "Integer", "Float", "Boolean", "BitString", "A_Star"}
    for leaf in resolve._LEAVES:
        held = {field.message_type.name for field in leaf.DESCRIPTOR.fields if field.message_type is not None}
        assert held <= scalar | ({"Node"} if leaf.DESCRIPTOR.name == "ColumnRef" else set()), leaf.DESCRIPTOR.name
    for text in ("SELECT a.*, a.b.c, x FROM a", "SELECT (row(1)).*, $1, 'x', 1.5, true, B'1'"):
        for message in walk(parse(text).statements[0]):
            if isinstance(message, tree.ColumnRef):  # columnref in gram.y: names, and a star at the end
                assert {type(unwrap(node)).__name__ for node in message.fields} <= {"String", "A_Star"}
