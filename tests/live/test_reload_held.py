"""
A reload while statements are held: each is judged again by the new policy, in its own live session.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.house import ADA, BENCH, EVERYTHING, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

ASKING = {"name": "ask", "classes": ["write-unfiltered"], "verdict": "approve", "approvers": ["approvers"], "mode": "hold"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    postgres15.sql("DROP TABLE IF EXISTS reloaded; CREATE TABLE reloaded (v int); INSERT INTO reloaded VALUES (0)")
    with House(tmp_path_factory.mktemp("reload"), postgres15, rules=[ASKING], workers=2) as made:
        yield made


@pytest.fixture(autouse=True)
def asking(house: House) -> None:
    house.server.sql("UPDATE reloaded SET v = 0")
    ruled(house, ASKING)


def ruled(house: House, *rules: dict[str, Any], default: dict[str, str] = EVERYTHING) -> None:
    """Another policy, in force."""
    policy = next(one for one in house.addons if one["use"].endswith("Policy"))
    policy["rules"], policy["default"] = list(rules), dict(default)
    house.reload()


def held(house: House, value: int) -> tuple[Future[Any], psycopg.Connection[Any], str, list[str]]:
    """A statement that waits in a live session: its answer, its connection, its request, its notices."""
    connection = house.connect(ADA)
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(f"{notice.message_primary} {notice.message_detail} {notice.message_hint}"))
    answer: Future[Any] = Future()

    def run() -> None:
        try:
            answer.set_result(connection.execute(f"UPDATE reloaded SET v = {value}").rowcount)
        except BaseException as error:
            answer.set_exception(error)

    known = {one["id"] for one in house.requests()}
    threading.Thread(target=run, daemon=True).start()
    until(lambda: {one["id"] for one in house.requests()} - known, "the request")
    (request,) = {one["id"] for one in house.requests()} - known
    return answer, connection, request, notices


def now(house: House) -> str:
    return house.server.sql("SELECT v FROM reloaded")


def test_what_the_new_policy_denies_is_refused_in_its_session(house: House) -> None:
    answer, connection, _, _ = held(house, 1)
    ruled(house, {"name": "never", "classes": ["write-unfiltered"], "verdict": "deny", "reason": "Not any more."})
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="Not any more"):
        answer.result(30)
    assert now(house) == "0" and house.requests() == []
    assert connection.execute("SELECT 1").fetchone() == (1,), "the session lives"
    connection.close()


def test_what_the_new_policy_allows_goes_on_by_itself(house: House) -> None:
    answer, connection, request, _ = held(house, 2)
    ruled(house)
    assert answer.result(30) == 1 and now(house) == "2"
    shown = house.call("request_show", request=request)
    assert shown["state"] == "withdrawn" and "policy" in str(shown)
    connection.close()


def test_what_still_needs_a_person_is_asked_anew_and_the_old_answer_counts_no_more(house: House) -> None:
    """The old request's approver may be nobody who may approve by the new policy."""
    answer, connection, request, notices = held(house, 3)
    ruled(house, {**ASKING, "quorum": 2})
    until(lambda: [one["id"] for one in house.requests()] not in ([request], []), "the new request")
    (again,) = [one["id"] for one in house.requests()]
    assert again != request
    with pytest.raises(SystemExit):
        house.approve(request)
    house.approve(again)
    assert not answer.done(), "two have to agree now"
    house.approve(again, "hope@clinic.example")
    assert answer.result(30) == 1 and now(house) == "3"
    assert len([text for text in notices if again in text]) == 1, notices
    connection.close()


def test_a_client_that_leaves_after_the_reload_takes_the_new_question_with_it(house: House) -> None:
    answer, connection, request, _ = held(house, 4)
    ruled(house, {**ASKING, "reason": "Asked otherwise."})
    until(lambda: [one["id"] for one in house.requests()] not in ([request], []), "the new request")
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:  # libpq is at work on it in a thread: it must not be freed
        raw.shutdown(socket.SHUT_RDWR)
    until(lambda: not house.requests(), "nobody waits")
    assert isinstance(answer.exception(30), psycopg.Error) and now(house) == "0"


def test_every_question_and_its_end_are_in_the_evidence(house: House, tmp_path: Path) -> None:
    told = [one["body"]["facts"] for one in house.records() if one["fields"].get("what", "").startswith("request.")]
    assert any("the policy has changed" in str(facts) for facts in told)
    assert house.verify().returncode in (0, 2)


def test_a_session_ends_when_a_reload_changes_whose_it_is(house: House) -> None:
    """Nobody keeps groups by staying that others cannot get any more. Whom it leaves as they were stay."""
    before = house._people
    with house.connect(ADA) as changed, house.connect(BENCH) as same:
        try:
            house._people = {**before, ADA: {**before[ADA], "groups": ["elsewhere"]}}
            house.reload()
            with pytest.raises(psycopg.OperationalError, match="a reload changed who you are here|closed"):
                changed.execute("SELECT 1")
            assert same.execute("SELECT 1").fetchone() == (1,)
        finally:
            house._people = before
            house.reload()


def admitting(house: House, *names: str) -> None:
    """Another list of who is let in, in force."""
    house.addons[0]["rules"] = [{"identities": list(names), "targets": ["db"]}] if names else [{"kinds": ["human", "workload", "agent"], "targets": ["db"]}]
    house.reload()


def test_a_session_ends_when_a_reload_takes_its_access_away(house: House) -> None:
    """Also one in a transaction with a cursor. Whom the file still lets in stays."""
    try:
        with house.connect(ADA, autocommit=False) as out, house.connect(BENCH) as stays:
            out.execute("UPDATE reloaded SET v = 5 WHERE v = 0")
            out.execute("DECLARE few CURSOR FOR SELECT generate_series(1, 9)")
            admitting(house, BENCH)
            with pytest.raises(psycopg.OperationalError, match="a reload took your access away|closed"):
                out.execute("FETCH few")
            assert stays.execute("SELECT 1").fetchone() == (1,)
        until(lambda: [one for one in house.records() if "a reload took your access away" in str(one)], "its end in the evidence")
        assert now(house) == "0"
    finally:
        admitting(house)


def test_what_is_held_never_runs_when_the_reload_that_would_allow_it_takes_access_away(house: House) -> None:
    answer, _, request, _ = held(house, 6)
    try:
        house.addons[0]["rules"] = [{"identities": [BENCH], "targets": ["db"]}]
        ruled(house)
        assert isinstance(answer.exception(30), psycopg.Error)
        until(lambda: house.call("request_show", request=request)["state"] == "withdrawn", "the request is withdrawn")
        assert now(house) == "0"
    finally:
        admitting(house)


def test_a_killed_session_has_its_statement_stopped(house: House) -> None:
    """Nothing is committed behind a kill."""
    connection = house.connect(ADA)
    marked = "UPDATE reloaded SET v = 7 FROM pg_sleep(600) WHERE v >= 0"
    running = f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{marked[:40]}%'"
    ended: Future[Any] = Future()

    def run() -> None:
        try:
            ended.set_result(connection.execute(marked))
        except BaseException as error:
            ended.set_exception(error)

    ruled(house)
    threading.Thread(target=run, daemon=True).start()
    until(lambda: house.server.sql(running) == "1", "the statement runs")
    (session,) = [one["id"] for one in house.call("session_list") if one["subject"] == ADA]
    house.ostiary("session", "kill", session)
    assert isinstance(ended.exception(30), psycopg.Error)
    until(lambda: house.server.sql(running) == "0", "the statement is stopped", 20)
    assert now(house) == "0"
