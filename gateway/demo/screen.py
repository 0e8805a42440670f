"""
What the demo prints: titles, prose, commands as a person would type them, and what came of them.

Colour only on a terminal, and never when NO_COLOR is set (no-color.org). Output that is not
ours is shown without control characters.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from typing import TextIO

_WIDEST = 100  # columns; prose is harder to read in longer lines
_MESSAGE = re.compile(r"ERROR:|DETAIL:|HINT:|NOTICE:|ostiary:|TAMPERED:|[A-Z]+ [A-Z]+:")
_BOLD, _DIM, _GREEN, _RED, _CYAN, _END = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[36m", "\x1b[0m"


class Screen:
    """Writes to one stream, which may be a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST) if out.isatty() else _WIDEST

    def title(self, text: str) -> None:
        """The beginning of a part."""
        rule = "─" * max(3, self._width - len(text) - 5)
        self._line(f"\n{self._in(_CYAN, '──')} {self._in(_BOLD, text)} {self._in(_CYAN, rule)}\n")

    def head(self, text: str) -> None:
        """One line above a few others."""
        self._line(f"\n{self._in(_BOLD, text)}")

    def say(self, text: str) -> None:
        """Prose, wrapped; line breaks at its ends are kept."""
        body = text.strip("\n")
        before, after = text[: text.index(body)], text[text.index(body) + len(body) :]
        self._line(before + textwrap.fill(body, self._width, break_on_hyphens=False, break_long_words=False) + after)

    def command(self, text: str, who: str = "") -> None:
        """Something to type, in one line however long, so that it can be copied."""
        self._line(f"  {self._in(_DIM, who + '$')} {self._in(_BOLD, text)}")

    def code(self, text: str) -> None:
        """Something to type elsewhere."""
        self._line(f"  {text}")

    def output(self, text: str, most: int = 14) -> None:
        """What a program printed: indented, messages wrapped, tables cut to the width, a long one's middle left out."""
        lines = [shown for line in text.rstrip("\n").split("\n") for shown in self._fitted(clean(line))]
        if len(lines) > most:
            left = len(lines) - most + 1
            lines = [*lines[: most - 4], f"… {left} lines …", *lines[-3:]]
        for line in lines if text.strip() else []:
            self._line(f"  {self._in(_DIM, '│')} {line}".rstrip())

    def _fitted(self, line: str) -> list[str]:
        width = max(20, self._width - 4)  # beside the indent, on a narrow screen too
        if len(line) > width and _MESSAGE.match(line):
            return textwrap.wrap(line, width, subsequent_indent="        ", break_on_hyphens=False)
        if len(line) > width:
            line = re.sub(" {3,}", "  ", line)
        return [line if len(line) <= width else f"{line[: width - 1]}…"]

    def checked(self, what: str, right: bool) -> None:
        """The result of a check."""
        self._line(f"  {self._in(_GREEN, '✓') if right else self._in(_RED + _BOLD, '✗ WRONG:')} {what}")

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_END}" if self._colour else text

    def _line(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def clean(text: str) -> str:
    """Without control characters; each is shown as its escape."""
    return "".join(c if c.isprintable() else "    " if c == "\t" else c.encode("unicode_escape").decode() for c in text)
