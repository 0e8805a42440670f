"""
What an addon may be handed in its constructor. Reading one constructor tells its powers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from protocols.session import Session

if TYPE_CHECKING:
    from addons.sql.analysis import Question
    from addons.sql.catalog import Snapshot
    from protocols.command import Statement
    from protocols.verdict import Deny


class Clock(Protocol):
    """The reactor's clock, or a test's."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def callLater(self, delay: float, call: Any, *args: Any, **kwargs: Any) -> Any:
        """As IReactorTime."""


class Catalogs(Protocol):
    """What the gateway knows of the targets' relations, columns and functions."""

    def snapshot(self, session: Session) -> Snapshot | None:
        """The newest one for the session's target and database; None until one was read."""

    def refresh(self, session: Session) -> Any:
        """Read it again; a Deferred of the new Snapshot. Callers share one reading."""

    def check(self, session: Session) -> Any:
        """A Deferred that fires once the snapshot is known to be what the target has now. Never fails."""

    def stale(self, session: Session) -> bool:
        """Whether changes were heard of that the snapshot may not show."""

    def changes(self, session: Session) -> tuple[int, int]:
        """How many changes were heard of, and how many of them the snapshot shows."""

    def standing(self, session: Session) -> Hashable:
        """A value that is another one when `snapshot` or `stale` may answer otherwise."""

    def suspect(self, session: Session) -> None:
        """Something unknown came back: the next statement here waits for a newer snapshot."""

    def doubt(self, session: Session) -> None:
        """DDL passed: no worker decides by its old snapshot."""

    def commit_begins(self, session: Session) -> Any:
        """The session is about to commit what may change what names mean. A Deferred: of all other workers' knowing; fails else."""

    def commit_ended(self, session: Session) -> None:
        """Whatever came of it."""

    def over(self, session: Session) -> Any:
        """A Deferred that fires when `elsewhere` is over, or was waited for long enough. Never fails."""

    def elsewhere(self, session: Session) -> bool:
        """Whether a session in another worker is committing such a thing, in this session's database."""


class Analyses(Protocol):
    """Where long texts are analysed, so that no other session waits meanwhile."""

    def ask(self, session: Session, questions: Sequence[Question], snapshot: Snapshot | None) -> Any:
        """A Deferred of the answers to questions about one text, by this catalog; fails with `Unanswered`."""


class Counts(Protocol):
    """How often something happened in the last minute, over all workers."""

    def count(self, subject: str, statements: int) -> Any:
        """Add that many to a subject's; a Deferred of how many there were in the last minute with them."""


class Estimates(Protocol):
    """What a target's planner thinks of a statement, without the session's own connection."""

    def rows(self, session: Session, command: Statement, text: str) -> Any:
        """A Deferred of how many rows it expects of `text`, a part of what the command would send; fails when it cannot be had."""


class Reveals(Protocol):
    """What people let an identity see although it is masked for it."""

    def open(self, session: Session) -> bool:
        """Whether it is worth asking."""

    def ask(self, session: Session, rule: Mapping[str, Any]) -> Any:
        """A Deferred of the `Reveal`s in force for the session that the rule (who, how many, how long, how often) allows."""


class Names(Protocol):
    """What the names of hosts lead to."""

    def addresses(self, name: str) -> Any:
        """A Deferred of its addresses as text, as the gateway's machine knows them; none for an unknown name. Never fails."""


class Sink(Protocol):
    """Where an addon may leave evidence of its own."""

    def note(self, session: Session, kind: str, facts: Mapping[str, str]) -> None:
        """Record it; order is kept with the session's other records."""


class Sessions(Protocol):
    """Ending what lives, for addons that watch the time."""

    def cancel(self, session: Session, why: Deny) -> None:
        """Cancel what runs at the target; the session goes on."""

    def end(self, session: Session, why: Deny) -> None:
        """Close the session; its client is told why in the protocol's own way."""
