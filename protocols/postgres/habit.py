"""
What a session does again and again, known by what came of it the last time: a query, or an execution of a statement that it has
prepared, or prepares each time, which is simply allowed, has rows that pass as they came, and leaves the conversation as it found
it; see `repeat` for what that is good for. What was learnt outside of a transaction block is not known inside one, nor the other way round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from protocols.command import Transaction
from protocols.postgres.conversation import Awaited, Conversation, Opinions, Prepared
from protocols.postgres.messages import Parse, Query
from protocols.postgres.names import executes, gives_names
from protocols.postgres.phrases import DESCRIBE_AND_RUN, NO_ROWS, RUN, Shape
from protocols.postgres.running import Running
from protocols.tally import Tally
from protocols.verdict import Decision

_BEHIND = {"BDES": DESCRIBE_AND_RUN, "BES": RUN, "PBDES": DESCRIBE_AND_RUN, "PBES": RUN}
_DESCRIBED, _WITHOUT = ("BDES", "PBDES"), {"BDES": "BES", "PBDES": "PBES"}


KEPT = 64
"""Queries of one session, and as many texts that it prepares each time. One that asks more of them has them learnt again."""

LONGEST = 4096
"""Characters of such a query."""


@dataclass(slots=True, eq=False)
class Parsing:
    """
    How the statement without a name is prepared each time before it is executed.

    :ivar asks: the client's message; `sent`: what goes to the target. `score`: as a habit's.
    """

    decision: Decision
    prepared: Prepared
    asks: bytes
    sent: bytes
    score: Any = None


@dataclass(slots=True, eq=False)
class Habit:
    """
    :ivar decision: on the statement, as somebody remembers it (`Decision.mark`); its values are those of the first time.
    :ivar shape: of its rows, where they are described. `rowless`: it is known to have none.
    :ivar behind: of an execution, what the client says behind its Bind; `sent`: what goes to the target there. Of a query b"", and what
        goes to the target in its place, or b"" when that is the client's own.
    :ivar opening: what the answer begins with; `shown`: what the client sees of that.
    :ivar kin: of a query, what other texts match about which the same was decided; `asked`: whether that is known.
    :ivar first: what comes before an execution.
    :ivar end: how an answer ended that left everything at rest, and the transaction as it stood; `tag`: its command's.
    :ivar score: what a journal has made of the decision. `tally` and `count`: as long as it counts that, the decision stands.
    """

    decision: Decision
    types: tuple[int, ...]
    shape: Shape | None
    rowless: bool
    behind: bytes
    sent: bytes
    opening: bytes
    shown: bytes
    end: bytes
    tag: str
    first: Parsing | None = None
    kin: re.Pattern[bytes] | None = None
    asked: bool = False
    score: Any = None
    tally: Tally | None = None
    count: int = 0


def learn(talk: Conversation, opinions: Opinions, running: Running, shape: Shape, told: str, hidden: bool, end: bytes, tag: str) -> None:
    """
    A command is over, as `exchange.answered` takes it.

    :param told: what of it was told, as in `Shape.openings`, and `hidden` whether its description was ours.
    :param end: of the answer, with the command's `tag`.
    """
    decision, command = running.decision, running.decision.command
    clear = running.plan is None and not running.alarm and decision.mark is not None
    if not clear or not _stays(talk, decision) or gives_names(decision.sent) or executes(decision.sent):
        return
    if told == "Q":
        _query(talk, decision, shape, end, tag)
    elif told in ("PBDES", "PBES"):
        first = _parsing(talk, talk.awaited[0])
        if first is not None and first.prepared is talk.prepared.get(command.name) and _shows(opinions, running, shape):
            _keep(talk.habits.parsings, first.asks, _execution(decision, first.prepared.types, shape, told, hidden, end, tag, first))
    elif (prepared := talk.prepared.get(command.name)) is not None:
        known = prepared.habit_within if talk.within else prepared.habit
        if (known is None or known.decision.mark is not decision.mark) and _shows(opinions, running, shape):
            habit = _execution(decision, prepared.types, shape, told, hidden, end, tag)
            prepared.habit, prepared.habit_within = (prepared.habit, habit) if talk.within else (habit, prepared.habit_within)


def _shows(opinions: Opinions, running: Running, shape: Shape) -> bool:
    """Whether rows of this shape pass as they come. Whoever masks was not asked about a shape without a row."""
    asked = not opinions.hears_columns or shape is NO_ROWS or running.columns is shape.columns
    return asked or opinions.plan(running.decision, shape.columns) is None


def _stays(talk: Conversation, decision: Decision) -> bool:
    """Whether the transaction stood as it stands when that was decided, and nothing else was on its way."""
    command = decision.command
    return not command.pipelined and command.transaction is talk.transaction and command.transaction is not Transaction.FAILED


def _execution(
    decision: Decision, types: tuple[int, ...], shape: Shape, told: str, hidden: bool, end: bytes, tag: str, first: Parsing | None = None
) -> Habit:
    described, opening, sent = told in _DESCRIBED, shape.openings[told], _BEHIND[told]
    return Habit(
        decision, types, shape if described else None, described and shape is NO_ROWS, RUN if hidden else sent, sent,
        opening, shape.openings[_WITHOUT[told]] if hidden else opening, end, tag, first,
    )  # fmt: skip


def _parsing(talk: Conversation, awaited: Awaited) -> Parsing | None:
    """Of a Parse that the target answered with the execution behind it."""
    decision = awaited.running.decision
    command = decision.command
    if command.name or decision.mark is None or not _stays(talk, decision) or len(command.text) > LONGEST:
        return None
    asks = Parse("", command.text, command.types).encode(talk.codec)
    sent = asks if decision.sent == command.text else Parse("", decision.sent, command.types).encode(talk.codec)
    return Parsing(decision, awaited.prepared, asks, sent)


def _keep(habits: dict[Any, Habit], key: str | bytes, habit: Habit) -> None:
    if len(habits) >= KEPT:
        habits.clear()
    habits.pop(key, None)  # the newest is the last
    habits[key] = habit


def _query(talk: Conversation, decision: Decision, shape: Shape, end: bytes, tag: str) -> None:
    text, queries = decision.command.text, talk.habits.queries
    if len(text) > LONGEST or not text.isascii() or any(one.decision.mark is decision.mark for one in queries.values()):
        return
    opening = shape.openings["Q"]
    sent = b"" if decision.sent == text else Query(decision.sent).encode(talk.codec)
    _keep(queries, text, Habit(decision, (), shape, shape is NO_ROWS, b"", sent, opening, opening, end, tag))
