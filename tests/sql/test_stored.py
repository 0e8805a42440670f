"""What sets settings when it is read or written, as the catalog tells."""

from __future__ import annotations

import pytest

from addons.masking import Masking
from addons.policy import Policy
from addons.sql.assess import classified
from addons.sql.catalog import Snapshot, build
from addons.sql.kinds import CLASSES
from addons.sql.parse import parse
from addons.sql.settings import Settings
from addons.sql.stored import HIDDEN, sets_paths
from protocols.command import FunctionCall, Statement
from protocols.hooks import DecidedHook, JudgeHook, OutcomeHook
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny
from tests.gateway.test_catalog import ROWS
from tests.masking.gate import OneWorker
from tests.masking.shelf import done

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")
SNAPSHOT = build(ROWS | {
    "relations": [(str(30000 + at), "public", name, kind, "0") for at, (name, kind) in enumerate([
        ("t", "r"), ("calling", "v"), ("over", "v"), ("tuned", "v"), ("ruled", "r"), ("guarded", "r"), ("calm", "v"),
        ("filled", "r"), ("typed", "r"), ("watched", "r"), ("through", "v"), ("whole", "p"), ("part", "r"), ("referred", "r"), ("logged", "r"),
    ])],
    "columns": [("30008", "1", "x", "40002", "label[]", "f", None, "f", "f"), ("30000", "1", "id", "23", "integer", "f", None, "f", "f")],
    "types": [("40001", "public", "label", "d", "S", "0", "0", "25"), ("40002", "public", "_label", "b", "A", "0", "40001", "0")],
    "inherits": [("30012", "30011")],
    "runs": [("30007", "2078"), ("30012", "2078"), ("30000", "50009")],
    "type_runs": [("40001", "2078")],
    "triggers": [("30009", "50001"), ("30014", "50003")],
    "foreign_keys": [("30009", "x", "30013", "id", "c", "a")],
    "functions": [
        (str(50001 + at), "public", name, "f", "v", language, "f", "f", "25", "", "0", "f", body) for at, (name, language, body) in enumerate([
            ("strays", "plpgsql", "BEGIN PERFORM set_config('search_path', 'other', false); RETURN NEW; END"), ("calls", "sql", "SELECT strays()"),
            ("notes", "plpgsql", "BEGIN PERFORM set_config('app.tenant', '1', false); RETURN NEW; END"), ("other", "plpython3u", ""),
        ])
    ],
    "operators": [("@@@", "50002")],
    "views": [
        ("30001", "SELECT set_config('search_path'::text, 'public'::text, false) AS x"), ("30002", "SELECT calling.x FROM calling"),
        ("30003", "SELECT pg_settings.name, pg_settings.setting FROM pg_settings"), ("30006", "SELECT t.id FROM t"),
        ("30010", "SELECT calls() AS calls"),
    ],
    "rules": [("30004", "CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT set_config('search_path'::text, 'public'::text, false)")],
    "policies": [("30005", "(set_config('search_path'::text, 'public'::text, false) IS NOT NULL)")],
})  # fmt: skip

SETS = ["SELECT * FROM calling", "SELECT * FROM public.over", "UPDATE tuned SET setting = 'x'", "INSERT INTO ruled VALUES (1)", "SELECT 1 FROM guarded",
        "MERGE INTO tuned USING t ON tuned.name = 'a' WHEN MATCHED THEN UPDATE SET setting = 'x'", "PREPARE p AS SELECT * FROM calling"]  # fmt: skip
FILLS = ["INSERT INTO filled VALUES (1)", "UPDATE public.typed SET x = '{a}'", "COPY filled FROM STDIN", "INSERT INTO whole VALUES (1)"]
STRAYS = ["SELECT strays()", "SELECT public.calls()", "SELECT * FROM through", "INSERT INTO watched VALUES (1)", "DELETE FROM referred", "SELECT 1 @@@ 2",
          "SELECT other() FROM t", "SELECT 'x'::label", "SELECT t.strays FROM t"]  # fmt: skip
SETS_NOTHING = ["INSERT INTO logged VALUES (1)", "SELECT notes()", "SELECT * FROM filled", "SELECT * FROM watched", "SELECT * FROM tuned", "SELECT * FROM ruled", "SELECT * FROM calm", "UPDATE t SET id = 1", "UPDATE calm SET id = 1"]


