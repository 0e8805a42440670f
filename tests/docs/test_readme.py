"""README.md: what it tells a newcomer to type and to write works."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.cli.init import HOSTS, make
from gateway.notary.keys import FOLDER, PUBLIC
from gateway.toml import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text()


def test_its_configuration_loads(tmp_path: Path) -> None:
    """The sketch in place of what `ostiary init` wrote below [[listen]]: no problem is found."""
    made = make(tmp_path / "gw", "readme", HOSTS, "admin@localhost", 60.0)
    begun = made.config.read_text().partition("# A database.")[0]
    made.config.write_text(begun + re.findall(r"```toml\n(.*?)```", PAGE, re.S)[0])
    config = load(made.config)
    assert set(config.targets) == {"clinic"} and set(config.identities) == {"ada@clinic.example"}
    assert [entry.use.rpartition(".")[2] for entry in config.addons] == ["Access", "Masking", "Policy"]


def test_its_make_targets_exist() -> None:
    """Every `make WORD` of the page."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"run", "test", "clean"} <= set(re.findall(r"\bmake ([a-z]+)\b", PAGE)) <= targets


def test_what_to_try_is_what_make_run_prints() -> None:
    """The statements of the page and of the program are the same."""
    printed = (ROOT / "gateway" / "demo" / "run.py").read_text()
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE, re.S)
    statements = re.findall(r"^(.*?;)", block, re.M)
    assert len(statements) == 5 and all(statement in printed for statement in statements)


def test_files_it_names_are_where_it_says() -> None:
    """Paths of the demo's own making."""
    assert f"run/state/{FOLDER}/{PUBLIC}" in PAGE
