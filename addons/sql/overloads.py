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
from addons.sql.naming import strings

_COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
_COMPARED = frozenset({16, 17, 19, 20, 21, 23, 25, 26, 700, 701, 1042, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 3802})
"""Types of the server's that each have all comparisons with themselves: an untyped literal beside one is taken for the same."""

_TEXT = 25

ANY = -1
"""Among declared types: values may be of whatever type, since the catalog may not show what there is when the statement runs."""


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


def apart(message: Message, overloads: Collection[Function], known: frozenset[int] | None, snapshot: Snapshot) -> bool:
    """
    Whether none of these can be meant by an A_Expr, a FuncCall or a TypeCast to a type of the server's.

    :param known: `held` of its statement.
    """
    if known is None or not overloads:
        return False
    if type(message).__name__ == "TypeCast":
        return all(strange(f, known, snapshot) for f in overloads)
    if type(message).__name__ == "A_Expr":
        names = strings(message.name)
        return len(names) == 1 and names[0] in _COMPARISONS and all(_no_operand(f, known, snapshot) for f in overloads)
    names = strings(message.funcname)
    if len(names) != 1 or message.func_variadic or any(type(a).__name__ == "NamedArgExpr" for a in message.args):
        return False
    return all(_no_argument(f, len(message.args), known, snapshot) for f in overloads)


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


def _no_argument(function: Function, given: int, known: frozenset[int], snapshot: Snapshot) -> bool:
    """Beside it there is one of the server's that takes text there, which an untyped literal is taken for first."""
    odd = strange(function, known, snapshot)
    own = [f for f in snapshot.by_function_name.get(function.name, ()) if f.schema == "pg_catalog" and len(f.arguments) == given]
    return given == len(function.arguments) and bool(odd) and any(all(f.arguments[i] == _TEXT for i in odd) for f in own)
