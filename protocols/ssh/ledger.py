"""
Flow-control credit of one direction of a channel (RFC 4254, 5.2), kept from end to end.

The receiver's window is the sender's: ADJUST passes through. What the gateway adds, drops or
holds back makes the two differ, and this ledger says by how much:

    allowance == room + debt - pending - kept
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_LIMIT = (1 << 32) - 1


class Overrun(Exception):
    """One side sent beyond its window, or opened it beyond 2^32 - 1. That ends its connection."""


@dataclass(slots=True)
class Ledger:
    """
    :ivar allowance: bytes that the sender may still send.
    :ivar room: bytes that the receiver will still take.
    :ivar pending: bytes that came and neither left nor were dropped.
    :ivar debt: bytes the gateway added or lent, whose ADJUST the sender must never see.
    :ivar kept: ADJUST withheld from the sender.
    """

    allowance: int
    room: int
    pending: int = 0
    debt: int = 0
    kept: int = 0
    withheld: bool = False

    @classmethod
    def opened(cls, window: int) -> Ledger:
        """The receiver's initial window, shown to the sender as it is."""
        if not 0 <= window <= WINDOW_LIMIT:
            raise Overrun("initial window out of range")
        return cls(window, window)

    def came(self, count: int) -> None:
        """The sender sent this much."""
        if count > self.allowance:
            raise Overrun("data beyond the window")
        self.allowance -= count
        self.pending += count

    def passes(self, count: int) -> int:
        """How much of what came may leave now; it is taken as sent."""
        count = min(count, self.room, self.pending)
        self.room -= count
        self.pending -= count
        return count

    def dropped(self, count: int) -> int:
        """This much of what came will never leave: the ADJUST to send the sender for it, 0 for none now."""
        if count > self.pending:
            raise ValueError("more dropped than came")
        self.pending -= count
        return self._grant(count)

    def injects(self, count: int) -> int:
        """How much of the gateway's own the receiver takes now; it is taken as sent."""
        count = min(count, self.room)
        self.room -= count
        self.debt += count
        return count

    def lends(self, count: int) -> int:
        """Let the sender send this much before the receiver has room, whose next ADJUST pays for it: the ADJUST to send now."""
        self.debt += count
        return self._grant(count)

    def widened(self, before: int, count: int) -> int:
        """By how much the receiver opens its window, behind another time that is not `adjusted` yet."""
        if self.room + before + count > WINDOW_LIMIT:
            raise Overrun("window adjusted beyond its limit")
        return before + count

    def adjusted(self, count: int) -> int:
        """The receiver opened its window: the ADJUST to pass to the sender, 0 for none."""
        self.widened(0, count)
        self.room += count
        swallowed = min(count, self.debt)
        self.debt -= swallowed
        return self._grant(count - swallowed)

    def withhold(self, on: bool) -> int:
        """Stop or resume passing ADJUST on: what to send the sender now, 0 for none."""
        self.withheld = on
        if on:
            return 0
        kept, self.kept = self.kept, 0
        return self._grant(kept)

    def _grant(self, count: int) -> int:
        if self.withheld:
            self.kept += count
            return 0
        self.allowance += count
        return count
