"""
COPY of relations with masked columns: out as the SELECT that it stands for, in as the write that it is.

The rows of COPY have no description on the wire, so what leaves by it must be masked at its source.
Source: PostgreSQL 18 manual, COPY ("Notes": which rows and columns a table's own COPY takes).
"""

from __future__ import annotations

from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.masking.cover import Cover
from addons.masking.strategies import quoted
from addons.masking.writes import judge_assigned
from addons.sql.catalog import Relation
from addons.sql.lineage import Lineage
from addons.sql.naming import strings
from addons.sql.parse import Parsed, of_tree, parse, unwrap
from addons.sql.resolve import Names
from addons.sql.scope import Scope
from protocols.verdict import Deny

_TABLE = "r"
"""pg_class.relkind of what COPY takes by name; of the others it takes only a query."""


def opened(parsed: Parsed, names: Names, cover: Cover) -> Parsed:
    """The same statements, with each `COPY masked_table TO` as `COPY (SELECT its columns FROM ONLY it) TO`."""
    found = {index: masked for index, copy in enumerate(parsed.statements) if (masked := _by_name(copy, names, cover))}
    if not found:
        return parsed
    result = parsed.copy()
    for index, relation in found.items():
        _open(unwrap(result.stmts[index].stmt), relation)
    return of_tree(parsed.text, result)


def _by_name(copy: object, names: Names, cover: Cover) -> Relation | None:
    """The masked table that a COPY TO names, when there is no doubt which one it is."""
    if not isinstance(copy, tree.CopyStmt) or copy.is_from or not copy.HasField("relation"):
        return None
    meant = names.relations(copy.relation)
    return meant[0] if len(meant) == 1 and cover.masks(meant[0]) and meant[0].kind == _TABLE else None


def _open(copy: tree.CopyStmt, relation: Relation) -> None:
    columns = strings(copy.attlist) or [column.name for column in relation.columns if not column.generated]
    listed = ", ".join(map(quoted, columns))
    text = f"SELECT {listed} FROM ONLY {quoted(relation.schema)}.{quoted(relation.name)}"
    copy.query.select_stmt.CopyFrom(parse(text).statements[0])
    copy.ClearField("relation")
    copy.ClearField("attlist")


def judge_out(copy: tree.CopyStmt, label: str) -> Deny | None:
    """Why a COPY TO of a masked relation cannot be masked at all; None when its query may be."""
    return None if copy.HasField("query") else refusals.cannot_mask("COPY", label)


def judge_in(copy: tree.CopyStmt, names: Names, cover: Cover, relation: Relation) -> Deny | None:
    """The write-back guard: without a column list COPY FROM assigns all of them."""
    written = strings(copy.attlist) or [column.name for column in relation.columns if not column.generated]
    lineage, scope = Lineage(names, cover.outputs, strict=True), Scope()
    scope.items.append(lineage.relation(copy.relation, scope))
    taint = lineage.value(copy.where_clause, scope) if copy.HasField("where_clause") else frozenset()
    return judge_assigned(written, taint, cover.relations[relation.oid])
