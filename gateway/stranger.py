"""Who stands at a gate, in any protocol: notes that belong to no session, one question at a time, and why there was no session."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.control.errors import ControlError
from gateway.house import Worker
from gateway.opening import Refused
from gateway.upstream import DialError
from protocols.errors import Unrecordable


class Stranger:
    """
    What the entrances of all gates do alike.

    :ivar peer: its address and port.
    """

    log: Logger
    peer: str
    _worker: Worker
    _waiting: Deferred[Any] | None

    def _ask(self, question: Deferred[Any]) -> Deferred[Any]:
        """One question at a time; its answer is worth nothing once the client is gone, so it is kept to be cancelled."""
        self._waiting = question

        def settled(result: Any) -> Any:
            self._waiting = None
            return result

        return question.addBoth(settled)

    def _note(self, kind: str, **facts: str) -> None:
        try:
            self._worker.journal.note(None, kind, {"peer": self.peer, **facts})
        except Unrecordable:
            self.log.warn("{kind} from {peer} could not be recorded", kind=kind, peer=self.peer)


def refusal(failure: Failure) -> Refused | DialError | ControlError | None:
    """
    Why an opening ended without a session, with a code and words for the client; None when the client itself left.

    :raises Exception: what it failed with, where that is a bug.
    """
    if failure.check(CancelledError):
        return None
    failure.trap(Refused, DialError, ControlError, Unrecordable)
    error = failure.value
    if isinstance(error, Unrecordable):
        return Refused("OST-802", "57P03", f"no session can be recorded now: {error}")
    return error
