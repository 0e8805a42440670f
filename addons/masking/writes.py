"""
INSERT, UPDATE and DELETE on a relation with masked columns: the write-back guard.

They run on raw values, so everything they read must be a clean column that is named, and they may not write a
masked one; what they return is masked. Strict: what is not understood is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.masking.cover import Cover, Masked
from addons.masking.returning import Returning
from addons.sql.catalog import Relation
from addons.sql.lineage import Lineage
from addons.sql.parse import unwrap
from addons.sql.resolve import Names
from addons.sql.scope import UNKNOWN, Output, Scope, Taint, union
from protocols.verdict import Deny


def judge_write(
    statement: Message, names: Names, cover: Cover, hits: Sequence[Relation], settled: Collection[int] = ()
) -> Deny | Returning:
    """
    :param hits: the masked relations the statement reaches; the target may be the only one.
    :param settled: where comparisons stand that the statement may make.
    :returns: why it may not run; else what its RETURNING is to be.
    """
    target = names.relations(statement.relation)
    if not target or any(hit.oid != target[0].oid for hit in hits) or len(hits) != 1:
        return refusals.write_reads_masked(sorted({hit.label for hit in hits}))
    relation = target[0]
    returning = Returning(statement, relation, cover)
    taint = _read(statement, returning.kept, Lineage(names, cover.outputs, strict=True, settled=settled))
    return judge_assigned(_written(statement, relation), taint, cover.relations[relation.oid]) or returning


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
    for field in ("from_clause", "using_clause"):
        for node in getattr(statement, field, ()):
            scope.star.extend(lineage.source(node, scope))
    expressions = [*getattr(statement, "target_list", ()), *returned]
    if isinstance(statement, tree.InsertStmt):
        conflict = statement.on_conflict_clause
        expressions += [*conflict.target_list, *conflict.infer.index_elems]
        if conflict.HasField("where_clause"):
            expressions.append(conflict.where_clause)
        if conflict.infer.HasField("where_clause"):
            expressions.append(conflict.infer.where_clause)
        scope.items += [_again("excluded", scope)]
    elif statement.HasField("where_clause"):
        expressions.append(statement.where_clause)
    names = (
        [unwrap(n).name for n in statement.on_conflict_clause.infer.index_elems]
        if isinstance(statement, tree.InsertStmt)
        else []
    )
    named = [scope.items[0].find(n) for n in names]
    taint = union(lineage.value(node, scope) for node in expressions) | union(c.taint for c in named if c is not None)
    return taint | union(use.taint for use in lineage.uses)


def _again(alias: str, scope: Scope) -> object:
    """The target's columns under another name, for EXCLUDED; reachable only when qualified."""
    target = scope.items[0]
    return type(target)(alias, target.columns, target.whole, "", target.masked)
