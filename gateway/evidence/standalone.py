"""
The parts of `gateway.evidence.verifier`, joined to the one file that auditors get: plain Python, no packages, none of this product.

The same parts always give the same bytes. Each part's docstring becomes a heading, its imports of other parts go, and those of
the standard library come first, sorted.
"""

from __future__ import annotations

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path

from gateway.evidence.verifier import main as program

PARTS = (
    "fault", "meanings", "signature", "checkpoint", "tree", "packed", "record", "cast", "explained", "bundle", "holdings", "masking", "completeness", "report",
    "main",
)  # fmt: skip
"""In an order in which each finds what it uses above it."""

FOLDER = Path(program.__file__).parent
_PACKAGE = "gateway.evidence.verifier."


@cache
def joined() -> bytes:
    """The whole program. Joined when it is first asked for: most of `ostiary audit` never does."""
    modules: set[str] = set()
    typing: set[str] = set()
    sections = []
    for name in PARTS:
        text = (FOLDER / f"{name}.py").read_text()
        heading, rest = _taken_apart(text, modules, typing)
        if name == PARTS[-1]:
            usage, heading = f'"""\n{heading}\n"""\n', "The command."
        sections.append(f"# --- {heading} {'-' * (90 - len(heading))}\n\n\n{rest}")
    imports = [*(f"import {module}" for module in sorted(modules)), f"from typing import {', '.join(sorted(typing))}"]
    head = ["#!/usr/bin/env python3", usage, "from __future__ import annotations\n", *imports]
    return ("\n".join(head) + "\n\n" + "\n\n".join(sections)).encode()


def _taken_apart(text: str, modules: set[str], typing: set[str]) -> tuple[str, str]:
    """A part's docstring, and what is behind its imports; these are added to what the whole imports."""
    tree = ast.parse(text)
    last = 0
    for node in tree.body[1:]:
        if isinstance(node, ast.Import):
            modules |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "typing":
            typing |= {one.name for one in node.names}
        elif not isinstance(node, ast.ImportFrom):
            break
        elif node.module != "__future__" and not str(node.module).startswith(_PACKAGE):
            raise ValueError(f"a part of the verifier imports {node.module}: write `import {node.module}`, so that it can be joined")
        last = node.end_lineno or last
    return (ast.get_docstring(tree) or "").strip(), "\n".join(text.split("\n")[last:]).strip("\n") + "\n"


def digest() -> str:
    """SHA-256 of the whole program, in hex."""
    return sha256(joined()).hexdigest()


def main(arguments: list[str], wants_anchor: bool = False) -> int:
    """
    As the joined file does: prints what was found, and returns the exit code.

    :param wants_anchor: without an anchor it is incomplete, as a store is.
    """
    return program.main(arguments, digest(), wants_anchor)
