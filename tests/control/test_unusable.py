"""What an operator is told who tried a target: what to look at, by what the account logs in with."""

from __future__ import annotations

import pytest
from twisted.python.failure import Failure

from gateway.config import Account, TargetEntry
from gateway.control.errors import Conflict
from gateway.control.unusable import unusable
from gateway.upstream import DialError

WEB = TargetEntry("web1", "ssh", "10.0.0.5", 22, "", (), (Account("app", "deploy", "certificate"), Account("old", "root", "key")))


def told(account: str, kind: str = "login") -> str:
    with pytest.raises(Conflict) as caught:
        unusable(WEB, account)(Failure(DialError(kind, "the target refused the account's login", {"why": "Permission denied"})))
    return caught.value.why


def test_a_refused_certificate_account_is_told_how_the_host_comes_to_take_it() -> None:
    """It has no secret that could be wrong."""
    said = told("app")
    assert "ostiary ssh ca" in said and "TrustedUserCAKeys" in said and "deploy must be a login there" in said
    assert "account secret" not in said and "it says: Permission denied" in said


def test_a_refused_secret_is_looked_at_first() -> None:
    assert "ostiary account secret web1 old" in told("old") and "TrustedUserCAKeys" not in told("old")
    assert "TrustedUserCAKeys" not in told("app", "unreachable")
