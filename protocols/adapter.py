"""
Joins a relay to two Twisted transports: bytes in, effects out, performed one at a time.

The only file where relay, transport and journal meet. Decided bytes queue behind the
records that must be durable first; a later message never overtakes an earlier one. A
client that goes away while its command is held takes the question with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.effects import (
    Ask, CancelTarget, Effect, Hangup, Intend, Refused, Report, StartTls, ToClient, ToTarget,
)
from protocols.errors import PeerError, Unrecordable
from protocols.command import Command
from protocols.journal import Journal
from protocols.session import Session
from protocols.verdict import Decision, Hold

WAITING_LIMIT = 4 << 20
"""Bytes that may wait for durability before the client is paused; a pipeline of 10,000 fits."""

HELD_LIMIT = 2 << 20
"""Bytes a client may send behind a held command. More would need a pause, and a paused transport is deaf."""


class Relay(Protocol):
    """What every protocol's relay can do. All return effects; none touches a transport."""

    def from_client(self, data: bytes) -> list[Effect]: ...
    def from_target(self, data: bytes) -> list[Effect]: ...
    def answer(self, decision: Decision) -> list[Effect]: ...
    def held(self, request: str, hold: Hold) -> list[Effect]: ...
    def refused(self, number: int, why: str) -> list[Effect]: ...
    def withdrawn(self) -> bool:
        """Whether what came behind a held command says that the client no longer wants it."""
    def close(self, why: str) -> list[Effect]: ...
    def farewell(self, why: str) -> bytes:
        """The protocol's own last words to a client."""
    @property
    def behind(self) -> int:
        """Bytes read and not yet looked at."""


class Addons(Protocol):
    """The pipeline, bound to one session."""

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]: ...
    def ended(self, decision: Decision, outcome: Any) -> None: ...


@dataclass(slots=True)
class _Waiting:
    """An intent that is not durable yet, and the bytes that may not overtake it."""

    sequence: int
    number: int
    data: bytes
    poison: bytes
    behind: list[bytes] = field(default_factory=list)


@implementer(IPushProducer)
class _Tap:
    """Tells one side to stop reading while the other side's buffer is full."""

    def __init__(self, pause: Callable[[bool], None]) -> None:
        self._pause = pause

    def pauseProducing(self) -> None:
        self._pause(True)

    def resumeProducing(self) -> None:
        self._pause(False)

    def stopProducing(self) -> None:
        """The transport is closing; its connectionLost tells the rest."""


