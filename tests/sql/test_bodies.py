"""A SQL function's body, as it will be read when it is called."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from addons.sql.assess import Assessed, Assessor
from addons.sql.catalog import Snapshot, build
from addons.sql.settings import Gate
from tests.gateway.test_catalog import ROWS

ATOMIC = "CREATE OR REPLACE FUNCTION public.f() RETURNS bigint LANGUAGE sql {} "


def snapshot(body: str | None, *settings: str, created: str | None = None, view: str = "", more: Iterable[tuple] = ()) -> Snapshot:
    """One function f() beside `ROWS`, with a second table of the name patients in schema `side`."""
    written = None if not settings else '["' + '", "'.join(settings) + '"]'
    function = ("30000", "public", "f", "f", "v", "sql", "f", "f", "23", "", "0", "f", body, created, written)
    relations = [*ROWS["relations"], ("20500", "side", "patients", "r", "0"), ("20600", "public", "seen", "v", "0")]
    return build(ROWS | {"functions": [function, *more], "relations": relations, "views": [("20600", view)] if view else []})


def assessed(known: Snapshot, text: str = "SELECT f()", listed: tuple[str, ...] = ()) -> Assessed:
    return Assessor(listed, Gate()).assess(text, known)[0]


def test_what_a_body_touches_the_statement_touches() -> None:
    found = assessed(snapshot("SELECT ssn FROM patients; DELETE FROM public.patients WHERE id = 1")).finding
    assert found.relations == {("", "patients"), ("public", "patients")} and found.written == found.inside == {("public", "patients")}
    assert "ssn" in found.columns and found.kinds == {"Delete"} and found.kind == "Select"


def test_what_the_operator_vouches_for_is_not_looked_into() -> None:
    part = assessed(snapshot("DELETE FROM patients"), listed=("f",))
    assert not part.finding.relations and set(part.classes) == {"read"}


@pytest.mark.parametrize(("inside", "expected"), [
    ("BEGIN ATOMIC SELECT 1; DELETE FROM public.patients; END", {"read", "write-unfiltered"}),
    ("RETURN (SELECT count(*) FROM public.patients)", {"read"}),
])  # fmt: skip
def test_a_body_that_the_catalog_writes_out_is_read(inside: str, expected: set[str]) -> None:
    part = assessed(snapshot("", created=ATOMIC.format("") + inside))
    assert set(part.classes) == expected and part.finding.relations == {("public", "patients")}


def test_a_created_function_without_statements_is_not_seen_into() -> None:
    assert "function-unlisted" in assessed(snapshot("", created=ATOMIC.format("") + "AS ''")).classes


@pytest.mark.parametrize(("settings", "expected"), [
    (("search_path=side",), {("side", "patients")}), (("search_path=public, side",), {("public", "patients")}),
    (("search_path=pg_catalog, side",), {("side", "patients")}), (('search_path=\\"$user\\", side',), {("", "patients")}),
    (("search_path=pg_temp, side",), {("side", "patients")}), (("search_path=nowhere",), {("", "patients")}), (('search_path=\\"\\"',), {("", "patients")}),
    (("work_mem=64MB",), {("", "patients")}),
])  # fmt: skip
def test_a_search_path_of_its_own_says_which_relations_it_means(settings: tuple[str, ...], expected: set) -> None:
    part = assessed(snapshot("SELECT 1 FROM patients", *settings))
    assert part.finding.relations == expected and set(part.classes) == {"read"}


@pytest.mark.parametrize(("setting", "expected"), [
    ("standard_conforming_strings=off", "function-unlisted"), ("client_encoding=SJIS", "function-unlisted"), ("transform_null_equals=on", "function-unlisted"),
    ("role=boss", "session-identity"), ("session_preload_libraries=x", "server-config"),
])  # fmt: skip
def test_what_changes_how_a_body_is_read_or_who_runs_it_counts(setting: str, expected: str) -> None:
    assert set(assessed(snapshot("SELECT 1", setting)).classes) == {"read", expected}


def test_what_a_views_function_writes_counts_for_those_who_read_it() -> None:
    part = assessed(snapshot("DELETE FROM patients", view="SELECT public.f() AS x"), "SELECT * FROM seen")
    assert set(part.classes) == {"read", "write-unfiltered"} and part.finding.inside == {("", "patients")}
    assert part.classes["write-unfiltered"].startswith("reaches public.seen, which calls public.f, which ")


@pytest.mark.parametrize("body", ["SELECT id FROM patients", "SELECT g()"])
def test_what_it_reads_or_hides_is_the_views_own_affair(body: str) -> None:
    part = assessed(snapshot(body, view="SELECT public.f() AS x"), "SELECT * FROM seen")
    assert set(part.classes) == {"read"} and part.finding.relations == {("", "seen")}


def test_functions_that_call_each_other_are_looked_into_once() -> None:
    """A ladder, each rung calling the next in many places, costs a look at each rung."""
    rungs = [(str(31000 + i), "public", f"g{i}", "f", "v", "sql", "f", "f", "23", "", "0", "f", f"SELECT g{i + 1}()" + f"; SELECT g{i + 1}()" * 50) for i in range(6)]
    part = assessed(snapshot("SELECT g0()", more=[*rungs, ("31006", "public", "g6", *rungs[0][3:12], "DELETE FROM patients")]))
    assert "write-unfiltered" in part.classes
