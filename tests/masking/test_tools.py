"""What tools ask of the catalogs passes as it came: psql's own commands, and what drivers and ORMs reflect with."""

from __future__ import annotations

import re
import subprocess

import pytest

from protocols.command import Statement
from protocols.verdict import Allow
from tests.masking.gate import Gate
from tests.servers import PostgresServer

COMMANDS = (
    r"\d", r"\d patients", r"\d+ patient_directory", r"\dt+", r"\di+", r"\dv+", r"\dm", r"\ds", r"\df", r"\df+ active_patients",
    r"\sf active_patients", r"\sv patient_directory", r"\l+", r"\du+", r"\dn+", r"\dT+", r"\dx", r"\dx+ hstore", r"\dp", r"\ddp",
    r"\do", r"\dC", r"\dD", r"\dE", r"\db+", r"\dL", r"\dO", r"\dc", r"\da", r"\dF", r"\dy", r"\drds", r"\dRp", r"\dP", r"\dX",
    r"\det", r"\des", r"\dew", r"\dA", r"\conninfo", r"\encoding", r"\dd",
)  # fmt: skip

REFLECTION = {
    "SQLAlchemy, has_table": (
        "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON"
        " pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relname = $1 AND"
        " pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $2"
    ),
    "SQLAlchemy, columns": (
        "SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS format_type, (SELECT"
        " pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum ="
        " a.attnum AND a.atthasdef) AS \"default\", a.attnotnull FROM pg_catalog.pg_attribute a LEFT OUTER JOIN"
        " pg_catalog.pg_description ON pg_catalog.pg_description.objoid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped"
    ),
    "Django, introspection": (
        "SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END,"
        " obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND"
        " pg_catalog.pg_table_is_visible(c.oid)"
    ),
    "pgjdbc, getTables": (
        "SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, CASE n.nspname ~ '^pg_' OR n.nspname ="
        " 'information_schema' WHEN true THEN 'SYSTEM' ELSE 'TABLE' END AS TABLE_TYPE, d.description AS REMARKS FROM"
        " pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND"
        " d.objsubid = 0 AND d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid ORDER BY TABLE_TYPE"
    ),
    "asyncpg, types": (
        "SELECT t.oid, ns.nspname, t.typname, t.typtype::text AS kind, (CASE WHEN t.typtype = 'd' THEN (WITH RECURSIVE"
        " typebases(oid, depth) AS (SELECT t2.typbasetype, 0 FROM pg_type t2 WHERE t2.oid = t.oid UNION ALL SELECT"
        " t2.typbasetype, tb.depth + 1 FROM pg_type t2, typebases tb WHERE tb.oid = t2.oid AND t2.typbasetype != 0) SELECT oid"
        " FROM typebases ORDER BY depth DESC LIMIT 1) ELSE NULL END) AS basetype FROM pg_catalog.pg_type AS t INNER JOIN"
        " pg_catalog.pg_namespace ns ON ns.oid = t.typnamespace"
    ),
    "a BI tool": (
        "SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema"
        " NOT IN ('information_schema', 'pg_catalog') ORDER BY 1, 2, ordinal_position"
    ),
    "at connect": "SELECT version(), current_database(), current_schema(), current_schemas(true), pg_backend_pid(), inet_server_addr()",
    "settings": "SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'max_index_keys')",
    "keys": (
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE"
        " i.indrelid = 'patients'::regclass AND i.indisprimary"
    ),
}  # fmt: skip


def asked(server: PostgresServer, command: str) -> list[str]:
    """The queries that psql sends for a command, as it echoes them."""
    psql = [
        str(server.program("psql")),
        "-XE",
        "-h",
        "127.0.0.1",
        "-p",
        str(server.port),
        "-U",
        "app",
        "clinic",
        "-c",
        command,
    ]
    done = subprocess.run(psql, capture_output=True, text=True, timeout=30, check=False)
    return re.findall(r"^/?\*+ QUERY \*+/?\n(.*?)^/?\*{20,}/?$", done.stdout, re.S | re.M)


def test_psqls_own_commands_pass_as_they_came(gate: Gate, server: PostgresServer) -> None:
    queries = {command: asked(server, command) for command in COMMANDS}
    assert sum(map(len, queries.values())) >= 35, "psql echoed too few queries"
    refused = [
        (c, q, v)
        for c, texts in queries.items()
        for q in texts
        if not isinstance(v := gate.decide(Statement(q)), Allow)
    ]
    assert not refused, refused[:3]


@pytest.mark.parametrize("name", REFLECTION)
def test_reflection_passes_as_it_came(name: str, gate: Gate) -> None:
    assert isinstance(gate.decide(Statement(REFLECTION[name])), Allow)
