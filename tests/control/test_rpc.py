"""Calls, answers and pushes; and that nothing said in confidence comes back or into a log."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from gateway.control.errors import BadCall, ControlError, ControlUnavailable, Crashed, NotFound, from_wire
from gateway.control.rpc import OUTSTANDING, Rpc
from gateway.frame import pack

SECRET = "hunter2-canary"


class Pair:
    """Two ends whose bytes a test carries."""

    def __init__(self, methods: dict[str, Any], pushes: dict[str, Any] | None = None) -> None:
        self.caller, self.called = Rpc({}, pushes), Rpc(methods)
        self.wires = {self.caller: StringTransport(), self.called: StringTransport()}
        for end, wire in self.wires.items():
            end.makeConnection(wire)

    def carry(self) -> None:
        for end, other in ((self.caller, self.called), (self.called, self.caller)):
            data = self.wires[end].value()
            self.wires[end].clear()
            other.dataReceived(data)

    def call(self, method: str, **arguments: Any) -> Any:
        out: list[Any] = []
        self.caller.call(method, **arguments).addBoth(out.append)
        self.carry()
        return out[0] if out else None


@pytest.fixture
def logged() -> Any:
    lines: list[str] = []

    def observe(event: Any) -> None:
        lines.append(repr({k: (v.getTraceback() if isinstance(v, Failure) else v) for k, v in event.items()}))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_answers_find_their_questions_in_any_order() -> None:
    later: Deferred[int] = Deferred()
    pair = Pair({"now": lambda n: n * 2, "later": lambda: later})
    waiting: list[Any] = []
    pair.caller.call("later").addBoth(waiting.append)
    assert pair.call("now", n=21) == 42 and not waiting
    later.callback({"a": [1, b"\xff", None]})
    pair.carry()
    assert waiting == [{"a": [1, b"\xff", None]}]


@pytest.mark.parametrize(
    ("arguments", "method"), [({}, "none"), ({}, "__class__"), ({}, "one"), ({"a": 1, "b": 2}, "one"), ({"c": 1}, "one")]
)
def test_only_what_is_in_the_table_with_its_arguments(arguments: dict[str, Any], method: str) -> None:
    failure = Pair({"one": lambda a: a}).call(method, **arguments)
    assert isinstance(failure.value, BadCall)


def test_refusals_keep_their_class_and_text() -> None:
    pair = Pair({"raise": lambda: fail(NotFound("there is none")), "now": lambda: (_ for _ in ()).throw(NotFound("nor here"))})
    for method, why in (("raise", "there is none"), ("now", "nor here")):
        failure = pair.call(method)
        assert failure.type is NotFound and failure.value.why == why and failure.value.code == "OST-604"
    assert type(from_wire("NoSuchClass", "x")) is Crashed
    with pytest.raises(TypeError):
        ControlError("x")


def test_a_bug_is_logged_by_place_without_what_it_said(logged: list[str]) -> None:
    """An exception's text may quote a secret: `KeyError('hunter2')`."""

    def broken(secret: str) -> None:
        raise KeyError(secret)

    failure = Pair({"broken": broken}).call("broken", secret=SECRET)
    assert failure.type is Crashed and SECRET not in failure.value.why
    assert any("KeyError at " in line and "test_rpc" in line for line in logged)
    assert not any(SECRET in line for line in logged)


def test_a_lost_link_fails_what_waits() -> None:
    pair = Pair({"later": Deferred})
    out: list[Any] = []
    pair.caller.call("later").addBoth(out.append)
    pair.caller.connectionLost(Failure(ConnectionDone()))
    pair.caller.call("later").addBoth(out.append)
    assert [failure.type for failure in out] == [ControlUnavailable] * 2


def test_an_answer_after_the_caller_left_is_dropped() -> None:
    later: Deferred[int] = Deferred()
    pair = Pair({"later": lambda: later})
    pair.caller.call("later").addErrback(lambda _: None)
    pair.carry()
    pair.called.connectionLost(Failure(ConnectionDone()))
    later.callback(1)
    assert pair.wires[pair.called].value() == b""


def test_a_cancelled_call_forgets_its_answer() -> None:
    pair = Pair({"one": lambda: succeed(1)})
    out: list[Any] = []
    call = pair.caller.call("one")
    call.addBoth(out.append)
    call.cancel()
    pair.carry()
    assert len(out) == 1 and isinstance(out[0], Failure)


def test_outstanding_calls_are_bounded() -> None:
    pair = Pair({})
    for _ in range(OUTSTANDING):
        pair.caller.call("x").addErrback(lambda _: None)
    out: list[Any] = []
    pair.caller.call("x").addBoth(out.append)
    assert out[0].type is ControlUnavailable


def test_pushes(logged: list[str]) -> None:
    """One that fails is a bug of ours and does not end the link."""
    got: list[Any] = []

    def push(value: Any) -> None:
        got.append(value)
        if value == SECRET:
            raise ValueError(value)

    pair = Pair({}, {"told": push})
    for value in (1, SECRET, {"x": 2}):
        pair.called.push("told", value)
    pair.carry()
    assert got == [1, SECRET, {"x": 2}] and not pair.wires[pair.caller].disconnecting
    assert not any(SECRET in line for line in logged)


@pytest.mark.parametrize("frame", [["push", "unknown", 1], ["call", "1", "x", {}], ["call", 1, "x", []], [], ["answer"], [1, 2]])
def test_a_frame_nobody_expects_ends_the_link(frame: list[Any]) -> None:
    link = Rpc({})
    transport = StringTransport()
    link.makeConnection(transport)
    link.dataReceived(pack(frame))
    assert transport.disconnecting or transport.disconnected
