"""
The notary's long-lived keys as files: identity (signs the ledger) and body (encrypts bodies).

They live in the gateway's state directory, apart from the store, mode 0600. Segment
keys are not here: they exist in the notary's memory only, for one segment.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.notary.body import Bodies
from gateway.notary.note import Signer, Verifier

FOLDER = "audit-keys"
IDENTITY, BODY, PUBLIC = "identity.pem", "body.key", "audit.pub"


class KeyFileError(Exception):
    """A key file is missing, malformed, or readable by others. Says which and what to do."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What the notary signs the ledger and encrypts bodies with."""

    identity: Signer
    body: bytes

    @property
    def bodies(self) -> Bodies:
        return Bodies(self.body)


def create(state: Path, origin: str) -> Keys:
    """Make both keys; files that exist are kept."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_once(folder / IDENTITY, pem, 0o600)
    _write_once(folder / BODY, secrets.token_bytes(32).hex().encode() + b"\n", 0o600)
    keys = load(state, origin)
    _write_once(folder / PUBLIC, f"{keys.identity.verifier}\n".encode(), 0o644)
    return keys


def load(state: Path, origin: str) -> Keys:
    """
    Both keys.

    :raises KeyFileError: one is missing, malformed or too open.
    """
    private = load_pem_private_key(_read_secret(state / FOLDER / IDENTITY), None)
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{state / FOLDER / IDENTITY} is not an Ed25519 key")
    return Keys(Signer(origin, private), load_body(state))


def load_body(state: Path) -> bytes:
    """The body key alone: what a reader of evidence needs."""
    try:
        return bytes.fromhex(_read_secret(state / FOLDER / BODY).decode().strip())
    except ValueError as e:
        raise KeyFileError(f"{state / FOLDER / BODY} is not 64 hexadecimal digits") from e


def load_public(state: Path) -> Verifier:
    """The identity's public key, as this administration keeps it."""
    try:
        return Verifier.parse((state / FOLDER / PUBLIC).read_text())
    except OSError as e:
        raise KeyFileError(f"cannot read {state / FOLDER / PUBLIC}: {e.strerror}") from e


def _write_once(path: Path, data: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _read_secret(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path} can be read by others: chmod 600 {path}")
        return path.read_bytes()
    except OSError as e:
        raise KeyFileError(f"cannot read {path}: {e.strerror}; `ostiary init` makes it") from e
