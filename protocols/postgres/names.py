"""
Names of prepared statements and portals: they are the protocol's and SQL's at once, so SQL that passes can take one away, or give it to another.

Nothing is parsed here. Where a text only looks as if it did, what has such a name is asked about in SQL's words all the same.
Source: PostgreSQL 18, commands/prepare.c, utils/mmgr/portalmem.c, utils/hash/dynahash.c; manual, DEALLOCATE, DISCARD, DECLARE, CLOSE.
"""

from __future__ import annotations

import re

LONGEST = 63
"""Bytes of a name. A server cuts what is longer there (NAMEDATALEN), so that two names are one."""

_WIDEST = 4  # bytes of a character in whatever encoding a server keeps names in

SURELY = LONGEST // _WIDEST
"""Characters that are never too many."""

_LINE = r"^[^\n-]*+(?:-(?!-)[^\n-]*+)*+--[^\n]*+\n"  # one that ends in a comment; nothing is looked at twice
_BEGINS = rf"(?m:(?:\A|;|\*/|{_LINE})[ \t\n\f\v]*+"  # where a statement may begin: behind nothing, another one or a comment
_DEALLOCATES = re.compile(rf"{_BEGINS}(?:deallocate|discard)(?![a-z0-9_$]))")
_DOES = re.compile(rf"{_BEGINS}do(?![a-z0-9_$]))")  # and what it has in its body it may execute
_DEALLOCATE = re.compile(
    r"""\s*deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|(?!(?:all|prepare)\b)([a-z_][a-z0-9_$]*))\s*;?\s*""", re.IGNORECASE | re.ASCII
)
_COPIES = re.compile(rf"{_BEGINS}copy(?![a-z0-9_$]))")
_CURSORS = re.compile(rf"{_BEGINS}(?:close|declare|commit|end|rollback|abort|prepare\s+transaction)(?![a-z0-9_$]))")


_QUERY = re.compile(r"[\s(]*(?:select|insert|update|delete|merge|values|with|table)(?![a-z0-9_$])")
_SETS = ("set_config", "pg_settings", "u&")  # the last spells anything otherwise


def too_long(name: str) -> bool:
    """Whether a server might cut it: in its own encoding, which may not be the client's."""
    return len(name) > LONGEST if name.isascii() else _WIDEST * len(name) > LONGEST


def deallocates(text: str) -> bool:
    """Whether SQL may take prepared statements away."""
    return _has(text, ("deallocate", "discard"), _DEALLOCATES, _DOES)


def deallocated(text: str) -> str | None:
    """The one prepared statement that it takes away; None for more, or where that cannot be told."""
    found = _DEALLOCATE.fullmatch(text)
    if found is None:
        return None
    name = found[2].lower() if found[1] is None else found[1].replace('""', '"')
    return name[:LONGEST] if name.isascii() else None


def moves_cursors(text: str) -> bool:
    """Whether a cursor may have a portal's name afterwards: a statement in it begins with CLOSE or DECLARE, or ends a transaction or a part of one."""
    return _has(text, ("close", "declare", "commit", "end", "rollback", "abort", "transaction"), _CURSORS)


def feeds(text: str) -> bool:
    """Whether a statement in it may ask for COPY data. The server's grammar takes FROM STDOUT for FROM STDIN (gram.y, copy_file_name)."""
    low = text.lower()
    return ("stdin" in low or ("stdout" in low and "from" in low)) and _has(low, ("copy",), _COPIES)


def executes(text: str | bytes) -> bool:
    """Whether SQL may run, in it, what has been prepared under a name."""
    return ("execute" if isinstance(text, str) else b"execute") in text.lower()


def gives_names(text: str) -> bool:
    """Whether SQL may give a prepared statement's name, or take it."""
    return "prepare" in text.lower() or deallocates(text)


def executable(text: str) -> bool:
    """
    Whether SQL's EXECUTE may run what the protocol prepared so: a query, and none that sets anything. The protocol prepares every kind of
    statement, SQL only queries.
    """
    low = text.lower()
    return _QUERY.match(low) is not None and not any(word in low for word in _SETS)


def _has(text: str, words: tuple[str, ...], *where: re.Pattern[str]) -> bool:
    """Whether one of the words stands there; most texts have none, which is quickly seen."""
    low = text.lower()
    if not any([word in low for word in words]):
        return False
    low = low.replace("\r", "\n")
    return any(each.search(low) for each in where)
