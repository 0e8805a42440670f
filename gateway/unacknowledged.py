"""
What the notary had been given when it went away, and had not acknowledged: some of it is recorded all the same, the rest is given again.

Who waited has been told that nothing is recorded, so a command does not run whose intent was among it. All else is of what has happened
(a session began or ended, a command was refused or ended, a recording's parts, notes), or is how an intent that is recorded came to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from gateway.notary.record import COMMON, Kind

_KIND, _REF = COMMON.index("kind"), COMMON.index("ref")


class Unacknowledged:
    """One journal's records, by their sequence there."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: list[tuple[int, list[Any]]] = []

    def keep(self, last: int, items: Sequence[list[Any]]) -> None:
        """An append, whose last record has that sequence."""
        self._items += enumerate(items, last - len(items) + 1)

    def take(self, durable: int, base: int, worker: int | None) -> list[list[Any]]:
        """
        What has to be given again, in its order; nothing is kept then.

        :param durable: the sequence up to which everything is recorded.
        :param base: what is taken from a sequence to be the notary's own of that `worker`, under which they were given.
        """
        kept, self._items = self._items, []
        return [item for sequence, item in kept if sequence > durable and _is_due(item[0], worker, durable - base)]


def _is_due(packed: bytes, worker: int | None, durable: int) -> bool:
    """An intent is not, and neither is what came of an intent that is not recorded."""
    fields = msgpack.unpackb(packed, raw=False)
    if fields[_KIND] == Kind.INTENT:
        return False
    ref = fields[_REF]
    return ref is None or ref[0] != worker or ref[1] <= durable
