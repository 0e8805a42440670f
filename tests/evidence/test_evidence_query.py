"""Filters: what they find, in clear, by pseudonym, and in opened bodies."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from recorded import Told, allowed, denied, fill, journal, new_store, session

from gateway.cli.main import main
from gateway.evidence.named import unnamed
from gateway.evidence.query import BadQuery, Found, Query, Search, doer, parse_time, search
from gateway.evidence.readable import clean, summary, table_row
from gateway.evidence.view import StoppedView, Unreadable, open_view, rows
from gateway.notary import keys
from gateway.notary.record import Kind, event, pack, parse_leaf
from protocols.session import Identity

BOB = "bob@clinic.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("store")
    store = new_store(made)
    fill(store, 3)
    store.rotate("test")
    told, book, bob = Told(), journal(store), session(BOB)
    book.note(None, "login.failed", {"identity": BOB, "peer": "1.2.3.4"})
    book.opened(bob, {}, told)
    store.rotate("between opening and command")
    book.refuse(bob, 1, denied("DROP TABLE Patients"))
    agent = replace(session(), identity=Identity("claude", "agent", on_behalf_of=BOB))
    book.opened(agent, {}, told)
    book.intend(agent, 1, allowed("SELECT 7"), told)
    book.flush()
    store.close()
    return made


def found(folder: Path, *, opened: bool = True, **filters: object) -> list[Found]:
    view = StoppedView(folder / "audit")
    try:
        bodies = keys.load(folder, "test-gw").bodies if opened else None
        return list(search(view, Search(Query(**filters), bodies)))  # type: ignore[arg-type]
    finally:
        view.close()


def test_an_identity_is_found_across_segments_and_for_whom_it_acted(folder: Path) -> None:
    kinds = [f.record.kind for f in found(folder, identity=BOB)]
    assert kinds[:3] == [Kind.NOTE, Kind.OPENED, Kind.REFUSAL]
    assert kinds[3:5] == [Kind.OPENED, Kind.INTENT]  # claude's, on behalf of Bob
    assert not found(folder, identity="nobody")


def test_notes_are_found_by_their_own_kind(folder: Path) -> None:
    """Whole, or all that begin alike; a word that is neither is no kind."""
    for kind in ("login.failed", "login.*"):
        assert [one.record.get("what") for one in found(folder, kind=kind)] == ["login.failed"]
    assert not found(folder, kind="log.*") and not found(folder, kind="login.fail")
    for kind in ("intnet", "*", "login failed"):
        with pytest.raises(BadQuery, match="site"):
            Query(kind=kind)


def test_what_is_declared_or_configured_and_never_came_is_no_slip_of_the_hand(tmp_path: Path) -> None:
    """Only what neither a record nor a recorded configuration names is."""
    store = new_store(tmp_path)
    declared = 'identity = "eve@clinic.example"\ncolumns = [{ relation = "public.patients", column = "ssn" }]'
    store.commit([store.own(event(Kind.ADMIN, "config.started", 1, 1), pack([{"text": declared, "revision": "1"}]))])
    store.close()
    view, bodies = StoppedView(tmp_path / "audit"), keys.load(tmp_path, "test-gw").bodies
    asked = {"eve@clinic.example": [], "eva@clinic.example": ["an identity eva@clinic.example"]}
    for identity, said in asked.items():
        assert list(unnamed(Query(identity=identity), lambda finder: search(view, finder), bodies)) == said
    for column, said in {"public.patients.ssn": [], "public.patients.snn": ["a column public.patients.snn"], "ssn": ["a column ssn"]}.items():
        assert list(unnamed(Query(disclosed=column), lambda finder: search(view, finder), bodies)) == said
    view.close()


def test_filters_are_exact_and_add_up(folder: Path) -> None:
    assert {f.record.kind for f in found(folder, kind="intent")} == {Kind.INTENT}
    assert [f.record.kind for f in found(folder, verdict="deny")] == [Kind.REFUSAL]
    assert not found(folder, verdict="deny", kind="intent")
    assert not found(folder, target="clin") and found(folder, target="clinic")
    one = found(folder, kind="closed")[0].shown()["session"]
    assert {f.shown()["session"] for f in found(folder, session=one)} == {one}


def test_a_request_tells_also_whose_session_asked_where_nothing_of_it_ever_ran(tmp_path: Path) -> None:
    """The command was refused until somebody says yes: the opening says who that was, and for whom."""
    store = new_store(tmp_path)
    agent, told, book = replace(session(), identity=Identity("claude", "agent", on_behalf_of=BOB)), Told(), journal(store)
    book.opened(agent, {}, told)
    book.refuse(agent, 1, replace(denied("UPDATE providers SET accepting = false"), request="r-1"))
    book.flush()
    fill(store, 1)
    store.close()
    assert [f.record.kind for f in found(tmp_path, request="r-1")] == [Kind.OPENED, Kind.REFUSAL]


def test_a_session_is_named_by_the_beginning_of_its_id_where_no_other_begins_so(tmp_path: Path) -> None:
    """Searched, shown and exported so; a bundle is of the whole id. Of several all are said, and nothing is shown."""
    store = new_store(tmp_path)
    ids = [f"0193a2b4-{n}000-7000-8000-000000000000" for n in (1, 2)]
    for one in ids:
        fill(store, 1, session(id=one))
    store.close()
    for words in (("search", "--session", "0193A2B4-1"), ("show", "0193a2b4-1"), ("tail", "--session", "0193a2b4-1")):
        told = CliRunner().invoke(main, ["audit", *words, "--json", "--store", str(tmp_path / "audit")], catch_exceptions=False)
        assert told.exit_code == 0 and {json.loads(line)["session"] for line in told.stdout.splitlines()} == {ids[0]}, words
    several = CliRunner().invoke(main, ["audit", "show", "0193a2b4", "--store", str(tmp_path / "audit")], catch_exceptions=False)
    when = "2024-12-07T19:58:49Z on clinic"
    assert several.exit_code == 3 and several.stdout == "" and f"2 sessions begin with 0193a2b4: {ids[0]} ({when}" in several.stderr, several.stderr
    words = ["export", "--session", "0193a2b4-2", "--out", str(tmp_path / "bundle"), "--store", str(tmp_path / "audit")]
    assert CliRunner().invoke(main, ["audit", *words], catch_exceptions=False).exit_code == 0
    assert json.loads((tmp_path / "bundle" / "MANIFEST.json").read_text())["query"] == {"session": ids[1]}


def test_what_agents_did_and_for_whom_is_found_from_their_sessions_opening(folder: Path) -> None:
    """Records that carry no kind themselves too; not what the person did who is acted for. A bundle says that it was asked for so."""
    did = [f.record.kind for f in found(folder, identity_kind="agent")]
    assert did[:2] == [Kind.OPENED, Kind.INTENT] and Kind.REFUSAL not in did
    assert [f.record.kind for f in found(folder, on_behalf_of=BOB)] == did == [f.record.kind for f in found(folder, identity_kind="agent", on_behalf_of=BOB)]
    assert [f.record.kind for f in found(folder, identity_kind="human", identity=BOB)] == [Kind.OPENED, Kind.REFUSAL]
    assert not found(folder, identity_kind="workload") and not found(folder, on_behalf_of="ada@clinic.example")
    assert Query(identity_kind="agent", on_behalf_of=BOB).described() == {"identity_kind": "agent", "on_behalf_of": BOB}
    with pytest.raises(BadQuery, match="human, workload or agent"):
        Query(identity_kind="robot")


def test_what_an_agents_session_asked_people_for_is_what_the_agent_did(tmp_path: Path) -> None:
    """Control's note of the request carries no session, it names it."""
    store = new_store(tmp_path)
    agent = replace(session(), identity=Identity("claude", "agent", on_behalf_of=BOB))
    fill(store, 1, agent)
    for who in (agent.id, session().id):
        facts = {"subject": "claude", "session": who, "request": "r-1"}
        store.commit([store.own(event(Kind.ADMIN, "request.submitted", 1, 1), pack([facts]))])
    store.close()
    for query in ({"identity_kind": "agent"}, {"on_behalf_of": BOB}):
        assert [f.record.kind for f in found(tmp_path, **query)].count(Kind.ADMIN) == 1


