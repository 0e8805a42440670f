"""
What one's own open transaction, or an earlier statement of the same string, changed in the catalog: nothing behind it is judged
by what was there before. `changing/first.json` is what came of each attempt, through a whole gateway, when it was first made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from protocols.session import Identity
from tests.house import ADA, CLAUDE, EVERYTHING, GRACE, HOPE, PEOPLE, SUPERUSER, House, mask
from tests.live.changing.attempts import ATTEMPTS, CANARY, REPLACED, SETUP, Attempt
from tests.live.changing.desk import Desk, Once, Refused
from tests.live.changing.migrations import ALEMBIC, CALLING, DJANGO, FLYWAY
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

DATABASE = "changing"
FIRST: dict[str, str] = json.loads((Path(__file__).parent / "changing" / "first.json").read_text())
WHO = {"ada": ADA, "claude": CLAUDE, "grace": GRACE, "hope": HOPE}
SEEING = {who: facts if who == GRACE else {**facts, "groups": [*{*facts["groups"], "privacy"}]} for who, facts in PEOPLE.items()}
IDENTITIES = {
    name: Identity(who, str(SEEING[who].get("kind", "human")), frozenset(SEEING[who]["groups"])) for name, who in WHO.items()
}
DEFAULT = {**EVERYTHING, "function-unlisted": "deny", "dynamic": "deny", "write-unfiltered": "deny"}
RULES = [
    {"name": "agents call", "classes": ["function-unlisted"], "kinds": ["agent"], "verdict": "allow"},
    {"name": "no secrets", "relations": ["secrets"], "verdict": "deny"},
    {"name": "no writes", "relations": ["locked", "vault.box"], "classes": ["write", "write-unfiltered"], "verdict": "deny"},
    {"name": "no pins", "relations": ["cards"], "columns": ["pin"], "verdict": "deny"},
]
TOUCHED = [{"name": "few", "rows": 5, "relations": ["emp"], "identities": [HOPE]}]
THROUGH = (
    "a replaced function", "a replaced function in one string", "a replaced function that was prepared before", "PREPARE before and EXECUTE after",
    "an overload of a name of the server's", "two tables that swap names", "a replaced view under a limit", "clear: a mask into a renamed table",
)  # fmt: skip
"""Attempts that are made through a whole gateway too."""


@pytest.fixture(scope="module")
def server(postgres15: PostgresServer) -> PostgresServer:
    postgres15.sql(f"CREATE DATABASE {DATABASE}")
    postgres15.sql(SETUP, DATABASE)
    return postgres15


@pytest.fixture(scope="module")
def direct(server: PostgresServer) -> str:
    return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=server.port, user=SUPERUSER, dbname=DATABASE)


@pytest.fixture(scope="module")
def desk(server: PostgresServer, direct: str) -> Desk:
    catalogs = Once(server.port, DATABASE, SUPERUSER)
    return Desk(direct, catalogs, [mask("public.patients", "ssn")], {"default": DEFAULT, "rules": RULES}, {"touched": TOUCHED})


@pytest.fixture(scope="module")
def house(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(
        tmp_path_factory.mktemp("changing") / "h", server, database=DATABASE, workers=1, default=DEFAULT, rules=RULES,
        masked={"public.patients": ["ssn"]}, addons=[{"use": "addons.rows.Rows", "touched": TOUCHED}], people=SEEING,
    ) as made:
        yield made


def attempted(attempt: Attempt, dsn: str) -> str:
    """LEAKED, or why not: a code of the gateway's, the server's SQLSTATE, or "no" where the last step ran and brought nothing."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("BEGIN")
        try:
            rows = [_stepped(connection, step) for step in attempt.steps]
        except psycopg.Error as error:
            code = re.search(r"OST-\d+", str(error))
            return code[0] if code else str(error.sqlstate)
        finally:
            connection.rollback()
        return "LEAKED" if not attempt.reads or CANARY in str(rows[-1]) else "no"


