"""The packet codec: every cipher both ways, known vectors, and whatever a stranger may send."""

from __future__ import annotations

import hashlib
import os
import zlib
from binascii import unhexlify
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import LocalError, PeerError
from protocols.ssh.ciphers import AUTHENTICATED, CIPHERS, MACS, Secrets, lock
from protocols.ssh.codec import PACKET_LIMIT, PAYLOAD_LIMIT, SLACK, SPENT_PACKETS, WORN_BYTES, WORN_PACKETS, Opener, Sealer

SUITES = [(cipher, mac) for cipher in CIPHERS for mac in (MACS if cipher not in AUTHENTICATED else MACS[:1])]


def secrets(seed: bytes = b"seed") -> Secrets:
    """The same bytes each time, as many as are asked for."""

    def source(letter: bytes) -> Callable[[int], bytes]:
        return lambda count: hashlib.shake_128(seed + letter).digest(count)

    return Secrets(source(b"iv"), source(b"key"), source(b"integrity"))


def pair(cipher: str = "", mac: str = MACS[0], seed: bytes = b"seed", restart: bool = True) -> tuple[Sealer, Opener]:
    sealer, opener = Sealer(os.urandom), Opener()
    if cipher:
        sealer.change(lock(cipher, mac, secrets(seed)), restart=restart)
        opener.change(lock(cipher, mac, secrets(seed)), restart=restart)
    return sealer, opener


PAYLOADS = [b"\x01", b"\x5e" + bytes(11), b"\x5e" + os.urandom(32768), os.urandom(PAYLOAD_LIMIT)]


@pytest.mark.parametrize(("cipher", "mac"), [("", ""), *SUITES])
def test_every_cipher_opens_what_it_sealed(cipher: str, mac: str) -> None:
    """Whole, byte by byte at the ends, and with the next packet begun; the sequence counts on."""
    sealer, opener = pair(cipher, mac)
    wire = b"".join(sealer.seal(payload) for payload in PAYLOADS)
    opener.feed(wire[:1])
    assert opener.next_payload() is None
    opener.feed(wire[1:])
    assert [opener.next_payload() for _ in PAYLOADS] == PAYLOADS
    assert opener.next_payload() is None and opener.behind == 0 and opener.sequence == len(PAYLOADS)
    for byte in sealer.seal(b"\x02end"):
        assert opener.next_payload() is None
        opener.feed(bytes([byte]))
    assert opener.next_payload() == b"\x02end"


@pytest.mark.parametrize(("cipher", "mac"), [("", ""), *SUITES])
def test_an_opened_payload_stays_what_it_is(cipher: str, mac: str) -> None:
    """It waits for verdicts and windows while others are opened: no room is used twice."""
    sealer, opener = pair(cipher, mac)
    payloads = [bytes([94, turn]) * 20_000 for turn in range(8)]
    opened = []
    for payload in payloads:
        opener.feed(sealer.seal(payload))
        opened.append(opener.next_payload())
    assert opened == payloads


@pytest.mark.parametrize(("cipher", "mac"), [("", ""), *SUITES])
def test_packets_are_sealed_one_behind_the_other_in_one_room(cipher: str, mac: str) -> None:
    """With what compression may add; nothing is written outside of what was said, and none of it is in clear."""
    sealer, opener = pair(cipher, mac)
    sealer.compress()
    opener.decompress()
    payloads = [b"\x5e" + os.urandom(30_000), b"\x5e", os.urandom(PAYLOAD_LIMIT - 100)]
    room, at = bytearray(b"." * (PACKET_LIMIT + 40_000)), 0
    with memoryview(room) as whole:
        for payload in payloads:
            begin, at = at, sealer.seal_into(payload, whole, at)
            assert at - begin <= len(payload) + SLACK
    assert room[at:] == b"." * (len(room) - at) and (not cipher or payloads[0][1:2000] not in room)
    opener.feed(bytes(room[:at]))
    assert [opener.next_payload() for _ in payloads] == payloads