def test_what_became_of_a_sessions_request_is_found_by_its_kind_and_time_too(tmp_path: Path) -> None:
    """Only the note of its submission says whose it is, and that one is of another kind, and from before."""
    store, who = new_store(tmp_path), session()
    fill(store, 1, who)
    for what, facts in (("request.submitted", {"session": who.id, "request": "r-1"}), ("request.withdrawn", {"request": "r-1"}), ("request.withdrawn", {"request": "r-2"})):
        store.commit([store.own(event(Kind.ADMIN, what, 1, 1), pack([facts]))])
    store.close()
    whole = found(tmp_path, session=who.id)
    assert [one.record.get("what") for one in whole[-2:]] == ["request.submitted", "request.withdrawn"]
    last = [whole[-1].record]
    assert [one.record for one in found(tmp_path, session=who.id, kind="request.withdrawn")] == last
    assert [one.record for one in found(tmp_path, session=who.id, since_ns=last[0].stamp.time_ns)] == last


def test_text_is_found_in_any_case_and_only_in_opened_bodies(folder: Path) -> None:
    assert [f.record.kind for f in found(folder, text="drop table PATIENTS")] == [Kind.REFUSAL]
    assert found(folder, text="secret-2")  # a parameter's value
    assert not found(folder, text="drop table", opened=False)


