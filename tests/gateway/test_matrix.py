"""The enforcement matrix: complete, on its page, and a start without a hole in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import matrix
from gateway.entries import PROTOCOLS
from gateway.matrix import HOOK_COLUMNS, MATRIX, Cell, PathRow, holes, page
from protocols.hooks import HOOKS, RowsHook

PAGE = Path(__file__).parent.parent.parent / "docs" / "enforcement.md"


class Counting:
    """An addon that counts rows."""

    def on_rows(self, hook: RowsHook) -> None:
        """Counts."""


def test_every_protocol_that_can_be_listened_on_has_its_rows() -> None:
    assert set(MATRIX) == set(PROTOCOLS)


def test_every_cell_is_said() -> None:
    """No hook is forgotten on a path, and none is in the table that no addon can define."""
    assert set(HOOK_COLUMNS) < set(HOOKS)
    assert all(set(row.cells) == set(HOOK_COLUMNS) for rows in MATRIX.values() for row in rows)


def test_a_control_on_a_path_that_nobody_watches_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured and not there is worse than none."""
    hole = PathRow("back door", "", dict.fromkeys(HOOK_COLUMNS, Cell.NOT))
    monkeypatch.setattr(matrix, "MATRIX", {"postgres": (*MATRIX["postgres"], hole)})
    assert holes("postgres", Counting()) == ["back door (on_rows)"]
    assert holes("postgres", object()) == []


def test_today_nothing_is_open() -> None:
    assert holes("postgres", Counting()) == []


def test_the_page_is_the_table() -> None:
    """`python -m gateway.matrix > docs/enforcement.md`."""
    assert PAGE.read_text() == page()
