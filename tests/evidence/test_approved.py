"""Who approved: records without a session that a session's commands refer to, found, exported and told."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from auditor import verifier
from click.testing import CliRunner, Result
from recorded import DONE, Told, allowed, fill, journal, new_store, session

from gateway.cli.main import main
from gateway.notary import keys
from gateway.notary.record import Kind, event, pack
from gateway.notary.store import Store

BINDING = b"b" * 32
PAT = "pat@clinic.example"


def told(store: Store, what: str, **facts: str) -> None:
    """A note of control's: it has no session."""
    store.commit([store.own(event(Kind.ADMIN, what, 1, 1), pack([facts]))])


def approved(store: Store, number: int, session_id: str) -> None:
    name = f"r-{number}"
    told(store, "request.submitted", request=name, subject="ada", session=session_id)
    told(store, "request.approved", request=name, by=PAT, why="ticket 7")
    packed = event(Kind.APPROVAL, f"g-{number}", BINDING, 1 << 62, 1, name)
    store.commit([store.own(packed, pack([{"approvers": PAT}]))])
    told(store, "request.granted", request=name, grant=f"g-{number}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Ada's session, with one approved command; and another session's approval that must not be found."""
    folder = tmp_path_factory.mktemp("approved")
    store, ada, waiter = new_store(folder), session(), Told()
    book = journal(store)
    approved(store, 2, fill(store, 1).id)
    approved(store, 1, ada.id)
    store.rotate("the approval is in an older segment")
    book.opened(ada, {}, waiter)
    decision = replace(allowed("DELETE FROM visits"), grant="g-1", request="r-1", binding=BINDING)
    book.intend(ada, 1, decision, waiter)
    book.flush()
    book.report(ada, 1, decision, DONE, 10)
    book.closed(ada, "bye")
    book.flush()
    store.close()
    return folder, ada.id


def ostiary(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, words)], catch_exceptions=False)


def what(result: Result) -> list[str]:
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return [line["fields"].get("what") or line["kind"] for line in lines]


def test_control_s_notes_about_a_target_are_found_by_its_name(tmp_path: Path) -> None:
    """Its secrets, its checks, and whole requests, of which only the asking names it; nothing of another's."""
    store = new_store(tmp_path)
    told(store, "account.secret", target="archive", account="rw")
    told(store, "request.submitted", request="r-9", subject="ada", target="archive")
    told(store, "account.secret", target="other", account="rw")
    told(store, "request.submitted", request="r-8", subject="ada", target="other")
    told(store, "request.denied", request="r-8", by=PAT)
    told(store, "request.denied", request="r-9", by=PAT)
    store.close()
    found = ostiary("search", "--store", tmp_path / "audit", "--target", "archive", "--json")
    assert what(found) == ["account.secret", "request.submitted", "request.denied"] and '"other"' not in found.stdout


NOTES = ["request.submitted", "request.approved", "approval", "request.granted"]


def test_a_session_comes_with_what_approved_its_commands(place: tuple[Path, str]) -> None:
    folder, who = place
    found = ostiary("search", "--store", folder / "audit", "--session", who, "--json")
    assert what(found) == [*NOTES, "opened", "intent", "outcome", "closed"]
    assert '"r-2"' not in found.stdout
    assert what(ostiary("show", who, "--store", folder / "audit", "--json")) == what(found)


def test_a_request_is_found_with_its_command_and_outcome(place: tuple[Path, str]) -> None:
    folder, _ = place
    found = ostiary("search", "--store", folder / "audit", "--request", "r-1", "--json")
    assert what(found) == [*NOTES, "opened", "intent", "outcome"]
    assert what(ostiary("search", "--store", folder / "audit", "--request", "r-2", "--json")) == NOTES
    assert what(ostiary("show", "r-1", "--store", folder / "audit", "--json")) == what(found)


def test_the_table_names_who_approved(place: tuple[Path, str]) -> None:
    folder, who = place
    rows = ostiary("search", "--store", folder / "audit", "--session", who).stdout.splitlines()
    answered = [row for row in rows if "request.approved" in row or " approval " in row]
    assert len(answered) == 2 and all(PAT in row[:90] for row in answered)


