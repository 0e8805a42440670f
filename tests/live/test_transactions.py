"""
A refusal tells the truth about the transaction: what a client sees around it is what it sees of a native
error in the same place, and the server's log shows neither the refused statement nor half a commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from tests.house import ADA, CLEAR, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

Connection = psycopg.Connection[Any]

NATIVE = "SELEC 'native'"
REFUSED = "DROP TABLE wards"
"""
Ada's policy denies it; for a direct run, NATIVE stands in its place: text that the server's grammar refuses, since a string
of several statements is decided whole, as the grammar does it.
"""

SCRIPTS: dict[str, list[str]] = {
    "alone": ["!"],
    "between statements": ["INSERT INTO tally VALUES (1)", "!", "INSERT INTO tally VALUES (2)"],
    "in a transaction": ["BEGIN", "INSERT INTO tally VALUES (1)", "!", "INSERT INTO tally VALUES (2)", "COMMIT"],
    "first in a transaction": ["BEGIN", "!", "COMMIT", "INSERT INTO tally VALUES (3)"],
    "after a savepoint": ["BEGIN", "INSERT INTO tally VALUES (1)", "SAVEPOINT a", "INSERT INTO tally VALUES (2)", "!",
                          "ROLLBACK TO a", "INSERT INTO tally VALUES (3)", "COMMIT"],
    "released too late": ["BEGIN", "SAVEPOINT a", "!", "RELEASE a", "ROLLBACK TO a", "RELEASE a", "COMMIT"],
    "in a string": ["INSERT INTO tally VALUES (1); !; INSERT INTO tally VALUES (2)", "SELECT 1"],
    "a transaction in a string": ["BEGIN; INSERT INTO tally VALUES (1); !; COMMIT", "SELECT 1", "ROLLBACK"],
    "last in a string": ["BEGIN", "INSERT INTO tally VALUES (1); !", "COMMIT"],
    "twice": ["BEGIN", "!", "!", "ROLLBACK", "!"],
    "and chain": ["BEGIN ISOLATION LEVEL REPEATABLE READ", "!", "COMMIT AND CHAIN", "SHOW transaction_isolation", "COMMIT"],
    "read only": ["BEGIN READ ONLY", "SELECT 1", "!", "INSERT INTO tally VALUES (1)", "END"],
}  # fmt: skip
"""`!` is what fails."""


@pytest.fixture(scope="module")
def tallied(house15: House) -> Iterator[House]:
    house15.server.sql("CREATE TABLE tally (n int)", "clinic")
    yield house15
    house15.server.sql("DROP TABLE tally", "clinic")


def runs(house: House, run: Callable[[Connection, str], object], autocommit: bool = True) -> tuple[object, object]:
    """What it makes of a native error directly, and of a refusal through the gateway, with what is in the table afterwards."""
    said = []
    for dsn, wrong in ((house.direct(), NATIVE), (house.dsn(ADA), REFUSED)):
        house.server.sql("TRUNCATE tally", "clinic")
        with psycopg.connect(dsn, autocommit=autocommit) as connection:
            told = run(connection, wrong)
        said.append((told, house.server.sql("SELECT array_agg(n ORDER BY n) FROM tally", "clinic")))
    return said[0], said[1]


def told(connection: Connection, text: str) -> tuple[object, object]:
    """What comes of a statement: whether it worked, or the class of its error; and how the transaction stands."""
    try:
        cursor = connection.execute(text, prepare=False)
        said: object = (cursor.statusmessage, cursor.fetchall() if cursor.description else None)
    except psycopg.Error as error:
        ours = error.sqlstate == "42501" and "OST-" in error.diag.message_primary
        said = "what was to fail" if ours or error.sqlstate == "42601" else error.sqlstate
    return said, connection.info.transaction_status.name


@pytest.mark.parametrize(
    ("name", "extended"),
    [(name, extended) for name, script in SCRIPTS.items() for extended in (False, True) if not extended or ";" not in "".join(script)],
)
def test_a_script_with_a_refusal(tallied: House, name: str, extended: bool) -> None:
    """Step by step: results, errors, status, and what was committed in the end. One message holds one statement if extended."""

    def run(connection: Connection, wrong: str) -> object:
        connection.prepare_threshold = 0 if extended else None
        cursor = psycopg.ClientCursor if not extended else psycopg.Cursor
        connection.cursor_factory = cursor
        return [told(connection, text.replace("!", wrong)) for text in SCRIPTS[name]]

    direct, through = runs(tallied, run)
    assert through == direct and "what was to fail" in str(through)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("autocommit", [False, True])
def test_a_pipeline_with_a_refusal(tallied: House, place: int, autocommit: bool) -> None:
    """Before and after a Sync: what precedes it in its part is undone with it, what follows up to the Sync is skipped."""

    def run(connection: Connection, wrong: str) -> object:
        texts = [f"INSERT INTO tally VALUES ({n})" for n in range(4)]
        texts[place] = wrong
        begin = [] if autocommit else ["BEGIN"]
        return pipelined(connection.pgconn, [*begin, *texts[:2], None, *texts[2:], None]), connection.info.transaction_status.name

    direct, through = runs(tallied, run)
    assert through == direct and "what was to fail" in str(through)


DESCRIBED = "Describe"
"""Of a portal that is not there."""

PIPELINES: dict[str, tuple[list[str | None], list[int], list[int]]] = {
    "an error": (["1", "2", "1/0", None], [], [1, 2]),
    "a refusal": (["1", "2", "!", "3", None], [], [1, 2]),
    "an error that no command has": (["1", "?", None], [], [1]),
    "behind a Sync": (["1", None, "2", "1/0", None], [1], [2]),
    "committed in front of it": (["BEGIN", "1", "COMMIT", "2", "1/0", None], [1], [2]),
    "rolled back to a savepoint in front of it": (["BEGIN", "1", "SAVEPOINT s", "ROLLBACK TO s", "2", "COMMIT", "3", "1/0", None], [1, 2], [3]),
    "in a transaction": (["BEGIN", None, "1", "1/0", None, "ROLLBACK", None], [], []),
    "none": (["1", "2", None], [1, 2], []),
}
"""What is sent; what is in the table then; which inserts an error is said to have followed (of a transaction block, its ROLLBACK tells)."""


@pytest.mark.parametrize("name", PIPELINES)
def test_an_error_that_followed_before_the_sync_is_told_with_what_was_done(tallied: House, name: str) -> None:
    sent, there, back = PIPELINES[name]
    tallied.server.sql("TRUNCATE tally", "clinic")
    mark = f"/* {name} */"
    words = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s")
    spelt = {"!": REFUSED, None: None, "?": DESCRIBED, **{word: word for word in words}}
    with psycopg.connect(tallied.dsn(ADA), autocommit=True) as connection:
        pipelined(connection.pgconn, [spelt.get(one, f"INSERT INTO tally VALUES ({one}) {mark}") for one in sent])
    assert tallied.server.sql("SELECT coalesce(array_agg(n ORDER BY n), '{}') FROM tally", "clinic") == "{" + ",".join(map(str, there)) + "}"
    session = tallied.recorded("--text", mark, "--kind", "intent")[0]["session"]
    tallied.recorded("--session", session, "--kind", "closed")
    records = tallied.records("--session", session)
    texts = {one["fields"]["command"]: one["body"]["text"] for one in records if one["kind"] == "intent"}
    told = [one["fields"]["command"] for one in records if one["kind"] == "outcome" and "error_followed" in one["body"]["facts"]]
    assert sorted({texts[number] for number in told}) == [f"INSERT INTO tally VALUES ({n}) {mark}" for n in back]


def pipelined(connection: psycopg.pq.PGconn, texts: list[str | None]) -> list[str]:
    """Everything is sent before anything is read; None is a Sync."""
    connection.enter_pipeline_mode()
    for text in texts:
        if text is None:
            connection.pipeline_sync()
        elif text == DESCRIBED:
            connection.send_describe_portal(b"nosuch")
        else:
            connection.send_query_params(text.encode(), None)
    seen, syncs = [], 0
    while syncs < texts.count(None):
        result = connection.get_result()
        if result is None:
            continue
        syncs += result.status == psycopg.pq.ExecStatus.PIPELINE_SYNC
        state = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
        seen.append("what was to fail" if state in ("42501", "42601") else f"{psycopg.pq.ExecStatus(result.status).name} {state}")
    connection.exit_pipeline_mode()
    return seen


def test_autocommit_drivers_see_the_same(tallied: House) -> None:
    """psycopg's own transaction(): it rolls back, and the next begins clean."""

    def run(connection: Connection, wrong: str) -> object:
        seen: list[object] = []
        for text in ("INSERT INTO tally VALUES (7)", wrong):
            try:
                with connection.transaction():
                    connection.execute("INSERT INTO tally VALUES (1)")
                    connection.execute(text)
                seen.append("committed")
            except psycopg.Error:
                seen.append("rolled back")
            seen.append(connection.info.transaction_status.name)
        return seen

    for autocommit in (True, False):
        direct, through = runs(tallied, run, autocommit)
        assert through == direct


