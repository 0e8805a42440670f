"""
Where a message lies that is too large to be held in memory, until it may leave: what a relay writes to, and an
adapter reads from. `gateway.spool` is it.
"""

from __future__ import annotations

from typing import Protocol


class NoRoom(Exception):
    """The spool takes no more. Its text is for the client."""


class Spool(Protocol):
    """One message's bytes, written in order, then read in order."""

    def write(self, data: bytes) -> None:
        """Put them behind what is there. Raises NoRoom."""

    def read(self) -> bytes:
        """The next piece, at most a few hundred KiB; b"" at the end. Nothing can be written any more."""

    def close(self) -> None:
        """Forget all of it. Any number of times."""


class Spools(Protocol):
    """What makes them."""

    def open(self) -> Spool:
        """A new one, empty. Raises NoRoom."""
