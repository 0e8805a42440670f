"""
What a ledger tells of each segment, from birth to expiry: one pass over its entries, however many heads there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.notary.layout import Files
from gateway.notary.ledger import named


Events = Mapping[str, Mapping[str, Any]]
"""Of one segment: what happened, by its name, to the entry by its fields' names."""


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


def lives(entries: Iterable[Sequence[Any]]) -> dict[int, Life]:
    """By number, in the order in which they are first named. Without heads in `entries`, `seen` tells of no place in the ledger."""
    found: dict[int, Life] = {}
    for place, entry in enumerate(entries):
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


def by_segment(entries: Iterable[Sequence[Any]]) -> dict[int, dict[str, dict[str, Any]]]:
    """What happened to each segment that began, of a ledger's entries without its heads."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    tell(found, entries)
    return found


def tell(found: dict[int, dict[str, dict[str, Any]]], entries: Iterable[Sequence[Any]]) -> None:
    """More of the same, behind what `found` was made of."""
    for event in map(named, entries):
        if "segment" in event and (event["what"] == "seg.open" or event["segment"] in found):
            found.setdefault(event["segment"], {})[event["what"]] = event


def absent(number: int, events: Events, files: Files | None) -> str:
    """What the ledger names of a segment and is not here, as `verify` says it too; "" for nothing. Of what began alone."""
    if files is None:
        return f"segment {number} was removed: it is in the ledger and not here"
    if files[1] is None and "seg.seal" in events and "body.expire" not in events:
        return f"segment {number}: its bodies were removed"
    return ""


_SIZED = {"seg.close", "seg.seal"}
