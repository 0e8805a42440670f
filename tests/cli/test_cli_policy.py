"""`ostiary policy test` says for each statement what decided it, and names what is wrong in a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.policy import policy, split

CLINIC = Path(__file__).parents[2] / "docs" / "examples" / "clinic.toml"

SCRIPT = """SELECT ssn FROM public.patients WHERE id = 1;
-- a comment
DELETE FROM app_events;

DROP TABLE é; SELECT nowhere();
PREPARE p AS SELECT 1; EXECUTE p; EXECUTE q
"""


def run(*arguments: str, text: str = SCRIPT, config: Path = CLINIC) -> tuple[int, str]:
    done = CliRunner().invoke(policy, ["test", "-", "--config", str(config), *arguments], input=text)
    return done.exit_code, done.output


def answers(*arguments: str, text: str = SCRIPT) -> list[dict[str, object]]:
    code, output = run("--as", "ada@clinic.example", "--target", "clinic", "--json", *arguments, text=text)
    assert code == 0, output
    return [json.loads(line) for line in output.splitlines()]


def test_every_statement_has_its_ruling() -> None:
    found = answers()
    assert [(a["line"], a["verdict"], a["rule"]) for a in found] == [
        (1, "allow", "default.read"), (3, "approve", "privileged-writes"), (5, "deny", "no-drop"), (5, "deny", "default.function-unlisted"),
        (6, "allow", "default.read"), (6, "allow", "default.read"), (6, "deny", "default.dynamic"),
    ]
    assert found[0]["relations"] == ["public.patients"] and found[0]["columns"] == ["id", "ssn"]


def test_for_people() -> None:
    code, output = run("--as", "ada@clinic.example", "--target", "clinic+rw")
    assert code == 0 and "line 3: Delete  [write-unfiltered]\n  relations: app_events\n  approve by privileged-writes" in output


def test_what_does_not_parse_is_one_refusal() -> None:
    assert [(a["classes"], a["verdict"]) for a in answers(text="SELEC 1; SELECT 2")] == [(["unparsable"], "deny")]


@pytest.mark.parametrize(("arguments", "complaint"), [
    (("--as", "nobody", "--target", "clinic"), "no [[identity]] with subject = 'nobody'; there are: ada@clinic.example"),
    (("--as", "claude", "--target", "x"), "no [[target]] with name = 'x'; there are: clinic"),
    (("--as", "claude", "--target", "clinic+x"), "has no account 'x'; it has rw, catalog"),
])
def test_unknown_names_show_the_known_ones(arguments: tuple[str, ...], complaint: str) -> None:
    code, output = run(*arguments)
    assert code == 1 and complaint in output


@pytest.mark.parametrize(("text", "complaint"), [
    ("x =", "Invalid value"), ("", "no [[addon]] uses addons.policy.Policy"),
    ('[[addon]]\nuse = "addons.policy.Policy"\ndefault = { foo = "allow" }', "addon[0].default.foo: unknown class"),
    ('[[addon]]\nuse = "addons.policy.Policy"', "addon[0]."),
])
def test_a_wrong_configuration_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    config = tmp_path / "ostiary.toml"
    config.write_text(text)
    code, output = run("--as", "a", "--target", "t", config=config)
    assert code == 1 and complaint in output and "Traceback" not in output


def test_a_missing_configuration(tmp_path: Path) -> None:
    code, output = run("--as", "a", "--target", "t", config=tmp_path / "none.toml")
    assert code == 1 and "--config" in output


def test_pieces_keep_their_lines_in_any_language() -> None:
    assert list(split("SELECT 'é';\n\n/* x */ SELECT 2")) == [(1, "SELECT 'é'"), (3, "SELECT 2")]


def test_the_environment_names_the_configuration() -> None:
    words = ["test", "-", "--as", "ada@clinic.example", "--target", "clinic", "--json"]
    done = CliRunner().invoke(policy, words, input="SELECT 1", env={"OSTIARY_CONFIG": str(CLINIC)})
    assert done.exit_code == 0 and json.loads(done.output)["verdict"] == "allow"
