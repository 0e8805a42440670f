"""Masks that were given out do not come back into the columns that they stand for, whoever brings them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from addons.masking import Masking
from protocols.command import Parameter, Path, Statement
from protocols.hooks import JudgeHook
from protocols.session import Session
from protocols.verdict import Allow, Deny
from tests.masking import test_masking
from tests.masking.shelf import Shelf, session
from tests.sql.little import snapshot

COLUMNS = [
    {"relation": "public.patients", "column": "ssn", "clear": ["privacy"]},
    {"relation": "public.patients", "column": "mrn", "strategy": "partial", "keep": 4, "clear": ["privacy"]},
    {"relation": "public.patients", "column": "dob", "strategy": "date", "clear": ["privacy"]},
]


def masking(**more: bool) -> Masking:
    return Masking(columns=COLUMNS, catalogs=Shelf(snapshot()), **more)


def ask(addon: Masking, text: str, who: Session, **more: Any) -> Any:
    """What it says of a statement, and then of what that would write."""
    answer = test_masking.ask(addon, text, who, **more)
    answer = answer if isinstance(answer, Deny) else addon.on_judge(JudgeHook(who, Statement(text, **more), text))
    return answer.result if isinstance(answer, Deferred) else answer


SAVED = [
    "INSERT INTO patients (id, ssn) VALUES (1, '1'), (2, '***')",
    "INSERT INTO public.patients VALUES (1, 'x', '***')",
    "INSERT INTO patients (id, mrn) SELECT 1, '***1234'::text",
    "INSERT INTO patients (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET ssn = '***'",
    "UPDATE patients SET note = 'a', ssn = CAST('***' AS varchar) WHERE id = 1",
    "UPDATE patients SET (note, ssn) = ('a', '***')",
    "WITH w AS (UPDATE patients SET mrn = '***9999' RETURNING id) SELECT * FROM w",
    "SELECT 1; UPDATE patients SET ssn = E'***'; SELECT 2",
    "UPDATE patients p SET ssn = v.ssn FROM (VALUES (1, '1'), (2, '***')) v(id, ssn) WHERE p.id = v.id",
    "WITH v(id, ssn) AS (VALUES (2, '***')) UPDATE patients p SET ssn = v.ssn FROM v WHERE p.id = v.id",
    "WITH v AS (SELECT '***' AS ssn), w AS (INSERT INTO patients (ssn) SELECT ssn FROM v RETURNING 1) SELECT count(*) FROM w",
    "UPDATE patients SET (note, ssn) = (SELECT 'a', '***')", "UPDATE patients SET ssn = coalesce('***', 'x')",
    "MERGE INTO patients p USING (VALUES (1, '***')) v(id, ssn) ON p.id = v.id WHEN MATCHED THEN UPDATE SET ssn = v.ssn",
    "MERGE INTO patients p USING wards w ON p.id = w.id WHEN NOT MATCHED THEN INSERT (id, mrn) VALUES (w.id, '***1234')",
    "MERGE INTO patients p USING wards w ON p.id = w.id WHEN MATCHED THEN UPDATE SET ssn = '***'",
    "INSERT INTO patients (id, ssn) SELECT 1, 'x' UNION ALL SELECT 2, '***'", "INSERT INTO patients (ssn) SELECT unnest(ARRAY['a', '***'])",
    "INSERT INTO patients (ssn) SELECT unnest('{a,***}'::text[])", "INSERT INTO patients SELECT * FROM jsonb_populate_recordset(NULL::patients, '[{\"ssn\": \"***\"}]')",
    "INSERT INTO patients (mrn) SELECT x ->> 'mrn' FROM jsonb_array_elements('[{\"mrn\": \"***1234\"}]') x",
    "INSERT INTO same (id, ssn) VALUES (1, '***')", "UPDATE same SET ssn = '***' WHERE id = 1", "INSERT INTO archive VALUES (1, '***')",
    "PREPARE p AS UPDATE patients SET ssn = '***' WHERE id = $1",
]
SPELT = [
    r"UPDATE patients SET mrn = E'\x2a**4865'", r"UPDATE patients SET mrn = E'\52*\0524865'", r"UPDATE patients SET mrn = U&'\002a**4865'", r"UPDATE patients SET ssn = E'**\x2A'",
    r"UPDATE patients SET ssn = E'*\**'", r"UPDATE patients SET ssn = u&'!002a!+00002A*' UESCAPE '!'", "UPDATE patients SET ssn = '**' || '*'", "UPDATE patients SET ssn = '**'\n'*'",
    "UPDATE patients SET mrn = '***' || '48' || 65", "INSERT INTO patients (ssn) VALUES (concat('*', '*', NULL, '*'))", "UPDATE patients SET mrn = pg_catalog.concat('***', 4865)",
    "EXECUTE z('***' || '4865')", "EXECUTE z(concat('***'))", r"EXECUTE z(E'\x2a**')", "EXECUTE z(ARRAY['***4865'])", r"""EXECUTE z('{"s":"\u002a**4865"}')""",
    r"""UPDATE patients SET mrn = r.s FROM jsonb_to_record('{"s":"\u002A**4865"}') r(s text)""", r"INSERT INTO patients (ssn) SELECT unnest('{a,*\**}'::text[])",
    r"""INSERT INTO patients (mrn) SELECT x ->> 's' FROM jsonb_array_elements(E'[{"s": "\x5cu002a**4865"}]') x""",
    r"""INSERT INTO patients (mrn) SELECT x ->> 's' FROM unnest('{"{\"s\": \"\\u002a**4865\"}"}'::jsonb[]) x""",
    """UPDATE patients SET ssn = (('(1,"**"*)'::patients)).ssn""",
]
CLEAN = [
    "UPDATE patients SET ssn = '219-09-9998' WHERE ssn = '***'",
    "UPDATE patients SET note = '***'", "UPDATE patients SET ssn = '****'", "UPDATE patients SET ssn = '***1234'",
    "UPDATE patients SET mrn = '***123'", "UPDATE patients SET dob = '1980-01-01'", "UPDATE other.patients SET ssn = '***'",
    "INSERT INTO wards (ssn) VALUES ('***')", "SELECT '***' FROM patients", "INSERT INTO patients (id, note) VALUES (1, '***')",
    "UPDATE patients SET ssn = '***",
    "UPDATE patients p SET ssn = v.ssn FROM (VALUES (1, '1')) v(id, ssn) WHERE p.id = v.id AND p.ssn = '***'",
    "UPDATE patients p SET doc = v.note, ssn = '1' FROM (VALUES (1, '***')) v(id, note) WHERE p.id = v.id", "EXECUTE p(1, '****')",
    "INSERT INTO patients VALUES (1, 'x', 'y', NULL, '***')", "SELECT '***'",
    "MERGE INTO patients p USING wards w ON p.id = w.id AND p.ssn = '***' WHEN MATCHED THEN UPDATE SET state = '***'",
    "UPDATE patients SET ssn = '**' || '**'", r"UPDATE patients SET ssn = '\x2a**'", r"UPDATE patients SET note = E'\x2a**', ssn = E'a\\***'", "EXECUTE z('**', '*')",
    "UPDATE patients SET ssn = '***' || '1234'",
]


@pytest.mark.parametrize("text", SAVED)
def test_nobody_writes_a_mask_over_the_value_it_stands_for(text: str) -> None:
    """Who sees the column masked may not write it at all."""
    answer = ask(masking(), text, session("privacy"))
    assert isinstance(answer, Deny) and answer.code == "OST-526" and re.search(r"public.(patients|same|archive).(ssn|mrn)", answer.reason)
    assert isinstance(ask(masking(), text, session()), Deny)


@pytest.mark.parametrize("text", SPELT)
def test_nor_in_another_spelling(text: str) -> None:
    answer = ask(masking(), text, session("privacy"))
    assert isinstance(answer, Deny) and answer.code == "OST-526"


DEEP = "||".join(["'y'"] * 60)
"""More than the grammar here reads, and the server's takes."""
UNREAD = [
    f"INSERT INTO patients (ssn, state) VALUES ('***', {DEEP})", f"INSERT INTO archive (mrn, state) VALUES ('***1234', {DEEP})",
    f"UPDATE public.same SET ssn = '***' WHERE note = {DEEP}", f"UPDATE patients SET ssn = $x$***$x$ WHERE state = {DEEP} -- it's",
    f"UPDATE patients SET mrn = E'\\x2a**4865' /* don't */ WHERE state = {DEEP}", f"""INSERT INTO patients SELECT x ->> 'ssn' FROM jsonb_array_elements('[{{"ssn": "***"}}]') x WHERE {DEEP} = ''""",
    f"EXECUTE z('***', {DEEP})", f"INSERT INTO U&\"patients\" (ssn, state) VALUES ('***', {DEEP})",
]


