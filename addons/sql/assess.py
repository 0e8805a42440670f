"""
A finding to its final classes: functions, operators, settings and prepared names are weighed here.

Without a catalog, what cannot be told from the text is `function-unlisted`. With one, a SQL function outside the list
is what its body is, and `(x).name` or `t.name` is a call only when a function of that name exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from addons.sql.bounds import Columns
from addons.sql.classify import classify, unknown_columns
from addons.sql.finding import Finding, Name
from addons.sql.functions import OPERATORS, SETTERS, catalog_class
from addons.sql.parse import Unparsable, parse
from addons.sql.reach import reach
from addons.sql.settings import Gate

if TYPE_CHECKING:
    from addons.sql.catalog import Function, Snapshot

_DEPTH = 8  #: SQL functions inside SQL functions that are looked into
_FIELDS = frozenset({"n", "x"})
"""Fields of information_schema._pg_expandarray's row, which pgjdbc reads; no catalog is needed to allow them."""

Classes = dict[str, str]
"""Class to one clause that says why."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """One statement: what it touches, and its classes."""

    finding: Finding
    classes: Classes


@dataclass(frozen=True, slots=True)
class Listed:
    """Functions, procedures and operators that the gateway's operator vouches for, as "name" or "schema.name"."""

    names: frozenset[str] = field(default_factory=frozenset)

    def __contains__(self, name: Name) -> bool:
        schema, last = name
        if schema:
            return f"{schema}.{last}" in self.names or last in self.names
        return last in self.names or any(n.partition(".")[2] == last for n in self.names)


class Assessor:
    """
    :param functions: what the operator vouches for.
    :param gate: for SET and set_config().
    :param relations: what rules name, to be found under other names; None when no rule asks.
    """

    def __init__(self, functions: Iterable[str], gate: Gate, relations: frozenset[str] | None = None) -> None:
        self._listed, self._gate = Listed(frozenset(functions)), gate
        self._sought = None if relations is None else Listed(relations)

    def assess(self, text: str, snapshot: Snapshot | None = None, *, unread: bool = False) -> tuple[Assessed, ...]:
        """
        Every statement of a string.

        :param unread: there is a catalog, and it is not known: a name without a schema may be a user's.
        :raises Unparsable: the grammar refuses it.
        """
        found = classify(parse(text), columns_of(snapshot))
        assessed = tuple(Assessed(f, self._classes(f, snapshot, 0)) for f in found)
        for part in assessed if unread else ():
            self._shadowed(part)
        if self._sought is not None and (unread or snapshot is not None):
            for part in assessed:
                _reach(part.finding, snapshot, self._sought)
        return assessed

    def _shadowed(self, part: Assessed) -> None:
        """A call that may be another's than its name says."""
        found = part.finding
        names = [*found.functions, *found.operators, *(("", name) for name in (*found.fields, *found.constructs))]
        foreign = next((_label(n) for n in sorted(names) if n[0] != "pg_catalog" and n not in self._listed and n not in SETTERS), None)
        if foreign is not None:
            why = f"calls {foreign}, which may be anybody's while the target's catalog cannot be read"
            part.classes.setdefault("function-unlisted", why)

    def function(self, name: Name, snapshot: Snapshot | None) -> Classes:
        """The classes of one function called by itself (the fast path)."""
        classes: Classes = {}
        self._call(name, snapshot, classes, 0)
        return classes or {"read": f"calls {_label(name)}"}

    def _classes(self, found: Finding, snapshot: Snapshot | None, depth: int) -> Classes:
        classes = dict(found.classes)
        if found.called and all(name in self._listed for name in found.called):
            classes.pop("procedural", None)
            classes.setdefault("write", "calls a listed procedure")
        for name in found.functions:
            if name not in SETTERS:
                self._call(name, snapshot, classes, depth)
        for change in found.changes:
            kind, why = self._gate.judge(change)
            classes.setdefault(kind, why)
        for name in found.operators:
            self._operator(name, snapshot, classes, depth)
        for name in found.fields:
            self._field(name, snapshot, classes, depth)
        for name in found.constructs:
            for function in _user_functions(snapshot, ("", name)):
                self._body(function, snapshot, classes, depth)
        if found.prepares:
            classes.setdefault("session", "prepares a statement")
        if found.kind == "Execute" and not found.executes:
            classes.setdefault("dynamic", "executes nothing that is known")
        return classes

    def _call(self, name: Name, snapshot: Snapshot | None, classes: Classes, depth: int) -> None:
        """Add what a call is. An unqualified name may mean the server's own function or a user's of that name."""
        if name in self._listed:
            return
        known = catalog_class(*name)
        others = _user_functions(snapshot, name)
        if known is not None:
            if known != "read":
                classes.setdefault(known, f"calls {_label(name)}")
            others = [f for f in others if not f.extension]
        if known is None and not others:
            classes.setdefault("function-unlisted", f"calls {_label(name)}, which is not on the list of functions")
        for function in others:
            self._body(function, snapshot, classes, depth)

    def _body(self, function: Function, snapshot: Snapshot | None, classes: Classes, depth: int) -> None:
        """A SQL function is what its body is; any other cannot be seen into."""
        if (function.schema, function.name) in self._listed:
            return
        unlisted = f"calls {function.label}, which is not on the list of functions"
        if function.language != "sql" or not function.body or depth >= _DEPTH or function.kind not in "fp":
            classes.setdefault("function-unlisted", unlisted)
            return
        try:
            found = classify(parse(function.body), columns_of(snapshot))
        except Unparsable:
            classes.setdefault("function-unlisted", unlisted)
            return
        for part in found:
            for kind, why in self._classes(part, snapshot, depth + 1).items():
                classes.setdefault(kind, f"calls {function.label}, which {why}")
            if part.executes or part.changes:
                classes.setdefault("dynamic", f"calls {function.label}, which executes prepared text or changes settings")

    def _operator(self, name: Name, snapshot: Snapshot | None, classes: Classes, depth: int) -> None:
        schema, symbol = name
        if name in self._listed:
            return
        if symbol not in OPERATORS or schema not in ("", "pg_catalog"):
            classes.setdefault("function-unlisted", f"uses operator {symbol}, which is not on the list of functions")
        if snapshot is None or schema == "pg_catalog":
            return
        for oid in snapshot.operators.get(symbol, ()):
            function = snapshot.functions.get(oid)
            if function is not None and not function.extension and function.schema not in _SERVERS:
                self._body(function, snapshot, classes, depth)

    def _field(self, name: str, snapshot: Snapshot | None, classes: Classes, depth: int) -> None:
        """`(x).name` calls a function when x has no such field; `t.name` (kept as ".name") only a user's function of a row."""
        last = name.removeprefix(".")
        if snapshot is None:
            known = "read" if name != last or last in _FIELDS else catalog_class("", last)
            if known != "read":
                classes.setdefault(known or "function-unlisted", f"reads field {last}, which may be a function's call")
            return
        if name == last and (known := catalog_class("", last)) not in (None, "read"):
            classes.setdefault(known, f"calls {last}")
        for function in _user_functions(snapshot, ("", last)):
            if function.required <= 1 <= len(function.arguments):
                self._body(function, snapshot, classes, depth)


