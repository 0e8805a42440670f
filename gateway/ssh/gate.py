"""
Where an SSH client comes in: Conch's factory, and each connection's way from its first byte to a session.

Whoever is not logged in is a stranger: bounded in time, in number, and in number per address. Whoever is refused
is told why in SSH's own words, and it is recorded.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

from twisted.conch.ssh.factory import SSHFactory
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.config import Listen
from gateway.control.identity.throttle import address
from gateway.control.rpc import place
from gateway.house import Worker
from gateway.line import Line
from gateway.ssh.keys import algorithms, private
from gateway.ssh.leg import BY_APPLICATION
from gateway.ssh.login import Login, Proved
from gateway.ssh.opening import Opening
from gateway.ssh.sides import ServerLeg
from gateway.ssh.sitting import Sitting
from gateway.ssh.upstream import Upstream
from gateway.stranger import Stranger, refusal
from protocols.errors import Unrecordable
from protocols.selection import Selection
from protocols.session import Identity
from protocols.ssh.auth import SUCCESS

LOGIN_DEADLINE = 120.0
"""Seconds from accept to a session; a person may have to find a token."""

ENTRANCES = 1024
"""Connections that have not logged in, per worker. One more closes the one that has waited longest."""

FROM_ONE_ADDRESS = 128
"""Of them from one address; one more is closed at once, so that nobody alone pushes all others out."""


class Gate(SSHFactory):
    """One `[[listen]]` for SSH."""

    noisy = False

    def __init__(self, listen: Listen, worker: Worker) -> None:
        """
        :raises OSError: a host key cannot be read.
        :raises NoKey: it is none.
        """
        self.listen, self.worker = listen, worker
        keys = [private(file.read_bytes()) for file in listen.host_keys]
        self.privateKeys = {key.sshType(): key for key in keys}
        self.publicKeys = {kind: key.public() for kind, key in self.privateKeys.items()}
        self.primes = None
        self.algorithms = [name for key in keys for name in algorithms(key)]
        self._entrances: OrderedDict[Entrance, None] = OrderedDict()
        self._from: Counter[str] = Counter()

    def buildProtocol(self, addr: Any) -> Entrance:
        entrance = Entrance(self, f"{addr.host}:{addr.port}" if hasattr(addr, "host") else "local")
        entrance.factory = self
        return entrance

    def getService(self, transport: Entrance, service: bytes) -> Any:
        """Conch asks which service a client may have: the login, once."""
        return transport.login if service == Login.name else None

    def entered(self, entrance: Entrance) -> bool:
        """Someone is at the door, and may be; who has stood there longest makes room."""
        if self._from[entrance.address] >= FROM_ONE_ADDRESS:
            return False
        self._entrances[entrance] = None
        self._from[entrance.address] += 1
        if len(self._entrances) > ENTRANCES:
            next(iter(self._entrances)).refuse("OST-630", "too many connections wait to log in")
        return True

    def left(self, entrance: Entrance) -> None:
        """Logged in, or gone."""
        if self._entrances.pop(entrance, entrance) is None:
            self._from[entrance.address] -= 1
            if not self._from[entrance.address]:
                del self._from[entrance.address]


class Entrance(Stranger, ServerLeg):
    """One client's connection."""

    def __init__(self, gate: Gate, peer: str) -> None:
        super().__init__()
        self._gate, self._worker, self.peer, self.address = gate, gate.worker, peer, address(peer)
        self.reactor = gate.worker.reactor
        self.supportedPublicKeys = gate.algorithms
        self._deadline: Any = None
        self._waiting: Deferred[Any] | None = None
        self._heard = self._done = False
        self.on_broken = lambda why: self._ended("malformed", why)
        self.on_lost = lambda why: self._ended("login.abandoned", "the client left before it had logged in")

    # -- what Twisted and Conch call ----------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self))

    def connectionMade(self) -> None:
        if not self._gate.entered(self):
            self._done = True
            self.transport.abortConnection()
            return
        self._deadline = self.reactor.callLater(
            LOGIN_DEADLINE, self.refuse, "OST-630", f"no login within {LOGIN_DEADLINE:g} seconds"
        )
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._heard = True
        super().dataReceived(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().connectionLost(reason)

    def login(self) -> Login:
        """The one service that a stranger may have."""
        return Login(
            self._worker, self.peer, self._gate.listen.auth,
            proven=self._proven, failed=self._failed, refused=self.refuse,
        )

    # -- the way in -----------------------------------------------------------------------

    def refuse(self, code: str, why: str, kind: str = "login.refused", record: str = "") -> None:
        """The way in ends here, and the client is told why."""
        if self._done:
            return
        self._note(kind, code=code, why=record or why)
        self._over_here()
        if self._waiting is not None:
            self._waiting.cancel()
        self.disconnect(BY_APPLICATION, f"{why} ({code})" if code not in why else why)

    def _failed(self, subject: str, why: str) -> None:
        self._note("login.failed", subject=subject[:255], why=why)

    def _ended(self, kind: str, why: str) -> None:
        """The connection is over, by its client's fault or wish."""
        if not self._done:
            self._over_here()
            if self._heard:
                self._note(kind, why=why)

    def _over_here(self) -> None:
        self._done = True
        self._gate.left(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _proven(self, selection: Selection, proof: Proved, method: str) -> None:
        identity = Identity(
            proof["subject"], proof["kind"], frozenset(proof["groups"]), proof["proof"], proof["on_behalf_of"] or None
        )
        client = self.otherVersionString.decode("ascii", "replace")
        opening = Opening(self._worker, self.peer, selection, client.removeprefix("SSH-2.0-"))
        waiting = self._ask(opening.begin(identity))
        waiting.addCallback(self._opened, opening, proof)
        waiting.addErrback(self._not_opened)
        waiting.addErrback(self._crashed)

    def _opened(self, upstream: Upstream, opening: Opening, proof: Proved) -> None:
        if self._done:
            upstream.leg.disconnect(BY_APPLICATION, "the client is gone")
            return
        try:
            sitting = Sitting(self._worker, self, opening.session, upstream, proof["token"], proof.get("certificate"))
        except Unrecordable:
            upstream.leg.disconnect(BY_APPLICATION, "no session")
            raise
        self._over_here()
        self.send(bytes([SUCCESS]))
        self.authenticated()
        sitting.begin()

    def _not_opened(self, failure: Failure) -> None:
        error = refusal(failure)
        if error is None:
            return
        said = getattr(error, "fields", {}) or {}
        record = getattr(error, "record", "") or " ".join([error.why, *(f"{k}={v}" for k, v in sorted(said.items()))])
        hint = getattr(error, "hint", "")
        self.refuse(error.code, f"{error.why}; {hint}" if hint else error.why, "session.refused", record)

    def _crashed(self, failure: Failure) -> None:
        self.log.error("a connection ended by a bug: {what}", what=place(failure))
        self.refuse("OST-900", "internal error of the gateway", "bug", failure.type.__name__)


def factory_for(listen: Listen, worker: Worker) -> Gate:
    """The gate of one `[[listen]]`."""
    return Gate(listen, worker)
