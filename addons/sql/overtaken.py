"""
Which running statements did a change of the catalog overtake? They were judged by what their names meant before it.

A statement that waits for a lock is analysed by the server when it gets it, which may be after another session's DDL was
committed. What a session changed itself its own later statements were judged with, so that does not count; nor does what
was heard of as somebody's temporary table, which no other session can read.

The server lets go of its locks before it says that it has committed. So all know before such a commit is sent: here at once, and the
other workers by `leaving`.
"""

from __future__ import annotations

import re
from collections import deque

from typing import TYPE_CHECKING, Any

from protocols.command import Statement
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision

if TYPE_CHECKING:
    from addons.needs import Catalogs

_COMMITS = re.compile(
    r"\b(?:commit|end|replace|rename|set\s+schema|view|function|procedure|rule|inherit|attach|operator|aggregate|cast|call"
    r"|do(?!\s+(?:update|nothing)))\b", re.IGNORECASE,
)
"""In what may commit that names mean something else; not in what builds for hours what was not there, such as an index."""

_KEPT = 256  #: numbers of changes; an older one counts as anybody's


class Overtaken:
    """
    Of all sessions that see masked values. Changes have numbers, as `Catalogs.changes` counts them.

    What is told twice is no news, so that several addons may tell it.
    """

    def __init__(self, catalogs: Catalogs, tally: Tally) -> None:
        self._catalogs, self._tally = catalogs, tally
        self._running: dict[str, dict[int, tuple[Decision, int]]] = {}  #: with what the catalog showed when they were decided
        self._own: dict[str, deque[int]] = {}
        self._calm: dict[tuple[str, str], deque[int]] = {}
        self._committing: dict[tuple[str, int], tuple[str, str]] = {}  #: by whom and which decision, what may be committed already
        self._announced: set[str] = set()  #: sessions of which the other workers know that they commit
        self._leaving: set[str] = set()  #: those of them of which it was not told yet what is decided
        self._cursors: set[str] = set()  #: sessions with a cursor that was declared so

    def decided(self, session: Session, decision: Decision) -> None:
        if isinstance(decision.command, Statement) and isinstance(decision.verdict, Allow):
            shown = self._catalogs.changes(session)[1]
            self._running.setdefault(session.id, {})[id(decision)] = decision, shown

    def leaving(self, session: Session, text: str) -> Any:
        """
        A session that changes the catalog is about to send this.

        :returns: None where it commits nothing that matters, or all know; else a Deferred: of their knowing. It fails where one may not.
        """
        if not _COMMITS.search(text):
            return None
        self._leaving.add(session.id)
        if session.id in self._announced:
            return None
        self._announced.add(session.id)
        return self._catalogs.commit_begins(session)

    def may_commit(self, session: Session, decision: Decision, text: str) -> None:
        """A session that changes the catalog sends this."""
        if _COMMITS.search(text):
            self._tally.moved()
            self._committing[session.id, id(decision)] = session.target.name, session.database

    def left(self, session: Session) -> None:
        """It was sent and `may_commit` told, or it is not sent."""
        self._leaving.discard(session.id)
        self._withdraw(session)

    def _withdraw(self, session: Session) -> None:
        """The other workers need not expect a commit any more."""
        if session.id not in self._announced or session.id in self._leaving or any(who == session.id for who, _ in self._committing):
            return
        self._announced.discard(session.id)
        self._catalogs.commit_ended(session)

    def heard(self, session: Session, *, calm: bool = False) -> None:
        """The newest change is this session's own. :param calm: it means nothing to any other."""
        newest = self._catalogs.changes(session)[0]
        if session.id in self._running:
            self._own.setdefault(session.id, deque(maxlen=_KEPT)).append(newest)
        if calm:
            self._calm.setdefault((session.target.name, session.database), deque(maxlen=_KEPT)).append(newest)

    def overtaken(self, session: Session, decision: Decision, shown: int | None = None) -> bool:
        """
        Whether what it shows may be something else than what was judged.

        :param shown: what the catalog showed when it was decided, where `decided` was not told of it.
        """
        known = self._running.get(session.id, {}).get(id(decision))
        shown = shown if known is None else known[1]
        if shown is None:
            return False
        return self._commits(session) or self._changed(session, shown) or self._fetches(session, decision)

    def _changed(self, session: Session, shown: int) -> bool:
        """Whether anybody else changed anything since."""
        newest = self._catalogs.changes(session)[0]
        own, calm = self._own.get(session.id, ()), self._calm.get((session.target.name, session.database), ())
        return any(number not in own and number not in calm for number in range(shown + 1, newest + 1))

    def _fetches(self, session: Session, decision: Decision) -> bool:
        """Whether it reads on what was looked up when it was declared, by a statement that was overtaken; in a pipeline that has not ended."""
        if "fetch" not in decision.command.text.lower():
            return False
        running = self._running.get(session.id, {}).values()
        return session.id in self._cursors or any(_declares(one) and self._changed(session, shown) for one, shown in running)

    def standing(self, session: Session) -> tuple[bool, bool]:
        """Another value when `overtaken` may answer otherwise, where as many changes were heard of."""
        return session.id in self._cursors, self._commits(session)

    def _commits(self, session: Session) -> bool:
        if self._catalogs.elsewhere(session):
            return True
        place = session.target.name, session.database
        return any(where == place and who != session.id for (who, _), where in self._committing.items())

    def ended(self, session: Session, decision: Decision) -> None:
        """What a cursor reads later was looked up when it was declared."""
        if self._committing.pop((session.id, id(decision)), None) is not None:
            self._tally.moved()
            self._withdraw(session)
        running = self._running.get(session.id)
        if running is None or id(decision) not in running:
            return
        if _declares(decision) and self.overtaken(session, decision):
            self._tally.moved()
            self._cursors.add(session.id)
        del running[id(decision)]

    def closed(self, session: Session) -> None:
        self._running.pop(session.id, None)
        self._own.pop(session.id, None)
        self._tally.moved()
        for key in [key for key in self._committing if key[0] == session.id]:
            del self._committing[key]
        self._cursors.discard(session.id)
        self.left(session)


def _declares(decision: Decision) -> bool:
    return "declare" in decision.command.text.lower()
