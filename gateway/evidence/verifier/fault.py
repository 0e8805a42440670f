"""What is wrong with evidence, and how the program says so to other programs."""

from __future__ import annotations

TAMPERED, INCOMPLETE, USAGE, UNREADABLE = 1, 2, 3, 4
READ_ENOUGH = 141  # as shells show SIGPIPE; not 0, which would say sound

CODES = {
    0: "sound",
    TAMPERED: "tampered with, something left out, or an anchor of another log",
    INCOMPLETE: "sound as far as it goes; but incomplete, not anchored by somebody else, or no key given",
    USAGE: "called wrongly",
    UNREADABLE: "cannot be read",
}


def ending(code: int) -> str:
    """The last line for people."""
    return "exit code %d: %s" % (code, CODES[code])


class Tampered(Exception):
    """The evidence contradicts itself or the key. Says what."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Tampered(what)
