"""
One record on its way into the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """
    Whose, in which place of its writer's sequence, and what.

    `fields` are the event's. Where they are None, `opens` or `ends` is all that is to be remembered of it: what is open with an intent (session,
    target, command), or which intent it ends (worker, sequence).
    """

    worker: int
    sequence: int
    packed: bytes
    session: bytes
    body: bytes | None = None
    terms: Sequence[str] = ()
    fields: list[Any] | None = None
    opens: tuple[bytes, str, int] | None = None
    ends: tuple[int, int] | None = None

    @classmethod
    def of(cls, worker: int, sequence: int, packed: bytes, fields: list[Any], body: bytes | None = None, terms: Sequence[str] = ()) -> Entry:
        """One whose fields were read."""
        return cls(worker, sequence, packed, fields[1], body, terms, fields)