def _stepped(connection: psycopg.Connection[Any], step: str) -> list[Any]:
    if step[0] == "!":
        with pytest.raises(psycopg.Error):
            connection.execute(step[1:])
        return []
    if step[0] == "=":
        assert not connection.pgconn.prepare(b"before", step[1:].encode()).error_message
        return []
    if step[0] == "@" and connection.execute("SELECT FROM pg_prepared_statements WHERE name = 'before'").rowcount:
        result = connection.pgconn.exec_prepared(b"before", [])
        if result.error_message:
            raise psycopg.errors.InsufficientPrivilege(result.error_message.decode())
        return [result.get_value(0, 0)]
    with connection.cursor() as cursor:
        if step.startswith("COPY"):
            with cursor.copy(step) as copy:
                return [bytes(part) for part in copy]
        cursor.execute(step.lstrip("@"), prepare=True if step[0] == "@" else None)
        found = [cursor.fetchall() if cursor.description else []]
        while cursor.nextset():
            found.append(cursor.fetchall() if cursor.description else [])
        return found


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda one: one.name.replace(" ", "-"))
def test_nothing_is_judged_by_what_was_there_before(attempt: Attempt, desk: Desk) -> None:
    seat, rows = desk.sit(attempt.name, IDENTITIES[attempt.who]), None
    try:
        rows = [seat.step(step) for step in attempt.steps]
    except (Refused, psycopg.Error):
        pass
    finally:
        seat.leave()
    assert rows is None or attempt.reads and CANARY not in str(rows[-1])


@pytest.mark.parametrize("name", THROUGH, ids=lambda name: name.replace(" ", "-"))
def test_nor_through_a_whole_gateway(name: str, house: House) -> None:
    [attempt] = (one for one in ATTEMPTS if one.name == name)
    assert attempted(attempt, house.dsn(WHO[attempt.who])).startswith("OST-")


def test_every_attempt_works_without_a_gateway(direct: str) -> None:
    assert not [one.name for one in ATTEMPTS if attempted(one, direct) != "LEAKED"]


def test_every_attempt_has_a_first_result() -> None:
    assert set(FIRST) == {one.name for one in ATTEMPTS} and len(FIRST) == len(ATTEMPTS)


@pytest.mark.parametrize("steps", [DJANGO, ALEMBIC, FLYWAY], ids=["django", "alembic", "flyway"])
def test_migrations_work_in_one_transaction(steps: tuple[str, ...], desk: Desk) -> None:
    """Of somebody who is under rules about other relations, and may not call what is not listed."""
    seat = desk.sit("migration", IDENTITIES["ada"])
    try:
        for step in steps:
            seat.step(step)
    finally:
        seat.leave()


def test_who_may_do_everything_is_refused_nothing(direct: str, server: PostgresServer) -> None:
    free = Desk(direct, Once(server.port, DATABASE, SUPERUSER), [mask("public.patients", "ssn")], {"default": EVERYTHING}, {"touched": TOUCHED})
    for steps in (DJANGO, ALEMBIC, FLYWAY, CALLING):
        seat = free.sit("everything", IDENTITIES["ada"])
        try:
            for step in steps:
                seat.step(step)
        finally:
            seat.leave()


def test_a_refusal_says_what_to_do(desk: Desk) -> None:
    seat = desk.sit("told", IDENTITIES["ada"])
    try:
        seat.step(REPLACED)
        with pytest.raises(Refused) as refused:
            seat.step("SELECT harmless()")
        assert "which this transaction made or changed" in str(refused.value) and refused.value.deny.hint.startswith("Commit first")
    finally:
        seat.leave()


def test_what_is_committed_is_judged_as_it_is(house: House) -> None:
    """Once the transaction has ended the catalog is read again, and nothing is unknown."""
    with house.connect(ADA, autocommit=False) as connection:
        connection.execute("CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 7'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="Commit first"):
            connection.execute("SELECT fresh()")
        connection.rollback()
        connection.execute("CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 7'")
        connection.commit()
        assert connection.execute("SELECT fresh()").fetchone() == (7,)
