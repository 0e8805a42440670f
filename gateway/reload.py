"""
From one revision of the configuration to the next: everybody prepares, it is recorded, everybody switches.

Whatever goes wrong before the switch leaves the old revision in force everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, FirstError, TimeoutError as TwistedTimeout, gatherResults, inlineCallbacks
from twisted.python.failure import Failure

from gateway.lasting import lasting
from gateway.parts import CannotSwitch
from gateway.revision import Revision, WrongConfig, reread
from gateway.seats import Seat
from gateway.toml import told, within

DEADLINE = 15.0
"""Seconds for one step; a part that takes longer keeps the old revision in force."""


class Reload:
    """One attempt."""

    def __init__(self, revision: Revision, seats: Mapping[str, Seat], by: str, reactor: Any) -> None:
        self._old, self._seats, self._by, self._reactor = revision, seats, by, reactor

    @inlineCallbacks
    def run(self, adopt: Callable[[Revision], None]) -> Any:
        """
        Fires when it is done; when the file has not changed, targets may have, and the log says again what does not fit.

        Fails with CannotSwitch, whose text says the key and the mend.

        :param adopt: told the new revision before anybody switches, so that whoever
            starts from then on starts with it.
        """
        try:
            new = reread(self._old)
        except WrongConfig as error:
            raise CannotSwitch(str(error)) from None
        if new.text == self._old.text:
            yield self._within(self._seats["control"].ask("look", self._old.number)).addErrback(lambda _: None)  # nothing rests on it
            return
        fixed = within(new.config, lasting(self._old.config, new.config))
        if fixed:
            raise CannotSwitch("\n".join(told(new.config.file, one) for one in fixed))
        asked = [self._within(seat.ask("prepare", new.number, new.text)) for seat in self._seats.values()]
        yield gatherResults(asked, consumeErrors=True).addErrback(_first)
        yield self._within(self._seats["control"].ask("record", new.number, self._by.encode()))
        adopt(new)
        yield gatherResults([self._switch(seat, new) for seat in self._seats.values()])

    def _switch(self, seat: Seat, new: Revision) -> Deferred[None]:
        """Who cannot switch now (it started between the two steps) is replaced: nobody stays behind."""
        return self._within(seat.ask("switch", new.number)).addErrback(lambda _: seat.replace())

    def _within(self, asked: Deferred[None]) -> Deferred[None]:
        asked.addTimeout(DEADLINE, self._reactor)
        return asked.addErrback(_late)


def _first(failure: Failure) -> Failure:
    failure.trap(FirstError)
    return failure.value.subFailure


def _late(failure: Failure) -> None:
    if failure.check(TwistedTimeout):
        raise CannotSwitch(f"no answer within {DEADLINE:g} s")
    failure.raiseException()
