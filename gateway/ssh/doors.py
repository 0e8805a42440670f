"""
Which target a client means that jumps through the gateway, and as whom: the host of its inner connection, and that one's user name.

A host is a registered target's name, or its address as it is registered, in any case; whatever else is written leads nowhere,
since nothing is ever dialled from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.config import TargetEntry

PROTOCOL, PORT = "ssh", 22


@dataclass(frozen=True, slots=True)
class Door:
    """
    Where an inner connection leads.

    :ivar subject: the identity that proved itself outside, and has to again. :ivar host: as the client named it.
    """

    subject: str
    entry: TargetEntry
    host: str


def names(entry: TargetEntry) -> tuple[str, ...]:
    """By which a target is known to clients that jump, in small letters: its name, and its host as registered."""
    return tuple(dict.fromkeys((entry.name.lower(), entry.host.lower())))


def door(subject: str, targets: Iterable[TargetEntry], host: str, port: int) -> Door | None:
    """
    The one target that is meant; None for none, and for more than one.

    A name goes with its registered port or SSH's own, an address with its registered port only: others listen beside it.
    """
    wanted = host.lower()
    found = {
        entry.name: entry for entry in targets if entry.protocol == PROTOCOL
        and (wanted == entry.name.lower() and port in (PORT, entry.port) or wanted == entry.host.lower() and port == entry.port)
    }  # fmt: skip
    if len(found) != 1:
        return None
    [entry] = found.values()
    return Door(subject, entry, wanted)


def account(entry: TargetEntry, user: str) -> str:
    """The account that a user name means there: its own name, or the login of exactly one; else the name as it is, which is none."""
    if entry.account(user) is not None:
        return user
    logins = [one.name for one in entry.accounts if one.user == user]
    return logins[0] if len(logins) == 1 else user
