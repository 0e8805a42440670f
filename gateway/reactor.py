"""
Twisted's epoll reactor with two detours taken out; everything else is Twisted's own.

*Lean*: a ready descriptor is read or written directly, without a logging context around each
event. *Eager*: a write to an idle socket is tried at once, instead of two epoll_ctl and
another turn later; what the kernel does not take goes the usual way. Measured together they
halve what a small message costs. On any other reactor all works as well, only slower.

What it knows of Twisted's inside: EPollReactor.doPoll (internet/epollreactor.py), FileDescriptor's two
buffers (internet/abstract.py), where ports and connectors make their transports (internet/tcp.py, unix.py), and
what TLS writes through (internet/_newtls.py).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import _newtls, tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor


def _write(transport: Any, data: bytes, usually: Callable[[bytes], None]) -> None:
    """Send what the kernel takes now; the rest, and any error, goes the usual way and is met and told there."""
    waits = transport._tempDataBuffer or len(transport.dataBuffer) != transport.offset
    if waits or not data or not transport.connected or transport._writeDisconnected or transport.disconnecting:
        usually(data)
        return
    sent = transport.writeSomeData(data)
    if not isinstance(sent, int) or sent < 0:
        usually(data)
    elif sent < len(data):
        usually(data[sent:])


class _Beneath(FileDescriptor):
    """What TLS writes its records through; called with the transport as `self`, as Twisted does."""

    def write(self, data: bytes) -> None:
        _write(self, data, lambda rest: FileDescriptor.write(self, rest))


class Eager:
    """Mixed in before a stream transport."""

    def write(self: Any, data: bytes) -> None:
        """As ITransport."""
        usually = super().write  # type: ignore[misc]
        if self.TLS:  # then this is for TLS, which comes back beneath
            usually(data)
        else:
            _write(self, data, usually)

    def startTLS(self: Any, contextFactory: Any, normal: bool = True) -> None:
        """As ITLSTransport."""
        _newtls.startTLS(self, contextFactory, normal, _Beneath)


class _TcpServer(Eager, tcp.Server):
    """Accepted."""


class _TcpPort(tcp.Port):
    transport = _TcpServer


class _TcpClient(Eager, tcp.Client):
    """Dialled."""


class _TcpConnector(tcp.Connector):
    def _makeTransport(self) -> _TcpClient:
        return _TcpClient(self.host, self.port, self.bindAddress, self, self.reactor)


class _UnixServer(Eager, unix.Server):
    """Accepted."""


class _UnixPort(unix.Port):
    transport = _UnixServer


class _UnixClient(Eager, unix.Client):
    """Dialled."""


class _UnixConnector(unix.Connector):
    def _makeTransport(self) -> _UnixClient:
        return _UnixClient(self.address, self, self.reactor, self.checkPID)


class LeanReactor(EPollReactor):
    """The reactor of our processes."""

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events and act on them; as EPollReactor, which see."""
        wait = -1.0 if timeout is None else timeout
        try:
            ready = self._poller.poll(wait, len(self._selectables))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        for descriptor, event in ready:
            selectable = self._selectables.get(descriptor)
            if selectable is not None:  # another event of this turn may have closed it
                self._doReadOrWrite(selectable, descriptor, event)

    doIteration = doPoll

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        listening = _TcpPort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: tuple[str, int] | None = None
    ) -> Any:
        connector = _TcpConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenUNIX(self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0) -> Any:
        listening = _UnixPort(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(self, address: str, factory: Any, timeout: float = 30, checkPID: int = 0) -> Any:
        connector = _UnixConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        if addressFamily not in (socket.AF_INET, socket.AF_INET6):
            return super().adoptStreamPort(fileDescriptor, addressFamily, factory)
        listening = _TcpPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        listening.startListening()
        return listening


def install() -> None:
    """Make it this process's reactor; before anything imports `twisted.internet.reactor`."""
    installReactor(LeanReactor())
