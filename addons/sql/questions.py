"""
What policy and the followers of settings ask about a long text, as values that an analyst can be sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from addons.sql.assess import Assessed, Assessor, classified
from addons.sql.catalog import Snapshot
from addons.sql.flux import Flux
from addons.sql.parse import Unparsable, parse
from addons.sql.searchpath import steps, unseen
from addons.sql.worlds import Step


@dataclass(frozen=True, slots=True)
class Assessing:
    """
    What are a string's statements, and their classes?

    :ivar assessor: an object of its own: two policies that differ ask two questions.
    :ivar unread: there is a catalog, and it is not known. :ivar flux: what the session's transaction changed of it.
    :ivar temporary: as `Underway.temporary`.
    """

    text: str
    revision: str
    assessor: Assessor
    unread: bool
    flux: Flux | None = None
    temporary: frozenset[str] | None = None

    def answer(self, snapshot: Snapshot | None) -> tuple[Assessed, ...] | Unparsable:
        try:
            return self.assessor.assess(self.text, snapshot, unread=self.unread, flux=self.flux, temporary=self.temporary)
        except Unparsable as error:
            return error.with_traceback(None)


@dataclass(frozen=True, slots=True)
class Stepping:
    """What does a string do to the search path and to the transaction it lives in?"""

    text: str
    revision: str = field(default="", compare=False)  # decides nothing, but which work is shared

    def answer(self, snapshot: Snapshot | None) -> tuple[Step, ...]:
        """What cannot be followed loses the path."""
        try:
            parsed = parse(self.text)
            found = classified(parsed, snapshot)
            return (*steps(parsed, found), *unseen(found))
        except Unparsable:
            return (Step("lost"),)
