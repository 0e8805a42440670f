"""One command on its way to a target, and what came of it so far."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from protocols.command import Path
from protocols.kernel import carried
from protocols.result import Columns, Ending, Inspection, MaskPlan, Outcome, Search
from protocols.verdict import Decision, Deny


class Running:
    """See the module. No dataclass: most of this is seldom otherwise than at first."""

    def __init__(self, number: int, decision: Decision) -> None:
        self.number, self.decision = number, decision

    rows: int = 0
    bytes: int = 0
    cells_masked: int = 0
    tags: tuple[str, ...] = ()
    sqlstate: str = ""
    ending: Ending = Ending.COMPLETE
    refusal: dict[str, str] | None = None  #: fields that take the place of the target's error
    cut: bool = False  #: a limit ended it; rows are dropped until the target says so too
    undone: bool = False  #: as its outcome's
    followed: bool = False  #: by an error, before the Sync of both
    late: bool = False  #: the target had finished it before it could be cancelled
    copied: int = 0
    copies: bool = False  #: the target said so; what is sent to one that does not is dropped there
    digest: Any = None
    alarm: str = ""
    columns: Columns | None = None
    plan: MaskPlan | None = None
    clean: bool = True  #: `plan` masks nothing
    searched: bool = False  #: `search` was asked for
    search: Search | None = None  #: what looks through its result
    masked: Mapping[str, None] = MappingProxyType({})  #: names of masked columns, of every result it had
    ended: bool = False
    inspected: bool = False  #: `inspection` was asked for
    inspection: Inspection | None = None  #: what looks through the COPY data that the client sends for it
    halting: Deny | None = None  #: why the target is to be told that this COPY failed
    halted: bool = False  #: the target was told; what the client sends on is dropped

    def copy(self, data: bytes) -> None:
        """Count and digest COPY data."""
        if self.digest is None:
            self.digest = hashlib.sha256()
        self.digest.update(data)
        self.copied += len(data)

    def copy_run(self, frames: memoryview, largest: int) -> int:
        """Count and digest what the whole CopyData messages carry that `frames` begins with; how many bytes those are."""
        if self.digest is None:
            self.digest = hashlib.sha256()
        size, content = carried(frames, largest, self.digest.update)
        self.copied += content
        return size

    def failed(self, sqlstate: str) -> None:
        """The target said an error in answer to it, be it ended already: a commit can fail at Sync."""
        self.sqlstate = sqlstate
        if self.cut or (self.ended and self.ending is not Ending.COMPLETE):
            return
        self.ending = Ending.ERROR if self.refusal is None else Ending.REFUSED

    def shaped(self, columns: Columns, plan: MaskPlan | None) -> None:
        """Rows are about to come, and these are their masks."""
        self.columns, self.plan = columns, plan
        self.clean = plan is None or plan.clean
        if plan is not None:
            self.alarm = self.alarm or plan.alarm
            self.masked = {**self.masked, **{c.name: None for c, mask in zip(columns.fields, plan.cells) if mask is not None}}

    def outcome(self, transaction: str, among: str = "") -> Outcome:
        alarm = self.alarm
        if self.search is not None:
            alarm = "; ".join(filter(None, (alarm, self.search.alarm)))
        return Outcome(
            self.ending, self.tags, self.sqlstate, self.rows, self.bytes, self.cells_masked,
            *((self.copied, self.digest.digest()) if self.copies and self.digest else (0, b"")), transaction, alarm, tuple(self.masked),
            _FOLLOWED if self.followed else {}, among, self.undone,
        )


_FOLLOWED = MappingProxyType({"error_followed": "before the Sync"})


def in_front_of_an_error(done: Sequence[Running]) -> Iterator[Running]:
    """
    Of what one ReadyForQuery ended outside of a transaction block, those that were done when an error came before the Sync: what is between two
    Syncs is one transaction (PostgreSQL, "Pipelining"), but for what commits. That a COMMIT ended it is seen by its tag; that a procedure did is not.
    """
    at = next((at for at, one in enumerate(done) if one.sqlstate or one.undone), -1)
    begin = next((i + 1 for i in range(at, -1, -1) if "COMMIT" in done[i].tags or "PREPARE TRANSACTION" in done[i].tags), 0)
    for one in done[begin : at + 1]:
        if not one.sqlstate and one.ending in _DONE and one.decision.command.path is not Path.PARSE:
            yield one


_DONE = (Ending.COMPLETE, Ending.SUSPENDED)
