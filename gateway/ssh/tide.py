"""
How much a leg's next read should bring. Each read costs a turn of the reactor, and wakes a process on both sides.

A peer that sends packet by packet is read packet by packet, as long as little comes. Where much comes, the system gathers
PLENTY before it wakes us. Nobody knows which of it is the last, so it waits PATIENCE at most; after that, packet by packet again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LITTLE = 4096
"""Bytes of a read that ends what came before: somebody types, or acknowledges."""

MUCH = 1 << 20
"""Bytes of such reads in a row behind which the system gathers: they took so long that PATIENCE more is little."""

PLENTY = 96 << 10
"""Bytes that it gathers: three of OpenSSH's packets."""

PATIENCE = 0.003
"""Seconds that they may wait."""


class Tide:
    """Of one leg."""

    __slots__ = ("_came", "_high", "_later", "_over", "_timer", "_wait_for")  # each session has two

    def __init__(self, later: Callable[..., Any], wait_for: Callable[[int], None]) -> None:
        """
        :param later: a clock's `callLater`.
        :param wait_for: makes the next read one of so many bytes at least, or of the last ones.
        """
        self._later, self._wait_for = later, wait_for
        self._came = 0
        self._high = self._over = False
        self._timer: Any = None

    def came(self, count: int) -> None:
        """A read brought so many bytes."""
        if count < LITTLE or self._over:
            self._ebb()
            return
        self._came += count
        if self._came < MUCH:
            return
        if not self._high:
            self._high = True
            self._wait_for(PLENTY)
        if self._timer is None:
            self._timer = self._later(PATIENCE, self._late)
        else:
            self._timer.reset(PATIENCE)

    def stop(self) -> None:
        """Nothing more is waited for."""
        self._over = True
        self._ebb()

    def _late(self) -> None:
        self._timer = None
        self._ebb()

    def _ebb(self) -> None:
        self._came = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._high:
            self._high = False
            self._wait_for(1)
