"""
Joins a relay to two Twisted transports: bytes in, effects out, performed one at a time.

The only file where relay, transport and journal meet. Decided bytes queue behind the
records that must be durable first (`withheld`); a later message never overtakes an earlier one. A
client that goes away while its command is held takes the question with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import classImplements

from protocols.effects import (
    Ask, CancelTarget, Effect, Hangup, Intend, Malformed, Refused, Report, StartTls, ToClient, ToTarget,
)
from protocols.errors import Unrecordable
from protocols.backlog import Backlog
from protocols.command import Command
from protocols.gathering import Gathering
from protocols.journal import Journal
from protocols.outflow import Tap
from protocols.parting import Nobody, Parting
from protocols.pauses import Pauses
from protocols.relay import Addons, Relay
from protocols.session import Session
from protocols.session_adapter import SessionAdapter
from protocols.shortcut import Shortcut
from protocols.verdict import Decision, Hold
from protocols.withheld import Waiting, Withheld

HELD_LIMIT = 2 << 20
"""Bytes a client may send behind a held command. More would need a pause, and a paused transport is deaf."""

TURN = 0.005
"""Seconds for which one session's commands are decided in one turn of the reactor; then others have theirs."""

LARGE = 32 << 10
"""Bytes of a read behind which it is asked whether what follows need not be kept."""

LINGER = 30.0
"""Seconds in which a peer may take its last bytes and close; then the connection is aborted."""


classImplements(Tap, IPushProducer)


