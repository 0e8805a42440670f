"""Certificates: what is written is what ssh-keygen reads and the other way round, and which are believed."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.keys import Key

from gateway.ssh.certificates import NotBelieved, of_host, of_user, proves
from gateway.ssh.keys import algorithms
from gateway.ssh.lines import line, read
from protocols.ssh.certificate import HOST, PLAIN, USER, Certificate, certified, comes_from
from protocols.ssh.messages import Unreadable, string
from tests.sshd import keygen

NOW = 1_800_000_000.0
ADA = "ada@clinic.example"
AT = "10.1.2.3"


def blob_of(file: Path) -> bytes:
    import binascii

    return binascii.a2b_base64(file.read_text().split()[1])


def by_keygen(folder: Path, *options: str, kind: str = "ed25519", authority: str = "ed25519") -> bytes:
    """As an operator with ssh-keygen makes one."""
    ca, key = keygen(folder / "ca", authority), keygen(folder / "key", kind)
    subprocess.run(["ssh-keygen", "-q", "-s", str(ca), "-I", "an id", *options, f"{key}.pub"], check=True)
    return blob_of(folder / "key-cert.pub")


def made(signer: Key, key: Key, **other: object) -> bytes:
    """As the gateway makes one, with anything in it."""
    plain = Certificate(
        key.public().blob(), USER, "id", (ADA,), int(NOW) - 60, int(NOW) + 60, signer.public().blob(), 7, b"n" * 32,
    )
    certificate = replace(plain, **other)
    body = certificate.body()
    return body + string(signer.sign(body, algorithms(signer)[0]))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    folder = tmp_path_factory.mktemp("keys")
    return Key.fromFile(str(keygen(folder / "ca"))), Key.fromFile(str(keygen(folder / "key")))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("authority", ["ed25519", "ecdsa", "rsa"])
def test_what_ssh_keygen_signs_is_believed(tmp_path: Path, kind: str, authority: str) -> None:
    """And the certified key proves its holder by SHA-2."""
    options = ("-n", f"{ADA},root", "-V", "-1h:+1h", "-z", "12", "-O", "force-command=uptime", "-O", "source-address=10.0.0.0/8")
    blob = by_keygen(tmp_path, *options, kind=kind, authority=authority)
    key = Key.fromFile(str(tmp_path / "key"))
    algorithm = certified(algorithms(key)[0].decode())
    certificate = of_user(blob, algorithm, ADA, AT, time.time())
    assert (certificate.key_id, certificate.serial, certificate.principals) == ("an id", 12, (ADA, "root"))
    assert certificate.critical["force-command"] == "uptime" and "permit-pty" in certificate.extensions
    assert certificate.key == read((tmp_path / "key.pub").read_text())
    assert certificate.authority == read((tmp_path / "ca.pub").read_text())
    signature = key.sign(NS(b"s") + b"message", algorithms(key)[0])
    assert proves(certificate, algorithm, NS(b"s") + b"message", signature)
    assert not proves(certificate, algorithm, NS(b"t") + b"message", signature)
    assert certificate.body() + string(certificate.signature) == blob


def test_what_we_sign_is_read_by_ssh_keygen(tmp_path: Path, keys: tuple[Key, Key]) -> None:
    critical, permitted = {"source-address": "10.0.0.0/8"}, frozenset({"permit-pty", "permit-user-rc"})
    blob = made(*keys, key_id=f"{ADA}@session", critical=critical, extensions=permitted)
    (tmp_path / "c-cert.pub").write_text(line(blob, "comment") + "\n")
    shown = subprocess.run(["ssh-keygen", "-L", "-f", str(tmp_path / "c-cert.pub")], capture_output=True, text=True, check=True).stdout
    assert f'Key ID: "{ADA}@session"' in shown and "user certificate" in shown and "Serial: 7" in shown
    assert "source-address 10.0.0.0/8" in shown and "permit-pty" in shown and f"        {ADA}\n" in shown


@pytest.mark.parametrize(("other", "why"), [
    ({"kind": HOST}, "other type"),
    ({"principals": ("grace@clinic.example",)}, "name"),
    ({"principals": ()}, "name"),
    ({"before": int(NOW)}, "expired"),
    ({"after": int(NOW) + 1}, "not valid yet"),
    ({"critical": {"no-such-option": "x"}}, "no-such-option"),
    ({"critical": {"source-address": "10.9.0.0/16"}}, "address"),
    ({"critical": {"source-address": "anywhere"}}, "address"),
], ids=["a host's", "another's", "everybody's", "expired", "too early", "unknown option", "elsewhere", "unreadable"])  # fmt: skip
def test_a_certificate_that_does_not_speak_for_this_login_is_refused(keys: tuple[Key, Key], other: dict[str, object], why: str) -> None:
    with pytest.raises(NotBelieved, match=why):
        of_user(made(*keys, **other), "ssh-ed25519-cert-v01@openssh.com", ADA, AT, NOW)
    assert of_user(made(*keys), "ssh-ed25519-cert-v01@openssh.com", ADA, AT, NOW).serial == 7


def test_a_certificate_whose_authority_did_not_sign_it_is_refused(keys: tuple[Key, Key]) -> None:
    """Neither one that names a stranger's key, nor one of which a byte was changed."""
    authority, key = keys
    blob = made(key, key, authority=authority.public().blob())
    for forged in (blob, made(*keys).replace(ADA.encode(), b"eve@clinic.example")):
        with pytest.raises(NotBelieved):
            of_user(forged, "ssh-ed25519-cert-v01@openssh.com", ADA, AT, NOW)


