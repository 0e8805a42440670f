"""
Rows and columns of characters: written, erased, moved and scrolled. Knows no cursor and no sequences.

A wide character takes two cells, the second one ""; whatever cuts it in two leaves blanks. Each row remembers whether its
line goes on in the next, and whether it was written since somebody looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

LEFT_LIMIT = 1 << 20
"""Characters kept of lines that scrolled away between two looks; a chunk of a recording has at most 48 KiB."""
COMBINED_LIMIT = 8
"""Characters that one cell may hold."""
_LINE_LIMIT = 64  # rows read as one line
_BLANK = " "


class Sheet:
    """
    :param keeps: whether lines that leave at the top are counted and can be read once more.
    :ivar scrolled: how many did, since the beginning.
    """

    def __init__(self, columns: int, rows: int, keeps: bool) -> None:
        self.columns, self.rows, self._keeps = columns, rows, keeps
        self._empty = [_BLANK] * columns  # shared by all rows that nothing was written to
        self.cells: list[list[str]] = [self._empty] * rows
        self.wraps = [False] * rows
        self._touched = [False] * rows
        self._left: list[str] = []
        self._left_size = 0
        self._goes_on = False  # the last of `_left` does, in a row that has not left
        self.scrolled = 0

    def row(self, number: int) -> str:
        """One row's characters, trailing blanks and all."""
        return "".join(self.cells[number])

    def line(self, number: int) -> tuple[int, int]:
        """The first and the last row of the line that a row is part of."""
        first = last = number
        while first > 0 and self.wraps[first - 1] and number - first < _LINE_LIMIT:
            first -= 1
        while last < self.rows - 1 and self.wraps[last] and last - number < _LINE_LIMIT:
            last += 1
        return first, last

    def changed(self) -> Iterator[str]:
        """Lines that were written since this was asked last, whole; first those that scrolled away."""
        left, self._left, self._left_size = self._left, [], 0
        touched, self._touched = self._touched, [False] * self.rows
        yield from left
        end = 0
        for number in range(self.rows):
            if touched[number] and number >= end:
                first, last = self.line(number)
                end = last + 1
                yield "".join(map(self.row, range(first, end))).rstrip()

    # Cells of one row

    def put(self, row: int, column: int, cells: Sequence[str]) -> None:
        """Over what is there; all of it fits."""
        there, end = self._own(row), column + len(cells)
        if there[column] == "":
            self._mend(there, column)
        if end < self.columns:
            if there[end] == "":
                self._mend(there, end)
        else:
            self.wraps[row] = False
        there[column:end] = cells
        self._touched[row] = True

    def insert(self, row: int, column: int, cells: Sequence[str]) -> None:
        """What is there moves to the right, and out."""
        there = self._own(row)
        self._mend(there, column)
        there[column:column] = cells
        self._mend(there, self.columns)
        del there[self.columns:]
        self._touched[row] = True

    def delete(self, row: int, column: int, count: int) -> None:
        """What is to the right moves here."""
        there, count = self._own(row), min(count, self.columns - column)
        self._mend(there, column)
        self._mend(there, column + count)
        del there[column:column + count]
        there.extend([_BLANK] * count)
        self._touched[row] = True

    def blank(self, row: int, column: int, end: int) -> None:
        """Up to before `end`."""
        there = self._own(row)
        self._mend(there, column)
        self._mend(there, end)
        there[column:end] = [_BLANK] * (end - column)
        self._touched[row] = True
        if end == self.columns and column < end:
            self.wraps[row] = False

    def combine(self, row: int, column: int, char: str) -> None:
        """With the character in a cell, or with the one whose second half it is."""
        there = self._own(row)
        if column > 0 and there[column] == "":
            column -= 1
        if len(there[column]) < COMBINED_LIMIT:
            there[column] += char
            self._touched[row] = True

    # Whole rows

    def clear(self, first: int, end: int) -> None:
        """Rows up to before `end`."""
        for row in range(first, end):
            self.cells[row], self.wraps[row], self._touched[row] = self._empty, False, False
        if 0 < first < end:
            self.wraps[first - 1] = False

    def remove(self, at: int, count: int, bottom: int) -> None:
        """Rows leave at `at`, blank ones come at `bottom`."""
        count = min(count, bottom - at + 1)
        if at == 0 and self._keeps:
            self._keep(count)
        self._move(at, bottom - count + 1, count, at, bottom)

    def add(self, at: int, count: int, bottom: int) -> None:
        """Blank rows come at `at`, others leave at `bottom`."""
        count = min(count, bottom - at + 1)
        self._move(bottom - count + 1, at, count, at, bottom)

    def fit(self, columns: int, rows: int, drop: int) -> None:
        """Another size: lines are cut or padded; `drop` rows leave at the top."""
        if self._keeps and drop:
            self._keep(drop)
        same = columns == self.columns
        self.cells, self.wraps = [list(row) for row in self.cells[drop:drop + rows]], self.wraps[drop:drop + rows]
        for row in self.cells:
            self._mend(row, columns)
            del row[columns:]
            row.extend([_BLANK] * (columns - len(row)))
        missing = rows - len(self.cells)
        self.columns, self.rows, self._empty = columns, rows, [_BLANK] * columns
        self.cells += [self._empty] * missing
        self.wraps = self.wraps + [False] * missing if same else [False] * rows
        self.wraps[-1] = False
        self._touched = [True] * rows

    # Inside

    def _own(self, row: int) -> list[str]:
        """A row's cells, to be written: no longer those that all empty rows share."""
        there = self.cells[row]
        if there is self._empty:
            there = self.cells[row] = [_BLANK] * self.columns
        return there

    @staticmethod
    def _mend(row: list[str], column: int) -> None:
        """No wide character lies across the left edge of a column."""
        if 0 < column < len(row) and row[column] == "":
            row[column - 1] = row[column] = _BLANK

    def _move(self, leave: int, come: int, count: int, at: int, bottom: int) -> None:
        """`count` rows leave at one place, and blank ones come at another (counted after that)."""
        del self.cells[leave:leave + count], self.wraps[leave:leave + count], self._touched[leave:leave + count]
        self.cells[come:come] = [self._empty] * count
        self.wraps[come:come] = self._touched[come:come] = [False] * count
        if at > 0:
            self.wraps[at - 1] = False
        self.wraps[bottom] = False

    def _keep(self, count: int) -> None:
        """What scrolls away: counted, and its text kept until somebody looks, if it was written since the last look."""
        self.scrolled += count
        for row in range(count):
            if not self._touched[row] or self._left_size >= LEFT_LIMIT:
                self._goes_on = False
                continue
            text = self.row(row)
            goes_on = self.wraps[row] and row + 1 < self.rows
            if self._goes_on and self._left:
                self._left[-1] += text if goes_on else text.rstrip()
            else:
                self._left.append(text if goes_on else text.rstrip())
            self._goes_on = goes_on
            self._left_size += len(text)
