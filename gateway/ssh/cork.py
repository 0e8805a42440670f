"""
What a leg says in one turn: packet behind packet in room that belongs to the process, until it leaves in one write.

Only sealed bytes are ever in that room. A transport that it is written to keeps none of it: what does not leave at once is copied.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.ssh.codec import PACKET_LIMIT, SLACK, Sealer

ROOM = PACKET_LIMIT + (128 << 10)
"""Bytes: the longest packet, and half of what a read brings (`gateway.line.LENT`); more leaves in two writes."""

_free: list[memoryview] = []


class Cork:
    """Of one leg, from `Leg.cork` to `Leg.uncork`."""

    def __init__(self, sealer: Sealer, write: Callable[[memoryview], None]) -> None:
        self._sealer, self._write = sealer, write
        self._room = _free.pop() if _free else memoryview(bytearray(ROOM))
        self._at = 0

    def seal(self, payload: bytes | memoryview) -> None:
        """
        One message.

        :raises LocalError: as `Sealer.seal_into`.
        """
        if self._at + len(payload) + SLACK > ROOM:
            self._leave()
        self._at = self._sealer.seal_into(payload, self._room, self._at)

    def pull(self) -> None:
        """All of it leaves; the last thing that is asked of it."""
        try:
            self._leave()
        finally:
            _free.append(self._room)

    def _leave(self) -> None:
        at, self._at = self._at, 0
        if at:
            self._write(self._room[:at])
