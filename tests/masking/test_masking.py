"""The addon as the pipeline meets it: who is asked, what waits, what is remembered, and when the catalog is doubted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from addons.masking import Masking
from addons.sql.settings import Settings
from addons.sql.underway import Underway
from protocols.command import FunctionCall, Path, Statement
from protocols.hooks import ClosedHook, ColumnsHook, DecidedHook, JudgeHook, RewriteHook, SessionHook, TextHook
from protocols.result import NULL, Column, Columns
from protocols.session import Session
from protocols.verdict import Allow, Deny, Replace
from tests.masking.shelf import COLUMNS, Shelf, ask, decision, done, session
from tests.sql.little import snapshot


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(snapshot())


@pytest.fixture
def addon(shelf: Shelf) -> Masking:
    return Masking(columns=COLUMNS, catalogs=shelf, functions=["public.listed"])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT code FROM departments",
        "SELECT n FROM clean",
        "SELECT relname FROM pg_class",
        "BEGIN; COMMIT",
        "",
        "SHOW search_path",
    ],
)
def test_what_reaches_nothing_masked_goes_as_it_came(addon: Masking, sql: str) -> None:
    assert isinstance(ask(addon, sql), Allow)


def test_a_select_on_a_masked_relation_is_rewritten(addon: Masking) -> None:
    answer = ask(addon, "SELECT ssn FROM patients")
    assert isinstance(answer, Replace) and "'***'" in answer.text
    assert answer.columns == answer.seen.outputs == ("public.patients.ssn",)
    assert ask(addon, "SELECT id, (SELECT ssn FROM patients q WHERE q.id = p.id) AS s, upper(mrn) FROM patients p").seen.outputs == (
        "public.patients.ssn", "public.patients.mrn",
    )  # fmt: skip
    followed_by_nobody = ask(addon, "UPDATE patients SET state = 'x' RETURNING *")
    assert followed_by_nobody.columns == ("public.patients.*", *(f"public.patients.{name}" for name in ("dob", "mrn", "ssn")))
    assert followed_by_nobody.seen is None


def test_the_rewritten_text_is_clean_of_masked_sources(addon: Masking) -> None:
    """Rewriting it again finds only what it wrote itself."""
    text = ask(addon, "SELECT p.ssn FROM patients p").text
    assert text.count("public.patients") == 1 and "SELECT p.ssn FROM (SELECT" in text


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT id FROM patients WHERE ssn = $1", "OST-510"),
        ("SELECT secret_of(1)", "OST-503"),
        ("DO 'BEGIN END'", "OST-502"),
        ("SELEC 1", "OST-501"),
        ("SELECT * FROM pg_stats", "OST-505"),
        ("SELECT ctid FROM patients", "OST-511"),
        ("COPY patients TO '/tmp/x'", "OST-502"),
        ("COPY (SELECT ssn FROM patients) TO PROGRAM 'cat'", "OST-502"),
        ("COPY departments FROM PROGRAM 'psql -c \"select ssn from patients\"'", "OST-502"),
        ("COPY departments FROM '/tmp/x'", "OST-502"),
        ("COPY departments TO '/tmp/x'", "OST-502"),
        ("COPY departments TO PROGRAM 'cat'", "OST-502"),
        ("SELECT 1; COPY departments FROM PROGRAM 'true'", "OST-502"),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$COPY departments FROM PROGRAM 'true'$$", "OST-502"),
        ("CREATE TABLE x AS TABLE patients", "OST-512"),
        ("EXPLAIN ANALYZE TABLE patients", "OST-512"),
        ("UPDATE patients SET ssn = 'x' WHERE id = 1", "OST-513"),
        ("INSERT INTO patients VALUES (1)", "OST-513"),
        ("UPDATE patients SET state = 'x' WHERE ssn = 'y'", "OST-514"),
        ("UPDATE patients SET state = 'x' RETURNING upper(ssn)", "OST-514"),
        ("DELETE FROM departments WHERE code IN (SELECT ssn FROM patients)", "OST-514"),
        ("ALTER SCHEMA public RENAME TO p", "OST-516"),
        ("SET standard_conforming_strings = off", "OST-517"),
        ("SELECT set_config('standard_conforming_strings', 'off', true)", "OST-517"),
        ("SELECT set_config(code, 'off', true) FROM departments", "OST-517"),
        ("SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'standard_conforming_strings'", "OST-517"),
        ("SELECT set_config(name, setting, false) FROM pg_settings WHERE name = 'work_mem'", "OST-517"),
        ("SELECT set_config(name, '1', false) FROM pg_settings WHERE name <> 'work_mem'", "OST-517"),
        ("SELECT set_config(name, '1', false) FROM pg_settings WHERE name = $1", "OST-517"),
        ("SELECT set_config(name, '1', false) FROM pg_settings, departments WHERE name = 'work_mem'", "OST-517"),
        ("SELECT set_config(name, '1', false) FROM departments WHERE name = 'work_mem'", "OST-517"),
        ("SELECT set_config(name, '1', false) FROM pg_settings WHERE name = 'work_mem' ORDER BY set_config(code, '', true)", "OST-517"),
        ("CREATE TABLE pg_settings (name text); SELECT set_config(name, '1', false) FROM pg_settings WHERE name = 'work_mem'", "OST-517"),
        ("SELECT * FROM nowhere", "OST-506"),
        ("MERGE INTO patients USING departments ON true WHEN MATCHED THEN DELETE", "OST-512"),
        ("CLUSTER patients USING patients_ssn_key", "OST-512"),
        ("CLUSTER", "OST-502"),
        ("ALTER TABLE patients RENAME TO p", "OST-512"),
        ("WITH w AS (DELETE FROM departments RETURNING id) SELECT ssn FROM patients, w", "OST-512"),
        ("SELECT ssn INTO x FROM patients", "OST-512"),
        ("SELECT ssn FROM patients TABLESAMPLE system (1)", "OST-512"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS ''", "OST-502"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM patients'", "OST-512"),
        ("CREATE FUNCTION listed() RETURNS int LANGUAGE sql AS 'SELECT 1'", "OST-516"),
        ("ALTER FUNCTION secret_of(int) RENAME TO listed", "OST-516"),
    ],
)
def test_refusals_have_a_code_of_their_own_reason(addon: Masking, sql: str, code: str) -> None:
    answer = ask(addon, sql)
    assert isinstance(answer, Deny) and answer.code == code, answer


@pytest.mark.parametrize(
    ("sql", "reason", "hint"),
    [
        ("SET standard_conforming_strings = off", "standard_conforming_strings may not be off", "leave it on"),
        ("SELECT set_config(code, 'off', true) FROM departments", "set_config() with a computed name", "write the setting's name"),
        ("SELECT secret_of(1)", "function secret_of", "the masking addon's \"functions\""),
        ("SELECT pg_read_file('x')", "function pg_read_file", "ask somebody with clear access"),
        ("SELECT pg_catalog.pg_terminate_backend(1)", "function pg_catalog.pg_terminate_backend", "ask somebody with clear access"),
        ("SELECT public.dblink_exec('', '')", "function public.dblink_exec", "ask somebody with clear access"),
        ("UPDATE patients SET ssn = 'x' WHERE id = 1", "public.patients.ssn is masked", "write only other columns"),
        ("UPDATE patients SET ssn = 'x', dob = NULL WHERE id = 1", "public.patients.dob, public.patients.ssn are masked", "write only other"),
    ],
)
def test_refusals_say_what_happened_and_what_would_help(addon: Masking, sql: str, reason: str, hint: str) -> None:
    answer = ask(addon, sql)
    assert isinstance(answer, Deny) and answer.reason.startswith(reason) and hint in answer.hint, answer


def test_what_pg_dump_sets_passes(addon: Masking) -> None:
    """It takes the name from the row that its WHERE names, so that older servers set nothing."""
    text = "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'"
    assert isinstance(ask(addon, text), Allow)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE patients SET state = 'x' WHERE id = 1",
        "UPDATE patients SET state = 'x' WHERE id = 1 RETURNING id, state",
        "DELETE FROM patients WHERE state = 'x'",
        "INSERT INTO patients (id, state) VALUES (1, 'x') RETURNING id",
        "TRUNCATE patients",
        "INSERT INTO patients (id, state) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET state = excluded.state",
        "LOCK TABLE patients",
        "ANALYZE patients",
        "CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a)",
        "CREATE TABLE a (x int); INSERT INTO a VALUES (1); SELECT x FROM a",
        "ALTER TABLE IF EXISTS nowhere RENAME TO somewhere",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT code FROM departments'",
        "UPDATE departments SET code = 'x'",
    ],
)
def test_clean_writes_pass(addon: Masking, sql: str) -> None:
    assert isinstance(ask(addon, sql), Allow), ask(addon, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT ssn FROM patients",
        "PREPARE q AS SELECT ssn FROM patients",
        "DECLARE c CURSOR FOR TABLE patients",
        "SELECT 1; TABLE same",
    ],
)
def test_selects_inside_other_statements_are_rewritten(addon: Masking, sql: str) -> None:
    assert isinstance(ask(addon, sql), Replace)


def test_a_refusal_names_the_column_and_the_place(addon: Masking) -> None:
    answer = ask(addon, "SELECT id FROM patients ORDER BY mrn")
    assert (
        "public.patients.mrn" in answer.reason and "ORDER BY" in answer.reason and "public.patients.mrn" in answer.hint
    )
    assert ("columns", "public.patients.mrn") in answer.facts


def test_cleared_groups_are_left_alone(addon: Masking) -> None:
    clear = session("privacy")
    assert isinstance(ask(addon, "DO 'BEGIN END'", clear), Allow)
    assert addon.on_text(TextHook(clear, "error", {"M": "x"}, None)) is None
    assert addon.on_columns(ColumnsHook(clear, decision("x"), Columns((Column("ssn", 20000, 2, 25),)))) is None


def test_declarations_may_be_for_some_targets(shelf: Shelf) -> None:
    addon = Masking(columns=[{**c, "targets": ["clinic"]} for c in COLUMNS], catalogs=shelf)
    assert isinstance(ask(addon, "SELECT ssn FROM patients", session(target="other")), Allow)
    assert isinstance(ask(addon, "SELECT ssn FROM patients"), Replace)


def test_the_first_statement_waits_for_the_catalog(shelf: Shelf, addon: Masking) -> None:
    shelf.known, shelf.held = None, Deferred()
    answer = addon.on_rewrite(RewriteHook(session(), Statement("SELECT ssn FROM patients")))
    assert isinstance(answer, Deferred) and not answer.called
    shelf.held.callback(None)
    assert isinstance(answer.result, Replace)


def test_without_a_catalog_nothing_passes(shelf: Shelf, addon: Masking) -> None:
    shelf.known, shelf.held = None, Deferred()
    answer = addon.on_rewrite(RewriteHook(session(), Statement("SELECT 1")))
    shelf.held.errback(ConnectionRefusedError())
    assert answer.result.code == "OST-521"
    plan = addon.on_columns(ColumnsHook(session(), decision("SELECT 1"), Columns((Column("a", 0, 0, 23),))))
    assert plan.cells == (NULL,)


def test_a_declaration_that_names_nothing_refuses_everybody(shelf: Shelf) -> None:
    """Also those who see that column clear: the configuration is wrong."""
    wrong = [{"relation": "public.patients", "column": "sssn", "clear": ["staff"]}, {"relation": "public.patience", "column": "ssn"}]
    noted: list[tuple[str, dict[str, str]]] = []
    sink = SimpleNamespace(note=lambda _session, kind, facts: noted.append((kind, facts)))
    addon = Masking(columns=[*COLUMNS, *wrong], catalogs=shelf, sink=sink)
    for who in (session(), session("staff"), session()):
        refused = ask(addon, "SELECT 1", who)
        assert refused.code == "OST-520" and "public.patience" in refused.reason
    assert {kind for kind, _ in noted} == {"masking.misdeclared"} and len(noted) == 2  # as each of them sees it
    assert any("patients.sssn" in facts["why"] and "public.patience" in facts["why"] for _, facts in noted)


def test_an_unknown_name_is_looked_up_again(shelf: Shelf, addon: Masking) -> None:
    shelf.known = snapshot(without=("public.patients",))
    addon = Masking(columns=[{"relation": "public.twin", "column": "secret"}], catalogs=shelf)
    assert isinstance(ask(addon, "SELECT * FROM patients"), Allow) and shelf.asked == 1


def test_ddl_that_passed_makes_everybody_wait_for_a_newer_catalog(shelf: Shelf, addon: Masking) -> None:
    ask(addon, "SELECT 1")
    assert shelf.asked == 0
    done(addon, "CREATE VIEW v AS SELECT 1")
    ask(addon, "SELECT 1", session(name="another"))
    assert shelf.asked == 1
    ask(addon, "SELECT 1")
    assert shelf.asked == 1


@pytest.mark.parametrize(
    ("sql", "said"), [("SELECT 1 FROM nowhere", "nowhere"), ("SELECT 1 FROM crm.m", "crm.m"), ("SELECT 1 FROM clinic.crm.m", "crm.m")], ids=["bare", "schema", "database"],
)  # fmt: skip
def test_a_relation_that_is_not_there_is_named_as_the_server_names_it(addon: Masking, sql: str, said: str) -> None:
    assert ask(addon, sql).reason == f'relation "{said}" does not exist'


def test_ddl_in_a_transaction_is_looked_at_when_that_ends(shelf: Shelf, addon: Masking) -> None:
    """Until then only its own session sees it, and its locks would hold the reading up."""
    done(addon, "BEGIN", "T")
    done(addon, "CREATE TABLE fresh (a int)", "T")
    assert isinstance(ask(addon, "SELECT a FROM fresh"), Allow) and shelf.asked == 0
    assert ask(addon, "SELECT a FROM stranger").code == "OST-506" and shelf.asked == 0
    assert ask(addon, "SELECT a FROM fresh", session(name="another")).code == "OST-506" and shelf.asked == 1
    done(addon, "COMMIT", "I")
    ask(addon, "SELECT 1")
    assert shelf.asked == 2


def test_a_session_that_ends_in_a_changing_transaction_is_looked_at(shelf: Shelf, addon: Masking) -> None:
    done(addon, "CREATE TABLE fresh (a int)", "T")
    addon.on_closed(ClosedHook(session()))
    ask(addon, "SELECT 1", session(name="another"))
    assert shelf.asked == 1


def test_answers_are_remembered_by_catalog(shelf: Shelf, addon: Masking) -> None:
    first = ask(addon, "SELECT ssn FROM patients")
    standing = addon.standing(session())
    assert ask(addon, "SELECT ssn FROM patients") == first and first.remember and addon.standing(session()) == standing
    shelf.known = snapshot(without=("public.directory",))
    assert addon.standing(session()) != standing, "or the pipeline's memory would not know of the new catalog"


@pytest.mark.parametrize("what", ["doubt", "DDL", "a path"])
def test_what_its_answers_rest_on_shows_in_its_standing(shelf: Shelf, what: str) -> None:
    """The pipeline asks again when it is another; see `protocols.verdict`."""
    addon = Masking(columns=COLUMNS, catalogs=shelf, settings=Settings())
    before = addon.standing(session())
    if what == "doubt":
        shelf.doubt(session())
    else:
        text = {"DDL": "CREATE TABLE made (a int)", "a path": "SET search_path = public"}[what]
        addon.on_decided(DecidedHook(session(), decision(text)))
    assert addon.standing(session()) != before


def test_two_schemas_with_the_name_need_a_path(shelf: Shelf) -> None:
    class Paths:
        underway = Underway()

        def search_path(self, _session: Session, _reported: object = None) -> tuple[str, ...]:
            return ("other",)

    columns = [{"relation": "public.twin", "column": "secret"}]
    assert ask(Masking(columns=columns, catalogs=shelf), "SELECT secret FROM twin").code == "OST-504"
    addon = Masking(columns=columns, catalogs=shelf, settings=Paths())
    assert ask(addon, "SELECT secret FROM twin").text == "SELECT secret FROM other.twin", "whatever the path is by then"
    for path in (Path.PARSE, Path.BIND):
        assert ask(addon, "SELECT secret FROM twin", path=path).text == "SELECT secret FROM other.twin", "what is prepared means no other by another path"
    assert ask(addon, "SET search_path = public; SELECT secret FROM twin").code == "OST-504"


@pytest.mark.parametrize("text", [
    "CREATE FUNCTION pg_catalog.lower(patients) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn'", "ALTER TYPE mood SET SCHEMA pg_catalog",
], ids=["made", "moved"])  # fmt: skip
def test_nothing_is_put_among_what_is_taken_for_the_servers_own(addon: Masking, text: str) -> None:
    """A name there is trusted by itself."""
    assert isinstance(ask(addon, text), Deny) and not isinstance(ask(addon, text.replace("pg_catalog", "other")), Deny)


@pytest.mark.parametrize(("text", "call"), [
    ("SELECT lower(code) FROM departments", "function lower"), ("SELECT d.lower FROM departments d", "function lower"), ("SELECT 'x' = code FROM departments", ""),
    ("SELECT pg_catalog.lower(code) FROM departments", ""), ("SELECT code::mood FROM departments", "a conversion to mood"),
], ids=["call", "field", "operator", "server", "conversion"])  # fmt: skip
def test_what_the_transaction_made_is_not_taken_for_the_servers_own(addon: Masking, text: str, call: str) -> None:
    """In one string and in the next statement."""
    made = "CREATE FUNCTION lower(departments) RETURNS text LANGUAGE sql AS 'SELECT 1'; ALTER TYPE temper RENAME TO mood"
    who = session(name="maker")
    done(addon, f"BEGIN; {made}", who=who, transaction="T")
    for verdict in (ask(addon, text, who=who), ask(addon, f"{made}; {text}")):
        assert (verdict.code, call in verdict.reason) == ("OST-527", True) if call else isinstance(verdict, Allow)


def test_unsafe_quoting_refuses_everything(addon: Masking) -> None:
    assert ask(addon, "SELECT 1", settings={"standard_conforming_strings": "off"}).code == "OST-517"


def plan(addon: Masking, *fields: Column, sql: str = "SELECT 1", sent: str = "") -> Any:
    return addon.on_columns(ColumnsHook(session(), decision(sql, sent), Columns(fields)))


def test_the_wire_only_adds_masks_and_says_so(addon: Masking) -> None:
    found = plan(
        addon,
        Column("id", 20000, 1, 23),
        Column("x", 20000, 2, 25),
        Column("y", 20000, 4, 1082, 1),
        Column("z", 0, 0, 25),
    )
    assert found.cells == (None, b"***", NULL, NULL) and "public.patients.ssn" in found.alarm
    assert plan(addon, Column("code", 20002, 2, 25), Column("z", 0, 0, 25)) is None


def test_where_a_masked_column_came_back_no_expression_beside_it_is_shown_and_the_catalog_is_read_again(addon: Masking, shelf: Shelf) -> None:
    """Another client swapped two columns' names: `SELECT note, upper(note)` reads the masked one, and only the first says so on the wire."""
    assert plan(addon, Column("note", 20000, 2, 25), Column("upper", 0, 0, 25)).cells == (b"***", NULL)
    ask(addon, "SELECT 1")
    assert shelf.asked == 1


