"""Certificates: what is loaded, what is refused, and what a channel is bound with."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from gateway.tls import POSTGRES_ALPN, ServerTls, TargetTls, TlsProblem, endpoint_binding
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


def handshake(server: ServerTls, context: SSL.Context, alpn: list[bytes]) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends in memory, until both are done."""
    theirs = SSL.Connection(context, None)
    if alpn:
        theirs.set_alpn_protos(alpn)
    ours = server.serverConnectionForTLS(None)
    ours.set_accept_state()
    theirs.set_connect_state()
    _pump(theirs, ours)
    return theirs, ours


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([b"postgresql"], b"postgresql"), ([b"h2", b"postgresql"], b"postgresql"), ([b"h2"], b""), ([], b"")],
)
def test_the_server_chooses_its_own_protocol_or_none(made: Certificates, offered: list[bytes], chosen: bytes) -> None:
    server = ServerTls(made.certificate("good"), made.key("good"))
    theirs, _ = handshake(server, SSL.Context(SSL.TLS_METHOD), offered)
    assert theirs.get_alpn_proto_negotiated() == chosen and theirs.get_protocol_version_name() == "TLSv1.3"
    seen = theirs.get_peer_certificate(as_cryptography=True)
    assert seen is not None and server.binding == seen.fingerprint(hashes.SHA256())


def test_nothing_older_than_tls_1_2(made: Certificates) -> None:
    old = SSL.Context(SSL.TLS_METHOD)
    old.set_max_proto_version(SSL.TLS1_1_VERSION)
    old.set_cipher_list(b"ALL:@SECLEVEL=0")
    with pytest.raises(SSL.Error):
        handshake(ServerTls(made.certificate("good"), made.key("good")), old, [])


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
    theirs = target.clientConnectionForTLS(None)
    ours = ServerTls(made.certificate(server), made.key(server)).serverConnectionForTLS(None)
    ours.set_accept_state()
    theirs.set_connect_state()
    _pump(theirs, ours)
    assert theirs.get_alpn_proto_negotiated() == POSTGRES_ALPN
    assert theirs.get_servername() is None or name != "127.0.0.1"
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
    theirs = target.clientConnectionForTLS(None)
    ours = ServerTls(made.certificate(server), made.key(server)).serverConnectionForTLS(None)
    ours.set_accept_state()
    theirs.set_connect_state()
    with pytest.raises(SSL.Error):
        _pump(theirs, ours)
    assert why in target.refused


def test_a_renewed_authority_is_read_again(made: Certificates, tmp_path: Path) -> None:
    """Contexts are kept by the file's time of change."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(made.certificate("stranger").read_bytes())
    first = TargetTls("db.test", verify=True, ca=ca)
    assert first._context is TargetTls("db.test", verify=True, ca=ca)._context
    ca.write_bytes(made.ca.read_bytes())
    os.utime(ca, ns=(1, 1))
    assert first._context is not TargetTls("db.test", verify=True, ca=ca)._context


def _pump(theirs: SSL.Connection, ours: SSL.Connection) -> None:
    for _ in range(6):
        for one, other in ((theirs, ours), (ours, theirs)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
