"""
What is asked about long texts, and what came of it: analysts answer elsewhere, so that no other session waits meanwhile.

An addon's own code stays as it is for a short text. For a long one it asks `of`; where that is not known yet it raises `Wanted`,
`wait` has the question answered, and the addon's code runs again from where it was entered: whatever changed meanwhile (the
catalog, the path, what the session made) is in its questions, so an answer to another question is never taken for this one's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from protocols.session import Session
from protocols.verdict import Deny

if TYPE_CHECKING:
    from addons.needs import Analyses
    from addons.sql.catalog import Snapshot

LONG = 2 << 10
"""Characters of the longest text that is analysed at once. To ask elsewhere takes about 0.4 ms here; 2 KiB take up to 35 ms."""

DATA = 16 << 10
"""Characters up to which those inside plain literals cost nothing: a document of some pages in an INSERT."""

KEPT = 16 << 20  # characters of the texts whose answers one addon keeps


class Question(Hashable, Protocol):
    """
    A frozen dataclass of plain values: all that decides its answer but the catalog, of which it names the revision.

    :ivar text: what it is about.
    """

    text: str

    def answer(self, snapshot: Snapshot | None) -> Any:
        """Asks nobody, keeps nothing that others see, and returns what can be pickled."""


class Wanted(Exception):
    """Nobody has answered these yet."""

    def __init__(self, questions: Sequence[Question], snapshot: Snapshot | None) -> None:
        super().__init__(", ".join(type(question).__name__ for question in questions))
        self.questions, self.snapshot = questions, snapshot


class Unanswered(Exception):
    """No analyst answered. `begun`: one had the question, and was too slow or ended over it."""

    def __init__(self, begun: bool) -> None:
        super().__init__("an analyst was too slow or ended" if begun else "no analyst was free in time")
        self.begun = begun


class Analysis:
    """One addon's answers. :param analyses: who is asked; None has every text analysed at once, as a command line wants it."""

    def __init__(self, analyses: Analyses | None) -> None:
        self._analyses = analyses
        self._kept: OrderedDict[Question, Any] = OrderedDict()
        self._size = 0
        self._mine: dict[str, dict[Question, Any]] = {}  # by session: of the command that is being decided; nothing pushes those out

    def long(self, text: str) -> bool:
        """Whether questions about it are for analysts."""
        return len(text) > LONG and self._analyses is not None and (len(text) > DATA or code(text) > LONG)

    def of(self, session: Session, question: Question, snapshot: Snapshot | None = None) -> Any:
        """
        The answer, for as long as the session's command is being decided.

        :raises Wanted: it is not known.
        """
        return self.all(session, (question,), snapshot)[0]

    def all(self, session: Session, questions: Sequence[Question], snapshot: Snapshot | None = None) -> list[Any]:
        """
        The answers to several, asked together: each way there and back takes its time.

        :raises Wanted: some are not known.
        """
        mine = self._mine.get(session.id, _NOTHING)
        kept = [question for question in questions if question not in mine and question in self._kept]
        for question in kept:
            self._kept.move_to_end(question)
            mine = self._mine.setdefault(session.id, {})
            mine[question] = self._kept[question]
        if unknown := [question for question in questions if question not in mine]:
            raise Wanted(unknown, snapshot)
        return [mine[question] for question in questions]

    def known(self, session: Session, question: Question, default: Any) -> Any:
        """The answer where there is one: for who is told what was decided, and cannot wait."""
        return self._mine.get(session.id, _NOTHING).get(question, self._kept.get(question, default))

    def meant(self, session: Session) -> Mapping[Question, Any]:
        """All that the session's command is decided by."""
        return self._mine.get(session.id, _NOTHING)

    def settle(self, session: Session) -> None:
        """The session's command is decided, or will never be."""
        self._mine.pop(session.id, None)

    def when_known(self, session: Session, ask: Callable[[], Any]) -> Any:
        """What `ask` says once all is known that it wants; a Deferred where that has to be waited for."""
        try:
            return ask()
        except Wanted as wanted:
            return self.wait(session, wanted, ask)

    def wait(self, session: Session, wanted: Wanted, again: Callable[[], Any]) -> Deferred[Any]:
        """As `when_known`, when the first try is behind us. No answer in time is a refusal."""
        asked: Deferred[Sequence[Any]] = self._analyses.ask(session, wanted.questions, wanted.snapshot)

        def told(answers: Sequence[Any]) -> Any:
            mine = self._mine.setdefault(session.id, {})
            for question, answer in zip(wanted.questions, answers, strict=True):
                mine[question] = answer
                self._keep(question, answer)
            return self.when_known(session, again)

        return asked.addCallbacks(told, _refused)

    def _keep(self, question: Question, answer: Any) -> None:
        if question not in self._kept:
            self._size += len(question.text)
        self._kept[question] = answer
        while self._size > KEPT:
            oldest, _ = self._kept.popitem(last=False)
            self._size -= len(oldest.text)


@lru_cache(maxsize=16)
def code(text: str) -> int:
    """How many characters stand outside literals; where that is not plain to see, all of them."""
    pieces = text.split("'")
    outside = pieces[::2]
    known = all(piece.count('"') % 2 == 0 and piece[-1:] not in ("e", "E") for piece in outside)
    if not known or len(pieces) % 2 == 0 or any(mark in piece for mark in ("$", "--", "/*") for piece in outside):
        return len(text)
    return sum(map(len, outside))


_NOTHING: Mapping[Question, Any] = MappingProxyType({})


def _refused(failure: Failure) -> Deny:
    failure.trap(Unanswered)
    if failure.value.begun:
        return Deny("The statement is too intricate to be analysed in time.", "OST-216", hint="Send it in parts.", sqlstate="54001")
    return Deny(
        "Too many long statements wait to be analysed.", "OST-215", hint="Try again, or send values as parameters.", sqlstate="53400"
    )
