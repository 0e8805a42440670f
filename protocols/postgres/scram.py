"""
SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides, as PostgreSQL speaks it. Nonces are arguments.

Text in, text out; framing is `messages` and `replies`. The user name inside the
exchange is ignored, as PostgreSQL does: the start-up packet has named the user.

Source: RFC 5802, RFC 7677, RFC 5929 section 4 (tls-server-end-point), RFC 4013
(SASLprep); PostgreSQL 18 manual, 54.3 "SASL Authentication".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stringprep
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from protocols.errors import PeerError

PLAIN = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"

LEAST_ITERATIONS = 4096
"""RFC 7677, section 4. A server that asks for fewer makes the password cheap to guess."""

MOST_ITERATIONS = 600_000
"""About 0.2 s of this process; a hostile server must not be able to stop it for minutes."""

SALT_LENGTH = 16  # bytes, as the server's SCRAM_DEFAULT_SALT_LEN

_BINDING = b"p=tls-server-end-point"


@dataclass(frozen=True, slots=True, repr=False)
class Verifier:
    """What a server keeps instead of a password: enough to check one, not to log in with."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int = LEAST_ITERATIONS) -> Self:
        """Derive it; costs `iterations` hashes."""
        client, server = _keys(password, salt, iterations)
        return cls(iterations, salt, hashlib.sha256(client).digest(), server)

    @classmethod
    def decoy(cls, subject: str, key: bytes, iterations: int = LEAST_ITERATIONS) -> Self:
        """One that nobody can match, the same each time: an unknown subject looks like a wrong secret."""
        salt, stored, server = (
            hmac.digest(key, part + subject.encode("utf-8", "replace"), "sha256")
            for part in (b"salt ", b"stored ", b"server ")
        )
        return cls(iterations, salt[:SALT_LENGTH], stored, server)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From PostgreSQL's own form, as in pg_authid. ValueError for anything else."""
        try:
            mechanism, cost, keys = text.split("$")
            iterations, salt = cost.split(":")
            stored, server = (base64.b64decode(key, validate=True) for key in keys.split(":"))
            parsed = cls(int(iterations), base64.b64decode(salt, validate=True), stored, server)
        except (ValueError, binascii.Error):
            raise ValueError("not a SCRAM verifier") from None
        if mechanism != PLAIN or {len(stored), len(server)} != {32} or parsed.iterations < 1 or not parsed.salt:
            raise ValueError("not a SCRAM-SHA-256 verifier")
        return parsed

    def __str__(self) -> str:
        """PostgreSQL's own form."""
        salt, stored, server = (_b64(part) for part in (self.salt, self.stored_key, self.server_key))
        return f"{PLAIN}${self.iterations}:{salt}${stored}:{server}"

    def __repr__(self) -> str:
        return f"Verifier({self.iterations} iterations)"


class ScramClient:
    """
    The client's side, toward a target.

    :param binding: the hash of the target's certificate; None without TLS.
    :param plus: the target offers SCRAM-SHA-256-PLUS.
    """

    def __init__(self, password: str, nonce: str, binding: bytes | None = None, plus: bool = False) -> None:
        self._password, self._nonce = password, nonce
        if plus and binding is not None:
            self.mechanism, self._header, self._bound = PLUS, _BINDING + b",,", binding
        else:
            # "y": we could have bound the channel. A server that had offered to then knows
            # that somebody cut its offer (RFC 5802, section 6).
            self.mechanism, self._bound = PLAIN, b""
            self._header = b"n,," if binding is None else b"y,,"
        self._expected = b""  # the server's proof that it knows the password too
        self.verified = False

    def first(self) -> bytes:
        return self._header + self._bare()

    def final(self, server_first: bytes) -> bytes:
        """Answer the server's challenge."""
        nonce, salt, iterations = self._read_challenge(server_first)
        without_proof = b"c=" + _b64(self._header + self._bound).encode() + b",r=" + nonce
        signed = b",".join((self._bare(), server_first, without_proof))
        client_key, server_key = _keys(self._password, salt, iterations)
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        self._expected = hmac.digest(server_key, signed, "sha256")
        return without_proof + b",p=" + _b64(_xor(client_key, signature)).encode()

    def verify(self, server_final: bytes) -> None:
        """PeerError unless the server proves that it knows the password."""
        fields = _attributes(server_final, "server-final-message")
        if "e" in fields:
            raise PeerError("SCRAM: the server reports an error")
        signature = _unb64(fields.get("v", b""), "server signature")
        if not self._expected or not hmac.compare_digest(signature, self._expected):
            raise PeerError("SCRAM: the server's signature is wrong: it does not know the password")
        self.verified = True

    def _bare(self) -> bytes:
        return b"n=,r=" + self._nonce.encode("ascii")

    def _read_challenge(self, data: bytes) -> tuple[bytes, bytes, int]:
        fields = _attributes(data, "server-first-message")
        if list(fields)[:3] != ["r", "s", "i"] or self._expected:
            raise PeerError("SCRAM: malformed or repeated server-first-message")
        ours, nonce = self._nonce.encode("ascii"), fields["r"]
        if not nonce.startswith(ours) or len(nonce) == len(ours):
            raise PeerError("SCRAM: the server's nonce does not continue ours")
        if not fields["i"].isdigit() or not LEAST_ITERATIONS <= int(fields["i"][:10]) <= MOST_ITERATIONS:
            raise PeerError(f"SCRAM: the iteration count is not in {LEAST_ITERATIONS}..{MOST_ITERATIONS}")
        salt = _unb64(fields["s"], "salt")
        if not salt:
            raise PeerError("SCRAM: the salt is empty")
        return nonce, salt, int(fields["i"])


