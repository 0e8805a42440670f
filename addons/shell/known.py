"""
One simple command to the transfer that it starts: scp, rsync, git, sftp-server, or a script on
standard input. The forms are those that OpenSSH's scp, rsync and git send to a remote shell.

There are two questions: what it does and nothing besides, for who allows it, and all that it may do, for who refuses it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from addons.shell.lexer import Simple
from addons.shell.scripted import INPUT, NAMES, scripted

INTERPRETERS = frozenset("sh bash dash ash zsh ksh mksh fish csh tcsh busybox python perl ruby node php lua tclsh".split())
_MORE_INTERPRETERS = INTERPRETERS | frozenset(
    "rbash rzsh rksh lksh oksh loksh pdksh yash posh hush sash pwsh rc es elvish nu xonsh nodejs deno bun pypy ipython expect wish irb guile julia"
    " Rscript R octave ghci iex erl jshell groovy scala racket sbcl clisp swipl ocaml osascript gnuplot".split()
)
"""For who refuses scripts."""
_VALUED = {"python": "WX", "pypy": "WX", "perl": "I", "ruby": "IrCEKT", "php": "dcz", "node": "rC", "nodejs": "rC", "lua": "l", "fish": "Cdop"}
"""Letters of options with a value that is no script; shells' are `-o` and `-O`."""
_BASH_WORDS = frozenset({"-noprofile", "-posix", "-verbose", "-version", "-debugger"})
_LONG_VALUED = frozenset("--rcfile --init-file --emulate -rcfile -init-file --require --import --loader --init-command".split())
_VERSION = re.compile(r"-?[0-9][0-9.]*\Z")

