"""
Twisted endpoint strings to bound, listening stream sockets, and those sockets to ports in another process.

The supervisor binds and never accepts; workers adopt and never bind. A worker can then
be replaced while clients wait in the kernel's queue instead of being refused.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Any

from twisted.internet import endpoints
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory

BACKLOG = 4096
"""Connections the kernel keeps while workers start; it trims this to net.core.somaxconn."""

TWISTED_BACKLOG = 50  # what an endpoint string means when it does not say


_MEND = "correct that endpoint"
_MENDS = {  # by what the system says
    errno.EADDRINUSE: "stop what listens there (`make run`, if it still runs, or another gateway), or write another port",
    errno.EACCES: "ports below 1024 take the right to bind them (CAP_NET_BIND_SERVICE); write another port, or let systemd listen there",
}

STREAMS = ("tcp", "tcp6", "systemd")
"""
Endpoint types that are one plain stream socket which processes can share. Twisted's UNIX port is none:
closing one shuts the socket down and removes its path for everybody.
"""


class CannotListen(Exception):
    """An endpoint string that is wrong, is no plain stream socket, or cannot be bound. Its text says the mend."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """A listening socket as a child finds it: a descriptor and its address family."""

    fd: int
    family: int


def bind(endpoint: str) -> socket.socket:
    """
    A listening, non-blocking socket for a Twisted endpoint string (tcp, tcp6 or systemd).

    :raises CannotListen: the string is wrong, asks for TLS or no stream, or the address is taken.
    """
    if endpoint.partition(":")[0] not in STREAMS:
        raise CannotListen(f"{endpoint!r}: use {', '.join(STREAMS)}; TLS is set beside it, not in it")
    binder = _Binder()
    try:
        endpoints.serverFromString(binder, endpoint).listen(Factory()).addErrback(binder.failed)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise CannotListen(f"{endpoint!r} is no endpoint: {error}; write for example tcp:6432") from None
    if binder.bound is None:
        raise CannotListen(f"{endpoint!r} cannot be bound: {binder.why}; {_MENDS.get(binder.number, _MEND)}")
    return binder.bound


def adopt(reactor: Any, inherited: Inherited, factory: IProtocolFactory) -> IListeningPort:
    """Accept on a descriptor that the supervisor passed. The port owns it from here on."""
    port: IListeningPort = reactor.adoptStreamPort(inherited.fd, inherited.family, factory)
    os.close(inherited.fd)  # the reactor works on a duplicate
    return port


class _Binder:
    """What an endpoint takes for a reactor: binds, and hands nobody a port that accepts."""

    def __init__(self) -> None:
        self.bound: socket.socket | None = None
        self.why, self.number = "", 0

    def failed(self, failure: Any) -> None:
        """Endpoints report most errors through their Deferred."""
        self.why = getattr(failure.value, "strerror", None) or str(failure.value)
        self.number = getattr(failure.value, "errno", None) or 0

    def listenTCP(self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = "") -> None:
        made = socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((interface, port))
            made.listen(BACKLOG if backlog == TWISTED_BACKLOG else backlog)
        except OSError:
            made.close()
            raise
        self.bound = made

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        if addressFamily not in (socket.AF_INET, socket.AF_INET6):
            raise ValueError("only TCP sockets can be shared by workers")
        self.bound = socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM)
        self.bound.setblocking(False)
