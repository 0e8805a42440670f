"""Which rule decides a class of a statement."""

from __future__ import annotations

import datetime

import pytest

from addons.sql.assess import Assessor
from addons.sql.catalog import build
from addons.sql.classify import classify
from addons.sql.conditions import Table
from addons.sql.parse import parse
from addons.sql.rules import Rule, Rules, Ruling, rule, strictest
from addons.sql.settings import Gate
from protocols.session import Identity, Session, Target
from tests.gateway.test_catalog import ROWS

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 5432), "rw", "clinicdb", "p")


def made(**keys: object) -> Rule:
    return rule(Table({"name": "r", "verdict": "deny", **keys}, "rules[1]"))


def fits(text: str, **keys: object) -> bool:
    found = classify(parse(text))[0]
    return any(made(**keys).fits(kind, found) for kind in found.classes)


@pytest.mark.parametrize(("text", "keys", "expected"), [
    ("SELECT 1", {}, True), ("SELECT 1", {"classes": ["ddl"]}, False), ("SELECT 1", {"statements": ["select"]}, True),
    ("DELETE FROM t", {"statements": ["Delete"]}, True), ("CREATE TABLE t (a int)", {"statements": ["select"]}, False),
    ("SELECT * FROM patients", {"relations": ["patients"]}, True), ("SELECT * FROM public.patients", {"relations": ["patients"]}, True),
    ("SELECT * FROM patients", {"relations": ["public.patients"]}, True), ("SELECT * FROM evil.patients", {"relations": ["public.patients"]}, False),
    ("SELECT * FROM a, patients", {"relations": ["patients"]}, True), ("SELECT 1", {"relations": ["patients"]}, False),
    ("SELECT ssn FROM p", {"columns": ["ssn"]}, True), ("SELECT U&\"\\0073sn\" FROM p", {"columns": ["ssn"]}, True),
    ("SELECT * FROM p", {"columns": ["ssn"]}, True), ("SELECT id FROM p", {"columns": ["ssn"]}, False), ("SELECT id FROM p ORDER BY ssn", {"columns": ["ssn"]}, True),
    ("WITH gone AS (DELETE FROM t RETURNING 1) SELECT 1", {"statements": ["delete"]}, True), ("PREPARE p AS DELETE FROM t", {"statements": ["delete"]}, True),
    ("EXPLAIN ANALYZE DELETE FROM t", {"statements": ["delete"]}, True), ("EXPLAIN DELETE FROM t", {"statements": ["delete"]}, False),
    ("DELETE FROM t WHERE id IN (SELECT 1)", {"statements": ["select"]}, False),
    ("SELECT pg_sleep(1)", {"functions": ["pg_sleep"]}, True), ("SELECT pg_catalog.pg_sleep(1)", {"functions": ["pg_sleep"]}, True),
])
def test_a_rule_that_denies_needs_one_of_what_it_names(text: str, keys: dict[str, object], expected: bool) -> None:
    assert fits(text, **keys) is expected


@pytest.mark.parametrize(("text", "keys", "expected"), [
    ("SELECT * FROM a", {"relations": ["a"]}, True), ("SELECT * FROM a, b", {"relations": ["a"]}, False), ("SELECT 1", {"relations": ["a"]}, False),
    ("SELECT x FROM a", {"columns": ["x"]}, True), ("SELECT x, y FROM a", {"columns": ["x"]}, False), ("SELECT * FROM a", {"columns": ["x"]}, False),
    ("WITH gone AS (DELETE FROM t RETURNING 1) SELECT 1", {"statements": ["select"]}, False),
    ("SELECT f(), g()", {"functions": ["f"]}, False), ("SELECT f(), g()", {"functions": ["f", "g"]}, True),
])
def test_a_rule_that_allows_must_cover_all_that_is_touched(text: str, keys: dict[str, object], expected: bool) -> None:
    assert fits(text, verdict="allow", classes=["read"], **keys) is expected


def test_what_reaches_the_rows_under_another_name_is_denied_and_not_allowed() -> None:
    found = classify(parse("SELECT x FROM part"))[0]
    found.reached = frozenset({("public", "whole"), ("public", "part")})
    assert made(relations=["whole"]).fits("read", found)
    assert not made(verdict="allow", classes=["read"], relations=["whole"]).fits("read", found)
    found.reached = None  # the catalog is not known
    assert made(relations=["any"]).fits("read", found)
    assert not made(verdict="allow", classes=["read"], relations=["any"]).fits("read", found)