def test_what_was_done_to_settings_is_found_by_its_name(folder: Path) -> None:
    """It is in clear, so that no key is needed; a target's name is no text."""
    named = {f.record.fields[6] for f in found(folder, kind="notary")}
    assert named and all(found(folder, text=one, opened=False) for one in named)
    assert not found(folder, text="clinic", kind="intent", opened=False)


def test_bodies_that_stay_closed_change_no_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in clear shows that a record does not match: each filter alone, and with each other."""
    bodies = keys.load(folder, "test-gw").bodies
    with closing(StoppedView(folder / "audit")) as view:
        every = [row for number in sorted(view.present()) for row in rows(view, number)]

    def answered(filters: dict[str, Any]) -> list[tuple[object, ...]]:
        finder = Search(Query(**filters), bodies)
        if finder.follows:
            for row in every:
                finder.learn(parse_leaf(row[1]))
        matches = filter(None, map(finder.feed, every))
        return [(one.record, one.identity, one.plain, one.protocol) for one in matches]

    sessions = {str(UUID(bytes=record.session)) for record in (parse_leaf(row[1]) for row in every) if record.session}
    kinds = ("opened", "intent", "refusal", "outcome", "closed", "note", "admin", "login.*")
    filters = [
        *({"session": one} for one in sorted(sessions)), {"session": "0" * 8}, *({"kind": kind} for kind in kinds),
        {"verdict": "deny"}, {"since_ns": 1}, {"until_ns": 2}, {"identity": BOB}, {"identity_kind": "agent"}, {"on_behalf_of": BOB}, {"target": "clinic"},
        {"text": "patients"}, {"text": "select"}, {"request": "r1"}, {"alarm": True}, {"disclosed": "*"},
    ]
    asked = [a | b for a in filters for b in filters if a is b or not set(a) & set(b)]
    answers = [answered(both) for both in asked]
    monkeypatch.setattr(Search, "_is_another", lambda self, record: False)
    for both, answer in zip(asked, answers, strict=True):
        assert answer == answered(both), both
    assert sum(map(bool, answers)) > 50 < len(asked) - sum(map(bool, answers))


def test_without_the_body_key_what_is_in_clear_is_still_there(folder: Path) -> None:
    shown = [f.shown() for f in found(folder, opened=False)]
    assert len(shown) == len(found(folder)) and not any("body" in s for s in shown)
    assert any(s.get("verdict") == "deny" for s in shown)


def test_times_bound_what_is_found(folder: Path) -> None:
    everything = found(folder)
    middle = everything[len(everything) // 2].record.stamp.time_ns
    before, after = found(folder, until_ns=middle), found(folder, since_ns=middle)
    assert len(before) + len(after) == len(everything) and before and after


def test_times_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_time("90m", now=10_000.0) == (10_000 - 5400) * 10**9
    assert parse_time("1970-01-02") == 86400 * 10**9
    assert parse_time("1970-01-01T01:00Z") == 3600 * 10**9
    assert parse_time("1970-01-01T01:00:30+01:00") == 30 * 10**9
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert parse_time("1970-01-01T00:00") == 0  # UTC wherever we are
    monkeypatch.undo()
    time.tzset()
    for wrong in ("yesterday", "", "12", "2026-13-01", "5x"):
        with pytest.raises(BadQuery):
            parse_time(wrong)


def test_filters_that_mean_nothing_say_so() -> None:
    with pytest.raises(BadQuery, match="intent"):
        Query(kind="statement")
    with pytest.raises(BadQuery):
        Query(verdict="maybe")


def test_a_terminal_gets_no_control_characters(folder: Path) -> None:
    """A statement is a stranger's text; an escape sequence in it could rewrite the auditor's screen."""
    assert clean("a\x1b[2J\nb\u202e\x07") == "a\\x1b[2J\\nb\\u202e\\x07"
    for one in found(folder):
        row = table_row(one.shown(), one.identity)
        assert row.isprintable() and summary(one.shown()) is not None


def test_a_listing_is_cut_for_a_terminal_alone(folder: Path) -> None:
    """To its width, with a sign that there was more; a file and a program get all of it."""
    long = {"time": "2026-11-22T10:00:00.123456789Z", "segment": 1, "index": 2, "kind": "intent", "verdict": "allow", "target": "t" * 30,
            "fields": {}, "body": {"text": "SELECT " + "x, " * 200}}  # fmt: skip
    whole = table_row(long, "a" * 40)
    assert "a" * 40 in whole and "t" * 30 in whole and whole.endswith("x,") and "…" not in whole
    for width in (80, 120, 150, 200):
        row = table_row(long, "a" * 40, width=width)
        assert len(row) % width == 0 and len(row) <= 104 + 40 + width and row.endswith("…") and "t" * 15 + "…" in row
        assert "…" not in table_row({**long, "target": "clinic", "body": {"text": "SELECT 1"}}, "ada", width=width)


@pytest.mark.parametrize(
    ("facts", "who"),
    [
        ({"subject": "ada", "os_user": "root (uid 0)", "channel": "cli"}, "root (uid 0)"),  # session kill, token revoke: ada is on whom
        ({"subject": "ada", "with_token": "t-1", "os_user": "root (uid 0)"}, "ada"),  # request submit: her token proved her
        ({"by": "grace", "subject": "ada", "os_user": "root (uid 0)"}, "grace"),
        ({"subject": "ada"}, "ada"),
    ],
)
def test_who_did_something_is_not_on_whom_it_was_done(facts: dict[str, str], who: str) -> None:
    assert doer(facts) == who


def test_what_is_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not an evidence store"):
        open_view(tmp_path)


def test_a_stopped_store_that_is_read_keeps_a_notary_out(folder: Path) -> None:
    view = StoppedView(folder / "audit")
    try:
        with pytest.raises(Exception, match="another notary"):
            new_store(folder)
    finally:
        view.close()


def test_times_are_taken_as_listings_print_them_and_a_span_that_is_none_is_refused() -> None:
    whole = parse_time("2026-11-22T10:00:30Z")
    assert parse_time("2026-11-22T10:00:30.123Z") == whole + 123_000_000
    assert parse_time("2026-11-22T11:00:30.123456789+01:00") == whole + 123_456_789
    assert parse_time("2026-11-22T10:00:30") == whole  # without a zone it is UTC
    with pytest.raises(BadQuery, match="not before"):
        Query(since_ns=2, until_ns=2)
