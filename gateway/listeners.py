"""
Twisted endpoint strings to bound, listening stream sockets, and those sockets to ports in another process.

The supervisor binds and never accepts; workers adopt and never bind. A worker can then
be replaced while clients wait in the kernel's queue instead of being refused.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet import endpoints
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory

BACKLOG = 4096
"""Connections the kernel keeps while workers start; it trims this to net.core.somaxconn."""

TWISTED_BACKLOG = 50  # what an endpoint string means when it does not say


STREAMS = ("tcp", "tcp6", "unix", "systemd")
"""Endpoint types that are one plain stream socket."""


class CannotListen(Exception):
    """An endpoint string that is wrong, is no plain stream socket, or cannot be bound. Its text says the mend."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """A listening socket as a child finds it: a descriptor and its address family."""

    fd: int
    family: int


def bind(endpoint: str) -> socket.socket:
    """
    A listening, non-blocking socket for a Twisted endpoint string (tcp, tcp6, unix or systemd).

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
        raise CannotListen(f"{endpoint!r} cannot be bound: {binder.why}")
    return binder.bound


def bind_unix(path: str) -> socket.socket:
    """A listening UNIX socket that only this user reaches; a dead one at that path is replaced."""
    _unlink_socket(path)
    return _listening(socket.AF_UNIX, path, BACKLOG, mode=0o600)


def adopt(reactor: Any, inherited: Inherited, factory: IProtocolFactory) -> IListeningPort:
    """Accept on a descriptor that the supervisor passed. The port owns it from here on."""
    port: IListeningPort = reactor.adoptStreamPort(inherited.fd, inherited.family, factory)
    os.close(inherited.fd)  # the reactor works on a duplicate
    return port


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Give addresses back; a UNIX socket's file goes too."""
    for one in sockets:
        path = one.getsockname() if one.family == socket.AF_UNIX else ""
        one.close()
        if isinstance(path, str) and path:
            _unlink_socket(path)


def _unlink_socket(path: str) -> None:
    """Remove what a dead process left; anything but a socket stays, and binding then says so."""
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        os.unlink(path)


def _listening(family: int, address: Any, backlog: int, mode: int | None = None) -> socket.socket:
    """Bind and listen; the socket is closed again when that fails."""
    made = socket.socket(family, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode) if mode is not None else None
    try:
        made.setblocking(False)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(backlog)
    except OSError:
        made.close()
        raise
    finally:
        if before is not None:
            os.umask(before)
    return made


class _Binder:
    """What an endpoint takes for a reactor: binds, and hands nobody a port that accepts."""

    def __init__(self) -> None:
        self.bound: socket.socket | None = None
        self.why = ""

    def failed(self, failure: Any) -> None:
        """Endpoints report most errors through their Deferred."""
        self.why = getattr(failure.value, "strerror", None) or str(failure.value)

    def listenTCP(self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = "") -> None:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        self.bound = _listening(family, (interface, port), _deep(backlog))

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = TWISTED_BACKLOG, mode: int = 0o666, wantPID: int = 0
    ) -> None:
        # `wantPID` is Twisted's lockfile; the supervisor's own lock on the state directory covers it.
        _unlink_socket(address)
        self.bound = _listening(socket.AF_UNIX, address, _deep(backlog), mode)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        self.bound = socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM)
        self.bound.setblocking(False)


def _deep(backlog: int) -> int:
    return BACKLOG if backlog == TWISTED_BACKLOG else backlog
