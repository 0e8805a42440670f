"""
What all addons said, in one session, of questions that may come again; see `protocols.verdict` for what an addon promises
who lets its answer be remembered.

All of it is forgotten when anything changes that it rests on: what the addons say of themselves (`standing`), the settings
that the server reports, the policy. So nothing has to be found out about which answer a change is for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from addons.sql.form import form
from protocols.command import Path, Statement, Transaction
from protocols.result import Columns
from protocols.verdict import Allow, Seen, Verdict

KEPT = 256
"""Questions of one session. A client that asks more of them has them asked again."""

KEPT_LENGTH = 64 << 10
"""Characters of these questions, and of what was sent in their places."""

Called = Sequence[tuple[str, Callable[[Any], Any]]]
"""Addons' methods, with their names."""


@dataclass(slots=True)
class Remembered:
    """
    One question's answers.

    :ivar said: of every addon, in the order in which they are asked; None where one must be asked again.
    :ivar whole: what they come to; None while somebody must be asked.
    :ivar rests_on: what they rest on; the very list is the memory's, for as long as it is remembered.
    :ivar formed: of a form: what is sent is each text itself.
    :ivar clear: the shape of rows of which nothing is masked, when that has been asked.
    :ivar decided: who hears that it was decided again; None until they were asked, when it is decided again.
    :ivar ended: likewise, that it ended as it always does.
    :ivar grounds: the `Grounds` of which `untold` and `rests_on` tell.
    """

    sent: str
    columns: tuple[str, ...]
    said: tuple[Verdict | None, ...]
    whole: Allow | None
    rests_on: list[Hashable]
    formed: bool = False
    seen: Seen | None = None
    clear: Columns | None = None
    untold: tuple[bool, ...] = ()
    grounds: Any = None
    decided: Called | None = None
    ended: Called = ()

    def told_again(self, grounds: Any, untold: tuple[bool, ...], called: Mapping[str, Called], whose: Mapping[str, Sequence[int]]) -> None:
        """
        :param untold: of each addon, whether it needs not hear of it again; `whose`: the places of the addons that are called.
        """
        self.grounds, self.untold = grounds, untold
        self.decided, self.ended = (
            [method for method, place in zip(called[name], whose[name]) if not untold[place]] for name in ("on_decided", "on_outcome")
        )


class Memory:
    """
    One session's, under one policy.

    :ivar tallied: how far everything was counted that it rests on when that was asked last; None when it is not counted.
    """

    __slots__ = ("_forms", "_known", "_length", "_settings", "rests_on", "tallied")

    def __init__(self) -> None:
        self._forget()
        self._settings: Mapping[str, str] | None = None
        self.rests_on: list[Hashable] = []
        self.tallied: int | None = None

    def _forget(self) -> None:
        self._known: dict[tuple[Hashable, ...], Remembered] = {}
        self._forms: dict[tuple[Hashable, ...], Remembered] = {}  # by their forms, those of which that may be
        self._length = 0

    def rest_on(self, rests_on: list[Hashable], tallied: int | None = None) -> None:
        """What the addons' answers rest on now, besides the question, and the count of that; another one than before and all is forgotten."""
        self.tallied = tallied
        if rests_on != self.rests_on:
            self._forget()
            self.rests_on = rests_on

    def recall(self, statement: Statement) -> Remembered | None:
        """What is remembered of a question, where everything it rests on is as it was."""
        if statement.settings is not self._settings and statement.settings != self._settings:
            self._forget()
            self._settings = statement.settings
            return None
        known = self._known.get(_question(statement))
        if known is None and statement.path is Path.SIMPLE and self._forms and (formed := form(statement)) is not None:
            known = self._forms.get(_question(formed))
        return known

    def keep(self, statement: Statement, sent: str, columns: tuple[str, ...], rewrites: int, said: list[Verdict]) -> None:
        """
        Everybody allowed it; to be called before anything else is recalled.

        :param said: the answers of so many rewriters, then those of all others.
        """
        if not all(verdict.remember for verdict in said[:rewrites]) or not _values(self.rests_on):
            return  # whoever is asked behind it would be asked about another text
        kept = tuple([verdict if verdict.remember else None for verdict in said])
        whole = None if None in kept else allowed(said[rewrites:])
        length = len(statement.text) + len(sent)
        if len(self._known) + len(self._forms) >= KEPT or self._length + length > KEPT_LENGTH:
            self._forget()
        if length > KEPT_LENGTH:
            return
        self._length += length
        formed = form(statement) if whole is not None and all(type(verdict) is Allow and verdict.formed for verdict in said) else None
        known = Remembered(sent, columns, kept, whole, self.rests_on, formed is not None, seen(said[:rewrites]))
        (self._known if formed is None else self._forms)[_question(formed or statement)] = known


def allowed(said: list[Verdict]) -> Allow:
    """What the answers of judges and askers come to when nobody objects: the last rule that was named allowed it."""
    return Allow(next((verdict.rule for verdict in reversed(said) if verdict.rule), ""))


def seen(said: list[Verdict]) -> Seen | None:
    """What rewriters say that a statement shows of declared columns; of several only who can see clear adds up."""
    told = [verdict.seen for verdict in said if verdict.seen is not None]
    if len(told) < 2:
        return told[0] if told else None
    return Seen(None, tuple(column for one in told for column in one.clear))


def _question(statement: Statement) -> tuple[Hashable, ...]:
    """What is asked; never its values or names. Flags, since a member of an Enum is hashed by a function of Python's."""
    path, transaction = statement.path, statement.transaction
    return (
        statement.text, path is Path.BIND, path is Path.PARSE, transaction is Transaction.IDLE, transaction is Transaction.OPEN,
        statement.pipelined, statement.types,
    )  # fmt: skip


def _values(rests_on: list[Hashable]) -> bool:
    """Whether it cannot change in place: then it would look the same whatever had changed."""
    try:
        hash(tuple(rests_on))
    except TypeError:
        return False
    return True
