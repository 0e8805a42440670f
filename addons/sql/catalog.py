"""
A database's relations, columns, functions and types as one immutable value.

Built from rows in PostgreSQL's text format (`gateway/catalog.py` has the queries, tests use a driver),
so it knows no connection. Names are kept exactly as the catalog stores them. System relations
are here too; what may be read from them is `system`'s business.

Source: PostgreSQL 18 manual, chapter 52, "System Catalogs".
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from addons.sql.ties import Check, ForeignKey, Tie, checks, foreign_keys, ties

Row = Sequence[str | None]

FIRST_USER_OID = 16384
"""FirstNormalObjectId: below it, initdb made the object, and every server of a version has the same."""

READABLE = frozenset("rvmpf")  #: relkinds that a SELECT can read rows from


@dataclass(frozen=True, slots=True)
class Column:
    """An attribute of a relation; dropped ones are left out, so numbers have gaps."""

    number: int
    name: str
    type_oid: int
    type_name: str  #: format_type() with an empty search_path: safe to put in a statement
    not_null: bool
    generated: str = ""  #: the expression of a generated column, "" for others
    filled: bool = False  #: a default, a generation or a trigger before the row may give it a value nobody wrote
    loose: bool = False  #: its collation takes different texts for equal


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view, materialized view, partitioned or foreign table, or sequence."""

    oid: int
    schema: str
    name: str
    kind: str  #: pg_class.relkind
    row_type: int  #: 0 when it has none
    columns: tuple[Column, ...]
    definition: str = ""  #: a view's SELECT, "" for others
    rules: tuple[str, ...] = ()  #: its CREATE RULE statements for writes

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def system(self) -> bool:
        return self.schema in ("pg_catalog", "information_schema") or self.schema.startswith("pg_toast")

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Function:
    """A function, procedure, aggregate or window function."""

    oid: int
    schema: str
    name: str
    kind: str  #: f, p, a, w
    volatility: str  #: i, s, v
    language: str
    definer: bool  #: runs with its owner's rights
    returns_set: bool
    returns: int  #: type OID
    arguments: tuple[int, ...]  #: type OIDs
    required: int  #: arguments without a default
    extension: bool  #: belongs to an extension
    body: str = ""  #: only for LANGUAGE sql and plpgsql outside pg_catalog
    atomic: bool = False  #: the body is a CREATE FUNCTION with the SQL inside, not text
    settings: tuple[str, ...] = ()  #: "name=value" that hold while it runs

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Type:
    """A type: base, composite, domain, enum, range, pseudo or array."""

    oid: int
    schema: str
    name: str
    kind: str  #: pg_type.typtype
    category: str  #: pg_type.typcategory; "S" is string-like
    relation: int  #: a composite type's pg_class entry, or 0
    element: int  #: an array's element type, or 0
    base: int  #: a domain's base type, or 0


