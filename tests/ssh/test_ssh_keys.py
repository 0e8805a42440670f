"""Keys: what may prove somebody, and in which way."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.ssh.common import MP, NS
from twisted.conch.ssh.keys import Key

from gateway.ssh.keys import NoKey, algorithms, private, public, signed, signer
from gateway.ssh.lines import HOST_KEY_KINDS, NoLine, fingerprint, read

MESSAGE = b"what a login signs"


def made(path: Path, kind: str, *more: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path), *more], check=True)
    return path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_ssh_keygen_makes_is_read_and_signs(tmp_path: Path, kind: str) -> None:
    file = made(tmp_path / "key", kind)
    key, line = private(file.read_bytes()), (tmp_path / "key.pub").read_text()
    algorithm, blob, sign = signer(key, b"session")
    assert read(line) == blob and public(blob) == key.public()
    assert signed(blob, algorithm, NS(b"session") + MESSAGE, sign(MESSAGE))
    assert not signed(blob, algorithm, NS(b"another") + MESSAGE, sign(MESSAGE))
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(file)], capture_output=True, text=True, check=True).stdout
    assert fingerprint(blob) == shown.split()[1]


def test_rsa_never_signs_with_sha_1(tmp_path: Path) -> None:
    """Neither ours nor theirs, however it is announced."""
    key = private(made(tmp_path / "key", "rsa").read_bytes())
    assert algorithms(key) == (b"rsa-sha2-512", b"rsa-sha2-256")
    old = key.sign(MESSAGE, b"ssh-rsa")
    blob = key.public().blob()
    assert not signed(blob, "ssh-rsa", MESSAGE, old) and not signed(blob, "rsa-sha2-512", MESSAGE, old)
    assert signed(blob, "rsa-sha2-256", MESSAGE, key.sign(MESSAGE, b"rsa-sha2-256"))
    assert not signed(blob, "rsa-sha2-512", MESSAGE, key.sign(MESSAGE, b"rsa-sha2-256"))


def test_a_short_rsa_key_is_not_taken(tmp_path: Path) -> None:
    file = made(tmp_path / "key", "rsa", "-b", "1024")
    with pytest.raises(NoKey):
        private(file.read_bytes())


def test_a_key_with_a_passphrase_is_refused_by_name(tmp_path: Path) -> None:
    file = made(tmp_path / "key", "ed25519")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(file)], check=True)
    with pytest.raises(NoKey, match="passphrase"):
        private(file.read_bytes())


@pytest.mark.parametrize("text", [b"", b"not a key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"])
def test_what_is_no_private_key_is_refused(text: bytes) -> None:
    with pytest.raises(NoKey):
        private(text)


def test_a_public_key_is_no_secret_of_an_account(tmp_path: Path) -> None:
    made(tmp_path / "key", "ed25519")
    with pytest.raises(NoKey, match="public"):
        private((tmp_path / "key.pub").read_bytes())


# -- security keys: software in their place ------------------------------------------------------

APPLICATION = b"ssh:"


def ed25519_sk(flags: int, counter: int = 7) -> tuple[bytes, str, bytes]:
    key = Ed25519PrivateKey.generate()
    kind = "sk-ssh-ed25519@openssh.com"
    blob = NS(kind.encode()) + NS(key.public_key().public_bytes_raw()) + NS(APPLICATION)
    rest = bytes([flags]) + counter.to_bytes(4)
    proof = key.sign(sha256(APPLICATION).digest() + rest + sha256(MESSAGE).digest())
    return blob, kind, NS(kind.encode()) + NS(proof) + rest


def ecdsa_sk(flags: int) -> tuple[bytes, str, bytes]:
    key = generate_private_key(SECP256R1())
    kind = "sk-ecdsa-sha2-nistp256@openssh.com"
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    blob = NS(kind.encode()) + NS(b"nistp256") + NS(point) + NS(APPLICATION)
    rest = bytes([flags]) + (9).to_bytes(4)
    proof = key.sign(sha256(APPLICATION).digest() + rest + sha256(MESSAGE).digest(), ECDSA(SHA256()))
    r, s = decode_dss_signature(proof)
    return blob, kind, NS(kind.encode()) + NS(MP(r) + MP(s)) + rest


@pytest.mark.parametrize("make", [ed25519_sk, ecdsa_sk])
def test_a_security_key_proves_only_when_somebody_was_there(make: type) -> None:
    """The flag of a touch is in what was signed, and must be set."""
    blob, kind, signature = make(1)
    assert signed(blob, kind, MESSAGE, signature) and signed(*make(5)[:2], MESSAGE, b"") is False
    blob, kind, signature = make(0)
    assert not signed(blob, kind, MESSAGE, signature)
    assert not signed(blob, kind, MESSAGE, signature[:-5] + b"\x01" + signature[-4:])
    assert not signed(blob, kind, MESSAGE, signature[:-5])


def test_a_plain_signature_is_none_of_a_security_key() -> None:
    blob, kind, _ = ed25519_sk(1)
    key = Key(Ed25519PrivateKey.generate())
    assert not signed(blob, kind, MESSAGE, key.sign(MESSAGE))
    assert not signed(key.public().blob(), "ssh-ed25519", MESSAGE, key.sign(MESSAGE) + b"\x01\0\0\0\0")


# -- lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [
    "", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!", "ssh-dss AAAAB3NzaC1kc3M=", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA",
    "ssh-ed25519-cert-v01@openssh.com AAAA",
])  # fmt: skip
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(NoLine):
        read(line)


def test_a_security_key_is_no_host_key() -> None:
    assert all(not kind.startswith("sk-") for kind in HOST_KEY_KINDS)


@given(st.binary(max_size=120), st.binary(max_size=120), st.sampled_from(["ssh-ed25519", "rsa-sha2-512", "sk-ssh-ed25519@openssh.com", "x"]))
def test_any_bytes_prove_nothing_and_raise_nothing(blob: bytes, signature: bytes, algorithm: str) -> None:
    for head in (b"", NS(b"ssh-ed25519"), NS(b"ssh-rsa"), NS(b"ecdsa-sha2-nistp256"), NS(b"sk-ssh-ed25519@openssh.com")):
        assert not signed(head + blob, algorithm, MESSAGE, NS(algorithm.encode()) + signature)
