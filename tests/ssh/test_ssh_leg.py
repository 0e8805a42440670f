"""Legs in memory: every exchange of keys, keys changed by either side, and what strangers try."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ssh.exchange import EXCHANGES
from gateway.ssh.leg import FAREWELL, GATHERED, HELD_LIMIT, IDLE_EXCHANGES, LINGER, REKEY_SECONDS
from protocols.ssh.ciphers import CIPHERS, MACS
from protocols.ssh.codec import PAYLOAD_LIMIT, WORN_BYTES, Sealer
from protocols.ssh.messages import string, u32
from protocols.ssh.version import LIMIT, OURS
from tests.ssh.leg_pair import HOST, HOST_ECDSA, Pair, Wire, _Factory, _Server


def data(text: bytes) -> bytes:
    return b"\x5e" + u32(0) + string(text)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_exchange_both_ways(exchange: str) -> None:
    """ML-KEM too, which this machine's OpenSSH does not speak yet."""
    pair = Pair(supportedKeyExchanges=(exchange, "kex-strict-c-v00@openssh.com")).logged_in()
    pair.client.send(data(b"up"))
    pair.server.send(data(b"down"))
    pair.pump(cut=7)
    assert pair.got == {"server": [data(b"up")], "client": [data(b"down")]}
    assert pair.server.facts == pair.client.facts
    assert pair.server.facts["exchange"] == exchange and pair.server.facts["strict"] == "yes"


def test_ml_kem_is_the_favourite_where_it_is_there() -> None:
    assert EXCHANGES[0] == "mlkem768x25519-sha256"
    assert all("sha1" not in name for name in EXCHANGES)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("mac", MACS)
@pytest.mark.parametrize("packed", ["none", "zlib@openssh.com"])
def test_every_cipher_with_keys_changed_by_both_sides(cipher: str, mac: str, packed: str) -> None:
    """What is sent meanwhile waits, and comes in order."""
    pair = Pair(supportedCiphers=(cipher,), supportedMACs=(mac,), supportedCompressions=(packed,)).logged_in()
    expected = []
    for n in range(12):
        expected.append(data(b"%d " % n * 2000))
        if n % 3 == 0:
            pair.client.begin_exchange()
        if n % 4 == 0:
            pair.server.begin_exchange()
        pair.client.send(expected[-1])
        pair.server.send(expected[-1])
        if n % 2:
            pair.pump()
    pair.pump()
    assert pair.got == {"server": expected, "client": expected} and pair.told == []
    assert pair.server.facts["compression"] == packed


def test_a_host_key_that_is_not_registered_is_not_spoken_to() -> None:
    """The client's leg says goodbye before it sends anything that a login needs."""
    pair = Pair(pinned=frozenset({b"another"}))
    pair.pump()
    assert pair.client_wire.disconnected and not hasattr(pair.client, "was_secured")
    assert pair.client.shown == HOST.public().blob()


def test_any_of_several_registered_host_keys_will_do() -> None:
    Pair(pinned=frozenset({HOST_ECDSA.public().blob()}), supportedPublicKeys=("ecdsa-sha2-nistp256",)).secured()


def test_keys_change_by_themselves_after_a_gigabyte_or_an_hour() -> None:
    pair = Pair().logged_in()
    before = pair.client.ourKexInitPayload
    pair.server._sealer._bytes = WORN_BYTES
    pair.server.send(data(b"one more"))
    pair.pump()
    assert pair.client.ourKexInitPayload != before and pair.got["client"] == [data(b"one more")]
    before = pair.client.ourKexInitPayload
    pair.clock.advance(REKEY_SECONDS + 1)
    pair.pump()
    assert pair.client.ourKexInitPayload != before and pair.told == []


def test_a_hundred_changes_of_keys() -> None:
    pair = Pair().logged_in()
    for n in range(100):
        (pair.client if n % 2 else pair.server).begin_exchange()
        pair.client.send(data(b"%d" % n))
        pair.pump()
    assert len(pair.got["server"]) == 100 and pair.told == []


