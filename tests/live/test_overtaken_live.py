"""DDL that is committed while a statement of a masked session waits for its lock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.house import ADA, CLEAR, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

READ = "SELECT upper(y) FROM overtaken_v"
WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT upper(y)%'"


@pytest.fixture(scope="module")
def house(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres15.sql("CREATE TABLE overtaken (id int, note text, ssn text); INSERT INTO overtaken VALUES (1, 'calm', 'raw-ssn')")
    postgres15.sql("CREATE VIEW overtaken_v AS SELECT note AS y FROM overtaken")
    with House(tmp_path_factory.mktemp("overtaken"), postgres15, masked={"public.overtaken": ["ssn"]}, workers=1) as made:
        yield made


@pytest.mark.parametrize("values", [None, []], ids=["simple", "prepared"])
def test_a_view_that_is_replaced_under_a_waiting_statement_shows_nothing(house: House, values: list[object] | None) -> None:
    """Also where the statement's clean shape was remembered."""
    with house.connect(ADA) as ada, house.connect(CLEAR, autocommit=False) as owner, psycopg.connect(house.direct(), autocommit=True) as watch:
        owner.execute("CREATE OR REPLACE VIEW overtaken_v AS SELECT note AS y FROM overtaken")
        owner.commit()
        for _ in range(3):
            assert ada.execute(READ, values, prepare=values is not None).fetchall() == [("CALM",)]
        owner.execute("CREATE OR REPLACE VIEW overtaken_v AS SELECT ssn AS y FROM overtaken")
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(lambda: ada.execute(READ, values, prepare=values is not None).fetchall())
            until(lambda: watch.execute(WAITING).rowcount, "the statement waits for the view's lock")
            owner.commit()
            assert asked.result(60) == [(None,)]
        assert ada.execute("SELECT y FROM overtaken_v").fetchall() == [("***",)]
