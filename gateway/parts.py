"""
What a child runs: the notary, control or a worker behind one small interface.

The supervisor, a child's main loop and the inline mode all speak to a part through these
five calls, so that one process and many run the same code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.boot import Boot, Peers
from gateway.config import Config
from gateway.control.errors import ControlError
from gateway.logs import places
from gateway.revision import WrongConfig


class CannotSwitch(Exception):
    """This part cannot take that revision. The text says the key and the mend."""


class Part(Protocol):
    """Notary, control or worker. Every call may return a Deferred."""

    def start(self) -> Deferred[None] | None:
        """Begin; fires when the part serves."""

    def prepare(self, revision: int, config: Config) -> Any:
        """
        Build everything for a revision, and change nothing yet.

        :raises CannotSwitch: it cannot be built.
        """

    def record(self, revision: int, by: str) -> Any:
        """Control only: put the new revision, and who asked for it, into the evidence; fires when that is durable."""

    def refuse(self, revision: int, told: str) -> Any:
        """Control only: put into the evidence that a reload was refused, and this revision stays; `told` is who asked, a newline, and why."""

    def look(self, revision: int) -> Any:
        """Control only: have the log say what is hardly meant in the revision in force."""

    def switch(self, revision: int) -> Any:
        """From here on, what was prepared for this revision holds."""

    def drain(self, patience: float) -> Any:
        """
        Take nothing new, let what runs finish for `patience` seconds, then close it.

        Fires when nothing runs any more. Called again with less patience, it hurries.
        """


Reloader = Callable[[str], Deferred[int]]
"""(who asks) to the revision that is then in force. Fails with CannotSwitch, which says the key and the mend."""

Build = Callable[[Boot, Config, Peers, Reloader, Any], Part]
"""(boot, configuration, who may connect, how to have the file read again, reactor) to a part."""


def named(path: str) -> Any:
    """The object at a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def told(failure: Failure) -> str:
    """What whoever asked may be told: the text of an error written for people, a line a problem; else only its places."""
    if failure.check(CannotSwitch, ControlError, WrongConfig):
        return str(failure.value)
    return places(failure)


def shown(failure: Failure) -> str:
    """The same for a log, on one line."""
    return told(failure).replace("\n", "; ")


def shared(first: Deferred[Any]) -> Deferred[None]:
    """Another Deferred that fires when this one has."""
    other: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        other.callback(None)
        return result

    first.addCallback(pass_on)
    first.addErrback(lambda failure: other.errback(failure) if not other.called else None)
    return other
