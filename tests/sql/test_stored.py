"""What sets settings when it is read or written, as the catalog tells."""

from __future__ import annotations

import pytest

from addons.policy import Policy
from addons.sql.assess import classified
from addons.sql.catalog import Snapshot, build
from addons.sql.kinds import CLASSES
from addons.sql.parse import parse
from addons.sql.settings import Settings
from addons.sql.stored import HIDDEN
from protocols.command import Statement
from protocols.hooks import DecidedHook, JudgeHook, OutcomeHook
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny
from tests.gateway.test_catalog import ROWS
from tests.masking.gate import OneWorker

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")
SNAPSHOT = build(ROWS | {
    "relations": [(str(30000 + at), "public", name, kind, "0") for at, (name, kind) in enumerate([
        ("t", "r"), ("calling", "v"), ("over", "v"), ("tuned", "v"), ("ruled", "r"), ("guarded", "r"), ("calm", "v"),
    ])],
    "views": [
        ("30001", "SELECT set_config('search_path'::text, 'public'::text, false) AS x"), ("30002", "SELECT calling.x FROM calling"),
        ("30003", "SELECT pg_settings.name, pg_settings.setting FROM pg_settings"), ("30006", "SELECT t.id FROM t"),
    ],
    "rules": [("30004", "CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT set_config('search_path'::text, 'public'::text, false)")],
    "policies": [("30005", "(set_config('search_path'::text, 'public'::text, false) IS NOT NULL)")],
})  # fmt: skip

SETS = ["SELECT * FROM calling", "SELECT * FROM public.over", "UPDATE tuned SET setting = 'x'", "INSERT INTO ruled VALUES (1)", "SELECT 1 FROM guarded",
        "MERGE INTO tuned USING t ON tuned.name = 'a' WHEN MATCHED THEN UPDATE SET setting = 'x'", "PREPARE p AS SELECT * FROM calling"]  # fmt: skip
SETS_NOTHING = ["SELECT * FROM tuned", "SELECT * FROM ruled", "SELECT * FROM calm", "UPDATE t SET id = 1", "UPDATE calm SET id = 1"]


class Shelf(OneWorker):
    def snapshot(self, _session: Session) -> Snapshot:
        return SNAPSHOT


@pytest.mark.parametrize(("text", "sets"), [*((text, True) for text in SETS), *((text, False) for text in SETS_NOTHING)])
def test_what_sets_something_is_known_by_its_relations(text: str, sets: bool) -> None:
    assert [HIDDEN in finding.changes for finding in classified(parse(text), SNAPSHOT)] == [sets]


def did(policy: Policy, settings: Settings, text: str) -> None:
    """Another addon is the one that is heard."""
    assert isinstance(policy.on_judge(JudgeHook(SESSION, Statement(text), text)), Allow)
    decision = Decision(Statement(text), Allow(), text)
    settings.decided(SESSION, decision, "Masking")
    policy.on_decided(DecidedHook(SESSION, decision))
    outcome = Outcome(Ending.COMPLETE, transaction="I")
    settings.ended(SESSION, decision, outcome, "Masking")
    policy.on_outcome(OutcomeHook(SESSION, decision, outcome))


@pytest.mark.parametrize("text", SETS[:-1])
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


def test_a_view_of_settings_is_no_way_around_server_config() -> None:
    """To write it is to write the settings."""
    policy = Policy(default={"read": "allow", "write": "allow", "write-unfiltered": "allow"}, catalogs=Shelf(), settings=Settings())
    found = policy.on_judge(JudgeHook(SESSION, Statement(SETS[2]), SETS[2]))
    assert isinstance(found, Deny) and "server-config" in found.reason
