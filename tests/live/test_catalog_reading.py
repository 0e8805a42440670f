"""The catalog's queries on both servers: what the snapshot says is what was made."""

from __future__ import annotations

import pytest

from addons.sql.catalog import Snapshot
from tests.masking.gate import Catalogs, session
from tests.servers import PostgresServer

MADE = """
CREATE SCHEMA "Odd Name";
CREATE DOMAIN "Odd Name".chart AS varchar(20) CHECK (VALUE <> '');
CREATE TABLE "Odd Name".base (id int PRIMARY KEY, mrn "Odd Name".chart NOT NULL, gone int, amount numeric(6,2),
  tail text GENERATED ALWAYS AS (right(mrn, 4)) STORED);
ALTER TABLE "Odd Name".base DROP COLUMN gone;
CREATE TABLE "Odd Name".child (extra date) INHERITS ("Odd Name".base);
CREATE VIEW "Odd Name".v AS SELECT mrn AS m FROM "Odd Name".base;
CREATE FUNCTION "Odd Name".f(a int, b int DEFAULT 1) RETURNS SETOF text LANGUAGE sql SECURITY DEFINER STABLE AS 'SELECT ''x''';
CREATE FUNCTION "Odd Name".g(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE TABLE "Odd Name".tied (a int, "B" int, c int, d int CHECK (d < a), UNIQUE (c, "B"), FOREIGN KEY (a) REFERENCES "Odd Name".base ON DELETE CASCADE);
CREATE INDEX ON "Odd Name".tied ((c + d)) WHERE a > 0;
CREATE INDEX ON "Odd Name".tied (a, c);
CREATE TABLE "Odd Name".parts (k int, v int) PARTITION BY RANGE ((k + v));
CREATE TYPE "Odd Name".charts AS RANGE (subtype = "Odd Name".chart);
CREATE FUNCTION "Odd Name".h(int) RETURNS "Odd Name".charts LANGUAGE sql AS 'SELECT NULL::"Odd Name".charts';
CREATE CAST (int AS "Odd Name".charts) WITH FUNCTION "Odd Name".h(int) AS IMPLICIT;
CREATE TRIGGER t BEFORE UPDATE ON "Odd Name".tied FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE POLICY p ON "Odd Name".tied USING (a > 1);
ALTER TABLE "Odd Name".tied ENABLE ROW LEVEL SECURITY;
CREATE OPERATOR "Odd Name".<+> (RIGHTARG = int, FUNCTION = "Odd Name".g);
CREATE DOMAIN "Odd Name".filled AS text DEFAULT set_config('a.b', 'x', false) CHECK ("Odd Name".g(1) > 0);
CREATE FUNCTION "Odd Name".i(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE TABLE "Odd Name".runs (k serial, a text DEFAULT set_config('a.b', 'x', false), b int CHECK ((OPERATOR("Odd Name".<+>) b) > 0 AND length('x') > 0), c int);
CREATE INDEX ON "Odd Name".runs ((c + 1)) WHERE "Odd Name".i(c) > 0;
CREATE FUNCTION "Odd Name".j(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION "Odd Name".wanting(a text DEFAULT set_config('a.b', 'x', false), b int DEFAULT "Odd Name".g(1)) RETURNS text LANGUAGE sql AS 'SELECT a';
CREATE TRIGGER t BEFORE UPDATE ON "Odd Name".runs FOR EACH ROW WHEN ("Odd Name".j(2) IS NULL) EXECUTE FUNCTION suppress_redundant_updates_trigger();
"""


@pytest.fixture(scope="module", params=["postgres15", "postgres18"])
def snapshot(request: pytest.FixtureRequest) -> Snapshot:
    server: PostgresServer = request.getfixturevalue(request.param)
    server.sql("CREATE ROLE app SUPERUSER LOGIN; ")
    server.sql("CREATE DATABASE readings")
    server.sql(MADE, "readings")
    catalogs = Catalogs(server.port, "readings")
    catalogs.refresh(session(database="readings"))
    found = catalogs.snapshot(session())
    assert found is not None
    return found


