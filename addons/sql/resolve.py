"""
A statement's tree to the relations it names: which RangeVars are relations, and which relations they may be.

A name that a WITH clause made is not a relation, by PostgreSQL's own scoping (parse_relation.c,
scanNameSpaceForCTE): an entry sees the ones before it, or all of them under RECURSIVE. A name
without a schema may be any relation of that name unless the search path is known, because a
temporary table or a later SET can put any of them first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Relation, Snapshot
from addons.sql.parse import LEAVES, unwrap

WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})

_NOT_RELATIONS = frozenset({("LockingClause", "locked_rels")})
"""FOR UPDATE OF names aliases of its own SELECT."""

CREATES = frozenset(
    {("CreateStmt", "relation"), ("IntoClause", "rel"), ("ViewStmt", "view"), ("CreateSeqStmt", "sequence"), ("CompositeTypeStmt", "typevar")}
)
"""Where a RangeVar names what will be, not what is."""

_SOURCES = frozenset(
    {
        ("SelectStmt", "from_clause"),
        ("JoinExpr", "larg"),
        ("JoinExpr", "rarg"),
        ("UpdateStmt", "from_clause"),
        ("DeleteStmt", "using_clause"),
        ("MergeStmt", "source_relation"),
    }
)
"""Where a CTE's name is looked for, and a sub-select may stand."""


_LEAVES = LEAVES | {tree.A_Const, tree.ColumnRef}
"""They hold names and constants, and no relation."""


@dataclass(frozen=True, slots=True)
class Reference:
    """
    One place where a statement names a relation.

    :ivar node: the `Node` that holds it when a sub-select may stand in its place, else None.
    :ivar place: the message and field that hold it, such as ("InsertStmt", "relation").
    :ivar writing: it stands inside an INSERT, UPDATE, DELETE or MERGE.
    """

    name: tree.RangeVar
    node: tree.Node | None
    place: tuple[str, str]
    writing: bool


def references(statement: Message) -> list[Reference]:
    """Every relation that a statement names in a RangeVar, CTE names left out."""
    found: list[Reference] = []
    _visit(statement, ("", ""), None, frozenset(), False, found)
    return found


def bare(statement: Message) -> list[tree.RangeVar]:
    """Those of them that are there already, and are named without a schema: the search path says which they are."""
    return [r.name for r in references(statement) if r.place not in CREATES and not r.name.schemaname]


def _visit(
    message: Message,
    place: tuple[str, str],
    node: tree.Node | None,
    ctes: frozenset[str],
    writing: bool,
    found: list[Reference],
) -> None:
    kind = type(message).__name__
    if kind == "RangeVar":
        if place not in _NOT_RELATIONS and not (
            place in _SOURCES and not message.schemaname and message.relname in ctes
        ):
            found.append(Reference(message, node if place in _SOURCES else None, place, writing))
        return
    writing = writing or kind in WRITES
    if kind in WRITES or kind == "SelectStmt":
        ctes = _with_clause(message, ctes, writing, found)
        dealt_with = "with_clause"
    else:
        dealt_with = ""
    for field, value in message.ListFields():
        if field.message_type is None or field.name == dealt_with:
            continue
        for item in value if field.is_repeated else (value,):
            holder = None
            if item.__class__ is tree.Node and (inside := item.WhichOneof("node")):
                item, holder = getattr(item, inside), item
            if item.__class__ not in _LEAVES:
                _visit(item, (kind, field.name), holder, ctes, writing, found)


def _with_clause(message: Message, ctes: frozenset[str], writing: bool, found: list[Reference]) -> frozenset[str]:
    """Visit the WITH entries, each with the names that it sees; returns what the statement sees."""
    if not message.HasField("with_clause"):
        return ctes
    entries = [unwrap(n) for n in message.with_clause.ctes]
    everything = ctes | {e.ctename for e in entries}
    seen = everything if message.with_clause.recursive else ctes
    for entry in entries:
        _visit(entry, ("WithClause", "ctes"), None, seen, writing, found)
        seen = seen | {entry.ctename}
    return everything


def children(message: Message) -> list[tuple[Message, str, tree.Node | None]]:
    """The messages directly inside one, with their field's name and the Node around them if there is one."""
    found: list[tuple[Message, str, tree.Node | None]] = []
    for field, value in () if message.__class__ in LEAVES else message.ListFields():
        if field.message_type is None:
            continue
        for item in value if field.is_repeated else (value,):
            if item.__class__ is not tree.Node:
                found.append((item, field.name, None))
            elif inside := item.WhichOneof("node"):
                found.append((getattr(item, inside), field.name, item))
    return found


@dataclass(frozen=True, slots=True)
class Names:
    """
    How names are looked up in one session.

    :ivar path: schemas in search order when known for certain, None when not. pg_catalog
        comes first unless it is listed, as the server has it.
    :ivar temporary: the session may have temporary relations; those of others mean nothing to it.
    """

    snapshot: Snapshot
    path: tuple[str, ...] | None = None
    temporary: bool = True

    def relations(self, name: tree.RangeVar) -> tuple[Relation, ...]:
        """
        What a RangeVar may mean, most likely first: none when the catalog does not know it, several
        when it depends on a search path that is not known.
        """
        known = [r for r in self.snapshot.named(name.schemaname, name.relname) if r.kind != "c" and (self.temporary or not _temporary(r))]
        if name.schemaname == "pg_temp":
            return tuple(r for r in self.snapshot.named("", name.relname) if _temporary(r))
        if name.schemaname or len(known) < 2:
            return tuple(known)
        return self._ordered(known)

    def _ordered(self, known: Sequence[Relation]) -> tuple[Relation, ...]:
        """Several schemas have it. System names win unless the path says otherwise; temporary ones always may."""
        first = next((r for r in known if r.schema == "pg_catalog"), None)
        if self.path is None:
            return tuple(known)
        temporary = [r for r in known if _temporary(r)]
        if "pg_catalog" not in self.path and first is not None:
            return (first, *temporary)
        for schema in self.path:
            if schema == "$user" and len(known) - len(temporary) > 1:
                return tuple(known)  # one of them may be the account's own, also one whose schema comes again behind it
            here = [r for r in known if r.schema == schema]
            if here:
                return (*here, *temporary)
        return tuple(known)


def _temporary(relation: Relation) -> bool:
    """Whether it is some session's."""
    return relation.schema.startswith("pg_temp_")
