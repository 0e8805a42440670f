"""Warnings of names that no target has, and of addons whose code changed under a running gateway."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gateway.nowhere import Holdings
from gateway.section import Problem
from gateway.toml import load
from gateway.warnings import Known, warnings

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "clinic.toml"

Write = Callable[[str], Path]

HEAD = """
[gateway]
name = "gw"

[tls]
certificate = "state/tls/server.pem"
key = "state/tls/server.key"

[[target]]
name = "clinic"
protocol = "postgres"
address = "127.0.0.1:1"
database = "clinicdb"
tls = "off"
account = [{ name = "rw", user = "app", auth = "trust" }]

[[target]]
name = "other"
protocol = "postgres"
address = "127.0.0.1:2"
database = "otherdb"
tls = "off"
account = [{ name = "rw", user = "app", auth = "trust" }]

[[identity]]
subject = "ada"
groups = ["privacy"]
"""

POLICY = """
[[addon]]
use = "addons.policy.Policy"
default = { read = "allow" }
functions = ["clinic.active", "actve", "lower", "<->", "clinic.<->"]
search_paths = ["clinic, public", '"$user", Public', "clinci, public"]
rules = [
  { name = "notes", columns = ["nots", "ssn", "*"], relations = ["public.patients", "patient"], targets = ["clinic"], verdict = "deny" },
  { name = "calls", functions = ["activ"], targets = ["other"], verdict = "deny" },
]
"""

CLINIC = Holdings(
    frozenset({"public.patients"}), frozenset({"notes", "ssn"}), frozenset({"clinic.active", "pg_catalog.lower"}), frozenset(),
    frozenset({"clinic", "public"}),
)
OTHER = Holdings(functions=frozenset({"public.activate"}), schemas=frozenset({"public"}))


def warned(file: Path, seen: Mapping[str, Holdings]) -> dict[str, list[str]]:
    config = load(file)
    found: list[Problem] = warnings(config, Known.of(config, None, None), seen)
    keys = {one.key.rpartition(".")[2] for one in found}
    return {key: [one.wrong for one in found if one.key.endswith(f".{key}")] for key in sorted(keys)}


def test_names_that_no_target_has_are_warned_of(write: Write) -> None:
    """Each held against the targets that its rule is about; what one of them has, or nobody can tell, is believed."""
    assert warned(write(HEAD + POLICY), {"clinic": CLINIC, "other": OTHER}) == {
        "columns": ["clinic has no column 'nots' in any relation (did you mean 'notes'?)"],
        "functions": ["clinic, other have no function 'actve' (did you mean 'active'?)", "other has no function 'activ' (did you mean 'activate'?)"],
        "relations": ["clinic has no relation 'patient' (did you mean 'patients'?)"],
        "search_paths": ["clinic, other have no schema 'clinci' (did you mean 'clinic'?)"],
    }


def test_a_target_that_was_not_seen_is_not_spoken_of(write: Write) -> None:
    """What it has may be what is named."""
    assert list(warned(write(HEAD + POLICY), {"clinic": CLINIC})) == ["columns", "relations"]
    assert warned(write(HEAD + POLICY), {}) == {}


def test_a_group_that_sees_masked_columns_and_that_nobody_has_is_warned_of(write: Write) -> None:
    text = HEAD + '\n[[addon]]\nuse = "addons.masking.Masking"\ncolumns = [\n'
    text += '  { relation = "public.patients", column = "ssn", strategy = "redact", clear = ["privacy"] },\n]\n'
    assert warned(write(text), {}) == {}
    assert warned(write(text.replace('clear = ["privacy"]', 'clear = ["privcay"]')), {}) == {"clear": ["nobody in this file has the group 'privcay' (did you mean 'privacy'?)"]}


def test_an_addon_whose_code_is_newer_than_the_gateway_is_warned_of(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload goes on with the class that was imported."""
    package = tmp_path / "site_of_a_test"
    package.mkdir()
    code = package / "late.py"
    code.write_text("class Late:\n    def __init__(self, columns):\n        pass\n")
    os.utime(code, (1000.0, 1000.0))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = load(write(HEAD + '\n[[addon]]\nuse = "site_of_a_test.late.Late"\ncolumns = ["mine"]\n'))
    known = Known.of(config, None, None)
    assert warnings(config, known, {"clinic": CLINIC, "other": OTHER}, 1000.0) == []
    [one] = warnings(config, known, {}, 999.0)
    assert one.key == "addon[0].use" and str(code) in one.wrong and one.mend == "restart the gateway"
