"""
Twisted's epoll reactor with four detours taken out; everything else is Twisted's own.

*Lean*: a ready descriptor is read or written directly, without a logging context around each
event. *Eager*: a write to an idle UNIX socket, by which our processes speak, is tried at once, instead of two epoll_ctl
and another turn later; what the kernel does not take goes the usual way. *Plain*: such a socket carries bytes alone, so it is
read and written without looking for descriptors that travel along (the kernel closes any that a peer sends). Sessions' TCP connections do the same on any
reactor (`gateway.line`). Measured together they halve what a small message costs. On any other reactor all works as well.

*Prompt*: what is to be done when all that came at once is read (`end_of_turn`) is done then, without a timer of no time.

What it knows of Twisted's inside: EPollReactor.doPoll (internet/epollreactor.py), where UNIX ports and connectors
make their transports (internet/unix.py), and what reading and writing answer (internet/tcp.py, Connection).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from select import EPOLLIN
from typing import Any

from twisted.internet import unix
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.main import CONNECTION_LOST, installReactor
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python import log

from gateway.line import write_eagerly

_told = Logger().failureHandler("while ending a turn of the reactor")  # as Twisted does around a timed call
_FULL = (errno.EWOULDBLOCK, errno.ENOBUFS)


class Eager:
    """Mixed in before a UNIX stream transport."""

    def write(self: Any, data: bytes) -> None:
        """As ITransport."""
        write_eagerly(self, data, super().write)  # type: ignore[misc]

    doRead = Connection.doRead

    def writeSomeData(self: Any, data: bytes) -> int | Exception:
        """How many bytes the kernel took, or that the connection is lost."""
        try:
            return self.socket.send(data)
        except OSError as error:
            return 0 if error.errno in _FULL else CONNECTION_LOST


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

    def __init__(self) -> None:
        self._reading = False
        self._ends: list[Callable[[], object]] = []
        super().__init__()

    def at_end_of_turn(self, call: Callable[[], object]) -> None:
        """See `end_of_turn`. Where nothing is being read, a timer does it."""
        if self._reading:
            self._ends.append(call)
        else:
            self.callLater(0, call)

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events and act on them; as EPollReactor, which see."""
        wait = -1.0 if timeout is None else timeout
        try:
            ready = self._poller.poll(wait, len(self._selectables))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        self._reading = True
        try:
            for descriptor, event in ready:
                selectable = self._selectables.get(descriptor)
                if selectable is None:  # another event of this turn has closed it
                    continue
                if event == EPOLLIN:
                    self._read(selectable)
                else:
                    self._doReadOrWrite(selectable, descriptor, event)
        finally:
            self._reading = False
            self._end()

    def _read(self, selectable: Any) -> None:
        """As `_doReadOrWrite` where there is something to read, and nothing else to be said, which is nearly always."""
        try:
            why = selectable.doRead()
        except BaseException as error:  # as there: it is logged, and ends this connection alone
            why = error
            log.err()
        if why:
            self._disconnectSelectable(selectable, why, True)

    def _end(self) -> None:
        """What was asked for, once each; what they ask for in turn gets a timer."""
        ends, self._ends = self._ends, []
        for call in ends:
            with _told:
                call()

    doIteration = doPoll

    def listenUNIX(self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0) -> Any:
        listening = _UnixPort(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(self, address: str, factory: Any, timeout: float = 30, checkPID: int = 0) -> Any:
        connector = _UnixConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector


def end_of_turn(clock: IReactorTime) -> Callable[[Callable[[], object]], object]:
    """How to have something called once all is read that came at once, on any reactor."""
    return getattr(clock, "at_end_of_turn", None) or partial(clock.callLater, 0)


def install() -> None:
    """Make it this process's reactor; before anything imports `twisted.internet.reactor`."""
    installReactor(LeanReactor())
