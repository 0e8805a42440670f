"""
A parsed statement to what it is and what it touches: one pass over the whole tree, judged by node types alone.

Nested statements (in WITH, COPY, EXPLAIN ANALYZE, PREPARE, DECLARE, views, rules) count as themselves. What depends
on the gateway's configuration (functions, settings, prepared names) is gathered here and weighed in `assess`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.bounds import Columns, filtered, finite_query
from addons.sql.cascades import RELATIONS, own, unenforced
from addons.sql.changes import change_of, is_set_config, plain_calls, set_config
from addons.sql.constants import strings
from addons.sql.ctes import NO_CTES, Ctes
from addons.sql.finding import Finding, Name
from addons.sql.kinds import ALTER_DESTRUCTIVE, ALTER_PRIVILEGE, CONSTRUCTS, JSON_OPS, PARTS, SECRETS, STATEMENTS, TRUSTED_LANGUAGES
from addons.sql.naming import name_of, returned, spelt
from addons.sql.parse import Parsed, Unparsable, unwrap
from addons.sql.upserts import bounded_upsert

_NAMED_OPERATORS = frozenset({
    tree.AEXPR_OP, tree.AEXPR_OP_ANY, tree.AEXPR_OP_ALL, tree.AEXPR_DISTINCT, tree.AEXPR_NOT_DISTINCT, tree.AEXPR_NULLIF,
    tree.AEXPR_IN, tree.AEXPR_LIKE, tree.AEXPR_ILIKE, tree.AEXPR_SIMILAR,
})
_LEAVES = frozenset({"string", "a_const", "type_name", "a_star", "alias", "param_ref"})
"""Fields of `Node` with nothing to look into; skipped by name, since making a message costs more than the look."""

STATEMENTS_LIMIT = 5000
"""Statements in one string: a script, not a stranger's way to spend our time."""

NODES_LIMIT = 100_000
"""Messages looked into for one statement, about a second's work. Constants do not count: 1 MiB of VALUES passes."""

_EQUALS = ("", "=")  #: what the grammar itself puts there
_WEAK_LOCKS = {1: "read", 2: "write", 3: "write"}  #: ACCESS SHARE, ROW SHARE, ROW EXCLUSIVE (lockdefs.h)
_UNFILTERED = "has a filter that does not bound the rows it reaches in {}"


def unknown_columns(schema: str, name: str) -> frozenset[str] | None:
    """What is known of columns without a catalog."""
    return None


def classify(parsed: Parsed, columns: Columns = unknown_columns) -> tuple[Finding, ...]:
    """
    One Finding for each statement of a string, in order.

    :raises Unparsable: it is more than we look into.
    """
    if len(parsed.statements) > STATEMENTS_LIMIT:
        raise Unparsable(f"more than {STATEMENTS_LIMIT} statements in one string")
    return tuple(_finding(statement, columns) for statement in parsed.statements)


def _finding(statement: Message, columns: Columns) -> Finding:
    found = Finding(type(statement).__name__.removesuffix("Stmt"))
    if isinstance(statement, tree.VariableSetStmt):
        found.changes.append(change_of(statement))
        return found
    plain = [set_config(call, select) for call, select in plain_calls(statement)]
    visit = _Visit(found, columns)
    visit.run(statement)
    if visit.lone & visit.aliases:
        found.columns.add("*")  # a whole row
    if len(found.changes) == len(plain):
        found.changes = plain
    if isinstance(statement, tree.PrepareStmt):
        found.prepares = statement.name
    return found


_NAMES = frozenset({tree.TypeName, tree.Alias})


