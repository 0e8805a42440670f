"""
An addon of a site's own: whoever changes something says for which ticket.

    PGAPPNAME="psql CHG-1234" psql -h gateway -U ada@clinic clinicdb

Put the file where Python finds it and name the class in ostiary.toml; docs/addons.md goes through it line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from addons.needs import Sink
from addons.sql.classify import classify
from addons.sql.parse import Unparsable, parse
from protocols.command import Command, Path, Statement
from protocols.hooks import DecidedHook, JudgeHook
from protocols.session import Session
from protocols.verdict import Allow, Deny

HARMLESS = frozenset({"read", "transaction", "session"})


class Ticket:
    """
    :param pattern: what a ticket looks like: a regular expression.
    :param groups: whose changes need one.
    """

    def __init__(self, *, pattern: str, groups: Iterable[str], sink: Sink) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern: {error}") from None
        self._groups, self._sink = frozenset(groups), sink

    def on_judge(self, hook: JudgeHook) -> Allow | Deny:
        """Before every command: may it pass?"""
        if not self._needs_ticket(hook.session, hook.command) or self._ticket(hook.session):
            return Allow()
        return Deny(
            "A change needs a ticket.",
            code="SITE-001",
            rule="ticket",
            hint='Connect again with the ticket in the application name: PGAPPNAME="psql CHG-1234".',
        )

    def on_decided(self, hook: DecidedHook) -> None:
        """After every verdict, whoever gave it: the change that passed is recorded with its ticket."""
        decision = hook.decision
        if decision.command.path is Path.PARSE or not isinstance(decision.verdict, Allow):
            return
        if self._needs_ticket(hook.session, decision.command):
            self._sink.note(hook.session, "site.ticket", {"ticket": self._ticket(hook.session)})

    def _needs_ticket(self, session: Session, command: Command) -> bool:
        return not self._groups.isdisjoint(session.identity.groups) and changes(command)

    def _ticket(self, session: Session) -> str:
        found = self._pattern.search(session.application)
        return found.group() if found else ""


def changes(command: Command) -> bool:
    """Whether it may do more than read; what cannot be told may."""
    if not isinstance(command, Statement):
        return True
    try:
        found = classify(parse(command.text))
    except Unparsable:
        return True
    return any(not finding.classes.keys() <= HARMLESS or finding.executes for finding in found)