class Shelf(OneWorker):
    def snapshot(self, _session: Session) -> Snapshot:
        return SNAPSHOT


@pytest.mark.parametrize(("text", "sets"), [*((text, True) for text in SETS + FILLS), *((text, False) for text in SETS_NOTHING)])
def test_what_sets_something_is_known_by_its_relations(text: str, sets: bool) -> None:
    assert [HIDDEN in finding.changes for finding in classified(parse(text), SNAPSHOT)] == [sets]


@pytest.mark.parametrize(("text", "strays"), [*((text, True) for text in SETS + FILLS + STRAYS), *((text, False) for text in SETS_NOTHING)])
def test_what_may_move_the_path_unseen_is_known_by_what_it_writes_and_calls(text: str, strays: bool) -> None:
    assert [finding.strays for finding in classified(parse(text), SNAPSHOT)] == [strays]


def did(policy: Policy, settings: Settings, text: str) -> None:
    """Another addon is the one that is heard."""
    assert isinstance(policy.on_judge(JudgeHook(SESSION, Statement(text), text)), Allow)
    decision = Decision(Statement(text), Allow(), text)
    settings.decided(SESSION, decision, "Masking")
    policy.on_decided(DecidedHook(SESSION, decision))
    outcome = Outcome(Ending.COMPLETE, transaction="I")
    settings.ended(SESSION, decision, outcome, "Masking")
    policy.on_outcome(OutcomeHook(SESSION, decision, outcome))


@pytest.mark.parametrize("text", SETS[:-1] + FILLS + STRAYS)
def test_the_path_is_unknown_after_it_whoever_tells(text: str) -> None:
    settings = Settings()
    policy = Policy(default=dict.fromkeys(CLASSES, "allow"), catalogs=Shelf(), settings=settings)
    did(policy, settings, "SET search_path = public")
    assert settings.search_path(SESSION) == ("public",) and settings.idle("SELECT 1 FROM t")
    did(policy, settings, text)
    assert settings.search_path(SESSION) is None and not settings.idle(text)
    did(policy, settings, "SET search_path = public")
    assert settings.search_path(SESSION) == ("public",)


def test_what_is_prepared_of_it_is_never_followed() -> None:
    settings = Settings()
    policy = Policy(default=dict.fromkeys(CLASSES, "allow"), catalogs=Shelf(), settings=settings)
    did(policy, settings, SETS[-1])
    did(policy, settings, "SET search_path = public")
    assert settings.search_path(SESSION) is None


@pytest.mark.parametrize("text", SETS[:-1] + FILLS + STRAYS)
def test_masking_alone_believes_no_path_that_something_unseen_moved(text: str) -> None:
    """Each time, also where a text of the same form was decided before."""
    settings = Settings()
    masking = Masking(columns=[{"relation": "public.t", "column": "id", "strategy": "null"}], catalogs=Shelf(), settings=settings)
    for _ in range(2):
        done(masking, "SET search_path = public", who=SESSION)
        assert settings.search_path(SESSION) == ("public",)
        done(masking, text, who=SESSION)
        assert settings.search_path(SESSION) is None
    assert not masking.untold(SESSION, Decision(Statement(text), Allow(), text)) and masking.untold(SESSION, Decision(Statement("SELECT 1"), Allow(), "SELECT 1"))


@pytest.mark.parametrize("oid", [2078, 50001, 50002])
def test_a_function_called_by_its_number_moves_the_path_likewise(oid: int) -> None:
    settings = Settings()
    policy = Policy(default=dict.fromkeys(CLASSES, "allow"), catalogs=Shelf(), settings=settings)
    policy.on_decided(DecidedHook(SESSION, Decision(FunctionCall(50003), Allow())))
    assert settings.search_path(SESSION) is not None
    policy.on_decided(DecidedHook(SESSION, Decision(FunctionCall(oid), Allow())))
    assert settings.search_path(SESSION) is None


