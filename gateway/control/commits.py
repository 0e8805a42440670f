"""
Commits under way that may change what names mean: every other worker knows of one before it is sent.

A server lets go of its locks before it says that it has committed, so what waited for them in another worker may bring
its rows before any news of the commit. Whoever knows beforehand shows no rows meanwhile that were judged before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure

from gateway.control.errors import ControlError, ControlUnavailable

if TYPE_CHECKING:
    from addons.needs import Clock
    from gateway.control.desk import Desk

GATHERING = 5.0
"""Seconds after control's start in which workers that live come back to it; until then all that there should be are waited for."""

ANSWER = 3.0
"""Seconds that a worker may take to say that it knows."""


class Commits:
    """
    :param desks: of the workers that are there; changes in place.
    :param workers: how many there should be.
    """

    def __init__(self, desks: Collection[Desk], clock: Clock, workers: int) -> None:
        self._desks, self._clock, self._workers = desks, clock, workers
        self._under_way: dict[str, tuple[Desk, str, str]] = {}
        self._born = clock.seconds()
        self._gathering: list[Deferred[None]] = []  #: wait for workers that are not back yet

    def begins(self, desk: Desk, key: str, target: str, database: str) -> Deferred[None]:
        """Fires when every other worker knows; fails with `ControlUnavailable` where one does not say so."""
        self._under_way[key] = desk, target, database
        return self._gathered().addCallback(lambda _: self._tell(desk, key, target, database))

    def joined(self, desk: Desk, commits: Sequence[tuple[str, str, str]]) -> list[list[str]]:
        """A worker came, with what it is committing; what all others are."""
        for key, target, database in commits:
            self._under_way[key] = desk, target, database
            self._tell(desk, key, target, database).addErrback(lambda _: None)  # what it sent is not held back any more
        if len(self._desks) >= self._workers:
            self._go_on()
        return [[key, target, database] for key, (other, target, database) in self._under_way.items() if other is not desk]

    def ended(self, desk: Desk, key: str) -> None:
        if self._under_way.get(key, (None,))[0] is desk:
            del self._under_way[key]
            self._push(desk, "commit_ended", key)

    def left(self, desk: Desk) -> None:
        """Its worker is gone, and nobody knows what became of what it sent."""
        for key, (whose, target, database) in list(self._under_way.items()):
            if whose is desk:
                self._push(desk, "catalog", [target, database])
                self.ended(desk, key)

    def _tell(self, desk: Desk, key: str, target: str, database: str) -> Deferred[Any]:
        if key not in self._under_way:  # it ended while it was waited for others
            return succeed(None)
        asked = [other.link.call("commit_begins", key=key, target=target, database=database) for other in self._others(desk)]
        for one in asked:
            one.addTimeout(ANSWER, self._clock)
        told = gatherResults(asked, consumeErrors=True)
        return told.addCallbacks(lambda _: None, _untold)

    def _push(self, desk: Desk, name: str, value: Any) -> None:
        for other in self._others(desk):
            other.push(name, value)

    def _others(self, desk: Desk) -> list[Desk]:
        return [other for other in self._desks if other is not desk and other.link is not None]

    def _gathered(self) -> Deferred[None]:
        """Fires when the workers are there that may have sessions."""
        left = self._born + GATHERING - self._clock.seconds()
        if left <= 0 or len(self._desks) >= self._workers:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        if not self._gathering:
            self._clock.callLater(left, self._go_on)
        self._gathering.append(waiting)
        return waiting

    def _go_on(self) -> None:
        gathering, self._gathering = self._gathering, []
        for one in gathering:
            one.callback(None)


def _untold(failure: Failure) -> ControlError:
    raise ControlUnavailable("another worker does not say that it knows of this commit; try again shortly")
