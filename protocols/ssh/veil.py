"""
The filter that masks what a target shows. What is masked is not this module's: it asks, keeps back what it is told to, and
lets that go when nothing follows for a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from protocols.ssh.filter import Filtered

HELD = 0.03
"""Seconds that output may be kept back in case a value goes on: less than a person notices."""


class Mask(Protocol):
    """One stream: as many bytes leave as came, sooner or later."""

    def feed(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...
    @property
    def holds(self) -> bool: ...


class Veil:
    """
    :param masks: makes a mask; each stream of the channel has its own.
    :param later: as IReactorTime.callLater. :param resume: asks the relay to ask.
    """

    def __init__(self, masks: Callable[[], Mask], later: Callable[[float, Callable[[], None]], Any], resume: Callable[[], None]) -> None:
        self._masks, self._later, self._resume = masks, later, resume
        self._streams: dict[int, Mask] = {}
        self._timer: Any = None
        self._due = False

    def feed(self, stream: int, data: bytes) -> Filtered:
        """Output came."""
        mask = self._streams.get(stream)
        if mask is None:
            mask = self._streams[stream] = self._masks()
        passed = mask.feed(data)
        self._stop()
        if any(each.holds for each in self._streams.values()):
            self._timer = self._later(HELD, self._rings)
        return Filtered([(stream, passed)] if passed else ())

    def resume(self) -> Filtered:
        """What was kept back leaves, if nothing followed it."""
        return self.end() if self._due else Filtered()

    def end(self) -> Filtered:
        """Nothing follows."""
        self._due = False
        self._stop()
        flushed = [(stream, mask.flush()) for stream, mask in self._streams.items()]
        return Filtered([(stream, data) for stream, data in flushed if data])

    def told(self, stream: int, data: bytes) -> None:
        """The gateway's own words hold no values."""

    def resized(self, columns: int, rows: int) -> None:
        """Nothing here knows of columns."""

    def closed(self) -> None:
        """Let go of the timer."""
        self._stop()

    def _rings(self) -> None:
        self._timer, self._due = None, True
        self._resume()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
