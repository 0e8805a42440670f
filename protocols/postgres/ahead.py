"""
Syncs that came behind a command which may ask for COPY data, and were not sent on: see `feed`.

A target reads past those before the end of the data that it asks for, unless it fails before it has read them.
"""

from __future__ import annotations

LIMIT = 4096
"""Syncs, and ends of data, that are kept: each Sync is a hundred bytes once it leaves."""


class Ahead:
    """Of one command: by the COPY among whose data they came, before the last of it and behind that."""

    __slots__ = ("_copies",)

    def __init__(self) -> None:
        self._copies = [[0, 0]]

    @property
    def held(self) -> int:
        """Syncs."""
        return sum(map(sum, self._copies))

    @property
    def whole(self) -> bool:
        """Whether all data of a COPY has come that was not asked for yet."""
        return len(self._copies) > 1

    @property
    def full(self) -> bool:
        """Whether no more is kept."""
        return len(self._copies) > LIMIT or self.held >= LIMIT

    def sync(self) -> None:
        """One came."""
        self._copies[-1][1] += 1

    def data(self, *, asked: bool) -> None:
        """Some came; a target that has asked for it reads past the Syncs before it."""
        last = self._copies[-1]
        last[:] = [0 if asked else sum(last), 0]

    def end(self, *, asked: bool) -> None:
        """The last of it came."""
        if asked:
            self._copies[-1] = [0, 0]
        else:
            self._copies.append([0, 0])

    def ask(self) -> bool:
        """The target asks for data. Whether all of it has come."""
        if self.whole:
            self._copies.pop(0)
            return True
        self._copies[0][0] = 0
        return False
