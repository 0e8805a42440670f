"""What was read and is not looked at yet, since the evidence is behind: one read of each side waits here, the rest in the kernel."""

from __future__ import annotations

from collections.abc import Callable

from protocols.journal import Journal


class Backlog:
    """Of one session. `sides` has what waits of each."""

    __slots__ = ("_journal", "_pause", "_show", "sides")

    def __init__(self, journal: Journal, show: Callable[[str, bytes], None], pause: Callable[[str, str, bool], None]) -> None:
        """:param show: is told of what waited when there is room again; it may `wait` again."""
        self._journal, self._show, self._pause = journal, show, pause
        self.sides = {"client": b"", "target": b""}

    def __bool__(self) -> bool:
        return bool(self.sides["client"] or self.sides["target"])

    def wait(self, side: str, data: bytes) -> None:
        """It is read, and there is no room in the journal, or something else of that side waits already."""
        first = not self.sides[side]
        self.sides[side] += data
        self._pause(side, "evidence is behind", True)
        if first:
            self._journal.when_drained(lambda: self._room(side))

    def _room(self, side: str) -> None:
        data, self.sides[side] = self.sides[side], b""
        self._show(side, data)
        if not self.sides[side]:
            self._pause(side, "evidence is behind", False)
