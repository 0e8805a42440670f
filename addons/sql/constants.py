"""
What the text itself says about a value: constants, bare columns, and how much a comparison of the two narrows.

A comparison *pins* a column when it leaves rows that the writer has named: equality, a list, a
narrow range, a LIKE with a literal beginning. `id > 0`, `id = id`, `x IS NOT NULL` and `active = true` do not.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.moments import cut, from_now
from addons.sql.parse import unwrap
from addons.sql.thin import BOOLEANS

NARROW = 100
"""Widest range of integers that still names its rows: a page of ids fits, a column's whole domain seldom does."""

NARROW_DAYS = 366

_HARMLESS_CASTS = frozenset("text varchar int2 int4 int8 numeric uuid date citext timestamp timestamptz float8 inet oid".split())
_FOLDING = frozenset({"lower", "upper", "date"})
_CONSTANT_PER_TABLE = frozenset({"tableoid", "xmin", "xmax", "cmin", "cmax"})
"""System columns that one constant can equal in every row."""

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:$|[ T])")


def strings(nodes: object) -> tuple[str, ...]:
    """The names in a list of nodes; a star is "*"."""
    return tuple([_string(node) for node in nodes])


def _string(node: tree.Node) -> str:
    kind = node.WhichOneof("node")
    if kind == "string":
        return node.string.sval
    return "*" if kind == "a_star" else getattr(unwrap(node), "sval", "")


def constant(node: Message) -> bool:
    """Whether an expression has one value for all rows, as far as its text shows."""
    node = unwrap(node)
    if isinstance(node, (tree.A_Const, tree.ParamRef, tree.SQLValueFunction)):
        return True
    if isinstance(node, tree.TypeCast):
        return constant(node.arg)
    if isinstance(node, tree.A_ArrayExpr):
        return all(constant(e) for e in node.elements)
    if isinstance(node, tree.List):
        return all(constant(e) for e in node.items)
    if isinstance(node, tree.RowExpr):
        return all(constant(e) for e in node.args)
    if isinstance(node, tree.FuncCall):
        return not node.HasField("over") and all(constant(a) for a in node.args)
    if isinstance(node, tree.A_Expr):
        return all(constant(side) for side in (node.lexpr, node.rexpr) if side.WhichOneof("node"))
    return False


def text_of(node: Message) -> str | None:
    """A literal's text, casts removed; None when it is no literal."""
    node = unwrap(node)
    while isinstance(node, tree.TypeCast):
        node = unwrap(node.arg)
    if not isinstance(node, tree.A_Const) or node.isnull:
        return None
    kind = node.WhichOneof("val")
    if kind == "sval":
        return node.sval.sval
    if kind == "ival":
        return str(node.ival.ival)
    if kind == "fval":
        return node.fval.fval
    if kind == "boolval":
        return "true" if node.boolval.boolval else "false"
    return None


def column(node: Message) -> tuple[str, ...] | None:
    """The name of a bare column, also under a cast that keeps values apart, lower(), or a timestamp's day or month; else None."""
    node = unwrap(node)
    if isinstance(node, tree.ColumnRef):
        names = strings(node.fields)
        return None if names[-1] in _CONSTANT_PER_TABLE or "*" in names else names
    if isinstance(node, tree.TypeCast):
        kind = node.type_name
        if kind.typmods or kind.array_bounds or strings(kind.names)[-1] not in _HARMLESS_CASTS:
            return None
        return column(node.arg)
    if isinstance(node, tree.FuncCall) and not node.HasField("over"):
        name = strings(node.funcname)[-1]
        if name in _FOLDING and len(node.args) == 1:
            return column(node.args[0])
        if name == "date_trunc" and len(node.args) == 2 and cut(node.args[0]):
            return column(node.args[1])
    return None


def pinned(node: Message) -> Iterator[tuple[str, ...]]:
    """The columns that one comparison pins by itself."""
    node = unwrap(node)
    if not isinstance(node, tree.A_Expr):
        return
    left, right, name = unwrap(node.lexpr), unwrap(node.rexpr), strings(node.name)
    if node.kind in (tree.AEXPR_OP, tree.AEXPR_NOT_DISTINCT) and name == ("=",):
        yield from _equal(left, right)
    elif node.kind == tree.AEXPR_IN and name == ("=",) and isinstance(right, tree.List):
        yield from _listed(left, list(right.items))
    elif node.kind == tree.AEXPR_OP_ANY and name == ("=",) and constant(right):
        yield from _any(left, right)
    elif node.kind in (tree.AEXPR_LIKE, tree.AEXPR_ILIKE) and name[0] in ("~~", "~~*"):
        pattern, found = text_of(right), column(left)
        if found and pattern and pattern[0] not in "%_":
            yield found
    elif node.kind == tree.AEXPR_BETWEEN and isinstance(right, tree.List):
        found = column(left)
        if found and narrow(*right.items):
            yield found


def _equal(left: Message, right: Message) -> Iterator[tuple[str, ...]]:
    if isinstance(left, tree.RowExpr) and isinstance(right, tree.RowExpr) and len(left.args) == len(right.args):
        for a, b in zip(left.args, right.args, strict=True):
            yield from _equal(unwrap(a), unwrap(b))
        return
    for one, other in ((left, right), (right, left)):
        found = column(one)
        if found and constant(other) and (text_of(other) or "").lower() not in BOOLEANS - {"1", "0"}:
            yield found


def _listed(left: Message, items: list[Message]) -> Iterator[tuple[str, ...]]:
    if isinstance(left, tree.RowExpr):
        if all(isinstance(unwrap(i), tree.RowExpr) and constant(i) for i in items):
            yield from filter(None, (column(a) for a in left.args))
        return
    found = column(left)
    if found and all(constant(i) for i in items) and not only_booleans(text_of(i) for i in items):
        yield found


def _any(left: Message, right: Message) -> Iterator[tuple[str, ...]]:
    found = column(left)
    if found and not only_booleans(members(right)):
        yield found


def members(array: Message) -> list[str | None]:
    """The texts of an array's elements, as far as they are literals."""
    text, array = text_of(array), unwrap(array)
    while isinstance(array, tree.TypeCast):
        array = unwrap(array.arg)
    return [text_of(e) for e in array.elements] if isinstance(array, tree.A_ArrayExpr) else (text or "").strip("{}").split(",")


def only_booleans(texts: object) -> bool:
    """Whether a list has several values and all are booleans: together they leave every row."""
    found = {(t or "").strip(' "').lower() for t in texts}
    return bool(found) and found <= BOOLEANS and len(found) > 1


def narrow(low: Message, high: Message) -> bool:
    """Whether two literals, or moments about now, bound a range that names its rows. Digits in quotes may be text, which sorts otherwise."""
    first, last = unwrap(low), unwrap(high)
    if isinstance(first, tree.A_Const) and isinstance(last, tree.A_Const) and first.HasField("ival") and last.HasField("ival"):
        return last.ival.ival - first.ival.ival <= NARROW
    start, end = from_now(low), from_now(high)
    if start is not None and end is not None:
        return end - start <= NARROW_DAYS
    return _narrow_dates(_DATE.match(text_of(low) or ""), _DATE.match(text_of(high) or ""))


def _narrow_dates(low: re.Match | None, high: re.Match | None) -> bool:
    if low is None or high is None:
        return False
    try:
        first, last = (datetime.date(*map(int, m.groups())) for m in (low, high))
    except ValueError:
        return False
    return (last - first).days <= NARROW_DAYS
