"""
What people said yes to is what runs: a held command is judged again when its names came to mean something else, and a yes that was given
for one search path, temporary table or prepared text is not spent under another.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from tests.house import ADA, CLEAR, PATIENCE, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

ASKED = ["public.asked_view", "public.asked", "asked_where"]
RULES = [
    {"name": "no", "groups": ["engineers"], "relations": ["public.asked_secret"], "verdict": "deny", "reason": "Never."},
    {"name": "ask", "groups": ["engineers"], "relations": ASKED[:2], "classes": ["read", "write"], "verdict": "approve", "approvers": ["approvers"], "mode": "hold"},
    {"name": "again", "groups": ["engineers"], "relations": ASKED[2:], "classes": ["write", "write-unfiltered"], "verdict": "approve", "approvers": ["approvers"],
     "mode": "retry"},
]  # fmt: skip
SCHEMA = """
CREATE SCHEMA asked_alt;
CREATE TABLE asked_clean (id int PRIMARY KEY, t text); INSERT INTO asked_clean VALUES (1, 'clean');
CREATE TABLE asked_secret (id int PRIMARY KEY, t text); INSERT INTO asked_secret VALUES (1, 'secret');
CREATE TABLE asked_patients (id int PRIMARY KEY, ssn text); INSERT INTO asked_patients VALUES (1, 'CANARY-1');
CREATE TABLE asked_where (id int, t text); INSERT INTO asked_where VALUES (1, 'public');
CREATE TABLE asked_alt.asked_where (id int, t text); INSERT INTO asked_alt.asked_where VALUES (1, 'alt');
"""
FRESH = """
DROP VIEW IF EXISTS asked_view; DROP TABLE IF EXISTS asked, asked_other, asked_gone;
CREATE VIEW asked_view AS SELECT id, t FROM asked_clean;
CREATE TABLE asked (id int PRIMARY KEY, t text); INSERT INTO asked VALUES (1, 'asked');
CREATE TABLE asked_other (id int PRIMARY KEY, t text); INSERT INTO asked_other VALUES (1, 'other');
CREATE OR REPLACE FUNCTION asked_by() RETURNS text LANGUAGE sql AS 'SELECT ''by''';
UPDATE asked_clean SET t = 'clean'; UPDATE asked_where SET t = 'public'; UPDATE asked_alt.asked_where SET t = 'alt';
"""
TO_SECRET = "CREATE OR REPLACE VIEW public.asked_view AS SELECT id, t FROM public.asked_secret"
TO_MASKED = "CREATE OR REPLACE VIEW public.asked_view AS SELECT id, ssn AS t FROM public.asked_patients"
SWAPPED = "ALTER TABLE public.asked RENAME TO asked_gone; ALTER TABLE public.asked_other RENAME TO asked"
ANEW = "ALTER TABLE public.asked RENAME TO asked_gone; CREATE TABLE public.asked (id int PRIMARY KEY, t text)"

_marks = itertools.count(1)


@pytest.fixture(scope="module")
def house(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres15.sql(SCHEMA)
    postgres15.sql(FRESH)
    with House(tmp_path_factory.mktemp("asked"), postgres15, rules=RULES, masked={"public.asked_patients": ["ssn"]}, masking={"functions": ["public.asked_by"]}, workers=2) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(house: House) -> Iterator[None]:
    house.server.sql(FRESH)
    yield
    for one in house.requests():
        with suppress(SystemExit):
            house.deny(one["id"])


def waiting(house: House) -> set[str]:
    """Requests that are not over."""
    return {one["id"] for one in house.requests()}


def values(house: House) -> str:
    return house.server.sql("SELECT (SELECT t FROM asked_clean), (SELECT t FROM asked_secret), (SELECT ssn FROM asked_patients)")


def answered(house: House, text: str, meanwhile: Callable[[], object]) -> Any:
    """What a held statement's session gets when somebody says yes after `meanwhile`: rows or a tag. Raises its error."""
    text, answer = f"{text} /* mark {next(_marks)} */", Future[Any]()

    def run() -> None:
        try:
            with house.connect(ADA) as ada:
                got = ada.execute(text)
                answer.set_result(got.fetchall() if got.description else got.statusmessage)
        except BaseException as error:
            answer.set_exception(error)

    known = waiting(house)
    threading.Thread(target=run, daemon=True).start()
    until(lambda: answer.done() or waiting(house) - known, "the request")
    (request,) = waiting(house) - known or [answer.result()]
    meanwhile()
    house.approve(request)
    return answer.result(PATIENCE)


