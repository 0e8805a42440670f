"""
The other side of a desk: a worker's or control's connection to the notary, kept up.

Knows frames and numbers, not what records mean; `gateway.journal` does.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.link import Link
from protocols.errors import Unrecordable

Where = Path | str | socket.socket | Callable[[], socket.socket]
"""A UNIX path, a connected socket (which cannot be connected again), or how to get one."""

_BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between attempts to connect


class Listener(Protocol):
    """Who is told what the notary says of records."""

    def up(self, number: int, last: int = 0, there: Collection[bytes] | None = None) -> None:
        """
        Records are taken, from sequence 1, under this worker number.

        :param last: up to which sequence those are recorded that were given under the number before; 0 where that is not known.
        :param there: this worker's sessions that have not ended by the evidence; None where that is not known.
        """

    def down(self, why: str) -> None:
        """Whatever was not acknowledged is refused, and nothing is taken."""

    def acknowledged(self, last: int, refused: Sequence[tuple[int, str]]) -> None:
        """Everything up to `last` is durable, but for those refused."""


class Denied(Exception):
    """The notary does not know our token."""


class NotaryClient:
    """See the module. Made by `connect`."""

    def __init__(self, reactor: Any, where: Where, token: str) -> None:
        self._reactor, self._where, self._token = reactor, where, token
        self._log = Logger()
        self._link: _ClientLink | None = None
        self._listener: Listener | None = None
        self._asked: dict[int, Deferred[list[Any]]] = {}
        self._next_ask = 1
        self._attempt = 0
        self._closed = False
        self._first: Deferred[NotaryClient] | None = Deferred()
        self._retry: Any = None
        self.worker: int | None = None
        self._numbers: list[int] = []  # all that `worker` ever was
        self.why_down = "not connected to the notary"

    def listen(self, listener: Listener) -> None:
        """From now on, tell `listener`; at once that it is up, when it is."""
        self._listener = listener
        if self.worker is not None:
            listener.up(self.worker)

    def append(self, worker: int, first: int, items: Sequence[Sequence[Any]]) -> None:
        """Send records. The answer goes to the listener."""
        if self._link is not None:
            self._link.send("append", worker, first, items)

    def grant(
        self, name: str, binding: bytes, expires_ns: int, uses: int = 1, request: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> Deferred[list[Any]]:
        """
        Record an approval, which makes the grant spendable (control only).

        :param uses: how often; 0 for any number of times until it expires.
        :returns: fires once it is durable; fails with Unrecordable.
        """
        return self.ask("grant", name, binding, expires_ns, uses, request, dict(facts or {}))

    def admin(self, what: str, facts: Mapping[str, Any]) -> Deferred[list[Any]]:
        """Record something done to evidence or settings; as `grant` (control only)."""
        return self.ask("admin", what, dict(facts))

    def ask(self, op: str, *arguments: Any) -> Deferred[list[Any]]:
        """One question with one answer."""
        if self._link is None:
            return fail(Unrecordable(self.why_down))
        number, self._next_ask = self._next_ask, self._next_ask + 1
        self._link.send(op, number, *arguments)
        answer = self._asked[number] = Deferred()
        return answer

    def close(self) -> None:
        """Disconnect for good."""
        self._closed = True
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        if self._link is not None:
            self._link.transport.loseConnection()

    # Connecting

    def start(self) -> Deferred[NotaryClient]:
        first = self._first
        assert first is not None
        self._connect()
        return first

    def _connect(self) -> None:
        where = self._where
        if isinstance(where, (str, Path)):
            factory = Factory.forProtocol(lambda: _ClientLink(self))
            factory.noisy = False
            UNIXClientEndpoint(self._reactor, str(where)).connect(factory).addErrback(self._unconnected)
            return
        connection = where if isinstance(where, socket.socket) else where()
        connection.setblocking(False)
        self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, _Links(self))
        connection.close()

    def _unconnected(self, failure: Failure) -> None:
        self.why_down = "the notary cannot be reached"
        self._again()

    def _again(self) -> None:
        if self._closed or isinstance(self._where, socket.socket):
            return
        delay = _BACKOFF[min(self._attempt, len(_BACKOFF) - 1)]
        self._attempt += 1
        self._retry = self._reactor.callLater(delay, self._connect)

    # Word from the link

    def connected(self, link: _ClientLink) -> None:
        self._link = link
        link.send("hello", self._token, self._numbers)

    def lost(self) -> None:
        self._link = None
        self._set_down("the connection to the notary was lost")
        self._again()

    def received(self, op: str, *rest: Any) -> None:
        match op:
            case "ack":
                if self._listener is not None and self.worker is not None:
                    self._listener.acknowledged(rest[0], rest[1])
            case "up":
                self._set_up(*rest)
            case "down":
                self._set_down(rest[0])
                self._settled()
            case "done" | "failed":
                self._answered(op, *rest)
            case "denied":
                self._denied(rest[0])

    def _set_up(self, number: int, last: int = 0, there: Collection[bytes] | None = None) -> None:
        self._attempt = 0
        self.worker = number
        self._numbers.append(number)
        if self._listener is not None:
            self._listener.up(number, last, there)
        self._settled()

    def _set_down(self, why: str) -> None:
        self.worker, self.why_down = None, why
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer.errback(Unrecordable(why))
        if self._listener is not None:
            self._listener.down(why)

    def _answered(self, op: str, number: int, *rest: Any) -> None:
        answer = self._asked.pop(number, None)
        if answer is None:
            return
        if op == "done":
            answer.callback(list(rest))
        else:
            answer.errback(Unrecordable(rest[0]))

    def _settled(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.callback(self)

    def _denied(self, why: str) -> None:
        self._closed = True
        self._log.error("the notary refused this process: {why}", why=why)
        first, self._first = self._first, None
        if first is not None:
            first.errback(Denied(why))


class _ClientLink(Link):
    def __init__(self, client: NotaryClient) -> None:
        super().__init__()
        self._client = client

    def connectionMade(self) -> None:
        super().connectionMade()
        self._client.connected(self)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._client.lost()

    def frame_received(self, frame: list[Any]) -> None:
        self._client.received(*frame)


class _Links(Factory):
    noisy = False

    def __init__(self, client: NotaryClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> _ClientLink:
        return _ClientLink(self._client)


def connect(reactor: Any, where: Where, token: str) -> Deferred[NotaryClient]:
    """
    Connect to a notary, and stay connected for as long as `where` can be connected again.

    :returns: fires when the notary has answered, be it that nothing can be recorded
        now (then `worker` is None); fails with Denied.
    """
    return NotaryClient(reactor, where, token).start()
