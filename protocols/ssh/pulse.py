"""
Whether both sides of a session still answer: a side that has said nothing for a while is asked, and given up when it
stays silent. TCP notices a machine that is gone; a peer that hangs keeps its connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

INTERVAL = 60.0
"""Seconds of silence before a side is asked, and between two askings."""

ASKINGS = 3
"""Unanswered ones after which a side is given up."""

SIDES = ("client", "target")


class Pulse:
    """Of one session; stopped with it."""

    def __init__(
        self, later: Callable[[float, Callable[[], None]], Any], ask: Callable[[str], None], gone: Callable[[str], None],
        deaf: Callable[[str], bool],
    ) -> None:
        """
        :param later: as IReactorTime.callLater.
        :param deaf: whether a side is not read now; then its silence is ours.
        """
        self._later, self._ask, self._gone, self._deaf = later, ask, gone, deaf
        self._silent = dict.fromkeys(SIDES, 0)
        self._timer: Any = None

    def start(self) -> None:
        self._timer = self._later(INTERVAL, self._due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self, side: str) -> None:
        """It said something, whatever it was."""
        self._silent[side] = 0

    def _due(self) -> None:
        self.start()
        for side in SIDES:
            if self._timer is None:  # the other side's silence has ended the session
                return
            if self._deaf(side):
                self._silent[side] = 0
                continue
            self._silent[side] += 1
            if self._silent[side] > ASKINGS + 1:
                self._gone(side)
            elif self._silent[side] > 1:
                self._ask(side)
