"""
What control refuses, by class. Each carries a stable code; texts hold no secret and no value.

They cross the link as class name and text, and `from_wire` makes them the same class again.
"""

from __future__ import annotations


class ControlError(Exception):
    """
    A refusal that may be shown to a person. Raise a subclass.

    :ivar record: why, for the evidence, where that is more than may be said; it does not cross the link.
    """

    code = "OST-600"

    def __init__(self, why: str, record: str = "") -> None:
        if type(self) is ControlError:
            raise TypeError("raise a subclass of ControlError")
        super().__init__(why)
        self.why, self.record = why, record


class LoginRefused(ControlError):
    """No such identity, or a wrong, expired or revoked token: never said which."""

    code = "OST-601"


class Throttled(ControlError):
    """Too many failures from this subject or this address; the secret was not looked at."""

    code = "OST-602"


class ControlUnavailable(ControlError):
    """Control cannot be reached, or the link was lost before it answered."""

    code = "OST-603"


class NotFound(ControlError):
    """There is no such token, request, session, identity or secret."""

    code = "OST-604"


class NotAllowed(ControlError):
    """This identity may not do that."""

    code = "OST-605"


class Conflict(ControlError):
    """What is there does not go with what is asked: too late, done before, or in a state that the text says, with what to do."""

    code = "OST-606"


class BadCall(ControlError):
    """The call itself is wrong: an unknown method, a missing or mistyped argument."""

    code = "OST-607"


class StoreRefused(ControlError):
    """Control's store cannot be opened or written."""

    code = "OST-608"


class Crashed(ControlError):
    """A bug in control. What went wrong is in its log, never in the answer."""

    code = "OST-609"


class NoApp(ControlError):
    """This identity has to give a one-time code and has no authenticator app."""

    code = "OST-610"


class CodeUsed(LoginRefused):
    """This one-time code let somebody in before."""


class CodesShut(ControlError):
    """Too many wrong one-time codes of an identity; no code is looked at for a while."""

    code = "OST-611"


class DeviceRefused(ControlError):
    """A login by way of a browser: the identity provider said no, cannot be used or is not believed, or there are too many."""

    code = "OST-612"


_CLASSES = {
    refusal.__name__: refusal
    for refusal in (
        LoginRefused, Throttled, ControlUnavailable, NotFound, NotAllowed, Conflict, BadCall, StoreRefused, Crashed, NoApp,
        CodesShut, CodeUsed, DeviceRefused,
    )
}


def from_wire(name: str, why: str) -> ControlError:
    """The error that a peer sent; an unknown class is a `Crashed`."""
    return _CLASSES.get(name, Crashed)(why)
