"""
TLS in front of a PostgreSQL that has none: SSLRequest is answered, the handshake done, and bytes passed on.

As stunnel with `protocol = pgsql` would. Clients that do not ask for TLS are hung up on, so
nothing crosses the network in clear.

Source: PostgreSQL 18 manual, section 54.2.11, "SSL Session Encryption".
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import Any

from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol

from gateway.line import Line
from gateway.tls import ServerTls

_SSL_REQUEST = Struct("!II").pack(8, 80877103)  # length, code


class Inner(Protocol):
    """The connection to the server's UNIX socket."""

    def __init__(self, outer: Outer) -> None:
        self._outer = outer

    def connectionMade(self) -> None:
        self._outer.joined(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._outer.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._outer.transport.loseConnection()


class Outer(Protocol):
    """A client's connection."""

    def __init__(self, tls: ServerTls, server: UNIXClientEndpoint) -> None:
        self._tls, self._server = tls, server
        self._head = b""
        self._secure = False
        self._inner: Any = None

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self))

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.write(data)
            return
        self._head += data
        if not self._secure:
            self._begin()

    def joined(self, inner: Any) -> None:
        """The server is there: from here on each side's pace holds the other back."""
        self._inner = inner
        inner.registerProducer(self.transport, True)
        self.transport.registerProducer(inner, True)
        inner.write(self._head)
        self.transport.resumeProducing()

    def connectionLost(self, reason: Any = None) -> None:
        if self._inner is not None:
            self._inner.unregisterProducer()
            self._inner.loseConnection()

    def _begin(self) -> None:
        if not _SSL_REQUEST.startswith(self._head):  # plain text, or bytes behind the request
            self.transport.abortConnection()
        elif self._head == _SSL_REQUEST:
            self._secure, self._head = True, b""
            self.transport.write(b"S")
            self.transport.start_tls(self._tls)
            self.transport.pauseProducing()
            joining = self._server.connect(Factory.forProtocol(lambda: Inner(self)))
            joining.addErrback(lambda _: self.transport.abortConnection())


class Front(Factory):
    """
    Accepts clients for the server whose UNIX socket is `socket`.

    :raises gateway.tls.TlsProblem: the certificate cannot be used.
    """

    noisy = False

    def __init__(self, reactor: Any, socket: Path, certificate: Path, key: Path) -> None:
        self._tls = ServerTls(certificate, key)
        self._server = UNIXClientEndpoint(reactor, str(socket))

    def buildProtocol(self, addr: IAddress | None) -> Outer:
        return Outer(self._tls, self._server)
