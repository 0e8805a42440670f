"""
Key exchange methods that Conch does not have: MODP groups with SHA-2, and the client's side of ML-KEM.

Registered beside Conch's own, so that its transports know them. What has SHA-1 is never offered.

Source: RFC 8268 (groups 14 and 16), RFC 3526, draft-ietf-sshm-mlkem-hybrid-kex.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from twisted.conch.ssh import _kex
from zope.interface import implementer

try:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
except ImportError:  # cryptography before 48, or built without
    MLKEM768PrivateKey = None

HYBRID = "mlkem768x25519-sha256"
_CIPHERTEXT = 1088  # bytes, ML-KEM-768 (FIPS 203, table 3)


@implementer(_kex._IFixedGroupKexAlgorithm)
class _Group14Sha256:
    """Oakley's group 14, hashed with SHA-256."""

    preference = 8
    hashProcessor = sha256
    prime = _kex._DHGroup14SHA1.prime
    generator = 2


_kex._kexAlgorithms.setdefault(b"diffie-hellman-group14-sha256", _Group14Sha256())

_WANTED = (
    HYBRID, "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521", "diffie-hellman-group14-sha256",
)

EXCHANGES = tuple(
    name for name in _WANTED
    if name.encode() in _kex.getSupportedKeyExchanges() and (name != HYBRID or MLKEM768PrivateKey is not None)
)
"""Offered both ways, ours first to last."""


class HybridClient:
    """The client's half of one ML-KEM and X25519 exchange."""

    def __init__(self) -> None:
        self._kem: Any = MLKEM768PrivateKey.generate()
        self._classic = X25519PrivateKey.generate()
        self.public = self._kem.public_key().public_bytes_raw() + self._classic.public_key().public_bytes_raw()

    def shared(self, reply: bytes) -> bytes:
        """
        The 32 bytes that both sides have then.

        :raises ValueError: the server's half is none.
        """
        if len(reply) != _CIPHERTEXT + 32:
            raise ValueError("the server's half has a wrong length")
        classic = self._classic.exchange(X25519PublicKey.from_public_bytes(reply[_CIPHERTEXT:]))
        return sha256(self._kem.decapsulate(reply[:_CIPHERTEXT]) + classic).digest()
