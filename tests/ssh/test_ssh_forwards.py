"""Forwards and global requests through the relay: what is a command, what stands on one, what the gateway answers itself."""

from __future__ import annotations

from protocols.command import Forward, ForwardKind
from protocols.ssh import messages as m
from protocols.ssh.listeners import LISTENER_LIMIT
from protocols.verdict import Allow, Deny
from tests.ssh.channels import (
    CLIENT, TARGET, Opinions, Playbook, adjust, asks, close, data, global_request, intends, malformed, refuses, reports, to_client, to_target,
)

NO = Deny("not there", "OST-203")
YES, FAILED = bytes([m.REQUEST_SUCCESS]), bytes([m.REQUEST_FAILURE])
TCP = m.string(b"10.0.0.1") + m.u32(80) + m.string(b"127.0.0.1") + m.u32(5555)
LISTEN = m.string(b"localhost") + m.u32(0)


def direct(details: bytes = TCP, kind: str = "direct-tcpip", sender: int = CLIENT) -> bytes:
    return m.Open(kind, sender, 100, 50, details).write()


def forwarded(port: int, number: int = TARGET) -> bytes:
    details = m.string(b"localhost") + m.u32(port) + m.string(b"1.2.3.4") + m.u32(9)
    return m.Open("forwarded-tcpip", number, 100, 50, details).write()


def prohibited(number: int, text: str) -> bytes:
    return m.write_open_failure(number, m.ADMINISTRATIVELY_PROHIBITED, text)


def test_a_connection_is_asked_and_recorded_before_the_target_connects() -> None:
    book = Playbook().client(direct(), asks(1, "direct 10.0.0.1:80")).verdict(1, Allow(), intends(1))
    assert book.asked[1] == Forward(ForwardKind.DIRECT, "10.0.0.1", 80, CLIENT, ("127.0.0.1", 5555))
    (
        book.recorded(1, to_target(m.Open("direct-tcpip", 0, 100, 50, TCP).write()))
        .target(m.Confirmation(0, TARGET, 10, 10).write(), to_client(m.Confirmation(CLIENT, 0, 10, 10).write()))
        .client(data(b"GET"), to_target(data(b"GET", TARGET)))
        .target(adjust(3), to_client(adjust(3, CLIENT)))
        .target(close(), to_client(close(CLIENT)), reports(1)).client(close(), to_target(close(TARGET)))
    )
    assert book.outcomes[1].facts["sent_bytes"] == "3"


def test_a_refused_connection_is_an_open_failure_that_says_why() -> None:
    refused = prohibited(CLIENT, "not there [OST-203]")
    Playbook().client(direct(), asks(1, "direct 10.0.0.1:80")).verdict(1, NO, refuses(1), to_client(refused))


def test_a_connection_that_cannot_be_recorded_is_not_made() -> None:
    words = "the command was not recorded, so it was not sent: the store is full [OST-801]; try again later"
    (
        Playbook().client(direct(), asks(1, "direct 10.0.0.1:80")).verdict(1, Allow(), intends(1))
        .unrecorded(1, reports(1, "refused"), to_client(prohibited(CLIENT, words)))
    )


def test_a_connection_that_fails_has_an_outcome() -> None:
    book = Playbook().client(direct(), asks(1, "direct 10.0.0.1:80")).verdict(1, Allow(), intends(1))
    book.recorded(1, to_target(m.Open("direct-tcpip", 0, 100, 50, TCP).write()))
    failure = m.write_open_failure(CLIENT, m.CONNECT_FAILED, "refused")
    book.target(m.write_open_failure(0, m.CONNECT_FAILED, "refused"), reports(1, "error"), to_client(failure))
    assert book.outcomes[1].facts["open"] == "failed, code 2"


def test_sockets_are_asked_by_their_path() -> None:
    details = m.string(b"/run/docker.sock") + m.string(b"") + m.u32(0)
    Playbook().client(direct(details, "direct-streamlocal@openssh.com"), asks(1, "direct-unix /run/docker.sock:0"))


def test_what_the_target_opens_needs_a_listener_that_was_allowed() -> None:
    """And not only one that was asked for. The address may be written otherwise than it was asked for; the port counts."""
    request = global_request("tcpip-forward", m.string(b"") + m.u32(8080))
    (
        Playbook().target(forwarded(8080), to_target(prohibited(TARGET, "the client did not ask for it")))
        .client(request, asks(1, "remote :8080")).verdict(1, Allow(), intends(1)).recorded(1, to_target(request))
        .target(forwarded(8080), to_target(prohibited(TARGET, "the client did not ask for it")))
        .target(YES, to_client(YES))
        .target(forwarded(8080), asks(2, "incoming localhost:8080")).verdict(2, Allow(), intends(2)).recorded(2, to_client(forwarded(8080, 0)))
        .target(forwarded(8081), to_target(prohibited(TARGET, "the client did not ask for it")))
    )


