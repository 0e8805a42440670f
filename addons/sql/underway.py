"""
What sessions' open transactions have changed of the catalog, and no reading of it can show yet.

It is known from the moment that a statement is sent, and until no transaction is open: also what is rolled back to a savepoint, which costs a
commit and lets nothing through. A pipeline may have sent the next transaction's changes before the word comes that the last one ended.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from typing import TYPE_CHECKING

from addons.sql.bearers import spoken_of
from addons.sql.committing import may_commit
from addons.sql.flux import Flux
from addons.sql.overtaken import Overtaken
from protocols.command import FunctionCall, Path, Statement, Transaction
from protocols.result import Outcome
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision

if TYPE_CHECKING:
    from addons.needs import Catalogs

_TEMPORARY = re.compile(r"\s*create\s+(?:global\s+|local\s+)?temp(?:orary)?\s+table\b[^;]*;?\s*", re.IGNORECASE)
"""One statement, without a comment in front, that makes what its own session alone can read."""

_GONE = 256  #: sessions that ended a moment ago


class Underway:
    """
    One object for all addons of a process, each of which tells it; what is told twice is no news. It outlives a reload.

    :param tally: where changes of `of` are counted; one of its own when not given.
    """

    def __init__(self, tally: Tally | None = None) -> None:
        self._tally = Tally() if tally is None else tally
        self._flux: dict[str, Flux] = {}
        self._said: dict[str, bytes] = {}  #: of all those texts
        self._sent: dict[str, list[Decision]] = {}  #: what changed something and has not ended, in order
        self._bound: dict[str, dict[str, Decision]] = {}  #: portals that have not ended
        self._known: dict[str, tuple[Decision, bool]] = {}  #: with whose end the catalogs were told, and whether it means something to others
        self._changing: set[str] = set()  #: those that changed something themselves, not only by what they called
        self._loud: set[str] = set()  #: those of them that did more than make temporary tables
        self._temporary: dict[str, frozenset[str]] = {}
        self._gone: deque[tuple[str, bool]] = deque(maxlen=_GONE)
        self._overtaken: Overtaken | None = None

    def overtaken(self, catalogs: Catalogs) -> Overtaken:
        """What running statements may have been overtaken by: what a reload replaces has to know of those that its predecessor decided."""
        if self._overtaken is None:
            self._overtaken = Overtaken(catalogs, self._tally)
        return self._overtaken

    def of(self, session: Session) -> Flux | None:
        """What may not be judged by a snapshot; None when nothing was changed."""
        return self._flux.get(session.id)

    def said(self, session: Session) -> bytes:
        """A digest of the texts that changed what `of` tells, in their order: the same names may be made to mean something else. Empty when nothing was changed."""
        return self._said.get(session.id, b"")

    def changing(self, session: Session) -> bool:
        """Whether it changed anything itself, so that a newer catalog would not show what it did."""
        return session.id in self._changing

    def loud(self, session: Session) -> bool:
        """Whether what it changed may mean something to others."""
        return session.id in self._loud

    def temporary(self, session: Session) -> frozenset[str] | None:
        """
        Names that a temporary relation of the session's may have that no catalog may show (`bearers.ANY` for all), whose code made it;
        those that it made itself are in the catalog when `of` is None. None where it has no temporary relation at all.
        """
        return self._temporary.get(session.id)

    def shadowed(self, session: Session, names: frozenset[str]) -> None:
        """Code that a command runs may make temporary relations of these names."""
        before = self._temporary.get(session.id)
        if before is None or not before >= names:
            self._tally.moved()
            self._temporary[session.id] = (before or frozenset()) | names

    def decided(self, session: Session, decision: Decision, changed: Flux | None, called: Flux | None = None) -> None:
        """
        A command is about to be sent.

        :param changed: what it changes, if anything. :param called: what the code may change that it calls.
        """
        command = decision.command
        if not isinstance(command, (Statement, FunctionCall)) or not isinstance(decision.verdict, Allow) or command.path is Path.PARSE:
            return
        self._known.pop(session.id, None)
        if changed is None and called is None:
            return
        self._tally.moved()
        self.shadowed(session, spoken_of(called))
        if changed is not None:
            self._changing.add(session.id)
            if not _TEMPORARY.fullmatch(command.text):
                self._loud.add(session.id)
        self._flux[session.id] = Flux() | self._flux.get(session.id) | changed | called
        sent = self._sent.setdefault(session.id, [])
        if not sent or sent[-1] is not decision:
            sent.append(decision)
            text = command.text if isinstance(command, Statement) else f"function {command.oid}"
            self._said[session.id] = hashlib.sha256(self.said(session) + text.encode("utf-8", "surrogatepass")).digest()

    def bound(self, session: Session, decision: Decision) -> None:
        """A portal is about to be bound that calls what may be changed, and may run later."""
        self._bound.setdefault(session.id, {})[decision.command.portal] = decision

    def portals(self, session: Session, command: Statement) -> bool:
        """Whether some other portal may still run that was judged before this command."""
        bound = self._bound.get(session.id, {})
        return any(name and name != command.portal or not name and command.path is Path.BIND and command.portal for name in bound)

    def ended(self, session: Session, decision: Decision, outcome: Outcome, catalogs: Catalogs) -> bool | None:
        """
        Committed or not, the catalog tells the truth again; whoever reads it from here on knows. What may have been committed by a session
        that is in a transaction still, such as by COMMIT AND CHAIN, counts as committed, and as not.

        :returns: whether that means anything to others; None where the catalogs were not told with this command's end.
        """
        self._unbind(session.id, decision, outcome)
        decided, loud = self._known.get(session.id, (None, False))
        if decided is decision:
            return loud
        if session.id not in self._flux:
            return None
        sent = self._sent[session.id]
        if any(one is decision for one in sent):
            del sent[: next(i for i, one in enumerate(sent) if one is decision) + 1]
        if outcome.transaction != Transaction.IDLE and not may_commit(decision.command):
            return None
        changed, loud = session.id in self._changing, session.id in self._loud
        if changed:
            catalogs.doubt(session)
            self._known[session.id] = decision, loud
        if not sent and outcome.transaction == Transaction.IDLE:
            self._tally.moved()
            del self._flux[session.id], self._sent[session.id], self._said[session.id]
            self._changing.discard(session.id)
            self._loud.discard(session.id)
        return loud if changed else None

    def _unbind(self, session: str, decision: Decision, outcome: Outcome) -> None:
        """Portals end with their transaction; those that were bound behind this command stay."""
        bound = self._bound.get(session)
        if bound and outcome.transaction == Transaction.IDLE:
            at = next((i for i, one in enumerate(bound.values(), 1) if one is decision), len(bound))
            self._bound[session] = dict(list(bound.items())[at:])
        elif bound and isinstance(decision.command, Statement) and bound.get(decision.command.portal) is decision:
            del bound[decision.command.portal]

    def closed(self, session: Session, catalogs: Catalogs) -> bool | None:
        """The session is over. As `ended`."""
        for kept in (self._flux, self._said, self._sent, self._bound, self._known, self._temporary):
            kept.pop(session.id, None)
        if session.id not in self._changing:
            return dict(self._gone).get(session.id)
        self._gone.append((session.id, session.id in self._loud))
        self._changing.discard(session.id)
        self._loud.discard(session.id)
        self._tally.moved()
        catalogs.doubt(session)
        return self._gone[-1][1]
