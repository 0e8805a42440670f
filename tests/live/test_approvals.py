"""
Another person's word, in live sessions: held statements are released, denied, timed out, cancelled or left;
retried ones pass once, unchanged, in time. Whatever is not released is never seen by the server.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.house import ADA, CLAUDE, GRACE, HOPE, PATIENCE, TARGET, House, environment, until

pytestmark = pytest.mark.live

_marks = itertools.count(1)


@pytest.fixture()
def mark() -> str:
    """A word that only this test's statements hold, so that the server's log can be asked for them."""
    return f"mark_{os.getpid()}_{next(_marks)}"


@pytest.fixture(autouse=True)
def nothing_left(house15: House) -> Iterator[None]:
    """Every test ends its questions, and the wards are as they were."""
    yield
    for one in house15.requests():
        with suppress(SystemExit):  # whoever asked has just left
            house15.deny(one["id"])
    house15.server.sql("UPDATE wards SET beds = id * 10; UPDATE hurried SET v = 1; UPDATE precious SET v = 1", "clinic")


def emptying(mark: str, table: str = "wards", column: str = "beds") -> str:
    """An update of every row, which needs an approval."""
    return f"UPDATE {table} SET {column} = 77 /* {mark} */"


def reached(house: House, mark: str) -> int:
    """How often the server was asked to run it."""
    return sum(mark in text for text in house.server.statements())


def behind(work: Callable[[], Any]) -> Future[Any]:
    """Do it in a thread."""
    answer: Future[Any] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


def pending(house: House, mark: str) -> str:
    """The id of the request about a mark's statement, once it waits."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [one["id"] for one in house.requests() if mark in house.call("request_show", request=one["id"])["text"]]
        return bool(found)

    until(look, "the request")
    return found[0]


def held(house: House, text: str, mark: str, subject: str = ADA, **more: object) -> tuple[Future[Any], str, psycopg.Connection[Any]]:
    """A statement that waits, the id it waits for, and its session."""
    connection = house.connect(subject, **more)
    work = behind(lambda: connection.execute(text).rowcount)
    return work, pending(house, mark), connection


# -- hold ---------------------------------------------------------------------------------------


def test_psql_is_told_whom_it_waits_for_and_goes_on_when_approved(house15: House, mark: str) -> None:
    """The notice, with the request's id; then the result, in the same session. By `ostiary request approve`."""
    running = subprocess.Popen(
        ["psql", "-X"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment(house15.facts(ADA))},
    )  # fmt: skip
    assert running.stdin is not None and running.stderr is not None
    running.stdin.write(f"{emptying(mark)};\nSELECT 'next';\n")
    running.stdin.flush()
    request = pending(house15, mark)
    notice = [running.stderr.readline() for _ in ("NOTICE", "DETAIL", "HINT")]
    assert notice[0].startswith("NOTICE:") and all(request in line for line in notice[1:]) and reached(house15, mark) == 0
    said = house15.ostiary("request", "approve", request, "--as", GRACE, token=house15.token(GRACE))
    assert said.returncode == 0, said.stderr
    out, _ = running.communicate("", timeout=PATIENCE)
    assert "UPDATE 3" in out and "next" in out and reached(house15, mark) == 1


def test_denied_is_an_error_with_the_approvers_words(house15: House, mark: str) -> None:
    work, request, connection = held(house15, emptying(mark), mark)
    said = house15.ostiary("request", "deny", request, "--as", GRACE, "--why", "not on a Friday", token=house15.token(GRACE))
    assert said.returncode == 0, said.stderr
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not on a Friday"):
        work.result(PATIENCE)
    assert connection.execute("SELECT 1").fetchone() == (1,) and reached(house15, mark) == 0
    connection.close()
    told = {one["fields"]["what"]: one["body"]["facts"] for one in house15.records("--request", request, "--kind", "admin")}
    asked, refused = told["request.submitted"], told["request.denied"]
    assert asked["text"] == emptying(mark) and (asked["subject"], asked["channel"], asked["database"]) == (ADA, "session", "clinic")
    assert (refused["by"], refused["subject"], refused["why"], refused["channel"]) == (GRACE, ADA, "not on a Friday", "cli")
    assert refused["os_user"].endswith(f"(uid {os.getuid()})")
    issued = house15.records("--identity", GRACE, "--kind", "admin", "--text", refused["with_token"])
    assert "token.issued" in [one["fields"]["what"] for one in issued]


