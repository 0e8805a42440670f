"""
What control must tell the notary, kept until the notary has it.

A note is stored in the transaction of the change that it tells of, so neither a crash
nor an absent notary loses it; it is deleted once the notary has acknowledged it. After
a crash between the two it may be told twice, under the same number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from addons.needs import Clock
from gateway.control.rpc import place
from gateway.control.store import Store, Transaction

RETRY = 1.0  # seconds between tries while the notary does not answer
PATIENCE = 5  # tries before the log says so


class Notary(Protocol):
    """What control needs of the evidence."""

    def grant(
        self, request_id: str, grant_id: str, binding: bytes, expires: float, uses: int, approvers: list[str],
    ) -> Deferred[Any]:
        """Fires when the grant is durable and will be honoured; the same grant twice is one grant."""

    def note(self, kind: str, facts: Mapping[str, Any]) -> Deferred[Any]:
        """Fires when it is durable. Facts are texts, and lists of what was asked for."""


class Outbox:
    """Notes in order, delivered one at a time."""

    _log = Logger()

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock, self._table = store, clock, store["outbox"]
        self._notary: Notary | None = None
        self._busy = False
        self._failures = 0
        self._again: Any = None

    def put(self, txn: Transaction, kind: str, facts: Mapping[str, Any]) -> None:
        """Part of a change: on disk with it or not at all. Call `deliver` once it is."""
        number = self._next(txn)
        said = {name: value if isinstance(value, list) else str(value) for name, value in facts.items() if value not in (None, "")}
        self._table.put(txn, f"{number:016x}", {"kind": kind, "facts": said, "at": self._clock.seconds()})

    def tell(self, kind: str, facts: Mapping[str, Any]) -> None:
        """A note of its own."""
        with self._store.write() as txn:
            self.put(txn, kind, facts)
        self.deliver()

    def connect(self, notary: Notary) -> None:
        """Deliver to this one from now on."""
        self._notary = notary
        self.deliver()

    def disconnect(self) -> None:
        self._notary = None
        if self._again is not None and self._again.active():
            self._again.cancel()

    def deliver(self) -> None:
        """Send the oldest, if nothing is on its way."""
        if self._busy or self._notary is None:
            return
        with self._store.read() as txn:
            first = next(self._table.items(txn), None)
        if first is None:
            return
        key, note = first
        self._busy = True
        facts = {**note["facts"], "at": f"{note['at']:.3f}", "number": str(int(key, 16))}
        told = self._notary.note(note["kind"], facts)
        told.addCallbacks(lambda _: self._delivered(key), self._failed)

    def _delivered(self, key: str) -> None:
        self._busy, self._failures = False, 0
        if self._notary is None:
            return
        with self._store.write() as txn:
            self._table.delete(txn, key)
        self.deliver()

    def _failed(self, failure: Failure) -> None:
        self._busy = False
        if self._notary is None:
            return
        self._failures += 1
        if self._failures == PATIENCE:  # at a start the notary may open its store after us
            self._log.warn("the notary takes no notes; they are kept and tried again: {what}", what=place(failure))
        if self._again is None or not self._again.active():
            self._again = self._clock.callLater(RETRY, self.deliver)

    def _next(self, txn: Transaction) -> int:
        counter = self._store["counters"].get(txn, "outbox") or {"last": 0}
        self._store["counters"].put(txn, "outbox", {"last": counter["last"] + 1})
        return int(counter["last"]) + 1