def test_the_targets_choice_of_a_port_reaches_the_client_and_is_the_listeners() -> None:
    """Port 0 asks for any; the answer names it (RFC 4254, 7.1)."""
    request = global_request("tcpip-forward", LISTEN)
    chosen = YES + m.u32(40001)
    (
        Playbook().client(request, asks(1, "remote localhost:0")).verdict(1, Allow(), intends(1)).recorded(1, to_target(request))
        .target(chosen, to_client(chosen)).target(forwarded(40001), asks(2, "incoming localhost:40001"))
    )


def test_a_listener_counts_what_came_through_it_until_it_is_cancelled() -> None:
    request = global_request("tcpip-forward", m.string(b"") + m.u32(8080))
    cancel = global_request("cancel-tcpip-forward", m.string(b"") + m.u32(8080))
    book = (
        Playbook().client(request, asks(1, "remote :8080")).verdict(1, Allow(), intends(1)).recorded(1, to_target(request))
        .target(YES, to_client(YES)).target(forwarded(8080), asks(2, "incoming localhost:8080")).verdict(2, Allow(), intends(2))
        .recorded(2, to_client(forwarded(8080, 0)))
        .client(m.Confirmation(0, CLIENT, 100, 50).write(), to_target(m.Confirmation(TARGET, 0, 100, 50).write()))
        .target(data(b"hello"), to_client(data(b"hello", CLIENT))).client(data(b"hi"), to_target(data(b"hi", TARGET)))
        .client(close(), to_target(close(TARGET))).target(close(), to_client(close(CLIENT)), reports(2))
        .client(cancel, reports(1), to_target(cancel)).target(YES, to_client(YES))
        .target(forwarded(8080), to_target(prohibited(TARGET, "the client did not ask for it")))
    )
    assert dict(book.outcomes[1].facts) == {"connections": "1", "sent_bytes": "2", "received_bytes": "5"}
    assert book.outcomes[2].facts["listener"] == "1" and book.outcomes[2].facts["received_bytes"] == "5"
    assert book.asked[2].originator == ("1.2.3.4", 9) and book.asked[2].text == "incoming localhost:8080 from 1.2.3.4:9"


def listening(opinions: Opinions | None = None) -> Playbook:
    """A listener of the client's on port 8080, allowed as command 1."""
    request = global_request("tcpip-forward", m.string(b"") + m.u32(8080))
    book = Playbook(opinions).client(request, asks(1, "remote :8080")).verdict(1, Allow(), intends(1)).recorded(1, to_target(request))
    return book.target(YES, to_client(YES)).target(forwarded(8080), asks(2, "incoming localhost:8080"))


def test_what_comes_to_a_listener_is_refused_by_a_rule_and_the_listener_stands() -> None:
    """The target's caller is turned away; nobody tells the client's machine of it."""
    book = listening().verdict(2, NO, refuses(2), to_target(prohibited(TARGET, "not there [OST-203]")))
    book.target(forwarded(8080), asks(3, "incoming localhost:8080"))


def test_what_comes_to_a_listener_and_cannot_be_recorded_goes_no_further() -> None:
    words = "the command was not recorded, so it was not sent: the store is full [OST-801]; try again later"
    listening().verdict(2, Allow(), intends(2)).unrecorded(2, reports(2, "refused"), to_target(prohibited(TARGET, words)))


def test_a_socket_that_somebody_connects_to_is_named_by_its_path() -> None:
    request = global_request("streamlocal-forward@openssh.com", m.string(b"/tmp/s"))
    came = m.Open("forwarded-streamlocal@openssh.com", TARGET, 100, 50, m.string(b"/tmp/s") + m.string(b"")).write()
    book = Playbook().client(request, asks(1, "remote-unix /tmp/s:0")).verdict(1, Allow(), intends(1)).recorded(1, to_target(request))
    book.target(YES, to_client(YES)).target(came, asks(2, "incoming-unix /tmp/s:0"))
    assert book.asked[2].text == "incoming-unix /tmp/s"


def test_what_is_forwarded_ends_with_its_observer_also_what_is_only_about_to_be() -> None:
    """Both ends are told by a CLOSE; no word of ours gets into the data."""
    opening = m.Open("direct-tcpip", 1, 100, 50, TCP).write()
    book = listening().verdict(2, Allow(), intends(2)).recorded(2, to_client(forwarded(8080, 0)))
    book.client(m.Confirmation(0, CLIENT, 100, 50).write(), to_target(m.Confirmation(TARGET, 0, 100, 50).write()))
    book.client(direct(sender=8), asks(3, "direct 10.0.0.1:80")).verdict(3, Allow(), intends(3)).recorded(3, to_target(opening))
    book.says(book.relay.unforward("nobody observes"), to_client(close(CLIENT)), to_target(close(TARGET)))
    book.target(m.Confirmation(1, 43, 10, 10).write(), to_client(m.Confirmation(8, 1, 10, 10).write()), to_client(close(8)), to_target(close(43)))
    book.target(data(b"late")).target(close(), reports(2)).target(close(1), reports(3))
    assert book.outcomes[3].facts["cut"] == "nobody observes"


