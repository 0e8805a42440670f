"""What changes of the catalog overtake: statements that run, cursors, and commits that other workers must know of first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from addons.masking import Masking
from addons.masking.overtaken import only_reads
from addons.sql.settings import Settings
from gateway.control.errors import ControlUnavailable
from protocols.command import Statement
from protocols.hooks import ClosedHook, ColumnsHook, DecidedHook, LeavingHook, OutcomeHook, RewriteHook
from protocols.result import NULL, Column, Columns, Ending, Outcome
from protocols.session import Session
from protocols.verdict import Allow, Decision
from tests.masking.shelf import COLUMNS, Shelf, ask, decision, done, session
from tests.sql.little import snapshot


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(snapshot())


@pytest.fixture
def addon(shelf: Shelf) -> Masking:
    return Masking(columns=COLUMNS, catalogs=shelf, functions=["public.listed"])


def overtaken(addon: Masking, between: Any, sql: str = "SELECT upper(code) FROM departments") -> Any:
    """The plan of a result when something happens between its statement's decision and its first row."""
    decided = decision(sql)
    addon.on_decided(DecidedHook(session(), decided))
    between()
    return addon.on_columns(ColumnsHook(session(), decided, Columns((Column("upper", 0, 0, 25),))))


@pytest.mark.parametrize("other", ["a session", "a worker"])
def test_a_result_that_ddl_overtook_is_masked_whole(shelf: Shelf, addon: Masking, other: str) -> None:
    """Its names were judged by what they meant before; the wire does not say of what an expression is."""
    who = session(name="another")
    ddl = {"a session": lambda: done(addon, "CREATE OR REPLACE VIEW v AS SELECT 1", who=who), "a worker": lambda: shelf.doubt(who)}
    found = overtaken(addon, ddl[other])
    assert found.cells == (NULL,) and found.alarm == "the catalog changed between the decision and the result"
    ask(addon, "SELECT 1")
    assert overtaken(addon, lambda: None) is None, "decided again, by a newer catalog"


def test_what_a_session_changes_itself_does_not_mask_its_own_results(addon: Masking) -> None:
    """A pipeline of CREATE TABLE and SELECT is decided before either has run."""
    assert overtaken(addon, lambda: done(addon, "CREATE TABLE made (a int)")) is None


@pytest.mark.parametrize("what", ["nothing", "a reading", "a temporary table"])
def test_what_changes_nothing_for_a_session_does_not_mask_its_results(shelf: Shelf, addon: Masking, what: str) -> None:
    who = session(name="another")
    happens = {
        "nothing": lambda: done(addon, "SELECT 1", who=who), "a reading": lambda: shelf.refresh(who),
        "a temporary table": lambda: done(addon, "CREATE TEMP TABLE t (a int)", who=who),
    }  # fmt: skip
    assert overtaken(addon, happens[what]) is None


def test_a_decision_by_a_catalog_that_was_old_already_masks_its_result(shelf: Shelf, addon: Masking) -> None:
    """DDL that was heard of while the catalog was being read."""
    shelf.doubt(session(name="another"))
    assert overtaken(addon, lambda: None).cells == (NULL,)
    assert addon.standing(session()) != addon.standing(session()), "so nothing of it is remembered"


def test_a_result_that_comes_before_the_news_of_a_commit_is_masked(addon: Masking) -> None:
    """The server lets go of its locks before it says that it committed."""
    who, commit = session(name="another"), decision("COMMIT")
    done(addon, "CREATE OR REPLACE VIEW v AS SELECT 1", "T", who)
    assert overtaken(addon, lambda: None) is None, "nothing is committed yet"
    assert overtaken(addon, lambda: addon.on_decided(DecidedHook(who, commit))).cells == (NULL,)


def test_a_result_that_comes_while_another_worker_commits_is_masked(addon: Masking, shelf: Shelf) -> None:
    """Its news has further to go than the rows."""
    shelf.elsewhere = lambda _session: True
    assert overtaken(addon, lambda: None).cells == (NULL,)
    shelf.elsewhere = lambda _session: False
    assert overtaken(addon, lambda: None) is None


