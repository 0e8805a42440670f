"""
`ostiary target discover` against a real database: what it proposes, that no value leaves, that looking is recorded.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import TARGET, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

DATABASE = "discovered"
SETUP = """
CREATE TABLE people (id int PRIMARY KEY, "lastName" text, dob date, u text, "odd ""name" text, scan bytea, joined date);
INSERT INTO people SELECT n, 'Q' || n, date '1980-01-01' + n, CASE WHEN n % 3 = 0 THEN NULL ELSE '219-09-' || (1000 + n) END,
    'call 415-555-' || (2000 + n), '\\x00ff', now() FROM generate_series(1, 300) n;
CREATE SCHEMA billing;
CREATE TABLE billing.claims (id int, provider text, amount numeric, notes text) PARTITION BY RANGE (id);
CREATE TABLE billing.claims_1 PARTITION OF billing.claims FOR VALUES FROM (0) TO (1000);
INSERT INTO billing.claims SELECT n, '1234567893', n, NULL FROM generate_series(1, 50) n;
CREATE TABLE billing.nothing (id int, amount numeric, status text);
INSERT INTO billing.nothing SELECT n, n, 'paid' FROM generate_series(1, 50) n;
CREATE MATERIALIZED VIEW billing.never AS SELECT * FROM people WITH NO DATA;
"""
CANARIES = ("219-09-1001", "415-555-2001", "1234567893", "Q17")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    postgres15.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
    postgres15.sql(f"CREATE DATABASE {DATABASE}")
    postgres15.sql(SETUP, DATABASE)
    made = House(tmp_path_factory.mktemp("discover"), postgres15, database=DATABASE, workers=1, masked={"public.people": ["dob"]})
    with made as house:
        yield house


def test_columns_are_proposed_by_name_and_by_value(house: House) -> None:
    done = house.ostiary("target", "discover", TARGET, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = {f"{one['relation']}.{one['column']}": (one["holds"], one["by"], one["strategy"], one["declared"]) for one in told["proposals"]}
    assert found == {
        "public.people.lastName": ("person's name", "name", "redact", False),
        "public.people.dob": ("birth date", "name", "date", True),
        "public.people.u": ("ssn", "values", "redact", False),
        'public.people.odd "name': ("phone", "values", "partial", False),
        "billing.claims.provider": ("npi", "values", "redact", False),
        "billing.claims.notes": ("free text", "name", "redact", False),
    }
    assert told["relations"] == 4 and [one.split(":")[0] for one in told["not_sampled"]] == ["billing.never"]
    assert told["nothing_found_in"] == ["billing.nothing"]
    assert {one["strategy"]: one.get("keep") for one in told["proposals"]} == {"redact": None, "date": "year", "partial": 4}
    ssn = next(one for one in told["proposals"] if one["column"] == "u")
    assert 0 < ssn["matches"] == ssn["sampled"] < 200, "NULLs are no samples"


def test_a_target_that_masks_nothing_and_one_that_refuses_are_said_so_by_check(house: House) -> None:
    """The mends are the operator's: it is the operator who asks."""
    masking = next(one for one in house.addons if one["use"].endswith("Masking"))
    kept = masking["columns"]
    try:
        masking["columns"] = [{**kept[0], "databases": ["postgres"], "relation": "pubic.people"}]
        house.target["databases"] = [DATABASE, "postgres"]
        house.reload()
        checked = house.ostiary("target", "check", TARGET)
        assert checked.returncode == 1 and "database postgres: masking is declared for pubic.people" in checked.stderr, checked
        assert "(did you mean public?)" in checked.stderr, checked
        masking["columns"] = []
        house.reload()
        checked = house.ostiary("target", "check", TARGET)
        assert checked.returncode == 0 and f"nothing is masked on {TARGET}" in checked.stderr, checked
        house.target["account"] = [{"name": "app", "user": "nobody_of_that_name", "auth": "trust"}]
        house.reload()
        checked = house.ostiary("target", "check", TARGET)
        assert checked.returncode == 1 and "nobody_of_that_name" in checked.stderr and "see `user` and `auth` of the account" in checked.stderr, checked
    finally:
        masking["columns"] = kept
        house.target.clear()
        house.reload()


def test_no_value_leaves_and_looking_is_recorded(house: House) -> None:
    done = house.ostiary("target", "discover", TARGET)
    said = done.stdout + done.stderr + house.text() + json.dumps(house.records())
    assert "Nothing was found in billing.nothing." in done.stdout
    assert done.returncode == 0 and not [value for value in CANARIES if value in said]
    noted = [one["body"]["facts"] for one in house.records() if one["fields"].get("what") == "target.sampled"]
    assert {"public.people", "billing.claims", "billing.nothing"} <= {one["relation"] for one in noted}


def test_the_fragment_goes_into_the_configuration(house: House, tmp_path: Path) -> None:
    """What was proposed is understood by the masking addon, and masks."""
    out = tmp_path / "masked.toml"
    assert house.ostiary("target", "discover", TARGET, "--out", str(out)).returncode == 0
    columns = tomllib.loads(out.read_text())["columns"]
    assert {"relation": "public.people", "column": "u", "strategy": "redact", "targets": [TARGET]} in columns
    assert not [one for one in columns if one["column"] == "dob"], "it is declared already"
    masking = next(one for one in house.addons if one["use"].endswith("Masking"))
    masking["columns"] = [*masking["columns"], *columns]
    house.reload()
    with house.connect("ada@clinic.example") as ada:
        row = ada.execute('SELECT u, "odd ""name" FROM people WHERE id = 1').fetchone()
        assert row[0] == "***" and row[1].endswith("2001") and "415" not in row[1]


@pytest.mark.parametrize(("words", "complaint"), [
    (("nowhere",), "there is no target nowhere"), ((TARGET, "--database", "x"), "has no database x"), ((TARGET, "--account", "x"), "no account x"),
])
def test_wrong_questions_are_answered(house: House, words: tuple[str, ...], complaint: str) -> None:
    done = house.ostiary("target", "discover", *words)
    assert done.returncode == 1 and complaint in done.stderr
