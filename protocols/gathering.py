"""
Several reads of a target's shown to the relay as one, while each of them ends inside a message.

Where a message is cut, more is certain to follow: what waits for it is never the end of an answer. A server sends rows
8 KiB at a time, and what a read costs beside its bytes is paid once for all that are gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ENOUGH = 64 << 10
"""Bytes. More at once saves nothing: pieces that are much larger are fetched from the system, and zeroed, each time."""

LONGEST = 0.001
"""Seconds that whole rows may wait for the rest of the last one, if their server takes its time over it."""

SMALL = 4096
"""Bytes. A smaller read is shown at once, unless others are before it: a server cuts no answer that is so short."""


class Gathering:
    """Reads in, in order; one piece out."""

    __slots__ = ("_cut", "_later", "_parts", "_show", "_size", "_timer")  # each session has one

    def __init__(self, later: Callable[..., Any], cut: Callable[[bytes], bool], show: Callable[[bytes], None]) -> None:
        """
        :param later: a clock's `callLater`.
        :param cut: whether a read ends inside a message, told of each read that is not shown yet.
        """
        self._later, self._cut, self._show = later, cut, show
        self._parts: list[bytes] = []
        self._size = 0
        self._timer: Any = None

    def add(self, data: bytes) -> None:
        """A read: shown now with those before it, or soon."""
        parts = self._parts
        if not parts and len(data) < SMALL:
            self._show(data)
            return
        self._size += len(data)
        parts.append(data)
        if self._size >= ENOUGH or not self._cut(data):
            self.flush()
        elif self._timer is None:
            self._timer = self._later(LONGEST, self._late)

    def _late(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Show what there is."""
        parts = self._parts
        self.discard()
        if parts:
            self._show(parts[0] if len(parts) == 1 else b"".join(parts))

    def discard(self) -> None:
        """The session is over, or what there was is taken."""
        self._parts, self._size = [], 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
