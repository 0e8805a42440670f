"""
Which rows an INSERT … ON CONFLICT DO UPDATE may update, and how many at most: no more than it proposes, where those stand in its text.

Source: PostgreSQL 18 manual, INSERT ("ON CONFLICT Clause"): it does not update one row twice; 36.5.9 for functions that return sets.
"""

from __future__ import annotations

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.bounds import Columns, Ctes, filtered, finite_query
from addons.sql.catalog import Snapshot
from addons.sql.naming import strings
from addons.sql.parse import unwrap, walk
from addons.sql.resolve import children


def is_upsert(message: Message) -> bool:
    return isinstance(message, tree.InsertStmt) and message.on_conflict_clause.action == tree.ONCONFLICT_UPDATE


def bounded_upsert(insert: tree.InsertStmt, ctes: Ctes, columns: Columns) -> bool:
    """
    Whether a WHERE bounds the old rows; or the text names the proposed ones, and something of a row is written over the old one.

    Constants alone would stand in the place of what is there, whatever was proposed.
    """
    clause = insert.on_conflict_clause
    where = clause.where_clause if clause.where_clause.WhichOneof("node") else None
    if where is not None and filtered(insert.relation, (), where, ctes, columns):
        return True
    if not clause.HasField("infer") or not any(_of_row(unwrap(t).val) for t in clause.target_list):
        return False
    rows = unwrap(insert.select_stmt)
    return bool(getattr(rows, "values_lists", ())) or finite_query(rows, ctes, columns, outermost=True)


def _of_row(value: Message) -> bool:
    """Whether it is made of the proposed row, or of the old one itself; a sub-select has rows of its own."""
    names = (strings(m.fields) for m in walk(value) if isinstance(m, tree.ColumnRef))
    outside = [unwrap(value)]
    for message in outside:
        inside = () if isinstance(message, tree.SubLink) else children(message)
        outside += [child for child, _field, _node in inside]
    return any(n[0] == "excluded" for n in names) or any(isinstance(m, tree.ColumnRef) for m in outside)


def proposed(insert: tree.InsertStmt, snapshot: Snapshot) -> int | None:
    """The most rows that it can propose; None when its text does not say."""
    if not insert.select_stmt.WhichOneof("node"):
        return 1  # DEFAULT VALUES
    rows = unwrap(insert.select_stmt)
    if not isinstance(rows, tree.SelectStmt):
        return None
    if rows.limit_count.WhichOneof("node"):
        return _limit(rows)
    if rows.op != tree.SETOP_NONE or (len(rows.values_lists) < 2 and any(_may_be_set(m, snapshot) for m in walk(rows))):
        return None  # PostgreSQL takes one row of VALUES for a SELECT without FROM, where a function may return many
    return len(rows.values_lists) or _selected(rows)


def _selected(rows: tree.SelectStmt) -> int | None:
    """Of a SELECT that calls nothing which returns rows: from nowhere one, from VALUES alone no more than those."""
    inside = [unwrap(node) for node in rows.from_clause]
    if not inside:
        return 1
    source = unwrap(inside[0].subquery) if len(inside) == 1 and isinstance(inside[0], tree.RangeSubselect) else None
    values = isinstance(source, tree.SelectStmt) and source.op == tree.SETOP_NONE
    return (len(source.values_lists) or None) if values else None


def _limit(rows: tree.SelectStmt) -> int | None:
    count = unwrap(rows.limit_count)
    said = isinstance(count, tree.A_Const) and count.WhichOneof("val") == "ival" and rows.limit_option == tree.LIMIT_OPTION_COUNT
    return count.ival.ival if said else None


def _may_be_set(message: Message, snapshot: Snapshot) -> bool:
    """A call that may return a set, or whose function is not known."""
    if isinstance(message, tree.FuncCall):
        known = snapshot.by_function_name.get(strings(message.funcname)[-1], ())
        return not known or any(f.returns_set for f in known)
    if isinstance(message, tree.A_Expr) and message.name:
        found = [snapshot.functions.get(oid) for oid in snapshot.operators.get(strings(message.name)[-1], ())]
        return any(f is None or f.returns_set for f in found)
    if isinstance(message, (tree.A_Indirection, tree.ColumnRef)):
        last = [unwrap(n) for n in (message.indirection if isinstance(message, tree.A_Indirection) else message.fields)]
        names = [n.sval for n in last if isinstance(n, tree.String)]
        return any(f.returns_set for name in names for f in snapshot.by_function_name.get(name, ()))
    return False
