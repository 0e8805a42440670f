"""
A configuration file's text as the evidence holds it: all of it, since it holds no secret, but for the options of a site's own addons.

Ours take no secret. What somebody else's take is not known, so their tables are left out, by TOML's own reading of what is
left: where that is not exactly the file without them, there is no text.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

_TABLE = re.compile(r"^[ \t]*(\[\[?)[ \t]*([A-Za-z0-9_-]+)[ \t]*([.\]])", re.MULTILINE)
_OURS = "addons."
_LEFT_OUT = "# the options of an addon that is not Ostiary's are not recorded\n"


def transcript(text: bytes) -> str:
    """The text to record; "" where it cannot be told what of it may be."""
    try:
        written = text.decode()
        values = tomllib.loads(written)
        shown = _without_strangers(written)
        told = tomllib.loads(shown)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ""
    return shown if told == _bare(values) else ""


def _bare(values: dict[str, Any]) -> dict[str, Any]:
    """What a text without strangers' options says."""
    entries = values.get("addon")
    if not isinstance(entries, list):
        return values
    return {**values, "addon": [one if _ours(one) else {"use": one.get("use")} for one in entries]}


def _ours(entry: dict[str, Any]) -> bool:
    return str(entry.get("use", "")).startswith(_OURS)


def _without_strangers(text: str) -> str:
    """Table by table: one of a strange addon keeps its name, and what belongs to it goes."""
    starts = [match.start() for match in _TABLE.finditer(text)]
    kept, strange = [text[: starts[0]] if starts else text], False
    for start, end in zip(starts, [*starts[1:], len(text)], strict=False):
        part = text[start:end]
        brackets, name, ends = _TABLE.match(part).groups()
        if name != "addon":
            kept.append(part)
            continue
        if (brackets, ends) == ("[[", "]"):  # not what belongs to one, such as [[addon.rules]]
            use = tomllib.loads(part)["addon"][0].get("use", "")
            strange = not str(use).startswith(_OURS)
            kept.append(f'[[addon]]\nuse = "{use}"\n{_LEFT_OUT}\n' if strange else part)
        elif not strange:
            kept.append(part)
    return "".join(kept)
