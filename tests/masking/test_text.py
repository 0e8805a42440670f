"""Errors, notices, notifications and parameters say nothing that the client or the catalog did not say first."""

from __future__ import annotations

import pytest

from addons.masking.messages import sentence
from addons.masking.text import GROUPING, notified, rebuilt, reported
from tests.sql.little import snapshot

SECRET = "987-65-4321"
SNAPSHOT = snapshot()


def error(code: str, message: str, wrote: str = "SELECT 1", *, rewritten: bool = False, **more: str) -> dict[str, str]:
    return rebuilt(
        {"S": "ERROR", "V": "ERROR", "C": code, "M": message, **more}, wrote, rewritten, SNAPSHOT, notice=False
    )


def test_a_value_in_a_message_is_not_repeated() -> None:
    found = error(
        "22P02",
        f'invalid input syntax for type integer: "{SECRET}"',
        D=f"Failing row contains ({SECRET})",
        H=SECRET,
        W=SECRET,
        q=SECRET,
    )
    assert found == {"S": "ERROR", "V": "ERROR", "C": "22P02", "M": sentence("22P02")}


@pytest.mark.parametrize(
    ("code", "message", "wrote"),
    [
        ("42601", 'syntax error at or near "selec"', "selec 1"),
        ("42601", "syntax error at end of input", "select ("),
        ("42P01", 'relation "nowhere" does not exist', "SELECT * FROM Nowhere"),
        ("42703", 'column "nope" does not exist', 'SELECT "nope"'),
        ("42703", "column p.nope does not exist", "SELECT p.nope FROM patients p"),
        ("42P07", 'relation "patients" already exists', "CREATE TABLE x()"),
        ("25P02", "there is no transaction in progress", ""),
    ],
)
def test_names_the_client_wrote_are_repeated(code: str, message: str, wrote: str) -> None:
    assert error(code, message, wrote)["M"] == message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("42601", f'syntax error at or near "{SECRET}"'),
        ("42703", f'column "{SECRET}" does not exist'),
        ("42P01", f'relation "{SECRET}" does not exist'),
        ("42703", SECRET),
        ("P0001", SECRET),
        ("42704", f'type "{SECRET}" does not exist'),
        ("01000", SECRET),
        ("99999", SECRET),
    ],
)
def test_names_it_did_not_write_are_not(code: str, message: str) -> None:
    assert SECRET not in str(error(code, message, "SELECT ssn FROM patients"))


def test_a_guess_is_not_confirmed_by_an_error_about_values() -> None:
    """A client that writes the value itself learns nothing from an error that holds it."""
    message = f'invalid input syntax for type integer: "{SECRET}"'
    assert error("22P02", message, f"SELECT ssn::int /* {SECRET} */ FROM patients")["M"] == sentence("22P02")


def test_object_names_pass_when_known() -> None:
    found = error("23505", "x", s="public", t="patients", c="ssn", n="patients_ssn_key", d=SECRET)
    assert {k: found.get(k) for k in "stcnd"} == {
        "s": "public",
        "t": "patients",
        "c": "ssn",
        "n": "patients_ssn_key",
        "d": None,
    }
    assert "t" not in error("P0001", "x", t=SECRET)


def test_a_position_is_kept_only_in_the_clients_own_text() -> None:
    assert error("42703", "x", P="8")["P"] == "8"
    assert "P" not in error("42703", "x", rewritten=True, P="8") and "P" not in error("42703", "x", P=SECRET)


def test_grouping_by_a_key_is_explained_where_it_was_rewritten() -> None:
    assert error("42803", "x", rewritten=True)["M"] == GROUPING
    assert error("42803", "x")["M"] != GROUPING


def test_an_unknown_code_is_its_class() -> None:
    assert sentence("22ZZZ") == "data exception (22ZZZ)" and sentence("ZZ\n<>").endswith("(?)")


def test_notices_keep_their_code_only() -> None:
    found = rebuilt(
        {"S": "NOTICE", "C": "00000", "M": f"saw {SECRET}"}, "INSERT INTO t VALUES (1)", False, SNAPSHOT, notice=True
    )
    assert SECRET not in str(found) and found["C"] == "00000"


def test_payloads_are_dropped() -> None:
    assert notified({"channel": "c", "payload": SECRET}) == {"channel": "c", "payload": ""}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TimeZone", "UTC", "UTC"),
        ("application_name", "psql", "psql"),
        ("application_name", SECRET, "psql"),
        ("search_path", '"$user", public', '"$user", public'),
        ("search_path", SECRET, ""),
        ("something_new", SECRET, ""),
    ],
)
def test_parameters(name: str, value: str, expected: str) -> None:
    assert reported({"name": name, "value": value}, "psql", "", SNAPSHOT)["value"] == expected


@pytest.mark.parametrize(("wrote", "shown"), [
    ("SET application_name = '906-55-1234'", True), ("set session application_name to '906-55-1234' ;", True),
    ("SET application_name = '906-55-1235'", False), ("SELECT set_config('application_name', '906-55-1234', false)", False),
    ("SELECT f(); -- 906-55-1234", False), ("SET application_name = 'x'; SELECT f('906-55-1234')", False),
    ("SELECT '906-55-1234'; SET application_name = '906-55-1234'", False), ("SET application_name = '906''-55-1234'", False),
])
def test_an_application_name_comes_back_only_where_nothing_but_the_client_can_have_set_it(wrote: str, shown: bool) -> None:
    """A text with anything else in it could ask which of many guesses a function put there."""
    value = reported({"name": "application_name", "value": "906-55-1234"}, "psql", wrote, SNAPSHOT)["value"]
    assert value == ("906-55-1234" if shown else "psql")


def test_words_of_a_text_that_is_too_long_to_look_through_are_not_repeated() -> None:
    """Its errors name what the catalog has; to find its own words everybody would wait."""
    padding = f" -- {'x' * (64 << 10)}"
    for wrote, kept in (("SELECT nope FROM patients", True), ("SELECT nope FROM patients" + padding, False)):
        assert (error("42703", 'column "nope" does not exist', wrote)["M"] == 'column "nope" does not exist') is kept
        assert error("42P01", 'relation "patients" does not exist', wrote)["M"] == 'relation "patients" does not exist'


def test_a_right_that_the_floor_lacks_is_said_to_be_the_floors() -> None:
    """Only that: other errors and sessions without a floor have no word of it, and never the server's own hint."""
    denied = {"S": "ERROR", "C": "42501", "M": "permission denied for schema public", "H": SECRET}
    told = rebuilt(denied, "CREATE TABLE public.x ()", False, SNAPSHOT, notice=False, floor="app_floor")
    assert told["M"] == "permission denied for schema public" and "runs as the role app_floor" in told["H"] and SECRET not in told["H"]
    assert "H" not in rebuilt(denied, "CREATE TABLE public.x ()", False, SNAPSHOT, notice=False)
    assert "H" not in rebuilt(denied | {"C": "42P01"}, "", False, SNAPSHOT, notice=False, floor="app_floor")