@pytest.mark.parametrize("text", UNREAD, ids=range(len(UNREAD)))
def test_nor_in_what_nobody_here_can_read(text: str) -> None:
    """Policy may let it go to the target all the same."""
    assert ask(masking(), text, session("privacy")).code == "OST-526"


def test_nor_as_a_parameter_of_that() -> None:
    text = f"INSERT INTO patients (ssn, state) VALUES ($1, {DEEP})"
    said = [ask(masking(), text, session("privacy"), path=Path.BIND, parameters=(Parameter(25, 0, value),)) for value in (b"***", b"219-09-9998")]
    assert said[0].code == "OST-526" and isinstance(said[1], Allow)


@pytest.mark.parametrize("text", [
    f"INSERT INTO wards (ssn, note) VALUES ('***', {DEEP})", f"UPDATE patients SET ssn = '****' WHERE state = {DEEP}", f"UPDATE patients SET state = {DEEP} -- '***'",
], ids=["another relation", "no mask", "a comment"])  # fmt: skip
def test_what_nobody_can_read_and_holds_no_mask_is_left_to_policy(text: str) -> None:
    assert isinstance(ask(masking(), text, session("privacy")), Allow)


def test_nor_as_an_element_of_what_execute_passes() -> None:
    for write, passed in (("$1[1]", "ARRAY['a', '***4865']"), ("$1[1]", r"'{a,*\**4865}'::text[]"), ("$1", "'**' || '*4865'"), ("$1 || '*' || $2", "'**', '4865'")):
        known = {"prepared": {"z": f"UPDATE patients SET mrn = {write}"}}
        assert ask(masking(), f"EXECUTE z({passed}, 'x')" if "$2" not in write else f"EXECUTE z({passed}) -- ***", session("privacy"), **known).code == "OST-526"
        assert isinstance(ask(masking(), f"EXECUTE z({passed})", session("privacy"), prepared={"z": f"SELECT 1 FROM patients WHERE mrn = {write}"}), Allow)