def test_what_a_function_does_is_no_class_of_the_statement_that_calls_it() -> None:
    """An owner's trigger takes no write away, and who lists a function lets it be called."""
    policy = Policy(default=dict.fromkeys(("read", "write", "write-unfiltered"), "allow"), functions=["calls"], catalogs=Shelf(), settings=Settings())
    for text in ("INSERT INTO watched VALUES (1)", "SELECT calls()"):
        assert isinstance(policy.on_judge(JudgeHook(SESSION, Statement(text), text)), Allow)
    for text in FILLS[:3]:
        found = policy.on_judge(JudgeHook(SESSION, Statement(text), text))
        assert isinstance(found, Deny) and "server-config" in found.reason


def test_a_view_of_settings_is_no_way_around_server_config() -> None:
    """To write it is to write the settings."""
    policy = Policy(default={"read": "allow", "write": "allow", "write-unfiltered": "allow"}, catalogs=Shelf(), settings=Settings())
    found = policy.on_judge(JudgeHook(SESSION, Statement(SETS[2]), SETS[2]))
    assert isinstance(found, Deny) and "server-config" in found.reason


def code(language: str, body: str, kind: str = "f", **more: list[tuple[str, ...]]) -> Snapshot:
    """A catalog with one function."""
    return build(ROWS | {"functions": [("50001", "public", "f", kind, "v", language, "f", "f", "25", "", "0", "f", body)], **more})


SETTING = {
    "its body": code("plpgsql", "BEGIN SET search_path = other; END"), "what it executes": code("plpgsql", "BEGIN EXECUTE x; END"), "another language": code("plpython3u", "x"),
    "a view that runs a text": build(ROWS | {"relations": [("30001", "public", "v", "v", "0")], "views": [("30001", "SELECT s.word FROM ts_stat('SELECT x'::text) s")]}),
    "a server's function that runs a text": code("sql", "SELECT query_to_xml($1, false, false, '')"),
    "an alias": code("internal", "set_config_by_name"), "an argument's default": code("sql", "SELECT 1", defaults=[("50001", "2078")]), "what is stored": SNAPSHOT,
}
GATHERS = ("50002", "public", "gathers", "a", "i", "internal", "f", "f", "25", "25", "1", "f", "aggregate_dummy")
"""A user's aggregate. Its code is that of the functions that it runs."""


@pytest.mark.parametrize(("body", "strays"), [("BEGIN RETURN 1; END", False), ("BEGIN SET search_path = other; END", True)], ids=["calm", "setting"])
def test_an_aggregate_does_what_its_functions_do(body: str, strays: bool) -> None:
    step = ("50001", "public", "step", "f", "v", "plpgsql", "f", "f", "25", "", "0", "f", body)
    known = build(ROWS | {"functions": [step, GATHERS], "aggregates": [("50002", "50001")]})
    (found,) = classified(parse("SELECT gathers(x) FROM t"), known)
    assert found.strays is strays and sets_paths(known) is strays


@pytest.mark.parametrize(("body", "does"), [("BEGIN SET search_path = other; END", (True, False)), ("BEGIN EXECUTE 'DEALLOCATE s'; END", (False, True))], ids=["path", "names"])
def test_a_function_does_what_its_arguments_defaults_do(body: str, does: tuple[bool, bool]) -> None:
    step = ("50001", "public", "step", "f", "v", "plpgsql", "f", "f", "25", "", "0", "f", body)
    wanting = ("50002", "public", "wanting", "f", "v", "sql", "f", "f", "25", "25", "0", "f", "SELECT $1")
    (found,) = classified(parse("SELECT wanting()"), build(ROWS | {"functions": [step, wanting], "defaults": [("50002", "50001")]}))
    assert (found.strays, found.renames) == does


CALM = {"nothing": build(ROWS), "a body": code("plpgsql", "BEGIN RETURN 1; END"), "an aggregate": code("internal", "aggregate_dummy", "a")}


@pytest.mark.parametrize(("known", "sets"), [*((known, True) for known in SETTING.values()), *((known, False) for known in CALM.values())], ids=[*SETTING, *CALM])
def test_a_path_moves_unseen_only_where_there_is_code_that_may_set_it(known: Snapshot, sets: bool) -> None:
    """Whatever leads to that code."""
    assert sets_paths(known) is sets
