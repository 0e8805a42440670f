"""
People on their way through a browser: what a code was handed out for, who asks after it, and when nobody may any more.

A flow belongs to one connection (a worker, its name for the flow), one identity and one address, and what it proves is told once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from addons.needs import Clock
from gateway.config import Device
from gateway.control.device.answers import SLOW_DOWN, Unreachable, refused
from gateway.control.errors import ControlError
from gateway.control.identity.throttle import address
from gateway.control.rpc import place

FLOWS, FROM_ONE = 64, 20  # at one time: of everybody, and from one address
STARTS, STARTS_FROM_ONE = 60, 20  # in one window: of everybody, and from one address, which may be a whole office
WINDOW = 60.0  # seconds
LOOK = 5.0  # seconds that an asking waits for the next poll, so that whoever is done need not ask twice
SLOWER = 5.0  # seconds more between polls, when told to slow down (RFC 8628, 3.5)
BACKOFF_LONGEST = 60.0  # seconds between polls of a provider that cannot be reached

Made = Callable[[Device], Any]
"""A `gateway.control.device.provider.Provider`, or what does as one in a test."""


class Flow:
    """
    One login.

    :param provider: begins, and is polled. :param whose: to whom it belongs.
    :ivar result: a Proof or a Failure, once it has ended.
    """

    _log = Logger()

    def __init__(self, provider: Any, whose: tuple[Any, str, str], clock: Clock) -> None:
        self.whose = whose
        self._provider, self._clock = provider, clock
        self._code, self._interval, self._ends = "", 0.0, 0.0
        self._asked: Deferred[Any] | None = None
        self._timer: Any = None
        self._looks: list[Deferred[Any]] = []
        self.result: Any = None

    def begin(self) -> Deferred[Any]:
        """Fires with {"url", "code", "complete", "seconds"}; fails with DeviceRefused."""
        self._asked = self._provider.begin()
        return self._asked.addCallback(self._begun)

    def _begun(self, begun: Any) -> Any:
        self._asked = None
        if self.result is not None:
            return self.result
        self._code, self._interval, self._ends = begun.code, begun.interval, self._clock.seconds() + begun.lasts
        self._later()
        return {"url": begun.url, "code": begun.shown, "complete": begun.complete, "seconds": begun.lasts}

    def look(self) -> Deferred[Any]:
        """What came of it: a Proof, or None when the next poll still knows nothing. Fails with DeviceRefused."""
        looked: Deferred[Any] = Deferred()
        self._looks.append(looked)
        if self.result is not None:
            self._tell(self.result)
        else:
            self._clock.callLater(LOOK, self._tell_one, looked)
        return looked

    def stop(self, why: str) -> None:
        """Nothing is asked from here on."""
        if self.result is None:
            self._settle(Failure(refused(why)))

    def _later(self) -> None:
        self._timer = self._clock.callLater(max(0.0, min(self._interval, self._ends - self._clock.seconds())), self._poll)

    def _poll(self) -> None:
        if self._clock.seconds() >= self._ends:
            self._settle(Failure(refused("the code has expired before the login was finished in the browser")))
            return
        self._asked = self._provider.poll(self._code)
        self._asked.addCallbacks(self._polled, self._not_polled)

    def _polled(self, answer: Any) -> None:
        self._asked = None
        if self.result is not None:
            return
        if not isinstance(answer, str):
            self._settle(answer)
            return
        if answer == SLOW_DOWN:
            self._interval += SLOWER
        self._tell(None)
        self._later()

    def _not_polled(self, failure: Failure) -> None:
        self._asked = None
        if self.result is not None:
            return
        if failure.check(Unreachable):
            self._interval = min(self._interval * 2, BACKOFF_LONGEST)
            self._later()
            return
        if failure.check(ControlError) is None:
            self._log.error("a poll ended by a bug: {what}", what=place(failure))
            failure = Failure(refused("the gateway failed at it; its log says where"))
        self._settle(failure)

    def _settle(self, result: Any) -> None:
        self.result, self._code = result, ""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()
        self._tell(result)

    def _tell(self, result: Any) -> None:
        looks, self._looks = self._looks, []
        for one in looks:
            one.callback(result)

    def _tell_one(self, looked: Deferred[Any]) -> None:
        if looked in self._looks:
            self._looks.remove(looked)
            looked.callback(None)


class Flows:
    """All of them, over all workers."""

    def __init__(self, entry: Device | None, clock: Clock, made: Made) -> None:
        self._clock, self._made = clock, made
        self.entry = entry
        self._provider: Any = None
        self._flows: dict[tuple[Any, str], Flow] = {}
        self._starts: deque[tuple[float, str]] = deque(maxlen=STARTS)

    @property
    def running(self) -> int:
        """How many are polled for; one that ended stays until its client has heard or left."""
        return sum(flow.result is None for flow in self._flows.values())

    def reload(self, entry: Device | None) -> None:
        """The file was read again: what the former provider was asked is worth nothing under another one."""
        if entry != self.entry:
            self.entry, self._provider = entry, None
            self._stop(lambda key, flow: True, "the configuration was changed meanwhile")

    def start(self, owner: Any, name: str, subject: str, peer: str) -> Deferred[Any]:
        """
        Hand out a code. Fires as `Flow.begin`.

        :raises DeviceRefused: there is no provider, or there are too many at it.
        """
        entry = self.entry
        if entry is None:
            raise refused("no identity provider is configured here")
        whose = (owner, subject, address(peer))
        self._room(whose[2], (owner, name))
        self._stop(lambda key, flow: flow.whose[1:] == whose[1:], "a newer login of the same identity took its place")
        if self._provider is None:
            self._provider = self._made(entry)
        flow = self._flows[owner, name] = Flow(self._provider, whose, self._clock)
        return flow.begin().addErrback(self._not_begun, (owner, name), flow)

    def look(self, owner: Any, name: str, subject: str, peer: str) -> Deferred[Any]:
        """
        As `Flow.look`; what it proves is told once.

        :raises DeviceRefused: there is no such flow, or it is another connection's.
        """
        flow = self._flows.get((owner, name))
        if flow is None or flow.whose != (owner, subject, address(peer)):
            raise refused("the login in the browser is over")
        return flow.look().addBoth(self._looked, (owner, name), flow)

    def end(self, owner: Any, name: str) -> None:
        """Its client is gone."""
        self._forget(lambda key: key == (owner, name))

    def left(self, owner: Any) -> None:
        """Its worker is gone."""
        self._forget(lambda key: key[0] is owner)

    def close(self) -> None:
        """Nobody is let in any more."""
        self._forget(lambda key: True)

    def _looked(self, result: Any, key: tuple[Any, str], flow: Flow) -> Any:
        if result is not None and self._flows.get(key) is flow:
            del self._flows[key]
        return result

    def _not_begun(self, failure: Failure, key: tuple[Any, str], flow: Flow) -> Failure:
        if self._flows.get(key) is flow:
            del self._flows[key]
        return Failure(refused("the login was given up")) if failure.check(CancelledError) else failure

    def _stop(self, which: Callable[[tuple[Any, str], Flow], bool], why: str) -> None:
        for key, flow in list(self._flows.items()):
            if which(key, flow):
                flow.stop(why)

    def _forget(self, which: Callable[[tuple[Any, str]], bool]) -> None:
        for key in [key for key in self._flows if which(key)]:
            flow = self._flows.pop(key)
            flow.stop("the login was given up")

    def _room(self, source: str, key: tuple[Any, str]) -> None:
        now = self._clock.seconds()
        recent = [host for at, host in self._starts if now - at < WINDOW]
        here = sum(flow.result is None and flow.whose[2] == source for flow in self._flows.values())
        if self.running >= FLOWS or here >= FROM_ONE or len(recent) >= STARTS or recent.count(source) >= STARTS_FROM_ONE or key in self._flows:
            raise refused("too many log in by their browsers now; try again in a minute, or use a token")
        self._starts.append((now, source))
