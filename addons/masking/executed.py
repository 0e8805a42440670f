"""
What sessions prepared that EXECUTE may run: how many values it looks up, and whether its sent text holds a key.

By name, whatever protocol gave it, and never less than the server may have under it: names are not forgotten before the
session ends, and every text that a name stood for counts. What it executes in turn is followed when it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Snapshot
from addons.sql.given import names_in
from addons.sql.parse import Parsed, unwrap
from protocols.command import Path, Statement

_NAMES = 4096  # kept for one session; beyond them every name is taken for one that looks a value up


@dataclass(frozen=True, slots=True)
class Named:
    """
    What one name may stand for.

    :ivar lookups: how many values running it looks up.
    :ivar hidden: its text must not be seen in a plan: a key stands in it, or a comparison with a masked column.
    :ivar executes: names that it executes in turn.
    :ivar explains: names whose plans it shows.
    """

    lookups: int = 0
    hidden: bool = False
    executes: frozenset[str] = frozenset()
    explains: frozenset[str] = frozenset()

    def with_(self, other: Named) -> Named:
        return Named(
            max(self.lookups, other.lookups), self.hidden or other.hidden,
            self.executes | other.executes, self.explains | other.explains,
        )


_NOTHING, _ANYTHING = Named(), Named(lookups=1, hidden=True)


class Executed:
    """Sessions to names to what they may stand for; names that do nothing of all that are not kept."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[str, Named]] = {}
        self._rewritten: dict[str, set[str]] = {}

    def learn(self, session: str, name: str, named: Named) -> None:
        if named == _NOTHING:
            return
        names = self._sessions.setdefault(session, {})
        if name in names or len(names) < _NAMES:
            names[name] = names.get(name, _NOTHING).with_(named)

    def forget(self, session: str) -> None:
        self._sessions.pop(session, None)
        self._rewritten.pop(session, None)

    def rewritten(self, session: str, statement: Statement, found: frozenset[str] | None = None) -> None:
        """What was sent was not the client's text: what its names bring is masked at its source. :param found: as `Naming`, if it was asked."""
        names = self._rewritten.setdefault(session, set())
        if len(names) < _NAMES:
            names |= {statement.name} if statement.path is Path.PARSE else names_in(statement.text) if found is None else found

    def brings(self, session: str, statement: Statement) -> bool:
        """Whether rows may come of a text that was rewritten when it was given a name, such as a cursor's."""
        return not self._rewritten.get(session, frozenset()).isdisjoint(names_in(statement.text))

    def lookups(self, session: str, names: Iterable[str]) -> int:
        """How many values executing these, one after the other, looks up."""
        return sum(named.lookups for name in names for named in self._run(session, name))

    def hidden(self, session: str, executed: Collection[str], explained: Collection[str]) -> bool:
        """Whether a plan would show what must not be seen."""
        if not executed and not explained:
            return False
        run = [named for name in executed for named in self._run(session, name)]
        shown = {*explained, *(name for named in run for name in named.explains)}
        return any(named.hidden for name in shown for named in self._run(session, name))

    def _run(self, session: str, name: str) -> Iterator[Named]:
        """What running a name runs, each once."""
        known, waiting, seen = self._sessions.get(session, {}), [name], {name}
        default = _ANYTHING if len(known) >= _NAMES else _NOTHING
        while waiting:
            named = known.get(waiting.pop(), default)
            yield named
            waiting += named.executes - seen
            seen |= named.executes


@dataclass(frozen=True, slots=True)
class Naming:
    """Which names of prepared statements and cursors does a long text give or use? For an analyst."""

    text: str

    def answer(self, _snapshot: Snapshot | None) -> frozenset[str]:
        return frozenset(names_in(self.text))


def by_name(parsed: Parsed) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names of prepared statements that a text gives, runs and shows the plans of."""
    prepares = tuple(s.name for s in parsed.statements if isinstance(s, tree.PrepareStmt))
    explains = tuple(
        inside.name
        for s in parsed.statements
        if isinstance(s, tree.ExplainStmt) and isinstance(inside := unwrap(s.query), tree.ExecuteStmt)
    )
    runs = tuple(s.name for s in parsed.statements if isinstance(s, tree.ExecuteStmt))
    return prepares, runs, explains