def test_whole_rows_and_row_types_are_masked(addon: Masking) -> None:
    found = plan(addon, Column("p", 20000, 0, 20100), Column("q", 0, 0, 20100), Column("r", 0, 0, 20200))
    assert found.cells == (NULL, NULL, NULL)


def test_a_rewritten_row_type_is_no_alarm(addon: Masking) -> None:
    found = plan(addon, Column("q", 0, 0, 20100), sent="SELECT NULL")
    assert found.cells == (NULL,) and not found.alarm


def test_an_unknown_oid_is_masked_whole_and_doubted(shelf: Shelf, addon: Masking) -> None:
    found = plan(addon, Column("a", 99999, 1, 23), Column("b", 0, 0, 88888), Column("c", 1259, 1, 26))
    assert found.cells == (NULL, NULL, None) and "99999" in found.alarm
    ask(addon, "SELECT 1")
    assert shelf.asked == 1


def test_an_unknown_oid_of_the_sessions_own_making_is_its_own(addon: Masking) -> None:
    addon.on_decided(DecidedHook(session(), decision("CREATE TEMP TABLE fresh (a int)")))
    assert plan(addon, Column("a", 99999, 1, 23), sql="SELECT a FROM fresh") is None
    assert plan(addon, Column("a", 99999, 1, 23), sql="SELECT id FROM departments").cells == (NULL,)


