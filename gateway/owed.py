"""
What ended, was refused or was worth a note while nothing could be recorded, and is recorded when something can be again.

Nothing begins meanwhile, so nobody waits for these; a worker that dies with them leaves what recovery writes: outcomes that are unknown.
"""

from __future__ import annotations

from collections.abc import Callable

LIMIT = 4096
"""Records."""

BYTES = 8 << 20
"""Of the texts that they keep in memory."""


class Owed:
    """Calls of one worker's journal, in their order."""

    __slots__ = ("_calls", "_size", "missed")

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []
        self._size = 0
        self.missed = 0  #: how many there was no room for

    def add(self, call: Callable[[], object], size: int) -> bool:
        """Whether there is room for it, and `size` bytes."""
        if len(self._calls) >= LIMIT or self._size + size > BYTES:
            self.missed += 1
            return False
        self._calls.append(call)
        self._size += size
        return True

    def take(self) -> tuple[list[Callable[[], object]], int]:
        """All of it, and how many were missed; nothing is owed then."""
        taken = self._calls, self.missed
        self._calls, self._size, self.missed = [], 0, 0
        return taken