class Told(Shelf):
    """Other workers that say that they know when they are made to."""

    def __init__(self) -> None:
        super().__init__(snapshot())
        self.knows: Deferred[None] = Deferred()
        self.said: list[str] = []

    def commit_begins(self, session: Session) -> Deferred[None]:
        self.said.append(f"{session.id} begins")
        return self.knows

    def commit_ended(self, session: Session) -> None:
        self.said.append(f"{session.id} ended")

    def doubt(self, session: Session) -> None:
        self.said.append("changed")
        super().doubt(session)


def leaving(addon: Masking, decided: Decision, who: Session | None = None) -> list[Any]:
    """What it is answered, when it is."""
    found: list[Any] = []
    answer = addon.on_leaving(LeavingHook(who or session(), decided))
    answer.addBoth(found.append) if isinstance(answer, Deferred) else found.append(answer)
    return found


COMMITTING = ["CREATE OR REPLACE VIEW v AS SELECT 1", "ALTER TABLE t RENAME a TO b", "DO $$BEGIN EXECUTE 'x'; END$$"]


@pytest.mark.parametrize("text", COMMITTING, ids=["a view", "a rename", "a block"])
def test_what_may_change_the_meaning_of_names_is_sent_when_every_worker_knows(text: str) -> None:
    shelf = Told()
    addon, decided = Masking(columns=COLUMNS, catalogs=shelf), decision(text)
    answered = leaving(addon, decided, session("privacy"))
    assert answered == [] and shelf.said == ["s1 begins"]
    shelf.knows.callback(None)
    assert answered == [None]
    addon.on_decided(DecidedHook(session("privacy"), decided))
    addon.on_outcome(OutcomeHook(session("privacy"), decided, Outcome(Ending.COMPLETE, transaction="I")))
    assert shelf.said == ["s1 begins", "changed", "s1 ended"]


def test_a_commit_is_announced_by_whoever_changed_something() -> None:
    shelf = Told()
    addon = Masking(columns=COLUMNS, catalogs=shelf)
    assert leaving(addon, decision("COMMIT")) == [None]
    done(addon, "ALTER TABLE t ADD COLUMN a int", "T")
    assert leaving(addon, decision("SELECT 1")) == [None] and shelf.said == []
    assert leaving(addon, decision("COMMIT")) == [] and shelf.said == ["s1 begins"]


def test_a_commit_that_other_workers_cannot_be_told_of_is_not_sent() -> None:
    shelf = Told()
    addon, decided = Masking(columns=COLUMNS, catalogs=shelf), decision(COMMITTING[0])
    [answered] = [leaving(addon, decided)]
    shelf.knows.errback(ControlUnavailable("away"))
    assert answered[0].code == "OST-531"
    addon.on_decided(DecidedHook(session(), replace(decided, verdict=answered[0])))
    assert shelf.said == ["s1 begins", "s1 ended"]


def test_what_was_said_of_a_commit_holds_until_it_has_ended() -> None:
    """An earlier command of the same pipeline that ends takes nothing back."""
    shelf = Told()
    addon, first, second = Masking(columns=COLUMNS, catalogs=shelf), decision(COMMITTING[0]), decision(COMMITTING[1])
    shelf.knows.callback(None)
    leaving(addon, first)
    addon.on_decided(DecidedHook(session(), first))
    leaving(addon, second)
    addon.on_outcome(OutcomeHook(session(), first, Outcome(Ending.COMPLETE, transaction="I")))
    addon.on_decided(DecidedHook(session(), second))
    assert shelf.said == ["s1 begins", "changed"]
    addon.on_closed(ClosedHook(session()))
    assert shelf.said == ["s1 begins", "changed", "changed", "s1 ended"]


def test_where_nothing_is_masked_no_commit_waits() -> None:
    shelf = Told()
    addon = Masking(columns=[{**COLUMNS[0], "databases": ["other"]}], catalogs=shelf)
    assert leaving(addon, decision(COMMITTING[0])) == [None] and shelf.said == []


