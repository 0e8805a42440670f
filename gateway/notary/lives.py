"""
What a ledger tells of each segment, from birth to expiry: one pass over its entries, however many heads there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.notary.ledger import named
from gateway.notary.record import unpack


@dataclass(slots=True)
class Life:
    """One segment's. `seen` are (place in the ledger, size, root), of all that was ever said of its records."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)  #: what, but for heads: the entry by its fields' names
    seen: list[tuple[int, int, bytes]] = field(default_factory=list)

    @property
    def opened(self) -> dict[str, Any] | None:
        """None for a segment that is told of and never began."""
        return self.events.get("seg.open")

    @property
    def closed(self) -> dict[str, Any] | None:
        return self.events.get("seg.close")

    @property
    def promised(self) -> tuple[tuple[int, bytes], ...]:
        """(size, root) pairs that its records must agree with."""
        return tuple(dict.fromkeys((size, root) for _, size, root in self.seen))

    def size_at(self, place: int) -> int:
        """Its last size in the first `place` entries; 0 when it is not in them."""
        return next((size for at, size, _ in reversed(self.seen) if at < place), 0)


def lives(packed: Iterable[bytes]) -> dict[int, Life]:
    """
    By number, in the order in which they are first named.

    :raises BadRecord: an entry is not msgpack.
    """
    found: dict[int, Life] = {}
    for place, leaf in enumerate(packed):
        entry = unpack(leaf)
        if entry[0] == "head":  # nearly all of them, in a ledger that is old
            _, _, _, number, size, root, *_ = entry
            found.setdefault(number, Life()).seen.append((place, size, root))
            continue
        event = named(entry)
        if "segment" not in event:
            continue
        life = found.setdefault(event["segment"], Life())
        life.events[event["what"]] = event
        if event["what"] in _SIZED:
            life.seen.append((place, event["size"], event["root"]))
    return found


_SIZED = {"seg.close", "seg.seal"}
