"""
What a terminal shows: output bytes in, lines of characters out. No colours, no keyboard, no clock.

It serves reading: line rules, search in recordings, and the proof that a recording shows what was shown. Memory is
bounded by the size of the screen; what scrolls away is counted, and kept until it is read once.

Source: ECMA-48; xterm's control sequences (ctlseqs), of which the subset that programs under Linux use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from unicodedata import category, east_asian_width

from protocols.escapes import Escapes
from protocols.sheet import Sheet

SIZE_LIMIT = 1000
"""Rows or columns; a client may ask for 2^32 - 1 of each, which we do not allocate."""
_TAB = 8
_COUNT_LIMIT = 65535  # of one parameter
_GRAPHICS = str.maketrans("`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")


@lru_cache(4096)
def width(char: str) -> int:
    """Columns that a character takes: 0, 1 or 2."""
    if category(char) in ("Mn", "Me", "Cf") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


@dataclass(slots=True)
class _Cursor:
    row: int = 0
    column: int = 0
    wraps: bool = False  #: the last column was written; the next character begins a line
    origin: bool = False
    graphics: list[bool] = field(default_factory=lambda: [False, False])  #: G0, G1: line drawing?
    shifted: int = 0

    def copy(self) -> _Cursor:
        return _Cursor(self.row, self.column, self.wraps, self.origin, list(self.graphics), self.shifted)


class Screen:
    """See the module."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns, self.rows = _size(columns, 80), _size(rows, 24)
        self._escapes = Escapes(self)
        self._main = Sheet(self.columns, self.rows, keeps=True)
        self._reset()

    def _reset(self) -> None:
        self._alternate_sheet = Sheet(self.columns, self.rows, keeps=False)
        self._main.clear(0, self.rows)
        self._sheet = self._main
        self._cursor, self._saved, self._saved_main = _Cursor(), _Cursor(), _Cursor()
        self._top, self._bottom = 0, self.rows - 1
        self._autowrap, self._inserts, self._newline = True, False, False
        self._tabs = list(range(_TAB, self.columns, _TAB))
        self._last = ""

    # Reading

    def feed(self, data: bytes) -> None:
        """Output of the program."""
        self._escapes.feed(data)

    @property
    def cursor(self) -> tuple[int, int]:
        """(row, column), from 0."""
        return self._cursor.row, self._cursor.column

    @property
    def alternate(self) -> bool:
        """Whether a full-screen program has the screen."""
        return self._sheet is not self._main

    @property
    def settled(self) -> bool:
        """Whether no sequence is half received."""
        return self._escapes.between

    @property
    def scrolled(self) -> int:
        """Lines that have left at the top of the main screen, since the beginning."""
        return self._main.scrolled

    @property
    def sheet(self) -> Sheet:
        """What shows, to be read."""
        return self._sheet

    def display(self) -> list[str]:
        """All rows, without trailing blanks."""
        return ["".join(row).rstrip() for row in self._sheet.cells]

    def changed(self) -> Iterator[str]:
        """Lines that were written since this was asked last."""
        yield from self._main.changed()
        yield from self._alternate_sheet.changed()

    def resize(self, columns: int, rows: int) -> None:
        """The window has another size. Lines are cut or padded, not wrapped anew; the cursor's line stays."""
        columns, rows = _size(columns, self.columns), _size(rows, self.rows)
        drop = max(0, self._cursor.row - rows + 1)
        for sheet in (self._main, self._alternate_sheet):
            sheet.fit(columns, rows, drop if sheet is self._sheet else 0)
        self.columns, self.rows = columns, rows
        self._top, self._bottom = 0, rows - 1
        self._tabs = list(range(_TAB, columns, _TAB))
        self._cursor.row -= drop
        for cursor in (self._cursor, self._saved, self._saved_main):
            cursor.row, cursor.column = min(cursor.row, rows - 1), min(cursor.column, columns - 1)
            cursor.wraps = False

    # protocols.escapes.Parts

    def text(self, text: str) -> None:
        """Printable characters at the cursor."""
        if self._cursor.graphics[self._cursor.shifted]:
            text = text.translate(_GRAPHICS)
        if text.isascii():
            self._narrow(text)
            return
        for char in text:
            wide = 1 if char < "\u0300" and char != "\xad" else width(char)
            if wide == 1:
                self._narrow(char)
            elif wide == 2:
                self._wide(char)
            else:
                self._combine(char)

    def control(self, char: str) -> None:
        """Carry out one control character."""
        cursor = self._cursor
        if char == "\n" or char in "\x0b\x0c":
            self._index()
            if self._newline:
                self._at(cursor.row, 0)
        elif char == "\r":
            self._at(cursor.row, 0)
        elif char == "\b":
            self._at(cursor.row, max(0, cursor.column - 1))
        elif char == "\t":
            self._at(cursor.row, next((stop for stop in self._tabs if stop > cursor.column), self.columns - 1))
        elif char in "\x0e\x0f":
            cursor.shifted = int(char == "\x0e")

    def escape(self, between: str, final: str) -> None:
        """Carry out one escape sequence."""
        if between in ("(", ")"):
            self._cursor.graphics[between == ")"] = final == "0"
        elif between == "#" and final == "8":
            self._at(0, 0)
            for row in range(self.rows):
                self._sheet.put(row, 0, "E" * self.columns)
        elif not between and final in _ESCAPES:
            _ESCAPES[final](self)

    def sequence(self, parameters: str, between: str, final: str) -> None:
        """Carry out one control sequence."""
        if between:
            if between == "!" and final == "p":
                self._soft_reset()
        elif parameters[:1] == "?":
            if final in "hl":
                for mode in _numbers(parameters[1:]):
                    self._private(mode, final == "h")
        elif parameters[:1] < "<" and final in _SEQUENCES:
            _SEQUENCES[final](self, _numbers(parameters))

    # Writing

    def _narrow(self, text: str) -> None:
        """Characters of one column each."""
        cursor, at, end = self._cursor, 0, len(text)
        self._last = text[-1]
        while at < end:
            if cursor.wraps and self._autowrap:
                self._wrap()
            room = self.columns - cursor.column
            if not self._autowrap and end - at > room:  # the last column is written again and again
                text, at, end = text[at:at + room - 1] + text[-1], 0, room
            run = text[at:at + room]
            self._put(run)
            at += len(run)

    def _put(self, cells: str | list[str]) -> None:
        """At the cursor, in one row; there is room."""
        cursor = self._cursor
        if self._inserts:
            self._sheet.insert(cursor.row, cursor.column, cells)
        else:
            self._sheet.put(cursor.row, cursor.column, cells)
        cursor.column += len(cells)
        if cursor.column >= self.columns:
            cursor.column, cursor.wraps = self.columns - 1, True

    def _wide(self, char: str) -> None:
        cursor = self._cursor
        if self.columns < 2 or (cursor.column == self.columns - 1 and not self._autowrap):
            return
        if cursor.column == self.columns - 1:  # it does not fit, or the column is taken
            self._wrap()
        self._last = char
        self._put([char, ""])

    def _combine(self, char: str) -> None:
        """With the character before the cursor."""
        column = self._cursor.column - (not self._cursor.wraps)
        if column >= 0:
            self._sheet.combine(self._cursor.row, column, char)

    def _wrap(self) -> None:
        self._sheet.wraps[self._cursor.row] = self._cursor.row < self.rows - 1 or self._bottom == self.rows - 1
        self._cursor.column = 0
        self._index()

    # Moving

    def _at(self, row: int, column: int) -> None:
        self._cursor.row, self._cursor.column, self._cursor.wraps = row, column, False

    def _index(self) -> None:
        """Down one row; at the region's end it scrolls."""
        cursor = self._cursor
        cursor.wraps = False
        if cursor.row == self._bottom:
            wrapped = self._sheet.wraps[cursor.row]
            self._scroll_up([1])
            if wrapped and cursor.row > 0:
                self._sheet.wraps[cursor.row - 1] = True
        elif cursor.row < self.rows - 1:
            cursor.row += 1

    def _reverse(self) -> None:
        self._cursor.wraps = False
        if self._cursor.row == self._top:
            self._scroll_down([1])
        elif self._cursor.row > 0:
            self._cursor.row -= 1

    def _next_line(self) -> None:
        self._index()
        self._at(self._cursor.row, 0)

    def _up(self, p: list[int]) -> None:
        row = self._cursor.row
        least = self._top if row >= self._top else 0
        self._at(max(least, row - max(1, p[0])), self._cursor.column)

    def _down(self, p: list[int]) -> None:
        row = self._cursor.row
        most = self._bottom if row <= self._bottom else self.rows - 1
        self._at(min(most, row + max(1, p[0])), self._cursor.column)

    def _right(self, p: list[int]) -> None:
        self._at(self._cursor.row, min(self.columns - 1, self._cursor.column + max(1, p[0])))

    def _left(self, p: list[int]) -> None:
        self._at(self._cursor.row, max(0, self._cursor.column - max(1, p[0])))

    def _down_first(self, p: list[int]) -> None:
        self._down(p)
        self._at(self._cursor.row, 0)

    def _up_first(self, p: list[int]) -> None:
        self._up(p)
        self._at(self._cursor.row, 0)

    def _to_column(self, p: list[int]) -> None:
        self._at(self._cursor.row, min(max(1, p[0]), self.columns) - 1)

    def _to_row(self, p: list[int]) -> None:
        self._to([p[0], self._cursor.column + 1])

    def _to(self, p: list[int]) -> None:
        row, column = max(1, p[0]) - 1, max(1, p[1] if len(p) > 1 else 1) - 1
        top, bottom = (self._top, self._bottom) if self._cursor.origin else (0, self.rows - 1)
        self._at(min(top + row, bottom), min(column, self.columns - 1))

    # Erasing, inserting, deleting

    def _erase_display(self, p: list[int]) -> None:
        row = self._cursor.row
        if p[0] == 0:
            self._erase_line([0])
            self._sheet.clear(row + 1, self.rows)
        elif p[0] == 1:
            self._sheet.clear(0, row)
            self._erase_line([1])
        elif p[0] == 2:
            self._sheet.clear(0, self.rows)

    def _erase_line(self, p: list[int]) -> None:
        column = self._cursor.column
        first, end = {0: (column, self.columns), 1: (0, column + 1), 2: (0, self.columns)}.get(p[0], (0, 0))
        if first < end:
            self._sheet.blank(self._cursor.row, first, end)
        self._cursor.wraps = False

    def _erase_characters(self, p: list[int]) -> None:
        column = self._cursor.column
        self._sheet.blank(self._cursor.row, column, min(self.columns, column + max(1, p[0])))
        self._cursor.wraps = False

    def _insert_characters(self, p: list[int]) -> None:
        row, column = self.cursor
        self._sheet.insert(row, column, [" "] * min(max(1, p[0]), self.columns - column))
        self._cursor.wraps = False

    def _delete_characters(self, p: list[int]) -> None:
        self._sheet.delete(*self.cursor, max(1, p[0]))
        self._cursor.wraps = False

    def _insert_lines(self, p: list[int]) -> None:
        row = self._cursor.row
        if self._top <= row <= self._bottom:
            self._sheet.add(row, max(1, p[0]), self._bottom)
            self._at(row, 0)

    def _delete_lines(self, p: list[int]) -> None:
        row = self._cursor.row
        if self._top <= row <= self._bottom:
            self._sheet.remove(row, max(1, p[0]), self._bottom)
            self._at(row, 0)

    def _scroll_up(self, p: list[int]) -> None:
        self._sheet.remove(self._top, max(1, p[0]), self._bottom)

    def _scroll_down(self, p: list[int]) -> None:
        self._sheet.add(self._top, max(1, p[0]), self._bottom)

    def _region(self, p: list[int]) -> None:
        top, bottom = max(1, p[0]) - 1, (p[1] if len(p) > 1 and p[1] else self.rows) - 1
        bottom = min(bottom, self.rows - 1)
        if top < bottom:
            self._top, self._bottom = top, bottom
            self._to([1, 1])

    def _repeat(self, p: list[int]) -> None:
        if self._last:
            self.text(self._last * min(max(1, p[0]), self.columns * self.rows))

    # Tabs and modes

    def _set_tab(self) -> None:
        self._tabs = sorted({*self._tabs, self._cursor.column})

    def _clear_tab(self, p: list[int]) -> None:
        if p[0] == 0:
            self._tabs = [stop for stop in self._tabs if stop != self._cursor.column]
        elif p[0] == 3:
            self._tabs = []

    def _tab_forward(self, p: list[int]) -> None:
        after = [stop for stop in self._tabs if stop > self._cursor.column]
        count = max(1, p[0])
        self._at(self._cursor.row, after[count - 1] if count <= len(after) else self.columns - 1)

    def _tab_back(self, p: list[int]) -> None:
        before = [stop for stop in self._tabs if stop < self._cursor.column]
        count = max(1, p[0])
        self._at(self._cursor.row, before[-count] if count <= len(before) else 0)

    def _mode(self, modes: list[int], on: bool) -> None:
        for mode in modes:
            if mode == 4:
                self._inserts = on
            elif mode == 20:
                self._newline = on

    def _private(self, mode: int, on: bool) -> None:
        if mode == 6:
            self._cursor.origin = on
            self._to([1, 1])
        elif mode == 7:
            self._autowrap = on
            self._cursor.wraps = False
        elif mode in (47, 1047, 1049):
            self._alternate(on, mode == 1049)
        elif mode == 1048:
            self._save() if on else self._restore()

    def _alternate(self, on: bool, cursor: bool) -> None:
        """The other screen, which begins empty; 1049 keeps the cursor too."""
        if on and not self.alternate:
            if cursor:
                self._saved_main = self._cursor.copy()
            self._sheet = self._alternate_sheet
            self._sheet.clear(0, self.rows)
        elif not on and self.alternate:
            self._sheet = self._main
            if cursor:
                self._cursor = self._saved_main.copy()

    def _save(self) -> None:
        self._saved = self._cursor.copy()

    def _restore(self) -> None:
        self._cursor = self._saved.copy()

    def _soft_reset(self) -> None:
        self._inserts, self._autowrap = False, True
        self._top, self._bottom = 0, self.rows - 1
        self._cursor.origin, self._cursor.graphics, self._cursor.shifted = False, [False, False], 0
        self._saved = _Cursor()