def test_nor_put_together_of_parameters() -> None:
    parameters = (Parameter(25, 0, b"**"), Parameter(25, 0, b"4865"))
    answer = ask(masking(), "UPDATE patients SET mrn = $1 || '*' || $2", session("privacy"), path=Path.BIND, parameters=parameters)
    assert answer.code == "OST-526"
    assert isinstance(ask(masking(), "UPDATE patients SET mrn = '*' || $2", session("privacy"), path=Path.BIND, parameters=parameters), Allow)


@pytest.mark.parametrize(("text", "more"), [
    ("EXECUTE p(1, '***')", {}), ("EXECUTE p('{***,a}'::text[])", {}), ('EXECUTE "p"', {"path": Path.BIND, "parameters": (Parameter(25, 0, b"***1234"),)}),
    ("EXECUTE p(1, '***')", {"prepared": {"p": "UPDATE patients SET ssn = $2 WHERE id = $1"}}),
])  # fmt: skip
def test_nor_by_what_execute_passes(text: str, more: dict) -> None:
    """To who knows what: SQL's PREPARE may have been a write. What the protocol prepared is known."""
    assert ask(masking(), text, session("privacy"), **more).code == "OST-526"
    known = {"prepared": {"p": "SELECT 1 FROM patients WHERE ssn = $2 AND id = $1"}}
    assert isinstance(ask(masking(), "EXECUTE p(1, '***')", session("privacy"), **known), Allow)


@pytest.mark.parametrize("value", [b"{a,***}", b'["***"]', b"\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\1\0\0\0\1\0\0\0\3***", b'{"ssn": "***"}', b'{"s": "\\u002a**"}', b'\1{"s": "***"}', rb"{*\**}"])
def test_nor_by_an_array_or_json_that_comes_as_a_parameter(value: bytes) -> None:
    parameters = (Parameter(0, 0, value),)
    for text in ("INSERT INTO patients (ssn) SELECT unnest($1::text[])", "INSERT INTO patients (ssn) SELECT x ->> 'ssn' FROM jsonb_array_elements($1) x"):
        assert ask(masking(), text, session("privacy"), path=Path.BIND, parameters=parameters).code == "OST-526"
    assert isinstance(ask(masking(), "SELECT $1", session("privacy"), path=Path.BIND, parameters=parameters), Allow)


def test_nor_in_a_text_too_long_to_be_taken_apart() -> None:
    """Of its many rows the trees hold a sample."""
    rows = [f"({i}, '219-09-{i:04}')" for i in range(5000)]
    text = "INSERT INTO patients (id, ssn) VALUES {}"
    assert isinstance(ask(masking(), text.format(", ".join(rows)), session("privacy")), Allow)
    for mask in ("'***'", r"E'\x2a**'", r"U&'*\002a*'"):
        rows[2500] = f"(1, {mask})"
        assert ask(masking(), text.format(", ".join(rows)), session("privacy")).code == "OST-526"


def test_without_a_catalog_the_declared_names_count() -> None:
    unread = Masking(columns=COLUMNS, catalogs=Shelf(None))
    assert ask(unread, SAVED[0], session("privacy")).code == "OST-526"
    assert isinstance(ask(unread, CLEAN[0], session("privacy")), Allow)


@pytest.mark.parametrize("text", CLEAN)
def test_what_is_no_mask_of_that_column_is_written_by_who_sees_it(text: str) -> None:
    assert isinstance(ask(masking(), text, session("privacy")), Allow)


@pytest.mark.parametrize(("value", "refused"), [(b"***", True), (b"***1", False), (b"219-09-9998", False), (None, False)])
def test_a_mask_that_comes_as_a_parameter_is_refused(value: bytes | None, refused: bool) -> None:
    """As an ORM's full-row save brings it, in text or binary."""
    for form in (0, 1):
        parameters = (Parameter(0, 0, b"1"), Parameter(25, form, value))
        answer = ask(masking(), "UPDATE patients SET ssn = $2 WHERE id = $1", session("privacy"), path=Path.BIND, parameters=parameters)
        assert isinstance(answer, Deny) == refused


def test_it_can_be_switched_off() -> None:
    assert isinstance(ask(masking(refuse_masks=False), SAVED[0], session("privacy")), Allow)
    with pytest.raises(ValueError, match="refuse_masks"):
        masking(refuse_masks=1)  # type: ignore[arg-type]
