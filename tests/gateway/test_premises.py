"""What people's yes rests on: names stand for what was prepared under them, by SQL or by the protocol."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from addons.sql.flux import changed_by
from addons.sql.settings import Settings
from gateway.control.request import trace
from gateway.premises import Premises
from protocols.command import Statement, Transaction
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision
from tests.sql import little

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")
PREPARED = Statement("PREPARE q AS SELECT 1")


def under(text: str, **parsed: str | None) -> Any:
    """Where only the relay knows of what Parse gave."""
    settings = Settings()
    settings.given.learn(SESSION.id, PREPARED, PREPARED.text, 0)
    catalogs: Any = SimpleNamespace(stale=lambda _session: False, snapshot=lambda _session: little.snapshot())
    steps = Premises(catalogs, settings).under(SESSION, Statement(text, prepared=MappingProxyType(parsed)), text)
    with pytest.raises(StopIteration) as done:
        next(steps)
    return done.value.value


def test_what_the_protocol_gave_a_name_is_part_of_the_question_and_no_lists() -> None:
    """Also where SQL gave it the same name before, and no addon heard of the Parse."""
    spoken, parsed, other = under("EXECUTE q"), under("EXECUTE q", q="SELECT 2"), under("EXECUTE q", q="SELECT 3")
    assert spoken.named == (("q", trace(PREPARED.text)),) and parsed.named is other.named is None
    assert len({each.bound for each in (spoken, parsed, other)}) == 3
    assert under("EXECUTE q", r="SELECT 2") == spoken and under("EXECUTE r").named is None


def test_what_an_open_transaction_was_made_to_do_is_part_of_the_question_until_it_ends() -> None:
    """Its texts in their order, and not only the names that these change."""
    settings, catalogs = Settings(), SimpleNamespace(stale=lambda _session: False, snapshot=lambda _session: little.snapshot(), doubt=lambda _session: None)

    def bound(*texts: str) -> bytes:
        decisions = [Decision(Statement(text), Allow()) for text in texts]
        for each in decisions:
            settings.underway.decided(SESSION, each, changed_by(each.command.text))
        with pytest.raises(StopIteration) as done:
            next(Premises(catalogs, settings).under(SESSION, Statement("DELETE FROM visits"), ""))
        for each in decisions:
            settings.underway.ended(SESSION, each, Outcome(Ending.COMPLETE, transaction=Transaction.IDLE), catalogs)
        return done.value.value.bound

    one, other = (f"ALTER TABLE visits ALTER note SET DEFAULT '{value}'" for value in "ab")
    assert len({bound(), bound(one), bound(other), bound(one, other), bound(other, one)}) == 5
    assert bound(one) == bound(one) and bound() == bound()
