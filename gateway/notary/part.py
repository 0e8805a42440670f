"""
The notary as a part of the house: what the supervisor starts, switches and drains. Imports nothing of control's, so that
its process starts without what only control and workers need.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from gateway.boot import Boot, Peers
from gateway.config import Config
from gateway.notary.process import Notary
from gateway.parts import CannotSwitch, Reloader, shared


class NotaryPart:
    """The notary, on its UNIX socket."""

    def __init__(self, boot: Boot, config: Config, peers: Peers, reactor: Any) -> None:
        self._boot, self._peers = boot, peers
        self._notary = Notary(config.audit, config.name, config.state, peers, reactor, first=boot.first)
        self._drained: Deferred[None] | None = None

    def start(self) -> None:
        """Workers may connect before the store is open: they are told so."""
        self._notary.startService()
        self._notary.listen(Path(self._boot.sockets["notary"]))

    def prepare(self, revision: int, config: Config) -> None:
        """`[audit]` takes a restart, so there is nothing here that a reload changes."""

    def record(self, revision: int, by: str) -> None:
        raise CannotSwitch("the notary records what it is told, nothing of its own")

    def refuse(self, revision: int, told: str) -> None:
        raise CannotSwitch("control records who asked for what")

    def look(self, revision: int) -> None:
        raise CannotSwitch("control looks at the configuration")

    def switch(self, revision: int) -> None:
        """See `prepare`."""

    def drain(self, patience: float) -> Deferred[None]:
        """Commit what came, close the store."""
        if self._drained is None:
            self._drained = self._notary.stopService()
        return shared(self._drained)


def notary(boot: Boot, config: Config, peers: Peers, reload: Reloader, reactor: Any) -> NotaryPart:
    """As gateway.parts.Build."""
    return NotaryPart(boot, config, peers, reactor)
