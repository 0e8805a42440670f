"""What functions that are called may do to portals, prepared statements and the search path, by their bodies."""

from __future__ import annotations

import pytest

from addons.masking import Masking
from addons.policy import Policy
from addons.sql.catalog import build
from addons.sql.deeds import CURSORS, NAMES, PATH, said
from addons.sql.kinds import CLASSES
from addons.sql.moving import Moves, called, moves
from addons.sql.settings import Settings
from protocols.command import Statement
from protocols.hooks import JudgeHook
from tests.gateway.test_catalog import ROWS
from tests.masking.shelf import Shelf, done, session

BODIES = [
    ("closes", "plpgsql", "BEGIN CLOSE c; OPEN c FOR SELECT 1; END"), ("runs", "plpgsql", "BEGIN EXECUTE x; END"),
    ("forgets", "sql", "DEALLOCATE ALL"), ("through", "plpgsql", "BEGIN RETURN closes('p'); END"),
    ("loops", "plpgsql", "DECLARE r record; BEGIN FOR r IN SELECT 1 LOOP NULL; END LOOP; END"), ("plain", "sql", "SELECT 1"), ("other", "plperl", ""),
]  # fmt: skip
SNAPSHOT = build(ROWS | {
    "functions": [
        *((str(50001 + at), "public", name, "f", "v", language, "f", "f", "25", "", "0", "f", body) for at, (name, language, body) in enumerate(BODIES)),
        ("50020", "public", "st_distance", "f", "i", "c", "f", "f", "25", "", "0", "t", None),
        ("50021", "public", "compiled", "f", "i", "c", "f", "f", "25", "", "0", "f", None),
    ],
    "operators": [("@@@", "50004"), ("&&&", "50020")],
    "relations": [(str(30000 + at), "public", name, kind, "0") for at, (name, kind) in enumerate([("watched", "r"), ("shown", "v"), ("filled", "r"), ("typed", "r"), ("tuned", "v")])],
    "columns": [("30003", "1", "x", "40001", "label", "f", None, "f", "f")],
    "types": [("40001", "public", "label", "d", "S", "0", "0", "25")],
    "type_runs": [("40001", "50003")],
    "runs": [("30002", "50003")],
    "triggers": [("30000", "50003")],
    "views": [("30001", "SELECT forgets() AS f"), ("30004", "SELECT set_config('a.b'::text, 'c'::text, false) AS c FROM pg_settings")],
})  # fmt: skip

CLOSES, DEALLOCATES, NOTHING = Moves(portals=True), Moves(statements=True), Moves()


@pytest.mark.parametrize(("text", "found"), [
    ("SELECT closes('p')", CLOSES), ("SELECT public.runs()", CLOSES), ("SELECT 1 FROM t WHERE through() = 1", CLOSES), ("SELECT other()", CLOSES), ("SELECT compiled()", CLOSES),
    ("INSERT INTO t VALUES (closes('p'))", CLOSES), ("SELECT 1 @@@ 2", CLOSES), ("SELECT t.closes FROM t", CLOSES), ("SELECT nobody_knows()", CLOSES), ("SELECT 1 <@@> 2", CLOSES),
    ("CALL plain()", CLOSES), ("DO 'BEGIN END'", CLOSES), ("EXECUTE p", CLOSES), ("FETCH c", CLOSES), ("EXPLAIN ANALYZE EXECUTE p", CLOSES), ("SELEC", CLOSES),
    ("SELECT forgets()", DEALLOCATES), ("SELECT forgets(), closes('p')", Moves(True, True)),
    ("SELECT loops(), plain(), st_distance(), count(*), pg_catalog.lower('x') FROM t", NOTHING), ("SELECT 1 &&& 2", NOTHING), ("UPDATE t SET a = 1 + 1", NOTHING), ("COMMIT", NOTHING),
])  # fmt: skip
def test_what_may_be_closed_or_taken_away_is_known_by_the_bodies_of_what_is_called(text: str, found: Moves) -> None:
    assert moves(text, SNAPSHOT, portals=True) == moves(text, SNAPSHOT, portals=True) == found


