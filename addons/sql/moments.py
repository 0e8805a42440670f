"""
How far from now a moment lies, where its text says so: `now() - interval '7 days'`, `current_date + 1`, `date_trunc('day', now())`.

Source: PostgreSQL 18 manual, 9.9.5 "Current Date/Time" and 8.5.4 "Interval Input".
"""

from __future__ import annotations

import re

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.naming import last_name, strings
from addons.sql.parse import unwrap

_NOW = frozenset({"now", "transaction_timestamp", "statement_timestamp", "clock_timestamp"})
_CURRENT = frozenset({
    tree.SVFOP_CURRENT_DATE, tree.SVFOP_CURRENT_TIMESTAMP, tree.SVFOP_CURRENT_TIMESTAMP_N, tree.SVFOP_LOCALTIMESTAMP,
    tree.SVFOP_LOCALTIMESTAMP_N,
})  # fmt: skip
_DAYS = {"second": 1 / 86400, "sec": 1 / 86400, "minute": 1 / 1440, "min": 1 / 1440, "hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 31.0, "mon": 31.0, "year": 366.0}
_PART = re.compile(r"(-?\d{1,6})\s*(second|sec|minute|min|hour|day|week|month|mon|year)s?\s*")
SHORT = frozenset({"second", "minute", "hour", "day", "week", "month"})
"""What a timestamp may be cut down to and still name its rows."""


def from_now(node: Message) -> float | None:
    """In days, negative before now; None when the text does not say."""
    node = unwrap(node)
    if isinstance(node, tree.SQLValueFunction):
        return 0.0 if node.op in _CURRENT else None
    if isinstance(node, tree.FuncCall):
        name = last_name(node)
        if name == "date_trunc" and len(node.args) == 2 and cut(node.args[0]):
            return from_now(node.args[1])
        return 0.0 if name in _NOW and not node.args else None
    if isinstance(node, tree.A_Expr) and node.kind == tree.AEXPR_OP and strings(node.name) in (["+"], ["-"]):
        start, span = from_now(node.lexpr), _span(node.rexpr)
        sign = 1 if strings(node.name) == ["+"] else -1
        return None if start is None or span is None else start + sign * span
    return None


def cut(unit: Message) -> bool:
    """Whether date_trunc cuts to one of SHORT."""
    unit = unwrap(unit)
    return isinstance(unit, tree.A_Const) and unit.sval.sval in SHORT


def _span(node: Message) -> float | None:
    """Days of an integer or an interval."""
    node = unwrap(node)
    if isinstance(node, tree.A_Const) and node.HasField("ival"):
        return float(node.ival.ival)
    if not isinstance(node, tree.TypeCast) or strings(node.type_name.names)[-1] != "interval":
        return None
    value = unwrap(node.arg)
    text = value.sval.sval.strip().lower() if isinstance(value, tree.A_Const) else ""
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    return sum(int(part[1]) * _DAYS[part[2]] for part in parts)
