"""
Whether the role of a session really is a floor: asked of the target, on the session's own connection, before the client has it.

What is masked comes of the gateway's own reading of the catalog (`addons.masking.floor`). What makes rights is asked of the
server as it is at that moment; nothing here is remembered.

Source: PostgreSQL 18 manual, 5.8 "Privileges", 9.27.2 "Access Privilege Inquiry Functions".
"""

from __future__ import annotations

from collections.abc import Iterable

from addons.masking.floor import OWNER, Floor
from addons.masking.strategies import VIEWS
from gateway.query import Row

_LACKS = "lacks the view "
SHOWN = 8
"""Of what is wrong, so much is said; the rest is counted."""

_ROLE = """
SELECT 'is ' || a.what FROM pg_catalog.pg_roles r, LATERAL (VALUES (r.rolsuper, 'a superuser'), (r.rolcreaterole, 'CREATEROLE'),
  (r.rolreplication, 'REPLICATION'), (r.rolbypassrls, 'BYPASSRLS'), (r.rolcreatedb, 'CREATEDB')) a(has, what)
  WHERE r.rolname = current_user AND a.has
UNION ALL SELECT 'is a member of ' || g.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
  JOIN pg_catalog.pg_roles r ON r.oid = m.member WHERE r.rolname = current_user
UNION ALL SELECT 'may create in schema ' || n.nspname FROM pg_catalog.pg_namespace n
  WHERE n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')
"""

_COLUMNS = """
UNION ALL SELECT CASE WHEN pg_catalog.has_column_privilege(x.relation, x.number, 'SELECT') THEN 'reads ' ELSE 'writes ' END || x.label
  FROM (VALUES {columns}) x(relation, number, label)
  WHERE pg_catalog.has_column_privilege(x.relation, x.number, 'SELECT, INSERT, UPDATE')
"""

_VIEWS = """
UNION ALL SELECT '{lacks}' || x.name FROM (VALUES {views}) x(name) WHERE NOT EXISTS (
  SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = {schema} AND c.relname = x.name AND c.relkind = 'v')
UNION ALL SELECT 'reads a view that somebody else may change: ' || c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
  WHERE n.nspname = {schema} AND (r.rolname <> {owner} OR r.rolcanlogin) AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
UNION ALL SELECT 'reads an older view ' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = {schema} AND c.relname <> ALL (ARRAY[{names}]::pg_catalog.name[])
  AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
"""

DEFINER = """
  (SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
   WHERE t.tgrelid = c.oid AND p.prosecdef AND NOT t.tgisinternal AND f.nspname || '.' || p.proname <> ALL ({listed}))
"""
"""Triggers of a relation `c` that run with others' rights: a write fires them, and nobody is asked whether it may."""

RULED = "(SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_type <> '1')"
"""Its rules for writes: they run with its owner's rights."""

_FUNCTIONS = """
UNION ALL SELECT 'runs ' || n.nspname || '.' || p.proname || ', which is SECURITY DEFINER' FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prosecdef AND p.oid >= 16384 AND p.prorettype <> ALL (ARRAY[2279, 3838]::pg_catalog.oid[])
  AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND n.nspname || '.' || p.proname <> ALL ({listed})
UNION ALL SELECT 'writes ' || c.relname || ', whose ' || a.what || ' with others'' rights' FROM pg_catalog.pg_class c,
  LATERAL (VALUES (EXISTS {definer}, 'triggers run'), (EXISTS {ruled}, 'rules run')) a(has, what)
  WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'f') AND a.has
  AND (pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE') OR pg_catalog.has_table_privilege(c.oid, 'DELETE, TRUNCATE'))
"""


def question(floor: Floor) -> str:
    """SQL whose rows say what is wrong with the role that asks; none when nothing is."""
    listed = array(floor.functions)
    columns = ", ".join(f"({oid}::pg_catalog.oid, {number}::pg_catalog.int2, {literal(label)})" for oid, number, label in floor.columns)
    names = ", ".join(f"({literal(name)})" for name in floor.views)
    parts = [_ROLE, _FUNCTIONS.format(listed=listed, definer=DEFINER.format(listed=listed), ruled=RULED)]
    parts += [_COLUMNS.format(columns=columns)] if columns else []
    parts += [_VIEWS.format(lacks=_LACKS, views=names, names=", ".join(map(literal, floor.views)), schema=literal(VIEWS), owner=literal(OWNER))] if names else []
    return "/* ostiary */ " + "".join(parts)


def complaint(rows: Iterable[Row]) -> tuple[str, str]:
    """
    What is wrong, in one line, and what is missing; "" for nothing.

    A missing view is no hole: statements for it fail. A new partition of a masked table has none until one is provisioned.
    """
    said = {row[0] or "" for row in rows}
    lacks = {line for line in said if line.startswith(_LACKS)}
    return _line(said - lacks), _line(lacks)


def _line(found: Iterable[str]) -> str:
    said = sorted(found)
    more = f", and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return ", ".join(said[:SHOWN]) + more


def literal(text: str) -> str:
    """A string constant, whatever standard_conforming_strings says."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def array(names: Iterable[str]) -> str:
    """An array of such constants."""
    return f"ARRAY[{', '.join(map(literal, sorted(names)))}]::pg_catalog.text[]"