@pytest.mark.parametrize("sslmode", ["require", "disable"])
def test_a_session_names_the_token_that_opened_it_and_the_configuration_that_judged_it(house15: House, sslmode: str) -> None:
    """From the token's issue to each of its uses, by password and by SCRAM; and by which rules."""
    with house15.connect(HOPE, sslmode=sslmode) as connection:
        connection.execute("SELECT 1")
    opened = house15.records("--kind", "opened", "--identity", HOPE)[-1]
    token = house15.token(HOPE).split("_")[1]
    assert opened["body"]["facts"]["client_token"] == token and opened["body"]["proof"] == ("token" if sslmode == "require" else "scram")
    assert "token.issued" in [one["fields"].get("what") for one in house15.records("--text", token)]
    configuration = house15.records("--session", opened["session"])[0]
    assert configuration["body"]["facts"]["revision"] == str(opened["fields"]["policy_revision"])
    assert configuration["body"]["facts"]["text"] == house15.file.read_text()


def test_what_somebody_asked_and_then_left_is_found_in_the_evidence(house15: House, mark: str) -> None:
    """It never ran, and nothing but the request's note holds its text and values."""
    connection = house15.connect(ADA)
    work = behind(lambda: connection.execute(f"UPDATE wards SET beds = %s /* {mark} */", ["58"]))
    request = pending(house15, mark)
    connection.cancel()
    with pytest.raises(psycopg.Error):
        work.result(PATIENCE)
    connection.close()
    told = house15.records("--text", mark, "--kind", "admin", "--identity", ADA)
    [asked] = [one for one in told if one["fields"]["what"] == "request.submitted"]  # that it is searched for is recorded, too
    assert asked["body"]["facts"]["request"] == request and "58" in str(asked["body"]["facts"]["parameters"])
    until(lambda: any(one["fields"]["what"] == "request.withdrawn" for one in house15.records("--request", request, "--kind", "admin")), "its end")
    assert reached(house15, mark) == 0


def test_nobody_answers(house15: House, mark: str) -> None:
    """The rule waits half a second; then it is an error, and the session goes on."""
    with house15.connect(ADA) as connection:
        with pytest.raises(psycopg.Error, match="OST-3"):
            connection.execute(emptying(mark, "hurried", "v"))
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert reached(house15, mark) == 0


def test_parameters_are_shown_and_bound(house15: House, mark: str) -> None:
    """The extended protocol: what is approved is the statement with exactly these values."""
    connection = house15.connect(ADA)
    work = behind(lambda: connection.execute(f"UPDATE wards SET beds = %s /* {mark} */", [55]).rowcount)
    request = pending(house15, mark)
    shown = house15.call("request_show", request=request)
    assert shown["parameters"] == [{"type": 21, "hex": "0037"}]  # psycopg sends 55 as a binary smallint
    house15.approve(request)
    assert work.result(PATIENCE) == 3
    assert connection.execute("SELECT count(*) FROM wards WHERE beds = 55").fetchone() == (3,)
    connection.close()


def test_values_too_long_to_be_held_are_shown_and_bound_by_digest(house15: House, mark: str) -> None:
    """The grant is for exactly these two megabytes: one byte of them changed is another question."""
    text, value = f"UPDATE wards SET beds = 55 WHERE length(%s::text) > 1 /* {mark} */", "ward " * 400_000
    with house15.connect(CLAUDE) as connection:
        refused(connection, text, value)
        request = pending(house15, mark)
        said = house15.ostiary("request", "show", request)
        assert f"2000000 bytes, SHA-256 {hashlib.sha256(value.encode()).hexdigest()}" in said.stdout, said.stderr
        house15.approve(request)
        refused(connection, text, value[:-1] + "!")
        assert reached(house15, mark) == 0
        assert connection.execute(text, [value]).rowcount == 3


def test_two_people_where_the_rule_wants_two(house15: House, mark: str) -> None:
    """The same person twice is one; the second person's yes releases it."""
    work, request, connection = held(house15, emptying(mark, "precious", "v"), mark)
    house15.approve(request, GRACE)
    with pytest.raises(SystemExit):
        house15.approve(request, GRACE)
    assert not work.done() and reached(house15, mark) == 0
    house15.approve(request, HOPE)
    assert work.result(PATIENCE) == 1
    connection.close()


