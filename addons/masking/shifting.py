"""
What of a statement this session's own transaction made or changed: the catalog does not show it yet, so nobody can say what it does.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.flux import Flux
from addons.sql.naming import strings
from addons.sql.overloads import operators


def called(messages: Iterable[Message], flux: Flux | None) -> str:
    """The first function, operator or conversion in a tree that is not what the catalog shows, as a phrase; "" for none."""
    if flux is None or not (flux.routines or flux.types):
        return ""
    return next(filter(None, (_called(message, flux) for message in messages)), "")


def _called(message: Message, flux: Flux) -> str:
    kind = type(message).__name__
    if kind == "TypeName":
        name = _own(strings(message.names))
        return f"a conversion to {name}" if name in flux.types else ""
    if kind == "FuncCall":
        named = [strings(message.funcname)]
    elif kind == "ColumnRef":
        named = [[name] for name in strings(message.fields)[1:]]
    elif kind == "A_Indirection":
        named = [[name] for name in strings(message.indirection)]
    else:
        named = [list(names) for names in operators(message)]
    name = next((name for name in map(_own, named) if name in flux.routines), "")
    return f"function {name}" if name else ""


def _own(names: list[str]) -> str:
    """The last name; "" for what is the server's beyond doubt."""
    return "" if not names or names[0] == "pg_catalog" and len(names) > 1 else names[-1]


def moved(relation: tree.RangeVar, flux: Flux | None) -> bool:
    """Whether a relation's name may stand for something else than the catalog shows."""
    return flux is not None and (flux.unseen or relation.schemaname in flux.schemas or any(flux.moved(relation.relname)))
