"""Every page: its links lead somewhere, its commands exist, its TOML parses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from gateway.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def commands(text: str) -> list[list[str]]:
    """`ostiary WORD WORD` in code, as words, placeholders and options cut off."""
    code = "\n".join([*re.findall(r"```(?:console|sh)\n(.*?)```", text, re.S), *re.findall(r"`([^`\n]+)`", text)])
    found = re.findall(r"(?:^|[\s$/(])ostiary((?: [a-z][a-z-]*(?![\w./:=-]))+)", code, re.M)
    return [words.split() for words in found]


def test_there_are_pages() -> None:
    """Otherwise the tests below would try nothing."""
    assert {"README.md", "addons.md", "architecture.md"} <= {page.name for page in PAGES}


@named
def test_links_lead_somewhere(page: Path) -> None:
    """Those inside the repository."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("index", [ROOT / "README.md", ROOT / "docs" / "architecture.md"], ids=lambda index: index.name)
def test_lists_of_pages_are_complete(index: Path) -> None:
    """Who begins here finds every other page."""
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index.read_text()) if "://" not in target}
    assert not set((ROOT / "docs").glob("*.md")) - linked - {index}


@named
def test_section_links_lead_to_headings(page: Path) -> None:
    """`page.md#section` and `#section` name a heading as its reader's browser does."""
    for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        text = ((page.parent / target) if target else page).read_text()
        there = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}
        assert section in there, f"{target}#{section}"


@named
def test_commands_exist(page: Path) -> None:
    """A page never tells to type what is not there."""
    for words in commands(page.read_text()):
        group: click.Command | None = main
        for word in words:
            if not isinstance(group, click.Group):
                break
            group = group.get_command(click.Context(group), word)
            assert group is not None, f"ostiary {' '.join(words)}"


@named
def test_configuration_parses(page: Path) -> None:
    """TOML that a reader copies."""
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S):
        tomllib.loads(block)


def test_the_check_can_fail() -> None:
    """The pattern above sees commands in blocks and in running text."""
    assert commands("```console\n$ ostiary nonsense now --x\n```\nor `ostiary audit tail -f`") == [
        ["nonsense", "now"],
        ["audit", "tail"],
    ]
    assert main.get_command(click.Context(main), "nonsense") is None
