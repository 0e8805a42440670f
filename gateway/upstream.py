"""
Connections to PostgreSQL targets: dialled, secured, logged in, and handed over.

`dial` ends with an `Upstream` whose transport is the caller's from then on. What fails, fails
with a `DialError` whose text may be shown to a client: it names no account and
repeats nothing that the target wrote. The target's own words are in `fields`, for the record.
"""

from __future__ import annotations

import base64
import secrets
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol as Shape

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import DNSLookupError, TCPTimedOutError, TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.config import Account, TargetEntry
from gateway.line import Line
from gateway.tls import TargetTls, TlsProblem, endpoint_binding, why_refused
from gateway.tuning import tune
from protocols.command import Transaction
from protocols.effects import ToTarget
from protocols.errors import LocalError, PeerError
from protocols.postgres import auth, messages
from protocols.postgres.auth import Failed, Ready, TargetLogin

TIMEOUT = 10.0  #: seconds from the first packet to ReadyForQuery
CANCEL_TIMEOUT = 5.0  #: seconds

KINDS = {
    "unreachable": ("OST-640", "08001"),
    "timeout": ("OST-641", "08001"),
    "tls": ("OST-642", "08001"),
    "login": ("OST-643", "08004"),
    "protocol": ("OST-644", "08P01"),
    "lost": ("OST-645", "08006"),
    "host_key": ("OST-646", "08001"),
}
"""What can go wrong, and its code and SQLSTATE toward a client."""

# What a target says at login that a client may know, and can do something about.
_PASSED = {
    "3D000": "the database does not exist on the target",
    "53300": "the target has no connection left",
    "53200": "the target is out of memory",
    "57P03": "the target is starting up, shutting down or recovering",
    "57P01": "the target is shutting down",
    "22023": "the target does not accept one of the connection's settings",
    "42704": "the target does not know one of the connection's settings",
}


_NOTHING: Mapping[str, str] = MappingProxyType({})


class DialError(Exception):
    """
    No session on the target.

    :ivar kind: one of KINDS.
    :ivar why: may be shown to a client.
    :ivar fields: what the target itself said, for the record only.
    """

    def __init__(self, kind: str, why: str, fields: Mapping[str, str] | None = None, sqlstate: str = "") -> None:
        super().__init__(why)
        code, state = KINDS[kind]
        self.kind, self.why, self.code, self.sqlstate = kind, why, code, sqlstate or state
        self.fields = dict(fields or {})


class Receiver(Shape):
    """Who reads an Upstream."""

    def data_received(self, data: bytes) -> None: ...
    def connection_lost(self, why: str) -> None: ...


class Upstream:
    """
    A session on a target, waiting for its first command.

    Nothing is read until `attach`. Write, pause and close through `transport`.

    :ivar parameters: what ParameterStatus reported, as named by the target.
    :ivar leftover: bytes that came behind ReadyForQuery; `attach` delivers them first.
    :ivar notices: fields of the notices that the login brought.
    :ivar facts: TLS version, cipher and verification, authentication, protocol; for the session's record.
    """

    def __init__(self, transport: Any, ready: Ready, facts: Mapping[str, str]) -> None:
        self.transport = transport
        self.parameters, self.notices, self.facts = ready.parameters, ready.notices, facts
        self.pid, self.secret, self.leftover = ready.pid, ready.secret, ready.leftover
        self.transaction: Transaction = ready.transaction
        self.version = ready.version
        self._receiver: Receiver | None = None
        self._lost: str | None = None

    def attach(self, receiver: Receiver) -> None:
        """From here on the receiver gets what comes, what already came first."""
        self._receiver = receiver
        early, self.leftover = self.leftover, b""
        if early:
            receiver.data_received(early)
        if self._lost is not None:
            receiver.connection_lost(self._lost)
        else:
            self.transport.resumeProducing()

    def forget(self) -> None:
        """What the login brought is told and recorded; each session would keep it."""
        self.parameters, self.notices, self.facts = _NOTHING, (), _NOTHING

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:  # TLS may deliver what it had decrypted when reading was paused
            self.leftover += data
        else:
            self._receiver.data_received(data)

    def connection_lost(self, why: str) -> None:
        self._lost = why
        if self._receiver is not None:
            self._receiver.connection_lost(why)


