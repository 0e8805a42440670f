"""
Reveals: named columns that one identity may see as they are, for some statements or for a while, since people said yes.

A granted reveal stays with control and is asked for at every statement that it would show something in, so that what is
revoked or over stops at the next one. How often it is used is counted by the notary, in the transaction that records each
use; the count here only spares a worker the asking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgpack

from addons.needs import Clock
from gateway.config import AddonEntry
from gateway.control import request as shape
from gateway.control.book import Book
from gateway.control.caller import ITSELF, Caller
from gateway.control.errors import BadCall, Conflict, NotAllowed
from gateway.control.identity.local import Identities
from gateway.control.offers import barred
from gateway.control.quorum import satisfies
from gateway.control.store import Value

MODE = "reveal"
COLUMNS_LIMIT = 64
USES_LIMIT = 1000
ANY = 0
"""`uses` of a reveal that only its time ends; the notary's word for the same."""


def binding(subject: str, on_behalf_of: str | None, target: str, account: str, database: str, columns: Collection[str]) -> bytes:
    """32 bytes of who may see what, and where."""
    facts = [MODE, subject, on_behalf_of or "", target, account, database, sorted(columns)]
    return hashlib.sha256(msgpack.packb(facts)).digest()


class Reveals:
    """
    :param ask: makes a request of what was asked (`Requests`).
    :ivar changed: called when the list of `live` is another.
    :ivar addons: the configuration's, which say what can be revealed.
    """

    def __init__(self, book: Book, identities: Identities, clock: Clock, ask: Callable[..., Value]) -> None:
        self._book, self._identities, self._clock, self._ask = book, identities, clock, ask
        self.changed: Callable[[], None] = lambda: None
        self.addons: Sequence[AddonEntry] = ()

    def submit(self, subject: str, asked: Mapping[str, Any], columns: Sequence[str], uses: int, via: Caller = ITSELF) -> Value:
        """
        Ask for columns, as "schema.relation.column", to be seen in `uses` statements (or ANY) within the lifetime.

        :param asked: target, account, database, why, approvers, quorum, timeout, lifetime.
        :raises BadCall: also where it could show nothing.
        """
        named = sorted({column for column in columns if isinstance(column, str)})
        if not 0 < len(named) <= COLUMNS_LIMIT or not all(column.count(".") >= 2 and len(column) < 256 for column in named):
            raise BadCall(f'name 1 to {COLUMNS_LIMIT} columns, each as "schema.relation.column"')
        if isinstance(uses, bool) or not isinstance(uses, int) or not 0 <= uses <= USES_LIMIT:
            raise BadCall(f"uses: 1 to {USES_LIMIT} statements, or {ANY} for any number of them")
        entry = self._identities.need(subject)
        often = "any number of statements" if not uses else f"{uses} statement{'s' if uses > 1 else ''}"
        text = f"reveal {', '.join(named)} in {often}, for {asked['lifetime']:g} s from the yes on"
        whole = {
            "session": "", "peer": "", "rule": MODE, "mode": "hold", "sent": "", "parameters": [], "binding": bytes(shape.BINDING),
            "subject": subject, "text": text, **asked,
        }  # fmt: skip
        checked = shape.read(whole)
        if why := self._barred(checked | {"columns": named, "uses": uses}):
            raise BadCall(why)
        checked["binding"] = binding(subject, entry.on_behalf_of, checked["target"], checked["account"], checked["database"], named)
        return shape.shown(self._ask(checked, text, [], MODE, via, columns=named, uses=uses, used=0))

    def check(self, record: Value) -> None:
        """
        Before a yes.

        :raises Conflict: it would show nothing; the configuration may be another than when it was asked.
        """
        if why := self._barred(record):
            raise Conflict(f"{record['id']} would show nothing: {why}")

    def _barred(self, asked: Mapping[str, Any]) -> str:
        try:
            return barred(self.addons, asked)
        except ValueError as error:
            return f"masking is misconfigured: {error}"

    def live(self) -> list[list[str]]:
        """
        Those that are in force, as [request, subject, target, account, database]; [request] alone once there is no use left,
        since its last statement may still be answering.
        """
        names = ("subject", "target", "account", "database")
        return [
            [record["id"], *(record[name] for name in names if _left(record))] for record in self._book if self._in_force(record)
        ]

    def found(self, subject: str, target: str, account: str, database: str, rule: Mapping[str, Any]) -> list[Value]:
        """
        What one identity may see there now.

        :param rule: approvers, quorum, and the longest lifetime and most uses that the configuration lets anybody have.
        """
        where = {"subject": subject, "target": target, "account": account, "database": database}
        if self._identities.live(subject) is None:
            return []
        return [
            {"request": record["id"], "grant": record["grant"], "columns": record["columns"], "left": record["expires"] - self._clock.seconds()}
            for record in self._book
            if self._in_force(record) and all(record[name] == value for name, value in where.items())
            and _left(record) and self._allowed(record, rule)
        ]  # fmt: skip

    def used(self, request: str, shown: bool = True) -> None:
        """
        One statement showed something of it; or not, as it was refused when it was recorded. That counts too: the notary may hold the
        grant for spent, and what it refuses must not be offered again.
        """
        record = self._book.find(request)
        if record is not None and self._in_force(record):
            what = "reveal.used" if shown else "reveal.withheld"
            self._book.change(record, what, {"grant": record["grant"]}, used=record["used"] + _left(record))
            if not _left(record):
                self.changed()

    def revoke(self, request: str, by: str, why: str, via: Caller = ITSELF) -> Value:
        """
        End it at once: whoever may answer it, or asked for it, may.

        :raises NotAllowed, Conflict: with why not.
        """
        record, entry = self._book.get(request), self._identities.live(by)
        if entry is None or not (entry.groups & set(record["approvers"]) or by == record["subject"]):
            raise NotAllowed(f"{by} neither asked for {request} nor may answer it")
        if not self._in_force(record):
            raise Conflict(f"{request} is {record['state']} and shows nothing to anybody")
        self._book.change(record, "reveal.revoked", {"by": by, "why": why} | via.facts(), state="withdrawn", reason=why)
        self.changed()
        return shape.summary(record)

    def _in_force(self, record: Value) -> bool:
        return record["mode"] == MODE and record["state"] == "granted" and record["expires"] > self._clock.seconds()

    def _allowed(self, record: Value, rule: Mapping[str, Any]) -> bool:
        """Whoever asked chose whom to ask, for how long and how often: the configuration's word on each counts."""
        often = rule["uses"] == ANY or 0 < record["uses"] <= rule["uses"]
        return often and record["lifetime"] <= rule["lifetime"] and satisfies(record, dict(rule), self._identities.live)


def _left(record: Value) -> bool:
    """Whether it may be used once more."""
    return record["uses"] == ANY or record["used"] < record["uses"]
