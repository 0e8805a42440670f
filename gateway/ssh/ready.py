"""
What SSH's relay asks at once, without a command: which variables may pass, and which filters a channel gets.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.opinions import Opinions
from protocols.ssh.filter import Filters


class Ready:
    """As `protocols.ssh.desk.Opinions`, for one session."""

    def __init__(self, opinions: Opinions, filters: Filters, unforwarded: Callable[[], str]) -> None:
        self._opinions, self.filters, self._unforwarded = opinions, filters, unforwarded

    @property
    def unforwarded(self) -> str:
        """Why no forward may begin now."""
        return self._unforwarded()

    def environment(self, name: bytes, value: bytes) -> bool:
        """Whether a client may set this variable at the target; what is no text changes more than how a program speaks."""
        try:
            return self._opinions.accepts_variable(name.decode(), value.decode())
        except UnicodeDecodeError:
            return False
