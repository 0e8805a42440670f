"""
Which records somebody asks for, and finding them.

Exact fields are searched in clear. Identities are found by their pseudonyms, so also where a body has expired;
text is searched in opened bodies, in what is clear, and on recorded screens. What a session or a request was allowed
by belongs to it: approvals and the notes of its requests, though they carry no session. So does who ended a session.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from gateway.evidence.readable import CONFIGURATION, readable
from gateway.evidence.shown import Shown
from gateway.evidence.view import Row, View, rows
from gateway.notary.body import Bodies, BodyError, body_hash
from gateway.notary.record import BODY_FIELDS, COMMON, FIELDS, IDENTITY_FACTS, VERDICTS, Kind, Record, parse_leaf, unpack
from protocols.session import KINDS

_AGO = re.compile(r"(\d+)([smhdw])")
_FRACTION = re.compile(r"(?<=:\d\d)\.(\d{1,9})")
_OF_NOTES = re.compile(r"[\w-]+\.[\w.-]*\*?")
LOOKING = ("exported", "viewed", "watched")
"""Names of the records that evidence was looked at."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FORMATS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d%z")


Place = tuple[int, int]
"""A segment and an index in it."""


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
    request: str = ""
    alarm: bool = False  #: only what says that a layer of masking met what another should have
    identity_kind: str = ""  #: of whom did it, as its session's opening has it
    on_behalf_of: str = ""  #: for whom an agent or a workload did it
    disclosed: str = ""  #: only commands that may have read this declared column in the clear; "*" is any

    def __post_init__(self) -> None:
        if self.kind and self.kind.upper() not in Kind.__members__ and self.kind not in LOOKING and not _OF_NOTES.fullmatch(self.kind):
            kinds = ", ".join(sorted([*(k.lower() for k in Kind.__members__), *LOOKING]))
            raise BadQuery(f"no kind {self.kind!r}; there are {kinds}, and those of notes, such as site.ticket, or site.* for all that begin so")
        if self.identity_kind and self.identity_kind not in KINDS:
            raise BadQuery(f"an identity's kind is {', '.join(KINDS[:-1])} or {KINDS[-1]}")
        if self.verdict and self.verdict not in VERDICTS:
            raise BadQuery("a verdict is allow or deny")
        if self.since_ns is not None and self.until_ns is not None and self.since_ns >= self.until_ns:
            raise BadQuery("--since is not before --until, so nothing can match")

    def described(self) -> dict[str, str]:
        """What was asked, as evidence of the asking and for a bundle."""
        return {name: str(getattr(self, name)) for name in self.__slots__ if getattr(self, name) not in ("", None, False)}


