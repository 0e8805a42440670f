"""
Which masks would stand for a real value where: the columns that somebody sees as they are, under every name that leads to them.

By the catalog: partitions, children, views, and what rules write. Where it is not known, by the declared names alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from postgast import pg_query_pb2 as tree

from addons.masking.cover import Cover
from addons.masking.declared import Declaration, Strategy
from addons.masking.shifting import moved
from addons.masking.strategies import MASK
from addons.sql.catalog import Relation
from addons.sql.flux import Flux, together
from addons.sql.meaning import ESCAPED, WORD, words
from addons.sql.parse import Unparsable, parse, walk
from addons.sql.resolve import Names

_RULES = 8  #: rules that lead to tables with rules that are followed


@dataclass(frozen=True, slots=True)
class Mark:
    """What the masks of one column look like."""

    label: str
    strategy: Strategy

    def fits(self, text: str) -> bool:
        """Whether a value is exactly one. A year's first day is no sign: people are born on it."""
        if self.strategy.kind not in ("redact", "partial") or not text.startswith(MASK):
            return False
        return text == MASK or self.strategy.kind == "partial" and len(text) == len(MASK) + self.strategy.keep


Marked = tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """
    One relation that is written, as far as it matters.

    :ivar columns: name to the marks of that column.
    :ivar hidden: marks of what its rules write, from whichever value.
    :ivar order: its columns as they are filled without a list; None when that is not known.
    """

    columns: Mapping[str, Marked]
    hidden: Marked = ()
    order: tuple[str, ...] | None = None

    def at(self, column: str) -> Marked:
        """The marks of a value for a column, "" being whichever."""
        return (self.columns.get(column, ()) if column else self.all) + self.hidden

    @property
    def all(self) -> Marked:
        return tuple(mark for marks in self.columns.values() for mark in marks)


class Marks:
    """
    :param declared: what somebody sees as it is.
    :param cover: of these, in the catalog; None when that is not known.
    :param flux: what the session's transaction changed of it: whichever mask counts there, in whichever column.
    """

    def __init__(self, declared: Iterable[Declaration], cover: Cover | None, flux: Flux | None = None) -> None:
        self.declared = tuple(declared)
        self.every = tuple(Mark(d.label, d.strategy) for d in self.declared)
        self._cover, self.flux = cover, flux

    @property
    def known(self) -> bool:
        """Whether they go by the catalog."""
        return self._cover is not None

    def behind(self, changes: Iterable[Flux | None]) -> Marks:
        """Those that a string meets which makes these changes itself."""
        flux = together((self.flux, *changes))
        return self if flux is self.flux else Marks(self.declared, self._cover, flux)

    def of(self, relation: tree.RangeVar, depth: int = _RULES) -> Written:
        if moved(relation, self.flux):
            return Written({}, self.every)
        found = Names(self._cover.snapshot).relations(relation) if self._cover is not None else ()
        if not found:
            return Written(self._named(relation))
        columns: dict[str, Marked] = {}
        for each in found:
            for name, masked in self._cover.relations.get(each.oid, {}).items():
                columns[name] = (*columns.get(name, ()), Mark(masked.label, masked.strategy))
        order = tuple(c.name for c in found[0].columns if not c.generated) if len(found) == 1 else None
        return Written(columns, self._behind(found, depth), order)

    def named_in(self, text: str) -> Marked:
        """Of all relations that a text may name which is not read."""
        if self.flux is not None or ESCAPED.search(text):
            return self.every
        said, known = words(text), self._cover.snapshot.by_relation_name if self._cover is not None else {d.relation for d in self.declared}
        names = [name for name in known if name in said or not WORD.fullmatch(name) and (name in text or name.replace('"', '""') in text)]
        found = [self.of(tree.RangeVar(relname=name)) for name in names]
        return tuple(mark for written in found for mark in (*written.all, *written.hidden))

    def _named(self, relation: tree.RangeVar) -> Mapping[str, Marked]:
        """Without a schema it may be the declared one."""
        meant = [d for d in self.declared if relation.relname == d.relation and relation.schemaname in ("", d.schema)]
        return {name: tuple(Mark(d.label, d.strategy) for d in meant if d.column == name) for name in dict.fromkeys(d.column for d in meant)}

    def _behind(self, relations: Sequence[Relation], depth: int) -> Marked:
        found: list[Mark] = []
        for rule in (rule for relation in relations for rule in relation.rules):
            try:
                writes = [node for one in parse(rule).statements for node in walk(one) if isinstance(node, (tree.InsertStmt, tree.UpdateStmt))]
            except Unparsable:
                return self.every
            for write in writes:
                inside = self.of(write.relation, depth - 1) if depth else Written({}, self.every)
                found += [*inside.all, *inside.hidden]
        return tuple(found)
