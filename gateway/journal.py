"""
What the wire tells of sessions and commands, as records on their way to the notary.

Implements `protocols.journal.Journal` for one worker. Calls of one reactor turn travel
as one append; the notary's cumulative word wakes those who wait. Nothing here
blocks. What begins is refused when it cannot be recorded; what ends then is owed, and recorded when that is possible again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack
from twisted.internet.interfaces import IReactorTime

from gateway import contents
from gateway.masked import told
from gateway.notary.client import NotaryClient
from gateway.notary.record import BODY_FIELDS, RESUMED, Kind, identity_terms
from gateway.owed import Owed
from gateway.preparations import Preparations
from gateway.reactor import end_of_turn
from gateway.values import recorded, short
from protocols.errors import Unrecordable
from protocols.journal import Waiter
from protocols.recording import Chunk, Recorded
from protocols.result import Ending, Outcome
from protocols.session import Session
from protocols.verdict import Decision

WINDOW_RECORDS = 4096
WINDOW_BYTES = 8 << 20
"""
Unacknowledged at once. `full` asks for a pause at this; at twice this nothing may begin, and at four times
what ends is not told either: it is a command's outcome, of which "unknown" is recorded then.
"""
_FLUSH_BYTES = 1 << 20
"""A batch this large does not wait for the end of the reactor's turn."""
LAZY = 0.005
"""Seconds that an outcome may wait for an intent to travel with: alone it would cost a flush of the disk
that the next intent then waits behind. A worker that dies meanwhile leaves "outcome unknown", as it would anyway."""
_GLANCE = 0.01  # seconds for the notary's word to be read, when it may lie unread
_ALLOW, _DENY = 1, 2
_COUNT = 7  # where the values' count stands among an intent's fields
_TEXT, _VALUES = 5, 7  # where they and the text stand in its body
_CLEAR = BODY_FIELDS[Kind.INTENT].index("clear_columns")  # what stands there and behind it is left out where there is nothing
_NO_REASONS: Mapping[int, str] = {}


class _Opening(NamedTuple):
    """Of a session, what was recorded of its beginning, and the sequence of that."""

    sequence: int
    fields: list[Any]
    body: list[Any]
    terms: list[str]


@dataclass(slots=True)
class _Open:
    """A session as the journal knows it."""

    id: bytes
    target: str
    who: list[str | None]
    records: int = 0
    commands: int = 0
    intents: dict[int, int] = field(default_factory=dict)  #: command number: sequence of its intent
    withdrawn: set[int] = field(default_factory=set)  #: commands whose waiter was told that they do not run
    prepared: Preparations = field(default_factory=Preparations)
    opening: _Opening | None = None


class Score(NamedTuple):
    """See `Journal.score`: an intent's fields and body, in which only the command's number, a query's text and the values are another's."""

    held: _Open
    decision: Decision
    fields: list[Any]
    body: list[Any]


