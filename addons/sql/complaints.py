"""
What is wrong with an addon's options: all of it together, not only what is met first.

It lies on the shelf that the addons share; it knows no SQL and no addon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class Wrong(ValueError):
    """Everything that is wrong. Each complaint begins with the key at fault, and says how to mend it."""

    def __init__(self, complaints: Iterable[str]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(self.complaints))


def complaints_of(error: BaseException) -> tuple[str, ...]:
    """One by one, whoever raised it."""
    return error.complaints if isinstance(error, Wrong) else (str(error),)


class Gathering:
    """Complaints, until there is nothing more to look at."""

    def __init__(self) -> None:
        self._complaints: list[str] = []

    def wrong(self, complaint: str) -> None:
        self._complaints.append(complaint)

    def of(self, make: Callable[[], T], stand_in: T) -> T:
        """What is made; the stand-in where that complains."""
        try:
            return make()
        except ValueError as error:
            self._complaints += complaints_of(error)
            return stand_in

    def end(self) -> None:
        """
        :raises Wrong: there was a complaint.
        """
        if self._complaints:
            raise Wrong(dict.fromkeys(self._complaints))
