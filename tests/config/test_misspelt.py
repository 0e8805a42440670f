"""Names that a file spells in two ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.toml import load
from gateway.warnings import Known, slipped, warnings

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "clinic.toml"

HOSTS = """
[[addon]]
use = "addons.ssh.Ssh"
default = { exec = "allow" }
rules = [
  { name = "no-services", programs = ["systemctl", "mount", "umount"], verdict = "deny" },
  { name = "no-bans", programs = ["shred", "sytsemctl"], verdict = "deny" },
]
typed = [{ name = "typed", programs = ["shredd", "systemctl"] }]
"""

Write = Callable[[str], Path]


def found(file: Path) -> dict[str, str]:
    config = load(file)
    return {one.key: one.wrong for one in warnings(config, Known.of(config, None, None)) if "elsewhere" in one.wrong}


def test_a_name_that_the_file_spells_otherwise_elsewhere_is_warned_of(write: Write) -> None:
    """A rule about a program that nobody has refuses nothing. The rarer spelling is the one at fault, or the later."""
    assert found(write(EXAMPLE.read_text())) == {}
    text = EXAMPLE.read_text() + HOSTS
    index = text[: text.index("addons.ssh.Ssh")].count("[[addon]]") - 1
    assert found(write(text)) == {
        f"addon[{index}].rules[1].programs": f"'sytsemctl' is written 'systemctl' elsewhere in this file, at addon[{index}].rules[0].programs",
        f"addon[{index}].typed[0].programs": f"'shredd' is written 'shred' elsewhere in this file, at addon[{index}].rules[1].programs",
    }


def test_a_relation_of_a_rule_is_held_against_those_that_are_masked(write: Write) -> None:
    rule = '  { name = "privileged-writes"'
    file = write(EXAMPLE.read_text().replace(rule, f'  {{ name = "look", relations = ["public.pateints"], verdict = "deny" }},\n{rule}'))
    assert list(found(file).values()) == ["'public.pateints' is written 'public.patients' elsewhere in this file, at addon[1].columns[0].relation"]


@pytest.mark.parametrize(("one", "other", "same"), [
    ("systemctl", "systmectl", True), ("systemctl", "sytemctl", True), ("public.patients", "public.pattients", True), ("shred", "shredd", True),
    ("mount", "umount", False), ("public.order", "public.orders", False), ("mkfs.ext3", "mkfs.ext4", False), ("chown", "chmod", False),
    ("public.patients", "public.patients", False), ("public.patients", "archive.pateints", False), ("rm", "rmm", False), ("iptables", "ip6tables", False),
])  # fmt: skip
def test_only_what_slipping_fingers_type_is_taken_for_another_name(one: str, other: str, same: bool) -> None:
    """Two names that are alike are mostly two names."""
    assert slipped(one, other) == slipped(other, one) == same
