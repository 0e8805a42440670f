"""
Which kinds of statement a session that sees masked values may send at all, and which may name a masked relation.

An allow-list over PostgreSQL 18's statement nodes. What is not on it can run code that nobody here
can read (DO), or make a road around masking (foreign tables, operators, casts).
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.resolve import CREATES, Reference, references

KNOWN = frozenset(
    """
    SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt ExplainStmt PrepareStmt ExecuteStmt DeallocateStmt
    DeclareCursorStmt FetchStmt ClosePortalStmt TransactionStmt VariableSetStmt VariableShowStmt DiscardStmt
    ListenStmt UnlistenStmt NotifyStmt LockStmt ConstraintsSetStmt CheckPointStmt CallStmt SetOperationStmt
    VacuumStmt ReindexStmt ClusterStmt TruncateStmt RefreshMatViewStmt
    CreateStmt CreateTableAsStmt ViewStmt IndexStmt CreateSeqStmt CreateSchemaStmt CreateDomainStmt CreateEnumStmt
    CompositeTypeStmt CreateRangeStmt CreateStatsStmt CreateTrigStmt CreatePolicyStmt RuleStmt CreateFunctionStmt
    AlterTableStmt AlterDomainStmt AlterEnumStmt AlterTypeStmt AlterSeqStmt AlterOwnerStmt AlterObjectSchemaStmt
    AlterPolicyStmt AlterStatsStmt AlterTableMoveAllStmt AlterObjectDependsStmt RenameStmt ReplicaIdentityStmt
    DropStmt CommentStmt SecLabelStmt GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt DropOwnedStmt ReassignOwnedStmt
    CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt
    CreatedbStmt DropdbStmt AlterDatabaseStmt AlterDatabaseSetStmt AlterDatabaseRefreshCollStmt
    CreateTableSpaceStmt DropTableSpaceStmt AlterTableSpaceOptionsStmt
    CreateExtensionStmt AlterExtensionStmt AlterSystemStmt ReturnStmt RawStmt
""".split()
)

REWRITTEN = {
    "SelectStmt": None, "ExplainStmt": "query", "PrepareStmt": "query", "DeclareCursorStmt": "query", "CopyStmt": "query",
}
"""Statements in which a SELECT can be rewritten, and the field that holds it."""

HARMLESS = frozenset(
    {
        "LockStmt",
        "VacuumStmt",
        "ReindexStmt",
        "TruncateStmt",
        "DropStmt",
        "GrantStmt",
        "CommentStmt",
        "SecLabelStmt",
        "RefreshMatViewStmt",
    }
)
"""They may name a masked relation: they return nothing of it, write nothing of ours into it, and leave its rows where they are."""


def makes(statement: Message, named: Sequence[Reference] | None = None) -> frozenset[str]:
    """
    Names of the relations that a statement makes, or gives.

    :param named: its `references`, when they are known already.
    """
    found = {r.name.relname for r in (references(statement) if named is None else named) if r.place in CREATES}
    return frozenset(found | {statement.newname} if isinstance(statement, tree.RenameStmt) else found)


_TITLES = {
    "CreateStmt": "CREATE TABLE",
    "ViewStmt": "CREATE VIEW",
    "IndexStmt": "CREATE INDEX",
    "RuleStmt": "CREATE RULE",
    "RenameStmt": "ALTER ... RENAME",
    "AlterObjectSchemaStmt": "ALTER ... SET SCHEMA",
    "DefineStmt": "CREATE AGGREGATE or OPERATOR",
    "CreateTrigStmt": "CREATE TRIGGER",
    "CreateStatsStmt": "CREATE STATISTICS",
    "DeclareCursorStmt": "DECLARE",
    "CreateSeqStmt": "CREATE SEQUENCE",
    "AlterSeqStmt": "ALTER SEQUENCE",
    "AlterOwnerStmt": "ALTER ... OWNER",
}


def title(kind: str) -> str:
    """A statement node's name as people write the statement."""
    words = "".join(f" {c}" if c.isupper() else c for c in kind.removesuffix("Stmt"))
    return _TITLES.get(kind) or words.strip().upper()
