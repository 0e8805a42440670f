"""
Logging in to a target: a sans-IO conversation from StartupMessage to ReadyForQuery.

Trust, cleartext, MD5, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS. Nothing here dials,
waits or knows where the password came from. What clients go through is `greeting`.

Source: PostgreSQL 18 manual, 54.2.1 "Start-up" and 54.3 "SASL Authentication".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from protocols.command import Transaction
from protocols.effects import ToTarget
from protocols.errors import PeerError
from protocols.postgres import messages, replies, scram
from protocols.postgres.codec import FrameReader, Opened
from protocols.postgres.replies import Authentication

METHODS = frozenset({"trust", "cleartext", "md5", "scram", "scram-plus", "certificate"})

_BODY_LIMIT = 64 << 10  # bytes; the server's own error texts end near 30,000 (libpq, fe-connect.c)
_NOTICE_LIMIT = 32  # notices that a login trigger may leave; more are dropped
_STATUS_LIMIT = 256  # settings; servers report about fifteen


@dataclass(frozen=True, slots=True, repr=False)
class Ready:
    """
    The target waits for the first command.

    :ivar method: one of METHODS: how we proved ourselves.
    :ivar version: the protocol version that both sides speak.
    :ivar leftover: bytes behind ReadyForQuery.
    """

    parameters: Mapping[str, str]
    pid: int
    secret: bytes
    leftover: bytes
    transaction: Transaction
    method: str
    version: int
    notices: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """
    No login. `fields` are the target's own error fields, or ours when `sent` is False.

    :ivar version: the target may accept this protocol version on a new connection; 0 for no.
    """

    fields: Mapping[str, str]
    sent: bool = True
    version: int = 0


Step = ToTarget | Ready | Failed


@dataclass(slots=True)
class _Gathered:
    """What the target told on the way."""

    parameters: dict[str, str] = field(default_factory=dict)
    notices: list[Mapping[str, str]] = field(default_factory=list)
    key: replies.BackendKey | None = None


class TargetLogin:
    """
    One login.

    :param tls: the connection is TLS and the target's certificate was verified.
        A password in clear goes nowhere else, unless `clear` says so.
    :param binding: RFC 5929 tls-server-end-point data of any TLS connection.
    :param methods: the ways of proving that are acceptable; a target that asks
        for another is refused.
    :param presents: a client certificate was presented: no further proof is "certificate", not "trust".
    """

    def __init__(
        self,
        user: str,
        database: str,
        parameters: Mapping[str, str],
        password: str | None,
        *,
        tls: bool,
        binding: bytes | None,
        nonce: str,
        version: int = messages.VERSION_3_2,
        methods: frozenset[str] = METHODS,
        clear: bool = False,
        presents: bool = False,
    ) -> None:
        self._user, self._password, self._nonce = user, password, nonce
        self._startup = messages.Startup(version, {**parameters, "user": user, "database": database})
        self._tls, self._binding, self._methods, self._clear = tls, binding, methods, clear
        self._version, self._presents = version, presents
        self._reader = FrameReader(limit=_BODY_LIMIT)
        self._gathered = _Gathered()
        self._scram: scram.ScramClient | None = None
        self._method = ""  # set once we have answered a request
        self._authenticated = self._over = False

    def start(self) -> bytes:
        """The first bytes to send."""
        return self._startup.encode()

    def from_target(self, data: bytes) -> list[Step]:
        """
        Bytes came.

        :raises PeerError: the target broke the protocol, or asks for what must not be given.
        """
        self._reader.feed(data)
        steps: list[Step] = []
        while not self._over and (frame := self._reader.next_frame()) is not None:
            if isinstance(frame, Opened):
                raise RuntimeError("a login streams nothing")
            steps += self._on(replies.parse(frame))
        return steps

    def _on(self, reply: replies.Reply) -> list[Step]:
        handlers = self._AFTER if self._authenticated else self._BEFORE
        handler = handlers.get(type(reply))
        if handler is None:
            raise PeerError(f"{type(reply).__name__} in the middle of a login")
        return handler(self, reply)

    def _on_error(self, reply: replies.ErrorResponse) -> list[Step]:
        self._over = True
        # Servers before NegotiateProtocolVersion, and some that only look like PostgreSQL.
        unknown = reply.sqlstate in ("0A000", "08P01") and not self._method and not self._authenticated
        older = messages.VERSION_3_0 if unknown and self._version > messages.VERSION_3_0 else 0
        return [Failed(reply.fields, version=older)]

    def _on_notice(self, reply: replies.NoticeResponse) -> list[Step]:
        if len(self._gathered.notices) < _NOTICE_LIMIT:
            self._gathered.notices.append(reply.fields)
        return []

    def _on_version(self, reply: replies.NegotiateVersion) -> list[Step]:
        if not messages.VERSION_3_0 <= reply.version < self._version or reply.options:
            raise PeerError("the target negotiates a protocol version that was not asked for")
        self._version = reply.version
        return []

    def _on_authentication(self, reply: Authentication) -> list[Step]:
        handler = self._REQUESTS.get(reply.code)
        if handler is None:
            return self._refuse(f"the target asks for an authentication ({reply.code}) that is not supported")
        return handler(self, reply)

    def _on_ok(self, _reply: Authentication) -> list[Step]:
        if self._scram is not None and not self._scram.verified:
            raise PeerError("the target says yes without proving that it knows the password")
        method = self._method or ("certificate" if self._presents else "trust")
        if method not in self._methods:
            return self._refuse("the target asks for no proof at all, which this account does not allow")
        self._method, self._authenticated = method, True
        return []

    def _on_cleartext(self, _reply: Authentication) -> list[Step]:
        if not (self._tls or self._clear):
            return self._refuse("the target asks for the password in clear, on a connection that is not verified TLS")
        password = self._begin("cleartext")
        if password is None:
            return self._unprovable("cleartext")
        return [ToTarget(messages.password(password.encode()))]

    def _on_md5(self, reply: Authentication) -> list[Step]:
        password = self._begin("md5")
        if password is None:
            return self._unprovable("md5")
        inner = _md5(password.encode() + self._user.encode())
        return [ToTarget(messages.password(b"md5" + _md5(inner + reply.data)))]

    def _on_sasl(self, reply: Authentication) -> list[Step]:
        plus = scram.PLUS in reply.mechanisms and self._binding is not None and "scram-plus" in self._methods
        if not plus and scram.PLAIN not in reply.mechanisms:
            return self._refuse("the target offers no SASL mechanism that is supported")
        method = "scram-plus" if plus else "scram"
        password = self._begin(method)
        if password is None:
            return self._unprovable(method)
        # "y" would accuse a target of being cut off when it is we who leave its offer aside.
        binding = None if scram.PLUS in reply.mechanisms and not plus else self._binding
        self._scram = scram.ScramClient(password, self._nonce, binding, plus)
        return [ToTarget(messages.sasl_initial(self._scram.mechanism, self._scram.first()))]

    def _on_sasl_continue(self, reply: Authentication) -> list[Step]:
        return [ToTarget(messages.sasl_response(self._exchange().final(reply.data)))]

    def _on_sasl_final(self, reply: Authentication) -> list[Step]:
        self._exchange().verify(reply.data)
        return []

    def _exchange(self) -> scram.ScramClient:
        if self._scram is None or self._scram.verified:
            raise PeerError("a SASL message outside of a SASL exchange")
        return self._scram

    def _begin(self, method: str) -> str | None:
        """The password, if it may be used this way; None if not, or if there is none."""
        if self._method:
            raise PeerError("the target asks for proof twice")
        self._method = method
        return self._password if method in self._methods else None

    def _unprovable(self, method: str) -> list[Step]:
        why = "has no password" if self._password is None else "does not allow it"
        return self._refuse(f"the target asks for {method}, and this account {why}")

    def _refuse(self, why: str) -> list[Step]:
        self._over = True
        return [Failed(replies.error_fields("28000", why, "FATAL"), sent=False)]

    def _on_status(self, reply: replies.ParameterStatus) -> list[Step]:
        if len(self._gathered.parameters) >= _STATUS_LIMIT:
            raise PeerError("the target reports too many settings")
        self._gathered.parameters[reply.name] = reply.value
        return []

    def _on_key(self, reply: replies.BackendKey) -> list[Step]:
        self._gathered.key = reply
        return []

    def _on_ready(self, reply: replies.ReadyForQuery) -> list[Step]:
        self._over = True
        got, key = self._gathered, self._gathered.key
        pid, secret = (key.pid, key.secret) if key else (0, b"")
        leftover, notices = self._reader.take_all(), tuple(got.notices)
        return [Ready(got.parameters, pid, secret, leftover, reply.transaction, self._method, self._version, notices)]

    # Authentication* by code.
    _REQUESTS: Mapping[int, Callable[[TargetLogin, Authentication], list[Step]]] = {
        replies.AUTH_OK: _on_ok,
        replies.AUTH_CLEARTEXT: _on_cleartext,
        replies.AUTH_MD5: _on_md5,
        replies.AUTH_SASL: _on_sasl,
        replies.AUTH_SASL_CONTINUE: _on_sasl_continue,
        replies.AUTH_SASL_FINAL: _on_sasl_final,
    }

    # What a target may say, before it is satisfied and after. Anything else is a PeerError.
    _BEFORE: Mapping[type, Callable[..., list[Step]]] = {
        Authentication: _on_authentication,
        replies.NegotiateVersion: _on_version,
        replies.ErrorResponse: _on_error,
        replies.NoticeResponse: _on_notice,
    }
    _AFTER: Mapping[type, Callable[..., list[Step]]] = {
        replies.ParameterStatus: _on_status,
        replies.BackendKey: _on_key,
        replies.ReadyForQuery: _on_ready,
        replies.ErrorResponse: _on_error,
        replies.NoticeResponse: _on_notice,
    }


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
