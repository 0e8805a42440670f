"""
A long chain of operators has a tree as deep as it is long: no worker may die of reading one, with all its sessions.

Each runs in a process of its own, as the C stack is what overflows.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house import ROOT

READ = """
import sys
from addons.sql import parse
try:
    parse.parse(sys.stdin.read())
except parse.Unparsable as error:
    print("refused:", error)
"""
CHAINS = {"sum": ("1", "+1"), "casts": ("1", "::a"), "texts": ("'a'", "||'a'"), "tests": ("a", " ISNULL")}


@pytest.mark.parametrize("length", [10_000, 100_000, 500_000])
@pytest.mark.parametrize("chain", CHAINS)
def test_a_long_chain_is_refused_and_kills_nobody(chain: str, length: int) -> None:
    first, link = CHAINS[chain]
    ran = subprocess.run([sys.executable, "-c", READ], input=f"SELECT {first}{link * length}", text=True,
                         capture_output=True, timeout=120, cwd=ROOT, check=False)
    assert ran.returncode == 0 and "refused: " in ran.stdout


@pytest.mark.parametrize("length", [5_000, 500_000])
def test_comments_in_comments_hold_nobody_up(length: int) -> None:
    """A worker that reads them answers nobody meanwhile."""
    ran = subprocess.run([sys.executable, "-c", READ], input="/*" * length, text=True, capture_output=True, timeout=10,
                         cwd=ROOT, check=False)
    assert ran.returncode == 0 and "refused: comments are nested too deeply" in ran.stdout
