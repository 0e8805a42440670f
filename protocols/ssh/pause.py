"""
Filters that hold a channel while nobody observes it, where policy wants somebody to. Both directions stop; nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocols.ssh import refusal
from protocols.ssh.filter import Chunk, Filtered


class Pause:
    """
    One channel's. `keys` is the filter of the client's bytes, `screen` that of the target's.

    :param on: whether it begins paused. :param words: what the person is told when it stops, and when it goes on.
    """

    def __init__(self, on: bool, words: tuple[str, str], later: Callable[[float, Callable[[], None]], Any], resume: Callable[[], None]) -> None:
        self._words, self._resume = words, resume
        self.on = on
        self.over = False
        self.keys, self.screen = Gate(self, speaks=False), Gate(self, speaks=True)
        self.notice = words[0] if on else ""
        if on:
            later(0, self._say)

    def turn(self, on: bool) -> None:
        """Stop, or go on."""
        if on != self.on and not self.over:
            self.on, self.notice = on, self._words[0 if on else 1]
            self._resume()

    def _say(self) -> None:
        if self.notice and not self.over:
            self._resume()


class Gate:
    """One direction."""

    def __init__(self, pause: Pause, speaks: bool) -> None:
        self._pause, self._speaks = pause, speaks
        self._held: list[Chunk] = []

    def feed(self, stream: int, data: bytes) -> Filtered:
        """Bytes came."""
        if self._pause.on or self._held:
            self._held.append((stream, data))
            return Filtered()
        return Filtered([(stream, data)])

    def resume(self) -> Filtered:
        """Something changed, here or elsewhere."""
        said = b""
        if self._speaks and self._pause.notice:
            said, self._pause.notice = refusal.line(self._pause.notice), ""
        if self._pause.on:
            return Filtered(ahead=said)
        held, self._held = self._held, []
        return Filtered(held, ahead=said)

    def end(self) -> Filtered:
        """The end comes behind what is held."""
        return self.resume()

    def told(self, stream: int, data: bytes) -> None:
        """The gateway's own words pass."""

    def resized(self, columns: int, rows: int) -> None:
        """Sizes pass."""

    def closed(self) -> None:
        """Nobody hears of it any more."""
        self._pause.over = True
