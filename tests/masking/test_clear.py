"""What is read in the clear is named: each declared column that a statement may read as it is, and no other where lineage tells."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from addons.masking import Masking
from addons.sql.settings import Settings
from protocols.command import FunctionCall, Path, Statement
from protocols.hooks import DecidedHook, JudgeHook, OutcomeHook, RewriteHook, SessionHook
from protocols.result import Ending, Outcome
from protocols.verdict import Allow, Decision, Replace
from tests.masking.shelf import COLUMNS, Shelf, session
from tests.sql.little import snapshot

PRIVACY = session("privacy")
SSN, MRN, DOB = (f"public.patients.{name}" for name in ("ssn", "mrn", "dob"))
ALL = tuple(sorted((SSN, MRN, DOB)))
ANY = ("*", *ALL)
WHOLE = tuple(sorted(("public.patients.*", *ALL)))


def addon(shelf: Shelf | None = None, columns: Any = COLUMNS) -> Masking:
    return Masking(columns=columns, catalogs=shelf or Shelf(snapshot()), functions=["public.listed"])


def clear(masking: Masking, text: str, who: Any = PRIVACY, **more: Any) -> tuple[str, ...]:
    answer = masking.on_rewrite(RewriteHook(who, Statement(text, **more)))
    assert isinstance(answer, (Allow, Replace)) and answer.remember, answer
    return answer.seen.clear if answer.seen is not None else ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SELECT id, state FROM patients", ()),
        ("SELECT count(*) FROM patients", ()),
        ("SELECT id, ssn FROM patients", (SSN,)),
        ("SELECT upper(p.mrn) AS x FROM patients p WHERE p.id = 7", (MRN,)),
        ("SELECT id FROM patients WHERE ssn = '900-00-0001'", (SSN,)),
        ("SELECT id FROM patients ORDER BY dob", (DOB,)),
        ("SELECT * FROM patients", ALL),
        ("TABLE patients", ALL),
        ("SELECT d.* FROM departments d JOIN patients p ON p.id = d.id", ()),
        ("SELECT p FROM patients p", ALL),
        ("SELECT to_jsonb(p)->>'ssn' FROM patients p", ALL),
        ("WITH a AS (SELECT ssn AS n, id FROM patients) SELECT n FROM a", (SSN,)),
        ("SELECT chart FROM directory", (MRN,)),  # a view's column, by what it is made of
        ("SELECT place FROM directory", ()),
        ("SELECT ssn FROM same", (SSN,)),
        ("COPY patients (id, ssn) TO STDOUT", (SSN,)),
        ("COPY patients TO STDOUT", ALL),
        ("DECLARE c CURSOR FOR SELECT mrn FROM patients", (MRN,)),
        ("PREPARE p AS SELECT mrn FROM patients", (MRN,)),
        ("EXPLAIN ANALYZE SELECT mrn FROM patients", (MRN,)),
        ("CREATE TABLE copied AS SELECT ssn FROM patients", (SSN,)),
        ("INSERT INTO patients (id, ssn) VALUES (1, '900-00-0001')", ()),
        ("INSERT INTO patients (id, ssn) VALUES ($1, $2), (2, DEFAULT)", ()),
        ("INSERT INTO patients (id, ssn) VALUES (1, (SELECT mrn FROM patients))", (MRN,)),
        ("INSERT INTO patients (id, ssn) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET state = patients.mrn", (MRN,)),
        ("INSERT INTO patients (id, ssn) VALUES (1, secret_of(1))", ANY),
        ("WITH d AS (DELETE FROM patients RETURNING ssn) INSERT INTO departments (id) VALUES (1)", (SSN,)),
        ("INSERT INTO patients (id, ssn) VALUES (1, 'x') RETURNING ssn", (SSN,)),
        ("INSERT INTO departments SELECT id, ssn, mrn FROM patients", (MRN, SSN)),
        ("UPDATE patients SET ssn = 'x' WHERE id = 1", ()),
        ("UPDATE patients SET state = ssn WHERE mrn = 'm'", (MRN, SSN)),
        ("UPDATE patients SET state = 'x' RETURNING *", WHOLE),
        ("UPDATE patients SET state = 'x' RETURNING old", WHOLE), ("DELETE FROM patients RETURNING to_json(old)", WHOLE),
        ("UPDATE patients SET state = 'x' RETURNING WITH (OLD AS o, NEW AS n) n", WHOLE),
        ("UPDATE patients SET state = 'x' RETURNING WITH (OLD AS o) o.ssn", (SSN,)), ("UPDATE patients SET state = 'x' RETURNING old.state, new.id", ()),
        ("MERGE INTO patients USING visits v ON v.id = patients.id WHEN MATCHED THEN UPDATE SET state = 'x' RETURNING new", WHOLE),
        ("DELETE FROM patients WHERE dob < '1900-01-01'", (DOB,)),
        ("SELECT 1; SELECT ssn FROM patients; SELECT mrn FROM patients", (MRN, SSN)),
        ("SELECT id FROM departments", ()),
        ("SELECT pid, query FROM pg_stat_activity", ()),
        ("SELECT histogram_bounds FROM pg_stats", ALL),
        ("BEGIN", ()), ("SET search_path = public", ()), ("VACUUM patients", ()), ("DROP TABLE patients", ()),
        # what nobody can see into
        ("SELECT public.secret_of(1)", ANY), ("SELECT listed(1)", ()), ("DO $$ BEGIN END $$", ANY), ("CALL f()", ANY),
        ("SELECT x FROM nobody_knows", ANY), ("SELEC 1", ANY),
    ],
)  # fmt: skip
def test_each_declared_column_that_may_be_read_is_named(text: str, named: tuple[str, ...]) -> None:
    """Of a person whose groups see them all; nothing is refused or waits."""
    assert clear(addon(), text) == named


@pytest.mark.parametrize("path", [Path.SIMPLE, Path.PARSE, Path.BIND])
def test_prepared_statements_are_named_likewise(path: Path) -> None:
    assert clear(addon(), "SELECT ssn FROM patients WHERE id = $1", path=path, types=(23,)) == (SSN,)


BEHIND = {  # what was sent before, and by what it is run or read on
    "prepared in SQL": (Statement("PREPARE p AS SELECT upper(ssn) FROM patients"), "EXECUTE p"),
    "prepared by the protocol": (Statement("SELECT upper(ssn) FROM patients", Path.PARSE, name="p"), "EXECUTE p"),
    "its plan": (Statement("PREPARE p AS SELECT upper(ssn) FROM patients"), "EXPLAIN EXECUTE p"),
    "a table of it": (Statement("PREPARE p AS SELECT upper(ssn) FROM patients"), "CREATE TABLE t AS EXECUTE p"),
    "a cursor": (Statement("DECLARE c CURSOR FOR SELECT upper(ssn) FROM patients"), "FETCH 5 FROM c"),
    "a portal": (Statement("SELECT upper(ssn) FROM patients", Path.BIND, portal="po"), "FETCH 5 FROM po"),
    "before it is another": (Statement("PREPARE p AS SELECT upper(ssn) FROM patients"), "EXECUTE p; DEALLOCATE p; PREPARE p AS SELECT 1"),
}  # fmt: skip


def told(masking: Masking, text: str, who: Any, before: Statement, path: Path = Path.SIMPLE) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns that a command's evidence names, masked and clear, where another was sent before it."""
    answer = masking.on_rewrite(RewriteHook(who, before))
    masking.on_decided(DecidedHook(who, Decision(before, Allow(), answer.text if isinstance(answer, Replace) else before.text)))
    answer = masking.on_rewrite(RewriteHook(who, Statement(text, path)))
    assert isinstance(answer, (Allow, Replace)) and not answer.remember, answer
    assert isinstance(answer, Allow) or answer.text == text, "it is sent as it came"
    return getattr(answer, "columns", ()), answer.seen.clear if answer.seen is not None else ()


