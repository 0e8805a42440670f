"""
Words of a program that starts others to the lines that a shell would read among them, for rules that refuse.

How each of these reads its options is its own; here more words are taken for lines than are, and never fewer.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from addons.shell.known import INTERPRETERS, moves, plain
from addons.shell.lexer import Opaque, split

STARTERS = frozenset(
    "sudo doas env nohup nice ionice time timeout xargs exec command builtin setsid stdbuf chroot unshare nsenter su runuser watch"
    " parallel busybox find ssh strace script flock systemd-run at batch taskset ssh-agent eval trap pkexec setpriv chrt numactl prlimit"
    " unbuffer fakeroot rlwrap dbus-run-session start-stop-daemon toybox ltrace gosu su-exec setarch linux32 linux64 expect screen tmux"
    " sg runcon cpulimit valgrind gdb perf firejail bwrap proxychains proxychains4 torsocks systemd-inhibit systemd-nspawn machinectl lxc-attach"
    " choom chpst setuidgid envdir envuidgid softlimit s6-setuidgid faketime eatmydata authbind entr noglob nocorrect emulate repeat - xvfb-run uclampset".split()
)
"""Programs that start what their arguments name."""
TOLD_LIMIT = 64
"""Words of such a program that may be a shell, or another that is told a line, and options before what it is told. A line with more cannot be known."""
_SHELLS = frozenset("sh bash dash ash zsh ksh mksh rbash rzsh rksh lksh oksh loksh pdksh yash posh hush sash bash-static zsh-static".split())
_OTHER_SHELLS = frozenset("fish csh tcsh pwsh rc es elvish nu xonsh".split())
"""Their grammar is not read here."""
_LOADER = re.compile(r"ld(?:-linux.*|-musl.*|)\.so.*|ld-[0-9.]+\.so")
"""The dynamic linker, which starts what it is told to."""
_WITH_VALUE = frozenset({"--rcfile", "--init-file", "--emulate", "-rcfile", "-init-file"})
_WHOLE_WORDS = frozenset("-login -norc -noprofile -noediting -posix -restricted -verbose -version -help -debugger".split())
"""Bash takes its long options with one dash too."""
_LINE_BEHIND = {"su": "c", "runuser": "c", "script": "c", "flock": "c", "sg": "c", "emulate": "c", "entr": "s"}
"""Letters of options whose value is a line."""
_JOINED = frozenset("watch parallel ssh script sg tmux screen".split())
"""Those that put their words together for a shell, or some of them."""
_OWN = {"runcon": 4, "machinectl": 3, "tmux": 3, "perf": 2, "emulate": 2}
"""Words that are their own before a program's; one is as many as others have."""
_EXECUTES = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_OF_THE_SHELL = frozenset("command builtin noglob nocorrect - repeat".split())
"""What a shell does itself, with builtins too."""
_TOLD = frozenset(_LINE_BEHIND) | _JOINED | _OF_THE_SHELL | {"env", "sudo", "doas", "xargs"}
_LIVE = re.compile(r"[ \t\n'\"\\;|&()<>$`*?\[~{]|^#")
"""What a shell would not leave as it is."""
_ASSIGNMENT = re.compile(r"[A-Za-z_][^=]*=")
_XARGS_LONG = frozenset("--arg-file --delimiter --max-args --max-procs --max-chars --process-slot-var".split())
_RUN = re.compile(r"[$`]|\A\(\)")
"""In the value of a variable that bash begins with: it expands BASH_ENV and PS4, and takes `() {` for a function."""


@dataclass(frozen=True, slots=True)
class Told:
    """:ivar sure: whether a shell reads this line; else it may be one, or anything else that has blanks."""

    line: str
    sure: bool


def starts(words: Sequence[str]) -> bool:
    """Whether the first of these is a program that starts others. `command -v` only says where they are."""
    name = _name(words[0]) if words else ""
    return (name in STARTERS or _LOADER.fullmatch(name) is not None) and not _asks(words)


def is_shell(name: str) -> bool:
    """Whether it is one whose lines are read here."""
    return name in _SHELLS or plain(name) in _SHELLS


def shell_line(words: Sequence[str]) -> str | None:
    """
    What `sh -c` is told; "" for a shell that is told a file, or nothing.

    :returns: None where shells read its options differently, and for `-c` without a line.
    """
    told, rest = False, iter(words[1:])
    for word in rest:
        if word in ("-", "--"):
            return next(rest, None) if told else ""
        if not word.startswith(("-", "+")):
            return word if told else ""
        if word in _WITH_VALUE:
            next(rest, "")
        elif not word.startswith("--") and word not in _WHOLE_WORDS:
            if "o" in word[:-1].lower():
                return None
            told = told or "c" in word
            next(rest, "") if word[-1] in "oO" else None
    return None if told else ""


def told(words: Sequence[str]) -> Iterator[Told | None]:
    """
    What of these words is, or may be, a line for a shell.

    :returns: None for what only a shell knows.
    """
    begins, found = starts(words), 0
    if not begins and plain(_name(words[0])) not in INTERPRETERS:
        return
    for at, word in enumerate(words):
        if _may_be_told(_name(word), first=not at):
            found += 1
            if found > TOLD_LIMIT:
                yield None
                return
            yield from _of(_name(word), words[at:], first=not at)
        if at and begins and len(word.split()) > 1:
            yield Told(word, False)


def _may_be_told(name: str, *, first: bool) -> bool:
    return is_shell(name) or plain(name) in _OTHER_SHELLS or name in _TOLD and (first or name != "-") or moves(name)


