"""
One simple command to the transfer that it starts: scp, rsync, git, sftp-server, or a script on
standard input. The forms are those that OpenSSH's scp, rsync and git send to a remote shell.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from addons.shell.lexer import Simple

INTERPRETERS = frozenset("sh bash dash ash zsh ksh mksh fish csh tcsh busybox python python2 python3 perl ruby node php lua tclsh".split())


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


def known(simple: Simple) -> Known:
    """What this command transfers. An opaque one is nothing known, whatever it looks like."""
    if simple.opaque or not simple.words:
        return NOTHING
    words = [word.text for word in simple.words]
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name == "scp":
        return _scp(rest)
    if name == "rsync":
        return _rsync(rest)
    if name in ("git-upload-pack", "git-upload-archive"):
        return Known(Transfer.GIT_OUT, _paths(rest))
    if name == "git-receive-pack":
        return Known(Transfer.GIT_IN, _paths(rest))
    if name in ("sftp-server", "internal-sftp"):
        return Known(Transfer.SFTP)
    if name in INTERPRETERS and _reads_script(rest):
        return Known(Transfer.SCRIPT)
    return NOTHING


def _scp(rest: list[str]) -> Known:
    letters = "".join(word[1:] for word in _options(rest) if not word.startswith("--"))
    if ("t" in letters) == ("f" in letters):
        return NOTHING
    return Known(Transfer.SCP_IN if "t" in letters else Transfer.SCP_OUT, _paths(rest))


def _rsync(rest: list[str]) -> Known:
    """`rsync --server [--sender] -flags . path…`: the dot stands for the client's side."""
    if rest[:1] != ["--server"]:
        return NOTHING
    paths = _paths(rest)
    if paths[:1] != (".",):
        return NOTHING
    return Known(Transfer.RSYNC_OUT if "--sender" in rest else Transfer.RSYNC_IN, paths[1:])


def _reads_script(rest: list[str]) -> bool:
    """No script is named: nothing but options, or `-` or `-s`. `-c` and its like name one in place."""
    named = [word for word in rest if not word.startswith("-")]
    return not named or "-" in rest or "-s" in rest


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
