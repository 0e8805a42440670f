"""
What an EXECUTE runs is in its own record, with its values, whichever way it came: an auditor needs nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import pq

from tests.house import ADA, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

PREPARE = "PREPARE charts(int) AS SELECT $1 + 40"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("executed") / "h", postgres15, workers=1) as made:
        yield made


def test_a_bind_of_what_sql_prepared_and_an_execute_are_recorded_with_their_text(house: House) -> None:
    with house.connect(ADA) as connection:
        connection.execute(PREPARE, prepare=False)
        bound = connection.pgconn.exec_prepared(b"charts", [b"2"])
        assert bound.get_value(0, 0) == b"42" and connection.execute("EXECUTE charts(3)", prepare=False).fetchone() == (43,)
        connection.execute("DEALLOCATE charts; PREPARE charts AS SELECT 'another'", prepare=False)
        assert connection.execute("EXECUTE charts", prepare=False).fetchone() == ("another",)
        by_parse = connection.pgconn.prepare(b"parsed", b"SELECT 7")
        assert by_parse.status == pq.ExecStatus.COMMAND_OK and connection.execute("EXECUTE parsed", prepare=False).fetchone() == (7,)
    found = house.records("--kind", "intent", "--identity", ADA)
    prepared, bind, said, again, other, _parsed, parsed = [one for one in found if one["kind"] == "intent"]
    known = ["charts", PREPARE, prepared["fields"]["command"]]
    assert (bind["body"]["text"], bind["body"]["parameters"], bind["body"]["executes"]) == ('EXECUTE "charts"', [[0, 0, "2"]], [known])
    assert said["body"]["executes"] == [known] and "executes" not in prepared["body"]
    assert ["charts", again["body"]["text"], again["fields"]["command"]] in other["body"]["executes"]
    assert parsed["body"]["executes"] == [["parsed", "SELECT 7", None]]


def test_a_name_that_nobody_saw_prepared_is_recorded_as_such(house: House) -> None:
    with house.connect(ADA) as connection, pytest.raises(psycopg.Error):
        connection.execute("EXECUTE stranger", prepare=False)
    [found] = house.records("--text", "EXECUTE stranger")
    assert found["body"]["executes"] == [["stranger", None, None]]


def test_what_is_executed_is_found_shown_and_proved_by_its_text(house: House) -> None:
    with house.connect(ADA) as connection:
        connection.execute("PREPARE proved AS SELECT 'marigold'", prepare=False)
        connection.execute("EXECUTE proved", prepare=False)
    texts = [one["body"]["text"] for one in house.records("--kind", "intent", "--text", "marigold")]
    assert texts == ["PREPARE proved AS SELECT 'marigold'", "EXECUTE proved"]
    shown = house.audit("search", "--kind", "intent", "--text", "marigold")
    assert "EXECUTE proved; \"proved\" is: PREPARE proved AS SELECT 'marigold'" in shown.stdout
    bundle = house.directory / "executed"
    assert house.audit("export", "--out", str(bundle)).returncode == 0
    ran = subprocess.run([sys.executable, bundle / "verify.py", "--key", house.public_key], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "[\"proved\",\"PREPARE proved AS SELECT 'marigold'\"," in (bundle / "readable" / "records.jsonl").read_text()
