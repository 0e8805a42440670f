"""
A command line to what rules ask about it: every program that a shell would start, and whether all of that is known.

The shell's lexer says what is known. What a program does with its arguments is the program's own: here only those that
start others are looked into, and what cannot be looked into is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from addons.shell.known import INTERPRETERS, Known, Transfer, known, moves, perhaps, plain, secluded, takes_orders
from addons.shell.lexer import Opaque, Simple, split
from addons.shell.starters import TOLD_LIMIT, is_shell, places, shell_line, starts, told

AMONG_LIMIT = 1024
"""Programs in lines among a program's words. A line with more cannot be known."""
DEPTH_LIMIT = 4
"""Lines in lines among words: each is read whole and word by word, so that work doubles with each."""
_EVALUATES = frozenset("eval source . trap alias let enable bind compgen complete hash".split())
"""Builtins whose words are commands, expressions that may hold some, or other meanings of names."""
_ASSIGNS = frozenset("read mapfile readarray getopts declare typeset local export readonly integer float vared setvar".split())
"""Builtins whose words name variables that they set, PATH among them."""
_ASSIGNS_IF_TOLD = {"printf": "-v", "print": "-v", "wait": "-p"}
_SUBSCRIPTS = frozenset(
    "test [ printf print read unset declare typeset local export readonly integer float mapfile readarray wait getopts exit return shift break continue"
    " kill umask ulimit set compopt zparseopts sched jobs fg bg disown logout vared setvar".split()
)
"""Builtins that may take a word for a variable or a number. Shells expand what is in brackets behind it, whatever quotes are around."""
_EXPANDED = frozenset("$`<>(")
_WORDS = re.compile(r"[^\s;|&()<>{}`$=,:@!]+")
_QUOTES = str.maketrans("", "", "'\"\\")
_HARMLESS = frozenset({"/dev/null"})
_USUAL = frozenset(
    "/bin /usr/bin /usr/local/bin /opt/homebrew/bin /usr/lib/git-core /usr/libexec/git-core /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh"
    " /usr/libexec".split()
)
"""Where systems keep the programs that transfer files. One of that name from elsewhere is any program."""


@dataclass(frozen=True, slots=True)
class Started:
    """
    One program of a line.

    :ivar program: its first word; "" where only the shell knows it.
    :ivar words: all words, for rules that refuse.
    :ivar files: those that it reads or writes by redirection, /dev/null too.
    :ivar opaque: whether part of it is known to the shell alone.
    :ivar transfer: what it moves, by `addons.shell.known`.
    """

    program: str
    words: tuple[str, ...]
    files: tuple[str, ...]
    opaque: bool
    transfer: Known

    @property
    def name(self) -> str:
        return self.program.rpartition("/")[2]

    @property
    def redirects(self) -> bool:
        """Whether it reads or writes files by redirection."""
        return not _HARMLESS.issuperset(self.files)

    def mentions(self, programs: frozenset[str]) -> bool:
        """Whether it is one of these, or starts others and one of these is among its words, or in one that holds a line."""
        words = self.words if self._starts or plain(self.name) in INTERPRETERS else self.words[:1]
        if any(word in programs or word.rpartition("/")[2] in programs for word in words):
            return True
        return self._starts and any(name in programs for word in words[1:] for name in _told(word))

    @property
    def usual(self) -> bool:
        """Whether it is found by PATH, or where systems keep such programs."""
        return "/" not in self.program or self.program.rpartition("/")[0] in _USUAL

    @property
    def may_move(self) -> frozenset[Transfer]:
        """All that it may transfer, also by what it is told to start."""
        return frozenset().union(*map(perhaps, self._told()))

    @property
    def secluded(self) -> bool:
        """Whether what it moves is told on its standard input."""
        return any(map(secluded, self._told()))

    def _told(self) -> Iterator[Sequence[str]]:
        """Its words, and what else among them may be a command. Lines among them are programs of their own."""
        yield self.words
        if self._starts:
            named = (at for at, word in enumerate(self.words[1:], 1) if moves(word))
            told_to = (at for at in places(self.words) if takes_orders(self.words[at]))
            yield from (self._behind(at) for at in (*islice(named, TOLD_LIMIT), *islice(told_to, TOLD_LIMIT)))

    def _behind(self, at: int) -> Sequence[str]:
        """Words from there on; find's end where it says so."""
        ends = (end for end, word in enumerate(self.words[at:], at) if word in (";", "+")) if "find" in self.words[:at] or self.name == "find" else ()
        return self.words[at:next(iter(ends), None)]

    @property
    def _starts(self) -> bool:
        return starts(self.words)

    def is_one_of(self, programs: frozenset[str]) -> bool:
        """Whether it is one of these: a name without a slash is found by PATH, a path is that path."""
        return self.program in programs


