"""
What goes with it when something is dropped, or emptied, with CASCADE: the relations that a rule may be about, by the catalog.

A schema takes its relations with it, a relation its children and the views made of it, TRUNCATE the tables that refer to one, a function triggers, policies and
views, a type columns. What depends on anything else the snapshot does not have: that may be any relation.

Source: PostgreSQL 18 manual, 5.15 "Dependency Tracking", and TRUNCATE.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Relation, Snapshot
from addons.sql.finding import Name
from addons.sql.flux import words_of
from addons.sql.naming import strings
from addons.sql.parse import Unparsable, parse, unwrap
from addons.sql.resolve import Names, references

_ROUTINES = frozenset({tree.OBJECT_FUNCTION, tree.OBJECT_PROCEDURE, tree.OBJECT_ROUTINE, tree.OBJECT_AGGREGATE})
_TYPES = frozenset({tree.OBJECT_TYPE, tree.OBJECT_DOMAIN})
RELATIONS = frozenset({tree.OBJECT_TABLE, tree.OBJECT_VIEW, tree.OBJECT_MATVIEW, tree.OBJECT_FOREIGN_TABLE, tree.OBJECT_SEQUENCE, tree.OBJECT_INDEX})


def cascaded(statement: Message, snapshot: Snapshot | None) -> frozenset[Name] | None:
    """Relations that go along; None where that may be any."""
    if isinstance(statement, tree.DropOwnedStmt):
        return None
    if not isinstance(statement, (tree.DropStmt, tree.TruncateStmt)) or statement.behavior != tree.DROP_CASCADE:
        return frozenset()
    if snapshot is None:
        return None
    if isinstance(statement, tree.TruncateStmt):
        return _labels(_referring(_meant([unwrap(node) for node in statement.relations], snapshot), snapshot), snapshot)
    names = [strings(inside.items) if isinstance(inside := unwrap(item), tree.List) else strings([item]) for item in statement.objects]
    if statement.remove_type == tree.OBJECT_SCHEMA:
        schemas = {name[-1] for name in names if name}
        return _labels(_made_of({r.oid for r in snapshot.relations.values() if r.schema in schemas and r.kind in "rvmpfS"}, snapshot), snapshot)
    if statement.remove_type in _ROUTINES or statement.remove_type in _TYPES:
        lasts = [strings(_parts(item))[-1:] for item in statement.objects]
        using = (_calling if statement.remove_type in _ROUTINES else _holding)({last[0] for last in lasts if last}, snapshot)
        return None if using is None else _labels(_made_of(using, snapshot), snapshot)
    if statement.remove_type not in RELATIONS:
        return None
    dropped = [tree.RangeVar(schemaname=name[-2] if len(name) > 1 else "", relname=name[-1]) for name in names if name]
    return _labels(_made_of(_meant(dropped, snapshot), snapshot), snapshot)


def own(statement: tree.DropStmt) -> bool:
    """Whether all are temporary relations of this very session: `pg_temp` is its own schema and no other's. Without it a name may have become another's."""
    names = [strings(inside.items) for item in statement.objects if isinstance(inside := unwrap(item), tree.List)]
    plain = statement.remove_type in RELATIONS and statement.behavior != tree.DROP_CASCADE and len(names) == len(statement.objects)
    return plain and all(len(name) == 2 and name[0] == "pg_temp" for name in names)


def unenforced(command: tree.AlterTableCmd) -> bool:
    """Whether a constraint does not hold any more, though it stays."""
    told = unwrap(getattr(command, "def"))
    return isinstance(told, tree.ATAlterConstraint) and told.alter_enforceability and not told.is_enforced


def _parts(item: tree.Node) -> Sequence[tree.Node]:
    """A routine's or a type's name, in parts."""
    inside = unwrap(item)
    return inside.objname if isinstance(inside, tree.ObjectWithArgs) else inside.names


def _calling(names: set[str], snapshot: Snapshot) -> set[int] | None:
    """Relations whose triggers, policies or views call functions of these names; None where operators or casts stand between."""
    oids = {f.oid for name in names for f in snapshot.by_function_name.get(name, ())}
    if any(oids.intersection(used) for used in (*snapshot.operators.values(), *snapshot.casts.values())):
        return None
    texts = [(r.oid, r.definition) for r in snapshot.relations.values()] + [(oid, text) for oid, each in snapshot.policies.items() for text in each]
    return {relation for relation, function in snapshot.triggers if function in oids} | {oid for oid, text in texts if not names.isdisjoint(words_of(text))}


def _holding(names: set[str], snapshot: Snapshot) -> set[int] | None:
    """Relations with columns of types of these names; None where functions stand between."""
    oids = {t.oid for name in names for t in snapshot.by_type_name.get(name, ())}
    while more := {t.oid for t in snapshot.types.values() if t.element in oids or t.base in oids} - oids:
        oids |= more
    if any(f.returns in oids or not oids.isdisjoint(f.arguments) for f in snapshot.functions.values()):
        return None
    return {r.oid for r in snapshot.relations.values() if any(c.type_oid in oids for c in r.columns)}


def _meant(names: Iterable[tree.RangeVar], snapshot: Snapshot) -> set[int]:
    return {relation.oid for name in names for relation in Names(snapshot).relations(name)}


def _labels(oids: set[int], snapshot: Snapshot) -> frozenset[Name]:
    return frozenset((r.schema, r.name) for oid in oids if (r := snapshot.relations.get(oid)) is not None)


def _referring(oids: set[int], snapshot: Snapshot) -> set[int]:
    """With the tables whose foreign keys lead there, at any depth, and all their children."""
    while True:
        more = {below for oid in oids for below in snapshot.descendants(oid)} | {key.source for key in snapshot.foreign_keys if key.target in oids}
        if more <= oids:
            return oids
        oids = oids | more


def _made_of(oids: set[int], snapshot: Snapshot) -> set[int]:
    """With their children and the views made of any, at any depth."""
    views = {r.oid: _sources(r, snapshot) for r in snapshot.relations.values() if r.definition}
    while True:
        more = {below for oid in oids for below in snapshot.descendants(oid)} | {view for view, made_of in views.items() if made_of & oids}
        if more <= oids:
            return oids
        oids = oids | more


def _sources(view: Relation, snapshot: Snapshot) -> set[int]:
    """A view that cannot be read may be made of anything there is."""
    try:
        return {r.oid for statement in parse(view.definition).statements for ref in references(statement) for r in Names(snapshot).relations(ref.name)}
    except Unparsable:
        return set(snapshot.relations)
