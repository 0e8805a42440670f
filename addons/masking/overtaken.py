"""
Which running statements did a change of the catalog overtake? They were judged by what their names meant before it.

A statement that waits for a lock is analysed by the server when it gets it, which may be after another session's DDL was
committed. What a session changed itself its own later statements were judged with, so that does not count; nor does what
Freshness heard of as somebody's temporary table, which no other session can read.
"""

from __future__ import annotations

import re
from collections import deque

from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.needs import Catalogs
from addons.sql.parse import Unparsable, parse, walk
from addons.sql.resolve import WRITES
from protocols.command import Statement
from protocols.hooks import ColumnsHook
from protocols.result import NULL, MaskPlan
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision

_COMMITS = re.compile(
    r"\b(?:commit|end|replace|rename|set\s+schema|view|function|procedure|rule|inherit|attach|operator|aggregate|cast)\b", re.IGNORECASE
)
"""In what may commit that names mean something else; not in what builds for hours what was not there, such as an index."""

_KEPT = 256  #: numbers of changes; an older one counts as anybody's

ALARM = "the catalog changed between the decision and the result"


def unknown(hook: ColumnsHook, alarm: str) -> MaskPlan:
    """
    Nobody knows what these rows are. A statement that only reads ends in an error, which can be told from an empty column; of one that
    may have written, whose client would take that for undone, every column is NULL. COPY has none to mask.
    """
    fields, command = hook.columns.fields, hook.decision.command
    reads = isinstance(command, Statement) and only_reads(command.text)
    return MaskPlan(tuple(NULL for _ in fields), alarm, refusals.overtaken(alarm) if reads or not fields else None)


def only_reads(text: str) -> bool:
    """Whether it is one query, or COPY of one, in which nothing is written."""
    try:
        statements = parse(text).statements
    except Unparsable:
        return False
    copies = len(statements) == 1 and isinstance(statements[0], tree.CopyStmt) and not statements[0].is_from
    if not copies and (len(statements) != 1 or not isinstance(statements[0], tree.SelectStmt)):
        return False
    return not any(type(message).__name__ in (*WRITES, "IntoClause") for message in walk(statements[0]))


class Overtaken:
    """Of all sessions that see masked values. Changes have numbers, as `Catalogs.changes` counts them."""

    def __init__(self, catalogs: Catalogs, tally: Tally) -> None:
        self._catalogs, self._tally = catalogs, tally
        self._running: dict[str, dict[int, tuple[Decision, int]]] = {}  #: with what the catalog showed when they were decided
        self._own: dict[str, deque[int]] = {}
        self._calm: dict[tuple[str, str], deque[int]] = {}
        self._committing: dict[tuple[str, int], tuple[str, str]] = {}  #: by whom and which decision, what may be committed already
        self._cursors: set[str] = set()  #: sessions with a cursor that was declared so

    def decided(self, session: Session, decision: Decision) -> None:
        if isinstance(decision.command, Statement) and isinstance(decision.verdict, Allow):
            shown = self._catalogs.changes(session)[1]
            self._running.setdefault(session.id, {})[id(decision)] = decision, shown

    def may_commit(self, session: Session, decision: Decision, text: str) -> None:
        """A session that changes the catalog sends this. The server lets go of its locks before it says that it is done."""
        if _COMMITS.search(text):
            self._tally.moved()
            self._committing[session.id, id(decision)] = session.target.name, session.database

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
        fetches = session.id in self._cursors and "fetch" in decision.command.text.lower()
        newest = self._catalogs.changes(session)[0]
        if fetches or self._commits(session):
            return True
        own, calm = self._own.get(session.id, ()), self._calm.get((session.target.name, session.database), ())
        return any(number not in own and number not in calm for number in range(shown + 1, newest + 1))

    def standing(self, session: Session) -> tuple[bool, bool]:
        """Another value when `overtaken` may answer otherwise, where as many changes were heard of."""
        return session.id in self._cursors, self._commits(session)

    def _commits(self, session: Session) -> bool:
        if not self._committing:
            return False
        place = session.target.name, session.database
        return any(where == place and who != session.id for (who, _), where in self._committing.items())

    def ended(self, session: Session, decision: Decision) -> None:
        """What a cursor reads later was looked up when it was declared."""
        if self._committing.pop((session.id, id(decision)), None) is not None:
            self._tally.moved()
        running = self._running.get(session.id)
        if running is None or id(decision) not in running:
            return
        if "declare" in decision.command.text.lower() and self.overtaken(session, decision):
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
