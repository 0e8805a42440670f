"""Negotiation: the client's first of each that both have, and nothing that would be weak."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PeerError
from protocols.ssh.ciphers import CIPHERS, MACS
from protocols.ssh.messages import string, u32
from protocols.ssh.offer import LIST_LIMIT, Offer, agree


def kexinit(*lists: str, rest: bytes = b"\0" + u32(0)) -> bytes:
    return bytes([20]) + bytes(16) + b"".join(string(one.encode()) for one in lists) + rest


def offer(exchanges: str = "x", keys: str = "k", ciphers: str = "aes128-gcm@openssh.com", macs: str = "m", packed: str = "none") -> Offer:
    return Offer.read(kexinit(exchanges, keys, ciphers, ciphers, macs, macs, packed, packed, "", ""))


def test_the_clients_first_counts() -> None:
    client = offer("b,c,a", "k2,k1", "c2,c1", "m2,m1", "z,none")
    server = offer("a,b", "k1,k2", "c1,c2", "m1,m2", "none,z")
    agreed = agree(client, server)
    assert (agreed.exchange, agreed.host_key, agreed.sent.cipher, agreed.sent.mac, agreed.answered.compression) == ("b", "k2", "c2", "m2", "z")


def test_no_mac_is_needed_beside_an_authenticated_cipher() -> None:
    """A client that offers only MACs of old comes in all the same."""
    assert agree(offer(macs="hmac-sha1"), offer(macs="m")).sent.mac == ""
    with pytest.raises(PeerError):
        agree(offer(ciphers="aes128-ctr", macs="hmac-sha1"), offer(ciphers="aes128-ctr", macs="m"))


@pytest.mark.parametrize("what", ["exchanges", "keys", "ciphers", "packed"])
def test_nothing_in_common_ends_the_connection(what: str) -> None:
    with pytest.raises(PeerError, match="no common"):
        agree(offer(**{what: "other"}), offer())


def test_an_extension_is_never_a_key_exchange() -> None:
    """RFC 8308, 2.2; and the strict marker."""
    for name in ("ext-info-c", "kex-strict-c-v00@openssh.com"):
        with pytest.raises(PeerError):
            agree(offer(name), offer(name))


def test_nothing_weak_is_offered() -> None:
    """No CBC, no 3DES, no MD5, no SHA-1, no MAC of the plaintext."""
    assert all("cbc" not in name and "3des" not in name and "arcfour" not in name for name in CIPHERS)
    assert all(name.endswith("-etm@openssh.com") and "sha2" in name for name in MACS)


@pytest.mark.parametrize("payload", [
    kexinit(*"abcdefghi"), kexinit(*"abcdefghij", rest=b""), kexinit(*"abcdefghij", rest=b"\0" + u32(0) + b"x"),
    kexinit("a b", *"bcdefghij"), kexinit("a" * (LIST_LIMIT + 1), *"bcdefghij"), b"\x14", b"\x14" + bytes(16) + b"\xff" * 4,
], ids=["a list short", "no end", "bytes behind", "a space", "a long list", "nothing", "a long promise"])  # fmt: skip
def test_what_is_no_offer_is_refused(payload: bytes) -> None:
    with pytest.raises(PeerError):
        Offer.read(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_offer_or_a_peer_error(data: bytes) -> None:
    try:
        Offer.read(b"\x14" + data)
    except PeerError as error:
        assert error.why
