"""
Lists of statements that were asked for ahead: which statement of each is next, and when it is another.

A statement that its rule holds is released by a grant of its own (`requests`). One that is allowed anyway needs none: it moves on every
list whose next one it is, so that what follows it finds its turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed

from gateway.control.book import Book
from gateway.control.identity.local import Identities
from gateway.control.request import same_text, trace
from gateway.control.store import Value

MODE = "list"
_GIVING = re.compile(r"prepare|declare")
_CUT = 56  #: bytes; a server cuts longer names than 63
_WHERE = ("subject", "target", "account", "database")


class Lists:
    """
    :ivar changed: called when what `live` tells is otherwise; fires when workers know.
    :ivar releasing: those whose next statement is on its way to the notary.
    """

    def __init__(self, book: Book, identities: Identities) -> None:
        self._book, self._identities = book, identities
        self.changed: Callable[[], Deferred[Any]] = lambda: succeed(None)
        self.releasing: set[str] = set()

    def live(self) -> list[list[Any]]:
        """Those that are in force, as [request, subject, target, account, database, the `trace` of the next statement]."""
        return [[record["id"], *(record[name] for name in _WHERE), trace(record["statements"][record["next"]])] for record in self._in_force()]

    def next_is(self, record: Value, asked: Value) -> bool:
        """Whether a command is the next statement of a list that is in force, and nobody else is about to run that."""
        return record["mode"] == MODE and record["state"] == "granted" and record["id"] not in self.releasing and follows(record, asked)

    def passed(self, ran: Value) -> None:
        """
        A statement is about to run that needs no list's yes.

        :param ran: subject, target, account, database, session, text.
        """
        if self._identities.live(ran["subject"]) is None:
            return
        asked = ran | {"parameters": [], "named": []}
        for record in [one for one in self._in_force() if self.next_is(one, asked)]:
            self.moved(record, "request.passed", {"session": ran["session"], "text": ran["text"]})

    def moved(self, record: Value, kind: str, facts: Value) -> None:
        """The next statement of a list is about to run; with its last one the list is over."""
        following = record["next"] + 1
        state = "released" if following == len(record["statements"]) else "granted"
        self._book.change(record, kind, {"statement": following, **facts}, next=following, state=state)
        self.changed()

    def _in_force(self) -> list[Value]:
        return [record for record in self._book if record["mode"] == MODE and record["state"] == "granted"]


def follows(record: Value, asked: Value) -> bool:
    """Whether a command is the next statement of a list, sent by who asked for it and where."""
    if record["next"] >= len(record["statements"]) or asked["parameters"]:
        return False
    same = all(record[name] == asked[name] for name in _WHERE)
    if not same or not same_text(record["statements"][record["next"]], asked["text"]):
        return False
    return _stands(record["statements"][: record["next"]], asked["named"])


def _stands(before: Sequence[str], named: Sequence[tuple[str, bytes]] | None) -> bool:
    """Whether all that a statement runs by name stands for what one statement before it in its list says, and no other one may say otherwise."""
    return named is not None and all({trace(text) for text in before if _may_give(text, name)} == {behind} for name, behind in named)


def _may_give(text: str, name: str) -> bool:
    """By the words alone: control parses no SQL."""
    lower, cut = text.lower(), len(name.encode("utf-8", "surrogatepass")) >= _CUT
    written = re.escape(name.lower().replace('"', '""')) + ("" if cut else r"(?![\w$])")
    return _GIVING.search(lower) is not None and ('u&"' in lower or re.search(rf"(?<![\w$]){written}", lower) is not None)