def test_a_full_socket_and_a_long_exchange_are_told() -> None:
    """Whoever reads for this peer is asked to stop, and ended when it does not help."""
    pair, full = Pair().logged_in(), []
    pair.client.watch(full.append)
    pair.client_wire.tap.pauseProducing()
    pair.client_wire.tap.resumeProducing()
    assert full == [True, False]
    pair.client.begin_exchange()
    while not pair.told:
        pair.client.send(data(bytes(100000)))
    assert full[2] is True and pair.told == [("client", "keys are not exchanged to the end")]
    assert pair.client._queued < HELD_LIMIT + 200000


def test_what_one_read_brings_for_the_other_leg_leaves_in_one_write() -> None:
    """In order, and at once when the turn ends."""
    pair, onward = Pair().logged_in(), Pair().logged_in()
    writes: list[bytes] = []
    onward.client.transport.write = lambda data: writes.append(bytes(data))
    pair.server.on_payload, pair.server.partner = onward.client.send, onward.client
    every = [data(b"%d" % n * 20000) for n in range(4)]
    for payload in every:
        pair.client.send(payload)
    pair.pump()
    assert len(writes) == 1
    onward.server.dataReceived(writes[0])
    assert onward.got["server"] == every
    pair.client.send(data(b"little"))
    pair.pump()
    assert len(writes) == 2


def test_data_of_one_read_is_told_at_once_and_overtakes_nothing() -> None:
    """In the order in which it came, with what came between; what came before a changed byte is told too."""
    pair, told = Pair().logged_in(), []
    pair.server.on_payload = lambda payload: told.append(("one", payload))
    pair.server.on_several = lambda several: told.extend(("data", bytes(payload)) for payload in several)
    every = [data(b"a"), data(b"b"), bytes([96]) + u32(0), data(b"c"), data(b"d"), data(b"e")]
    for payload in every:
        pair.client.send(payload)
    wire = bytearray(pair.client_wire.take())
    wire[-1] ^= 1
    pair.server.dataReceived(bytes(wire))
    assert told == [("one" if payload[0] == 96 else "data", payload) for payload in every[:-1]]
    assert pair.told == [("server", "the tag is wrong")]


def test_data_that_was_compressed_is_told_before_it_is_too_much() -> None:
    """A small packet may be a large message, and a read holds thousands of them."""
    pair, told = Pair(supportedCompressions=("zlib@openssh.com",)).logged_in(), []
    pair.server.on_payload = told.append
    pair.server.on_several = lambda several: told.append(sum(map(len, several)))
    for _ in range(40):
        pair.client.send(data(bytes(100_000)))
    wire = pair.client_wire.take()
    assert len(wire) < 40_000
    pair.server.dataReceived(wire)
    assert sum(each if isinstance(each, int) else len(each) for each in told) == 40 * len(data(bytes(100_000)))
    assert all(each <= GATHERED + PAYLOAD_LIMIT for each in told if isinstance(each, int))


@pytest.mark.parametrize(("who", "patience"), [("stranger", FAREWELL), ("user", LINGER), ("who left", FAREWELL)])
def test_a_peer_that_takes_nothing_more_is_cut_off(who: str, patience: float) -> None:
    """What was on its way to a user gets longer than a stranger's last words; nobody keeps a connection by not reading."""
    pair, cut = Pair(), []
    pair = pair.secured() if who == "stranger" else pair.logged_in()
    pair.server.transport.abortConnection = lambda: cut.append(who)
    if who == "who left":
        pair.client.disconnect(11, "goodbye")
        pair.pump()
    else:
        pair.server.disconnect(11, "goodbye")
    assert pair.server.transport.disconnected
    pair.clock.advance(patience - 0.1)
    assert cut == []
    pair.clock.advance(0.2)
    assert cut == [who]


# -- strangers ------------------------------------------------------------------------------------