@pytest.mark.parametrize("sizes", [(1, 7), (5000,), (40_000, 3), (100_000, 1)])
@pytest.mark.parametrize("lent", [True, False], ids=["lent", "given"])
def test_however_a_connection_is_cut_its_packets_are_the_same(sizes: tuple[int, ...], lent: bool) -> None:
    """Long packets in small reads, short ones in large reads, and what is left of one put before the next."""
    payloads = [bytes([94]) * count for count in (1, 30_000, 12, 200_000, 1, 70_000)]
    sealer, opener = pair("aes128-gcm@openssh.com", "")
    wire, at, turn, opened = b"".join(sealer.seal(payload) for payload in payloads), 0, 0, []
    while at < len(wire):
        size = sizes[turn % len(sizes)]
        room = bytearray(wire[at : at + size])
        opener.feed(memoryview(room) if lent else bytes(room))
        at, turn = at + size, turn + 1
        opened += iter(opener.next_payload, None)
        opener.keep()
        room[:] = bytes(len(room))
        assert opener.behind <= len(wire) - sum(map(len, opened))
    assert opened == payloads and opener.behind == 0


# The draft's appendix (draft-ietf-sshm-chacha20-poly1305, A): key, sequence 7, one packet of OpenSSH's.
CHACHA_KEY = unhexlify(
    "8bbff6855fc102338c373e73aac0c914f076a905b2444a32eecaffeae22becc5"
    "e9b7a7a5825a8249346ec1c28301cf394543fc7569887d76e168f37562ac0740"
)
CHACHA_PACKET = unhexlify(
    "2c3ecce4a5bc05895bf07a7ba956b6c68829ac7c83b780b7000ecde745afc705"
    "bbc378ce03a280236b87b53bed5839662302b164b6286a48cd1e097138e3cb90"
    "9b8b2b829dd18d2a35ff82d995349e855bf02c298ef775f2d1a7e8b8"
)
CHACHA_PAYLOAD = b"\x5e\x00\x00\x00\x00\x00\x00\x00\x38Lorem ipsum dolor sit amet, consectetur adipisicing elit"


def test_chacha20_poly1305_is_openssh_s() -> None:
    """A packet that another implementation sealed."""
    opener = Opener()
    opener.change(lock("chacha20-poly1305@openssh.com", "", Secrets(bytes, lambda _: CHACHA_KEY, bytes)), restart=True)
    opener._sequence = 7
    opener.feed(CHACHA_PACKET)
    assert opener.next_payload() == CHACHA_PAYLOAD


@pytest.mark.parametrize(("cipher", "mac"), SUITES)
def test_a_changed_packet_is_not_opened(cipher: str, mac: str) -> None:
    """Any bit, anywhere: the connection ends, and nothing of it comes out."""
    whole = pair(cipher, mac)[0].seal(b"\x5e" + bytes(64))
    for at in range(len(whole)):
        opener = pair(cipher, mac)[1]
        changed = bytearray(whole)
        changed[at] ^= 0x40
        opener.feed(bytes(changed) + bytes(PACKET_LIMIT + 64))
        with pytest.raises(PeerError):
            opener.next_payload()


@pytest.mark.parametrize(("cipher", "mac"), SUITES)
def test_packets_cannot_be_repeated_or_left_out(cipher: str, mac: str) -> None:
    sealer, opener = pair(cipher, mac)
    first, second = sealer.seal(b"\x01first"), sealer.seal(b"\x01second")
    opener.feed(first + first)
    assert opener.next_payload() == b"\x01first"
    with pytest.raises(PeerError):
        opener.feed(bytes(PACKET_LIMIT))
        opener.next_payload()
    opener = pair(cipher, mac)[1]
    with pytest.raises(PeerError):
        opener.feed(second + bytes(PACKET_LIMIT))
        opener.next_payload()


@pytest.mark.parametrize(("cipher", "mac"), SUITES)
def test_both_directions_have_their_own_keys(cipher: str, mac: str) -> None:
    """What was sealed with another key is tampered with."""
    sealer, _ = pair(cipher, mac, b"ours")
    _, opener = pair(cipher, mac, b"theirs")
    opener.feed(sealer.seal(b"\x01") + bytes(PACKET_LIMIT))
    with pytest.raises(PeerError):
        opener.next_payload()


def test_the_limit_is_checked_before_buffering() -> None:
    """Four bytes are enough to refuse a 2 GiB promise."""
    opener = Opener()
    opener.feed(b"\x7f\xff\xff\xfc")
    with pytest.raises(PeerError):
        opener.next_payload()


@pytest.mark.parametrize("length", [0, 1, 4, 11, 13, PACKET_LIMIT + 4])
def test_lengths_that_cannot_be_are_refused(length: int) -> None:
    opener = Opener()
    opener.feed(length.to_bytes(4))
    with pytest.raises(PeerError):
        opener.next_payload()


