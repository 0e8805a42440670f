"""
One connection to the notary, from its side: who it is, and what it may ask.

Everything that a worker sends is checked before it is queued: the kind is one that
workers may write, the sequence has no gap, the session is its own. A worker that breaks
this is cut off, and its open intents get unknown outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import lmdb
import msgpack
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.frame import DAMAGED, peer_credentials
from gateway.link import Link
from gateway.notary.appended import STAMP_ROOM, TERMS, plain
from gateway.notary.entry import Entry
from gateway.notary.environment import Unfit
from gateway.notary.ledger import LedgerError
from gateway.notary.record import COMMON, FIELDS, LEAF_LIMIT, WORKER_KINDS, BadRecord, Kind, checked, event, identity_terms, pack
from gateway.notary.store import Store

if TYPE_CHECKING:
    from gateway.notary.process import Notary

_PAGE = 1 << 20  # bytes per answer to a reader
_ENTRIES = 4096  # ledger entries per answer
_NAME = 64  # characters of a grant's or request's name
_BINDING = 32  # bytes
_KINDS, _CLOSED, _INTENT = frozenset(map(int, WORKER_KINDS)), int(Kind.CLOSED), int(Kind.INTENT)
_REF = COMMON.index("ref")
_COMMAND, _GRANT = (len(COMMON) + FIELDS[Kind.INTENT].index(name) for name in ("command", "grant"))
_MALFORMED = (ValueError, TypeError, IndexError, KeyError, BadRecord, msgpack.exceptions.UnpackException)


class Desk(Link):
    """See the module."""

    def __init__(self, notary: Notary) -> None:
        super().__init__()
        self._notary = notary
        self._log = Logger()
        self.role: str | None = None
        self._allowed: dict[str, Callable[..., None]] = {}
        self.number: int | None = None
        self._expected = 1
        self.numbers: list[int] = []  #: all that this worker ever had, of other notaries too
        self.pid = self.uid = -1

    def connectionMade(self) -> None:
        super().connectionMade()
        self.pid, self.uid, _ = peer_credentials(self.transport.getHandle())

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.leave()
        self._notary.left(self)

    def leave(self) -> None:
        """What this worker left open has an unknown outcome, and it records nothing more."""
        if self.number is not None:
            self._notary.writer.submit(_Leave(self.number, self.numbers))
            self.number = None

    def dataReceived(self, data: bytes) -> None:
        try:
            if not self._plainly(data):
                super().dataReceived(data)
        except _MALFORMED as e:
            self._log.error("cut off {role} {pid}: {why}", role=self.role, pid=self.pid, why=type(e).__name__)
            self.transport.abortConnection()

    def _plainly(self, data: bytes) -> bool:
        """Whether it is one append with nothing unusual in it, which is now on its way; others come as frames."""
        if self.number is None or self._buffer:
            return False
        entries = plain(data, self.number, self._expected, self._notary.owners, self)
        if entries is None:
            return False
        self._expected += len(entries)
        self._notary.writer.submit(_Append(self, entries, len(data)))
        return True

    def frame_received(self, frame: list[Any]) -> None:
        if self.role is None:
            self._hello(*frame)
        else:
            self._allowed[frame[0]](self, *frame[1:])

    # Coming and going

    def _hello(self, op: str, token: str, numbers: Sequence[int] = ()) -> None:
        self.role = self._notary.role(token, self.uid) if op == "hello" else None
        if self.role is None:
            self.send("denied", "this token is not known here")
            self.transport.loseConnection()
            return
        self._allowed, self.numbers = _ALLOWED.get(self.role, _WORKER), [number for number in numbers if type(number) is int]
        self._notary.seated(self)
        if self._notary.why_down is None:
            self.up()
        else:
            self.send("down", self._notary.why_down)

    def up(self) -> None:
        """Evidence is recorded (again): a worker gets its number, a reader just word."""
        if self.role == "reader":
            self.send("up", 0, 0)
        else:
            self._notary.writer.submit(_Join(self))

    def joined(self, number: int) -> None:
        """This worker's record 0 is durable."""
        if not self.connected_now:
            self._notary.writer.submit(_Leave(number, self.numbers))
            return
        store = self._notary.writer.store
        last = store.state.lasts.get(self.numbers[-1], 0) if store is not None and self.numbers else 0
        self.number, self._expected = number, 1
        there = [session for session, (worker, _) in list(store.state.sessions.items()) if worker in self.numbers] if store is not None else None
        self.numbers.append(number)
        self.send("up", number, last, there)

    def down(self, why: str) -> None:
        self.number = None
        self.send("down", why)

    # Workers

    def _append(self, number: int, first: int, items: list[list[Any]]) -> None:
        if number != self.number:
            return  # sent before our "down" reached it; it knows by now that this is refused
        if first != self._expected or not items:
            raise BadRecord("a gap in the sequence")
        entries, size = [], 0
        for sequence, (packed, body, terms) in enumerate(items, first):
            entries.append(self._entry(number, sequence, packed, body, terms))
            size += len(packed) if body is None else len(packed) + len(body)
        self._expected += len(entries)
        self._notary.writer.submit(_Append(self, entries, size))

    def _entry(self, number: int, sequence: int, packed: bytes, body: bytes | None, terms: list[str] | None) -> Entry:
        fields = checked(msgpack.unpackb(packed, raw=False, strict_map_key=True))  # what it raises is among the _MALFORMED
        kind, session = fields[0], fields[1]
        if kind not in _KINDS or len(packed) > LEAF_LIMIT - STAMP_ROOM:
            raise BadRecord("not a worker's record, or too long")
        if not _is_sound(kind, fields):
            raise BadRecord("what is remembered of it")
        if (body is not None and type(body) is not bytes) or (terms and len(terms) > TERMS):
            raise BadRecord("body or terms")
        if session and not self._notary.claim(session, self, ending=kind == _CLOSED):
            raise BadRecord("another worker's session")
        return Entry.of(number, sequence, packed, fields, body, [str(term) for term in terms] if terms else ())

    # Control, and whoever looks at evidence

    def _grant(
        self, ask: int, name: str, binding: bytes, expires_ns: int, uses: int, request: str, facts: dict[str, str]
    ) -> None:
        if not 0 < len(name) <= _NAME or len(request) > _NAME or len(binding) != _BINDING or uses < 0:
            raise BadRecord("not a grant")
        packed = event(Kind.APPROVAL, name, binding, int(expires_ns), int(uses), request)
        self._notary.writer.submit(_Own(self, ask, packed, facts))

    def _admin(self, ask: int, what: str, facts: dict[str, Any]) -> None:
        packed = event(Kind.ADMIN, what[:_NAME], self.pid, self.uid)
        self._notary.writer.submit(_Own(self, ask, packed, facts))

    # Readers

    def _status(self, ask: int) -> None:
        store = self._notary.writer.store
        if store is None or self._notary.why_down is not None:
            self.send("failed", ask, self._notary.why_down or "starting")
            return
        self.send("done", ask, store.segment.number, store.segment.size, store.ledger.size)

    def _health(self, ask: int) -> None:
        self.send("done", ask, self._notary.health())

    def _ledger(self, ask: int, start: int) -> None:
        self._read_later(ask, lambda store: _entries(store, start))

    def _events(self, ask: int, start: int) -> None:
        store = self._notary.writer.store
        if store is None:
            self.send("failed", ask, self._notary.why_down or "starting")
            return
        self.send("done", ask, *store.ledger.told(start, _ENTRIES))

    def _read(self, ask: int, number: int, start: int) -> None:
        self._read_later(ask, lambda store: _page(store, number, start))

    def _follow(self, ask: int) -> None:
        self._notary.follow(self)
        self.send("done", ask)

    def news(self) -> None:
        """Something was recorded, and this follows."""
        store = self._notary.writer.store
        if store is not None:
            self.send("news", store.segment.number, store.segment.size)

    def _read_later(self, ask: int, read: Any) -> None:
        """In a thread: pages may have to come from the disk."""
        store = self._notary.writer.store
        if store is None:
            self.send("failed", ask, self._notary.why_down or "starting")
            return
        reading = deferToThread(read, store)
        reading.addCallback(lambda answer: self.send("done", ask, *answer))
        reading.addErrback(self._unread, ask)

    def _unread(self, failure: Failure, ask: int) -> None:
        failure.trap(lmdb.Error, Unfit, LedgerError, UnicodeDecodeError, OSError)
        gone = failure.check(OSError) or isinstance(failure.value.__cause__, OSError)  # the disk's answer, and nothing of what is on it
        self.send("failed", ask, failure.getErrorMessage(), *(() if gone else (DAMAGED,)))


