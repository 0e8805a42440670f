"""
Values to what a person reads: aligned columns, times in UTC, and text that cannot drive the terminal.

Statements and names come from strangers; an escape sequence in one must not repaint an
approver's screen.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from gateway.control.when import TIMES, iso, told
from gateway.evidence.readable import canonical, cut

Row = Mapping[str, Any]

WIDEST = 72  # characters of a column on a terminal; the whole is in --json, in `show` and in a pipe


def clean(text: str) -> str:
    """Without control characters: each is shown as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clean_lines(text: str) -> str:
    """The same, but line breaks and tabs stay."""
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in text.replace("\r\n", "\n").split("\n"))


def as_text(name: str, value: Any) -> str:
    """One cell."""
    if value is None or value == "":
        return "-"
    if name in TIMES and isinstance(value, (int, float)) and not isinstance(value, bool):
        return iso(value)  # as evidence prints them, and --since takes
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return clean(", ".join(map(str, value))) or "-"
    return clean(str(value))


def inert(written: str) -> str:
    """JSON with the escape of each character that would do something to a terminal, or not be seen there; it reads the same."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in written)


def say(value: Any, indent: int | None = 2) -> None:
    """Print it as JSON; every `--json` ends here, but for those of evidence."""
    click.echo(inert(json.dumps(told(value), ensure_ascii=False, indent=indent)))


def record(shown: dict[str, Any]) -> None:
    """Print a record, or what else belongs to evidence, as JSON in one line."""
    click.echo(inert(canonical(shown)))


def rows(found: Sequence[Row], columns: Sequence[str], as_json: bool, nothing: str) -> None:
    """A list, as JSON or as a table; `nothing` says what an empty one means."""
    if as_json:
        say(found)
        return
    if not found:
        click.echo(nothing, err=True)
        return
    cells = [[column.replace("_", " ").upper() for column in columns]]
    most = WIDEST if terminal() else sys.maxsize
    cells += [[cut(as_text(column, row.get(column)), most) for column in columns] for row in found]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def one(value: Row, as_json: bool, columns: Sequence[str] = ()) -> None:
    """One thing, a line per field."""
    if as_json:
        say(value)
        return
    names = columns or list(value)
    width = max(len(name) for name in names)
    for name in names:
        click.echo(f"{name.replace('_', ' ').ljust(width)}  {as_text(name, value.get(name))}")


def terminal() -> int:
    """How many characters wide the terminal is that a person reads this on; 0 where a program or a file gets it, which gets all of it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
