"""Identifiers that no declaration names, through a whole gateway and stock clients: starred out on every path, and found in the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.house import ADA, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

DATABASE, SSN, STARS = "undeclared", "219-09-9998", "***********"
SETUP = f"""
CREATE TABLE visits (id int PRIMARY KEY, note text, tags text[], doc jsonb, npi bigint, secret text);
INSERT INTO visits VALUES
  (1, 'ssn {SSN} was given', ARRAY['{SSN}', 'b'], '{{"ssn": "{SSN}", "npi": 1234567893}}', 1234567893, 's'),
  (2, 'nothing here 000-12-3456', ARRAY['x'], '{{"a": 1}}', 1234567890, 's');
INSERT INTO visits SELECT i, repeat('clear ', 10), NULL, NULL, i, 's' FROM generate_series(3, 2000) i;
INSERT INTO visits VALUES (2001, repeat('long ', 100000) || '{SSN} ' || repeat('tail ', 100000), NULL, NULL, 1, 's');
"""
CONTENT = {"use": "addons.masking.Content", "mask": ["ssn", "npi"], "alarm": ["email"], "clear": ["privacy"]}


@pytest.fixture(scope="module", params=["postgres15", "postgres18"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    server: PostgresServer = request.getfixturevalue(request.param)
    server.sql(f"CREATE DATABASE {DATABASE}")
    server.sql(SETUP, DATABASE)
    with House(
        tmp_path_factory.mktemp("content") / "h", server, database=DATABASE, masked={"public.visits": ["secret"]},
        masking={"notifications": True}, addons=[CONTENT], workers=1,
    ) as made:
        yield made


@pytest.fixture
def connection(house: House) -> Iterator[psycopg.Connection[Any]]:
    with house.connect(ADA) as connection:
        yield connection


@pytest.mark.parametrize("binary", [False, True])
def test_cells_of_every_kind_come_back_starred(connection: psycopg.Connection[Any], binary: bool) -> None:
    """Their rows stay readable to the driver: arrays, json and numbers too."""
    rows = connection.execute("SELECT note, tags, doc, npi, secret FROM visits WHERE id < 3 ORDER BY id", binary=binary).fetchall()
    assert rows[0][:3] == (f"ssn {STARS} was given", [STARS, "b"], {"ssn": STARS, "npi": 0.0})
    assert rows[0][3] == (1234567893 if binary else None)
    assert rows[1] == ("nothing here 000-12-3456", ["x"], {"a": 1}, 1234567890, "***")


def test_a_value_inside_a_row_that_passes_in_pieces_is_found(connection: psycopg.Connection[Any]) -> None:
    note = connection.execute("SELECT note FROM visits WHERE id = 2001").fetchone()
    assert note is not None and note[0] == "long " * 100_000 + f"{STARS} " + "tail " * 100_000


def test_many_rows_without_a_find_are_what_the_server_sent(house: House, connection: psycopg.Connection[Any]) -> None:
    text = "SELECT id, note, npi FROM visits WHERE id BETWEEN 3 AND 2000 ORDER BY id"
    with psycopg.connect(house.direct()) as direct:
        assert connection.execute(text).fetchall() == direct.execute(text).fetchall()


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
@pytest.mark.parametrize("source", ["visits (note, secret)", "(SELECT id, note, tags, npi FROM visits WHERE id < 2)"])
def test_copy_brings_stars_in_every_format(connection: psycopg.Connection[Any], form: str, source: str) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {source} TO STDOUT (FORMAT {form})") as copy:  # type: ignore[arg-type]
        data = b"".join(bytes(part) for part in copy)
    assert SSN.encode() not in data and STARS.encode() in data


def test_notifications_bring_stars(connection: psycopg.Connection[Any]) -> None:
    connection.execute("LISTEN news")
    connection.execute(f"NOTIFY news, 'call {SSN}'")
    assert [note.payload for note in connection.notifies(timeout=10, stop_after=1)] == [f"call {STARS}"]


def test_a_find_is_an_alarm_that_a_search_brings_back(house: House, connection: psycopg.Connection[Any]) -> None:
    """Names and counts; not the value."""
    connection.execute("SELECT note, 'ada@clinic.example' FROM visits WHERE id = 1").fetchall()
    alarms: list[str] = []

    def told() -> bool:
        alarms[:] = [one["body"]["alarm"] for one in house.records("--alarm") if one["kind"] == "outcome"]
        return any("ssn 1 masked, email 1" in alarm or "email 1, ssn 1 masked" in alarm for alarm in alarms)

    until(told, "the alarm")
    assert not any(SSN in alarm for alarm in alarms)
    listed = house.audit("search", "--alarm").stdout
    assert "ALARM" in listed and "ssn 1 masked" in listed
