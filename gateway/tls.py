"""
TLS contexts: toward clients, with our certificate; toward targets, with theirs verified by service_identity.

A verified target is checked twice: its chain and dates by OpenSSL during the handshake, its
name by `TargetTls.check_name` behind it, before a byte of the login leaves. Nothing older than TLS 1.2.

Source: RFC 5929 section 4 (tls-server-end-point), RFC 9525 (names), RFC 7301 (ALPN).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from pathlib import Path
from typing import Any

import service_identity
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

POSTGRES_ALPN = b"postgresql"

_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE

# X509_V_ERR_* of OpenSSL's x509_vfy.h that people meet; the others are shown by number.
_WHY = {
    9: "it is not valid yet", 10: "it has expired", 18: "it is self-signed and not trusted",
    19: "its chain ends in a certificate that is not trusted", 20: "its issuer is not trusted",
    21: "its issuer is not trusted", 24: "its issuer is not a certificate authority",
    26: "it is not meant for servers", 66: "its key is too short",
}  # fmt: skip


_UNREADABLE = (x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


class TlsProblem(Exception):
    """A certificate or key that cannot be used. The text holds no secret."""


def endpoint_binding(certificate: x509.Certificate) -> bytes | None:
    """
    The certificate's hash that SCRAM binds a channel with (RFC 5929, section 4.1).

    :returns: None when the signature names no hash (Ed25519), for which the RFC has no rule.
    """
    try:
        algorithm = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        raise TlsProblem("the certificate's signature algorithm is unknown") from None
    if algorithm is None:
        return None
    return certificate.fingerprint(hashes.SHA256() if algorithm.name in ("md5", "sha1") else algorithm)


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection gives back 34 KiB
    return context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """
    Our certificate, toward clients. Build another one when the files change.

    :param alpn: the protocol to choose when a client offers it.
    :ivar binding: tls-server-end-point data of our certificate.
    """

    def __init__(self, certificate: Path, key: Path, alpn: bytes = POSTGRES_ALPN) -> None:
        self._context, self._alpn = _context(), alpn
        _use_certificate(self._context, certificate, key)
        # Tickets are sealed by keys that live in this process only; another worker's is a full handshake.
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._context.set_alpn_select_callback(self._choose)
        self.binding = endpoint_binding(x509.load_pem_x509_certificate(certificate.read_bytes()))

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)

    def _choose(self, _connection: SSL.Connection, offered: list[bytes]) -> Any:
        # Without a common protocol the handshake goes on without ALPN; who needs it looks at what was chosen.
        return self._alpn if self._alpn in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def start_tls(transport: Any, tls: ServerTls, early: bytes = b"") -> None:
    """
    Speak TLS with a client whose transport is a Twisted TCP one.

    Its protocol hears `handshakeCompleted` if it provides IHandshakeListener.

    :param early: bytes of the handshake that were read already (direct TLS).
    """
    transport.startTLS(tls)
    if early:
        transport.protocol.dataReceived(early)  # the TLS layer, since startTLS put it there


def chosen_alpn(transport: Any) -> bytes | None:
    """What both sides agreed on, behind the handshake."""
    return transport.protocol.negotiatedProtocol


@implementer(IOpenSSLClientConnectionCreator)
class TargetTls:
    """
    One connection's TLS toward a target.

    :param name: what the certificate must carry: a host name or an address.
    :param verify: False is the "encrypt" setting: any certificate will do.
    :param ca: trusted roots; None for the system's.
    """

    def __init__(
        self,
        name: str,
        *,
        verify: bool,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        alpn: bytes = POSTGRES_ALPN,
    ) -> None:
        self._name, self._verify, self._alpn = name, verify, alpn
        self._sni = b"" if _is_address(name) else _ascii(name)  # RFC 6066, section 3: no addresses
        self._context = _target_context(verify, _stamped(ca), _stamped(certificate), _stamped(key))
        self._connection: SSL.Connection | None = None
        self.refused = ""  #: why OpenSSL did not take the certificate

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._on_certificate)
        connection.set_alpn_protos([self._alpn])
        if self._sni:
            connection.set_tlsext_host_name(self._sni)
        self._connection = connection
        return connection

    def _on_certificate(self, _connection: Any, _certificate: Any, code: int, _depth: int, good: int) -> bool:
        """Keep the first reason, since OpenSSL's own error only says that verification failed."""
        if not good and not self.refused:
            self.refused = _WHY.get(code, f"OpenSSL gives verification error {code}")
        return bool(good)

    def check_name(self) -> None:
        """Behind the handshake: TlsProblem unless the certificate carries the name."""
        if not self._verify:
            return
        check = verify_certificate_ip_address if _is_address(self._name) else verify_certificate_hostname
        try:
            check(self.certificate, self._name)
        except (service_identity.VerificationError, service_identity.CertificateError, ValueError, *_UNREADABLE):
            raise TlsProblem(f"the target's certificate is not for {self._name!r}") from None

    @property
    def certificate(self) -> x509.Certificate:
        """The target's own certificate."""
        try:
            found = self._connection.get_peer_certificate(as_cryptography=True) if self._connection else None
        except ValueError:
            raise TlsProblem("the target's certificate cannot be read") from None
        if found is None:
            raise TlsProblem("the target showed no certificate")
        return found

    def facts(self) -> dict[str, str]:
        """What the record of a session says about its connection."""
        assert self._connection is not None
        return {
            "tls": self._connection.get_protocol_version_name(),
            "tls_cipher": self._connection.get_cipher_name() or "",
            "tls_verified": "verify" if self._verify else "encrypt",
            "tls_certificate_sha256": self.certificate.fingerprint(hashes.SHA256()).hex(),
        }


def _stamped(path: Path | None) -> tuple[Path, int] | None:
    """With its time of change, so that a renewed file is read again."""
    if path is None:
        return None
    try:
        return path, path.stat().st_mtime_ns
    except OSError as error:
        raise TlsProblem(f"{path} cannot be read: {error.strerror}") from None


_Stamped = tuple[Path, int] | None


@lru_cache(maxsize=64)
def _target_context(verify: bool, ca: _Stamped, certificate: _Stamped, key: _Stamped) -> SSL.Context:
    """Shared by the connections to one target: reading the system's roots takes a while."""
    context = _context()
    if verify:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)  # the connection adds its callback
        _trust(context, ca)
    else:
        context.set_verify(SSL.VERIFY_NONE)
    if certificate is not None:
        _use_certificate(context, certificate[0], (key or certificate)[0])
    return context


def _trust(context: SSL.Context, ca: _Stamped) -> None:
    if ca is None:
        context.set_default_verify_paths()
        return
    try:
        context.load_verify_locations(str(ca[0]))
    except SSL.Error:
        raise TlsProblem(f"{ca[0]} holds no certificate in PEM form") from None


def _use_certificate(context: SSL.Context, certificate: Path, key: Path) -> None:
    try:
        context.use_certificate_chain_file(str(certificate))
        context.use_privatekey_file(str(key))
        context.check_privatekey()
    except SSL.Error:
        raise TlsProblem(f"{certificate} and {key} are not a certificate and its key in PEM form") from None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _ascii(name: str) -> bytes:
    try:
        return name.encode("idna")
    except UnicodeError:
        raise TlsProblem(f"{name!r} is not a host name") from None
