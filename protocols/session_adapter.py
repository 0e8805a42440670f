"""
What every adapter does alike: its session's evidence, and the edge at which a bug ends one session and not the worker.

How bytes wait for their records is each adapter's own: in one protocol a record holds back all that follows, in
another one channel.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from protocols.effects import Report
from protocols.errors import Unrecordable
from protocols.journal import Journal
from protocols.relay import Addons
from protocols.session import Session
from protocols.verdict import Decision


class SessionAdapter(ABC):
    """
    One session's relay between its two sides.

    :param ended: called once with the reason, after both sides were told to close.
    """

    log = Logger()

    def __init__(self, session: Session, addons: Addons, journal: Journal, clock: IReactorTime, ended: Callable[[str], None]) -> None:
        self.session, self._addons, self._journal, self._clock, self._ended = session, addons, journal, clock, ended
        self._closed = False
        self._began: dict[int, float] = {}  # seconds at which the record of a command that runs was given to the journal

    @abstractmethod
    def close(self, why: str, farewell: str = "") -> None:
        """End the session now; what was on its way is reported as unknown."""

    def _malformed(self, side: str, why: str) -> None:
        self._note("malformed", side=side, why=why)
        self.close(f"malformed bytes from the {side}", f"malformed message from the {side}")

    def _crashed(self, error: BaseException) -> None:
        self._record_bug(error)
        self.close("internal error", "internal error of the gateway (OST-900)")

    def _record_bug(self, error: BaseException) -> None:
        """Its class and where it was; never its text, which may hold what a client sent."""
        where = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(traceback.extract_tb(error.__traceback__)))
        name = type(error).__name__
        self.log.error("session {id} ended by a bug: {error} in {where}", id=self.session.id, error=name, where=where)
        self._note("bug", error=name)

    def _note(self, kind: str, **facts: str) -> None:
        try:
            self._journal.note(self.session, kind, facts)
        except Unrecordable:
            self.log.warn("session {id}: {kind} could not be recorded", id=self.session.id, kind=kind)

    def _refuse(self, number: int, decision: Decision) -> None:
        try:
            self._journal.refuse(self._addons.session, number, decision)
        except Unrecordable:
            self.log.warn("session {id}: a refusal could not be recorded", id=self.session.id)

    def _report(self, effect: Report) -> None:
        began = self._began.pop(effect.number, None)
        self._addons.ended(effect.decision, effect.outcome)
        if began is None:
            return
        micros = int((self._clock.seconds() - began) * 1_000_000)
        try:
            self._journal.report(self.session, effect.number, effect.decision, effect.outcome, micros)
        except Unrecordable:  # the intent stands; recovery closes it as unknown
            self._unrecorded()

    def _unrecorded(self) -> None:
        self.log.warn("session {id}: an outcome could not be recorded", id=self.session.id)