def test_asyncpg_sees_the_same(tallied: House) -> None:
    """Transactions and executemany of another driver."""

    async def one(wrong: str, **how: Any) -> object:
        connection = await asyncpg.connect(**how)
        seen: list[object] = []
        try:
            for step in (wrong, "INSERT INTO tally VALUES (5)"):
                try:
                    async with connection.transaction():
                        await connection.execute("INSERT INTO tally VALUES (1)")
                        async with connection.transaction():
                            await connection.execute("INSERT INTO tally VALUES (2)")
                        await connection.execute(step)
                except asyncpg.PostgresError as error:
                    seen.append(error.sqlstate in ("42501", "42601"))
                seen.append(connection.is_in_transaction())
            seen.append(await connection.fetchval("SELECT count(*) FROM tally"))
        finally:
            await connection.close()
        return seen

    def how(facts: dict[str, str]) -> dict[str, Any]:
        return {"host": facts["host"], "port": int(facts["port"]), "user": facts["user"], "database": facts["dbname"],
                "password": facts["password"], "ssl": False}  # fmt: skip

    said = []
    for facts, wrong in ((tallied.direct_facts(), NATIVE), (tallied.facts(ADA), REFUSED)):
        tallied.server.sql("TRUNCATE tally", "clinic")
        said.append(asyncio.run(one(wrong, **how(facts))))
    assert said[0] == said[1] == [True, False, False, 3]


