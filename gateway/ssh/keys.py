"""
SSH keys: read from the wire, from the file and from the vault; what signed what. On Conch's keys.

Taken are ed25519, ECDSA on NIST's curves, RSA from 2048 bits with SHA-2, and the sk- kinds of security keys,
whose holder must have been present. A signature says how it was made, and that must be what was announced.

Source: RFC 4253, 6.6; RFC 8332; RFC 5656; OpenSSH PROTOCOL.u2f and PROTOCOL.key.
"""

from __future__ import annotations

import binascii
import os
import struct
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, Key

from gateway.ssh.lines import HOST_KEYS
from protocols.ssh.auth import Sign

RSA_LEAST = 2048  # bits
PRESENT = 0x01  # flag of a security key: somebody touched it
VERIFIED = 0x04  # and was asked who they are

_UNREADABLE = (
    BadKeyError, EncryptedKeyError, UnsupportedAlgorithm, binascii.Error, struct.error, ValueError, KeyError, IndexError,
    TypeError, AttributeError, AssertionError,
)
"""What Conch and cryptography raise about bytes that are no key."""


class NoKey(Exception):
    """Not a key, or one of a kind that is not taken. Its text holds nothing of it."""


def public(blob: bytes) -> Key:
    """
    A public key off the wire.

    :raises NoKey: it is none that is taken.
    """
    try:
        return _taken(Key.fromString(blob, "BLOB"))
    except _UNREADABLE:
        raise NoKey("this is no public key") from None


def private(text: bytes) -> Key:
    """
    A private key as `ssh-keygen` writes it, without a passphrase.

    :raises NoKey: it is none, or it is encrypted.
    """
    try:
        key = _taken(Key.fromString(text))
        whole = not key.isPublic()
    except EncryptedKeyError:
        raise NoKey("this key has a passphrase, and nobody would be there to enter it") from None
    except _UNREADABLE:
        raise NoKey("this is no private key as ssh-keygen writes it") from None
    if not whole:
        raise NoKey("this is a public key; the private one is needed")
    return key


def algorithms(key: Key) -> tuple[bytes, ...]:
    """With which a key may sign; its best first. Never with SHA-1."""
    return (b"rsa-sha2-512", b"rsa-sha2-256") if key.type() == "RSA" else (key.sshType(),)


def signed(blob: bytes, algorithm: str, message: bytes, signature: bytes, *, verified: bool = False) -> bool:
    """
    Whether this key signed this message, in the way it announced.

    :param verified: a security key must also have asked who touches it, for a PIN or a finger.
    """
    try:
        key = public(blob)
        kind, _, rest = getNS(signature, 2)
        if kind != algorithm.encode() or kind not in algorithms(key):
            return False
        if key.isSecurityKey():
            if len(rest) != 5 or not rest[0] & PRESENT or (verified and not rest[0] & VERIFIED):
                return False
            message = sha256(key.application).digest() + rest + sha256(message).digest()
        elif rest or verified:
            return False
        return bool(key.verify(signature, message))
    except (NoKey, *_UNREADABLE):
        return False


def signer(key: Key, session: bytes) -> tuple[str, bytes, Sign]:
    """What a client's login needs of a private key: algorithm, public blob, and what signs in this session."""
    algorithm = algorithms(key)[0]
    return algorithm.decode(), key.public().blob(), lambda message: key.sign(NS(session) + message, algorithm)


def make_host_keys(folder: Path) -> None:
    """New host keys, for their owner only."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, key in zip(HOST_KEYS, (Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())), strict=True):
        made = Key(key)
        text = made.toString("openssh", subtype="v1") if made.type() == "EC" else made.toString("openssh")
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(text)
        (folder / f"{name}.pub").write_bytes(made.public().toString("openssh") + b"\n")


def _taken(key: Key) -> Key:
    if key.type() == "DSA" or (key.type() == "RSA" and key.size() < RSA_LEAST):
        raise BadKeyError("a kind that is not taken")
    return key
