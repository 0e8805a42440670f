"""What a declaration that fits nothing in the catalog probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from addons.masking.declared import Declaration
from addons.sql.catalog import READABLE, Relation, Snapshot

_COMPARED = 4096  # names; a closer look at more would keep a worker's other sessions waiting


def relation(declaration: Declaration, snapshot: Snapshot) -> str:
    """The same name in another schema, or one like it in this one, as words in brackets; "" when nothing is like it."""
    readable = [r for r in snapshot.by_relation_name.get(declaration.relation, ()) if r.kind in READABLE]
    if readable:
        return _asked([r.label for r in readable])
    here = {r.name: r for r in snapshot.relations.values() if r.schema == declaration.schema and r.kind in READABLE}
    if not here:
        return _asked(_like(declaration.schema, snapshot.schemas), "; there is no such schema or nothing in it")
    return _asked([here[name].label for name in _like(declaration.relation, here)])


def column(declaration: Declaration, there: Relation) -> str:
    """A column of the relation whose name is like the declared one, likewise."""
    return _asked([f"{there.label}.{name}" for name in _like(declaration.column, [c.name for c in there.columns])])


def _like(name: str, known: Iterable[str]) -> list[str]:
    names = list(known)
    folded = [one for one in names if one.lower() == name.lower()]
    return folded or (difflib.get_close_matches(name, names, 1) if len(names) <= _COMPARED else [])


def _asked(labels: list[str], otherwise: str = "") -> str:
    return f" (did you mean {' or '.join(sorted(labels))}?)" if labels else otherwise
