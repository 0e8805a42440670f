"""
Reveals through a whole gateway: asked for, approved, used as often as granted and no more, whatever is killed, and recorded.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.house import ADA, GRACE, TARGET, House, until
from tests.house import CLEAR as PRIVILEGED
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

DATABASE, SSN, COLUMN = "revealed", "123-45-6789", "public.people.ssn"
SETUP = f"CREATE TABLE people (id int PRIMARY KEY, ssn text, mrn text); INSERT INTO people VALUES (1, '{SSN}', 'MRN-1')"
QUERY = "SELECT ssn, mrn FROM people WHERE id = 1"
CLEAR, MASKED = (SSN, "***"), ("***", "***")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    postgres15.sql(f"CREATE DATABASE {DATABASE}")
    postgres15.sql(SETUP, DATABASE)
    rule = {"reveal": {"approvers": ["approvers"], "uses": 0, "lifetime": 1800}}
    with House(tmp_path_factory.mktemp("reveal") / "h", postgres15, database=DATABASE, masked={"public.people": ["ssn", "mrn"]}, masking=rule) as made:
        yield made


def granted(house: House, *words: str) -> str:
    """A reveal of the column that ADA asked for and GRACE gave."""
    asked = house.ostiary(
        "request", "submit", "--as", ADA, "--target", TARGET, "--reveal", COLUMN, "--why", "a call", *words, token=house.token(ADA)
    )
    assert asked.returncode == 0, asked.stderr
    request = asked.stdout.split()[0]
    assert house.approve(request)["state"] == "granted"
    return request


def shown(connection: psycopg.Connection[Any], text: str = QUERY) -> Any:
    """One answer; the error's text where it was refused."""
    try:
        return connection.execute(text, prepare=False).fetchone()
    except psycopg.Error as error:
        return str(error)


def revealed(connection: psycopg.Connection[Any]) -> None:
    """Until the worker knows; masks until then."""
    until(lambda: shown(connection) == CLEAR, "the reveal")


def test_a_reveal_is_used_as_often_as_it_was_granted_and_each_use_is_recorded(house: House) -> None:
    with house.connect(ADA) as connection:
        assert shown(connection) == MASKED
        request = granted(house, "--uses", "2")
        revealed(connection)
        assert connection.execute("SELECT upper(ssn) FROM people WHERE ssn = %s", (SSN,), prepare=False).fetchone() == (SSN,)
        until(lambda: house.call("request_show", request=request)["used"] == 2, "both uses")
        assert shown(connection) == MASKED
    records = house.records("--request", request)
    notes = [one["body"]["facts"]["columns"] for one in records if one["fields"].get("what") == "disclosure.revealed"]
    intents = [one for one in records if one["kind"] == "intent"]
    assert [one["body"]["clear_columns"] for one in intents] == [[COLUMN], [COLUMN]]
    assert notes == [COLUMN, COLUMN] and len(intents) == 2 and len({one["fields"]["grant"] for one in intents}) == 1
    assert [one["fields"]["uses"] for one in records if one["kind"] == "approval"] == [2]


def test_a_reveal_that_is_refused_as_spent_is_recorded_as_withheld(house: House) -> None:
    """Two statements of one pipeline are decided while one use is left; one of them runs."""
    with house.connect(ADA) as connection:
        request = granted(house, "--uses", "2")
        revealed(connection)
        with pytest.raises(psycopg.Error, match="spent"), connection.pipeline():
            for _ in range(2):
                connection.execute(QUERY)
        until(lambda: house.call("request_show", request=request)["used"] == 2, "both uses")
        until(lambda: shown(connection) == MASKED, "that none is left")
    told = [one["fields"].get("what") for one in house.records("--request", request)]
    assert (told.count("disclosure.revealed"), told.count("disclosure.withheld")) == (3, 1), told
    assert (told.count("reveal.used"), told.count("reveal.withheld")) == (2, 1), told


