"""
Whether an owner's overload of one of the server's names can be what a statement's use of that name means.

An overload that takes a home-made type applies only where a value of that type can be: where a statement names the type, a
relation that holds it, a row, a function that returns it, or a declared parameter; or where a literal without a type is taken for it, which the
server does last. What is not surely apart is not.

Source: PostgreSQL 18 manual, sections 10.2 and 10.3 (how operators and functions are chosen).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from google.protobuf.message import Message

from addons.sql.catalog import FIRST_USER_OID, Function, Snapshot
from addons.sql.naming import spelt, strings
from addons.sql.operands import ANY, Operands
from addons.sql.parse import unwrap

_COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
_COMPARED = frozenset({16, 17, 19, 20, 21, 23, 25, 26, 700, 701, 1042, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 3802})
"""Types of the server's that each have all comparisons with themselves: an untyped literal beside one is taken for the same."""

_TEXT = 25


def held(messages: Iterable[Message], types: Collection[int], snapshot: Snapshot) -> frozenset[int] | None:
    """OIDs of the home-made types that values in a statement may have; None when that cannot be told."""
    if ANY in types:
        return None
    found = {oid for oid in types if oid >= FIRST_USER_OID}
    for message in messages:
        kind = type(message).__name__
        if kind == "RowExpr":
            return None
        if kind == "TypeName":
            names = strings(message.names)
            found |= {t.oid for t in snapshot.by_type_name.get(names[-1] if names else "", ())}
        elif kind == "RangeVar":
            named = snapshot.named("", message.relname)
            if not named:  # a WITH entry's name too: a temporary table may have it as well
                return None
            for relation in named:
                found |= {relation.row_type, *(c.type_oid for c in relation.columns)}
        elif kind == "FuncCall":
            found |= {f.returns for f in snapshot.by_function_name.get(strings(message.funcname)[-1], ()) if f.oid >= FIRST_USER_OID}
    return _closed({oid for oid in found if oid >= FIRST_USER_OID}, snapshot)


def _closed(found: set[int], snapshot: Snapshot) -> frozenset[int]:
    """With what they are made of, and what is made of them."""
    while True:
        more = set(found)
        for kind in snapshot.types.values():
            relation = snapshot.relations.get(kind.relation)
            parts = {kind.element, kind.base, *((c.type_oid for c in relation.columns) if relation else ())}
            more |= {oid for oid in parts if oid >= FIRST_USER_OID} if kind.oid in found else set()
            more |= {kind.oid} if kind.element in found or kind.base in found else set()
        for end, part in snapshot.ranges.items():
            more |= {end} if part in found else {part} if end in found and part >= FIRST_USER_OID else set()
        if more == found:
            return frozenset(found)
        found = more


OPERATING = frozenset({"A_Expr", "SubLink", "SortBy", "CaseExpr", "JoinExpr"})
"""Messages that may use operators."""


def operators(message: Message) -> list[tuple[str, ...]]:
    """Names of the operators that a message uses, also those that the grammar puts there: BETWEEN, CASE x WHEN, USING, IN (SELECT)."""
    kind = type(message).__name__
    if kind == "A_Expr":
        names = tuple(strings(message.name))
        return [(">=",), ("<=",)] if names and "BETWEEN" in names[-1] else [names]
    if kind == "SubLink":
        return [tuple(strings(message.oper_name)) or ("=",)] if message.HasField("testexpr") else []
    if kind == "SortBy":
        return [tuple(strings(message.use_op))] if message.use_op else []
    if kind == "CaseExpr":
        return [("=",)] if message.HasField("arg") else []
    return [("=",)] if kind == "JoinExpr" and (message.using_clause or message.is_natural) else []


def apart(
    message: Message, overloads: Collection[Function], known: frozenset[int] | None, snapshot: Snapshot, operands: Operands
) -> bool:
    """
    Whether none of these can be meant by a FuncCall, a TypeCast to a type of the server's, or what uses an operator.

    :param known: `held` of its statement. :param operands: likewise.
    """
    return bool(overloads) and all(_apart(message, f, known, snapshot, operands) for f in overloads)


def _apart(message: Message, function: Function, known: frozenset[int] | None, snapshot: Snapshot, operands: Operands) -> bool:
    kind = type(message).__name__
    if kind == "TypeCast":
        return bool(strange(function, known, snapshot))
    used = operators(message)
    if any(len(names) != 1 for names in used or [spelt(message.funcname)]):
        return False
    if used:
        given = [getattr(message, side) for side in ("lexpr", "rexpr") if kind == "A_Expr" and message.HasField(side)]
        if all(names[0] in _COMPARISONS for names in used) and _no_operand(function, known, snapshot):
            return True
    elif message.func_variadic or any(type(unwrap(a)).__name__ == "NamedArgExpr" for a in message.args):
        return False
    else:
        given = list(message.args)
        if _no_argument(function, given, known, snapshot, operands):
            return True
    return any(operands.cannot(node, parameter) for node, parameter in zip(given, function.arguments, strict=False))


def strange(function: Function, known: frozenset[int] | None, snapshot: Snapshot) -> list[int]:
    """Positions of arguments whose type no value of the statement has, nor turns into by itself."""
    return [
        i for i, oid in enumerate(function.arguments)
        if known is not None and oid >= FIRST_USER_OID and oid not in known and oid not in snapshot.implicit and not snapshot.kin(oid)
    ]  # fmt: skip


def _no_operand(function: Function, known: frozenset[int], snapshot: Snapshot) -> bool:
    odd = strange(function, known, snapshot)
    rest = [oid for i, oid in enumerate(function.arguments) if i not in odd]
    return len(function.arguments) == 2 and bool(odd) and all(oid in _COMPARED for oid in rest)


def _no_argument(function: Function, given: list[Message], known: frozenset[int] | None, snapshot: Snapshot, operands: Operands) -> bool:
    """Beside it there is one of the server's that takes text there, which an untyped literal is taken for first, and else the same."""
    literals = (i for i, node in enumerate(given[: len(function.arguments)]) if operands.rather_text(node, function.arguments[i]))
    odd = {*strange(function, known, snapshot), *literals}
    own = [f for f in snapshot.by_function_name.get(function.name, ()) if f.schema == "pg_catalog" and len(f.arguments) == len(given)]
    alike = (all(f.arguments[i] == (_TEXT if i in odd else oid) for i, oid in enumerate(function.arguments)) for f in own)
    return len(given) == len(function.arguments) and bool(odd) and any(alike)