@pytest.mark.parametrize(("asker", "answerer"), [(ADA, ADA), (CLAUDE, ADA)], ids=["oneself", "on_behalf_of"])
def test_requester_and_principal_never_count(house15: House, mark: str, asker: str, answerer: str) -> None:
    """The rule lets engineers approve; ada is one, but neither for herself nor for her agent."""
    if asker == ADA:
        work, request, connection = held(house15, emptying(mark), mark)
    else:
        with house15.connect(CLAUDE) as agent, pytest.raises(psycopg.Error):
            agent.execute(emptying(mark))
        request = pending(house15, mark)
    with pytest.raises(SystemExit):
        house15.approve(request, answerer)
    tried: list[Any] = []

    def recorded() -> bool:
        tried[:] = [one["body"]["facts"] for one in house15.records("--request", request) if one["fields"].get("what") == "control.refused"]
        return bool(tried)

    until(recorded, "the record of the try")
    assert [(one["by"], one["tried"], one["code"]) for one in tried] == [(answerer, "request approve", "OST-605")]
    house15.deny(request)
    assert reached(house15, mark) == 0
    if asker == ADA:
        assert isinstance(work.exception(PATIENCE), psycopg.Error)
        connection.close()


def test_approving_twice_runs_it_once(house15: House, mark: str) -> None:
    work, request, connection = held(house15, emptying(mark), mark)
    house15.approve(request, GRACE)
    assert work.result(PATIENCE) == 3
    with pytest.raises(SystemExit):
        house15.approve(request, HOPE)
    assert reached(house15, mark) == 1
    work = behind(lambda: connection.execute(emptying(mark)).rowcount)
    again = pending(house15, mark)
    assert again != request  # the grant is spent
    house15.deny(again)
    assert isinstance(work.exception(PATIENCE), psycopg.Error) and reached(house15, mark) == 1
    connection.close()


# -- held, and no longer wanted -----------------------------------------------------------------


def interrupted(connection: psycopg.Connection[Any], work: Future[Any]) -> None:
    connection.cancel()
    assert isinstance(work.exception(PATIENCE), psycopg.errors.QueryCanceled)
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("more", [{}, {"sslmode": "require"}], ids=["plain", "tls"])
def test_cancel_while_held(house15: House, mark: str, more: dict[str, str]) -> None:
    """57014, as for a statement that runs; nobody's yes counts any more. Over several sessions, so from another worker too."""
    for _ in range(3):
        work, request, connection = held(house15, emptying(mark), mark, **more)
        interrupted(connection, work)
        connection.close()
        with pytest.raises(SystemExit):
            house15.approve(request)
    assert reached(house15, mark) == 0


def test_control_c_in_psql_while_held(house15: House, mark: str) -> None:
    running = subprocess.Popen(
        ["psql", "-X"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment(house15.facts(ADA))},
    )  # fmt: skip
    assert running.stdin is not None
    running.stdin.write(f"{emptying(mark)};\n")
    running.stdin.close()
    running.stdin = None
    pending(house15, mark)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=PATIENCE)
    assert "Cancel request sent" in error and "cancelled while it waited for approval [OST-304]" in error
    until(lambda: not house15.requests(), "the request to be withdrawn")
    assert reached(house15, mark) == 0


def test_a_client_that_vanishes_while_held(house15: House, mark: str) -> None:
    """Its socket closes without a word; the question ends, and an approval comes too late."""
    _, request, connection = held(house15, emptying(mark), mark)
    _vanish(connection)
    until(lambda: request not in [one["id"] for one in house15.requests()], "the request to be withdrawn")
    with pytest.raises(SystemExit):
        house15.approve(request)
    assert reached(house15, mark) == 0


