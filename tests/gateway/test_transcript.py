"""What of a configuration file may stand in the evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.transcript import transcript

OURS = '''# rules of the clinic
[gateway]
name = "clinic-gw"

[[addon]]
use = "addons.masking.Masking"
columns = [
  { relation = "public.patients", column = "ssn" },
]

[addon.reveal]
approvers = ["privacy"]
'''
STRANGE = '''
[[addon]]
use = "clinic.pager.Pager"
webhook = "https://pager.example/T0/canary-71f2"
headers = [
  ["x-token", "canary-71f2"],
]

[addon.retry]
password = "canary-71f2"

[[addon.more]]
deep = """
[identity]
canary-71f2
"""
'''


def test_a_configuration_of_ours_is_recorded_as_it_was_written() -> None:
    """Comments too."""
    assert transcript(OURS.encode()) == OURS


def test_rules_written_as_tables_of_their_own_are_recorded_as_they_were_written() -> None:
    """`[[addon.rules]]` belongs to the addon before it, however its brackets are spaced."""
    tables = OURS + """
[[addon]]
use = "addons.ssh.Ssh"

[[addon.rules]]
name = "a"

[[ addon . typed ]]
name = "b"
"""
    assert transcript(tables.encode()) == tables
    told = transcript((tables + STRANGE[: STRANGE.index("headers")] + """
[[addon.rules]]
password = "canary-71f2"
""").encode())
    assert "canary" not in told and "clinic.pager.Pager" in told and "addons.ssh.Ssh" in told


def test_every_example_is_recorded_as_it_was_written() -> None:
    for file in (Path(__file__).parents[2] / "docs" / "examples").glob("*.toml"):
        assert transcript(file.read_bytes()) == file.read_text(), file


def test_what_a_sites_own_addon_is_given_is_never_recorded() -> None:
    """Wherever it stands; the addon's name stays."""
    for text in (OURS + STRANGE, STRANGE + OURS, OURS + STRANGE + OURS.replace("[gateway]", "[control]")):
        told = transcript(text.encode())
        assert "canary" not in told and (not told or "clinic.pager.Pager" in told)
    plain = STRANGE[: STRANGE.index("[[addon.more")]
    told = transcript((OURS + plain + '[[addon]]\nuse = "addons.access.Access"\nrules = []\n').encode())
    assert "clinic.pager.Pager" in told and "addons.access.Access" in told and "approvers" in told and "canary" not in told


@pytest.mark.parametrize(
    "text", [b"[gateway", b"\xff", b'addon = [{ use = "clinic.Pager", password = "canary-71f2" }]\n', OURS.encode() + b'[[ "addon" ]]\nuse = "x"\ny = 1\n']
)
def test_what_cannot_be_told_apart_is_not_recorded(text: bytes) -> None:
    assert transcript(text) == ""