@implementer(IHandshakeListener)
class _Connection(Protocol):
    """TCP, then TLS if it is wanted, then whatever `begin` starts; the first failure counts."""

    def __init__(self, target: TargetEntry, account: Account | None, done: Deferred[Any]) -> None:
        self._target, self._done = target, done
        self._tls: TargetTls | None = None
        if target.tls != "off":
            certificate, key = (account.certificate, account.key) if account else (None, None)
            self._tls = TargetTls(
                target.tls_name or target.host, verify=target.tls == "verify", ca=target.tls_ca,
                certificate=certificate, key=key,
            )
        self._read: Callable[[bytes], None] = self._read_tls_answer
        self._begun = False

    # -- what Twisted calls ---------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self))

    def connectionMade(self) -> None:
        tune(self.transport)
        if self._done.called:  # too late, or given up
            self.transport.abortConnection()
        elif self._tls is None:
            self._begin()
        else:
            self.transport.write(messages.SslRequest().encode())

    def handshakeCompleted(self) -> None:
        assert self._tls is not None
        try:
            self._tls.check_name()
        except TlsProblem as problem:
            self.fail(DialError("tls", str(problem)))
        else:
            self._begin()

    def dataReceived(self, data: bytes) -> None:
        if self._done.called:
            return
        try:
            self._read(data)
        except PeerError as error:
            self.fail(DialError("protocol", f"the target broke the protocol at login: {error.why}"))

    def connectionLost(self, reason: Failure) -> None:
        refused = why_refused(reason.value)
        if refused:
            self.fail(DialError("tls", f"the target's certificate is refused: {refused}"))
        elif reason.check(ssl.SSLError) and not self._begun:
            self.fail(DialError("tls", "the TLS handshake with the target failed"))
        else:
            self.fail(DialError("lost", "the target closed the connection during the login"))

    # -- ours -----------------------------------------------------------------------------

    def begin(self) -> None:
        """The connection is as safe as it was asked to be."""
        raise NotImplementedError

    def _begin(self) -> None:
        self._begun = True
        try:
            self.begin()
        except (LocalError, TlsProblem) as error:
            self.fail(DialError("protocol", f"the login cannot be sent: {error}"))

    def _read_tls_answer(self, data: bytes) -> None:
        if len(data) > 1 and data[:1] != b"E":
            # CVE-2021-23222: a man in the middle puts them there, to be believed once TLS is on.
            raise PeerError("unencrypted bytes behind the answer to the request for TLS")
        if data == b"S":
            self.transport.start_tls(self._tls)
        else:
            self.fail(DialError("tls", "the target does not speak TLS, and its configuration wants it"))

    def fail(self, error: Exception) -> None:
        """Once; later reasons are consequences."""
        if not self._done.called:
            self._done.errback(error)
        if self.transport is not None:
            self.transport.abortConnection()


class _Login(_Connection):
    """A connection that becomes an Upstream."""

    def __init__(
        self, target: TargetEntry, account: Account, done: Deferred[Any],
        login: Callable[[bool, bytes | None], TargetLogin],
    ) -> None:
        super().__init__(target, account, done)
        self._make_login = login
        self._upstream: Upstream | None = None
        self.older = 0  #: a protocol version to try on a new connection

    def begin(self) -> None:
        verified = self._target.tls == "verify"
        binding = endpoint_binding(self._tls.certificate) if self._tls else None
        self._login = self._make_login(verified, binding)
        self._read = self._read_login
        self.transport.write(self._login.start())

    def connectionLost(self, reason: Failure) -> None:
        if self._upstream is None:
            super().connectionLost(reason)
        else:
            self._upstream.connection_lost(reason.getErrorMessage())

    def _read_login(self, data: bytes) -> None:
        for step in self._login.from_target(data):
            match step:
                case ToTarget(out):
                    self.transport.write(out)
                case Ready():
                    self._hand_over(step)
                case Failed():
                    self.older = step.version
                    self.fail(_login_error(step))

    def _hand_over(self, ready: Ready) -> None:
        self.transport.pauseProducing()
        facts = self._tls.facts() if self._tls else {"tls": "", "tls_verified": "off"}
        facts |= {"auth": ready.method, "protocol": f"{ready.version >> 16}.{ready.version & 0xFFFF}"}
        facts["server_version"] = ready.parameters.get("server_version", "")
        self._upstream = Upstream(self.transport, ready, facts)
        # From here on what is read wrongly is the receiver's to judge, and costs no detour.
        self.dataReceived = self._upstream.data_received  # type: ignore[method-assign]
        done = self._done
        del self._login, self._make_login, self._read, self._tls, self._done  # a session keeps no password, nor how it came
        done.callback(self._upstream)


class _Cancel(_Connection):
    """A connection that says one thing; the target answers by closing it."""

    def __init__(self, target: TargetEntry, account: Account | None, done: Deferred[Any], request: bytes) -> None:
        super().__init__(target, account, done)
        self._request = request

    def begin(self) -> None:
        self._read = lambda data: None
        self.transport.write(self._request)

    def connectionLost(self, reason: Failure) -> None:
        if self._begun and not self._done.called:
            self._done.callback(None)
        else:
            super().connectionLost(reason)