def test_a_client_that_is_killed_while_held(house15: House, mark: str) -> None:
    running = subprocess.Popen(
        ["psql", "-X", "-c", emptying(mark)], env={**os.environ, **environment(house15.facts(ADA, sslmode="require"))},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    request = pending(house15, mark)
    running.kill()
    running.wait()
    until(lambda: request not in [one["id"] for one in house15.requests()], "the request to be withdrawn")
    assert reached(house15, mark) == 0


def test_terminate_behind_a_held_statement(house15: House, mark: str) -> None:
    """Sent without waiting: the client has said that it no longer wants it."""
    with house15.connect(ADA) as connection:
        connection.pgconn.send_query(emptying(mark).encode())
        request = pending(house15, mark)
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            raw.setblocking(True)
            raw.sendall(b"X\x00\x00\x00\x04")
        until(lambda: request not in [one["id"] for one in house15.requests()], "the request to be withdrawn")
        assert reached(house15, mark) == 0
        connection.pgconn.finish()


def _vanish(connection: psycopg.Connection[Any]) -> None:
    """Close the socket under libpq."""
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.shutdown(socket.SHUT_RDWR)


def test_others_run_while_one_is_held(house15: House, mark: str) -> None:
    work, request, connection = held(house15, emptying(mark), mark)
    for _ in range(4):  # so that the held session's own worker has been met
        with house15.connect(ADA) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
    house15.deny(request)
    assert isinstance(work.exception(PATIENCE), psycopg.Error)
    connection.close()


def test_a_killed_session_takes_its_question_with_it(house15: House, mark: str) -> None:
    work, request, connection = held(house15, emptying(mark), mark)
    session = house15.call("request_show", request=request)["session"]
    said = house15.ostiary("session", "kill", session)
    assert said.returncode == 0, said.stderr
    ended = work.exception(PATIENCE)
    assert isinstance(ended, psycopg.OperationalError) and "an operator ended this session [OST-650]" in str(ended)
    until(lambda: request not in [one["id"] for one in house15.requests()], "the request to be withdrawn")
    assert reached(house15, mark) == 0


# -- retry --------------------------------------------------------------------------------------


def refused(connection: psycopg.Connection[Any], text: str, *parameters: object) -> str:
    """What was said instead of running it."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(text, parameters or None)
    return str(caught.value)


def test_an_agent_is_told_to_come_back_and_passes_once(house15: House, mark: str) -> None:
    """At once an error with the request's id; after the approval the identical command runs, in any session, once."""
    text = emptying(mark)
    with house15.connect(CLAUDE) as first:
        said = refused(first, text)
    request = pending(house15, mark)
    assert request in said and reached(house15, mark) == 0
    house15.approve(request)
    with house15.connect(CLAUDE) as second:
        assert second.execute(text).rowcount == 3
        again = refused(second, text)
    other = pending(house15, mark)
    assert other != request and other in again and reached(house15, mark) == 1
    house15.deny(other)


def test_only_one_of_many_sessions_spends_a_grant(house15: House, mark: str) -> None:
    """Eight sessions on both workers try the identical command at the same moment: the notary lets one pass."""
    text = emptying(mark)
    connections = [house15.connect(CLAUDE) for _ in range(8)]
    refused(connections[0], text)
    house15.approve(pending(house15, mark))
    tries = [behind(lambda c=connection: c.execute(text).rowcount) for connection in connections]
    assert sum(one.exception(PATIENCE) is None for one in tries) == 1
    assert reached(house15, mark) == 1
    for connection in connections:
        connection.close()
    for one in house15.requests():
        house15.deny(one["id"])


@pytest.mark.parametrize("change", ["a byte", "a parameter", "a parameter's type", "the person"])
def test_a_changed_command_is_another_question(house15: House, mark: str, change: str) -> None:
    """A grant is for exactly what was shown."""
    text, value = f"UPDATE wards SET beds = %s /* {mark} */", 55
    with house15.connect(CLAUDE) as connection:
        refused(connection, text, value)
        request = pending(house15, mark)
        house15.approve(request)
        if change == "a byte":
            refused(connection, text.replace("beds = %s /*", "beds =  %s /*"), value)
        elif change == "a parameter":
            refused(connection, text, 56)
        elif change == "a parameter's type":
            refused(connection, text.replace("%s", "%s::int"), value)
        else:
            with house15.connect(ADA) as other:
                other.execute("BEGIN")  # so that she is told to retry, too
                refused(other, text, value)
        assert reached(house15, mark) == 0
        assert connection.execute(text, [value]).rowcount == 3  # the grant is still there for what it was given for
    for one in house15.requests():
        house15.deny(one["id"])


def test_in_a_transaction_a_person_is_told_to_retry(house15: House, mark: str) -> None:
    """No lock of theirs waits for somebody else; the transaction fails as it would with any error."""
    with house15.connect(ADA) as connection:
        connection.execute("BEGIN")
        said = refused(connection, emptying(mark))
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.execute("ROLLBACK")
        request = pending(house15, mark)
        assert request in said
        house15.approve(request)
        connection.execute("BEGIN")
        assert connection.execute(emptying(mark)).rowcount == 3
        connection.execute("COMMIT")
    assert reached(house15, mark) == 1


def test_a_grant_that_is_not_used_in_time_is_nothing(house15: House, mark: str) -> None:
    """The rule's grants live half a second; expiry is the notary's own judgement."""
    with house15.connect(ADA) as connection:
        connection.execute("BEGIN")
        refused(connection, emptying(mark, "perishable", "v"))
        connection.execute("ROLLBACK")
        request = pending(house15, mark)
        house15.approve(request)
        until(lambda: house15.call("request_show", request=request)["state"] == "expired", "the grant to lapse")
        connection.execute("BEGIN")
        refused(connection, emptying(mark, "perishable", "v"))
    assert reached(house15, mark) == 0


@pytest.mark.parametrize("connected", [False, True], ids=["psql", "a session that was there"])
def test_a_migration_that_was_asked_for_ahead_runs_whole_with_what_needed_nobodys_word(house15: House, mark: str, tmp_path: Path, connected: bool) -> None:
    """Its BEGIN, INSERT and COMMIT are allowed anyway, and asked again and again before; each moves the list on, and the last one ends it."""
    allowed = f"INSERT INTO hurried SELECT 1, 2 WHERE false /* {mark} */"
    statements = ["begin", emptying(mark), allowed, emptying(mark), "commit"]
    file = tmp_path / "migration.sql"
    file.write_text(";\n".join(statements) + ";\n")
    with house15.connect(ADA) as connection:
        for _ in range(5):
            for text in ("begin", allowed, "commit"):
                connection.execute(text)
        asked = house15.ostiary(
            "request", "submit", "--as", ADA, "--target", TARGET, "--approver", "approvers", "--why", "release", str(file), "--json", token=house15.token(ADA)
        )
        assert asked.returncode == 0, asked.stderr
        request = json.loads(asked.stdout)["id"]
        house15.approve(request)
        if connected:
            assert [connection.execute(text).rowcount for text in statements][1:4:2] == [3, 3]
        else:
            said = subprocess.run(
                ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", str(file)], capture_output=True, text=True, timeout=PATIENCE,
                env={**os.environ, **environment(house15.facts(ADA))},
            )  # fmt: skip
            assert said.returncode == 0 and said.stdout.split("\n")[:5] == ["BEGIN", "UPDATE 3", "INSERT 0 0", "UPDATE 3", "COMMIT"], said.stderr
        assert house15.call("request_show", request=request)["state"] == "released"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):  # once is once
            connection.execute("begin")
            connection.execute(emptying(mark))
    notes = house15.recorded("--request", request, "--kind", "admin", count=3 + len(statements))  # and that it was asked for, approved and granted
    moved = [(one["fields"]["what"], one["body"]["facts"]["statement"]) for one in notes if "statement" in one["body"]["facts"]]
    assert moved == [(f"request.{what}", str(n)) for n, what in enumerate(("passed", "released", "passed", "released", "passed"), 1)]