def _is_sound(kind: int, fields: list[Any]) -> bool:
    """Whether what the notary remembers of a worker's record can be remembered: a pair of numbers, an intent's command and grant."""
    ref = fields[_REF]
    if ref is not None and (type(ref) is not list or [type(one) for one in ref] != [int, int]):
        return False
    return kind != _INTENT or (type(fields[_COMMAND]) is int and type(fields[_GRANT]) is str)


_WORKER: dict[str, Callable[..., None]] = {"append": Desk._append}
_ALLOWED: dict[str, dict[str, Callable[..., None]]] = {
    "control": {"append": Desk._append, "grant": Desk._grant, "admin": Desk._admin},
    "reader": {
        "admin": Desk._admin, "status": Desk._status, "health": Desk._health, "ledger": Desk._ledger,
        "events": Desk._events, "read": Desk._read, "follow": Desk._follow,
    },
}  # fmt: skip


def _entries(store: Store, start: int) -> tuple[list[bytes], str]:
    return store.ledger.page(start, _ENTRIES)


def _page(store: Store, number: int, start: int) -> tuple[list[list[Any]], str]:
    page = store.page(number, start, _PAGE)
    return [list(row) for row in page.rows], page.head


class _Append:
    """A worker's batch."""

    first = False

    def __init__(self, desk: Desk, entries: list[Entry], size: int) -> None:
        self._desk, self._entries = desk, entries
        self.weight = (len(entries), size)

    def entries(self, store: Store) -> Sequence[Entry]:
        return self._entries

    def done(self, refusals: Sequence[str]) -> None:
        if self._desk.number == self._entries[0].worker:
            refused = [[e.sequence, why] for e, why in zip(self._entries, refusals, strict=True) if why] if any(refusals) else ()
            self._desk.send("ack", self._entries[-1].sequence, refused)

    def failed(self, why: str) -> None:
        """The desk hears "down"."""