def test_an_authority_that_signs_with_sha_1_is_refused(tmp_path: Path) -> None:
    blob = by_keygen(tmp_path, "-n", ADA, "-t", "ssh-rsa", authority="rsa")
    with pytest.raises(NotBelieved, match="not signed"):
        of_user(blob, "ssh-ed25519-cert-v01@openssh.com", ADA, AT, time.time())


@pytest.mark.parametrize("algorithm", ["ssh-rsa-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com", "ssh-ed25519", "nonsense"])
def test_a_certificate_is_announced_as_what_it_is(keys: tuple[Key, Key], algorithm: str) -> None:
    with pytest.raises(NotBelieved):
        of_user(made(*keys), algorithm, ADA, AT, NOW)


def test_a_host_certificate_names_its_host(keys: tuple[Key, Key]) -> None:
    blob = made(*keys, kind=HOST, principals=("web1",))
    assert of_host(blob, "ssh-ed25519-cert-v01@openssh.com", "web1", NOW).kind == HOST
    for name, wrong in (("web2", blob), (ADA, made(*keys)), ("web1", made(*keys, kind=HOST, principals=()))):
        with pytest.raises(NotBelieved):
            of_host(wrong, "ssh-ed25519-cert-v01@openssh.com", name, NOW)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_rubbish_is_no_certificate(keys: tuple[Key, Key], rubbish: bytes, cut: int) -> None:
    whole = made(*keys)
    for blob in (rubbish, whole[:cut], string(b"ssh-ed25519-cert-v01@openssh.com") + rubbish):
        if blob != whole:
            with pytest.raises(Unreadable):
                Certificate.read(blob)


@pytest.mark.parametrize(("address", "allowed", "right"), [
    ("10.1.2.3", "10.0.0.0/8", True), ("::ffff:10.1.2.3", "10.0.0.0/8", True), ("10.1.2.3", "192.0.2.1,10.1.2.3", True),
    ("2001:db8::1", "2001:db8::/32", True), ("10.1.2.3", "192.0.2.0/24", False), ("local", "10.0.0.0/8", False), ("10.1.2.3", "", False),
])  # fmt: skip
def test_source_addresses(address: str, allowed: str, right: bool) -> None:
    assert comes_from(address, allowed) is right


def test_security_keys_have_certificates_too() -> None:
    assert PLAIN["sk-ssh-ed25519-cert-v01@openssh.com"] == "sk-ssh-ed25519@openssh.com"
