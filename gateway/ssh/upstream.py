"""
Connections to SSH targets: dialled, the host key compared with what was registered, logged in, and handed over.

As `gateway.upstream`: what fails, fails with a `DialError` whose text may be shown to a client. A host key that is
not registered is refused before anything is said to it; registering one is an operator's deed, never a user's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.service import SSHService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from gateway.config import Account, TargetEntry
from gateway.line import Line
from gateway.ssh.certificates import NotBelieved, of_host
from gateway.ssh.keys import NoKey, private, signer
from gateway.ssh.leg import BY_APPLICATION
from gateway.ssh.lines import HOST_KEY_KINDS, fingerprint, kind_of
from gateway.ssh.sides import ClientLeg
from gateway.upstream import DialError
from protocols.errors import PeerError
from protocols.ssh.auth import ClientLogin, GiveUp, LoginEffect, Proven, Send
from protocols.ssh.certificate import PLAIN, certified
from protocols.ssh.messages import Unreadable

TIMEOUT = 15.0
"""Seconds from the first packet to a login; sshd with PAM and DNS look-ups is slow."""


@dataclass(frozen=True, slots=True)
class Certified:
    """
    A key of one session, and the certificate that lets it in.

    :ivar serial: of the certificate, as the target's log has it.
    """

    key: Key
    certificate: bytes
    serial: int


Secret = str | Certified
"""An account's password or private key, or what takes their place."""


class Upstream:
    """
    A login on a target, waiting for its first channel. Nothing is read until `attach`.

    :ivar leg: the connection.
    :ivar facts: how it is secured and logged in, for the session's record.
    """

    def __init__(self, leg: _TargetLeg, account: Account, secret: Secret) -> None:
        self.leg = leg
        shown = {f"target_{name}": value for name, value in leg.facts.items()}
        self.facts = {**shown, "target_host_key_print": fingerprint(leg.shown), "target_auth": account.auth}
        if leg.authority:
            self.facts["target_host_authority"] = fingerprint(leg.authority)
        if isinstance(secret, Certified):
            self.facts["target_certificate"] = str(secret.serial)
        self._early: deque[bytes] = deque()
        self._lost: str | None = None
        leg.on_payload, leg.on_lost = self._early.append, self._gone
        leg.pause(True)

    def attach(
        self, payload: Callable[[bytes], None], data: Callable[[list[memoryview]], None], lost: Callable[[], None],
        broken: Callable[[str], None],
    ) -> None:
        """From here on what comes goes there, what already came first."""
        self.leg.on_payload, self.leg.on_several, self.leg.on_broken = payload, data, broken
        self.leg.on_lost = lambda why: lost()
        while self._early:
            payload(self._early.popleft())
        if self._lost is not None:
            lost()
        else:
            self.leg.pause(False)

    def _gone(self, why: str) -> None:
        self._lost = why


class _TargetLeg(ClientLeg):
    """
    Dials in: host key, then the account's login; the first failure counts.

    :ivar authority: who certified the host key, b"" when it is registered itself.
    """

    authority = b""

    def __init__(self, reactor: Any, entry: TargetEntry, account: Account, secret: Secret, done: Deferred[Upstream]) -> None:
        super().__init__(frozenset(entry.host_keys))
        self.reactor = reactor
        self.supportedPublicKeys = [name.encode() for name in _algorithms(entry)]
        self._entry, self._why = entry, ""
        self._account, self._secret, self._done = account, secret, done
        self.on_broken = lambda why: self.fail(DialError("protocol", f"the target broke the protocol at login: {why}"))
        self.on_lost = lambda why: self.fail(DialError("lost", "the target closed the connection at login"))
        self._deadline = reactor.callLater(TIMEOUT, self._too_late)

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self, lends=True))

    def believed(self, host_key: bytes) -> bytes | None:
        """Pinned, or certified by an authority of the target's for its name."""
        if host_key in self.pinned or kind_of(host_key) not in PLAIN:
            return super().believed(host_key)
        try:
            certificate = of_host(host_key, self.keyAlg.decode(), self._entry.tls_name, self.reactor.seconds())
        except NotBelieved as error:
            self._why = str(error)
            return None
        if certificate.authority not in self._entry.host_ca:
            self._why = f"its authority {fingerprint(certificate.authority)} is not registered"
            return None
        self.authority = certificate.authority
        return certificate.key

    def host_key_refused(self) -> None:
        seen = {"host_key": fingerprint(self.shown), "kind": kind_of(self.shown), **({"because": self._why} if self._why else {})}
        why = "the target's host key is not the one that is registered for it"
        self.fail(DialError("host_key", why, seen))

    def secured(self) -> None:
        self.requestService(_LoginService(self))

    def login(self) -> ClientLogin:
        """
        What it says for itself.

        :raises NoKey: the vault's key cannot be used.
        """
        assert self.sessionID is not None
        if isinstance(self._secret, Certified):
            algorithm, _, sign = signer(self._secret.key, self.sessionID)
            return ClientLogin(self._account.user, sign=(certified(algorithm), self._secret.certificate, sign))
        if self._account.auth == "password":
            return ClientLogin(self._account.user, password=self._secret)
        return ClientLogin(self._account.user, sign=signer(private(self._secret.encode()), self.sessionID))

    def logged_in(self) -> None:
        """The target has let it in."""
        if self._done.called:
            return
        self._deadline.cancel()
        self.authenticated()
        self._done.callback(Upstream(self, self._account, self._secret))

    def fail(self, error: Exception) -> None:
        """No session."""
        if self._done.called:
            return
        if self._deadline.active():
            self._deadline.cancel()
        if self.transport is not None:
            self.transport.abortConnection()
        self._done.errback(error)

    def _too_late(self) -> None:
        self.fail(DialError("timeout", f"the target did not let the gateway in within {TIMEOUT:g} seconds"))


