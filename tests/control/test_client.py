"""The worker's side alone: leases, waits that end by themselves, and what is said again at joining."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from gateway.control.client import ABSENCE, ABSENT, BACKOFF, OVERTIME, PATIENCE, PING, ControlClient
from gateway.control.desk import LEASE
from gateway.control.errors import ControlUnavailable
from gateway.control.rpc import Rpc

Asked = Callable[..., dict[str, Any]]


class Desk:
    """Control's end of the link: keeps what it is asked and answers what a test says."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {"join": {"lease": LEASE, "answers": {}, "reveals": [], "lists": [], "commits": []}, "ping": {"lease": LEASE}, "hello": "worker-1"}
        self.rpc = Rpc({name: self._method(name) for name in (
            "hello", "join", "ping", "submit", "withdraw", "session_opened", "session_closed", "cancel_key", "count",
        )})

    def _method(self, name: str) -> Any:
        def method(**said: Any) -> Any:
            self.calls.append((name, said))
            answer = self.answers.get(name)
            return answer() if callable(answer) else answer

        return method

    def said(self, name: str) -> list[dict[str, Any]]:
        return [said for called, said in self.calls if called == name]


class Wire:
    """A client on a reactor of memory, and the desk it reaches."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.client = ControlClient(self.reactor)
        self.desk = Desk()

    def dial(self) -> None:
        self.client.connect(Path("/x"), "token")
        self.reach()

    def reach(self) -> None:
        """Control takes the newest connection."""
        factory = self.reactor.unixClients[-1][1]
        self.desk.rpc._buffer.clear()
        self.link = factory.buildProtocol(None)
        self.near, self.far = StringTransport(), StringTransport()
        self.desk.rpc.makeConnection(self.far)
        self.link.makeConnection(self.near)
        self.carry()

    def carry(self) -> None:
        while self.near.value() or self.far.value():
            for transport, other in ((self.near, self.desk.rpc), (self.far, self.link)):
                data = transport.value()
                transport.clear()
                other.dataReceived(data)

    def lose(self) -> None:
        for end in (self.link, self.desk.rpc):
            end.connectionLost(Failure(ConnectionDone()))


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.dial()
    return wire


def outcome(deferred: Deferred[Any]) -> list[Any]:
    out: list[Any] = []
    deferred.addBoth(out.append)
    return out


def hold(wire: Wire, asked: Asked, timeout: float = 300.0) -> list[Any]:
    """Submit, and wait."""
    wire.desk.answers["submit"] = {"state": "pending", "request": "r-1", "grant": "", "by": "", "reason": ""}
    submitted = outcome(wire.client.submit(asked(timeout=timeout)))
    wire.carry()
    assert submitted[0]["state"] == "pending"
    return outcome(wire.client.answer("r-1"))


def test_a_lease_runs_out_without_a_sign_of_life(wire: Wire) -> None:
    assert wire.client.leased
    for _ in range(10):
        wire.reactor.advance(PING)
        wire.carry()
    assert wire.client.leased and len(wire.desk.said("ping")) == 10
    wire.reactor.advance(LEASE - PING)
    assert wire.client.leased
    wire.reactor.advance(PING + 0.1)
    assert not wire.client.leased


def test_no_lease_before_joining_or_after_losing_the_link() -> None:
    wire = Wire()
    assert not wire.client.leased
    wire.dial()
    assert wire.client.leased
    wire.lose()
    assert not wire.client.leased


def test_a_question_waits_a_little_for_control_to_be_back(wire: Wire) -> None:
    """So that a login in the second in which control is started again is late, not refused."""
    wire.desk.answers["count"] = 7
    wire.lose()
    counted = outcome(wire.client.count("a", 1))
    wire.reactor.advance(BACKOFF)
    assert not counted
    wire.reach()
    assert counted == [7] and wire.client.leased, "its answer comes behind the joining's"
    assert len(wire.desk.said("count")) == 1


def test_a_question_does_not_wait_for_a_control_that_stays_away(wire: Wire) -> None:
    wire.lose()
    counted = [outcome(wire.client.count("a", n)) for n in range(ABSENT + 1)]
    assert counted[-1][0].check(ControlUnavailable), "a bounded number waits"
    wire.reactor.advance(ABSENCE)
    assert all(one[0].check(ControlUnavailable) and "OST-603" in one[0].getErrorMessage() for one in counted)
    wire.reach()
    assert wire.desk.said("count") == [], "nobody waits for the answers any more"


def test_a_client_that_stops_keeps_nobody_waiting(wire: Wire) -> None:
    wire.lose()
    counted = outcome(wire.client.count("a", 1))
    wire.client.stop()
    assert counted[0].check(ControlUnavailable)
    assert outcome(wire.client.count("a", 1))[0].check(ControlUnavailable)


def test_the_token_is_shown_before_anything_else(wire: Wire) -> None:
    assert [name for name, _ in wire.desk.calls[:2]] == ["hello", "join"]
    assert wire.desk.said("hello") == [{"token": "token"}]


def test_it_dials_again_until_control_is_back(wire: Wire) -> None:
    for times in (2, 3, 4):
        if times == 2:
            wire.lose()
        else:
            wire.reactor.unixClients[-1][1].clientConnectionFailed(None, Failure(ConnectionDone()))
        wire.reactor.advance(BACKOFF)
        assert len(wire.reactor.unixClients) == times
    wire.reach()
    assert wire.client.leased


def test_everything_is_said_again_at_joining(wire: Wire, asked: Asked) -> None:
    """Sessions, keys, waits and withdrawals, but not those that ended meanwhile."""
    for name in ("s-1", "s-2"):
        wire.client.session_opened({"id": name, "subject": "ada"})
        wire.client.cancel_key(name, int(name[-1]), b"key")
    waiting = hold(wire, asked)
    wire.carry()
    wire.lose()
    wire.client.session_closed("s-2")
    wire.client.withdraw("r-0", "the client is gone")
    wire.reactor.advance(BACKOFF)
    wire.desk.calls.clear()
    wire.reach()
    [joined] = wire.desk.said("join")
    assert [session["id"] for session in joined["sessions"]] == ["s-1"]
    assert joined["keys"] == [["s-1", 1, b"key"]] and joined["waiting"] == ["r-1"]
    assert joined["withdrawn"] == [["r-0", "the client is gone"]]
    assert not waiting
    wire.lose()
    wire.reactor.advance(BACKOFF)
    wire.desk.calls.clear()
    wire.reach()
    assert wire.desk.said("join")[0]["withdrawn"] == [], "control heard it the first time"


def test_an_answer_missed_is_told_at_joining(wire: Wire, asked: Asked) -> None:
    waiting = hold(wire, asked)
    wire.lose()
    missed = {"request": "r-1", "state": "granted", "grant": "g", "by": "grace", "reason": ""}
    wire.desk.answers["join"] = {"lease": LEASE, "answers": {"r-1": missed}, "reveals": [], "lists": [], "commits": []}
    wire.reactor.advance(BACKOFF)
    wire.reach()
    assert waiting == [missed]


def test_a_control_that_never_comes_back_is_no(wire: Wire, asked: Asked) -> None:
    """A session does not wait for ever; and if control does come back, it hears that nobody waits."""
    waiting = hold(wire, asked, timeout=60.0)
    wire.lose()
    wire.reactor.advance(60.0 + OVERTIME + 0.1)
    assert waiting[0]["state"] == "expired" and waiting[0]["grant"] == ""
    wire.reach()
    assert [one[0] for one in wire.desk.said("join")[-1]["withdrawn"]] == ["r-1"]


def test_a_late_yes_after_withdrawing_is_not_heard(wire: Wire, asked: Asked) -> None:
    waiting = hold(wire, asked)
    wire.client.withdraw("r-1", "the client is gone")
    assert waiting[0].check(CancelledError)
    wire.desk.rpc.push("answered", {"request": "r-1", "state": "granted", "grant": "g", "by": "", "reason": ""})
    wire.carry()
    assert len(waiting) == 1 and wire.desk.said("withdraw") == [{"request": "r-1", "why": "the client is gone"}]
    assert outcome(wire.client.answer("r-1"))[0].check(ControlUnavailable)


def test_two_answers_to_one_question(wire: Wire, asked: Asked) -> None:
    """The first counts."""
    waiting = hold(wire, asked)
    for state in ("denied", "granted"):
        wire.desk.rpc.push("answered", {"request": "r-1", "state": state, "grant": "", "by": "", "reason": ""})
    wire.carry()
    assert [answer["state"] for answer in waiting] == ["denied"]


def test_a_question_given_up_before_it_was_answered(wire: Wire, asked: Asked) -> None:
    """Its request is withdrawn as soon as its name is known, a granted one too."""
    later: Deferred[Any] = Deferred()
    wire.desk.answers["submit"] = lambda: later
    submitting = wire.client.submit(asked(mode="retry"))
    out = outcome(submitting)
    wire.carry()
    submitting.cancel()
    assert out[0].check(CancelledError)
    later.callback({"state": "granted", "request": "r-7", "grant": "g", "by": "", "reason": ""})
    wire.carry()
    assert wire.desk.said("withdraw") == [{"request": "r-7", "why": "its client cancelled it, or its session ended"}]


def test_stopping_cancels_what_waits_and_dials_no_more(wire: Wire, asked: Asked) -> None:
    waiting = hold(wire, asked)
    wire.client.stop()
    assert waiting[0].check(CancelledError) and wire.near.disconnecting
    wire.lose()
    wire.reactor.advance(60)
    assert len(wire.reactor.unixClients) == 1 and not wire.reactor.getDelayedCalls()


def test_a_refused_join_is_tried_again(wire: Wire) -> None:
    """A worker whose token control does not know yet, since its supervisor is slower than it."""
    wire.lose()
    wire.desk.rpc.methods = {}
    wire.reactor.advance(BACKOFF)
    wire.reach()
    assert not wire.client.leased and wire.near.disconnecting


def test_a_control_that_says_nothing_is_not_waited_for(wire: Wire, asked: Asked) -> None:
    """Frozen, it takes what is sent: questions fail with a reason; a request whose id comes too late is withdrawn."""
    silent: Deferred[Any] = Deferred()
    wire.desk.answers.update(count=lambda: Deferred(), submit=lambda: silent)
    counted, submitted = outcome(wire.client.count("ada", 1)), outcome(wire.client.submit(asked(mode="hold")))
    wire.carry()
    wire.reactor.advance(PATIENCE - 0.1)
    assert not counted and not submitted
    wire.reactor.advance(0.1)
    for one in (counted, submitted):
        assert one[0].check(ControlUnavailable) and "OST-603" in one[0].getErrorMessage()
    silent.callback({"state": "pending", "request": "r-9", "grant": "", "by": "", "reason": ""})
    wire.carry()
    assert [said["request"] for said in wire.desk.said("withdraw")] == ["r-9"]
