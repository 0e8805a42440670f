"""
What both directions of one session share: what was sent and not answered yet, what was
prepared, which portals are open, how the transaction stands.

The target answers strictly in order, so a queue of what is awaited tells every reply's
question. After an error in the extended protocol it ignores all until Sync.
Source: PostgreSQL 18 manual, 54.2.3 "Extended Query" and 54.2.4 "Pipelining".
"""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from protocols.command import Transaction
from protocols.effects import Effect, Report
from protocols.result import Columns, Ending, MaskPlan, Outcome, RowBatch
from protocols.verdict import Decision, Deny


class Opinions(Protocol):
    """The addons' synchronous answers, bound to one session."""

    hears_columns: bool
    hears_rows: bool
    hears_text: bool

    def plan(self, decision: Decision, columns: Columns) -> MaskPlan | None: ...
    def rows(self, decision: Decision, batch: RowBatch) -> Deny | None: ...
    def text(self, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]: ...


class Kind(enum.Enum):
    """The messages that a target answers."""

    QUERY = "Query"
    CALL = "FunctionCall"
    SYNC = "Sync"
    PARSE = "Parse"
    BIND = "Bind"
    DESCRIBE = "Describe"
    EXECUTE = "Execute"
    CLOSE = "Close"


ENDS_IN_READY = frozenset({Kind.QUERY, Kind.CALL, Kind.SYNC})


@dataclass(slots=True, eq=False)
class Running:
    """One command on its way, and what came of it so far."""

    number: int
    decision: Decision
    rows: int = 0
    bytes: int = 0
    cells_masked: int = 0
    tags: list[str] = field(default_factory=list)
    sqlstate: str = ""
    ending: Ending = Ending.COMPLETE
    refusal: dict[str, str] | None = None  #: fields that take the place of the target's error
    cut: bool = False  #: a limit ended it; rows are dropped until the target says so too
    copied: int = 0
    digest: Any = None
    alarm: str = ""
    columns: Columns | None = None
    plan: MaskPlan | None = None
    ended: bool = False

    def copy(self, data: bytes) -> None:
        """Count and digest COPY data."""
        if self.digest is None:
            self.digest = hashlib.sha256()
        self.digest.update(data)
        self.copied += len(data)

    def outcome(self, transaction: str) -> Outcome:
        names = self.columns.fields if self.columns else ()
        cells = self.plan.cells if self.plan else ()
        return Outcome(
            self.ending, tuple(self.tags), self.sqlstate, self.rows, self.bytes, self.cells_masked,
            self.copied, self.digest.digest() if self.digest else b"", transaction, self.alarm,
            tuple(c.name for c, mask in zip(names, cells) if mask is not None),
        )


@dataclass(slots=True, eq=False)
class Prepared:
    """A statement that Parse named."""

    text: str
    sent: str
    types: tuple[int, ...] = ()
    described: bool = False
    columns: Columns | None = None


@dataclass(slots=True, eq=False)
class Portal:
    """A bound statement; one command, however often it is resumed."""

    running: Running
    prepared: Prepared | None
    formats: tuple[int, ...]
    step: int  #: pipeline step (Syncs sent before it); a transaction's end drops older portals
    described: bool = False
    columns: Columns | None = None

    def shape(self) -> Columns | None:
        """Its columns with the result formats that Bind chose."""
        if self.columns is not None:
            return self.columns
        return self.prepared.columns if self.prepared else None


@dataclass(slots=True, eq=False)
class Awaited:
    """One message that the target will answer."""

    kind: Kind
    running: Running | None = None
    portal: Portal | None = None
    prepared: Prepared | None = None
    undo: tuple[dict[str, Any], str, Any] | None = None  #: table, name and what stood there before
    hidden: bool = False  #: ours, so its answer is not the client's
    step: int = 0

    def forget(self) -> None:
        """A Describe that was not answered: the next Execute must ask again."""
        for described in (self.prepared, self.portal):
            if described is not None:
                described.described = described.columns is not None


@dataclass(slots=True)
class Conversation:
    """The state of one session's protocol."""

    settings: Mapping[str, str]
    transaction: Transaction = Transaction.IDLE
    awaited: deque[Awaited] = field(default_factory=deque)
    prepared: dict[str, Prepared] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  #: name to text, what `Statement.prepared` shows
    text_length: int = 0  #: characters in `texts`
    portals: dict[str, Portal] = field(default_factory=dict)
    skipping: bool = False  #: the target ignores everything until the client's next Sync
    copying: Running | None = None  #: takes CopyData from the client
    step: int = 0
    done: list[Running] = field(default_factory=list)  #: ended, reported at the next ReadyForQuery

    @property
    def head(self) -> Awaited | None:
        return self.awaited[0] if self.awaited else None

    def replace(self, table: dict[str, Any], name: str, value: Any) -> tuple[dict[str, Any], str, Any]:
        """Put a value (None removes) under a name, and say how to take it back."""
        before = table.get(name)
        self._put(table, name, value)
        return table, name, before

    def _put(self, table: dict[str, Any], name: str, value: Any) -> None:
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value
        if table is self.prepared:
            self.text_length += len(value.text if value else "") - len(self.texts.get(name, ""))
            self._put(self.texts, name, value and value.text)

    def end(self, running: Running, ending: Ending | None = None) -> None:
        """A command is over; an earlier ending stays."""
        if running.ended:
            return
        running.ended = True
        running.ending = ending or running.ending
        self.done.append(running)

    def skip_to_sync(self) -> None:
        """The target answered with an error: what follows until Sync has no answer."""
        undone = []
        while self.awaited and self.awaited[0].kind is not Kind.SYNC:
            undone.append(self.awaited.popleft())
        for entry in reversed(undone):
            if entry.undo:
                self._put(*entry.undo)
            if entry.kind is Kind.DESCRIBE:
                entry.forget()
            if entry.running:
                self.end(entry.running, Ending.SKIPPED)
        self.skipping = not self.awaited
        self.copying = None

    def reports(self, transaction: Transaction | None) -> list[Effect]:
        """Tell of everything that ended since the last ReadyForQuery."""
        done, self.done = self.done, []
        status = transaction.value if transaction else ""
        return [Report(r.number, r.decision, r.outcome(status)) for r in done]

    def ready(self, transaction: Transaction, step: int) -> list[Effect]:
        """ReadyForQuery: the portals of a transaction that ended are gone."""
        self.transaction = transaction
        if transaction is Transaction.IDLE:
            for name in [n for n, p in self.portals.items() if p.step <= step]:
                self.end(self.portals.pop(name).running, Ending.SUSPENDED)
        return self.reports(transaction)

    def abandon(self) -> list[Effect]:
        """The session is over: what has not ended is unknown."""
        for entry in self.awaited:
            if entry.running:
                self.end(entry.running, Ending.UNKNOWN)
        for portal in self.portals.values():
            self.end(portal.running, Ending.UNKNOWN)
        return self.reports(None)

    def set(self, name: str, value: str) -> None:
        """The target reported a parameter."""
        self.settings = MappingProxyType({**self.settings, name.lower(): value})
