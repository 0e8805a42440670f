"""
What sessions gave names to that later commands run or read on: prepared statements, cursors, portals.

A name stands for the text that the client sent and for what was sent in its place, as both were decided. Whoever decides what uses the
name asks whether they would be decided so still: the server goes on with what it was given, whatever has changed since.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from postgast import pg_query_pb2 as tree

from addons.sql.parse import Unparsable, parse, unwrap
from protocols.command import Path, Statement

_NAMES = 4096  #: of one session; beyond them the oldest is not known any more
_SIZE = 16 << 20  #: characters of their texts
_TEXTS = 8  #: that one name stood for
_MAY = re.compile(r"\b(?:prepare|execute|declare|fetch|move)\b", re.IGNORECASE)


class As(NamedTuple):
    """`sent`: the text that the server got. `revision`: of the policy by which it was decided; see `Given.of` where there is no statement."""

    statement: Statement | None
    sent: str
    revision: int

    @property
    def size(self) -> int:
        return len(self.sent) + (len(self.statement.text) if self.statement is not None else 0)


class Given:
    """Sessions to names to all that each may stand for. Names are not forgotten when they are closed: a close may have failed."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[str, tuple[As, ...]]] = {}
        self._sizes: dict[str, int] = {}
        self._partial: set[str] = set()

    def begin(self, session: str) -> None:
        """From the session's first command on all names are told."""
        self._sessions.setdefault(session, {})

    def whole(self, session: str) -> bool:
        """Whether a name that is not known was never given here."""
        return session in self._sessions and session not in self._partial

    def learn(self, session: str, statement: Statement, sent: str, revision: int) -> None:
        """It was allowed, and so `sent` is on its way."""
        names = gives(statement)
        if names and session not in self._sessions:
            self._partial.add(session)
        for name in names:
            self._put(session, name, As(statement, sent, revision))

    def _put(self, session: str, name: str, given: As) -> None:
        known = self._sessions.setdefault(session, {})
        before = known.pop(name, ())
        now = [each for each in before if each.statement is None or (each.statement.text, each.sent) != (given.statement.text, given.sent)]
        if len(now) > _TEXTS:
            lost = [each.revision for each in now[:2]]  # a cursor's rows are those of its text; what is prepared is read again
            now[:2] = [As(None, "", lost[0] if lost[0] == lost[1] and not any(_prepares(each) for each in now[:2]) else -1)]
        known[name] = (*now, given)
        self._sizes[session] = self._sizes.get(session, 0) + sum(e.size for e in known[name]) - sum(e.size for e in before)
        while len(known) > _NAMES or self._sizes[session] > _SIZE and len(known) > 1:
            self._sizes[session] -= sum(each.size for each in known.pop(next(iter(known))))
            self._partial.add(session)

    def of(self, session: str, name: str) -> tuple[As, ...]:
        """
        All that a name may stand for; nothing where it was not told. One without a statement is for texts that are not known any
        more: cursors' by that revision of the policy, or, where it is -1, whatever they were.
        """
        return self._sessions.get(session, {}).get(name, ())

    def used(self, session: str, statement: Statement) -> set[str]:
        """Names that a command runs or reads on, and those that their texts do in turn."""
        found, waiting = set(), uses(statement)
        while waiting:
            found |= waiting
            texts = (each.statement for name in waiting for each in self.of(session, name))
            waiting = {name for text in texts if text is not None for name in uses(text)} - found
        return found

    def behind(self, session: str, names: Iterable[str]) -> tuple[Statement, ...] | None:
        """All commands that gave what names may stand for; None where some are not known."""
        known = [(name, self.of(session, name)) for name in names]
        if any(not given and not self.whole(session) or any(each.statement is None for each in given) for _name, given in known):
            return None
        return tuple(each.statement for _name, given in known for each in given)

    def lose(self, session: str) -> None:
        """Any name may stand for something else now that nobody was told of."""
        if self._sessions.get(session):
            self._sessions[session], self._sizes[session] = {}, 0
            self._partial.add(session)

    def forget(self, session: str) -> None:
        self._sessions.pop(session, None)
        self._sizes.pop(session, None)
        self._partial.discard(session)


def gives(statement: Statement) -> list[str]:
    """Names that a command gives."""
    if statement.path is Path.PARSE:
        return [statement.name] if statement.name else []
    names = [statement.portal] if statement.path is Path.BIND and statement.portal else []
    return names + _written(statement.text)


def spoken(statement: Statement, name: str) -> bool:
    """Whether a command's own text gives a name, and nothing beside the text belongs to what that stands for."""
    return not statement.parameters and name in _written(statement.text)


def unsaid(statements: Sequence[str]) -> str | None:
    """The first name that one of these runs or reads on by, and for which not exactly one text before it says what it stands for."""
    said: dict[str, set[str]] = defaultdict(set)
    for text in statements:
        for name in sorted(uses(Statement(text))):
            if len(said[name]) != 1:
                return name
        for name in _written(text):
            said[name].add(text)
    return None


def _written(text: str) -> list[str]:
    return [_name(one) for one in _statements(text) if isinstance(one, _GIVES)]


def _prepares(given: As) -> bool:
    """Whether it may be another's text than a cursor's."""
    if given.statement is None:
        return given.revision < 0
    return given.statement.path is Path.PARSE or any(isinstance(one, tree.PrepareStmt) for one in _statements(given.statement.text))


def uses(statement: Statement) -> set[str]:
    """Names that a command runs or reads on and did not give itself before that."""
    used, own = set(), set()
    for one in map(_inside, _statements(statement.text)):
        if isinstance(one, _GIVES):
            own.add(_name(one))
        elif isinstance(one, _USES) and _name(one) not in own:
            used.add(_name(one))
    return used


def names_in(text: str) -> set[str]:
    """Names that a text's own statements give or use; what they show the plan of, or make a table of, is not among them."""
    return {_name(one) for one in _statements(text) if isinstance(one, _GIVES + _USES)}


_GIVES, _USES = (tree.PrepareStmt, tree.DeclareCursorStmt), (tree.ExecuteStmt, tree.FetchStmt)


def _name(statement: Any) -> str:
    return statement.name if isinstance(statement, (tree.PrepareStmt, tree.ExecuteStmt)) else statement.portalname


def _inside(statement: Any) -> Any:
    return unwrap(statement.query) if isinstance(statement, (tree.ExplainStmt, tree.CreateTableAsStmt)) else statement


@lru_cache(maxsize=4)  # policy and masking ask in turn
def _may(text: str) -> bool:
    return _MAY.search(text) is not None


def _statements(text: str) -> tuple[Any, ...]:
    if not _may(text):
        return ()
    try:
        return tuple(parse(text).statements)
    except Unparsable:
        return ()
