"""
A gateway whose account has a floor: who is put on it, that it must hold, how it is provisioned, and what evidence says of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.house import ADA, CLEAR, TARGET, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

DATABASE, ROLE = "floored", "floored_floor"
SETUP = """
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text);
INSERT INTO people VALUES (1, 'Ann', '123-45-6789'), (2, 'Bob', NULL);
CREATE VIEW directory AS SELECT id, upper(ssn) AS number FROM people;
"""
TARGETS = {
    "account": [
        {"name": "app", "user": "postgres", "auth": "trust", "floor": "below"},
        {"name": "below", "user": ROLE, "auth": "trust"},
    ]
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    postgres15.sql(f"CREATE DATABASE {DATABASE}")
    postgres15.sql(SETUP, DATABASE)
    folder = tmp_path_factory.mktemp("floor")
    with House(folder / "h", postgres15, database=DATABASE, masked={"public.people": ["ssn"]}, target=TARGETS) as made:
        yield made


def floor_of(house: House, subject: str) -> str:
    """What the newest session's record says."""
    newest = house.records("--kind", "opened", "--identity", subject)[-1]
    found: str = newest["body"]["facts"]["floor"]
    return found


def test_a_floor_is_required_provisioned_used_checked_and_recorded(house: House, tmp_path: Path) -> None:
    with pytest.raises(psycopg.OperationalError):  # there is no such role yet
        house.connect(ADA)
    with house.connect(CLEAR) as clear:
        assert clear.execute("SELECT current_user::text, ssn FROM people WHERE id = 1").fetchone() == ("postgres", "123-45-6789")
    assert floor_of(house, CLEAR) == "none"
    checked = house.ostiary("target", "provision", TARGET, "--check")
    assert checked.returncode == 1 and f"there is no role {ROLE}" in checked.stdout

    printed = house.ostiary("target", "provision", TARGET, "--print", "--out", str(tmp_path / "floor.sql"))
    assert printed.returncode == 0, printed.stderr
    assert (tmp_path / "floor.sql").read_text() == printed.stdout
    assert printed.stdout.splitlines()[-1].endswith(f"ostiary account secret {TARGET} below")
    ran = house.server.sql(printed.stdout, DATABASE)
    assert house.ostiary("target", "provision", TARGET, "--check").returncode == 0, ran
    house.target["account"] = [TARGETS["account"][0], {"name": "below", "user": ROLE}]  # with a password, in a file that is not in force yet
    house.write()
    stands = house.ostiary("target", "provision", TARGET, "--check")
    assert stands.returncode == 0 and f"run: ostiary account secret {TARGET} below" in stands.stderr, stands
    house.target["account"] = TARGETS["account"]
    house.write()

    with house.connect(ADA) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (ROLE,)
        assert connection.execute("SELECT id, name, ssn FROM people ORDER BY id").fetchall() == [(1, "Ann", "***"), (2, "Bob", None)]
        assert connection.execute("SELECT * FROM directory ORDER BY id", binary=True).fetchall() == [(1, "***"), (2, None)]
        assert connection.execute("UPDATE people SET name = 'Eve' WHERE id = %s RETURNING name", (2,)).fetchone() == ("Eve",)
    assert floor_of(house, ADA) == f"{ROLE}, verified"


def test_a_floor_that_does_not_hold_refuses_the_session_and_the_record_says_why(house: House) -> None:
    test = "GRANT SELECT ON people TO PUBLIC"
    house.server.sql(test, DATABASE)
    try:
        with pytest.raises(psycopg.OperationalError, match="OST-660"):
            house.connect(ADA)
        assert house.recorded("--kind", "note", "--text", "reads public.people.ssn")
        house.target["floor"] = "report"
        house.reload()
        with house.connect(ADA) as connection:
            assert connection.execute("SELECT ssn FROM people WHERE id = 1").fetchone() == ("***",)
        assert floor_of(house, ADA) == f"{ROLE}, not verified: reads public.people.ssn"
    finally:
        house.target.pop("floor", None)
        house.reload()
        house.server.sql("REVOKE SELECT ON people FROM PUBLIC", DATABASE)


