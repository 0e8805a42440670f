"""
Which of a person's typing the terminal showed: typed bytes and output in, lines in or out of the record.

SSH does not say when a program turns echo off; only what comes back does. So nothing typed is known until its line
has ended and an answer to that has come, and a line is recorded only when each of its characters came back,
in order and with nothing else in between. A password does not, nor does one shown as stars, nor a key of an editor.
In doubt the line is hidden: somebody who types faster than the program answers loses some lines from the record.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from protocols.escapes import Escapes

LINE_LIMIT = 4096
"""Bytes of one typed line; a longer one is hidden."""
LINES_LIMIT = 256
"""Lines that may wait for their echo; beyond it they are hidden."""
_ENDS = (b"\r", b"\n")
_PARTS = re.compile(rb"[\r\n]|[^\r\n]+")
_ECHO = 53  # RFC 4254, section 8
_MODES_WITH_VALUE = 160  # opcodes from here on end the list


def echoes(modes: bytes) -> bool:
    """Whether the encoded modes of a terminal leave ECHO on; what does not say so does (RFC 4254, section 8)."""
    for at in range(0, len(modes) - 4, 5):
        if modes[at] == 0 or modes[at] >= _MODES_WITH_VALUE:
            break
        if modes[at] == _ECHO:
            return any(modes[at + 1:at + 5])
    return True


@dataclass(slots=True)
class _Line:
    typed: bytearray = field(default_factory=bytearray)
    expected: deque[str] = field(default_factory=deque)
    ended: bool = False
    doubtful: bool = False


class Echo:
    """:param on: what the terminal's modes said; when they said no, nothing is ever recorded."""

    def __init__(self, on: bool = True) -> None:
        self._on = on
        self._lines: deque[_Line] = deque([_Line()])
        self._keys = Escapes(_Keys(self), "latin-1")
        self._shown = Escapes(_Shown(self), "latin-1")
        self._decided: list[bytes] = []

    def typed(self, data: bytes) -> None:
        """The person typed."""
        for part in _PARTS.findall(data):
            line = self._lines[-1]
            if len(line.typed) + len(part) <= LINE_LIMIT:
                line.typed += part
            else:
                line.doubtful = True
            self._keys.feed(part)
            if part in _ENDS:
                line.ended = True
                self._lines.append(_Line())
                if len(self._lines) > LINES_LIMIT:
                    self._decide(self._lines.popleft(), shown=False)

    def shown(self, data: bytes) -> list[bytes]:
        """Output came: the lines that it decides, oldest first; b"" for one that is hidden."""
        self._shown.feed(data)
        decided, self._decided = self._decided, []
        return decided

    def end(self) -> list[bytes]:
        """Nothing more comes: what was not answered is hidden."""
        while self._lines:
            self._decide(self._lines.popleft(), shown=False)
        decided, self._decided = self._decided, []
        self._lines.append(_Line())
        return decided

    def key(self, text: str) -> None:
        """Characters that a terminal with echo shows."""
        if not self._lines[-1].doubtful:
            self._lines[-1].expected.extend(text)

    def printed(self, text: str) -> None:
        """Characters of output: they are what was typed, or not."""
        for line in self._lines:
            if line.expected or not line.ended:
                break
        for char in text:
            if not line.expected:
                return
            if line.expected[0] != char:
                line.doubtful = True
                return
            line.expected.popleft()

    def answered(self) -> None:
        """A new line began in the output: the oldest typed line that had ended is decided."""
        if self._lines[0].ended:
            line = self._lines.popleft()
            self._decide(line, shown=not line.expected and not line.doubtful)
        elif self._lines[0].expected:
            self._lines[0].doubtful = True

    def _decide(self, line: _Line, shown: bool) -> None:
        if line.typed or line.doubtful:
            self._decided.append(bytes(line.typed) if shown and self._on else b"")


class _Keys:
    """What of the keyboard's bytes would be shown; the rest moves or edits."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._shifted = False

    def text(self, text: str) -> None:
        if self._shifted:  # the rest of ESC O A: an arrow, where the program asked for this form
            text, self._shifted = text[1:], False
        if text:
            self._echo.key(text)

    def control(self, char: str) -> None:
        """C1 controls are parts of UTF-8 here."""
        if char >= "\x80":
            self._echo.key(char)

    def escape(self, between: str, final: str) -> None:
        """Meta with a key, or the beginning of one that has no character."""
        self._shifted = final == "O"

    def sequence(self, parameters: str, between: str, final: str) -> None:
        """An arrow, or another key of that kind."""


class _Shown:
    def __init__(self, echo: Echo) -> None:
        self._echo = echo

    def text(self, text: str) -> None:
        self._echo.printed(text)

    def control(self, char: str) -> None:
        if char == "\n":
            self._echo.answered()
        elif char >= "\x80":
            self._echo.printed(char)

    def escape(self, between: str, final: str) -> None:
        """Shows nothing."""

    def sequence(self, parameters: str, between: str, final: str) -> None:
        """Shows nothing."""
