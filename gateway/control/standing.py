"""
What a role may do in a database now, as rows of the target's catalog: the account whose rights a floor mirrors, the floor, PUBLIC.

Source: PostgreSQL 18 manual, 5.8 "Privileges" and 9.27.2 "Access Privilege Inquiry Functions".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import inlineCallbacks

from addons.masking.floor import OWNER
from addons.masking.strategies import VIEWS
from addons.sql.catalog import Snapshot
from gateway.catalog import CLOSING, OPENING, read
from gateway.floor import DEFINER, RULED, array, literal
from gateway.query import Querying, QueryError, Row

_ROLES = """
SELECT r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls, r.rolcanlogin,
  pg_catalog.array_to_string(ARRAY(SELECT g.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
    WHERE m.member = r.oid ORDER BY 1), E'\\n')
FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ({roles})
"""

_GRANTED = """
  (SELECT pg_catalog.string_agg(a.privilege_type, ' ') FROM pg_catalog.aclexplode(c.relacl) a WHERE a.grantee = {grantee}),
  (SELECT pg_catalog.string_agg(a.privilege_type || ' ' || t.attname, E'\\n') FROM pg_catalog.pg_attribute t, LATERAL pg_catalog.aclexplode(t.attacl) a
   WHERE t.attrelid = c.oid AND NOT t.attisdropped AND a.grantee = {grantee})"""

_RELATIONS = """
SELECT c.oid, n.nspname, c.relname, c.relkind, pg_catalog.concat_ws(' ',
  CASE WHEN pg_catalog.has_table_privilege(u.oid, c.oid, 'SELECT') THEN 'SELECT' END,
  CASE WHEN pg_catalog.has_table_privilege(u.oid, c.oid, 'INSERT') THEN 'INSERT' END,
  CASE WHEN pg_catalog.has_table_privilege(u.oid, c.oid, 'UPDATE') THEN 'UPDATE' END,
  CASE WHEN pg_catalog.has_table_privilege(u.oid, c.oid, 'DELETE') THEN 'DELETE' END,
  CASE WHEN c.relkind = 'S' THEN CASE WHEN pg_catalog.has_sequence_privilege(u.oid, c.oid, 'USAGE') THEN 'USAGE' END END),
  c.relkind <> 'S' AND (EXISTS {definer} OR EXISTS {ruled}), c.relrowsecurity, {floor}, {public}
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, pg_catalog.pg_roles u
WHERE u.rolname = {account} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.oid >= 16384
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 2, 3
"""

_SCHEMAS = """
SELECT n.nspname, pg_catalog.has_schema_privilege(u.oid, n.oid, 'USAGE'),
  COALESCE(pg_catalog.has_schema_privilege(f.oid, n.oid, 'USAGE'), false), COALESCE(pg_catalog.has_schema_privilege(f.oid, n.oid, 'CREATE'), false),
  EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) a WHERE a.grantee = 0 AND a.privilege_type = 'CREATE')
FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles u ON u.rolname = {account} LEFT JOIN pg_catalog.pg_roles f ON f.rolname = {floor}
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""

_ROUTINES = """
SELECT p.oid::pg_catalog.regprocedure, n.nspname || '.' || p.proname, p.prosecdef, pg_catalog.has_function_privilege(u.oid, p.oid, 'EXECUTE'),
  COALESCE(pg_catalog.has_function_privilege(f.oid, p.oid, 'EXECUTE'), false),
  EXISTS (SELECT FROM pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) a WHERE a.grantee = 0)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_roles u ON u.rolname = {account}
LEFT JOIN pg_catalog.pg_roles f ON f.rolname = {floor}
WHERE p.oid >= 16384 AND p.prorettype <> ALL (ARRAY[2279, 3838]::pg_catalog.oid[]) AND n.nspname !~ '^pg_' ORDER BY 1
"""

