"""
One client's way from its first byte to a session, on a connection of its own or in a way of one that jumps.

Whoever is refused is told why in SSH's own words, and it is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.config import Listen
from gateway.control.identity.second import ALWAYS, BY_RULES, GIVEN
from gateway.control.identity.throttle import address
from gateway.control.rpc import place
from gateway.house import Worker
from gateway.line import Line
from gateway.opening import RELOADED, Refused
from gateway.ssh.bounds import told
from gateway.ssh.doors import Door
from gateway.ssh.jump import Jump
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
from protocols.ssh.auth import CODE, SUCCESS

LOGIN_DEADLINE = 120.0
"""Seconds from accept to a session; a person may have to find a token. Whoever goes to a browser, once, has what its code lasts besides."""


class House(Protocol):
    """What an entrance is in; `gateway.ssh.gate.Gate` is it."""

    listen: Listen
    worker: Worker
    algorithms: list[bytes]

    def entered(self, entrance: Entrance) -> bool:
        """Whether one more may stand at the door."""

    def left(self, entrance: Entrance) -> None:
        """It does not any more."""

    def jump(self, entrance: Entrance, identity: Identity, proof: Proved, id: str) -> Jump | None:
        """For who named no target; None where too many do."""


class Entrance(Stranger, ServerLeg):
    """
    One client's connection.

    :ivar door: where it leads, for one that is inside of another; else its user name says so.
    :ivar given: what was given as a second step to the connection that this one is in; "" when nothing was.
    :ivar more: facts for its session's record.
    """

    door: Door | None = None
    given = ""
    more: Mapping[str, str] = MappingProxyType({})

    def __init__(self, gate: House, peer: str) -> None:
        super().__init__()
        self._gate, self._worker, self.peer, self.address = gate, gate.worker, peer, address(peer)
        self.reactor = gate.worker.reactor
        self.supportedPublicKeys = gate.algorithms
        self._deadline: Any = None
        self._waiting: Deferred[Any] | None = None
        self._login: Login | None = None
        self._where: dict[str, str] = {}  # to, once that is proved
        self._heard = self._done = False
        self.on_broken = lambda why: self._ended("malformed", why)
        self.on_lost = lambda why: self._ended("login.abandoned", "the client left before it had logged in")

    # -- what Twisted and Conch call ----------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self, lends=True))

    def connectionMade(self) -> None:
        if not self._gate.entered(self):
            self._done = True
            self.transport.abortConnection()
            return
        self._within(LOGIN_DEADLINE)
        super().connectionMade()

    def dataReceived(self, data: bytes | memoryview) -> None:
        self._heard = True
        super().dataReceived(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().connectionLost(reason)

    def login(self) -> Login:
        """The one service that a stranger may have."""
        second = GIVEN if self.given else ALWAYS if self._gate.listen.second_step else BY_RULES
        self._login = Login(
            self._worker, self.peer, self._gate.listen.auth, door=self.door, second=second,
            browser=self._worker.config.device is not None, patient=self._patient,
            proven=self._proven, failed=self._failed, refused=self.refuse,
        )
        return self._login

    def _within(self, seconds: float) -> None:
        """From now on."""
        self._deadline = self.reactor.callLater(seconds, self.refuse, "OST-630", f"no login within {seconds:g} seconds")

    def _patient(self, seconds: float) -> None:
        """Its person is on the way through a browser, which the login begins once at most."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
            self._within(seconds + LOGIN_DEADLINE)

    # -- the way in -----------------------------------------------------------------------

    def refuse(self, code: str, why: str, kind: str = "login.refused", record: str = "") -> None:
        """The way in ends here, and the client is told why."""
        if self._done:
            return
        self._note(kind, code=code, why=record or why, **self._whose(), **self._where)
        self._over_here()
        if self._waiting is not None:
            self._waiting.cancel()
        self.disconnect(BY_APPLICATION, f"{why} ({code})" if code not in why else why)

    def malformed(self, why: str) -> None:
        """Its bytes broke the rules after its login, without a session whose record would say so."""
        self._note("malformed", why=why)

    def left(self, jump: str, why: str) -> None:
        """A connection that jumped is over."""
        self._note("jump.closed", jump_id=jump, why=why)

    def _whose(self) -> dict[str, str]:
        """For the record, who it said it was, where it got so far."""
        subject = self._login.subject if self._login is not None else ""
        return {"subject": subject[:255]} if subject else {}

    def _failed(self, subject: str, why: str) -> None:
        self._note("login.failed", subject=subject[:255], why=why)

    def _ended(self, kind: str, why: str) -> None:
        """The connection is over, by its client's fault or wish."""
        if not self._done:
            self._over_here()
            if self._heard:
                self._note(kind, why=why, **self._whose())

    def _over_here(self) -> None:
        self._done = True
        self._gate.left(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _proven(self, selection: Selection, proof: Proved, method: str) -> None:
        self._where = selection.told()
        identity = Identity(
            proof["subject"], proof["kind"], frozenset(proof["groups"]), proof["proof"], proof["on_behalf_of"] or None
        )
        if not selection.target:
            self._jumps(identity, proof)
            return
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
        if opening.session.policy_revision != self._worker.revision:  # a reload asks who has a session, and this was none yet
            upstream.leg.disconnect(BY_APPLICATION, "no session")
            raise Refused("OST-632", "57P03", RELOADED, "log in again")
        try:
            sitting = Sitting(
                self._worker, self, opening.session, upstream, proof["token"], proof.get("certificate"),
                more={**self.more, **_vouched(proof, "client_"), **self._stepped(proof, "client_second_step")},
            )
        except Unrecordable:
            upstream.leg.disconnect(BY_APPLICATION, "no session")
            raise
        self._welcome()
        sitting.begin()

    def _stepped(self, proof: Proved, name: str) -> Mapping[str, str]:
        """For the record, what came behind the first proof, where something did."""
        step = CODE if proof["second"] else self.given
        return {name: step} if step else {}

    def _welcome(self) -> None:
        """The client is in, and knows it."""
        self._over_here()
        self.send(bytes([SUCCESS]))
        self.authenticated()

    def _jumps(self, identity: Identity, proof: Proved) -> None:
        """It named no target, so it stays outside of all of them until it opens ways."""
        if self._worker.refusing:
            self.refuse("OST-632", self._worker.refusing)
            return
        certificate = proof.get("certificate")
        shown = told(certificate) if certificate is not None else {"token": proof["token"]}
        shown = {**shown, **_vouched(proof), **self._stepped(proof, "second_step")}
        id = self._worker.new_id()
        try:
            facts = {"peer": self.peer, "jump_id": id, "subject": identity.subject, "proof": identity.proof, **shown}
            self._worker.journal.note(None, "jump.opened", facts)
        except Unrecordable as error:
            self.refuse("OST-802", f"nothing can be recorded now: {error}")
            return
        jump = self._gate.jump(self, identity, proof, id)
        if jump is None:
            self.refuse("OST-630", "too many connections jump")
            return
        self._welcome()
        jump.begin()

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


def _vouched(proof: Proved, prefix: str = "") -> Mapping[str, str]:
    """For the record, which identity provider said who it is, and what it calls them."""
    return {f"{prefix}{name}": proof[name] for name in ("issuer", "issuer_subject") if name in proof}
