"""
Writes of clear columns whose success would tell of masked ones: by a check, an index, a generated column, a key.

The server compares what is written with what is masked, and says whether it fits; so whoever sees the one masked may not
write the other. Deletions ask only by foreign keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.masking.cover import Cover
from addons.sql.calls import Calls, vouchable
from addons.sql.catalog import Relation
from addons.sql.naming import strings
from addons.sql.parse import unwrap
from addons.sql.resolve import Names
from addons.sql.ties import ForeignKey, expression, mentioned
from protocols.verdict import Deny

_SETS = frozenset("cnd")
"""What a foreign key does to the rows that refer, as pg_constraint has it, where it writes them."""


@dataclass(frozen=True)
class _Write:
    """
    What one statement does to one relation.

    :ivar columns: names that it assigns; None for all of them.
    :ivar inserts: whether only new rows are written.
    """

    relation: Relation
    columns: frozenset[str] | None
    inserts: bool = False
    deletes: bool = False

    def assigns(self, names: Iterable[str]) -> bool:
        return self.columns is None or any(name in self.columns for name in names)


def judge_ties(messages: Iterable[Message], names: Names, cover: Cover, calls: Calls) -> Deny | None:
    """Why none of a statement's writes may run."""
    found = (
        _judged(write, cover, calls)
        for message in messages
        for name, columns, inserts, deletes in _written(message)
        for target in names.relations(name)
        for write in _grounded(_Write(target, columns, inserts, deletes), cover)
    )
    return next((deny for deny in found if deny is not None), None)


def _written(message: Message) -> Iterator[tuple[tree.RangeVar, frozenset[str] | None, bool, bool]]:
    """What a message writes: where, which columns, whether only new rows, whether rows go."""
    if isinstance(message, tree.InsertStmt):
        listed = frozenset(unwrap(n).name for n in message.cols) or None
        yield message.relation, listed, True, False
        if message.on_conflict_clause.target_list:
            yield message.relation, frozenset(unwrap(n).name for n in message.on_conflict_clause.target_list), False, False
    elif isinstance(message, tree.UpdateStmt):
        yield message.relation, frozenset(unwrap(n).name for n in message.target_list), False, False
    elif isinstance(message, tree.DeleteStmt):
        yield message.relation, frozenset(), False, True
    elif isinstance(message, tree.MergeStmt):
        yield message.relation, None, False, True
    elif isinstance(message, tree.CopyStmt) and message.is_from and message.HasField("relation"):
        yield message.relation, frozenset(strings(message.attlist)) or None, True, False


def _grounded(write: _Write, cover: Cover) -> Iterator[_Write]:
    """The same of the tables that it may reach: children too, and of a view all that it may name, in whatever columns."""
    relation, snapshot = write.relation, cover.snapshot
    if relation.definition:
        for oid in cover.beneath(relation):
            base = snapshot.relations[oid]
            yield from _grounded(_Write(base, None if write.columns != frozenset() else write.columns, False, write.deletes), cover)
        return
    yield write
    for oid in snapshot.descendants(relation.oid):
        yield _Write(snapshot.relations[oid], write.columns, write.inserts, write.deletes)


def _judged(write: _Write, cover: Cover, calls: Calls) -> Deny | None:
    relation = write.relation
    call = _called(write, cover, calls)
    if call:
        return refusals.unlisted(call, vouchable(call))
    tied = _tied(relation, write, cover) or _updated(relation, write, cover, set())
    if not tied and write.deletes:
        tied = _deleted(relation, cover, {relation.oid})
    return refusals.tied(relation.label, tied) if tied else None


def _called(write: _Write, cover: Cover, calls: Calls) -> str:
    """Code of an owner's that looks at what is written."""
    relation = write.relation
    for column in relation.columns:
        if write.assigns((column.name,)) and column.type_oid in calls.asking:
            return f"a cast to {column.type_name}"
    for tie in cover.snapshot.ties.get(relation.oid, ()):
        if tie.tree is not None and (write.columns is None or any(tie.holds(name) for name in write.columns)):
            call = calls.unlisted(tie.tree)
            if call:
                return call
    return ""


def _tied(relation: Relation, write: _Write, cover: Cover) -> list[str]:
    """Labels of the masked columns that what is written is compared with, in its own relation."""
    masked = cover.relations.get(relation.oid)
    if not masked:
        return []
    clear = [c.name for c in relation.columns if c.name not in masked and write.assigns((c.name,))]
    for kind, holds in _looking(relation, cover):
        secrets = [m for name, m in masked.items() if name in holds]
        fresh = write.inserts and kind != "unique" and not any(m.column.filled for m in secrets)
        if secrets and not fresh and any(name in holds for name in clear):
            return sorted(m.label for m in secrets)
    return []


def _looking(relation: Relation, cover: Cover) -> Iterator[tuple[str, Collection[str]]]:
    """What looks at several columns of a relation at once: its kind, and their names."""
    every = frozenset(c.name for c in relation.columns)
    for tie in cover.snapshot.ties.get(relation.oid, ()):
        yield tie.kind, every if tie.holds("*") else tie.columns
    for column in relation.columns:
        if column.generated:
            select = expression(column.generated)
            found = frozenset("*") if select is None else mentioned(select)
            yield "generated", every if "*" in found else found


def _updated(relation: Relation, write: _Write, cover: Cover, seen: set[int]) -> Sequence[str]:
    """Labels of masked columns that refer to what is written, or that it refers to."""
    for key in cover.snapshot.foreign_keys:
        if key.source == relation.oid and write.assigns(key.columns) and (found := _unlike(key, cover, key.target, key.keys)):
            return found
        if key.target == relation.oid and not write.inserts and write.assigns(key.keys):
            found = _unlike(key, cover, key.source, key.columns)
            if not found and key.updates in _SETS and key.source not in seen:
                found = _cascaded(key, cover, seen)
            if found:
                return found
    return []


def _deleted(relation: Relation, cover: Cover, seen: set[int]) -> Sequence[str]:
    """Labels of masked columns that refer to a row that goes, or to one that goes with it."""
    for key in cover.snapshot.foreign_keys:
        if key.target != relation.oid:
            continue
        found = _unlike(key, cover, key.source, key.columns)
        if not found and key.deletes in _SETS and key.source not in seen:
            source = cover.snapshot.relations[key.source]
            gone = key.deletes == "c"
            found = _deleted(source, cover, seen | {source.oid}) if gone else _cascaded(key, cover, seen)
        if found:
            return found
    return []


def _cascaded(key: ForeignKey, cover: Cover, seen: set[int]) -> Sequence[str]:
    """The same of the rows that refer, whose columns are written in turn."""
    source = cover.snapshot.relations[key.source]
    write = _Write(source, frozenset(key.columns))
    return _tied(source, write, cover) or _updated(source, write, cover, seen | {source.oid})


def _unlike(key: ForeignKey, cover: Cover, side: int, names: Sequence[str]) -> list[str]:
    """Labels of the masked columns on one side of a key whose partners on the other are clear."""
    masked, other = cover.relations.get(side, {}), cover.relations.get(key.target if side == key.source else key.source, {})
    partners = key.keys if names is key.columns else key.columns
    return sorted(masked[name].label for name, partner in zip(names, partners, strict=True) if name in masked and partner not in other)