def test_a_reveal_that_is_spent_keeps_nobody_off_the_floor(house: House) -> None:
    """While it has a use left its person's sessions are as without a floor; afterwards they are on it again."""
    masking = next(one for one in house.addons if one["use"].endswith("Masking"))
    masking["reveal"] = {"approvers": ["approvers"]}
    house.reload()
    try:
        asked = ("--as", ADA, "--target", TARGET, "--reveal", "public.people.ssn", "--why", "a call")
        request = house.ostiary("request", "submit", *asked, token=house.token(ADA)).stdout.split()[0]
        assert house.approve(request)["state"] == "granted"
        until(lambda: _seen(house) == "123-45-6789", "the reveal")
        assert floor_of(house, ADA) == "none"
        until(lambda: _seen(house) == "***" and floor_of(house, ADA) == f"{ROLE}, verified", "the floor again")
        assert request not in house.ostiary("request", "list").stdout and "spent" in house.ostiary("request", "list", "--all").stdout
    finally:
        del masking["reveal"]
        house.reload()


def _seen(house: House) -> str:
    """What a session of its own is shown."""
    with house.connect(ADA) as connection:
        return connection.execute("SELECT ssn FROM people WHERE id = 1", prepare=False).fetchone()[0]


def test_a_misspelt_column_is_named_to_who_would_be_on_the_floor(house: House) -> None:
    masking = next(one for one in house.addons if one["use"].endswith("Masking"))
    kept = masking["columns"]
    masking["columns"] = [*kept, {"relation": "public.people", "column": "crad"}]
    house.write()
    beforehand = house.ostiary("check", "--targets")
    assert beforehand.returncode == 1 and f"{TARGET} WOULD REFUSE EVERYBODY" in beforehand.stderr and "public.people.crad, which is no column there" in beforehand.stderr, beforehand
    house.reload()
    try:
        with pytest.raises(psycopg.OperationalError, match="public.people.crad, which is no column there.*OST-520"):
            house.connect(ADA)
        reloaded = house.ostiary("reload")
        assert reloaded.returncode == 2 and f"{TARGET} NOW REFUSES EVERYBODY" in reloaded.stderr and "public.people.crad" in reloaded.stderr, reloaded
        until(lambda: f"{TARGET} NOW REFUSES EVERYBODY" in house.text(), "SIGHUP's answer, which is the log")
        assert json.loads(house.ostiary("reload", "--json").stdout)["refusing"][TARGET], "and again, though the file is the same"
        checked = house.ostiary("target", "check", TARGET)
        assert checked.returncode == 1 and "public.people.crad, which is no column there" in checked.stderr, checked
    finally:
        masking["columns"] = kept
        house.reload()
    checked = house.ostiary("target", "check", TARGET, "--json")
    assert checked.returncode == 0 and json.loads(checked.stdout)["masked_columns"] == len(kept), checked
    assert house.ostiary("reload").returncode == house.ostiary("check", "--targets").returncode == 0


def test_a_rule_about_a_relation_that_no_database_has_is_warned_of(house: House) -> None:
    """By a reload, which reads the catalog; what is there, in whatever schema, is not."""
    policy = next(one for one in house.addons if one["use"].endswith("Policy"))
    named = ["poeple", "public.people", "directory", "pg_stats", "elsewhere.people"]
    policy["rules"] = [{"name": "few", "relations": named, "verdict": "deny", "reason": "x"}]
    house.reload()
    try:
        told = json.loads(house.ostiary("reload", "--json").stdout)
        assert not told["not_looked_at"], told
        wrong = [one["wrong"] for one in told["warnings"] if "has no relation" in one["wrong"]]
        assert wrong[0] == f"{TARGET} has no relation 'poeple' (did you mean 'people'?)" and len(wrong) == 2 and "elsewhere.people" in wrong[1]
        assert "has no relation" not in house.ostiary("check").stderr, "which reads no catalog"
        assert json.loads(house.ostiary("check", "--targets", "--json").stdout)["warnings"] == told["warnings"]
    finally:
        policy["rules"] = []
        house.reload()


