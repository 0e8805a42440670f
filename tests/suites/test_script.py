"""The reader of psql's scripts gives what psql would send."""

from __future__ import annotations

import pytest

from tests.suites.script import statements

CASES = {
    "two on a line": ("select 1; select 2;", ["select 1", "select 2"]),
    "a quoted semicolon": ("select ';'''; select 2;", ["select ';'''", "select 2"]),
    "an escaped quote": (r"select E'\';' ; x", [r"select E'\';'", "x"]),
    "a dollar quote": ("do $a$ begin; $b$ ; $a$; x;", ["do $a$ begin; $b$ ; $a$", "x"]),
    "comments": ("select 1 -- ; no\n + /* ; /* ; */ ; */ 2;", ["select 1 \n +  2"]),
    "a rule of two statements": ("create rule r as on insert to t do (a; b); x;", ["create rule r as on insert to t do (a; b)", "x"]),
    "an atomic body": (
        "create function f() returns int begin atomic select case when true then 1 end; select 2; end; x;",
        ["create function f() returns int begin atomic select case when true then 1 end; select 2; end", "x"],
    ),
    "a plain transaction": ("begin; end; begin; commit;", ["begin", "end", "begin", "commit"]),
    "copied data": ("copy t from stdin;\n1\t;\n\\.\nselect 1;", ["copy t from stdin", "select 1"]),
    "meta-commands": ("\\set x 1\nselect :x, :'x', a::int \\gset\n\\d t\nselect 2;", ["select x, '1', a::int", "select 2"]),
    "an array slice": ("select a[1:2];", ["select a[1:2]"]),
}


@pytest.mark.parametrize("case", CASES)
def test_scripts_are_read_as_psql_reads_them(case: str) -> None:
    script, sent = CASES[case]
    assert list(statements(script)) == sent
