"""What the configuration may say of a column, and what it is told when it may not."""

from __future__ import annotations

import pytest

from addons.masking.declared import Strategy, declarations
from addons.masking.masking import Masking
from addons.sql.complaints import Wrong

GOOD = {"relation": "public.patients", "column": "ssn"}


def test_the_example_is_understood() -> None:
    found = declarations(
        [
            {**GOOD, "strategy": "redact", "clear": ["privacy"]},
            {"relation": "public.patients", "column": "dob", "strategy": "date", "keep": "year"},
            {"relation": "public.patients", "column": "phone", "strategy": "partial", "keep": 4, "targets": ["clinic"]},
        ]
    )
    assert [d.strategy for d in found] == [Strategy(), Strategy("date"), Strategy("partial", 4)]
    assert found[0].label == "public.patients.ssn" and found[0].clear == {"privacy"} and found[2].targets == {"clinic"}


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("ssn", "a table is needed"),
        ({"column": "ssn"}, "columns[0].relation"),
        ({**GOOD, "relation": "patients"}, "write the schema"),
        ({**GOOD, "column": ""}, "columns[0].column"),
        ({**GOOD, "strategy": "partal", "keep": 4}, "unknown strategy 'partal' (did you mean 'partial'?); use one of redact, null, partial, date"),
        ({**GOOD, "strategy": "token"}, "unknown strategy 'token'"),
        ({**GOOD, "strategy": "partial"}, "1 to 8"),
        ({**GOOD, "strategy": "partial", "keep": True}, "1 to 8"),
        ({**GOOD, "strategy": "partial", "keep": 9}, "1 to 8"),
        ({**GOOD, "strategy": "date", "keep": "month"}, "year"),
        ({**GOOD, "keep": 4}, "goes with"),
        ({**GOOD, "clear": "privacy"}, "a list of names"),
        ({**GOOD, "claer": []}, "no such key (did you mean 'clear'?)"),
    ],
)
def test_mistakes_are_named_with_their_place(entry: dict, why: str) -> None:
    with pytest.raises(ValueError, match="columns") as raised:
        declarations([entry])
    assert why in str(raised.value)


def test_a_column_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        declarations([GOOD, {**GOOD, "strategy": "null"}])


def test_all_that_is_wrong_with_masking_s_options_is_said_at_once() -> None:
    """Not one mistake for each attempt."""
    with pytest.raises(Wrong) as raised:
        Masking(
            columns=[{**GOOD, "column": ""}], catalogs=None, refuse_masks="yes", lookups_per_minute=-1, functions=["a", "b.c.d"],
            reveal={"approvers": [], "quorum": 0, "lifetime": "x", "uze": 1},
        )  # type: ignore[arg-type]
    keys = [complaint.partition(":")[0] for complaint in raised.value.complaints]
    assert keys == [
        "refuse_masks", "columns[0].column", "lookups_per_minute", "reveal.uze", "reveal.approvers", "reveal.quorum", "reveal.lifetime",
        "functions", "functions",
    ]  # fmt: skip
