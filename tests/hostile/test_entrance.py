"""
Those who come in slowly, or do not leave: an entrance with a clock that a test advances.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from rough import startup
from twisted.internet.defer import fail
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from gateway import gate
from gateway.certificates import authority, issue, write_pair
from gateway.control.errors import Throttled
from gateway.gate import FAREWELL, LOGIN_DEADLINE, Gate


FIRST = b"n,,n=,r=fyko+d2lbbFgONRv9qkxdawL"
"""A client's first message of SCRAM (RFC 5802, 5)."""

UNCONNECTED = socket.socket()


class Transport(StringTransportWithDisconnection):
    """Its peer reads nothing and never goes: only an abort ends it."""

    leaving = aborted = False

    def loseConnection(self) -> None:
        self.leaving = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().loseConnection()

    def setTcpNoDelay(self, on: bool) -> None:
        pass

    setTcpKeepAlive = setTcpNoDelay

    def getHandle(self) -> socket.socket:
        """Of no connection; it can be set like one."""
        return UNCONNECTED


class Notes:
    """What was recorded."""

    def __init__(self) -> None:
        self.kinds: list[tuple[str, str]] = []
        self.facts: list[dict[str, str]] = []

    def note(self, session: object, kind: str, facts: dict[str, str]) -> int:
        self.kinds.append((kind, facts["why"]))
        self.facts.append(facts)
        return len(self.kinds)


@pytest.fixture
def door(tmp_path: Any) -> Gate:
    """A gate in a worker of paper."""
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    write_pair(certificate, key, issue(authority("house"), ["localhost"]))
    worker = SimpleNamespace(
        reactor=Clock(), journal=Notes(), control=SimpleNamespace(), config=SimpleNamespace(certificate=certificate, key=key)
    )
    return Gate(SimpleNamespace(auth=("password", "scram"), tls="optional", protocol="postgres"), worker)


def enter(door: Gate) -> tuple[Any, Transport]:
    entrance, transport = door.buildProtocol(None), Transport()
    transport.protocol = entrance
    Protocol.makeConnection(entrance, transport)  # past the line, which wants a socket
    return entrance, transport


def test_a_byte_now_and_then_does_not_keep_the_door_open(door: Gate) -> None:
    """Slowloris: the deadline counts from the accept, whatever comes; the reason is said, and then it is cut off."""
    entrance, transport = enter(door)
    words = startup(b"user\0" + b"x" * 300 + b"\0\0")
    for byte in words[:29]:
        entrance.dataReceived(bytes([byte]))
        door.worker.reactor.advance(1.0)
    assert not transport.leaving
    door.worker.reactor.advance(LOGIN_DEADLINE - 29.0)
    assert transport.leaving and b"OST-630" in transport.value() and not transport.aborted
    assert ("login.abandoned", "no login within 30 seconds") in door.worker.journal.kinds
    door.worker.reactor.advance(FAREWELL)
    assert transport.aborted and not door.worker.reactor.getDelayedCalls()


def test_who_is_refused_and_stays_is_cut_off(door: Gate) -> None:
    """A client that reads nothing holds its connection for as long as it takes to say goodbye, and no longer."""
    entrance, transport = enter(door)
    entrance.dataReceived(startup(b"user\0\0"))
    assert transport.leaving and not transport.aborted
    door.worker.reactor.advance(FAREWELL)
    assert transport.aborted and not door.worker.reactor.getDelayedCalls()


def test_the_record_of_a_refused_login_has_its_code_and_who_it_was_said_to_be(door: Gate) -> None:
    """As of SSH: what one gate's alarms look for is there at the other."""
    door.worker.control.scram = lambda subject, peer: fail(Throttled("too many failed logins: try again in 30 seconds"))
    unnamed, _ = enter(door)
    unnamed.dataReceived(startup(b"user\0\0"))
    named, transport = enter(door)
    named.dataReceived(startup(b"user\0ada@clinic\0\0"))
    first = b"SCRAM-SHA-256\0" + len(FIRST).to_bytes(4) + FIRST
    named.dataReceived(b"p" + (len(first) + 4).to_bytes(4) + first)
    assert b"OST-602" in transport.value()
    assert [(kind, facts["code"], facts.get("subject")) for (kind, _), facts in zip(door.worker.journal.kinds, door.worker.journal.facts, strict=True)] == [
        ("login.refused", "OST-620", None), ("login.refused", "OST-602", "ada"),
    ]
    assert not [facts for facts in door.worker.journal.facts if "OST-" in facts["why"]]


def test_who_leaves_by_itself_leaves_no_timer(door: Gate) -> None:
    entrance, transport = enter(door)
    entrance.dataReceived(startup(b"user\0\0"))
    StringTransportWithDisconnection.loseConnection(transport)
    assert not door.worker.reactor.getDelayedCalls()


def test_one_too_many_turns_out_whoever_waits_longest(door: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "ENTRANCES", 3)
    came = [enter(door)[1] for _ in range(5)]
    assert [one.leaving for one in came] == [True, True, False, False, False]
    assert b"OST-630" in came[0].value()
