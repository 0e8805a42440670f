"""Declared columns spread to what is made of them."""

from __future__ import annotations

import pytest

from addons.masking.cover import Cover, Misdeclared
from addons.masking.declared import declarations
from addons.sql.calls import Calls
from tests.sql.little import snapshot

SNAPSHOT = snapshot()


def cover(*columns: str, **more: object) -> Cover:
    entries = [{"relation": c.rpartition(".")[0], "column": c.rpartition(".")[2], **more} for c in columns]
    return Cover(SNAPSHOT, declarations(entries), Calls(SNAPSHOT, frozenset()).opaque)


def labels(found: Cover) -> set[str]:
    return {
        m.label
        for columns in found.relations.values()
        for m in columns.values()
        if not m.label.startswith("pg_catalog")
    }


def test_children_and_views_are_covered() -> None:
    """A child by inheritance, a view that passes it on, a view that makes something of it."""
    found = labels(cover("public.patients.ssn", "public.patients.mrn"))
    assert {
        "public.patients.ssn",
        "public.archive.ssn",
        "public.archive.mrn",
        "public.same.ssn",
        "public.directory.chart",
    } <= found
    assert "public.directory.place" not in found and "public.patients.id" not in found


def test_a_view_over_an_unlisted_function_is_covered() -> None:
    assert "public.opaque.x" in labels(cover("public.patients.ssn"))


def test_a_view_that_only_filters_is_clean() -> None:
    """Its text is fixed; nobody asks it questions."""
    assert not {"public.clean.id", "public.clean.n"} & labels(cover("public.patients.ssn"))


def test_a_childs_column_covers_its_whole_family() -> None:
    assert {"public.archive.ssn", "public.patients.ssn"} <= labels(cover("public.archive.ssn"))


def test_row_types_and_their_arrays_are_covered() -> None:
    (patients,) = SNAPSHOT.named("public", "patients")
    assert {patients.row_type, patients.row_type + 100} <= cover("public.patients.ssn").row_types


def test_statements_of_others_and_statistics_are_covered() -> None:
    found = cover("public.patients.ssn")
    (statistics,), (activity,) = (
        SNAPSHOT.named("pg_catalog", "pg_stats"),
        SNAPSHOT.named("pg_catalog", "pg_stat_activity"),
    )
    assert found.masks(statistics) and list(found.relations[activity.oid]) == ["query"]
    assert not found.masks(SNAPSHOT.named("pg_catalog", "pg_class")[0])


@pytest.mark.parametrize(
    ("column", "more", "why"),
    [
        ("public.nobody.ssn", {}, "no relation"),
        ("public.patients.nobody", {}, "no column"),
        ("public.patients.dob", {"strategy": "partial", "keep": 4}, "partial"),
        ("public.patients.ssn", {"strategy": "date"}, "date"),
    ],
)
def test_what_the_catalog_does_not_have_is_an_error(column: str, more: dict, why: str) -> None:
    with pytest.raises(Misdeclared, match=why):
        cover(column, **more)


def test_a_relation_that_is_not_there_is_said_once_whatever_is_declared_of_it() -> None:
    with pytest.raises(Misdeclared) as raised:
        cover("public.nobody.ssn", "public.nobody.mrn")
    assert str(raised.value).count("public.nobody") == 1


def test_sub_selects_name_every_column_and_keep_types() -> None:
    (patients,) = SNAPSHOT.named("public", "patients")
    text = cover("public.patients.ssn", "public.patients.doc").sub_select(patients, only=True)
    assert text == (
        'SELECT "id", CASE WHEN "ssn" IS NULL THEN NULL ELSE CAST(\'***\' AS text) END AS "ssn", "mrn", "dob", "state",'
        ' CAST(NULL AS jsonb) AS "doc" FROM ONLY "public"."patients"'
    )


def test_strategies_follow_a_column_that_is_passed_on() -> None:
    found = cover("public.patients.mrn", strategy="partial", keep=4)
    (archive,), (directory,) = SNAPSHOT.named("", "archive"), SNAPSHOT.named("", "directory")
    assert found.relations[archive.oid]["mrn"].strategy.kind == "partial"
    assert found.relations[directory.oid]["chart"].strategy.kind == "redact"


def test_the_wire_names_masked_columns_by_number() -> None:
    found = cover("public.patients.ssn")
    (patients,) = SNAPSHOT.named("public", "patients")
    assert (
        found.column(patients.oid, 2) == "public.patients.ssn" and found.column(patients.oid, 0) == "public.patients.*"
    )
    assert found.column(patients.oid, 1) == "" and found.column(1, 2) == ""


@pytest.mark.parametrize(("declared", "meant"), [
    ("public.patients.snn", "public.patients.ssn"), ("public.patients.SSN", "public.patients.ssn"), ("public.patient.ssn", "public.patients"),
    ("clinic.patients.ssn", "public.patients"),
], ids=["column", "case", "relation", "schema"])
def test_a_misspelt_declaration_is_told_what_it_probably_meant(declared: str, meant: str) -> None:
    with pytest.raises(Misdeclared, match=rf"\(did you mean {meant}\?\)"):
        cover(declared)


def test_a_declaration_that_is_like_nothing_is_told_nothing() -> None:
    with pytest.raises(Misdeclared, match="no column there$"):
        cover("public.patients.qqqqqq")
