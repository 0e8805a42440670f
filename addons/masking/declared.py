"""
The `columns` table of the masking addon's configuration, to checked declarations.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from addons.sql.complaints import Gathering
from addons.sql.conditions import near

STRATEGIES = ("redact", "null", "partial", "date")
_KEYS = frozenset({"relation", "column", "strategy", "keep", "clear", "lookup", "targets", "databases"})


@dataclass(frozen=True, slots=True)
class Strategy:
    """
    How a value is masked.

    :ivar kind: one of STRATEGIES.
    :ivar keep: for `partial` how many last characters stay; 0 for others.
    """

    kind: str = "redact"
    keep: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """
    One column that must be masked. Compared by identity, since it is a key of what is remembered.

    :ivar clear: groups whose members see it as it is.
    :ivar targets: names of the targets it is about; empty is all of them. `databases` likewise.
    :ivar lookup: whether those who see masks may look a value up that they know.
    """

    schema: str
    relation: str
    column: str
    strategy: Strategy
    clear: frozenset[str]
    targets: frozenset[str] = frozenset()
    databases: frozenset[str] = frozenset()
    lookup: bool = False

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.relation}.{self.column}"

    def holds(self, target: str, database: str) -> bool:
        """Whether it is about that database of that target."""
        return (not self.targets or target in self.targets) and (not self.databases or database in self.databases)


def declarations(entries: Iterable[Mapping[str, Any]]) -> tuple[Declaration, ...]:
    """
    :raises Wrong: entries that are not understood, each with the way to mend it.
    """
    faults = Gathering()
    made = [faults.of(lambda index=index, entry=entry: _one(index, entry), None) for index, entry in enumerate(entries)]
    found = tuple(one for one in made if one is not None)
    for index, here in enumerate(made):
        if here is not None and any(here.label == other.label and here.targets == other.targets for other in made[:index] if other is not None):
            faults.wrong(f"columns[{index}]: {here.label} is declared twice")
    faults.end()
    return found


def _one(index: int, entry: Mapping[str, Any]) -> Declaration:
    where, faults = f"columns[{index}]", Gathering()
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: a table is needed, with relation, column and strategy")
    for key in sorted(set(entry) - _KEYS):
        faults.wrong(f"{where}.{key}: no such key{near(key, _KEYS)}; there are {', '.join(sorted(_KEYS))}")
        entry = {**{meant: entry[key] for meant in difflib.get_close_matches(key, _KEYS, 1)}, **entry}  # and that is looked at too
    schema, dot, relation = faults.of(lambda: _text(where, entry, "relation"), "?.?").partition(".")
    if not (schema and dot and relation):
        faults.wrong(f'{where}.relation: write the schema too, as in "public.patients"')
    made = Declaration(
        schema,
        relation,
        faults.of(lambda: _text(where, entry, "column"), "?"),
        faults.of(lambda: _strategy(where, entry), Strategy()),
        *(faults.of(lambda key=key: _names(where, entry, key), frozenset()) for key in ("clear", "targets", "databases")),
        faults.of(lambda: _flag(where, entry, "lookup"), False),
    )
    faults.end()
    return made


def _flag(where: str, entry: Mapping[str, Any], key: str) -> bool:
    value = entry.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{where}.{key}: true or false")
    return value


def _text(where: str, entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}.{key}: a non-empty string is needed")
    return value


def _names(where: str, entry: Mapping[str, Any], key: str) -> frozenset[str]:
    value = entry.get(key, ())
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{where}.{key}: a list of names is needed")
    return frozenset(value)


def _strategy(where: str, entry: Mapping[str, Any]) -> Strategy:
    kind, keep = entry.get("strategy", "redact"), entry.get("keep")
    if kind not in STRATEGIES:
        # "token" is none of them: its key would stand in the statement, where pg_stat_activity and the server's log show it.
        raise ValueError(f"{where}.strategy: unknown strategy {kind!r}{near(str(kind), STRATEGIES)}; use one of {', '.join(STRATEGIES)}")
    if kind == "partial":
        if isinstance(keep, bool) or not isinstance(keep, int) or not 1 <= keep <= 8:
            raise ValueError(f"{where}.keep: how many last characters stay, 1 to 8")
        return Strategy(kind, keep)
    if kind == "date":
        if keep not in (None, "year"):
            raise ValueError(f'{where}.keep: only "year" is offered')
        return Strategy(kind)
    if keep is not None:
        raise ValueError(f'{where}.keep: goes with "partial" or "date"')
    return Strategy(kind)


def listed(names: Iterable[str]) -> frozenset[str]:
    """
    :raises Wrong: each name that is none.
    """
    found, faults = frozenset(names), Gathering()
    for name in sorted(map(str, found)):
        if name.count(".") != 1 or not all(name.split(".")):
            faults.wrong(f'functions: write the schema too, as in "public.active_patients", not "{name}"')
    faults.end()
    return found


def rate(given: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ValueError("lookups_per_minute: a whole number, 0 or more")
    return given
