"""
The pipeline as one session sees it: what a relay and its adapter ask, without naming the session each time.

A reload replaces the pipeline; a session meets the new one at its next question, and what it was still waiting for is
asked again there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from addons.sql.form import kin
from addons.sql.harmless import harmless
from addons.sql.moving import called, moves
from gateway.memory import Memory
from gateway.pipeline import Pipeline
from protocols.command import Command, FunctionCall, Path, Statement
from protocols.hooks import ColumnsHook, ContentHook, DataHook, RowsHook, TextHook
from protocols.result import Columns, Inspection, MaskPlan, Outcome, RowBatch, Search
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Decision, Deny, Hold

Current = Callable[[], tuple[Pipeline, int]]
"""The pipeline in force and its policy revision."""


class _Question:
    """One command that waits; its answer may come from a second asking."""

    def __init__(self, command: Command, held: Callable[[str, Hold], None]) -> None:
        self.command, self.held = command, held
        self.answer: Deferred[Decision] = Deferred(lambda _: self._waiting.cancel())
        self._waiting: Deferred[Decision] = Deferred()

    def wait(self, asked: Deferred[Decision]) -> None:
        """From here on only what this one says counts."""
        self._waiting = asked
        asked.addCallbacks(lambda decision: self._said(asked, decision), lambda failure: self._failed(asked, failure))

    def drop(self) -> None:
        """Withdraw what is asked; whatever it says now is not heard."""
        asked, self._waiting = self._waiting, Deferred()
        asked.cancel()

    def _said(self, asked: Deferred[Decision], decision: Decision) -> None:
        if asked is self._waiting:
            self.answer.callback(decision)

    def _failed(self, asked: Deferred[Decision], failure: Failure) -> None:
        if asked is self._waiting:
            self.answer.errback(failure)


class Opinions:
    """
    All addons, about one session.

    :ivar hears_columns: whether any addon has a say in masks; `hears_content`, `hears_data`, `hears_rows` and `hears_text` likewise.
    """

    def __init__(self, current: Current, session: Session) -> None:
        self._current = current
        self.session = session
        self._questions: list[_Question] = []
        self._meet(current()[0])

    def _meet(self, pipeline: Pipeline) -> None:
        """From here on this pipeline is asked: a command meets one of them from its verdict to its outcome."""
        self._pipeline, self._memory = pipeline, Memory()
        self.hears_content = pipeline.hears(ContentHook.method)
        self.hears_columns = self.hears_content or pipeline.hears(ColumnsHook.method)  # cells are searched by their type
        self.hears_data = pipeline.hears(DataHook.method)
        self.hears_rows = pipeline.hears(RowsHook.method)
        self.hears_text = pipeline.hears(TextHook.method)

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]:
        """Before a command. Cancelling the Deferred withdraws the question: the command will never run."""
        answer = self._ask(command, held)
        if not isinstance(answer, Deferred) or answer.called:
            return answer
        question = _Question(command, held)
        question.wait(answer)
        self._questions = [each for each in self._questions if not each.answer.called] + [question]
        return question.answer

    def standing(self, decision: Decision) -> tuple[Tally, int] | None:
        """As Addons'; whoever puts another pipeline in force counts that too."""
        pipeline, revision = self._current()
        same = pipeline is self._pipeline and revision == self.session.policy_revision
        return pipeline.standing(self.session, decision, self._memory) if same else None

    def kin(self, decision: Decision) -> re.Pattern[bytes] | None:
        """What texts match that have this one's form, where all was decided about that."""
        formed = decision.mark is not None and decision.mark.formed
        return kin(decision.command.text) if formed else None

    def reconsider(self) -> None:
        """The policy has changed: whatever waits for an answer is judged again, by the new one."""
        waiting = [each for each in self._questions if not each.answer.called]
        if self._current()[0] is self._pipeline:
            return
        for question in waiting:
            question.drop()
            answer = self._ask(question.command, question.held)
            question.wait(answer if isinstance(answer, Deferred) else succeed(answer))

    def _ask(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]:
        pipeline, revision = self._current()
        if pipeline is not self._pipeline:
            self._meet(pipeline)
        if revision != self.session.policy_revision:
            self.session, self._memory = replace(self.session, policy_revision=revision), Memory()
        return pipeline.decide(self.session, command, held, self._memory)

    def accepts_variable(self, name: str, value: str) -> bool:
        """Whether the client may set this variable at the target."""
        return self._pipeline.accepts_variable(name, value)

    @property
    def reads_lines(self) -> bool:
        """Whether lines typed in a shell are judged."""
        return self._pipeline.reads_lines

    def masks(self, terminal: bool) -> Callable[[], Any] | None:
        """Makes what masks a stream of a channel's output; None when nothing does."""
        return self._current()[0].masks(self.session, terminal)

    def refuses_line(self, line: str) -> Deny | None:
        """Why a line typed in a shell is not sent; None when it is. By the policy in force now."""
        return self._current()[0].refuses_line(self.session, line)

    def plan(self, decision: Decision, columns: Columns) -> MaskPlan | None:
        """Before rows."""
        return self._pipeline.plan(self.session, decision, columns, self._memory)

    def content(self, decision: Decision) -> Search | None:
        """Before rows, COPY data or a function's result."""
        return self._pipeline.content(self.session, decision)

    def inspection(self, decision: Decision) -> Inspection | None:
        """Before COPY data from the client."""
        return self._pipeline.inspection(self.session, decision)

    def rows(self, decision: Decision, batch: RowBatch) -> Deny | None:
        """With each read's rows."""
        return self._pipeline.rows(self.session, decision, batch)

    def harmless(self, decision: Decision) -> bool:
        """Of a command that was completed."""
        command = decision.command
        return isinstance(command, Statement) and (command.path is Path.PARSE or harmless(command.text))

    def moves(self, decision: Decision, portals: bool) -> tuple[bool, bool]:
        """Of a command that is about to be sent."""
        command, catalog = decision.command, self._pipeline.catalog(self.session)
        return called(command.oid, catalog) if isinstance(command, FunctionCall) else moves(decision.sent, catalog, portals=portals)

    def text(self, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]:
        """Before any other text."""
        return self._pipeline.text(self.session, kind, fields, decision)

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        """After a command."""
        self._pipeline.ended(self.session, decision, outcome, self._memory)

    def closed(self) -> None:
        """After the session."""
        self._pipeline.closed(self.session)
