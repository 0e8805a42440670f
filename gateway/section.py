"""
One TOML table, taken apart key by key; what is wrong is noted with its key path and how to mend it.

Nothing is raised: whoever reads asks for everything, so that all problems are found at once.
A key at fault yields a harmless stand-in of its type.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Problems = list["Problem"]

MISSING, UNKNOWN = "is missing", "unknown key"

SHOWN = 400  # characters of what is wrong, and of a mend

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Of a target or an account; protocols.selection reads the same from a user name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """
    :ivar key: where in the file, e.g. "target[0].account[1].auth"; "" for the file itself.
    :ivar wrong: what is wrong with it. Never quotes a secret: there is none in the file.
    :ivar mend: what to do.
    :ivar line: of the file, the first being 1; None where that is not known.
    :ivar names: what it is in, as the file calls that: an addon's class, a rule's or target's name. Outermost first.
    """

    key: str
    wrong: str
    mend: str
    line: int | None = None
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        around = _bounded(", ".join(self.names)) + ": " if self.names else ""
        return f"{around}{self.key + ': ' if self.key else ''}{_bounded(self.wrong)}; {_bounded(self.mend)}"


class Section:
    """
    :param path: its key path, "" for the whole file.
    :param base: the directory that relative paths start from.
    """

    def __init__(self, values: Mapping[str, Any], path: str, base: Path, problems: Problems) -> None:
        self._values, self.path, self._base, self._problems = dict(values), path, base, problems
        self._asked: set[str] = set()

    def wrong(self, key: str, what: str, mend: str) -> None:
        """Note a problem at a key of this table; "" is the table itself."""
        self._problems.append(Problem(self._at(key), what, mend))

    def troubled(self, key: str) -> bool:
        """Whether a problem was noted at a key of this table, or below it."""
        return any(problem.key.startswith(self._at(key)) for problem in self._problems)

    def misnamed(self, keys: re.Pattern[str]) -> bool:
        """Whether a problem was noted at such a key path, or below the tables that these are in at a key that means nothing."""
        return any(keys.fullmatch(one.key) or one.wrong == UNKNOWN and keys.match(one.key) for one in self._problems)

    def has(self, key: str) -> bool:
        """Whether it is there; asking makes it known."""
        self._asked.add(key)
        return key in self._values

    def text(self, key: str, default: str | None = None, known: Collection[str] = (), name: bool = False) -> str:
        """A string; required without a default. `known`: the only values. `name`: letters, digits and . _ - only."""
        value, stand_in = self._take(key, str, "a string", default), default or next(iter(known), "")
        if not isinstance(value, str):
            return stand_in
        if not value.isprintable():
            self.wrong(key, "holds a character that cannot be printed", "take it out")
            return stand_in
        if known and value not in known:
            self.wrong(key, f"{value!r} is not known", f"use {_either(known)}{_nearest(value, known)}")
            return stand_in
        if name and not NAME.fullmatch(value) and value != default:
            self.wrong(key, f"{value!r} cannot be a name", "use letters, digits, '.', '_' and '-', at most 63, first a letter or digit")
        if default is None and not value:
            self.wrong(key, "is empty", "write a value")
        return value

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """A number within bounds, seconds mostly."""
        value = self._take(key, (int, float), "a number", default)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return default
        if not least <= value <= most:
            self.wrong(key, f"{value:g} is out of range", f"use a number from {least:g} to {most:g}")
            return default
        return value

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        if isinstance(self._values.get(key), float):
            self._asked.add(key)
            self.wrong(key, "must be a whole number", f"write for example {default}")
            return default
        return int(self.number(key, default, least, most))

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, bool, "true or false", default)
        return value if isinstance(value, bool) else default

    def texts(self, key: str, default: Collection[str] = (), known: Collection[str] = ()) -> tuple[str, ...]:
        """A list of strings without repetitions."""
        values = self._take(key, list, 'a list of strings, such as ["a", "b"]', list(default))
        if not isinstance(values, list):
            return tuple(default)
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value:
                self.wrong(f"{key}[{index}]", "must be a string, not empty", "put it in quotes")
            elif known and value not in known:
                self.wrong(f"{key}[{index}]", f"{value!r} is not known", f"use {_either(known)}{_nearest(value, known)}")
            elif value in values[:index]:
                self.wrong(f"{key}[{index}]", f"{value!r} is there twice", "take one out")
        return tuple(value for value in values if isinstance(value, str))

    def labels(self, key: str) -> dict[str, str]:
        """A table of strings."""
        values = self._take(key, dict, 'a table, such as { phi = "yes" }', {})
        if not isinstance(values, dict):
            return {}
        for name, value in values.items():
            if not isinstance(value, str):
                self.wrong(f"{key}.{name}", "must be a string", "put it in quotes")
        return {name: value for name, value in values.items() if isinstance(value, str)}

    def directory(self, key: str, default: str) -> Path:
        """An absolute path, not looked at."""
        return self._base / self.text(key, default)

    def file(self, key: str, default: str | None = None, private: bool = False, mend: str = "") -> Path:
        """A file that is there; with `private`, one that only its owner can read."""
        written = self.text(key, default)
        path = self._base / written
        if written:
            self._look(key, path, private, mend or "correct the path, or put the file there")
        return path

    def files(self, key: str, private: bool = False, mend: str = "") -> list[Path]:
        """Files that are there."""
        paths = [self._base / written for written in self.texts(key)]
        for index, path in enumerate(paths):
            self._look(f"{key}[{index}]", path, private, mend)
        return paths

    def optional_file(self, key: str, private: bool = False) -> Path | None:
        """None when the key is not there."""
        return self.file(key, private=private) if self.has(key) else None

    def section(self, key: str) -> Section:
        """The table at a key; an empty one when it is not there."""
        value = self._take(key, dict, f"a table: [{self._at(key)}]", {})
        return Section(value if isinstance(value, dict) else {}, self._at(key), self._base, self._problems)

    def sections(self, key: str) -> list[Section]:
        """The tables of an array, [[key]]."""
        values = self._take(key, list, f"an array of tables: [[{key}]]", [])
        if not isinstance(values, list):
            return []
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                self.wrong(f"{key}[{index}]", "must be a table", f"write it below [[{key}]]")
        pairs = [(index, value) for index, value in enumerate(values) if isinstance(value, dict)]
        return [Section(value, f"{self._at(key)}[{index}]", self._base, self._problems) for index, value in pairs]

    def rest(self) -> dict[str, Any]:
        """What nobody asked for: an addon's options."""
        return {key: value for key, value in self._values.items() if key not in self._asked}

    def end(self) -> None:
        """Complain about keys that nobody asked for."""
        for key in self.rest():
            near = difflib.get_close_matches(key, self._asked, 1)
            known = ", ".join(sorted(self._asked))
            for meant in near:  # that it is missing only follows
                self._problems[:] = [one for one in self._problems if (one.key, one.wrong) != (self._at(meant), MISSING)]
            self.wrong(key, UNKNOWN, f"did you mean {near[0]!r}?" if near else f"take it out; known here: {known}")

    def _take(self, key: str, kinds: type | tuple[type, ...], what: str, default: Any) -> Any:
        """The value, the default, or None after a complaint."""
        self._asked.add(key)
        if key not in self._values:
            if default is None:
                self.wrong(key, MISSING, f"write {what}")
            return default
        value = self._values[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            self.wrong(key, f"must be {what}, not {_kind(value)}", f"write {what}")
            return None
        return value

    def _look(self, key: str, path: Path, private: bool, mend: str) -> None:
        try:
            found = path.stat()
            with path.open("rb"):
                pass
        except OSError as error:
            self.wrong(key, f"{path}: {(error.strerror or 'cannot be read').lower()}", mend)
            return
        if not stat.S_ISREG(found.st_mode):
            self.wrong(key, f"{path} is no file", mend)
        elif private and stat.S_IMODE(found.st_mode) & 0o077:
            self.wrong(key, f"{path} holds a key and others can read it", f"run: chmod 600 {path}")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key


def _bounded(text: str) -> str:
    """What a person reads; a message may quote a value of any length."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} … {text[-SHOWN // 2 :]}"


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "a table"}
    return kinds.get(type(value), "a date or time")


def _either(known: Collection[str]) -> str:
    quoted = [f'"{value}"' for value in known]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _nearest(value: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(value, known, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
