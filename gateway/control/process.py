"""
Control as a service: the office behind sockets. In its own process, or inline.

    state/run/control.sock   people (the CLI), same user only, checked by SO_PEERCRED
    listen(path, peers)      workers that show the supervisor's token: ["call", 1, "hello", {"token"}]
    adopt(socket)            a worker over a socketpair, which is its own proof
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from gateway.config import Config
from gateway.control.admin import Admin
from gateway.control.api import serve
from gateway.control.caller import CLI, WORKER, Caller, os_user
from gateway.control.commits import Commits
from gateway.control.desk import Desk
from gateway.control.errors import NotAllowed
from gateway.control.looks import Looks
from gateway.control.office import Office
from gateway.control.outbox import Notary
from gateway.control.rpc import Rpc
from gateway.control.store import Value
from gateway.control.tries import Try
from gateway.frame import peer_credentials
from gateway.whereabouts import place

GRACE = 10.0
"""Seconds after a start in which workers come back for the requests they wait for, and nobody dials targets only to look at them."""

HEARD = 2.0
"""Seconds that whoever says yes to a list waits for workers to know of it, so that its first statement is known for what it is."""

Peers = Callable[[str], str | None]


class Control(Service):
    """
    :param notary: records grants and notes; None refuses every grant until `start` hands one in.
    :param clock: the reactor; also what listens. A test may hand in another clock.
    :param api: whether to serve `[control] listen`.
    """

    name = "control"
    _log = Logger()

    def __init__(self, config: Config, notary: Notary | None, clock: Any, *, api: bool = True, reactor: Any = None) -> None:
        self._config, self._notary, self._clock, self._api = config, notary, clock, api
        self._reactor = reactor or clock
        self._waiting: dict[str, Desk] = {}
        self._links: set[Rpc] = set()
        self._desks: set[Desk] = set()
        self._commits = Commits(self._desks, clock, config.workers if isinstance(config.workers, int) else 1)
        self._ports: list[IListeningPort] = []
        self._grace: Any = None
        self._looks: Looks | None = None
        self.office: Office | None = None

    def startService(self) -> None:
        """
        :raises StoreRefused: the key or the store cannot be used.
        """
        self.office = Office.of(self._config, self._clock)
        self.office.on_answered = self._answered
        self.office.requests.reveals.changed = self._push_reveals
        self.office.requests.lists.changed = self._tell_lists
        self._looks = looks = Looks(self.office, self._reactor)
        self.office.on_look = lambda: looks.look(self._config)
        self.office.on_foresee = lambda config: looks.foresee(config, self._config)
        self.office.start(self._notary)
        self._grace = self._clock.callLater(GRACE, self._settled)
        self.listen_for_people(admin_socket(self._config))
        if self._api:
            serve(self._config, self.office, self._reactor).addCallbacks(self._ports.append, self._api_failed)
        super().startService()
        self._clock.callLater(0, lambda: self.running and looks.begin(self._config))

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        if self._grace is not None and self._grace.active():
            self._grace.cancel()
        if self._looks is not None:
            self._looks.close()
        for link in list(self._links):
            if link.transport is not None:
                link.transport.abortConnection()
        closing = gatherResults([maybeDeferred(port.stopListening) for port in self._ports])
        self._ports.clear()
        return closing.addCallback(lambda _: self.office.close() if self.office else None)

    def reload(self, config: Config) -> None:
        """Identities are those of this file from here on. What listens takes a restart."""
        self._config = config
        ended = self._running.reload(config)
        if ended:
            self._log.info("a reload ended {count} sessions", count=len(ended))
        self.look()

    def look(self) -> None:
        """Have the log say what is hardly meant in the configuration in force."""
        self._clock.callLater(0, self._look)

    def _look(self) -> None:
        """Behind the switch, which waits for no target and is not undone by what is only said."""
        if self.running and self._looks is not None:
            self._looks.log(self._config)

    def listen(self, path: Path, peers: Peers) -> None:
        """Accept workers that show a token which `peers` knows."""
        self._listen(path, lambda: self._greeting(peers))

    def listen_for_people(self, path: Path) -> None:
        """Accept the CLI of the same user."""
        self._listen(path, self._person)

    def _person(self) -> Rpc:
        link = Rpc({})
        link.methods = Admin(self._running, self._reactor, lambda: peer_credentials(link.transport.socket)[1]).methods
        return self._watched(link)

    def adopt(self, connection: socket.socket) -> None:
        """Serve the worker at the other end of a connected socket."""
        link = self._desk_link()
        connection.setblocking(False)
        factory = Factory.forProtocol(lambda: link)
        self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, factory)
        connection.close()

    def _listen(self, path: Path, protocol: Callable[[], Rpc]) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a leftover: the store's lock says that no other control lives
        channel = CLI if path == admin_socket(self._config) else WORKER
        stranger = NotAllowed("another user of this machine than the gateway's")
        factory = _SameUser(protocol, lambda uid: self._refused("connect", channel, uid, stranger))
        self._ports.append(self._reactor.listenUNIX(str(path), factory, mode=0o600))

    def _refused(self, tried: str, channel: str, uid: int, why: NotAllowed) -> None:
        self._running.tries.refused(Try(tried, Caller(channel, os_user=os_user(uid))), why)

    def _greeting(self, peers: Peers) -> Rpc:
        link = Rpc({})

        def hello(token: str) -> str:
            name = peers(token)
            if name is None:
                refusal = NotAllowed("the supervisor did not start this process")
                self._refused("worker", WORKER, peer_credentials(link.transport.socket)[1], refusal)
                link.transport.loseConnection()
                raise refusal
            self._seat(link)
            return name

        link.methods = {"hello": hello}
        return self._watched(link)

    def _desk_link(self) -> Rpc:
        link = Rpc({})
        self._seat(link)
        return self._watched(link)

    def _seat(self, link: Rpc) -> None:
        desk = Desk(self._running, self._waiting, self._push_to_others, self._commits)
        self._desks.add(desk)
        desk.link, link.methods = link, desk.methods
        link.on_lost = lambda: self._lost(link, desk)

    def _watched(self, link: Rpc) -> Rpc:
        self._links.add(link)
        if link.on_lost is None:
            link.on_lost = lambda: self._links.discard(link)
        return link

    def _lost(self, link: Rpc, desk: Desk) -> None:
        self._links.discard(link)
        self._desks.discard(desk)
        if self.running:
            desk.lost()

    def _push_reveals(self) -> None:
        for desk in self._desks:
            desk.push("reveals", self._running.requests.reveals.live())

    def _tell_lists(self) -> Deferred[Any]:
        """Fires when all workers know, or have had time to."""
        live = self._running.requests.lists.live()
        told = [desk.link.call("lists", live=live) for desk in self._desks if desk.link is not None]
        for one in told:
            one.addTimeout(HEARD, self._clock).addErrback(lambda _: None)  # who is gone is told when it joins again
        return gatherResults(told)

    def _push_to_others(self, sender: Desk, name: str, value: Any) -> None:
        for desk in self._desks - {sender}:
            desk.push(name, value)

    @property
    def _running(self) -> Office:
        assert self.office is not None  # nothing is listened on before it is open
        return self.office

    def _answered(self, answer: Value) -> None:
        desk = self._waiting.pop(answer["request"], None)
        if desk is not None:
            desk.push("answered", answer)

    def _settled(self) -> None:
        self._withdraw_orphans()
        if self._looks is not None:
            self._looks.settle(self._config)

    def _withdraw_orphans(self) -> None:
        """Requests held before a restart whose sessions did not come back."""
        for record in self._running.requests.held():
            if record["id"] not in self._waiting:
                self._running.requests.withdraw(record["id"], "its session did not come back after a restart")

    def _api_failed(self, failure: Any) -> None:
        where = place(self._config.file, self._config.text, "control.listen")
        mend = "stop what listens there, or write another port, and start again"
        self._log.error("{where}: the API does not listen: {what}; {mend}", where=where, what=failure.getErrorMessage(), mend=mend)


class _SameUser(Factory):
    """Builds a protocol for connections of our own user (or root), nobody else's."""

    noisy = False

    def __init__(self, protocol: Callable[[], Rpc], refused: Callable[[int], None]) -> None:
        """
        :param refused: told whose process came that may not.
        """
        self._protocol, self._refused = protocol, refused

    def buildProtocol(self, address: IAddress) -> Rpc:
        link = self._protocol()
        made = link.connectionMade

        def checked() -> None:
            _, uid, _ = peer_credentials(link.transport.socket)
            if uid not in (os.getuid(), 0):
                self._refused(uid)
                link.transport.abortConnection()
                return
            made()

        link.connectionMade = checked
        return link


def admin_socket(config: Config) -> Path:
    """Where the CLI finds control."""
    return config.state / "run" / "control.sock"
