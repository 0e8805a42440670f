"""
A target's message too large to collect, on its way to the client: piece by piece as it comes,
or kept until masks are in, since a row's length comes before its cells.
"""

from __future__ import annotations

from protocols.effects import Effect, ToClient
from protocols.errors import PeerError
from protocols.kernel import mask_rows
from protocols.postgres.codec import Opened, encode_head
from protocols.postgres.running import Running

MASKED_ROW_LIMIT = 64 << 20
"""Bytes of one row that must be masked on the wire."""

_AHEAD = {b"D": 2, b"V": 0}
"""Bytes in front of the first length: the number of cells in DataRow, nothing in FunctionCallResponse. CopyData has none."""


class Passage:
    """One message: `begin`, each `piece`, `end`."""

    def __init__(self, opened: Opened, running: Running) -> None:
        """
        :raises PeerError: it must be masked and is too large for that.
        """
        masked = opened.tag == b"D" and running.plan is not None and not running.plan.clean
        if masked and opened.length > MASKED_ROW_LIMIT:
            raise PeerError("a row too large to be masked on the wire")
        self._head, self._tag, self._running = encode_head(*opened), opened.tag, running
        self._kept: list[bytes] | None = [self._head] if masked else None

    @property
    def passing(self) -> bool:
        """Whether the client gets the pieces as they come."""
        return self._kept is None and not self._running.cut

    def begin(self) -> list[Effect]:
        if self._running.search is not None:
            self._running.search.begin(_AHEAD.get(self._tag))
        return [ToClient(self._head)] if self.passing else []

    def piece(self, data: bytes) -> list[Effect]:
        """Some of its body."""
        if self.passing and self._running.search is not None:
            data = self._running.search.piece(data)
        return self._pass(data)

    def _pass(self, data: bytes) -> list[Effect]:
        if self._tag == b"d":
            self._running.copy(data)
        if self.passing:
            return [ToClient(data)] if data else []
        if self._kept is not None and not self._running.cut:
            self._kept.append(data)
        return []

    def end(self) -> list[Effect]:
        """Its body was whole."""
        if self._running.cut:
            return []
        search = self._running.search
        if self._kept is None:
            return self._pass(search.piece(b"", last=True)) if search is not None else []
        data, masked = mask_rows(b"".join(self._kept), self._running.plan.cells)
        self._running.cells_masked += masked
        if search is not None:
            data, masked = search.rows(data, self._running.columns)
            self._running.cells_masked += masked
        return [ToClient(data)]
