"""
Paths of a target, as far as their names tell: normalised, and matched by globs. Links on the target are not seen from here.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

_ALIASES = frozenset({"root", "cwd", "fd", "map_files"})
"""Names in /proc/PID that are links to anywhere."""


def place(path: bytes | str) -> str | None:
    """
    The path without `.` and doubled slashes; what is relative begins with `~/`, where sessions begin.

    :returns: None for one that leads out of there, to somebody else's home, up again from a name, through another process's
        root, directory or open files under /proc, or that holds a NUL: where to, only the target knows.
    """
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    if _through_a_process(text) or _climbs(text) or "\0" in text:
        return None
    if text.startswith("/"):
        return "/" + posixpath.normpath(text).lstrip("/")
    if text.startswith("~") and not text.startswith("~/") and text != "~":
        return None
    rest = posixpath.normpath(text.removeprefix("~").lstrip("/") or ".")
    if rest == ".." or rest.startswith("../"):
        return None
    return "~" if rest == "." else f"~/{rest}"


def _climbs(text: str) -> bool:
    """Whether a `..` stands behind a name: that may be a link, as /var/run is, and its parent is not what is written before it."""
    names = [name for name in text.split("/") if name not in ("", ".")]
    return any(name != ".." and after == ".." for name, after in zip(names, names[1:]))


def _through_a_process(text: str) -> bool:
    names = [name for name in text.split("/") if name not in ("", ".")]
    behind = names[names.index("proc") + 1:] if "proc" in names and text.startswith("/") else []
    return not _ALIASES.isdisjoint(behind) or text.startswith("/") and names[:2] == ["dev", "fd"] and len(names) > 3


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(/\*\*$|\*\*/|\*\*|\*|\?)", glob)
    meant = {"/**": "(?:/.*)?", "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meant.get(part, re.escape(part)) for part in parts), re.DOTALL)


def matches(where: str | None, globs: frozenset[str]) -> bool:
    """Whether a place is in any of these: `*` within a name, `**` over any depth; `/srv/**` is /srv too."""
    return where is not None and any(_pattern(glob).fullmatch(where) for glob in globs)


def holds(where: str, glob: str) -> bool:
    """Whether what this glob means may lie under a place, or be it."""
    names = [name for name in where.split("/") if name]
    meant = [name for name in glob.split("/") if name]
    if where.startswith("~") != glob.startswith("~") and not glob.startswith("**"):
        return False
    for at, name in enumerate(names):
        if at >= len(meant) or "**" in meant[at]:
            return at < len(meant)
        if not _pattern(meant[at]).fullmatch(name):
            return False
    return True


def wrong(glob: str) -> str:
    """What is wrong with a glob, "" for nothing."""
    if not glob.startswith(("/", "~/")) and glob not in ("~", "**"):
        return 'must begin with / or ~/, such as "/srv/**"'
    return 'holds .., which no path has when it is compared' if ".." in glob.split("/") else ""
