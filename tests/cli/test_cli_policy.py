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
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


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
    assert "deny by default.unparsable: syntax error" in run("--as", "ada@clinic.example", "--target", "clinic+rw", text="selec 1")[1]


BROKEN = """SELECT 1;
SELECT ';', $$;$$; -- ;
SELECT 2
  FROM (SELECT 1; ) x WHERE;
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;
DROP TABLE é
"""


def test_a_syntax_error_hides_no_other_statement() -> None:
    """It is at its own line, with what the grammar says, and the exit code tells scripts."""
    code, output = run("--as", "ada@clinic.example", "--target", "clinic", "--json", text=BROKEN)
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert code == 1 and [(a["line"], a["statement"], a["verdict"]) for a in found] == [
        (1, "Select", "allow"), (2, "Select", "allow"), (4, "?", "deny"), (5, "CreateFunction", "deny"), (6, "Drop", "deny"),
    ]
    assert found[2]["classes"] == ["unparsable"] and found[2]["why"] == 'syntax error at or near ";"'
    code, output = run("--as", "ada@clinic.example", "--target", "clinic", text="SELECT 1;\nSELECT 'open")
    assert code == 1 and "unterminated quoted string" in output


def test_it_says_that_policy_is_not_all_that_is_asked() -> None:
    assert "masking" in run("--as", "ada@clinic.example", "--target", "clinic")[1]


def test_a_target_that_does_not_speak_sql_is_not_judged_as_if_it_did(tmp_path: Path) -> None:
    config = tmp_path / "ostiary.toml"
    config.write_text(CLINIC.read_text() + '\n[[target]]\nname = "web1"\nprotocol = "ssh"\naddress = "127.0.0.1:22"\n')
    code, output = run("--as", "ada@clinic.example", "--target", "web1", config=config)
    assert code == 1 and "web1 speaks ssh" in output


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
    assert done.exit_code == 0 and json.loads(done.output.splitlines()[0])["verdict"] == "allow"
