"""Large values, large results and many sessions: as direct, in memory that does not grow with them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.house import ADA, BENCH, CLEAR, House
from tests.live.conftest import CLINIC, MASKED
from tests.servers import POSTGRES, PostgresServer

pytestmark = pytest.mark.live

SOAK = os.environ.get("OSTIARY_PROFILE") == "soak"
VALUE = 100_000_000  # bytes
RESULT = (1 << 30) if SOAK else (256 << 20)  # bytes
GROWTH = 64 << 20  # bytes of a worker's memory that a result of any size may take
SESSIONS = 300


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One worker, so that its memory is the whole; the server logs no statement, since some are 200 MB."""
    settings = {"log_statement": "none", "log_min_error_statement": "panic", "max_connections": str(SESSIONS + 40), "shared_buffers": "64MB"}
    server = PostgresServer(POSTGRES, settings)
    try:
        server.start()
        server.sql("CREATE DATABASE clinic")
        server.sql(CLINIC + "CREATE TABLE large (t text, b bytea);", "clinic")
        with House(tmp_path_factory.mktemp("big") / "h", server, database="clinic", workers=1, masked=MASKED) as house:
            yield house
    finally:
        server.stop()


class Watch:
    """The most memory that the worker held meanwhile, looked at by a thread."""

    def __init__(self, house: House) -> None:
        self._house, self.most, self._over = house, 0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.most = max(self.most, self._house.resident("worker-1"))

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self._house.resident("worker-1"))


def grown(house: House, before: int) -> int:
    return house.resident("worker-1") - before


