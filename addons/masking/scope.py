"""Who sees what of what is declared: masked or clear, where a session is, and what that means under the catalog as it was read."""

from __future__ import annotations

from addons.masking.cover import Cover, Misdeclared
from addons.masking.declared import Declaration
from addons.masking.questions import covering
from addons.needs import Sink
from addons.sql.calls import Calls
from addons.sql.catalog import Snapshot
from protocols.session import Session

_WHO = 4096  #: groups on databases
_COVERS = 256  #: of groups and reveals on databases


class Scope:
    """
    :param listed: "schema.function" names that return nothing of masked columns.
    :param sink: is told what is misdeclared.
    """

    def __init__(self, declared: tuple[Declaration, ...], listed: frozenset[str], sink: Sink | None) -> None:
        self._declared, self._listed, self._sink = declared, listed, sink
        self._who: dict[tuple[str, str, frozenset[str]], tuple[tuple[Declaration, ...], tuple[Declaration, ...]]] = {}
        self._covers: dict[tuple[str, str, tuple[Declaration, ...], bool], tuple[Cover, Calls]] = {}
        self._told: set[tuple[str, str, str]] = set()  #: what is misdeclared where, said once

    def masked(self, session: Session) -> tuple[Declaration, ...]:
        """The declarations in force for a session; none for somebody who sees everything clear."""
        return self.split(session)[0]

    def split(self, session: Session) -> tuple[tuple[Declaration, ...], tuple[Declaration, ...]]:
        """Of what is declared where a session is, what it sees masked, and what it sees as it is."""
        key = (session.target.name, session.database, session.identity.groups)
        found = self._who.get(key)
        if found is None:
            if len(self._who) >= _WHO:
                self._who.clear()
            here, groups = self.here(session), session.identity.groups
            found = self._who[key] = tuple(d for d in here if not d.clear & groups), tuple(d for d in here if d.clear & groups)
        return found

    def here(self, session: Session) -> list[Declaration]:
        """All that is declared where a session is."""
        return [d for d in self._declared if d.holds(session.target.name, session.database)]

    def sound(self, snapshot: Snapshot, session: Session, masked: tuple[Declaration, ...]) -> bool:
        """Whether what is declared is there, as `cover` finds it."""
        try:
            return bool(self.cover(snapshot, session, masked))
        except Misdeclared:
            return False

    def cover(self, snapshot: Snapshot, session: Session, masked: tuple[Declaration, ...]) -> tuple[Cover, Calls]:
        """
        :raises Misdeclared: also for a declaration that this session sees clear: it is wrong for somebody.
        """
        key = (session.target.name, session.database, masked, bool(session.floor))
        found = self._covers.get(key)
        if found is None or found[0].snapshot.revision != snapshot.revision:
            try:
                found = covering(snapshot, masked, self._listed, floor=bool(session.floor))
                if len(masked) < len(self.here(session)):
                    Cover(snapshot, self.here(session), found[1].opaque)
            except Misdeclared as error:
                self._tell(session, error)
                raise
            if len(self._covers) >= _COVERS:
                self._covers.clear()
            self._covers[key] = found  # in the old one's place: each holds a whole snapshot
        return found

    def _tell(self, session: Session, error: Misdeclared) -> None:
        """The evidence says what is misdeclared too, once where it is."""
        key = (session.target.name, session.database, str(error))
        if self._sink is not None and key not in self._told:
            self._told.add(key)
            self._sink.note(session, "masking.misdeclared", {"why": str(error), "database": session.database})