class _LoginService(SSHService):
    """Conch's service `ssh-userauth`, with our own exchange."""

    name = b"ssh-userauth"

    def __init__(self, leg: _TargetLeg) -> None:
        self._leg = leg

    def serviceStarted(self) -> None:
        try:
            self._login = self._leg.login()
        except NoKey as error:
            self._leg.fail(DialError("login", f"the account's key cannot be used: {error}"))
            return
        self._perform(self._login.begin())

    def packetReceived(self, messageNum: int, packet: bytes) -> None:
        """
        :raises PeerError: no message of a login.
        """
        try:
            effects = self._login.from_target(bytes([messageNum]) + packet)
        except Unreadable as error:
            raise PeerError(str(error)) from None
        self._perform(effects)

    def _perform(self, effects: list[LoginEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(payload):
                    self._leg.send(payload)
                case Proven():
                    self._leg.logged_in()
                case GiveUp(why):
                    self._leg.fail(DialError("login", "the target refused the account's login", {"why": why}))


class _Factory(Factory):
    noisy = False

    def __init__(self, leg: _TargetLeg) -> None:
        self._leg = leg

    def buildProtocol(self, address: Any) -> _TargetLeg:
        self._leg.factory = self
        return self._leg


def dial(reactor: Any, entry: TargetEntry, account: Account, secret: Secret) -> Deferred[Upstream]:
    """
    Fails with DialError. Cancelling it hangs up.

    :param secret: the account's password or private key, or a certified one.
    """
    done: Deferred[Upstream] = Deferred(lambda _: leg.fail(CancelledError()))
    leg = _dialled(reactor, entry, account, secret, done)
    return done


def _dialled(reactor: Any, entry: TargetEntry, account: Account, secret: Secret, done: Deferred[Any]) -> _TargetLeg:
    """A leg on its way; `done` hears how it went."""
    leg = _TargetLeg(reactor, entry, account, secret, done)
    endpoint = HostnameEndpoint(reactor, entry.host, entry.port, timeout=TIMEOUT)

    def unreachable(failure: Failure) -> None:
        leg.fail(DialError("unreachable", "the target cannot be reached", {"why": failure.type.__name__}))

    endpoint.connect(_Factory(leg)).addCallbacks(lambda _: done.called and leg.transport.abortConnection(), unreachable)
    return leg


def probe(reactor: Any, entry: TargetEntry, account: Account, secret: Secret) -> Deferred[dict[str, str]]:
    """Log in, leave, and say how it was secured. Fails with DialError."""

    def leave(upstream: Upstream) -> dict[str, str]:
        upstream.leg.disconnect(BY_APPLICATION, "the gateway looked whether it can log in")
        return upstream.facts

    return dial(reactor, entry, account, secret).addCallback(leave)


def look(reactor: Any, entry: TargetEntry) -> Deferred[bytes]:
    """The host key that a target shows, whatever is registered; no login is tried. Fails with DialError."""
    nobody = replace(entry, host_keys=(), host_ca=frozenset())
    done: Deferred[Any] = Deferred(lambda _: leg.fail(CancelledError()))
    leg = _dialled(reactor, nobody, entry.accounts[0], "", done)

    def refused(failure: Failure) -> Any:
        return leg.shown or failure

    return done.addErrback(refused)


def _algorithms(entry: TargetEntry) -> list[str]:
    """Only what was registered is asked for: a target with several keys then shows that one."""
    found: list[str] = []
    for kind in list(map(kind_of, entry.host_keys)) or HOST_KEY_KINDS:
        found += ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
    plain = list(dict.fromkeys(found))
    every = ("rsa-sha2-512", "rsa-sha2-256", *(kind for kind in HOST_KEY_KINDS if kind != "ssh-rsa"))
    return [certified(name) for name in reversed(every)] + plain if entry.host_ca else plain