def places(words: Sequence[str]) -> Iterator[int]:
    """Where among these words a program may stand that the first one, or another that starts others, is told; more than do."""
    if _name(words[0]) == "find":
        yield from (at for at, word in enumerate(words[1:], 2) if word in _EXECUTES and at < len(words))
        return
    left, value = _OWN.get(_name(words[0]), 1), False
    for at, word in enumerate(words[1:], 1):
        if word.startswith("-") and word != "-" or _ASSIGNMENT.match(word):
            value = word != "--" and word.startswith("-")
            continue
        yield at
        if starts(words[at:]):
            left = _OWN.get(_name(word), 1)
        elif not value:
            left -= 1
        value = False
        if left < 0:
            return


def _asks(words: Sequence[str]) -> bool:
    return words[0] == "command" and list(words[1:2]) in (["-v"], ["-V"])


def _name(word: str) -> str:
    return word.rpartition("/")[2]


def _of(name: str, words: Sequence[str], *, first: bool) -> Iterator[Told | None]:
    """What one of these is told, that stands before its words."""
    if is_shell(name) and not first:
        line = shell_line(words)
        yield Told(line, True) if line is not None else None
    elif plain(name) in _OTHER_SHELLS and any("c" in word.lower() for word in words[1:] if word.startswith("-")):
        yield None
    if name in _LINE_BEHIND:
        yield from (Told(line, True) for line in _behind(words, _LINE_BEHIND[name]))
    if name in _JOINED and any(map(_LIVE.search, words[1:])):
        yield Told(" ".join((name, *words[1:])), True)
    if name in _OF_THE_SHELL and not _asks(words):
        yield from _of_the_shell(words)
    if name in ("env", "sudo", "doas"):
        yield from _surrounded(name, words)
    elif name == "xargs":
        yield from _filled_in(words)


def _behind(words: Sequence[str], letter: str) -> Iterator[str]:
    """Values of an option in one letter, glued to it or not, and of long options that begin with one that takes a line."""
    for word, following in zip(words[1:], (*words[2:], "")):
        option, equals, value = word.partition("=")
        if option.startswith(("--c", "--s")):
            yield value if equals else following
        elif word.startswith("-") and not word.startswith("--") and letter in word[1:]:
            yield word.partition(letter)[2] or following


def _of_the_shell(words: Sequence[str]) -> Iterator[Told]:
    """The command behind one of these, by itself."""
    begin = next((at for at, word in enumerate(words[1:], 1) if not word.startswith("-")), len(words))
    begin += words[0] == "repeat"
    if begin < len(words):
        yield Told(shlex.join(words[begin:]), True)


def _surrounded(name: str, words: Sequence[str]) -> Iterator[Told | None]:
    """Options and variables before the program: `env -S` splits a word into more, and a variable may be run."""
    option = False
    for at, word in enumerate(words[1:], 1):
        if word.startswith("-"):
            yield from _split(words, at) if name == "env" else ()
            if name != "env" and _is_shells(word) and any(set(each) & {"$"} for each in words[at + 1:]):
                yield None
        elif _ASSIGNMENT.match(word):
            if _RUN.search(word.partition("=")[2]):
                yield None
        elif not option:
            return
        if at > TOLD_LIMIT:
            yield None
            return
        option = word.startswith("-")


def _is_shells(option: str) -> bool:
    """Whether it has sudo give its words to a shell: all but their `$` is quoted for that (sudo 1.9, parse_args.c)."""
    return re.match("--sh|--lo|-[^-CDghpRrtTUu]*[si]", option) is not None


def _split(words: Sequence[str], at: int) -> Iterator[Told | None]:
    """What env's -S makes of a word, with what comes behind it. Its backslashes are not a shell's."""
    word = words[at]
    option, equals, value = word.partition("=")
    if option.startswith("--s"):
        text, rest = (value, words[at + 1:]) if equals else ("".join(words[at + 1:at + 2]), words[at + 2:])
    elif not word.startswith("--") and "S" in word:
        glued = word.partition("S")[2]
        text, rest = (glued, words[at + 1:]) if glued else ("".join(words[at + 1:at + 2]), words[at + 2:])
    else:
        return
    try:
        [simple] = split(f"env {text}") if "\\" not in text else ()
    except (Opaque, ValueError):
        yield None
        return
    known = not simple.opaque and not simple.redirections
    yield Told(shlex.join((*(each.text for each in simple.words), *rest)), True) if known else None


def _filled_in(words: Sequence[str]) -> Iterator[Told | None]:
    """xargs may put what it reads into each of its words: into a shell's line, and into the name of a program."""
    begin = operand(words, "adEIJLnPRSs", _XARGS_LONG)
    marks = [mark for word, following in zip(words[1:begin], words[2:begin + 1]) if (mark := _mark(word, following))]
    if marks and (any(is_shell(_name(word)) for word in words[begin:]) or any(mark in word for mark in marks for word in words[begin:begin + 1])):
        yield None


def _mark(option: str, following: str) -> str:
    """What an option of xargs says is put in its place; "" for others."""
    name, equals, value = option.partition("=")
    if name.startswith("--r") and name != "--r" and "--replace".startswith(name):
        return value or "{}"
    found = re.match("-[^-]*?([IJi])(.*)", option, re.DOTALL)
    if not found:
        return ""
    return found[2] or ("{}" if found[1] == "i" else following)


def operand(words: Sequence[str], valued: str, longs: frozenset[str] = frozenset()) -> int:
    """
    Where what is neither an option nor an option's value begins.

    :param valued: letters of options that take a value. :param longs: the same, of words that take the next one.
    """
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        word = words[at]
        if word == "--":
            return at + 1
        first = next((place for place, letter in enumerate(word) if letter in valued), 0) if not word.startswith("--") else 0
        at += 2 if word in longs or first and first == len(word) - 1 else 1
    return at
