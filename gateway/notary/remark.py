"""A record of the notary's own that nobody waits for: what it noticed of its store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.notary.entry import Entry
from gateway.notary.store import Store


class Remark:
    """
    As gateway.notary.writer.Job.

    :param unsaid: told that it could not be recorded.
    """

    first = False

    def __init__(self, packed: bytes, unsaid: Callable[[], object]) -> None:
        self._packed, self._unsaid = packed, unsaid
        self.weight = 1, len(packed)

    def entries(self, store: Store) -> Sequence[Entry]:
        return [store.own(self._packed)]

    def done(self, refusals: Sequence[str]) -> None:
        """It is in the evidence."""

    def failed(self, why: str) -> None:
        self._unsaid()
