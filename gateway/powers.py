"""
What addons may be handed, by the name their constructor asks for it. The other side of `addons.needs`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from addons.needs import Analyses, Catalogs, Clock, Estimates
from addons.sql.settings import Settings
from gateway.control.client import ControlClient
from gateway.control.reveals import binding
from gateway.names import Names
from protocols.errors import Unrecordable
from protocols.journal import Journal
from protocols.session import Session, Target
from protocols.tally import Tally
from protocols.verdict import Deny, Reveal


class Ending:
    """Implements `addons.needs.Sessions` over a worker's live sessions."""

    def __init__(self, live: Mapping[str, Any], sink: Sink) -> None:
        self._live, self._sink = live, sink

    def cancel(self, session: Session, why: Deny) -> None:
        """Cancel what runs at the target; the session goes on."""
        self._tell(session, why, "limit.cancel", lambda sitting: sitting.adapter.cancel())

    def end(self, session: Session, why: Deny) -> None:
        """Close the session; its client is told why."""
        self._tell(session, why, "limit.end", lambda sitting: sitting.kill(f"{why.reason} [{why.code}]"))

    def _tell(self, session: Session, why: Deny, kind: str, do: Callable[[Any], None]) -> None:
        sitting = self._live.get(session.id)
        if sitting is not None:
            self._sink.note(session, kind, {"code": why.code, "reason": why.reason})
            do(sitting)


class Sink:
    """Implements `addons.needs.Sink`. What cannot be recorded now is logged, since nothing waits for it."""

    log = Logger()

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def note(self, session: Session, kind: str, facts: Mapping[str, str]) -> None:
        try:
            self._journal.note(session, kind, facts)
        except Unrecordable:
            self.log.warn("session {id}: {kind} could not be recorded", id=session.id, kind=kind)


class Revealing:
    """Implements `addons.needs.Reveals`: control says what is in force, the session what it is bound to."""

    def __init__(self, control: ControlClient, clock: Clock) -> None:
        self._control, self._clock = control, clock

    @property
    def tally(self) -> Tally:
        """Where it is counted that `open` may answer otherwise."""
        return self._control.tally

    def open(self, session: Session) -> bool:
        return self._control.may_reveal(*_where(session))

    def ask(self, session: Session, rule: Mapping[str, Any]) -> Deferred[list[Reveal]]:
        """Fails with ControlError."""
        return self._control.reveals(*_where(session), dict(rule)).addCallback(lambda found: [self._one(session, one) for one in found])

    def _one(self, session: Session, told: Mapping[str, Any]) -> Reveal:
        who = session.identity
        bound = binding(who.subject, who.on_behalf_of, session.target.name, session.account, session.database, told["columns"])
        until = self._clock.seconds() + told["left"]
        return Reveal(told["request"], told["grant"], bound, frozenset(told["columns"]), until)


def _where(session: Session) -> tuple[str, str, str, str]:
    return session.identity.subject, session.target.name, session.account, session.database


def powers(
    catalogs: Catalogs, settings: Settings, clock: Clock, journal: Journal, live: Mapping[str, Any], control: ControlClient,
    registry: Iterable[Target], estimates: Estimates, analyses: Analyses,
) -> dict[str, Any]:
    """By parameter name; an addon gets those that its constructor names."""
    sink = Sink(journal)
    return {
        "catalogs": catalogs, "settings": settings, "clock": clock, "sink": sink, "sessions": Ending(live, sink),
        "counts": control, "reveals": Revealing(control, clock), "registry": registry, "estimates": estimates, "names": Names(clock),
        "analyses": analyses,
        "now": lambda: datetime.datetime.now().astimezone(),
    }