def dial(
    reactor: Any,
    target: TargetEntry,
    account: Account,
    password: str | None,
    database: str,
    parameters: Mapping[str, str],
    timeout: float = TIMEOUT,
) -> Deferred[Upstream]:
    """
    Connect, secure and log in.

    Cancelling the Deferred gives up at once. `parameters` are the settings to start with.
    """

    def attempt(version: int, left: float) -> tuple[Deferred[Upstream], list[_Login]]:
        def login(verified: bool, binding: bytes | None) -> TargetLogin:
            return TargetLogin(
                account.user, database, parameters, password, tls=verified, binding=binding,
                nonce=base64.b64encode(secrets.token_bytes(18)).decode(), version=version,
                methods=_METHODS[account.auth], presents=account.certificate is not None,
            )

        made: list[_Login] = []

        def build(done: Deferred[Any]) -> _Login:
            made.append(_Login(target, account, done, login))
            return made[0]

        return _connect(reactor, target, build, left), made

    ends = reactor.seconds() + timeout
    first, made = attempt(messages.VERSION_3_2, timeout)

    def again(failure: Failure) -> Any:
        if failure.check(DialError) and made and made[0].older:
            return attempt(made[0].older, max(ends - reactor.seconds(), 0.0))[0]
        return failure

    return first.addErrback(again)


_METHODS = {
    "password": auth.METHODS - {"trust", "certificate"},
    "certificate": frozenset({"certificate"}),
    "trust": frozenset({"trust", "certificate"}),
}
"""What an account's `auth` lets a target ask for. One that asks a password account for nothing is refused."""


def cancel(
    reactor: Any, target: TargetEntry, pid: int, secret: bytes, account: Account | None = None,
    timeout: float = CANCEL_TIMEOUT,
) -> Deferred[None]:
    """Ask a target to stop what runs in that session. Fires when the target has taken the request."""
    request = messages.CancelRequest(pid, secret).encode()
    return _connect(reactor, target, lambda done: _Cancel(target, account, done, request), timeout)


def probe(
    reactor: Any, target: TargetEntry, account: Account, password: str | None, database: str = "",
    timeout: float = TIMEOUT,
) -> Deferred[Mapping[str, str]]:
    """Log in and leave again; the facts of the connection."""

    def leave(upstream: Upstream) -> Mapping[str, str]:
        upstream.transport.write(messages.Terminate().encode())
        upstream.transport.loseConnection()
        return upstream.facts

    return dial(reactor, target, account, password, database or target.database, {}, timeout).addCallback(leave)


def _connect(
    reactor: Any, target: TargetEntry, build: Callable[[Deferred[Any]], _Connection], timeout: float
) -> Deferred[Any]:
    """One connection within one deadline. The Deferred given to `build` is the one returned."""
    made: list[_Connection] = []

    def give_up(_: Deferred[Any]) -> None:
        made[0].fail(CancelledError())

    def unreachable(failure: Failure) -> None:
        if not done.called:
            done.errback(_unreachable(failure, target))

    done: Deferred[Any] = Deferred(give_up)
    try:
        made.append(build(done))
    except TlsProblem as problem:
        done.errback(DialError("tls", str(problem)))
        return done
    factory = Factory.forProtocol(lambda: made[0])
    factory.noisy = False
    connecting = _way_to(target, reactor, timeout).connect(factory)
    connecting.addErrback(unreachable)
    late = DialError("timeout", f"target {target.name} did not answer within {timeout:g} seconds")
    timer = reactor.callLater(timeout, lambda: made[0].fail(late))

    def settled(result: Any) -> Any:
        if timer.active():
            timer.cancel()
        connecting.cancel()  # does nothing once connected
        return result

    return done.addBoth(settled)


def _way_to(target: TargetEntry, reactor: Any, timeout: float) -> Any:
    """A name is looked up in a thread, and its addresses are tried in turn; an address needs neither."""
    if isIPAddress(target.host):
        return TCP4ClientEndpoint(reactor, target.host, target.port, timeout=timeout)
    if isIPv6Address(target.host):
        return TCP6ClientEndpoint(reactor, target.host, target.port, timeout=timeout)
    return HostnameEndpoint(reactor, target.host, target.port, timeout=timeout)


def _unreachable(failure: Failure, target: TargetEntry) -> DialError:
    if failure.check(DNSLookupError):
        return DialError("unreachable", f"the address of target {target.name} cannot be resolved")
    if failure.check(TwistedTimeout, TCPTimedOutError):
        return DialError("timeout", f"target {target.name} cannot be reached in time")
    return DialError("unreachable", f"target {target.name} does not accept connections")


def _login_error(failed: Failed) -> DialError:
    if not failed.sent:
        return DialError("login", failed.fields["M"])
    state = failed.fields.get("C", "")
    if state in _PASSED:
        return DialError("login", f"{_PASSED[state]} ({state})", failed.fields, sqlstate=state)
    return DialError("login", f"the target refuses the gateway's login ({state})", failed.fields)