_SEQUENCES: dict[str, Callable[[Screen, list[int]], None]] = {
    "A": Screen._up, "B": Screen._down, "C": Screen._right, "D": Screen._left, "E": Screen._down_first,
    "F": Screen._up_first, "G": Screen._to_column, "H": Screen._to, "I": Screen._tab_forward, "J": Screen._erase_display,
    "K": Screen._erase_line, "L": Screen._insert_lines, "M": Screen._delete_lines, "P": Screen._delete_characters,
    "S": Screen._scroll_up, "T": Screen._scroll_down, "X": Screen._erase_characters, "Z": Screen._tab_back,
    "@": Screen._insert_characters, "`": Screen._to_column, "a": Screen._right, "b": Screen._repeat,
    "d": Screen._to_row, "e": Screen._down, "f": Screen._to, "g": Screen._clear_tab,
    "h": lambda screen, modes: screen._mode(modes, True), "l": lambda screen, modes: screen._mode(modes, False),
    "r": Screen._region, "s": lambda screen, _: screen._save(), "u": lambda screen, _: screen._restore(),
}
_ESCAPES: dict[str, Callable[[Screen], None]] = {
    "7": Screen._save, "8": Screen._restore, "D": Screen._index, "E": Screen._next_line, "H": Screen._set_tab,
    "M": Screen._reverse, "c": Screen._reset,
}


def _size(asked: int, otherwise: int) -> int:
    return min(asked, SIZE_LIMIT) if asked > 0 else otherwise


def _numbers(parameters: str) -> list[int]:
    """Parameters by position; what is empty or no number is 0. Sub-parameters (after a colon) are not looked at."""
    if not parameters:
        return [0]
    parts = (part.partition(":")[0] for part in parameters.split(";"))
    return [min(int(part[:6]), _COUNT_LIMIT) if part.isdigit() else 0 for part in parts]