class ScramServer:
    """
    The server's side, toward a client.

    :param binding: the hash of our certificate; None when there is no TLS. With
        it, SCRAM-SHA-256-PLUS is offered too.
    """

    def __init__(self, nonce: str, binding: bytes | None = None) -> None:
        self._nonce, self._binding = nonce.encode("ascii"), binding
        self._header = self._client_bare = self._challenge = b""
        self._verifiers: tuple[Verifier, ...] = ()
        self.matched = 0  #: which verifier the proof fitted

    @property
    def mechanisms(self) -> tuple[str, ...]:
        return (PLAIN,) if self._binding is None else (PLUS, PLAIN)

    def read_first(self, mechanism: str, data: bytes) -> None:
        """The client's opening. PeerError when it is malformed or its offer was cut."""
        if mechanism not in self.mechanisms:
            raise PeerError(f"SCRAM: mechanism {mechanism[:32]!r} was not offered")
        flag, _, rest = data.partition(b",")
        authzid, comma, bare = rest.partition(b",")
        self._check_flag(flag, mechanism)
        if authzid or not comma:
            raise PeerError("SCRAM: an authorization identity is not supported")
        fields = _attributes(bare, "client-first-message")
        if list(fields)[:2] != ["n", "r"] or not fields["r"] or not _printable(fields["r"]):
            raise PeerError("SCRAM: malformed client-first-message")
        self._header, self._client_bare = flag + b",,", bare
        self._nonce = fields["r"] + self._nonce

    def challenge(self, verifier: Verifier, *others: Verifier) -> bytes:
        """The server-first-message. Others are of the same salt and iterations: a subject with several tokens."""
        self._verifiers = (verifier, *others)
        self._challenge = b"r=%s,s=%s,i=%d" % (self._nonce, _b64(verifier.salt).encode(), verifier.iterations)
        return self._challenge

    def finish(self, data: bytes) -> bytes | None:
        """The server-final-message; None when the proof is wrong."""
        without_proof, _, proof = data.rpartition(b",p=")
        fields = _attributes(without_proof, "client-final-message")
        if not self._verifiers or list(fields)[:2] != ["c", "r"]:
            raise PeerError("SCRAM: malformed or early client-final-message")
        bound = self._binding if self._header.startswith(b"p=") else b""
        if _unb64(fields["c"], "channel binding") != self._header + (bound or b""):
            raise PeerError("SCRAM: the channel binding does not match: somebody is between us")
        if not hmac.compare_digest(fields["r"], self._nonce):
            raise PeerError("SCRAM: the nonce changed")
        signed = b",".join((self._client_bare, self._challenge, without_proof))
        given = _unb64(proof, "proof")
        fits = [index for index, verifier in enumerate(self._verifiers) if _proves(given, verifier, signed)]
        if not fits:
            return None
        self.matched = fits[0]
        return b"v=" + _b64(hmac.digest(self._verifiers[self.matched].server_key, signed, "sha256")).encode()

    def _check_flag(self, flag: bytes, mechanism: str) -> None:
        if mechanism == PLUS:
            if flag != _BINDING:
                raise PeerError("SCRAM: the channel binding is not tls-server-end-point")
        elif flag == b"y":
            if self._binding is not None:
                raise PeerError("SCRAM: the client did not see our offer of channel binding")
        elif flag != b"n":
            raise PeerError("SCRAM: malformed channel binding flag")


def saslprep(text: str) -> str:
    """
    A password as RFC 4013 prepares it; as it is when that is impossible, which is PostgreSQL's rule.
    """
    if text.isascii():
        return text
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    prepared = unicodedata.normalize("NFKC", mapped)
    prohibited = not prepared or any(table(c) for c in prepared for table in _PROHIBITED)
    return text if prohibited or _mixes_directions(prepared) else prepared


_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
    stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7,
    stringprep.in_table_c8, stringprep.in_table_c9,
)  # fmt: skip


def _mixes_directions(text: str) -> bool:
    """RFC 3454, section 6: right-to-left text starts and ends so, and holds no left-to-right letter."""
    if not any(map(stringprep.in_table_d1, text)):
        return False
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not ends or any(map(stringprep.in_table_d2, text))


def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """(ClientKey, ServerKey) of RFC 5802, section 3."""
    prepared = saslprep(password).encode("utf-8", "surrogateescape")
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")


def _proves(proof: bytes, verifier: Verifier, signed: bytes) -> bool:
    """Whether the key under this proof is the one whose hash we keep."""
    if len(proof) != 32:
        return False
    client_key = _xor(proof, hmac.digest(verifier.stored_key, signed, "sha256"))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)


def _attributes(data: bytes, what: str) -> dict[str, bytes]:
    """`a=…,b=…` in order; each attribute once."""
    fields: dict[str, bytes] = {}
    for part in data.split(b","):
        name, value = part[:1].decode("latin-1"), part[2:]
        if part[1:2] != b"=" or not name.isalpha() or name in fields:
            raise PeerError(f"SCRAM: malformed {what}")
        fields[name] = value
    return fields


def _printable(nonce: bytes) -> bool:
    return all(0x21 <= byte <= 0x7E and byte != 0x2C for byte in nonce)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: bytes, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PeerError(f"SCRAM: the {what} is not base64") from None
