"""
Which variables a client may set at a target: never those that change how a command line is read, and where no addon has an
opinion only languages and colours, which run nothing.
"""

from __future__ import annotations

import re

_NAMES = frozenset({"LANG", "LANGUAGE", "COLORTERM", "NO_COLOR", "TZ", "GIT_PROTOCOL"})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHARSETS = frozenset({"LANG", "LC_ALL", "LC_CTYPE"})
_PLAIN = re.compile(r"|C|POSIX|UTF-8|(?:C|[a-z]{2,3}(?:_[A-Z]{2})?)\.(?:utf-?8|iso-?8859-?\d+)(?:@\w+)?|(?!ja|ko|zh)[a-z]{2,3}(?:_[A-Z]{2})?(?:@\w+)?", re.I)
"""
Locales whose letters keep ASCII's bytes to ASCII. In others (Shift-JIS, Big5, GBK) a backslash may be the second half of a letter: a
shell then sees quotes end where nobody else does.
"""

_EXPANDED = frozenset("$`")
"""Behind a bracket, a shell runs what these begin when it takes the variable for a number, as `let` does, or zsh's `test`."""


def legible(name: str, value: str) -> bool:
    """Whether it is a variable at all, and leaves command lines to mean what they were judged as."""
    plain = name not in _CHARSETS or _PLAIN.fullmatch(value) is not None
    return plain and _NAME.fullmatch(name) is not None and "\0" not in value and not ("[" in value and _EXPANDED.intersection(value))


def harmless(name: str) -> bool:
    """TZ and LC_* name files to some programs, but only below their own folders."""
    return name in _NAMES or name.startswith("LC_")
