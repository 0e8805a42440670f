"""
What a statement's node type says about it, and which node types are known at all.

An allow-list: a statement node that is not here is class `unknown`, and so is any node inside an
expression. Types whose class depends on more than their name are in `classify`.

Source: PostgreSQL 18, src/include/nodes/parsenodes.h and gram.y.
"""

from __future__ import annotations

from postgast import pg_query_pb2 as tree

CLASSES = {
    "read": "rows, settings of the catalog, COPY TO STDOUT, plain EXPLAIN",
    "write": "INSERT, filtered UPDATE, DELETE and MERGE, COPY FROM STDIN, sequences, row locks",
    "write-unfiltered": "UPDATE, DELETE, MERGE or upsert whose filter does not bound the rows it reaches",
    "ddl": "CREATE and ALTER of relations, types, indexes, schemas; CREATE TABLE AS, SELECT INTO, COMMENT; DROP TABLE pg_temp.x",
    "ddl-destructive": "DROP, TRUNCATE, dropping or retyping a column or what generates it, dropping a constraint or enforcing it no longer",
    "privilege": "roles, GRANT, ownership, row security, security labels, password hashes",
    "session-identity": "SET ROLE, SET SESSION AUTHORIZATION",
    "file": "the server's files: COPY with a file name, pg_read_file, lo_import, tablespaces, raw pages",
    "program": "programs and native code: COPY PROGRAM, LOAD, CREATE EXTENSION, untrusted languages",
    "network": "connections made by the server: dblink, foreign servers, subscriptions",
    "procedural": "code whose inside cannot be seen: DO, CALL, CREATE FUNCTION, TRIGGER, RULE, OPERATOR",
    "dynamic": "SQL in a string: query_to_xml, ts_stat, crosstab, EXECUTE of an unknown name",
    "server-config": "ALTER SYSTEM, settings outside the list, writing catalogs, making anything in pg_catalog, signalling backends",
    "maintenance": "VACUUM, ANALYZE, CLUSTER, REINDEX, CHECKPOINT, REFRESH",
    "replication": "slots, origins, publications, subscriptions",
    "transaction": "BEGIN, COMMIT, savepoints, SET TRANSACTION, SET CONSTRAINTS",
    "session": "listed settings, SHOW, LISTEN, NOTIFY, DISCARD, DEALLOCATE, advisory locks",
    "lock": "LOCK TABLE stronger than ROW EXCLUSIVE",
    "large-object": "lo_* functions other than import and export, pg_largeobject",
    "function-unlisted": "a function or operator that is neither the server's listed ones nor the operator's",
    "unparsable": "text that PostgreSQL's grammar refuses",
    "unknown": "a node type that this version of Ostiary does not know",
}
"""Class names to what they hold, for the documentation and for messages about wrong names."""

_BY_CLASSES = {
    "read": "FetchStmt",
    "transaction": "TransactionStmt ConstraintsSetStmt",
    "session": "VariableShowStmt ListenStmt UnlistenStmt NotifyStmt DiscardStmt DeallocateStmt ClosePortalStmt",
    "ddl": """CreateStmt CreateSeqStmt AlterSeqStmt CreateSchemaStmt CreateTableAsStmt ViewStmt IndexStmt CompositeTypeStmt
        CreateEnumStmt AlterEnumStmt CreateRangeStmt CreateDomainStmt AlterDomainStmt AlterTypeStmt CreateStatsStmt AlterStatsStmt
        CommentStmt AlterObjectSchemaStmt AlterObjectDependsStmt AlterTSDictionaryStmt AlterTSConfigurationStmt
        AlterCollationStmt CreatedbStmt""",
    "ddl-destructive": "TruncateStmt DropdbStmt",
    "privilege": """GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt CreateRoleStmt AlterRoleStmt AlterOwnerStmt
        ReassignOwnedStmt SecLabelStmt CreatePolicyStmt AlterPolicyStmt""",
    "privilege ddl-destructive": "DropOwnedStmt DropRoleStmt",
    "privilege server-config": "AlterRoleSetStmt",
    "server-config": "AlterSystemStmt AlterDatabaseSetStmt AlterTableSpaceOptionsStmt AlterTableMoveAllStmt",
    "server-config ddl": "AlterDatabaseStmt",
    "file ddl": "CreateTableSpaceStmt",
    "file ddl-destructive": "DropTableSpaceStmt",
    "program": "LoadStmt",
    "program ddl": "CreateExtensionStmt AlterExtensionStmt AlterExtensionContentsStmt CreateAmStmt CreatePLangStmt",
    "network program": "CreateFdwStmt AlterFdwStmt",
    "network ddl": "CreateForeignServerStmt AlterForeignServerStmt CreateForeignTableStmt ImportForeignSchemaStmt",
    "network privilege": "CreateUserMappingStmt AlterUserMappingStmt DropUserMappingStmt",
    "network replication": "CreateSubscriptionStmt AlterSubscriptionStmt",
    "replication": "CreatePublicationStmt AlterPublicationStmt",
    "replication ddl-destructive": "DropSubscriptionStmt",
    "procedural": "CallStmt",
    "procedural ddl": """RuleStmt CreateTrigStmt CreateEventTrigStmt AlterEventTrigStmt AlterFunctionStmt DefineStmt
        CreateOpClassStmt CreateOpFamilyStmt AlterOpFamilyStmt AlterOperatorStmt CreateConversionStmt CreateCastStmt
        CreateTransformStmt""",
    "maintenance": "VacuumStmt ClusterStmt ReindexStmt CheckPointStmt RefreshMatViewStmt AlterDatabaseRefreshCollStmt",
    # What they hold is met on the way down, or `classify` looks closer.
    "": """DeclareCursorStmt PrepareStmt ExecuteStmt ExplainStmt SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt
        VariableSetStmt LockStmt AlterTableStmt DropStmt RenameStmt CreateFunctionStmt DoStmt""",
}

