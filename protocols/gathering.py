"""
Several reads of a target's shown to the relay as one, while each of them ends inside a message.

Where a message is cut, more is certain to follow: what waits for it is never the end of an answer. A server sends rows
8 KiB at a time, and what a read costs beside its bytes is paid once for all that are gathered: first here, and behind
MUCH of one answer by the system, which wakes nobody before there is PLENTY. Then an answer's last bytes wait too, since
nobody can tell them from the others: PATIENCE at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ENOUGH = 64 << 10
"""Bytes that are gathered here."""

LONGEST = 0.001
"""Seconds that whole rows may wait for the rest of the last one, if their server takes its time over it."""

SMALL = 4096
"""Bytes. A smaller read is shown at once, unless others are before it: a server cuts no answer that is so short."""

MUCH = 1 << 20
"""Bytes of one answer behind which the system gathers: it took so long that PATIENCE more is little."""

PLENTY = 256 << 10
"""Bytes that the system gathers."""

PATIENCE = 0.004
"""Seconds that it may take over them."""


class Gathering:
    """Reads in, in order; one piece out."""

    __slots__ = ("_came", "_cut", "_deep", "_later", "_least", "_over", "_parts", "_show", "_size", "_timer", "_wait_for")  # each session has one

    def __init__(
        self, later: Callable[..., Any], cut: Callable[[bytes], bool], show: Callable[[bytes], None], wait_for: Callable[[int], None]
    ) -> None:
        """
        :param later: a clock's `callLater`.
        :param cut: whether a read ends inside a message, told of each read that is not shown yet; of b"": whether more of the answer
            is certain to follow what was shown.
        :param wait_for: makes the next read one of so many bytes at least, or of the last ones.
        """
        self._later, self._cut, self._show, self._wait_for = later, cut, show, wait_for
        self._parts: list[bytes] = []
        self._size = 0
        self._timer: Any = None
        self._came = 0  # bytes of what seems to be one answer
        self._deep = False  # the system gathers
        self._least = 1  # bytes that it was last told to wait for
        self._over = False

    @property
    def idle(self) -> bool:
        """Whether nothing is gathered, here or by the system."""
        return not (self._parts or self._came or self._deep)

    def add(self, data: bytes) -> None:
        """A read: shown now with those before it, or soon."""
        if self._deep:
            self._show(data)
            self._dive()
            return
        if not self._parts and len(data) < SMALL:
            self._show(data)
            if self._came:
                self._shown()
            return
        self._size += len(data)
        self._parts.append(data)
        if self._size < ENOUGH and self._cut(data):
            if self._timer is None:
                self._timer = self._later(LONGEST, self._late)
            return
        self.flush()
        self._shown()

    def _shown(self) -> None:
        """One read, or some as one."""
        if self._came >= MUCH:
            self._dive()
        elif not self._cut(b""):
            self._came = 0

    def _dive(self) -> None:
        """Much has come of one answer: if more is certain to, the system gathers it."""
        self._deep = not self._over and self._cut(b"")
        if not self._deep:
            self._came = 0
            self._surface()
            return
        if self._least == 1:
            self._least = PLENTY
            self._wait_for(PLENTY)
        if self._timer is None:
            self._timer = self._later(PATIENCE, self._late)
        else:
            self._timer.reset(PATIENCE)

    def _surface(self) -> None:
        """Take whatever there is."""
        self._stop()
        if self._least > 1:
            self._least = 1
            self._wait_for(1)

    def _late(self) -> None:
        self._timer = None
        self._surface()
        self.flush()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def flush(self) -> None:
        """Show what there is."""
        self._came += self._size
        parts, self._parts, self._size = self._parts, [], 0
        self._stop()
        if parts:
            self._show(parts[0] if len(parts) == 1 else b"".join(parts))

    def discard(self) -> None:
        """The session is over: nothing is waited for."""
        self._parts, self._size, self._over = [], 0, True
        self._surface()
