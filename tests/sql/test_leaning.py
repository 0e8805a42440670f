"""What only the search path says about a text, by names alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addons.sql.catalog import Function, Snapshot, Type, indices
from addons.sql.leaning import leans
from addons.sql.pinned import pinned
from addons.sql.resolve import Names
from tests.sql import little


def catalog() -> Snapshot:
    """`listed`, `mood` and the operator `<+>` are in two schemas, `of_row` in one."""
    known = little.snapshot()
    listed = known.by_function_name["listed"][0]
    functions: dict[int, Function] = {**known.functions, 39999: replace(listed, oid=39999, schema="other")}
    types: dict[int, Type] = {**known.types, 39001: Type(39001, "public", "mood", "e", "E", 0, 0, 0), 39002: Type(39002, "other", "mood", "e", "E", 0, 0, 0)}
    schemas = known.schemas | {"public", "other"}
    operators = {"<+>": (listed.oid, 39999), "<->": (listed.oid,)}
    return replace(known, revision="leaning", functions=functions, types=types, schemas=schemas, operators=operators, **indices(known.relations, functions, types))


CATALOG = catalog()

LEANING = [
    "UPDATE twin SET secret = 'x'", "SELECT 1; DELETE FROM twin", "CREATE VIEW v AS SELECT id FROM twin", "DROP TABLE twin", "COMMENT ON TABLE twin IS 'x'",
    "DROP TRIGGER t ON twin", "COMMENT ON COLUMN twin.id IS 'x'", "SELECT listed(1)", "SELECT public.of_row(listed(1))", "DROP FUNCTION listed(int)", "CALL listed(1)", "SELECT 'x'::mood",
    "CREATE TABLE v (m mood)", "SELECT 1 <+> 2", "SELECT 1 FROM visits ORDER BY id USING <+>", "SELECT nextval('twin')", "SELECT setval('TWIN'::regclass, 1)", "nonsense twin",
    "ALTER SEQUENCE s OWNED BY twin.id",
]  # fmt: skip

PLAIN = [
    "SELECT 1", "UPDATE patients SET ssn = 'twin'", "UPDATE public.twin SET secret = listed FROM public.listed(1)", "WITH twin AS (SELECT 1) SELECT * FROM twin", "DROP TABLE public.twin",
    "COMMENT ON COLUMN public.twin.id IS 'x'", "SELECT of_row(lower('listed'))", "SELECT 'x'::public.mood", "SELECT 1 OPERATOR(public.<+>) 2", "SELECT 1 <-> 2", "SELECT nextval('public.twin')",
    "CREATE TABLE twin (id int)", "nonsense",
]  # fmt: skip


@pytest.mark.parametrize("text", LEANING, ids=range(len(LEANING)))
def test_a_name_that_several_schemas_have_leaves_what_it_means_to_the_path(text: str) -> None:
    assert leans(text, CATALOG)


@pytest.mark.parametrize("text", PLAIN, ids=range(len(PLAIN)))
def test_names_of_one_schema_and_names_with_theirs_leave_nothing_to_the_path(text: str) -> None:
    assert not leans(text, CATALOG)


@pytest.mark.parametrize("text", ["UPDATE twin SET secret = 'x'", "DROP TABLE twin", "CREATE VIEW v AS SELECT id FROM twin"], ids=["update", "drop", "view"])
def test_what_got_its_schemas_leans_on_nothing(text: str) -> None:
    assert not leans(pinned(text, Names(CATALOG, ("other",))), CATALOG)
