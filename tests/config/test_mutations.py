"""
The example, wrong in every place and in many ways: always a message with key path and mend, never a traceback.

Each key at any depth is left out, misspelt, and given values of other types and out of range.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.toml import WrongConfig, load
from tests.config.conftest import EXAMPLE, Write
from tests.house import toml

Path = tuple[str | int, ...]

TREE = tomllib.loads(EXAMPLE.read_text())
VALUES: list[Any] = ["", "x", "\0", "a" * 70_000, 3, -1, 1 << 70, 1e400, True, [], [3], [[]], ["x", "x"], {}, {"x": 1}, [{}], [{"x": []}]]
WAYS = ["left out", "misspelt", *range(len(VALUES))]


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """Of every key and every list's entry."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*at, key)
        yield from places(one, (*at, key))


PLACES = list(places(TREE))


def changed(at: Path, way: str | int) -> dict[str, Any] | None:
    """The example, wrong there; None where that way is none."""
    tree = copy.deepcopy(TREE)
    holder: Any = tree
    for step in at[:-1]:
        holder = holder[step]
    if way == "left out":
        del holder[at[-1]]
    elif way == "misspelt":
        if not isinstance(holder, dict):
            return None
        holder[f"{at[-1][:-1]}_"] = holder.pop(at[-1])
    else:
        assert isinstance(way, int)
        holder[at[-1]] = VALUES[way]
    return None if tree == TREE else tree


def document(tree: dict[str, Any]) -> str:
    """TOML; what is a table of tables in the example is one here, whatever stands there now."""
    return "\n".join(f"{toml(key)} = {written(value)}" for key, value in tree.items())


def written(value: Any) -> str:
    if isinstance(value, float):
        return str(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(key)} = {written(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return toml(value)


def name(at: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)[1:]


def test_the_example_itself_is_right_however_it_is_written(write: Write) -> None:
    assert load(write(document(TREE))).name == "clinic-gw"


@pytest.mark.parametrize("at", PLACES, ids=name)
def test_whatever_is_wrong_there_is_said_with_key_path_and_mend(write: Write, at: Path) -> None:
    """Or it is right that way, too; nothing else is raised. A misspelt key is never passed over."""
    for way in WAYS:
        tree = changed(at, way)
        if tree is None:
            continue
        try:
            load(write(document(tree)))
        except WrongConfig as wrong:
            assert wrong.problems
            for problem in wrong.problems:
                assert problem.key and problem.mend and problem.wrong, (way, str(problem)[:300])
                assert "\n" not in str(problem) and len(str(problem)) < 1000, (way, str(problem)[:300])
            continue
        assert way != "misspelt" or "labels" in at, f"{name(at)} misspelt goes unnoticed"


def single_lines() -> list[int]:
    """Where a key and its whole value stand."""
    lines = EXAMPLE.read_text().splitlines()
    return [n for n, line in enumerate(lines) if " = " in line and not line.startswith(("#", " ", "{")) and not line.rstrip().endswith("[")]


@pytest.mark.parametrize("number", single_lines())
def test_a_key_that_is_there_twice_is_named_with_its_line(write: Write, number: int) -> None:
    lines = EXAMPLE.read_text().splitlines()
    text = "\n".join([*lines[: number + 1], lines[number], *lines[number + 1 :]])
    with pytest.raises(WrongConfig, match=f"toml:({number + 2}|{len(text.splitlines())}): not TOML"):
        load(write(text))


@pytest.mark.parametrize("at", [("gateway", "name"), ("listen", 0, "endpoint"), ("target", 0, "account"), ("addon", 0, "rules", 0)], ids=name)
def test_ostiary_check_says_so_and_exits_with_1(write: Write, at: Path) -> None:
    for way in WAYS:
        tree = changed(at, way)
        assert tree is not None or at[-1] == 0
        if tree is None:
            continue
        ran = CliRunner().invoke(main, ["check", str(write(document(tree)))])
        said = ran.stdout + ran.stderr
        assert ran.exit_code in (0, 1) and "Traceback" not in said, said
        assert ran.exit_code == 0 or (name(at)[:6] in said and "; " in said)
