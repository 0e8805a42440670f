"""
Paths of a target, as far as their names tell: normalised, and matched by globs. Links on the target are not seen from here.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache


def place(path: bytes | str) -> str | None:
    """
    The path without `.`, `..` and doubled slashes; what is relative begins with `~/`, where sessions begin.

    :returns: None for one that leads out of there, or to somebody else's home: where to, only the target knows.
    """
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    if text.startswith("/"):
        return "/" + posixpath.normpath(text).lstrip("/")
    if text.startswith("~") and not text.startswith("~/") and text != "~":
        return None
    rest = posixpath.normpath(text.removeprefix("~").lstrip("/") or ".")
    if rest == ".." or rest.startswith("../"):
        return None
    return "~" if rest == "." else f"~/{rest}"


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(/\*\*$|\*\*/|\*\*|\*|\?)", glob)
    meant = {"/**": "(?:/.*)?", "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meant.get(part, re.escape(part)) for part in parts), re.DOTALL)


def matches(where: str | None, globs: frozenset[str]) -> bool:
    """Whether a place is in any of these: `*` within a name, `**` over any depth; `/srv/**` is /srv too."""
    return where is not None and any(_pattern(glob).fullmatch(where) for glob in globs)


def wrong(glob: str) -> str:
    """What is wrong with a glob, "" for nothing."""
    if not glob.startswith(("/", "~/")) and glob not in ("~", "**"):
        return 'must begin with / or ~/, such as "/srv/**"'
    return 'holds .., which no path has when it is compared' if ".." in glob.split("/") else ""
