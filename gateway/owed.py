"""
Records that a notary does not have, for the one that comes next: what the last one had been given and had not acknowledged when it went
away, of which some may be recorded all the same; and what ended, was refused or was worth a note while there was none.

Who waited has been told that nothing is recorded, so a command does not run whose intent was among it, and nothing begins meanwhile. All
else is of what has happened. A worker that dies with it leaves what recovery writes: outcomes that are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from gateway.notary.record import COMMON, Kind, pack

LIMIT = 4096
"""Refusals and notes that there is room for; of outcomes and ends there are no more than what ran, and each has room."""

BYTES = 8 << 20
"""Of those refusals and notes."""

_KIND, _SESSION, _NUMBER, _REF = (COMMON.index(name) for name in ("kind", "session", "number_in_session", "ref"))
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

    def take(self, durable: int, base: int, worker: int) -> Due:
        """
        What is to be given now; nothing is owed then.

        :param durable: the sequence up to which everything is recorded.
        :param base: what is taken from a sequence to be that of `worker` at the notary, under which they were given.
        """
        due = Due([], {}, self.missed)
        for sequence, (packed, body, terms) in self._items:
            if sequence > durable:
                due.take(packed, body, terms, worker, durable - base)
        self._items, self._count, self._size, self.missed = [], 0, 0, 0
        return due


class Due(NamedTuple):
    """`given_up`: how many of each session's records there will not be; the numbers of those behind them close up. `missed`: see `Owed`."""

    items: list[list[Any]]
    given_up: dict[bytes, int]
    missed: int

    def take(self, packed: bytes, body: bytes, terms: list[str] | None, worker: int, durable: int) -> None:
        """An intent is given up, and so is what came of an intent that is not recorded."""
        fields = msgpack.unpackb(packed, raw=False)
        ref, session = fields[_REF], fields[_SESSION]
        given_up = self.given_up.get(session, 0)
        if fields[_KIND] == Kind.INTENT or (ref is not None and ref[0] == worker and ref[1] > durable):
            self.given_up[session] = given_up + 1
            return
        if given_up:
            fields[_NUMBER] -= given_up
            packed = pack(fields)
        self.items.append([packed, body, terms])
