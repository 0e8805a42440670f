"""
A clinic of invented people, the same one every time, as the COPY text that PostgreSQL loads.

Nothing in it can belong to anyone: social security numbers have an area of 9xx and a group
below 50, which neither the SSA nor the IRS (ITIN) issues; telephone numbers are 555-01xx, kept
for fiction; NPIs start with 2, which is unassigned, with a right check digit; mail goes to
example.org (RFC 2606).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from random import Random

from gateway.demo.population import (
    DEPARTMENTS,
    DIAGNOSES,
    FAMILIES,
    KINDS_OF_STREET,
    MEN,
    STREETS,
    TOWNS,
    WOMEN,
)

TODAY = datetime.date(2025, 6, 30)  #: the clinic's newest day; fixed, so that its rows never change
PATIENTS = 10_000
PROVIDERS = 120


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of `providers`."""

    id: int
    npi: str
    name: str
    department_id: int
    accepting: bool


@dataclass(frozen=True, slots=True)
class Patient:
    """One row of `patients`."""

    id: int
    mrn: str
    first_name: str
    last_name: str
    sex: str
    dob: datetime.date
    ssn: str
    phone: str
    email: str | None
    street: str
    city: str
    state: str
    zip: str


@dataclass(frozen=True, slots=True)
class Encounter:
    """One row of `encounters`."""

    id: int
    patient_id: int
    provider_id: int
    department_id: int
    began: datetime.datetime
    ended: datetime.datetime
    icd10: str
    diagnosis: str
    charge: str
    notes: str


class Clinic:
    """All of it, drawn from one seed."""

    def __init__(self, patients: int = PATIENTS, seed: int = 1) -> None:
        chance = Random(seed)
        self.departments = [(number, *row) for number, row in enumerate(DEPARTMENTS, 1)]
        self.providers = [_provider(chance, number) for number in range(1, PROVIDERS + 1)]
        self.patients = [_patient(chance, number) for number in range(1, patients + 1)]
        self.encounters = list(_encounters(chance, self.patients, self.providers))

    def copy_script(self) -> Iterator[str]:
        """Lines for psql: one COPY per table, in the order that foreign keys want."""
        yield from copy("departments", self.departments)
        yield from copy("providers", map(astuple, self.providers))
        yield from copy("patients", map(astuple, self.patients))
        yield from copy("encounters", map(astuple, self.encounters))


