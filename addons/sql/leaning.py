"""
Whether only the search path says what a text means: it has a name without a schema that relations, functions, operators or types of
several schemas have. For who lets something pass that must not come to mean another thing.

By names alone, so too much rather than too little; where something new is made is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Function, Snapshot, Type
from addons.sql.naming import strings
from addons.sql.overloads import operators
from addons.sql.parse import Unparsable, parse, walk
from addons.sql.pinned import shared
from addons.sql.resolve import bare

_SERVERS = frozenset({"pg_catalog", "information_schema"})
_BY_TEXT = frozenset({"nextval", "setval", "currval"})
"""They take a relation's name as a value, and do something to it."""


def leans(text: str, snapshot: Snapshot) -> bool:
    try:
        statements = parse(text).statements
    except Unparsable:
        return shared(snapshot).within(text)
    return any(True for statement in statements for _name in _leaning(statement, snapshot))


def _leaning(statement: Message, snapshot: Snapshot) -> Iterator[str]:
    """Names that lean on the path."""
    names = shared(snapshot).names
    yield from (name.relname for name in bare(statement) if name.relname in names)
    for message in walk(statement):
        if isinstance(message, tree.FuncCall):
            called = strings(message.funcname)
            yield from _several(called, snapshot.by_function_name)
            if called[-1:] and called[-1] in _BY_TEXT:
                yield from (one.sval.sval for one in walk(message) if isinstance(one, tree.A_Const) and _bare(one.sval.sval) in names)
        elif isinstance(message, tree.ObjectWithArgs):
            yield from _several(strings(message.objname), snapshot.by_function_name)
        elif isinstance(message, tree.TypeName):
            yield from _several(strings(message.names), snapshot.by_type_name)
        elif isinstance(message, tree.List):
            yield from _listed(strings(message.items), snapshot)
        elif used := operators(message):
            yield from (name for each in used for name in _operator(list(each), snapshot))


def _several(called: list[str], index: dict[str, Iterable[Function | Type]]) -> Iterator[str]:
    if len(called) == 1 and len({one.schema for one in index.get(called[0], ()) if one.schema not in _SERVERS and not one.schema.startswith("pg_t")}) > 1:
        yield called[0]


def _operator(called: list[str], snapshot: Snapshot) -> Iterator[str]:
    """Operators are where their functions are, as far as the catalog here tells."""
    if len(called) == 1 and len({snapshot.functions[oid].schema for oid in snapshot.operators.get(called[0], ()) if oid in snapshot.functions}) > 1:
        yield called[0]


def _listed(named: list[str], snapshot: Snapshot) -> Iterator[str]:
    """DROP and COMMENT have a relation's name, or a trigger's behind that, in a list."""
    if named and named[0] in shared(snapshot).names and (len(named) == 1 or named[0] not in snapshot.schemas):
        yield named[0]


def _bare(name: str) -> str:
    return name.replace('"', "") if '"' in name else name.lower()
