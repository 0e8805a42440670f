"""
What masking needs to know of sessions' settings, as `addons.sql.settings` follows them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from addons.sql.catalog import Snapshot
from addons.sql.given import Given
from addons.sql.underway import Underway
from protocols.result import Outcome
from protocols.session import Session
from protocols.verdict import Decision


class Settings(Protocol):
    """What is tracked of a session's settings; `addons.sql.settings.Settings`."""

    underway: Underway
    given: Given

    def search_path(self, session: Session, reported: Mapping[str, str] | None = None) -> tuple[str, ...] | None:
        """Schemas in order; None when not known for certain."""

    def standing(self, session: Session) -> Hashable:
        """Another value when `search_path` may answer otherwise, where the server reports the same."""

    def idle(self, text: str, snapshot: Snapshot | None = None) -> bool:
        """Whether a text changes nothing that is tracked, as far as the catalog tells."""

    def decided(
        self, session: Session, decision: Decision, teller: str, *, known: Sequence[Any] | None = None, snapshot: Snapshot | None = None,
    ) -> None:
        """
        As the hook; every addon of this class is one teller, also after a reload.

        :param known: the steps of the command's text, when the teller has them; else the catalog that they may be seen in.
        """

    def ended(self, session: Session, decision: Decision, outcome: Outcome, teller: str) -> None:
        """As the hook."""

    def closed(self, session: Session) -> None:
        """As the hook."""
