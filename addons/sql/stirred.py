"""
What the code may change of the catalog that a statement calls, as far as the snapshot tells: functions' bodies, and those that they name.
"""

from __future__ import annotations

from addons.sql.catalog import Function, Snapshot
from addons.sql.finding import Name
from addons.sql.flux import Flux, spoken, together, words_of

SERVERS = ("pg_catalog", "information_schema")

_MOST = 256  #: functions that are looked at for one call


def user_functions(snapshot: Snapshot | None, name: Name) -> list[Function]:
    """The functions outside the server's own schemas that a name may call."""
    if snapshot is None:
        return []
    schema, last = name
    found = snapshot.by_function_name.get(last, ())
    return [f for f in found if f.schema not in SERVERS and (not schema or f.schema == schema)]


def own(function: Function) -> Flux | None:
    """What its own code may change: what it calls is another function's. Extensions' compiled code changes nothing that is judged."""
    if function.language in ("c", "internal"):
        return None if function.extension else Flux(unseen=True)
    if function.language not in ("sql", "plpgsql") or not function.body:
        return Flux(unseen=True)
    return None if function.atomic else spoken(function.body)


def changing(function: Function, snapshot: Snapshot, seen: frozenset[int] = frozenset()) -> Flux | None:
    """What calling it may change."""
    if function.language not in ("sql", "plpgsql") or not function.body:
        return own(function)
    if len(seen) > _MOST:
        return Flux(unseen=True)
    return together((own(function), called(function.body, snapshot, seen | {function.oid})))


def called(code: str, snapshot: Snapshot, seen: frozenset[int] = frozenset()) -> Flux | None:
    """What the functions may change whose names stand in code."""
    found = [f for word in words_of(code) for f in user_functions(snapshot, ("", word)) if f.oid not in seen]
    seen = seen.union(f.oid for f in found)
    return together(changing(f, snapshot, seen) for f in found)
