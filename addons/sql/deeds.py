"""
What a function may do to the session that calls it, and nobody sees who reads the call: set the search path, close and open cursors, take
prepared statements away. By the words of its body: what EXECUTE puts together out of other words is its owner's and its lister's affair.

Source: PostgreSQL 18 manual, SET, 41.7 "Cursors", 41.5.4 "Executing Dynamic Commands"; functions in compiled extensions do none of it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from addons.sql.catalog import Function
from addons.sql.flux import words_of
from addons.sql.stirred import SERVERS

PATH, CURSORS, NAMES = "path", "cursors", "names"

_UNREAD = frozenset({PATH, CURSORS})
_NOTHING: frozenset[str] = frozenset()
_SPOKEN = {
    PATH: frozenset({"search_path", "set_config", "reset", "discard"}),
    CURSORS: frozenset({"close", "execute", "commit", "rollback", "discard"}),
    NAMES: frozenset({"deallocate", "discard"}),
}
_BOTH = (frozenset({"set", "schema"}), frozenset({"update", "pg_settings"}))  #: other words for the first
_OTHERS = re.compile(r"set_config\s*\(\s*'(?!search_path')[\w.]+'\s*,|current_setting\s*\(\s*'search_path'", re.IGNORECASE)
"""What looks like setting the path, and sets something else or only looks."""


def deeds(function: Function) -> frozenset[str]:
    """Which of these calling it may do, itself: an aggregate nothing, but the functions that it runs."""
    if function.kind == "a" or function.schema in SERVERS or function.extension and function.language in ("c", "internal"):
        return _NOTHING
    return said(function.body) if function.language in ("sql", "plpgsql") and function.body else _UNREAD


@lru_cache(maxsize=4096)
def said(body: str) -> frozenset[str]:
    """Which of these code in SQL or PL/pgSQL speaks of."""
    words = words_of(_OTHERS.sub(" ", body))
    found = {deed for deed, spoken in _SPOKEN.items() if not spoken.isdisjoint(words)}
    hidden = any(each <= words for each in _BOTH) or "u&" in body.lower()
    return frozenset(found | {PATH}) if hidden else frozenset(found)
