"""
What a value looks like, and what a column's name says: identifiers that HIPAA names, found with their checksums.

A detector is a hint for people who declare columns. It proves nothing: a column that nothing here knows may hold PHI.

Sources: 45 CFR 164.514(b)(2)(i) (the identifiers), SSA POMS RM 10201.035 (SSNs never issued), 45 CFR 162.406 and ISO/IEC 7812
(NPI and card check digits).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _ssn(found: str) -> bool:
    area, group, serial = found.split("-") if "-" in found else (found[:3], found[3:5], found[5:])
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _npi(found: str) -> bool:
    return luhn("80840" + found)


def _card(found: str) -> bool:
    digits = re.sub("[ -]", "", found)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def _phone(found: str) -> bool:
    digits = re.sub(r"\D", "", found).removeprefix("1")
    return len(digits) == 10 and digits[0] > "1" and digits[3] > "1"


@dataclass(frozen=True, slots=True)
class Detector:
    """
    :ivar name: what it finds, as proposals and errors call it.
    :ivar column: what a column that holds it may be called, in lower case.
    :ivar value: what it looks like anywhere in a text; None when only the column's name can tell.
    :ivar right: the checksum, or whatever else must hold of what was found.
    :ivar strategy: what is proposed, by type family: text, and date.
    """

    name: str
    column: re.Pattern[str]
    value: re.Pattern[str] | None = None
    right: Callable[[str], bool] = bool
    strategy: str = "redact"

    def finds(self, text: str) -> bool:
        """Whether it is somewhere in a text."""
        return self.value is not None and any(self.right(found.group()) for found in self.value.finditer(text))


def _names(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|_)(?:{pattern})(?:_|$|\d)")


_ESCAPED = r"(?<=\\[bfnrtv])|(?<=\\u[0-9a-fA-F]{4})|(?<=\x00[\x00-\xff]{3})"
"""Behind an escape of COPY or JSON, or the length of an element in binary, a value begins although a letter is before it."""
_ALONE = r"(?:(?<![\w.-])|" + _ESCAPED + r")(?:{})(?![\w-]|\.\d)"


def _values(pattern: str) -> re.Pattern[str]:
    return re.compile(_ALONE.replace("{}", pattern), re.ASCII)


DETECTORS = (
    Detector("ssn", _names("ssn|social_security\\w*|sozialversicherung\\w*|tax_?id|tin|itin"), _values(r"\d{3}-\d{2}-\d{4}"), _ssn),
    Detector("npi", _names("npi|provider_identifier"), _values(r"[12]\d{9}"), _npi),
    Detector("card", _names("card_?(?:number|no)|pan|credit_?card"), _values(r"[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}|3\d{3}[ -]?\d{6}[ -]?\d{5}"), _card, "partial"),
    Detector("email", _names("e?_?mail|email_?address"), re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,24}\b", re.ASCII)),
    Detector("phone", _names("phone|mobile|cell|fax|tel|telephone"), _values(r"(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}"), _phone, "partial"),
    Detector("mrn", _names("mrn|medical_record\\w*|chart_(?:no|number)|patient_(?:no|number)"), re.compile(rf"(?:\b|{_ESCAPED})MRN[-:# ]{{0,2}}\d{{5,12}}\b", re.IGNORECASE | re.ASCII)),
    Detector("birth date", _names("dob|birth_?(?:date|day)|date_of_birth|born(?:_on)?|geburtsdatum"), strategy="date"),
    Detector("death date", _names("dod|death_?date|date_of_death|deceased(?:_on|_at)?"), strategy="date"),
    Detector("person's name", _names("(?:first|last|middle|full|given|family|sur|maiden|patient)_?name|surname|vorname|nachname")),
    Detector("address", _names("address|street|addr\\d?|zip|zip_?code|postal_?code|postcode")),
    Detector("member id", _names("member_?id|beneficiary\\w*|policy_?(?:no|number)|subscriber_?id|insurance_?(?:id|no|number)|medicare\\w*|medicaid\\w*")),
    Detector("licence", _names("licen[cs]e_?(?:no|number|plate)?|driver_?licen[cs]e|passport\\w*")),
    Detector("device or address on a network", _names("ip|ip_?addr(?:ess)?|mac_?addr(?:ess)?|imei|serial_?(?:no|number)")),
    Detector("account", _names("iban|account_?(?:no|number)|bank_?account")),
    Detector("biometric or picture", _names("photo|fingerprint|face|biometric\\w*|voice_?print")),
    Detector("condition", _names("diagnos[ei]s\\w*|icd\\w*|condition|symptoms?|medications?|allerg(?:y|ies)")),
    Detector("free text", _names("notes?|comments?|narrative|remarks?|free_?text|anamnesis")),
)
"""All of them; the first that fits a name proposes the strategy."""


def by_name(column: str) -> Detector | None:
    """What a column's name says that it holds; None when it says nothing."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()
    return next((detector for detector in DETECTORS if detector.column.search(plain)), None)


def found_in(text: str) -> tuple[str, ...]:
    """Names of the detectors that find something in a text."""
    return tuple(detector.name for detector in DETECTORS if detector.finds(text))
