"""
Writes of masks by who sees the columns as they are: which of them are looked at, where, and by which catalog.

Of masking's judgements these rest on values, so they are made each time that a text may write any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from addons.masking import refusals
from addons.masking.cover import Misdeclared
from addons.masking.declared import Declaration
from addons.masking.freshness import Freshness
from addons.masking.incoming import Incoming, copies_in, incoming
from addons.masking.issued import bound_masks, issued, may_save, suspected
from addons.masking.marks import Marks
from addons.masking.questions import Issuing
from addons.needs import Catalogs
from addons.sql.analysis import Analysis, Wanted
from protocols.command import Statement
from protocols.hooks import DataHook
from protocols.session import Session
from protocols.verdict import Allow, Deny

_CLEAR = Allow(remember=True, formed=True)


class Saves:
    """
    :param listed: functions that the operator vouches for.
    :param clear: what a session sees as it is.
    :param cover: (snapshot, session, declarations) to a cover and what may be called; raises Misdeclared.
    """

    def __init__(
        self, catalogs: Catalogs, fresh: Freshness, analysis: Analysis, listed: frozenset[str],
        clear: Callable[[Session], tuple[Declaration, ...]], cover: Callable[..., Any],
    ) -> None:
        self._catalogs, self._fresh, self._analysis, self._listed = catalogs, fresh, analysis, listed
        self._clear, self._cover = clear, cover

    def judge(self, session: Session, statement: Statement) -> Allow | Deny | Deferred:
        """Whether masks would be written to columns that the session sees as they are; others it may not write at all."""
        if not self._clear(session):
            return _CLEAR
        if not may_save(statement.text):
            return Allow(remember=True)
        if not suspected(statement) and not copies_in(statement.text):
            return Allow()
        if self._fresh.snapshot(session) is None:
            return self._fresh.renewed(session).addBoth(lambda _read: self._judged(session, statement))
        return self._judged(session, statement)

    def _judged(self, session: Session, statement: Statement) -> Allow | Deny | Deferred:
        try:
            saved = self._saved(session, statement)
        except Wanted as wanted:  # and by then the catalog may be another
            return self._analysis.wait(session, wanted, lambda: self.judge(session, statement))
        return refusals.saves_mask(saved) if saved else Allow()

    def _saved(self, session: Session, statement: Statement) -> str:
        """The column that a mask would be written to; "" for none."""
        marks, snapshot = self._marks(session), self._fresh.snapshot(session)
        if not self._analysis.long(statement.text):
            return issued(statement, marks)
        revision = snapshot.revision if snapshot is not None and marks.known else ""
        prepared, bound = tuple(statement.prepared.items()), tuple(bound_masks(statement).items())
        question = Issuing(statement.text, revision, marks.declared, self._listed, prepared, bound, marks.flux)
        return self._analysis.of(session, question, snapshot if revision else None)

    def _marks(self, session: Session) -> Marks:
        snapshot, clear, flux = self._fresh.snapshot(session), self._clear(session), self._fresh.flux(session)
        try:
            return Marks(clear, None if snapshot is None else self._cover(snapshot, session, clear)[0], flux)
        except Misdeclared:
            return Marks(clear, None, flux)

    def data(self, hook: DataHook) -> Incoming | None:
        """What looks for masks in the data of a COPY."""
        command = hook.decision.command
        if not isinstance(command, Statement) or not self._clear(hook.session):
            return None
        return incoming(command.text, self._marks(hook.session)) if copies_in(command.text) else None
