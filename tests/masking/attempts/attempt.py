"""One attempt to get a masked value, an answer about one, or something done that policy forbids, by somebody who did not write either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from tests.house import ADA, CLEAR

ONE, TWO = "one", "two"  #: databases that differ in masked values only
OVERLOADED = "overloaded"  #: like the first, where names of the server's have been given to other types
UNREAD = "unread"  #: the same, where nobody has asked anything yet

FILL = "TRUNCATE scratch; INSERT INTO scratch SELECT 'k' || n, 'v' FROM generate_series(1, 9) n"
"""What attempts write to and delete from, as it was."""

Step = str | bytes | Callable[[Callable[[str], int]], bytes]
"""A statement for one Query message; messages as they are; or messages made with the OIDs of regprocedures and regtypes."""


@dataclass(frozen=True)
class Attempt:
    """
    :param name: what is tried, as a claim that it would work.
    :param kind: `value`: a canary is heard. `oracle`: two databases that differ in masked values only answer differently.
        `laundering`: a canary stands, afterwards, where `check` looks. `policy`: what is forbidden was done, or a mark is heard.
    :param steps: said one after another in one session.
    :param check: a superuser's statement in the bare database. Of a laundering it reads what should be clear; of policy
        it says "t" when the forbidden thing was done.
    :param undo: a superuser's, afterwards, whatever came of it.
    :param marks: what tells that policy failed, when it is heard.
    :param who: `ada` sees masks, and policy allows her everything; `clear` sees all, and has reads, filtered writes, transactions, sessions.
    :param bare: whether it works without a gateway; False where there is nothing to get by then.
    :param since: the first PostgreSQL that knows what it uses.
    :param where: the database, of those that differ in more than values.
    """

    name: str
    kind: Literal["value", "oracle", "laundering", "policy"]
    steps: tuple[Step, ...]
    check: str = ""
    undo: str = ""
    marks: tuple[str, ...] = ()
    who: str = ADA
    bare: bool = True
    since: int = 15
    where: str = ONE


def value(name: str, *steps: Step, bare: bool = True, since: int = 15) -> Attempt:
    return Attempt(name, "value", steps, bare=bare, since=since)


def oracle(name: str, *steps: Step, bare: bool = True, since: int = 15) -> Attempt:
    return Attempt(name, "oracle", steps, bare=bare, since=since)


def laundering(name: str, *steps: Step, check: str = "TABLE scratch", undo: str = FILL, bare: bool = True) -> Attempt:
    return Attempt(name, "laundering", steps, check, undo, bare=bare)


def policy(
    name: str, *steps: Step, check: str = "", undo: str = "", marks: tuple[str, ...] = (), who: str = CLEAR,
    since: int = 15, bare: bool = True,
) -> Attempt:  # fmt: skip
    return Attempt(name, "policy", steps, check, undo, marks, who, bare, since)


def within(*steps: Step) -> tuple[Step, ...]:
    """In a transaction that leaves nothing behind."""
    return ("BEGIN", *steps, "ROLLBACK")


def overloaded(attempt: Attempt) -> Attempt:
    """The same where names of the server's have been given to other types."""
    return replace(attempt, where=OVERLOADED)
