"""Certificates: what is loaded, what is refused, and what a channel is bound with."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from gateway.tls import POSTGRES_ALPN, ServerTls, TargetTls, TlsProblem, endpoint_binding, why_refused
from tests.servers import Certificates, make_certificates


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def signed(key: Any, algorithm: hashes.HashAlgorithm | None) -> x509.Certificate:
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]), datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.public_key(key.public_key()).sign(key, algorithm)


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_a_channel_is_bound_with_the_signatures_own_hash(algorithm: hashes.HashAlgorithm) -> None:
    """RFC 5929, section 4.1."""
    certificate = signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
    digest = hashes.Hash(algorithm)
    digest.update(certificate.public_bytes(serialization.Encoding.DER))
    assert endpoint_binding(certificate) == digest.finalize()


def test_weak_hashes_are_replaced_by_sha256() -> None:
    """MD5 and SHA-1, as the RFC says; nobody signs so any more, so an old certificate's shape is borrowed."""

    class Old:
        def __init__(self, name: str) -> None:
            self.signature_hash_algorithm = type("Algorithm", (), {"name": name})()

        def fingerprint(self, algorithm: hashes.HashAlgorithm) -> bytes:
            return algorithm.name.encode()

    for name in ("md5", "sha1"):
        assert endpoint_binding(Old(name)) == b"sha256"  # type: ignore[arg-type]


def test_a_signature_without_a_hash_binds_nothing() -> None:
    """Ed25519: the RFC has no rule for it."""
    assert endpoint_binding(signed(ed25519.Ed25519PrivateKey.generate(), None)) is None


def shaken(server: ServerTls, client: Callable[[socket.socket], ssl.SSLSocket]) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Both ends of a handshake, theirs first, until both are done; raises what either meets."""
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    ends, done = (client(one), server.wrap(other)), set()
    while len(done) < 2:
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    return ends


def stock(alpn: list[str], newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Callable[[socket.socket], ssl.SSLSocket]:
    """A client of somebody else's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
    context.set_ciphers("ALL:@SECLEVEL=0")
    if alpn:
        context.set_alpn_protocols(alpn)
    return lambda plain: context.wrap_socket(plain, do_handshake_on_connect=False)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["postgresql"], "postgresql"), (["h2", "postgresql"], "postgresql"), (["h2"], None), ([], None)],
)
def test_the_server_chooses_its_own_protocol_or_none(made: Certificates, offered: list[str], chosen: str | None) -> None:
    server = ServerTls(made.certificate("good"), made.key("good"))
    theirs, _ = shaken(server, stock(offered))
    assert theirs.selected_alpn_protocol() == chosen and theirs.version() == "TLSv1.3"
    seen = x509.load_der_x509_certificate(theirs.getpeercert(binary_form=True))
    assert server.binding == seen.fingerprint(hashes.SHA256())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_than_tls_1_2(made: Certificates) -> None:
    server = ServerTls(made.certificate("good"), made.key("good"))
    assert shaken(server, stock([], ssl.TLSVersion.TLSv1_2))[0].version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        shaken(server, stock([], ssl.TLSVersion.TLSv1_1))


def test_a_locked_key_is_refused_and_nobody_is_asked_for_its_password(made: Certificates, tmp_path: Path) -> None:
    """OpenSSL would ask the terminal, and a gateway has none."""
    key = serialization.load_pem_private_key(made.key("good").read_bytes(), None)
    locked = tmp_path / "locked"
    lock = serialization.BestAvailableEncryption(b"x")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
    with pytest.raises(TlsProblem, match="not a certificate and its key"):
        ServerTls(made.certificate("good"), locked)


def test_files_that_do_not_belong_together(made: Certificates, tmp_path: Path) -> None:
    """Named, without their content."""
    junk = tmp_path / "junk"
    junk.write_text("-----BEGIN NOTHING-----")
    for certificate, key in [("good", "named"), ("good", None), (None, "good")]:
        with pytest.raises(TlsProblem, match="not a certificate and its key"):
            ServerTls(made.certificate(certificate) if certificate else junk, made.key(key) if key else junk)


def test_a_target_name_that_is_none(made: Certificates) -> None:
    with pytest.raises(TlsProblem, match="not a host name"):
        TargetTls("a" * 70 + ".example", verify=True, ca=made.ca)


def test_nothing_is_certified_before_the_handshake(made: Certificates) -> None:
    with pytest.raises(TlsProblem, match="no certificate"):
        _ = TargetTls("db.test", verify=True, ca=made.ca).certificate


@pytest.mark.parametrize(
    ("server", "name", "verify", "good"),
    [
        ("good", "db.test", True, True),
        ("good", "127.0.0.1", True, True),
        ("good", "::1", True, False),
        ("good", "other.test", True, False),
        ("named", "127.0.0.1", True, False),
        ("named", "other.test", False, True),
        ("app_cert", "app_cert", True, False),  # a common name is no name (RFC 9525, section 6.1)
    ],
)
def test_names_are_checked_behind_the_handshake(
    made: Certificates, server: str, name: str, verify: bool, good: bool
) -> None:
    """By service_identity, unless only encryption was asked for."""
    target = TargetTls(name, verify=verify, ca=made.ca)
    theirs, ours = shaken(ServerTls(made.certificate(server), made.key(server)), target.wrap)
    assert theirs.selected_alpn_protocol() == ours.selected_alpn_protocol() == POSTGRES_ALPN
    assert theirs.server_hostname == (None if ":" in name or name[0].isdigit() else name)
    if good:
        target.check_name()
        assert target.facts()["tls_verified"] == ("verify" if verify else "encrypt")
    else:
        with pytest.raises(TlsProblem, match="is not for"):
            target.check_name()


@pytest.mark.parametrize(("server", "ca", "why"), [("expired", "ca", "expired"), ("good", "stranger", "not trusted")])
def test_chains_are_checked_in_the_handshake(made: Certificates, server: str, ca: str, why: str) -> None:
    """And the reason is kept for people."""
    target = TargetTls("db.test", verify=True, ca=made.certificate(ca))
    with pytest.raises(ssl.SSLError) as caught:
        shaken(ServerTls(made.certificate(server), made.key(server)), target.wrap)
    assert why in why_refused(caught.value)


def test_another_end_of_a_handshake_is_not_the_certificates_fault() -> None:
    assert why_refused(ssl.SSLError(1, "wrong version")) == why_refused(OSError()) == why_refused(None) == ""


def test_a_renewed_authority_is_read_again(made: Certificates, tmp_path: Path) -> None:
    """Contexts are kept by the file's time of change."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(made.certificate("stranger").read_bytes())
    first = TargetTls("db.test", verify=True, ca=ca)
    assert first._context is TargetTls("db.test", verify=True, ca=ca)._context
    ca.write_bytes(made.ca.read_bytes())
    os.utime(ca, ns=(1, 1))
    assert first._context is not TargetTls("db.test", verify=True, ca=ca)._context