def test_who_ended_a_session_belongs_to_it(tmp_path: Path) -> None:
    """An operator's kill, a reload that ended several, and who watched it; nothing of another's. Its export has them, too."""
    store, ada, other, waiter = new_store(tmp_path), session(), session(), Told()
    book = journal(store)
    for one in (ada, other):
        book.opened(one, {}, waiter)
        book.flush()
        told(store, "session.killed", by=PAT, session=one.id, subject="ada", why="enough")
    told(store, "session.ended", sessions=f"{other.id} {ada.id}", why="a reload of the configuration ended it")
    told(store, "session.ended", sessions=other.id, why="a reload of the configuration ended it")
    told(store, "watched", by=PAT, session=ada.id, recording="")
    book.closed(ada, "an operator ended this session")
    book.flush()
    store.close()
    wanted = ["opened", "session.killed", "session.ended", "watched", "closed"]
    found = ostiary("search", "--store", tmp_path / "audit", "--session", ada.id, "--json")
    assert what(found) == wanted and PAT in found.stdout
    assert what(ostiary("show", ada.id, "--store", tmp_path / "audit", "--json")) == wanted
    verified(tmp_path, tmp_path / "out", "--session", ada.id)
    lines = (tmp_path / "out" / "readable" / "records.jsonl").read_text().splitlines()
    assert [line["fields"].get("what") or line["kind"] for line in map(json.loads, lines)] == wanted


def verified(folder: Path, out: Path, *query: str) -> str:
    """What the verifier says of an export of a stopped store, which no record of the log speaks of."""
    assert ostiary("export", "--store", folder / "audit", "--out", out, *query).exit_code == 0
    command = [sys.executable, out / "verify.py", "--key", folder / keys.FOLDER / keys.PUBLIC]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stdout
    return ran.stdout


def test_the_bundles_verifier_tells_of_the_session_and_its_approver(place: tuple[Path, str], tmp_path: Path) -> None:
    folder, who = place
    text = verified(folder, tmp_path / "whole", "--session", who)
    assert f"session {who} of ada@clinic.example: complete, records 0..3" in text
    assert f"grant g-1 of request r-1, spent 1 time: asked by ada@clinic.example; approved by {PAT}; distinct: yes\n" in text
    text = verified(folder, tmp_path / "part", "--session", who, "--kind", "intent")
    assert "INCOMPLETE, without record 0 of 0..1" in text and "grant g-1 is not in this bundle" in text


def test_a_grant_for_another_command_is_told() -> None:
    intent = [20, b"s" * 16, 1, "", 1, None, 1, "", "", "g", "r", b"other"]
    approval = [40, b"", 0, "", 0, None, "g", BINDING, 1, 1, "r"]
    assert "FOR ANOTHER COMMAND" in next(verifier.told_grants(verifier.grants_of([(approval, [{"approvers": PAT}]), (intent, None)])))


@pytest.mark.parametrize(
    ("numbers", "closed", "says"),
    [({0, 1, 2}, 2, "complete"), ({0, 2}, 2, "without record 1"), ({0, 1}, None, "no close"), ({0, 1}, 0, "worker")],
)
def test_a_sessions_numbers_are_judged(numbers: set[int], closed: int | None, says: str) -> None:
    assert says in verifier.run_of(numbers, closed)[1]


def test_what_is_wrong_is_said_and_json_is_json(place: tuple[Path, str], tmp_path: Path) -> None:
    folder, who = place
    out = tmp_path / "bundle"
    verified(folder, out, "--session", who)
    assert "remove this one" in ostiary("export", "--store", folder / "audit", "--out", out).stderr
    assert "nope: no such file" in ostiary("verify", folder / "audit", "--key", "nope").stderr
    ran = subprocess.run([sys.executable, out / "verify.py", "--key", "nope"], capture_output=True, check=False)
    assert ran.returncode == 3 and b"nope: no such file" in ran.stderr
    shown = json.loads(ostiary("verify", out, "--key", folder / keys.FOLDER / keys.PUBLIC, "--json").stdout)
    assert shown["code"] == 2 and shown["sessions"][0]["state"] == "complete"


def test_a_reader_that_has_enough_is_no_error(place: tuple[Path, str]) -> None:
    command = [sys.executable, "-m", "gateway.cli.main", "audit", "search", "--store", str(place[0] / "audit")]
    ran = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parent.parent.parent
    )
    assert ran.stdout is not None and ran.stderr is not None
    ran.stdout.close()
    assert b"roken pipe" not in ran.stderr.read() and ran.wait() == 141
    ran.stderr.close()
