"""
One key file to the keys that control needs, and values to sealed bytes and back.

AES-256-GCM (NIST SP 800-38D) under a random 96-bit nonce, bound to the table and key a
value is stored under, so that sealed values cannot be moved about. Subkeys by
HKDF-SHA-256 (RFC 5869). The key file lies apart from the store it opens.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.control.errors import StoreRefused

_NONCE = 12  # bytes, SP 800-38D 5.2.1.1
_KEY = 32  # bytes


def write_key(path: Path) -> None:
    """A new random key file that only its owner can read; an existing one is never replaced."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(os.urandom(_KEY)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_key(path: Path) -> bytes:
    """
    :raises StoreRefused: the file is missing, not a key, or open to others.
    """
    try:
        mode, text = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise StoreRefused(f"key file {path}: {error.strerror}. Run `ostiary init`, or restore it from backup.") from None
    if stat.S_IMODE(mode) & 0o077:
        raise StoreRefused(f"key file {path} can be read by others. Run: chmod 600 {path}")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY:
        raise StoreRefused(f"key file {path} does not hold a key. Restore it from backup.")
    return key


class Seal:
    """Seals values and derives what is secret but must be repeatable."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_subkey(key, b"store"))
        self._derive = _subkey(key, b"derive")

    def close(self, place: bytes, value: bytes) -> bytes:
        """Sealed bytes that open only at the same place."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, value, place)

    def open(self, place: bytes, sealed: bytes) -> bytes:
        """
        :raises StoreRefused: it was changed, moved, or sealed with another key.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except (InvalidTag, ValueError):
            raise StoreRefused("a value in control's store does not open with this key file") from None

    def derived(self, purpose: bytes, about: bytes) -> bytes:
        """32 bytes that look random to everybody else and never change."""
        return hmac.digest(self._derive, purpose + b"\0" + about, "sha256")


def _subkey(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _KEY, salt=None, info=b"ostiary control " + purpose).derive(key)
