"""
What a ledger names and a store has not: segments, and bodies that nobody let expire. A search cannot have looked there.

Presence alone; whether what is here is what was recorded, `gateway.notary.verify` says.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.evidence.view import Damaged, View
from gateway.notary.lives import absent, by_segment


def missing(view: View) -> list[str]:
    """A sentence of each. On a live store of what is missing still at a second look: files move while it seals and expires."""
    return [why for _, why in lacking(view)]


def unread(view: View) -> list[str]:
    """The same, and what is here and not as it was sealed: all of it is read for that."""
    here = [number for number in sorted(view.present()) if view.files(number) is not None]
    return [*missing(view), *(f"segment {number}: {why}" for number in here if (why := view.unfit(number)))]


def lacking(view: View) -> list[tuple[int | None, str]]:
    """The same, each with the number of its segment; None of the ledger itself."""
    return list(_lacking(view)) and list(_lacking(view))


def _lacking(view: View) -> Iterator[tuple[int | None, str]]:
    try:
        told = by_segment(view.events())
    except Damaged as e:
        yield None, e.what
        return
    for number, events in told.items():
        if why := absent(number, events, view.files(number)):
            yield number, why
