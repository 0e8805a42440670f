"""
How often anything has changed that remembered answers rest on, counted by whoever changes it, so that one comparison
of integers takes the place of asking everybody (`standing` in `protocols.verdict`).

Whose count is the same as it was, of that nothing has changed. Counting too often costs a question; too seldom is a leak.
"""

from __future__ import annotations

from collections.abc import Iterable


class Tally:
    """One count; shared by all who count in one process."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def moved(self) -> None:
        """Something is about to be otherwise, or is."""
        self.count += 1


def tallies_of(sources: Iterable[object | None]) -> tuple[Tally, ...] | None:
    """
    Those in which all that somebody's answers rest on is counted; None where a source counts in none.

    :param sources: each with its `tally`; None for one that is not there.
    """
    found = [getattr(source, "tally", None) for source in sources if source is not None]
    return None if None in found else tuple(dict.fromkeys(found))
