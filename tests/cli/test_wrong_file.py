"""A configuration file that is wrong somewhere keeps nobody from evidence, nor from what is not about that place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

VERDICT = """
[[addon]]
use = "addons.policy.Policy"
default = { read = "alow" }
"""

ELSEWHERE = '\n[[addon]]\nuse = "site.nowhere.Importable"\n'

MISTAKES = {
    "a verdict": (lambda text: text + VERDICT, 0),
    "an addon of a site": (lambda text: text + ELSEWHERE, 0),
    "a certificate": (lambda text: text.replace("state/tls/server.pem", "state/tls/gone.pem", 1), 1),
    "a setting": (lambda text: text.replace("drain = 30", "drian = 30"), 1),
    "an identity": (lambda text: text + '\n[[identity]]\nsubject = "ada clinic"\nkind = "robot"\n', 2),
}
"""By name: what is done to the file, and how many mistakes are seen where no addon is loaded."""

EVIDENCE = {
    "tail": 0, "search": 0, "show r-0000000000": 4, "verify": 2, "export --out made": 1,
}
"""Commands that read evidence, with their exit codes of a right file."""


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_elsewhere_in_the_file_keeps_nobody_from_evidence(tool: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """They need to know where it lies, and mention the mistake in a line."""
    monkeypatch.chdir(tool.config.parent)
    change, seen = MISTAKES[name]
    text = change(tool.config.read_text())
    assert text != tool.config.read_text()
    tool.config.write_text(text)
    for words, code in EVIDENCE.items():
        warned = [line for line in tool("audit", *words.split(), code=code).stderr.splitlines() if "warning" in line]
        counted = {0: [], 1: ["a mistake"], 2: ["2 mistakes"]}[seen]
        assert [one in line for one, line in zip(counted, warned, strict=True)] == [True] * len(counted), warned


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('state = "state"', 'stat = "elsewhere"'), ('state = "state"', "state = 7"), ("[audit]", "[adit]"), ("[audit]", "[audit]\nsegment_record = 20")],
    ids=["misspelt state", "no path", "misspelt table", "misspelt in it"],
)
def test_where_evidence_lies_is_never_guessed(tool: Any, right: str, wrong: str) -> None:
    """Looking at another store than the one meant would be an answer that is wrong."""
    text = tool.config.read_text()
    if right == "[audit]" and right not in text:
        text += "\n[audit]\n"
    assert right in text
    tool.config.write_text(text.replace(right, wrong))
    assert "--store DIR" in tool("audit", "tail", code=3).stderr


def test_a_file_that_is_no_toml_says_how_evidence_is_read_without_it(tool: Any) -> None:
    tool.config.write_text("[gateway\n")
    said = tool("audit", "tail", code=3).stderr
    assert ":1: not TOML: " in said and "--store DIR --state DIR" in said
    tool("audit", "tail", "--store", str(tool.config.parent / "state" / "audit"))


def test_a_mistake_in_an_addon_keeps_nobody_from_the_targets(tool: Any) -> None:
    """What is listed is about targets; what a target has wrong is said."""
    text = tool.config.read_text() + VERDICT + ELSEWHERE
    tool.config.write_text(text)
    assert [one["name"] for one in tool.json("target", "list")] == ["clinic"]
    tool("target", "show", "clinic")
    tool.config.write_text(text.replace('tls = "off"', 'tls = "of"'))
    assert "did you mean 'off'" in tool("target", "list", code=1).stderr


WRONG = {
    "no such record": (("audit", "show", "9/9"), 4),
    "no kind": (("audit", "search", "--kind", "nothing"), 3),
    "no such option": (("audit", "tail", "--nonsense"), 3),
    "no such store": (("audit", "verify", "--store", "nowhere"), 3),
    "nothing to export": (("audit", "export", "--text", "never said", "--out", "made"), 1),
    "nobody": (("policy", "test", "--as", "nobody", "--target", "clinic", "one.sql"), 1),
    "no file": (("policy", "test", "--as", "ada@clinic.example", "--target", "clinic", "none.sql"), 2),
    "no time": (("policy", "replay", "--policy", "ostiary.toml", "--since", "yesterday"), 3),
    "no argument": (("account", "forget"), 2),
    "no such command": (("target", "lits"), 2),
    "no gateway": (("reload",), 1),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_error_is_told_to_programs_on_stdout(tool: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One object, of the same form whoever noticed; people read the same words on stderr."""
    monkeypatch.chdir(tool.config.parent)
    words, code = WRONG[name]
    Path("one.sql").write_text("SELECT 1")
    ran = tool(*words, "--json", code=code)
    [line] = ran.stdout.splitlines()
    error = json.loads(line)["error"]
    assert sorted(error) == ["code", "text"] and error["text"].splitlines()[0] in ran.stderr
    assert tool(*words, code=code).stdout == ""
