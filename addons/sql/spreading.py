"""
From what does a thing itself to all that does it through that: views over views, functions that call functions, tables with defaults,
checks and triggers, and those that are written along with them.

Source: PostgreSQL 18 manual, 52.6 "pg_attrdef", 52.13 "pg_constraint", 52.57 "pg_trigger"; CREATE DOMAIN.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from addons.sql.catalog import Relation, Snapshot
from addons.sql.finding import Finding
from addons.sql.flux import words_of

SETTINGS = "pg_settings"
CALL = "set_config"
SET_CONFIG = 2078  #: its OID (pg_proc.dat)

_WORD = re.compile(r"[\w$]+")
_QUOTED = re.compile(r'"((?:[^"]|"")+)"')
_WRITES = "cnd"  #: what a foreign key does to the rows that refer: it cascades, or sets


class Doing(NamedTuple):
    """
    What does one thing, by last names.

    :ivar read: relations that do it when they are read; `written`: when they are written. :ivar types: when something becomes one.
    :ivar functions: OIDs of `routines`.
    """

    read: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    routines: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    functions: frozenset[int] = frozenset()

    def by(self, finding: Finding) -> bool:
        """Whether a statement does it."""
        if self is NOTHING:
            return False
        calls = (*finding.functions, *finding.called)
        named = ((self.read, finding.relations), (self.written, finding.written), (self.types, finding.types), (self.operators, finding.operators), (self.routines, calls))
        if any(name in doing for doing, names in named for _schema, name in names):
            return True
        return any(name.removeprefix(".") in self.routines for name in (*finding.fields, *finding.constructs))


NOTHING = Doing()


class _Stored(NamedTuple):
    """A relation: names in what is done when it is read, and when it is written; `runs`: OIDs of functions that are called then."""

    relation: Relation
    read: frozenset[str]
    written: frozenset[str]
    runs: frozenset[int]


class Spreading:
    """
    One search. :param functions: OIDs of those that do it themselves; none where set_config() alone counts. :param relations: whether they count.
    :param settings: whether to call set_config() is to do it, too.
    """

    def __init__(self, snapshot: Snapshot, functions: set[int], *, relations: bool = True, settings: bool = True) -> None:
        self._snapshot, self._functions, self._grows = snapshot, set(functions), bool(functions)
        self._calls, self._does = ({CALL}, {SET_CONFIG}) if settings else (set[str](), set[int]())
        self._views = {SETTINGS} if settings else set[str]()  #: that do it when they are written
        self._read, self._written, self._types = set[str](), set[str](), set[int]()
        self._stored = list(self._relations()) if relations else []

    def _relations(self) -> Iterator[_Stored]:
        runs = {oid: set(found) for oid, found in self._snapshot.runs.items()}
        for oid, function in self._snapshot.triggers:
            runs.setdefault(oid, set()).add(function)
        for oid, relation in self._snapshot.relations.items():
            if not relation.system:
                read = _names((relation.definition, *self._snapshot.policies.get(oid, ())))
                yield _Stored(relation, read, read | _names(relation.rules), frozenset(runs.get(oid, ())))

    def found(self) -> Doing:
        before = -1
        while before != (before := sum(map(len, (self._read, self._written, self._types, self._functions)))):
            self._spread()
        snapshot, functions = self._snapshot, frozenset(self._functions)
        return Doing(
            frozenset(self._read), frozenset(self._written), frozenset(snapshot.types[oid].name for oid in self._types),
            frozenset(snapshot.functions[oid].name for oid in functions),
            frozenset(symbol for symbol, oids in snapshot.operators.items() if not functions.isdisjoint(oids)), functions,
        )  # fmt: skip

    def _spread(self) -> None:
        own, does = {self._snapshot.functions[oid].name for oid in self._functions}, self._functions | self._does
        self._types |= set(self._of_types(does))
        self._read |= {each.relation.name for each in self._stored if not each.read.isdisjoint(own | self._calls | self._read)}
        names = own | self._read | self._written
        self._written |= {each.relation.name for each in self._stored if self._writes(each, names | self._calls | self._views, does)}
        self._written |= {self._snapshot.relations[oid].name for oid in self._along() if oid in self._snapshot.relations}
        if self._grows:
            self._functions |= {f.oid for f in self._snapshot.functions.values() if f.body and not names.isdisjoint(words_of(f.body))}
            called = (*self._snapshot.aggregates.items(), *self._snapshot.defaults.items())
            self._functions |= {oid for oid, each in called if not (self._functions | self._does).isdisjoint(each)}

    def _writes(self, stored: _Stored, names: set[str], does: set[int]) -> bool:
        """Whether it is done when a relation is written."""
        return not stored.written.isdisjoint(names) or not does.isdisjoint(stored.runs) or self._holds(stored.relation)

    def _holds(self, relation: Relation) -> bool:
        return bool(self._types) and any(column.type_oid in self._types for column in relation.columns)

    def _of_types(self, does: set[int]) -> Iterator[int]:
        """Domains that do it, and what is made of them."""
        types = self._snapshot.types
        yield from (oid for oid, runs in self._snapshot.type_runs.items() if oid in types and not does.isdisjoint(runs))
        rows = {each.relation.row_type for each in self._stored if self._holds(each.relation)}
        yield from (oid for oid, kind in types.items() if self._types and (kind.base in self._types or kind.element in self._types or oid in rows))

    def _along(self) -> Iterator[int]:
        """What is written along with such a one: its parents, and what its rows refer to, where that writes them."""
        doing = {each.relation.oid for each in self._stored if each.relation.name in self._written}
        yield from (parent for oid in doing for parent in self._snapshot.ancestors(oid))
        yield from (key.target for key in self._snapshot.foreign_keys if key.source in doing and (key.deletes in _WRITES or key.updates in _WRITES))


def _names(texts: Iterable[str]) -> frozenset[str]:
    """All that may be a name in what the catalog writes out."""
    found: set[str] = set()
    for text in filter(None, texts):
        found.update(_WORD.findall(text))
        found.update(name.replace('""', '"') for name in _QUOTED.findall(text))
    return frozenset(found)