@pytest.mark.parametrize("subject", [CLEAR, ADA])
@pytest.mark.parametrize("binary", [False, True])
def test_a_hundred_megabytes_from_the_server(big: House, subject: str, binary: bool) -> None:
    """One text and one bytea value, in both formats; also for somebody for whom other columns are masked."""
    with big.connect(subject) as connection:
        connection.execute("SELECT 1")
        before = big.resident("worker-1")
        cursor = connection.cursor(binary=binary)
        (text,) = cursor.execute(f"SELECT repeat('grüßen__', {VALUE // 10})").fetchone()
        assert len(text.encode()) == VALUE and set(text) == set("grüßen_")
        del text
        (data,) = cursor.execute(f"SELECT convert_to(repeat('0123456789', {VALUE // 10}), 'UTF8')").fetchone()
        assert hashlib.sha256(data).digest() == hashlib.sha256(b"0123456789" * (VALUE // 10)).digest()
        assert grown(big, before) < GROWTH


@pytest.mark.parametrize("cast", ["bytea", "text"])
def test_a_hundred_megabytes_to_the_server(big: House, cast: str) -> None:
    """As a parameter, binary and text; what arrives is what was sent, its evidence is a digest, and the worker held none of it."""
    value = os.urandom(1 << 20) * (VALUE >> 20) if cast == "bytea" else "größer\t" * (VALUE // 9)
    raw = value if isinstance(value, bytes) else value.encode()
    with big.connect(CLEAR) as connection:
        text = f"SELECT octet_length(v), md5(v) FROM (SELECT %s::{cast} AS v) s"
        connection.execute(text, [value[:9]])
        before = big.resident("worker-1")
        with Watch(big) as watch:
            (size, digest) = connection.execute(text, [value]).fetchone()
        assert (size, digest) == (len(raw), hashlib.md5(raw, usedforsecurity=False).hexdigest())
        assert watch.most - before < GROWTH
    intents = big.records("--kind", "intent", "--text", f"{cast} AS v")
    told = [one["body"]["parameters"][0][2:] for one in intents if one["body"]["parameters"]]
    assert [None, len(raw), {"base64": base64.b64encode(hashlib.sha256(raw).digest()).decode()}] in told
    assert list((big.directory / "state" / "spool").iterdir()) == []


def test_a_hundred_megabytes_through_copy(big: House) -> None:
    """By pieces; what arrives is what was sent."""
    data = os.urandom(1 << 20) * (VALUE >> 20)
    with big.connect(CLEAR) as connection:
        connection.execute("TRUNCATE large")
        with connection.cursor().copy("COPY large (b, t) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["bytea", "text"])
            copy.write_row((data, "x"))
        (same,) = connection.execute("SELECT md5(b) = %s FROM large", [hashlib.md5(data, usedforsecurity=False).hexdigest()]).fetchone()
        assert same


def test_a_statement_above_a_megabyte_is_refused_with_the_reason(big: House) -> None:
    """Its text has to be read as a whole to be judged; parameters and COPY have no such limit."""
    with big.connect(CLEAR) as connection:
        with pytest.raises(psycopg.Error, match="OST-") as caught:
            psycopg.ClientCursor(connection).execute("SELECT length(%s)", ["x" * (2 << 20)])
        assert "COPY" in str(caught.value) or "parameter" in str(caught.value)
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("width", [100, 100_000], ids=["narrow", "wide"])
def test_a_large_result_in_little_memory(big: House, width: int) -> None:
    """Read as it comes; the worker holds a window of it, whatever its size. A gigabyte in the long profile."""
    rows = RESULT // (width + 10)
    with big.connect(CLEAR) as connection:
        connection.execute("SELECT 1")
        before, seen, size = big.resident("worker-1"), 0, 0
        most = 0
        for row in connection.cursor().stream(f"SELECT repeat('x', {width}) FROM generate_series(1, {rows})", size=100):
            seen, size = seen + 1, size + len(row[0])
            if seen % (rows // 50 or 1) == 0:
                most = max(most, grown(big, before))
        assert (seen, size) == (rows, rows * width) and most < GROWTH


def test_a_client_that_does_not_read_costs_no_memory(big: House) -> None:
    """Back-pressure reaches the server: it stops sending, the worker holds a window, and others go on."""
    with big.connect(CLEAR) as slow, big.connect(CLEAR) as other:
        slow.execute("SELECT 1")
        before = big.resident("worker-1")
        slow.pgconn.send_query(f"SELECT repeat('x', 1000) FROM generate_series(1, {RESULT // 1000})".encode())
        while not _stalled(big.server):
            assert other.execute("SELECT 1").fetchone() == (1,)
        assert grown(big, before) < GROWTH
        slow.cancel()
        slow.close()


def _stalled(server: PostgresServer) -> bool:
    return server.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'") == "1"


def test_copy_both_ways_in_little_memory(big: House) -> None:
    """Out, and in again; counted on the way."""
    rows = RESULT // 4 // 110
    with big.connect(CLEAR) as source, big.connect(CLEAR) as sink:
        source.execute("SELECT 1")
        sink.execute("CREATE TEMP TABLE c (n int, t text)")
        before = big.resident("worker-1")
        with (
            source.cursor().copy(f"COPY (SELECT n, repeat('y', 100) FROM generate_series(1, {rows}) n) TO STDOUT") as out,
            sink.cursor().copy("COPY c FROM STDIN") as into,
        ):
            for block in out:
                into.write(block)
        assert sink.execute("SELECT count(*), sum(length(t)) FROM c").fetchone() == (rows, rows * 100)
        assert grown(big, before) < GROWTH


def test_three_hundred_sessions_at_once(big: House) -> None:
    """All are open before any asks; each gets its own answers."""

    async def all_of_them() -> list[int]:
        room = asyncio.Semaphore(40)  # as many knock at once
        dsn = big.dsn(BENCH)

        async def enter() -> psycopg.AsyncConnection[tuple[int, int]]:
            async with room:
                return await psycopg.AsyncConnection.connect(dsn, autocommit=True)

        connections = await asyncio.gather(*(enter() for _ in range(SESSIONS)))
        try:
            async def ask(n: int, connection: psycopg.AsyncConnection[tuple[int, int]]) -> int:
                for _ in range(3):
                    found = await (await connection.execute("SELECT %s::int, pg_backend_pid()", [n])).fetchone()
                    assert found == (n, connection.info.backend_pid)
                return connection.info.backend_pid

            return list(await asyncio.gather(*(ask(n, one) for n, one in enumerate(connections))))
        finally:
            await asyncio.gather(*(one.close() for one in connections))

    assert len(set(asyncio.run(all_of_them()))) == SESSIONS
    assert "ended by a bug" not in big.text()