class Adapter:
    """One session's relay between its client and its target."""

    log = Logger()

    def __init__(
        self, relay: Relay, session: Session, addons: Addons, journal: Journal, clock: IReactorTime,
        *, cancel_target: Callable[[], None], ended: Callable[[str], None],
    ) -> None:
        """
        :param cancel_target: sends the protocol's cancel on a connection of its own.
        :param ended: called once with the reason, after both sides were told to close.
        """
        self._relay, self.session, self._addons, self._journal, self._clock = relay, session, addons, journal, clock
        self._cancel_target, self._ended = cancel_target, ended
        self._todo: deque[Effect] = deque()
        self._working = False
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._asked: Deferred[Decision] | None = None
        self._asking = False
        self._began: dict[int, float] = {}
        self._pauses: dict[str, set[str]] = {"client": set(), "target": set()}
        self._closing = ""
        self._closed = False
        self._cancel_wanted = False
        self.last_active = clock.seconds()

    # -- wiring ------------------------------------------------------------------------

    def attach(self, client: Any, target: Any) -> None:
        """Both transports are connected and logged in; start relaying."""
        self._client, self._target = client, target
        client.registerProducer(_Tap(lambda on: self._pause("target", "client is slow", on)), True)
        target.registerProducer(_Tap(lambda on: self._pause("client", "target is slow", on)), True)

    def client_data(self, data: bytes) -> None:
        """Bytes from the client."""
        self.last_active = self._clock.seconds()
        self._feed(self._relay.from_client, data, "client")
        if self._asking and not self._closed:
            self._listen_while_held()

    def target_data(self, data: bytes) -> None:
        """Bytes from the target."""
        self._feed(self._relay.from_target, data, "target")

    def client_lost(self) -> None:
        """The client is gone. What it said goodbye after still leaves; what was held never runs."""
        if self._closing and self._waiting:
            return
        self.close("client gone")

    def target_lost(self) -> None:
        """The target is gone: the client gets its protocol's own connection error."""
        if not self._closed:
            self._client.write(self._relay.farewell("the target closed the connection"))
            self.close("target gone")

    def close(self, why: str, farewell: str = "") -> None:
        """End the session now; what was on its way is reported as unknown."""
        if self._closed:
            return
        self._closed = True
        if self._asked is not None:
            self._asked.cancel()
        self._waiting.clear()
        self._todo.clear()
        for effect in self._relay.close(why):
            if isinstance(effect, Report):
                self._report(effect)
        if farewell:
            self._client.write(self._relay.farewell(farewell))
        for transport in (self._client, self._target):
            transport.unregisterProducer()
            transport.loseConnection()
        self._ended(why)

    def cancel(self) -> None:
        """The client asked, on another connection, to cancel what it waits for."""
        if self._asking:
            if self._asked is not None:
                self._asked.cancel()
        elif self._waiting:
            self._cancel_wanted = True
        else:
            self._cancel_target()

    @property
    def busy(self) -> bool:
        """Whether a command waits, runs, or is held."""
        return bool(self._asking or self._waiting or self._began)

    # -- durability --------------------------------------------------------------------

    def durable(self, sequence: int) -> None:
        """Release every decided byte that waited for records up to `sequence`."""
        out: list[bytes] = []
        while self._waiting and self._waiting[0].sequence <= sequence:
            self._release(self._waiting.popleft(), out)
        self._write_target(out)

    def refused(self, sequence: int, why: str) -> None:
        """One intent was not recorded: the target gets something it must reject instead."""
        for entry in self._waiting:
            if entry.sequence == sequence and entry.data is not entry.poison:
                entry.data = entry.poison
                self._enqueue(self._relay.refused(entry.number, why))

    def unrecordable(self, why: str) -> None:
        """Nothing can be recorded: whatever waits is refused, in order."""
        out: list[bytes] = []
        while self._waiting:
            entry = self._waiting.popleft()
            if entry.data is not entry.poison:
                entry.data = entry.poison
                self._enqueue(self._relay.refused(entry.number, why))
            self._release(entry, out)
        self._write_target(out)

    def _release(self, entry: _Waiting, out: list[bytes]) -> None:
        out.append(entry.data)
        out += entry.behind
        self._waiting_bytes -= len(entry.data) + sum(map(len, entry.behind))

    def _write_target(self, out: list[bytes]) -> None:
        if out and not self._closed:
            self._target.write(b"".join(out))
        if not self._waiting:
            self._waiting_bytes = 0
            if self._cancel_wanted:
                self._cancel_wanted = False
                self._cancel_target()
            if self._closing and not self._closed:
                self.close(self._closing)
        if self._waiting_bytes <= WAITING_LIMIT // 2:
            self._pause("client", "evidence is slow", False)

    # -- effects -----------------------------------------------------------------------

    def _feed(self, side: Callable[[bytes], list[Effect]], data: bytes, name: str) -> None:
        if self._closed:
            return
        try:
            self._enqueue(side(data))
        except PeerError as error:
            self._note("malformed", side=name, why=error.why)
            self.close(f"malformed bytes from the {name}", f"malformed message from the {name}")
        except Exception as error:  # the adapter's edge: a bug of ours ends one session, not the worker
            self._crashed(error)

    def _crashed(self, error: object) -> None:
        self.log.error("session {id} ended by a bug: {error}", id=self.session.id, error=type(error).__name__)
        self.log.debug("{trace}", trace=Failure().getBriefTraceback() if isinstance(error, BaseException) else "")
        self._note("bug", error=type(error).__name__)
        self.close("internal error", "internal error of the gateway (OST-900)")

    def _note(self, kind: str, **facts: str) -> None:
        try:
            self._journal.note(self.session, kind, facts)
        except Unrecordable:
            self.log.warn("session {id}: {kind} could not be recorded", id=self.session.id, kind=kind)

    def _enqueue(self, effects: list[Effect]) -> None:
        self._todo.extend(effects)
        if self._working:  # else an answer came before ask() returned
            return
        self._working = True
        try:
            while self._todo and not self._closed:
                self._perform(self._todo.popleft())
        finally:
            self._working = False

    def _perform(self, effect: Effect) -> None:
        match effect:
            case ToClient(data):
                self._client.write(data)
            case ToTarget(data):
                self._to_target(data)
            case Intend():
                self._intend(effect)
            case Report():
                self._report(effect)
            case Ask(command):
                self._ask(command)
            case Refused(number, decision):
                self._refuse(number, decision)
            case CancelTarget():
                self._cancel_target()
            case Hangup(why):
                self._hang_up(why)
            case StartTls():
                raise AssertionError("TLS starts before a session does")

    def _to_target(self, data: bytes) -> None:
        if self._waiting:
            self._waiting[-1].behind.append(data)
            self._grew(len(data))
        else:
            self._target.write(data)

    def _grew(self, count: int) -> None:
        self._waiting_bytes += count
        if self._waiting_bytes > WAITING_LIMIT:
            self._pause("client", "evidence is slow", True)

    def _intend(self, effect: Intend) -> None:
        try:
            sequence = self._journal.intend(self.session, effect.number, effect.decision, self)
        except Unrecordable as error:
            self._enqueue(self._relay.refused(effect.number, str(error)))
            self._to_target(effect.poison)
            return
        self._began[effect.number] = self._clock.seconds()
        self._waiting.append(_Waiting(sequence, effect.number, effect.data, effect.poison))
        self._grew(len(effect.data))

    def _refuse(self, number: int, decision: Decision) -> None:
        try:
            self._journal.refuse(self.session, number, decision)
        except Unrecordable:
            self.log.warn("session {id}: a refusal could not be recorded", id=self.session.id)

    def _report(self, effect: Report) -> None:
        began = self._began.pop(effect.number, None)
        self._addons.ended(effect.decision, effect.outcome)
        if began is None:
            return
        micros = int((self._clock.seconds() - began) * 1_000_000)
        try:
            self._journal.report(self.session, effect.number, effect.decision, effect.outcome, micros)
        except Unrecordable:  # the intent stands; recovery closes it as unknown
            self.log.warn("session {id}: an outcome could not be recorded", id=self.session.id)

    def _hang_up(self, why: str) -> None:
        if self._waiting:
            self._closing = why
        else:
            self.close(why)

    # -- questions ---------------------------------------------------------------------

    def _ask(self, command: Command) -> None:
        self._asking = True
        answer = self._addons.decide(command, self._held)
        if isinstance(answer, Deferred):
            self._asked = answer
            answer.addCallbacks(self._answered, self._unanswered)
            answer.addErrback(lambda failure: self._crashed(failure.value))
        else:
            self._answered(answer)

    def _held(self, request: str, hold: Hold) -> None:
        self._note("request.held", request=request, rule=hold.rule)
        self._enqueue(self._relay.held(request, hold))

    def _answered(self, decision: Decision) -> None:
        self._asking, self._asked = False, None
        if not self._closed:
            self._enqueue(self._relay.answer(decision))

    def _unanswered(self, failure: Failure) -> None:
        """Cancelled with the session, or a bug: either way nothing runs."""
        failure.trap(CancelledError) if self._closed else None
        self._asking, self._asked = False, None
        if not self._closed:
            self._crashed(failure.value)

    def _listen_while_held(self) -> None:
        if self._relay.withdrawn():
            self.close("client left while its command was held")
        elif self._relay.behind > HELD_LIMIT and self._asked is not None:
            self._asked.cancel()

    # -- back-pressure -----------------------------------------------------------------

    def _pause(self, side: str, why: str, on: bool) -> None:
        reasons = self._pauses[side]
        before = bool(reasons)
        (reasons.add if on else reasons.discard)(why)
        if self._closed or before == bool(reasons):
            return
        transport = self._client if side == "client" else self._target
        if reasons and not (side == "client" and self._asking):
            transport.pauseProducing()
        elif not reasons:
            transport.resumeProducing()
