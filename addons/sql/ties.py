"""
What of a relation's columns answers when another is written: checks, indexes, keys, partitions, as the catalog has them.

A tie's columns are found in its own text, so that an expression or a predicate counts as well as a bare column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.naming import strings
from addons.sql.parse import Unparsable, parse, walk

EVERYTHING = frozenset({"*"})
"""The columns of what could not be read: all of them."""


@dataclass(frozen=True, slots=True)
class Tie:
    """
    Columns of one relation that one object looks at together.

    :ivar kind: "check", "unique" (an exclusion is one too), "index" or "partition".
    :ivar columns: their names, or EVERYTHING.
    :ivar tree: its expression and predicate, for who asks what else it runs; None when it has none.
    """

    relation: int
    kind: str
    columns: frozenset[str]
    tree: Message | None = None

    def holds(self, name: str) -> bool:
        return name in self.columns or self.columns == EVERYTHING


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """
    :ivar source: OID of the relation that refers; `target` of the one it refers to. Their columns, by name, pair up.
    :ivar deletes: what a deletion there does here, as pg_constraint has it: a, r (refuses), c (cascades), n, d (sets).
    """

    source: int
    columns: tuple[str, ...]
    target: int
    keys: tuple[str, ...]
    deletes: str
    updates: str


@dataclass(frozen=True, slots=True)
class Check:
    """A domain's condition."""

    domain: int
    tree: Message | None


def ties(rows: Iterable[Sequence[str | None]]) -> tuple[Tie, ...]:
    """From (relation, kind, bare columns separated by NUL-free newlines, expressions)."""
    return tuple(_tie(int(relation), kind, names or "", text or "") for relation, kind, names, text in rows)


def _tie(relation: int, kind: str, names: str, text: str) -> Tie:
    found = frozenset(filter(None, names.split("\n")))
    if not text:
        return Tie(relation, kind, found)
    tree_ = expression(text)
    return Tie(relation, kind, EVERYTHING if tree_ is None else _with(found, mentioned(tree_)), tree_)


def _with(found: frozenset[str], more: frozenset[str]) -> frozenset[str]:
    return EVERYTHING if more == EVERYTHING else found | more


def foreign_keys(rows: Iterable[Sequence[str | None]]) -> tuple[ForeignKey, ...]:
    return tuple(
        ForeignKey(int(source), tuple((columns or "").split("\n")), int(target), tuple((keys or "").split("\n")), deletes, updates)
        for source, columns, target, keys, deletes, updates in rows
    )


def checks(rows: Iterable[Sequence[str | None]]) -> tuple[Check, ...]:
    return tuple(Check(int(domain), expression(text or "")) for domain, text in rows)


def expression(text: str) -> Message | None:
    """An expression, or several with commas between them, as a SELECT; None when it cannot be read."""
    try:
        return parse(f"SELECT {text}").statements[0]
    except Unparsable:
        return None


def mentioned(select: Message) -> frozenset[str]:
    """The columns that an expression over one relation names; EVERYTHING when it takes the row whole."""
    found: set[str] = set()
    for message in walk(select):
        if isinstance(message, tree.ColumnRef):
            names = strings(message.fields)
            if len(names) < len(message.fields):
                return EVERYTHING
            found.update(names)
    return frozenset(found)
