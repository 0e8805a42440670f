"""Rows: which statements get a guard, what is refused since it cannot be counted, and what the planner's word does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from addons import rows as module
from addons.rows import Rows
from addons.sql.catalog import Snapshot, build
from addons.sql.guard import Uncountable, guarded
from addons.sql.settings import Settings
from gateway.estimates import expected
from protocols.command import Parameter, Path, Statement
from protocols.hooks import DecidedHook, JudgeHook, RewriteHook, TextHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Hold, Replace
from tests.gateway.test_catalog import ROWS
from tests.sql.later import Later

SNAPSHOT = build(ROWS | {
    "relations": [*ROWS["relations"], ("20010", "public", "seen", "v", "20011"), ("20020", "public", "odd", "v", "20021")],
    "views": [("20010", "SELECT id FROM patients"), ("20020", "SELECT id FROM patients WHERE jump() > 0")],
    "functions": [("20100", "public", "jump", "f", "v", "sql", "f", "f", "23", "", "0", "f", "SELECT 1"), ("1598", "pg_catalog", "random", "f", "v", "internal", "f", "f", "701", "", "0", "f", None)],
})  # fmt: skip
UPDATE = "UPDATE patients SET ssn = 'x' WHERE id < 5"


def session(kind: str = "human", *groups: str) -> Session:
    return Session("s", Identity("ada", kind, frozenset(groups)), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")


class Known:
    """A catalog that was read, or cannot be."""

    def __init__(self, snapshot: Snapshot | None = SNAPSHOT) -> None:
        self._snapshot = snapshot

    def snapshot(self, _session: Session) -> Snapshot | None:
        return self._snapshot

    def standing(self, _session: Session) -> object:
        found = self.snapshot(_session)
        return found and found.revision, self.stale(_session)

    def stale(self, _session: Session) -> bool:
        return False

    def refresh(self, _session: Session) -> Deferred[Snapshot]:
        return succeed(SNAPSHOT) if self._snapshot else fail(OSError())


class Planner:
    """Expects so many rows; None cannot say."""

    def __init__(self, rows: float | None = 0) -> None:
        self._rows, self.asked = rows, []

    def rows(self, _session: Session, _command: Statement, text: str) -> Deferred[float]:
        self.asked.append(text)
        return fail(OSError()) if self._rows is None else succeed(self._rows)


def rows(*, touched: Any = (), estimated: Any = (), planner: Planner | None = None, catalogs: Known | None = None) -> Rows:
    return Rows(touched=touched, estimated=estimated, catalogs=catalogs or Known(), estimates=planner or Planner())


def said(answer: Any) -> Any:
    """What it is, or what its Deferred has."""
    if not isinstance(answer, Deferred):
        return answer
    got: list[Any] = []
    answer.addBoth(got.append)
    return got[0]


FEW = {"name": "few", "rows": 3}


@pytest.mark.parametrize("text", [
    UPDATE, "DELETE FROM patients", "PREPARE p AS DELETE FROM patients WHERE id = $1", "EXPLAIN ANALYZE UPDATE patients SET ssn = NULL",
    "DELETE FROM patients USING seen WHERE seen.id = patients.id", "SELECT 1; DELETE FROM patients",
    "WITH w AS (SELECT id FROM seen) UPDATE ONLY patients p SET ssn = NULL FROM w WHERE w.id = p.id RETURNING p.id",
    "UPDATE patients SET ssn = 'x' WHERE id < 5 AND ssn IS NULL", "DELETE FROM patients USING seen WHERE seen.id = patients.id AND seen.id > 2",
    "DELETE FROM patients WHERE (id = 1 AND ssn = 'a') OR id = 2", "DELETE FROM patients WHERE id = 1 AND (ssn = 'a' AND ssn <> 'b') AND NOT (id = 2 AND ssn = 'c')",
    "UPDATE patients p SET ssn = 'x' FROM (SELECT id, CAST('***' AS text) AS ssn FROM patients) AS q WHERE q.id = p.id AND q.id = 3",
])  # fmt: skip
def test_an_update_or_delete_gets_a_guard(text: str) -> None:
    verdict = rows(touched=[FEW]).on_rewrite(RewriteHook(session(), Statement(text)))
    assert isinstance(verdict, Replace) and verdict.text.count("<=) 3 THEN") == 1 and "LIMIT 4" in verdict.text


@pytest.mark.parametrize("text", ["SELECT * FROM patients", "INSERT INTO patients (id) VALUES (1)", "EXECUTE p", "not sql", "BEGIN", "DROP TABLE patients"])
def test_what_touches_no_rows_that_are_there_is_left_alone(text: str) -> None:
    assert isinstance(rows(touched=[FEW]).on_rewrite(RewriteHook(session(), Statement(text))), Allow)


@pytest.mark.parametrize(("proposing", "passes"), [
    ("VALUES (1, 'a'), (2, 'b')", True), ("SELECT 1, 'a'", True), ("SELECT $1::int, upper($2)", True), ("SELECT v.* FROM (VALUES (1, 'a'), (2, 'b')) v", True),
    ("SELECT v.* FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')) v", False), ("SELECT * FROM seen LIMIT 3", True), ("SELECT * FROM seen LIMIT 4", False),
    ("SELECT * FROM seen", False), ("SELECT * FROM seen ORDER BY id FETCH FIRST 1 ROW WITH TIES", False), ("SELECT 1, 'a' UNION SELECT 2, 'b'", False),
    ("SELECT many(), 'a'", False), ("SELECT v.* FROM (VALUES (many(), 'a')) v", False), ("SELECT v.* FROM (VALUES (1, 'a')) v, seen", False),
    ("SELECT v.* FROM (SELECT * FROM seen) v", False), ("SELECT nobody_knows(), 'a'", False),
], ids=str)  # fmt: skip
def test_an_upsert_passes_where_its_text_says_how_few_rows_it_proposes(proposing: str, passes: bool) -> None:
    many = replace(SNAPSHOT.by_function_name["random"][0], oid=20101, schema="public", name="many", returns_set=True)
    upper = replace(many, oid=871, schema="pg_catalog", name="upper", returns_set=False)
    known = Known(replace(SNAPSHOT, by_function_name=SNAPSHOT.by_function_name | {"many": (many,), "upper": (upper,)}))
    text = f"INSERT INTO patients (id, ssn) {proposing} ON CONFLICT (id) DO UPDATE SET ssn = EXCLUDED.ssn"
    verdict = said(rows(touched=[FEW], catalogs=known).on_rewrite(RewriteHook(session(), Statement(text))))
    assert not isinstance(verdict, Deny) if passes else verdict.code == "OST-407", verdict


def test_the_row_of_a_cursor_is_one() -> None:
    assert "width_bucket" not in guarded("DELETE FROM patients WHERE CURRENT OF c", 1, SNAPSHOT)


def test_what_was_prepared_without_a_guard_is_not_run_under_a_rule() -> None:
    """Its names may mean something else by now; with a guard for no more rows it counts by itself, whatever masking made of it besides."""
    settings, text = Settings(), "PREPARE p AS UPDATE patients SET ssn = 'x' WHERE id < 5 RETURNING *"
    settings.prepared.learn("s", "p", text)
    addon = Rows(touched=[FEW], catalogs=Known(), estimates=Planner(), settings=settings)
    assert addon.on_rewrite(RewriteHook(session(), Statement("EXECUTE p"))).code == "OST-407"
    sent = addon.on_rewrite(RewriteHook(session(), Statement(text.replace("*", "id"))))
    addon.on_decided(DecidedHook(session(), Decision(Statement(text), Allow(), sent.text)))
    assert isinstance(addon.on_rewrite(RewriteHook(session(), Statement("EXECUTE p"))), Allow)


@pytest.mark.parametrize(("text", "why"), [
    ("WITH d AS (DELETE FROM patients RETURNING id) SELECT * FROM d", "inside another"),
    ("WITH d AS (DELETE FROM patients RETURNING id) UPDATE patients SET ssn = NULL WHERE id = 1", "inside another"),
    ("MERGE INTO patients p USING seen s ON p.id = s.id WHEN MATCHED THEN DELETE", "MERGE"),
    ("DELETE FROM patients WHERE jump() = id", "jump()"),
    ("DELETE FROM patients WHERE random() < 0.5", "random()"),
    ("DELETE FROM patients WHERE id IN (SELECT id FROM odd)", "jump()"),
    ("DELETE FROM seen", "no table"),
    ("DELETE FROM strangers", "no table"),
    ("CREATE RULE r AS ON INSERT TO patients DO DELETE FROM patients", "inside another"),
])  # fmt: skip
def test_what_cannot_be_counted_is_refused(text: str, why: str) -> None:
    verdict = rows(touched=[FEW]).on_rewrite(RewriteHook(session(), Statement(text)))
    assert isinstance(verdict, Deny) and verdict.code == "OST-407" and why in verdict.reason
    with pytest.raises(Uncountable):
        guarded(text, 3, SNAPSHOT)


def test_an_assigned_value_may_be_another_each_time() -> None:
    assert "THEN" in guarded("UPDATE patients SET id = random() WHERE id = 1", 3, SNAPSHOT).upper()


def test_a_guard_is_made_anew_for_each_statement() -> None:
    """The template is parsed once and shared."""
    first = guarded("DELETE FROM patients p USING seen s WHERE p.id = s.id", 3, SNAPSHOT)
    assert "tableoid" in first and "tableoid" not in guarded("DELETE FROM patients", 3, SNAPSHOT)
    assert "tableoid" not in guarded(UPDATE, 3, SNAPSHOT) and guarded(UPDATE, 3, SNAPSHOT).count("id < 5") == 2


def test_the_first_rule_that_fits_counts() -> None:
    limits = [{"name": "dba", "rows": 9, "groups": ["dba"]}, {"name": "seen", "rows": 5, "relations": ["public.seen"]}, FEW]
    for who, text, most in ((session("human", "dba"), UPDATE, 9), (session(), UPDATE, 3), (session(), "DELETE FROM patients USING seen WHERE true", 3)):
        verdict = rows(touched=limits).on_rewrite(RewriteHook(who, Statement(text)))
        assert isinstance(verdict, Replace) and f"<=) {most} THEN" in verdict.text


def test_a_generous_limit_on_another_relation_lifts_no_stricter_one() -> None:
    limits = [{"name": "seen", "rows": 500, "relations": ["public.seen"]}, FEW]
    for text in ("DELETE FROM patients USING seen WHERE seen.id = patients.id", "DELETE FROM patients WHERE id IN (SELECT id FROM seen)"):
        verdict = rows(touched=limits).on_rewrite(RewriteHook(session(), Statement(text)))
        assert isinstance(verdict, Replace) and "<=) 3 THEN" in verdict.text


def test_without_a_catalog_a_limit_on_any_relation_is_met() -> None:
    limits = [{"name": "other", "rows": 5, "relations": ["public.other"]}]
    hook = RewriteHook(session(), Statement(UPDATE))
    assert isinstance(said(rows(touched=limits).on_rewrite(hook)), Allow)
    verdict = said(rows(touched=limits, catalogs=Known(None)).on_rewrite(hook))
    assert isinstance(verdict, Deny) and verdict.code == "OST-407"


def test_without_a_catalog_nothing_is_guessed() -> None:
    verdict = said(rows(touched=[FEW], catalogs=Known(None)).on_rewrite(RewriteHook(session(), Statement(UPDATE))))
    assert isinstance(verdict, Deny) and verdict.code == "OST-407"


def test_a_guard_that_fails_says_which_rule_and_no_value() -> None:
    addon = rows(touched=[FEW])
    decision = Decision(Statement(UPDATE), Allow(), "…")
    fields = {"S": "ERROR", "V": "ERROR", "C": "2201G", "M": "lower bound cannot equal upper bound", "D": "x"}
    told = addon.on_text(TextHook(session(), "error", fields, decision))
    assert told is not None and told["C"] == "54000" and "few" in told["M"] and "OST-406" in told["M"]
    assert json.loads(told["D"]) == {"code": "OST-406", "rule": "few", "rows": FEW["rows"]}, "and nothing of the server's own"
    own = Decision(Statement("SELECT width_bucket(1, 2, 2, 1)"), Allow(), "…")
    assert addon.on_text(TextHook(session(), "error", fields, own)) is None
    assert addon.on_text(TextHook(session(), "error", fields | {"C": "22012"}, decision)) is None


BIG = {"name": "big", "rows": 100, "statements": ["select"]}


@pytest.mark.parametrize(("text", "asked"), [
    ("SELECT * FROM patients", ["SELECT * FROM patients"]), ("COPY patients TO STDOUT", ["SELECT * FROM patients"]),
    ("COPY (SELECT 1) TO STDOUT", ["SELECT 1"]), ("PREPARE p AS SELECT $1", ["SELECT $1"]), ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
    ("DECLARE c CURSOR FOR SELECT 1", ["SELECT 1"]), ("EXPLAIN ANALYZE SELECT 1", ["SELECT 1"]),
])  # fmt: skip
def test_every_plan_that_a_statement_holds_is_asked_about(text: str, asked: list[str]) -> None:
    planner = Planner(100)
    assert isinstance(said(rows(estimated=[BIG], planner=planner).on_judge(JudgeHook(session(), Statement(text), text))), Allow)
    assert planner.asked == asked


def test_what_the_planner_expects_too_much_of_is_denied_or_asked_about() -> None:
    text = "SELECT * FROM patients"
    for rule, kind in ((BIG, Deny), (BIG | {"verdict": "approve", "approvers": ["leads"]}, Hold)):
        verdict = said(rows(estimated=[rule], planner=Planner(101)).on_judge(JudgeHook(session(), Statement(text), text)))
        assert isinstance(verdict, kind)
    agent = said(rows(estimated=[BIG | {"verdict": "approve", "approvers": ["leads"]}], planner=Planner(101)).on_judge(JudgeHook(session("agent"), Statement(text), text)))
    assert isinstance(agent, Hold) and agent.mode == "retry"


def test_what_cannot_be_estimated_is_refused() -> None:
    for command in (Statement("SELECT 1"), Statement("SELECT $1; SELECT 2", Path.BIND, (Parameter(0, 0, b"1"),))):
        verdict = said(rows(estimated=[BIG], planner=Planner(None)).on_judge(JudgeHook(session(), command, command.text)))
        assert isinstance(verdict, Deny) and verdict.code == "OST-409"


def test_preparing_and_other_statements_ask_nobody() -> None:
    planner = Planner(1e9)
    addon = rows(estimated=[BIG], planner=planner)
    for command in (Statement("SELECT 1", Path.PARSE), Statement("BEGIN"), Statement("DELETE FROM patients")):
        assert isinstance(addon.on_judge(JudgeHook(session(), command, command.text)), Allow)
    assert planner.asked == []


def test_the_planner_is_asked_about_what_a_guard_was_put_into() -> None:
    planner = Planner(1)
    addon = rows(touched=[FEW], estimated=[{"name": "any", "rows": 10}], planner=planner)
    sent = addon.on_rewrite(RewriteHook(session(), Statement(UPDATE))).text
    said(addon.on_judge(JudgeHook(session(), Statement(UPDATE), sent)))
    assert planner.asked == [UPDATE]


def test_a_plan_is_read_at_its_top_or_below_a_write() -> None:
    assert expected('[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 7}}]') == 7
    write = '[{"Plan": {"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [{"Parent Relationship": "Outer", "Plan Rows": 9}, {"Parent Relationship": "InitPlan", "Plan Rows": 1}]}}]'
    assert expected(write) == 9
    for nonsense in ("[]", '[{"Plan": {}}]', "7", "x"):
        with pytest.raises(ValueError):
            expected(nonsense)


@pytest.mark.parametrize(("given", "said_"), [
    ({"name": "x"}, "touched[0].rows"), ({"name": "x", "rows": 0}, "touched[0].rows"), ({"name": "x", "rows": 1.5}, "touched[0].rows"), ({"rows": 1}, "touched[0].name"),
    ({"name": "x", "rows": 1, "hours": "08:00-09:00"}, "touched[0].hours"), ({"name": "x", "rows": 1, "verdict": "deny"}, "touched[0].verdict"),
])  # fmt: skip
def test_a_wrong_rule_says_its_key(given: Any, said_: str) -> None:
    with pytest.raises(ValueError) as wrong:
        rows(touched=[given])
    assert said_ in str(wrong.value)
    with pytest.raises(ValueError, match="approvers"):
        rows(estimated=[{"name": "x", "rows": 1, "verdict": "approve"}])


def test_a_long_text_is_guarded_and_estimated_as_a_short_one() -> None:
    """It is analysed elsewhere, and nothing passes before that."""
    later, planner = Later(), Planner(7)
    addon = Rows(
        touched=[{"name": "few", "rows": 5, "relations": ["patients"]}], estimated=[{"name": "big", "rows": 5}],
        catalogs=Known(), estimates=planner, analyses=later,
    )
    text = f"UPDATE patients SET ssn = 'x' WHERE id IN ({', '.join(['1'] * 5000)})"

    def said(answer: Any) -> Any:
        found: list[Any] = []
        answer.addBoth(found.append)
        assert found == [] and later.asked
        later.answer_all()
        return found[0]

    put = said(addon.on_rewrite(RewriteHook(session(), Statement(text))))
    assert isinstance(put, Replace) and put == Replace(guarded(text, 5, SNAPSHOT), "few")
    assert said(addon.on_judge(JudgeHook(session(), Statement(text), put.text))).code == "OST-408" and planner.asked == [text]
    merge = f"MERGE INTO patients p USING patients t ON p.id = t.id AND p.id IN ({', '.join(['1'] * 5000)}) WHEN MATCHED THEN DELETE"
    assert said(addon.on_rewrite(RewriteHook(session(), Statement(merge)))).code == "OST-407"
    decision = Decision(Statement(text), Allow(), put.text)
    addon.on_decided(DecidedHook(session(), decision))
    assert not addon._analysis._mine
    failed = {"S": "ERROR", "V": "ERROR", "C": "2201G", "M": "count must be greater than zero"}
    assert "rule few allows" in addon.on_text(TextHook(session(), "error", failed, decision))["M"]
    addon._analysis._kept.clear()
    assert "rule few allows" in addon.on_text(TextHook(session(), "error", failed, decision))["M"]


def test_a_guard_by_an_older_catalog_is_not_sent() -> None:
    """While a text is analysed the catalog changes."""
    later, catalogs = Later(), Known()
    addon = Rows(touched=[{"name": "few", "rows": 5}], catalogs=catalogs, estimates=Planner(), analyses=later)
    found: list[Any] = []
    addon.on_rewrite(RewriteHook(session(), Statement(f"UPDATE patients SET ssn = 'x' WHERE id IN ({'1, ' * 5000}1)"))).addBoth(found.append)
    while not isinstance(later.asked[0][1][0], module.Guarding):
        later.answer()
    catalogs._snapshot = replace(SNAPSHOT, revision="newer")
    later.answer()
    assert found == [] and later.asked[0][1][0].revision == "newer"
    later.answer_all()
    assert isinstance(found[0], Replace)
