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
from protocols.ssh.filter import Filtered
from protocols.verdict import Deny

QUIET = 0.02
"""Seconds without output after which the screen shows what was typed."""
PATIENCE = 0.5
"""Seconds after which it is read although output goes on, or although what was typed last does not show."""
CLEARED = b"\x05\x15"
"""What is sent in Enter's place: to the line's end, delete to its beginning."""
CLEARING = 2.0
"""Seconds to wait until that shows: an interrupt overtakes what the shell has not read, and leaves a part of the line behind."""
KILLED = b"\x03"
"""What follows once the line is gone: out of a loop, a quotation, a search, to a fresh prompt."""
LINE_LIMIT = 16384
"""Characters of a line; a longer one is refused."""
_PASTE, _PASTED = b"\x1b[200~", b"\x1b[201~"
_KEYS = re.compile(rb"\x1b\[20[01]~|[\r\n\x0f]")  # what submits a line: Enter, ^J, ^O; and paste's brackets
_TAIL = re.compile(rb"[ -~]{1,32}\Z")  # what was typed last, as far as it shows as it was typed
_SEARCH = re.compile(r"^\((?:failed )?(?:reverse-|bck-|fwd-)?i-search\)`[^']*': ?(.*)$", re.DOTALL)
_PROMPTED = re.compile(r"^[^$#%>\n]{0,200}[$#%>] +(.*)$", re.DOTALL)
"""What a line looks like whose first keys were pressed before there was a prompt."""

Later = Callable[[float, Callable[[], None]], Any]
TOO_LONG = Deny("The line is too long to be read from its screen.", "OST-213", hint="put it into a script, or make the terminal wider")


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
        self._patience: Any = None
        self._ready: Callable[[], bool] | None = None  # what a wait is for
        self._tail, self._refused = b"", ""
        self._heard = False

    # protocols.ssh.filter.Filter, of the target's bytes

    def feed(self, stream: int, data: bytes) -> Filtered:
        """The person's screen changes."""
        self._screen.feed(data)
        self._heard = True
        if self._patience is not None:
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
        """Call `resume` once the screen is quiet and shows what was typed. Where nothing is echoed it never will."""
        self._await(lambda: self._tail.decode().strip() in self._line(), PATIENCE)

    def wait_cleared(self) -> None:
        """Call `resume` once the screen shows that nothing is left of the line."""
        self._await(lambda: not self._line().strip(), CLEARING)

    def wait_prompted(self) -> None:
        """Call `resume` once the shell has interrupted itself and prompts again: keys that come earlier may get lost there."""
        self._heard = False
        self._await(lambda: self._heard and self._screen.sheet.row(self._screen.cursor[0]).startswith(self._prompt), PATIENCE)

    def verdict(self) -> Deny | None:
        """On what would be sent now. A line that is refused stays where it began until it is `cleared`."""
        line = self._line()
        if len(line) > LINE_LIMIT or self._sideways:
            deny: Deny | None = TOO_LONG
        else:
            deny = self._judge(line) if line.strip() else None
        if deny is not None:
            self._refused = line[:LINE_LIMIT]
            self._denied(self._refused, deny)
        else:
            self._ended()
        return deny

    def cleared(self) -> bytes:
        """The refused line, for the person to see once more where the shell has deleted it."""
        shown = self._refused if not self._line().strip() else ""
        self._ended()
        return shown.replace("\n", "\r\n").encode()

    def _ended(self) -> None:
        self._anchor, self._tail, self._refused = None, b"", ""

    def _await(self, ready: Callable[[], bool], patience: float) -> None:
        self._stop()
        self._ready, self._patience = ready, self._later(patience, self._impatient)
        self._start()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._later(QUIET, self._due)

    def _stop(self) -> None:
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        self._timer = self._patience = self._ready = None

    def _impatient(self) -> None:
        self._patience = None

    def _due(self) -> None:
        self._timer = None
        if self._patience is not None and self._ready is not None and not self._ready():
            self._start()
            return
        self._stop()
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

    @property
    def _sideways(self) -> bool:
        """Whether the shell shows a part of the line only, and marks that: readline and zsh by `<` in the prompt's place, these and ksh at the row's end."""
        sheet, (row, _) = self._screen.sheet, self._screen.cursor
        shown, full = sheet.row(row).rstrip(), self._screen.columns - 2
        if not self._prompt.strip() or sheet.wraps[row]:
            return False
        return shown.startswith("<") and not self._prompt.startswith("<") or len(shown) >= full and shown.endswith(("<", ">", "*"))

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
        self._deny: Deny | None = None  # told once the shell has deleted the line
        self._refused = 0  # bytes of what is held that go with it
        self._settling = False  # a refused line was interrupted
        self.quiet = False

    def feed(self, stream: int, data: bytes) -> Filtered:
        """Keys are pressed, or text is pasted."""
        if self._held or self._settling:
            self._held += data
            return Filtered()
        return self._take(data)

    def resume(self) -> Filtered:
        """The screen is quiet: tell of what was refused, judge what waits, or go on behind a line that was sent."""
        if not self.quiet:
            return Filtered()
        self.quiet = False
        if self._deny is not None:
            return self._interrupted(self._deny)
        self._settling = False
        if not self._held:
            return Filtered()
        if not self._judging:
            held = bytes(self._held)
            self._held.clear()
            return self._take(held)
        self._deny = self._guard.verdict()
        if self._deny is None:
            return self._passed()
        self._refused = len(self._held)
        self._guard.wait_cleared()
        return Filtered(ahead=CLEARED)

    def _interrupted(self, deny: Deny) -> Filtered:
        self._deny, self._judging, self._settling = None, False, True
        shown = self._guard.cleared()
        self._guard.wait_prompted()
        del self._held[:self._refused]
        return Filtered(dropped=self._refused, ahead=KILLED, back=shown + b"\r\n" + refusal.line(refusal.words(deny)))

    def _passed(self) -> Filtered:
        enter = bytes(self._held[:1])
        del self._held[:1]
        if self._held:
            self._judging = False
            self._guard.wait()
        return Filtered([(0, enter)])

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
