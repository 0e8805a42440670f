"""
What rules name and no database has that they are about: such a rule holds nothing up, and lets nothing through.

Only of targets whose catalog was read. A name that any of the databases has is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from addons.sql.conditions import near
from gateway.config import Config
from gateway.section import Problem

if TYPE_CHECKING:  # with the parser, which control loads only where it looks at targets
    from addons.sql.catalog import Snapshot

OWN = "addons."
"""Where our addons are. What another's options of the same names mean, only it knows."""

_ALWAYS = frozenset({"*", "ctid", "oid", "tableoid", "xmin", "xmax", "cmin", "cmax"})
"""Columns that rules may name and no catalog lists."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """
    What databases have, by name; all of it together of several.

    :ivar relations: as "schema.name"; `functions`, with procedures, and `operators` likewise, these without a schema.
    :ivar columns: of any relation, by their own names.
    """

    relations: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()

    @classmethod
    def of(cls, snapshot: Snapshot) -> Holdings:
        relations = snapshot.relations.values()
        return cls(
            frozenset(one.label for one in relations), frozenset(column.name for one in relations for column in one.columns),
            frozenset(one.label for one in snapshot.functions.values()), frozenset(snapshot.operators), snapshot.schemas,
        )

    @classmethod
    def together(cls, several: Iterable[Holdings]) -> Holdings:
        found = list(several)
        return cls(*(frozenset().union(*(getattr(one, each.name) for one in found)) for each in fields(cls)))

    def lack(self, key: str, name: str) -> str:
        """What is not there, in words, with what is like it; "" where it is, or where that cannot be told."""
        match key:
            case "relations":
                return _absent("relation", name, self.relations)
            case "columns":
                return "" if name in self.columns | _ALWAYS else f"column {name!r} in any relation{near(name, self.columns)}"
            case "functions" if name.rpartition(".")[2].isidentifier():
                return _absent("function", name, self.functions)
            case "search_paths":
                absent = [one for one in _schemas(name) if one not in self.schemas]
                return f"schema {absent[0]!r}{near(absent[0], self.schemas)}" if absent else ""
        return ""


def nowhere(config: Config, seen: Mapping[str, Holdings]) -> Iterator[Problem]:
    """:param seen: by target; of all of its databases."""
    databases = [entry.name for entry in config.targets.values() if entry.protocol != "ssh"]
    for index, addon in enumerate(config.addons):
        keys = ("relations", "columns", "functions", "search_paths") if addon.use.startswith(OWN) else ("relations",)
        for at, table in _tables(addon.options, f"addon[{index}]"):
            about = [name for name in table.get("targets") or databases if name in databases]
            if not about or not seen.keys() >= set(about):
                continue
            there = Holdings.together(seen[name] for name in about)
            for key, name in _names(table, keys):
                lack = there.lack(key, name)
                if lack:
                    yield Problem(f"{at}.{key}", f"{', '.join(about)} {'have' if about[1:] else 'has'} no {lack}", "correct it, or make it there")


def _tables(value: Any, at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every table, each at its key path."""
    if isinstance(value, Mapping):
        yield at, value
        for key, inside in value.items():
            yield from _tables(inside, f"{at}.{key}")
    elif isinstance(value, list | tuple):
        for index, inside in enumerate(value):
            yield from _tables(inside, f"{at}[{index}]")


def _names(table: Mapping[str, Any], keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    for key in keys:
        names = table.get(key)
        yield from ((key, name) for name in (names if isinstance(names, list | tuple) else ()) if isinstance(name, str))


def _absent(sort: str, name: str, there: frozenset[str]) -> str:
    """A name without a schema means any of that name."""
    known = there if "." in name else {one.partition(".")[2] for one in there}
    return "" if name in known else f"{sort} {name!r}{near(name, known)}"


def _schemas(path: str) -> Iterator[str]:
    """Those that a search path names, as the server reads it; not the ones that it makes up itself."""
    for one in map(str.strip, path.split(",")):
        schema = one[1:-1] if one[:1] == one[-1:] == '"' and len(one) > 1 else one.lower()
        if schema and schema not in ("$user", "pg_temp", "pg_catalog"):
            yield schema
