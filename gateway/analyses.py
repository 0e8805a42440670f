"""
A worker's questions about long texts, on their way to its one analyst (`gateway.analyst`), a process that is started when it is needed.

One question is out at a time. Who asks are identities, in turn; a session that asks again at the moment it is answered goes on
with its turn while it is about the same text, so that what its addons ask of it comes together. A question that waits too long fails, and one that is not
answered takes its analyst with it: the next one has another.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from addons.needs import Clock
from addons.sql.analysis import Question, Unanswered
from addons.sql.catalog import Snapshot
from addons.sql.parcels import parcels
from gateway.analyst import SNAPSHOTS
from protocols.session import Session

PATIENCE = 9.0
"""Seconds until a question's answer. Less than the pipeline gives an addon, so that it is this refusal and no other."""

IDLE = 120.0
"""Seconds without a question after which the analyst is let go of: it holds some 100 MB."""

PAGES = 32 << 10
"""Characters up to which a text is analysed with its like: the worst of them take half a second."""


class Failed(Exception):
    """An analyst met a bug; the class of what was raised there."""


class Asked:
    """What is asked together, from asking to the answers."""

    def __init__(
        self, session: Session, questions: Sequence[Question], snapshot: Snapshot | None, cancel: Callable[[Asked], None]
    ) -> None:
        self.session, self.questions, self.snapshot = session, questions, snapshot
        self.text = questions[0].text
        self.answer: Deferred[Sequence[Any]] = Deferred(lambda _: cancel(self))
        self.late: Any = None


class Analyst(Protocol):
    """One process; `gateway.hired.Hired`."""

    def send(self, frame: tuple[Any, ...]) -> None:
        """As `gateway.analyst.Analyst.hear`; it may be on its way."""

    def kill(self) -> None:
        """At once, whatever it does."""


