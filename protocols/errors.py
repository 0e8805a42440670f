"""
Whose fault it is. Classes say who broke the rules, instances say where.

Anything else that is raised while bytes are read is a bug of ours.
"""

from __future__ import annotations


class WireError(Exception):
    """Bytes on a session that its protocol forbids. Raise a subclass."""

    def __init__(self, why: str, *, offset: int = 0) -> None:
        if type(self) is WireError:
            raise TypeError("raise PeerError or LocalError")
        super().__init__(f"{why} (byte {offset})")
        self.why, self.offset = why, offset


class PeerError(WireError):
    """The other side sent it. Close that side; never crash the reactor."""


class LocalError(WireError):
    """We were about to send it. The session ends; the bytes do not leave."""


class Unrecordable(Exception):
    """The evidence cannot be written now, so nothing may pass. Says why, for the client."""
