"""
UUIDv7s that rise within one process. Source: RFC 9562, sections 5.7 and 6.2 (method 1 with a 12-bit counter).

Time goes first, so ids sort by birth and evidence searched by id is searched by time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from uuid import UUID

_COUNTER_LIMIT = 1 << 12  # rand_a: the ids of one millisecond that stay in order
_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62


def milliseconds() -> int:
    """Unix time, as UUIDv7 wants it."""
    return time.time_ns() // 1_000_000


class Ids:
    """
    Mints ids, lower-case with dashes.

    :param now: Unix milliseconds. A clock that steps back does not make an id smaller than the last.
    :param entropy: that many random bits.
    """

    def __init__(
        self, now: Callable[[], int] = milliseconds, entropy: Callable[[int], int] = secrets.randbits
    ) -> None:
        self._now, self._entropy = now, entropy
        self._stamp, self._count = -1, 0

    def __call__(self) -> str:
        stamp = self._now()
        if stamp > self._stamp:
            # Start in the lower half: at least 2048 ids follow before the stamp must run ahead.
            self._stamp, self._count = stamp, self._entropy(11)
        else:
            self._count += 1
            if self._count == _COUNTER_LIMIT:
                self._stamp, self._count = self._stamp + 1, 0
        number = (self._stamp & (1 << 48) - 1) << 80 | _VERSION | self._count << 64 | _VARIANT | self._entropy(62)
        return str(UUID(int=number))