class Journal:
    """
    :param client: a connected NotaryClient.
    :param clock: the reactor; times out what the notary does not acknowledge.
    :param timeout: seconds, `audit.timeout`.
    """

    def __init__(self, client: NotaryClient, clock: IReactorTime, timeout: float = 2.0) -> None:
        self._client, self._clock, self._timeout = client, clock, timeout
        self._pack = msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack
        self._sessions: dict[str, _Open] = {}
        self._waiting: deque[tuple[int, Waiter, _Open, int]] = deque()  # sequence, who, session, command (-1: none)
        self._outgoing: list[list[Any]] = []
        self._outgoing_bytes = 0
        self._unacked: deque[tuple[int, int, float, list[list[Any]]]] = deque()  # per append: last sequence, bytes, when, records
        self._unacked_bytes = 0
        self._sequence = self._base = self._acked = self._known = 0  # `_known`: acknowledged by the last incarnation
        self._bases: list[tuple[int, int]] = []  # (first sequence - 1, worker) of every incarnation
        self._worker: int | None = None
        self._why = client.why_down
        self._at_end_of_turn = end_of_turn(clock)
        self._turn = False  # whether `_end_of_turn` is due
        self._later: Any = None  # when outcomes have waited long enough
        self._held_back = False  # a turn has ended since the last append, which was not acknowledged then
        self._watch: Any = None
        self._looked = False
        self._heard = 0.0  # when the notary last acknowledged anything
        self._drained: list[Callable[[], None]] = []
        self._owed = Owed()
        self._stopped: list[tuple[int, _Open, int]] = []  # intents that are not acknowledged and whose commands do not run
        client.listen(self)

    # protocols.journal.Journal

    def opened(self, session: Session, facts: Mapping[str, str], waiter: Waiter) -> int:
        """A session began."""
        self._check(begins=True)
        held, who = self._open(session), session.identity
        fields = [session.target.protocol, session.policy_revision]
        body = [
            *held.who, who.kind, sorted(who.groups), who.proof, session.application, dict(sorted(facts.items())),
        ]
        terms = identity_terms({"identity": who.subject, "on_behalf_of": who.on_behalf_of or ""})
        sequence = self._begin(held, fields, body, terms)
        self._waiting.append((sequence, waiter, held, -1))
        return sequence

    def intend(self, session: Session, number: int, decision: Decision, waiter: Waiter) -> int:
        """A command is about to be forwarded."""
        self._check(begins=True)
        held = self._open(session)
        fields, body = contents.intent(held.who, number, decision, session.policy_revision)
        if executes := held.prepared.intended(number, decision.command):
            body += [*[()][len(body) - _CLEAR :], executes]
        return self._intent(held, fields, body, waiter)

    def score(self, session: Session, decision: Decision) -> Score:
        """What the records of a statement's executions have in common."""
        held = self._open(session)
        return Score(held, decision, *contents.intent(held.who, 0, decision, session.policy_revision))

    def intend_again(
        self, score: Score, number: int, text: str | None, types: Sequence[int], formats: Sequence[int], values: Sequence[bytes | None],
        waiter: Waiter, before: Score | None = None,
    ) -> int:
        """As `intend`, while it is known that this can be recorded."""
        if self._worker is None or self._why or self.full:
            return 0
        if before is not None:
            before.fields[0] = number - 1
            self._intent(before.held, before.fields, before.body, waiter)
        held, fields, body = score.held, score.fields, score.body
        fields[0], fields[_COUNT], body[_VALUES] = number, len(values), recorded(types, formats, values) if values else []
        if text is not None:
            body[_TEXT] = text
        return self._intent(held, fields, body, waiter)

    def _intent(self, held: _Open, fields: list[Any], body: list[Any], waiter: Waiter) -> int:
        number, sequence = fields[0], self._add(held, Kind.INTENT, _ALLOW, None, fields, body)
        held.intents[number] = sequence
        held.commands += 1
        self._waiting.append((sequence, waiter, held, number))
        return sequence

    def refuse(self, session: Session, number: int, decision: Decision) -> int:
        """A command was denied."""
        self._check()
        held = self._open(session)
        fields, body = contents.refusal(held.who, number, decision, session.policy_revision)
        if executes := held.prepared.refused(decision.command):
            body.append(executes)
        return self._add(held, Kind.REFUSAL, _DENY, None, fields, body)

    def report(self, session: Session, number: int, decision: Decision, outcome: Outcome, micros: int) -> int:
        """A command ended."""
        self._check()
        held = self._open(session)
        held.prepared.ended(number, outcome.ending is Ending.COMPLETE)
        if number in held.withdrawn:  # its outcome is recorded: it did not run
            held.withdrawn.discard(number)
            return self._sequence
        if decision.columns or outcome.cells_masked:
            outcome = told(decision, outcome)
        return self._outcome(held, number, outcome.ending, outcome, micros)

    def report_again(self, score: Score, number: int, tag: str | None, rows: int, size: int, micros: int) -> int:
        """As `report`, of what was complete and left the transaction as it was; 0 when it cannot be recorded."""
        tags, transaction = () if tag is None else (tag,), score.decision.command.transaction
        try:
            self._check()
            if score.decision.columns:
                outcome = Outcome(Ending.COMPLETE, tags, "", rows, size, transaction=transaction)
                return self._outcome(score.held, number, Ending.COMPLETE, told(score.decision, outcome), micros)
            fields = [number, Ending.COMPLETE, "", rows, size, 0, 0, micros, transaction]
            return self._ended(score.held, number, fields, [tags, (), "", _NO_FACTS, b""])
        except Unrecordable:
            return 0

    def chunk(self, session: Session, chunk: Chunk, waiter: Waiter) -> int:
        """Part of a recording."""
        self._check(begins=True)
        fields = [
            chunk.recording, chunk.number, chunk.channel, chunk.command, chunk.events[0][0], len(chunk.events), chunk.bytes,
        ]
        body = [[[micros, code.value, data] for micros, code, data in chunk.events]]
        return self._awaited(session, Kind.CHUNK, fields, body, waiter)

    def recorded(self, session: Session, recorded: Recorded, waiter: Waiter) -> int:
        """A recording ended."""
        self._check()
        fields = [
            recorded.recording, recorded.channel, recorded.command, recorded.chunks, recorded.output, recorded.input,
            recorded.micros,
        ]
        return self._awaited(session, Kind.RECORDED, fields, [recorded.digest], waiter)

    def _awaited(self, session: Session, kind: Kind, fields: list[Any], body: list[Any], waiter: Waiter) -> int:
        held = self._open(session)
        sequence = self._add(held, kind, 0, None, fields, body)
        if self._worker is not None:
            self._waiting.append((sequence, waiter, held, -1))
        return sequence

    def note(self, session: Session | None, kind: str, facts: Mapping[str, str]) -> int:
        """Anything else worth proving."""
        self._check()
        held = self._open(session) if session is not None else _NOBODY
        terms = identity_terms(facts) if session is None else None
        return self._add(held, Kind.NOTE, 0, None, [short(kind)], [dict(sorted(facts.items()))], terms)

    def closed(self, session: Session, why: str) -> int:
        """The session ended; commands without a report have an unknown outcome."""
        held = self._sessions.get(session.id)
        if held is None:
            raise Unrecordable("its beginning is not recorded")
        self._check()
        for number, intent in list(held.intents.items()):
            if intent > self._base and self._worker is not None:  # those of an earlier incarnation were closed by the notary when it ended
                self._outcome(held, number, "unknown", None, 0)
        sequence = self._add(held, Kind.CLOSED, 0, None, [held.commands], [why])
        del self._sessions[session.id]
        return sequence

    # Flow

    @property
    def full(self) -> bool:
        """Whether so much is unacknowledged that clients should be paused; while nothing is taken they are refused instead."""
        if self._why:
            return False
        return self._sequence - self._acked >= WINDOW_RECORDS or self._unacked_bytes + self._outgoing_bytes >= WINDOW_BYTES

    @property
    def settled(self) -> bool:
        """Whether everything that was recorded is durable: a worker may leave. It may while there is no notary, too."""
        return self._acked == self._sequence

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call once, when no longer `full` (or nothing can be recorded at all); at once when it is not."""
        if not self.full:
            call()
        else:
            self._drained.append(call)

    def flush(self) -> None:
        """Send what was called until now, instead of at the end of the reactor's turn."""
        self._turn = self._held_back = False
        if not self._outgoing or self._worker is None:
            return
        items, size = self._outgoing, self._outgoing_bytes
        self._outgoing, self._outgoing_bytes = [], 0
        now = self._clock.seconds()
        self._unacked.append((self._sequence, size, now, items))
        self._unacked_bytes += size
        self._client.append(self._worker, self._sequence - self._base - len(items) + 1, items)
        if self._watch is None:
            self._watch = self._clock.callLater(self._timeout, self._look)

    # Listener of the client

    def up(self, number: int, last: int = 0, there: Collection[bytes] | None = None) -> None:
        """
        A new incarnation: its sequence at the notary starts at 1, ours goes on rising. What the old one did not get is given first.
        Sessions that were taken for lost, and are not, begin again in the evidence: their close is no longer the last of them.
        """
        durable = max(self._known, self._base + last)
        due = self._owed.take(durable, self._base, self._bases[-1][1] if self._bases else 0)
        self._worker, self._base, self._acked = number, self._sequence, self._sequence
        self._bases.append((self._base, number))
        self._why = ""
        for item in due.items:
            self._put(item)
        for held in self._sessions.values() if due.given_up else ():
            held.records -= due.given_up.get(held.id, 0)
        for held in list(self._sessions.values()) if there is not None else ():
            if held.opening is not None and held.opening.sequence <= durable and held.id not in there:
                _, fields, body, terms = held.opening
                self._begin(held, fields, [*body[:-1], {**body[-1], RESUMED: "its worker was taken for gone"}], terms)
        stopped, self._stopped = self._stopped, []
        for intent, held, command in stopped:
            if intent <= durable:
                held.intents[command] = intent
                self._outcome(held, command, "refused", None, 0)
        self._tell_missed(due.missed)

    def down(self, why: str) -> None:
        """Whoever waits is refused. What is not acknowledged is kept: the next incarnation knows what is recorded of it."""
        if self._worker is not None:
            self._known = self._acked
            for end, _, _, items in self._unacked:
                self._owed.keep(end, items)
            self._owed.keep(self._sequence, self._outgoing)
        self._worker, self._why = None, why
        self._outgoing, self._outgoing_bytes, self._unacked_bytes, self._held_back = [], 0, 0, False
        self._unacked.clear()
        self._acked = self._sequence
        self._refuse_waiting(why, recorded=False)
        self._wake_drained()

    def acknowledged(self, last: int, refused: Sequence[tuple[int, str]]) -> None:
        """Cumulative; those refused are told first, so that what is durable can be released in order."""
        last += self._base
        self._acked, self._heard = last, self._clock.seconds()
        while self._unacked and self._unacked[0][0] <= last:
            self._unacked_bytes -= self._unacked.popleft()[1]
        self._why = ""
        reasons = {self._base + sequence: why for sequence, why in refused} if refused else _NO_REASONS
        awake: dict[Waiter, None] = {}
        while self._waiting and self._waiting[0][0] <= last:
            sequence, waiter, held, number = self._waiting.popleft()
            if sequence in reasons:
                held.intents.pop(number, None)
                held.withdrawn.add(number)
                waiter.refused(sequence, reasons[sequence])
            else:
                awake[waiter] = None
        if self._held_back and not self._unacked and not self._turn:  # whatever else this turn brings goes with it
            self._turn = True
            self._at_end_of_turn(self._end_of_turn)
        for waiter in awake:
            waiter.durable(last)
        if self._owed.missed and not self.full:
            missed, self._owed.missed = self._owed.missed, 0
            self._tell_missed(missed)
        self._wake_drained()

    # Inside

    def _tell_missed(self, count: int) -> None:
        if count:
            self._add(_NOBODY, Kind.NOTE, 0, None, ["records.missed"], [{"count": str(count)}])

    def _check(self, *, begins: bool = False) -> None:
        """While the store is late nothing may begin, but what ends is still told; while there is no notary it is owed."""
        if self._worker is None and self._bases and not begins:
            return
        if self._worker is None or (begins and self._why):
            raise Unrecordable(self._why or "the notary is not connected")
        most = 2 if begins else 4
        pending = self._unacked_bytes + self._outgoing_bytes
        if self._sequence - self._acked >= most * WINDOW_RECORDS or pending >= most * WINDOW_BYTES:
            self._owed.missed += not begins
            raise Unrecordable("too much waits to be recorded")

    def _begin(self, held: _Open, fields: list[Any], body: list[Any], terms: list[str]) -> int:
        sequence = self._add(held, Kind.OPENED, _ALLOW, None, fields, body, terms)
        held.opening = _Opening(sequence, fields, body, terms)
        return sequence

    def _open(self, session: Session) -> _Open:
        held = self._sessions.get(session.id)
        if held is None:
            who = session.identity
            held = self._sessions[session.id] = _Open(
                bytes.fromhex(session.id.replace("-", "")), short(session.target.name),
                [who.subject, who.on_behalf_of, session.account, session.database, session.peer],
            )
        return held

    def _add(
        self, held: _Open, kind: int, verdict: int, ref: list[int] | None, fields: list[Any], body: list[Any],
        terms: list[str] | None = None, *, lazy: bool = False,
    ) -> int:
        event = self._pack((int(kind), held.id, held.records, held.target, verdict, ref, *fields))
        packed = self._pack(body)
        if held is not _NOBODY:
            held.records += 1
        if self._worker is not None:
            return self._put([event, packed, terms], lazy)
        if not self._owed.add(kind, [event, packed, terms]):
            raise Unrecordable("too much waits to be recorded")
        return self._sequence

    def _put(self, item: list[Any], lazy: bool = False) -> int:
        self._outgoing.append(item)
        self._outgoing_bytes += len(item[0]) + len(item[1])
        self._sequence += 1
        if self._outgoing_bytes >= _FLUSH_BYTES:
            self.flush()
        else:
            self._schedule(lazy)
        return self._sequence

    def _schedule(self, lazy: bool) -> None:
        """
        Send at the end of this turn; what nobody waits for travels with the next that somebody does. The timer for that is
        left running when it did: one that is cancelled for each command costs more than one that finds nothing to do.
        """
        if self._turn:
            return
        if not lazy:
            self._turn = True
            self._at_end_of_turn(self._end_of_turn)
        elif self._later is None:
            self._later = self._clock.callLater(LAZY, self._end_of_patience)

    def _end_of_turn(self) -> None:
        """
        While an append is not acknowledged the notary is at work on it, and what comes meanwhile is one batch when its word
        is here: each has a signature, a write and two wakes, whatever is in it.
        """
        if not self._turn:
            return  # it was sent before
        self._turn = False
        if self._unacked:
            self._held_back = True
        else:
            self.flush()

    def _end_of_patience(self) -> None:
        self._later = None
        if not self._turn:
            self._turn = True
            self._end_of_turn()

    def _outcome(self, held: _Open, number: int, ending: str, outcome: Outcome | None, micros: int) -> int:
        fields, body = contents.outcome(number, ending, outcome, micros)
        return self._ended(held, number, fields, body)

    def _ended(self, held: _Open, number: int, fields: list[Any], body: list[Any]) -> int:
        intent = held.intents.pop(number, None)
        ref = None if intent is None else self._reference(intent)
        return self._add(held, Kind.OUTCOME, _ALLOW, ref, fields, body, lazy=True)

    def _reference(self, sequence: int) -> list[int]:
        """[worker, sequence] as the notary numbers an intent, also one of an earlier incarnation."""
        base, worker = self._bases[-1]
        if base >= sequence:
            base, worker = next(entry for entry in reversed(self._bases) if entry[0] < sequence)
        return [worker, sequence - base]

    def _look(self) -> None:
        """Has nothing been heard of the oldest append for too long? While others are acknowledged the store is not silent."""
        self._watch = None
        if not self._unacked:
            return
        waited = self._clock.seconds() - max(self._unacked[0][2], self._heard)
        if waited >= self._timeout and not self._looked:
            self._looked = True  # its word may have come while this process was busy: read first
            self._watch = self._clock.callLater(_GLANCE, self._look)
            return
        self._looked = False
        if waited >= self._timeout:
            self._why = "the evidence store does not answer"
            self._refuse_waiting(self._why, recorded=True)
            self._wake_drained()
            waited = 0.0
        self._watch = self._clock.callLater(self._timeout - waited, self._look)

    def _refuse_waiting(self, why: str, *, recorded: bool) -> None:
        """
        Tell everyone who waits. Where the intents may still become durable (`recorded`), the
        outcome that follows each says that it did not run; where nobody knows, it does so once somebody does.
        """
        waiting, self._waiting = self._waiting, deque()
        for sequence, _, held, number in waiting:
            if number in held.intents:
                held.withdrawn.add(number)
                if recorded:
                    self._outcome(held, number, "refused", None, 0)
                else:
                    del held.intents[number]
                    self._stopped.append((sequence, held, number))
        for waiter in dict.fromkeys(waiter for _, waiter, _, _ in waiting):
            waiter.unrecordable(why)

    def _wake_drained(self) -> None:
        if self._drained and not self.full:
            drained, self._drained = self._drained, []
            for call in drained:
                call()


_NOBODY = _Open(b"", "", [])
_NO_FACTS: Mapping[str, str] = {}
