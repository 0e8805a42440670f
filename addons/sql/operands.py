"""
Which of the server's types an expression may have, as far as its text and the catalog tell for certain.

Only so much is known as keeps an owner's overload apart: where a value is surely of one of the server's types, and nothing turns
that into the overload's parameter unasked, the overload cannot be meant.

Source: PostgreSQL 18 manual, 10.2 and 10.3; pg_cast.dat for what turns into what; FigureColname in parse_target.c for columns' names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import FIRST_USER_OID, Relation, Snapshot
from addons.sql.constants import strings
from addons.sql.parse import unwrap, walk

_NAMES = {
    "text": 25, "varchar": 1043, "bpchar": 1042, "name": 19, "int2": 21, "int4": 23, "int8": 20, "numeric": 1700, "float4": 700, "float8": 701,
    "date": 1082, "time": 1083, "timetz": 1266, "timestamp": 1114, "timestamptz": 1184, "interval": 1186, "bool": 16, "uuid": 2950, "json": 114,
    "jsonb": 3802, "bytea": 17,
}  # fmt: skip
_GROUPS = (
    (25, 1043, 1042, 19), (21, 23, 20, 1700, 700, 701, 26, 24, 2202, 2203, 2204, 2206), (1082, 1083, 1266, 1114, 1184, 1186), (16,), (2950,), (114,), (3802,), (17,),
)  # fmt: skip
_GROUP = {oid: number for number, group in enumerate(_GROUPS) for oid in group}
"""Types between which no implicit cast of the server's leads are in different groups. Text turns into regclass, which is in none."""

_COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*"})
_BOOLEAN = ("BoolExpr", "NullTest", "BooleanTest")
_SOURCES = ("RangeFunction", "RangeTableFunc", "JsonTable", "RangeTableSample", "CTESearchClause", "CTECycleClause")

ANY = -1
"""Among declared types: values may be of whatever type, since the catalog may not show what there is when the statement runs."""

Kinds = frozenset[int] | None
"""Type OIDs of the server's, one of which a value has; None when that cannot be told."""


class Operands:
    """
    One statement's names.

    :param types: OIDs that parameters are declared to have.
    """

    def __init__(self, messages: Sequence[Message], types: Sequence[int], snapshot: Snapshot) -> None:
        self._snapshot, self._types = snapshot, types
        self._columns: dict[str, set[int]] | None = None if ANY in types else {}  #: to types; None when names tell nothing
        self._renamed: set[str] = {"old", "new", "excluded"}  #: what may be another thing's name than a relation's column
        inner = any(type(m).__name__ in ("RangeSubselect", "CommonTableExpr") for m in messages)
        for message in messages:
            self._learn(message, inner)

    def _learn(self, message: Message, inner: bool) -> None:
        kind = type(message).__name__
        if kind in _SOURCES:
            self._columns = None
        elif kind == "RangeVar":
            self._renamed.add(message.relname)  # the whole row
            self._relations(self._snapshot.named("", message.relname))
        elif kind == "Alias":
            self._renamed |= {message.aliasname, *strings(message.colnames)}
        elif kind == "CommonTableExpr":
            self._renamed |= set(strings(message.aliascolnames))
        elif kind == "ReturningOption":
            self._renamed.add(message.value)
        elif kind == "SelectStmt" and message.values_lists:
            self._renamed |= {f"column{number}" for number in range(1, len(unwrap(message.values_lists[0]).items) + 1)}
        elif kind == "ResTarget" and inner:
            self._named(message)

    def _relations(self, relations: Sequence[Relation]) -> None:
        if not relations or self._columns is None:
            self._columns = None
            return
        for column in (c for relation in relations for c in relation.columns):
            self._columns.setdefault(column.name, set()).add(self._snapshot.base_type(column.type_oid))

    def _named(self, target: tree.ResTarget) -> None:
        """What a column of a sub-select may be called."""
        value = unwrap(target.val)
        if target.name:
            self._renamed.add(target.name)
        elif isinstance(value, (tree.FuncCall, tree.TypeCast)):
            self._renamed |= set(_inside(value))
        elif not isinstance(value, (tree.ColumnRef, tree.A_Const)):
            self._columns = None

    def of(self, node: Message) -> Kinds:
        """Of a literal without a type, and a parameter without a declared one, nothing is known."""
        here = unwrap(node)
        found = _ASKED.get(type(here).__name__, lambda _self, _here: None)(self, here)
        return found if found and all(oid in _GROUP for oid in found) else None

    def cannot(self, node: Message | None, parameter: int) -> bool:
        """Whether a value is surely of no type that becomes a parameter's unasked."""
        known = self.of(node) if node is not None else None
        if not known or parameter in self._snapshot.implicit:
            return False
        if parameter in _GROUP:
            return all(_GROUP[oid] != _GROUP[parameter] for oid in known)
        return parameter >= FIRST_USER_OID and not self._snapshot.kin(parameter)

    def rather_text(self, node: Message, parameter: int) -> bool:
        """Whether it is a literal without a type, which is taken for text before it is taken for a parameter of the server's of that type."""
        here = unwrap(node)
        literal = isinstance(here, tree.A_Const) and here.WhichOneof("val") == "sval"
        return literal and parameter in _GROUP and _GROUP[parameter] != _GROUP[25]

    def _constant(self, node: tree.A_Const) -> Kinds:
        kind = node.WhichOneof("val")
        return {"ival": frozenset({23}), "fval": frozenset({20, 1700}), "boolval": frozenset({16})}.get(kind)

    def _cast(self, node: tree.TypeCast) -> Kinds:
        names = strings(node.type_name.names)
        if node.type_name.array_bounds or len(names) > 1 and names[-2] != "pg_catalog":
            return None
        mine = any(t.oid >= FIRST_USER_OID for t in self._snapshot.by_type_name.get(names[-1], ())) and len(names) == 1
        found = _NAMES.get(names[-1])
        return frozenset({found}) if found and not mine else None

    def _column(self, node: tree.ColumnRef) -> Kinds:
        names = strings(node.fields)
        if self._columns is None or names[-1] in self._renamed:
            return None
        return frozenset(self._columns.get(names[-1], ()))

    def _call(self, node: tree.FuncCall) -> Kinds:
        name = strings(node.funcname)[-1]
        if self._columns is None or name in self._columns:
            return None  # upper(row) may be its column
        return frozenset(f.returns for f in self._snapshot.by_function_name.get(name, ()))

    def _expression(self, node: tree.A_Expr) -> Kinds:
        names = strings(node.name)
        own = node.kind != tree.AEXPR_NULLIF and len(names) == 1 and names[0] in _COMPARISONS and names[0] not in self._snapshot.operators
        return frozenset({16}) if own else None

    def _parameter(self, node: tree.ParamRef) -> Kinds:
        return frozenset(self._types[node.number - 1 : node.number])


def _inside(value: Message) -> Iterable[str]:
    """Names that a column without an alias may get from a call or cast that it is made of."""
    for message in walk(value):
        for names in (getattr(message, field, ()) for field in ("fields", "funcname", "names")):
            yield from strings(names)[-1:]


_ASKED = {
    "A_Const": Operands._constant, "TypeCast": Operands._cast, "ColumnRef": Operands._column, "FuncCall": Operands._call,
    "A_Expr": Operands._expression, "ParamRef": Operands._parameter, **dict.fromkeys(_BOOLEAN, lambda _self, _here: frozenset({16})),
}  # fmt: skip
