"""Whether a text means what it meant: by everything that its words lead to in the catalog, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from addons.sql.catalog import Function, Relation, Snapshot, indices
from addons.sql.flux import Flux
from addons.sql.meaning import digest, meaning, words
from tests.sql import little

READ = "SELECT state FROM public.same JOIN public.departments USING (id)"
"""A view of patients, and a table."""


def known() -> Snapshot:
    return little.snapshot()


def having(snapshot: Snapshot, *things: Relation | Function, **more: Any) -> Snapshot:
    """The catalog with these in the place of those of their OIDs."""
    relations = dict(snapshot.relations) | {one.oid: one for one in things if isinstance(one, Relation)}
    functions = dict(snapshot.functions) | {one.oid: one for one in things if isinstance(one, Function)}
    return replace(snapshot, relations=relations, functions=functions, **indices(relations, functions, snapshot.types), **more)


def relation(name: str) -> Relation:
    return known().by_relation_name[name][0]


def function(name: str) -> Function:
    return known().by_function_name[name][0]


def changed(text: str, snapshot: Snapshot) -> tuple[bool, bool]:
    """Whether shape and exact are others than they were."""
    before, now = meaning([text], known()), meaning([text], snapshot)
    return before.shape != now.shape, before.exact != now.exact


def test_a_view_that_reads_something_else_means_something_else() -> None:
    assert changed(READ, having(known(), replace(relation("same"), definition="SELECT id, mrn AS ssn FROM public.patients"))) == (True, True)


def test_what_is_behind_a_view_counts_too() -> None:
    """Its tables' columns, and the bodies of functions that it calls."""
    patients = relation("patients")
    assert changed(READ, having(known(), replace(patients, columns=patients.columns[1:]))) == (True, True)
    assert changed("SELECT * FROM public.opaque", having(known(), replace(function("secret_of"), body="SELECT 2"))) == (True, True)


def test_a_trigger_a_rule_a_policy_and_a_child_are_meant_as_well() -> None:
    departments, triggered = relation("departments"), function("listed")
    assert changed(READ, having(known(), triggers=((departments.oid, triggered.oid),))) == (True, True)
    assert changed(READ, having(known(), replace(departments, rules=("CREATE RULE r AS ON UPDATE TO departments DO ALSO DELETE FROM visits",)))) == (True, True)
    assert changed(READ, having(known(), policies={departments.oid: ("id = 1",)})) == (True, True)
    visits = relation("visits")
    assert changed(READ, having(known(), children={departments.oid: (visits.oid,)}, parents={visits.oid: (departments.oid,)})) == (True, True)


def test_what_is_made_anew_just_as_it_was_is_only_not_the_very_same() -> None:
    """So a script that makes its own tables asks the same each time, and what is held is told that its table is another."""
    snapshot = known()
    old = relation("departments")
    relations = {oid: one for oid, one in snapshot.relations.items() if oid != old.oid} | {29000: replace(old, oid=29000)}
    anew = replace(snapshot, relations=relations, **indices(relations, snapshot.functions, snapshot.types))
    assert changed(READ, anew) == (False, True)


def test_a_column_that_was_dropped_and_added_is_only_not_the_very_same() -> None:
    old = relation("departments")
    columns = (*old.columns[:-1], replace(old.columns[-1], number=9))
    assert changed(READ, having(known(), replace(old, columns=columns))) == (False, True)


def test_temporary_tables_have_the_same_shape_in_every_session_and_another_than_none() -> None:
    own = replace(relation("departments"), oid=29000, schema="pg_temp_3")
    other = replace(own, oid=29001, schema="pg_temp_7")
    assert changed(READ, having(known(), own)) == (True, True)
    assert meaning([READ], having(known(), own)).shape == meaning([READ], having(known(), other)).shape


@pytest.mark.parametrize("text", ["SELECT 1", "SELECT id FROM departments", 'SELECT \'"\', id, \'"\' FROM visits'], ids=["nothing", "another", "quotes"])
def test_what_a_text_does_not_name_is_nothing_to_it(text: str) -> None:
    same = relation("same")
    assert changed(text, having(known(), replace(same, definition="SELECT id, mrn AS ssn FROM public.patients"))) == (False, False)


@pytest.mark.parametrize(
    "written", ["same", "SAME", '"same"', "public . same", "'\"', same, '\"'", "E'\\\\' || (SELECT 1 FROM same)", "'same'::regclass", 'U&"\\0073ame"'],
    ids=["bare", "upper case", "quoted", "spaced", "between quotes in strings", "behind a backslash", "in a string", "escaped"],
)  # fmt: skip
def test_a_name_is_found_however_it_is_written(written: str) -> None:
    moved = replace(having(known(), replace(relation("same"), definition="SELECT 1")), revision="another")
    assert changed(f"SELECT 1 FROM {written}", moved) == (True, True)


def test_names_that_are_no_words_or_are_cut_off_are_found() -> None:
    odd, long = replace(relation("visits"), oid=29000, name='a "b" c'), replace(relation("visits"), oid=29001, name="n" * 63)
    for one, text in ((odd, 'SELECT 1 FROM "a ""b"" c"'), (long, f"SELECT 1 FROM {'n' * 80}")):
        assert meaning([text], having(known(), one)) != meaning([text], known())
    assert "é" * 31 in words("é" * 40)


def test_a_function_that_is_called_by_number_is_meant() -> None:
    listed = function("listed")
    before = meaning([], known(), listed.oid)
    assert meaning([], having(known(), replace(listed, body="SELECT 2")), listed.oid) != before != meaning([], known())


def test_a_users_operator_and_cast_are_what_their_functions_are() -> None:
    listed = function("listed")
    other = replace(listed, body="SELECT 2")
    for text, more in (("SELECT 1 === 2", {"operators": MappingProxyType({"===": (listed.oid,)})}), ("SELECT 1", {"casts": MappingProxyType({23: (listed.oid,)})})):
        assert meaning([text], having(known(), **more)) != meaning([text], having(known(), other, **more))


def test_a_digest_is_the_same_in_every_process() -> None:
    """Sets have no order of their own."""
    one, other = (Flux(routines=frozenset(names), schemas=frozenset({"s"})) for names in (["a", "b", "c"], ["c", "b", "a"]))
    assert digest(one) == digest(other) != digest(Flux(routines=frozenset({"a"})))
    assert digest(("public", None)) == bytes.fromhex("1aab3452e9cad361280d14d6f7cf33629ba5c53843df900ce73f27a7a14e39bc")