def test_who_read_a_column_in_the_clear_is_listed_without_reading_sql(house: House) -> None:
    """By privilege or by a reveal, and nobody who saw masks; a bundle of it verifies."""
    with house.connect(ADA) as masked, house.connect(PRIVILEGED) as clear:
        until(lambda: _told(house, clear, "SELECT id FROM people") == [], "the catalog")  # until then any column may be read
        assert clear.execute("SELECT id, mrn AS x FROM people", prepare=False).fetchone() == (1, "MRN-1")
        assert masked.execute("SELECT id, mrn AS x FROM people", prepare=False).fetchone() == (1, "***")
        for session in (masked, clear):
            session.execute("PREPARE charts AS SELECT upper(mrn) FROM people", prepare=False)
        assert masked.execute("EXECUTE charts", prepare=False).fetchall() == [("***",)]
        assert clear.execute("EXECUTE charts", prepare=False).fetchall() == [("MRN-1",)]
    executed = {one["body"]["identity"]: one["body"] for one in house.records("--kind", "intent", "--text", "EXECUTE charts")}
    assert (executed[ADA]["columns"], executed[PRIVILEGED]["clear_columns"]) == (["public.people.mrn"], ["public.people.mrn"])
    assert not executed[ADA]["clear_columns"] and not executed[PRIVILEGED]["columns"]
    found = house.records("--disclosed", "public.people.mrn", "--text", "AS x")
    assert [(one["body"]["identity"], one["body"]["clear_columns"]) for one in found] == [(PRIVILEGED, ["public.people.mrn"])]
    bundle = house.directory / "disclosed"
    assert house.audit("export", "--disclosed", "--identity", PRIVILEGED, "--out", str(bundle)).returncode == 0
    ran = subprocess.run([sys.executable, bundle / "verify.py", "--key", house.public_key], capture_output=True, text=True, check=False)
    assert f"{PRIVILEGED} may have read public.people.mrn in the clear, in " in ran.stdout
    assert ran.returncode == 0 and "clear_columns" in (bundle / "readable" / "records.jsonl").read_text(), ran.stdout


def _told(house: House, connection: psycopg.Connection[Any], text: str) -> list[str]:
    """What the newest record of a statement says that it read in the clear."""
    connection.execute(text, prepare=False)
    return house.records("--kind", "intent", "--identity", PRIVILEGED, "--text", text)[-1]["body"].get("clear_columns", [])


def test_what_rewriting_masked_is_counted_and_what_nobody_counts_is_said_so(house: House) -> None:
    """Rows times the columns that show masks; only those that were read are named."""
    with house.connect(ADA) as connection:
        for text in ("SELECT id, ssn, mrn FROM people /* two */", "SELECT id, upper(mrn) FROM people /* one */", "SELECT count(*) FROM people /* none */"):
            connection.execute(text, prepare=False)
        with connection.cursor().copy("COPY people TO STDOUT") as copy:
            assert b"***" in b"".join(copy)
    copied = house.records("--identity", ADA, "--kind", "intent", "--text", "COPY people TO STDOUT")[-1]
    house.recorded("--session", copied["session"], "--kind", "closed")
    found = house.records("--identity", ADA)
    intents = {(one["worker"], one["sequence"]): one for one in found if one["kind"] == "intent"}
    told = {}
    for one in found:
        if one["kind"] == "outcome" and tuple(one["ref"]) in intents:
            intent, facts = intents[tuple(one["ref"])], one["body"]["facts"]
            told[intent["body"]["text"][-8:]] = [
                intent["fields"]["masked_columns"], one["fields"]["cells_masked"], facts.get("masked_by"), facts.get("cells_rewritten"),
            ]  # fmt: skip
    assert told["/* two */"[-8:]] == [2, 2, "rewrite", "2"] and told["/* one */"[-8:]] == [1, 1, "rewrite", "1"]
    assert told["/* none */"[-8:]] == [0, 0, None, None] and told["O STDOUT"] == [2, 0, "rewrite", "unknown"]
    listed = house.audit("search", "--identity", ADA, "--kind", "outcome").stdout
    assert "2 cells masked" in listed and "masked by rewrite" in listed


def test_a_reveal_above_the_maximum_or_of_no_masked_column_is_refused_at_submit(house: House) -> None:
    for words, said in (
        (("--reveal", COLUMN, "--lifetime", "3h"), "lifetime: 10800 s is longer than masking's `reveal` allows; ask for 1800 s or less"),
        (("--reveal", "public.people.snn"), f"public.people.snn is no declared masked column of {TARGET}"),
    ):
        asked = house.ostiary("request", "submit", "--as", ADA, "--target", TARGET, "--why", "a call", *words, token=house.token(ADA))
        assert asked.returncode == 1 and said in asked.stderr, asked