class Stranger:
    """A client that never exchanges keys: whatever it says is in clear."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.leg = _Server()
        self.leg.factory = _Factory()
        self.leg.supportedPublicKeys = [b"ssh-ed25519"]
        self.leg.on_broken = self.told.append
        self.leg.makeConnection(Wire())
        self._sealer = Sealer(bytes)

    def says(self, *payloads: bytes, version: bytes = b"SSH-2.0-stranger\r\n") -> list[str]:
        self.leg.dataReceived(version + b"".join(self._sealer.seal(payload) for payload in payloads))
        return self.told


def offer(strict: bool = True, ciphers: bytes = b"aes128-gcm@openssh.com", exchange: bytes = b"curve25519-sha256") -> bytes:
    names = exchange + (b",kex-strict-c-v00@openssh.com" if strict else b"")
    lists = (names, b"ssh-ed25519", ciphers, ciphers, MACS[0].encode(), MACS[0].encode(), b"none", b"none", b"", b"")
    return bytes([20]) + bytes(16) + b"".join(map(string, lists)) + b"\0" + u32(0)


@pytest.mark.parametrize("payloads", [
    [b"\x02" + string(b"ignore me")],
    [offer(), b"\x02" + string(b"between")],
    [offer(), b"\x04\x01" + string(b"debug") + string(b"")],
    [offer(), offer()],
    [offer(), b"\x15"],
    [offer(), b"\x05" + string(b"ssh-userauth")],
    [offer(), b"\x32" + bytes(20)],
    [offer(), b"\x5a" + bytes(20)],
    [offer(), b"\x1f" + bytes(40)],
    [offer(), b"\x22" + bytes(12)],
    [b"\x15"], [b"\x1e" + bytes(36)], [b"\x5e" + bytes(20)],
], ids=["IGNORE first", "IGNORE between", "DEBUG between", "KEXINIT twice", "NEWKEYS at once", "service in clear",
        "login in clear", "channel in clear", "a server's reply", "group exchange", "NEWKEYS first", "half first", "data first"])  # fmt: skip
def test_nothing_but_key_exchange_comes_before_the_keys(payloads: list[bytes]) -> None:
    """Strict: what could be put in or taken out unseen ends the connection (CVE-2023-48795)."""
    stranger = Stranger()
    assert len(stranger.says(*payloads)) == 1 and stranger.leg.transport.disconnected


@pytest.mark.parametrize("half", [
    b"", string(b""), string(bytes(31)), string(bytes(32)), string(bytes(33)), b"\xff\xff\xff\xff", string(bytes(32)) * 2,
], ids=["nothing", "empty", "short", "zero", "long", "a promise", "two"])  # fmt: skip
def test_a_half_that_is_none_ends_the_connection(half: bytes) -> None:
    """No traceback, no secret of zeros."""
    stranger = Stranger()
    stranger.says(offer(), b"\x1e" + half)
    assert stranger.told or half == string(bytes(32)) * 2
    assert not hasattr(stranger.leg, "was_secured")


@pytest.mark.parametrize("value", [0, 1, -1])
def test_a_diffie_hellman_half_that_everybody_knows_is_refused(value: int) -> None:
    from gateway.ssh.exchange import _Group14Sha256

    number = value if value >= 0 else _Group14Sha256.prime - 1
    raw = number.to_bytes(257, "big").lstrip(b"\0")
    mpint = string((b"\0" if raw and raw[0] & 0x80 else b"") + raw)
    assert Stranger().says(offer(exchange=b"diffie-hellman-group14-sha256"), b"\x1e" + mpint)


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes256-ctr"])
def test_without_strict_exchange_only_gcm_is_spoken(cipher: str) -> None:
    assert "strict" in Stranger().says(offer(strict=False, ciphers=cipher.encode()))[0]
    assert Stranger().says(offer(strict=False)) == []


@pytest.mark.parametrize("version", [
    b"GET / HTTP/1.1\r\n", b"SSH-1.5-old\r\n", b"SSH-3.0-new\r\n", b"x" * (LIMIT + 1), b"SSH-2.0-" + b"x" * 300 + b"\r\n",
], ids=["HTTP", "SSH 1", "SSH 3", "no end", "a long one"])  # fmt: skip
def test_other_protocols_are_sent_away(version: bytes) -> None:
    stranger = Stranger()
    stranger.leg.dataReceived(version)
    assert len(stranger.told) == 1 and stranger.leg.transport.disconnected


def test_new_keys_before_a_login_end_the_connection() -> None:
    """A stranger has one exchange of keys, which costs a signature."""
    pair = Pair().secured()
    pair.client._keyExchangeState = pair.client._KEY_EXCHANGE_NONE
    pair.client.sendKexInit()
    pair.pump()
    assert ("server", "new keys before a login") in pair.told


def test_keys_and_nothing_else_are_not_exchanged_for_ever() -> None:
    pair = Pair().logged_in()
    for _ in range(IDLE_EXCHANGES + 1):
        pair.client.begin_exchange()
        pair.pump()
    assert pair.told == [("server", "keys are exchanged and nothing else")]


@pytest.mark.parametrize("payload", [b"\x5e" + bytes(8), b"\x32" + bytes(8), b"\x05" + string(b"ssh-userauth")], ids=["data", "login", "service"])
def test_nothing_is_said_between_an_offer_and_its_keys(payload: bytes) -> None:
    """RFC 4253, 7.1."""
    pair = Pair().logged_in()
    pair.client.begin_exchange()
    pair.client._write(payload)
    pair.pump()
    assert pair.told and pair.told[0][0] == "server" and pair.got["server"] == []


def test_a_message_of_a_later_time_ends_the_connection() -> None:
    pair = Pair().secured()
    pair.client._write(data(b"no session yet"))
    pair.pump()
    assert pair.told == [("server", "message 94 before its time")]


def test_a_changed_byte_on_the_way_ends_the_connection() -> None:
    pair = Pair().logged_in()
    pair.client.send(data(b"transfer 1"))
    wire = bytearray(pair.client_wire.take())
    wire[20] ^= 1
    pair.server.dataReceived(bytes(wire))
    assert len(pair.told) == 1 and pair.got["server"] == [] and pair.server_wire.disconnected


def test_an_unknown_message_is_answered_by_its_number() -> None:
    """UNIMPLEMENTED, with the sequence of what was not understood (RFC 4253, 11.4)."""
    pair = Pair().logged_in()
    sequence = pair.client._sealer.sequence
    heard: list[bytes] = []
    pair.client._take = heard.append
    pair.client._write(b"\x08?")
    pair.pump()
    assert heard == [b"\x03" + struct.pack(">I", sequence)] and pair.told == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.binary(max_size=60)), max_size=5), st.booleans())
def test_any_messages_before_the_keys_end_a_connection_or_change_nothing(messages: list[tuple[int, bytes]], offered: bool) -> None:
    """No exception leaves the leg, and nobody gets in."""
    stranger = Stranger()
    stranger.says(*([offer()] if offered else []), *(bytes([kind]) + rest for kind, rest in messages))
    assert not hasattr(stranger.leg, "was_secured") and len(stranger.told) <= 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 30, 31, 50, 60, 61, 79]), st.binary(max_size=60)), max_size=4))
def test_any_messages_behind_the_keys_end_a_connection_or_change_nothing(messages: list[tuple[int, bytes]]) -> None:
    pair = Pair().secured()
    for kind, rest in messages:
        pair.client._write(bytes([kind]) + rest)
    pair.pump()
    assert pair.server.on_payload is None and len([side for side, _ in pair.told if side == "server"]) <= 1


def test_the_version_is_told_and_nothing_of_the_machine() -> None:
    assert OURS == b"SSH-2.0-Ostiary OpenSSH_9.9"