class _Visit:
    """One walk. The stack holds (message, the CTEs in force); `later` is done when the walk was not too long."""

    def __init__(self, found: Finding, columns: Columns) -> None:
        self.found, self.columns = found, columns
        self.stack: list[tuple[Message, Ctes]] = []
        self.later: list[Callable[[], None]] = []
        self.seen = 0
        self.lone: set[str] = set()  #: column names without a qualifier
        self.aliases: set[str] = set()  #: what relations and sub-selects are called

    def run(self, message: Message, scope: Ctes = NO_CTES) -> None:
        self.stack.append((message, scope))
        while self.stack:
            here, inside = self.stack.pop()
            if here.__class__ is tree.Node:
                name = here.WhichOneof("node")
                if name is None or name in _LEAVES:
                    continue
                here = getattr(here, name)
            elif here.__class__ in _NAMES:
                continue
            self.seen += 1
            if self.seen > NODES_LIMIT:
                raise Unparsable("the statement is larger than the gateway looks into")
            self._meet(here, inside)
        for do in self.later:
            do()

    def _meet(self, here: Message, scope: Ctes) -> None:
        kind = type(here).__name__
        classes = STATEMENTS.get(kind)
        if classes is not None:
            for name in classes:
                analyze = kind == "VacuumStmt" and not here.is_vacuumcmd
                self.found.add(name, f"is {'ANALYZE' if analyze else _TITLES[kind]}")
            if kind != "SelectStmt":
                self.found.kinds.add(kind.removesuffix("Stmt"))
        elif kind not in PARTS:
            self.found.add("unknown", f"holds a node this version does not know ({kind})")
            return
        inside = self._with(here, scope) if classes is not None else scope
        look = _LOOKS.get(kind)
        skip = look(self, here, inside) if look is not None else ()
        if skip is None:
            return
        if classes is not None:
            skip = (*skip, "with_clause")
        for part, value in here.ListFields():
            if part.message_type is None or part.name in skip:
                continue
            if part.is_repeated:
                self.stack.extend((item, inside) for item in value)
            else:
                self.stack.append((value, inside))

    def _with(self, statement: Message, scope: Ctes) -> Ctes:
        """The scope inside a statement with WITH; visits the CTEs, each seeing the ones before it (all when RECURSIVE)."""
        if "with_clause" not in statement.DESCRIPTOR.fields_by_name or not statement.HasField("with_clause"):
            return scope
        clause, names = statement.with_clause, {}
        entries = [unwrap(node) for node in clause.ctes]
        if clause.recursive:
            names.update((entry.ctename, (0, False)) for entry in entries)
        for at, entry in enumerate(entries):
            inside = Ctes(names, at + clause.recursive, scope)
            self.stack.append((entry, inside))
            if not clause.recursive:
                names[entry.ctename] = (at, finite_query(entry.ctequery, inside, self.columns))
        return Ctes(names, len(entries) + 1, scope)

    def write(self, relation: tree.RangeVar, kind: str, why: str, *, touches: bool = False) -> None:
        """A statement writes a relation, and `touches` rows that are there; in the server's catalogs that is configuring the server."""
        name = name_of(relation)
        if touches:
            self.found.touched.add(name)
        self.found.relations.add(name)
        self.found.written.add(name)
        self.aliases.add(relation.alias.aliasname or relation.relname)
        if _system(name):
            self.found.add("server-config", f"writes the system catalog {relation.relname}")
        else:
            self.found.add(kind, why)


_TITLES = {kind: re.sub("(?<=[a-z])(?=[A-Z])", " ", kind.removesuffix("Stmt")).upper() for kind in STATEMENTS}
"""Node types as a person would say them: AlterTableStmt is ALTER TABLE."""


def _system(name: Name) -> bool:
    schema, relation = name
    return schema in ("pg_catalog", "information_schema") or schema.startswith("pg_toast") or (not schema and relation.startswith("pg_"))


Skip = tuple[str, ...] | None
"""Fields that a look has dealt with; None for all of them."""


def _select(visit: _Visit, node: tree.SelectStmt, scope: Ctes) -> Skip:
    if node.HasField("into_clause"):
        visit.write(node.into_clause.rel, "ddl", "makes a table (SELECT INTO)")
    if node.locking_clause:
        visit.found.add("write", "locks rows")
    if not node.values_lists or visit.found.kind == "Select":
        visit.found.add("read", "reads")
    return ("into_clause", "locking_clause")


def _insert(visit: _Visit, node: tree.InsertStmt, scope: Ctes) -> Skip:
    visit.write(node.relation, "write", "inserts rows")
    visit.found.columns.update([unwrap(c).name for c in node.cols] or ["*"])
    if node.HasField("on_conflict_clause") and node.on_conflict_clause.action == tree.ONCONFLICT_UPDATE:
        clause = node.on_conflict_clause
        visit.found.columns.update(unwrap(t).name for t in clause.target_list)
        visit.found.touched.add((node.relation.schemaname, node.relation.relname))
        visit.later.append(lambda: _upsert(visit, node, scope))
    return ("relation",)


def _upsert(visit: _Visit, node: tree.InsertStmt, scope: Ctes) -> None:
    if not bounded_upsert(node, scope, visit.columns):
        visit.found.add("write-unfiltered", _UNFILTERED.format(node.relation.relname) + " (ON CONFLICT DO UPDATE)")


def _update(visit: _Visit, node: tree.UpdateStmt, scope: Ctes) -> Skip:
    visit.found.columns.update(unwrap(t).name for t in node.target_list)
    visit.later.append(lambda: _filtered_write(visit, node, node.from_clause, scope, "updates rows"))
    return ("relation",)


