"""
What DDL that is not committed yet may have changed of the catalog, by name: trees to what can no longer be judged by a snapshot.

Names are last names, whatever their schema: to say too much costs a commit, to say too little judges by what is gone. What is
only dropped leaves behind what the snapshot has. Code is not run here: a block's or body's words are taken for the names that it changes.

Source: PostgreSQL 18 manual, part VI, the commands that begin with CREATE and ALTER.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import lru_cache

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.finding import Name
from addons.sql.naming import strings
from addons.sql.parse import Unparsable, parse, unwrap, walk
from addons.sql.resolve import references

_KEPT = 4096  # texts

QUIET = frozenset(
    """
    SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt ExplainStmt PrepareStmt ExecuteStmt DeallocateStmt
    DeclareCursorStmt FetchStmt ClosePortalStmt TransactionStmt VariableSetStmt VariableShowStmt DiscardStmt ListenStmt
    UnlistenStmt NotifyStmt LockStmt ConstraintsSetStmt CheckPointStmt TruncateStmt RefreshMatViewStmt
    VacuumStmt ReindexStmt ClusterStmt CommentStmt SecLabelStmt GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt CreateRoleStmt AlterRoleStmt
""".split()
)
"""They leave what is judged by of the catalog as it is (SELECT INTO and COMMIT PREPARED do not); after any other it is read again."""


@dataclass(frozen=True, slots=True)
class Moved:
    """
    A relation that is not what it was.

    :ivar rows: relations whose rows it may hold or be. :ivar behind: those that writing it may write. :ivar calls: functions that it names.
    """

    name: str
    rows: frozenset[Name] = frozenset()
    behind: frozenset[Name] = frozenset()
    calls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Flux:
    """
    :ivar routines: functions, procedures, aggregates and operators: what such a name calls is not known.
    :ivar types: to convert to one of these may call anything. :ivar domains: new ones, each with the name of its base.
    :ivar schemas: whose name was another's.
    :ivar unseen: code ran that may have changed anything.
    """

    routines: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    domains: frozenset[tuple[str, str]] = frozenset()
    relations: frozenset[Moved] = frozenset()
    schemas: frozenset[str] = frozenset()
    unseen: bool = False

    def __or__(self, other: Flux | None) -> Flux:
        return self if other is None else Flux(*(getattr(self, f.name) | getattr(other, f.name) for f in fields(Flux)))

    __ror__ = __or__

    @property
    def calls(self) -> bool:
        """Whether what runs, and not only which rows are meant, may be something else."""
        return bool(self.routines or self.types or self.unseen)

    def moved(self, name: str) -> Iterator[Moved]:
        return (one for one in self.relations if one.name == name)

    def leads(self, names: Iterable[Name], written: Iterable[Name]) -> tuple[set[Name], set[Name]]:
        """What these relations may be now, and which of that is written where those are."""
        found, through, written = set(), set(), set(written)
        for name in names:
            more = {row for one in self.moved(name[1]) for row in one.rows} | ({("", name[1])} if name[0] in self.schemas else set())
            found |= more
            if name in written:
                behind = {to for one in self.moved(name[1]) for to in one.behind}
                found, through = found | behind, through | more | behind
        return found, through


def together(changes: Iterable[Flux | None]) -> Flux | None:
    """All of them; None where none is."""
    found: Flux | None = None
    for change in changes:
        found = change if found is None else found | change
    return found


def changed(statement: Message) -> Flux | None:
    """What a statement itself changes; None where it leaves the catalog as it is."""
    kind = type(statement).__name__
    if kind in _LOOKS:
        return _LOOKS[kind](statement)
    return None if kind in QUIET else Flux()


@lru_cache(maxsize=_KEPT)
def changed_by(text: str) -> Flux | None:
    """What a string changes. Nothing, when it is no SQL."""
    try:
        return together(changed(statement) for statement in parse(text).statements)
    except Unparsable:
        return None


def _routine(*names: str) -> Flux:
    return Flux(routines=frozenset(names))


def _relation(name: tree.RangeVar, rows: Iterable[Name] = (), behind: Iterable[Name] = (), calls: Iterable[str] = ()) -> Flux:
    return Flux(relations=frozenset({Moved(name.relname, frozenset(rows), frozenset(behind), frozenset(calls))}))


def _name(relation: tree.RangeVar) -> Name:
    return relation.schemaname, relation.relname


def _calls(message: Message) -> set[str]:
    return {strings(m.funcname)[-1] for m in walk(message) if isinstance(m, tree.FuncCall) and m.funcname}


def _last(node: Message) -> str:
    """The last name of what a statement is about, in whatever form the grammar holds it."""
    inside = unwrap(node)
    for field in ("objname", "names", "items"):
        if hasattr(inside, field):
            return (strings(getattr(inside, field)) or [""])[-1]
    return getattr(inside, "sval", "")


# by kind


def _select(select: tree.SelectStmt) -> Flux | None:
    """The leftmost of a set operation may have INTO."""
    while select.HasField("larg"):
        select = select.larg
    return _relation(select.into_clause.rel) if select.HasField("into_clause") else None


def _explain(explain: tree.ExplainStmt) -> Flux | None:
    inside = unwrap(explain.query)
    return changed(inside) if isinstance(inside, tree.CreateTableAsStmt) else None


def _transaction(statement: tree.TransactionStmt) -> Flux | None:
    return Flux(unseen=True) if statement.kind == tree.TRANS_STMT_COMMIT_PREPARED else None


def _create(create: tree.CreateStmt) -> Flux:
    parents = [unwrap(node) for node in create.inh_relations]
    return _kin(create.relation, parents) | _relation(create.relation, calls=_calls(create))


def _kin(child: tree.RangeVar, parents: Iterable[Message]) -> Flux:
    """A child holds its parents' rows, and a parent returns its children's."""
    found = _relation(child)
    for parent in parents:
        found = found | _relation(child, [_name(parent)]) | _relation(parent, [_name(child)])
    return found


def _alter_table(alter: tree.AlterTableStmt) -> Flux:
    found = _relation(alter.relation, calls=_calls(alter))
    for command in map(unwrap, alter.cmds):
        inside = unwrap(getattr(command, "def"))
        if isinstance(inside, tree.PartitionCmd):
            found = found | _kin(inside.name, [alter.relation])
        elif isinstance(inside, tree.RangeVar):
            found = found | _kin(alter.relation, [inside])
    return found


def _view(view: tree.ViewStmt) -> Flux:
    return _relation(view.view, behind={_name(r.name) for r in references(view.query)}, calls=_calls(view))


def _rule(rule: tree.RuleStmt) -> Flux:
    behind = {_name(r.name) for action in rule.actions for r in references(unwrap(action))}
    return _relation(rule.relation, behind=behind, calls=_calls(rule))


def _rename(rename: tree.RenameStmt) -> Flux:
    if rename.rename_type in _ROUTINES:
        return _routine(_last(rename.object), rename.newname)
    if rename.rename_type in _RELATIONS:
        new = tree.RangeVar(relname=rename.newname)
        return _relation(new, [_name(rename.relation)]) | _relation(rename.relation)
    if rename.rename_type in (tree.OBJECT_TYPE, tree.OBJECT_DOMAIN):
        return Flux(types=frozenset({_last(rename.object), rename.newname}))
    if rename.rename_type == tree.OBJECT_SCHEMA:
        return Flux(schemas=frozenset({rename.subname, rename.newname}))
    return _relation(rename.relation) if rename.HasField("relation") else Flux()  # a column's name


def _schema(move: tree.AlterObjectSchemaStmt) -> Flux:
    if move.object_type in _ROUTINES or move.object_type == tree.OBJECT_OPERATOR:
        return _routine(_last(move.object))
    if move.HasField("relation"):
        return _relation(move.relation, [_name(move.relation)])
    if move.object_type in (tree.OBJECT_TYPE, tree.OBJECT_DOMAIN):
        return Flux(types=frozenset({_last(move.object)}))
    return Flux(schemas=frozenset({move.newschema}))


def _define(define: tree.DefineStmt) -> Flux:
    name = (strings(define.defnames) or [""])[-1]
    if define.kind in (tree.OBJECT_AGGREGATE, tree.OBJECT_OPERATOR):
        return _routine(name)
    return Flux(types=frozenset({name})) if define.kind == tree.OBJECT_TYPE else Flux()


def _cast(cast: tree.CreateCastStmt) -> Flux:
    return Flux(types=frozenset(strings(end.names)[-1] for end in (cast.sourcetype, cast.targettype)))


def _domain(create: tree.CreateDomainStmt) -> Flux:
    return Flux(domains=frozenset({(strings(create.domainname)[-1], strings(create.type_name.names)[-1])}))


def _do(do: tree.DoStmt) -> Flux:
    options = {unwrap(node).defname: unwrap(unwrap(node).arg) for node in do.args}
    language = options["language"].sval.lower() if "language" in options else "plpgsql"
    body = options["as"].sval if "as" in options else ""
    return Flux() | (spoken(body) if language in ("plpgsql", "sql") else Flux(unseen=True))


_ROUTINES = frozenset({tree.OBJECT_FUNCTION, tree.OBJECT_PROCEDURE, tree.OBJECT_ROUTINE, tree.OBJECT_AGGREGATE})
_RELATIONS = frozenset(
    {tree.OBJECT_TABLE, tree.OBJECT_VIEW, tree.OBJECT_MATVIEW, tree.OBJECT_FOREIGN_TABLE, tree.OBJECT_SEQUENCE, tree.OBJECT_INDEX}
)
_LOOKS: dict[str, Callable[[Message], Flux | None]] = {
    "SelectStmt": _select, "ExplainStmt": _explain, "TransactionStmt": _transaction, "CreateStmt": _create, "AlterTableStmt": _alter_table,
    "CreateTableAsStmt": lambda create: _relation(create.into.rel), "CreateForeignTableStmt": lambda create: _create(create.base_stmt),
    "ViewStmt": _view, "RuleStmt": _rule, "RenameStmt": _rename, "AlterObjectSchemaStmt": _schema, "DefineStmt": _define,
    "CreateFunctionStmt": lambda create: _routine(strings(create.funcname)[-1]), "AlterFunctionStmt": lambda alter: _routine(_last(alter.func)),
    "AlterOperatorStmt": lambda alter: _routine(_last(alter.opername)), "CreateCastStmt": _cast, "CreateDomainStmt": _domain, "DoStmt": _do,
    "CreateSchemaStmt": lambda create: Flux() | together(changed(unwrap(one)) for one in create.schema_elts),
    **dict.fromkeys(("CallStmt", "AlterExtensionContentsStmt", "ImportForeignSchemaStmt"), lambda _: Flux(unseen=True)),
}  # fmt: skip

# code

_WORD = re.compile(r"[\w$]+")
_SYMBOL = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
_CHANGING = frozenset({"create", "alter", "drop"})
_HIDING = re.compile(r"""\b(?:execute|import|call|do(?!\s+(?:nothing|update|instead|also)\b))\b|u&['"]""", re.IGNORECASE)
"""Static text does what it says; these do what a string says, or what stands elsewhere."""


@lru_cache(maxsize=_KEPT)
def words_of(body: str) -> frozenset[str]:
    """All that may be a name in code."""
    return frozenset(word for found in _WORD.findall(body) for word in (found, found.lower()))


@lru_cache(maxsize=_KEPT)
def spoken(body: str) -> Flux | None:
    """What code in PL/pgSQL or SQL may change, by its words; None where it changes nothing. What it calls is not looked into."""
    words = words_of(body)
    if _HIDING.search(body):
        return Flux(unseen=True)
    if not words & _CHANGING:
        return None
    everything = frozenset(("", word) for word in words)
    calls = words & {"function", "procedure", "routine", "aggregate", "operator"}
    rows = words & {"view", "table", "rule", "rename", "schema"}
    return Flux(
        words | frozenset(_SYMBOL.findall(body)) if calls else frozenset(),
        words if words & {"cast", "rename"} or "type" in words and "schema" in words else frozenset(),
        relations=frozenset(Moved(word, everything, everything) for word in words) if rows else frozenset(),
        schemas=words if "schema" in words else frozenset(),
    )
