"""
What every part of SSH's relay shares: the effects of this turn, and the commands that are asked about or run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from protocols.command import SshCommand
from protocols.effects import Refused, Report
from protocols.result import Ending, Outcome
from protocols.ssh.effects import AskCommand, Carry, IntendCommand, ProveHostKeys, Remark, SendClient, SendTarget, SshEffect, WithdrawCommand
from protocols.ssh.filter import Filters
from protocols.ssh.refusal import waiting
from protocols.verdict import Decision, Deny, Hold

if TYPE_CHECKING:
    from protocols.ssh.channel import Channel

CLIENT, TARGET = "client", "target"

UNRECORDED, UNGRANTED, WITHDRAWN = "OST-801", "OST-308", "OST-304"


def other(side: str) -> str:
    return TARGET if side == CLIENT else CLIENT


class Opinions(Protocol):
    """What the relay asks at once, without a command."""

    @property
    def filters(self) -> Filters:
        """Those for a channel whose command was allowed."""

    @property
    def unforwarded(self) -> str:
        """Why no forward may begin now, although it was allowed; "" when one may."""

    def environment(self, name: bytes, value: bytes) -> bool:
        """Whether a client may set this variable at the target."""


class Question(Protocol):
    """A command on its way to its verdict and its record."""

    command: SshCommand

    def allowed(self, decision: Decision, number: int) -> None:
        """Nothing of it may leave yet; what follows it may be looked at."""

    def recorded(self, number: int) -> None:
        """It may leave."""

    def denied(self, deny: Deny, number: int) -> None:
        """It never will. `allowed` may have come before, when its record could not be made."""

    def told(self, words: str) -> None:
        """Somebody waits for people, and here is what to tell them where there is a place for it."""


@dataclass(slots=True)
class Running:
    """A command that was intended and has not ended."""

    number: int
    decision: Decision
    outcome: Callable[[], Outcome] = field(default=lambda: Outcome(Ending.UNKNOWN))


class Desk:
    """
    :ivar out: effects of this turn, in order.
    :ivar ready: channels whose verdict has come, and behind which messages may wait.
    """

    def __init__(self, opinions: Opinions) -> None:
        self.opinions = opinions
        self.out: list[SshEffect] = []
        self.ready: list[Channel] = []
        self._asked: dict[int, Question] = {}
        self._withdrawn: set[int] = set()
        self._intended: dict[int, Question] = {}
        self._running: dict[int, Running] = {}
        self._last = 0

    def send(self, side: str, payload: bytes) -> None:
        self.out.append(SendClient(payload) if side == CLIENT else SendTarget(payload))

    def carry(self, side: str, data: list[bytes | memoryview]) -> None:
        """As `send`, of several messages with data."""
        self.out.append(Carry(side, data))

    def prove(self, details: bytes) -> None:
        self.out.append(ProveHostKeys(details))

    def remark(self, kind: str, **facts: str) -> None:
        """Note something in the evidence that is no command."""
        self.out.append(Remark(kind, facts))

    def ask(self, question: Question) -> int:
        """Put a command to the addons; its number."""
        self._last += 1
        self._asked[self._last] = question
        self.out.append(AskCommand(self._last, question.command))
        return self._last

    def withdraw(self, number: int) -> None:
        """Nobody wants the answer any more; what it says all the same is recorded if it is a refusal."""
        if self._asked.pop(number, None) is not None:
            self._withdrawn.add(number)
            self.out.append(WithdrawCommand(number))

    def give_up(self, number: int) -> None:
        """As `withdraw`, by a person who is still there and is told so."""
        question = self._asked.get(number)
        self.withdraw(number)
        if question is not None:
            question.denied(Deny("given up while it waited for approval", WITHDRAWN), number)

    def answer(self, number: int, decision: Decision) -> None:
        """The addons answered. What was withdrawn does not run."""
        question = self._asked.pop(number, None)
        if isinstance(decision.verdict, Deny) and (question is not None or number in self._withdrawn):
            self.out.append(Refused(number, decision))
        self._withdrawn.discard(number)
        if question is None:
            return
        if isinstance(decision.verdict, Deny):
            question.denied(decision.verdict, number)
            return
        self._intended[number] = question
        self.out.append(IntendCommand(number, decision))
        self._running[number] = Running(number, decision)
        question.allowed(decision, number)

    def recorded(self, number: int) -> None:
        question = self._intended.pop(number, None)
        if question is not None:
            question.recorded(number)

    def refused(self, number: int, why: str) -> None:
        """Its record could not be made: it does not run."""
        self._drop(number, Deny(f"the command was not recorded, so it was not sent: {why}", UNRECORDED, hint="try again later"))

    def ungranted(self, number: int, why: str) -> None:
        """Its grant was good when it was decided, and is not any more: it does not run."""
        self._drop(number, Deny(f"the command was not sent: {why}", UNGRANTED, hint="send it again to have it decided anew"))

    def _drop(self, number: int, deny: Deny) -> None:
        question = self._intended.pop(number, None)
        if question is None:
            return
        self.ended(number, Outcome(Ending.REFUSED))
        question.denied(deny, number)

    def held(self, number: int, request: str, hold: Hold) -> None:
        question = self._asked.get(number)
        if question is not None:
            for words in waiting(request, hold):
                question.told(words)

    def runs(self, number: int, outcome: Callable[[], Outcome]) -> None:
        """Where to read what came of a command, if its session ends before it does."""
        if number in self._running:
            self._running[number].outcome = outcome

    def ended(self, number: int, outcome: Outcome) -> None:
        """A command ended; told once."""
        running = self._running.pop(number, None)
        if running is not None:
            self.out.append(Report(number, running.decision, outcome))

    def close(self) -> None:
        """The session is over: what runs is reported as far as it is known, and nobody is asked any more."""
        for number in list(self._asked):
            self.withdraw(number)
        for number, running in list(self._running.items()):
            self.ended(number, Outcome(Ending.UNKNOWN) if number in self._intended else running.outcome())
        self._intended.clear()
