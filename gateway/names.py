"""What hosts' names lead to, as this machine's resolver says. Implements `addons.needs.Names`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

PATIENCE = 5.0
"""Seconds until a name that nobody answers for leads nowhere."""


@implementer(IResolutionReceiver)
class _Found:
    """Gathers what a resolver finds."""

    def __init__(self, done: Deferred[frozenset[str]]) -> None:
        self._done, self._found = done, set[str]()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It will say more."""

    def addressResolved(self, address: IAddress) -> None:
        self._found.add(getattr(address, "host", ""))

    def resolutionComplete(self) -> None:
        if not self._done.called:
            self._done.callback(frozenset(self._found))


class Names:
    """By a reactor's resolver, which asks in its threads."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def addresses(self, name: str) -> Deferred[frozenset[str]]:
        """All of them; none for a name that is unknown, or that nobody answers for in time. Never fails."""
        done: Deferred[frozenset[str]] = Deferred()
        self._reactor.nameResolver.resolveHostName(_Found(done), name)
        return done.addTimeout(PATIENCE, self._reactor).addErrback(lambda _: frozenset())