def test_text_that_does_not_parse_fits_by_class_alone() -> None:
    assert made(classes=["unparsable"]).fits("unparsable", None)
    assert not made(relations=["a"]).fits("unparsable", None)


@pytest.mark.parametrize(("keys", "complaint"), [
    ({"classes": ["foo"]}, r"rules\[1\].classes: unknown class 'foo'; known: ddl, .*write-unfiltered"),
    ({"verdict": "maybe"}, r"rules\[1\].verdict: unknown value 'maybe'; known: allow, approve, deny"), ({"name": ""}, r"rules\[1\].name"),
    ({"verdict": "allow"}, r"rules\[1\].classes: a rule that allows"), ({"verdict": "approve"}, r"rules\[1\].approvers: name the groups"),
    ({"statements": ["selec"]}, r"rules\[1\].statements: unknown statement 'selec'"), ({"relation": ["x"]}, r"rules\[1\].relation: unknown key"),
    ({"classes": ["raed", "ddll", "ddl"]}, r"unknown class 'ddll' \(did you mean 'ddl'\?\), unknown class 'raed' \(did you mean 'read'\?\); known"),
    ({"clases": ["x"], "verdict": "maybe"}, r"rules\[1\].clases: unknown key \(did you mean 'classes'\?\)"),
    ({"relatons": [], "colums": []}, r"(?s)rules\[1\].relatons: .*'relations'.*rules\[1\].colums: .*'columns'"),
    ({"quorum": 0}, r"rules\[1\].quorum"), ({"mode": "wait"}, r"rules\[1\].mode"),
])
def test_complaints_name_the_key_and_the_mend(keys: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        made(**keys)


def test_the_first_rule_that_fits_decides_and_then_the_default() -> None:
    found = classify(parse("SELECT 1"))[0]
    rules = Rules({"read": "allow"}, (made(groups=["x"]), made(name="two", classes=["ddl"]), made(name="three", verdict="approve", approvers=["a"])))
    fitting = rules.fitting(SESSION)
    assert [r.name for r in fitting] == ["two", "three"]
    assert rules.decide(fitting, "read", "reads", found).rule.name == "three"
    assert rules.decide((), "read", "reads", found) == Ruling("allow", "read", "reads")
    assert rules.decide((), "file", "copies", found).verdict == "deny"


def test_hours_are_asked_of_the_clock_and_say_that_they_were() -> None:
    now = [datetime.datetime(2026, 11, 23, 12)]
    rules = Rules({"read": "deny"}, (made(verdict="allow", classes=["read"], hours="08:00-18:00"),), lambda: now[0])
    fitting, found = rules.fitting(SESSION), classify(parse("SELECT 1"))[0]
    assert (rules.decide(fitting, "read", "", found).verdict, rules.decide(fitting, "read", "", found).timed) == ("allow", True)
    now[0] = datetime.datetime(2026, 11, 23, 19)
    assert (rules.decide(fitting, "read", "", found).verdict, rules.decide(fitting, "read", "", found).timed) == ("deny", True)
    with pytest.raises(ValueError, match="no clock"):
        Rules({}, (made(hours="08:00-18:00"),))


def test_the_strictest_wins_and_of_two_alike_the_first() -> None:
    one, two, three = Ruling("allow", "a", ""), Ruling("deny", "b", ""), Ruling("deny", "c", "")
    assert strictest([one, two, three]) is two
    assert strictest([one, Ruling("approve", "d", "")]).kind == "d"


def test_of_many_partitions_only_those_that_rules_name_are_kept() -> None:
    """A text's finding is kept for long, and a table may have thousands of them."""
    parts = [(str(30000 + i), "public", f"p{i}", "r", "0") for i in range(50)]
    known = build(ROWS | {"relations": [*ROWS["relations"], *parts], "inherits": [(oid, "20000") for oid, *_ in parts]})
    assess = Assessor((), Gate(), frozenset({"public.p7"})).assess
    assert assess("SELECT id FROM patients", known)[0].finding.reached == {("public", "p7")}
    assert assess("SELECT id FROM p8", known)[0].finding.reached == set()
    assert assess("SELECT id FROM p8", None, unread=True)[0].finding.reached is None