def through(house: House, text: str) -> None:
    """DDL of somebody else, which the gateway hears of."""
    with house.connect(CLEAR) as other:
        other.execute(text)


WAYS = pytest.mark.parametrize("change", [through, lambda house, text: house.server.sql(text)], ids=["through the gateway", "around it"])


# -- held ------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize(("becomes", "code"), [(TO_SECRET, "OST-203"), (TO_MASKED, "OST-513")], ids=["denied", "masked"])
def test_a_write_that_was_held_does_not_write_what_its_view_became(house: House, change: Any, becomes: str, code: str) -> None:
    before = values(house)
    with pytest.raises(psycopg.Error, match=f"changed while it was held(.|\\n)*{code}|{code}(.|\\n)*changed while it was held"):
        answered(house, "UPDATE public.asked_view SET t = 'PWN' WHERE id = 1", lambda: change(house, becomes))
    assert values(house) == before


@WAYS
def test_a_read_that_was_held_does_not_show_what_its_view_became(house: House, change: Any) -> None:
    with pytest.raises(psycopg.Error, match="OST-309") as refused:
        answered(house, "SELECT t || '' FROM public.asked_view WHERE id = 1", lambda: change(house, TO_MASKED))
    assert "CANARY" not in str(refused.value)


@WAYS
@pytest.mark.parametrize("becomes", [SWAPPED, ANEW], ids=["swapped", "made anew"])
def test_a_write_that_was_held_does_not_write_another_table_of_that_name(house: House, change: Any, becomes: str) -> None:
    """Though policy says the same of both."""
    with pytest.raises(psycopg.Error, match="OST-309"):
        answered(house, "UPDATE public.asked SET t = 'PWN' WHERE id = 1", lambda: change(house, becomes))
    assert house.server.sql("SELECT count(*) FROM asked WHERE t = 'PWN'") == "0"


@WAYS
def test_a_call_that_was_held_does_not_run_another_body(house: House, change: Any) -> None:
    body = "CREATE OR REPLACE FUNCTION public.asked_by() RETURNS text LANGUAGE sql AS 'SELECT ''other'''"
    with pytest.raises(psycopg.Error, match="OST-309"):
        answered(house, "SELECT public.asked_by() FROM public.asked", lambda: change(house, body))


@WAYS
def test_what_was_held_goes_on_when_what_changed_is_not_its_own(house: House, change: Any) -> None:
    """Another table's columns, a new table, and what is made anew elsewhere."""
    other = "ALTER TABLE public.asked_other ADD COLUMN more int; DROP TABLE IF EXISTS public.unrelated; CREATE TABLE public.unrelated (x int)"
    assert answered(house, "UPDATE public.asked SET t = 'yes' WHERE id = 1", lambda: change(house, other)) == "UPDATE 1"
    assert answered(house, "SELECT t FROM public.asked_view", lambda: change(house, "DROP TABLE public.unrelated")) == [("clean",)]


# -- asked again -----------------------------------------------------------------------------


def writing() -> str:
    return f"UPDATE asked_where SET t = 'mark {next(_marks)}' WHERE id = 1"


def approved(house: House, ada: psycopg.Connection[Any], text: str) -> None:
    known = waiting(house)
    with pytest.raises(psycopg.Error, match="OST-301"):
        ada.execute(text)
    (request,) = waiting(house) - known
    house.approve(request)


def places(house: House) -> list[str]:
    return house.server.sql("SELECT (SELECT t FROM asked_where), (SELECT t FROM asked_alt.asked_where)").split("|")


