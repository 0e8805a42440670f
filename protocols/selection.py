"""
Who wants to go where, out of the user name that an unmodified client sends.

`IDENTITY@TARGET` or `IDENTITY@TARGET+ACCOUNT`, split from the right, because an
identity may be an e-mail address. The same in every protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FORM = "IDENTITY@TARGET or IDENTITY@TARGET+ACCOUNT"
NO_TARGET = f"the user name does not say which target: use {FORM}"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # of a target or an account
_IDENTITY = re.compile(r"[^\W_][\w.@+=~-]{0,254}")  # no separator of another product: none of : / % # | \ and spaces


class WrongForm(Exception):
    """The name does not say who and where. Its text is for the person at the prompt."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Who, where ("" is nowhere yet: see `jump`), and as which service login ("" is the target's first)."""

    identity: str
    target: str
    account: str = ""

    def told(self) -> dict[str, str]:
        """Where to, for a record; whoever asked may have made the names up."""
        return {name: value[:128] for name, value in (("target", self.target), ("account", self.account)) if value}


def select(user: str, database: str = "") -> Selection:
    """
    Read a user name; `database` names the target when the user name has no "@".

    :raises WrongForm: with the right form shown.
    """
    identity, at, place = user.rpartition("@")
    if not at:
        identity, place = user, database
        if not place:
            raise WrongForm(NO_TARGET)
    target, plus, account = place.partition("+")
    if not _IDENTITY.fullmatch(identity):
        raise WrongForm(f"the user name is not of the form {FORM}")
    if not _NAME.fullmatch(target) or (plus and not _NAME.fullmatch(account)):
        raise WrongForm(f"the target or the account in the user name is not a name: use {FORM}")
    return Selection(identity, target, account)


def jump(user: str) -> Selection:
    """
    Somebody who names no target, since what is inside of their SSH connection will.

    :raises WrongForm: this is no identity's name.
    """
    if not _IDENTITY.fullmatch(user):
        raise WrongForm(f"the user name is not of the form {FORM}")
    return Selection(user, "")
