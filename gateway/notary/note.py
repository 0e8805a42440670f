"""
Signed notes: a text and who signed it, and the checkpoint of a log as such a text.

Source: C2SP signed-note and tlog-checkpoint (c2sp.org), signature type 0x01, Ed25519.
"""

from __future__ import annotations

import base64
import contextlib
from binascii import b2a_base64
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.notary.signing import SECRET, head, keyed, signature

_ED25519 = b"\x01"
DASH = "\u2014 "


class NoteError(Exception):
    """A note or key that is malformed, or that nobody trusted has signed."""


def key_id(name: str, public: bytes) -> bytes:
    """Four bytes that tell keys of one name apart. Not a security check by themselves."""
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


class Signer:
    """
    A private key under a name.

    :param private: OpenSSL's, or what `keyed` filled.
    """

    def __init__(self, name: str, private: Ed25519PrivateKey | bytearray) -> None:
        _check_name(name)
        self.name, self._private = name, private
        if isinstance(private, bytearray):
            self.public, self._signature = bytes(private[32:]), partial(signature, private)
        else:
            self.public, self._signature = private.public_key().public_bytes_raw(), private.sign
        self._id = key_id(name, self.public)
        self._line = f"\n{DASH}{name} "
        self._terms = name.encode(), self._line.encode(), self._id

    @classmethod
    def generate(cls, name: str) -> Signer:
        secret = bytearray(SECRET)
        return cls(name, secret if keyed(secret) else Ed25519PrivateKey.generate())

    def sign(self, text: str) -> str:
        """The note: the text, an empty line, and one signature line."""
        return text + self._line + b2a_base64(self._id + self._signature(text.encode())).decode()  # which ends in a newline

    def head(self, size: int, root: bytes) -> str:
        """The note of a checkpoint of its own log."""
        if isinstance(self._private, bytearray):
            origin, line, name = self._terms
            return head(self._private, origin, size, root, line, name)
        return self.sign(checkpoint_text(self.name, size, root))

    def forget(self) -> None:
        """It signs nothing more. The secret is overwritten here, or by OpenSSL when it lets go of it."""
        if isinstance(self._private, bytearray):
            self._private[:] = bytes(SECRET)
        self._private = self._signature = None

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.public)


class Verifier:
    """A public key under a name; its text form is what an auditor is given."""

    def __init__(self, name: str, public: bytes) -> None:
        _check_name(name)
        if len(public) != 32:
            raise NoteError("an Ed25519 public key has 32 bytes")
        self.name, self.public = name, public
        self._id = key_id(name, public)
        self._key = Ed25519PublicKey.from_public_bytes(public)

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """From `name+hash+base64`."""
        name, _, rest = text.strip().partition("+")
        hashed, _, encoded = rest.partition("+")
        raw = _decode(encoded, "a verifier key")
        if raw[:1] != _ED25519 or len(raw) != 33 or key_id(name, raw[1:]).hex() != hashed:
            raise NoteError("not an Ed25519 verifier key, or its hash does not match")
        return cls(name, raw[1:])

    def __str__(self) -> str:
        return f"{self.name}+{self._id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def open(self, note: str) -> str:
        """
        The note's text.

        :raises NoteError: it is malformed or holds no good signature of this key.
        """
        text, lines = split_note(note)
        for name, identifier, told in lines:
            if name == self.name and identifier == self._id:
                with contextlib.suppress(InvalidSignature):
                    self._key.verify(told, text.encode())
                    return text
                raise NoteError(f"the signature of {name} does not match")
        raise NoteError(f"no signature of {self.name}")


def split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text, and (name, key id, signature) of each signature line. Nothing is verified."""
    text, separator, tail = note.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise NoteError("not a signed note")
    return text + "\n", [_signature_line(line) for line in tail[:-1].split("\n")]


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    name, separator, encoded = line.removeprefix(DASH).partition(" ")
    raw = _decode(encoded, "a signature line")
    if not line.startswith(DASH) or not separator or len(raw) < 5:
        raise NoteError("not a signature line")
    return name, raw[:4], raw[4:]


def _decode(encoded: str, what: str) -> bytes:
    """Base64 in its one canonical form; Python would ignore stray trailing bits."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError as e:
        raise NoteError(f"{what} is not base64") from e
    if base64.b64encode(raw).decode() != encoded:
        raise NoteError(f"{what} is not canonical base64")
    return raw


def _check_name(name: str) -> None:
    if not name or "+" in name or any(c.isspace() for c in name):
        raise NoteError(f"a key's name is not empty and has no space and no plus: {name!r}")


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """What is signed: three lines."""
    return f"{origin}\n{size}\n{b2a_base64(root).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's size and root at one moment."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return checkpoint_text(self.origin, self.size, self.root)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Exactly three lines; we write no extension lines."""
        lines = text.split("\n")
        try:
            origin, size, root = lines[0], lines[1], base64.b64decode(lines[2], validate=True)
            checkpoint = cls(origin, int(size), root)
        except (IndexError, ValueError) as e:
            raise NoteError("not a checkpoint") from e
        if checkpoint.text != text or len(root) != 32:
            raise NoteError("not a checkpoint in canonical form")
        return checkpoint