def test_nobody_else_sees_it(house: House) -> None:
    request = granted(house, "--uses", "0")
    with house.connect(GRACE) as grace, house.connect(ADA) as ada:
        revealed(ada)
        assert shown(grace) == MASKED
    house.call("request_revoke", request=request, subject=GRACE, token=house.token(GRACE), why="")


def test_revoking_holds_from_the_next_statement_on_in_cursors_and_prepared_statements_too(house: House) -> None:
    request = granted(house, "--uses", "0")
    with house.connect(ADA, autocommit=False) as connection:
        revealed(connection)
        connection.execute(f"PREPARE mine AS {QUERY}")
        connection.execute(f"DECLARE c CURSOR WITH HOLD FOR {QUERY}")
        connection.commit()
        assert connection.execute("EXECUTE mine").fetchone() == MASKED, "a prepared statement outlives its reveal"
        revoked = house.ostiary("request", "revoke", request, "--as", ADA, token=house.token(ADA))
        assert revoked.returncode == 0, revoked.stderr
        until(lambda: shown(connection) == MASKED, "masks again")
        assert connection.execute("EXECUTE mine").fetchone() == MASKED
        assert connection.execute("FETCH 1 FROM c").fetchone() == MASKED
        named = connection.execute(QUERY, prepare=True).fetchone()
        assert named == MASKED


def uses(house: House, count: int) -> list[Any]:
    """What so many sessions see when all ask at once, twice each."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            with house.connect(ADA) as connection:
                answers.extend(shown(connection) for _ in range(2))
        except psycopg.Error as error:
            answers.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("part", ["", "control", "notary"])
def test_one_use_is_one_whoever_asks_at_once_and_whatever_is_killed_before(part: str, house: House) -> None:
    request = granted(house)
    if part:
        before = house.pid(part)
        house.kill(part)
        until(lambda: house.pid(part) != before, f"{part} again")
    answers: list[Any] = []
    until(lambda: answers.extend(uses(house, 4)) or CLEAR in answers, "the use")
    answers += uses(house, 2)
    assert answers.count(CLEAR) == 1 and all(isinstance(one, str) or one in (CLEAR, MASKED) for one in answers), answers
    if not part:
        assert all("OST-308" in one for one in answers if isinstance(one, str)), answers
    intents = [one for one in house.records("--request", request) if one["kind"] == "intent"]
    assert len(intents) == 1
    assert house.verify().returncode in (0, 2)


def test_a_refusal_says_how_to_ask_and_check_knows_the_rule(house: House) -> None:
    with house.connect(ADA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        connection.execute("SELECT id FROM people WHERE mrn = 'MRN-1'", prepare=False)
    assert f"ostiary request submit --as {ADA} --target {TARGET} --reveal public.people.mrn" in str(refused.value.diag.message_hint)
    masking = next(one for one in house.addons if one["use"].endswith("Masking"))
    kept, masking["reveal"] = masking["reveal"], {"approvers": ["approvers"], "uses": -1}
    try:
        house.write()
        checked = house.ostiary("check")
        assert checked.returncode == 1 and "reveal.uses: a whole number from 0 to 1000" in checked.stderr
    finally:
        masking["reveal"] = kept
        house.write()


def test_a_pipeline_longer_than_its_reveal_sees_what_was_granted_and_is_told_that_the_rest_was_used_up(house: House) -> None:
    """Five at once under a reveal of three: none is blamed on the evidence store, and the next statement sees masks."""
    granted(house, "--uses", "3")
    with house.connect(ADA) as connection:
        revealed(connection)
        answers: list[Any] = []
        try:
            with connection.pipeline():
                cursors = [connection.execute(QUERY) for _ in range(5)]
                answers += [cursor.fetchone() for cursor in cursors]
        except psycopg.Error as error:
            assert "OST-308" in str(error) and "evidence" not in f"{error} {error.diag.message_hint}"
        until(lambda: shown(connection) == MASKED, "masks")
        assert answers.count(CLEAR) <= 2 and all(one in (CLEAR, MASKED) for one in answers)
