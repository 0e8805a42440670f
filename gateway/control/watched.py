"""
Methods of control by which people act under their own tokens, as they were but for one thing: whom they refuse is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.control.caller import Caller
from gateway.control.errors import Conflict, ControlError, LoginRefused, NotAllowed, NotFound, Throttled
from gateway.control.identity.token import split
from gateway.control.office import Office
from gateway.control.rpc import Methods
from gateway.control.tries import Try

REFUSALS = (LoginRefused, Throttled, NotAllowed)
ANSWERS = (*REFUSALS, Conflict, NotFound)
"""Where a request is answered, it is told too that this comes too late, was done before, or of a request that is not there."""


def watched(methods: Methods, office: Office, here: Callable[[], Caller]) -> Methods:
    """
    The same table. What takes no token is the operator's, whom nothing is denied.

    :param here: whose process calls.
    """
    return {
        name: _watched(name, method, office, here) if {"subject", "token"} <= set(signature(method).parameters) else method
        for name, method in methods.items()
    }


def _watched(name: str, method: Callable[..., Any], office: Office, here: Callable[[], Caller]) -> Callable[..., Any]:
    said = " ".join(name.split("_"))

    @wraps(method)
    def call(**given: Any) -> Any:
        def refused(failure: Failure) -> Failure:
            if failure.check(*(ANSWERS if "request" in given else REFUSALS)):
                _record(office, said, here(), failure.value, given)
            return failure

        try:
            answer = method(**given)
        except ControlError:
            refused(Failure())
            raise
        return answer.addErrback(refused) if isinstance(answer, Deferred) else answer

    return call


def _record(office: Office, said: str, via: Caller, error: Any, given: dict[str, Any]) -> None:
    subject, token = str(given["subject"]), str(given["token"])
    about = {name: str(given.get(name) or "") for name in ("request", "session")}
    if isinstance(error, LoginRefused):
        proof = office.login.why_not(subject, token)
        via = Caller(via.channel, proof.get("token", ""), via.address, via.os_user)
        office.tries.refused(Try(said, via, proof.get("by", ""), proof["subject"], **about), error, proof["why"])
    elif isinstance(error, Throttled):
        office.tries.refused(Try(said, via, "", subject, **about), error)
    else:  # its token was proved first
        via = Caller(via.channel, split(token)[0], via.address, via.os_user)
        office.tries.refused(Try(said, via, subject, **about), error)
