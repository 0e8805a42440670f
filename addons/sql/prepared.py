"""
What a session prepared with SQL's PREPARE, so that EXECUTE is judged as the text that it runs.

A name keeps every text that it may stand for until it is deallocated: whether a second PREPARE of one name
failed at the server does not matter then. Protocol-level names are the relay's (`Statement.prepared`).
"""

from __future__ import annotations

from collections.abc import Iterable

STRANGER = "executes a prepared statement that this session did not prepare in the open"
UNTOLD = "which statement has this name cannot be told any more, or it is no query of its own"
_CUT = 14  #: characters; a server may cut a longer name that is not ASCII elsewhere than our parser does, by its own encoding
_TEXTS = 8  #: texts of one name
_NAMES = 4096  #: names kept for one session; what is beyond is unknown, and so refused when executed


class Prepared:
    """Sessions to names to texts."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[str, tuple[str, ...]]] = {}

    def learn(self, session: str, name: str, text: str) -> None:
        """`text` (a whole string that holds the PREPARE) was allowed."""
        if len(name) > _CUT and not name.isascii():
            return
        names = self._sessions.setdefault(session, {})
        known = names.get(name)
        if known is None:
            if len(names) < _NAMES:
                names[name] = (text,)
        elif known and text not in known:  # none where they were too many: nothing is known of that name any more
            names[name] = (*known, text) if len(known) < _TEXTS else ()

    def texts(self, session: str, name: str) -> Iterable[str]:
        return self._sessions.get(session, {}).get(name, ())

    def forget(self, session: str) -> None:
        self._sessions.pop(session, None)
