"""
Why a target could not be used, for the operator who asked: what the target itself said, and what to look at.

A client of a session is told less (`gateway.opening`): it can mend nothing, and a target's own words may name roles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.python.failure import Failure

from gateway.config import TargetEntry
from gateway.control.discovery import Unsampled
from gateway.control.errors import Conflict
from gateway.query import QueryError
from gateway.upstream import DialError

_MENDS = {
    "unreachable": "see whether it runs, and `address` of that [[target]]",
    "timeout": "see whether it runs, what lies between, and `address` of that [[target]]",
    "tls": "see `tls`, `tls_ca` and `tls_name` of that [[target]]",
    "login": "see `user` and `auth` of the account, its secret (ostiary account secret {target} {account}), and who may log in at the target",
    "protocol": "see whether `address` of that [[target]] is the server that it should be",
    "lost": "see the target's own log",
    "host_key": "look at the host; then ostiary target trust {target}",
}

_CERTIFIED = (
    "the host must take certificates of the gateway: put the line that `ostiary ssh ca` prints into a file that TrustedUserCAKeys in its "
    "sshd_config names, and reload its sshd; {user} must be a login there, `source_address` the gateway's, and both clocks right"
)


def unusable(target: TargetEntry, account: str) -> Callable[[Failure], NoReturn]:
    """
    An errback that makes a Conflict of what went wrong there.

    :param account: whose login it was.
    """

    def told(failure: Failure) -> NoReturn:
        failure.trap(DialError, Unsampled, QueryError, ValueError, TookTooLong)
        error = failure.value
        if isinstance(error, DialError):
            mend = _mend(error.kind, target, account)
            raise Conflict(f"the target cannot be used: {error.why}{_said(error)}; {mend}") from None
        if isinstance(error, Unsampled):
            raise Conflict(error.why) from None
        if isinstance(error, QueryError):
            raise Conflict(f"the target refused with SQLSTATE {error.sqlstate}: its catalog account must read all of the catalog, "
                           "and the accounts' roles must be there") from None  # fmt: skip
        if isinstance(error, TookTooLong):
            raise Conflict(f"the target's catalog could not be read in time; {_MENDS['lost']}") from None
        raise Conflict(f"masking's columns do not fit the target: {error}") from None

    return told


def _mend(kind: str, target: TargetEntry, account: str) -> str:
    """An account without a secret has none that could be wrong."""
    entry = target.account(account)
    if kind == "login" and target.protocol == "ssh" and entry is not None and entry.auth == "certificate":
        return _CERTIFIED.format(user=entry.user)
    return _MENDS[kind].format(target=target.name, account=account)


def _said(error: DialError) -> str:
    words = error.fields.get("M") or error.fields.get("why") or error.fields.get("because") or ""
    words = "".join(c if c.isprintable() else "?" for c in words)
    return f" (it says: {words})" if words and words not in error.why else ""
