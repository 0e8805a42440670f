"""
Look-ups by a masked column: `WHERE mrn = 'MRN-1'` where the declaration permits them.

Only a comparison that every row of the result must pass, of a permitted column with one value: it moves into the masked
relation's sub-select, where it sees the raw value, and nothing else of the statement does. Whoever may look up learns
whether a value that they have is there; how often they may ask is limited.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postgast import pg_query_pb2 as tree

from addons.masking.cover import Cover
from addons.masking.strategies import quoted
from addons.sql.catalog import Relation
from addons.sql.naming import strings
from addons.sql.parse import deparse, unwrap
from addons.sql.resolve import Names

_OUTER = {tree.JOIN_INNER: ("larg", "rarg"), tree.JOIN_LEFT: ("larg",), tree.JOIN_RIGHT: ("rarg",)}
"""The sides of a join whose rows a WHERE may filter before it is made."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """
    One comparison.

    :ivar source: where in the text the relation's name stands.
    :ivar comparison: where its operator does.
    :ivar condition: the same as SQL, for use in a SELECT FROM the relation alone.
    """

    source: int
    comparison: int
    condition: str


@dataclass(frozen=True, slots=True)
class _Source:
    alias: str
    relation: Relation
    location: int


def lookups(statement: tree.SelectStmt | tree.UpdateStmt | tree.DeleteStmt, names: Names, cover: Cover) -> tuple[Lookup, ...]:
    """Those at the statement's own level; none when it is a set operation."""
    if not cover.lookups or not statement.HasField("where_clause"):
        return ()
    entries = {unwrap(entry).ctename for entry in statement.with_clause.ctes}
    if isinstance(statement, tree.SelectStmt):
        nodes = [unwrap(node) for node in statement.from_clause]
        inside = [name for node in nodes for name in _filtered(node)]
        alone = len(nodes) == 1 and isinstance(nodes[0], tree.RangeVar)
    else:
        inside, alone = [statement.relation], not (getattr(statement, "from_clause", ()) or getattr(statement, "using_clause", ()))
    sources = [source for name in inside if (source := _source(name, entries, names, cover)) is not None]
    return tuple(one for test in _conjuncts(statement.where_clause) if (one := _lookup(test, sources, alone, cover)) is not None)


def _filtered(node: object) -> Iterator[tree.RangeVar]:
    """Names in FROM whose rows WHERE filters, whatever else there is."""
    if isinstance(node, tree.RangeVar):
        yield node
    elif isinstance(node, tree.JoinExpr) and not node.HasField("alias"):
        for side in _OUTER.get(node.jointype, ()):
            yield from _filtered(unwrap(getattr(node, side)))


def _source(name: tree.RangeVar, entries: set[str], names: Names, cover: Cover) -> _Source | None:
    if name.alias.colnames or (not name.schemaname and name.relname in entries):
        return None
    meant = names.relations(name)
    if len(meant) != 1 or not cover.masks(meant[0]):
        return None
    return _Source(name.alias.aliasname or name.relname, meant[0], name.location)


def _conjuncts(node: tree.Node) -> Iterator[tree.A_Expr]:
    """What must hold for every row: the condition, or the parts of an AND."""
    inside = unwrap(node)
    if isinstance(inside, tree.BoolExpr) and inside.boolop == tree.AND_EXPR:
        for part in inside.args:
            yield from _conjuncts(part)
    elif isinstance(inside, tree.A_Expr) and inside.kind == tree.AEXPR_OP and strings(inside.name) == ["="]:
        yield inside


def _lookup(test: tree.A_Expr, sources: list[_Source], alone: bool, cover: Cover) -> Lookup | None:
    for column, value in ((test.lexpr, test.rexpr), (test.rexpr, test.lexpr)):
        if not isinstance(unwrap(column), tree.ColumnRef) or not _is_value(value):
            continue
        path = strings(unwrap(column).fields)
        meant = [s for s in sources if (len(path) == 1 and alone) or path[:-1] == [s.alias]]
        masked = cover.relations[meant[0].relation.oid].get(path[-1]) if len(meant) == 1 and path else None
        if masked is not None and masked.label in cover.lookups:
            condition = f"{quoted(path[-1])} OPERATOR(pg_catalog.=) {_written(value)}"
            return Lookup(meant[0].location, test.location, condition)
    return None


def _is_value(node: tree.Node) -> bool:
    """A literal or a parameter, perhaps cast."""
    inside = unwrap(node)
    if isinstance(inside, tree.TypeCast):
        return _is_value(inside.arg)
    return isinstance(inside, tree.ParamRef) or (isinstance(inside, tree.A_Const) and not inside.isnull)


def _written(value: tree.Node) -> str:
    """
    Its text.

    :raises Unparsable: libpg_query cannot write it.
    """
    result = tree.ParseResult()
    select = result.stmts.add().stmt.select_stmt
    select.limit_option, select.op = tree.LIMIT_OPTION_DEFAULT, tree.SETOP_NONE
    select.target_list.add().res_target.val.CopyFrom(value)
    return deparse(result).removeprefix("SELECT ")
