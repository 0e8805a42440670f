"""
What is open: grants that may be spent, intents without an outcome, sessions of each worker.

It is a function of records alone. The notary applies each record after its commit;
recovery applies the same records read back; and a new segment begins with CARRY records
that hold all of it, so the newest segment is enough to know. Nothing is kept beside the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.notary.appended import remember
from gateway.notary.entry import Entry
from gateway.notary.record import COMMON, FIELDS, Kind, Record, pack

_CARRY_BYTES = 2048
"""Of rows per CARRY record; with one row more the leaf still stays below its limit."""

_INTENT, _OUTCOME = int(Kind.INTENT), int(Kind.OUTCOME)
_COMMAND, _GRANT = (len(COMMON) + FIELDS[Kind.INTENT].index(name) for name in ("command", "grant"))

_WORKERS = 64
"""Of how many a new segment tells how far they came: the newest, who may still ask."""

UNLIMITED = 0
"""`uses` of a grant that only its expiry ends."""


@dataclass(slots=True)
class Grant:
    """What may be spent, `uses` times (or UNLIMITED) until it expires."""

    binding: bytes
    expires_ns: int
    uses: int
    request: str
    spent: int = 0

    def refusal(self, binding: bytes, now_ns: int, pending: int) -> str:
        """Why it cannot be spent now; "" when it can. `pending` uses are in this very transaction."""
        if now_ns >= self.expires_ns:
            return "the grant has expired"
        if binding != self.binding:
            return "the grant is for something else"
        if self.uses != UNLIMITED and self.spent + pending >= self.uses:
            return "the grant is spent"
        return ""


@dataclass(slots=True)
class State:
    """See the module. `open_intents` maps (worker, sequence) to (session, target, command)."""

    next_worker: int = 1
    last_ns: int = 0
    grants: dict[str, Grant] = field(default_factory=dict)
    open_intents: dict[tuple[int, int], tuple[bytes, str, int]] = field(default_factory=dict)
    sessions: dict[bytes, tuple[int, str]] = field(default_factory=dict)
    lasts: dict[int, int] = field(default_factory=dict)  #: of each worker, also of some that are gone: the last of its sequence

    def apply(self, record: Record) -> None:
        """One more record is durable."""
        stamp = record.stamp
        self.add(stamp.worker, stamp.sequence, stamp.time_ns, record.fields)

    def remember(self, entries: Sequence[Entry], time_ns: int) -> None:
        """Entries are durable, recorded at that time."""
        self.last_ns = time_ns
        remember(self.open_intents, self.lasts, entries, lambda entry: self.add(entry.worker, entry.sequence, time_ns, entry.fields))

    def add(self, worker: int, sequence: int, time_ns: int, fields: list[Any]) -> None:
        """The same, in parts: a writer, its number for the record, when, and the event's fields."""
        if worker >= self.next_worker:
            self.next_worker = worker + 1
        self.last_ns, self.lasts[worker] = time_ns, sequence
        kind = fields[0]
        if kind == _INTENT:
            self._intent((worker, sequence), fields)
        elif kind == _OUTCOME:
            if fields[5] is not None:
                self.open_intents.pop(tuple(fields[5]), None)
        else:
            self._add_rarely(worker, fields)

    def _add_rarely(self, worker: int, fields: list[Any]) -> None:
        own = fields[len(COMMON) :]
        match fields[0]:
            case Kind.OPENED:
                self.sessions[fields[1]] = (worker, fields[3])
            case Kind.CLOSED:
                self.sessions.pop(fields[1], None)
            case Kind.APPROVAL:
                grant, binding, expires, uses, request = own[:5]
                spent = self.grants[grant].spent if grant in self.grants else 0  # said twice, it is still one grant
                self.grants[grant] = Grant(binding, expires, uses, request, spent)
            case Kind.CARRY:
                self.load(own[0], own[1])
            case Kind.HEADER:
                self.next_worker = max(self.next_worker, own[FIELDS[Kind.HEADER].index("next_worker")])

    def _intent(self, key: tuple[int, int], fields: list[Any]) -> None:
        command, grant = fields[_COMMAND], fields[_GRANT]
        self.open_intents[key] = (fields[1], fields[3], command)
        if grant and grant in self.grants:
            self.grants[grant].spent += 1

    def refusal(self, grant: str, binding: bytes, now_ns: int, pending: int) -> str:
        """Why an intent under this grant must not be recorded; "" when it may."""
        held = self.grants.get(grant)
        return "the grant is unknown" if held is None else held.refusal(binding, now_ns, pending)

    def carry(self, now_ns: int) -> list[tuple[str, list[Any]]]:
        """(what, rows) pairs that `apply` turns back into this state; expired grants are left behind."""
        grants = [
            [name, g.binding, g.expires_ns, g.uses, g.request, g.spent]
            for name, g in self.grants.items()
            if g.expires_ns > now_ns
        ]
        intents = [[*key, *value] for key, value in self.open_intents.items()]
        sessions = [[session, *value] for session, value in self.sessions.items()]
        workers = [[number, self.lasts[number]] for number in sorted(self.lasts)[-_WORKERS:]]
        parts = (("grants", grants), ("intents", intents), ("sessions", sessions), ("workers", workers))
        return [(what, chunk) for what, rows in parts for chunk in _chunks(rows)]

    def forget_grants(self, now_ns: int) -> None:
        """Drop what can never be spent again."""
        for name in [name for name, grant in self.grants.items() if grant.expires_ns <= now_ns]:
            del self.grants[name]

    def load(self, what: str, rows: list[list[Any]]) -> None:
        """What `carry` gave, back again."""
        for row in rows:
            if what == "grants":
                name, binding, expires, uses, request, spent = row
                self.grants[name] = Grant(binding, expires, uses, request, spent)
            elif what == "intents":
                worker, sequence, session, target, command = row
                self.open_intents[worker, sequence] = (session, target, command)
            elif what == "workers":
                self.lasts.update([row])
            else:
                session, worker, target = row
                self.sessions[session] = (worker, target)

    def of_worker(self, number: int) -> tuple[list[tuple[int, int]], list[bytes]]:
        """The open intents and sessions of one worker."""
        intents = [key for key in self.open_intents if key[0] == number]
        return intents, [session for session, (worker, _) in self.sessions.items() if worker == number]


def _chunks(rows: list[Any]) -> Iterator[list[Any]]:
    """Rows in groups of about _CARRY_BYTES."""
    chunk: list[Any] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(pack(row))
        if size >= _CARRY_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
