"""
Where the words of a line may lead, for rules that refuse paths: more than they do, never less, as far as names tell.

Every piece of a word that could be a path is one: behind an option's letter, `=`, `:` or `,`, and within a quoted script. What is
relative is tried from where a session begins, and from every directory that the line names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from addons.shell.known import Transfer
from addons.ssh import paths
from addons.ssh.lines import Line, Started

HOME = "~"
BASES_LIMIT = 64
TRIALS_LIMIT = 20_000
"""Pieces of a line times directories; a line with more cannot be known. It is a tenth of a second or two."""
OPTION_LIMIT = 256
"""Characters of an option in one letter; what is glued to a longer one cannot be known."""
_UNKNOWN = "~?"  # somebody else's home
_PIECES = re.compile(r"[^\s'\"()<>;|&,=:@{}`]+")
_DIRECTORY = ("--directory", "--chdir", "--work-tree", "--git-dir", "--cd", "--cwd", "--wd", "--wdns", "--workdir", "--working-directory")
"""Options that may be cut short too."""
_SHORT = {"unshare": "-w", "nsenter": "-w", "start-stop-daemon": "-d", "tmux": "-c"}
"""What others say for -C and -D."""
_CHANGES = frozenset({"cd", "pushd", "chdir"})
_WHOLE = frozenset(
    "rsync tar bsdtar gtar gnutar jar genisoimage mkisofs xorrisofs find git mv cpio pax zip 7z du tree rg fd ag ack rclone sftp sshfs restic borg unison star ln link rename mount rmdir"
    " git-shell git-upload-pack git-upload-archive git-receive-pack bfs fdfind rgrep 7za 7zr ncdu mksquashfs bindfs".split()
)
"""Those that go through a tree, move it, or give it another name."""
_WHOLE_IF_TOLD = frozenset(
    "cp scp grep egrep fgrep ls rm chmod chown chgrp chcon setfacl getfacl diff zgrep install pscp gzip gunzip zcat pigz unpigz zstd zstdcat compress"
    " zegrep zfgrep bzgrep xzgrep zstdgrep pcregrep pcre2grep ugrep ug".split()
)
_DEEP = ("--recursive", "--archive", "--dereference-recursive", "--directories")
_PLAIN = {
    re.compile("-[HLP]"): "find bfs",
    re.compile("-[AFGRSabcdghklmnprstx1]+"): "du ncdu tree ls",
    re.compile("-[EFHLPRabchilnoqrsvwx]+|--recursive"): "grep egrep fgrep rgrep",
    re.compile("-[Hilnsvw]+"): "rg ag ack fd fdfind",
    re.compile("-y"): "7z 7za 7zr",
    re.compile("-[0-9jqrvy]+"): "zip",
}
_PLAIN_OF = {name: options for options, names in _PLAIN.items() for name in names.split()}
"""Options that take no value, so that what comes behind them is none."""
_BEFORE = {"grep": 1, "egrep": 1, "fgrep": 1, "rgrep": 1, "rg": 1, "ag": 1, "ack": 1, "fd": 1, "fdfind": 1, "zip": 1, "7z": 2, "7za": 2, "7zr": 2}
"""Operands before the first that says where: a pattern, or an archive and what to do with it."""
_ARCHIVERS = frozenset({"zip", "7z", "7za", "7zr"})
"""Those that look for names by wildcards of their own, and options behind them count."""
_NO_PLACE = ("-", "(", ")", "!", ",")
"""How an option begins, or an expression of find."""
_HERE = frozenset(_PLAIN_OF) | {"git"}
"""Those that begin in the present directory when they are told no other."""
_PROCESSES = re.compile(r"/proc(?:/.*)?|/dev(?:/fd(?:/.*)?)?", re.DOTALL)
"""What holds links to roots, directories and open files of processes, or to what holds them."""
_SCRIPTED = frozenset("sed gsed ssed ed red ex psql sqlite3 mysql mariadb".split())
"""Those whose commands are letters, with a path right behind them."""
_HOMES = re.compile(r"/|/root|/home(?:/[^/]*)?|/Users(?:/[^/]*)?")


def bases(line: Line) -> tuple[str, ...] | None:
    """Where relative words of this line may begin; None for more places than are tried."""
    found = [HOME]
    for each in line.every:
        found += [piece for word in each.words for piece in _pieces(word) if piece.startswith(("/", "~/"))]
        for into in _directories(each):
            found += [f"{base}/{into}" for base in found] if not into.startswith(("/", "~")) else []
            if len(found) > BASES_LIMIT:
                return None
    count = sum(1 for each in line.every for _ in _named(each))
    begin = tuple(dict.fromkeys(found))
    return begin if len(begin) <= BASES_LIMIT and count * len(begin) <= TRIALS_LIMIT else None


def meets(each: Started, begin: tuple[str, ...] | None, globs: frozenset[str]) -> bool:
    """Whether one of these paths is among what it names, or under what it goes through as a whole."""
    if begin is None:
        return True
    if any(where is None or paths.matches(where, globs) for where in _places(_named(each), begin)):
        return True
    return _goes_through(each) and any(where is None or above(where, globs) for where in _roots(each, begin))


def _named(each: Started) -> Iterator[str]:
    scripted = each.mentions(_SCRIPTED)
    for word in (*each.words, *each.files):
        for piece in _pieces(word):
            yield piece
            yield from _behind_letters(piece, relative=scripted)


def _behind_letters(piece: str, *, relative: bool) -> Iterator[str]:
    """
    What a program may read as a path where a word goes on behind its command: sed's `1r/etc/shadow`.

    :param relative: it may be one that begins anywhere.
    """
    yield from (piece[at:] for at in range(1, len(piece)) if relative or piece[at] == "/" or piece.startswith("~/", at))


def _pieces(word: str) -> Iterator[str]:
    """A word, and what of it could be a path."""
    yield word
    for piece in _PIECES.findall(word):
        if piece != word:
            yield piece
        if piece.startswith(("-", "+")):
            yield from _glued(piece)


def _glued(option: str) -> Iterator[str]:
    """What may stand behind an option's letters, without a blank between."""
    if len(option) > OPTION_LIMIT and not option.startswith("--"):
        yield _UNKNOWN
        return
    ends = {option.find(mark) for mark in ("/", "~/", "../")} - {-1}
    yield from (option[end:] for end in ends)
    if not option.startswith("--"):
        yield from (option[end:] for end in range(2, min(len(option), 64)))


