"""
What a name means at one level of a query: the things in FROM, and what their columns are made of.

Source: PostgreSQL's parse_relation.c (colNameToVar, scanNameSpaceForRefname) for the order of look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from postgast.pg_query_pb2 import WindowDef

Taint = frozenset[str]
"""Labels ("schema.relation.column") of the masked columns that a value may be made of."""

CLEAN: Taint = frozenset()
UNKNOWN: Taint = frozenset({"?"})  #: made of something that could not be found: strict readers take it for masked
OTHER = "~"  #: begins the label of what is not masked, where a reader asks for those too

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


class Output(NamedTuple):
    """
    One column of a query or of a thing in FROM.

    :ivar plain: the label of the masked column when it is that column unchanged, else "".
    """

    name: str
    taint: Taint = CLEAN
    plain: str = ""


class Item(NamedTuple):
    """
    A thing in FROM.

    :ivar columns: None when they are not known (a function's, an XMLTABLE's): any name may be one.
    :ivar schema: the schema of a relation that has no alias, so that schema.relation.column finds it.
    :ivar masked: masking replaces it by a sub-select, which has no system columns.
    """

    alias: str
    columns: tuple[Output, ...] | None
    whole: Taint
    schema: str = ""
    masked: bool = False

    def find(self, name: str) -> Output | None:
        for column in self.columns or ():
            if column.name == name:
                return column
        return None


@lru_cache(maxsize=4096)
def clean(name: str) -> Output:
    """A column that is made of nothing masked."""
    return Output(name)


def item(
    alias: str, columns: Sequence[Output] | None, *, whole: Taint = CLEAN, schema: str = "", masked: bool = False
) -> Item:
    if columns is not None:
        whole = union(c.taint for c in columns) | whole
    return Item(alias, None if columns is None else tuple(columns), whole, schema, masked)


def union(taints: Iterable[Taint]) -> Taint:
    found = CLEAN
    for taint in taints:
        if taint and taint is not found:  # mostly there is none, or one
            found = found | taint if found else taint
    return found


def hidden(taint: Taint) -> Taint:
    """Without what is not masked."""
    return frozenset(label for label in taint if not label.startswith(OTHER))


def tainted(columns: Iterable[Output], taint: Taint) -> list[Output]:
    """Columns whose values that decides too."""
    return [Output(c.name, c.taint | taint, "" if taint - c.taint else c.plain) for c in columns]


def renamed(columns: Sequence[Output] | None, names: Sequence[str]) -> list[Output] | None:
    """As an alias with a column list does it: the first ones get new names. Unknown columns stay unknown."""
    if columns is None:
        return None
    return [Output(names[i] if i < len(names) else c.name, c.taint, c.plain) for i, c in enumerate(columns)]


@dataclass
class Scope:
    """One query level. `ctes` maps WITH names to their columns."""

    parent: Scope | None = None
    ctes: dict[str, tuple[Output, ...] | None] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    star: list[Output] = field(default_factory=list)  #: what `*` means here
    windows: dict[str, WindowDef] = field(default_factory=dict)  #: of its WINDOW clause

    def inner(self, **ctes: tuple[Output, ...] | None) -> Scope:
        return Scope(self, {**self.ctes, **ctes})

    def column(self, name: str) -> Output | None:
        """An unqualified name: the nearest level that knows it. Two finds at one level are one of both's making."""
        found = [c for i in self.items if (c := i.find(name)) is not None]
        if found:
            return found[0] if len(found) == 1 else Output(name, union(c.taint for c in found))
        whole = next((i for i in self.items if i.alias == name), None)
        if whole is not None and whole.columns is not None:
            return Output(name, whole.whole)
        outer = self.parent.column(name) if self.parent is not None else None
        if outer is not None:
            return outer
        opaque = [i for i in self.items if i.columns is None]
        return Output(name, union(i.whole for i in opaque)) if opaque else None

    def named(self, alias: str, schema: str = "") -> Item | None:
        """A thing in FROM by its name."""
        for here in self.items:
            if here.alias == alias and (not schema or here.schema == schema):
                return here
        return self.parent.named(alias, schema) if self.parent is not None else None

    def systemic(self) -> Item | None:
        """A masked thing here, on which an unqualified system column could be meant."""
        return next((i for i in self.items if i.masked), None)
