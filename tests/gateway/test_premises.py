"""What people's yes rests on: names stand for what was prepared under them, by SQL or by the protocol."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from addons.sql.settings import Settings
from gateway.control.request import trace
from gateway.premises import Premises
from protocols.command import Statement
from protocols.session import Identity, Session, Target
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
