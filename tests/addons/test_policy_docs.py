"""docs/policy.md and docs/errors.md say what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from addons.policy import Policy
from addons.sql.kinds import CLASSES

ROOT = Path(__file__).parents[2]


def test_every_class_is_described() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", (ROOT / "docs" / "policy.md").read_text(), re.M))
    assert rows == CLASSES


def test_the_example_is_accepted() -> None:
    import datetime

    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "policy.md").read_text(), re.S)
    options = tomllib.loads(example[1])["addon"][0]
    options.pop("use")
    assert Policy(**options, now=datetime.datetime.now)


def test_every_code_is_described() -> None:
    described = set(re.findall(r"^\| (OST-\d+) \|", (ROOT / "docs" / "errors.md").read_text(), re.M))
    for file in ("access", "policy", "limits", "approval"):
        assert set(re.findall(r"OST-\d+", (ROOT / "addons" / f"{file}.py").read_text())) <= described
