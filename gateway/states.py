"""
SQL of what the catalog keeps of each relation, type, function and collation and no Snapshot reads: one digest for each, made by the server.

So that it is known whether a write still does what it did: when triggers fire, what foreign keys do along with it, defaults and the sequences behind
them, checks, generated columns, bounds of partitions, options, where a foreign table's rows are. Trees are taken as the catalog keeps them: to write
them out takes locks. Places in a text that was parsed once, and a sequence's OID in its table's default, are left out: what is made anew just as it was
has the same digest.

Source: PostgreSQL 18 manual, chapter 52; columns used exist since PostgreSQL 12, those that are looked up in a row's JSON since 15 or 18.
"""

from __future__ import annotations


def _tree(tree: str) -> str:
    """An expression as it is kept; the relations that it names by regclass are `_leaned`'s."""
    placed = f"pg_catalog.regexp_replace({tree}::pg_catalog.text, ' :location -?[0-9]+', '', 'g')"
    unnamed = f"pg_catalog.regexp_replace({placed}, '(:consttype 2205 [^}}]*:constvalue 4) [[][^]]*[]]', e'\\\\1', 'g')"
    return f"CASE WHEN {tree}::pg_catalog.text LIKE '%:consttype 2205 %' THEN {unnamed} ELSE {placed} END"


_STEPS = "q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcycle"


def _leaned(catalog: str, oid: str, tree: str) -> str:
    """Names of the relations that a thing of a catalog depends on, and what sequences among them count, where its expression names some by regclass."""
    counts = f"(SELECT pg_catalog.json_build_array({_STEPS}) FROM pg_catalog.pg_sequence q WHERE q.seqrelid = d.refobjid)"
    return (
        f"CASE WHEN {tree}::pg_catalog.text LIKE '%:consttype 2205 %' THEN (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat_ws(' ', d.refobjid::pg_catalog.regclass, {counts}), ',') FROM pg_catalog.pg_depend d"
        f" WHERE d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND d.objid = {oid}"
        " AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) END"
    )


def _columns(relation: str, numbers: str) -> str:
    return (
        f"(SELECT pg_catalog.json_agg(z.attname ORDER BY u.at) FROM pg_catalog.unnest({numbers}::int2[]) WITH ORDINALITY u(number, at)"
        f" LEFT JOIN pg_catalog.pg_attribute z ON z.attrelid = {relation} AND z.attnum = u.number)"
    )


def _all(facts: str, table: str, order: str) -> str:
    """Facts of the rows of a table, with the condition that picks them, in an order of their own."""
    return f"(SELECT pg_catalog.json_agg(pg_catalog.json_build_array({facts}) ORDER BY {order}) FROM pg_catalog.{table})"


def _named(kind: str, *columns: str) -> str:
    return ", ".join(f"{column}::pg_catalog.{kind}::pg_catalog.text" for column in columns)


def _state(kind: str, oid: str, facts: tuple[str, ...], table: str) -> str:
    told = f"pg_catalog.json_build_array({', '.join(facts)})::pg_catalog.text"
    return f"SELECT '{kind}', {oid}, pg_catalog.md5(pg_catalog.regexp_replace({told}, 'pg_temp_[0-9]+', 'pg_temp', 'g')) FROM pg_catalog.{table} WHERE {oid} >= 16384"


_COUNTED = (
    f"CASE WHEN a.attidentity <> '' THEN (SELECT pg_catalog.json_agg(pg_catalog.json_build_array({_STEPS})) FROM pg_catalog.pg_depend d"
    " JOIN pg_catalog.pg_sequence q ON q.seqrelid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'i'"
    " WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum) END"
)
"""What an identity's sequence counts."""
_MAPPED = _all(
    "m.usename, (SELECT pg_catalog.json_agg(o ORDER BY o) FROM pg_catalog.unnest(m.umoptions) o WHERE o NOT LIKE 'password=%')",
    "pg_user_mappings m WHERE m.srvid = s.oid", "m.usename",
)
"""As whom a server is dialled, as far as the reader may know. A yes outlives a new password."""
_FOREIGN = _all(
    f"f.ftoptions, s.srvname, s.srvtype, s.srvversion, s.srvoptions, s.srvowner, w.fdwname, w.fdwoptions, {_named('regproc', 'w.fdwhandler')}, {_MAPPED}",
    "pg_foreign_table f JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE f.ftrelid = c.oid",
    "s.srvname",
)