def _delete(visit: _Visit, node: tree.DeleteStmt, scope: Ctes) -> Skip:
    visit.later.append(lambda: _filtered_write(visit, node, node.using_clause, scope, "deletes rows"))
    return ("relation",)


def _filtered_write(visit: _Visit, node: tree.UpdateStmt | tree.DeleteStmt, others: object, scope: Ctes, why: str) -> None:
    where = node.where_clause if node.where_clause.WhichOneof("node") else None
    if where is not None and filtered(node.relation, others, where, scope, visit.columns):
        visit.write(node.relation, "write", why, touches=True)
    else:
        why = _UNFILTERED if where is not None else "has no filter on {}"
        visit.write(node.relation, "write-unfiltered", why.format(node.relation.relname), touches=True)


def _merge(visit: _Visit, node: tree.MergeStmt, scope: Ctes) -> Skip:
    visit.later.append(lambda: _merged(visit, node, scope))
    return ("relation",)


def _merged(visit: _Visit, node: tree.MergeStmt, scope: Ctes) -> None:
    joined = filtered(node.relation, [node.source_relation], node.join_condition, scope, visit.columns)
    for clause in map(unwrap, node.merge_when_clauses):
        visit.found.columns.update(unwrap(t).name for t in clause.target_list)
        if clause.command_type not in (tree.CMD_UPDATE, tree.CMD_DELETE):
            visit.write(node.relation, "write", "merges rows")
            continue
        matched = joined and clause.match_kind != tree.MERGE_WHEN_NOT_MATCHED_BY_SOURCE
        condition = clause.condition if clause.condition.WhichOneof("node") else None
        own = condition is not None and filtered(node.relation, [node.source_relation], condition, scope, visit.columns)
        if matched or own:
            visit.write(node.relation, "write", "merges rows", touches=True)
        else:
            visit.write(node.relation, "write-unfiltered", _UNFILTERED.format(node.relation.relname) + " (MERGE)", touches=True)


def _copy(visit: _Visit, node: tree.CopyStmt, scope: Ctes) -> Skip:
    if node.is_program:
        visit.found.add("program", "runs a program on the server (COPY PROGRAM)")
    elif node.filename:
        visit.found.add("file", "reads or writes a file on the server (COPY)")
    if node.HasField("relation"):
        visit.found.columns.update(strings(node.attlist) or {"*"})
        if node.is_from:
            visit.write(node.relation, "write", "copies rows in")
            return ("relation", "attlist")
        visit.found.add("read", "copies rows out")
    return ("attlist",)


def _explain(visit: _Visit, node: tree.ExplainStmt, scope: Ctes) -> Skip:
    """With ANALYZE the statement runs; without, it is planned, and planning runs IMMUTABLE functions."""
    if any(_analyze(unwrap(option)) for option in node.options):
        visit.found.add("read", "explains")
        return ("options",)
    inner = Finding("")
    explained = _Visit(inner, visit.columns)
    explained.run(node.query, scope)
    visit.lone |= explained.lone
    visit.aliases |= explained.aliases
    for kind, why in inner.classes.items():
        if kind not in ("write", "write-unfiltered", "ddl", "maintenance"):
            visit.found.add(kind, why)
    visit.found.add("read", "explains")
    for name in ("relations", "columns", "functions", "called", "types", "fields", "operators", "constructs", "executes"):
        getattr(visit.found, name).update(getattr(inner, name))
    visit.found.changes.extend(inner.changes)
    return None


def _analyze(option: tree.DefElem) -> bool:
    if option.defname != "analyze":
        return False
    value = unwrap(option.arg)
    text = getattr(value, "sval", None)
    text = str(getattr(value, "ival", "")) if text is None else text
    return not (option.arg.WhichOneof("node") and text.lower() in ("off", "false", "0"))


def _range(visit: _Visit, node: tree.RangeVar, scope: Ctes) -> Skip:
    _alias(visit, node.alias, node.relname)
    if node.schemaname or scope.get(node.relname) is None:
        name = name_of(node)
        visit.found.relations.add(name)
        if node.relname in SECRETS and _system(name):
            visit.found.add(SECRETS[node.relname], f"reads {node.relname}")
    return None


def _alias(visit: _Visit, alias: tree.Alias, name: str) -> None:
    """What columns are called may be changed here, and then any of them may be meant."""
    visit.aliases.add(alias.aliasname or name)
    if alias.colnames:
        visit.found.columns.add("*")


