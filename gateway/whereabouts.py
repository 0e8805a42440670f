"""
A key path of a TOML file, such as "addon[5].rules[0].verdict", to its line, and to the names of what it is in.

`tomllib` keeps no positions, so the text is read a second time, only when something is to be complained about. It is TOML
already; whatever is not understood here all the same is left without a line.

Source: TOML 1.0.0, sections "Keys", "String", "Array", "Inline Table", "Array of Tables".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:\\.|[^"\\\n])*)"|'([^'\n]*)')[ \t]*""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")' + r"|'''.*?'{3,5}(?!')" + r'|"(?:\\.|[^"\\\n])*"' + r"|'[^'\n]*'", re.DOTALL,
)  # fmt: skip
_SCALAR = re.compile(r"[^,\]}\n#]+")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

_NAMES = ("use", "name", "subject")
"""Keys by which a person knows one table of several."""

_DEEPEST = 64  # arrays and tables inside one another; nobody writes more


class _Unread(Exception):
    """Not what was expected; no more lines are known."""


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._table, self._counts = "", dict[str, int]()
        self.lines: dict[str, int] = {}

    def read(self) -> None:
        while self._skip() < len(self._text):
            if self._text.startswith("[", self._at):
                self._header()
            else:
                self._pair(self._table, 0)

    def _skip(self) -> int:
        self._at = _SPACE.match(self._text, self._at).end()
        return self._at

    def _expect(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise _Unread
        self._at += len(sign)

    def _keys(self) -> Iterator[str]:
        while True:
            found = _KEY.match(self._text, self._at)
            if found is None:
                raise _Unread
            self._at = found.end()
            yield next(part for part in found.groups() if part is not None)
            if not self._text.startswith(".", self._at):
                return
            self._at += 1

    def _header(self) -> None:
        begin, many = self._at, self._text.startswith("[[", self._at)
        self._at += 1 + many
        names, path = list(self._keys()), ""
        self._expect("]" * (1 + many))
        for name in names[:-1]:
            path = self._inside(_joined(path, name))
            self._note(path, begin)
        path = _joined(path, names[-1])
        if many:
            self._counts[path] = self._counts.get(path, 0) + 1
            self._note(path, begin)
        self._table = self._inside(path)
        self._note(self._table, begin)

    def _inside(self, path: str) -> str:
        """The newest table, where that is an array of them."""
        return f"{path}[{self._counts[path] - 1}]" if path in self._counts else path

    def _pair(self, table: str, depth: int) -> None:
        begin, path = self._at, table
        for name in self._keys():
            path = _joined(path, name)
            self._note(path, begin)
        self._expect("=")
        self._value(path, depth)

    def _value(self, path: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise _Unread
        self._skip()
        if self._text.startswith("[", self._at):
            self._several("]", lambda index: self._item(f"{path}[{index}]", depth + 1))
        elif self._text.startswith("{", self._at):
            self._several("}", lambda _index: self._pair(path, depth + 1))
        else:
            found = _STRING.match(self._text, self._at) or _SCALAR.match(self._text, self._at)
            if found is None:
                raise _Unread
            self._at = found.end()

    def _item(self, path: str, depth: int) -> None:
        self._note(path, self._at)
        self._value(path, depth)

    def _several(self, end: str, each: Any) -> None:
        """What stands between brackets, with commas."""
        self._at, index = self._at + 1, 0
        while self._skip() < len(self._text) and not self._text.startswith(end, self._at):
            each(index)
            index += 1
            self._skip()
            if self._text.startswith(",", self._at):
                self._at += 1
        self._expect(end)

    def _note(self, path: str, at: int) -> None:
        self.lines.setdefault(path, self._text.count("\n", 0, at) + 1)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def lines(text: str) -> dict[str, int]:
    """Every key path and the number of the line where it begins, the first being 1."""
    reader = _Reader(text)
    try:
        reader.read()
    except (_Unread, RecursionError):
        pass
    return reader.lines


def line(known: Mapping[str, int], key: str) -> int | None:
    """Of a key path; of the nearest table around one that is not there. None where nothing around it is known either."""
    while key and key not in known:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return known.get(key)


def place(file: Path, text: bytes, key: str) -> str:
    """As problems begin: FILE:LINE: KEY, of a file that is a configuration."""
    found = line(lines(text.decode()), key)
    return f"{file}{f':{found}' if found else ''}: {key}"


def names(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """What the tables around a key path are called, outermost first: an addon's `use`, a rule's or target's `name`, a `subject`."""
    found: list[str] = []
    here: Any = values
    for index, name in _STEP.findall(key):
        if isinstance(here, Mapping):
            here = here.get(name)
        elif isinstance(here, list) and index and int(index) < len(here):
            here = here[int(index)]
        else:
            break
        if index and isinstance(here, Mapping):
            found += [said for known in _NAMES if isinstance(said := here.get(known), str) and said][:1]
    return tuple(found)
