"""
What two sides offer each other in KEXINIT, and what comes of it.

Source: RFC 4253, 7.1; RFC 8308, 2 (extensions); OpenSSH PROTOCOL 1.9 (strict key exchange).
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.errors import PeerError
from protocols.ssh.ciphers import AUTHENTICATED
from protocols.ssh.messages import Reader, Unreadable, string, u32

KEXINIT = 20
STRICT_CLIENT, STRICT_SERVER = "kex-strict-c-v00@openssh.com", "kex-strict-s-v00@openssh.com"
COMPRESSED = "zlib@openssh.com"
LIST_LIMIT = 8192
"""Longest name-list taken, in bytes; OpenSSH's longest is about 500."""

EXT_INFO = 7
SIGNATURES = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)
"""What may sign a login (RFC 8308, 3.1)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One side's lists, its favourites first; `sent` from client to server, `answered` the other way."""

    exchanges: tuple[str, ...]
    host_keys: tuple[str, ...]
    ciphers: tuple[tuple[str, ...], tuple[str, ...]]
    macs: tuple[tuple[str, ...], tuple[str, ...]]
    compressions: tuple[tuple[str, ...], tuple[str, ...]]

    @classmethod
    def read(cls, payload: bytes) -> Offer:
        """
        :raises PeerError: no KEXINIT, or one of lists that nobody would send.
        """
        try:
            fields = Reader(payload, 17)
            lists = [_names(fields.string(LIST_LIMIT)) for _ in range(10)]
            fields.flag()
            fields.u32()
            fields.end()
        except Unreadable as error:
            raise PeerError(f"KEXINIT: {error}") from None
        exchanges, keys, cs, sc, mac_cs, mac_sc, zip_cs, zip_sc, _, _ = lists
        return cls(exchanges, keys, (cs, sc), (mac_cs, mac_sc), (zip_cs, zip_sc))


@dataclass(frozen=True, slots=True)
class Direction:
    """How one direction is locked."""

    cipher: str
    mac: str  #: "" where the cipher needs none
    compression: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides can."""

    exchange: str
    host_key: str
    sent: Direction  #: client to server
    answered: Direction


def agree(client: Offer, server: Offer) -> Agreed:
    """
    The client's first of each that the server has too.

    :raises PeerError: for something there is none; says for what.
    """
    directions = [
        _direction(client, server, way) for way in (0, 1)
    ]
    return Agreed(
        _first(client.exchanges, server.exchanges, "key exchange"),
        _first(client.host_keys, server.host_keys, "host key"), *directions,
    )


def _direction(client: Offer, server: Offer, way: int) -> Direction:
    cipher = _first(client.ciphers[way], server.ciphers[way], "cipher")
    mac = "" if cipher in AUTHENTICATED else _first(client.macs[way], server.macs[way], "MAC")
    return Direction(cipher, mac, _first(client.compressions[way], server.compressions[way], "compression"))


def _first(wanted: tuple[str, ...], offered: tuple[str, ...], what: str) -> str:
    for name in wanted:
        if name in offered and not name.startswith(("ext-info-", "kex-strict-")):
            return name
    raise PeerError(f"no common {what}")


def _names(raw: bytes) -> tuple[str, ...]:
    if not all(0x21 <= byte <= 0x7E for byte in raw):
        raise Unreadable("a name-list holds other than printable ASCII")
    return tuple(raw.decode("ascii").split(",")) if raw else ()


def extensions() -> bytes:
    """EXT_INFO of a server (RFC 8308, 2.4)."""
    return bytes([EXT_INFO]) + u32(1) + string(b"server-sig-algs") + string(",".join(SIGNATURES).encode())
