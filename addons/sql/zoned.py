"""
What an expression makes of a value where that is for the reader's settings to say: TimeZone, DateStyle, the search path and their like.

`at < date '2000-01-01'` means midnight wherever the reader is, and `dob::text` has the order that the reader wants. A value that is
compared with constants of its own type, as it stands, means the same to everybody.

Source: PostgreSQL 18 manual, 8.5 "Date/Time Types" and 36.7 "Function Volatility Categories"; pg_type.dat for the OIDs.
"""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Snapshot
from addons.sql.naming import last_name, strings
from addons.sql.parse import unwrap
from addons.sql.resolve import children

Kind = Callable[[Message], str]
"""The name of the type of what is a masked column as it stands, where its text or order depends on settings; else ""."""

KINDS = {1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz", 1186: "interval", 1266: "timetz", 790: "money"}
_MANY = {1182: "date[]", 1183: "time[]", 1115: "timestamp[]", 1185: "timestamptz[]", 1187: "interval[]", 1270: "timetz[]", 791: "money[]",
         3912: "daterange", 3908: "tsrange", 3910: "tstzrange", 4535: "datemultirange", 4533: "tsmultirange", 4534: "tstzmultirange"}  # fmt: skip
_SHIFTING = frozenset({*KINDS.values(), *_MANY.values(), "xml"})
_PARTED = frozenset({"date", "time", "timestamp", "interval"})  #: whose parts are the same everywhere

_COMPARING = frozenset({"=", "<>", "<", "<=", ">", ">=", "BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"})
_KINDS_OF_TEST = frozenset({
    tree.AEXPR_OP, tree.AEXPR_OP_ANY, tree.AEXPR_OP_ALL, tree.AEXPR_IN, tree.AEXPR_DISTINCT, tree.AEXPR_NOT_DISTINCT,
    tree.AEXPR_BETWEEN, tree.AEXPR_NOT_BETWEEN, tree.AEXPR_BETWEEN_SYM, tree.AEXPR_NOT_BETWEEN_SYM,
})  # fmt: skip

_MOMENTS = frozenset({tree.SVFOP_CURRENT_TIMESTAMP, tree.SVFOP_CURRENT_TIMESTAMP_N})
_LOCAL = frozenset({
    tree.SVFOP_CURRENT_DATE, tree.SVFOP_CURRENT_TIME, tree.SVFOP_CURRENT_TIME_N, tree.SVFOP_LOCALTIME, tree.SVFOP_LOCALTIME_N,
    tree.SVFOP_LOCALTIMESTAMP, tree.SVFOP_LOCALTIMESTAMP_N, tree.SVFOP_CURRENT_SCHEMA,
})  # fmt: skip
_NOW = frozenset({"now", "transaction_timestamp", "statement_timestamp", "clock_timestamp"})

_MAKING = frozenset({"make_date", "make_time", "make_timestamp", "make_interval"})  #: of numbers what others read by settings
_STEADY = frozenset(
    """
    concat concat_ws format array_to_string array_to_json to_json to_jsonb row_to_json json_agg jsonb_agg json_object_agg jsonb_object_agg
    json_build_object jsonb_build_object json_build_array jsonb_build_array quote_literal quote_nullable pg_typeof
""".split()
)
"""Stable for the sake of what they may be given; what is given them by its type is told from that."""


def kind(type_oid: int, snapshot: Snapshot) -> str:
    """Of a column of that type, domains looked through."""
    for _ in range(32):
        known = snapshot.types.get(type_oid)
        if known is None or not known.base:
            break
        type_oid = known.base
    return KINDS.get(type_oid) or _MANY.get(type_oid, "")


def shifts(node: Message, kind_of: Kind, snapshot: Snapshot) -> bool:
    """Whether this node's own doing is for settings to say, or for what else the reader may choose; its parts are asked about by themselves."""
    match node:
        case tree.SelectStmt() | tree.ColumnRef() | tree.NullTest():
            return False
        case tree.SQLValueFunction():
            return node.op in _LOCAL
        case tree.TypeCast():
            return _casts(node, kind_of)
        case tree.FuncCall():
            return _calls(node, kind_of, snapshot)
        case tree.A_Expr():
            return _computes(node, kind_of)
    return any(kind_of(child) for child, _field, _node in children(node))


def _casts(cast: tree.TypeCast, kind_of: Kind) -> bool:
    target, value = _target(cast), unwrap(cast.arg)
    if known := kind_of(value):
        return target != known
    return (target in _SHIFTING or target.startswith("reg")) and not _constant(value)


def _target(cast: tree.TypeCast) -> str:
    return strings(cast.type_name.names)[-1] + ("[]" if cast.type_name.array_bounds else "")


def _constant(node: Message) -> bool:
    """Which the server has read when the definition was made."""
    match node:
        case tree.A_Const():
            return True
        case tree.TypeCast():
            return _constant(unwrap(node.arg))
        case tree.A_ArrayExpr():
            return all(_constant(unwrap(one)) for one in node.elements)
        case tree.List():
            return all(_constant(unwrap(one)) for one in node.items)
    return False


def _calls(call: tree.FuncCall, kind_of: Kind, snapshot: Snapshot) -> bool:
    name, kinds = last_name(call), [kind_of(unwrap(one)) for one in call.args]
    if any(kinds):
        parts = name in ("extract", "date_part") and len(kinds) == 2 and kinds[1] in _PARTED
        return not parts and name != "count"
    if name in _MAKING:
        return True
    if name in _STEADY or name in _NOW:
        return False
    return any(
        one.volatility != "i" and one.required <= len(kinds) <= max(len(one.arguments), one.required)
        for one in snapshot.by_function_name.get(name, ()) if one.schema == "pg_catalog"
    )


def _computes(expression: tree.A_Expr, kind_of: Kind) -> bool:
    if _moment(expression):
        return False
    sides = [unwrap(side) for side in (expression.lexpr, expression.rexpr)]
    kinds = {known for side in sides if (known := kind_of(side))}
    if not kinds:
        return any(isinstance(side, tree.TypeCast) and _target(side) in _SHIFTING for side in sides)
    compares = expression.kind in _KINDS_OF_TEST and strings(expression.name)[-1] in _COMPARING
    return not compares or len(kinds) > 1 or not all(_alike(side, kinds, kind_of) for side in sides)


def _alike(side: Message, kinds: set[str], kind_of: Kind) -> bool:
    """Whether it is the column, another of its type, or what is a constant of it, or a moment."""
    if kind_of(side):
        return True
    match side:
        case tree.List():
            return all(_alike(unwrap(one), kinds, kind_of) for one in side.items)
        case tree.A_ArrayExpr():
            return all(_alike(unwrap(one), kinds, kind_of) for one in side.elements)
        case tree.A_Const():
            return side.isnull
        case tree.TypeCast():
            return _constant(side) and _target(side).removesuffix("[]") in kinds
    return "timestamptz" in kinds and _moment(side)


def _moment(node: Message) -> bool:
    """Now, or so long before or after; it means the same everywhere, to within an hour of summer time."""
    match node:
        case tree.SQLValueFunction():
            return node.op in _MOMENTS
        case tree.FuncCall():
            return last_name(node) in _NOW and not node.args
        case tree.A_Expr():
            span = unwrap(node.rexpr)
            near = isinstance(span, tree.TypeCast) and _target(span) == "interval" and _constant(span)
            return near and strings(node.name) in (["+"], ["-"]) and _moment(unwrap(node.lexpr))
    return False
