"""
The relations that a statement names to those whose rows it reaches under another name.

A partition or child named by itself holds rows of its parents; a parent's statement reaches its children's; a view that is
written writes what it is made of, and so do rules. ONLY makes no difference: more is said to be reached than is.

Source: PostgreSQL 18 manual, CREATE VIEW ("Updatable Views"), 5.11 "Inheritance", 39.4 "Rules on INSERT, UPDATE, and DELETE".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Relation, Snapshot
from addons.sql.finding import Name
from addons.sql.flux import Flux
from addons.sql.naming import strings
from addons.sql.parse import Unparsable, parse, unwrap, walk
from addons.sql.resolve import Names, references

_ROWLESS = frozenset("A_Const Integer Float Boolean String BitString TypeCast SubLink SelectStmt ResTarget RangeVar Alias Node List".split())
_SYSTEM = frozenset({"pg_catalog", "information_schema"})


@dataclass(frozen=True, slots=True)
class Reach:
    """
    :ivar names: what was named and all that it reaches, with schemas.
    :ivar renamed: a view that is looked through may call a column otherwise.
    :ivar unknown: of these the catalog says nothing. :ivar through: what was looked through, with schemas.
    """

    names: frozenset[Name]
    renamed: bool = False
    unknown: frozenset[Name] = frozenset()
    through: frozenset[Name] = frozenset()


def reach(named: Iterable[Name], through: Collection[Name], snapshot: Snapshot | None, flux: Flux | None = None) -> Reach:
    """
    :param through: the names among them whose views and rules are looked through.
    :param snapshot: None when the catalog is not known; then all but the server's own are unknown.
    :param flux: what it does not show yet.
    """
    names, looked = set(named), set(through)
    while True:
        found = _shown(names, looked, snapshot)
        led, more = flux.leads(found.names, looked | found.through) if flux is not None else (set(), set())
        if names >= led and looked >= more:
            return replace(found, renamed=found.renamed or len(looked) > len(through))
        names, looked = names | led, looked | more


def _shown(named: Iterable[Name], through: Collection[Name], snapshot: Snapshot | None) -> Reach:
    """What a snapshot says of it."""
    named = frozenset(named)
    if snapshot is None:
        return Reach(named, True, frozenset(name for name in named if name[0] not in _SYSTEM))
    found = {name: _called(name, snapshot) for name in named}
    unknown = {name for name, meant in found.items() if not meant and name[0] not in _SYSTEM}
    oids = {r.oid for meant in found.values() for r in meant}
    renamed = False
    waiting = [(name, r) for name, meant in found.items() if name in through for r in meant]
    looked = {r.oid for _name, r in waiting}
    while waiting:
        name, relation = waiting.pop()
        try:
            behind = list(_behind(relation, snapshot))
            renamed = renamed or _renames(relation, snapshot)
        except Unparsable:
            unknown.add(name)
            continue
        waiting.extend((name, r) for r in behind if r.oid not in looked)
        looked |= {r.oid for r in behind}
    oids |= looked
    kin = {near for oid in oids for near in (oid, *snapshot.ancestors(oid), *snapshot.descendants(oid))}
    known = (snapshot.relations[oid] for oid in kin if oid in snapshot.relations)
    seen = frozenset((r.schema, r.name) for oid in looked if (r := snapshot.relations.get(oid)) is not None)
    return Reach(named | {(r.schema, r.name) for r in known}, renamed, frozenset(unknown), seen)


def _called(name: Name, snapshot: Snapshot) -> tuple[Relation, ...]:
    schema, last = name
    return Names(snapshot).relations(tree.RangeVar(schemaname=schema, relname=last))


def _behind(relation: Relation, snapshot: Snapshot) -> Iterator[Relation]:
    """What a view reads, and what rules name."""
    texts = (relation.definition,) if relation.kind == "v" and relation.definition else ()
    for text in (*texts, *relation.rules):
        for statement in parse(text).statements:
            for reference in references(statement):
                yield from Names(snapshot).relations(reference.name)


def _renames(relation: Relation, snapshot: Snapshot) -> bool:
    """Whether a column of a view may be another column of what it is made of; rules may do anything."""
    if relation.rules:
        return True
    if relation.kind != "v":
        return False
    statement = parse(relation.definition).statements[0] if relation.definition else None
    return not isinstance(statement, tree.SelectStmt) or not all(_same(unwrap(target), snapshot) for target in statement.target_list)


def _same(target: Message, snapshot: Snapshot) -> bool:
    value = unwrap(target.val)
    if isinstance(value, tree.ColumnRef):
        return target.name in ("", strings(value.fields)[-1])
    return all(_of_no_column(message, snapshot) for message in walk(value))


def _of_no_column(message: Message, snapshot: Snapshot) -> bool:
    """Whether it is part of what is made of constants and of how many rows there are. By the server's own types and count alone."""
    if isinstance(message, tree.TypeName):
        types = snapshot.by_type_name.get(strings(message.names)[-1], ())
        return bool(types) and all(one.schema in _SYSTEM for one in types)
    if not isinstance(message, tree.FuncCall):
        return type(message).__name__ in _ROWLESS
    counts = message.agg_star and strings(message.funcname)[-1] == "count"
    return counts and all(function.schema in _SYSTEM for function in snapshot.by_function_name.get("count", ()))