def test_what_was_allowed_while_somebody_observed_is_not_forwarded_when_nobody_does() -> None:
    opinions = Opinions()
    book = listening(opinions).verdict(2, Allow(), intends(2)).client(direct(), asks(3, "direct 10.0.0.1:80")).verdict(3, Allow(), intends(3))
    opinions.unforwarded = "nobody observes"
    book.recorded(2, reports(2, "refused"), to_target(prohibited(TARGET, "nobody observes")))
    book.recorded(3, reports(3, "refused"), to_client(prohibited(CLIENT, "nobody observes")))


def test_a_port_that_there_is_not_is_nowhere() -> None:
    """Some targets would take it in 16 bits, and reach 22 for 65558, which is not what was judged."""
    beyond = m.string(b"10.0.0.1") + m.u32(65536 + 22) + m.string(b"localhost") + m.u32(5)
    refused = m.write_open_failure(8, m.CONNECT_FAILED, "there is no such port")
    Playbook().client(m.Open("direct-tcpip", 8, 100, 50, beyond).write(), to_client(refused))
    Playbook().client(global_request("tcpip-forward", m.string(b"") + m.u32(65536 + 80)), to_client(FAILED))


def test_a_listener_that_the_target_refuses_has_an_outcome() -> None:
    request = global_request("tcpip-forward", LISTEN)
    (
        Playbook().client(request, asks(1, "remote localhost:0")).verdict(1, Allow(), intends(1)).recorded(1, to_target(request))
        .target(FAILED, reports(1, "error"), to_client(FAILED))
    )


def test_global_answers_keep_their_order_while_one_is_held() -> None:
    request = global_request("tcpip-forward", LISTEN)
    (
        Playbook().client(request, asks(1, "remote localhost:0")).client(global_request("keepalive@openssh.com"))
        .verdict(1, NO, refuses(1), to_client(FAILED), to_client(FAILED))
    )


def test_what_is_about_one_leg_goes_no_further() -> None:
    """Keepalives are answered; the target's host keys would be wrong here and could not be proved."""
    (
        Playbook().client(global_request("keepalive@openssh.com"), to_client(FAILED))
        .target(global_request("keepalive@openssh.com"), to_target(FAILED))
        .target(global_request("hostkeys-00@openssh.com", m.string(b"key"), reply=False))
        .client(global_request("hostkeys-prove-00@openssh.com", m.string(b"key")), ("proves", m.string(b"key")))
        .client(global_request("unknown@example.com"))
    )


def test_proof_of_host_keys_comes_in_its_turn() -> None:
    book = Playbook().client(global_request("hostkeys-prove-00@openssh.com"), ("proves", b"")).client(global_request("x@example.com"))
    book.says(book.relay.proved(YES + b"signed"), to_client(YES + b"signed"), to_client(FAILED))


def test_our_own_keepalives_answer_goes_no_further() -> None:
    book = Playbook()
    ping = global_request("keepalive@openssh.com")
    book.says(book.relay.keepalive("target"), to_target(ping)).target(FAILED)
    book.says(book.relay.keepalive("client"), to_client(ping)).client(FAILED)


def test_no_more_sessions_means_none() -> None:
    open = m.Open("session", 9, 10, 10).write()
    refused = m.write_open_failure(9, m.ADMINISTRATIVELY_PROHIBITED, "no more sessions, as was asked for")
    Playbook().client(global_request("no-more-sessions@openssh.com", reply=False)).client(open, to_client(refused))


def test_unknown_channel_types_are_refused_by_their_code() -> None:
    tunnel = m.Open("tun@openssh.com", 9, 10, 10, m.u32(1) + m.u32(0)).write()
    Playbook().client(tunnel, to_client(m.write_open_failure(9, m.UNKNOWN_TYPE, "no such channel type")))
    Playbook().target(m.Open("session", 9, 10, 10).write(), to_target(prohibited(9, "the client did not ask for it")))


def test_an_answer_to_nothing_ends_the_session() -> None:
    Playbook().target(YES, malformed("target"))
    Playbook().target(m.Confirmation(0, 0, 1, 1).write(), malformed("target"))


def test_listeners_are_bounded() -> None:
    """Also those that nobody has answered yet."""
    book = Playbook()
    for number in range(LISTENER_LIMIT):
        book.client(global_request("tcpip-forward", LISTEN, False), asks(number + 1, "remote localhost:0"))
    book.client(global_request("tcpip-forward", LISTEN, False)).client(global_request("tcpip-forward", LISTEN), to_client(FAILED))
