"""The connection layer of a client that jumps: ways and nothing else, each bounded, in any order of messages."""

from __future__ import annotations

import random

import pytest

from protocols.ssh import messages as m
from protocols.ssh.messages import Unreadable
from protocols.ssh.ways import OWED, UNTAKEN, WAYS, WINDOW, Asked, Ended, Heard, Misled, Prove, Room, Say, Ways

CLIENT = 7
FAILED = Say(bytes([m.REQUEST_FAILURE]))


def opening(host: bytes = b"web1", port: int = 22, kind: str = "direct-tcpip", sender: int = CLIENT) -> bytes:
    details = b"" if kind == "session" else m.string(host) + m.u32(port) + m.string(b"127.0.0.1") + m.u32(5555)
    return m.Open(kind, sender, 100, 40, details).write()


def opened() -> Ways:
    ways = Ways()
    ways.from_client(opening(), full=False)
    ways.admit(0)
    return ways


def only(effects: list[object]) -> bytes:
    """The one thing that is said."""
    assert len(effects) == 1 and isinstance(effects[0], Say)
    return effects[0].payload


def hear(ways: Ways, payload: bytes) -> list[object]:
    return list(ways.from_client(payload, full=False))


def test_a_way_is_asked_about_before_it_is_open() -> None:
    ways = Ways()
    assert hear(ways, opening()) == [Asked(0, "web1", 22)]
    with pytest.raises(Unreadable):
        hear(ways, m.write_data(0, b"too early"))
    ways = Ways()
    hear(ways, opening())
    said = only(ways.admit(0))
    assert m.Confirmation.read(said) == m.Confirmation(CLIENT, 0, WINDOW, 32 << 10)
    assert hear(ways, m.write_data(0, b"SSH-")) == [Heard(0, b"SSH-")]


@pytest.mark.parametrize("kind", ["session", "direct-streamlocal@openssh.com", "x11", "forwarded-tcpip"])
def test_nothing_else_opens(kind: str) -> None:
    assert only(hear(opened(), opening(kind=kind)))[0] == m.OPEN_FAILURE


def test_who_wants_a_session_and_nothing_else_is_told_how_to_name_a_target() -> None:
    """There is nothing to run it on; ways that are open are not to end with it."""
    [misled] = hear(Ways(), opening(kind="session"))
    assert isinstance(misled, Misled) and "IDENTITY@TARGET" in misled.why
    assert b"IDENTITY@TARGET" in only(hear(opened(), opening(kind="session")))


@pytest.mark.parametrize("kind", ["tcpip-forward", "streamlocal-forward@openssh.com", "keepalive@openssh.com"])
def test_no_listener_stands_here(kind: str) -> None:
    assert hear(Ways(), m.GlobalRequest(kind, True, m.string(b"") + m.u32(0)).write()) == [FAILED]
    assert hear(Ways(), m.GlobalRequest(kind, False).write()) == []


def test_host_keys_may_be_proved_here() -> None:
    assert hear(Ways(), m.GlobalRequest("hostkeys-prove-00@openssh.com", True, b"keys").write()) == [Prove(b"keys")]


def test_a_refused_way_makes_room_and_late_messages_for_it_are_nothing() -> None:
    ways = Ways()
    hear(ways, opening())
    assert ways.refuse(0, "no such target") == [Say(m.write_open_failure(CLIENT, m.ADMINISTRATIVELY_PROHIBITED, "no such target"))]
    assert len(ways) == 0 and hear(ways, m.write_adjust(0, 1)) == []


def test_what_is_sent_fits_the_clients_window_and_packet() -> None:
    ways, sent = opened(), 0
    while room := ways.room(0):
        assert room <= 40
        ways.send(0, b"x" * room)
        sent += room
    assert sent == 100 and hear(ways, m.write_adjust(0, 5)) == [Room(0)] and ways.room(0) == 5


def test_a_client_that_overruns_its_window_ends_its_connection() -> None:
    ways = opened()
    for _ in range(WINDOW // (32 << 10)):
        hear(ways, m.write_data(0, bytes(32 << 10)))
    with pytest.raises(Unreadable):
        hear(ways, m.write_data(0, b"x"))


def test_credit_comes_with_what_was_read_in_few_messages() -> None:
    ways = opened()
    hear(ways, m.write_data(0, bytes(OWED)))
    assert ways.took(0, OWED - 1) == []
    assert ways.took(0, 1) == [Say(m.write_adjust(CLIENT, OWED))]


def test_a_window_that_overflows_ends_the_connection() -> None:
    with pytest.raises(Unreadable):
        hear(opened(), m.write_adjust(0, 0xFFFFFFFF))


def test_each_way_is_closed_once_by_both() -> None:
    """Whoever begins; nothing is said on it behind."""
    ways = opened()
    bye = [Say(m.write_bare(m.EOF, CLIENT)), Say(m.write_bare(m.CLOSE, CLIENT))]
    assert hear(ways, m.write_bare(m.EOF, 0)) == [Ended(0)] and ways.end(0) == bye and ways.end(0) == []
    assert ways.room(0) == 0 and hear(ways, m.write_bare(m.CLOSE, 0)) == [] and len(ways) == 0
    ways = opened()
    assert hear(ways, m.write_bare(m.CLOSE, 0)) == [Say(m.write_bare(m.CLOSE, CLIENT)), Ended(0)] and ways.end(0) == []


def test_ways_are_few() -> None:
    ways = Ways()
    for n in range(WAYS):
        assert hear(ways, opening(sender=n)) == [Asked(n, "web1", 22)]
    said = only(hear(ways, opening()))
    assert said[:1] == bytes([m.OPEN_FAILURE]) and m.Reader(said, 5).u32() == m.RESOURCE_SHORTAGE


def test_a_client_that_asks_and_takes_nothing_ends_its_connection() -> None:
    ways, asked = Ways(), m.GlobalRequest("x", True).write()
    for _ in range(UNTAKEN):
        ways.from_client(asked, full=True)
    with pytest.raises(Unreadable):
        ways.from_client(asked, full=True)
    ways.taken()
    assert hear(ways, asked) == [FAILED]


@pytest.mark.parametrize("payload", [
    opening()[:-1], opening() + b"x", opening(host=b"h" * 300), m.write_data(5, b"x"), bytes([m.REQUEST_SUCCESS]), b"\x5d\0", b"\xff",
    m.write_bare(m.CHANNEL_SUCCESS, 0),
], ids=["cut", "long", "a host too long", "never opened", "an answer", "no number", "unknown", "not a client's"])  # fmt: skip
def test_what_no_client_sends_is_unreadable(payload: bytes) -> None:
    with pytest.raises(Unreadable):
        hear(Ways(), payload)


def test_random_messages_raise_nothing_else() -> None:
    """Whatever comes: effects, or Unreadable and the end."""
    chance = random.Random(7)
    samples = [opening(), m.write_data(0, b"abc"), m.write_adjust(0, 9), m.write_bare(m.EOF, 0), m.write_bare(m.CLOSE, 0),
               m.ChannelRequest(0, "shell", True).write(), m.GlobalRequest("x", True).write()]  # fmt: skip
    ended = 0
    ways = opened()
    for _ in range(3000):
        payload = bytearray(chance.choice(samples))
        if chance.random() < 0.3:
            payload[chance.randrange(len(payload))] = chance.randrange(256)
        try:
            hear(ways, bytes(payload))
        except Unreadable:
            ended += 1
            ways = opened()
    assert 0 < ended < 3000
