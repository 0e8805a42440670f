"""
Requests of control to the identity provider: one JSON object each, bounded in size and time, never redirected.

TLS is verified by the authorities of a file, or by those of the system. Nothing here blocks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

from OpenSSL.crypto import X509
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, FileBodyProducer, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from gateway.control.device.answers import Nonsense, Unreachable

BODY_LIMIT = 64 << 10  # bytes; what providers answer is a few KiB
PATIENCE = 4.0  # seconds for one request; a login waits for two, and a worker ten seconds for control


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; its body may hold a token."""

    status: int
    body: Mapping[str, Any] = field(repr=False)


class Web:
    """
    :param reactor: what connects. :param authorities: PEM of who may vouch for the provider; None for the system's.
    :raises OSError: that file cannot be read. :raises ValueError: it holds no certificate.
    """

    def __init__(self, reactor: Any, authorities: Path | None = None) -> None:
        self._reactor = reactor
        trusted = None if authorities is None else trustRootFromCertificates(_certificates(authorities.read_bytes()))
        policy = BrowserLikePolicyForHTTPS() if trusted is None else BrowserLikePolicyForHTTPS(trusted)
        self._agent = Agent(reactor, policy, connectTimeout=PATIENCE)

    def get(self, url: str) -> Deferred[Reply]:
        """Fails with Unreachable or Nonsense, as `post` does."""
        return self._send(b"GET", url, {}, None)

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Deferred[Reply]:
        """A form, as RFC 6749 wants it."""
        return self._send(b"POST", url, {**headers, "Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode())

    def _send(self, method: bytes, url: str, headers: Mapping[str, str], body: bytes | None) -> Deferred[Reply]:
        told = Headers({name: [value] for name, value in {"Accept": "application/json", **headers}.items()})
        producer = None if body is None else FileBodyProducer(BytesIO(body))
        asked = self._agent.request(method, url.encode("ascii"), told, producer)
        asked.addCallback(_read)
        return asked.addTimeout(PATIENCE, self._reactor, _late).addErrback(_unreachable)


def _certificates(text: bytes) -> list[Certificate]:
    return [Certificate(X509.from_cryptography(one)) for one in load_pem_x509_certificates(text)]


def _read(response: Any) -> Deferred[Reply]:
    if response.code >= 500:
        _unread(response)
        raise Unreachable(f"it answers with status {response.code}")
    if 300 <= response.code < 400:
        _unread(response)
        raise Nonsense(f"it redirects (status {response.code}), and redirects are not followed: the file takes the address itself")
    body = _Body(lambda text: Reply(response.code, json_object(text)))
    response.deliverBody(body)
    return body.done


def _unread(response: Any) -> None:
    """Whatever its body is, nobody wants it."""
    body = _Body(lambda text: None)
    body.done.addErrback(lambda _: None)
    response.deliverBody(body)


def json_object(text: bytes) -> Mapping[str, Any]:
    """
    :raises Nonsense: it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Nonsense("its answer is no JSON") from None
    if not isinstance(value, dict):
        raise Nonsense("its answer is no JSON object")
    return value


class _Body(Protocol):
    """Collects a body, up to the limit."""

    def __init__(self, made: Callable[[bytes], Any]) -> None:
        self._read = bytearray()
        self.done: Deferred[Any] = Deferred(lambda _: self._abort())
        self.done.addCallback(made)

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self._read += data
        if len(self._read) > BODY_LIMIT:
            self.done.errback(Nonsense("its answer is too long"))
            self._abort()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._read))
        else:
            self.done.errback(Unreachable("the connection was lost in its answer"))

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _late(result: Any, seconds: float) -> NoReturn:
    """As `Deferred.addTimeout` wants it."""
    raise Unreachable("it does not answer in time")


def _unreachable(failure: Failure) -> Failure:
    """Whatever else went wrong below us, by its name: texts of TLS errors are long, and cancelling is no fault."""
    if failure.check(Unreachable, Nonsense, CancelledError):
        return failure
    inner = getattr(failure.value, "reasons", None)
    cause = inner[0].value if inner else failure.value
    return Failure(Unreachable(_cause(cause)))


def _cause(error: BaseException) -> str:
    """One line, for people."""
    if type(error).__module__.startswith("OpenSSL"):
        reasons = [str(part[-1]) for part in error.args[0]] if error.args and isinstance(error.args[0], list) else []
        return f"TLS: {'; '.join(reasons) or 'the connection was refused'}"[:200]
    if type(error).__module__.startswith("service_identity"):
        return "TLS: its certificate is another host's"
    return type(error).__name__
