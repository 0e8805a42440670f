"""
What a statement would run besides the server's own code: functions, operators, casts, by whatever notation.

A function made by a user can read anything, so it passes only when the operator of the gateway lists
it. Names are looked up in every schema, since a search_path can put any of them first; extension
code in C under a name that the server also has is taken for what its name says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import FIRST_USER_OID, Function, Snapshot
from addons.sql.extensions import computes
from addons.sql.functions import OPERATORS, SETTERS, catalog_class
from addons.sql.naming import spelt, strings
from addons.sql.operands import Operands
from addons.sql.overloads import OPERATING, apart, held, operators
from addons.sql.parse import walk

_SERVERS = frozenset({"pg_catalog", "information_schema"})
_SAFE_CLASSES = frozenset({"read", "session", "write", "large-object", "maintenance"})
"""Classes of catalog functions that return nothing of a table they were not given."""

_ROW_PSEUDO_TYPES = frozenset(
    {2249, 2276, 2283, 2776, 5077, 5079}
)  #: record, any, anyelement, anynonarray, anycompatible…
_SPECIAL = {
    "JsonObjectConstructor": ("json_object",),
    "JsonArrayConstructor": ("json_array",),
    "JsonArrayQueryConstructor": ("json_array",),
    "JsonObjectAgg": ("json_objectagg",),
    "JsonArrayAgg": ("json_arrayagg",),
    "JsonParseExpr": ("json",),
    "JsonScalarExpr": ("json_scalar",),
    "JsonSerializeExpr": ("json_serialize",),
    "JsonFuncExpr": ("json_exists", "json_query", "json_value"),
    "JsonTable": ("json_table",),
    "MergeSupportFunc": ("merge_action",),
}
"""Syntax of PostgreSQL 16 and later that an older server reads as a call of a user's function of that name."""

_LOOKED_AT = OPERATING | _SPECIAL.keys() | {"FuncCall", "TypeName", "TypeCast", "ColumnRef", "A_Indirection", "CreateTrigStmt"}

_POPULATING = frozenset(
    {"json_populate_record", "json_populate_recordset", "jsonb_populate_record", "jsonb_populate_recordset", "jsonb_populate_record_valid"}
)
"""They make a row of the type of another, which may not be named."""


