"""A gateway's directory as `ostiary init` makes it, and the commands run on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main

TARGET = """
[[target]]
name = "clinic"
protocol = "postgres"
address = "127.0.0.1:1"
database = "clinicdb"
tls = "off"

  [[target.account]]
  name = "rw"
  user = "clinic_app"

  [[target.account]]
  name = "open"
  user = "anybody"
  auth = "trust"

[[identity]]
subject = "ada@clinic.example"
groups = ["engineers"]

[[identity]]
subject = "grace@clinic.example"
groups = ["approvers"]
"""

Run = Callable[..., Result]


class Tool:
    """`ostiary …` on one directory."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "ostiary.toml"

    def __call__(self, *words: str, stdin: str = "", code: int = 0, token: str = "") -> Result:
        environment = {"OSTIARY_CONFIG": str(self.config), "OSTIARY_TOKEN": token or None}
        result = CliRunner().invoke(main, list(words), input=stdin, env=environment, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str, **more: Any) -> Any:
        return json.loads(self(*words, "--json", **more).stdout)

    def token(self, subject: str) -> str:
        return str(self.json("token", "issue", subject)["token"])


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ostiary init`, once."""
    directory = tmp_path_factory.mktemp("made") / "gw"
    result = CliRunner().invoke(main, ["init", str(directory), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return directory


@pytest.fixture
def tool(made: Path, tmp_path: Path) -> Tool:
    """A copy of it with a target and people."""
    directory = tmp_path / "gw"
    for path in sorted(made.rglob("*")):
        copy = directory / path.relative_to(made)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_dir():
            copy.mkdir(mode=0o700, exist_ok=True)
        else:
            copy.write_bytes(path.read_bytes())
            copy.chmod(path.stat().st_mode & 0o777)
    config = directory / "ostiary.toml"
    text = config.read_text().replace("[control]\n", "[control]\n").replace("tcp:8443", "tcp:0")
    config.write_text(text + TARGET)
    return Tool(directory)