def _directories(each: Started) -> Iterator[str]:
    """Those that it makes the present one, of itself or of what it starts."""
    if each.name in _CHANGES:
        yield from (word for word in each.words[1:] if not word.startswith("-"))
    short = ("-C", "-D", *(letter for name, letter in _SHORT.items() if each.mentions(frozenset({name}))))
    for word, following in zip(each.words[1:], (*each.words[2:], "")):
        option, equals, value = word.partition("=")
        if len(option) > 2 and any(full.startswith(option) for full in _DIRECTORY):
            yield value if equals else following
        elif word.startswith(short):
            yield word[2:] or following


def _places(pieces: Iterable[str], begin: tuple[str, ...]) -> Iterator[str | None]:
    for piece in pieces:
        if piece.startswith(("/", "~")):
            yield paths.place(piece)
        else:
            yield from (paths.place(f"{base}/{piece}") for base in begin)


def _goes_through(each: Started) -> bool:
    """Whether it takes whole trees, or starts what does."""
    if each.transfer.transfer in (Transfer.RSYNC_IN, Transfer.RSYNC_OUT, Transfer.GIT_IN, Transfer.GIT_OUT) or each.mentions(_WHOLE):
        return True
    options = [piece for word in each.words[1:] for piece in (word, *_PIECES.findall(word)) if piece.startswith("-")]
    told = any(_is_deep(word) if word.startswith("--") else set(word) & set("rRad") for word in options)
    return told and each.mentions(_WHOLE_IF_TOLD)


def _is_deep(option: str) -> bool:
    """Whether it may be one of these, cut short too: grep takes `--dir=rec` for `--directories=recurse`."""
    name = option.partition("=")[0]
    return len(name) > 2 and any(deep.startswith(name) for deep in _DEEP)


def _roots(each: Started, begin: tuple[str, ...]) -> Iterator[str | None]:
    if each.transfer.paths:
        yield from _places(each.transfer.paths, begin)
        return
    named = [piece for word in each.words[1:] for piece in _pieces(word)]
    yield from _places(named, begin)
    if each.mentions(_HERE) and not _told_where(each, named):
        yield from (paths.place(base) for base in begin)


def _told_where(each: Started, named: list[str]) -> bool:
    """Whether it is certain that it does not go through the present directory: what looks like another may be a pattern, or an option's value."""
    at = next((at for at, word in enumerate(each.words) if word.rpartition("/")[2] in _HERE), -1)
    if at < 0:
        return False
    name, words = each.words[at].rpartition("/")[2], each.words[at + 1:]
    if name == "git":
        return "--no-index" not in words and any(piece.startswith(("/", "~")) for piece in named)
    operands = [word for word in words if not _PLAIN_OF[name].fullmatch(word)]
    if name in _ARCHIVERS and any(word.startswith("-") or set(word) & set("*?[") for word in operands):
        return False
    where = _BEFORE.get(name, 0)
    return len(operands) > where and not any(word.startswith(_NO_PLACE) for word in operands[:where + 1])


def above(where: str, globs: frozenset[str]) -> bool:
    """Whether one of these paths may lie under a place, or be it. Under what stands for processes is every path."""
    return _PROCESSES.fullmatch(where) is not None or any(paths.holds(where, glob) or glob.startswith("~") and _HOMES.fullmatch(where) is not None for glob in globs)
