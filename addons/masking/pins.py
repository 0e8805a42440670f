"""
The text that a statement is judged by, and sent as: with the schemas of names that only the session's search path tells apart.
"""

from __future__ import annotations

from addons.masking.freshness import Freshness
from addons.masking.settings import Settings
from addons.sql.analysis import Analysis
from addons.sql.catalog import Snapshot
from addons.sql.pinned import Pinning, pinned, shared
from addons.sql.resolve import Names
from protocols.command import Statement
from protocols.session import Session


class Pins:
    """:param settings: where paths are known; without it none is. :param analysis: of long texts."""

    def __init__(self, settings: Settings | None, fresh: Freshness, analysis: Analysis) -> None:
        self._settings, self._fresh, self._analysis = settings, fresh, analysis

    def path(self, session: Session, statement: Statement) -> tuple[str, ...] | None:
        """
        By which its names are written out, also of what the protocol prepares: what it means with its schemas no path changes. Whoever binds it
        under another path would have it sent otherwise, and is told to prepare it again (the relay compares what Parse sent).
        """
        if self._settings is None:
            return None
        return self._settings.search_path(session, statement.settings)

    def text(self, session: Session, statement: Statement, snapshot: Snapshot | None) -> str:
        """
        As `addons.sql.pinned`, which see.

        :raises Wanted: it is long, and an analyst is to be asked first.
        """
        path = self.path(session, statement)
        if path is None or snapshot is None or not shared(snapshot).within(statement.text):
            return statement.text
        made = self._fresh.made(session)
        if self._analysis.long(statement.text):
            return self._analysis.of(session, Pinning(statement.text, snapshot.revision, path, made), snapshot)
        return pinned(statement.text, Names(snapshot, path), made)