@pytest.mark.parametrize("padding", [0, 3, 11, 12, 255])
def test_padding_that_does_not_fit_is_refused(padding: int) -> None:
    """12 bytes: too little padding, or as much as leaves no payload."""
    opener = Opener()
    opener.feed(b"\x00\x00\x00\x0c" + bytes([padding]) + bytes(11))
    with pytest.raises(PeerError):
        opener.next_payload()


def test_strict_key_exchange_restarts_the_sequence() -> None:
    for restart, expected in ((True, 1), (False, 3)):
        sealer, opener = pair()
        opener.feed(sealer.seal(b"\x14") + sealer.seal(b"\x15"))
        assert opener.next_payload() and opener.next_payload()
        cipher = "chacha20-poly1305@openssh.com"
        sealer.change(lock(cipher, "", secrets()), restart=restart)
        opener.change(lock(cipher, "", secrets()), restart=restart)
        opener.feed(sealer.seal(b"\x05"))
        assert opener.next_payload() == b"\x05" and opener.sequence == expected


def test_keys_wear_out() -> None:
    """They ask to be changed, and are not used beyond where nonces would come again."""
    sealer, opener = pair("aes128-gcm@openssh.com")
    assert not sealer.worn
    sealer._bytes = WORN_BYTES
    assert sealer.worn
    sealer.change(lock("aes128-gcm@openssh.com", "", secrets(b"new")), restart=False)
    assert not sealer.worn
    sealer._packets = WORN_PACKETS
    assert sealer.worn
    sealer._packets = opener._packets = SPENT_PACKETS
    with pytest.raises(LocalError):
        sealer.seal(b"\x01")
    opener.feed(bytes(64))
    with pytest.raises(PeerError):
        opener.next_payload()


def test_sequences_wrap() -> None:
    """At 2^32 they begin again; struct cannot say more (RFC 4253, 6.4)."""
    sealer, opener = pair(SUITES[-1][0], SUITES[-1][1])
    sealer._sequence = opener._sequence = 0xFFFFFFFF
    opener.feed(sealer.seal(b"\x01a") + sealer.seal(b"\x01b"))
    assert [opener.next_payload(), opener.next_payload()] == [b"\x01a", b"\x01b"]
    assert opener.sequence == 1


def test_compression_both_ways() -> None:
    """The dictionary goes on from packet to packet; starting again forgets it."""
    sealer, opener = pair("aes128-gcm@openssh.com")
    for _ in range(2):
        sealer.compress()
        opener.decompress()
        for payload in (b"\x5e" + b"again and again " * 2000, b"\x5e" + b"again and again " * 2000, os.urandom(30000)):
            opener.feed(sealer.seal(payload))
            assert opener.next_payload() == payload


def test_a_bomb_is_not_inflated() -> None:
    """A packet within every limit that would become 64 MiB."""
    sealer, opener = pair()
    opener.decompress()
    bomb = zlib.compressobj(9)
    packed = bomb.compress(bytes(64 << 20)) + bomb.flush(zlib.Z_PARTIAL_FLUSH)
    opener.feed(sealer.seal(packed))
    with pytest.raises(PeerError):
        opener.next_payload()


@pytest.mark.parametrize("data", [b"\x00\x01rubbish", zlib.compress(b"\x05"), b"\x78\x9c"], ids=["no zlib", "its end", "nothing"])
def test_compressed_rubbish_is_refused(data: bytes) -> None:
    sealer, opener = pair()
    opener.decompress()
    opener.feed(sealer.seal(data))
    with pytest.raises(PeerError):
        opener.next_payload()


@pytest.mark.parametrize("payload", [b"", bytes(PAYLOAD_LIMIT + 1)])
def test_what_no_peer_would_take_is_not_sent(payload: bytes) -> None:
    with pytest.raises(LocalError):
        Sealer(os.urandom).seal(payload)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=12), st.sampled_from([("", ""), *SUITES]), st.booleans())
def test_any_bytes_give_packets_or_a_peer_error(pieces: list[bytes], suite: tuple[str, str], inflate: bool) -> None:
    opener = pair(*suite)[1]
    if inflate:
        opener.decompress()
    try:
        for piece in pieces:
            opener.feed(piece)
            while (payload := opener.next_payload()) is not None:
                assert payload
    except PeerError as error:
        assert error.why
