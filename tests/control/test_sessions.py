"""Live sessions and their cancel keys; and a reload that removes people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from gateway.config import IdentityEntry
from gateway.control.admin import Admin
from gateway.control.errors import BadCall, Conflict, ControlUnavailable, NotFound
from gateway.control.office import Office
from gateway.control.sessions import Sessions
from test_process import config_of, of
from tests_people import ADA, GRACE, PEOPLE


class Worker:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, Any]] = []
        self.asked: list[tuple[str, Any]] = []
        self.answer: Deferred[None] = succeed(None)

    def push(self, name: str, value: Any) -> None:
        self.pushed.append((name, value))

    def ask(self, method: str, **arguments: Any) -> Deferred[None]:
        self.asked.append((method, arguments))
        return self.answer


@pytest.fixture
def two() -> tuple[Sessions, Worker, Worker]:
    """Two workers with a session each."""
    sessions, first, second = Sessions(), Worker(), Worker()
    sessions.opened(first, {"id": "1", "subject": ADA, "opened": 2.0})
    sessions.opened(second, {"id": "2", "subject": GRACE, "opened": 1.0})
    return sessions, first, second


Two = tuple[Sessions, Worker, Worker]


def test_they_are_listed_oldest_first_with_known_fields_only(two: Two) -> None:
    two[0].opened(two[1], {"id": "3", "subject": ADA, "opened": 3.0, "password": "x"})
    assert [one["id"] for one in two[0].listed()] == ["2", "1", "3"]
    assert "password" not in two[0].get("3")


def test_the_beginning_of_an_id_ends_that_session_and_none_where_it_begins_several() -> None:
    sessions, worker = Sessions(), Worker()
    ids = ["0193a2b4-1000", "0193a2b4-2000"]
    for one in ids:
        sessions.opened(worker, {"id": one, "subject": ADA, "target": "clinic", "opened": 1.0})
    told = rf"1970-01-01T00:00:01Z {ADA} on clinic"
    with pytest.raises(Conflict, match=rf"2 sessions begin with 0193a2b4: 0193a2b4-1000 \({told}\), 0193a2b4-2000 \({told}\)"):
        sessions.kill("0193a2b4", "why")
    with pytest.raises(NotFound):
        sessions.kill("0193", "why")
    assert worker.pushed == [] and sessions.get("0193A2B4-1")["id"] == ids[0]
    assert sessions.kill("0193a2b4-2", "why")["id"] == ids[1]
    assert worker.pushed == [("kill", {"session": ids[1], "why": "why"})]


def test_a_worker_cannot_close_anothers_session(two: Two) -> None:
    sessions, first, second = two
    sessions.closed(second, "1")
    assert len(sessions.listed()) == 2
    sessions.closed(first, "1")
    assert [one["id"] for one in sessions.listed()] == ["2"]
    sessions.closed(first, "1")


def test_a_lost_worker_loses_its_own_only(two: Two) -> None:
    sessions, first, second = two
    sessions.key(first, "1", 10, b"a")
    sessions.key(second, "2", 10, b"b")
    assert sessions.lost(first) == ["1"]
    assert sessions.cancel(10, b"a").result is False and sessions.cancel(10, b"b").result is True
    assert second.asked == [("cancel", {"session": "2"})] and first.asked == []


def test_keys_of_one_pid_are_told_apart(two: Two) -> None:
    """Each worker numbers by itself, so two sessions may show the same pid."""
    sessions, first, second = two
    sessions.key(first, "1", 10, b"a")
    sessions.key(second, "2", 10, b"b")
    assert [sessions.cancel(*key).result for key in ((10, b"b"), (10, b"c"), (11, b"a"))] == [True, False, False]
    assert (first.asked, second.asked) == ([], [("cancel", {"session": "2"})])


def test_a_cancel_is_answered_when_its_worker_has_dealt_with_it(two: Two) -> None:
    """Whoever asked sends his next statement then. A worker that is gone has nothing to cancel."""
    sessions, first, _ = two
    sessions.key(first, "1", 10, b"a")
    for dealt in (lambda answer: answer.callback(None), lambda answer: answer.errback(ControlUnavailable("gone"))):
        first.answer = Deferred()
        cancelled = sessions.cancel(10, b"a")
        assert not cancelled.called
        dealt(first.answer)
        assert cancelled.result is True


def test_a_key_ends_with_its_session(two: Two) -> None:
    sessions, first, _ = two
    sessions.key(first, "1", 10, b"a")
    sessions.closed(first, "1")
    assert sessions.cancel(10, b"a").result is False


def test_killing(two: Two) -> None:
    sessions, first, second = two
    sessions.kill("1", "why")
    assert (first.pushed, second.pushed) == ([("kill", {"session": "1", "why": "why"})], [])
    assert sessions.end_all(lambda session: session["subject"] == GRACE, "x") == ["2"]
    assert second.pushed == [("kill", {"session": "2", "why": "this session was ended: x [OST-651]"})]
    with pytest.raises(NotFound, match="ostiary session list"):
        sessions.kill("9", "why")


@pytest.mark.parametrize(("why", "told"), [
    ("laptop was stolen", "an operator ended this session: laptop was stolen [OST-650]"), ("", "an operator ended this session [OST-650]"),
], ids=["with a reason", "without"])  # fmt: skip
def test_whoever_is_killed_hears_who_did_it_and_why(office: Office, why: str, told: str) -> None:
    worker = Worker()
    office.sessions.opened(worker, {"id": "1", "subject": ADA})
    Admin(office, None).session_kill("1", why)
    assert worker.pushed == [("kill", {"session": "1", "why": told})]


def test_whose_token_is_revoked_hears_so(office: Office) -> None:
    worker, admin = Worker(), Admin(office, None)
    token = admin.token_issue(ADA, 60.0)["id"]
    office.sessions.opened(worker, {"id": "1", "subject": ADA, "token": token})
    admin.token_revoke(token)
    assert worker.pushed == [("kill", {"session": "1", "why": "this session was ended: the token was revoked [OST-651]"})]


@pytest.mark.parametrize("session", [{}, {"id": "1"}, {"id": 1, "subject": ADA}, {"subject": ADA}])
def test_a_session_has_an_id_and_a_subject(session: dict[str, Any]) -> None:
    with pytest.raises(BadCall):
        Sessions().opened(Worker(), session)


def test_a_reload_ends_whom_it_removes(office: Office, tmp_path: Path, notary: Any) -> None:
    """The identity, and agents that act for it; nobody else. Coming back needs a login."""
    worker, admin = Worker(), Admin(office, None)
    token = admin.token_issue(ADA, 60.0)["token"]
    for name, subject in (("1", ADA), ("2", "claude"), ("3", GRACE)):
        office.sessions.opened(worker, of(subject, name))
    without = {subject: entry for subject, entry in PEOPLE.items() if subject != ADA}
    assert office.reload(replace(config_of(tmp_path), identities=without)) == ["1", "2"]
    assert [value["session"] for _, value in worker.pushed] == ["1", "2"]
    assert notary.notes[-1][0] == "session.ended" and notary.notes[-1][1]["sessions"] == "1 2"
    with pytest.raises(NotFound):
        admin.identity_show(ADA)
    assert office.tokens.prove(ADA, token) is not None and office.identities.live(ADA) is None


def test_a_reload_that_removes_nobody_ends_nothing(office: Office, tmp_path: Path) -> None:
    worker = Worker()
    office.sessions.opened(worker, of(ADA, "1"))
    assert office.reload(config_of(tmp_path)) == [] and worker.pushed == []


def test_whom_a_reload_makes_somebody_else_of_the_same_name_logs_in_again(office: Office, tmp_path: Path) -> None:
    """The store has had her all along, in other groups; while the file had her, the file's counted."""
    worker, admin = Worker(), Admin(office, None)
    admin.identity_add("carol", "human", ["temps"])
    named = IdentityEntry("carol", "human", frozenset({"privacy"}))
    office.reload(replace(config_of(tmp_path), identities={**PEOPLE, "carol": named}))
    as_file, as_store = ({"id": group, "subject": "carol", "kind": "human", "groups": [group], "on_behalf_of": None} for group in ("privacy", "temps"))
    office.sessions.opened(worker, as_file)
    assert office.reload(config_of(tmp_path)) == ["privacy"]
    office.sessions.closed(worker, "privacy")
    office.sessions.opened(worker, as_store)
    assert office.reload(config_of(tmp_path)) == [] and len(worker.pushed) == 1