@pytest.mark.parametrize(("text", "found"), [
    ("INSERT INTO watched VALUES (1)", DEALLOCATES), ("SELECT 1 FROM public.shown", DEALLOCATES), ("UPDATE filled SET x = 1", DEALLOCATES), ("SELECT 'x'::label", DEALLOCATES),
    ("COPY typed FROM STDIN", DEALLOCATES), ("SELECT 1 FROM watched, filled, typed", NOTHING), ("SELECT 1 FROM tuned", NOTHING), ("UPDATE tuned SET c = 'x'", NOTHING),
])  # fmt: skip
def test_what_a_view_a_trigger_a_default_or_a_domain_takes_away_is_known_by_what_is_read_and_written(text: str, found: Moves) -> None:
    """Else EXECUTE would run what such code prepared under the name, judged and masked as what the client did."""
    assert moves(text, SNAPSHOT, portals=False) == found


def test_without_a_catalog_every_function_but_the_servers_may_close_a_portal() -> None:
    assert moves("SELECT plain()", None, portals=True) == moves("SELECT 1 <@@> 2", None, portals=True) == CLOSES
    assert moves("SELECT lower(a) || 'x', t.b FROM t WHERE a = 1", None, portals=True) == moves("SELECT plain()", None, portals=False) == NOTHING


def test_a_function_called_by_its_number_does_what_it_does_by_its_name() -> None:
    assert [called(oid, SNAPSHOT) for oid in (50001, 50003, 50006, 49999)] == [CLOSES, DEALLOCATES, NOTHING, CLOSES]
    assert called(50006, None) == CLOSES


@pytest.mark.parametrize(("body", "found"), [
    ("SET search_path = a", {PATH}), ("set schema 'a'", {PATH}), ("RESET ALL", {PATH}), ("DISCARD ALL", {PATH, CURSORS, NAMES}), ("SELECT set_config('Search_Path', 'a', false)", {PATH}),
    ("SELECT set_config(E'search_path', 'a', false)", {PATH}), ("SELECT set_config('a' || 'b', 'a', false)", {PATH}), ("UPDATE pg_settings SET setting = 'a'", {PATH}),
    ('SELECT U&"set\\005fconfig"()', {PATH}), ("SELECT set_config('a.b', set_config('search_path', 'x', false), false)", {PATH}),
    ("SELECT set_config('app.tenant', '1', true), current_setting('search_path')", set()), ("UPDATE t SET a = 1", set()), ("CLOSE c", {CURSORS}), ("execute 'x'", {CURSORS}),
])  # fmt: skip
def test_a_bodys_words_tell_what_it_may_do(body: str, found: set[str]) -> None:
    assert said(body) == found


@pytest.mark.parametrize("addon", ["policy", "masking"])
def test_after_a_function_that_deallocates_no_name_is_known(addon: str) -> None:
    """Whichever addon is there to say so."""
    settings, shelf = Settings(), Shelf(SNAPSHOT)
    if addon == "policy":
        made = Policy(default=dict.fromkeys(CLASSES, "allow"), catalogs=shelf, settings=settings)
    else:
        made = Masking(columns=[{"relation": "public.patients", "column": "ssn"}], catalogs=shelf, settings=settings)
    settings.given.begin("s1")
    for text in ("PREPARE p AS SELECT 1", "SELECT closes('p')", "EXECUTE p"):
        if addon == "policy":
            made.on_judge(JudgeHook(session(), Statement(text), text))
        done(made, text)
    execute = Statement("EXECUTE p")
    assert settings.given.behind("s1", settings.given.used("s1", execute)) is not None
    if addon == "policy":
        made.on_judge(JudgeHook(session(), Statement("SELECT forgets()"), ""))
        assert made.explain(session(), execute)[-1].kind != "dynamic"
    done(made, "SELECT forgets()")
    assert settings.given.behind("s1", settings.given.used("s1", execute)) is None
    assert addon != "policy" or any(ruling.kind == "dynamic" for ruling in made.explain(session(), execute))
