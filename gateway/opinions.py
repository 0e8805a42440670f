"""
The pipeline as one session sees it: what a relay and its adapter ask, without naming the session each time.

A reload replaces the pipeline; a session meets the new one at its next question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import Deferred

from gateway.pipeline import Pipeline
from protocols.command import Command
from protocols.hooks import ColumnsHook, RowsHook, TextHook
from protocols.result import Columns, MaskPlan, Outcome, RowBatch
from protocols.session import Session
from protocols.verdict import Decision, Deny, Hold

Current = Callable[[], tuple[Pipeline, int]]
"""The pipeline in force and its policy revision."""


class Opinions:
    """
    All addons, about one session.

    :ivar hears_columns: whether any addon has a say in masks; `hears_rows` and `hears_text` likewise.
    """

    def __init__(self, current: Current, session: Session) -> None:
        self._current = current
        self.session = session
        self._meet(current()[0])

    def _meet(self, pipeline: Pipeline) -> None:
        """From here on this pipeline is asked: a command meets one of them from its verdict to its outcome."""
        self._pipeline = pipeline
        self.hears_columns = pipeline.hears(ColumnsHook.method)
        self.hears_rows = pipeline.hears(RowsHook.method)
        self.hears_text = pipeline.hears(TextHook.method)

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]:
        """Before a command."""
        pipeline, revision = self._current()
        if pipeline is not self._pipeline:
            self._meet(pipeline)
        if revision != self.session.policy_revision:
            self.session = replace(self.session, policy_revision=revision)
        return pipeline.decide(self.session, command, held)

    def plan(self, decision: Decision, columns: Columns) -> MaskPlan | None:
        """Before rows."""
        return self._pipeline.plan(self.session, decision, columns)

    def rows(self, decision: Decision, batch: RowBatch) -> Deny | None:
        """With each read's rows."""
        return self._pipeline.rows(self.session, decision, batch)

    def text(self, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]:
        """Before any other text."""
        return self._pipeline.text(self.session, kind, fields, decision)

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        """After a command."""
        self._pipeline.ended(self.session, decision, outcome)

    def closed(self) -> None:
        """After the session."""
        self._pipeline.closed(self.session)