@pytest.mark.parametrize("path", [Path.SIMPLE, Path.BIND])
@pytest.mark.parametrize(("before", "text"), BEHIND.values(), ids=list(BEHIND))
def test_what_is_run_or_read_on_by_name_is_named_as_what_stands_behind_it(before: Statement, text: str, path: Path) -> None:
    """In the clear, and where it is seen masked; a string's own PREPARE names itself."""
    for who, expected in ((PRIVACY, ((), (SSN,))), (session(), ((SSN,), ()))):
        masking = Masking(columns=COLUMNS, catalogs=Shelf(snapshot()), settings=Settings())
        masking.on_session(SessionHook(who))
        if who.identity.groups or not text.startswith("CREATE"):  # whoever sees it masked may not keep it
            assert told(masking, text, who, before, path) == expected


def test_a_name_that_nobody_saw_given_may_read_any_declared_column() -> None:
    """One that never stood for anything reads nothing: the server knows none of it either."""
    masking = Masking(columns=COLUMNS, catalogs=Shelf(snapshot()), settings=Settings())
    assert told(masking, "EXECUTE p", PRIVACY, Statement("SELECT 1")) == ((), ANY)
    masking.on_session(SessionHook(session("privacy", name="s2")))
    assert told(masking, "EXECUTE p", session("privacy", name="s2"), Statement("SELECT 1")) == ((), ())