def test_the_fast_path_is_for_listed_functions(addon: Masking) -> None:
    functions = {f.label: oid for oid, f in snapshot().functions.items()}
    assert isinstance(addon.on_judge(JudgeHook(session(), FunctionCall(functions["public.listed"]), "")), Allow)
    assert addon.on_judge(JudgeHook(session(), FunctionCall(functions["public.secret_of"]), "")).code == "OST-530"
    assert addon.on_judge(JudgeHook(session("privacy"), FunctionCall(functions["public.secret_of"]), "")).seen.clear
    assert addon.on_judge(JudgeHook(session("privacy"), FunctionCall(functions["public.listed"]), "")) is None
    assert isinstance(addon.on_judge(JudgeHook(session(), Statement("SELECT 1"), "SELECT 1")), Allow)


def test_text_is_rebuilt(addon: Masking) -> None:
    fields = {"S": "ERROR", "C": "22P02", "M": "bad: 987-65-4321", "P": "8"}
    assert "987" not in str(addon.on_text(TextHook(session(), "error", fields, decision("SELECT 1", "SELECT 2"))))
    assert addon.on_text(TextHook(session(), "notification", {"channel": "c", "payload": "x"}, None))["payload"] == ""
    assert (
        addon.on_text(TextHook(session(), "parameter", {"name": "application_name", "value": "y"}, None))["value"]
        == "psql"
    )


