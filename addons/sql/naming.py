"""
What PostgreSQL would call a column: an expression's tree to its name.

Source: parse_target.c, FigureColnameInternal.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.parse import unwrap

_FIXED = {
    "A_ArrayExpr": "array",
    "RowExpr": "row",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
    "XmlSerialize": "xmlserialize",
    "JsonObjectConstructor": "json_object",
    "JsonArrayConstructor": "json_array",
    "JsonArrayQueryConstructor": "json_array",
    "JsonObjectAgg": "json_objectagg",
    "JsonArrayAgg": "json_arrayagg",
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
    "MergeSupportFunc": "merge_action",
}
_XML = {
    tree.IS_XMLCONCAT: "xmlconcat",
    tree.IS_XMLELEMENT: "xmlelement",
    tree.IS_XMLFOREST: "xmlforest",
    tree.IS_XMLPARSE: "xmlparse",
    tree.IS_XMLPI: "xmlpi",
    tree.IS_XMLROOT: "xmlroot",
}
_SUBLINKS = {tree.EXISTS_SUBLINK: "exists", tree.ARRAY_SUBLINK: "array"}
_NOTHING = "?column?"


def strings(nodes: Iterable[tree.Node]) -> list[str]:
    """The names in a list of nodes; stars and subscripts are left out."""
    return [n.string.sval for n in nodes if n.HasField("string")]


def name_of(relation: tree.RangeVar) -> tuple[str, str]:
    """The schema that it is written with, "" where it is not, and the name; TEMP says the schema."""
    return relation.schemaname or ("pg_temp" if relation.relpersistence == "t" else ""), relation.relname


_LATELY_THE_SERVERS = (["pg_catalog", "json_object"], ["pg_catalog", "json"])


def spelt(nodes: Iterable[tree.Node]) -> list[str]:
    """
    The names of a function or a type, without the schema that the grammar itself puts before some since PostgreSQL 16 and 17:
    an older server looks such a name up as any other, and may find a user's.
    """
    names = strings(nodes)
    return names[1:] if names in _LATELY_THE_SERVERS else names


def returned(clause: tree.ReturningClause) -> set[str]:
    """What a row may be called in RETURNING besides its table's name, since PostgreSQL 18."""
    return {"old", "new", *(unwrap(option).value for option in clause.options)}


def last_name(call: tree.FuncCall) -> str:
    """A called function's name without its schema."""
    names = strings(call.funcname)
    return names[-1] if names else ""


def column_name(node: Message) -> str:
    """The name of an unnamed select-list entry; "?column?" when it has none."""
    return _name(unwrap(node))[0]


def _name(value: Message) -> tuple[str, bool]:
    """The name, and whether it is strong: a cast takes its argument's name only then."""
    kind = type(value).__name__
    if kind == "ColumnRef":
        names = strings(value.fields)
        return (names[-1], True) if names else (_NOTHING, False)
    if kind == "A_Indirection":
        names = strings(value.indirection)
        return (names[-1], True) if names else _name(unwrap(value.arg))
    if kind == "FuncCall":
        return last_name(value), True
    if kind == "A_Expr" and value.kind == tree.AEXPR_NULLIF:
        return "nullif", True
    if kind == "TypeCast":
        inner = _name(unwrap(value.arg))
        types = strings(value.type_name.names)
        return inner if inner[1] else (types[-1] if types else _NOTHING, False)
    if kind == "CollateClause":
        return _name(unwrap(value.arg))
    if kind == "CaseExpr":
        inner = _name(unwrap(value.defresult)) if value.HasField("defresult") else ("", False)
        return inner if inner[1] else ("case", False)
    return _other(value, kind)


def _other(value: Message, kind: str) -> tuple[str, bool]:
    if kind == "SubLink":
        if value.sub_link_type in _SUBLINKS:
            return _SUBLINKS[value.sub_link_type], True
        inner = unwrap(value.subselect)
        if value.sub_link_type == tree.EXPR_SUBLINK and isinstance(inner, tree.SelectStmt) and inner.target_list:
            first = unwrap(inner.target_list[0])
            return (first.name, True) if first.name else _name(unwrap(first.val))
        return _NOTHING, False
    if kind == "MinMaxExpr":
        return ("greatest" if value.op == tree.IS_GREATEST else "least"), True
    if kind == "XmlExpr":
        return _XML.get(value.op, _NOTHING), True
    if kind == "SQLValueFunction":
        return tree.SQLValueFunctionOp.Name(value.op).removeprefix("SVFOP_").removesuffix("_N").lower(), True
    return (_FIXED[kind], True) if kind in _FIXED else (_NOTHING, False)