def parse_time(text: str, now: float | None = None) -> int:
    """
    Nanoseconds of "2026-11-22", "2026-11-22T10:00", "…T10:00:30Z", or of "90m" ago (s, m, h, d, w).

    :raises BadQuery: anything else.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return int(((time.time() if now is None else now) - int(ago[1]) * _UNITS[ago[2]]) * 1e9)
    normal, fraction = _whole_seconds(text.replace("Z", "+0000"))
    if not re.search(r"[+-]\d\d:?\d\d$", normal) or re.fullmatch(r"\d{4}-\d\d-\d\d", normal):
        normal += "+0000"
    for pattern in _FORMATS:
        try:
            return int(_timestamp(normal, pattern) * 1_000_000_000) + fraction
        except ValueError:
            continue
    raise BadQuery(f"no time {text!r}: write 2026-11-22T10:00Z, or 90m for 90 minutes ago")


def _whole_seconds(text: str) -> tuple[str, int]:
    """A moment without what is below a second, and that, in nanoseconds: listings and records print it."""
    found = _FRACTION.search(text)
    return (text, 0) if found is None else (text.replace(found[0], "", 1), int(found[1].ljust(9, "0")))


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
    protocol: str = ""  #: of its session

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
    changed: list[Place] = field(default_factory=list)  #: whose bodies are not those that were recorded
    unsearched: int = 0  #: configurations that hold the wanted text, which was not looked for there
    _identities: dict[bytes, str] = field(default_factory=dict)
    _protocols: dict[bytes, str] = field(default_factory=dict)
    _kinds: dict[bytes, str] = field(default_factory=dict)  # of each session's identity
    _principals: dict[bytes, str] = field(default_factory=dict)  # for whom each session acts
    _sessions: set[bytes] = field(default_factory=set)
    _requests: set[str] = field(default_factory=set)  # that the wanted records name
    _grants: set[str] = field(default_factory=set)
    _approvals: dict[str, str] = field(default_factory=dict)  # grant: request
    _intents: set[tuple[int, int]] = field(default_factory=set)  # under the wanted request
    _revisions: set[str] = field(default_factory=set)  # of the policy, by which the wanted session was judged
    _askers: set[bytes] = field(default_factory=set)  # sessions of these: their opening tells who that was, and under what floor
    _on_target: set[str] = field(default_factory=set)  # requests about the wanted target
    _shown: Shown | None = None
    _session: bytes = b""  # the wanted one; empty for any

    def __post_init__(self) -> None:
        self._session = _packed(self.query.session)
        self._shown = Shown(self.query.text) if self.query.text else None
        self._requests |= {self.query.request} - {""}

    @property
    def follows(self) -> bool:
        """Whether records must be gone through once with `learn` before they are fed."""
        return bool(self.query.session or self.query.request)

    def learn(self, record: Record) -> None:
        """Note what the wanted records refer to: an approval comes before the intent that names it."""
        request, grant = _names(record)
        if record.kind == Kind.APPROVAL:
            self._approvals[grant] = request
        if self.query.session and record.kind in _JUDGED and record.session == self._session:
            self._revisions.add(str(record.get("policy_revision")))
        request = request or self._approvals.get(grant, "")
        if self.follows and self._is_asked_for(record, request):
            self._requests |= {request} - {""}
            self._grants |= {grant} - {""}
            if self.query.request and record.kind in (Kind.INTENT, Kind.REFUSAL):
                self._askers.add(record.session)
            if self.query.request and record.kind == Kind.INTENT:
                self._intents.add(record.key)

    def _is_asked_for(self, record: Record, request: str) -> bool:
        return self._session in (b"", record.session) and self.query.request in ("", request)

    def feed(self, row: Row) -> Found | None:
        """The next record; what it is when it matches."""
        record = parse_leaf(row[1])
        self.learn(record)
        if self._is_another(record):
            return None
        found = self._open(row, record)
        if record.kind == Kind.OPENED:
            self._identities[record.session] = found.identity
            self._protocols[record.session] = found.protocol = record.get("protocol")
            if found.body is not None:
                self._principals[record.session], self._kinds[record.session] = found.body[1] or "", found.body[_IDENTITY_KIND]
            if self._is_of_identity(found):
                self._sessions.add(record.session)
        return found if self._matches(found) else None

    def _is_another(self, record: Record) -> bool:
        """Whether what is in clear shows that it does not match, and its body tells nothing of what does: it stays closed, which is half of a search."""
        if record.session and self._session not in (b"", record.session):
            return record.kind != Kind.OPENED
        return record.kind in _ONLY_OF_THEMSELVES and not self._is_wanted(record)

    def _is_wanted(self, record: Record) -> bool:
        """Its time, kind and verdict."""
        query, at = self.query, record.stamp.time_ns
        return (
            (query.since_ns is None or at >= query.since_ns)
            and (query.until_ns is None or at < query.until_ns)
            and (not query.kind or _is_of_kind(record, query.kind))
            and (not query.verdict or VERDICTS[record.fields[4]] == query.verdict)
        )

    def _open(self, row: Row, record: Record) -> Found:
        found = Found(row, record, self._identities.get(record.session, ""), protocol=self._protocols.get(record.session, ""))
        if row[2] is not None and body_hash(row[2]) != record.stamp.body_hash:
            self.changed.append((record.stamp.segment, record.stamp.index))
            return found
        if self.bodies is None or row[2] is None:
            return found
        try:
            found.plain, found.opening = self.bodies.open(record.session, row[2])
        except BodyError:
            self.unopened += 1
            return found
        if record.kind in _WITH_IDENTITY:
            found.identity = (found.body or [""])[0] or found.identity
        elif record.kind == Kind.APPROVAL:
            found.identity = (found.body or [{}])[0].get("approvers", "")
        elif record.kind in (Kind.NOTE, Kind.ADMIN) and not record.session:
            found.identity = doer((found.body or [{}])[0])
        return found

    def _matches(self, found: Found) -> bool:
        query, on_screen, on_target = self.query, self._is_on_screen(found), self._is_on_target(found)
        of_session = not query.session or self._is_of_session(found)  # what it tells of others counts also where it does not match itself
        return (
            self._is_wanted(found.record)
            and (not query.target or on_target)
            and of_session
            and (not query.request or self._is_referred_to(found))
            and (not query.alarm or _alarm(found) != "")
            and (not query.disclosed or _discloses(found, query.disclosed))
            and (not query.identity or self._is_of_identity(found))
            and (not query.identity_kind or self._kinds.get(_acting(found)) == query.identity_kind)
            and (not query.on_behalf_of or self._principal(found) == query.on_behalf_of)
            and (not query.text or on_screen or self._tells(found, query.text.casefold()))
        )

    def _tells(self, found: Found, text: str) -> bool:
        """Whether it holds the wanted text. A configuration's own, which names half of everything, counts for who asks for its kind."""
        own, facts = found.record.fields[len(COMMON):], _facts(found)
        if self.query.kind or "text" not in facts or not _is_configuration(found.record):
            return _holds([found.body, own], text)
        self.unsearched += _holds(facts["text"], text)
        return _holds([{name: value for name, value in facts.items() if name != "text"}, own], text)

    def _is_on_target(self, found: Found) -> bool:
        """Something done on the wanted target, or a note about it: of its accounts, checks, and requests, which only their asking names it in."""
        (request, _), told, target = _names(found.record), _facts(found), self.query.target
        if target and told.get("target") == target:
            self._on_target |= {told.get("request", "")} - {""}
            return True
        return found.record.fields[3] == target or bool({request, told.get("request")} & self._on_target)

    def _is_on_screen(self, found: Found) -> bool:
        """Whether a recording's chunk shows the wanted text. Every chunk is looked at: a screen is made of all before it."""
        record = found.record
        if self._shown is None or record.kind not in (Kind.CHUNK, Kind.RECORDED):
            return False
        if record.kind == Kind.RECORDED:
            self._shown.ended(record.session, record.get("recording"))
            return False
        body = found.body
        return body is not None and self._shown.feed(record.session, record.get("recording"), record.get("chunk"), body[0])

    def _is_of_session(self, found: Found) -> bool:
        """Its own record, or what tells of it or of its requests: who ended it, who watched it. Another session's command is that session's."""
        if found.record.session:
            return found.record.session == self._session
        told = _facts(found)
        if _is_configuration(found.record):
            return self._is_first_of(str(told.get("revision", "")))
        if told.get("request") and told.get("session") == self.query.session:  # a submission, maybe never granted
            if self.query.request in ("", told["request"]):
                self._requests.add(told["request"])
        if not told.get("request") and self.query.session in (told.get("session"), *str(told.get("sessions", "")).split()):
            return True
        return self._is_referred_to(found)

    def _is_first_of(self, revision: str) -> bool:
        """Whether the session was judged by this configuration; told once, though each start notes it again."""
        wanted = revision in self._revisions
        self._revisions.discard(revision)
        return wanted

    def _is_referred_to(self, found: Found) -> bool:
        """Whether it tells of a request or grant that the wanted records name."""
        (request, grant), told, ref = _names(found.record), _facts(found), found.record.fields[5]
        if found.record.kind == Kind.OUTCOME and ref is not None:
            return tuple(ref) in self._intents
        if found.record.kind == Kind.OPENED and found.record.session in self._askers:
            return True
        return bool({request, told.get("request")} & self._requests or {grant, told.get("grant")} & self._grants)

    def _is_of_identity(self, found: Found) -> bool:
        wanted = self.query.identity
        if not wanted:
            return False
        if found.record.session and found.record.session in self._sessions:
            return True
        if self.bodies is not None and self.bodies.term(f"identity\0{wanted}") in found.record.stamp.terms:
            return True
        return found.identity == wanted


    def _principal(self, found: Found) -> str:
        """For whom it was done: what it tells itself, else its session's opening."""
        told = found.body[1] if found.body is not None and found.record.kind in _WITH_IDENTITY else _facts(found).get("on_behalf_of")
        return told or self._principals.get(_acting(found), "")


