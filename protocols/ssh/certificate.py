"""
OpenSSH certificates: bytes to what they say and back. Who signed one, and whether it may be believed, is judged elsewhere.

Source: OpenSSH PROTOCOL.certkeys.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from protocols.ssh.messages import Reader, Unreadable, string, u32

USER, HOST = 1, 2

SUFFIX = "-cert-v01@openssh.com"
BLOB_LIMIT = 16384  # bytes of a whole certificate
TEXT_LIMIT = 4096  # bytes of a key id, a principal or an option
PRINCIPALS = 256  # that one certificate may name
FOREVER = (1 << 64) - 1

_FIELDS = {
    "ssh-ed25519": 1, "ecdsa-sha2-nistp256": 2, "ecdsa-sha2-nistp384": 2, "ecdsa-sha2-nistp521": 2, "ssh-rsa": 2,
    "sk-ssh-ed25519@openssh.com": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
"""How many strings a key of each kind is."""


def certified(plain: str) -> str:
    """The name of a kind's or an algorithm's certificates."""
    return plain.removesuffix("@openssh.com") + SUFFIX


PLAIN = MappingProxyType({certified(kind): kind for kind in (*_FIELDS, "rsa-sha2-512", "rsa-sha2-256")})
"""Kinds and algorithms of certificates to those of the keys in them."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    What its signer vouched for.

    :ivar key: the blob of the plain public key. :ivar authority: the blob of the key that signed it.
    :ivar after: seconds since 1970 from which on it is good; :ivar before: from which on it is not.
    :ivar critical: options that must be understood; :ivar extensions: what it permits.
    """

    key: bytes
    kind: int
    key_id: str
    principals: tuple[str, ...]
    after: int
    before: int
    authority: bytes
    serial: int = 0
    nonce: bytes = b""
    critical: Mapping[str, str] = field(default_factory=dict)
    extensions: frozenset[str] = frozenset()
    signature: bytes = b""

    @classmethod
    def read(cls, blob: bytes) -> tuple[Certificate, bytes]:
        """
        A certificate, and which of its bytes were signed.

        :raises Unreadable: it is none.
        """
        if len(blob) > BLOB_LIMIT:
            raise Unreadable("a certificate is too long")
        fields = Reader(blob, 0)
        plain = PLAIN.get(fields.name(), "")
        if plain not in _FIELDS:
            raise Unreadable("no certificate of a kind that is taken")
        nonce = fields.string()
        key = string(plain.encode()) + b"".join(string(fields.string()) for _ in range(_FIELDS[plain]))
        serial, kind = _u64(fields), fields.u32()
        key_id, principals = _text(fields.string(TEXT_LIMIT)), _list(fields.string())
        after, before = _u64(fields), _u64(fields)
        critical, permitted = _options(fields.string()), _options(fields.string())
        fields.string()
        authority, signature = fields.string(), fields.string()
        fields.end()
        signed = blob[:-len(string(signature))]
        found = {name: _text(_only(value)) if value else "" for name, value in critical.items()}
        return cls(
            key, kind, key_id, principals, after, before, authority, serial, nonce, found, frozenset(permitted), signature
        ), signed

    def body(self) -> bytes:
        """What its signer signs."""
        fields = Reader(self.key, 0)
        plain = fields.name()
        critical = b"".join(string(name.encode()) + string(string(value.encode()) if value else b"") for name, value in sorted(self.critical.items()))
        return b"".join((
            string(certified(plain).encode()), string(self.nonce), fields.rest(), _number(self.serial), u32(self.kind),
            string(self.key_id.encode()), string(b"".join(string(name.encode()) for name in self.principals)),
            _number(self.after), _number(self.before), string(critical),
            string(b"".join(string(name.encode()) + string(b"") for name in sorted(self.extensions))), string(b""),
            string(self.authority),
        ))  # fmt: skip

    def refusal(self, kind: int, principal: str, now: float) -> str:
        """Why it does not speak for this user or host at this time; "" when it does. Its signature is not looked at."""
        if self.kind != kind:
            return "the certificate is of the other type"
        if principal not in self.principals:  # one without any would be everybody's
            return "the certificate does not name who logs in"
        if not self.after <= now < self.before:
            return "the certificate is not valid yet" if now < self.after else "the certificate has expired"
        return ""


def comes_from(address: str, allowed: str) -> bool:
    """Whether an address is in a list as the option source-address has it; what cannot be read allows nobody."""
    try:
        here = ipaddress.ip_address(address)
        here = getattr(here, "ipv4_mapped", None) or here
        return any(here in ipaddress.ip_network(each.strip()) for each in allowed.split(","))
    except ValueError:
        return False


def _options(data: bytes) -> dict[str, bytes]:
    """In the order of their names, each once, as they must be."""
    fields, found, last = Reader(data, 0), {}, ""
    while fields.more:
        name, value = _text(fields.string(TEXT_LIMIT)), fields.string(TEXT_LIMIT)
        if name <= last:
            raise Unreadable("options are out of order")
        found[name], last = value, name
    return found


def _list(data: bytes) -> tuple[str, ...]:
    fields, found = Reader(data, 0), []
    while fields.more:
        found.append(_text(fields.string(TEXT_LIMIT)))
        if len(found) > PRINCIPALS:
            raise Unreadable("too many principals")
    return tuple(found)


def _only(value: bytes) -> bytes:
    fields = Reader(value, 0)
    found = fields.string()
    fields.end()
    return found


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unreadable("a text in a certificate is not UTF-8") from None


def _u64(fields: Reader) -> int:
    return fields.u32() << 32 | fields.u32()


def _number(value: int) -> bytes:
    return u32(value >> 32) + u32(value & 0xFFFFFFFF)
