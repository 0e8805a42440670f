"""
Line rules in interactive shells: Enter is held until the line that it would send was read from the screen and judged.

They stop mistakes, not adversaries. A shell runs what its line means, not what it shows: a variable, an alias, a script, a
quoted letter are not seen through here, nor is anything that a program other than the shell reads. Policies that must hold
refuse the shell and allow listed command lines.

The line is what stands between the prompt and the line's end on a screen like the person's. The prompt is whatever was there
when the line's first key was pressed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from protocols.command import Pty
from protocols.screen import Screen
from protocols.ssh import refusal
from protocols.ssh.filter import Chunk, Filtered
from protocols.verdict import Deny

QUIET = 0.02
"""Seconds without output after which the screen shows what was typed."""
PATIENCE = 0.5
"""Seconds after which it is read although output goes on, or although what was typed last does not show."""
KILLED = b"\x05\x15\x03"
"""What is sent in Enter's place: to the line's end, delete to its beginning, interrupt."""
LINE_LIMIT = 16384
"""Characters of a line; a longer one is refused."""
_PASTE, _PASTED = b"\x1b[200~", b"\x1b[201~"
_KEYS = re.compile(rb"\x1b\[20[01]~|[\r\n\x0f]")  # what submits a line: Enter, ^J, ^O; and paste's brackets
_TAIL = re.compile(rb"[ -~]{1,32}\Z")  # what was typed last, as far as it shows as it was typed
_SEARCH = re.compile(r"^\((?:failed )?(?:reverse-|bck-|fwd-)?i-search\)`[^']*': ?(.*)$", re.DOTALL)
_PROMPTED = re.compile(r"^[^$#%>\n]{0,200}[$#%>] +(.*)$", re.DOTALL)
"""What a line looks like whose first keys were pressed before there was a prompt."""

Later = Callable[[float, Callable[[], None]], Any]
TOO_LONG = Deny("The line is too long to be read.", "OST-213", hint="put it into a script")


class Guard:
    """
    Both filters of one terminal: `keys` of the client's bytes, itself of the target's.

    :param judge: asked about each line; None lets it pass.
    :param denied: told of each refusal, with the line.
    """

    def __init__(
        self, pty: Pty, judge: Callable[[str], Deny | None], denied: Callable[[str, Deny], None], later: Later,
        resume: Callable[[], None],
    ) -> None:
        self._screen = Screen(pty.columns, pty.rows)
        self._judge, self._denied, self._later, self._resume = judge, denied, later, resume
        self.keys = Keys(self)
        self._anchor: tuple[int, int] | None = None  # line since the beginning, column: where the typed line begins
        self._prompt = ""
        self._timer: Any = None
        self._waits = self._over = False
        self._tail = b""
        self._waited = 0.0

    # protocols.ssh.filter.Filter, of the target's bytes

    def feed(self, stream: int, data: bytes) -> Filtered:
        """The person's screen changes."""
        self._screen.feed(data)
        if self._waits and self._waited < PATIENCE:
            self._start()
        return Filtered([(stream, data)])

    def resume(self) -> Filtered:
        """Nothing is kept of the output."""
        return Filtered()

    def end(self) -> Filtered:
        """Nothing is kept of the output."""
        return Filtered()

    def told(self, stream: int, data: bytes) -> None:
        """The gateway's own words are on the screen too."""
        self._screen.feed(data)

    def resized(self, columns: int, rows: int) -> None:
        """The shell draws its line again."""
        self._screen.resize(columns, rows)

    def closed(self) -> None:
        """Let go of the timer."""
        self._over = True
        self._stop()

    # What keys need

    @property
    def elsewhere(self) -> bool:
        """Whether a full-screen program reads the keys."""
        return self._screen.alternate

    def begins(self) -> None:
        """A line's first key is pressed: what is left of the cursor is the prompt."""
        if self._anchor is None:
            row, column = self._screen.cursor
            self._anchor = (self._screen.scrolled + row, column)
            self._prompt = self._screen.sheet.row(row)[:column]

    def typed(self, data: bytes) -> None:
        """These keys are on their way: a slow host has yet to show them."""
        found = _TAIL.search(self._tail + data)
        self._tail = found.group() if found else b""

    def wait(self) -> None:
        """Call `resume` once the screen is quiet."""
        self._waits, self._waited = True, 0.0
        self._start()

    def verdict(self) -> Deny | None:
        """On what would be sent now."""
        line = self._line()
        self._anchor, self._tail = None, b""
        if len(line) > LINE_LIMIT:
            deny: Deny | None = TOO_LONG
        else:
            deny = self._judge(line) if line.strip() else None
        if deny is not None:
            self._denied(line[:LINE_LIMIT], deny)
        return deny

    def _start(self) -> None:
        self._stop()
        self._waited += QUIET
        self._timer = self._later(QUIET, self._due)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _behind(self) -> bool:
        """Whether what was typed last does not show yet. Where nothing is echoed it never will."""
        return self._tail.decode().strip() not in self._line()

    def _due(self) -> None:
        self._timer = None
        if self._behind and self._waited < PATIENCE:
            self._start()
            return
        self._waits = False
        if not self._over:
            self.keys.quiet = True
            self._resume()

    # Reading the line

    def _line(self) -> str:
        sheet, (row, _) = self._screen.sheet, self._screen.cursor
        first, last = sheet.line(row)
        searching = _SEARCH.match("".join(map(sheet.row, range(first, last + 1))).rstrip())
        if searching:  # the shell's own search has taken the prompt's place
            return searching[1]
        start, column = self._where(first)
        for below in range(row, sheet.rows):  # the cursor may stand above the end of what is edited
            if sheet.wraps[below]:
                last = max(last, below + 1)
            else:
                break
        parts = []
        for number in range(start, min(last, sheet.rows - 1) + 1):
            text = sheet.row(number)[column:] if number == start else sheet.row(number)
            parts.append(text if sheet.wraps[number] else text.rstrip() + "\n")
        line = "".join(parts).rstrip("\n")
        found = None if self._prompt.strip() else _PROMPTED.match(line)
        return found[1] if found else line

    def _where(self, first: int) -> tuple[int, int]:
        """The row and column where the typed line begins: where the prompt was drawn last, else where the first key was."""
        sheet, prompt = self._screen.sheet, self._prompt
        row, column = self._anchor or (-1, 0)
        row -= self._screen.scrolled
        known = self._anchor is not None and 0 <= row <= first
        if prompt.strip():
            for number in range(first, row - 1 if known else -1, -1):
                if sheet.row(number).startswith(prompt):
                    return number, len(prompt)
        return (row, column) if known else (first, 0)


