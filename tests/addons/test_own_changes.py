"""What a session's open transaction changed: how long it is remembered, and what rests on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from addons.policy import Policy
from addons.sql.catalog import Snapshot, build
from addons.sql.flux import changed_by, spoken
from addons.sql.kinds import CLASSES
from addons.sql.settings import Settings
from protocols.command import FunctionCall, Path, Statement, Transaction
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny
from tests.gateway.test_catalog import ROWS
from tests.masking.gate import OneWorker

SQL = ("f", "v", "sql", "f", "f", "23", "", "0", "f")
CODE = ("f", "v", "plpgsql", "f", "f", "23", "", "0", "f")
SNAPSHOT = build(ROWS | {"functions": [
    ("20100", "public", "calm", *SQL, "SELECT 1"), ("20101", "public", "around", *SQL, "SELECT calm()"),
    ("20102", "public", "swap", *CODE, "BEGIN EXECUTE 'x'; END"), ("20103", "public", "quiet", *CODE, "BEGIN RETURN 1; END"),
    ("20104", "public", "upserts", *CODE, "BEGIN INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING; RETURN 1; END"),
    ("20105", "public", "deep", *CODE, "BEGIN PERFORM swap(); END"),
]})  # fmt: skip
DEFAULT = dict.fromkeys(("read", "write", "ddl", "ddl-destructive", "procedural", "transaction", "session", "privilege", "program"), "allow")
SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")
MAKES = "CREATE OR REPLACE FUNCTION calm() RETURNS int LANGUAGE sql AS 'SELECT 2'"


class Shelf(OneWorker):
    """A catalog that can be read again, or not."""

    def __init__(self) -> None:
        self.readable = True

    def snapshot(self, _session: Session) -> Snapshot:
        return SNAPSHOT

    def refresh(self, _session: Session) -> Deferred[Snapshot]:
        if not self.readable:
            return fail(OSError())
        self.settled = self.doubts
        return succeed(SNAPSHOT)


class Talk:
    """A session with one addon."""

    def __init__(self, **more: object) -> None:
        self.shelf, self.settings = Shelf(), Settings()
        self.more = {"default": DEFAULT, **more}
        self.reload()

    def reload(self) -> None:
        self.policy = Policy(catalogs=self.shelf, settings=self.settings, **self.more)

    def ask(self, text: str, path: Path = Path.SIMPLE, **more: object) -> Allow | Deny:
        answer = self.policy.on_judge(JudgeHook(SESSION, Statement(text, path, **more), text))
        answers: list[Allow | Deny] = []
        if isinstance(answer, Deferred):
            answer.addCallback(answers.append)
        return answers[0] if answers else answer

    def send(self, text: str, path: Path = Path.SIMPLE, **more: object) -> Decision:
        verdict = self.ask(text, path, **more)
        assert isinstance(verdict, Allow), verdict
        decision = Decision(Statement(text, path, **more), verdict, text)
        self.policy.on_decided(DecidedHook(SESSION, decision))
        return decision

    def end(self, decision: Decision, transaction: str = Transaction.OPEN, ending: Ending = Ending.COMPLETE) -> None:
        self.policy.on_outcome(OutcomeHook(SESSION, decision, Outcome(ending, transaction=transaction)))

    def did(self, text: str, transaction: str = Transaction.OPEN, **more: object) -> None:
        self.end(self.send(text, **more), transaction)


@pytest.fixture
def talk() -> Talk:
    return Talk()


def code(verdict: Allow | Deny) -> str:
    return verdict.code if isinstance(verdict, Deny) else ""


def test_it_is_unknown_until_the_transaction_ends_and_the_catalog_is_read_again(talk: Talk) -> None:
    talk.did(MAKES)
    assert code(talk.ask("SELECT calm()")) == code(talk.ask("SELECT around()")) == "OST-217"
    talk.did("ROLLBACK TO SAVEPOINT s")
    assert code(talk.ask("SELECT calm()")) == "OST-217"
    talk.did("COMMIT", Transaction.IDLE)
    assert talk.shelf.stale(SESSION)
    assert code(talk.ask("SELECT calm()")) == "" and not talk.shelf.stale(SESSION)


def test_ddl_is_known_to_policy_alone_too(talk: Talk) -> None:
    """Without masking nobody else tells that the catalog has to be read again."""
    talk.did(MAKES, Transaction.IDLE)
    assert talk.shelf.doubts == 1 and talk.shelf.stale(SESSION)


def test_a_catalog_that_cannot_be_read_after_ddl_is_not_taken_for_the_old_one(talk: Talk) -> None:
    talk.did(MAKES, Transaction.IDLE)
    talk.shelf.readable = False
    assert code(talk.ask("SELECT calm()")) == "OST-205"


def test_a_session_that_ends_has_its_changes_looked_at(talk: Talk) -> None:
    talk.did(MAKES)
    talk.policy.on_closed(ClosedHook(SESSION))
    assert talk.shelf.doubts == 1


def test_what_a_pipeline_sent_behind_a_commit_stays_unknown(talk: Talk) -> None:
    """The word that the first transaction ended says nothing of the second's changes."""
    first = talk.send("SELECT 1")
    second = talk.send(MAKES, pipelined=True)
    talk.end(first, Transaction.IDLE)
    assert code(talk.ask("SELECT calm()")) == "OST-217"
    talk.end(second, Transaction.IDLE)
    assert code(talk.ask("SELECT calm()")) == ""


