"""The addon without a server: catalogs that answer when told to, and what the pipeline would ask."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from addons.masking import Masking
from addons.sql.catalog import Snapshot
from protocols.command import Statement
from protocols.hooks import DecidedHook, OutcomeHook, RewriteHook
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision
from tests.masking.gate import OneWorker

COLUMNS = [{"relation": "public.patients", "column": name, "clear": ["privacy"]} for name in ("ssn", "mrn", "dob")]


class Shelf(OneWorker):
    """Catalogs that answer when told to."""

    def __init__(self, known: Snapshot | None) -> None:
        self.known, self.next, self.asked = known, known, 0
        self.held: Deferred | None = None

    def snapshot(self, _session: Session) -> Snapshot | None:
        return self.known

    def refresh(self, _session: Session) -> Deferred:
        self.asked += 1
        begun = self.doubts
        if self.held is not None:
            return self.held.addCallback(lambda _none: self._new(begun))
        return succeed(self._new(begun))

    def _new(self, begun: int) -> Snapshot | None:
        self.known, self.settled = self.next, begun
        return self.known


def session(*groups: str, name: str = "s1", target: str = "clinic") -> Session:
    return Session(
        name,
        Identity("ann", groups=frozenset(groups)),
        Target(target, "postgres", "h", 1),
        "rw",
        "db",
        "p",
        application="psql",
    )


def ask(addon: Masking, sql: str, who: Session | None = None, **more: Any) -> Any:
    answer = addon.on_rewrite(RewriteHook(who or session(), Statement(sql, **more)))
    if isinstance(answer, Deferred):
        found: list = []
        answer.addBoth(found.append)
        return found[0] if found else answer
    return answer


def decision(sql: str, sent: str = "") -> Decision:
    return Decision(Statement(sql), Allow(), sent or sql)


def done(addon: Masking, sql: str, transaction: str = "I", who: Session | None = None) -> None:
    decided = decision(sql)
    addon.on_decided(DecidedHook(who or session(), decided))
    addon.on_outcome(OutcomeHook(who or session(), decided, Outcome(Ending.COMPLETE, transaction=transaction)))