def ahead(house: House, *statements: str) -> str:
    """A list that was asked for and approved."""
    commands = [word for text in statements for word in ("-c", text)]
    asked = house.ostiary("request", "submit", "--as", ADA, "--target", TARGET, "--approver", "approvers", "--why", "x", *commands, "--json", token=house.token(ADA))
    assert asked.returncode == 0, asked.stderr
    request: str = json.loads(asked.stdout)["id"]
    house.approve(request)
    return request


@pytest.mark.parametrize("swapped", [False, True], ids=["as it says", "another by the protocol"])
def test_a_lists_execute_runs_what_the_list_says_and_nothing_else(house15: House, mark: str, swapped: bool) -> None:
    """A Parse asks nobody, and may give a name that the list's PREPARE gave before to a statement that nobody said yes to."""
    request = ahead(house15, f"PREPARE q AS {emptying(mark)}", "EXECUTE q")
    with house15.connect(ADA) as connection:
        connection.execute(f"PREPARE q AS {emptying(mark)}")
        if swapped:
            connection.execute("BEGIN")  # who is in a transaction is told to come back
            connection.pgconn.exec_(b"DEALLOCATE q")
            connection.pgconn.prepare(b"q", f"UPDATE wards SET beds = 666 /* {mark} */".encode())
            assert "OST-301" in refused(connection, "EXECUTE q")
        else:
            assert connection.execute("EXECUTE q").rowcount == 3
    assert house15.call("request_show", request=request)["state"] == ("granted" if swapped else "released")
    assert house15.server.sql("SELECT count(*) FROM wards WHERE beds = 666", "clinic") == "0"


def test_the_evidence_tells_the_whole_story(house15: House, mark: str) -> None:
    """The request, who said yes, the intent with its grant, and the outcome."""
    work, request, connection = held(house15, emptying(mark), mark)
    house15.approve(request, GRACE, "ticket 4711")
    assert work.result(PATIENCE) == 3
    connection.close()
    intent = next(one for one in house15.records("--kind", "intent", "--text", mark) if one["fields"]["request"] == request)
    assert intent["fields"]["grant"] and intent["body"]["identity"] == ADA
    grant = next(one for one in house15.records("--kind", "approval") if one["fields"]["request"] == request)
    assert grant["fields"]["grant"] == intent["fields"]["grant"] and grant["body"]["facts"]["approvers"] == GRACE
    assert "ticket 4711" in str(house15.records("--text", "ticket 4711"))