def _subselect(visit: _Visit, node: tree.RangeSubselect, scope: Ctes) -> Skip:
    visit.aliases.add(node.alias.aliasname)
    return ()


def _join(visit: _Visit, node: tree.JoinExpr, scope: Ctes) -> Skip:
    visit.found.columns.update(strings(node.using_clause))
    if node.is_natural:
        visit.found.columns.add("*")
    if node.is_natural or node.using_clause:
        visit.found.operators.add(_EQUALS)
    return ("using_clause",)


def _index_column(visit: _Visit, node: tree.IndexElem, scope: Ctes) -> Skip:
    if node.name:
        visit.found.columns.add(node.name)
    return ()


def _construct(visit: _Visit, node: Message, scope: Ctes) -> Skip:
    kind = type(node).__name__
    visit.found.constructs.add(JSON_OPS.get(node.op, "") if kind == "JsonFuncExpr" else CONSTRUCTS[kind])
    return ()


def _column(visit: _Visit, node: tree.ColumnRef, scope: Ctes) -> Skip:
    names = strings(node.fields)
    visit.found.columns.add(names[-1])
    if len(names) == 1:
        visit.lone.add(names[0])
    if len(names) > 1 and names[-1] != "*":
        visit.found.fields.add("." + names[-1])
    return None


def _call(visit: _Visit, node: tree.FuncCall, scope: Ctes) -> Skip:
    names = spelt(node.funcname)
    name = (names[-2] if len(names) > 1 else "", names[-1])
    visit.found.functions.add(name)
    if name[1] == "system_user" and node.funcformat == tree.COERCE_SQL_SYNTAX:
        visit.found.columns.add("system_user")  # which it is before PostgreSQL 16
    if is_set_config(node):
        visit.found.changes.append(set_config(node))
    return ("funcname",)


def _procedure(visit: _Visit, node: tree.CallStmt, scope: Ctes) -> Skip:
    names = strings(node.funccall.funcname)
    visit.found.called.add((names[-2] if len(names) > 1 else "", names[-1]))
    return ()


def _field(visit: _Visit, node: tree.A_Indirection, scope: Ctes) -> Skip:
    visit.found.fields.update(name for name in strings(node.indirection) if name not in ("", "*"))
    visit.found.columns.update(name for name in strings(node.indirection) if name)
    return ()


def _operator(visit: _Visit, name: object) -> None:
    names = strings(name)
    if names:
        visit.found.operators.add((names[-2] if len(names) > 1 else "", names[-1]))


def _expression(visit: _Visit, node: tree.A_Expr, scope: Ctes) -> Skip:
    if node.kind in _NAMED_OPERATORS:
        _operator(visit, node.name)
    else:  # BETWEEN and its like
        visit.found.operators.update((("", ">="), ("", "<=")))
    return ("name",)


def _case(visit: _Visit, node: tree.CaseExpr, scope: Ctes) -> Skip:
    if node.HasField("arg"):
        visit.found.operators.add(_EQUALS)
    return ()


def _cast(visit: _Visit, node: tree.TypeCast, scope: Ctes) -> Skip:
    names = spelt(node.type_name.names)
    visit.found.types.add((names[-2] if len(names) > 1 else "", names[-1]))
    return ("type_name",)


def _sublink(visit: _Visit, node: tree.SubLink, scope: Ctes) -> Skip:
    _operator(visit, node.oper_name)
    if node.HasField("testexpr") and not node.oper_name:
        visit.found.operators.add(_EQUALS)
    return ("oper_name",)


def _sort(visit: _Visit, node: tree.SortBy, scope: Ctes) -> Skip:
    _operator(visit, node.use_op)
    return ("use_op",)


def _sample(visit: _Visit, node: tree.RangeTableSample, scope: Ctes) -> Skip:
    names = strings(node.method)
    visit.found.functions.add((names[-2] if len(names) > 1 else "", names[-1]))
    return ("method",)


def _lock(visit: _Visit, node: tree.LockStmt, scope: Ctes) -> Skip:
    visit.found.add(_WEAK_LOCKS.get(node.mode, "lock"), "locks tables")
    return ()


