"""
TLS contexts of the standard library: toward clients, with our certificate; toward targets, with theirs verified by
service_identity.

A verified target is checked twice: its chain and dates by OpenSSL during the handshake, its
name by `TargetTls.check_name` behind it, before a byte of the login leaves. Nothing older than TLS 1.2.
`gateway.line` carries the bytes.

Source: RFC 5929 section 4 (tls-server-end-point), RFC 9525 (names), RFC 7301 (ALPN).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from functools import lru_cache
from pathlib import Path

import service_identity
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

POSTGRES_ALPN = "postgresql"

_OPTIONS = ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE

_OLD_TARGETS = "DEFAULT:!aNULL:!eNULL"
"""OpenSSL's own list, for servers that know none of Python's shorter one."""

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


def _context(purpose: int) -> ssl.SSLContext:
    """OpenSSL gives back an idle connection's buffers, 34 KiB: Python sets SSL_MODE_RELEASE_BUFFERS on every context."""
    context = ssl.SSLContext(purpose)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Some Pythons (3.11.2, Debian 12's) set the latter: a connection that somebody cut would look as if its end had been said.
    context.options = (context.options | _OPTIONS) & ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols([POSTGRES_ALPN])  # without a common one a handshake goes on; who needs it looks at what was chosen
    return context


class ServerTls:
    """
    Our certificate, toward clients. Build another one when the files change.

    Session tickets are sealed by keys that live in this process only; another worker's is a full handshake.

    :ivar binding: tls-server-end-point data of our certificate.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = _context(ssl.PROTOCOL_TLS_SERVER)
        _use_certificate(self._context, certificate, key)
        self.binding = endpoint_binding(x509.load_pem_x509_certificate(certificate.read_bytes()))

    def wrap(self, plain: socket.socket) -> ssl.SSLSocket:
        """As a gateway.line.Side."""
        return self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False)


class TargetTls:
    """
    One connection's TLS toward a target.

    :param name: what the certificate must carry: a host name or an address.
    :param verify: False is the "encrypt" setting: any certificate will do.
    :param ca: trusted roots; None for the system's.
    """

    def __init__(
        self, name: str, *, verify: bool, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None,
    ) -> None:
        self._name, self._verify = name, verify
        self._sni = None if _is_address(name) else _ascii(name)  # RFC 6066, section 3: no addresses
        self._context = _target_context(verify, _stamped(ca), _stamped(certificate), _stamped(key))
        self._connection: ssl.SSLSocket | None = None

    def wrap(self, plain: socket.socket) -> ssl.SSLSocket:
        """As a gateway.line.Side."""
        self._connection = self._context.wrap_socket(
            plain, server_hostname=self._sni, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        return self._connection

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
        found = self._connection.getpeercert(binary_form=True) if self._connection else None
        if found is None:
            raise TlsProblem("the target showed no certificate")
        try:
            return x509.load_der_x509_certificate(found)
        except ValueError:
            raise TlsProblem("the target's certificate cannot be read") from None

    def facts(self) -> dict[str, str]:
        """What the record of a session says about its connection."""
        assert self._connection is not None
        cipher = self._connection.cipher()
        return {
            "tls": self._connection.version() or "",
            "tls_cipher": cipher[0] if cipher else "",
            "tls_verified": "verify" if self._verify else "encrypt",
            "tls_certificate_sha256": self.certificate.fingerprint(hashes.SHA256()).hex(),
        }


def why_refused(error: BaseException | None) -> str:
    """Why OpenSSL did not take the target's certificate, for people; "" when that is not what ended the handshake."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ""
    return _WHY.get(error.verify_code, f"OpenSSL gives verification error {error.verify_code}")


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
def _target_context(verify: bool, ca: _Stamped, certificate: _Stamped, key: _Stamped) -> ssl.SSLContext:
    """Shared by the connections to one target: reading the system's roots takes a while."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # `check_name` does, by RFC 9525
    context.set_ciphers(_OLD_TARGETS)
    if verify:
        _trust(context, ca)
    else:
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        _use_certificate(context, certificate[0], (key or certificate)[0])
    return context


def _trust(context: ssl.SSLContext, ca: _Stamped) -> None:
    if ca is None:
        context.set_default_verify_paths()
        return
    try:
        context.load_verify_locations(ca[0])
    except (ssl.SSLError, OSError):
        raise TlsProblem(f"{ca[0]} holds no certificate in PEM form") from None


def _use_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, password="")  # else OpenSSL asks the terminal for one
    except (ssl.SSLError, OSError, ValueError):
        raise TlsProblem(f"{certificate} and {key} are not a certificate and its key in PEM form") from None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _ascii(name: str) -> str:
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        raise TlsProblem(f"{name!r} is not a host name") from None
