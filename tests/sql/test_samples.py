"""Rules about relations and columns, and the server's statistics, which show values of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from addons.policy import Policy
from addons.sql.catalog import Relation, Snapshot
from addons.sql.samples import showing
from protocols.command import Statement
from protocols.hooks import JudgeHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Deny, Hold
from tests.sql.little import snapshot

SESSION = Session("s", Identity("dev"), Target("clinic", "postgres", "h", 5432), "rw", "clinic", "p")
EVERY = dict.fromkeys(("read", "ddl", "session", "procedural", "maintenance", "transaction", "server-config", "function-unlisted"), "allow")
ASKS = {"name": "private", "verdict": "approve", "approvers": ["leads"]}
RULES = {
    "a relation denied": {"name": "private", "relations": ["public.payroll"], "verdict": "deny"},
    "a column denied": {"name": "private", "columns": ["ssn"], "verdict": "deny"},
    "a relation asked about": {**ASKS, "relations": ["payroll"], "classes": ["read"]},
}


def views(**made: str) -> Snapshot:
    """The small catalog, with more views in `public`; one that is named `m...` is materialized."""
    found = snapshot()
    more = [Relation(40000 + at, "public", name, name[0] if name[0] == "m" else "v", 0, (), text) for at, (name, text) in enumerate(made.items())]
    relations = {**found.relations, **{r.oid: r for r in more}}
    return replace(found, relations=relations, by_relation_name={**found.by_relation_name, **{r.name: (r,) for r in more}})


CATALOG = views(
    spread="SELECT s.attname, s.histogram_bounds FROM pg_stats s",
    over='SELECT * FROM public.spread',
    mat="SELECT 1 AS n FROM pg_catalog.pg_statistic",
    unread="SELECT new grammar FROM pg_stats_ext",
    sizes="SELECT relname FROM pg_class WHERE relname !~ '^pg_toast' AND relname <> 'pg_stats_of_mine'",
)


def ask(rule: dict, text: str, catalog: Snapshot | None = CATALOG) -> Allow | Deny | Hold:
    catalogs = SimpleNamespace(snapshot=lambda _s: catalog, stale=lambda _s: False, standing=lambda _s: ("", False)) if catalog else None
    return Policy(default=EVERY, rules=[rule], catalogs=catalogs).on_judge(JudgeHook(SESSION, Statement(text), text))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("text", [
    "SELECT attname, most_common_vals FROM pg_stats WHERE tablename = 'payroll'", "TABLE pg_catalog.pg_statistic", "SELECT count(*) FROM pg_stats_ext",
    "SELECT 1 FROM pg_stats_ext_exprs", "SELECT stxdmcv FROM pg_statistic_ext_data", "COPY pg_statistic TO STDOUT", "SELECT * FROM pg_toast.pg_toast_2619",
    "WITH s AS (SELECT * FROM pg_stats) SELECT 1 FROM s", "SELECT (SELECT max(attname) FROM U&\"pg\\005fstats\")", "PREPARE p AS SELECT * FROM pg_stats",
    "CREATE TEMP VIEW v AS SELECT * FROM pg_stats", "SELECT 1; SELECT * FROM pg_stats", "CREATE TABLE t AS SELECT attname FROM pg_stats",
    "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM pg_stats'",
    "SELECT attname FROM spread", "SELECT attname FROM public.over", "SELECT n FROM mat", "SELECT n FROM unread",
    "BEGIN; ALTER VIEW over RENAME TO other; SELECT attname FROM other",
])  # fmt: skip
def test_statistics_meet_every_rule_about_relations_and_columns(text: str, rule: dict) -> None:
    """Nobody can tell whose values are read there; the reason says so."""
    verdict = ask(rule, text)
    assert isinstance(verdict, (Deny, Hold)) and verdict.rule == "private"
    assert "any relation or column" in verdict.reason


@pytest.mark.parametrize("text", ["SELECT attname FROM pg_stats", "SELECT attname FROM pg_catalog.pg_statistic"])
def test_statistics_meet_rules_by_the_text_where_there_is_no_catalog(text: str) -> None:
    assert ask(RULES["a relation denied"], text, None).code == "OST-203"


def test_statistics_meet_rules_through_functions() -> None:
    """A SQL function that reads them, also where only a view calls it; not one that the operator vouches for."""
    found = snapshot()
    oid, function = next((oid, f) for oid, f in found.functions.items() if f.name == "secret_of")
    one = replace(function, language="sql", body="SELECT most_common_vals::text FROM PG_STATS")
    known = replace(
        CATALOG, functions={**found.functions, oid: one}, by_function_name={**found.by_function_name, "secret_of": (one,)}
    )
    for text in ("SELECT public.secret_of(1)", "SELECT x FROM public.opaque"):
        verdict = ask(RULES["a relation denied"], text, known)
        assert isinstance(verdict, Deny) and "any relation or column" in verdict.reason
    assert showing(known, {("public", "secret_of")}) == showing(CATALOG, ()) == (frozenset({"spread", "over", "mat", "unread"}), frozenset())


@pytest.mark.parametrize("text", ["SELECT id FROM departments", "SELECT relname FROM pg_class", "SELECT relname FROM sizes", "SELECT pid FROM pg_stat_activity"])
def test_rules_about_relations_leave_the_other_catalogs_alone(text: str) -> None:
    assert isinstance(ask(RULES["a relation denied"], text), Allow)


def test_statistics_are_read_where_no_rule_about_relations_fits_or_an_earlier_one_allows() -> None:
    text = "SELECT attname FROM pg_stats"
    assert isinstance(ask({**RULES["a relation denied"], "groups": ["agents"]}, text), Allow)
    assert isinstance(ask({**RULES["a relation denied"], "classes": ["write"]}, text), Allow)
    first = {"name": "tuners", "classes": ["read"], "relations": ["pg_stats"], "verdict": "allow"}
    catalogs = SimpleNamespace(snapshot=lambda _s: CATALOG, stale=lambda _s: False, standing=lambda _s: ("", False))
    policy = Policy(default=EVERY, rules=[first, RULES["a relation denied"]], catalogs=catalogs)
    assert isinstance(policy.on_judge(JudgeHook(SESSION, Statement(text), text)), Allow)


def test_a_rules_own_reason_is_told_with_what_met_it() -> None:
    said = ask({**RULES["a relation denied"], "reason": "salaries are private"}, "SELECT attname FROM pg_stats")
    assert said.reason == "salaries are private (the statement reads pg_stats, which may show values of any relation or column)"
