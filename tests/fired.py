"""What a Deferred holds already, in tests whose clocks stand still."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred


def got(deferred: Deferred[Any]) -> Any:
    """What it fired with; a failure is raised. One that has not fired fails the test."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    assert found, "it still waits"
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]
