"""
Records that a notary does not have, for the one that comes next: what the last one had been given and had not acknowledged when it went
away, of which some may be recorded all the same; and what ended, was refused or was worth a note while there was none.

Who waited has been told that nothing is recorded, so a command does not run whose intent was among it, and nothing begins meanwhile. All
else is of what has happened. A worker that dies with it leaves what recovery writes: outcomes that are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgpack

from gateway.notary.record import COMMON, Kind

LIMIT = 4096
"""Refusals and notes that there is room for; of outcomes and ends there are no more than what ran, and each has room."""

BYTES = 8 << 20
"""Of those refusals and notes."""

_KIND, _REF = COMMON.index("kind"), COMMON.index("ref")
_BOUNDED_BY_THEMSELVES = {Kind.OUTCOME, Kind.CLOSED, Kind.RECORDED}


class Owed:
    """One journal's, in their order."""

    __slots__ = ("_items", "_count", "_size", "missed")

    def __init__(self) -> None:
        self._items: list[tuple[float, list[Any]]] = []
        self._count = self._size = 0
        self.missed = 0  #: how many there was no room for

    def keep(self, last: int, items: Sequence[list[Any]]) -> None:
        """An append that was given, or about to be: its last record has that sequence."""
        self._items += enumerate(items, last - len(items) + 1)

    def add(self, kind: int, item: list[Any]) -> bool:
        """One that could not be given; whether there is room for it."""
        if kind not in _BOUNDED_BY_THEMSELVES:
            size = len(item[0]) + len(item[1])
            if self._count >= LIMIT or self._size + size > BYTES:
                self.missed += 1
                return False
            self._count, self._size = self._count + 1, self._size + size
        self._items.append((math.inf, item))
        return True

    def take(self, durable: int, base: int, worker: int) -> tuple[list[list[Any]], int]:
        """
        What is to be given now, and how many were missed; nothing is owed then.

        :param durable: the sequence up to which everything is recorded.
        :param base: what is taken from a sequence to be that of `worker` at the notary, under which they were given.
        """
        items, missed = self._items, self.missed
        self._items, self._count, self._size, self.missed = [], 0, 0, 0
        return [item for sequence, item in items if sequence > durable and _is_due(item[0], worker, durable - base)], missed


def _is_due(packed: bytes, worker: int, durable: int) -> bool:
    """An intent is not, and neither is what came of an intent that is not recorded."""
    fields = msgpack.unpackb(packed, raw=False)
    if fields[_KIND] == Kind.INTENT:
        return False
    ref = fields[_REF]
    return ref is None or ref[0] != worker or ref[1] <= durable
