"""
How a client comes in: from its first byte to a proven identity and a chosen target. Sans-IO.

TLS by SSLRequest or directly, cancel requests, start-up, password or SCRAM. It asks its
questions as effects and is told the answers by method calls; a client that breaks
the protocol gets its error and a Hangup, so nothing is ever raised for a client's bytes.
Logging in to targets is `auth`. Deadlines are the caller's.

Source: PostgreSQL 18 manual, 54.2.1 "Start-up", 54.2.10 "SSL Session Encryption".
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from protocols.effects import Hangup, StartTls, ToClient
from protocols.errors import PeerError
from protocols.postgres import messages, replies, scram, startup
from protocols.postgres.codec import FrameReader, Opened
from protocols.selection import Selection, WrongForm, select

ALPN = b"postgresql"

_TLS_HANDSHAKE = 0x16  # ContentType handshake (RFC 8446, section 5.1): no start-up packet begins so
_SECRET_LIMIT = 64 << 10  # bytes; tokens and JWTs are some thousands
_BEHIND_LIMIT = 64 << 10  # bytes that may come while a question is open
_GOODBYE = b"X\0\0\0"  # how Terminate begins: as a length, more than any start-up packet has


@dataclass(frozen=True, slots=True)
class NeedVerifier:
    """Fetch the subject's SCRAM verifier; answer with `verifier_fetched`."""

    subject: str


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Check this secret; answer with `password_checked`."""

    subject: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A cancel request. It is never answered; a Hangup follows."""

    pid: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The subject did not prove itself: for the record and the throttle. The client was told."""

    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """
    The identity is proven, and AuthenticationOk was sent.

    :ivar database: as the client asked; "" for the target's own default.
    :ivar parameters: settings for the target, all on the allow-list.
    :ivar proof: "password" or "scram" or "scram-plus".
    :ivar version: the protocol version spoken with this client.
    :ivar leftover: bytes behind the login, for the relay.
    :ivar key: which of the verifiers SCRAM's proof fitted.
    """

    selection: Selection
    database: str
    parameters: Mapping[str, str]
    proof: str
    version: int
    application: str
    replication: bool
    leftover: bytes = field(repr=False)
    key: int = 0


Effect = ToClient | StartTls | Hangup | NeedVerifier | CheckPassword | CancelAsked | LoginFailed | LoggedIn


class _State(enum.Enum):
    """What is waited for."""

    OPENING = enum.auto()  # a frame without a tag
    TLS = enum.auto()  # the handshake, which the adapter does
    SECRET = enum.auto()  # PasswordMessage
    SASL_FIRST = enum.auto()  # SASLInitialResponse
    SASL_FINAL = enum.auto()  # SASLResponse
    ANSWER = enum.auto()  # our question
    OVER = enum.auto()


_PROOF = (
    "the password is a token that is not over: ostiary token issue IDENTITY makes one;"
    " the user name is IDENTITY@TARGET, for example ada@clinic.example@clinic"
)  #: the same for everybody, so it tells nothing


class _Refusal(Exception):
    """Tell the client this, and hang up."""

    def __init__(self, code: str, sqlstate: str, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.code, self.sqlstate, self.why, self.hint = code, sqlstate, why, hint


def fatal(code: str, sqlstate: str, why: str, hint: str = "") -> bytes:
    """A FATAL ErrorResponse in the form of all our refusals: text and code for people, JSON for agents."""
    detail = json.dumps({"code": code})
    fields = replies.error_fields(sqlstate, coded(why, code), "FATAL", detail=detail, hint=hint)
    return replies.ErrorResponse(fields).encode()


def coded(why: str, code: str) -> str:
    """Words with their code behind them, once: control's own may name it where they stand alone."""
    return f"{why.replace(f' ({code})', '')} [{code}]"


