"""
When the catalog may be old: after DDL that passed here, and what a session made that the catalog cannot see yet.

DDL inside an open transaction is seen by its own session alone, and its locks can keep the catalog from
being read, so that is read again when the transaction ends; until then the names that the session
made are taken for its own.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking.kinds import QUIET, makes
from addons.masking.overtaken import Overtaken
from addons.needs import Catalogs
from addons.sql.catalog import Snapshot
from addons.sql.form import form
from addons.sql.parse import Parsed, Unparsable, parse, walk
from addons.sql.resolve import Names, references
from protocols.command import Statement, Transaction
from protocols.result import Outcome
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision

_KEPT = 4096  # texts
_KEPT_LENGTH = 16 << 10  # characters; longer texts are looked at again

_TEMPORARY = re.compile(r"\s*create\s+(?:global\s+|local\s+)?temp(?:orary)?\s+table\b[^;]*;?\s*", re.IGNORECASE)
"""One statement, without a comment in front, that makes what its own session alone can read."""


class Standing(NamedTuple):
    """Of a session. `count`: of the changes that were heard of, all of which the catalog shows; equal to nothing else while it does not."""

    catalog: Hashable
    made: frozenset[str] | None
    open: bool
    count: Any
    overtaken: tuple[bool, bool]


class Freshness:
    """Wraps the catalogs of all targets."""

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs
        self._tally: Tally = getattr(catalogs, "tally", None) or Tally()
        self.overtaken = Overtaken(catalogs, self._tally)
        self._loud: set[str] = set()  #: those of `_open` whose DDL may mean something to others
        self._made: dict[str, frozenset[str]] = {}
        self._open: set[str] = set()  #: sessions whose DDL may not be committed yet

    def snapshot(self, session: Session) -> Snapshot | None:
        """The newest one; None when there is none, or DDL passed since."""
        return None if self._catalogs.stale(session) else self._catalogs.snapshot(session)

    def made(self, session: Session) -> frozenset[str]:
        """Names made in a transaction that has not ended."""
        return self._made.get(session.id, frozenset())

    def changing(self, session: Session) -> bool:
        """Whether a newer catalog would not show what this session did."""
        return session.id in self._open

    def standing(self, session: Session) -> Standing:
        """A value that is another one when any of the above may answer otherwise."""
        count = object() if self._catalogs.stale(session) else self._catalogs.changes(session)[0]  # stale: nothing is remembered
        overtaken = self.overtaken.standing(session)
        return Standing(self._catalogs.standing(session), self._made.get(session.id), session.id in self._open, count, overtaken)

    def untold(self, session: Session, statement: Statement) -> bool:
        """Whether `decided` and `ended` would do nothing about it, as long as `standing` says the same."""
        return not self.changing(session) and _makes((form(statement) or statement).text) is None and "declare" not in statement.text.lower()

    def own(self, session: Session, decision: Decision) -> bool:
        """Whether unknown OIDs are explained by what this session made and the statement names."""
        made, parsed = self.made(session), _parsed(decision)
        snapshot = self._catalogs.snapshot(session)
        if not made or parsed is None or snapshot is None:
            return False
        names = Names(snapshot)
        strangers = [r.name.relname for s in parsed.statements for r in references(s) if not names.relations(r.name)]
        return bool(strangers) and made.issuperset(strangers)

    def decided(self, session: Session, decision: Decision, told: tuple[frozenset[str] | None] | None = None) -> None:
        """Remember what is about to be made. :param told: what `Making` was answered, if it was asked."""
        if not isinstance(decision.command, Statement) or not isinstance(decision.verdict, Allow):
            return
        text = (form(decision.command) or decision.command).text
        names = told[0] if told is not None else _makes(text)
        if names is not None or session.id in self._loud:
            self.overtaken.may_commit(session, decision, text)
        if names is not None:
            self._tally.moved()
            self._open.add(session.id)
            if not _TEMPORARY.fullmatch(text):
                self._loud.add(session.id)
        if names:
            self._made[session.id] = self.made(session) | names

    def ended(self, session: Session, decision: Decision, outcome: Outcome) -> None:
        """Committed or not, the catalog tells the truth again."""
        if outcome.transaction == Transaction.IDLE and session.id in self._open:
            self._known(session)
        self.overtaken.ended(session, decision)

    def closed(self, session: Session) -> None:
        self._known(session)
        self.overtaken.closed(session)

    def _known(self, session: Session) -> None:
        if session.id in self._open:
            self._tally.moved()
            self._open.discard(session.id)
            self._made.pop(session.id, None)
            self._catalogs.doubt(session)
            self.overtaken.heard(session, calm=session.id not in self._loud)
            self._loud.discard(session.id)

    def suspect(self, session: Session) -> None:
        """Something came back that the catalog does not know."""
        self._catalogs.suspect(session)
        self.overtaken.heard(session)


def _parsed(decision: Decision) -> Parsed | None:
    if not isinstance(decision.command, Statement):
        return None
    try:
        return parse(decision.command.text)
    except Unparsable:
        return None


def _made_by(text: str) -> frozenset[str] | None:
    """The names that a text may make in the catalog; None when it cannot change anything there."""
    try:
        parsed = parse(text)
    except Unparsable:
        return None
    return frozenset(n for s in parsed.statements for n in makes(s)) if _changes(parsed) else None


@dataclass(frozen=True, slots=True)
class Making:
    """Which names may a long text make? For an analyst."""

    text: str

    def answer(self, _snapshot: Snapshot | None) -> frozenset[str] | None:
        return _made_by(self.text)


def _makes(text: str) -> frozenset[str] | None:
    """As `_made_by`, which is remembered of texts of some length."""
    return _remembered(text) if len(text) <= _KEPT_LENGTH else _made_by(text)


_remembered = lru_cache(maxsize=_KEPT)(_made_by)


def _changes(parsed: Parsed) -> bool:
    """Whether it may change the catalog. SELECT INTO has its keyword in the text, which is looked at faster than a tree."""
    into = "into" in parsed.text.lower()
    return any(type(s).__name__ not in QUIET or (into and _into(s)) for s in parsed.statements)


def _into(statement: Message) -> bool:
    return isinstance(statement, tree.SelectStmt) and any(isinstance(m, tree.IntoClause) for m in walk(statement))
