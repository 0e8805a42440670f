"""A gate without a protocol: says which worker answered, echoes lines, and is a session to its worker."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from gateway.config import Listen


class Echo(LineOnlyReceiver):
    """One connection, one session. "bye" ends it."""

    delimiter = b"\n"

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._id = ""
        self.session = SimpleNamespace(target=SimpleNamespace(name="clinic"), account="rw")
        self.busy = True

    def connectionMade(self) -> None:
        if self._worker.refusing:
            self.sendLine(b"refused: " + self._worker.refusing.encode())
            self.transport.loseConnection()
            return
        self._id = self._worker.new_id()
        self._worker.sessions[self._id] = self
        self.sendLine(f"{self._worker.name} {os.getpid()} {self._worker.revision}".encode())

    def lineReceived(self, line: bytes) -> None:
        if line == b"bye":
            self.transport.loseConnection()
        elif line == b"revision":
            self.sendLine(str(self._worker.revision).encode())
        else:
            self.sendLine(line)

    def connectionLost(self, reason: object) -> None:
        self._worker.sessions.pop(self._id, None)

    def kill(self, why: str) -> None:
        self.sendLine(b"killed: " + why.encode())
        self.transport.loseConnection()

    def reconsider(self) -> None:
        """Nothing is ever held here."""

    def cancel(self) -> None:
        self.sendLine(b"cancelled")


def factory_for(listen: Listen, worker: Any) -> Factory:
    """As gateway.gate's."""
    return Factory.forProtocol(lambda: Echo(worker))
