"""
Whether a command may have committed something, where the server's status does not say: its session is in a transaction again, or still.
"""

from __future__ import annotations

import re
from functools import lru_cache

from postgast import pg_query_pb2 as tree

from addons.sql.parse import Unparsable, parse
from protocols.command import Command, Statement

_WORDS = re.compile(
    r"\b(?:commit|end|prepare|call|do|concurrently|vacuum|discard|database|system|cluster|reindex|tablespace|subscription|enum|add\s+value)\b",
    re.IGNORECASE,
)
_LONGEST = 64 << 10  #: characters; a longer text is not read again
_COMMITS = frozenset({tree.TRANS_STMT_COMMIT, tree.TRANS_STMT_PREPARE, tree.TRANS_STMT_COMMIT_PREPARED})
_STAYS = frozenset(
    """
    SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt ExplainStmt VariableSetStmt VariableShowStmt PrepareStmt ExecuteStmt
    DeallocateStmt DeclareCursorStmt FetchStmt ClosePortalStmt CreateStmt CreateTableAsStmt ViewStmt RuleStmt CreateFunctionStmt
    CreateTrigStmt CommentStmt GrantStmt TruncateStmt
    """.split()
)
"""In these such words are names, or stand in what is made."""


def may_commit(command: Command) -> bool:
    """Whether it may commit what was done before it, or its own: by its kind, at once where it may not run in a block, or in its code."""
    return isinstance(command, Statement) and _WORDS.search(command.text) is not None and _kinds(command.text)


@lru_cache(maxsize=512)
def _kinds(text: str) -> bool:
    if len(text) > _LONGEST:
        return True
    try:
        statements = parse(text).statements
    except Unparsable:
        return True
    for one in statements:
        if isinstance(one, tree.TransactionStmt):
            if one.kind in _COMMITS:
                return True
        elif type(one).__name__ not in _STAYS:
            return True
    return False
