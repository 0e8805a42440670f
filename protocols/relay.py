"""
What an adapter joins: a protocol's relay, and the addons as one session sees them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol

from protocols.command import Command
from protocols.effects import Effect
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Decision, Hold


class Relay(Protocol):
    """
    What every protocol's relay can do. All return effects; none touches a transport, and what a
    peer may send raises nothing: it ends in Malformed, behind what was decided before.
    """

    repeat: Any
    """What the session does again and again, as `protocols.postgres.repeat.Repeat` is of PostgreSQL's; None where there is no such thing."""

    def from_client(self, data: bytes) -> list[Effect]: ...
    def hand_back(self) -> bytes | None:
        """
        Where what the client says next is only counted and passed on: what was read and not looked at, which it shows to `stream`
        with more. None otherwise.
        """
    def stream(self, data: memoryview) -> tuple[int, bool]:
        """
        More of that, of which nothing is kept: how many bytes of it go to the target, and whether what is behind them is to be
        shown again, with more. What is not goes to `from_client`.
        """
    def from_target(self, data: bytes) -> list[Effect]: ...
    def cut(self, data: bytes) -> bool:
        """
        Whether the target's next read ends inside a message, so that more is certain to follow. Takes nothing; the reads
        that were asked about, in order, go to `from_target` as one. Of b"": whether what it was told last ended so, or between
        two rows of an answer, behind which more is certain to follow too, but nobody knows when.
        """
    def answer(self, decision: Decision) -> list[Effect]: ...
    def held(self, request: str, hold: Hold) -> list[Effect]: ...
    def refused(self, number: int, why: str) -> list[Effect]:
        """Its record could not be made."""
    def ungranted(self, number: int, why: str) -> list[Effect]:
        """The grant it was to spend is spent, expired or another's by now."""
    def withdrawn(self) -> bool:
        """Whether what came behind a held command says that the client no longer wants it."""
    def close(self, why: str, unsent: Collection[int]) -> list[Effect]:
        """The session is over: the reports of what has not ended. `unsent` never left, so that it did not run."""
    def farewell(self, why: str) -> bytes:
        """The protocol's own last words to a client; b"" where none fit."""
    @property
    def behind(self) -> int:
        """Bytes read and not yet looked at."""


class Addons(Protocol):
    """The pipeline, bound to one session."""

    session: Session  #: as it is judged now

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Awaitable[Decision]: ...
    def standing(self, decision: Decision) -> tuple[Tally, int] | None:
        """As long as this counts so far everybody would say so again, and nobody has to hear that they did, nor of an end as ever."""
    def ended(self, decision: Decision, outcome: Any) -> None: ...