def test_the_search_path_reported_at_the_start_is_the_servers_own(shelf: Shelf, addon: Masking) -> None:
    shelf.known = None
    fields = {"name": "search_path", "value": "tenant, public"}
    assert addon.on_text(TextHook(session(), "parameter", fields, None)) is None
    assert addon.on_text(TextHook(session(), "parameter", fields, decision("SELECT 1")))["value"] == ""


def test_payloads_may_be_let_through_by_configuration(shelf: Shelf) -> None:
    addon = Masking(columns=COLUMNS, catalogs=shelf, notifications=True)
    assert addon.on_text(TextHook(session(), "notification", {"channel": "c", "payload": "x"}, None)) is None


@pytest.mark.parametrize("functions", [["active"], ["a.b.c"], ["."]])
def test_functions_are_listed_with_their_schema(shelf: Shelf, functions: list[str]) -> None:
    with pytest.raises(ValueError, match="schema"):
        Masking(columns=COLUMNS, catalogs=shelf, functions=functions)


def test_a_reload_that_asks_who_may_stay_reads_no_catalog(addon: Masking, shelf: Shelf) -> None:
    """A thousand sessions are asked at once; each meets the catalog at its next statement."""
    checked: list[Session] = []
    shelf.check = checked.append
    assert addon.on_session(SessionHook(session(), again=True)) is None and checked == []
    addon.on_session(SessionHook(session()))
    assert checked == [session()]