class ClientLogin:
    """
    One client's way in.

    :param auth: "password" and "scram", best first. A password goes over TLS only.
    :param require_tls: refuse a start-up without TLS.
    :param nonce: the server's half of the SCRAM nonce, printable.
    :param decoy_key: makes a subject that does not exist look like one that does.
    :param accepts: which settings a client may bring.
    :param replication: let replication connections through to the target's own decision.
    """

    def __init__(
        self,
        *,
        auth: tuple[str, ...],
        require_tls: bool,
        nonce: str,
        decoy_key: bytes,
        accepts: startup.Accepts = startup.harmless,
        replication: bool = False,
    ) -> None:
        self._auth, self._require_tls, self._accepts, self._replication = auth, require_tls, accepts, replication
        self._nonce, self._decoy_key = nonce, decoy_key
        self._reader = FrameReader(limit=_SECRET_LIMIT)
        self._state = _State.OPENING
        self._direct = self._secure = self._gss_asked = self._first = False
        self._binding: bytes | None = None
        self._who: Selection | None = None
        self._asked: messages.Startup | None = None
        self._parameters: dict[str, str] = {}
        self._database = ""
        self._version = messages.VERSION_3_0
        self._scram: scram.ScramServer | None = None
        self._proof = ""
        self._known = False  # the SCRAM verifier is a real subject's

    # -- told by the adapter -------------------------------------------------------------

    def from_client(self, data: bytes) -> list[Effect]:
        """Bytes came; behind `secured`, they are what TLS carried."""
        if self._state is _State.OVER:
            return []
        if not self._first and data:
            self._first = True
            if data[0] == _TLS_HANDSHAKE:
                self._direct, self._state = True, _State.TLS
                return [StartTls(data)]
        return self._safely(lambda: self._read(data))

    def secured(self, alpn: bytes | None, binding: bytes | None = None) -> list[Effect]:
        """
        The handshake is done.

        :param binding: tls-server-end-point data of our certificate; with it SCRAM can bind the channel.
        """
        if self._state is not _State.TLS:
            raise RuntimeError("no handshake was asked for")
        self._state, self._secure, self._binding = _State.OPENING, True, binding
        if self._direct and alpn != ALPN:
            return self._end(_Refusal("OST-623", "08P01", "direct TLS needs the ALPN protocol \"postgresql\""))
        return []

    def verifier_fetched(self, verifier: scram.Verifier | None, *others: scram.Verifier) -> list[Effect]:
        """The answer to NeedVerifier; None for a subject that has none, several for one with several tokens."""
        if self._state is not _State.ANSWER or self._scram is None or self._who is None:
            raise RuntimeError("no verifier was asked for")
        self._known = verifier is not None
        first = verifier or scram.Verifier.decoy(self._who.identity, self._decoy_key)
        challenge = self._scram.challenge(first, *others)
        self._state = _State.SASL_FINAL
        request = replies.Authentication(replies.AUTH_SASL_CONTINUE, challenge).encode()
        return [ToClient(request), *self._safely(lambda: self._read(b""))]

    def password_checked(self, good: bool) -> list[Effect]:
        """The answer to CheckPassword."""
        if self._state is not _State.ANSWER or self._scram is not None:
            raise RuntimeError("no password was asked about")
        return self._safely(lambda: self._proven("password") if good else self._unproven("wrong secret or unknown"))

    def refuse(self, code: str, sqlstate: str, why: str, hint: str = "") -> list[Effect]:
        """End it from outside: throttled, control unreachable, too late."""
        return [] if self._state is _State.OVER else self._end(_Refusal(code, sqlstate, why, hint))

    # -- reading -------------------------------------------------------------------------

    def _safely(self, step: Callable[[], list[Effect]]) -> list[Effect]:
        """A client's mistake is its error and a Hangup."""
        try:
            return step()
        except _Refusal as refusal:
            return self._end(refusal)
        except PeerError as error:
            return self._end(_Refusal("OST-620", "08P01", f"malformed login: {error.why}"))

    def _read(self, data: bytes) -> list[Effect]:
        self._reader.feed(data)
        effects: list[Effect] = []
        while (step := self._next()) is not None:
            effects += step
        if self._state in (_State.ANSWER, _State.TLS) and len(self._reader) > _BEHIND_LIMIT:
            raise PeerError("more bytes than a login needs")
        return effects

    def _next(self) -> list[Effect] | None:
        """What the next frame leads to; None when there is none, or none is wanted now."""
        if self._state is _State.OPENING:
            if self._reader.rest(_BEHIND_LIMIT).startswith(_GOODBYE):
                return self._leave()
            body = self._reader.next_startup()
            return None if body is None else self._open(messages.parse_opening(body))
        handler = self._HANDLERS.get(self._state)
        if handler is None:
            return None
        frame = self._reader.next_frame()
        if frame is None:
            return None
        if isinstance(frame, Opened) or frame.tag != messages.Secret.tag:
            raise PeerError(f"message {frame.tag!r} where an answer to the authentication request is due")
        return handler(self, messages.Secret(frame.body))

    def _leave(self) -> list[Effect]:
        """It thought better of it; whatever it says behind that, a server closes without a word too."""
        self._state = _State.OVER
        return [Hangup("the client left in front of its login")]

    # -- the opening ---------------------------------------------------------------------

    def _open(self, opening: messages.Opening) -> list[Effect]:
        match opening:
            case messages.SslRequest():
                return self._start_tls()
            case messages.GssRequest():
                return self._decline_gss()
            case messages.CancelRequest(pid, secret):
                self._state = _State.OVER
                return [CancelAsked(pid, secret), Hangup("cancel request")]
            case messages.Startup():
                return self._start(opening)

    def _start_tls(self) -> list[Effect]:
        if self._secure:
            raise _Refusal("OST-621", "0A000", "TLS within TLS is not spoken")
        if len(self._reader):
            # CVE-2021-23214: a man in the middle puts them there, to be believed once TLS is on.
            raise _Refusal("OST-624", "08P01", "unencrypted bytes behind the request for TLS")
        self._state = _State.TLS
        return [ToClient(b"S"), StartTls()]

    def _decline_gss(self) -> list[Effect]:
        if self._secure or self._gss_asked:
            raise _Refusal("OST-621", "0A000", "GSSAPI encryption is not spoken")
        self._gss_asked = True
        return [ToClient(b"N")]

    def _start(self, asked: messages.Startup) -> list[Effect]:
        if asked.major != 3:
            spoken = "3.0 to 3.2 are spoken"
            raise _Refusal("OST-621", "0A000", f"protocol {asked.major}.{asked.minor} is not spoken: {spoken}")
        if self._require_tls and not self._secure:
            raise _Refusal(
                "OST-622", "28000", "this gateway is reached over TLS only", "connect with sslmode=require or stronger"
            )
        self._asked, negotiation = asked, self._negotiate(asked)
        self._who = self._choose(asked.parameters)
        self._parameters = self._settings(asked.parameters)
        return negotiation + self._request_proof()

    def _negotiate(self, asked: messages.Startup) -> list[Effect]:
        """A newer minor version and unknown `_pq_.` options get ours, and go on."""
        self._version = min(asked.version, messages.VERSION_3_2)
        unknown = tuple(name for name in asked.parameters if name.startswith("_pq_."))
        if asked.version == self._version and not unknown:
            return []
        return [ToClient(replies.NegotiateVersion(self._version, unknown).encode())]

    def _choose(self, parameters: Mapping[str, str]) -> Selection:
        user, database = parameters.get("user", ""), parameters.get("database", "")
        if not user:
            raise _Refusal("OST-625", "28000", "the start-up packet names no user")
        try:
            chosen = select(user, database)
        except WrongForm as wrong:
            raise _Refusal("OST-625", "28000", str(wrong), "for example: psql -U ada@clinic") from None
        # libpq takes the user name for the database when none is given; no database is called so.
        named = "@" in user and database != user
        self._database = database if named else ""
        return chosen

    def _settings(self, parameters: Mapping[str, str]) -> dict[str, str]:
        if startup.wants_replication(parameters) and not self._replication:
            raise _Refusal("OST-627", "28000", "replication connections are refused")
        settings = startup.read_options(parameters.get("options", ""))
        settings |= {name: value for name, value in parameters.items() if not _ours(name)}
        for name, value in settings.items():
            if not self._accepts(name.lower(), value):
                raise _Refusal(
                    "OST-626", "42501", f"the setting {name[:64]!r} may not be brought with this value",
                    "leave it out of the connection's options, or ask the gateway's operator to allow it: "
                    + ("`search_paths`" if name.lower() == "search_path" else "`session_settings`"),
                )
        return settings

    # -- the proof -----------------------------------------------------------------------

    def _request_proof(self) -> list[Effect]:
        for method in self._auth:
            if method == "password" and self._secure:
                self._state = _State.SECRET
                return [ToClient(replies.Authentication(replies.AUTH_CLEARTEXT).encode())]
            if method == "scram":
                self._state = _State.SASL_FIRST
                self._scram = scram.ScramServer(self._nonce, self._binding)
                offer = replies.Authentication(replies.AUTH_SASL, mechanisms=self._scram.mechanisms)
                return [ToClient(offer.encode())]
        raise _Refusal(
            "OST-628", "28000", "no way of authentication is open on this connection",
            "connect with sslmode=require or stronger",
        )

    def _on_password(self, answer: messages.Secret) -> list[Effect]:
        secret = answer.read_password()
        if not secret:
            return self._unproven("empty secret")
        self._state = _State.ANSWER
        return [CheckPassword(self._subject, secret)]

    def _on_first(self, answer: messages.Secret) -> list[Effect]:
        mechanism, first = answer.read_initial()
        if first is None:
            raise PeerError("SCRAM: the client's first message is missing")
        self._exchange.read_first(mechanism, first)
        self._proof = "scram-plus" if mechanism == scram.PLUS else "scram"
        self._state = _State.ANSWER
        return [NeedVerifier(self._subject)]

    def _on_final(self, answer: messages.Secret) -> list[Effect]:
        final = self._exchange.finish(answer.data)
        if final is None or not self._known:
            return self._unproven("wrong secret" if self._known else "no verifier")
        done = replies.Authentication(replies.AUTH_SASL_FINAL, final)
        return [ToClient(done.encode()), *self._proven(self._proof)]

    def _proven(self, proof: str) -> list[Effect]:
        assert self._who is not None and self._asked is not None
        self._state = _State.OVER
        parameters = self._asked.parameters
        done = LoggedIn(
            self._who, self._database, self._parameters, proof, self._version,
            application=self._parameters.get("application_name", ""),
            replication=startup.wants_replication(parameters), leftover=self._reader.take_all(),
            key=self._scram.matched if self._scram else 0,
        )
        return [ToClient(replies.Authentication(replies.AUTH_OK).encode()), done]

    def _unproven(self, why: str) -> list[Effect]:
        """The same words whatever was wrong; `why` is for the record."""
        user = self._asked.parameters["user"] if self._asked else ""
        refusal = _Refusal("OST-629", "28P01", f'password authentication failed for user "{user}"', f"{self._read_as()}{_PROOF}")
        return [LoginFailed(self._subject, why), *self._end(refusal)]

    def _read_as(self) -> str:
        """How the user name was taken apart: whoever left the target out of it sees so."""
        return f"the user name was read as the identity {self._who.identity} on the target {self._who.target}; " if self._who else ""

    def _end(self, refusal: _Refusal) -> list[Effect]:
        self._state = _State.OVER
        self._reader.take_all()
        message = fatal(refusal.code, refusal.sqlstate, refusal.why, refusal.hint)
        return [ToClient(message), Hangup(coded(refusal.why, refusal.code))]

    @property
    def _subject(self) -> str:
        return self._who.identity if self._who else ""

    @property
    def _exchange(self) -> scram.ScramServer:
        assert self._scram is not None
        return self._scram

    _HANDLERS: Mapping[_State, Callable[[ClientLogin, messages.Secret], list[Effect]]] = {
        _State.SECRET: _on_password,
        _State.SASL_FIRST: _on_first,
        _State.SASL_FINAL: _on_final,
    }


def _ours(name: str) -> bool:
    """Parameters that are read here and go no further."""
    return name in ("user", "database", "options", "replication") or name.startswith("_pq_.")
