"""
An UPDATE or DELETE with a guard in its WHERE: the statement fails, and changes nothing, when it would touch more than n rows.

The rows are counted in the statement itself, so by its own snapshot: what it then touches is among them, whoever else writes
meanwhile. Its command tag, its RETURNING and its parameters stay. What triggers and foreign keys do besides is not counted.

Source: PostgreSQL 18 manual, 13.2.1 "Read Committed Isolation Level"; 43.6.6 and 36.7 for volatility.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Snapshot
from addons.sql.naming import strings
from addons.sql.parse import Parsed, Unparsable, parse, unwrap, walk
from addons.sql.resolve import Names, references
from addons.sql.rewrite import rewritten
from addons.sql.upserts import is_upsert, proposed

SQLSTATE = "2201G"
"""What the server says when a guard fails: of the errors that plain SQL can raise, one that hardly anything else does."""

_GUARD = (
    "SELECT 1 WHERE CASE WHEN (SELECT pg_catalog.count(*) FROM (SELECT 1 FROM x LIMIT {room}) AS ostiary) OPERATOR(pg_catalog.<=) {most}"
    # random() keeps the planner from working it out, and so from failing, before anything was counted
    " THEN TRUE ELSE pg_catalog.width_bucket(pg_catalog.random(), CAST(0 AS pg_catalog.float8), CAST(0 AS pg_catalog.float8), 1) IS NULL END"
)
_WRITES = (tree.UpdateStmt, tree.DeleteStmt)
_HOLDERS = {"PrepareStmt": "query", "ExplainStmt": "query"}
_TABLES = frozenset("rp")
_DEPTH = 16  # of views in views that are looked through


class Uncountable(Exception):
    """How many rows it touches cannot be counted beforehand. `why` holds no value."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def writes(parsed: Parsed) -> list[Message]:
    """The statements that touch rows which are there, by themselves or inside."""
    return [s for s in parsed.statements if any(touches(m) for m in walk(s))]


def touches(message: Message) -> bool:
    """Whether it is an UPDATE, DELETE, MERGE, or INSERT that updates what it meets."""
    return isinstance(message, (*_WRITES, tree.MergeStmt)) or is_upsert(message)


def guarded(text: str, most: int, snapshot: Snapshot) -> str:
    """
    :param most: rows that each UPDATE, DELETE or upsert of the text may touch.
    :raises Uncountable: for one of them it cannot be told.
    """
    try:
        parsed = parse(text)
        for statement in writes(parsed):
            _check(statement, most, snapshot)
        return rewritten(parsed.copy(), lambda _index, statement: _put(statement, most))
    except Unparsable as error:
        raise Uncountable(error.why) from None


def fresh(text: str) -> tree.SelectStmt:
    """One statement that may be changed: what was parsed is remembered, and shared."""
    return unwrap(parse(text).copy().stmts[0].stmt)


def _write(statement: Message) -> Message | None:
    """The UPDATE, DELETE or upsert that a statement is, or that it prepares or explains."""
    holder = _HOLDERS.get(type(statement).__name__)
    inside = unwrap(getattr(statement, holder)) if holder else statement
    return inside if isinstance(inside, _WRITES) or is_upsert(inside) else None


def _check(statement: Message, most: int, snapshot: Snapshot) -> None:
    mine = _write(statement)
    if mine is None or sum(touches(m) for m in walk(statement)) > 1:
        raise Uncountable("it writes inside another statement, or by MERGE")
    if isinstance(mine, tree.InsertStmt):
        rows = proposed(mine, snapshot)
        if rows is None or rows > most:
            raise Uncountable("ON CONFLICT DO UPDATE counts only with that many rows of VALUES, or a LIMIT, or fewer")
        return
    found = Names(snapshot).relations(mine.relation)
    if not found or any(r.kind not in _TABLES for r in found):
        raise Uncountable(f"{mine.relation.relname} is no table that the gateway knows")
    changing = next(volatile(mine, snapshot), "")
    if changing:
        raise Uncountable(f"{changing} may give another answer each time")


def volatile(message: Message, snapshot: Snapshot, depth: int = _DEPTH) -> Iterator[str]:
    """Functions that it calls, also in views, whose answers may change while it runs; what it assigns does not count."""
    where = message.where_clause if isinstance(message, _WRITES) else message
    sources = [unwrap(node) for field in ("from_clause", "using_clause") for node in getattr(message, field, ())]
    if isinstance(message, _WRITES) and message.HasField("with_clause"):
        sources.append(message.with_clause)
    parts = [where, *sources] if isinstance(message, _WRITES) else [message]
    for part in parts:
        for one in walk(part):
            if isinstance(one, tree.FuncCall):
                name = strings(one.funcname)[-1]
                yield from (f"{name}()" for f in snapshot.by_function_name.get(name, ())[:64] if f.volatility == "v")
            elif isinstance(one, tree.A_Expr) and one.name:
                known = (snapshot.functions.get(oid) for oid in snapshot.operators.get(strings(one.name)[-1], ()))
                yield from ("an operator" for f in known if f is None or f.volatility == "v")
        for reference in references(part):
            for relation in Names(snapshot).relations(reference.name):
                if relation.definition and not depth:
                    yield relation.label
                elif relation.definition:
                    yield from volatile(parse(relation.definition).result, snapshot, depth - 1)


def _put(statement: Message, most: int) -> None:
    write = _write(statement)
    if write is None or isinstance(write, tree.InsertStmt) or _one_row(write):
        return
    guard = fresh(_GUARD.format(room=most + 1, most=most)).where_clause
    counted = unwrap(unwrap(guard).args[0]).expr.a_expr.lexpr.sub_link.subselect.select_stmt.from_clause[0]
    _count(counted.range_subselect.subquery.select_stmt, write)
    if write.HasField("where_clause"):
        both = tree.Node()
        both.bool_expr.boolop = tree.AND_EXPR
        both.bool_expr.args.extend(_conjuncts(write.where_clause))
        both.bool_expr.args.add().CopyFrom(guard)
        write.where_clause.CopyFrom(both)
    else:
        write.where_clause.CopyFrom(guard)


def _conjuncts(where: tree.Node) -> list[tree.Node]:
    """The parts of an AND, since the grammar reads AND of AND as one; else the condition itself."""
    whole = unwrap(where)
    return list(whole.args) if isinstance(whole, tree.BoolExpr) and whole.boolop == tree.AND_EXPR else [where]


def _one_row(write: Message) -> bool:
    return any(isinstance(m, tree.CurrentOfExpr) for m in walk(write.where_clause))


def _count(rows: tree.SelectStmt, write: Message) -> None:
    """The rows that the write meets, each once however often a join finds it."""
    del rows.from_clause[:]
    rows.from_clause.add().range_var.CopyFrom(write.relation)
    joined = [*getattr(write, "from_clause", ()), *getattr(write, "using_clause", ())]
    rows.from_clause.extend(joined)
    if write.HasField("where_clause"):
        rows.where_clause.CopyFrom(write.where_clause)
    if joined:
        name = write.relation.alias.aliasname or write.relation.relname
        quoted = '"' + name.replace('"', '""') + '"'
        template = fresh(f"SELECT DISTINCT {quoted}.tableoid, {quoted}.ctid")
        del rows.target_list[:]
        rows.target_list.extend(template.target_list)
        rows.distinct_clause.extend(template.distinct_clause)
