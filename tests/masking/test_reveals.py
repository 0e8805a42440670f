"""
The addon under reveals, against real servers: exactly the named columns, in exactly the statements that nothing outlives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from addons.masking import Masking
from addons.masking.floor import Floor
from gateway.control.errors import ControlUnavailable
from protocols.command import Path, Statement
from protocols.hooks import ColumnsHook, DecidedHook, OutcomeHook, RewriteHook
from protocols.result import Column, Columns, Ending, Outcome
from protocols.session import Session
from protocols.verdict import Allow, Decision, Deny, Replace, Reveal
from tests.masking.gate import Catalogs, session
from tests.servers import PostgresServer

SSN = "public.patients.ssn"
ONE = Reveal("r-1", "g-1", b"x" * 32, frozenset({SSN}), 1e12)


@dataclass
class Kept:
    """Control, and the evidence, of one test."""

    found: list[Reveal] = field(default_factory=lambda: [ONE])
    away: bool = False
    notes: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    rules: list[Mapping[str, Any]] = field(default_factory=list)

    def open(self, _session: Session) -> bool:
        return bool(self.found)

    def ask(self, _session: Session, rule: Mapping[str, Any]) -> Deferred[list[Reveal]]:
        self.rules.append(rule)
        return fail(ControlUnavailable("away")) if self.away else succeed(list(self.found))

    def note(self, _session: Session, kind: str, facts: Mapping[str, str]) -> None:
        self.notes.append((kind, facts))


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


@pytest.fixture(scope="module")
def masking(server: PostgresServer, columns: list[dict[str, Any]], kept: Kept) -> Masking:
    rule = {"approvers": ["privacy"], "uses": 3}
    return Masking(columns=columns, catalogs=Catalogs(server.port), functions=["public.active_patients"], reveal=rule, reveals=kept, sink=kept)


@pytest.fixture(autouse=True)
def granted(kept: Kept) -> Iterator[None]:
    kept.found, kept.away = [ONE], False
    kept.notes.clear()
    yield


def decided(masking: Masking, text: str, path: Path = Path.SIMPLE, who: Session | None = None, **more: Any) -> Allow | Replace | Deny:
    answers: list = []
    answer = masking.on_rewrite(RewriteHook(who or session(), Statement(text, path, settings={"standard_conforming_strings": "on"}, **more)))
    if not isinstance(answer, Deferred):
        return answer
    answer.addBoth(answers.append)
    assert isinstance(answers[0], (Allow, Replace, Deny)), answers
    return answers[0]


def under(verdict: Allow | Replace | Deny) -> tuple[str, ...]:
    """The columns that it shows by a reveal; none without one."""
    return verdict.reveal.columns if isinstance(verdict, Replace) and verdict.reveal is not None else ()


SHOWN = {
    "SELECT ssn FROM patients WHERE id = 1": (SSN,),
    "SELECT * FROM patients": (SSN,),
    "SELECT p FROM patients p": (SSN,),
    "SELECT id FROM patients WHERE ssn = '123-45-6789'": (SSN,),
    "SELECT count(DISTINCT ssn) FROM patients": (SSN,),
    "SELECT upper(x.s) FROM (SELECT ssn AS s FROM patients) x": (SSN,),
    "COPY patients TO STDOUT": (SSN,),
    "SELECT ssn, now(), random(), clock_timestamp() FROM patients ORDER BY md5(ssn)": (SSN,),
    "COPY (SELECT ssn FROM patients) TO STDOUT": (SSN,),
}


@pytest.mark.parametrize("text", SHOWN)
def test_a_statement_that_reads_it_shows_it_and_says_so(text: str, masking: Masking) -> None:
    verdict = decided(masking, text)
    assert under(verdict) == SHOWN[text]
    assert isinstance(verdict, Replace) and verdict.reveal.grant == "g-1"


def test_only_the_named_column_is_shown(masking: Masking) -> None:
    verdict = decided(masking, "SELECT ssn, mrn FROM patients")
    assert isinstance(verdict, Replace)
    assert '"ssn" IS NULL' not in verdict.text and "mrn IS NULL" in verdict.text.replace('"', "")
    assert "public.patients.mrn" in verdict.columns and SSN not in verdict.columns


UNTOUCHED = [
    "SELECT id, mrn FROM patients",
    "SELECT full_name FROM patients",
    "SELECT id, ssn FROM patients WHERE mrn = 'x'",
    "SELECT email FROM patients ORDER BY mrn",
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_a_statement_that_does_not_need_it_spends_nothing(text: str, masking: Masking) -> None:
    """Also one that is refused for another column all the same."""
    assert under(decided(masking, text)) == ()


LASTING = [
    "DECLARE c CURSOR WITH HOLD FOR SELECT ssn FROM patients",
    "PREPARE s AS SELECT ssn FROM patients",
    "EXPLAIN SELECT ssn FROM patients WHERE ssn = 'x'",
    "CREATE TEMP TABLE t AS SELECT ssn FROM patients",
    "SELECT ssn INTO TEMP t FROM patients",
    "UPDATE patients SET state = ssn WHERE id = 1",
    "UPDATE patients SET ssn = 'x' WHERE id = 1",
    "UPDATE patients SET state = 'x' WHERE id = 1 RETURNING ssn",
    "INSERT INTO departments (id, name) SELECT 99, ssn FROM patients",
    "WITH d AS (DELETE FROM patients RETURNING ssn) SELECT * FROM d",
    "SELECT 1; SELECT ssn FROM patients",
    "COPY patients TO '/tmp/x'",
    "COPY patients TO PROGRAM 'cat'",
    "SELECT set_config('application_name', ssn, false) FROM patients",
    "SELECT ssn FROM patients WHERE set_config('application_name', ssn, false) <> ''",
    "SELECT ssn, pg_notify('x', ssn) FROM patients",
    "SELECT setval('patients_id_seq', length(ssn)), ssn FROM patients",
    "SELECT lo_from_bytea(0, ssn::bytea), ssn FROM patients",
    "SELECT ssn FROM patients, LATERAL (SELECT pg_catalog.set_config('application_name', ssn, true)) x",
    "SELECT ssn, pg_advisory_lock(length(ssn)) FROM patients",
]


@pytest.mark.parametrize("text", LASTING)
def test_what_outlives_a_reveal_or_writes_is_as_without_it(text: str, masking: Masking, kept: Kept) -> None:
    with_it = decided(masking, text)
    kept.found = []
    assert under(with_it) == () and type(with_it) is type(decided(masking, text))


@pytest.mark.parametrize("more", [{"name": "s"}, {"portal": "p"}])
def test_what_sql_can_name_again_stays_masked(more: dict[str, str], masking: Masking) -> None:
    """EXECUTE s and FETCH ALL FROM p would come back to it when the reveal is over."""
    for path in (Path.PARSE, Path.BIND):
        assert under(decided(masking, "SELECT ssn FROM patients", path, **more)) == ()
        assert under(decided(masking, "SELECT ssn FROM patients", path)) == (SSN,)


def test_preparing_and_binding_are_sent_the_same_text(masking: Masking) -> None:
    texts = {decided(masking, "SELECT ssn, mrn FROM patients", path).text for path in (Path.PARSE, Path.BIND)}
    assert len(texts) == 1


def test_nothing_outlives_it(masking: Masking, kept: Kept) -> None:
    """No verdict or plan that was made under it answers once it is over, or while control is away, or in another session."""
    text = "SELECT ssn FROM patients WHERE id = 1"
    shown = decided(masking, text)
    assert under(shown)
    kept.found = []
    after = decided(masking, text)
    assert under(after) == () and isinstance(after, Replace) and after.text != shown.text
    kept.found, kept.away = [ONE], True
    away = decided(masking, text)
    assert away == replace(after, remember=False) and after.remember, "who may be shown more is asked about each time"
    kept.away = False
    assert under(decided(masking, text)) == (SSN,)


def test_a_session_on_a_floor_is_not_shown_what_its_role_cannot_read(masking: Masking) -> None:
    floored = Session("f", session().identity, session().target, "rw", "clinic", "p", floor="below")
    assert under(decided(masking, "SELECT ssn FROM patients", who=floored)) == ()


def floor_of(masking: Masking, who: Session) -> Any:
    """What the session is to be put on."""
    answers: list = []
    needed = masking.floor(who)
    if needed is None:
        return None
    needed.addBoth(answers.append)
    return answers[0]


def test_only_a_reveal_that_can_show_a_column_there_keeps_a_session_off_the_floor(masking: Masking, kept: Kept) -> None:
    assert floor_of(masking, session()) is None
    kept.found = [replace(ONE, declared=frozenset({"public.patients.none"}))]
    assert isinstance(floor_of(masking, session()), Floor)
    kept.found, kept.away = [ONE], True
    assert isinstance(floor_of(masking, session()), Floor)
    kept.found, kept.away = [], False
    assert isinstance(floor_of(masking, session()), Floor)


def test_a_misspelt_column_is_named_with_a_reveal_and_on_a_floor_as_without(
    server: PostgresServer, columns: list[dict[str, Any]], kept: Kept
) -> None:
    rule = {"approvers": ["privacy"]}
    wrong = [*columns, {"relation": "public.patients", "column": "crad"}]
    masking = Masking(columns=wrong, catalogs=Catalogs(server.port), reveal=rule, reveals=kept, sink=kept)
    for found in ([ONE], []):
        kept.found = found
        verdict = decided(masking, "SELECT 1")
        assert isinstance(verdict, Deny) and verdict.code == "OST-520" and "public.patients.crad" in verdict.reason
    verdict = floor_of(masking, session())
    assert isinstance(verdict, Deny) and verdict.code == "OST-520" and "public.patients.crad" in verdict.reason


def test_the_wires_own_provenance_masks_all_but_what_is_revealed(masking: Masking, server: PostgresServer) -> None:
    verdict = decided(masking, "SELECT ssn, mrn FROM patients")
    snapshot = masking._catalogs.snapshot(session())
    (patients,) = snapshot.named("public", "patients")
    shape = Columns(tuple(Column(n, patients.oid, patients.column(n).number, 25, 0) for n in ("ssn", "mrn")))
    statement = Statement("SELECT ssn, mrn FROM patients")
    plan = masking.on_columns(ColumnsHook(session(), Decision(statement, Allow(), verdict.text, reveal=verdict.reveal), shape))
    assert plan is not None and [cell is None for cell in plan.cells] == [True, False]
    without = masking.on_columns(ColumnsHook(session(), Decision(statement, Allow(), verdict.text), shape))
    assert without is not None and not any(cell is None for cell in without.cells)


def test_each_use_is_a_disclosure_that_names_its_columns(masking: Masking, kept: Kept) -> None:
    verdict = decided(masking, "SELECT ssn, mrn FROM patients")
    decision = Decision(Statement("SELECT ssn, mrn FROM patients"), Allow(), verdict.text, reveal=verdict.reveal)
    masking.on_decided(DecidedHook(session(), decision))
    assert kept.notes == [("disclosure.revealed", {"request": "r-1", "grant": "g-1", "columns": SSN})]


def test_a_disclosure_that_did_not_come_about_is_said_to_be_none(masking: Masking, kept: Kept) -> None:
    """It is announced before the notary spends the grant, which may be spent by then."""
    verdict = decided(masking, "SELECT ssn, mrn FROM patients")
    decision = Decision(Statement("SELECT ssn, mrn FROM patients"), Allow(), verdict.text, reveal=verdict.reveal)
    for ending in Ending:
        masking.on_decided(DecidedHook(session(), decision))
        masking.on_outcome(OutcomeHook(session(), decision, Outcome(ending)))
    facts = {"request": "r-1", "grant": "g-1", "columns": SSN}
    assert kept.notes.count(("disclosure.withheld", facts)) == 2 and kept.notes[-2:] == [("disclosure.revealed", facts)] * 2


def test_a_refusal_says_how_to_ask(masking: Masking, kept: Kept) -> None:
    kept.found = []
    verdict = decided(masking, "SELECT id FROM patients WHERE mrn = 'x'")
    assert isinstance(verdict, Deny) and "request submit --as ann@clinic.example --target clinic --reveal public.patients.mrn --why" in verdict.hint


def test_control_is_told_the_rule(masking: Masking, kept: Kept) -> None:
    decided(masking, "SELECT ssn FROM patients")
    assert kept.rules[-1] == {"approvers": ["privacy"], "quorum": 1, "lifetime": 3600, "uses": 3}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "reveal.approvers"), ({"approvers": "privacy"}, "reveal.approvers"), ({"approvers": ["p"], "uses": -1}, "reveal.uses"),
        ({"approvers": ["p"], "quorum": 0}, "reveal.quorum"), ({"approvers": ["p"], "lifetime": 1.5}, "reveal.lifetime"),
        ({"approvers": ["p"], "x": 1}, "reveal.x"), ([], "reveal: a table"),
    ],
)  # fmt: skip
def test_a_wrong_rule_says_its_key(given: Any, said: str, kept: Kept) -> None:
    with pytest.raises(ValueError, match=said):
        Masking(columns=[], catalogs=Catalogs(0), reveal=given, reveals=kept, sink=kept)


def test_a_refusal_says_how_to_ask_also_where_another_reveal_is_in_force(masking: Masking) -> None:
    verdict = decided(masking, "SELECT id FROM patients WHERE mrn = 'x'")
    assert isinstance(verdict, Deny) and "--reveal public.patients.mrn" in verdict.hint


@pytest.mark.parametrize("text", ["UPDATE patients SET mrn = 'x' WHERE id = 1", "UPDATE patients SET state = 'x' WHERE mrn = 'y'"])
def test_a_write_is_not_sent_to_ask_for_a_reveal_which_serves_none(text: str, masking: Masking) -> None:
    """What it would be granted is refused all the same."""
    verdict = decided(masking, text)
    assert isinstance(verdict, Deny) and verdict.code in ("OST-513", "OST-514") and "--reveal" not in verdict.hint


def test_pg_dumps_refusal_names_the_option_that_helps(masking: Masking) -> None:
    verdict = decided(masking, "SELECT subname, subconninfo FROM pg_catalog.pg_subscription")
    assert isinstance(verdict, Deny) and verdict.code == "OST-505" and "--no-subscriptions" in verdict.hint


def test_no_refusal_says_to_ask_for_what_cannot_be_revealed(masking: Masking, kept: Kept) -> None:
    """A child's column is revealed with the one that was declared, and under that name only."""
    kept.found = []
    verdict = decided(masking, "SELECT id FROM patients_archive WHERE mrn = 'x'")
    assert isinstance(verdict, Deny) and "--reveal public.patients_archive.mrn" not in verdict.hint
    assert "ask for the declared columns that it is masked along with" in verdict.hint
