"""People's yes: it is for the question that they were asked, and for no other that the command has become while it was held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from addons.sql.settings import Settings
from gateway.control.request import trace
from gateway.lists import Lists
from gateway.pipeline import Pipeline
from gateway.premises import Premises
from gateway.request import binding
from protocols.command import FunctionCall, Path, Statement
from protocols.session import Session
from protocols.verdict import Allow, Decision, Deny, Hold, Replace
from tests.gateway.test_pipeline import SESSION, Approvers, Said, deny
from tests.sql import little
from tests.sql.test_meaning import function, having, relation

UPDATE = Statement("UPDATE same SET ssn = 'x'")
HOLD = Hold("rule", "it writes", frozenset({"dba"}))
MOVED = having(little.snapshot(), replace(relation("same"), definition="SELECT id, mrn AS ssn FROM public.patients"))
ELSEWHERE = having(little.snapshot(), replace(relation("departments"), name="renamed"))


@dataclass
class Catalogs:
    """What is there, and what was read of it."""

    there: Any = field(default_factory=little.snapshot)
    read: Any = None
    down: bool = False
    old: bool = False
    looks: int = 0

    def snapshot(self, _session: Session) -> Any:
        return self.read

    def stale(self, _session: Session) -> bool:
        return self.old

    def refresh(self, _session: Session) -> Deferred[Any]:
        if self.down:
            return fail(ConnectionRefusedError("078-05-1120"))
        self.read, self.old = self.there, False
        return succeed(self.read)

    def over(self, _session: Session) -> Deferred[None]:
        return succeed(None)

    def current(self, session: Session) -> Deferred[bool]:
        self.looks += 1
        return succeed(False) if self.down else self.refresh(session).addCallback(lambda _: True)


class Answering(Said):
    """As another addon, with something that its answers rest on."""

    rests_on: Any = 0

    def standing(self, _session: Session) -> Any:
        return self.rests_on


class Asked:
    """A command that is held, and what becomes of it."""

    def __init__(self, addon: Any, command: Any = UPDATE, state: str = "pending") -> None:
        self.catalogs, self.settings, self.approvers, self.addon = Catalogs(), Settings(), Approvers(state), addon
        self.results: list[Decision] = []
        pipeline = Pipeline([addon], self.approvers, Clock(), premises=Premises(self.catalogs, self.settings))
        self.whole = pipeline.decide(SESSION, command, lambda *_: None)
        self.whole.addBoth(self.results.append) if isinstance(self.whole, Deferred) else self.results.append(self.whole)

    def granted(self) -> Decision:
        assert not self.results
        self.approvers.waiting.callback({"state": "granted", "grant": "g9", "by": "bob"})
        return self.results[0]


def refused(asked: Any) -> Deny:
    """What came of it, with nobody to wait for."""
    results: list[Any] = []
    asked.addBoth(results.append)
    return deny(results[0])


def says(first: Any, then: Any) -> Callable[[Any], Any]:
    """First this, later that."""
    answers = [first]
    return lambda _hook: answers.pop() if answers else then


def test_what_has_not_changed_passes_and_nobody_is_asked_twice() -> None:
    """The catalog is looked at once more, since somebody may have changed it around the gateway."""
    asked = Asked(Answering(judge=says(HOLD, Deny("twice"))))
    decision = asked.granted()
    assert (decision.verdict, decision.grant) == (Allow("rule", remember=False), "g9") and asked.catalogs.looks == 1
    assert decision.binding == asked.approvers.submitted[0]["binding"]


def test_what_would_be_refused_now_is_refused_with_its_own_code() -> None:
    asked = Asked(Answering(judge=says(HOLD, Deny("not that table", "OST-203", "mine"))))
    asked.addon.rests_on = 1
    decision = asked.granted()
    assert deny(decision).code == "OST-203" and deny(decision).reason == "not that table; that has changed while it was held"
    assert (decision.grant, decision.request, decision.rule) == ("", "r1", "mine")


@pytest.mark.parametrize(
    "then", [None, Replace("UPDATE other"), replace(HOLD, rule="another"), replace(HOLD, reason="more"), replace(HOLD, quorum=2), replace(HOLD, approvers=frozenset({"ciso"}))],
    ids=["allowed", "rewritten", "rule", "reason", "quorum", "approvers"],
)  # fmt: skip
def test_what_would_be_another_question_now_spends_nothing(then: Any) -> None:
    """Also where nobody would be asked any more: people said yes to something else."""
    if isinstance(then, Replace):
        asked = Asked(Answering(rewrite=says(None, then), judge=HOLD))
    else:
        asked = Asked(Answering(judge=says(HOLD, then)))
    asked.addon.rests_on = 1
    decision = asked.granted()
    assert deny(decision).code == "OST-309" and decision.grant == ""


def test_what_means_something_else_now_spends_nothing_though_all_addons_say_the_same() -> None:
    asked = Asked(Answering(judge=HOLD))
    asked.catalogs.there = MOVED
    assert deny(asked.granted()).code == "OST-309"


def test_what_changed_elsewhere_is_nothing_to_it() -> None:
    asked = Asked(Answering(judge=HOLD))
    asked.catalogs.there, asked.addon.rests_on = ELSEWHERE, 1
    assert asked.granted().grant == "g9"


def test_what_cannot_be_looked_at_again_does_not_run() -> None:
    asked = Asked(Answering(judge=HOLD))
    asked.catalogs.down = True
    assert deny(asked.granted()).code == "OST-309"


def test_nobody_is_asked_about_what_cannot_be_looked_up(caplog: Any) -> None:
    """And the log holds no value."""
    catalogs = Catalogs(down=True)
    approvers = Approvers()
    decision = Pipeline([Said(judge=HOLD)], approvers, Clock(), premises=Premises(catalogs, Settings())).decide(SESSION, UPDATE, lambda *_: None)
    assert refused(decision).code == "OST-309" and not approvers.submitted and "078-05" not in caplog.text


def test_a_client_that_leaves_while_the_catalog_is_looked_at_takes_its_command_with_it() -> None:
    asked = Asked(Answering(judge=HOLD))
    look: Deferred[bool] = Deferred()
    asked.catalogs.current = lambda _session: look  # type: ignore[method-assign]
    asked.approvers.waiting.callback({"state": "granted", "grant": "g9", "by": "bob"})
    assert not asked.results
    asked.whole.cancel()
    assert deny(asked.results[0]).sqlstate == "57014" and asked.results[0].grant == ""


def test_a_retry_is_judged_anew_when_something_moves_before_its_yes_comes() -> None:
    """It was judged a moment ago, so the catalog is not looked at again. The answer that is not used goes back."""
    submitted: Deferred[Any] = Deferred()
    asked = Asked(Answering(judge=says(replace(HOLD, mode="retry"), Deny("no", "OST-203"))), state=submitted)  # type: ignore[arg-type]
    asked.addon.rests_on = 1
    submitted.callback({"state": "granted", "request": "r1", "grant": "g1"})
    assert deny(asked.results[0]).code == "OST-203" and asked.catalogs.looks == 0 and asked.approvers.withdrawn == ["r1"]


# -- what an answer is bound to ------------------------------------------------------------------


def bound(command: Any, catalogs: Catalogs | None = None, settings: Settings | None = None) -> bytes:
    approvers = Approvers()
    Pipeline([Said(judge=HOLD)], approvers, Clock(), premises=Premises(catalogs or Catalogs(), settings or Settings())).decide(SESSION, command, lambda *_: None)
    found: bytes = approvers.submitted[0]["binding"]
    return found


def on(path: str) -> Settings:
    settings = Settings()
    settings.start(SESSION, path)
    return settings


def allowed(settings: Settings, text: str) -> Settings:
    """Somebody's session has run this."""
    command = Statement(text)
    settings.decided(SESSION, Decision(command, Allow(), text), "Policy")
    return settings


