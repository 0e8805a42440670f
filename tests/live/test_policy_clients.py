"""What stock clients send by themselves passes a strict policy: psql's backslash commands, pg_dump, pgbench, drivers' look-ups."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest
from psycopg.types.composite import CompositeInfo
from psycopg.types.enum import EnumInfo

from addons.policy import Policy
from protocols.command import Statement
from protocols.hooks import DecidedHook, JudgeHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny
from tests.servers import POSTGRES, PostgresServer, postgres_18

DEFAULT = {"read": "allow", "write": "allow", "transaction": "allow", "session": "allow", "large-object": "allow"}
SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 5432), "rw", "clinic", "p")

SCHEMA = """
CREATE TABLE departments (id int PRIMARY KEY, code text UNIQUE, at timestamp DEFAULT now());
CREATE TABLE visits (id serial PRIMARY KEY, d int REFERENCES departments);
CREATE VIEW v AS SELECT * FROM departments; CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE INDEX ON departments (lower(code));
CREATE TYPE mood AS ENUM ('a', 'b'); COMMENT ON TABLE departments IS 'x'; CREATE SEQUENCE s2; CREATE PUBLICATION pub FOR TABLE visits;
CREATE TABLE part (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (1) TO (10);
SELECT lo_create(4711);
"""
BACKSLASH = r"""\d \d+ \ddepartments \d+:departments \d+:v \d+:part \d:p1 \dt+ \di+ \ds+ \dv+ \dm+ \df+ \da \dn+ \du+ \l+ \dp \dT+ \dD \db+ \dC \dd \dx+ \dy
\dew \des \deu \det \do \dF \dFd \dFp \dFt \dRp+ \dRs \drds \dconfig \dL \dO \dX \dA+ \dAc \dAf \dAo \dAp \ddp \dl \dP+ \conninfo"""


@pytest.fixture(scope="module", params=["15", "18"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    made = PostgresServer(POSTGRES if request.param == "15" else postgres_18())
    try:
        made.start()
        made.sql(SCHEMA)
        yield made
    finally:
        made.stop()


def refused(server: PostgresServer, sent_before: int) -> list[tuple[str, str]]:
    """What policy would have refused of everything the server was asked since."""
    policy, found = Policy(default=DEFAULT), []
    texts = server.statements()[sent_before:]
    assert texts, "the server logged no statement"
    for text in texts:
        if text.startswith("EXECUTE "):  # the log's DETAIL, which quotes what was prepared, follows on the next lines
            text = text.partition("\n")[0]
        command = Statement(text)
        verdict = policy.on_judge(JudgeHook(SESSION, command, text))
        policy.on_decided(DecidedHook(SESSION, Decision(command, verdict if isinstance(verdict, Deny) else Allow(), text)))
        if isinstance(verdict, Deny):
            found.append((verdict.reason, text))
    return found


def run(server: PostgresServer, program: str, *arguments: str, text: str = "") -> None:
    where = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
    subprocess.run([server.program(program), *where, *arguments], input=text.encode(), check=True, capture_output=True, timeout=60)


@pytest.mark.live
def test_psql(server: PostgresServer) -> None:
    """The \\d family, as psql of the server's own version asks it."""
    before = len(server.statements())
    commands = "\n".join(c.replace(":", " ").replace("\\ddep", "\\d dep") for c in BACKSLASH.split())
    run(server, "psql", "-Xq", "postgres", text=commands)
    assert refused(server, before) == []


@pytest.mark.live
def test_pg_dump(server: PostgresServer) -> None:
    before = len(server.statements())
    run(server, "pg_dump", "-f", "/dev/null", "postgres")
    assert refused(server, before) == []


@pytest.mark.live
def test_pgbench(server: PostgresServer) -> None:
    """Its transactions, not its -i, which makes and drops tables."""
    run(server, "pgbench", "-q", "-i", "postgres")
    before = len(server.statements())
    run(server, "pgbench", "-n", "-t", "3", "-M", "prepared", "postgres")
    run(server, "pgbench", "-n", "-t", "3", "postgres")
    assert refused(server, before) == []


@pytest.mark.live
def test_drivers(server: PostgresServer) -> None:
    """psycopg's and asyncpg's own look-ups of types, resets and settings."""
    before = len(server.statements())
    where = {"host": "127.0.0.1", "port": server.port, "user": "postgres"}
    with psycopg.connect(dbname="postgres", **where) as connection:
        assert EnumInfo.fetch(connection, "mood") and CompositeInfo.fetch(connection, "departments")
        with connection.cursor("named") as cursor:
            assert cursor.execute("SELECT 1").fetchall() == [(1,)]

    async def other() -> None:
        connection = await asyncpg.connect(database="postgres", **where)
        try:
            await connection.fetch("SELECT 'a'::mood, departments FROM departments")
            await connection.reset()
        finally:
            await connection.close()

    asyncio.run(other())
    assert refused(server, before) == []