class _Join:
    """A worker's first record."""

    weight, first = (1, 200), False

    def __init__(self, desk: Desk) -> None:
        self._desk, self._number = desk, 0

    def entries(self, store: Store) -> Sequence[Entry]:
        entry = store.join((self._desk.role or "")[:16], self._desk.pid, self._desk.uid)
        self._number = entry.worker
        return [entry]

    def done(self, refusals: Sequence[str]) -> None:
        self._desk.joined(self._number)

    def failed(self, why: str) -> None:
        """The desk hears "down", and "up" after it."""


class _Leave:
    """A worker is gone."""

    weight, first = (64, 8192), True

    def __init__(self, number: int, numbers: Collection[int]) -> None:
        self._number, self._numbers = number, numbers

    def entries(self, store: Store) -> Sequence[Entry]:
        return store.leave(self._number, self._numbers)

    def done(self, refusals: Sequence[str]) -> None:
        """Nobody waits."""

    def failed(self, why: str) -> None:
        """What it left open is closed when the store is opened again."""


class Lost:
    """Sessions of workers that are gone, and did not say so."""

    weight, first = (64, 8192), True

    def __init__(self, sessions: Collection[bytes]) -> None:
        self._sessions = sessions

    def entries(self, store: Store) -> Sequence[Entry]:
        return store.over(session for session in self._sessions if session in store.state.sessions)

    def done(self, refusals: Sequence[str]) -> None:
        """Nobody waits."""

    def failed(self, why: str) -> None:
        """The next opening of the store looks again."""


class _Own:
    """A record of the notary's own that somebody asked for."""

    first = False

    def __init__(self, desk: Desk, ask: int, packed: bytes, facts: dict[str, Any]) -> None:
        self._desk, self._ask, self._packed = desk, ask, packed
        said = {str(name): told if isinstance(told, list) else str(told) for name, told in sorted(facts.items())}
        self._body, self._terms = pack([said]), identity_terms(said)
        self.weight = 1, STAMP_ROOM + len(packed) + len(self._body)

    def entries(self, store: Store) -> Sequence[Entry]:
        return [store.own(self._packed, self._body, self._terms)]

    def done(self, refusals: Sequence[str]) -> None:
        if self._desk.connected_now:
            self._desk.send("done", self._ask)

    def failed(self, why: str) -> None:
        if self._desk.connected_now:
            self._desk.send("failed", self._ask, why)
