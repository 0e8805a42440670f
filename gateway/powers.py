"""
What addons may be handed, by the name their constructor asks for it. The other side of `addons.needs`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import Logger

from addons.needs import Catalogs, Clock, Counts
from addons.sql.settings import Settings
from protocols.errors import Unrecordable
from protocols.journal import Journal
from protocols.session import Session
from protocols.verdict import Deny


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


def powers(
    catalogs: Catalogs, settings: Settings, clock: Clock, journal: Journal, live: Mapping[str, Any], counts: Counts
) -> dict[str, Any]:
    """By parameter name; an addon gets those that its constructor names."""
    sink = Sink(journal)
    return {
        "catalogs": catalogs, "settings": settings, "clock": clock, "sink": sink, "sessions": Ending(live, sink),
        "counts": counts,
        "now": lambda: datetime.datetime.now().astimezone(),
    }