def test_a_yes_is_bound_to_the_search_path() -> None:
    assert bound(UPDATE, settings=on("public")) == bound(UPDATE, settings=on("public")) != bound(UPDATE, settings=on("other"))
    assert bound(UPDATE) != binding(SESSION, UPDATE, UPDATE.text)


TWIN = Statement("UPDATE twin SET secret = 'x'")


def test_what_people_say_yes_to_is_sent_with_the_schemas_of_names_that_only_the_path_tells_apart() -> None:
    for path in ("public", "other"):
        approvers = Approvers("granted")
        decided = Pipeline([Said(judge=HOLD)], approvers, Clock(), premises=Premises(Catalogs(), on(path))).decide(SESSION, TWIN, lambda *_: None)
        results: list[Decision] = []
        decided.addBoth(results.append)
        (asked,) = approvers.submitted
        assert (asked["text"], asked["sent"]) == (TWIN.text, f"UPDATE {path}.twin SET secret = 'x'") and results[0].sent == asked["sent"]


SETTING = having(little.snapshot(), replace(function("listed"), language="plpgsql", body="BEGIN SET search_path = other; END"), revision="setting")
"""Somebody's code may set the path, and nobody has called it that is known of."""


@pytest.mark.parametrize(
    "command", [replace(TWIN, path=Path.BIND), replace(TWIN, text=f"{TWIN.text}; {TWIN.text}"), Statement("EXECUTE p")], ids=["bind", "string", "execute"]
)
def test_what_is_left_to_the_path_is_not_asked_about_to_be_spent_later(command: Statement) -> None:
    """By names without schemas that several have, where there is any code that may set it; with their schemas it is."""
    plain = "UPDATE public.twin SET secret = 'x'"
    for text, known, code in ((TWIN.text, SETTING, "OST-310"), (plain, SETTING, "OST-301"), (TWIN.text, little.snapshot(), "OST-301")):
        settings = allowed(on("public"), f"PREPARE p AS {text}")
        asked = replace(command, text=command.text.replace(TWIN.text, text))
        premises = Premises(Catalogs(known), settings)
        decided = Pipeline([Said(judge=replace(HOLD, mode="retry"))], Approvers(), Clock(), premises=premises).decide(SESSION, asked, lambda *_: None)
        assert refused(decided).code == code


