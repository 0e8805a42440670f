"""
How a session ends whose client is going, or gone, while something of it runs at the target: when that is answered, so that the
evidence says what came of it. Meanwhile there may be nobody to hear the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from protocols.effects import Effect, Hangup, Intend, Malformed, Report, ToClient

PATIENCE = 30.0
"""Seconds in which a target that has answered all may end the connection by itself, which it does at once where it heard a goodbye."""

UNHEARD = 1 << 20
"""Bytes of an answer that are read for nobody. A server that sends more to somebody who is gone finds out, and ends there."""


class Parting:
    """
    Of one session.

    :ivar why: it ends.
    :ivar unsent: numbers of commands that were recorded and never leave, so that nothing answers them.
    :ivar over: whether nothing more goes to the target, as its client did not say goodbye. What is not decided then never is.
    """

    __slots__ = ("_close", "_later", "_timer", "over", "unsent", "why")

    def __init__(self, why: str, unsent: Collection[int], later: Callable[..., Any], close: Callable[[str], None], *, over: bool) -> None:
        """:param later: calls something with something after so many seconds; answers with what can be cancelled."""
        self.why, self.over, self.unsent, self._later, self._close = why, over, frozenset(unsent), later, close
        self._timer: Any = None

    def answered(self, running: Collection[int], *, heard: bool) -> None:
        """
        The session ends where nothing is waited for any more: by the target where its last words are `heard`, now where they are not.

        :param running: numbers of what has no outcome yet.
        """
        if not self.unsent.issuperset(running):
            return
        if not heard:
            self._close(self.why)
        elif self._timer is None:
            self._timer = self._later(PATIENCE, self._close, self.why)

    def left(self, effects: Iterable[Effect]) -> list[Effect]:
        """What of these is still done."""
        stays: list[Effect] = []
        for effect in effects:
            if not self.over or isinstance(effect, ToClient | Report | Hangup | Malformed):
                stays.append(effect)
            elif isinstance(effect, Intend) and not isinstance(effect.data, bytes):
                effect.data.close()
        return stays

    def end(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


class Nobody:
    """Where the client was."""

    __slots__ = ("_enough", "_room")

    def __init__(self, enough: Callable[[], None]) -> None:
        """:param enough: told that there is no sense in hearing more."""
        self._room, self._enough = UNHEARD, enough

    def write(self, data: bytes | memoryview) -> None:
        self._room -= len(data)
        if self._room < 0:
            self._enough()