def test_the_servers_log_shows_no_refused_statement_and_no_half_commit(tallied: House, postgres15: PostgresServer) -> None:
    """Of a refused command the server saw text that no grammar takes, and of its transaction a rollback."""
    before = len(postgres15.statements())
    with tallied.connect(ADA) as connection:
        connection.cursor_factory = psycopg.ClientCursor
        for text in ("BEGIN; INSERT INTO tally VALUES (41); DROP TABLE wards; COMMIT", "BEGIN", "INSERT INTO tally VALUES (42)", "DROP TABLE wards", "COMMIT"):
            with contextlib.suppress(psycopg.Error):
                connection.execute(text)
    with tallied.connect(CLEAR) as connection:
        assert connection.execute("SELECT count(*) FROM tally WHERE n IN (41, 42)").fetchone() == (0,)
    seen = postgres15.statements()[before:]
    assert not [text for text in seen if "DROP TABLE wards" in text or "(41)" in text]
    assert "INSERT INTO tally VALUES (42)" in seen


def test_a_refusal_is_in_the_evidence_and_names_its_rule(tallied: House) -> None:
    with tallied.connect(ADA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        connection.execute("DROP TABLE wards CASCADE")
    said = caught.value.diag
    assert "Tables are dropped by migrations." in said.message_primary and '"rule": "no-drop"' in said.message_detail
    found = tallied.records("--kind", "refusal", "--text", "DROP TABLE wards CASCADE")
    assert len(found) == 1
