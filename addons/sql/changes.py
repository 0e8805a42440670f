"""
Trees to the settings that they change: SET, RESET, set_config(), and nothing that only looks like them.

Source: PostgreSQL 18 manual, SET, RESET, and section 9.28.1; guc.c for how values are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.constants import strings, text_of
from addons.sql.functions import SETTERS
from addons.sql.parse import unwrap

_WHOLE = frozenset({"text", "name", "varchar", "bool"})
_BOOLEANS = {
    **dict.fromkeys("true tru tr t yes ye y on 1".split(), True),
    **dict.fromkeys("false fals fal fa f no n off of 0".split(), False),
}  # fmt: skip
"""What the server reads as a boolean."""

_RESETS = (tree.VAR_SET_DEFAULT, tree.VAR_RESET)


@dataclass(frozen=True, slots=True)
class Change:
    """
    One setting that a statement changes.

    :ivar name: lower-case, as the server compares it; "" when the text does not say.
    :ivar values: the literals; None when the text does not say them.
    :ivar form: "set" (a list of literals), "text" (one string that the server splits), "reset",
        "all" (RESET ALL, DISCARD ALL), "transaction" (SET TRANSACTION and SESSION CHARACTERISTICS).
    :ivar local: until the transaction ends.
    :ivar certain: nothing that a row holds decides on it.
    :ivar once: it happens exactly once when the statement runs, and `local` is what the text says.
    """

    name: str
    values: tuple[str, ...] | None = None
    form: str = "set"
    local: bool = False
    certain: bool = True
    once: bool = True


def change_of(node: tree.VariableSetStmt) -> Change:
    """What a SET or RESET changes."""
    name = node.name.lower()
    if node.kind == tree.VAR_RESET_ALL:
        return Change("", form="all")
    if node.kind in _RESETS:
        return Change(name, form="reset", local=node.is_local)
    if node.kind == tree.VAR_SET_MULTI:
        return Change(name, form="transaction")
    values = tuple(text_of(arg) for arg in node.args)
    known = node.kind == tree.VAR_SET_VALUE and None not in values
    return Change(name, values if known else None, local=node.is_local)


def is_set_config(node: Message) -> bool:
    """Whether a node calls the server's set_config()."""
    if not isinstance(node, tree.FuncCall):
        return False
    names = strings(node.funcname)
    return (("", *names)[-2:] if len(names) < 3 else names[-2:]) in SETTERS


def set_config(call: tree.FuncCall, select: tree.SelectStmt | None = None) -> Change:
    """
    What a set_config() call changes.

    :param select: the statement, when the call is one of its columns; pg_dump takes the name from a
        row of pg_settings that its WHERE names.
    """
    if len(call.args) != 3:
        return Change("", certain=False, once=False)
    name, value, local = (_literal(arg) for arg in call.args)
    whether = _whether(call.args[2], local)
    certain = select is not None and not select.from_clause and not select.where_clause.WhichOneof("node")
    if name is None and select is not None:
        name = _named_row(call.args[0], select)
    return Change((name or "").lower(), None if value is None else (value,), "text", whether is not False, certain, certain and whether is not None and _once(select))


def _literal(node: Message) -> str | None:
    """A literal's text, as the server reads it: a cast to a type that has no length, if any, leaves it as it is."""
    node = unwrap(node)
    while isinstance(node, tree.TypeCast):
        if node.type_name.typmods or node.type_name.array_bounds or strings(node.type_name.names)[-1] not in _WHOLE:
            return None
        node = unwrap(node.arg)
    return text_of(node)


def _whether(node: Message, text: str | None) -> bool | None:
    """A boolean argument; NULL is no, for this function. None where the text does not say."""
    inside = unwrap(node)
    if isinstance(inside, tree.A_Const) and inside.isnull:
        return False
    return _BOOLEANS.get((text or "").strip().lower())


def _once(select: tree.SelectStmt) -> bool:
    """Whether it gives one row, whatever is called: no call but these may stand in it, since another may give none."""
    if select.sort_clause or select.HasField("into_clause"):
        return False
    targets = (unwrap(unwrap(target).val) for target in select.target_list)
    return all(is_set_config(one) and all(_simple(arg) for arg in one.args) or _simple(one) for one in targets)


def _simple(node: Message) -> bool:
    node = unwrap(node)
    while isinstance(node, tree.TypeCast):
        node = unwrap(node.arg)
    return isinstance(node, (tree.A_Const, tree.ParamRef))


def _named_row(argument: Message, select: tree.SelectStmt) -> str | None:
    """The name in `SELECT set_config(name, …) FROM pg_settings WHERE name = 'x'`."""
    column, where = unwrap(argument), unwrap(select.where_clause)
    if not (isinstance(column, tree.ColumnRef) and strings(column.fields) == ("name",) and len(select.from_clause) == 1):
        return None
    source = unwrap(select.from_clause[0])
    if not (isinstance(source, tree.RangeVar) and source.relname == "pg_settings" and source.schemaname in ("", "pg_catalog")):
        return None
    if not (isinstance(where, tree.A_Expr) and where.kind == tree.AEXPR_OP and strings(where.name) == ("=",)):
        return None
    left = unwrap(where.lexpr)
    named = isinstance(left, tree.ColumnRef) and strings(left.fields) == ("name",)
    return text_of(where.rexpr) if named else None


def plain_calls(statement: Message) -> Iterator[tuple[tree.FuncCall, tree.SelectStmt]]:
    """The set_config() calls that are columns of a plain SELECT, and so happen in order."""
    if not isinstance(statement, tree.SelectStmt) or statement.op != tree.SETOP_NONE or statement.values_lists:
        return
    if statement.HasField("with_clause") or statement.group_clause or statement.having_clause.WhichOneof("node"):
        return
    if statement.limit_count.WhichOneof("node") or statement.limit_offset.WhichOneof("node") or statement.distinct_clause:
        return
    for target in statement.target_list:
        call = unwrap(unwrap(target).val)
        if is_set_config(call):
            yield call, statement


def split_identifiers(text: str) -> tuple[str, ...] | None:
    """
    A list of names in one string, as the server's SplitIdentifierString reads it.

    :returns: None when the server would refuse it.
    """
    names, rest = [], text.strip(" \t\n\r\f\v")
    if not rest:
        return ()
    while True:
        if rest.startswith('"'):
            name, rest = _quoted(rest)
        else:
            name, comma, after = rest.partition(",")
            name, rest = name.strip(" \t\n\r\f\v").lower(), comma + after
            if not name or any(c in name for c in ' \t\n\r\f\v"'):
                return None
        rest = rest.lstrip(" \t\n\r\f\v")
        if name is None or (rest and not rest.startswith(",")):
            return None
        names.append(name)
        if not rest:
            return tuple(names)
        rest = rest[1:].lstrip(" \t\n\r\f\v")
        if not rest:
            return None


def _quoted(text: str) -> tuple[str | None, str]:
    """A name in double quotes at the front, and what follows it."""
    start = 1
    while True:
        end = text.find('"', start)
        if end < 0:
            return None, ""
        if text[end + 1 : end + 2] != '"':
            return text[1:end].replace('""', '"'), text[end + 1 :]
        start = end + 2