def test_what_a_reload_finds_running_is_known_to_be_overtaken(shelf: Shelf) -> None:
    """The chain that decided it is gone; and so is the one that knew of a commit under way, or of a cursor."""
    settings = Settings()
    before, after = (Masking(columns=COLUMNS, catalogs=shelf, settings=settings) for _ in range(2))
    running, declared = decision("SELECT upper(code) FROM departments"), decision("DECLARE c CURSOR FOR SELECT upper(code) FROM departments")
    for each in (running, declared):
        before.on_decided(DecidedHook(session(), each))
    commit = decision(COMMITTING[0])
    before.on_decided(DecidedHook(session(name="another"), commit))
    assert overtaken(after, lambda: None).cells == (NULL,), "the commit is under way"
    after.on_outcome(OutcomeHook(session(name="another"), commit, Outcome(Ending.COMPLETE, transaction="I")))
    assert after.on_columns(ColumnsHook(session(), running, Columns((Column("upper", 0, 0, 25),)))).cells == (NULL,)
    after.on_outcome(OutcomeHook(session(), declared, Outcome(Ending.COMPLETE, transaction="T")))
    ask(after, "SELECT 1")
    assert overtaken(after, lambda: None, "FETCH ALL FROM c").cells == (NULL,)


def test_a_cursor_that_is_read_in_the_pipeline_that_declares_it_shows_nothing_that_ddl_overtook(shelf: Shelf, addon: Masking) -> None:
    """FETCH may be decided by the new catalog, and its rows come before the word that DECLARE has ended."""
    addon.on_decided(DecidedHook(session(), decision("DECLARE c CURSOR FOR SELECT upper(code) FROM departments")))
    assert overtaken(addon, lambda: None, "FETCH ALL FROM c") is None
    shelf.doubt(session(name="another"))
    shelf.refresh(session())
    assert overtaken(addon, lambda: None, "FETCH ALL FROM c").cells == (NULL,)


def test_what_is_asked_while_another_worker_commits_is_decided_by_what_it_committed(addon: Masking, shelf: Shelf) -> None:
    """Whoever was told that it is committed reads by it, in whatever worker."""
    waiting: Deferred[None] = Deferred()
    shelf.elsewhere, shelf.over = (lambda _session: not waiting.called), lambda _session: waiting
    assert addon.standing(session()) != addon.standing(session()), "nothing is remembered meanwhile"
    found = addon.on_rewrite(RewriteHook(session(), Statement("SELECT code FROM departments")))
    assert isinstance(found, Deferred) and shelf.asked == 0
    waiting.callback(None)
    assert isinstance(found.result, Allow) and shelf.asked == 1


def test_a_cursor_that_ddl_overtook_shows_nothing(shelf: Shelf, addon: Masking) -> None:
    declared = decision("DECLARE c CURSOR FOR SELECT upper(code) FROM departments")
    addon.on_decided(DecidedHook(session(), declared))
    shelf.doubt(session(name="another"))
    addon.on_outcome(OutcomeHook(session(), declared, Outcome(Ending.COMPLETE, transaction="T")))
    ask(addon, "SELECT 1")
    fetched = overtaken(addon, lambda: None, "FETCH ALL FROM c")
    assert fetched.cells == (NULL,) and fetched.withheld is None


@pytest.mark.parametrize(("text", "reads"), [
    ("SELECT 1", True), ("COPY (SELECT 1) TO STDOUT", True), ("COPY t TO STDOUT", True), ("SELECT 1; SELECT 2", False), ("UPDATE t SET a = 1", False),
    ("WITH w AS (DELETE FROM t RETURNING 1) SELECT 1", False), ("COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT", False), ("EXECUTE p", False),
    ("SELECT 1 INTO t", False), ("SELEC", False),
])  # fmt: skip
def test_only_what_certainly_wrote_nothing_ends_in_an_error(text: str, reads: bool) -> None:
    """Of anything else its client would believe that it was undone."""
    assert only_reads(text) is reads


def test_a_copy_that_was_overtaken_is_withheld_whole(addon: Masking, shelf: Shelf) -> None:
    """It has no columns to mask."""
    found = overtaken(addon, lambda: shelf.doubt(session(name="other")), "COPY (SELECT code FROM departments) TO STDOUT")
    assert found.withheld.code == "OST-528"