class Keys:
    """The filter of the client's bytes."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._held = bytearray()
        self._judging = False  # the first of what is held is an Enter; else it waits for the next prompt
        self._pasting = False
        self.quiet = False

    def feed(self, stream: int, data: bytes) -> Filtered:
        """Keys are pressed, or text is pasted."""
        if self._held:
            self._held += data
            return Filtered()
        return self._take(data)

    def resume(self) -> Filtered:
        """The screen is quiet: judge what waits, or go on behind a line that was sent."""
        if not (self.quiet and self._held):
            return Filtered()
        self.quiet = False
        held = bytes(self._held)
        self._held.clear()
        if not self._judging:
            return self._take(held)
        deny = self._guard.verdict()
        if deny is not None:
            said = refusal.line(refusal.words(deny))
            return Filtered(dropped=len(held), ahead=KILLED, back=b"\r\n" + said)
        passed: list[Chunk] = [(0, held[:1])]
        if held[1:]:
            self._held += held[1:]
            self._judging = False
            self._guard.wait()
        return Filtered(passed)

    def end(self) -> Filtered:
        """What is held waits for its screen."""
        return self.resume()

    def told(self, stream: int, data: bytes) -> None:
        """Nobody types the gateway's words."""

    def resized(self, columns: int, rows: int) -> None:
        """The guard hears of it."""

    def closed(self) -> None:
        """The guard has the timer."""

    def _take(self, data: bytes) -> Filtered:
        """Pass keys up to the first that would send a line."""
        if self._guard.elsewhere:
            return Filtered([(0, data)])
        self._guard.begins()
        for found in _KEYS.finditer(data):
            key = found.group()
            if len(key) > 1:
                self._pasting = key == _PASTE
            elif not self._pasting:
                self._held += data[found.start():]
                self._judging, self.quiet = True, False
                self._guard.typed(data[:found.start()])
                self._guard.wait()
                return Filtered([(0, data[:found.start()])] if found.start() else [])
        self._guard.typed(data)
        return Filtered([(0, data)])
