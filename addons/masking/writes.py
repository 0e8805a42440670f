"""
INSERT, UPDATE, DELETE and MERGE that reach masked relations: the write-back guard.

The relation that is written is read raw, and what is read beside it is masked at its source; of both, everything that is read
must be a clean column, and no masked one may be written. What is returned is masked. Strict: what is not understood is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.masking.cover import Cover, Masked
from addons.masking.returning import Returning
from addons.sql.catalog import Relation
from addons.sql.lineage import Lineage
from addons.sql.parse import unwrap, walk
from addons.sql.resolve import WRITES, Names, Reference
from addons.sql.scope import UNKNOWN, Output, Scope, Taint, union
from protocols.verdict import Deny


def judge_write(
    statement: Message, names: Names, cover: Cover, hits: Sequence[tuple[Reference, Relation]], settled: Collection[int] = ()
) -> Deny | Returning:
    """
    :param hits: the masked relations that the statement reaches, and where it names them; they are to be masked at their sources.
    :param settled: where comparisons stand that the statement may make.
    :returns: why it may not run; else what its RETURNING is to be.
    """
    target = names.relations(statement.relation)
    beside = [reference for reference, _relation in hits if not _is_target(reference)]
    nested = any(type(message).__name__ in WRITES for message in islice(walk(statement), 1, None))
    if not target or any(reference.node is None for reference in beside) or (nested and not _only(target[0], hits)):
        return refusals.write_reads_masked(sorted({relation.label for _reference, relation in hits}))
    relation = target[0]
    masked = cover.relations.get(relation.oid, {})
    if masked and isinstance(statement, tree.MergeStmt):
        return refusals.cannot_mask("MERGE", relation.label)
    returning = Returning(statement, relation, cover)
    taint = _read(statement, returning.kept, Lineage(names, cover.outputs, strict=True, settled=settled))
    return judge_assigned(_written(statement, relation), taint, masked) or returning


def _is_target(reference: Reference) -> bool:
    return reference.place[0] in WRITES and reference.place[1] == "relation"


def _only(target: Relation, hits: Sequence[tuple[Reference, Relation]]) -> bool:
    """Whether nothing masked is reached but the target, once: writes inside of a write are not followed."""
    return len(hits) == 1 and _is_target(hits[0][0]) and hits[0][1].oid == target.oid


def judge_assigned(written: Sequence[str], read: Taint, masked: Mapping[str, Masked]) -> Deny | None:
    """
    :param written: names of the columns that are assigned.
    :param read: what is made of the values that are read.
    :param masked: the target's masked columns.
    """
    forbidden = [masked[c].label for c in written if c in masked]
    if forbidden:
        return refusals.writes_masked(forbidden)
    if read:
        return refusals.write_reads_masked(
            {label if label != "?" else "something that could not be followed" for label in read}
        )
    return None


def _written(statement: Message, relation: Relation) -> list[str]:
    """Names of the columns that the statement assigns; INSERT without a list assigns all."""
    found: list[str] = []
    if isinstance(statement, tree.InsertStmt):
        found += [unwrap(n).name for n in statement.cols] or [c.name for c in relation.columns]
        found += [unwrap(n).name for n in statement.on_conflict_clause.target_list]
    elif isinstance(statement, tree.UpdateStmt):
        found += [unwrap(n).name for n in statement.target_list]
    return found


def _read(statement: Message, returned: Sequence[tree.Node], lineage: Lineage) -> Taint:
    """Masked columns that any expression of the statement reads, of its RETURNING those in `returned`."""
    scope = Scope()
    if statement.HasField("with_clause"):
        lineage.with_entries(statement.with_clause, scope)
    scope.items.append(lineage.relation(statement.relation, scope))
    scope.star.extend(scope.items[0].columns or (Output("?", UNKNOWN),))
    for node in _beside(statement):
        scope.star.extend(lineage.source(node, scope))
    expressions = [*getattr(statement, "target_list", ()), *returned, *_merged(statement)]
    if isinstance(statement, tree.InsertStmt):
        conflict = statement.on_conflict_clause
        expressions += [*conflict.target_list, *conflict.infer.index_elems]
        if conflict.HasField("where_clause"):
            expressions.append(conflict.where_clause)
        if conflict.infer.HasField("where_clause"):
            expressions.append(conflict.infer.where_clause)
        scope.items += [_again("excluded", scope)]
    elif not isinstance(statement, tree.MergeStmt) and statement.HasField("where_clause"):
        expressions.append(statement.where_clause)
    names = (
        [unwrap(n).name for n in statement.on_conflict_clause.infer.index_elems]
        if isinstance(statement, tree.InsertStmt)
        else []
    )
    named = [scope.items[0].find(n) for n in names]
    taint = union(lineage.value(node, scope) for node in expressions) | union(c.taint for c in named if c is not None)
    if isinstance(statement, tree.InsertStmt) and statement.select_stmt.WhichOneof("node"):
        outputs = lineage.query(unwrap(statement.select_stmt), Scope(None, scope.ctes))  # it does not see the target
        taint |= UNKNOWN if outputs is None else union(o.taint for o in outputs)
    return taint | union(use.taint for use in lineage.uses)


def _beside(statement: Message) -> Iterator[tree.Node]:
    """What an UPDATE, DELETE or MERGE reads beside its target."""
    for field in ("from_clause", "using_clause"):
        yield from getattr(statement, field, ())
    if isinstance(statement, tree.MergeStmt):
        yield statement.source_relation


def _merged(statement: Message) -> Iterator[tree.Node]:
    """The expressions of a MERGE."""
    if isinstance(statement, tree.MergeStmt):
        yield statement.join_condition
        for clause in (unwrap(node) for node in statement.merge_when_clauses):
            yield from (*clause.target_list, *clause.values)
            if clause.HasField("condition"):
                yield clause.condition


def _again(alias: str, scope: Scope) -> object:
    """The target's columns under another name, for EXCLUDED; reachable only when qualified."""
    target = scope.items[0]
    return type(target)(alias, target.columns, target.whole, "", target.masked)
