"""Who, where and when; and complaints that say which key is wrong and what to write."""

from __future__ import annotations

import datetime

import pytest

from addons.sql.complaints import Wrong
from addons.sql.conditions import Table, all_of, conditions
from protocols.session import Identity, Session, Target

SESSION = Session("s", Identity("ada", "agent", frozenset({"dba", "x"})), Target("clinic", "postgres", "h", 5432), "rw", "clinicdb", "p")


def of(**keys: object) -> object:
    table = Table(keys, "rules[0]")
    found = conditions(table)
    table.end()
    return found


@pytest.mark.parametrize(("keys", "expected"), [
    ({}, True), ({"groups": ["dba"]}, True), ({"groups": ["other"]}, False), ({"groups": ["other", "x"]}, True), ({"identities": ["ada"]}, True),
    ({"identities": ["Ada"]}, False), ({"kinds": ["agent"]}, True), ({"kinds": ["human"]}, False), ({"targets": ["clinic"]}, True),
    ({"targets": ["other"]}, False), ({"accounts": ["rw"]}, True), ({"accounts": ["ro"]}, False), ({"databases": ["clinicdb"]}, True),
    ({"databases": ["x"]}, False), ({"groups": ["dba"], "kinds": ["human"]}, False),
])
def test_all_that_is_named_must_fit(keys: dict[str, object], expected: bool) -> None:
    assert of(**keys).fits(SESSION) is expected


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


@pytest.mark.parametrize(("keys", "now", "expected"), [
    ({"hours": "08:00-18:00"}, "2026-11-23T08:00", True), ({"hours": "08:00-18:00"}, "2026-11-23T17:59", True),
    ({"hours": "08:00-18:00"}, "2026-11-23T18:00", False), ({"hours": "22:00-06:00"}, "2026-11-23T23:00", True),
    ({"hours": "22:00-06:00"}, "2026-11-23T05:59", True), ({"hours": "22:00-06:00"}, "2026-11-23T12:00", False),
    ({"days": ["mon"]}, "2026-11-23T00:00", True), ({"days": ["tue"]}, "2026-11-23T00:00", False),
    ({"hours": "22:00-06:00", "days": ["sun"]}, "2026-11-23T05:00", True), ({"hours": "22:00-06:00", "days": ["mon"]}, "2026-11-23T05:00", False),
    ({"hours": "00:00-24:00"}, "2026-11-23T23:59", True),
])
def test_hours_and_days(keys: dict[str, object], now: str, expected: bool) -> None:
    """A night belongs to the day on which it began."""
    made = of(**keys)
    assert made.timed and made.holds(at(now)) is expected


@pytest.mark.parametrize(("keys", "complaint"), [
    ({"kinds": ["robot"]}, r"rules\[0\].kinds: unknown kind 'robot'; known: agent, human, workload"),
    ({"groups": "dba"}, r"rules\[0\].groups: must be a list of strings"), ({"days": ["monday"]}, r"rules\[0\].days: unknown day"),
    ({"hours": "8-18"}, r"rules\[0\].hours: must be written"), ({"hours": "24:30-01:00"}, r"rules\[0\].hours"), ({"hours": 8}, r"rules\[0\].hours: must be a string"),
    ({"hours": "08:00-08:00"}, r"rules\[0\].hours: must name two"),
])
def test_complaints_name_the_key(keys: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        of(**keys)


def test_tables() -> None:
    """Keys are taken one by one; what is left is unknown."""
    table = Table({"a": "x", "n": 2, "zz": 1}, "rules[0]")
    assert table.has("a") and table.text("a") == "x" and table.number("n") == 2 and not table.has("a")
    with pytest.raises(ValueError, match=r"rules\[0\].zz: unknown key"):
        table.end()
    for wrong in ({"n": True}, {"n": 0}, {"n": "1"}):
        table = Table(wrong, "w")
        assert table.number("n", 7) == 7
        with pytest.raises(ValueError, match="above 0"):
            table.end()
    for wrong in ("x", [1]):
        with pytest.raises(ValueError, match="must be a"):
            all_of(conditions, wrong, "rules")
    table = Table({"v": "q"}, "w")
    table.text("v", known=("a",))
    with pytest.raises(ValueError, match="unknown value 'q'; known: a"):
        table.end()


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Of every key of every table, each beginning with its own."""

    def made(table: Table) -> None:
        table.only(type(SESSION), "rows")
        table.number("rows")
        conditions(table)
        table.end()

    with pytest.raises(Wrong) as raised:
        all_of(made, [{"rows": -1, "kinds": ["robot"]}, {"rows": 1}, {"hours": "x", "row": 2}], "rules")
    assert [one.partition(":")[0] for one in raised.value.complaints] == ["rules[0].rows", "rules[0].kinds", "rules[2].row", "rules[2].hours"]
    assert "did you mean 'rows'" in raised.value.complaints[2]
