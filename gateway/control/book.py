"""
Requests as they are kept: every one in the store, those that can still change also in memory.

A change is on disk, with the note that tells of it, before memory or anybody else knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from addons.needs import Clock
from gateway.control.errors import NotFound, StoreRefused
from gateway.control.outbox import Outbox
from gateway.control.request import OPEN
from gateway.control.store import Store, Value

AGAIN = 1.0  # seconds until something due is tried again on a store that refused it
KEPT = 30 * 86400.0  # seconds that a finished request is shown; the evidence keeps it longer


class Book:
    """
    :param lapse: called with a request's id when its `expires` has come.
    """

    def __init__(self, store: Store, outbox: Outbox, clock: Clock, lapse: Callable[[str], None]) -> None:
        self._store, self._outbox, self._clock, self._lapse = store, outbox, clock, lapse
        self._table, self._grants = store["requests"], store["grants"]
        self._open: dict[str, Value] = {}
        self._timers: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Value]:
        """Those that can still change."""
        return iter(list(self._open.values()))

    def load(self) -> None:
        """Take up what a former run left; what is long over goes."""
        now = self._clock.seconds()
        with self._store.write() as txn:
            records = [record for _, record in self._table.items(txn)]
            for record in records:
                if record["state"] not in OPEN and record["expires"] + KEPT < now:
                    self._table.delete(txn, record["id"])
            for name, grant in list(self._grants.items(txn)):
                if grant["expires"] + KEPT < now:
                    self._grants.delete(txn, name)
        for record in filter(self._lives, records):
            self._open[record["id"]] = record
            self._arm(record)

    def stop(self) -> None:
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def find(self, request: str) -> Value | None:
        """One that can still change."""
        return self._open.get(request)

    def get(self, request: str) -> Value:
        """
        Any one.

        :raises NotFound: there is no such request.
        """
        if request in self._open:
            return self._open[request]
        with self._store.read() as txn:
            record = self._table.get(txn, request) if 0 < len(request.encode()) <= 64 else None
        if record is None:
            raise NotFound(f"there is no request {request[:64]}. `ostiary request list --all` shows them.")
        return record

    def everything(self) -> list[Value]:
        with self._store.read() as txn:
            return [record for _, record in self._table.items(txn)]

    def change(self, record: Value, kind: str, facts: Mapping[str, Any], **changes: Any) -> None:
        """
        Store a change and the note that tells of it; then let `record` be so.

        :raises StoreRefused: nothing changed.
        """
        changed = record | changes
        with self._store.write() as txn:
            self._table.put(txn, changed["id"], changed)
            if changed["grant"]:
                grant = {"request": changed["id"], "binding": changed["binding"], "expires": changed["expires"]}
                self._grants.put(txn, changed["grant"], grant)
            self._outbox.put(txn, kind, {"request": changed["id"], "subject": changed["subject"], **facts})
        record.update(changes)
        if self._lives(record):
            self._open[record["id"]] = record
            self._arm(record)
        else:
            self.forget(record["id"])
        self._outbox.deliver()

    def end(self, record: Value, state: str) -> None:
        """
        It is over, and that is no news.

        :raises StoreRefused: nothing changed.
        """
        with self._store.write() as txn:
            self._table.put(txn, record["id"], record | {"state": state})
        record["state"] = state
        self.forget(record["id"])

    def later(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        """One timer per name; the newest counts."""
        self._cancel(name)
        self._timers[name] = self._clock.callLater(seconds, self._due, name, call)

    def _due(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except StoreRefused:  # what is due stays due until it can be stored
            self.later(name, AGAIN, call)

    def forget(self, request: str) -> None:
        """It cannot change any more."""
        self._open.pop(request, None)
        self._cancel(request)

    def _lives(self, record: Value) -> bool:
        """Open, or a `retry` answer that the identical command may still meet."""
        if record["state"] in OPEN:
            return True
        remembered = record["mode"] == "retry" and record["state"] in ("denied", "released")
        return remembered and record["expires"] > self._clock.seconds()

    def _arm(self, record: Value) -> None:
        left = max(0.0, record["expires"] - self._clock.seconds())
        self.later(record["id"], left, lambda: self._lapse(record["id"]))

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()
