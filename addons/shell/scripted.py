"""
Whether a program, told nothing to start, starts a shell or does what standard input says, for rules that refuse.

Each of these is known by the options that take a value and by how many words of its own stand before a program: with no word
behind those it is told none. Sources: manuals of util-linux 2.38, shadow 4.13, sudo 1.9, coreutils 9, OpenSSH 9, GNU parallel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

INPUT = re.compile(r"-|(?:.*/)?stdin|(?:.*/)?fd/0+")
"""How standard input is named as a file, from any directory."""


@dataclass(frozen=True, slots=True)
class Options:
    """
    How a program reads its words.

    :ivar valued: letters of options that take a value. :ivar longs: options in words that take the next one, if not glued by `=`.
    :ivar own: words of its own before a program's name.
    :ivar only: what an option must be like for it to be a shell; "" for always.
    :ivar never: what option makes it none.
    """

    valued: str = ""
    longs: str = ""
    own: int = 0
    only: str = ""
    never: str = ""


_SU = Options("cCgGsTw", "--command --session-command --group --supp-group --shell --whitelist-environment", 1, never="-[^-gGsTw]*c|--c|--se")
_BEGIN = {
    "sudo": Options("CDghpRrTtUu", "--user --group --chdir --chroot --close-from --host --prompt --role --type --other-user --command-timeout", only="-[^-CDghpRrTtUu]*[si]|--sh|--lo"),
    "doas": Options("uCa", only="-[^-uCa]*s"),
    "su": _SU, "runuser": Options(_SU.valued, _SU.longs, 1, never=_SU.never + "|-[^-gGsTwc]*u|--u"),
    "chroot": Options("", "--userspec --groups", 1),
    "unshare": Options("RwSGl", "--root --wd --setuid --setgid --propagation --setgroups --map-user --map-group --map-users --map-groups --monotonic --boottime --load-interp"),
    "nsenter": Options("tSGN", "--target --setuid --setgid --wdns --net-socket"),
    "setarch": Options(own=1), "linux32": Options(), "linux64": Options(), "i386": Options(), "x86_64": Options(),
    "sg": Options("c", own=1, never="-c"), "newgrp": Options(own=99), "login": Options(own=99),
    "script": Options("BEIOTmoc", own=99, never="-[^-BEIOTmo]*c|--c|--$"),
    "systemd-run": Options(own=99, only="-[^-uEpHMC]*S|--sh"), "systemd-nspawn": Options("DMiuSLZnp"), "machinectl": Options(own=2),
    "pkexec": Options("", "--user"), "firejail": Options(), "fakeroot": Options("lsibf", "--lib --faked"), "lxc-attach": Options("nPolsa", "--name"),
    "at": Options(own=99, never="-[^-qt]*[flrdcV]"), "batch": Options(own=99),
    "crontab": Options("u", own=99, never="-[^-u]*[lre]"),
    "parallel": Options("ajInNLSCdEPJl", "--jobs --arg-file --delay --timeout --retries --colsep --delimiter --max-args --max-procs --load --memfree --joblog --results --tmpdir"
                        " --workdir --sshlogin --sshloginfile --nice --halt --tagstring --env --basefile --return --block --recstart --recend"),
    "ssh": Options("BbcDEeFIiJLlmOoPpQRSWw", own=1, never="-[^-BbcDEeFIiJLlmOoPpRSw]*[NWGVQO]"),
    "gdb": Options(own=99, never="-?-batch"),
    "m4": Options("DUIFRLBHNSTtdlo", own=99), "dc": Options("ef", own=99, never="-[^-]*[ef]|--e|--f"), "ed": Options(own=99), "red": Options(own=99), "ex": Options(own=99),
}  # fmt: skip
_FILED = {"awk": "f", "gawk": "f", "mawk": "f", "nawk": "f", "original-awk": "f", "sed": "f", "gsed": "f", "make": "f", "gmake": "f", "gdb": "x", "at": "f", "vi": "s", "vim": "s", "view": "s", "expect": "f"}
"""Letters of options that name a file with commands."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_ARCHITECTURE = re.compile(r"linux(?:32|64)|uname26|x86_64|i[3-6]86|athlon|ppc\w*|s390x?|arm\w*|aarch64|mips\w*|sparc\w*|alpha|parisc\w*|ia64|riscv\w*|loongarch\w*")
_SOCKETS = frozenset({"socat", "nc", "ncat", "netcat", "nc.traditional", "nc.openbsd"})
_STARTED = re.compile(r"(?:EXEC|SYSTEM|SHELL):", re.IGNORECASE)
NAMES = frozenset(_BEGIN) | frozenset(_FILED) | _SOCKETS


def scripted(name: str, words: Sequence[str]) -> bool:
    """
    Whether it takes what to do from standard input, or starts a shell that does.

    :param words: those behind its name.
    """
    if name in _SOCKETS:
        return any(_STARTED.search(word) or name != "socat" and re.match("-[^-]*[ec]|--sh|--ex", word) for word in words)
    if name in _FILED and any(INPUT.fullmatch(value) for value in _files(words, _FILED[name])):
        return True
    how = _BEGIN.get(name)
    return how is not None and _told_none(name, how, words)


def _told_none(name: str, how: Options, words: Sequence[str]) -> bool:
    options, rest = _parted(name, how, words)
    if name == "machinectl":
        return "shell" in rest and len(rest) <= how.own
    if how.only and not any(re.match(how.only, each) for each in options) or how.never and any(re.match(how.never, each) for each in options):
        return False
    if name in ("crontab", "m4", "dc"):
        return not rest or any(map(INPUT.fullmatch, rest))
    if name == "ssh" and (not rest or " " in rest[0]):
        return False
    if name == "setarch" and rest and not _ARCHITECTURE.fullmatch(rest[0]):
        return False
    return len(rest) <= how.own or rest[how.own] == ":::"


def _parted(name: str, how: Options, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options before its own words, between and right behind them, and what is none."""
    options: list[str] = []
    rest: list[str] = []
    value, longs = False, frozenset(how.longs.split())
    for at, word in enumerate(words):
        if value:
            value = False
        elif word == "--":
            return [*options, word], [*rest, *(each for each in words[at + 1:] if not each.startswith("-"))]
        elif word.startswith("-") and word != "-":
            options.append(word)
            place = next((place for place, letter in enumerate(word) if letter in how.valued), 0) if not word.startswith("--") else 0
            value = word in longs or place > 0 and place == len(word) - 1
        elif not (name == "sudo" and _ASSIGNMENT.match(word) or name in ("su", "runuser", "sg") and word == "-"):
            rest.append(word)
            if len(rest) > how.own:
                break
    return options, rest


def _files(words: Sequence[str], letter: str) -> Iterator[str]:
    """Values of an option, glued or not, and of long options for files."""
    for word, following in zip(words, (*words[1:], "")):
        option, equals, value = word.partition("=")
        if option.startswith(("--f", "--makef", "--comm")):
            yield value if equals else following
        elif word.startswith("-") and not word.startswith("--") and letter in word[1:]:
            yield word[1:].partition(letter)[2] or following
