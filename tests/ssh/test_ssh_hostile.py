"""Whatever a peer sends, the relay answers with effects: that connection ends, nothing is raised, nothing grows without bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from protocols.effects import Malformed
from protocols.ssh import messages as m
from protocols.ssh.opens import CHANNEL_LIMIT
from protocols.ssh.relay import SshRelay
from protocols.ssh.replies import OUTSTANDING_LIMIT
from protocols.verdict import Allow, Decision
from tests.ssh.channels import CLIENT, GATEWAY, PACKET, WINDOW, Opinions, Playbook, adjust, asks, data, env, malformed, request, runs


def ends(book: Playbook, side: str, payloads: list[bytes]) -> None:
    """At one of these the session ends; afterwards nothing comes of anything."""
    hear = book.relay.from_client if side == "client" else book.relay.from_target
    for payload in payloads:
        effects = hear(payload)
        if effects and isinstance(effects[-1], Malformed):
            assert effects[-1].side == side
            assert book.relay.from_client(data(b"x")) == book.relay.from_target(data(b"x")) == book.relay.close("again") == []
            return
    raise AssertionError("the session lives")


def test_data_beyond_the_window() -> None:
    ends(Playbook().running(), "client", [data(bytes(PACKET))] * (WINDOW // PACKET + 1))
    ends(Playbook().running(), "target", [data(bytes(PACKET))] * (WINDOW // PACKET + 1))


def test_data_beyond_the_window_behind_a_held_command() -> None:
    ends(Playbook().opened().client(runs(b"x"), asks(1, "exec x")), "client", [data(bytes(PACKET))] * (WINDOW // PACKET + 1))


def test_a_window_opened_beyond_its_limit() -> None:
    ends(Playbook().running(), "client", [adjust(2**32 - 1)])
    ends(Playbook().running(), "target", [adjust(2**31)] * 2)


def test_a_packet_size_of_nothing() -> None:
    Playbook().client(m.Open("session", 0, 10, 0).write(), malformed("client"))


def test_data_behind_the_end_of_its_stream() -> None:
    ends(Playbook().running(), "client", [m.write_bare(m.EOF, 0), data(b"x")])


def test_requests_without_end() -> None:
    """Each wants an answer that the target never gives; or none, behind a command that nobody answers."""
    ends(Playbook().running(), "client", [request("signal", m.string(b"TERM"))] * (OUTSTANDING_LIMIT + 1))
    ends(Playbook().opened().client(runs(b"x"), asks(1, "exec x")), "client", [env(b"LANG")] * 100_000)
    ends(Playbook(), "client", [m.GlobalRequest("hostkeys-prove-00@openssh.com", True).write()] * (OUTSTANDING_LIMIT + 1))


def test_a_hundred_thousand_requests_that_want_nothing_leave_nothing_behind() -> None:
    book = Playbook().running()
    for _ in range(100_000):
        assert book.relay.from_client(env(b"LANG")) == []
    assert book.relay.from_client(data(b"x"))


def test_channels_are_bounded() -> None:
    relay = SshRelay(Opinions())
    for number in range(CHANNEL_LIMIT):
        relay.from_client(m.Open("session", number, 10, 10).write())
    [refused] = relay.from_client(m.Open("session", 1, 10, 10).write())
    assert refused.payload == m.write_open_failure(1, m.RESOURCE_SHORTAGE, "too many channels in one session")


def test_channels_one_after_another_leave_nothing_behind() -> None:
    """Numbers are never used again, and what is over is forgotten."""
    relay = SshRelay(Opinions())
    for number in range(1000):
        relay.from_client(m.Open("session", 5, 10, 10).write())
        relay.from_target(m.Confirmation(number, 6, 10, 10).write())
        relay.from_client(m.write_bare(m.CLOSE, number))
        relay.from_target(m.write_bare(m.CLOSE, number))
    assert relay._opens.channels == {}


@pytest.mark.parametrize("payload", [
    b"", b"\x5a", bytes([m.CHANNEL_REQUEST]) + bytes(4), bytes([101]) + bytes(20), bytes([0]), bytes([m.DATA]),
    bytes([m.DATA]) + m.u32(GATEWAY) + m.u32(2**31) + b"x", request("exec", m.u32(2**32 - 1) + b"x"),
    request("exec", m.string(bytes(200_000))), request("pty-req", m.string(b"x")), request("env", m.string(b"x")),
    request("x" * 300), m.Open("session", 1, 1, 1, b"more").write(), m.Open("direct-tcpip", 1, 1, 1, m.string(bytes(5000))).write(),
    bytes([m.GLOBAL_REQUEST]) + m.string(b"\xff") + b"\0", m.write_bare(m.CHANNEL_SUCCESS, GATEWAY), bytes([m.OPEN_FAILURE]) + m.u32(0),
])
def test_what_cannot_be_read_ends_the_session(payload: bytes) -> None:
    Playbook().opened().client(payload, malformed("client"))


KINDS = st.sampled_from([80, 81, 82, *range(90, 101)])
NUMBERS = st.integers(0, 2).map(m.u32)
FIELDS = st.lists(st.one_of(
    st.binary(max_size=8), st.binary(max_size=20).map(m.string), NUMBERS,
    st.sampled_from([b"session", b"exec", b"shell", b"pty-req", b"env", b"tcpip-forward", b"direct-tcpip", b"x11-req", b"subsystem"]).map(m.string),
    st.sampled_from([b"\0", b"\1"]), st.integers(0, 2**32 - 1).map(m.u32),
), max_size=6).map(b"".join)
MESSAGES = st.builds(lambda kind, number, fields: bytes([kind]) + number + fields, KINDS, st.one_of(NUMBERS, st.just(b"")), FIELDS)
TALK = st.lists(st.tuples(st.sampled_from(["client", "target", "answer", "record", "resume", "cut"]), MESSAGES), min_size=5, max_size=60)


@settings(max_examples=300, deadline=None)
@given(TALK)
def test_any_messages_give_effects(talk: list[tuple[str, bytes]]) -> None:
    """Never an exception, whoever says what and when."""
    book = Playbook().opened()
    waiting, asked = {}, []
    for who, payload in talk:
        effects = {
            "client": lambda: book.relay.from_client(payload), "target": lambda: book.relay.from_target(payload),
            "answer": lambda: book.relay.answer(*asked.pop()) if asked else [],
            "record": lambda: book.relay.recorded(waiting.popitem()[0]) if waiting else [],
            "resume": lambda: book.relay.resume(CLIENT), "cut": lambda: book.relay.cut(CLIENT, "enough"),
        }[who]()
        for effect in effects:
            if hasattr(effect, "command"):
                asked.append((effect.number, Decision(effect.command, Allow())))
            elif type(effect).__name__ == "IntendCommand":
                waiting[effect.number] = True
    book.relay.close("over")