def test_approved_ddl_on_a_floor_says_that_the_floor_is_why_it_fails(house: House) -> None:
    """To its client, and before that to who is asked."""
    policy = next(one for one in house.addons if one["use"].endswith("Policy"))
    policy["rules"] = [{"name": "ddl", "classes": ["ddl"], "verdict": "approve", "approvers": ["approvers"], "mode": "retry"}]
    house.reload()
    try:
        with house.connect(ADA) as connection:
            with pytest.raises(psycopg.Error, match="OST-301"):
                connection.execute("CREATE TABLE public.more (id int)")
            [asked] = [one for one in house.asked() if one["rule"] == "ddl"]
            shown = house.ostiary("request", "show", asked["id"]).stdout
            assert f"on the target's floor: it would run as the role {ROLE}" in shown, shown
            house.approve(asked["id"])
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
                connection.execute("CREATE TABLE public.more (id int)")
        assert f"runs as the role {ROLE}" in (denied.value.diag.message_hint or ""), denied.value
    finally:
        policy["rules"] = []
        house.reload()


def test_what_is_asked_for_ahead_names_the_floor_that_it_would_run_on(house: House) -> None:
    """As a statement that is held does; not for whoever sees a declared column."""
    for who, said in ((ADA, True), (CLEAR, False)):
        words = ("--as", who, "--target", TARGET, "--approver", "approvers", "--why", "x", "-c", "CREATE TABLE public.more (id int)")
        asked = json.loads(house.ostiary("request", "submit", *words, "--json", token=house.token(who)).stdout)
        assert asked["floor"] == (ROLE if said else None)
        shown = house.ostiary("request", "show", asked["id"]).stdout
        assert (f"on the target's floor: it would run as the role {ROLE}" in shown) == said, shown


def test_look_ups_where_a_floor_refuses_them_are_warned_of(house: House) -> None:
    masking = next(one for one in house.addons if one["use"].endswith("Masking"))
    kept = masking["columns"]
    assert "lookup" not in house.ostiary("check").stderr
    masking["columns"] = [{**kept[0], "lookup": True}]
    house.write()
    try:
        checked = house.ostiary("check")
        assert checked.returncode == 0 and "has a floor for app, where nothing is looked up" in checked.stderr, checked
    finally:
        masking["columns"] = kept
        house.write()


def test_nobody_chooses_a_floor_by_name(house: House) -> None:
    for subject in (ADA, CLEAR):
        with pytest.raises(psycopg.OperationalError, match="OST-101"):
            house.connect(subject, user=f"{subject}@{TARGET}+below")


def test_a_configuration_with_a_floor_that_is_none_is_wrong(house: House) -> None:
    """Key path and mend."""
    for accounts, said in (
        ([{"name": "app", "user": "a", "auth": "trust", "floor": "x"}], "account[0].floor: there is no account 'x' here"),
        ([{"name": "app", "user": "a", "auth": "trust", "floor": "app"}], "account[0].floor: 'app' has a floor itself"),
        ([{"name": "app", "user": "a", "auth": "trust", "floor": "b"}, {"name": "b", "user": "a", "auth": "trust"}], "logs in as another account's role"),
        ([{"name": "b", "user": "b", "auth": "trust"}, {"name": "app", "user": "a", "auth": "trust", "floor": "b"}], "or is the first account"),
    ):
        kept = dict(house.target)
        house.target["account"] = accounts
        try:
            house.write()
            checked = house.ostiary("check")
            assert checked.returncode == 1 and said in checked.stderr, checked.stderr
        finally:
            house.target = kept
            house.write()
