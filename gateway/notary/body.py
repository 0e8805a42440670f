"""
Bodies: what is private in a record, encrypted by the notary and provable one by one.

Key tree: master (a file apart from the store) -> session key -> record key, each an
HMAC-SHA-256. The record key depends on 16 random bytes stored before the ciphertext, so
it is used once, and AES-256-GCM's nonce can be zero. The leaf carries the hash of
the stored bytes, and a commitment to the *plain* bytes under an opening that only the
record key gives: AES-GCM alone does not commit to its key, so without it an exporter could
show a second key that decrypts to another text. With it an auditor needs SHA-256 alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.notary.kernel import digest, opening, record_key, sealed
from gateway.notary.mac import Key

_NONCE = bytes(12)
_SALT = 16  # bytes
_SALTS = 256  # taken from the system at once; each is used for one record
_SESSIONS_KEPT = 1024  # derived session keys; a bound on memory, not on sessions


class BodyError(Exception):
    """A body that this key does not open."""


def body_hash(stored: bytes) -> bytes:
    """Of the stored (encrypted) bytes; 0x02 keeps it apart from leaves and nodes."""
    return digest(b"\x02", stored)


def commit(opening: bytes, plain: bytes) -> bytes:
    """Binding by SHA-256, hiding by the opening's 32 secret bytes."""
    return digest(b"ostiary-body\x00" + opening, plain)


class Bodies:
    """The notary's body key, at work."""

    def __init__(self, master: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        if len(master) != 32:
            raise BodyError("the body key has 32 bytes")
        self._master, self._random = Key(master), random
        self._salts: list[bytes] = []
        self._term_key = Key(self._master.digest(b"ostiary-term"))
        self.keys: dict[bytes, Key] = {}  #: of sessions, as `key` made them

    def salts(self, least: int) -> list[bytes]:
        """At least so many, to be taken from the end; who takes one has used it."""
        if len(self._salts) < least:
            drawn = self._random(_SALT * max(_SALTS, least))
            self._salts[:0] = [drawn[at : at + _SALT] for at in range(0, len(drawn), _SALT)]
        return self._salts

    def seal(self, session: bytes, plain: bytes) -> tuple[bytes, bytes, bytes]:
        """Encrypt one body: what is stored, and the two digests that go into the leaf, of it and to the plain bytes."""
        return sealed(*self.key(session), self.salts(1).pop(), plain)

    def open(self, session: bytes, stored: bytes) -> tuple[bytes, bytes]:
        """
        The plain bytes, and the opening that proves them against the leaf.

        :raises BodyError: another key, or damaged.
        """
        salt = stored[:_SALT]
        if len(salt) < _SALT:
            raise BodyError("too short to hold anything")
        key = record_key(*self.key(session), salt)
        try:
            return AESGCM(key).decrypt(_NONCE, stored[_SALT:], None), opening(key)
        except InvalidTag as e:
            raise BodyError("this key does not open it") from e

    def term(self, text: str) -> bytes:
        """A 16-byte pseudonym for exact search, e.g. of "identity\\0ada@clinic.example"."""
        return self._term_key.digest(text.encode())[:16]

    def key(self, session: bytes) -> Key:
        """What a session's record keys are made from."""
        key = self.keys.get(session)
        if key is None:
            if len(self.keys) >= _SESSIONS_KEPT:
                self.keys.clear()
            key = self.keys[session] = Key(self._master.digest(b"ostiary-session" + session))
        return key
