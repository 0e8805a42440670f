"""
Asks the addons about a command, in fixed phases, and folds their answers into one Decision.

The only place that decides what happens when an addon misbehaves: one that raises,
times out, answers nonsense or is cancelled is a Deny with its name in it. What needs
no waiting is answered without a Deferred, since nearly every command is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong

from addons.needs import Clock
from addons.sql.form import form
from gateway import revealing
from gateway.abilities import ADDON_DEADLINE, Abilities, safely
from gateway.answers import both, broken, sendable, verdict_of, withheld
from gateway.grounds import Grounds
from gateway.lists import Lists
from gateway.memory import Called, Memory, Remembered, allowed, seen
from gateway.people import Held, People, Question
from gateway.premises import Premises
from gateway.request import Approvals, together
from gateway.steps import run
from protocols.command import AgentForward, Command, Forward, FunctionCall, Path, Statement, X11Forward
from protocols.hooks import (
    HOOKS, AskCommandHook, AskHook, ClosedHook, ColumnsHook, CommandHook, ContentHook, DataHook, DecidedHook, Hook, JudgeHook,
    LeavingHook, OutcomeHook, RewriteHook, RowsHook, SessionHook, TextHook,
)
from protocols.result import NULL, Columns, Ending, Inspection, MaskPlan, Outcome, RowBatch, Search
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision, Deny, Hold, Replace, Reveal, Seen, Verdict

Steps = Generator[Deferred[Any], Any, Any]


class UnknownHook(Exception):
    """An addon defines an `on_*` method that nobody would ever call."""


_SQL = (Statement, FunctionCall)
_BY_NAME = (Forward, AgentForward, X11Forward)
"""What widens a session's reach: it passes only by a rule that allows it."""


