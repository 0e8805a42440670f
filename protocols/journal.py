"""
What the wire needs of the evidence: somewhere to put records, and word when they are durable.

`gateway.journal` implements it over the link to the notary; tests use a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from protocols.recording import Chunk, Recorded
from protocols.result import Outcome
from protocols.session import Session
from protocols.verdict import Decision


class Waiter(Protocol):
    """Who waits for durability: a session's FIFO."""

    def durable(self, sequence: int) -> None:
        """Every record up to `sequence` (cumulative, worker-wide) is on stable storage."""

    def refused(self, sequence: int, why: str) -> None:
        """This one intent was not recorded (its grant is unknown, spent, expired or another's)."""

    def unrecordable(self, why: str) -> None:
        """The notary is gone or its store refuses: every record still waiting is refused."""


class Journal(Protocol):
    """
    Records of one worker. Every call returns the record's sequence, gap-free and
    rising, and never blocks. What is called in one reactor turn travels as one append.

    :raises protocols.errors.Unrecordable: nothing can be recorded now.
    """

    @property
    def full(self) -> bool:
        """Whether so much waits to be durable that no client should be read; false when nothing can be recorded."""

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call once, when no longer `full`; at once when it is not."""

    def opened(self, session: Session, facts: Mapping[str, str], waiter: Waiter) -> int:
        """A session began; `facts` name the TLS rule, proof and weaker settings in force."""

    def intend(self, session: Session, number: int, decision: Decision, waiter: Waiter) -> int:
        """A command is about to be forwarded."""

    def score(self, session: Session, decision: Decision) -> Any:
        """What is recorded of a decision on a statement whenever that is executed; made once, and given back with each execution."""

    def intend_again(
        self, score: Any, number: int, text: str | None, types: Sequence[int], formats: Sequence[int], values: Sequence[bytes | None],
        waiter: Waiter, before: Any = None,
    ) -> int:
        """
        As `intend`, of a query with this text, or of an execution (None) with these values, as `Parameter` has them. 0 when it cannot be
        recorded now, or clients should be paused.

        :param before: what is intended right before it, under the number and the sequence before.
        """

    def report_again(self, score: Any, number: int, tag: str | None, rows: int, size: int, micros: int) -> int:
        """
        As `report`, of one that was complete, with this command tag (None of a Parse) and so many bytes of rows, and left the transaction as it was;
        0 when it cannot be recorded now.
        """

    def refuse(self, session: Session, number: int, decision: Decision) -> int:
        """A command was denied."""

    def report(self, session: Session, number: int, decision: Decision, outcome: Outcome, micros: int) -> int:
        """A command ended after `micros` microseconds."""

    def chunk(self, session: Session, chunk: Chunk, waiter: Waiter) -> int:
        """Part of a recording. It may be given again, the same, when it is not known to be durable."""

    def recorded(self, session: Session, recorded: Recorded, waiter: Waiter) -> int:
        """A recording ended."""

    def note(self, session: Session | None, kind: str, facts: Mapping[str, str]) -> int:
        """
        Anything else worth proving, e.g. "login.failed", "request.held",
        "cancel", "malformed", "disclosure". Facts hold no secret and no masked value.
        """

    def closed(self, session: Session, why: str) -> int:
        """The session ended."""