class Analyses:
    """
    Implements `addons.needs.Analyses`.

    :param hire: starts an analyst, which tells this object what it `said` and that it `ended`.
    """

    log = Logger()

    def __init__(self, clock: Clock, hire: Callable[[Analyses], Analyst]) -> None:
        self._clock, self._hire = clock, hire
        self._waiting: OrderedDict[str, deque[Asked]] = OrderedDict()  # by subject; the first is next
        self._out: Asked | None = None
        self._speaking = False  # an answer is being given: whoever got it may go on with its turn
        self._analyst: Analyst | None = None
        self._knows: OrderedDict[str, None] = OrderedDict()  # revisions that the analyst has
        self._idle: Any = None
        self._stopped = False

    def ask(self, session: Session, questions: Sequence[Question], snapshot: Snapshot | None) -> Deferred[Sequence[Any]]:
        """As `addons.needs.Analyses`. Cancelling it takes the questions back."""
        if self._stopped:
            return fail(Unanswered(begun=False))
        asked = Asked(session, questions, snapshot, self._taken_back)
        asked.late = self._clock.callLater(PATIENCE, self._too_late, asked)
        self._waiting.setdefault(session.identity.subject, deque()).append(asked)
        if self._out is None and not self._speaking:
            self._next()
        return asked.answer

    def stop(self) -> None:
        """No more questions; whoever waits is refused."""
        self._stopped = True
        waiting = [asked for queue in self._waiting.values() for asked in queue]
        self._waiting.clear()
        if self._idle is not None:
            self._idle.cancel()
        self._let_go()
        for asked in waiting:
            asked.late.cancel()
            asked.answer.errback(Unanswered(begun=False))

    # -- turns -----------------------------------------------------------------------------

    def _next(self, before: Asked | None = None) -> None:
        asked = self._take(before)
        if asked is None:
            self._idle = None if self._stopped else self._idle or self._clock.callLater(IDLE, self._let_go)
            return
        self._out = asked
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._analyst is None:
            self._analyst = self._hire(self)
        self._tell(self._analyst, asked, self._news(asked.snapshot))

    def _take(self, before: Asked | None) -> Asked | None:
        """The next question: about the same text of the same session, else of the identity that has waited longest."""
        mine = self._waiting.get(before.session.identity.subject, ()) if before is not None else ()
        for asked in mine:
            if asked.session.id == before.session.id and asked.text == before.text:
                self._remove(asked)
                return asked
        if not self._waiting:
            return None
        subject, queue = next(iter(self._waiting.items()))
        asked = queue.popleft()
        self._waiting.move_to_end(subject)
        if not queue:
            del self._waiting[subject]
        return asked

    def _remove(self, asked: Asked) -> None:
        subject = asked.session.identity.subject
        self._waiting[subject].remove(asked)
        if not self._waiting[subject]:
            del self._waiting[subject]

    # -- the analyst -----------------------------------------------------------------------

    def _news(self, snapshot: Snapshot | None) -> Iterator[bytes]:
        """What of a catalog the analyst has not been told yet."""
        revision = snapshot.revision if snapshot is not None else ""
        if not revision or revision in self._knows:
            return iter(())
        return parcels(snapshot)

    def _tell(self, analyst: Any, asked: Asked, news: Iterator[bytes], told: bool = False) -> None:
        """A piece of the catalog in each turn of the reactor, then the question."""
        if analyst is not self._analyst:
            return  # it has ended, and its question with it
        revision = asked.snapshot.revision if asked.snapshot is not None else ""
        parcel = next(news, None)
        if parcel is not None:
            analyst.send(("parcel", revision, parcel))
            self._clock.callLater(0, self._tell, analyst, asked, news, True)
            return
        if told:
            analyst.send(("catalog", revision))
        if revision:
            self._knows[revision] = None
            self._knows.move_to_end(revision)
            if len(self._knows) > SNAPSHOTS:
                self._knows.popitem(last=False)
        analyst.send(("ask", asked.questions, revision))

    def said(self, analyst: Analyst, sound: bool, answer: Any) -> None:
        """Told by an analyst: the answer, or what went wrong there."""
        if analyst is self._analyst and self._out is not None:
            self._settle(answer if sound else Failure(Failed(str(answer))))

    def ended(self, analyst: Analyst) -> None:
        """Told by an analyst: killed by us, or by what it read."""
        if analyst is not self._analyst:
            return
        self._analyst, asked = None, self._out
        self._knows.clear()
        if asked is not None:
            self.log.warn("session {id}: no answer about its statement, and another analyst", id=asked.session.id)
            self._settle(Failure(Unanswered(begun=True)))

    def _settle(self, result: Any) -> None:
        """The question that is out has an answer, or never will; its session goes on, or another."""
        asked, self._out, self._speaking = self._out, None, True
        if asked.late.active():
            asked.late.cancel()
        if not asked.answer.called:
            asked.answer.callback(result)  # and it may ask again at once
        self._speaking = False
        self._next(asked)

    def _let_go(self) -> None:
        analyst, self._idle = self._analyst, None
        if analyst is not None:
            analyst.kill()
            self.ended(analyst)

    # -- what does not wait ----------------------------------------------------------------

    def _too_late(self, asked: Asked) -> None:
        if asked is self._out:
            self._let_go()
        else:
            self._remove(asked)
            asked.answer.errback(Unanswered(begun=False))

    def _taken_back(self, asked: Asked) -> None:
        """Nobody wants the answer any more. One that is being made is: the analyst has to come to its end, or be ended."""
        if asked is not self._out:
            asked.late.cancel()
            self._remove(asked)


class Lanes:
    """
    Two of them, so that whoever asks about some pages of SQL does not wait for somebody's megabyte.

    Implements `addons.needs.Analyses`.
    """

    def __init__(self, clock: Clock, hire: Callable[[Analyses], Analyst]) -> None:
        self._short, self._long = Analyses(clock, hire), Analyses(clock, hire)

    def ask(self, session: Session, questions: Sequence[Question], snapshot: Snapshot | None) -> Deferred[Sequence[Any]]:
        return (self._short if len(questions[0].text) <= PAGES else self._long).ask(session, questions, snapshot)

    def stop(self) -> None:
        self._short.stop()
        self._long.stop()
