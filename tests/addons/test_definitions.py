"""Rules about relations and what is made of them or goes with them: bodies of functions that are made, and CASCADE."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed

from addons.policy import Policy
from addons.sql.catalog import Snapshot, build
from addons.sql.kinds import CLASSES
from protocols.command import Statement
from protocols.hooks import JudgeHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow
from tests.gateway.test_catalog import ROWS
from tests.masking.gate import OneWorker

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")
RELATIONS = {"kept.secrets": "r", "kept.notes": "r", "public.part": "r", "public.shown": "v", "public.shown_twice": "v", "public.free": "r", "public.bill": "r", "public.line": "r"}
OID = {name: 21000 + i for i, name in enumerate(RELATIONS)}
SNAPSHOT = build(ROWS | {
    "relations": [(str(OID[name]), *name.split("."), kind, "0") for name, kind in RELATIONS.items()], "columns": [(str(OID["public.bill"]), "1", "mood", "22000", "mood", "f", None, "f", "f")],
    "views": [(str(OID["public.shown"]), "SELECT id FROM kept.secrets"), (str(OID["public.shown_twice"]), "SELECT id FROM public.shown")],
    "inherits": [(str(OID["public.part"]), str(OID["kept.secrets"]))],
    "foreign_keys": [
        (str(OID["public.bill"]), "id", str(OID["kept.secrets"]), "id", "a", "a"), (str(OID["public.line"]), "id", str(OID["public.bill"]), "id", "a", "a"),
    ],
    "functions": [("20100", "public", "peek", "f", "v", "sql", "f", "f", "23", "", "0", "f", "SELECT 1 FROM kept.secrets"), ("20101", "public", "touch", "f", "v", "plpgsql", "f", "f", "23", "", "0", "f", "BEGIN END")],
    "triggers": [(str(OID["public.line"]), "20101")], "policies": [(str(OID["kept.notes"]), "seen_by(id)")],
    "types": [("22000", "public", "mood", "e", "E", "0", "0", "0")],
})  # fmt: skip


class Shelf(OneWorker):
    def snapshot(self, _session: Session) -> Snapshot:
        return SNAPSHOT

    def refresh(self, _session: Session) -> Deferred[Snapshot]:
        return succeed(SNAPSHOT)


def refused(text: str, relation: str, classes: tuple[str, ...] = (), default: tuple[str, ...] = tuple(CLASSES)) -> bool:
    rule = {"name": "no", "relations": [relation], "verdict": "deny", **({"classes": list(classes)} if classes else {})}
    policy = Policy(default=dict.fromkeys(default, "allow"), rules=[rule], catalogs=Shelf())
    return not isinstance(policy.on_judge(JudgeHook(SESSION, Statement(text), text)), Allow)


IN_SQL = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS "


@pytest.mark.parametrize("text", [
    IN_SQL + "'SELECT 1 FROM kept.secrets'", IN_SQL + "'SELECT peek()'", IN_SQL + "'SELECT 1; DELETE FROM kept.secrets WHERE id = 1'",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 FROM kept.secrets; END", "CREATE VIEW v AS SELECT 1 FROM kept.secrets",
    "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS 'UPDATE secrets SET id = 1 WHERE id = 2'",
])  # fmt: skip
def test_what_is_made_of_a_relation_is_judged_as_what_reads_it(text: str) -> None:
    assert refused(text, "kept.secrets") and not refused(text, "public.free")


def test_a_body_counts_by_its_classes_too() -> None:
    reads, wipes = IN_SQL + "'SELECT 1 FROM kept.secrets'", IN_SQL + "'DELETE FROM kept.secrets'"
    assert refused(reads, "kept.secrets", ("read",)) and not refused(reads, "kept.secrets", ("write",))
    making = ("ddl", "procedural", "read", "write")
    assert not refused(reads, "public.free", default=making) and refused(wipes, "public.free", default=making)


@pytest.mark.parametrize("text", [
    "CREATE FUNCTION pg_catalog.lower(free) RETURNS text LANGUAGE sql AS 'SELECT 1'", "CREATE OPERATOR pg_catalog.= (FUNCTION = f, LEFTARG = int)",
    "CREATE AGGREGATE pg_catalog.max(free) (SFUNC = f, STYPE = text)", "ALTER FUNCTION f() SET SCHEMA pg_catalog", "ALTER OPERATOR + (int, int) SET SCHEMA pg_catalog",
    "ALTER TYPE mood SET SCHEMA pg_catalog", "ALTER EXTENSION hstore SET SCHEMA pg_catalog",
])  # fmt: skip
def test_nothing_is_put_among_what_is_taken_for_the_servers_own(text: str) -> None:
    making = tuple(set(CLASSES) - {"server-config"})
    assert refused(text, "public.bill", default=making) and not refused(text.replace("pg_catalog", "public"), "public.bill", default=making)


@pytest.mark.parametrize("body", ["SELECT unheard_of()", "SELECT 1 FROM nowhere", "no SQL at all"])
def test_a_body_that_is_made_for_later_needs_nothing_that_is_there_now(body: str) -> None:
    """What it calls is looked at when it is called; a migration makes functions in any order."""
    assert not refused(IN_SQL + f"'{body}'", "kept.secrets", default=("ddl", "procedural", "read"))


@pytest.mark.parametrize(("text", "relation", "met"), [
    ("DROP SCHEMA kept CASCADE", "kept.secrets", True), ("DROP SCHEMA kept CASCADE", "notes", True), ("DROP SCHEMA kept CASCADE", "public.part", True),
    ("DROP SCHEMA kept CASCADE", "public.shown_twice", True), ("DROP SCHEMA kept CASCADE", "public.free", False), ("DROP SCHEMA kept", "kept.secrets", False),
    ("DROP SCHEMA other, kept CASCADE", "kept.secrets", True), ("DROP TABLE kept.secrets CASCADE", "public.shown_twice", True),
    ("DROP TABLE kept.notes CASCADE", "public.shown", False), ("DROP VIEW shown CASCADE", "public.shown_twice", True),
    ("TRUNCATE kept.secrets CASCADE", "public.line", True), ("TRUNCATE kept.secrets", "public.line", False), ("TRUNCATE bill CASCADE", "kept.secrets", False),
    ("DROP TYPE mood CASCADE", "public.bill", True), ("DROP TYPE mood", "public.bill", False), ("DROP DOMAIN other CASCADE", "public.bill", False),
    ("DROP EXTENSION hstore CASCADE", "kept.secrets", True), ("DROP OWNED BY ada", "kept.secrets", True), ("DROP OPERATOR + (int, int) CASCADE", "kept.secrets", True),
    ("DROP FUNCTION peek() CASCADE", "public.free", False), ("DROP FUNCTION public.touch CASCADE", "public.line", True), ("DROP FUNCTION fresh() CASCADE", "public.line", False),
    ("DROP ROUTINE seen_by(int) CASCADE", "kept.notes", True),
])  # fmt: skip
def test_what_goes_along_with_a_cascade_meets_the_rules_about_it(text: str, relation: str, met: bool) -> None:
    assert refused(text, relation) is met
