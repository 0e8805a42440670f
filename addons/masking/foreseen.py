"""
What has to be known of a long text at the moment when it is decided, since nothing can wait then: the names that it makes and
uses, and what it does to the search path. It is asked with the text's other questions, before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from addons.masking.executed import Naming
from addons.masking.freshness import Changing, Made, Making
from addons.sql.analysis import Analysis, Question
from addons.sql.catalog import Snapshot
from addons.sql.form import form
from addons.sql.questions import Stepping
from protocols.command import Statement
from protocols.session import Session
from protocols.verdict import Decision


class Foreseen:
    """Asks it of analysts, of the form where a text has one."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis

    def about(self, statement: Statement) -> bool:
        """Whether it is asked: of what is long, also without its literals."""
        return self._analysis.long(statement.text) and self._analysis.long(formed(statement).text)

    def ask(self, session: Session, statement: Statement, snapshot: Snapshot | None, besides: Sequence[Question]) -> None:
        """
        :raises Wanted: not all of it is known, or not what is asked besides.
        """
        text = formed(statement).text
        stepping = Stepping(text, snapshot.revision if snapshot is not None else "")
        steps = self._analysis.all(session, (Making(text), stepping, Naming(text), Changing(text), *besides), snapshot)[1]
        if steps and text != statement.text:  # what it sets may be among its literals
            self._analysis.of(session, replace(stepping, text=statement.text), snapshot)

    def names(self, session: Session, decision: Decision) -> frozenset[str] | None:
        """Those of prepared statements and cursors that a long text gives or uses; None for what was not asked."""
        command = decision.command
        if not isinstance(command, Statement) or not self.about(command):
            return None
        return self._analysis.known(session, Naming(formed(command).text), None)

    def told(self, session: Session, decision: Decision) -> tuple[Made | None, Sequence[Any] | None]:
        """What a long text makes, and its steps; None for what was not asked."""
        command = decision.command
        if not isinstance(command, Statement) or not self.about(command):
            return None, None
        text = formed(command).text
        made, flux = (self._analysis.known(session, question, ...) for question in (Making(text), Changing(text)))
        steps = self._analysis.known(session, Stepping(text), None)
        if steps and text != command.text:
            steps = self._analysis.known(session, Stepping(command.text), None)
        return None if ... in (made, flux) else (made, flux), steps


def formed(statement: Statement) -> Statement:
    """The form where there is one, else the statement itself."""
    return form(statement) or statement
