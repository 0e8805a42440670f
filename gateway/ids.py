"""
UUIDv7s that rise within one process, and what people mean who write only the beginning of one. Source: RFC 9562, sections 5.7 and 6.2 (method 1 with a 12-bit counter).

Time goes first, so ids sort by birth and evidence searched by id is searched by time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from uuid import UUID

_COUNTER_LIMIT = 1 << 12  # rand_a: the ids of one millisecond that stay in order
_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62


WHOLE = 36
"""Characters of an id."""
LEAST = 6
"""Characters of one that are taken for it; fewer are a slip of the hand."""


def meant(given: str, ids: Iterable[str]) -> list[str]:
    """Of these the one that is given, or those that begin so, in any case and sorted."""
    given = given.lower()
    found = sorted({one for one in ids if one.startswith(given)}) if len(given) >= LEAST else []
    return [given] if given in found else found


def several(given: str, found: list[str], about: Mapping[str, str] = MappingProxyType({})) -> str:
    """That more than one is meant, and which; for a person. `about`: what tells them apart, by id."""
    shown = ", ".join(f"{one} ({about[one]})" if about.get(one) else one for one in found[:5]) + (f" and {len(found) - 5} more" if found[5:] else "")
    return f"{len(found)} sessions begin with {given}: {shown}; write more of its id"


def born(one: str) -> int:
    """When an id was minted, in Unix milliseconds."""
    return UUID(one).int >> 80


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
