"""
Which of the declared columns a text reads, for the evidence: as far as its lineage tells, else as its relations have them.

Nothing is decided by this. It errs by naming too much: what could not be followed is named whole, with a star behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking.copies import opened
from addons.masking.cover import Cover
from addons.masking.kinds import HARMLESS, REWRITTEN
from addons.sql.calls import Calls
from addons.sql.catalog import Relation
from addons.sql.lineage import Lineage
from addons.sql.naming import returned, strings
from addons.sql.parse import Parsed, unwrap, walk
from addons.sql.resolve import CREATES, Names, Reference, references
from addons.sql.scope import UNKNOWN, hidden, union

WHOLE = "*"
"""Stands for a relation's last column where it could not be told which are read, and alone where any declared one may be."""

_DEFINES = frozenset({"CreateFunctionStmt", "ViewStmt", "RuleStmt", "CreateTrigStmt", "CreatePolicyStmt", "IndexStmt", "CreateStatsStmt"})
"""They show nothing themselves."""


@dataclass(frozen=True, slots=True)
class Read:
    """
    :ivar columns: labels of those that it reads; "schema.relation.*" beside those that are named because nobody could tell.
    :ivar outputs: of a lone SELECT, for each column of its result that shows some: their labels. None where that is not known.
    """

    columns: frozenset[str] = frozenset()
    outputs: tuple[str, ...] | None = None


def read(
    parsed: Parsed, names: Names, cover: Cover, calls: Calls, named: Sequence[Sequence[Reference]] | None = None
) -> Read:
    """
    What a text reads of the columns of a cover.

    :param named: each statement's `references`, where it is `opened` and they are known.
    """
    if named is None:
        parsed = opened(parsed, names, cover)
        named = [references(statement) for statement in parsed.statements]
    found = [_of(statement, each, names, cover, calls) for statement, each in zip(parsed.statements, named, strict=True)]
    return Read(frozenset[str]().union(*(one.columns for one in found)), found[0].outputs if len(found) == 1 else None)


def hits(named: Iterable[Reference], names: Names, cover: Cover) -> Iterator[tuple[Reference, Relation]]:
    """Which references are to relations that have such columns."""
    for reference in named:
        if reference.place not in CREATES:
            yield from ((reference, relation) for relation in names.relations(reference.name) if cover.masks(relation))


def _of(statement: Message, named: Sequence[Reference], names: Names, cover: Cover, calls: Calls) -> Read:
    kind = type(statement).__name__
    reached = list(hits(named, names, cover))
    if not reached or kind in HARMLESS or kind in _DEFINES:
        return Read(outputs=() if not reached and kind == "SelectStmt" else None)
    holder = REWRITTEN.get(kind)
    query = unwrap(getattr(statement, holder)) if holder else statement
    if isinstance(query, tree.SelectStmt) and not any(reference.writing for reference in named):
        lineage = Lineage(names, cover.outputs, strict=True, opaque=calls.opaque)
        try:
            outputs = lineage.query(query)
        except RecursionError:
            outputs = None
        found = union(use.taint for use in lineage.uses) | (UNKNOWN if outputs is None else union(o.taint for o in outputs))
        if outputs is not None and not found & UNKNOWN:
            shown = tuple(", ".join(sorted(hidden(o.taint))) for o in outputs if hidden(o.taint))
            return Read(hidden(found), shown if kind == "SelectStmt" else None)
    return Read(frozenset(_named(statement, reached, cover)))


def _named(statement: Message, reached: Sequence[tuple[Reference, Relation]], cover: Cover) -> Iterator[str]:
    """By the columns' own names, wherever a statement mentions them: what it only assigns is not among them."""
    mentioned = _mentioned(statement, reached)
    for _reference, relation in reached:
        masked = cover.relations[relation.oid]
        if mentioned is None:
            yield f"{relation.label}.{WHOLE}"
        yield from (m.label for name, m in masked.items() if mentioned is None or name in mentioned)


def _mentioned(statement: Message, reached: Iterable[tuple[Reference, Relation]]) -> frozenset[str] | None:
    """None where it takes rows whole, or under other names."""
    tables = {name for reference, _relation in reached for name in (reference.name.relname, reference.name.alias.aliasname)}
    found: set[str] = set()
    messages = list(walk(statement))
    tables.update(*(returned(message) for message in messages if isinstance(message, tree.ReturningClause)))
    for message in messages:
        if isinstance(message, tree.ColumnRef):
            names = strings(message.fields)
            if len(names) < len(message.fields) or names[-1] in tables:
                return None
            found.add(names[-1])
        elif isinstance(message, tree.JoinExpr) and (message.is_natural or message.using_clause):
            return None
        elif isinstance(message, tree.Alias) and message.colnames:
            return None
    if isinstance(statement, tree.CopyStmt) and not statement.is_from:
        return frozenset(strings(statement.attlist)) or None
    return frozenset(found)
