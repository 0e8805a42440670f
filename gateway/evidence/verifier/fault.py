"""What is wrong with evidence, and how the program says so to other programs."""

from __future__ import annotations

TAMPERED, INCOMPLETE, USAGE, UNREADABLE = 1, 2, 3, 4
READ_ENOUGH = 141  # as shells show SIGPIPE; not 0, which would say sound


class Tampered(Exception):
    """The evidence contradicts itself or the key. Says what."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Tampered(what)
