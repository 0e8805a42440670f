"""Rules that allow by the schemas of relations, and names that are written without one."""

from __future__ import annotations

import pytest

from addons.policy import Policy
from addons.sql.bearers import ANY, UNTOLD, place
from addons.sql.catalog import Snapshot, build
from addons.sql.finding import Finding
from addons.sql.flux import Flux, changed_by
from addons.sql.settings import Settings
from protocols.command import Path, Statement, Transaction
from protocols.hooks import DecidedHook, JudgeHook, OutcomeHook, RewriteHook
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Replace
from tests.gateway.test_catalog import ROWS
from tests.masking.gate import OneWorker

CODE = ("f", "v", "plpgsql", "f", "f", "23", "", "0", "f")


def catalog(*more: tuple[str, str]) -> Snapshot:
    """`reports` of two schemas, `staging` of one, a trigger on `watched`, and more."""
    named = [("public", "reports"), ("clinic", "reports"), ("public", "staging"), ("public", "patients"), ("public", "watched"), ("pg_catalog", "pg_class"), *more]
    rows = [(str(20000 + 2 * at), schema, name, "r", str(20001 + 2 * at)) for at, (schema, name) in enumerate(named)]
    functions = [
        ("30000", "public", "tempts", *CODE, "BEGIN CREATE TEMP TABLE staging (x int); RETURN 1; END"),
        ("30001", "public", "fires", *CODE, "BEGIN CREATE TEMP TABLE staging (x int); RETURN NEW; END"),
    ]
    return build(ROWS | {
        "schemas": [("public",), ("clinic",)], "relations": rows, "columns": [(oid, "1", "id", "23", "integer", "f", None, "f", "f") for oid, *_ in rows],
        "functions": functions, "triggers": [("20008", "30001")],
    })  # fmt: skip


SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 1), "rw", "clinicdb", "p")
LONG = ", ".join(map(str, range(1000)))
DEFAULT = dict.fromkeys(("transaction", "session", "procedural", "ddl"), "allow")
READS = {"name": "reads", "classes": ["read"], "relations": ["public.reports", "public.staging"], "verdict": "allow"}
WRITES = {"name": "writes", "classes": ["write", "write-unfiltered"], "relations": ["pg_temp.staging", "public.watched"], "verdict": "allow"}
OUR_OWN = {"name": "own", "classes": ["ddl-destructive"], "relations": ["reports"], "verdict": "allow"}