class Pipeline(Abilities):
    """One chain of addons, shared by all sessions of a worker."""

    def __init__(
        self, addons: Sequence[object], approvals: Approvals, clock: Clock, lists: Lists | None = None, premises: Premises | None = None
    ) -> None:
        """
        :param lists: those that were approved ahead; none when not given.
        :raises UnknownHook: an addon has an `on_*` attribute that is no hook.
        """
        self._approvals, self._clock, self._addons = approvals, clock, tuple(addons)
        self._lists = Lists() if lists is None else lists
        self._people = People(approvals, premises, self._lists)
        self._called: dict[str, list[tuple[str, Callable[[Any], Any]]]] = {name: [] for name in HOOKS}
        self._whose: dict[str, list[int]] = {name: [] for name in HOOKS}  # the addons' places
        for place, addon in enumerate(addons):
            for name in dir(addon):
                if not name.startswith("on_"):
                    continue
                if name not in HOOKS:
                    raise UnknownHook(f"{type(addon).__name__}.{name}")
                self._called[name].append((type(addon).__name__, getattr(addon, name)))
                self._whose[name].append(place)
        self._rewriters, self._askers = self._called[RewriteHook.method], self._called[AskHook.method]
        self._grounds = Grounds(self._addons)

    def retire(self) -> None:
        """Another pipeline has taken over: addons that keep timers (those with a `stop`) let go of them."""
        self._people.retired = True
        for addon in self._addons:
            stop = getattr(addon, "stop", None)
            if callable(stop):
                stop()

    def hears(self, method: str) -> bool:
        """Whether any addon defines this hook, so that the wire can skip what nobody asked for."""
        return bool(self._called[method])

    # -- questions ---------------------------------------------------------------------

    def admit(self, session: Session, again: bool = False) -> Verdict | Deferred[Verdict]:
        """Whether a session may begin, or could begin again: Allow or Deny."""
        return run(self._admit(SessionHook(session, again)))

    def _admit(self, hook: SessionHook) -> Generator[Deferred[Any], Any, Verdict]:
        allowed = False
        for name, method in self._called[SessionHook.method]:
            verdict = yield from self._awaited(name, self._asked(name, method, hook), hook)
            if isinstance(verdict, Deny):
                return verdict
            allowed = allowed or (isinstance(verdict, Allow) and bool(verdict.rule))
        if not allowed:
            return Deny("no rule admits this identity to that target", code="OST-101", sqlstate="28000")
        return Allow()

    def decide(self, session: Session, command: Command, held: Held, memory: Memory | None = None) -> Decision | Deferred[Decision]:
        """
        What all addons say. The Decision's verdict is Allow or Deny; never raises for an addon's fault.

        Cancelling the Deferred withdraws a pending request: the command will never run.

        :param memory: of this session and this pipeline; without it everybody is asked.
        """
        said: list[Any] = []
        decision = self._at_once(session, command, said, memory) if type(command) is Statement else None
        if decision is None:
            return run(self._decide(session, command, held, deque(said)))
        listeners = self._called["on_decided"] if decision.mark is None else decision.mark.decided
        return run(self._leave(session, decision, listeners, held)) if listeners or self._lists.known else decision

    def standing(self, session: Session, decision: Decision, memory: Memory) -> tuple[Tally, int] | None:
        """
        Of a remembered decision: as long as this counts so far it would be made again, from memory alone, and nobody has to hear of
        that nor of an end as ever. None where that is not so, or not counted in one place.

        :param memory: of the session and this pipeline.
        """
        known = decision.mark
        if self._lists.concern(session):  # control has to hear of each statement that may be a list's next
            return None
        return self._grounds.counted(known, memory) if known.whole is not None and known.decided == [] and known.ended == [] else None

    def _at_once(self, session: Session, command: Statement, said: list[Any], memory: Memory | None) -> Decision | None:
        """
        The decision on a statement that every addon allows at once, which is nearly always; else None.

        :param said: gets every answer that was given, so that nobody is asked twice.
        """
        if memory is None or not self._grounds.hold(session, memory):
            return self._of_all(session, command, said)
        known = memory.recall(command)
        if known is not None:
            return self._of_some(session, command, said, known)
        decision = self._of_all(session, command, said)
        if decision is not None and self._grounds.now(session) == memory.rests_on:  # else it rests on something between the two
            memory.keep(command, decision.sent, decision.columns, len(self._rewriters), said)
        return decision

    def _of_some(self, session: Session, command: Statement, said: list[Any], known: Remembered) -> Decision | None:
        """As `_of_all`; of what is remembered nobody is asked."""
        allow = known.whole
        if known.decided is None:
            untold = self._grounds.untold(session, form(command) if known.formed else command, known.sent)
            known.told_again(self._grounds, untold, self._called, self._whose)
        if allow is None:
            said.extend(known.said[: len(self._rewriters)])
            for (name, method), hook in self._judges(session, command, known.sent):
                verdict = known.said[len(said)] or self._asked(name, method, hook)
                said.append(verdict)
                if type(verdict) is not Allow:
                    return None
            allow = allowed(said[len(self._rewriters) :])
        return Decision(command, allow, command.text if known.formed else known.sent, "", allow.rule, "", "", b"", known.columns, None, known.seen, known)

    def _of_all(self, session: Session, command: Statement, said: list[Any]) -> Decision | None:
        sent, columns, asked = command.text, (), command
        for name, method in self._rewriters:
            verdict = self._asked(name, method, RewriteHook(session, asked))
            said.append(verdict)
            if type(verdict) is Replace and verdict.reveal is None:
                sent, columns = verdict.text, columns + verdict.columns
                asked = replace(command, text=sent)
            elif type(verdict) is not Allow:
                return None
        for (name, method), hook in self._judges(session, command, sent):
            verdict = self._asked(name, method, hook)
            said.append(verdict)
            if type(verdict) is not Allow:
                return None
        allow = allowed(said[len(self._rewriters) :])
        return Decision(command, allow, sent, "", allow.rule, "", "", b"", columns, None, seen(said[: len(self._rewriters)]))

    def _judges(self, session: Session, command: Statement, sent: str) -> list[tuple[Any, Hook]]:
        """Everybody who is asked about a statement that was rewritten, in order, with the question."""
        hooks = _hooks(session, command, sent) if self._askers else (JudgeHook(session, command, sent),)
        return [(called, hook) for hook in hooks for called in self._called[hook.method]]

    def _decide(self, session: Session, command: Command, held: Held, said: deque[Any]) -> Steps:
        decision = yield from self._phases(session, command, held, said)
        return (yield from self._leave(session, decision, self._called["on_decided"], held))

    def _leave(self, session: Session, decision: Decision, listeners: Called, held: Held) -> Steps:
        """Whatever has to be said elsewhere first; then all are told what is decided."""
        if self._lists.known and isinstance(decision.verdict, Allow):
            rests_on = self._grounds.now(session)
            deny = yield from self._lists.moved(session, decision)
            if deny is not None:
                decision, listeners = replace(decision, verdict=deny, mark=None), self._called["on_decided"]
            elif rests_on is None or self._grounds.now(session) != rests_on:  # while control was told
                decision, listeners = (yield from self._phases(session, decision.command, held, deque())), self._called["on_decided"]
        for name, method in self._called[LeavingHook.method] if isinstance(decision.verdict, Allow) else ():
            hook = LeavingHook(session, decision)
            verdict = yield from self._awaited(name, self._asked(name, method, hook), hook)
            if isinstance(verdict, Deny):
                decision = replace(decision, verdict=verdict, addon=name, rule=verdict.rule, mark=None)
                break
        self._tell(DecidedHook(session, decision), listeners)
        return decision

    def _phases(self, session: Session, command: Command, held: Held, said: deque[Any]) -> Steps:
        """
        :param said: the answers that were given already, in the order in which they are asked for here.
        """
        rests_on = self._grounds.now(session)

        def again() -> Steps | None:
            unmoved = rests_on is not None and rests_on == self._grounds.now(session)
            return None if unmoved else self._asks(session, command, deque())

        found = yield from self._asks(session, command, said)
        if isinstance(found, Decision):
            return found
        return (yield from self._people.decide(session, command, found, held, again))

    def _asks(self, session: Session, command: Command, said: deque[Any]) -> Steps:
        """What all addons say: a Decision, or a Question to people."""
        sent, columns = ("" if isinstance(command, FunctionCall) else command.text), ()
        reveal: Reveal | None = None
        shows: Seen | None = None
        if isinstance(command, Statement) and self._rewriters:
            answer = yield from self._rewrite(session, command, said)
            if isinstance(answer, Decision):
                return answer
            sent, columns, reveal, shows = answer
        rule, holds = "", []
        for hook in _hooks(session, command, sent):
            for name, method in self._called[hook.method]:
                verdict = yield from self._awaited(name, said.popleft() if said else self._asked(name, method, hook), hook)
                if isinstance(verdict, Deny):
                    return Decision(command, verdict, sent, addon=name, rule=verdict.rule, columns=columns)
                if isinstance(verdict, Hold):
                    holds.append((name, verdict))
                elif isinstance(verdict, Allow):
                    rule, shows = verdict.rule or rule, verdict.seen or shows
        if isinstance(command, _BY_NAME) and not rule and not holds and not getattr(command, "arrives", False):
            return Decision(command, _UNNAMED, sent)
        if holds and command.path is not Path.PARSE:
            name, hold = together(holds)
            if isinstance(hold, Deny) or reveal is not None:
                deny = hold if isinstance(hold, Deny) else revealing.TWICE
                return Decision(command, deny, sent, addon=name, rule=hold.rule, columns=columns)
            return Question(sent, columns, name, hold, shows)
        return revealing.allowed(command, rule, sent, columns, reveal, shows)

    def _rewrite(
        self, session: Session, statement: Statement, said: deque[Any]
    ) -> Generator[Deferred[Any], Any, Decision | tuple[str, tuple[str, ...], Reveal | None, Seen | None]]:
        text, columns, asked = statement.text, (), statement
        reveal: Reveal | None = None
        answers: list[Verdict] = []
        for name, method in self._rewriters:
            hook = RewriteHook(session, asked)
            verdict = yield from self._awaited(name, said.popleft() if said else self._asked(name, method, hook), hook)
            if isinstance(verdict, Deny):
                return Decision(statement, verdict, text, addon=name, rule=verdict.rule, columns=columns)
            if isinstance(verdict, Replace):
                text, columns, reveal = verdict.text, columns + verdict.columns, verdict.reveal or reveal
                asked = replace(statement, text=text)
            answers.append(verdict)
        return text, columns, reveal, seen([one for one in answers if isinstance(one, (Allow, Replace))])

    def _asked(self, name: str, method: Callable[[Any], Any], hook: Hook) -> Verdict | Deferred[Any]:
        """One addon's answer, or its promise of one; whatever goes wrong is a Deny that names it."""
        try:
            answer = method(hook)
        except Exception as error:
            return self._failed(name, hook, error)
        if type(answer) is Allow:  # whatever was asked, that is an answer
            return answer
        return answer if isinstance(answer, Deferred) else verdict_of(name, hook, answer)

    def _awaited(self, name: str, promise: Verdict | Deferred[Any], hook: Hook) -> Generator[Deferred[Any], Any, Verdict]:
        """What was said, or was promised and comes in time."""
        if not isinstance(promise, Deferred):
            return promise
        try:
            promise.addTimeout(ADDON_DEADLINE, self._clock)
            return verdict_of(name, hook, (yield promise))
        except Exception as error:
            return self._failed(name, hook, error)

    def _failed(self, name: str, hook: Hook, error: Exception) -> Deny:
        """The one place where an addon's fault becomes a refusal."""
        if isinstance(error, TookTooLong):
            return broken(name, "did not answer in time")
        if isinstance(error, CancelledError):
            return Deny("cancelled while it was decided", "OST-304", hint="ask again", sqlstate="57014")
        self.log.error("addon {addon} failed in {hook}: {error}", addon=name, hook=hook.method, error=safely(error))
        return broken(name, "failed")

    # -- what comes back ---------------------------------------------------------------

    def plan(self, session: Session, decision: Decision, columns: Columns, memory: Memory | None = None) -> MaskPlan | None:
        """
        The masks of all addons together; None when nothing is masked.

        :param memory: as for `decide`. That a shape is clear is remembered with the question; by the object, as the relay does.
        """
        known = decision.mark
        if known is not None and (memory is None or not self._grounds.hold(session, memory) or known.rests_on is not memory.rests_on):
            known = None
        if known is not None and known.clear is columns:
            return None
        plan = self._plan(session, decision, columns)
        if known is not None and plan is None:
            known.clear = columns
        return plan

    def _plan(self, session: Session, decision: Decision, columns: Columns) -> MaskPlan | None:
        """An addon that fails here masks everything."""
        plan: MaskPlan | None = None
        for (name, method), place in zip(self._called[ColumnsHook.method], self._whose[ColumnsHook.method]):
            try:
                answer = method(ColumnsHook(session, decision, columns, self._grounds.said(place, decision.mark)))
                if answer is not None and len(answer.cells) != len(columns.fields):
                    raise ValueError("a mask for each column, no more and no fewer")
            except Exception as error:  # what cannot be masked with certainty is masked whole
                self.log.error("addon {addon} failed in on_columns: {error}", addon=name, error=safely(error))
                answer = MaskPlan((NULL,) * len(columns.fields), f"{name} failed")
            plan = both(plan, answer)
        return plan

    def content(self, session: Session, decision: Decision) -> Search | None:
        """
        What looks through a command's result: the first addon's that answers. Raises what an addon raises, which ends the
        session: bytes that nobody could look through are not shown.
        """
        for _name, method in self._called[ContentHook.method]:
            answer = method(ContentHook(session, decision))
            if answer is not None:
                return answer
        return None

    def inspection(self, session: Session, decision: Decision) -> Inspection | None:
        """
        What looks through the COPY data of a command: the first addon's that answers. Raises what an addon raises, which ends
        the session: data that nobody could look through does not pass.
        """
        for _name, method in self._called[DataHook.method]:
            answer = method(DataHook(session, decision))
            if answer is not None:
                return answer
        return None

    def rows(self, session: Session, decision: Decision, batch: RowBatch) -> Deny | None:
        """The first addon that wants this result ended, or the end of what it is shown under."""
        if (deny := revealing.over(decision, self._approvals, self._clock.seconds())) is not None:
            return deny
        for name, method in self._called[RowsHook.method]:
            try:
                answer = method(RowsHook(session, decision, batch))
            except Exception as error:  # fail closed: the result ends in an error
                self.log.error("addon {addon} failed in on_rows: {error}", addon=name, error=safely(error))
                return broken(name, "failed")
            if answer is not None:
                return answer if isinstance(answer, Deny) else broken(name, "gave no verdict")
        return None

    def text(self, session: Session, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]:
        """The fields to send to the client in place of these."""
        for name, method in self._called[TextHook.method]:
            try:
                answer = method(TextHook(session, kind, dict(fields), decision))
                if answer is not None and not sendable(answer, fields):
                    raise ValueError("fields of the message's own form")
            except Exception as error:  # text that nobody could judge is not shown
                self.log.error("addon {addon} failed in on_text: {error}", addon=name, error=safely(error))
                answer = withheld(fields)
            fields = fields if answer is None else answer
        return fields

    def ended(self, session: Session, decision: Decision, outcome: Outcome, memory: Memory | None = None) -> None:
        """A command ended. :param memory: as for `decide`."""
        known = decision.mark
        alone = not outcome.among and not outcome.undone
        as_ever = alone and known is not None and outcome.ending is Ending.COMPLETE and outcome.transaction == decision.command.transaction
        if as_ever and memory is not None and self._grounds.unmoved(known, memory):
            listeners = known.ended  # whoever was not told that it was decided needs no word of such an end
        else:
            revealing.ended(decision, outcome, self._approvals)
            listeners = self._called["on_outcome"]
        if listeners:
            self._tell(OutcomeHook(session, decision, outcome), listeners)

    def closed(self, session: Session) -> None:
        """The session is over."""
        self._tell(ClosedHook(session), self._called["on_closed"])

    def _tell(self, hook: Hook, listeners: Called) -> None:
        for name, method in listeners:
            try:
                method(hook)
            except Exception as error:  # told, not asked: it cannot change what was decided
                self.log.error("addon {addon} failed in {hook}: {error}", addon=name, hook=hook.method, error=safely(error))


def _hooks(session: Session, command: Command, sent: str) -> Sequence[Hook]:
    """Who is asked about a command, phase by phase. Nothing runs at Parse, so people are not asked about it."""
    if not isinstance(command, _SQL):
        return CommandHook(session, command), AskCommandHook(session, command)
    judge = JudgeHook(session, command, sent)
    return (judge,) if command.path is Path.PARSE else (judge, AskHook(session, command, sent))


_UNNAMED = Deny("no rule allows forwarding here", "OST-210", hint="ask the gateway's operator for a rule")
