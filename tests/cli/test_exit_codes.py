"""What programs are told by exit codes, as docs/operating.md has it for every noun."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.left import NO_FILE

ADA = "ada@clinic.example"

CODES: dict[str, tuple[tuple[str, ...], int]] = {
    "an empty list": (("request", "list"), 0),
    "a list": (("token", "list"), 0),
    "refused": (("token", "issue", "nobody"), 1),
    "nothing runs": (("reload",), 1),
    "an unknown option": (("account", "list", "--nonsense"), 2),
    "a missing argument": (("account", "forget"), 2),
    "a right file": (("check",), 0),
    "no such file": (("check", "nowhere.toml"), 1),
    "a search that finds nothing": (("audit", "search", "--text", "never said"), 0),
    "a search called wrongly": (("audit", "search", "--nonsense"), 3),
    "no such session": (("audit", "show", "r-0000000000"), 4),
    "an export of nothing": (("audit", "export", "--text", "never said", "--out", "made"), 1),
    "no anchor": (("audit", "verify"), 2),
    "statements that parse": (("policy", "test", "--as", ADA, "--target", "clinic", "good.sql"), 0),
    "one that does not": (("policy", "test", "--as", ADA, "--target", "clinic", "bad.sql"), 1),
    "the same policy": (("policy", "replay", "--policy", "ostiary.toml"), 0),
    "replayed since never": (("policy", "replay", "--policy", "ostiary.toml", "--since", "yesterday"), 3),
}


NO_ERROR = {"no anchor", "one that does not", "no such file"}
"""What is an answer, on stdout, or begins with the file it is about."""


@pytest.mark.parametrize("name", CODES)
def test_exit_codes_are_the_documented_ones(tool: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And every error begins alike, whoever noticed it."""
    words, code = CODES[name]
    monkeypatch.chdir(tool.config.parent)
    Path("good.sql").write_text("SELECT 1")
    Path("bad.sql").write_text("SELEC 1")
    said = tool(*words, code=code).stderr
    if code and name not in NO_ERROR:
        assert said.strip().splitlines()[-1].startswith("ostiary: "), said


COMMANDS = [("check",), ("audit", "tail"), ("token", "list"), ("target", "list"), ("policy", "replay", "--policy", "x")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_configuration_that_is_not_there_is_said_alike_by_all(tool: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    """With its path, and what to do."""
    tool.config = tmp_path / "none.toml"
    said = tool(*words, code=3 if words[0] == "audit" else 1).stderr.removeprefix("ostiary: ")
    assert said.splitlines()[0] == f"{tool.config}: no such file or directory; {NO_FILE}"


@pytest.mark.parametrize("words", [("policy", "replay", "--policy", "ostiary.toml"), ("audit", "tail"), ("audit", "verify")], ids=" ".join)
def test_evidence_that_cannot_be_read_is_said_and_never_a_traceback(tool: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """All who read it exit alike."""
    monkeypatch.chdir(tool.config.parent)
    shutil.rmtree(tool.config.parent / "state" / "audit")
    assert "is not an evidence store" in tool(*words, code=4).stderr
