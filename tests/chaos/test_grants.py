"""
One approval is one run: raced for by many sessions on every worker, across kills, and with a byte changed. The
server's log counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from reckoning import ROLE, asked_of

from tests.house import ADA, GRACE, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

RACERS = 8
RULES = [{"name": "two persons", "classes": ["write-unfiltered"], "verdict": "approve", "approvers": ["approvers"], "mode": "retry"}]


@pytest.fixture(scope="module")
def house(server: PostgresServer, lasting_directory: Path) -> Iterator[House]:
    with House(lasting_directory, server, database="clinic", user=ROLE, rules=RULES) as made:
        with made.connect(ADA) as connection:
            connection.execute("CREATE TABLE doses (n int)")
        yield made


def ask(house: House, text: str) -> str:
    """The id of the request that it makes."""
    known = {one["id"] for one in house.requests()}
    with house.connect(ADA) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-301"):
        connection.execute(text)
    (made,) = {one["id"] for one in house.asked()} - known
    return made


def tries(house: House, text: str) -> bool:
    """Whether it ran now."""
    try:
        with house.connect(ADA) as connection:
            connection.execute(text)
    except psycopg.errors.InsufficientPrivilege as error:
        assert "OST-30" in str(error)
        return False
    return True


def ran(house: House, text: str) -> int:
    return asked_of(house.server.log)[text]


def test_many_race_for_one_approval(house: House) -> None:
    """From sessions on all workers at once: one of them runs."""
    text = "DELETE FROM doses"
    house.approve(ask(house, text), GRACE)
    start, results = threading.Barrier(RACERS), []
    sessions = [house.connect(ADA) for _ in range(RACERS)]

    def race(connection: psycopg.Connection) -> None:
        start.wait()
        try:
            connection.execute(text)
            results.append(True)
        except psycopg.errors.InsufficientPrivilege:
            results.append(False)

    threads = [threading.Thread(target=race, args=(one,)) for one in sessions]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for one in sessions:
        one.close()
    assert sorted(results) == [False] * (RACERS - 1) + [True]
    assert ran(house, text) == 1


def test_an_approval_outlives_a_kill_and_a_spent_one_stays_spent(house: House) -> None:
    text = "UPDATE doses SET n = 1"
    house.approve(ask(house, text), GRACE)
    assert not tries(house, "UPDATE  doses SET n = 1"), "a space more is another statement"
    assert ran(house, text) == 0
    for part in ("notary", "control"):
        _replace(house, part)
    assert tries(house, text) and ran(house, text) == 1
    for part in ("notary", "control"):
        _replace(house, part)
    assert not tries(house, text) and ran(house, text) == 1
    house.restart()
    assert not tries(house, text) and ran(house, text) == 1


def _replace(house: House, part: str) -> None:
    """Kill it, until the next one serves."""
    begun = house.log_file.stat().st_size
    house.kill(part)
    house.heard(rf"{part} is process \d+", begun)

    def serves() -> bool:
        try:
            with house.connect(ADA) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    until(serves, f"served again after the end of {part}")