_INPUTS = frozenset({"-", "-s", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
"""What an interpreter is told that reads its script from standard input."""
_RSYNC_LETTERS = re.compile(r"-(?=\w)[^\W_feFMsT]*(?:e\d*\.[A-Za-z]*)?")
"""A cluster without those that take a file, a program or a rule, and without `s`: with it the arguments come on standard input."""
_RSYNC_OPTIONS = frozenset(
    "--server --sender --append --append-verify --copy-unsafe-links --crtimes --delay-updates --delete --delete-after --delete-before"
    " --delete-delay --delete-during --delete-excluded --delete-missing-args --dirs --existing --force --from0 --fuzzy --ignore-errors"
    " --ignore-existing --ignore-missing-args --inplace --list-only --mkpath --munge-links --new-compress --no-D --no-W --no-i-r --no-implied-dirs --no-inc-recursive"
    " --no-r --no-relative --no-whole-file --numeric-ids --old-compress --old-d --old-dirs --one-file-system --open-noatime --partial"
    " --preallocate --prune-empty-dirs --safe-links --size-only --sparse --specials --stats --super --trust-sender --use-qsort".split()
)
"""Those that its client sends (rsync 3.2.7, options.c, server_options) and that name no file."""
_RSYNC_VALUES = frozenset(
    "--block-size --bwlimit --checksum-choice --checksum-seed --compress-choice --compress-level --debug --groupmap --iconv --info"
    " --log-format --max-alloc --max-delete --max-size --min-size --modify-window --skip-compress --stop-at --suffix --timeout --usermap".split()
)
"""The same, with a value."""
_REMOVES = frozenset({"--remove-source-files", "--remove-sent-files"})


class Transfer(enum.StrEnum):
    """What moves, and which way, seen from the target."""

    SCP_IN = "scp-in"  #: the client writes files at the target
    SCP_OUT = "scp-out"
    RSYNC_IN = "rsync-in"
    RSYNC_OUT = "rsync-out"
    GIT_IN = "git-in"
    GIT_OUT = "git-out"
    SFTP = "sftp"
    SCRIPT = "script"  #: an interpreter that reads what to do from its standard input
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Known:
    transfer: Transfer
    paths: tuple[str, ...] = ()


NOTHING = Known(Transfer.NONE)
_OF_GIT = {"upload-pack": Transfer.GIT_OUT, "upload-archive": Transfer.GIT_OUT, "receive-pack": Transfer.GIT_IN}
"""What git starts as a command of its own."""
_SERVERS = {
    "git-upload-pack": Transfer.GIT_OUT, "git-upload-archive": Transfer.GIT_OUT, "git-receive-pack": Transfer.GIT_IN,
    "sftp-server": Transfer.SFTP, "internal-sftp": Transfer.SFTP,
}


def plain(name: str) -> str:
    """A program's name without a version behind it: python3.11 is python."""
    return _VERSION.sub("", name) or name


def known(simple: Simple) -> Known:
    """What this command transfers, and nothing besides. An opaque one is nothing known, whatever it looks like."""
    if simple.opaque or not simple.words:
        return NOTHING
    words = [word.text for word in simple.words]
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name == "scp":
        return _scp(rest)
    if name == "rsync":
        return _rsync(rest)
    if name in _SERVERS:
        return Known(_SERVERS[name], () if _SERVERS[name] is Transfer.SFTP else _paths(rest))
    if plain(name) in INTERPRETERS and _reads_script(plain(name), rest):
        return Known(Transfer.SCRIPT)
    return NOTHING


def moves(word: str) -> bool:
    """Whether a program of this name may be a transfer."""
    name = word.rpartition("/")[2]
    return name in ("scp", "rsync", "git", "git-shell") or name in _SERVERS or plain(name) in INTERPRETERS


def takes_orders(word: str) -> bool:
    """Whether a program of this name may do what standard input says. Many of these are names of other things too."""
    name = word.rpartition("/")[2]
    return name in NAMES or plain(name) in _MORE_INTERPRETERS


def perhaps(words: Sequence[str]) -> frozenset[Transfer]:
    """All that a command of these words may transfer, whatever its options."""
    name, rest = (words[0].rpartition("/")[2] if words else ""), words[1:]
    if name == "scp":
        letters = "".join(word[1:] for word in rest if word.startswith("-"))
        return frozenset(way for letter, way in (("t", Transfer.SCP_IN), ("f", Transfer.SCP_OUT)) if letter in letters)
    if name == "rsync":
        return _rsync_ways(rest)
    if name in ("git", "git-shell"):
        return frozenset(way for command, way in _OF_GIT.items() if any(command in word for word in rest))
    if scripted(name, rest) or plain(name) in _MORE_INTERPRETERS and _reads_script(plain(name), rest):
        return frozenset({Transfer.SCRIPT})
    return frozenset({_SERVERS[name]}) if name in _SERVERS else frozenset()


def secluded(words: Sequence[str]) -> bool:
    """Whether what it moves is told on its standard input: rsync's --secluded-args and lists of files."""
    if not words or words[0].rpartition("/")[2] != "rsync" or "--server" not in words:
        return False
    letters = (word.partition("e")[0] for word in words[1:] if word.startswith("-") and not word.startswith("--"))
    told = ("--protect-args", "--secluded-args", "--files-from")
    return any("s" in each for each in letters) or any(word.startswith(told) for word in words)


def _rsync_ways(rest: Sequence[str]) -> frozenset[Transfer]:
    if "--daemon" in rest:
        return frozenset({Transfer.RSYNC_IN, Transfer.RSYNC_OUT})
    if "--server" not in rest:
        return frozenset()
    ways = {Transfer.RSYNC_OUT if "--sender" in rest else Transfer.RSYNC_IN}
    return frozenset(ways if _REMOVES.isdisjoint(rest) else ways | {Transfer.RSYNC_IN})


def _scp(rest: list[str]) -> Known:
    letters = "".join(word[1:] for word in _options(rest) if not word.startswith("--"))
    if ("t" in letters) == ("f" in letters):
        return NOTHING
    return Known(Transfer.SCP_IN if "t" in letters else Transfer.SCP_OUT, _paths(rest))


def _rsync(rest: list[str]) -> Known:
    """`rsync --server [--sender] -flags . path…`: the dot stands for the client's side. What may name a file or start a program is not known."""
    if rest[:1] != ["--server"] or not all(map(_harmless, _options(rest))):
        return NOTHING
    paths = _paths(rest)
    if paths[:1] != (".",):
        return NOTHING
    return Known(Transfer.RSYNC_OUT if "--sender" in rest else Transfer.RSYNC_IN, paths[1:])


def _harmless(option: str) -> bool:
    name, equals, _ = option.partition("=")
    return name in _RSYNC_VALUES if equals else option in _RSYNC_OPTIONS or _RSYNC_LETTERS.fullmatch(option) is not None


def _reads_script(name: str, rest: Sequence[str]) -> bool:
    """No script is named: nothing but options and their values, or standard input. `-c` and its like name one in place."""
    valued, shell, skipped = _VALUED.get(name, "oO"), name.endswith("sh"), False
    if not _INPUTS.isdisjoint(rest):
        return True
    for word in rest:
        if skipped:
            skipped = False
        elif not word.startswith(("-", "+")):
            return INPUT.fullmatch(word) is not None
        elif word in _LONG_VALUED or not word.startswith("--") and word[-1] in valued:
            skipped = True
        elif shell and not word.startswith("--") and word not in _BASH_WORDS and "s" in word and "c" not in word:
            return True
    return True


def _options(rest: list[str]) -> list[str]:
    """Those before `--` or the first word that is none."""
    found: list[str] = []
    for word in rest:
        if word == "--" or not word.startswith("-") or word == "-":
            break
        found.append(word)
    return found


def _paths(rest: list[str]) -> tuple[str, ...]:
    paths = rest[len(_options(rest)):]
    return tuple(paths[1:] if paths[:1] == ["--"] else paths)
