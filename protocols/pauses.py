"""
Why the two sides of a session are not read now: a side is paused while there is a reason, and read again when none is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Pauses:
    """Of one session's transports."""

    __slots__ = ("_held", "_over", "_paused", "_reasons", "_transports")

    def __init__(self, transports: Mapping[str, Any], held: Callable[[], bool]) -> None:
        """
        :param transports: by side, while they are there.
        :param held: whether the client is being asked about: then it is listened to, whatever else there is.
        """
        self._transports, self._held = transports, held
        self._reasons: frozenset[tuple[str, str]] = frozenset()  # and the side; of an empty one there is one for all sessions
        self._paused: frozenset[str] = frozenset()
        self._over = False

    def put(self, side: str, why: str, on: bool) -> None:
        """There is this reason, or it is gone."""
        if on != ((side, why) in self._reasons):
            self._reasons ^= {(side, why)}
            self.steer(side)

    def steer(self, side: str) -> None:
        """Pause or resume a side as its reasons say."""
        transport = self._transports.get(side)
        wanted = any(of == side for of, _ in self._reasons) and not (side == "client" and self._held())
        if self._over or transport is None or wanted == (side in self._paused):
            return
        self._paused ^= {side}
        if wanted:
            transport.pauseProducing()
        else:
            transport.resumeProducing()

    def end(self) -> None:
        """Nothing is paused any more: a paused transport never reads its peer's answer to the end of TLS."""
        self._over = True
        for side in self._paused & self._transports.keys():
            self._transports[side].resumeProducing()