def test_a_yes_is_bound_to_what_its_names_mean_by_the_newest_catalog() -> None:
    """Where a change was heard of, it is read first."""
    assert bound(UPDATE) != bound(UPDATE, Catalogs(MOVED)) == bound(UPDATE, Catalogs(MOVED, little.snapshot(), old=True))
    assert bound(UPDATE) == bound(UPDATE, Catalogs(ELSEWHERE))
    assert bound(FunctionCall(30000)) != bound(FunctionCall(30001))


def test_a_yes_to_a_name_is_bound_to_what_it_stands_for() -> None:
    one, other = (allowed(Settings(), f"PREPARE p AS UPDATE same SET ssn = '{value}'") for value in "ab")
    execute = Statement("EXECUTE p")
    assert bound(execute, settings=one) != bound(execute, settings=other)
    assert bound(execute, Catalogs(MOVED), one) != bound(execute, settings=one), "and to what that means"


@pytest.mark.parametrize("mode", ["retry", "hold"])
def test_what_cannot_be_told_from_another_question_is_asked_only_where_it_waits(mode: str) -> None:
    settings = allowed(on("public"), "SELECT set_config('search_path', x, false) FROM t")
    assert settings.search_path(SESSION) is None
    approvers, command = Approvers(), replace(UPDATE, path=Path.SIMPLE)
    decision = Pipeline([Said(judge=replace(HOLD, mode=mode))], approvers, Clock(), premises=Premises(Catalogs(), settings)).decide(SESSION, command, lambda *_: None)
    if mode == "retry":
        verdict = refused(decision)
        assert verdict.code == "OST-310" and "SET search_path" in verdict.hint and not approvers.submitted
    else:
        assert approvers.submitted


@pytest.mark.parametrize("state", ["granted", "pending"])
def test_the_next_statement_of_a_list_needs_no_path_but_is_never_left_to_be_spent_later(state: str) -> None:
    """Its yes is for the text, and spent at once. Where control does not give it, what was asked is taken back."""
    settings, lists, approvers = allowed(on("public"), "SELECT set_config('search_path', x, false) FROM t"), Lists(), Approvers(state)
    lists.known["r1"] = ("ada", "clinic", "app", "clinic", trace(UPDATE.text))
    chain = Pipeline([Said(judge=replace(HOLD, mode="retry"))], approvers, Clock(), lists, Premises(Catalogs(), settings))
    results: list[Any] = []
    chain.decide(SESSION, UPDATE, lambda *_: None).addBoth(results.append)
    if state == "granted":
        assert results[0].grant == "g1" and not approvers.withdrawn
    else:
        assert deny(results[0]).code == "OST-310" and approvers.withdrawn == ["r1"]