def test_a_yes_for_one_search_path_is_not_spent_under_another(house: House) -> None:
    """Not in the session that asked, nor in another; the server does not report its path. Under the same path it is spent once, anywhere."""
    text = writing()
    with house.connect(ADA) as ada, house.connect(ADA) as other:
        ada.execute("SET search_path = asked_alt")
        approved(house, ada, text)
        ada.execute("SET search_path = public")
        for session in (ada, other):
            with pytest.raises(psycopg.Error, match="OST-301"):
                session.execute(text)
        assert places(house) == ["public", "alt"]
        other.execute("SET search_path = asked_alt")
        assert other.execute(text).rowcount == 1
        with pytest.raises(psycopg.Error, match="OST-301"):
            other.execute(text)
    assert places(house)[0] == "public" and places(house)[1].startswith("mark")


def test_a_yes_is_not_spent_where_a_temporary_table_stands_in_front(house: House) -> None:
    """One that the session commits, or has in its open transaction. What makes its own anew has the same question each time."""
    text, table = writing(), "CREATE TEMP TABLE asked_where AS SELECT 1 AS id, 'mine' AS t"
    with house.connect(ADA) as ada:
        approved(house, ada, text)
        with ada.transaction(force_rollback=True):
            ada.execute(table)
            with pytest.raises(psycopg.Error, match="OST-301"):
                ada.execute(text)
        ada.execute(table)
        with pytest.raises(psycopg.Error, match="OST-301"):
            ada.execute(text)
        assert ada.execute("SELECT t FROM pg_temp.asked_where").fetchall() == [("mine",)]
    own, script = "UPDATE own_staging SET t = (SELECT max(t) FROM asked_where)", "CREATE TEMP TABLE own_staging AS SELECT 'x'::text AS t"
    with house.connect(ADA) as first:
        first.execute(script)
        approved(house, first, own)
    with house.connect(ADA) as second:
        second.execute(script)
        assert second.execute(own).rowcount == 1


def test_a_yes_in_an_open_transaction_is_for_the_changes_that_stand_there(house: House) -> None:
    """The same relation may be made to mean something else; made the same again it is the same question."""
    text = f"INSERT INTO public.asked_where (id) VALUES (1000 + {next(_marks)})"

    def changing(default: str) -> int:
        with house.connect(ADA) as ada, ada.transaction(force_rollback=True):
            ada.execute(f"ALTER TABLE public.asked_where ALTER t SET DEFAULT '{default}'")
            return ada.execute(text).rowcount

    known = waiting(house)
    with pytest.raises(psycopg.Error, match="OST-301"):
        changing("one")
    house.approve(*waiting(house) - known)
    with pytest.raises(psycopg.Error, match="OST-301"):
        changing("another")
    assert changing("one") == 1


def test_nobody_is_asked_in_retry_where_the_path_cannot_be_told(house: House) -> None:
    """A yes could be spent under any. Once it is told, people are asked."""
    with house.connect(ADA) as ada:
        known = waiting(house)
        ada.execute("SELECT set_config('search_path', (SELECT 'asked_alt'), false)")
        with pytest.raises(psycopg.Error, match="OST-310"):
            ada.execute(writing())
        assert waiting(house) == known
        ada.execute("SET search_path = asked_alt")
        approved(house, ada, text := writing())
        assert ada.execute(text).rowcount == 1


def test_a_yes_to_execute_is_for_the_text_that_was_prepared(house: House) -> None:
    one, two = ("PREPARE again AS UPDATE asked_where SET t = 'one' WHERE id = 1", "PREPARE again AS UPDATE asked_where SET t = 'two' WHERE id = 1")
    with house.connect(ADA) as first, house.connect(ADA) as other, house.connect(ADA) as third:
        for session, text in ((first, one), (other, two), (third, one)):
            approved(house, session, text)
            session.execute(text)
        approved(house, first, "EXECUTE again")
        with pytest.raises(psycopg.Error, match="OST-301"):
            other.execute("EXECUTE again")
        assert third.execute("EXECUTE again").statusmessage == "UPDATE 1"
    assert places(house)[0] == "one"