def _alter_table(visit: _Visit, node: tree.AlterTableStmt, scope: Ctes) -> Skip:
    names = {tree.AlterTableType.Name(unwrap(cmd).subtype) for cmd in node.cmds}
    visit.found.columns.update(name for cmd in node.cmds if "Column" in tree.AlterTableType.Name(unwrap(cmd).subtype) and (name := unwrap(cmd).name))
    visit.found.add("ddl", "is ALTER TABLE")
    if names & ALTER_DESTRUCTIVE or any(unenforced(unwrap(cmd)) for cmd in node.cmds):
        visit.found.add("ddl-destructive", "drops or rewrites part of a relation")
    if names & ALTER_PRIVILEGE:
        visit.found.add("privilege", "changes an owner, row security, triggers or rules")
    if "AT_GenericOptions" in names:
        visit.found.add("network", "changes a foreign table")
    return ()


def _drop(visit: _Visit, node: tree.DropStmt, scope: Ctes) -> Skip:
    visit.found.add(*(("ddl", "drops what is its own session's alone") if own(node) else ("ddl-destructive", "is DROP")))
    if node.remove_type == tree.OBJECT_POLICY:
        visit.found.add("privilege", "drops a row security policy")
    for item in node.objects:
        names = strings(unwrap(item).items) if isinstance(unwrap(item), tree.List) else ()
        if names and node.remove_type in RELATIONS:
            visit.found.relations.add((names[-2] if len(names) > 1 else "", names[-1]))
    return ()


def _rename(visit: _Visit, node: tree.RenameStmt, scope: Ctes) -> Skip:
    role = node.rename_type == tree.OBJECT_ROLE
    visit.found.add("privilege" if role else "ddl", "renames")
    if node.rename_type in (tree.OBJECT_COLUMN, tree.OBJECT_ATTRIBUTE):
        visit.found.columns.update((node.subname, node.newname))
    return ()


def _function(visit: _Visit, node: tree.CreateFunctionStmt, scope: Ctes) -> Skip:
    visit.found.add("procedural", "makes a function")
    visit.found.add("ddl", "is CREATE FUNCTION")
    _language(visit, node.options)
    _among_the_servers(visit, strings(node.funcname)[:-1])
    return ()


def _define(visit: _Visit, node: tree.DefineStmt, scope: Ctes) -> Skip:
    _among_the_servers(visit, strings(node.defnames)[:-1])
    return ()


def _move(visit: _Visit, node: tree.AlterObjectSchemaStmt, scope: Ctes) -> Skip:
    _among_the_servers(visit, (node.newschema,))
    return ()


def _among_the_servers(visit: _Visit, schema: tuple[str, ...]) -> None:
    """What stands there is taken for the server's own, whoever made it."""
    if schema and schema[-1] in ("pg_catalog", "information_schema"):
        visit.found.add("server-config", f"makes something in the server's own schema {schema[-1]}")


def _do(visit: _Visit, node: tree.DoStmt, scope: Ctes) -> Skip:
    visit.found.add("procedural", "runs code whose inside cannot be seen (DO)")
    _language(visit, node.args)
    return None


def _language(visit: _Visit, options: object) -> None:
    for option in map(unwrap, options):
        if option.defname == "language" and unwrap(option.arg).sval.lower() not in TRUSTED_LANGUAGES:
            visit.found.add("program", "uses a language that reaches the server's files and network")


def _execute(visit: _Visit, node: tree.ExecuteStmt, scope: Ctes) -> Skip:
    visit.found.executes.add(node.name)
    return ()


def _opaque(visit: _Visit, node: Message, scope: Ctes) -> Skip:
    """A SET inside ALTER ROLE, DATABASE, FUNCTION or SYSTEM: their own class covers it."""
    return None


_LOOKS: dict[str, Callable[[_Visit, Message, Ctes], Skip]] = {
    "SelectStmt": _select, "InsertStmt": _insert, "UpdateStmt": _update, "DeleteStmt": _delete, "MergeStmt": _merge,
    "CopyStmt": _copy, "ExplainStmt": _explain, "RangeVar": _range, "ColumnRef": _column, "FuncCall": _call,
    "CallStmt": _procedure, "A_Indirection": _field, "A_Expr": _expression, "TypeCast": _cast, "CaseExpr": _case, "SubLink": _sublink, "SortBy": _sort,
    "RangeTableSample": _sample, "LockStmt": _lock, "AlterTableStmt": _alter_table, "DropStmt": _drop, "RenameStmt": _rename,
    "ReturningClause": lambda visit, clause, scope: visit.aliases.update(returned(clause)) or ("options",), "RangeSubselect": _subselect, "JoinExpr": _join, "IndexElem": _index_column, **dict.fromkeys(CONSTRUCTS, _construct),
    "CreateFunctionStmt": _function, "DefineStmt": _define, "AlterObjectSchemaStmt": _move, "DoStmt": _do, "ExecuteStmt": _execute, "VariableSetStmt": _opaque,
}
