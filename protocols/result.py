"""
What comes back from a target: columns once, rows in batches, and what came of it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from protocols.value import value
from protocols.verdict import Deny


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a RowDescription (PostgreSQL 18 manual, 54.7)."""

    name: str
    table_oid: int  #: 0: not a plain column, which proves nothing
    attribute: int  #: attribute number; 0 with a table OID is a whole row
    type_oid: int
    format: int = 0  #: 0 text, 1 binary


@dataclass(frozen=True, slots=True)
class Columns:
    """The shape of the rows that follow; asked about once, before any row passes."""

    fields: tuple[Column, ...]


class Null(enum.Enum):
    """The mask that makes a cell SQL NULL; its own type, so that `None` can mean 'clear'."""

    NULL = "null"


NULL = Null.NULL

CellMask = bytes | Null | None
"""For one column: bytes put in every non-NULL cell's place, NULL, or None to leave it clear."""


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """
    One entry per column. Computed once per `Columns`, applied to bytes by the kernel.

    :ivar alarm: why the wire disagreed with the text's analysis; recorded when not empty.
    :ivar withheld: why no row is shown at all: the command ends in this error before its first.
    """

    cells: tuple[CellMask, ...]
    alarm: str = ""
    withheld: Deny | None = None

    @property
    def clean(self) -> bool:
        return all(cell is None for cell in self.cells)


class Search(Protocol):
    """
    What looks for values in the bytes of one command's result. What comes out is as long as what went in, except for
    cells that become NULL, and is the very object that went in where nothing was masked.

    :ivar alarm: what was found so far, without any value; "" for nothing.
    """

    @property
    def alarm(self) -> str: ...
    def rows(self, rows: bytes, columns: Columns) -> tuple[bytes, int]:
        """Whole DataRow messages, and how many cells of them were masked."""
    def messages(self, run: bytes) -> tuple[bytes, int]:
        """Whole messages of COPY data, or a function's result, and how many of them were masked."""
    def begin(self, ahead: int | None) -> None:
        """A message too large to be held begins: bytes in front of its first value's length, None where it has no lengths."""
    def piece(self, data: bytes, *, last: bool = False) -> bytes:
        """Some of the body of a message that is too large to be held; what may leave now of it."""


class Inspection(Protocol):
    """
    What looks through the COPY data that a client sends for one command, before it leaves. A string may hold several such
    COPYs, one after the other. A Deny ends the command: the target is told to fail it, so that nothing of it stays.
    """

    def take(self, data: bytes | memoryview) -> Deny | None:
        """Some more of the data, cut anywhere. Not to be kept: it lies where the next read will."""
    def end(self) -> Deny | None:
        """There is no more of this COPY."""


class Uninspected:
    """An Inspection that looks for nothing."""

    def take(self, data: bytes | memoryview) -> None:
        """Nothing is wrong with it."""

    def end(self) -> None:
        """Nor with all of it."""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """The rows of one read, counted. Their bytes have not left yet."""

    rows: int
    bytes: int
    total_rows: int  #: of this command so far, this batch included
    total_bytes: int


class Ending(enum.StrEnum):
    """How a command ended."""

    COMPLETE = "complete"
    ERROR = "error"  #: the target said so; `sqlstate` holds its code
    SKIPPED = "skipped"  #: an earlier error made the target ignore it
    SUSPENDED = "suspended"  #: its portal was closed before its end
    REFUSED = "refused"  #: it was recorded but its release was refused; it did not run
    LIMIT = "limit"  #: cut by a limit, ended in an error
    UNKNOWN = "unknown"  #: the session ended before the target answered

    @property
    def ran(self) -> bool:
        """Whether the target can have done any of it."""
        return self not in (Ending.SKIPPED, Ending.REFUSED)


@value
class Outcome:
    """
    What came of a command.

    :ivar among: of several that one ReadyForQuery ends "last", and of the others "more": its status is not what they left behind them.
    :ivar undone: behind it came an error that no reported command had, such as a refusal's.
    """

    ending: Ending
    tags: tuple[str, ...] = ()  #: command tags, e.g. ("SELECT 3",)
    sqlstate: str = ""
    rows: int = 0
    bytes: int = 0
    cells_masked: int = 0
    copied_bytes: int = 0  #: COPY data in either direction
    copied_sha256: bytes = b""
    transaction: str = ""  #: status of the ReadyForQuery that followed, "" before it
    alarm: str = ""
    columns: tuple[str, ...] = ()  #: names of the masked columns
    facts: Mapping[str, str] = field(default_factory=dict)
    among: str = ""
    undone: bool = False