@dataclass(frozen=True, slots=True)
class Line:
    """
    :ivar known: whether everything that would run is in `started`.
    :ivar words: of what could not be read, each also as its file's name alone.
    :ivar every: for rules that refuse: `started`, and what these are or may be told to start by a line among their words.
    :ivar sure: whether all of that is in `every`.
    """

    started: tuple[Started, ...]
    known: bool
    words: frozenset[str] = frozenset()
    every: tuple[Started, ...] = ()
    sure: bool = True

    def mentions(self, programs: frozenset[str]) -> bool:
        """Whether it starts one of these, as far as it could be read, or has its name where it could not."""
        return not programs.isdisjoint(self.words) or any(each.mentions(programs) for each in self.every)


@lru_cache(maxsize=4096)
def read(line: bytes, *, compound: bool = False, depth: int = 0) -> Line:
    """
    What a POSIX shell would start. Never raises: what cannot be read is not known.

    :param compound: loops, conditions and groups are looked into, for rules that only refuse.
    :param depth: in how many lines among other programs' words this one is.
    """
    text = line.decode("utf-8", "backslashreplace")
    try:
        line.decode()
        commands = split(text, compound=compound)
    except (UnicodeDecodeError, Opaque):
        return Line((), False, frozenset(_named(text)), sure=False)
    started = tuple(_started(command) for command in commands)
    inside, among = [_inside(each, compound, depth) for each in started], [_among(each, compound, depth) for each in started]
    whole = started + tuple(more for line in inside for more in line.started)
    known = all(not each.opaque for each in started) and all(line.known for line in inside)
    every = tuple(more for each, line, maybe in zip(started, inside, among) for more in (each, *line.every, *maybe.every))
    words = frozenset().union(*(line.words for line in (*inside, *among)))
    return Line(whole, known, words, every, known and all(line.sure for line in (*inside, *among)))


def _named(text: str) -> Iterator[str]:
    """Words of any text that could be programs' names, quotes and backslashes removed, also without their directory."""
    for word in _WORDS.findall(text.replace("\\\n", "").translate(_QUOTES)):
        yield word
        yield word.rpartition("/")[2]


def _told(word: str) -> Iterator[str]:
    """Names in a word that may be a whole line, or stand behind an option's letters."""
    for name in _named(word):
        yield name
        if name.startswith("-") and not name.startswith("--"):
            yield from (name[end:] for end in range(2, min(len(name), 8)))


def _started(command: Simple) -> Started:
    words = tuple(word.text for word in command.words)
    program = "" if not command.words or command.words[0].opaque else words[0]
    files = tuple(word.text for operator, word in command.redirections if not (operator.endswith("&") and word.text.isdigit()))
    found = any(len(word.text) > 1 and word.text[0] == "=" and not word.quoted for word in command.words)  # zsh looks for =rm
    return Started(program, words, files, command.opaque or found or not words, known(command))


def _expands(started: Started) -> bool:
    """Whether a shell's builtin sets variables, as `PATH=x` does, or reads a word of it once more: a[$(x)] starts x."""
    option = _ASSIGNS_IF_TOLD.get(started.name, "")
    if started.name in _ASSIGNS and len(started.words) > 1 or option and any(word.startswith(option) for word in started.words[1:]):
        return True
    return started.name in _SUBSCRIPTS and any("[" in word and not _EXPANDED.isdisjoint(word) for word in started.words[1:])


def _inside(started: Started, compound: bool, depth: int) -> Line:
    """What `sh -c '…'` starts in its turn; nothing for other programs, and for shells that are told no line."""
    if started.name in _EVALUATES or _expands(started):
        return Line((), False, frozenset(_named(" ".join(started.words))), sure=False)
    if not is_shell(started.name) or started.opaque:
        return Line((), True)
    line = shell_line(started.words)
    return Line((), False, sure=False) if line is None else read(_bytes(line), compound=compound, depth=depth)


def _among(started: Started, compound: bool, depth: int) -> Line:
    """What other programs are told to start, by lines among their words; it is in `every` alone."""
    if started.opaque or not started.words:
        return Line((), True)
    every: list[Started] = []
    words, sure = frozenset[str](), True
    for each in told(started.words):
        if each is None or depth >= DEPTH_LIMIT:
            sure = False
            continue
        inner = read(_bytes(each.line), compound=compound or not each.sure, depth=depth + 1)
        every += inner.every if each.sure else (replace(one, files=()) for one in inner.every)
        if each.sure:
            words, sure = words | inner.words, sure and inner.sure
        if len(every) > AMONG_LIMIT:
            return Line((), True, words, (), False)
    return Line((), True, words, tuple(every), sure)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def scripts(line: Line) -> bool:
    """Whether anything of it is an interpreter whose script comes on standard input."""
    return any(each.transfer.transfer is Transfer.SCRIPT for each in line.started)
