"""Masks that were given out do not come back into the columns that they stand for, whoever brings them."""

from __future__ import annotations

from typing import Any

import pytest

from addons.masking import Masking
from protocols.command import Parameter, Path, Statement
from protocols.hooks import JudgeHook
from protocols.session import Session
from protocols.verdict import Allow, Deny
from tests.masking import test_masking
from tests.masking.test_masking import Shelf, session
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
    return answer if isinstance(answer, Deny) else addon.on_judge(JudgeHook(who, Statement(text, **more), text))


SAVED = [
    "INSERT INTO patients (id, ssn) VALUES (1, '1'), (2, '***')",
    "INSERT INTO public.patients VALUES (1, 'x', '***')",
    "INSERT INTO patients (id, mrn) SELECT 1, '***1234'::text",
    "INSERT INTO patients (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET ssn = '***'",
    "UPDATE patients SET note = 'a', ssn = CAST('***' AS varchar) WHERE id = 1",
    "UPDATE patients SET (note, ssn) = ('a', '***')",
    "WITH w AS (UPDATE patients SET mrn = '***9999' RETURNING id) SELECT * FROM w",
    "SELECT 1; UPDATE patients SET ssn = E'***'; SELECT 2",
]
CLEAN = [
    "UPDATE patients SET ssn = '219-09-9998' WHERE ssn = '***'",
    "UPDATE patients SET note = '***'", "UPDATE patients SET ssn = '****'", "UPDATE patients SET ssn = '***1234'",
    "UPDATE patients SET mrn = '***123'", "UPDATE patients SET dob = '1980-01-01'", "UPDATE other.patients SET ssn = '***'",
    "INSERT INTO wards (ssn) VALUES ('***')", "SELECT '***' FROM patients", "INSERT INTO patients (id, note) VALUES (1, '***')",
    "UPDATE patients SET ssn = '***",
]


@pytest.mark.parametrize("text", SAVED)
def test_nobody_writes_a_mask_over_the_value_it_stands_for(text: str) -> None:
    """Who sees the column masked may not write it at all."""
    answer = ask(masking(), text, session("privacy"))
    assert isinstance(answer, Deny) and answer.code == "OST-526" and "public.patients." in answer.reason
    assert isinstance(ask(masking(), text, session()), Deny)


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