def _acting(found: Found) -> bytes:
    """The session in which something was done; control's notes of a session's requests name it in their facts."""
    named = str(_facts(found).get("session", ""))
    return found.record.session or (uuid.UUID(named).bytes if _UUID.fullmatch(named) else b"")


def _alarm(found: Found) -> str:
    """What a record alarms about; "" for nothing, or when its body is not opened."""
    body = found.body
    if body is None or found.record.kind not in (Kind.OUTCOME, Kind.NOTE):
        return ""
    if found.record.kind == Kind.NOTE:
        return (body[0] or {}).get("alarm", "")
    return body[_ALARM] or ""


def _discloses(found: Found, column: str) -> bool:
    """Whether a command is recorded to read a column in the clear, or any one of which it may be."""
    body = found.body
    if body is None or found.record.kind != Kind.INTENT or len(body) <= _CLEAR:
        return False
    return column == ANY_COLUMN or column in body[_CLEAR]


ANY_COLUMN = "*"
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
def doer(facts: Mapping[str, str]) -> str:
    """Who did what these facts of control tell, which is not on whom: without a token it was a user of this machine."""
    operator = facts.get("os_user", "") if not facts.get("with_token") else ""
    return facts.get("by") or operator or next((facts[name] for name in IDENTITY_FACTS if facts.get(name)), "")


