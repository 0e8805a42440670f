"""
Calls, answers and pushes over a link, the same on both ends.

    ["call", id, method, {arguments}]    ["answer", id, value]
    ["error", id, class, text]           ["push", name, value]

A peer may call only what its table names. What goes wrong inside a method leaves as a
class and a text when it is a `ControlError`; anything else is logged by place, without
its message (which might quote an argument), and the peer is told only that it happened.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.control.errors import BadCall, ControlError, ControlUnavailable, Crashed, from_wire
from gateway.link import Link

Methods = Mapping[str, Callable[..., Any]]

OUTSTANDING = 4096
"""Calls waiting for an answer on one link. A worker with more has lost control, in both senses."""


class Rpc(Link):
    """
    One end of a conversation.

    :param methods: what the other end may call, by name.
    :param pushes: what it may push, by name; each is given the value.
    """

    _log = Logger()

    def __init__(self, methods: Methods, pushes: Methods | None = None) -> None:
        super().__init__()
        self.methods, self._pushes = methods, pushes or {}
        self._waiting: dict[int, Deferred[Any]] = {}
        self._last = 0
        self.on_lost: Callable[[], None] | None = None

    def call(self, method: str, **arguments: Any) -> Deferred[Any]:
        """
        Call the other end. The Deferred fails with a `ControlError`.

        Cancelling it forgets the question; the other end still does what was asked.
        """
        if not self.connected_now or len(self._waiting) >= OUTSTANDING:
            return _failed(ControlUnavailable("control cannot be reached"))
        self._last += 1
        number = self._last
        self._waiting[number] = waiting = Deferred(lambda _: self._waiting.pop(number, None))
        self.send("call", number, method, arguments)
        return waiting

    def push(self, name: str, value: Any) -> None:
        """Tell the other end; nobody answers."""
        if self.connected_now:
            self.send("push", name, value)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            one.errback(ControlUnavailable("the link to control was lost before it answered"))
        if self.on_lost is not None:
            self.on_lost()

    def frame_received(self, frame: list[Any]) -> None:
        match frame:
            case ["call", int(number), str(method), dict(arguments)]:
                self._called(number, method, arguments)
            case ["answer", int(number), value]:
                self._settle(number, value)
            case ["error", int(number), str(name), str(why)]:
                self._settle(number, Failure(from_wire(name, why)))
            case ["push", str(name), value] if name in self._pushes:
                self._guarded(self._pushes[name], value)
            case _:
                self._log.warn("a frame nobody expects; closing the link")
                self.transport.abortConnection()

    def _settle(self, number: int, result: Any) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.callback(result)

    def _guarded(self, push: Callable[[Any], Any], value: Any) -> None:
        maybeDeferred(push, value).addErrback(self._log_place)

    def _called(self, number: int, name: str, arguments: dict[str, Any]) -> None:
        method = self.methods.get(name)
        if method is None:
            self._refuse(Failure(BadCall(f"there is no method {name}")), number)
            return
        try:
            inspect.signature(method).bind(**arguments)
        except TypeError as error:
            self._refuse(Failure(BadCall(f"{name}: {error}")), number)
            return
        answered = maybeDeferred(method, **arguments)
        answered.addCallback(lambda value: self.connected_now and self.send("answer", number, value))
        answered.addErrback(self._refuse, number)

    def _refuse(self, failure: Failure, number: int) -> None:
        error = failure.value
        if not isinstance(error, ControlError):
            self._log_place(failure)
            error = Crashed("control failed; its log says where")
        if self.connected_now:
            self.send("error", number, type(error).__name__, error.why)

    def _log_place(self, failure: Failure) -> None:
        self._log.error("control failed: {what}", what=place(failure))


def place(failure: Failure) -> str:
    """Class and line of an error, without its message."""
    frames, name = failure.frames, failure.type.__name__ if failure.type else "error"
    return f"{name} at {frames[-1][1]}:{frames[-1][2]} in {frames[-1][0]}" if frames else name


def _failed(error: ControlError) -> Deferred[Any]:
    failed: Deferred[Any] = Deferred()
    failed.errback(error)
    return failed
