"""
Where a PostgreSQL client comes in: TLS, login, and from then on the session's bytes.

Each connection is an `Entrance` until its identity is proven and its target is
connected; then an `Adapter` has both transports and the entrance only passes bytes on.
Whoever is refused is told why in the protocol's own words, and it is recorded.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.config import Listen
from gateway.control.errors import ControlError, LoginRefused
from gateway.control.rpc import place
from gateway.house import Worker
from gateway.line import Line
from gateway.opening import Opening
from gateway.sitting import Sitting
from gateway.stranger import Stranger, refusal
from gateway.tls import ServerTls
from gateway.tuning import tune
from protocols.adapter import Adapter
from protocols.effects import Hangup, StartTls, ToClient
from protocols.postgres.greeting import (
    CancelAsked, CheckPassword, ClientLogin, LoggedIn, LoginFailed, NeedVerifier, fatal,
)
from protocols.postgres.scram import Verifier
from protocols.session import Identity

LOGIN_DEADLINE = 30.0
"""Seconds from accept to a proven identity. A browser login for a token takes longer, but happens before."""

FAREWELL = 2.0
"""Seconds that a client has to take its last words; one that does not read, or not answer the end of TLS, is cut off."""

CANCELLING = 5.0
"""Seconds that whoever asks for a cancel waits at most until it was heard."""

ENTRANCES = 4096
"""Connections that have not logged in, per worker. One more closes the one that has waited longest."""

EARLY_LIMIT = 256 << 10
"""Bytes a client may send between its login and its first prompt; then it is paused."""

_CODED = re.compile(r"(.*) \[(OST-\d{3})\]", re.DOTALL)
"""Why a login ends, with its code behind it."""


class Gate(Factory):
    """One `[[listen]]` for PostgreSQL."""

    noisy = False

    def __init__(self, listen: Listen, worker: Worker) -> None:
        self.listen, self.worker = listen, worker
        self.tls = ServerTls(worker.config.certificate, worker.config.key)
        self.decoy_key = secrets.token_bytes(32)
        self._entrances: OrderedDict[Entrance, None] = OrderedDict()

    def buildProtocol(self, address: Any) -> Entrance:
        return Entrance(self, f"{address.host}:{address.port}" if hasattr(address, "host") else "local")

    def entered(self, entrance: Entrance) -> None:
        """Someone is at the door; who has stood there longest makes room."""
        self._entrances[entrance] = None
        if len(self._entrances) > ENTRANCES:
            oldest = next(iter(self._entrances))
            oldest.too_late("too many connections wait to log in")

    def left(self, entrance: Entrance) -> None:
        """Logged in, or gone."""
        self._entrances.pop(entrance, None)


@implementer(IHandshakeListener)
class Entrance(Stranger, Protocol):
    """One client's connection."""

    log = Logger()

    def __init__(self, gate: Gate, peer: str) -> None:
        self._gate, self._worker, self.peer = gate, gate.worker, peer
        self._login: ClientLogin | None = ClientLogin(
            auth=gate.listen.auth, require_tls=gate.listen.tls == "require",
            nonce=secrets.token_urlsafe(18), decoy_key=gate.decoy_key,
            accepts=lambda name, value: self._worker.pipeline.accepts(name, value),
        )
        self._adapter: Adapter | None = None
        self._waiting: Deferred[Any] | None = None
        self._early = bytearray()
        self._heard = False
        self._deadline: Any = None
        self._proved: Mapping[str, Any] | None = None  # what a token proved
        self._tokens: list[str] = []  # whose SCRAM keys were tried, in order
        self._where: dict[str, str] = {}  # to, as it asked when it had proved that
        self._subject = ""  # who the client says it is, once it was asked to prove it

    # -- what Twisted calls ------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self, looks=True))

    def connectionMade(self) -> None:
        tune(self.transport)
        self._gate.entered(self)
        self._deadline = self._worker.reactor.callLater(
            LOGIN_DEADLINE, self.too_late, f"no login within {LOGIN_DEADLINE:g} seconds"
        )

    def dataReceived(self, data: bytes) -> None:
        self._heard = True
        if self._login is not None:
            self._perform(self._login.from_client(data))
        else:
            self._early += data
            if len(self._early) > EARLY_LIMIT:
                self.transport.pauseProducing()

    def handshakeCompleted(self) -> None:
        if self._login is not None:
            self._perform(self._login.secured(self.transport.alpn, self._gate.tls.binding))

    def connectionLost(self, reason: Failure) -> None:
        self._done_waiting()
        if self._waiting is not None:
            self._waiting.cancel()
        if self._adapter is not None:
            self._adapter.client_lost()
        elif self._login is not None and self._heard:
            self._note("login.abandoned", why="the client left before it had logged in", **self._whose())

    # -- login -------------------------------------------------------------------------

    def too_late(self, why: str) -> None:
        """The way in ends here."""
        if self._login is not None:
            self._note("login.abandoned", why=why, **self._whose())
            self._perform(self._login.refuse("OST-630", "57014", why))

    def _perform(self, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case ToClient(data):
                    self.transport.write(data)
                case StartTls():  # the line left the handshake where it was
                    self.transport.start_tls(self._gate.tls)
                case NeedVerifier(subject):
                    self._subject = subject
                    self._wait(self._worker.control.scram(subject, self.peer), self._verifiers)
                case CheckPassword(subject, secret):
                    self._subject = subject
                    self._check(subject, secret)
                case CancelAsked(pid, secret):
                    self._cancel(pid, secret)
                    return  # it hangs up itself
                case LoginFailed(subject, why):
                    self._failed(subject, why)
                case LoggedIn():
                    self._logged_in(effect)
                case Hangup(why):
                    self._hang_up(why)

    def _cancel(self, pid: int, secret: bytes) -> None:
        """As a server, it lets go of who asks when what ran knows of it: what he sends next is not hit."""
        self._over("cancel request")
        asked = self._ask(self._worker.control.cancel(pid, secret).addTimeout(CANCELLING, self._worker.reactor))
        asked.addErrback(lambda failure: failure.trap(ControlError, TimeoutError))
        asked.addCallbacks(lambda _: self._leave(), lambda failure: failure.trap(CancelledError)).addErrback(self._crashed)

    def _wait(self, asked: Deferred[Any], then: Any, otherwise: Any = None) -> None:
        self._ask(asked).addCallbacks(then, otherwise or self._unanswered)
        asked.addErrback(self._crashed)

    def _unanswered(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        failure.trap(ControlError)
        if self._login is not None:
            self._perform(self._login.refuse(failure.value.code, "57P03", failure.value.why))

    def _crashed(self, failure: Failure) -> None:
        self.log.error(
            "a connection ended by a bug: {error} at {place}", error=failure.type.__name__, place=place(failure)
        )
        self._note("bug", error=failure.type.__name__)
        self.transport.abortConnection()

    def _unheard(self, failure: Failure) -> None:
        failure.trap(ControlError)

    def _verifiers(self, found: Mapping[str, Any]) -> None:
        self._tokens = [keys.get("token", "") for keys in found["keys"]]
        verifiers = [
            Verifier(found["iterations"], found["salt"], keys["stored_key"], keys["server_key"]) for keys in found["keys"]
        ]
        if self._login is not None:
            self._perform(self._login.verifier_fetched(*verifiers))

    def _check(self, subject: str, secret: bytes) -> None:
        asked = self._worker.control.authenticate(subject, secret.decode("utf-8", "replace"), self.peer)
        asked.addErrback(lambda failure: failure.trap(LoginRefused) and None)
        self._wait(asked, self._checked)

    def _checked(self, proved: Mapping[str, Any] | None) -> None:
        self._proved = proved
        if self._login is not None:
            self._perform(self._login.password_checked(proved is not None))

    def _failed(self, subject: str, why: str) -> None:
        self._subject = subject
        self._note("login.failed", subject=subject[:255], why=why)
        if self._tokens:  # a SCRAM proof: control has not heard of it yet
            self._worker.control.scram_result(subject, False, self.peer).addErrback(self._unheard)

    def _hang_up(self, why: str) -> None:
        self._over(why)
        self._leave()

    def _over(self, why: str) -> None:
        """Nobody will log in here."""
        if self._login is not None:
            said = _CODED.fullmatch(why)
            self._note("login.refused", **({"code": said[2], "why": said[1]} if said else {"why": why}), **self._whose())
        self._login = None
        self._done_waiting()

    def _whose(self) -> dict[str, str]:
        """For the record, who it said it was, where it got so far."""
        return {"subject": self._subject[:255]} if self._subject else {}

    def _leave(self) -> None:
        """Nothing more is said or heard."""
        self.transport.loseConnection()
        self._deadline = self._worker.reactor.callLater(FAREWELL, self.transport.abortConnection)

    def _done_waiting(self) -> None:
        self._gate.left(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    # -- from identity to session --------------------------------------------------------

    def _logged_in(self, done: LoggedIn) -> None:
        self._login = None
        self._subject, self._where = done.selection.identity, done.selection.told()
        self._done_waiting()
        self._early += done.leftover
        if self._proved is None:
            proved = self._worker.control.scram_result(
                done.selection.identity, True, self.peer, self._tokens[done.key] if self._tokens else ""
            )
            self._wait(proved, lambda found: self._open(done, found, done.proof), self._not_opened)
        else:
            self._open(done, self._proved, "token")

    def _open(self, done: LoggedIn, proved: Mapping[str, Any], proof: str) -> None:
        identity = Identity(
            proved["subject"], proved["kind"], frozenset(proved["groups"]), proof, proved["on_behalf_of"] or None
        )
        opening = Opening(self._worker, self.transport, self.peer, self._gate.listen.protocol, done)
        self._wait(opening.begin(identity, proved.get("token", "")), self._opened, self._not_opened)

    def _opened(self, sitting: Sitting) -> None:
        self._adapter = sitting.adapter
        self._proved, self._tokens = None, []
        early, self._early = bytes(self._early), bytearray()
        if len(early) > EARLY_LIMIT:
            self.transport.resumeProducing()
        self.dataReceived = self._adapter.client_data  # type: ignore[method-assign]  # without a detour from here on
        if early:
            self._adapter.client_data(early)

    def _not_opened(self, failure: Failure) -> None:
        error = refusal(failure)
        if error is None:
            return
        self._note("session.refused", code=error.code, why=getattr(error, "record", "") or error.why, **self._whose(), **self._where)
        state, hint = getattr(error, "sqlstate", "57P03"), getattr(error, "hint", "")
        self.transport.write(fatal(error.code, state, error.why, hint))
        self._leave()


def factory_for(listen: Listen, worker: Worker) -> Factory:
    """The gate of one `[[listen]]`."""
    return Gate(listen, worker)