_IDENTITY_KIND = BODY_FIELDS[Kind.OPENED].index("identity_kind")
_CLEAR = BODY_FIELDS[Kind.INTENT].index("clear_columns")
_ALARM = BODY_FIELDS[Kind.OUTCOME].index("alarm")
_JUDGED = {Kind.OPENED, Kind.INTENT, Kind.REFUSAL}
_ONLY_OF_THEMSELVES = {Kind.INTENT, Kind.OUTCOME, Kind.REFUSAL, Kind.UNGRANTED}
_WITH_IDENTITY = {Kind.OPENED, Kind.INTENT, Kind.REFUSAL, Kind.UNGRANTED}
_WITH_FACTS = {Kind.NOTE, Kind.ADMIN, Kind.APPROVAL}


def _packed(session: str) -> bytes:
    """As records have it; of what is no id something that none has, and nothing of nothing."""
    return uuid.UUID(session).bytes if _UUID.fullmatch(session) else session.encode("utf-8", "replace")[:8]


def _is_of_kind(record: Record, wanted: str) -> bool:
    """Of a record's kind, or of a note's own, which may end in a star; control's notes have theirs too."""
    if wanted.upper() in Kind.__members__:
        return record.kind == Kind[wanted.upper()]
    told = str(record.get("what")) if record.kind in (Kind.NOTE, Kind.ADMIN) else ""
    return told.startswith(wanted[:-1]) if wanted.endswith("*") else told == wanted


def _is_configuration(record: Record) -> bool:
    return record.kind == Kind.ADMIN and str(record.get("what")).startswith(CONFIGURATION)


def configuration(found: Found) -> str:
    """The text of a configuration that a record holds; "" where it holds none, or its body is closed."""
    return str(_facts(found).get("text", "")) if _is_configuration(found.record) else ""


def _names(record: Record) -> tuple[str, str]:
    """The request and the grant that a record names in clear; "" where it names none."""
    named = FIELDS[record.kind]
    return (record.get("request") if "request" in named else "", record.get("grant") if "grant" in named else "")


def _facts(found: Found) -> dict[str, str]:
    """What a note or an approval tells; nothing when its body is closed."""
    return (found.body or [{}])[0] if found.record.kind in _WITH_FACTS else {}


def _holds(value: Any, text: str) -> bool:
    """Whether any string inside holds `text`, whatever the case."""
    if isinstance(value, str):
        return text in value.casefold()
    if isinstance(value, dict):
        return any(_holds(item, text) for pair in value.items() for item in pair)
    return isinstance(value, (list, tuple)) and any(_holds(item, text) for item in value)


def search(view: View, found: Search, numbers: Iterable[int] | None = None, upto: Place | None = None) -> Iterator[Found]:
    """All matches in order, of all segments or of `numbers`, before `upto`; in two passes where references are followed."""
    wanted = sorted(view.present()) if numbers is None else list(numbers)
    if found.follows:
        for row in _before(view, wanted, upto):
            found.learn(parse_leaf(row[1]))
    for row in _before(view, wanted, upto):
        match = found.feed(row)
        if match is not None:
            yield match


def _before(view: View, numbers: Iterable[int], upto: Place | None) -> Iterator[Row]:
    for number in numbers:
        if upto is None or number < upto[0]:
            yield from rows(view, number)
        elif number == upto[0]:
            yield from islice(rows(view, number), upto[1])
