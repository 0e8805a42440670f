"""
A write by somebody who sees a column as it is, to the masks among what it would put there: an export that somebody else
made, saved back by a job with clear access, would take the real values' place.

Only what is exactly a mask of exactly that column: `***`, and for `partial` the same with as many characters behind it as
stay. A year's first day is no sign: people are born on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from postgast import pg_query_pb2 as tree

from addons.masking.declared import Declaration, Strategy
from addons.masking.strategies import MASK
from addons.sql.parse import Unparsable, parse, unwrap, walk
from protocols.command import Statement


def may_save(text: str) -> bool:
    """Whether `issued` may find one, whatever the values are: these words stand in every text that writes."""
    lower = text.lower()
    return "insert" in lower or "update" in lower


def issued(statement: Statement, declared: Iterable[Declaration]) -> str:
    """The column that a mask of its own would be written to; "" for none. Costs a search of the text where it holds no mask."""
    bound = {
        number: each.value.decode("utf-8", "replace")
        for number, each in enumerate(statement.parameters, 1)
        if isinstance(each.value, bytes) and each.value.startswith(MASK.encode())
    }
    if not bound and MASK not in statement.text:
        return ""
    try:
        trees = parse(statement.text).statements
    except Unparsable:
        return ""  # the target says so itself
    writes = [node for one in trees for node in walk(one) if isinstance(node, (tree.InsertStmt, tree.UpdateStmt))]
    return next((d.label for write in writes for d in declared if _names(write, d) and _saves(write, d, bound)), "")


def _names(write: tree.InsertStmt | tree.UpdateStmt, declared: Declaration) -> bool:
    """Whether it may be the declared relation that is written; without a schema it may."""
    relation = write.relation
    return relation.relname == declared.relation and relation.schemaname in ("", declared.schema)


def _saves(write: tree.InsertStmt | tree.UpdateStmt, declared: Declaration, bound: Mapping[int, str]) -> bool:
    return any(_is_mask(node, declared.strategy, bound) for node in _assigned(write, declared.column))


def _assigned(write: tree.InsertStmt | tree.UpdateStmt, column: str) -> Iterator[tree.Node]:
    """Expressions that become the column's value; of an INSERT that names no columns, all of its values."""
    if isinstance(write, tree.UpdateStmt):
        yield from _set(write.target_list, column)
        return
    yield from _set(write.on_conflict_clause.target_list, column)
    select, names = unwrap(write.select_stmt), [unwrap(node).name for node in write.cols]
    if not isinstance(select, tree.SelectStmt) or names and column not in names:
        return
    rows = [unwrap(row).items for row in select.values_lists] or [[unwrap(node).val for node in select.target_list]]
    for row in rows:
        yield from (row[names.index(column):names.index(column) + 1] if names else row)


def _set(targets: Sequence[tree.Node], column: str) -> Iterator[tree.Node]:
    for target in map(unwrap, targets):
        if target.name == column:
            source = unwrap(target.val)
            many = isinstance(source, tree.MultiAssignRef) and isinstance(unwrap(source.source), tree.RowExpr)
            yield unwrap(source.source).args[source.colno - 1] if many else target.val


def _is_mask(node: tree.Node, strategy: Strategy, bound: Mapping[int, str]) -> bool:
    """Also under casts."""
    inside = unwrap(node)
    while isinstance(inside, tree.TypeCast):
        inside = unwrap(inside.arg)
    if isinstance(inside, tree.A_Const):
        return _fits(inside.sval.sval, strategy)
    return isinstance(inside, tree.ParamRef) and _fits(bound.get(inside.number, ""), strategy)


def _fits(text: str, strategy: Strategy) -> bool:
    if strategy.kind not in ("redact", "partial") or not text.startswith(MASK):
        return False
    return text == MASK or strategy.kind == "partial" and len(text) == len(MASK) + strategy.keep
