"""A command in a warm process is what it is in a cold one: its arguments, streams, directory, environment and exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(warm.ROOT)}
CALLS = {
    "help": ["--help"], "a wrong option": ["audit", "search", "--nope"], "a file that is not there": ["check", "--config", "nowhere.toml"],
    "by the environment": ["session", "list"],
}  # fmt: skip


def warmly(*words: str, directory: Path, timeout: float = 60.0, **more: str) -> subprocess.CompletedProcess[str]:
    return warm.run(words, environment={**ENVIRONMENT, **more}, directory=directory, timeout=timeout)


@pytest.mark.parametrize("words", CALLS.values(), ids=CALLS)
def test_it_ends_and_says_as_in_a_process_of_its_own(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text("nonsense")
    more = {"OSTIARY_CONFIG": "here.toml"}
    cold = subprocess.run(
        [sys.executable, "-m", warm.PROGRAM, *words], env={**ENVIRONMENT, **more}, cwd=tmp_path, text=True, capture_output=True, check=False,
    )  # fmt: skip
    ended = warmly(*words, directory=tmp_path, **more)
    assert (ended.returncode, ended.stdout, ended.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_nothing_of_a_command_is_left_to_the_next(tmp_path: Path) -> None:
    """Neither its directory nor its environment."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert "one.toml" in warmly("session", "list", directory=tmp_path / "one", OSTIARY_CONFIG="one.toml").stderr
    assert "ostiary.toml" in warmly("check", directory=tmp_path / "two").stderr


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """It waits for somebody to write the file that it was told to read."""
    os.mkfifo(tmp_path / "ostiary.toml")
    with pytest.raises(subprocess.TimeoutExpired):
        warmly("check", directory=tmp_path, timeout=1.0)
