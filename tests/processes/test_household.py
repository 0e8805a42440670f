"""What the other tests here stand on: no word of a house is waited for without end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import household
import pytest
from household import Household

STANDS = "print('serving revision 1\\nand a word', flush=True); import time; time.sleep(1000)"
WRITES = "print('serving revision 1'); [print('x' * 1000) for _ in range(1000)]; print('all of it')"


@pytest.mark.parametrize("wait", [lambda house: house.heard("another"), lambda house: house.rest()], ids=["a word", "the rest"])
def test_a_word_that_does_not_come_fails_its_test_with_what_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: Callable[[Household], object]
) -> None:
    with Household(tmp_path, command=[sys.executable, "-c", STANDS]) as house:
        house.heard("and a word")
        monkeypatch.setattr(household, "PATIENCE", 0.1)
        with pytest.raises(AssertionError, match="and a word"):
            wait(house)
        monkeypatch.undo()


def test_a_house_that_writes_more_than_a_pipe_holds_waits_for_no_reader(tmp_path: Path) -> None:
    with Household(tmp_path, command=[sys.executable, "-c", WRITES]) as house:
        assert house.code() == 0 and house.rest().endswith("all of it\n")
