"""Detectors find what they name, and not what only looks so: their checksums tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.masking.detectors import DETECTORS, by_name, found_in, luhn

FOUND = {
    "219-09-9998": ("ssn",), "the patient (219-09-9998) called": ("ssn",), "1234567893": ("npi",), "4111 1111 1111 1111": ("card",),
    "378282246310005": ("card",), "5500-0000-0000-0004": ("card",), "ada.lovelace+x@clinic.example.org": ("email",),
    "(415) 555-2671": ("phone",), "+1 415-555-2671": ("phone",), "415.555.2671": ("phone",), "MRN-0012345": ("mrn",),
    "mrn: 12345678": ("mrn",), "call 415-555-2671 or ada@clinic.example": ("email", "phone"),
}

NOT_FOUND = (
    "000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "123-45-0000", "1219-09-9998", "219-09-99981", "1234567890", "3234567893",
    "4111 1111 1111 1112", "0000000000000000", "1111111111111111", "2026-11-23", "192.168.100.200", "v1.2.3-4567", "a@b", "@clinic.example",
    "(115) 555-2671", "415-155-2671", "MRN", "7b7f3c1e-4155-5526-71aa-219099998000", "",
)

NAMED = {
    "ssn": "ssn", "patient_ssn": "ssn", "taxId": "ssn", "npi": "npi", "email": "email", "eMail": "email", "home_phone": "phone", "mrn": "mrn",
    "dob": "birth date", "dateOfBirth": "birth date", "birthdate": "birth date", "last_name": "person's name", "lastName": "person's name",
    "zip_code": "address", "addr1": "address", "notes": "free text", "diagnosis_code": "condition", "iban": "account", "deceased_at": "death date",
}

UNNAMED = ("id", "created_at", "status", "amount", "session", "mission", "classname", "tint", "shipment", "company_name", "opinion", "panel")


@pytest.mark.parametrize("text", FOUND)
def test_what_is_there_is_found(text: str) -> None:
    assert found_in(text) == FOUND[text]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_so_is_not(text: str) -> None:
    assert found_in(text) == ()


@pytest.mark.parametrize("column", NAMED)
def test_names_that_tell(column: str) -> None:
    assert by_name(column).name == NAMED[column]


@pytest.mark.parametrize("column", UNNAMED)
def test_names_that_tell_nothing(column: str) -> None:
    assert by_name(column) is None


@given(st.text("0123456789", min_size=1, max_size=30), st.integers(0, 29))
def test_one_wrong_digit_breaks_the_check(digits: str, at: int) -> None:
    check = next(c for c in "0123456789" if luhn(digits + c))
    whole = digits + check
    place = at % len(whole)
    wrong = whole[:place] + str((int(whole[place]) + 1) % 10) + whole[place + 1 :]
    assert luhn(whole) and not luhn(wrong)


@pytest.mark.parametrize("piece", ["1", "a", "a@", "4111 ", "415-", "MRN", "(", "1-", "a.", "-"])
def test_no_text_sends_a_pattern_backtracking(piece: str) -> None:
    """A pattern whose work grows with the square of a text would not come back from this one."""
    assert found_in(piece * 100_000) in ((), ("card",))


def test_each_has_a_name_of_its_own() -> None:
    assert len({d.name for d in DETECTORS}) == len(DETECTORS)