class Calls:
    """
    :param listed: "schema.function" names that the operator vouches for.
    :ivar crowded: whether some operator or function of a user's has a name of the server's.
    :ivar asking: OIDs of the types whose making runs an owner's code: domains with such a check, and what is made of them.
    """

    def __init__(self, snapshot: Snapshot, listed: frozenset[str]) -> None:
        self._snapshot, self._listed = snapshot, listed
        self._bad_operators = {n for n, oids in snapshot.operators.items() if any(self.foreign(oid) for oid in oids)}
        self._bad_casts = {t for t, oids in snapshot.casts.items() if any(self.foreign(oid) for oid in oids)}
        shared = (f for f in snapshot.functions.values() if f.schema not in _SERVERS and catalog_class("", f.name) in _SAFE_CLASSES)
        self.crowded = bool(self._bad_operators & OPERATORS) or any(self.foreign(f.oid) for f in shared)
        self._system_user = any(c.name == "system_user" for r in snapshot.relations.values() for c in r.columns)
        self.asking: frozenset[int] = frozenset()
        self.asking = self._asking()
        self._attributes = {f.name for f in snapshot.functions.values() if self._attribute(f)}

    def unlisted(self, statement: Message) -> str:
        """The first call in a tree that cannot be vouched for, as a phrase; "" when there is none."""
        return self.first_unlisted(walk(statement))

    def first_unlisted(self, messages: Iterable[Message], types: Sequence[int] = ()) -> str:
        """
        Likewise, of all messages of a tree; not for an overload that cannot be meant there.

        :param types: OIDs that parameters are declared to have.
        """
        messages = messages if isinstance(messages, list) else list(messages)
        known: list[tuple[frozenset[int] | None, Operands]] = []  # made when it is needed
        for message in messages:
            why = self.opaque(message)
            if why and (overloads := self._overloads(message)):
                known = known or [(held(messages, types, self._snapshot), Operands(messages, types, self._snapshot))]
                if apart(message, overloads, known[0][0], self._snapshot, known[0][1]):
                    continue
            if why:
                return why
        return ""

    def _overloads(self, message: Message) -> list[Function]:
        """The foreign functions behind a name that is also the server's own; none when it is not only for them that it is refused."""
        kind = type(message).__name__
        if kind == "TypeCast":
            return self._casting(spelt(message.type_name.names))
        if used := operators(message):
            return self._operating([name for names in used for name in names]) if all(len(names) == 1 for names in used) else []
        names = spelt(message.funcname if kind == "FuncCall" else ())
        if len(names) != 1 or names[0] in _POPULATING:
            return []
        own = catalog_class("", names[0]) in _SAFE_CLASSES
        return [f for f in self._snapshot.by_function_name.get(names[0], ()) if self.foreign(f.oid)] if own else []

    def _operating(self, names: list[str]) -> list[Function]:
        """The foreign functions behind operators that are the server's too."""
        found = [self._snapshot.functions.get(oid) for name in names for oid in self._snapshot.operators.get(name, ())]
        return [f for f in found if f is not None and self.foreign(f.oid)] if OPERATORS.issuperset(names) and None not in found else []

    def opaque(self, message: Message) -> str:
        """Why one message of a tree may return anything: a phrase naming it, or ""."""
        kind = type(message).__name__
        if kind not in _LOOKED_AT:
            return ""
        if kind == "FuncCall":
            names = spelt(message.funcname)
            if self.asking and names and names[-1] in _POPULATING:
                return f"function {names[-1]}"
            if self._system_user and names[-1:] == ["system_user"] and message.funcformat == tree.COERCE_SQL_SYNTAX:
                return "system_user, which before PostgreSQL 16 is a column,"
            return "" if self.listed(*_split(names)) else f"function {'.'.join(names)}"
        if kind == "TypeName":
            return self._made(message)
        if used := operators(message):
            return next(filter(None, (self._operator(list(names)) for names in used)), "")
        if kind == "TypeCast":
            return self._cast(spelt(message.type_name.names))
        if kind == "ColumnRef":
            return self._notation(strings(message.fields)[1:]) if len(message.fields) > 1 else ""
        if kind == "A_Indirection":
            return self._notation(strings(message.indirection))
        if kind in _SPECIAL:
            foreign = [
                f for n in _SPECIAL[kind] for f in self._snapshot.by_function_name.get(n, ()) if self.foreign(f.oid)
            ]
            return f"function {foreign[0].label}" if foreign else ""
        if kind == "CreateTrigStmt":
            return (
                ""
                if self.listed(*_split(strings(message.funcname)))
                else f"function {'.'.join(strings(message.funcname))}"
            )
        return ""

    def listed(self, schema: str, name: str) -> bool:
        """Whether every function that a name may mean is vouched for."""
        if schema == "pg_catalog" and f"{schema}.{name}" in self._listed:
            return True
        known = [f for f in self._snapshot.by_function_name.get(name, ()) if f.schema not in _SERVERS]
        if schema in ("", *_SERVERS):
            own = catalog_class(schema, name) in _SAFE_CLASSES or (schema, name) in SETTERS
            if schema:
                return own
            if own:
                return not any(self.foreign(f.oid) for f in known)
        known = [f for f in known if not schema or f.schema == schema]
        return bool(known) and all(f.label in self._listed or computes(f) for f in known)

    def _asking(self) -> frozenset[int]:
        """Until nothing is new: a check may convert to another domain."""
        while True:
            found = {c.domain for c in self._snapshot.checks if c.tree is None or self.unlisted(c.tree)}
            while more := {t for t in self._parts(found) if t not in found}:
                found |= more
            if found == self.asking:
                return frozenset(found)
            self.asking = frozenset(found)

    def _parts(self, of: set[int]) -> Iterator[int]:
        """Types that hold one of these: domains over it, arrays, ranges, rows."""
        if not of:
            return
        for kind in self._snapshot.types.values():
            relation = self._snapshot.relations.get(kind.relation)
            if kind.element in of or kind.base in of or relation and any(c.type_oid in of for c in relation.columns):
                yield kind.oid
        yield from (end for end, part in self._snapshot.ranges.items() if part in of)

    def _made(self, kind: Message) -> str:
        """A type's name, wherever it stands."""
        schema, name = _split(spelt(kind.names))
        found = [t for t in self._snapshot.by_type_name.get(name, ()) if not schema or t.schema == schema]
        asks = self.asking and kind.pct_type or any(t.oid in self.asking for t in found)
        return f"a cast to {name}" if asks else ""

    def vouches(self, name: str) -> bool:
        """Whether some listed function has that name, in whatever schema."""
        return any(label.rpartition(".")[2] == name for label in self._listed)

    def by_oid(self, oid: int) -> bool:
        """The same for a function called by its OID. False for one that is not known."""
        function = self._snapshot.functions.get(oid)
        return function is not None and (
            function.label in self._listed
            or function.schema in _SERVERS
            and self.listed(function.schema, function.name)
        )

    def foreign(self, oid: int) -> bool:
        """Whether a function may hold a user's code. Extensions' compiled code is their author's."""
        function = self._snapshot.functions.get(oid)
        if function is None:
            return True
        if function.schema in _SERVERS or function.label in self._listed:
            return False
        return not (function.extension and function.language in ("c", "internal"))

    def _attribute(self, function: Function) -> bool:
        """Whether `t.f` may call it: a foreign function that takes one row."""
        if not self.foreign(function.oid) or not function.arguments or function.required > 1:
            return False
        kind = self._snapshot.types.get(function.arguments[0])
        return function.arguments[0] in _ROW_PSEUDO_TYPES or kind is not None and kind.kind in ("c", "d")

    def _operator(self, names: list[str]) -> str:
        if not names or names[0] == "pg_catalog" and len(names) > 1:
            return ""
        name = names[-1]
        if name in self._bad_operators or name not in OPERATORS and name not in self._snapshot.operators:
            return f"operator {name}"
        return ""

    def _cast(self, names: list[str]) -> str:
        schema, name = _split(names)
        found = [t for t in self._snapshot.by_type_name.get(name, ()) if not schema or t.schema == schema]
        return f"a cast to {name}" if any(t.oid in self._bad_casts for t in found) else ""

    def _casting(self, names: list[str]) -> list[Function]:
        """The foreign casts from and to a type of the server's."""
        schema, name = _split(names)
        found = [t for t in self._snapshot.by_type_name.get(name, ()) if not schema or t.schema == schema]
        if any(t.oid >= FIRST_USER_OID for t in found):
            return []
        oids = {oid for t in found for oid in self._snapshot.casts.get(t.oid, ()) if self.foreign(oid)}
        return [f for oid in oids if (f := self._snapshot.functions.get(oid)) is not None]

    def _notation(self, names: Iterable[str]) -> str:
        return next((f"function {n}" for n in names if n in self._attributes), "")


def vouchable(call: str) -> bool:
    """Whether an operator may sensibly list what `unlisted` named: a user's function, never the server's or one known to be dangerous."""
    kind, _, name = call.partition(" ")
    if kind != "function":
        return False
    schema, function = _split(name.split("."))
    return schema not in _SERVERS and catalog_class("", function) in (None, *_SAFE_CLASSES)


def _split(names: list[str]) -> tuple[str, str]:
    return (names[-2] if len(names) > 1 else "", names[-1] if names else "")
