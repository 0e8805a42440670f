"""
What goes to a target in its order, behind what lies in a spool, which is read as fast as the target takes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from protocols.spool import Spool

TURN = 4 << 20
"""Bytes of spools that are sent in one turn of the reactor: other sessions have theirs in between."""


class Tap:
    """Tells one side to stop reading while the other side's buffer is full: Twisted's IPushProducer, without its word."""

    def __init__(self, pause: Callable[[bool], None]) -> None:
        self._pause = pause

    def pauseProducing(self) -> None:
        self._pause(True)

    def resumeProducing(self) -> None:
        self._pause(False)

    def stopProducing(self) -> None:
        """The transport is closing; its connectionLost tells the rest."""


class Outflow:
    """What goes to the target in its order while some of it lies in a spool; what comes behind that waits here."""

    def __init__(
        self, write: Callable[[bytes], None], later: Callable[[Callable[[], None]], object],
        *, ended: Callable[[], None], failed: Callable[[BaseException], None],
    ) -> None:
        """
        :param write: to the target.
        :param later: calls in the reactor's next turn.
        :param ended: called when nothing waits any more.
        :param failed: called with what reading a spool raised; nothing more is sent.
        """
        self._write, self._later, self._ended, self._failed = write, later, ended, failed
        self._parts: deque[bytes | Spool] = deque()
        self._full = self._sending = self._due = False

    def push(self, parts: Iterable[bytes | Spool]) -> None:
        """Send these behind what waits."""
        self._parts.extend(parts)
        self._send()

    def full(self, on: bool) -> None:
        """The target's own buffer is full, or has room again."""
        self._full = on
        if not on:
            self._send()

    def discard(self) -> None:
        """Send nothing more."""
        for part in self._parts:
            if not isinstance(part, bytes):
                part.close()
        self._parts.clear()

    def _next_turn(self) -> None:
        self._due = False
        self._send()

    def _send(self) -> None:
        if self._sending or self._due or not self._parts:
            return
        self._sending = True
        try:
            self._some()
        except Exception as error:  # as the adapter's edge: a spool that cannot be read ends one session
            self.discard()
            self._failed(error)
            return
        finally:
            self._sending = False
        if not self._parts:
            self._ended()

    def _some(self) -> None:
        room = TURN
        while self._parts and not self._full:
            part = self._parts[0]
            if isinstance(part, bytes):
                self._parts.popleft()
                self._write(part)
            elif room <= 0:
                self._due = True
                self._later(self._next_turn)
                return
            elif piece := part.read():
                room -= len(piece)
                self._write(piece)
            else:
                part.close()
                self._parts.popleft()
