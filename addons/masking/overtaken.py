"""
What is shown of a statement that a change of the catalog overtook (`addons.sql.overtaken`).
"""

from __future__ import annotations

from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.sql.parse import Unparsable, parse, walk
from addons.sql.resolve import WRITES
from protocols.command import Statement
from protocols.hooks import ColumnsHook
from protocols.result import NULL, MaskPlan

ALARM = "the catalog changed between the decision and the result"


def unknown(hook: ColumnsHook, alarm: str) -> MaskPlan:
    """
    Nobody knows what these rows are. A statement that only reads ends in an error, which can be told from an empty column; of one that
    may have written, whose client would take that for undone, every column is NULL. COPY has none to mask.
    """
    fields, command = hook.columns.fields, hook.decision.command
    reads = isinstance(command, Statement) and only_reads(command.text)
    return MaskPlan(tuple(NULL for _ in fields), alarm, refusals.overtaken(alarm) if reads or not fields else None)


def only_reads(text: str) -> bool:
    """Whether it is one query, or COPY of one, in which nothing is written."""
    try:
        statements = parse(text).statements
    except Unparsable:
        return False
    copies = len(statements) == 1 and isinstance(statements[0], tree.CopyStmt) and not statements[0].is_from
    if not copies and (len(statements) != 1 or not isinstance(statements[0], tree.SelectStmt)):
        return False
    return not any(type(message).__name__ in (*WRITES, "IntoClause") for message in walk(statements[0]))
