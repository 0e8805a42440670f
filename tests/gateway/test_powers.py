"""What addons are handed."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from gateway.powers import Ending, Sink, powers
from protocols.errors import Unrecordable
from protocols.session import Identity, Session, Target
from protocols.verdict import Deny

SESSION = Session("id-1", Identity("ada"), Target("clinic", "postgres", "h", 1), "app", "db", "p:1")
WHY = Deny("Too long.", "OST-403")


class Kept:
    def __init__(self, fails: bool = False) -> None:
        self.notes: list[tuple[str, Mapping[str, str]]] = []
        self._fails = fails

    def note(self, session: Session, kind: str, facts: Mapping[str, str]) -> int:
        if self._fails:
            raise Unrecordable("full")
        self.notes.append((kind, facts))
        return 1


def sitting(done: list[str]) -> SimpleNamespace:
    return SimpleNamespace(kill=done.append, adapter=SimpleNamespace(cancel=lambda: done.append("cancelled")))


def test_a_limit_that_ends_a_session_is_recorded_and_said() -> None:
    """The client hears the reason and the code; so does the evidence, before."""
    journal, done = Kept(), []
    ending = Ending({"id-1": sitting(done)}, Sink(journal))
    ending.cancel(SESSION, WHY)
    ending.end(SESSION, WHY)
    assert done == ["cancelled", "Too long. [OST-403]"]
    assert [kind for kind, _ in journal.notes] == ["limit.cancel", "limit.end"]


def test_a_session_that_is_gone_is_left_alone() -> None:
    """A timer may fire behind the end."""
    journal = Kept()
    Ending({}, Sink(journal)).end(SESSION, WHY)
    assert journal.notes == []


def test_a_limit_holds_also_while_nothing_can_be_recorded() -> None:
    """Ending a session never waits for evidence."""
    done: list[str] = []
    Ending({"id-1": sitting(done)}, Sink(Kept(fails=True))).end(SESSION, WHY)
    assert done == ["Too long. [OST-403]"]


def test_every_named_power_is_there() -> None:
    """The names that `ostiary check` stands in for are the names a worker hands out."""
    from gateway.vetting import NEEDS

    given = powers(None, None, None, Kept(), {}, None, (), None, None)
    assert set(given) == set(NEEDS)
    assert given["now"]().tzinfo is not None