class Adapter(SessionAdapter):
    """One session's relay between its client and its target."""

    def __init__(
        self, relay: Relay, session: Session, addons: Addons, journal: Journal, clock: IReactorTime,
        *, cancel_target: Callable[[], Deferred[None]], ended: Callable[[str], None],
    ) -> None:
        """
        :param cancel_target: sends the protocol's cancel on a connection of its own; fires when it was taken, or cannot be.
        """
        super().__init__(session, addons, journal, clock, ended)
        self._relay, self._cancel_target = relay, cancel_target
        ways = {"clear": self._clear, "hand_over": self._hand_over, "unrecorded": self._unrecorded}
        self._shortcut = Shortcut(relay, addons, journal, clock.seconds, self, **ways)
        self._todo: deque[Effect] = deque()
        self._working = False
        self._turn_began = 0.0
        self._rest: Any = None  # while others have their turn; what is to be done waits in _todo
        self._asked: Deferred[Decision] | None = None
        self._people = False  # whether it is people who are asked
        self._transports: dict[str, Any] = {}
        self._pauses = Pauses(self._transports, self._holds)
        self._withheld = Withheld(self._to_target, self._soon, self._pause_client, released=self._released, failed=self._crashed)
        self._gathering = Gathering(clock.callLater, relay.cut, self._target_said, self._wait_for)
        self._backlog = Backlog(journal, self._shown_again, self._pauses.put)
        self._parting: Parting | None = None  # the client is going, or gone, while something runs
        self._linger: Any = None
        self._cancel_wanted = False
        self._crowded = False  # the client is paused since much of what it said was not looked at yet

    # -- wiring ------------------------------------------------------------------------

    def attach(self, client: Any, target: Any) -> None:
        """Both transports are connected and logged in; start relaying."""
        self._client, self._target = client, target
        self._transports.update(client=client, target=target)
        client.registerProducer(Tap(self._pause_target), True)
        target.registerProducer(Tap(self._target_full), True)

    # Methods, not closures: each session has them, and a closure is twice as large.

    def _holds(self) -> bool:
        return self._asked is not None

    def _to_target(self, data: bytes) -> None:
        self._target.write(data)

    def _soon(self, call: Callable[[], None]) -> None:
        self._clock.callLater(0, call)

    def _wait_for(self, least: int) -> None:
        self._target.wait_for(least)

    def _pause_client(self, why: str, on: bool) -> None:
        self._pauses.put("client", why, on)

    def _pause_target(self, on: bool) -> None:
        self._pauses.put("target", "client is slow", on)

    def _target_full(self, on: bool) -> None:
        self._withheld.full(on)
        self._pauses.put("client", "target is slow", on)

    def client_data(self, data: bytes | memoryview) -> None:
        """Bytes from the client; a view where it was asked to `lend` them."""
        if self._parting is not None:  # its last word was said
            return
        try:
            if type(data) is bytes and self._shortcut.asked(data):
                return
        except Exception as error:  # as in `_drive`
            self._crashed(error)
            return
        if type(data) is memoryview and not (data := self._stream(data)):
            return
        if self._backlog.sides["client"] or (self._asked is None and self._journal.full):
            self._backlog.wait("client", data)
            return
        self._drive(self._relay.from_client, data)
        self._crowd()
        if self._asked is not None and not self._closed:
            self._listen_while_held()
        elif len(data) >= LARGE and not self._closed and (waits := self._relay.hand_back()) is not None:
            self._client.lend(waits)

    def _stream(self, data: memoryview) -> bytes:
        """Pass what is only counted and digested from where it lies; the rest, which is to be looked at."""
        if self._closed or self._working or self._todo or self._withheld or self._backlog.sides["client"] or self._journal.full:
            return bytes(data)
        try:
            size, goes_on = self._relay.stream(data)
        except Exception as error:  # as in `_drive`
            self._crashed(error)
            return b""
        self._target.write(data[:size])
        if not goes_on:
            return bytes(data[size:])
        self._client.lend(data[size:])
        return b""

    def target_data(self, data: bytes) -> None:
        """Bytes from the target."""
        if self._closed:
            return
        try:
            if self._shortcut.answered(data, self._client):
                return
        except Exception as error:  # as in `_drive`
            self._crashed(error)
            return
        if self._backlog.sides["target"]:
            self._target_said(data)
        else:
            self._gathering.add(data)

    def _clear(self) -> bool:
        """Whether nothing was read that the relay has not seen, and nothing is left to do: a target may answer what it was not sent yet."""
        return not (self._closed or self._backlog or self._todo or self._withheld) and self._gathering.idle

    def _hand_over(self, intends: list[Intend], last: int, began: float, sent: bool) -> None:
        """What was on the short way goes on here."""
        for sequence, intend in enumerate(intends, last - len(intends) + 1):
            self._began[intend.number] = began
            if not sent:
                self._withheld.wait(Waiting(sequence, intend.number, intend.data, intend.poison))

    def _target_said(self, data: bytes) -> None:
        if self._backlog.sides["target"] or self._journal.full:
            self._backlog.wait("target", data)
            return
        self._drive(self._relay.from_target, data)

    def _shown_again(self, side: str, data: bytes) -> None:
        if not self._closed:
            (self.client_data if side == "client" else self._target_said)(data)

    def client_lost(self) -> None:
        """The client is gone. What it said goodbye after still leaves; what was held never runs; what runs is waited for."""
        self._shortcut.leave()
        while self._rest is not None:  # its goodbye may be among what waits for a turn
            self._go_on()
        self._lost("client")
        if self._parting is None:
            self._leave("client gone")
        if self._parting is not None and not self._closed:
            self._client = Nobody(lambda: self.close("client gone"))
            self._pause_target(False)
            self._look_whether_answered()

    def _leave(self, why: str) -> None:
        """Nothing more goes to the target: it hears what it would from a client that is gone, and says what became of what it had."""
        unsent = self._withheld.numbers
        if self._closed or unsent.issuperset(self._began):
            self.close(why)
            return
        self._parting = Parting(why, unsent, self._clock.callLater, self.close, over=True)
        if self._asked is not None:
            self._asked.cancel()
        self._forget()
        self._target.loseWriteConnection()

    def _look_whether_answered(self) -> None:
        if self._parting is not None and not (self._closed or self._withheld):
            self._parting.answered(self._began, heard="client" in self._transports)

    def target_lost(self) -> None:
        """The target is gone: the client gets its protocol's own connection error."""
        self._gathering.flush()
        self._lost("target")
        if self._parting is not None:  # it ends a session that it was told the end of, also one with an open portal
            self.close(self._parting.why)
        else:
            self.close("target gone", "the target closed the connection")

    def close(self, why: str, farewell: str = "") -> None:
        if self._closed:
            return
        self._shortcut.leave()
        self._closed = True
        stops = bool(farewell and self._began) and "target" in self._transports
        if self._asked is not None:
            self._asked.cancel()
        unsent = self._withheld.numbers
        if self._parting is not None:
            self._parting.end()
            unsent |= self._parting.unsent
        self._gathering.discard()
        self._forget()
        try:
            self._last_effects(why, farewell, unsent)
        except Exception as error:  # the adapter's edge: never half open, whatever fails here
            self._record_bug(error)
        finally:
            stopped = maybeDeferred(self._cancel_target) if stops else None  # what runs would else run to its end, and be committed
            self._disconnect(stopped)
            self._ended(why)

    def _forget(self) -> None:
        """What was decided and has not left never will; what was not looked at is dropped."""
        self._withheld.discard()
        for effect in self._todo:
            if isinstance(effect, Intend) and not isinstance(effect.data, bytes):
                effect.data.close()
        self._todo.clear()
        if self._rest is not None and self._rest.active():
            self._rest.cancel()
        self._rest = None

    def _last_effects(self, why: str, farewell: str, unsent: Collection[int]) -> None:
        for effect in self._relay.close(why, unsent):
            if isinstance(effect, Report):
                self._report(effect)
        words = self._relay.farewell(farewell) if farewell else b""
        if words and "client" in self._transports:
            self._client.write(words)

    def _disconnect(self, stopped: Deferred[None] | None) -> None:
        """
        Both sides are told; one that does not take its last bytes in time is cut off.

        :param stopped: what the target waits for: a pooler forgets whom to cancel with the connection.
        """
        self._pauses.end()
        for side, transport in list(self._transports.items()):
            transport.unregisterProducer()
            if side == "client" or stopped is None:
                transport.loseConnection()
            else:
                stopped.addBoth(lambda _, target=transport: target.loseConnection())
        if self._transports:
            self._linger = self._clock.callLater(LINGER, self._abort)

    def _abort(self) -> None:
        self._linger = None
        for transport in list(self._transports.values()):
            transport.abortConnection()

    def _lost(self, side: str) -> None:
        self._transports.pop(side, None)
        if self._linger is not None and not self._transports:
            self._linger.cancel()
            self._linger = None

    def reconsider(self) -> None:
        """The configuration has changed."""
        self._shortcut.leave()
        self._relay.reconsider()

    def cancel(self) -> Deferred[None] | None:
        """The client asked, on another connection, to cancel what it waits for. What comes back fires when the target has taken that."""
        if self._closed:
            return None
        self._shortcut.leave()
        waits, runs = bool(self._withheld), bool(self._began)  # before what is held makes way for what is behind it
        if self._asked is not None:
            self._asked.cancel()
        if waits:
            self._cancel_wanted = True
        elif runs:
            return self._cancel_target()
        return None

    @property
    def busy(self) -> bool:
        """Whether a command waits, runs, or is held."""
        return bool(self._asked or self._withheld.undurable or self._began or self._rest or self._shortcut.taken)

    # -- durability --------------------------------------------------------------------

    def durable(self, sequence: int) -> None:
        """Release every decided byte that waited for records up to `sequence`."""
        if self._shortcut.taken:
            self._shortcut.durable(sequence, self._target)
            return
        self._withheld.durable(sequence)

    def refused(self, sequence: int, why: str) -> None:
        """One intent's grant is not good any more: the target gets something it must reject instead, in its turn."""
        self._shortcut.leave()
        for entry in self._withheld.unsettled(sequence):
            self._settle(entry, self._relay.ungranted, why)
        self.durable(-1)

    def unrecordable(self, why: str) -> None:
        """Nothing can be recorded: whatever waits is refused, in order."""
        self._shortcut.leave()
        for entry in self._withheld.unsettled():
            self._settle(entry, self._relay.refused, why)
        self.durable(-1)

    def _settle(self, entry: Waiting, tell: Callable[[int, str], list[Effect]], why: str) -> None:
        if not entry.settled:
            entry.settle()
            self._drive(tell, entry.number, why)

    def _released(self) -> None:
        """All that had waited has left."""
        if self._cancel_wanted:
            self._cancel_wanted = False
            self._cancel_target()
        self._look_whether_answered()

    # -- effects -----------------------------------------------------------------------

    def _drive(self, tell: Callable[..., list[Effect]], *what: Any) -> None:
        """Tell the relay something and do what it wants done, at once or when what is being done is done."""
        if self._closed:
            return
        try:
            effects = tell(*what)
            self._todo.extend(effects if self._parting is None else self._parting.left(effects))
            if not self._working and self._rest is None:  # else an answer came before ask() returned
                self._work()
        except Exception as error:  # the adapter's edge: a bug of ours ends one session, not the worker
            self._crashed(error)
        if self._crowded:
            self._crowd()
        if self._parting is not None:
            self._look_whether_answered()

    def _crowd(self) -> None:
        """Much that the client said is not looked at yet, or it is again; more of it comes from the client only."""
        behind = self._relay.behind > HELD_LIMIT
        if behind != self._crowded:
            self._crowded = behind
            self._pauses.put("client", "much is in flight", behind)

    def _work(self) -> None:
        """What comes with each command by its type; `match` would try one pattern after another, twice as long."""
        self._working, todo, self._turn_began = True, self._todo, self._clock.seconds()
        try:
            while todo and not self._closed and self._rest is None:
                effect = todo.popleft()
                kind = type(effect)
                if kind is ToClient:
                    self._client.write(self._joined(effect) if todo else effect.data)
                elif kind is ToTarget:
                    self._withheld.send(effect.data)
                elif kind is Ask:
                    self._ask(effect.command)
                elif kind is Intend:
                    self._intend(effect)
                elif kind is Report:
                    self._report(effect)
                else:
                    self._perform_rarely(effect)
        finally:
            self._working = False

    def _perform_rarely(self, effect: Effect) -> None:
        match effect:
            case Refused(number, decision):
                self._refuse(number, decision)
            case CancelTarget():
                self._cancel_target()
            case Hangup(why, drain):
                self._hang_up(why, drain)
            case Malformed(side, why):
                self._malformed(side, why)
            case StartTls():
                raise AssertionError("TLS starts before a session does")

    def _go_on(self) -> None:
        """Others had their turn."""
        if self._rest.active():
            self._rest.cancel()
        self._rest = None
        self._drive(list)

    def _joined(self, first: ToClient) -> bytes:
        """
        With what is to be written right behind it: one send, and one TLS record, instead of one a message. Between
        the end of a command and the client's word of it stands a report, which is done first.
        """
        parts, todo = [first.data], self._todo
        while todo:
            kind = type(todo[0])
            if kind is ToClient:
                parts.append(todo.popleft().data)
            elif kind is Report:
                self._report(todo.popleft())
            else:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _intend(self, effect: Intend) -> None:
        try:
            sequence = self._journal.intend(self._addons.session, effect.number, effect.decision, self)
        except Unrecordable as error:
            if not isinstance(effect.data, bytes):
                effect.data.close()
            self._drive(self._relay.refused, effect.number, str(error))
            self._withheld.send(effect.poison)
            return
        self._began[effect.number] = self._clock.seconds()
        self._withheld.wait(Waiting(sequence, effect.number, effect.data, effect.poison))

    def _hang_up(self, why: str, drain: bool) -> None:
        if self._parting is not None:
            self.close(self._parting.why)
        elif drain and (self._withheld or self._began):
            self._parting = Parting(why, (), self._clock.callLater, self.close, over=False)
        else:
            self.close(why)

    # -- questions ---------------------------------------------------------------------

    def _ask(self, command: Command) -> None:
        self._people = False
        answer = self._addons.decide(command, self._held)
        if not isinstance(answer, Deferred):
            self._todo.extend(self._relay.answer(answer))
            if self._clock.seconds() - self._turn_began > TURN:
                self._rest = self._clock.callLater(0, self._go_on)
            return
        self._asked = answer
        answer.addCallbacks(self._answered, self._unanswered)
        self._pauses.steer("client")

    def _held(self, request: str, hold: Hold) -> None:
        if not self._closed:
            self._people = True
            self._note("request.held", request=request, rule=hold.rule)
            self._drive(self._relay.held, request, hold)
            if self._asked is not None:
                self._listen_while_held()

    def _answered(self, decision: Decision) -> None:
        self._asked = None
        if self._parting is None:
            self._drive(self._relay.answer, decision)
            self._pauses.steer("client")

    def _unanswered(self, failure: Failure) -> None:
        """Cancelled with the session, or a bug: either way nothing runs."""
        self._asked = None
        if not self._closed and self._parting is None:
            self._crashed(failure.value)

    def _listen_while_held(self) -> None:
        if self._people and self._relay.withdrawn():  # whoever waits for the gateway's own looking has its commands decided
            self._leave("client left while its command was held")
        elif self._relay.behind > HELD_LIMIT:
            self._asked.cancel()
