"""The page of clients names tests that there are, and says which of them only the long profile runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text()
ROWS = [line.split(" | ") for line in PAGE.partition("## SSH, feature by feature")[2].partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]


def named() -> list[tuple[str, str, bool]]:
    """File, test, and whether it is marked as one of the long profile."""
    made, file = [], ""
    for row in ROWS:
        for found in re.finditer(r"`(test_\w+\.py)`: |`(test_\w+)`( \*)?", row[2]):
            file = found[1] or file
            if found[2]:
                made.append((file, found[2], bool(found[3])))
    return made


NAMED = named()


def test_every_row_of_the_checklist_has_tests() -> None:
    assert [row[0].strip("| ") for row in ROWS] == [*map(str, range(1, 26)), ""] and len(NAMED) > 60
    assert all("`test_" in row[2] for row in ROWS)


@pytest.mark.parametrize(("file", "name", "long"), NAMED, ids=[f"{number}" for number in range(len(NAMED))])
def test_a_named_test_is_there_and_runs_when_the_page_says(file: str, name: str, long: bool) -> None:
    [found] = [each for folder in ("sshlive", "ssh", "addons", "control") if (each := ROOT / "tests" / folder / file).exists()]
    assert name in defined(found) and defined(found)[name] is long


def defined(file: Path) -> dict[str, bool]:
    """The tests of a file, and whether only `make soak` runs them."""
    text = file.read_text()
    marks = re.search(r"^pytestmark = .*$", text, re.M)
    whole = marks is not None and "soak" in marks[0]
    found = re.finditer(r"((?:^@.*\n(?:^(?: |\]).*\n)*)*)^(?:async )?def (test_\w+)\(", text, re.M)
    return {each[2]: whole or "@pytest.mark.soak" in each[1] for each in found}
