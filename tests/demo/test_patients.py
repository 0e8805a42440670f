"""The invented clinic: the same every time, plausible, and nobody's."""

from __future__ import annotations

import hashlib
import re

import pytest

from gateway.demo.patients import TODAY, Clinic, copy, npi
from gateway.demo.population import DEPARTMENTS, DIAGNOSES, FAMILIES, MEN, TOWNS, WOMEN


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return Clinic()


def test_it_is_the_same_clinic_every_time(clinic: Clinic) -> None:
    """Somebody's screenshot of row 4711 is right on every machine."""
    once = hashlib.sha256("".join(clinic.copy_script()).encode()).hexdigest()
    again = hashlib.sha256("".join(Clinic().copy_script()).encode()).hexdigest()
    assert once == again
    assert "".join(Clinic(seed=2).copy_script()) != "".join(Clinic().copy_script())


def test_it_is_large_enough(clinic: Clinic) -> None:
    """Ten thousand patients, more encounters than patients."""
    assert len(clinic.patients) == 10_000
    assert len(clinic.encounters) > 12_000
    assert len(clinic.departments) == len(DEPARTMENTS)


def test_no_social_security_number_can_be_anybodys(clinic: Clinic) -> None:
    """Area 9xx is never issued by the SSA; groups 01 to 49 of it never by the IRS."""
    for patient in clinic.patients:
        assert re.fullmatch(r"9\d\d-[0-4]\d-\d{4}", patient.ssn) and patient.ssn[4:6] != "00"


def test_no_telephone_rings(clinic: Clinic) -> None:
    """555-0100 to 555-0199 are kept for fiction."""
    assert all(re.fullmatch(r"\(\d{3}\) 555-01\d\d", patient.phone) for patient in clinic.patients)


def test_no_mail_arrives(clinic: Clinic) -> None:
    """example.org is reserved; some people have no address at all."""
    mails = [patient.email for patient in clinic.patients]
    assert None in mails
    assert all(mail.endswith("@example.org") for mail in mails if mail is not None)


def test_keys_are_unique_and_refer_to_something(clinic: Clinic) -> None:
    """Otherwise PostgreSQL would refuse to load it."""
    assert len({patient.mrn for patient in clinic.patients}) == len(clinic.patients)
    assert len({provider.npi for provider in clinic.providers}) == len(clinic.providers)
    patients = {patient.id for patient in clinic.patients}
    home = {provider.id: provider.department_id for provider in clinic.providers}
    for encounter in clinic.encounters:
        assert encounter.patient_id in patients
        assert home[encounter.provider_id] == encounter.department_id


def test_lives_are_plausible(clinic: Clinic) -> None:
    """Nobody is seen before birth or in the future, gives birth at 80, or has another sex's cancer."""
    people = {patient.id: patient for patient in clinic.patients}
    for encounter in clinic.encounters:
        patient, day = people[encounter.patient_id], encounter.began.date()
        assert patient.dob <= day <= TODAY and encounter.began < encounter.ended
        age = (TODAY - patient.dob).days // 365
        assert encounter.icd10 != "O80" or (patient.sex == "F" and 16 <= age <= 46)
        assert encounter.icd10 != "C61" or patient.sex == "M"
        assert encounter.icd10 != "Z00.129" or age < 16


def test_notes_name_the_patient(clinic: Clinic) -> None:
    """Free text is where PHI hides; masking has to take it whole."""
    people = {patient.id: patient for patient in clinic.patients}
    assert all(people[e.patient_id].last_name in e.notes for e in clinic.encounters)
    assert any(people[e.patient_id].phone in e.notes for e in clinic.encounters)


def test_npi_check_digit() -> None:
    """The standard's own example: 123456789 takes a 3 (45 CFR 162.406; CMS, "NPI check digit")."""
    assert npi("123456789") == "1234567893"


def test_copy_escapes_what_copy_text_means() -> None:
    """Backslash, tab and newline are data; None is NULL."""
    lines = list(copy("t", [(1, "a\tb\\c\nd", None)]))
    assert lines == ["COPY t FROM STDIN;\n", "1\ta\\tb\\\\c\\nd\t\\N\n", "\\.\n"]


def test_lists_hold_no_doubles() -> None:
    """A doubled name would be drawn twice as often, a doubled code priced twice."""
    for words in (WOMEN, MEN, FAMILIES, [d[0] for d in DIAGNOSES], [t[0] for t in TOWNS]):
        assert len(set(words)) == len(words)
    departments = {row[0] for row in DEPARTMENTS}
    assert {d[2] for d in DIAGNOSES} <= departments