def test_relations_and_columns(snapshot: Snapshot) -> None:
    """Dropped columns leave gaps; types are written so that they can be put in a statement."""
    (base,) = snapshot.named("Odd Name", "base")
    assert [(c.name, c.number, c.type_name, c.not_null) for c in base.columns] == [
        ("id", 1, "integer", True),
        ("mrn", 2, '"Odd Name".chart', True),
        ("amount", 4, "numeric(6,2)", False),
        ("tail", 5, "text", False),
    ]
    assert "mrn" in base.columns[3].generated
    assert snapshot.base_type(base.columns[1].type_oid) == 1043


def test_inheritance(snapshot: Snapshot) -> None:
    (base,), (child,) = snapshot.named("Odd Name", "base"), snapshot.named("", "child")
    assert snapshot.descendants(base.oid) == {child.oid} and snapshot.ancestors(child.oid) == {base.oid}


def test_views_come_with_their_definition(snapshot: Snapshot) -> None:
    (view,) = snapshot.named("", "v")
    assert view.kind == "v" and '"Odd Name".base' in view.definition


def test_functions(snapshot: Snapshot) -> None:
    (function,) = snapshot.by_function_name["f"]
    assert (function.volatility, function.language, function.definer, function.returns_set) == ("s", "sql", True, True)
    assert function.arguments == (23, 23) and function.required == 1 and function.body == "SELECT 'x'"
    assert snapshot.by_function_name["g"][0].body == "BEGIN RETURN 1; END"


def test_what_looks_at_several_columns(snapshot: Snapshot) -> None:
    """A check, a unique index, an expression with a predicate, a partition's key; a plain index looks at nothing."""
    (tied,), (parts,) = snapshot.named("Odd Name", "tied"), snapshot.named("Odd Name", "parts")
    found = sorted((tie.kind, *sorted(tie.columns)) for tie in snapshot.ties[tied.oid])
    assert found == [("check", "a", "d"), ("index", "a", "c", "d"), ("unique", "B", "c")]
    assert [(tie.kind, sorted(tie.columns)) for tie in snapshot.ties[parts.oid]] == [("partition", ["k", "v"])]


def test_keys_triggers_policies_and_domains(snapshot: Snapshot) -> None:
    (tied,), (base,) = snapshot.named("Odd Name", "tied"), snapshot.named("Odd Name", "base")
    (key,) = snapshot.foreign_keys
    assert (key.source, key.columns, key.target, key.keys, key.deletes, key.updates) == (tied.oid, ("a",), base.oid, ("id",), "c", "a")
    (runs,) = snapshot.named("Odd Name", "runs")
    assert [relation for relation, _function in snapshot.triggers] == [tied.oid, runs.oid] and snapshot.policies == {tied.oid: ("(a > 1)",)}
    (chart,), (charts,) = snapshot.by_type_name["chart"], snapshot.by_type_name["charts"]
    (filled,) = snapshot.by_type_name["filled"]
    assert [check.domain for check in snapshot.checks] == [chart.oid, filled.oid] and snapshot.ranges[charts.oid] == chart.oid
    assert len(snapshot.ranges) == 2  # and its multirange
    assert snapshot.implicit == {charts.oid}


def test_what_a_relation_calls_by_itself(snapshot: Snapshot) -> None:
    """Of the server's own functions set_config() alone; also through an operator, in an index and in a trigger's condition."""
    (runs,), (filled,) = snapshot.named("Odd Name", "runs"), snapshot.by_type_name["filled"]
    g, i, j = (snapshot.by_function_name[name][0].oid for name in "gij")
    assert {oid: sorted(found) for oid, found in snapshot.runs.items()} == {runs.oid: sorted([2078, g, i, j])}
    assert {oid: sorted(found) for oid, found in snapshot.type_runs.items()} == {filled.oid: [2078, g]}
    assert {oid: sorted(found) for oid, found in snapshot.defaults.items()} == {snapshot.by_function_name["wanting"][0].oid: [2078, g]}


def test_operators_outside_the_catalog(snapshot: Snapshot) -> None:
    assert snapshot.operators == {"<+>": (snapshot.by_function_name["g"][0].oid,)}


def test_the_revision_is_of_the_content(snapshot: Snapshot) -> None:
    assert len(snapshot.revision) == 32 and "Odd Name" in snapshot.schemas
