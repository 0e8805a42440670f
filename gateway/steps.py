"""
A generator of what has to be waited for: run at once where nothing has to, else as a Deferred that can be cancelled.

`inlineCallbacks` would make a Deferred either way.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def run(steps: Generator[Deferred[Any], Any, Any]) -> Any:
    """Run to the end at once where nothing waits; else a Deferred that can be cancelled."""
    try:
        waiting = next(steps)
    except StopIteration as done:
        return done.value
    return _resume(steps, waiting)


def _resume(steps: Generator[Deferred[Any], Any, Any], waiting: Deferred[Any]) -> Deferred[Any]:
    current, gone = [waiting], []

    def cancel(_: Deferred[Any]) -> None:
        gone.append(True)
        current[0].cancel()

    whole: Deferred[Any] = Deferred(cancel)

    def step(result: Any) -> None:
        try:
            following = result.throwExceptionIntoGenerator(steps) if isinstance(result, Failure) else steps.send(result)
        except StopIteration as done:
            whole.callback(done.value)
            return
        except BaseException:
            whole.errback(Failure())
            return
        current[0] = following
        following.addBoth(step)
        if gone:  # whoever was cancelled answered all the same: nobody else is waited for
            following.cancel()

    waiting.addBoth(step)
    return whole
