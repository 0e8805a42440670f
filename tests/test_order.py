"""The longest files come first where processes share the tests, each file's tests in their own order; alone, nothing changes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.order import HERE, LONGEST, pytest_collection_modifyitems


def test_what_is_listed_is_there_and_listed_once() -> None:
    assert [name for name in LONGEST if not (HERE / name).is_file()] == [] and len(set(LONGEST)) == len(LONGEST)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "alone"])
def test_the_longest_come_first_where_processes_share_the_tests(shared: bool) -> None:
    files = [Path(__file__), HERE / LONGEST[1], HERE / LONGEST[0], HERE / "conftest.py"]
    items = [SimpleNamespace(path=file, number=number) for file in files for number in range(2)]
    config = SimpleNamespace(workerinput={}) if shared else SimpleNamespace()
    pytest_collection_modifyitems(config, items)
    order = (2, 1, 0, 3) if shared else (0, 1, 2, 3)
    assert [(one.path, one.number) for one in items] == [(files[index], number) for index in order for number in range(2)]