class Shelf(OneWorker):
    """A catalog that shows what the session committed, once it is told of."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.known = snapshot

    def snapshot(self, _session: Session) -> Snapshot:
        return self.known

    def stale(self, _session: Session) -> bool:
        return False


class Talk:
    """A session with one addon."""

    def __init__(self, snapshot: Snapshot | None = None, path: str = "public", **more: object) -> None:
        self.shelf, self.settings = Shelf(snapshot or catalog()), Settings()
        self.settings.start(SESSION, path)
        options = {"default": DEFAULT, "rules": [READS, WRITES, OUR_OWN], "functions": ["tempts"], "search_paths": ["clinic, public"], **more}
        self.policy = Policy(catalogs=self.shelf, settings=self.settings, **options)

    def ask(self, text: str, path: Path = Path.SIMPLE) -> str | Deny:
        """The text that is sent, or what is said instead."""
        statement = Statement(text, path)
        rewritten = self.policy.on_rewrite(RewriteHook(SESSION, statement))
        sent = rewritten.text if isinstance(rewritten, Replace) else text
        verdict = self.policy.on_judge(JudgeHook(SESSION, statement, sent))
        return sent if isinstance(verdict, Allow) else verdict

    def did(self, text: str, transaction: str = Transaction.IDLE) -> None:
        sent = self.ask(text)
        assert isinstance(sent, str), sent
        decision = Decision(Statement(text), Allow(), sent)
        self.policy.on_decided(DecidedHook(SESSION, decision))
        self.policy.on_outcome(OutcomeHook(SESSION, decision, Outcome(Ending.COMPLETE, transaction=transaction)))


def refused(answer: str | Deny) -> bool:
    return isinstance(answer, Deny) and "schema" in answer.hint


@pytest.mark.parametrize("path", [Path.SIMPLE, Path.PARSE, Path.BIND])
def test_a_name_is_allowed_as_what_the_search_path_makes_of_it_and_sent_so(path: Path) -> None:
    assert Talk(path="public").ask("SELECT id FROM reports", path) == "SELECT id FROM public.reports"
    assert isinstance(Talk(path="clinic, public").ask("SELECT id FROM reports", path), Deny)
    assert str(Talk().ask(f"SELECT id FROM reports WHERE id IN ({LONG})", path)).startswith("SELECT id FROM public.reports")
    assert isinstance(Talk(path="clinic, public").ask(f"SELECT id FROM reports WHERE id IN ({LONG})", path), Deny)
    assert Talk(path="clinic, public").ask("SELECT id FROM public.reports", path) == "SELECT id FROM public.reports"
    assert refused(Talk(path='"$user", public').ask("SELECT id FROM reports", path)), "the account may have a schema of its own"


def test_a_name_of_one_schema_and_one_that_a_rule_names_alone_stay_as_they_came() -> None:
    for path in ("public", "clinic, public"):
        for text in ("SELECT id FROM staging", "DROP TABLE reports", "WITH reports AS (SELECT 1) SELECT * FROM public.staging, reports"):
            assert Talk(path=path).ask(text) is text
    assert isinstance(Talk().ask("SELECT id FROM patients"), Deny)


def test_the_path_is_followed_as_the_session_goes() -> None:
    talk = Talk()
    talk.did("SELECT id FROM reports")
    talk.did("SET search_path = clinic, public")
    assert isinstance(talk.ask("SELECT id FROM reports"), Deny)
    talk.did("SET search_path = public")
    assert talk.ask("SELECT id FROM reports") == "SELECT id FROM public.reports"
    talk.did("BEGIN", Transaction.OPEN)
    talk.did("SET LOCAL search_path = clinic, public", Transaction.OPEN)
    assert isinstance(talk.ask("SELECT id FROM reports"), Deny)
    talk.did("ROLLBACK")
    assert talk.ask("SELECT id FROM reports") == "SELECT id FROM public.reports"


def test_a_string_that_may_move_the_path_has_to_name_schemas() -> None:
    assert refused(Talk().ask("SET search_path = clinic, public; SELECT id FROM reports"))
    text = "SET search_path = clinic, public; SELECT id FROM public.reports"
    assert Talk().ask(text) is text


def test_what_is_remembered_does_not_rest_on_a_path() -> None:
    """The way of statements that are asked again and again asks nobody: only what is allowed whatever names mean may take it."""
    talk = Talk()
    for text, remembered in (("SELECT id FROM staging", True), ("SELECT id FROM public.reports", True), ("SELECT id FROM reports", False)):
        answer = talk.policy.on_rewrite(RewriteHook(SESSION, Statement(text)))
        assert answer.remember is remembered


def test_an_allowance_for_a_temporary_relation_is_none_for_a_permanent_one() -> None:
    talk = Talk()
    assert talk.ask("DELETE FROM pg_temp.staging") == "DELETE FROM pg_temp.staging"
    assert refused(talk.ask("DELETE FROM staging"))
    talk.did("CREATE TEMP TABLE staging (id int)")
    assert refused(talk.ask("DELETE FROM staging")), "dropped in the meantime, the name would be the other's"


def test_an_allowance_for_a_permanent_relation_is_none_for_a_temporary_one() -> None:
    """A temporary view of that name may lead anywhere."""
    talk = Talk()
    assert talk.ask("SELECT id FROM staging") == "SELECT id FROM staging"
    talk.did("BEGIN", Transaction.OPEN)
    talk.did("CREATE TEMP TABLE staging (id int)", Transaction.OPEN)
    assert refused(talk.ask("SELECT id FROM staging"))
    assert talk.ask("SELECT id FROM public.staging") == "SELECT id FROM public.staging"
    talk.shelf.known = catalog(("pg_temp_7", "staging"))
    talk.did("COMMIT")
    assert refused(talk.ask("SELECT id FROM staging"))
    assert refused(Talk().ask("CREATE TEMP TABLE staging (id int); SELECT id FROM staging"))


def test_temporary_relations_of_other_sessions_mean_nothing() -> None:
    others = catalog(("pg_temp_7", "staging"), ("pg_temp_7", "reports"))
    assert Talk(others).ask("SELECT id FROM staging") == "SELECT id FROM staging"
    assert Talk(others).ask("SELECT id FROM reports") == "SELECT id FROM public.reports"


@pytest.mark.parametrize("does", ["SELECT tempts() FROM public.staging", "DO $$BEGIN PERFORM public.tempts(); END$$", "INSERT INTO public.watched VALUES (1)"])
def test_code_that_a_session_ran_may_have_made_a_temporary_relation(does: str) -> None:
    """No reading of the catalog is asked for behind it."""
    talk = Talk(functions=[])
    if does.startswith("SELECT"):
        talk = Talk(functions=[], rules=[READS, {"name": "calls", "classes": ["function-unlisted", "read"], "functions": ["tempts"], "verdict": "allow"}])
    talk.did(does)
    assert refused(talk.ask("SELECT id FROM staging"))
    assert talk.ask("SELECT id FROM public.staging") == "SELECT id FROM public.staging"


def test_what_is_made_is_in_a_schema_that_nobody_can_tell() -> None:
    """Where it comes to lie the path says, and whether a view over temporary relations becomes one."""
    makes = {"name": "makes", "classes": ["ddl", "read"], "relations": ["public.staging", "pg_temp.mine"], "verdict": "allow"}
    talk = Talk(default={"transaction": "allow"}, rules=[makes])
    assert refused(talk.ask("CREATE OR REPLACE VIEW staging AS SELECT 1"))
    assert refused(talk.ask("CREATE TABLE staging (id int)"))
    for text in ("CREATE TABLE public.staging (id int)", "CREATE TEMP TABLE mine (id int)", "ALTER TABLE staging ADD COLUMN x int", "CREATE TEMP TABLE mine AS SELECT * FROM staging"):
        assert talk.ask(text) is text


def test_what_prepare_named_is_executed_as_it_was_sent() -> None:
    talk = Talk()
    talk.did("PREPARE p AS SELECT id FROM reports")
    assert talk.ask("EXECUTE p") == "EXECUTE p"
    talk.did("SET search_path = clinic, public")
    assert talk.ask("EXECUTE p") == "EXECUTE p", "the target has it with its schema"


def test_a_path_that_changes_between_the_text_and_its_judgement_ends_it() -> None:
    talk, statement = Talk(), Statement("SELECT id FROM reports")
    talk.policy.on_rewrite(RewriteHook(SESSION, statement))
    talk.settings.start(SESSION, "clinic, public")
    assert talk.policy.on_judge(JudgeHook(SESSION, statement, "SELECT id FROM public.reports")).code == "OST-219"


def test_a_denial_is_met_by_whatever_a_name_may_mean() -> None:
    denies = {"name": "denies", "relations": ["clinic.reports"], "verdict": "deny"}
    for rules in ([denies], [denies, READS]):
        talk = Talk(default={**DEFAULT, "read": "allow"}, rules=rules, path='"$user", public')
        assert isinstance(talk.ask("SELECT id FROM reports"), Deny)


def test_bearers_of_a_name() -> None:
    def of(last: str, flux: Flux | None = None, temporary: frozenset[str] | None = None, snapshot: Snapshot | None = catalog(("pg_temp_3", "staging"))) -> frozenset[str]:
        found = Finding("Select", relations={("", last)})
        place(found, None, snapshot, flux, temporary)
        return found.bearers[last]

    assert of("reports") == {"public", "clinic"}
    assert of("pg_class") == {"pg_catalog"}
    assert of("staging") == {"public"} and of("staging", temporary=frozenset()) == {"public", "pg_temp"}
    for untold in (of("nosuch"), of("reports", temporary=frozenset({ANY})), of("reports", temporary=frozenset({"reports"})), of("reports", snapshot=None)):
        assert untold == UNTOLD
    assert of("reports", changed_by("CREATE TEMP TABLE reports (x int)")) == of("reports", Flux(unseen=True)) == UNTOLD
    assert of("reports", changed_by("ALTER SCHEMA clinic RENAME TO other")) == UNTOLD
