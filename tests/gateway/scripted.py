"""A target that says what a test tells it to, on a real loopback socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from gateway.config import Account, TargetEntry
from protocols.command import Transaction
from protocols.postgres import replies as r

READY = (
    r.Authentication(r.AUTH_OK).encode()
    + r.ParameterStatus("server_version", "15.20").encode()
    + r.BackendKey(4711, b"\1\2\3\4").encode()
    + r.ReadyForQuery(Transaction.IDLE).encode()
)

Answer = Callable[[bytes], bytes | None]
"""What to say to what was read; None hangs up."""


class ScriptedTarget:
    """Listens until `close`; every connection is answered by `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.received, self.connections = answer, [], []  # type: ignore[var-annotated]
        self._gone: Deferred[None] = Deferred()
        outer = self

        class Connection(Protocol):
            def connectionMade(self) -> None:
                outer.connections.append(self)

            def dataReceived(self, data: bytes) -> None:
                outer.received.append(data)
                said = outer.answer(data)
                if said is None:
                    self.transport.loseConnection()
                else:
                    self.transport.write(said)

            def connectionLost(self, reason: Any = None) -> None:
                outer.connections.remove(self)
                if not outer.connections and not outer._gone.called:
                    outer._gone.callback(None)

        factory = Factory.forProtocol(Connection)
        factory.noisy = False
        self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")

    @property
    def port(self) -> int:
        return self._port.getHost().port

    def entry(self, tls: str = "off") -> TargetEntry:
        account = Account("app", "app", auth="trust")
        return TargetEntry("clinic", "postgres", "127.0.0.1", self.port, "clinicdb", ("clinicdb",), (account,), tls=tls)

    def deserted(self) -> Deferred[None]:
        """Fires when the last connection has ended."""
        return self._gone

    async def close(self) -> None:
        await self._port.stopListening()
        for connection in list(self.connections):
            connection.transport.abortConnection()
        if self.connections:
            await self._gone
