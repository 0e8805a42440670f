"""
Which records somebody asks for, and finding them.

Exact fields are searched in clear. Identities are found by their pseudonyms, so
also where a body has expired; text is searched in opened bodies.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.evidence.readable import readable
from gateway.evidence.view import Row, View, rows
from gateway.notary.body import Bodies, BodyError
from gateway.notary.record import IDENTITY_FACTS, VERDICTS, Kind, Record, parse_leaf, unpack

_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FORMATS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d%z")


class BadQuery(ValueError):
    """A filter that means nothing. Says which and how to write it."""


@dataclass(frozen=True, slots=True)
class Query:
    """Every filter that is set must hold."""

    identity: str = ""
    target: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    kind: str = ""
    verdict: str = ""
    text: str = ""
    session: str = ""

    def __post_init__(self) -> None:
        if self.kind and self.kind.upper() not in Kind.__members__:
            raise BadQuery(f"no kind {self.kind!r}; there are {', '.join(sorted(k.lower() for k in Kind.__members__))}")
        if self.verdict and self.verdict not in VERDICTS:
            raise BadQuery("a verdict is allow or deny")

    def described(self) -> dict[str, str]:
        """What was asked, as evidence of the asking and for a bundle."""
        return {name: str(getattr(self, name)) for name in self.__slots__ if getattr(self, name) not in ("", None)}


def parse_time(text: str, now: float | None = None) -> int:
    """
    Nanoseconds of "2026-11-22", "2026-11-22T10:00", "…T10:00:30Z", or of "90m" ago (s, m, h, d, w).

    :raises BadQuery: anything else.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return int(((time.time() if now is None else now) - int(ago[1]) * _UNITS[ago[2]]) * 1e9)
    normal = text.replace("Z", "+0000")
    if not re.search(r"[+-]\d\d:?\d\d$", normal) or re.fullmatch(r"\d{4}-\d\d-\d\d", normal):
        normal += "+0000"
    for pattern in _FORMATS:
        try:
            return int(_timestamp(normal, pattern) * 1_000_000_000)
        except ValueError:
            continue
    raise BadQuery(f"no time {text!r}: write 2026-11-22T10:00Z, or 90m for 90 minutes ago")


def _timestamp(text: str, pattern: str) -> int:
    return int(datetime.strptime(text, pattern).timestamp())


@dataclass(slots=True)
class Found:
    """A record that matched. `plain` and `opening` prove the body; None when it was not opened."""

    row: Row
    record: Record
    identity: str
    plain: bytes | None = None
    opening: bytes | None = None

    @property
    def body(self) -> list[Any] | None:
        return None if self.plain is None else unpack(self.plain)

    def shown(self) -> dict[str, Any]:
        """As JSON shows it."""
        return readable(self.record, self.body)


@dataclass(slots=True)
class Search:
    """
    Takes records in order, gives those that match.

    :param bodies: opens bodies; None to look at what is in clear only.
    """

    query: Query
    bodies: Bodies | None
    unopened: int = 0  #: bodies that this key does not open
    _identities: dict[bytes, str] = field(default_factory=dict)
    _sessions: set[bytes] = field(default_factory=set)

    def feed(self, row: Row) -> Found | None:
        """The next record; what it is when it matches."""
        record = parse_leaf(row[1])
        found = self._open(row, record)
        if record.kind == Kind.OPENED:
            self._identities[record.session] = found.identity
            if self._is_of_identity(found):
                self._sessions.add(record.session)
        return found if self._matches(found) else None

    def _open(self, row: Row, record: Record) -> Found:
        found = Found(row, record, self._identities.get(record.session, ""))
        if self.bodies is None or row[2] is None:
            return found
        try:
            found.plain, found.opening = self.bodies.open(record.session, row[2])
        except BodyError:
            self.unopened += 1
            return found
        if record.kind in _WITH_IDENTITY:
            found.identity = (found.body or [""])[0] or found.identity
        elif record.kind in (Kind.NOTE, Kind.ADMIN) and not record.session:
            facts = (found.body or [{}])[0]
            found.identity = next((facts[name] for name in IDENTITY_FACTS if facts.get(name)), "")
        return found

    def _matches(self, found: Found) -> bool:
        query, record = self.query, found.record
        at = record.stamp.time_ns
        return (
            (query.since_ns is None or at >= query.since_ns)
            and (query.until_ns is None or at < query.until_ns)
            and (not query.kind or record.kind == Kind[query.kind.upper()])
            and (not query.verdict or VERDICTS[record.fields[4]] == query.verdict)
            and (not query.target or record.fields[3] == query.target)
            and (not query.session or (bool(record.session) and str(uuid.UUID(bytes=record.session)) == query.session))
            and (not query.identity or self._is_of_identity(found))
            and (not query.text or _holds(found.body, query.text.casefold()))
        )

    def _is_of_identity(self, found: Found) -> bool:
        wanted = self.query.identity
        if not wanted:
            return False
        if found.record.session and found.record.session in self._sessions:
            return True
        if self.bodies is not None and self.bodies.term(f"identity\0{wanted}") in found.record.stamp.terms:
            return True
        return found.identity == wanted


_WITH_IDENTITY = {Kind.OPENED, Kind.INTENT, Kind.REFUSAL, Kind.UNGRANTED}


def _holds(value: Any, text: str) -> bool:
    """Whether any string inside holds `text`, whatever the case."""
    if isinstance(value, str):
        return text in value.casefold()
    if isinstance(value, dict):
        return any(_holds(item, text) for pair in value.items() for item in pair)
    return isinstance(value, (list, tuple)) and any(_holds(item, text) for item in value)


def search(view: View, found: Search, numbers: Iterable[int] | None = None) -> Iterator[Found]:
    """All matches in order, of all segments or of `numbers`."""
    for number in sorted(view.present()) if numbers is None else numbers:
        for row in rows(view, number):
            match = found.feed(row)
            if match is not None:
                yield match
