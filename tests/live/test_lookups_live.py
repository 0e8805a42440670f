"""Look-ups by a masked value through a whole gateway: counted over both workers, by any driver, and in the evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.house import ADA, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

LIMIT = 6


@pytest.fixture(scope="module")
def house(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres15.sql("DROP TABLE IF EXISTS charts; CREATE TABLE charts (id int, mrn text); INSERT INTO charts SELECT n, 'MRN-' || n FROM generate_series(1, 50) n")
    masking = {"use": "addons.masking.Masking", "lookups_per_minute": LIMIT, "columns": [
        {"relation": "public.charts", "column": "mrn", "clear": ["privacy"], "lookup": True},
    ]}
    with House(tmp_path_factory.mktemp("lookups"), postgres15, addons=[masking], workers=2) as made:
        yield made


def test_both_workers_count_together(house: House) -> None:
    """One after another on fresh sessions, simple and prepared: as many as permitted, then none."""
    found, refused = [], []
    for number in range(1, LIMIT + 5):
        with house.connect(ADA) as connection:
            try:
                found += connection.execute("SELECT id, mrn FROM charts WHERE mrn = %s", [f"MRN-{number}"], prepare=bool(number % 2)).fetchall()
            except psycopg.Error as error:
                refused.append(str(error))
    assert found == [(number, "***") for number in range(1, LIMIT + 1)]
    assert len(refused) == 4 and all("OST-518" in one for one in refused)
    records = [json.loads(line) for line in house.audit("search", "--json", "--text", "WHERE mrn = $1").stdout.splitlines()]
    assert len([one for one in records if one["kind"] == "refusal"]) == 4
