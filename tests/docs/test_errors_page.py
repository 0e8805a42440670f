"""docs/errors.md and the code name the same errors."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CODE = re.compile(r"OST-\d{3}")
ABSTRACT = {"OST-600"}  # the parent of control's errors, which cannot be raised


def in_code() -> set[str]:
    found: set[str] = set()
    for ring in ("protocols", "addons", "gateway"):
        for path in (ROOT / ring).rglob("*.py"):
            found |= set(CODE.findall(path.read_text()))
    return found - ABSTRACT


def on_page() -> set[str]:
    return set(re.findall(r"^\| (OST-\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))


def test_every_code_that_a_client_can_meet_is_explained() -> None:
    """Nobody looks up a code in vain."""
    assert in_code() - on_page() == set()


def test_no_code_is_explained_that_nothing_gives() -> None:
    """The page does not promise what was removed."""
    assert on_page() - in_code() == set()


def test_every_code_is_explained_once() -> None:
    """Two refusals with one code could not be told apart."""
    found = re.findall(r"^\| (OST-\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert sorted(found) == sorted(set(found))