def test_commit_and_chain_lets_nothing_through(talk: Talk) -> None:
    talk.did(MAKES)
    talk.did("COMMIT AND CHAIN")
    assert code(talk.ask("SELECT calm()")) == "OST-217"


COMMITTING = {
    "one string": "BEGIN; {}; COMMIT; BEGIN", "chain": "{}|COMMIT AND CHAIN", "a comment": "{}|COMMIT/**/AND CHAIN", "end": "{}|END AND CHAIN",
    "begin behind it": "{}|COMMIT; BEGIN", "savepoint": "SAVEPOINT a; {}|RELEASE a|COMMIT AND CHAIN", "code": "{}|CALL p()", "block": "{}|DO 'BEGIN COMMIT; END'",
    "prepared": "{}|PREPARE TRANSACTION 'x'; BEGIN", "at once": "{}|VACUUM",
}


@pytest.mark.parametrize("texts", COMMITTING.values(), ids=COMMITTING)
@pytest.mark.parametrize("status", [Transaction.OPEN, Transaction.FAILED, ""], ids=["open", "failed", "unsaid"])
def test_what_may_be_committed_is_news_whatever_status_follows(texts: str, status: str) -> None:
    """Its session is in a transaction all the same, and what that did is unknown as before."""
    talk = Talk(default=dict.fromkeys(CLASSES, "allow"))
    for text in texts.format(MAKES).split("|"):
        talk.did(text, status)
    assert talk.shelf.doubts == 1 and talk.settings.underway.of(SESSION) is not None
    talk.did("ROLLBACK", Transaction.IDLE)
    assert talk.shelf.doubts == 2 and talk.settings.underway.of(SESSION) is None


@pytest.mark.parametrize("text", ["SELECT CASE WHEN true THEN 1 END", "ROLLBACK TO SAVEPOINT s", "ROLLBACK AND CHAIN", MAKES, "CREATE VIEW v AS SELECT CASE WHEN true THEN 1 END"], ids=["select", "savepoint", "rollback", "function", "view"])
def test_what_surely_commits_nothing_has_no_catalog_read(text: str) -> None:
    """A migration in one transaction has it read once."""
    talk = Talk(default=dict.fromkeys(CLASSES, "allow"))
    talk.did(MAKES)
    talk.did(text)
    assert talk.shelf.doubts == 0


def test_a_prepared_transaction_that_is_committed_is_news(talk: Talk) -> None:
    talk.did(MAKES)
    talk.did("PREPARE TRANSACTION 'x'", Transaction.IDLE)
    talk.ask("SELECT 1")
    talk.did("COMMIT PREPARED 'x'", Transaction.IDLE)
    assert talk.shelf.stale(SESSION)


def test_a_reload_forgets_nothing(talk: Talk) -> None:
    talk.did(MAKES)
    talk.reload()
    assert code(talk.ask("SELECT calm()")) == "OST-217"
    talk.did("COMMIT", Transaction.IDLE)
    assert talk.shelf.stale(SESSION)


def test_answers_that_are_remembered_rest_on_it(talk: Talk) -> None:
    assert talk.ask("SELECT calm()").remember
    before = talk.policy.standing(SESSION)
    talk.did(MAKES)
    assert talk.policy.standing(SESSION) != before


def test_a_fast_path_call_of_a_replaced_function_is_not_judged_by_the_old_one(talk: Talk) -> None:
    call = FunctionCall(20100, ())
    assert code(talk.policy.on_judge(JudgeHook(SESSION, call, ""))) == ""
    talk.did(MAKES)
    assert code(talk.policy.on_judge(JudgeHook(SESSION, call, ""))) == "OST-217"