_RELATION = (
    "c.relowner, c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence", _tree("c.relpartbound"),
    _all(
        f"a.attname, a.attidentity, a.attgenerated, a.attcollation, a.attfdwoptions, {_COUNTED}, {_tree('f.adbin')}, {_leaned('pg_attrdef', 'f.oid', 'f.adbin')}",
        "pg_attribute a LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum"
        " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped", "a.attnum",
    ),
    _all(
        "k.contype, k.condeferrable, k.condeferred, k.convalidated, k.confupdtype, k.confdeltype, k.confmatchtype, k.conexclop,"
        f" {_columns('k.conrelid', 'k.conkey')}, {_columns('k.confrelid', 'k.confkey')}, {_named('regclass', 'k.confrelid')},"
        " CASE WHEN k.contype IN ('c', 'f') THEN (SELECT pg_catalog.jsonb_build_array(j -> 'confdelsetcols', j -> 'conenforced') FROM pg_catalog.to_jsonb(k) j) END,"
        f" {_tree('k.conbin')}, {_leaned('pg_constraint', 'k.oid', 'k.conbin')}",
        "pg_constraint k WHERE k.conrelid = c.oid", "k.contype, k.conname",
    ),
    _all(
        "CASE WHEN g.tgisinternal THEN '' ELSE g.tgname END, g.tgtype, g.tgenabled, g.tgdeferrable, g.tginitdeferred, g.tgnargs, g.tgargs, g.tgoldtable, g.tgnewtable,"
        f" {_named('regprocedure', 'g.tgfoid')}, {_columns('g.tgrelid', 'g.tgattr')}, {_tree('g.tgqual')}",
        "pg_trigger g WHERE g.tgrelid = c.oid", "g.tgisinternal, CASE WHEN g.tgisinternal THEN '' ELSE g.tgname END, g.tgtype, g.tgfoid, g.tgenabled",
    ),
    _all(
        "CASE WHEN i.indisunique THEN pg_catalog.to_jsonb(i) -> 'indnullsnotdistinct' END,"
        f" i.indisunique, i.indisexclusion, i.indimmediate, i.indisvalid, i.indclass, i.indcollation, {_columns('i.indrelid', 'i.indkey')}, {_tree('i.indexprs')}, {_tree('i.indpred')}",
        "pg_index i JOIN pg_catalog.pg_class n ON n.oid = i.indexrelid WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion OR i.indexprs IS NOT NULL)", "n.relname",
    ),
    _all("w.rulename, w.ev_enabled, w.is_instead", "pg_rewrite w WHERE w.ev_class = c.oid", "w.rulename"),
    _all(f"y.polname, y.polcmd, y.polpermissive, y.polroles, {_tree('y.polqual')} IS NULL, {_tree('y.polwithcheck')} IS NULL", "pg_policy y WHERE y.polrelid = c.oid", "y.polname"),
    _all(f"p.partstrat, p.partclass, p.partcollation, {_columns('p.partrelid', 'p.partattrs')}, {_tree('p.partexprs')}", "pg_partitioned_table p WHERE p.partrelid = c.oid", "p.partstrat"),
    f"CASE WHEN c.relkind = 'f' THEN {_FOREIGN} END",
    _all(_STEPS, "pg_sequence q WHERE q.seqrelid = c.oid", "q.seqstart"),
)
_TYPE = (
    "t.typnotnull, t.typtypmod, t.typcollation, t.typdefault", _tree("t.typdefaultbin"), _leaned("pg_type", "t.oid", "t.typdefaultbin"), _named("regproc", "t.typinput", "t.typoutput", "t.typreceive", "t.typsend", "t.typmodin"),
    _all(f"k.convalidated, {_tree('k.conbin')}", "pg_constraint k WHERE k.contypid = t.oid", "k.conname"),
    _all("e.enumlabel", "pg_enum e WHERE e.enumtypid = t.oid", "e.enumsortorder"),
    _all(f"r.rngcollation, r.rngsubopc, {_named('regproc', 'r.rngcanonical', 'r.rngsubdiff')}", "pg_range r WHERE r.rngtypid = t.oid", "r.rngsubtype"),
)
_SUPPORT = ("aggtransfn", "aggfinalfn", "aggcombinefn", "aggserialfn", "aggdeserialfn", "aggmtransfn", "aggminvtransfn", "aggmfinalfn")
_FUNCTION = (
    "p.prosrc, p.probin, p.proisstrict, p.proowner, p.proargnames, p.proargmodes", _tree("p.proargdefaults"), _leaned("pg_proc", "p.oid", "p.proargdefaults"),
    _all(
        f"{_named('regprocedure', *(f'g.{each}' for each in _SUPPORT))}, {_named('regoperator', 'g.aggsortop')}, g.aggkind, g.aggfinalextra, g.aggmfinalextra,"
        f" {_named('regtype', 'g.aggtranstype', 'g.aggmtranstype')}, g.agginitval, g.aggminitval",
        "pg_aggregate g WHERE g.aggfnoid = p.oid", "g.aggkind",
    ),
)

STATES = " UNION ALL ".join((
    _state("relation", "c.oid", _RELATION, "pg_class c") + " AND c.relkind IN ('r','v','m','p','f','S')",
    _state("type", "t.oid", _TYPE, "pg_type t") + " AND t.typtype IN ('b','d','e','r') AND t.typcategory <> 'A'",
    _state("function", "p.oid", _FUNCTION, "pg_proc p"),
))
"""Rows of kind, OID and digest."""

SUPPORT = " UNION ".join(f"SELECT aggfnoid::pg_catalog.oid, {each}::pg_catalog.oid FROM pg_catalog.pg_aggregate WHERE aggfnoid::pg_catalog.oid >= 16384 AND {each}::pg_catalog.oid <> 0" for each in _SUPPORT)
"""Rows of a user's aggregate and of a function that it calls, by OID."""

COLLATIONS = (
    "SELECT l.collname, pg_catalog.md5(pg_catalog.regexp_replace(pg_catalog.jsonb_build_array(n.nspname,"
    " pg_catalog.to_jsonb(l) - '{oid,collnamespace,collowner,collversion}'::pg_catalog.text[])::pg_catalog.text, 'pg_temp_[0-9]+', 'pg_temp', 'g'))"
    " FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE l.oid >= 16384"
)
"""Rows of a user's collation's name and its digest."""