def copy(table: str, rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    """COPY text format (PostgreSQL 18 manual, COPY, "Text Format")."""
    yield f"COPY {table} FROM STDIN;\n"
    for row in rows:
        yield "\t".join(map(_field, row)) + "\n"
    yield "\\.\n"


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    text = str(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def npi(body: str) -> str:
    """Nine digits and their check digit: Luhn over "80840" and the number (45 CFR 162.406)."""
    total = 0
    for place, digit in enumerate(reversed("80840" + body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return body + str(-total % 10)


def _provider(chance: Random, number: int) -> Provider:
    given = chance.choice(WOMEN if chance.random() < 0.52 else MEN)
    return Provider(
        id=number,
        npi=npi(f"2{number:03d}{chance.randrange(100_000):05d}"),
        name=f"{given} {chance.choice(FAMILIES)}, {chance.choice(('MD', 'MD', 'MD', 'DO', 'NP'))}",
        department_id=(number - 1) % len(DEPARTMENTS) + 1,
        accepting=chance.random() < 0.8,
    )


def _patient(chance: Random, number: int) -> Patient:
    sex = chance.choice("FM")
    given = chance.choice(WOMEN if sex == "F" else MEN)
    family = chance.choice(FAMILIES)
    town, state, code, area = chance.choice(TOWNS)
    days = int(chance.betavariate(1.6, 1.9) * 94 * 365.25)
    mail = f"{given}.{family}{number}@example.org".lower() if chance.random() < 0.85 else None
    return Patient(
        id=number,
        mrn=f"MRN{100_000 + number * 7 % 900_000:06d}",
        first_name=given,
        last_name=family,
        sex=sex,
        dob=TODAY - datetime.timedelta(days=days),
        ssn=f"9{chance.randrange(100):02d}-{chance.randrange(1, 50):02d}-{chance.randrange(1, 10_000):04d}",
        phone=f"({area}) 555-01{chance.randrange(100):02d}",
        email=mail,
        street=f"{chance.randrange(1, 2400)} {chance.choice(STREETS)} {chance.choice(KINDS_OF_STREET)}",
        city=town,
        state=state,
        zip=code,
    )


def _encounters(chance: Random, patients: list[Patient], providers: list[Provider]) -> Iterator[Encounter]:
    """About one and a half each over three years; some come often, some were never seen."""
    staff: dict[int, list[Provider]] = {}
    for provider in providers:
        staff.setdefault(provider.department_id, []).append(provider)
    number = 0
    for patient in patients:
        for _ in range(min(int(chance.expovariate(0.5)), 12)):
            number += 1
            yield _encounter(chance, number, patient, staff)


def _encounter(chance: Random, number: int, patient: Patient, staff: dict[int, list[Provider]]) -> Encounter:
    code, name, department, done, low, high = chance.choice(_fitting(patient))
    place = next(n for n, row in enumerate(DEPARTMENTS, 1) if row[0] == department)
    provider = chance.choice(staff[place])
    began = _moment(chance, patient)
    return Encounter(
        id=number,
        patient_id=patient.id,
        provider_id=provider.id,
        department_id=place,
        began=began,
        ended=began + datetime.timedelta(minutes=chance.randrange(15, 240)),
        icd10=code,
        diagnosis=name,
        charge=f"{chance.uniform(low, high):.2f}",
        notes=_note(chance, patient, began.date(), name, done, provider),
    )


def _fitting(patient: Patient) -> list[tuple[str, str, str, str, int, int]]:
    """The diagnoses that make sense for this person's age and sex."""
    age = (TODAY - patient.dob).days // 365
    child = age < 16
    refused = {"C61"} if patient.sex == "F" else {"C50.911", "Z34.90", "O80"}
    if not 16 <= age <= 46:
        refused |= {"Z34.90", "O80"}
    if child:
        return [d for d in DIAGNOSES if d[2] in ("Pediatrics", "Emergency") and d[0] not in ("N20.0", "R07.9")]
    return [d for d in DIAGNOSES if d[2] != "Pediatrics" and d[0] not in refused]


def _moment(chance: Random, patient: Patient) -> datetime.datetime:
    lived = max(1, min(3 * 365, (TODAY - patient.dob).days))
    day = TODAY - datetime.timedelta(days=chance.randrange(lived))
    return datetime.datetime.combine(day, datetime.time(chance.randrange(7, 20), chance.choice((0, 10, 20, 30, 40, 50))))


def _note(chance: Random, patient: Patient, day: datetime.date, name: str, done: str, provider: Provider) -> str:
    """Free text that names the patient, as real notes do: the reason `notes` is masked whole."""
    age = (day - patient.dob).days // 365
    subject = f"{patient.first_name} {patient.last_name}"
    opening = chance.choice(
        (
            f"{subject}, {age}, seen for {name.lower()}.",
            f"Pt {patient.last_name} (DOB {patient.dob:%m/%d/%Y}) presents with {name.lower()}.",
            f"{age}-year-old {patient.first_name} {patient.last_name}, {patient.mrn}, returns for follow-up: {name.lower()}.",
        )
    )
    closing = chance.choice(
        (
            f"Call back at {patient.phone}.",
            f"Discussed with {provider.name}.",
            "Questions answered, understands the plan.",
            f"Letter sent to {patient.street}, {patient.city}.",
        )
    )
    return f"{opening} Plan: {done}. {closing}"
