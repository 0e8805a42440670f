"""
A session's texts with the schemas that its search path says, for who judges them by the schemas of relations.

What is sent is then what was judged, whatever the path becomes (`addons.sql.pinned`). Between the two nothing may have moved it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from addons.sql.analysis import Analysis
from addons.sql.bearers import spoken_of
from addons.sql.catalog import Snapshot
from addons.sql.flux import Flux
from addons.sql.pinned import Pinning, pinned
from addons.sql.resolve import Names
from addons.sql.settings import Settings
from addons.sql.worlds import Path
from protocols.command import Statement
from protocols.session import Session

_KEPT = 1024  #: texts

_Key = tuple[str, str, Path, frozenset[str], bool]


class Placing:
    """:param analysis: of long texts."""

    def __init__(self, settings: Settings, analysis: Analysis) -> None:
        self._settings, self._analysis = settings, analysis
        self._paths: dict[str, Path] = {}  #: by session: the path by which a text was last sent
        self._judged: dict[str, tuple[str, str]] = {}  #: likewise: the text that was judged last, and what as
        self._known: OrderedDict[_Key, str] = OrderedDict()

    def sent(self, session: Session, reported: Mapping[str, str]) -> None:
        """A text is sent by the path of now."""
        self._paths[session.id] = self._settings.search_path(session, reported)

    def moved(self, session: Session, reported: Mapping[str, str]) -> bool:
        """Whether the path is another one than when it was."""
        path = self._settings.search_path(session, reported)
        return path != self._paths.get(session.id, path)

    def text(self, session: Session, statement: Statement, snapshot: Snapshot | None, flux: Flux | None, temporary: frozenset[str] | None) -> str:
        """
        The very same where nobody can tell.

        :param temporary: as `Underway.temporary`.
        :raises Wanted: it is long, and an analyst is to be asked first.
        """
        text, path = statement.text, self._settings.search_path(session, statement.settings)
        if snapshot is None or path is None:
            return text
        made = spoken_of(flux) | (temporary or frozenset())
        if self._analysis.long(text):
            return self._analysis.of(session, Pinning(text, snapshot.revision, path, made, temporary is not None), snapshot)
        key = text, snapshot.revision, path, made, temporary is not None
        if key not in self._known:
            self._known[key] = pinned(text, Names(snapshot, path, temporary is not None), made)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    def judged(self, session: Session, text: str, meant: str) -> None:
        """A text is judged as what it was sent as."""
        self._judged[session.id] = text, meant

    def meant(self, session: Session, text: str) -> str:
        """What a text was judged as, if it was the last."""
        asked, meant = self._judged.get(session.id, ("", ""))
        return meant if asked == text else text

    def forget(self, session: Session) -> None:
        self._paths.pop(session.id, None)
        self._judged.pop(session.id, None)
