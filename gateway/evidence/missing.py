"""
What a ledger names and a store has not: segments, and bodies that nobody let expire. A search cannot have looked there.

Presence alone; whether what is here is what was recorded, `gateway.notary.verify` says.
"""

from __future__ import annotations

from collections.abc import Iterator

import lmdb

from gateway.evidence.view import View
from gateway.notary.environment import Unfit
from gateway.notary.ledger import LedgerError
from gateway.notary.lives import absent, by_segment
from gateway.notary.record import BadRecord


def missing(view: View) -> list[str]:
    """A sentence of each. On a live store of what is missing still at a second look: files move while it seals and expires."""
    return [why for _, why in lacking(view)]


def lacking(view: View) -> list[tuple[int | None, str]]:
    """The same, each with the number of its segment; None of the ledger itself."""
    return list(_lacking(view)) and list(_lacking(view))


def _lacking(view: View) -> Iterator[tuple[int | None, str]]:
    try:
        told = by_segment(view.events())
    except (Unfit, lmdb.Error, LedgerError, BadRecord) as e:
        yield None, f"ledger: {e}"
        return
    for number, events in told.items():
        if why := absent(number, events, view.files(number)):
            yield number, why
