"""The architecture diagram: which ring may import which. Parses imports; runs nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RINGS = ("protocols", "addons", "gateway")
VOCABULARY = {"session", "command", "result", "hooks", "verdict", "effects", "errors", "journal", "encodings", "escapes", "recording", "tally"}
SANS_IO_BANS = {"time", "random", "secrets", "logging", "socket", "asyncio", "threading", "os", "uuid", "datetime"}


def modules(ring: str) -> list[Path]:
    return sorted((ROOT / ring).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, relative ones refused."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden(path: Path, name: str) -> str:
    """Why this file may not import that; "" when it may."""
    here, there = path.relative_to(ROOT).parts, name.split(".")
    ring = here[0]
    if there[0] in RINGS and RINGS.index(there[0]) > RINGS.index(ring):
        return "arrows go inward only"
    if ring == "addons":
        if there[0] == "protocols" and there[1] not in VOCABULARY:
            return "addons know the vocabulary, not the wire"
        if there[0] == "twisted" and "reactor" in there:
            return "addons are handed a clock, not the reactor"
        if there[0] == "addons" and there[1] not in {"sql", "shell", "needs"} and there[1] != here[1].removesuffix(".py"):
            return "addons do not know each other"
    if ring == "protocols":
        if there[0] == "protocols" and len(here) > 2 and there[1] in FOLDERS and there[1] != here[1]:
            return "a protocol does not know another"
        if there[0] == "protocols" and len(here) == 2 and there[1] in FOLDERS:
            return "the shared rooms know no protocol"
        if name == "os.environ" and here[-1] == "kernel.py":
            return ""  # OSTIARY_PURE chooses between two builds of one text, once, at import
        if not here[-1].endswith("adapter.py") and there[0] in SANS_IO_BANS | {"twisted"}:
            return "sans-IO code has no clock, randomness, log, socket or reactor"
    return ""


FOLDERS = {p.name for p in (ROOT / "protocols").iterdir() if p.is_dir()}


@pytest.mark.parametrize("ring", RINGS)
def test_arrows_point_inward(ring: str) -> None:
    """No file imports what its ring may not know."""
    found = [
        f"{path.relative_to(ROOT)} imports {name}: {why}"
        for path in modules(ring)
        for name in imports(path)
        if (why := forbidden(path, name))
    ]
    assert modules(ring) and not found, "\n".join(found)


def test_the_check_can_fail() -> None:
    """A wrong arrow is named, so the test above is not a test that cannot fail."""
    assert forbidden(ROOT / "protocols" / "command.py", "gateway.config.Config")
    assert forbidden(ROOT / "addons" / "access.py", "protocols.postgres.codec.FrameReader")
    assert forbidden(ROOT / "protocols" / "postgres" / "relay.py", "time.time")
    assert forbidden(ROOT / "protocols" / "kernel.py", "os.open")
    assert not forbidden(ROOT / "gateway" / "chain.py", "addons.access.Access")


@pytest.mark.parametrize("folder", ["twisted", "twisted/plugins"])
def test_twisted_stays_a_namespace(folder: str) -> None:
    """With an __init__.py here, Twisted itself or our plugin vanishes."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them without packages: two of one name cannot be collected together."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
