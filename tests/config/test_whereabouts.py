"""Each complaint about a configuration says its line and the names of what it is in, however the TOML is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.toml import WrongConfig, load
from gateway.whereabouts import line, lines, names
from tests.config.conftest import EXAMPLE, Write

ODD = '''\
top = 1 # [not] = "a header"
"quoted key" = """
[[addon]]
name = "in a string \\""""
[ spaced . out ]
dotted.inside = { a = [ 1, 2 ], "b" = {c = 'x}]'} }
[[addon]]
use = "a"   # one
rules = [
  # a comment, with ] and }
  { name = "first", hours = "08:00-18:00" },
  { name = "second", paths = ["#", "[", """
]"""] }, 1979-05-27T07:32:00Z,
]
  [[addon.inner]]
  x = 1
[[addon]]
use = 'b'
  [[addon.inner]]
  [[addon.inner]]
  y.z = true
'''


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Every key path of a parsed file."""
    for key, inside in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        here = f"{at}[{key}]" if isinstance(value, list) else f"{at}.{key}" if at else key
        yield here
        yield from paths(inside, here)


@pytest.mark.parametrize("text", [ODD, EXAMPLE.read_text()], ids=["odd", "example"])
def test_every_key_has_the_line_where_it_is_written(text: str) -> None:
    found, written = lines(text), text.split("\n")
    for path in paths(tomllib.loads(text)):
        name = path.rpartition(".")[2].partition("[")[0]
        assert path in found, path
        assert path.endswith("]") or name in written[found[path] - 1], (path, written[found[path] - 1])


def test_lines_of_arrays_strings_and_dotted_keys() -> None:
    found = lines(ODD)
    told = {path: found[path] for path in ("addon[0]", "addon[0].rules[1].paths", "addon[0].rules[2]", "addon[1].inner[1].y.z", "spaced.out.dotted.inside.b.c")}
    assert told == {"addon[0]": 7, "addon[0].rules[1].paths": 12, "addon[0].rules[2]": 13, "addon[1].inner[1].y.z": 21, "spaced.out.dotted.inside.b.c": 6}
    assert line(found, "addon[0].rules[0].nowhere") == 11 and line(found, "nowhere") is None


def test_what_a_key_is_in_is_called_as_the_file_calls_it() -> None:
    values = tomllib.loads(ODD)
    assert names(values, "addon[0].rules[1].paths") == ("a", "second") and names(values, "addon[1].inner[0]") == ("b",)
    assert names(values, "top") == names(values, "addon[9].use") == ()


def test_problems_are_told_with_line_and_names_in_the_order_of_the_file(write: Write) -> None:
    text = EXAMPLE.read_text().replace("drain = 30", "drian = 30").replace('groups = ["engineers"], targets', 'grups = ["engineers"], targets', 1)
    with pytest.raises(WrongConfig) as caught:
        load(write(text))
    problems = caught.value.problems
    assert [p.key for p in problems] == ["gateway.drian", "addon[0].rules[0].grups"]
    for problem, word in zip(problems, ("drian", "grups"), strict=True):
        assert word in text.split("\n")[problem.line - 1]
    assert problems[1].names[0] == "addons.access.Access"
    assert f"ostiary.toml:{problems[1].line}: addons.access.Access: addon[0].rules[0].grups: unknown key" in str(caught.value)


FOLLOWING = {
    "a misspelt address": ('address = "', 'adress = "', {"target[0].adress"}),
    "a misspelt required option": ('default = { read', 'defualt = { reed = "allow", read', {"addon[2].defualt", "addon[2].defualt.reed"}),
    "a misspelt group of a rule": ('{ groups = ["engineers"], targets', '{ grups = ["engineers"], targets', {"addon[0].rules[0].grups"}),
    "a misspelt relation to mask": ('{ relation = "public.patients", column = "ssn"', '{ relaton = "public.patients", column = "ssn"', {"addon[1].columns[0].relaton"}),
    "a target's own fault beside a rule about no target": ('tls = "verify"', 'tls = "verfy"', {"target[0].tls", "addon[0].rules[0].targets"}),
}


@pytest.mark.parametrize("kind", FOLLOWING)
def test_nothing_is_said_that_only_follows_and_nothing_is_hidden(write: Write, kind: str) -> None:
    old, new, keys = FOLLOWING[kind]
    text = EXAMPLE.read_text()
    assert old in text
    text = text.replace(old, new, 1)
    if "no target" in kind:
        text = text.replace('targets = ["clinic', 'targets = ["klinic', 1)
    with pytest.raises(WrongConfig) as caught:
        load(write(text))
    assert {p.key for p in caught.value.problems} == keys, str(caught.value)


def test_a_text_that_is_not_understood_costs_no_problem(tmp_path: Path) -> None:
    assert lines("a = [[[\n") == {"a": 1, "a[0]": 1, "a[0][0]": 1}
    assert "a" in lines("a = " + "[" * 5000) and lines("= 1") == {}