_VIEWS = """
SELECT c.relname, r.rolname, COALESCE(pg_catalog.has_table_privilege(f.oid, c.oid, 'SELECT'), false)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
LEFT JOIN pg_catalog.pg_roles f ON f.rolname = {floor} WHERE n.nspname = {schema} ORDER BY 1
"""

_SETTINGS = """
SELECT r.rolname, s.setdatabase <> 0, c.line FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, LATERAL pg_catalog.unnest(s.setconfig) c(line)
WHERE r.rolname = ANY ({roles}) AND (d.datname IS NULL OR d.datname = pg_catalog.current_database()) ORDER BY 1, 2, 3
"""

_FUTURE = """
SELECT r.rolname, n.nspname, CASE WHEN a.grantee = 0 THEN '' ELSE f.rolname END FROM pg_catalog.pg_default_acl d
JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace,
LATERAL pg_catalog.aclexplode(d.defaclacl) a LEFT JOIN pg_catalog.pg_roles f ON f.oid = a.grantee
WHERE d.defaclobjtype = 'r' AND (a.grantee = 0 OR f.rolname = {floor}) GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Held:
    """
    One relation: what the account may do, and what the floor and PUBLIC were given.

    :ivar rights: words of GRANT. :ivar floor: likewise, with "SELECT column" for single columns; :ivar public: likewise.
    :ivar foreign: whether writing it runs what others wrote, with others' rights.
    """

    oid: int
    schema: str
    name: str
    kind: str
    rights: frozenset[str]
    foreign: bool
    secured: bool
    floor: frozenset[str]
    public: frozenset[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that a floor's SQL is written from; rows are as their queries above write them."""

    database: str
    snapshot: Snapshot
    roles: dict[str, Row]
    relations: tuple[Held, ...]
    schemas: list[Row]
    routines: list[Row]
    views: list[Row]
    settings: list[Row]
    future: list[Row]


@inlineCallbacks
def standing(connection: Querying, account: str, floor: str, roles: Sequence[str], functions: Sequence[str]) -> Any:
    """
    A Deferred of Standing. Fails with QueryError; without rows for `account` when the server has no such role.

    :param account: the role whose rights are mirrored. :param floor: the role that gets them.
    :param roles: more roles to know of. :param functions: those that are vouched for.
    """
    snapshot, _digest = yield read(connection)
    for opening in OPENING:
        yield connection.query(opening)
    named = {"account": literal(account), "floor": literal(floor), "roles": array([account, floor, OWNER, *roles]), "schema": literal(VIEWS)}
    found = []
    for sql in (_ROLES, _SCHEMAS, _ROUTINES, _VIEWS, _SETTINGS, _FUTURE, "SELECT pg_catalog.current_database()"):
        found.append((yield connection.query(sql.format(**named))))
    relations = yield connection.query(_relations(account, floor, functions))
    yield connection.query(CLOSING)
    roles_found, schemas, routines, views, settings, future, database = found
    if not any(row[0] == account for row in roles_found):
        raise QueryError("42704", f"the server has no role {account}")
    return Standing(
        database[0][0], snapshot, {row[0]: row for row in roles_found}, tuple(map(_held, relations)), schemas, routines, views,
        settings, future,
    )


def _relations(account: str, floor: str, functions: Sequence[str]) -> str:
    oid = f"(SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = {literal(floor)})"
    return _RELATIONS.format(
        account=literal(account), definer=DEFINER.format(listed=array(functions)), ruled=RULED,
        floor=_GRANTED.format(grantee=oid), public=_GRANTED.format(grantee="0"),
    )


def _held(row: Row) -> Held:
    oid, schema, name, kind, rights, foreign, secured, floor, floor_columns, public, public_columns = row
    return Held(
        int(oid or 0), schema or "", name or "", kind or "", frozenset((rights or "").split()), foreign == "t", secured == "t",
        _words(floor, floor_columns), _words(public, public_columns),
    )


def _words(whole: str | None, columns: str | None) -> frozenset[str]:
    return frozenset((whole or "").split()) | frozenset((columns or "").split("\n")) - {""}
