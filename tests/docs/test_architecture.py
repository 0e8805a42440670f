"""docs/architecture.md draws the house as it stands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from gateway.supervisor import PARTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
RINGS = ("protocols", "addons", "gateway")


def summary(package: Path) -> str:
    """A docstring's first line."""
    said = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    return said.partition("\n")[0]


def test_folders_are_those_that_are_there() -> None:
    """Each with its own first line; a new folder wants a row."""
    table = PAGE.partition("<!-- folders")[2].partition("<!-- /folders")[0]
    said = dict(re.findall(r"^\| `([\w/]+)` \| (.*) \|$", table, re.M))
    there = {
        str(package.parent.relative_to(ROOT)): summary(package.parent)
        for ring in RINGS
        for package in sorted((ROOT / ring).glob("*/__init__.py"))
    }
    assert said == there


def test_processes_are_those_that_the_supervisor_seats() -> None:
    """The drawing names each of them."""
    drawing = PAGE.partition("## Processes")[2].partition("```\n")[2].partition("```")[0]
    assert all(re.search(rf"[├└]─ {part}\b", drawing) for part in PARTS) and "supervisor" in drawing


def test_rings_stand_in_their_order() -> None:
    """From the wire outward."""
    table = PAGE.partition("## Three rings")[2]
    assert re.findall(r"^\| `(\w+)/` \|", table, re.M) == list(RINGS)
