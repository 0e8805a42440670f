"""Analysts for tests: they answer truly, and when they are told to."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from addons.sql.catalog import Snapshot
from protocols.session import Session


class Later:
    """Implements `addons.needs.Analyses`; `asked` holds what waits: the session, the questions, the catalog."""

    def __init__(self) -> None:
        self.asked: list[tuple[Session, Sequence[Any], Snapshot | None]] = []
        self._waiting: list[Deferred[Any]] = []
        self.count = 0  # questions so far

    def ask(self, session: Session, questions: Sequence[Any], snapshot: Snapshot | None) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred(lambda _: self._forget(answer))
        self.asked.append((session, questions, snapshot))
        self._waiting.append(answer)
        self.count += len(questions)
        return answer

    def _forget(self, answer: Deferred[Any]) -> None:
        index = self._waiting.index(answer)
        del self._waiting[index], self.asked[index]

    def answer(self) -> None:
        """The oldest that waits, by way of what travels between processes."""
        _, questions, snapshot = self.asked.pop(0)
        travelled = pickle.loads(pickle.dumps(questions))
        self._waiting.pop(0).callback([question.answer(snapshot) for question in travelled])

    def answer_all(self) -> None:
        while self.asked:
            self.answer()

    def fail(self, error: Exception) -> None:
        self.asked.pop(0)
        self._waiting.pop(0).errback(error)
