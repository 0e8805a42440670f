"""Code that may write into a relation unasked is found by its words; what cannot be read may write anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addons.masking.placed import Placed
from addons.sql.catalog import Function, Snapshot
from tests.sql.little import snapshot

LITTLE = snapshot()


def database(*functions: tuple[str, str, str], triggers: tuple[str, ...] = (), rules: tuple[str, ...] = ()) -> Placed:
    """Of functions by name, language and body; some are triggers' of the departments."""
    made = {
        number: Function(number, "public", name, "f", "v", language, False, False, 2279, (), 0, False, body)
        for number, (name, language, body) in enumerate(functions, 90000)
    }
    (table,) = LITTLE.named("public", "departments")
    found: Snapshot = replace(
        LITTLE, functions=made, operators={}, triggers=tuple((table.oid, oid) for oid, f in made.items() if f.name in triggers),
        relations={**LITTLE.relations, table.oid: replace(table, rules=rules)},
    )
    return Placed(found, lambda oid: made[oid].name != "listed")


@pytest.mark.parametrize("body", [
    "BEGIN INSERT INTO log VALUES (NEW.said); RETURN NULL; END", "BEGIN UPDATE public.\"Log\" SET said = NEW.said; END",
    "BEGIN MERGE INTO log USING x ON true WHEN MATCHED THEN UPDATE SET said = 'x'; END", "COPY log FROM '/tmp/x'",
])  # fmt: skip
def test_a_function_that_writes_there_is_found(body: str) -> None:
    assert database(("keep", "plpgsql", body)).into({"log", "logs"}) and not database(("keep", "plpgsql", body)).into({"patients"})
    assert not database(("listed", "plpgsql", body), triggers=("listed",)).into({"log"})


def test_a_function_that_only_reads_or_writes_elsewhere_places_nothing() -> None:
    found = database(
        ("reads", "plpgsql", "BEGIN RAISE NOTICE '%', (SELECT max(said) FROM log); RETURN NEW; END"),
        ("stamps", "plpgsql", "BEGIN NEW.at := now(); RETURN NEW; END"),
        ("sweeps", "sql", "DELETE FROM log"),
        triggers=("reads", "stamps", "sweeps"),
    )
    assert not found.into({"log"})


def test_a_rule_places_what_its_action_writes() -> None:
    rule = "CREATE RULE k AS ON INSERT TO public.departments DO ALSO INSERT INTO log VALUES (new.code)"
    assert database(rules=(rule,)).into({"log"}) and not database(rules=(rule,)).into({"departments"})


@pytest.mark.parametrize(("language", "body"), [
    ("plpgsql", "BEGIN EXECUTE format('INSERT INTO %I VALUES (1)', TG_ARGV[0]); END"), ("plpython3u", "plpy.execute(x)"), ("c", ""),
    ("plpgsql", "BEGIN INSERT INTO U&\"l\\006Fg\" VALUES (1); END"), ("sql", ""),
])  # fmt: skip
def test_a_trigger_that_cannot_be_read_may_write_anywhere(language: str, body: str) -> None:
    """Also one that only calls such a function; where nothing runs it unasked, nobody who sees masks can call it."""
    hidden = ("hidden", language, body)
    assert database(hidden, triggers=("hidden",)).into({"log"}) and not database(hidden).into({"log"})
    assert database(hidden, ("calls", "plpgsql", "BEGIN PERFORM hidden(); END"), triggers=("calls",)).into({"log"})