def _reach(finding: Finding, snapshot: Snapshot | None, sought: Listed) -> None:
    """Views are looked through where they are written: to let one be read is to let that be read."""
    found = reach(finding.relations, finding.written, snapshot)
    finding.reached = None if snapshot is None and found.unknown else frozenset(name for name in found.names if name in sought)
    finding.renamed = found.renamed and bool(finding.written)


_SERVERS = ("pg_catalog", "information_schema")


def _user_functions(snapshot: Snapshot | None, name: Name) -> list[Function]:
    """The functions outside the server's own schemas that a name may call."""
    if snapshot is None:
        return []
    schema, last = name
    found = snapshot.by_function_name.get(last, ())
    return [f for f in found if f.schema not in _SERVERS and (not schema or f.schema == schema)]


def _label(name: Name) -> str:
    return ".".join(filter(None, name))


def columns_of(snapshot: Snapshot | None) -> Columns:
    """The catalog's columns for `bounds`: known only when one relation, or several alike, can be meant."""
    if snapshot is None:
        return unknown_columns

    def columns(schema: str, name: str) -> frozenset[str] | None:
        found = {frozenset(c.name for c in r.columns) for r in snapshot.named(schema, name)}
        return found.pop() if len(found) == 1 else None

    return columns


Lookup = Callable[[str], Iterable[Mapping[str, str]]]
"""A prepared name to the classes of each text that it may stand for; nothing when it is not known."""


def with_prepared(assessed: Assessed, lookup: Lookup) -> Classes:
    """A statement's classes with what it executes by name; an unknown name is `dynamic`."""
    classes = dict(assessed.classes)
    for name in assessed.finding.executes:
        known = list(lookup(name))
        if not known:
            classes.setdefault("dynamic", "executes a prepared statement that this session did not prepare in the open")
        for other in known:
            for kind, why in other.items():
                classes.setdefault(kind, f"executes a prepared statement that {why}")
    return classes
