"""
When the catalog may be old: after DDL that passed here, and what a session made that the catalog cannot see yet.

DDL inside an open transaction is seen by its own session alone, and its locks can keep the catalog from
being read, so that is read again when the transaction ends; until then the names that the session
made are taken for its own.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from addons.masking import refusals
from addons.masking.kinds import makes
from addons.needs import Catalogs
from addons.sql.catalog import Snapshot
from addons.sql.flux import Flux, changed_by
from addons.sql.form import form
from addons.sql.overtaken import Overtaken
from addons.sql.parse import Parsed, Unparsable, parse
from addons.sql.resolve import Names, references
from addons.sql.underway import Underway
from protocols.command import Path, Statement
from protocols.result import Outcome
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision

_KEPT = 4096  # texts
_KEPT_LENGTH = 16 << 10  # characters; longer texts are looked at again

class Standing(NamedTuple):
    """Of a session. `count`: of the changes that were heard of, all of which the catalog shows; equal to nothing else while it does not."""

    catalog: Hashable
    made: frozenset[str] | None
    flux: Flux | None
    count: Any
    overtaken: tuple[bool, bool]


class Freshness:
    """Wraps the catalogs of all targets. :param underway: what other addons hear of too, and what outlives a reload."""

    def __init__(self, catalogs: Catalogs, underway: Underway) -> None:
        self._catalogs, self.underway = catalogs, underway
        self._tally: Tally = getattr(catalogs, "tally", None) or Tally()
        self._made: dict[str, frozenset[str]] = {}

    @property
    def overtaken(self) -> Overtaken:
        """It outlives a reload: what was decided before is known."""
        return self.underway.overtaken(self._catalogs)

    def snapshot(self, session: Session) -> Snapshot | None:
        """The newest one; None when there is none, or DDL passed since, or is being committed in another worker."""
        return None if self._old(session) else self._catalogs.snapshot(session)

    def _old(self, session: Session) -> bool:
        return self._catalogs.stale(session) or self._catalogs.elsewhere(session)

    def renewed(self, session: Session) -> Any:
        """A Deferred of a newer one, read when what is being committed is committed, if that does not take long."""
        if not self._catalogs.elsewhere(session):
            return self._catalogs.refresh(session)
        return self._catalogs.over(session).addCallback(lambda _: self._catalogs.refresh(session))

    def made(self, session: Session) -> frozenset[str]:
        """Names made in a transaction that has not ended."""
        return self._made.get(session.id, frozenset())

    def changing(self, session: Session) -> bool:
        """Whether a newer catalog would not show what this session did."""
        return self.underway.changing(session)

    def flux(self, session: Session) -> Flux | None:
        """What this session changed that the catalog does not show."""
        return self.underway.of(session)

    def standing(self, session: Session) -> Standing:
        """A value that is another one when any of the above may answer otherwise."""
        count = object() if self._old(session) else self._catalogs.changes(session)[0]  # stale: nothing is remembered
        overtaken = self.overtaken.standing(session)
        return Standing(self._catalogs.standing(session), self._made.get(session.id), self.underway.of(session), count, overtaken)

    def untold(self, session: Session, statement: Statement) -> bool:
        """Whether `decided` and `ended` would do nothing about it, as long as `standing` says the same."""
        quiet = self.underway.of(session) is None and _makes((form(statement) or statement).text)[1] is None
        return quiet and "declare" not in statement.text.lower()

    def own(self, session: Session, decision: Decision) -> bool:
        """Whether unknown OIDs are explained by what this session made and the statement names."""
        made, parsed = self.made(session), _parsed(decision)
        snapshot = self._catalogs.snapshot(session)
        if not made or parsed is None or snapshot is None:
            return False
        names = Names(snapshot)
        strangers = [r.name.relname for s in parsed.statements for r in references(s) if not names.relations(r.name)]
        return bool(strangers) and made.issuperset(strangers)

    def leaving(self, session: Session, decision: Decision, told: Made | None = None) -> Any:
        """Before `decided`: None, or a Deferred: of None once every worker knows what has to be known first, else of a refusal."""
        if not isinstance(decision.command, Statement) or decision.command.path is Path.PARSE:
            return None
        text = (form(decision.command) or decision.command).text
        names, _flux = told if told is not None else _makes(text)
        known = self.overtaken.leaving(session, text) if names is not None or self.underway.loud(session) else None
        return known if known is None else known.addCallbacks(lambda _: None, lambda _failure: refusals.untold())

    def decided(self, session: Session, decision: Decision, told: Made | None = None) -> None:
        """Remember what is about to be made. :param told: what `Making` and `Changing` were answered, if they were asked."""
        if isinstance(decision.command, Statement) and isinstance(decision.verdict, Allow):
            self._sent(session, decision, told)
        self.overtaken.left(session)

    def _sent(self, session: Session, decision: Decision, told: Made | None) -> None:
        text = (form(decision.command) or decision.command).text
        names, flux = told if told is not None else _makes(text)
        self.underway.decided(session, decision, flux)
        if names is not None or self.underway.loud(session):
            self.overtaken.may_commit(session, decision, text)
        if names:
            self._tally.moved()
            self._made[session.id] = self.made(session) | names

    def ended(self, session: Session, decision: Decision, outcome: Outcome) -> None:
        """Committed or not, the catalog tells the truth again."""
        self._known(session, self.underway.ended(session, decision, outcome, self._catalogs))
        self.overtaken.ended(session, decision)

    def closed(self, session: Session) -> None:
        self._known(session, self.underway.closed(session, self._catalogs))
        self.overtaken.closed(session)

    def _known(self, session: Session, loud: bool | None) -> None:
        """
        What a pipeline has sent behind it is still to end.

        :param loud: None where the catalogs have not been told.
        """
        if loud is None:
            return
        self.overtaken.heard(session, calm=not loud)
        if not self.underway.changing(session):
            self._tally.moved()
            self._made.pop(session.id, None)

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
    return None if changed_by.__wrapped__(text) is None else frozenset(n for s in parsed.statements for n in makes(s))


@dataclass(frozen=True, slots=True)
class Making:
    """Which names may a long text make? For an analyst."""

    text: str

    def answer(self, _snapshot: Snapshot | None) -> frozenset[str] | None:
        return _made_by(self.text)


@dataclass(frozen=True, slots=True)
class Changing:
    """What does a long text change of the catalog? For an analyst."""

    text: str

    def answer(self, _snapshot: Snapshot | None) -> Flux | None:
        return changed_by.__wrapped__(self.text)


Made = tuple[frozenset[str] | None, Flux | None]
"""The names that a text may make in the catalog, None when it cannot change anything there; and what it changes."""

_remembered = lru_cache(maxsize=_KEPT)(_made_by)


def _makes(text: str) -> Made:
    """Of a text that was not asked about before: that is remembered, unless it is long."""
    if len(text) > _KEPT_LENGTH:
        return _made_by(text), changed_by.__wrapped__(text)
    return _remembered(text), changed_by(text)
