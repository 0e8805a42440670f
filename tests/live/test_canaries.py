"""
A masked column's values in no byte that a client receives: each way to them in each way of asking, through a tap in front
of the client. The corpora ask much more (`test_corpus_live`), in the simple protocol.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from tests.house import ADA, CLEAR, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

CANARY = "219-09-9%03d"  # never issued as a number
TABLES = """
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text);
INSERT INTO people SELECT n, 'name ' || n, '219-09-9' || lpad(n::text, 3, '0') FROM generate_series(1, 20) n;
CREATE VIEW listed AS SELECT id, ssn AS number FROM people;
CREATE VIEW twice AS SELECT number || '' AS again FROM listed;
"""
WAYS = {
    "plain": "SELECT ssn FROM people",
    "alias": "SELECT ssn AS name FROM people",
    "expression": "SELECT upper(ssn || '!') FROM people",
    "star": "SELECT * FROM people",
    "join": "SELECT a.name, b.ssn FROM people a JOIN people b USING (id)",
    "cte": "WITH p AS (SELECT * FROM people) SELECT * FROM p",
    "union": "SELECT name FROM people UNION ALL SELECT ssn FROM people",
    "view": "SELECT * FROM listed",
    "view of a view": "SELECT * FROM twice",
    "whole row": "SELECT people FROM people",
    "row_to_json": "SELECT row_to_json(people)::text FROM people",
    "string_agg": "SELECT string_agg(ssn, ',') FROM people",
    "subquery": "SELECT (SELECT ssn FROM people p WHERE p.id = q.id) FROM people q",
    "lateral": "SELECT x.s FROM people p, LATERAL (SELECT p.ssn AS s) x",
    "cast error": "SELECT ssn::int FROM people",
    "division by it": "SELECT 1 / (length(ssn) - length(ssn)) FROM people",
    "case": "SELECT CASE WHEN id > 0 THEN ssn END FROM people",
    "array": "SELECT array_agg(ssn) FROM people",
    "returning": "UPDATE people SET name = name RETURNING ssn",
    "notice": "DO $$ BEGIN RAISE NOTICE '%', (SELECT string_agg(ssn, ' ') FROM people); END $$",
    "error text": "DO $$ BEGIN RAISE EXCEPTION '%', (SELECT string_agg(ssn, ' ') FROM people); END $$",
    "made into a table": "CREATE TEMP TABLE mine AS SELECT * FROM people",
}
ORACLES = {
    "prefix": "SELECT count(*) FROM people WHERE ssn LIKE '219%'",
    "order": "SELECT id FROM people ORDER BY ssn",
    "range": "SELECT id FROM people WHERE ssn > '219-09-9010'",
    "length": "SELECT id FROM people WHERE length(ssn) = 11",
    "having": "SELECT count(*) FROM people HAVING max(ssn) > '3'",
}


@pytest.fixture(scope="module")
def house(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres15.sql("CREATE DATABASE canaries")
    postgres15.sql(TABLES, "canaries")
    masked = {"public.people": ["ssn"]}
    with House(tmp_path_factory.mktemp("canaries") / "h", postgres15, database="canaries", masked=masked) as made:
        yield made


class Tap:
    """Every byte towards the clients that came through `port`."""

    def __init__(self, port: int, kept: Path) -> None:
        self._kept = kept
        kept.touch()
        command = [sys.executable, str(Path(__file__).with_name("tap.py")), str(port), str(kept)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def heard(self) -> bytes:
        return self._kept.read_bytes()

    def forget(self) -> None:
        """Each test looks at what it asked for."""
        os.truncate(self._kept, 0)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def canaries(self) -> list[str]:
        """Those that were heard, also without their dashes."""
        heard, known = self.heard, [CANARY % n for n in range(1, 21)]
        return [one for one in known if one.encode() in heard or one.replace("-", "").encode() in heard]


@pytest.fixture(scope="module")
def lasting_tap(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tap]:
    made = Tap(house.port, tmp_path_factory.mktemp("tap") / "heard")
    yield made
    made.close()


@pytest.fixture
def tap(lasting_tap: Tap) -> Tap:
    lasting_tap.forget()
    return lasting_tap


def simply(house: House, subject: str, tap: Tap, text: str) -> None:
    with house.connect(subject, port=tap.port) as connection:
        connection.pgconn.exec_(text.encode())


def bound(house: House, subject: str, tap: Tap, text: str, result_format: int = 0) -> None:
    with house.connect(subject, port=tap.port) as connection:
        connection.pgconn.exec_params(text.encode(), None, result_format=result_format)


def in_binary(house: House, subject: str, tap: Tap, text: str) -> None:
    bound(house, subject, tap, text, 1)


def prepared(house: House, subject: str, tap: Tap, text: str) -> None:
    with house.connect(subject, port=tap.port) as connection:
        connection.pgconn.prepare(b"p", text.encode())
        connection.pgconn.describe_prepared(b"p")
        for result_format in (0, 1):
            connection.pgconn.exec_prepared(b"p", None, result_format=result_format)


def by_cursor(house: House, subject: str, tap: Tap, text: str) -> None:
    with house.connect(subject, port=tap.port) as connection:
        connection.pgconn.exec_(b"BEGIN")
        connection.pgconn.exec_(f"DECLARE c CURSOR FOR {text}".encode())
        connection.pgconn.exec_(b"FETCH 7 FROM c")
        connection.pgconn.exec_params(b"FETCH ALL FROM c", None, result_format=1)


def by_portal(house: House, subject: str, tap: Tap, text: str) -> None:
    """Three rows at a time: the portal is suspended and resumed."""

    async def suspended() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=tap.port, user=f"{subject}@db", password=house.token(subject), database="canaries", ssl=False
        )
        try:
            async with connection.transaction():
                async for _ in connection.cursor(text, prefetch=3):
                    pass
        except asyncpg.PostgresError:
            pass
        finally:
            await connection.close()

    asyncio.run(suspended())


ASKED: dict[str, Callable[[House, str, Tap, str], None]] = {
    "simple": simply, "bound": bound, "binary": in_binary, "prepared": prepared, "cursor": by_cursor, "portal": by_portal,
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("way", WAYS)
def test_no_canary_is_in_any_byte_received(house: House, tap: Tap, asked: str, way: str) -> None:
    ASKED[asked](house, ADA, tap, WAYS[way])
    assert len(tap.heard) > 100 and tap.canaries() == []


@pytest.mark.parametrize("form", ["TEXT", "CSV", "BINARY"])
def test_no_canary_is_in_a_copy(house: House, tap: Tap, form: str) -> None:
    with house.connect(ADA, port=tap.port) as connection, connection.cursor().copy(f"COPY people TO STDOUT (FORMAT {form})") as out:
        assert len(b"".join(bytes(piece) for piece in out)) > 100
    assert tap.canaries() == []


@pytest.mark.parametrize("asked", ASKED)
def test_the_tap_hears_them_when_they_are_there(house: House, tap: Tap, asked: str) -> None:
    """Somebody who may see them."""
    ASKED[asked](house, CLEAR, tap, WAYS["plain"])
    assert len(tap.canaries()) == 20


@pytest.mark.parametrize("oracle", ORACLES)
def test_oracles_are_refused_by_name(house: House, oracle: str) -> None:
    for binary in (False, True):
        with house.connect(ADA) as connection, pytest.raises(psycopg.Error, match=r"public\.people\.ssn.*OST-510"):
            connection.execute(ORACLES[oracle], binary=binary)