STATEMENTS: dict[str, frozenset[str]] = {
    name: frozenset(classes.split()) for classes, names in _BY_CLASSES.items() for name in names.split()
}
"""Statement node type to the classes its name alone gives it."""

PARTS = frozenset("""
    Alias RangeVar IntoClause ColumnRef ParamRef A_Expr TypeName TypeCast CollateClause RoleSpec FuncCall A_Star A_Indices
    A_Indirection A_ArrayExpr ResTarget MultiAssignRef SortBy WindowDef RangeSubselect RangeFunction RangeTableFunc
    RangeTableFuncCol RangeTableSample ColumnDef TableLikeClause IndexElem DefElem LockingClause XmlSerialize PartitionElem
    PartitionSpec PartitionBoundSpec PartitionRangeDatum PartitionCmd GroupingSet GroupingFunc WithClause InferClause
    OnConflictClause CTESearchClause CTECycleClause CommonTableExpr MergeWhenClause ReturningOption ReturningClause
    TriggerTransition BoolExpr SubLink CaseExpr CaseWhen NullTest BooleanTest RowExpr CoalesceExpr MinMaxExpr
    SQLValueFunction XmlExpr JoinExpr SetToDefault CurrentOfExpr NamedArgExpr MergeSupportFunc Integer Float Boolean String
    BitString List A_Const AccessPriv ObjectWithArgs AlterTableCmd ATAlterConstraint ReplicaIdentityStmt Constraint
    FunctionParameter InlineCodeBlock CreateOpClassItem StatsElem VacuumRelation PublicationTable PublicationObjSpec
    ReturnStmt JsonFormat JsonReturning JsonValueExpr JsonIsPredicate JsonBehavior JsonTablePath JsonOutput JsonArgument
    JsonFuncExpr JsonTablePathSpec JsonTable JsonTableColumn JsonKeyValue JsonParseExpr JsonScalarExpr JsonSerializeExpr
    JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonAggConstructor JsonObjectAgg JsonArrayAgg
    JsonConstructorExpr
""".split())
"""Node types that raw parse trees are made of below a statement. Planner nodes are not among them."""

SECRETS = {
    "pg_authid": "privilege",
    "pg_shadow": "privilege",
    "pg_user_mapping": "privilege",
    "pg_hba_file_rules": "file",
    "pg_ident_file_mappings": "file",
    "pg_file_settings": "file",
    "pg_largeobject": "large-object",
}
"""System relations whose reading is more than reading."""

ALTER_DESTRUCTIVE = frozenset("""
    AT_DropColumn AT_DropConstraint AT_AlterColumnType AT_SetExpression AT_DropExpression AT_DropIdentity AT_DetachPartition
    AT_DetachPartitionFinalize AT_DropInherit AT_DropOf
""".split())

ALTER_PRIVILEGE = frozenset("""
    AT_ChangeOwner AT_EnableRowSecurity AT_DisableRowSecurity AT_ForceRowSecurity AT_NoForceRowSecurity AT_EnableTrig
    AT_EnableAlwaysTrig AT_EnableReplicaTrig AT_DisableTrig AT_EnableTrigAll AT_DisableTrigAll AT_EnableTrigUser
    AT_DisableTrigUser AT_EnableRule AT_EnableAlwaysRule AT_EnableReplicaRule AT_DisableRule
""".split())
"""Subcommands that switch a protection or an audit trigger on or off."""

TRUSTED_LANGUAGES = frozenset({"sql", "plpgsql", "plperl", "pltcl", ""})
"""Languages that cannot reach the server's files and network by themselves."""

JSON_OPS = {tree.JSON_EXISTS_OP: "json_exists", tree.JSON_QUERY_OP: "json_query", tree.JSON_VALUE_OP: "json_value"}
CONSTRUCTS = {
    "JsonFuncExpr": "", "JsonParseExpr": "json", "JsonScalarExpr": "json_scalar", "JsonSerializeExpr": "json_serialize",
    "JsonObjectConstructor": "json_object", "JsonArrayConstructor": "json_array", "JsonArrayQueryConstructor": "json_array",
    "JsonObjectAgg": "json_objectagg", "JsonArrayAgg": "json_arrayagg", "MergeSupportFunc": "merge_action", "JsonTable": "json_table",
}
"""PostgreSQL 15 has none of these in its grammar: there they are calls of functions by these names."""
