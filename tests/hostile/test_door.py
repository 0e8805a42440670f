"""
What strangers say before anybody has proved anything: each gets a protocol error or nothing, the end of its
connection, and a record. Nobody else notices.
"""

from __future__ import annotations

from struct import pack

import pytest
from bystanders import Others
from rough import GSS_REQUEST, SSL_REQUEST, Rough, message, promise, query, startup

from tests.house import BENCH, TARGET, House, until

pytestmark = pytest.mark.live

USER = f"user\0{BENCH}@{TARGET}\0".encode()

# What is said, and what the error must hold; None: it ends without a word, as there is nobody to say it to.
ENDED = {
    "length zero": (pack("!II", 0, 196608), b"08P01"),
    "length seven": (pack("!II", 7, 196608), b"08P01"),
    "a length of two gigabytes": (pack("!II", 0x7FFFFFFF, 196608), b"08P01"),
    "a negative length": (pack("!iI", -1, 196608), b"08P01"),
    "one over the longest": (pack("!II", 10_001, 196608), b"08P01"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"08P01"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1\r\n", b"08P01"),
    "version 2": (startup(USER + b"\0", 2 << 16), b"0A000"),
    "version 9": (startup(USER + b"\0", 9 << 16), b"0A000"),
    "no user": (startup(b"database\0x\0\0"), b"28000"),
    "nothing in it": (startup(b"\0"), b"28000"),
    "no end": (startup(b"user\0nobody"), b"08P01"),
    "a name without a value": (startup(b"user\0"), b"08P01"),
    "bytes behind its end": (startup(USER + b"\0trailing"), b"08P01"),
    "no UTF-8": (startup(b"user\0\xff\xfe@db\0\0"), b""),
    "replication": (startup(USER + b"replication\0true\0\0"), b"OST-627"),
    "a setting that may not be brought": (startup(USER + b"session_authorization\0postgres\0\0"), b"OST-626"),
    "thousands of settings": (startup(USER + b"".join(b"a%d\0\0" % n for n in range(1500)) + b"\0"), b"OST-626"),
    "a query before the login": (startup(USER + b"\0") + query("SELECT 1"), b"08P01"),
    "no mechanism": (startup(USER + b"\0") + message(b"p", b"\0\0\0\0\0"), b"08P01"),
    "an unknown mechanism": (startup(USER + b"\0") + message(b"p", b"GSSAPI\0\0\0\0\0"), b"08P01"),
    "a proof too long to be one": (startup(USER + b"\0") + promise(b"p", 1 << 30), b"08P01"),
    "a negative proof": (startup(USER + b"\0") + message(b"p", b"SCRAM-SHA-256\0" + pack("!i", -2)), b"08P01"),
    "SCRAM without sense": (startup(USER + b"\0") + message(b"p", b"SCRAM-SHA-256\0" + pack("!i", 4) + b"\0\xff,,"), b"08P01"),
    "plain text behind the request for TLS": (SSL_REQUEST + startup(USER + b"\0"), b"OST-624"),
    "garbage instead of TLS": (SSL_REQUEST, None),
    "TLS twice": (SSL_REQUEST, None),
    "a cancel of nobody": (pack("!IIII", 16, 80877102, 1, 2), None),
    "a cancel without a key": (pack("!III", 12, 80877102, 1), None),
    "a cancel with a kilobyte": (pack("!III", 1036, 80877102, 1) + bytes(1024), None),
    "direct TLS that is none": (b"\x16\x03\x01\x00\x05hello", None),
}
BEHIND = {"garbage instead of TLS": b"\x00" * 64, "TLS twice": SSL_REQUEST}

# Each stops in the middle and goes away.
CUT = {
    "half a length": b"\0\0",
    "half a startup": startup(USER + b"\0")[:-3],
    "half a ClientHello": SSL_REQUEST,
    "half a proof": startup(USER + b"\0") + message(b"p", b"SCRAM-SHA-256\0" + pack("!i", 32) + bytes(32))[:20],
    "a request for GSS": GSS_REQUEST,
    "nobody's target": startup(b"user\0bench\0database\0nowhere\0\0"),
}


def test_every_malformed_login_ends_with_its_error_and_a_record(house: House, others: Others) -> None:
    """The gateway ends each of them itself."""
    peers = {}
    for name, (said, expected) in ENDED.items():
        client = Rough(house)
        client.say(said)
        if name in BEHIND:
            assert client.socket.recv(1) == b"S"
            client.say(BEHIND[name])
        told = client.rest()
        assert expected is None or (b"E" in told and expected in told), f"{name}: {told!r}"
        assert b"Traceback" not in told and b".py" not in told
        client.close()
        if "cancel" not in name:
            peers[client.peer] = name
        others.work()
    _recorded(house, peers)


def test_whoever_leaves_in_the_middle_is_recorded(house: House, others: Others) -> None:
    peers = {}
    for name, said in CUT.items():
        client = Rough(house)
        client.say(said)
        if said[:8] in (SSL_REQUEST, GSS_REQUEST):
            assert client.socket.recv(1) in b"SN"
            client.say(b"\x16\x03\x01\x02\x00\x01\x00" if said == SSL_REQUEST else b"\0")
        client.done()
        client.rest()
        client.close()
        peers[client.peer] = name
    _recorded(house, peers)


def _recorded(house: House, peers: dict[str, str]) -> None:
    """Who came is in the evidence, by address."""

    def found() -> set[str]:
        return {record["body"]["facts"].get("peer", "") for record in house.records("--kind", "note")}

    until(lambda: peers.keys() <= found(), f"a note of each of {peers}")


def test_secured_clients_break_the_rules_too(house: House, others: Others) -> None:
    """Inside TLS: a second request for TLS, a startup cut in single bytes, a wrong token, then silence at the end."""
    client = Rough(house)
    client.say(SSL_REQUEST)
    assert client.socket.recv(1) == b"S"
    client.secure()
    client.say(SSL_REQUEST)
    assert b"OST-621" in client.rest()
    client.close()
    client = Rough(house)
    client.say(SSL_REQUEST)
    assert client.socket.recv(1) == b"S"
    client.secure()
    for byte in startup(USER + b"\0"):
        client.say(bytes([byte]))
    told = client.told(b"R")
    assert told[-1][0] == b"R"
    client.say(message(b"p", b"ost1_wrong_token\0"))
    assert code_of(client.rest()) == b"28P01"
    client.close()


def code_of(told: bytes) -> bytes:
    """An error's SQLSTATE in raw bytes."""
    return told[told.index(b"\0C") + 2 :].split(b"\0")[0]
