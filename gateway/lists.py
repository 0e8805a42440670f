"""
Lists of statements that people have said yes to, as a worker knows them: where each is in force, and which statement is next.

A statement that is allowed without its list's yes (a `BEGIN`, an INSERT that no rule holds) moves its list on too, before it runs; about
any other statement nobody is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed

from gateway.control.request import trace
from protocols.command import Command, FunctionCall, Path
from protocols.session import Session
from protocols.verdict import Decision, Deny

Passed = Callable[..., Deferred[Any]]
"""Tells control of a statement that is about to run, by subject, target, account, database, session and text; fires when lists have moved."""

CANCELLED = Deny("cancelled while it was decided", "OST-304", hint="ask again", sqlstate="57014")


class Lists:
    """
    What one worker knows.

    :ivar known: by request: subject, target, account, database, and the `trace` of the statement that is next.
    """

    __slots__ = ("_passed", "known")

    def __init__(self, passed: Passed = lambda **ran: succeed(None)) -> None:
        self._passed = passed
        self.known: dict[str, tuple[Any, ...]] = {}

    def are(self, live: Sequence[Sequence[Any]]) -> None:
        """As control said last."""
        self.known = {request: tuple(rest) for request, *rest in live}

    def concern(self, session: Session) -> bool:
        """Whether one is in force for whom and where this session is."""
        where = _where(session)
        return any(known[:-1] == where for known in self.known.values())

    def moved(self, session: Session, decision: Decision) -> Generator[Deferred[Any], Any, Deny | None]:
        """Before an allowed command runs. It does not run where control cannot be told: its list would stay behind it."""
        if not self._next(session, decision):
            return None
        where = zip(("subject", "target", "account", "database"), _where(session))
        try:
            yield self._passed(**dict(where), session=session.id, text=decision.command.text)
        except CancelledError:
            return CANCELLED
        except Exception:  # whatever it is: not told
            return Deny(
                "it is the next statement of a list that was approved, and the gateway's control cannot be told that it runs", "OST-305",
                hint="try again when the gateway's control is back",
            )
        return None

    def _next(self, session: Session, decision: Decision) -> bool:
        """Whether it is some list's next statement, and not by that list's own grant, which has moved it."""
        return decision.request not in self.known and self.next_is(session, decision.command)

    def next_is(self, session: Session, command: Command) -> bool:
        """Whether it is some list's next statement, as far as is known here."""
        if command.path is Path.PARSE or isinstance(command, FunctionCall) or command.parameters:
            return False
        return (*_where(session), trace(command.text)) in self.known.values()


def _where(session: Session) -> tuple[str, ...]:
    return session.identity.subject, session.target.name, session.account, session.database
