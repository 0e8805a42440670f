"""
How one direction of a connection is locked: what a packet's bytes become on the wire, and back.

A lock belongs to one direction and one key. None of them knows which packets it locks. Offered are
authenticated modes only: AES-GCM, ChaCha20-Poly1305, and AES-CTR whose MAC covers the ciphertext.

Source: RFC 4253, 6; RFC 5647, 7 (GCM); OpenSSH PROTOCOL 1.2 (EtM) and PROTOCOL.chacha20poly1305.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.poly1305 import Poly1305

_U32 = Struct(">I")
_U64 = Struct(">Q")
HEAD = 4  # bytes of packet_length

class Tampered(Exception):
    """The tag does not fit: somebody changed the packet, or has another key."""


class Lock(Protocol):
    """
    :ivar block: what a packet's encrypted part is a multiple of, in bytes.
    :ivar counted: how much of the head counts for that.
    :ivar tag: bytes behind the packet.
    :ivar uncover: packet_length out of the first four bytes of the packet of this sequence, of which nothing is proven
        yet; None where they are it.
    """

    block: int
    counted: int
    tag: int

    @property
    def uncover(self) -> Callable[[int, bytes], int] | None: ...

    def open(self, sequence: int, packet: memoryview) -> bytes:
        """
        What follows packet_length, out of a whole packet with its tag.

        :raises Tampered: none of it is what was sent.
        """

    def seal(self, sequence: int, head: bytes, body: bytes, out: memoryview) -> None:
        """Put a whole packet with its tag into `out`, which has just the room for it."""


class Open:
    """No lock: before the first keys."""

    block, counted, tag, uncover = 8, HEAD, 0, None

    def open(self, sequence: int, packet: memoryview) -> bytes:
        return bytes(packet[HEAD:])

    def seal(self, sequence: int, head: bytes, body: bytes, out: memoryview) -> None:
        out[:HEAD], out[HEAD:] = head, body


class Gcm:
    """AES-GCM; packet_length is authenticated, not encrypted. Counts its own packets, whatever their sequence."""

    block, counted, tag, uncover = 16, 0, 16, None

    def __init__(self, key: bytes, iv: bytes) -> None:
        aead = AESGCM(key)
        self._decrypt, self._encrypt_into = aead.decrypt, aead.encrypt_into
        self._fixed, self._count = iv[:4], _U64.unpack(iv[4:])[0]

    def open(self, sequence: int, packet: memoryview) -> bytes:
        try:
            return self._decrypt(self._nonce(), packet[HEAD:], packet[:HEAD])
        except InvalidTag:
            raise Tampered("the tag is wrong") from None

    def seal(self, sequence: int, head: bytes, body: bytes, out: memoryview) -> None:
        out[:HEAD] = head
        self._encrypt_into(self._nonce(), body, head, out[HEAD:])

    def _nonce(self) -> bytes:
        nonce = self._fixed + _U64.pack(self._count)
        self._count = (self._count + 1) & 0xFFFFFFFFFFFFFFFF
        return nonce


class ChaChaPoly:
    """Two ChaCha20 keys: one hides packet_length, the other the rest and gives the tag's key. The nonce is the sequence."""

    block, counted, tag = 8, 0, 16

    def __init__(self, key: bytes) -> None:
        self._main, self._head = _chacha(key[:32]), _chacha(key[32:64])

    def uncover(self, sequence: int, head: bytes) -> int:
        self._head.reset_nonce(_first_block(sequence))
        return int(_U32.unpack(self._head.update(head))[0])

    def open(self, sequence: int, packet: memoryview) -> bytes:
        end = len(packet) - self.tag
        key = self._tag_key(sequence)
        try:
            Poly1305.verify_tag(key, packet[:end], bytes(packet[end:]))
        except InvalidSignature:
            raise Tampered("the tag is wrong") from None
        return self._main.update(packet[HEAD:end])

    def seal(self, sequence: int, head: bytes, body: bytes, out: memoryview) -> None:
        end = len(out) - self.tag
        key = self._tag_key(sequence)
        self._head.reset_nonce(_first_block(sequence))
        self._head.update_into(head, out)
        self._main.update_into(body, out[HEAD:])
        out[end:] = Poly1305.generate_tag(key, out[:end])

    def _tag_key(self, sequence: int) -> bytes:
        """Of this packet's tag; the stream goes on with what hides the rest."""
        self._main.reset_nonce(_first_block(sequence))
        return self._main.update(bytes(64))[:32]


class CtrEtm:
    """AES-CTR with an HMAC over the sequence, packet_length in clear, and the ciphertext."""

    block, counted, uncover = 16, 0, None

    def __init__(self, key: bytes, iv: bytes, digest: str, integrity: bytes) -> None:
        self._stream = Cipher(AES(key), CTR(iv)).encryptor()  # decrypts as well: CTR is its own inverse
        self._mac = hmac.new(integrity, digestmod=digest)
        self.tag = self._mac.digest_size

    def open(self, sequence: int, packet: memoryview) -> bytes:
        end = len(packet) - self.tag
        if not hmac.compare_digest(self._digest(sequence, packet[:end]), bytes(packet[end:])):
            raise Tampered("the MAC is wrong")
        return self._stream.update(packet[HEAD:end])

    def seal(self, sequence: int, head: bytes, body: bytes, out: memoryview) -> None:
        end = len(out) - self.tag
        out[:HEAD] = head
        self._stream.update_into(body, out[HEAD:])
        out[end:] = self._digest(sequence, out[:end])

    def _digest(self, sequence: int, locked: memoryview) -> bytes:
        mac = self._mac.copy()
        mac.update(_U32.pack(sequence))
        mac.update(locked)
        return mac.digest()


def _chacha(key: bytes) -> CipherContext:
    """A stream that is set to each packet's first block before it is used."""
    return Cipher(ChaCha20(key, bytes(16)), None).encryptor()


def _first_block(sequence: int) -> bytes:
    """The counter is 64 bits little-endian, the nonce 64 bits big-endian."""
    return bytes(8) + _U64.pack(sequence)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a key exchange gives one direction: as many bytes of each as its lock asks for (RFC 4253, 7.2)."""

    iv: Callable[[int], bytes]
    key: Callable[[int], bytes]
    integrity: Callable[[int], bytes]


_GCM = {"aes128-gcm@openssh.com": 16, "aes256-gcm@openssh.com": 32}  # key, bytes
_CTR = {"aes128-ctr": 16, "aes192-ctr": 24, "aes256-ctr": 32}
_CHACHA = "chacha20-poly1305@openssh.com"
_MACS = {"hmac-sha2-256-etm@openssh.com": ("sha256", 32), "hmac-sha2-512-etm@openssh.com": ("sha512", 64)}

CIPHERS = (*_GCM, _CHACHA, "aes256-ctr", "aes192-ctr", "aes128-ctr")
"""Ours first to last: the first is the fastest here."""
MACS = tuple(_MACS)
AUTHENTICATED = frozenset({*_GCM, _CHACHA})
"""Ciphers that need no MAC, and for which none is negotiated."""


def lock(cipher: str, mac: str, secrets: Secrets) -> Lock:
    """
    The lock of these names; `mac` counts only for a cipher that has none of its own.

    :raises KeyError: a name that is not ours.
    """
    if cipher in _GCM:
        return Gcm(secrets.key(_GCM[cipher]), secrets.iv(12))
    if cipher == _CHACHA:
        return ChaChaPoly(secrets.key(64))
    digest, size = _MACS[mac]
    return CtrEtm(secrets.key(_CTR[cipher]), secrets.iv(16), digest, secrets.integrity(size))