def _index(things: Iterable, key: str) -> Mapping:
    found = defaultdict(list)
    for thing in things:
        found[getattr(thing, key)].append(thing)
    return MappingProxyType({name: tuple(members) for name, members in found.items()})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    One reading of a database's catalog.

    :ivar revision: 32 hex digits over all rows; equal readings have equal revisions.
    """

    revision: str
    relations: Mapping[int, Relation]
    functions: Mapping[int, Function]
    types: Mapping[int, Type]
    schemas: frozenset[str]
    parents: Mapping[int, tuple[int, ...]]
    children: Mapping[int, tuple[int, ...]]
    operators: Mapping[str, tuple[int, ...]]  #: operators outside pg_catalog: name to function OIDs
    casts: Mapping[int, tuple[int, ...]]  #: type OID at either end of a cast by a user's function, to those functions
    implicit: frozenset[int]  #: OIDs of the types that others turn into unasked, by a user's cast
    constraints: frozenset[str]
    ties: Mapping[int, tuple[Tie, ...]]  #: by relation
    foreign_keys: tuple[ForeignKey, ...]
    checks: tuple[Check, ...]  #: of domains
    ranges: Mapping[int, int]  #: a range's or multirange's type OID to its subtype's
    triggers: tuple[tuple[int, int], ...]  #: relation and function OIDs
    policies: Mapping[int, tuple[str, ...]]  #: by relation that has row security: its policies' expressions
    runs: Mapping[int, tuple[int, ...]]  #: by relation: functions, set_config() or users', of its defaults, checks, indexes and triggers' conditions
    type_runs: Mapping[int, tuple[int, ...]]  #: likewise by domain
    defaults: Mapping[int, tuple[int, ...]]  #: likewise by function, of its arguments' defaults
    states: Mapping[tuple[str, int], str]  #: by kind ("relation", "type", "function") and OID: a digest of what the catalog keeps of it besides
    aggregates: Mapping[int, tuple[int, ...]]  #: a user's aggregate to the functions that it calls, by OID
    collations: Mapping[str, tuple[str, ...]]  #: users', by name: a digest of what each is
    by_relation_name: Mapping[str, tuple[Relation, ...]] = field(repr=False)
    by_function_name: Mapping[str, tuple[Function, ...]] = field(repr=False)
    by_type_name: Mapping[str, tuple[Type, ...]] = field(repr=False)

    def descendants(self, oid: int) -> set[int]:
        """Everything that inherits from a relation or is a partition of it, at any depth."""
        return self._closure(oid, self.children)

    def ancestors(self, oid: int) -> set[int]:
        return self._closure(oid, self.parents)

    @staticmethod
    def _closure(oid: int, edges: Mapping[int, tuple[int, ...]]) -> set[int]:
        found: set[int] = set()
        waiting = list(edges.get(oid, ()))
        while waiting:
            here = waiting.pop()
            if here not in found:
                found.add(here)
                waiting.extend(edges.get(here, ()))
        return found

    def named(self, schema: str, name: str) -> tuple[Relation, ...]:
        """Relations of that name: in one schema, or in all of them when `schema` is ""."""
        return tuple(r for r in self.by_relation_name.get(name, ()) if not schema or r.schema == schema)

    def kin(self, oid: int) -> bool:
        """Whether a type may stand for others: a domain, a pseudo-type, one that is not known."""
        kind = self.types.get(oid)
        return kind is None or kind.kind in "dp"

    def base_type(self, oid: int) -> int:
        """The type under a domain, any depth."""
        for _ in range(64):
            kind = self.types.get(oid)
            if kind is None or kind.kind != "d":
                return oid
            oid = kind.base
        return 0


def build(rows: Mapping[str, Sequence[Row]]) -> Snapshot:
    """
    A snapshot from the rows of `gateway.catalog.QUERIES`, by query name.

    :raises ValueError: a row is not as those queries write it.
    """
    columns, definitions = _columns(rows["columns"]), {int(r[0]): r[1] or "" for r in rows["views"]}
    rules = _grouped((int(relation), text or "") for relation, text in rows["rules"])
    relations = [
        Relation(
            int(oid),
            schema,
            name,
            kind,
            int(row_type),
            columns.get(int(oid), ()),
            definitions.get(int(oid), ""),
            rules.get(int(oid), ()),
        )
        for oid, schema, name, kind, row_type in rows["relations"]
    ]
    functions, types = [_function(r) for r in rows["functions"]], [_type(r) for r in rows["types"]]
    parents, children = _inheritance(rows["inherits"])
    by_oid = {r.oid: r for r in relations}, {f.oid: f for f in functions}, {t.oid: t for t in types}
    return Snapshot(
        revision=_digest(rows),
        relations=MappingProxyType(by_oid[0]), functions=MappingProxyType(by_oid[1]), types=MappingProxyType(by_oid[2]),
        schemas=frozenset(r[0] for r in rows["schemas"]),
        parents=parents,
        children=children,
        operators=_grouped(((name, int(function)) for name, function in rows["operators"])),
        casts=_grouped(
            ((int(end), int(function)) for source, target, function in rows["casts"] for end in (source, target))
        ),
        implicit=frozenset(int(r[0]) for r in rows.get("implicit", ())),
        constraints=frozenset(r[0] for r in rows["constraints"]),
        ties=_index(ties(rows.get("ties", ())), "relation"),
        foreign_keys=foreign_keys(rows.get("foreign_keys", ())),
        checks=checks(rows.get("checks", ())),
        ranges=MappingProxyType({int(end): int(row[2]) for row in rows.get("ranges", ()) for end in row[:2] if end}),
        triggers=tuple((int(relation), int(function)) for relation, function in rows.get("triggers", ())),
        policies=_grouped((int(relation), text or "") for relation, text in rows.get("policies", ())),
        **{name: _grouped((int(oid), int(function)) for oid, function in rows.get(name, ())) for name in ("runs", "type_runs", "defaults", "aggregates")},
        collations=_grouped((name or "", state or "") for name, state in rows.get("collations", ())),
        states=MappingProxyType({(kind or "", int(oid)): state or "" for kind, oid, state in rows.get("states", ())}),
        **indices(*by_oid),
    )


def indices(relations: Mapping[int, Relation], functions: Mapping[int, Function], types: Mapping[int, Type]) -> dict[str, Mapping]:
    """The fields of a `Snapshot` that find its members by their names."""
    found = {"by_relation_name": relations, "by_function_name": functions, "by_type_name": types}
    return {name: _index(members.values(), "name") for name, members in found.items()}


def _digest(rows: Mapping[str, Sequence[Row]]) -> str:
    state = hashlib.sha256()
    for name in sorted(rows):
        state.update(repr((name, sorted(map(tuple, rows[name]), key=repr))).encode("utf-8", "surrogatepass"))
    return state.hexdigest()[:32]


def _grouped(pairs: Iterable[tuple]) -> Mapping:
    found = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return MappingProxyType({key: tuple(values) for key, values in found.items()})


def _columns(rows: Sequence[Row]) -> dict[int, tuple[Column, ...]]:
    found: dict[int, list[Column]] = defaultdict(list)
    for relation, number, name, type_oid, type_name, not_null, generated, filled, loose in rows:
        column = Column(
            int(number), name, int(type_oid), type_name, not_null == "t", generated or "", filled == "t", loose == "t"
        )
        found[int(relation)].append(column)
    return {oid: tuple(sorted(members, key=lambda c: c.number)) for oid, members in found.items()}


def _inheritance(rows: Sequence[Row]) -> tuple[Mapping[int, tuple[int, ...]], Mapping[int, tuple[int, ...]]]:
    pairs = [(int(child), int(parent)) for child, parent in rows]
    return _grouped(pairs), _grouped((parent, child) for child, parent in pairs)


def _function(row: Row) -> Function:
    (
        oid,
        schema,
        name,
        kind,
        volatility,
        language,
        definer,
        returns_set,
        returns,
        arguments,
        required,
        extension,
        body,
        *more,
    ) = row
    created, settings = more or (None, None)
    return Function(
        int(oid),
        schema,
        name,
        kind,
        volatility,
        language,
        definer == "t",
        returns_set == "t",
        int(returns),
        tuple(int(a) for a in (arguments or "").split()),
        int(required),
        extension == "t",
        created or body or "",
        bool(created),
        tuple(json.loads(settings)) if settings else (),
    )


def _type(row: Row) -> Type:
    oid, schema, name, kind, category, relation, element, base = row
    return Type(int(oid), schema, name, kind, category, int(relation), int(element), int(base))
