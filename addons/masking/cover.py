"""
Declared columns and a catalog, to every column that must be masked: the declared ones, their inheritance
children and partitions, generated columns, columns of a masked row type, and whatever views make of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from addons.masking import meant
from addons.masking.declared import Declaration, Strategy
from addons.masking.floor import named, stands, views
from addons.masking.placed import Placed
from addons.masking.related import Reading, mixed, reading
from addons.masking.strategies import VIEWS, comparable, expression, problem, quoted, shows_null, surrogate
from addons.sql import system
from addons.sql.catalog import READABLE, Column, Relation, Snapshot
from addons.sql.naming import strings
from addons.sql.parse import Unparsable, parse, walk
from addons.sql.resolve import Names
from addons.sql.scope import OTHER, UNKNOWN, Output, hidden
from addons.sql.zoned import kind

_TABLES = frozenset("rp")  #: relkinds that hold rows of their own, or their partitions do
_ROUNDS = 16  #: of views over row types over views; more is nobody's schema, and everything is then masked


class Misdeclared(Exception):
    """The configuration names what the catalog does not have. The target is refused until it is mended."""


@dataclass(frozen=True, slots=True)
class Masked:
    """One masked column."""

    column: Column
    strategy: Strategy
    label: str


class Cover:
    """
    What is masked for one set of declarations in one snapshot.

    :ivar relations: relation OID to its masked columns by name; relations without any are not in it.
    :ivar nulls: labels of those whose mask is NULL exactly where the value is.
    :ivar comparable: labels of those that a surrogate may stand for, and what it may be compared with (`strategies.comparable`).
    :ivar lookups: labels of those that may be looked up by their values.
    :ivar row_types: type OIDs whose values hold masked columns.
    :ivar answering: OIDs of relations whose rows tell how masked values compare with what a client writes (`related`).
    :ivar partitions: OIDs of partitions by a masked column.
    :ivar floor: whether statements run as a role that cannot read masked columns, only the views that stand for their relations.
    """

    def __init__(
        self, snapshot: Snapshot, declared: Sequence[Declaration], opaque: Callable[[Message], str], *, floor: bool = False,
        foreign: Callable[[int], bool] = lambda _function: True,
    ) -> None:
        self.snapshot, self._opaque, self.floor = snapshot, opaque, floor
        self.relations: dict[int, dict[str, Masked]] = {}
        self.lookups: set[str] = set()
        self.row_types: set[int] = set()
        self.answering: set[int] = set()
        self._declared = frozenset(one.label for one in declared)
        self._strategies: dict[str, Strategy] = {}
        self._kinds: dict[str, str] = {}
        self._outputs: dict[int, Mapping[str, Output]] = {}
        self._sub_selects: dict[tuple[int, bool], str] = {}
        self._parsed: dict[int, Message | None] = {}
        wrong = [why for declaration in declared if (why := self._declare(declaration))]
        if wrong:
            raise Misdeclared("; ".join(dict.fromkeys(wrong)))
        self.partitions = frozenset(oid for parent in self._split_by_masks() for oid in snapshot.descendants(parent))
        self.answering |= self.partitions
        self._systems()
        self._spread()
        self.nulls = frozenset(
            m.label
            for columns in self.relations.values()
            for m in columns.values()
            if shows_null(m.column, m.strategy, snapshot)
        )
        self.comparable = {} if floor else {label: kind for label, kind in self._comparables(Placed(snapshot, foreign)) if kind}
        self._standing = self._views() if floor else frozenset()
        self._labelled = {m.label: (oid, name) for oid, columns in self.relations.items() for name, m in columns.items()}

    # questions

    def outputs(self, relation: Relation) -> Mapping[str, Output]:
        """For lineage: the masked columns of a relation."""
        found = self._outputs.get(relation.oid)
        if found is None:
            masked = self.relations.get(relation.oid, {})
            found = {name: Output(name, frozenset({m.label}), m.label) for name, m in masked.items()}
            self._outputs[relation.oid] = found
        return found

    def everything(self, relation: Relation) -> Mapping[str, Output]:
        """For lineage: all its columns; the clean ones are made of themselves too, as OTHER things."""
        masked = self.outputs(relation)
        clean = {c.name: Output(c.name, frozenset({f"{OTHER}{relation.label}.{c.name}"})) for c in relation.columns}
        return {**clean, **masked}

    def masks(self, relation: Relation) -> bool:
        return relation.oid in self.relations

    def sub_select(
        self, relation: Relation, *, only: bool, compared: frozenset[str] = frozenset(), key: str = "",
        conditions: Sequence[str] = (),
    ) -> str:
        """
        The SELECT that stands in a masked relation's place.

        :param compared: labels that are nowhere shown, only compared: a surrogate made with `key` stands for each.
        :param conditions: what its rows must pass, seen raw.
        """
        if compared or conditions:
            passed = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            return self._select(relation, only, compared, key) + passed
        text = self._sub_selects.get((relation.oid, only))
        if text is None:
            standing = self.floor and stands(relation)
            text = self._over(relation, only) if standing else self.source(relation, only)
            self._sub_selects[relation.oid, only] = text
        return text

    def source(self, relation: Relation, only: bool) -> str:
        """The SELECT that masks the relation itself."""
        return self._select(relation, only, frozenset(), "")

    def _over(self, relation: Relation, only: bool) -> str:
        """The SELECT of all columns of the view that stands for the relation."""
        view = named(relation, self.source(relation, only and bool(self.snapshot.children.get(relation.oid))))
        return f"SELECT {', '.join(quoted(c.name) for c in relation.columns)} FROM {quoted(VIEWS)}.{quoted(view)}"

    def _views(self) -> frozenset[int]:
        """OIDs of the floor's views: what comes from them is masked already."""
        expected = {view.name for view in views(self)}
        return frozenset(r.oid for r in self.snapshot.relations.values() if r.schema == VIEWS and r.name in expected)

    def _select(self, relation: Relation, only: bool, compared: frozenset[str], key: str) -> str:
        masked = self.relations[relation.oid]
        columns = ", ".join(
            f"{self._mask_of(masked[c.name], compared, key)} AS {quoted(c.name)}" if c.name in masked else quoted(c.name)
            for c in relation.columns
        )
        return f"SELECT {columns} FROM {'ONLY ' if only else ''}{quoted(relation.schema)}.{quoted(relation.name)}"

    def _mask_of(self, masked: Masked, compared: frozenset[str], key: str) -> str:
        if masked.label in compared:
            return surrogate(masked.column, key)
        return expression(masked.column, masked.strategy, self.snapshot)

    def column(self, table_oid: int, attribute: int) -> str:
        """The label of a masked (table, attribute) from the wire; attribute 0 is the whole row. "" when clean."""
        masked = self.relations.get(table_oid)
        if masked is None or table_oid in self._standing:
            return ""
        if attribute == 0:
            return f"{self.snapshot.relations[table_oid].label}.*"
        return next((m.label for m in masked.values() if m.column.number == attribute), "")

    def beneath(self, view: Relation) -> set[int]:
        """OIDs of the tables that a view reads, through other views too."""
        found, waiting = set(), [view]
        while waiting:
            read = self._reading(waiting.pop())
            for oid in (read.reached if read is not None else frozenset()) - found:
                found.add(oid)
                waiting += [r for r in (self.snapshot.relations[oid],) if r.definition]
        return {oid for oid in found if not self.snapshot.relations[oid].definition}

    def _split_by_masks(self) -> Iterator[int]:
        """OIDs of tables that are partitioned by a masked column."""
        for oid, masked in self.relations.items():
            for tie in self.snapshot.ties.get(oid, ()):
                if tie.kind == "partition" and any(tie.holds(name) for name in masked):
                    yield oid

    def origins(self, label: str) -> frozenset[str]:
        """The declared columns that a masked one shows values of; all of them where that is not understood."""
        found, looked, waiting = set[str](), set[str](), [label]
        while waiting:
            here = waiting.pop()
            if here in self._declared or here not in self._labelled:
                found.add(here)
            elif here not in looked:
                looked.add(here)
                made_of = self._made_of(*self._labelled[here])
                if made_of is None:
                    return self._declared
                waiting += made_of
        return frozenset(found)

    def _made_of(self, oid: int, name: str) -> Sequence[str] | None:
        """Labels of what a column that is no declared one shows."""
        relation = self.snapshot.relations[oid]
        if relation.system:  # statements' own texts are in the evidence anyway
            return () if name in system.statement_texts(relation) else None
        if relation.definition:
            read = self._reading(relation)
            outputs = dict(zip((c.name for c in relation.columns), read.outputs, strict=False)) if read is not None else {}
            taint = hidden(outputs[name].taint) if name in outputs else UNKNOWN
            return None if taint & UNKNOWN else tuple(taint)
        kin = self._relatives(relation)
        same = [label for r in kin if (label := f"{r.label}.{name}") in self._declared]
        return same or [label for r in kin for c in r.columns if (label := f"{r.label}.{c.name}") in self._declared] or None

    def _roads(self, family: Sequence[Relation]) -> set[str]:
        """Names by which something may come to write into one of a family: its own, its views', what it refers to."""
        oids = {r.oid for r in family}
        found = {r.name for r in family}
        found |= {self.snapshot.relations[k.target].name for k in self.snapshot.foreign_keys if k.source in oids}
        views = [r for r in self.snapshot.relations.values() if r.kind == "v" and r.definition]
        return found | {v.name for v in views if not oids.isdisjoint(self.beneath(v))}

    def _comparables(self, placed: Placed) -> Iterator[tuple[str, int]]:
        """Columns of tables whose values were all written by somebody who saw them: nobody else may write a masked one."""
        for oid, columns in self.relations.items():
            relation = self.snapshot.relations[oid]
            if relation.system or relation.kind not in _TABLES:
                continue
            if placed.into(self._roads(self._relatives(relation))):
                continue
            for masked in columns.values():
                family = [other.column(masked.column.name) for other in self._family(relation, masked.column.name)]
                kinds = {comparable(column, self.snapshot) for column in family if column is not None}
                yield masked.label, kinds.pop() if len(kinds) == 1 else 0

    # how it is found

    def _declare(self, declaration: Declaration) -> str:
        """What is wrong with it here; "" when it holds."""
        found = [r for r in self.snapshot.named(declaration.schema, declaration.relation) if r.kind in READABLE]
        if not found:
            return f"masking is declared for {declaration.schema}.{declaration.relation}, which is no relation there{meant.relation(declaration, self.snapshot)}"
        column = found[0].column(declaration.column)
        if column is None:
            return f"masking is declared for {declaration.label}, which is no column there{meant.column(declaration, found[0])}"
        why = problem(column, declaration.strategy, self.snapshot)
        if why:
            return f"masking of {declaration.label}: {why}"
        for relation in self._family(found[0], declaration.column):
            self._mask(relation, relation.column(declaration.column), declaration.strategy)
            if declaration.lookup and relation.kind in _TABLES and not self.floor:
                self.lookups.add(f"{relation.label}.{declaration.column}")
        return ""

    def _relatives(self, relation: Relation) -> list[Relation]:
        """It, its ancestors and all that they have in common."""
        oids = {relation.oid, *self.snapshot.ancestors(relation.oid)}
        oids |= {below for oid in tuple(oids) for below in self.snapshot.descendants(oid)}
        return [r for oid in oids if (r := self.snapshot.relations.get(oid)) is not None]

    def _family(self, relation: Relation, column: str) -> list[Relation]:
        """
        Every relation joined to it by inheritance or partitioning that has the column: children hold the
        parent's rows, a parent returns its children's, and what is secret in one partition is in its siblings.
        """
        known, waiting = {relation.oid: relation}, [relation.oid]
        while waiting:
            here = waiting.pop()
            for oid in (*self.snapshot.children.get(here, ()), *self.snapshot.parents.get(here, ())):
                other = self.snapshot.relations.get(oid)
                if other is not None and oid not in known and other.column(column) is not None:
                    known[oid] = other
                    waiting.append(oid)
        return list(known.values())

    def _mask(self, relation: Relation, column: Column, strategy: Strategy = Strategy()) -> bool:
        """Returns whether that is news."""
        columns = self.relations.setdefault(relation.oid, {})
        if column.name in columns:
            return False
        self._outputs.pop(relation.oid, None)
        label = f"{relation.label}.{column.name}"
        columns[column.name] = Masked(column, strategy, label)
        self._strategies[label] = strategy
        self._kinds[label] = kind(column.type_oid, self.snapshot)
        return True

    def _systems(self) -> None:
        for relation in self.snapshot.relations.values():
            if not relation.system:
                continue
            secret = system.refused(relation)
            if secret:
                self.relations.setdefault(relation.oid, {})
            for column in relation.columns:
                if secret or column.name in system.statement_texts(relation):
                    self._mask(relation, column)

    def _spread(self) -> None:
        """Generated columns, row types and views feed each other; until nothing is new."""
        mine = [r for r in self.snapshot.relations.values() if not r.system]
        for _ in range(_ROUNDS):
            news = [self._generated(r) for r in mine if r.oid in self.relations and not r.definition]
            news += [self._rows()]
            news += [self._of_row_type(r) for r in mine]
            news += [self._view(r) for r in mine if r.definition]
            news += [self._row_security(r) for r in mine if r.oid in self.snapshot.policies]
            if not any(news):
                return
        for relation in mine:
            for column in relation.columns:
                self._mask(relation, column)

    def _generated(self, relation: Relation) -> bool:
        masked, news = self.relations[relation.oid], False
        for column in relation.columns:
            if column.generated and column.name not in masked and _mentions(column.generated, masked):
                news |= self._mask(relation, column)
        return news

    def _rows(self) -> bool:
        """Row types of masked relations, and the arrays, domains and composites that hold such."""
        before = len(self.row_types)
        self.row_types |= {self.snapshot.relations[oid].row_type for oid in self.relations} - {0}
        self.row_types |= {
            t.oid for t in self.snapshot.types.values() if t.element in self.row_types or t.base in self.row_types
        }
        return len(self.row_types) > before

    def _of_row_type(self, relation: Relation) -> bool:
        return any([self._mask(relation, c) for c in relation.columns if c.type_oid in self.row_types])

    def _view(self, view: Relation) -> bool:
        """A view's columns by lineage of its definition; all of them when that is not understood."""
        read = self._reading(view)
        if read is None or len(read.outputs) != len(view.columns):
            return any([self._mask(view, c) for c in view.columns])
        news = view.oid not in self.answering and (read.answers or not self.answering.isdisjoint(read.reached))
        if news:
            self.answering.add(view.oid)
        tainted = [(c, o) for c, o in zip(view.columns, read.outputs, strict=True) if hidden(o.taint)]
        return any([news, *(self._mask(view, c, self._inherited(c, o)) for c, o in tainted)])

    def _row_security(self, relation: Relation) -> bool:
        """A policy that compares answers as such a view does."""
        if relation.oid in self.answering:
            return False
        for text in self.snapshot.policies[relation.oid]:
            try:
                select = parse(f"SELECT FROM {quoted(relation.schema)}.{quoted(relation.name)} WHERE {text}").statements[0]
            except Unparsable:
                continue
            read = reading(select, Names(self.snapshot), self.everything, lambda _message: "", self._kind)
            if read is not None and read.answers:
                self.answering.add(relation.oid)
        return relation.oid in self.answering

    def _reading(self, view: Relation) -> Reading | None:
        if view.oid not in self._parsed:
            try:
                statements = parse(view.definition).statements
            except Unparsable:
                statements = ()
            self._parsed[view.oid] = statements[0] if len(statements) == 1 else None
        statement = self._parsed[view.oid]
        return None if statement is None else reading(statement, Names(self.snapshot), self.everything, self._opaque, self._kind)

    def _kind(self, label: str) -> str:
        """Of a masked column, what of it depends on settings (`zoned.kind`)."""
        return self._kinds.get(label, "")

    def _inherited(self, column: Column, output: Output) -> Strategy:
        """
        A masked column passed on unchanged keeps its strategy; anything made of it is redacted; of it and what a client
        may write, nothing is shown and so nothing computed: neither a NULL nor an error tells how the two compare.
        """
        if mixed(output.taint):
            return Strategy("null")
        strategy = self._strategies.get(output.plain, Strategy())
        return Strategy() if problem(column, strategy, self.snapshot) else strategy


def _mentions(expression_text: str, masked: Iterable[str]) -> bool:
    """Whether a generated column's expression names a masked column, or is not understood."""
    try:
        found = {
            n
            for m in walk(parse(f"SELECT {expression_text}").result)
            if type(m).__name__ == "ColumnRef"
            for n in strings(m.fields)
        }
    except Unparsable:
        return True
    return bool(found & set(masked))
