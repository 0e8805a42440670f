"""docs/addons.md says what the code says: hooks, answers, what is handed out, and the example's own lines."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from gateway.chain import build
from gateway.config import AddonEntry
from gateway.answers import ANSWERS
from gateway.pipeline import ADDON_DEADLINE
from gateway.powers import powers
from protocols.hooks import HOOKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "addons.md").read_text()
EXAMPLE = (ROOT / "docs" / "examples" / "ticket.py").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the table whose first column is called so."""
    _, _, rest = PAGE.partition(f"| {heading} |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]


def test_every_hook_is_there_in_its_order() -> None:
    """A new hook wants a line; a renamed one, its new name."""
    assert [row[0].strip("`") for row in rows("method")] == list(HOOKS)


def test_every_hooks_class_and_fields_are_those_of_the_code() -> None:
    """Whoever writes an addon imports the one and reads the others."""
    said = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in rows("method")}
    assert said == {method: [hook.__name__, *(one.name for one in fields(hook))] for method, hook in HOOKS.items()}


def test_answers_are_those_that_the_pipeline_takes() -> None:
    """For the hooks that ask."""
    said = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[3])) for row in rows("method")}
    for method, kinds in ANSWERS.items():
        assert said[method] == {kind.__name__ for kind in kinds}


def test_what_is_handed_out_is_what_a_worker_hands_out() -> None:
    """The table names what an addon's constructor may ask for, and nothing else."""
    nothing: Any = None
    assert set(powers(nothing, nothing, nothing, nothing, {}, nothing, (), nothing, nothing)) == {row[0].strip("`") for row in rows("name")}


def test_the_deadline_is_said() -> None:
    """Ten seconds, as the code has it."""
    assert ADDON_DEADLINE == 10.0 and "ten seconds" in PAGE


def test_the_pages_code_is_the_examples() -> None:
    """Every line of a Python block stands in the file, but for what is left out with an ellipsis."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) >= 3
    for line in "".join(blocks).splitlines():
        start = line.split("…")[0].strip()
        if start and start not in EXAMPLE:
            # A call that the file writes over several lines is written in one here.
            assert start.startswith('return Deny("A change needs a ticket."'), line


def test_the_pages_configuration_builds_it() -> None:
    """The `[[addon]]` table as a reader would copy it."""
    (entry,) = tomllib.loads(re.findall(r"```toml\n(.*?)```", PAGE, re.S)[0])["addon"]
    sys.path.insert(0, str(ROOT / "docs" / "examples"))
    try:
        (addon,) = build([AddonEntry(entry.pop("use"), entry)], {"sink": None})
    finally:
        sys.path.pop(0)
    assert type(addon).__name__ == "Ticket"
