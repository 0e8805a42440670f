"""Clients that go while something of theirs runs: what a server does then, it does through the gateway, and the evidence says what came of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.hostile.rough import message, query
from tests.house import ADA, House, until
from tests.servers import PostgresServer

TERMINATE = message(b"X")
MARK = "parted"
"""In the name of what a test does, so that nobody else's is counted."""


@pytest.fixture(scope="module", params=["clear", "TLS"])
def house(request: pytest.FixtureRequest, postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The target in clear, and under TLS."""
    target = {"tls": "off" if request.param == "clear" else "encrypt"}
    house = House(tmp_path_factory.mktemp("partings") / "house", postgres15, workers=1, target=target)
    house.start()
    yield house
    house.stop()


@pytest.fixture(autouse=True)
def parted(postgres15: PostgresServer) -> Iterator[None]:
    postgres15.sql(f"DROP TABLE IF EXISTS {MARK}; CREATE TABLE {MARK} (who text, n int)")
    yield


def wire(connection: psycopg.Connection[Any]) -> socket.socket:
    """Its socket, under libpq."""
    found = socket.socket(fileno=os.dup(connection.fileno()))
    found.setblocking(True)
    found.settimeout(60)
    return found


def rows(house: House, who: str) -> int:
    with psycopg.connect(house.direct()) as server:
        return server.execute(f"SELECT count(*) FROM {MARK} WHERE who = %s", (who,)).fetchone()[0]


@contextmanager
def locked(house: House) -> Iterator[None]:
    """Whoever writes waits."""
    with psycopg.connect(house.direct()) as server:
        server.execute(f"LOCK TABLE {MARK} IN EXCLUSIVE MODE")
        yield


def waiting(house: House) -> bool:
    """Whether somebody does."""
    with psycopg.connect(house.direct()) as server:
        return server.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()[0] == 1


def outcomes(house: House, beginning: int) -> list[tuple[str, list[str]]]:
    """How each command since then ended, with its tags, once nobody is there any more."""
    until(lambda: not house.call("session_list"), "the session's end")
    return [(one["fields"]["ending"], one["body"]["tags"]) for one in house.records("--kind", "outcome")[beginning:]]


@pytest.mark.parametrize("first", ["SELECT 1", "SELECT i, repeat('x', 200) FROM generate_series(1, 50000) i"], ids=["small", "large"])
def test_a_goodbye_behind_a_pipeline_costs_nobody_an_answer(house: House, first: str) -> None:
    """As directly: every answer arrives, everything is done, then the connection ends."""
    heard, beginning = {}, len(house.records("--kind", "outcome"))
    for who, dsn in {"direct": house.direct(), "gate": house.dsn(ADA, sslmode="disable")}.items():
        inserts = [query(f"INSERT INTO {MARK} VALUES ('{who}', {n})") for n in range(20)]
        connection = psycopg.connect(dsn, autocommit=True)
        with wire(connection) as raw:
            raw.sendall(b"".join([query(first), *inserts, TERMINATE]))
            heard[who] = b"".join(iter(lambda: raw.recv(1 << 16), b""))
        connection.close()
    assert heard["direct"] == heard["gate"] and (rows(house, "direct"), rows(house, "gate")) == (20, 20)
    found = outcomes(house, beginning)
    assert len(found) == 21 and {ending for ending, _ in found} == {"complete"}


@pytest.mark.parametrize("goodbye", [b"", TERMINATE], ids=["vanished", "said goodbye"])
@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_what_runs_on_without_its_client_has_its_outcome_in_the_evidence(house: House, goodbye: bytes, sslmode: str) -> None:
    """An application that gave up waiting, say: its statement runs to its end, as without a gateway."""
    beginning = len(house.records("--kind", "outcome"))
    connection = psycopg.connect(house.dsn(ADA, sslmode=sslmode), autocommit=True)
    with locked(house):
        connection.pgconn.send_query(f"INSERT INTO {MARK} SELECT 'late', n FROM generate_series(1, 7) n".encode())
        until(lambda: waiting(house), "that it runs")
        with wire(connection) as raw:
            if goodbye and sslmode == "disable":
                raw.sendall(goodbye)  # and libpq says it under TLS, as it closes
            if not goodbye:
                raw.shutdown(socket.SHUT_RDWR)
        connection.close()
        assert len(house.call("session_list")) == 1 and waiting(house)
    assert outcomes(house, beginning) == [("complete", ["INSERT 0 7"])] and rows(house, "late") == 7


def test_a_transaction_ends_with_its_client(house: House) -> None:
    """What ran in it has an outcome, and is rolled back as ever."""
    beginning = len(house.records("--kind", "outcome"))
    connection = psycopg.connect(house.dsn(ADA))
    connection.execute("SELECT 1")
    with locked(house), wire(connection) as raw:
        connection.pgconn.send_query(f"INSERT INTO {MARK} VALUES ('open', 1)".encode())
        until(lambda: waiting(house), "that it runs")
        raw.shutdown(socket.SHUT_RDWR)
    assert outcomes(house, beginning)[-1] == ("complete", ["INSERT 0 1"]) and rows(house, "open") == 0


def test_a_copy_whose_client_vanishes_ends_and_changes_nothing(house: House) -> None:
    beginning = len(house.records("--kind", "outcome"))
    connection = psycopg.connect(house.dsn(ADA), autocommit=True)
    with pytest.raises(psycopg.OperationalError), wire(connection) as raw:
        with connection.cursor() as cursor, cursor.copy(f"COPY {MARK} FROM STDIN") as copy:
            copy.write("copied\t1\n" * 50_000)
            raw.shutdown(socket.SHUT_RDWR)
    [(ending, tags)] = outcomes(house, beginning)
    assert ending in ("error", "unknown") and not tags and rows(house, "copied") == 0


def test_what_nobody_takes_is_not_read_to_its_end(house: House) -> None:
    """A server that sends rows to somebody who is gone ends there."""
    connection = psycopg.connect(house.dsn(ADA), autocommit=True)
    connection.pgconn.send_query(b"SELECT repeat('x', 1000), generate_series(1, 20000000)")  # which in FROM would be made whole first
    with wire(connection) as raw:
        assert raw.recv(1 << 16), "its first rows"
        raw.shutdown(socket.SHUT_RDWR)
    until(lambda: not house.call("session_list"), "the session's end")
    with psycopg.connect(house.direct()) as server:
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT repeat%' AND state = 'active' AND pid <> pg_backend_pid()"
        until(lambda: server.execute(running).fetchone()[0] == 0, "the statement's end")
