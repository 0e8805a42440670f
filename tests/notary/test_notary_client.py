"""The connection to the notary: kept up, honest about being down, one answer per question."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from gateway.link import Link
from gateway.notary.client import Denied, NotaryClient, _ClientLink
from protocols.errors import Unrecordable


class Sent(Link):
    """Reads what the client wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[list[Any]] = []

    def frame_received(self, frame: list[Any]) -> None:
        self.frames.append(frame)


class Adopting(Clock):
    """A reactor that only counts connections."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0

    def adoptStreamConnection(self, fd: int, family: int, factory: Any) -> None:
        self.connections += 1


class Heard:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def up(self, number: int, last: int = 0, there: Any = None) -> None:
        self.told.append(("up", number) if not last else ("up", number, last))

    def down(self, why: str) -> None:
        self.told.append(("down", why))

    def acknowledged(self, last: int, refused: Any) -> None:
        self.told.append(("ack", last, refused))


def dial() -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


class Pair:
    """A client on a transport in memory."""

    def __init__(self) -> None:
        self.reactor = Adopting()
        self.client = NotaryClient(self.reactor, dial, "token")
        self.first = self.client.start()
        self.answers: list[Any] = []
        self.first.addBoth(self.answers.append)
        self.connect()

    def connect(self) -> None:
        self.link, self.transport = _ClientLink(self.client), StringTransport()
        self.link.makeConnection(self.transport)

    def sent(self) -> list[list[Any]]:
        reader = Sent()
        reader.makeConnection(StringTransport())
        reader.dataReceived(self.transport.value())
        return reader.frames

    def says(self, *frame: Any) -> None:
        self.link.frame_received(list(frame))


@pytest.fixture
def pair() -> Pair:
    return Pair()


def result(waiting: Deferred[Any]) -> list[Any]:
    got: list[Any] = []
    waiting.addBoth(got.append)
    return got


def test_it_shows_its_token_and_is_ready_when_the_notary_answers(pair: Pair) -> None:
    assert pair.sent() == [["hello", "token", []]] and pair.answers == []
    pair.says("up", 4)
    assert pair.answers == [pair.client] and pair.client.worker == 4


def test_down_is_an_answer_too_and_up_may_follow(pair: Pair) -> None:
    """A worker must be able to start, and to say why it refuses."""
    heard = Heard()
    pair.client.listen(heard)
    pair.says("down", "disk full")
    assert pair.answers == [pair.client] and pair.client.worker is None and pair.client.why_down == "disk full"
    pair.says("up", 5)
    assert heard.told == [("down", "disk full"), ("up", 5)]


def test_a_denied_token_is_not_shown_again(pair: Pair) -> None:
    pair.says("denied", "unknown")
    assert pair.answers[0].check(Denied)
    pair.link.connectionLost(None)  # type: ignore[arg-type]
    pair.reactor.advance(60)
    assert pair.reactor.connections == 1


def test_a_lost_connection_is_told_and_made_again(pair: Pair) -> None:
    heard = Heard()
    pair.says("up", 4)
    pair.client.listen(heard)
    pair.link.connectionLost(None)  # type: ignore[arg-type]
    assert heard.told == [("up", 4), ("down", "the connection to the notary was lost")]
    pair.reactor.advance(1)
    assert pair.reactor.connections == 2
    pair.connect()
    assert pair.sent() == [["hello", "token", [4]]]  # as whom it gave what nobody has acknowledged
    pair.says("up", 7, 12)
    assert heard.told[-1] == ("up", 7, 12)


def test_a_closed_client_stays_closed(pair: Pair) -> None:
    pair.says("up", 4)
    pair.client.close()
    pair.link.connectionLost(None)  # type: ignore[arg-type]
    pair.reactor.advance(60)
    assert pair.reactor.connections == 1 and not pair.reactor.getDelayedCalls()


def test_a_given_socket_cannot_be_made_again() -> None:
    reactor = Adopting()
    client = NotaryClient(reactor, dial(), "token")
    client.start()
    link = _ClientLink(client)
    link.makeConnection(StringTransport())
    link.connectionLost(None)  # type: ignore[arg-type]
    reactor.advance(60)
    assert reactor.connections == 1


def test_questions_get_their_own_answers(pair: Pair) -> None:
    pair.says("up", 4)
    one = result(pair.client.grant("g", b"b" * 32, 99, 1, "r", {"approver": "grace"}))
    two = result(pair.client.admin("x", {}))
    assert pair.sent()[1:] == [["grant", 1, "g", b"b" * 32, 99, 1, "r", {"approver": "grace"}], ["admin", 2, "x", {}]]
    pair.says("done", 2)
    assert two == [[]] and one == []
    pair.says("failed", 1, "disk full")
    assert one[0].check(Unrecordable) and "disk full" in str(one[0].value)
    pair.says("done", 1)  # said twice: nobody waits any more


def test_questions_that_wait_fail_when_nothing_can_be_recorded(pair: Pair) -> None:
    """Control must not believe in a grant of which it never heard again."""
    pair.says("up", 4)
    asked = result(pair.client.grant("g", b"b" * 32, 99))
    pair.says("down", "directory gone")
    assert asked[0].check(Unrecordable)
    pair.link.connectionLost(None)  # type: ignore[arg-type]
    late = result(pair.client.grant("g", b"b" * 32, 99))
    assert late[0].check(Unrecordable)


def test_acknowledgements_reach_the_listener_only_while_up(pair: Pair) -> None:
    heard = Heard()
    pair.client.listen(heard)
    pair.says("ack", 3, [])
    pair.says("up", 4)
    pair.client.append(4, 1, [[b"event", None, None]])
    pair.says("ack", 1, [[1, "spent"]])
    assert heard.told == [("up", 4), ("ack", 1, [[1, "spent"]])]
    assert pair.sent()[-1] == ["append", 4, 1, [[b"event", None, None]]]