def test_a_fast_path_call_that_may_run_ddl_makes_others_unknown() -> None:
    talk = Talk(rules=[{"name": "may", "classes": ["function-unlisted"], "functions": ["swap"], "verdict": "allow"}])
    call = FunctionCall(20102, ())
    verdict = talk.policy.on_judge(JudgeHook(SESSION, call, ""))
    talk.policy.on_decided(DecidedHook(SESSION, Decision(call, verdict, "")))
    assert isinstance(verdict, Allow) and code(talk.ask("SELECT calm()")) == "OST-217"


def test_a_portal_that_was_judged_before_is_not_run_after(talk: Talk) -> None:
    """Whatever order the portals run in: what was bound and not read to its end may run next."""
    bound = talk.send("SELECT calm()", Path.BIND, portal="p")
    assert code(talk.ask(MAKES)) == "OST-217" and code(talk.ask("CREATE TABLE x (id int)")) == ""
    talk.end(bound)
    assert code(talk.ask(MAKES)) == ""
    talk.send("SELECT calm()", Path.BIND)
    assert code(talk.ask(MAKES, Path.BIND, portal="other")) == "OST-217"
    assert code(talk.ask(MAKES, Path.BIND)) == "" and code(talk.ask(MAKES)) == "", "the unnamed portal is gone by then"


def test_portals_end_with_their_transaction(talk: Talk) -> None:
    talk.send("SELECT calm()", Path.BIND, portal="p")
    talk.did("COMMIT", Transaction.IDLE)
    assert code(talk.ask(MAKES)) == ""


@pytest.mark.parametrize(("function", "after"), [("swap", "OST-217"), ("deep", "OST-217"), ("quiet", ""), ("upserts", "")])
def test_functions_that_may_run_ddl_make_others_unknown(function: str, after: str) -> None:
    talk = Talk(rules=[{"name": "may", "classes": ["function-unlisted"], "functions": ["swap", "deep", "quiet", "upserts"], "verdict": "allow"}])
    talk.did("BEGIN")
    talk.did(f"SELECT {function}()")
    assert code(talk.ask("SELECT calm()")) == after
    talk.did("COMMIT", Transaction.IDLE)
    assert code(talk.ask("SELECT calm()")) == ""


def test_listed_functions_are_taken_at_the_operators_word() -> None:
    talk = Talk(functions=["swap", "calm"])
    talk.did("SELECT swap()")
    talk.did(MAKES)
    assert code(talk.ask("SELECT calm()")) == code(talk.ask("SELECT around()")) == ""


def test_relations_are_still_what_they_were_made_of() -> None:
    talk = Talk(rules=[{"name": "no", "relations": ["patients"], "classes": ["write"], "verdict": "deny"}])
    talk.did("CREATE TABLE fresh (id int)")
    assert code(talk.ask("DELETE FROM fresh WHERE id = 1")) == ""
    talk.did("ALTER TABLE patients RENAME TO people")
    talk.did("ALTER TABLE people RENAME TO folk")
    assert code(talk.ask("DELETE FROM folk WHERE id = 1")) == "OST-203"
    assert code(talk.ask("SELECT 1 FROM folk")) == code(talk.ask("DELETE FROM fresh WHERE id = 1")) == ""


@pytest.mark.parametrize("text", [
    "SELECT 1", "BEGIN", "INSERT INTO t VALUES (1)", "PREPARE p AS SELECT 1", "TRUNCATE t", "REFRESH MATERIALIZED VIEW m", "EXPLAIN CREATE TABLE t AS SELECT 1",
    "VACUUM ANALYZE t", "REINDEX TABLE t", "COMMENT ON TABLE t IS 'x'", "GRANT SELECT ON t TO PUBLIC",
])  # fmt: skip
def test_most_statements_change_nothing(text: str) -> None:
    assert (changed_by(text) is None) == ("CREATE" not in text)


def test_code_is_taken_for_what_its_words_may_mean() -> None:
    assert spoken("BEGIN RETURN 1; END") is None
    assert spoken("BEGIN EXECUTE x; END").unseen and spoken("BEGIN DO $x$ x $x$; END").unseen
    made = spoken("BEGIN CREATE FUNCTION calm() RETURNS int LANGUAGE sql AS 'SELECT 1'; END")
    assert "calm" in made.routines and not made.unseen
    moved = spoken('BEGIN ALTER TABLE "Big" RENAME TO small; END')
    assert {"Big", "small"} <= {one.name for one in moved.relations}
    assert replace(spoken("BEGIN CREATE TYPE mood AS ENUM ('a'); END"), relations=frozenset()) == changed_by("DROP TABLE t")