def test_who_sees_some_columns_masked_reads_only_the_others_in_the_clear() -> None:
    """Both stand in the evidence, each as what it was."""
    columns = [{**one, "clear": ["privacy"] if one["column"] == "ssn" else []} for one in COLUMNS]
    masking = addon(columns=columns)
    answer = masking.on_rewrite(RewriteHook(PRIVACY, Statement("SELECT ssn, mrn FROM patients")))
    assert isinstance(answer, Replace) and answer.columns == (MRN,)
    assert answer.seen.clear == (SSN,) and answer.seen.outputs == (MRN,)
    assert masking.on_rewrite(RewriteHook(session(), Statement("SELECT id FROM patients"))).seen.clear == ()


def test_who_sees_nothing_in_the_clear_is_marked_with_nothing() -> None:
    answer = addon().on_rewrite(RewriteHook(session(), Statement("SELECT ssn FROM patients")))
    assert isinstance(answer, Replace) and answer.seen.clear == ()


def test_a_text_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it comes with other literals; another catalog is another question."""
    shelf = Shelf(snapshot())
    masking, looked = addon(shelf), []
    found = masking._clear._found
    monkeypatch.setattr(masking._clear, "_found", lambda *given: looked.append(1) or found(*given))
    for number in range(5):
        assert clear(masking, f"SELECT ssn FROM patients WHERE id = {number}") == (SSN,)
    assert len(looked) == 1
    shelf.known = snapshot(without=("public.archive",))
    assert clear(masking, "SELECT ssn FROM patients WHERE id = 1") == (SSN,) and len(looked) == 2


def test_nobody_waits_for_the_catalog_and_what_cannot_be_told_is_said_so() -> None:
    """One reading at a time goes on meanwhile; its failure leaves the next statement to try again."""
    shelf = Shelf(None)
    shelf.next, shelf.held = snapshot(), Deferred()
    masking = addon(shelf)
    assert clear(masking, "SELECT id FROM departments") == ANY and clear(masking, "BEGIN") == () and shelf.asked == 1
    shelf.held.callback(None)
    assert clear(masking, "SELECT id FROM departments") == () and shelf.asked == 1

    broken = Shelf(None)
    broken.refresh = lambda _session: fail(OSError("no catalog"))
    assert clear(addon(broken), "SELECT id FROM departments") == ANY


def test_views_are_not_trusted_while_a_transaction_changes_the_catalog() -> None:
    """CREATE OR REPLACE VIEW may have put anything behind a name; tables keep their columns."""
    masking = addon()
    ddl = Statement("CREATE OR REPLACE VIEW clean AS SELECT id, ssn AS n FROM patients")
    decided = Decision(ddl, Allow(), ddl.text)
    masking.on_decided(DecidedHook(PRIVACY, decided))
    assert clear(masking, "SELECT place FROM directory") == ANY and clear(masking, "SELECT id FROM departments") == ()
    masking.on_outcome(OutcomeHook(PRIVACY, decided, Outcome(Ending.COMPLETE, transaction="I")))
    assert clear(masking, "SELECT place FROM directory") == ()


def test_the_fast_path_may_return_anything() -> None:
    said = addon().on_judge(JudgeHook(PRIVACY, FunctionCall(999_999), ""))
    assert isinstance(said, Allow) and said.seen.clear == ANY


def test_a_misdeclared_column_hides_no_reading() -> None:
    columns = [*COLUMNS, {"relation": "public.gone", "column": "x", "clear": ["privacy"]}]
    assert "*" in clear(addon(columns=columns), "SELECT id FROM departments")


def test_a_name_that_two_schemas_have_is_sent_as_the_evidence_has_it() -> None:
    """Or both are said to be read, where the path of a later moment decides."""
    settings, text = Settings(), "SELECT secret FROM twin"
    masking = Masking(columns=[{"relation": "public.twin", "column": "secret", "clear": ["privacy"]}], catalogs=Shelf(snapshot()), settings=settings)
    for path, named in (("public", ("public.twin.secret",)), ("other", ())):
        settings.start(PRIVACY, path)
        answer = masking.on_rewrite(RewriteHook(PRIVACY, Statement(text)))
        assert isinstance(answer, Replace) and (answer.text, answer.columns) == (f"SELECT secret FROM {path}.twin", ())
        assert clear(masking, text) == named
        assert clear(masking, text, path=Path.BIND) == clear(masking, f"{text}; {text}") == ("public.twin.secret",)
    assert masking.on_rewrite(RewriteHook(PRIVACY, Statement("SELECT id FROM twin"))) == Allow(remember=True), "nobody has to know which"
