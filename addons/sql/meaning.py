"""
What the names in a text mean, by the catalog: a text to two digests of all that it may name, and of what is behind that.

For who has to know whether a text still means what it meant. Its words are looked up, wherever they stand and in whatever schema, and so are
those of views, rules, policies and bodies that they lead to: too much is found rather than too little, and nothing is parsed.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

from addons.sql.catalog import FIRST_USER_OID, Column, Function, Relation, Snapshot, Type

WORD = re.compile(r"[\w$]+")
ESCAPED = re.compile(r"u&[\"']", re.IGNORECASE)
_LENGTH = 63  #: bytes of a name; the server cuts off the rest
_SYSTEM = frozenset({"pg_catalog", "information_schema"})

Thing = Relation | Function | Type


class Meaning(NamedTuple):
    """
    :ivar shape: another one where a name means something of another shape, text or place than it did. What was made anew just as it was has
        the same one, so that a script's own tables have it each time that it runs.
    :ivar exact: another one also where it is not the very same object.
    """

    shape: bytes
    exact: bytes


def meaning(texts: Iterable[str], snapshot: Snapshot, function: int = 0) -> Meaning:
    """:param function: the OID of one that is called by it, if any."""
    texts = list(texts)
    whole = [("catalog", snapshot.revision)] if any(ESCAPED.search(text) for text in texts) else []
    finding = _Finding(snapshot, texts, function)
    found = finding.found()
    shapes = sorted({repr(_shape(thing, snapshot)) for thing in found.values()}), sorted((name, sorted(snapshot.collations[name])) for name in finding.collations)
    very = sorted((*key, tuple(column.number for column in getattr(thing, "columns", ()))) for key, thing in found.items())
    return Meaning(digest((whole, shapes)), digest((whole, shapes, very)))


def digest(value: Any) -> bytes:
    """32 bytes of a value of plain ones, in an order of its own where it has none."""
    return hashlib.sha256(repr(_plain(value)).encode("utf-8", "surrogatepass")).digest()


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return [type(value).__name__, *(_plain(getattr(value, one.name)) for one in fields(value))]
    if isinstance(value, (frozenset, set)):
        return sorted((_plain(one) for one in value), key=repr)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def words(text: str) -> set[str]:
    """As the server may read them: folded, and cut."""
    found = set(WORD.findall(text))
    found |= {word.lower() for word in found}
    return found | {word.encode("utf-8", "surrogatepass")[:_LENGTH].decode("utf-8", "ignore") for word in found if len(word) > _LENGTH // 4}


@dataclass(frozen=True, slots=True)
class _Behind:
    """What belongs to relations and is not in them, by OID."""

    triggers: dict[int, list[int]]
    referring: dict[int, list[int]]


class _Finding:
    """
    All that texts lead to. Things are keyed by the kind of their catalog and their OID.

    :ivar collations: names of those that the texts name; a column's own is part of its relation.
    """

    def __init__(self, snapshot: Snapshot, texts: list[str], function: int) -> None:
        self._snapshot, self._texts = snapshot, list(texts)
        self.collations: set[str] = set()
        self._relations: list[Relation] = []
        self._found: dict[tuple[str, int], Thing] = {}
        indices = snapshot.by_relation_name, snapshot.by_function_name, snapshot.by_type_name, snapshot.collations
        self._odd = [name for index in indices for name in index if not WORD.fullmatch(name)]
        self._behind = _Behind(defaultdict(list), defaultdict(list))
        for relation, called in snapshot.triggers:
            self._behind.triggers[relation].append(called)
        for key in snapshot.foreign_keys:
            self._behind.referring[key.target].append(key.source)
        self._functions(function for pair in snapshot.casts.values() for function in pair)
        self._functions([function])

    def found(self) -> dict[tuple[str, int], Thing]:
        while self._texts or self._relations:
            if self._relations:
                self._relation(self._relations.pop())
            else:
                self._read(self._texts.pop())
        return self._found

    def _read(self, text: str) -> None:
        named = words(text) | {name for name in self._odd if name in text or name.replace('"', '""') in text}
        self.collations |= named & self._snapshot.collations.keys()
        for name in named:
            self._relations.extend(self._snapshot.by_relation_name.get(name, ()))
            self._functions(f.oid for f in self._snapshot.by_function_name.get(name, ()))
            for kind in self._snapshot.by_type_name.get(name, ()):
                self._type(kind)
        for sign, functions in self._snapshot.operators.items():
            if sign in text:
                self._functions(functions)

    def _relation(self, relation: Relation) -> None:
        key = ("relation", relation.oid)
        if relation.system or key in self._found:
            return
        self._found[key] = relation
        snapshot = self._snapshot
        kept = (relation.definition, *relation.rules, *snapshot.policies.get(relation.oid, ()), *(c.generated for c in relation.columns))
        self._texts.extend(text for text in kept if text)
        self._functions((*self._behind.triggers.get(relation.oid, ()), *snapshot.runs.get(relation.oid, ())))
        kin = (*snapshot.parents.get(relation.oid, ()), *snapshot.children.get(relation.oid, ()), *self._behind.referring.get(relation.oid, ()))
        self._relations.extend(snapshot.relations[oid] for oid in kin if oid in snapshot.relations)
        for kind in (snapshot.types[c.type_oid] for c in relation.columns if c.type_oid in snapshot.types):
            self._type(kind)

    def _functions(self, oids: Iterable[int]) -> None:
        for oid in oids:
            function, key = self._snapshot.functions.get(oid), ("function", oid)
            if function is not None and function.schema not in _SYSTEM and key not in self._found:
                self._found[key] = function
                self._texts.append(function.body)
                self._functions(self._snapshot.aggregates.get(oid, ()))

    def _type(self, kind: Type) -> None:
        key = ("type", kind.oid)
        if kind.oid < FIRST_USER_OID or kind.schema in _SYSTEM or key in self._found:
            return
        self._found[key] = kind
        self._functions(self._snapshot.type_runs.get(kind.oid, ()))
        if kind.relation in self._snapshot.relations:
            self._relations.append(self._snapshot.relations[kind.relation])
        for inner in (self._snapshot.types[oid] for oid in (kind.base, kind.element) if oid in self._snapshot.types):
            self._type(inner)


def _shape(thing: Thing, snapshot: Snapshot) -> Any:
    """It without OIDs that are anybody's choice; a session's own schema for temporary tables has another number each time."""
    if isinstance(thing, Relation):
        columns, state = [_column(column) for column in thing.columns], snapshot.states.get(("relation", thing.oid), "")
        stored = thing.definition, thing.rules, snapshot.policies.get(thing.oid, ()), state
        return "relation", _schema(thing), thing.name, thing.kind, columns, *stored, *_kin(thing, snapshot)
    if isinstance(thing, Function):
        called = [_named(oid, snapshot) for oid in (thing.returns, *thing.arguments)]
        facts = thing.kind, thing.volatility, thing.language, thing.definer, thing.returns_set, thing.body, thing.settings, snapshot.states.get(("function", thing.oid), "")
        return "function", thing.schema, thing.name, called, *facts
    return "type", _schema(thing), thing.name, thing.kind, thing.category, _named(thing.base, snapshot), _named(thing.element, snapshot), snapshot.states.get(("type", thing.oid), "")


def _column(column: Column) -> tuple[Any, ...]:
    return column.name, column.type_name, column.not_null, column.generated, column.filled, column.loose


def _kin(relation: Relation, snapshot: Snapshot) -> Iterator[list[tuple[str, str]]]:
    """Its parents' and children's names."""
    for oids in (snapshot.parents.get(relation.oid, ()), snapshot.children.get(relation.oid, ())):
        yield sorted((_schema(near), near.name) for oid in oids if (near := snapshot.relations.get(oid)) is not None)


def _schema(thing: Relation | Type) -> str:
    return "pg_temp" if thing.schema.startswith("pg_temp_") else thing.schema


def _named(oid: int, snapshot: Snapshot) -> str:
    known = snapshot.types.get(oid)
    return f"{_schema(known)}.{known.name}" if known is not None and oid >= FIRST_USER_OID else str(oid)
