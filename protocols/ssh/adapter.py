"""
Joins SSH's relay to its two legs: messages in, effects out, performed one at a time.

SSH has an adapter of its own because one session asks about many commands at once, and what waits for a verdict or a
record holds back one channel, never the connection: the relay keeps it. What is as for other protocols is
`protocols.session_adapter`'s; audit before effect, and a question that ends with its client, as in `protocols.adapter`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from protocols.command import Exec, Shell, SshCommand, Subsystem
from protocols.effects import Hangup, Malformed, Refused, Report
from protocols.errors import Unrecordable
from protocols.journal import Journal
from protocols.relay import Addons
from protocols.session import Session
from protocols.session_adapter import SessionAdapter
from protocols.ssh.effects import (
    AskCommand, Carry, IntendCommand, ProveHostKeys, Remark, SendClient, SendTarget, SshEffect, WithdrawCommand,
)
from protocols.ssh.pulse import Pulse
from protocols.verdict import Decision, Hold


class Relay(Protocol):
    """What SSH's relay can do. What a peer may send raises nothing: it ends in Malformed."""

    def from_client(self, payload: bytes) -> list[SshEffect]: ...
    def from_target(self, payload: bytes) -> list[SshEffect]: ...
    def carry(self, side: str, data: list[memoryview]) -> list[SshEffect]: ...
    def answer(self, number: int, decision: Decision) -> list[SshEffect]: ...
    def held(self, number: int, request: str, hold: Hold) -> list[SshEffect]: ...
    def recorded(self, number: int) -> list[SshEffect]: ...
    def refused(self, number: int, why: str) -> list[SshEffect]: ...
    def ungranted(self, number: int, why: str) -> list[SshEffect]: ...
    def proved(self, payload: bytes) -> list[SshEffect]: ...
    def resume(self, channel: int) -> list[SshEffect]: ...
    def cut(self, channel: int, why: str) -> list[SshEffect]: ...
    def unforward(self, why: str) -> list[SshEffect]: ...
    def keepalive(self, side: str) -> list[SshEffect]: ...
    def close(self, why: str) -> list[SshEffect]:
        """Reports of what runs, and what clients are told on their channels."""


class Leg(Protocol):
    """One SSH connection."""

    def send(self, payload: bytes) -> None: ...
    def carry(self, data: list[bytes | memoryview]) -> None: ...
    def pause(self, on: bool) -> None: ...
    def watch(self, full: Callable[[bool], None]) -> None:
        """Call when too much waits to be taken by the peer, and when not any more."""
    def disconnect(self, code: int, why: str) -> None: ...


BY_APPLICATION = 11  # RFC 4253, 11.1


class SshAdapter(SessionAdapter):
    """One session's relay between its client's leg and its target's."""

    def __init__(
        self, relay: Relay, session: Session, addons: Addons, journal: Journal, clock: IReactorTime,
        *, prove: Callable[[bytes], bytes], ended: Callable[[str], None],
    ) -> None:
        """
        :param prove: answers a client that wants proof of the gateway's host keys.
        """
        super().__init__(session, addons, journal, clock, ended)
        self._relay, self._prove = relay, prove
        self._todo: deque[SshEffect] = deque()
        self._working = False
        self._waiting: deque[tuple[int, int]] = deque()  # sequence of an intent's record, number of its command
        self._asked: dict[int, Deferred[Decision]] = {}
        self._commands: dict[int, SshCommand] = {}  # that were recorded and have not ended
        self._legs: dict[str, Leg] = {}
        self._backlog: dict[str, deque[bytes]] = {"client": deque(), "target": deque()}
        self._pauses: dict[str, set[str]] = {"client": set(), "target": set()}
        self._pulse = Pulse(
            clock.callLater, lambda side: self._drive(self._relay.keepalive, side), self._silent, lambda side: bool(self._pauses[side])
        )

    # -- wiring ------------------------------------------------------------------------

    def attach(self, client: Leg, target: Leg) -> None:
        """Both are logged in; start relaying."""
        self._client, self._target = client, target
        self._legs = {"client": client, "target": target}
        client.watch(lambda full: self._pause("target", "client is slow", full))
        target.watch(lambda full: self._pause("client", "target is slow", full))
        self._pulse.start()

    def client_payload(self, payload: bytes) -> None:
        """A message from the client."""
        self._came("client", payload)

    def target_payload(self, payload: bytes) -> None:
        """A message from the target."""
        self._came("target", payload)

    def carry(self, side: str, data: list[memoryview]) -> None:
        """Messages of type DATA or WINDOW_ADJUST from "client" or "target", which one read brought: no more than may wait here."""
        if self._closed or self._backlog[side] or self._journal.full:
            for payload in data:
                self._came(side, bytes(payload))
            return
        self._pulse.heard(side)
        self._drive(self._relay.carry, side, data)

    def client_lost(self) -> None:
        """The client is gone, and what was asked for it is withdrawn."""
        self._legs.pop("client", None)
        self.close("client gone")

    def target_lost(self) -> None:
        """The target is gone: the client is told on every channel, then disconnected."""
        self._legs.pop("target", None)
        self.close("target gone", "the target closed the connection")

    def _silent(self, side: str) -> None:
        """It keeps its connection and answers nothing."""
        self.close(f"the {side} does not answer", f"the {side} does not answer")

    def broken(self, side: str, why: str) -> None:
        """A leg's peer broke the transport's rules."""
        if not self._closed:
            self._malformed(side, why)

    def close(self, why: str, farewell: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        self._pulse.stop()
        for asked in list(self._asked.values()):
            asked.cancel()
        self._asked.clear()
        self._waiting.clear()
        self._todo.clear()
        try:
            self._last_effects(why)
        except Exception as error:  # the adapter's edge: never half open, whatever fails here
            self._record_bug(error)
        finally:
            for leg in self._legs.values():
                leg.disconnect(BY_APPLICATION, farewell or why)
            self._ended(why)

    def _last_effects(self, why: str) -> None:
        for effect in self._relay.close(why):
            if isinstance(effect, Report):
                self._report(effect)
            elif isinstance(effect, SendClient) and "client" in self._legs:
                self._client.send(effect.payload)

    def cancel(self) -> None:
        """SSH has no cancel of its own: channels with a command that waits or runs are ended, the session goes on."""
        for command in list(self._commands.values()):
            if isinstance(command.channel, int):
                self._drive(self._relay.cut, command.channel, "cancelled")

    def stop(self, why: str, kept: Collection[int]) -> None:
        """Nobody observes it: what is forwarded ends, and what runs on other channels than these, by their client's numbers."""
        self._drive(self._relay.unforward, why)
        running = {command.channel for command in self._commands.values() if isinstance(command, (Exec, Shell, Subsystem))}
        for channel in running.difference(kept):
            self._drive(self._relay.cut, channel, why)

    def resume(self, channel: int) -> None:
        """A filter of this channel has something to say."""
        self._drive(self._relay.resume, channel)

    @property
    def busy(self) -> bool:
        """Whether a command waits, runs, or is held."""
        return bool(self._asked or self._waiting or self._began)

    # -- durability --------------------------------------------------------------------

    def durable(self, sequence: int) -> None:
        """Commands whose records are stored up to `sequence` may run."""
        while self._waiting and self._waiting[0][0] <= sequence:
            self._drive(self._relay.recorded, self._waiting.popleft()[1])

    def refused(self, sequence: int, why: str) -> None:
        """One intent's grant is not good any more: it does not run, and its channel is told so."""
        for entry in list(self._waiting):
            if entry[0] == sequence:
                self._waiting.remove(entry)
                self._drive(self._relay.ungranted, entry[1], why)

    def unrecordable(self, why: str) -> None:
        """Nothing can be recorded: whatever waits is refused, in order."""
        waiting, self._waiting = self._waiting, deque()
        for _, number in waiting:
            self._drive(self._relay.refused, number, why)

    def _came(self, side: str, payload: bytes) -> None:
        """To the relay; while the evidence is behind, what one read brought waits here and the rest in the kernel."""
        if self._closed:
            return
        self._pulse.heard(side)
        backlog = self._backlog[side]
        if backlog or self._journal.full:
            backlog.append(payload)
            if len(backlog) == 1:
                self._pause(side, "evidence is behind", True)
                self._journal.when_drained(lambda: self._room(side))
            return
        self._drive(self._relay.from_client if side == "client" else self._relay.from_target, payload)

    def _room(self, side: str) -> None:
        waiting, self._backlog[side] = self._backlog[side], deque()
        for payload in waiting:
            self._came(side, payload)
        if not self._backlog[side]:
            self._pause(side, "evidence is behind", False)

    # -- effects -----------------------------------------------------------------------

    def _drive(self, tell: Callable[..., list[SshEffect]], *what: Any) -> None:
        """Tell the relay something and do what it wants done, at once or when what is being done is done."""
        if self._closed:
            return
        try:
            self._todo.extend(tell(*what))
            if not self._working:  # else an answer came before ask() returned
                self._work()
        except Exception as error:  # the adapter's edge: a bug of ours ends one session, not the worker
            self._crashed(error)

    def _work(self) -> None:
        self._working = True
        try:
            while self._todo and not self._closed:
                self._perform(self._todo.popleft())
        finally:
            self._working = False

    def _perform(self, effect: SshEffect) -> None:
        """What comes with each packet by its type; `match` would try one pattern after another."""
        kind = type(effect)
        if kind is SendClient:
            self._client.send(effect.payload)
        elif kind is SendTarget:
            self._target.send(effect.payload)
        elif kind is Carry:
            self._legs[effect.side].carry(effect.data)
        else:
            self._perform_rarely(effect)

    def _perform_rarely(self, effect: SshEffect) -> None:
        match effect:
            case AskCommand(number, _):
                self._ask(number, effect)
            case IntendCommand():
                self._intend(effect)
            case WithdrawCommand(number):
                self._withdraw(number)
            case ProveHostKeys(details):
                self._drive(self._relay.proved, self._prove(details))
            case Remark(kind, facts):
                self._note(kind, **facts)
            case Refused(number, decision):
                self._refuse(number, decision)
            case Report():
                self._report(effect)
            case Hangup(why):
                self.close(why)
            case Malformed(side, why):
                self.broken(side, why)

    def _intend(self, effect: IntendCommand) -> None:
        try:
            sequence = self._journal.intend(self._addons.session, effect.number, effect.decision, self)
        except Unrecordable as error:
            self._drive(self._relay.refused, effect.number, str(error))
            return
        self._began[effect.number] = self._clock.seconds()
        self._commands[effect.number] = effect.decision.command
        self._waiting.append((sequence, effect.number))

    def _report(self, effect: Report) -> None:
        self._commands.pop(effect.number, None)
        super()._report(effect)

    # -- questions ---------------------------------------------------------------------

    def _ask(self, number: int, effect: AskCommand) -> None:
        answer = self._addons.decide(effect.command, lambda request, hold: self._held(number, request, hold))
        if not isinstance(answer, Deferred):
            self._drive(self._relay.answer, number, answer)
            return
        self._asked[number] = answer
        answer.addCallbacks(
            lambda decision: self._answered(number, decision), lambda failure: self._unanswered(number, failure)
        )

    def _held(self, number: int, request: str, hold: Hold) -> None:
        if not self._closed:
            self._note("request.held", request=request, rule=hold.rule)
            self._drive(self._relay.held, number, request, hold)

    def _answered(self, number: int, decision: Decision) -> None:
        self._asked.pop(number, None)
        self._drive(self._relay.answer, number, decision)

    def _withdraw(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked.cancel()

    def _unanswered(self, number: int, failure: Failure) -> None:
        """Cancelled with its channel or its session, or a bug: either way nothing runs."""
        if self._asked.pop(number, None) is not None and not self._closed:
            self._crashed(failure.value)

    # -- back-pressure -------------------------------------------------------------------

    def _pause(self, side: str, why: str, on: bool) -> None:
        reasons = self._pauses[side]
        before = bool(reasons)
        (reasons.add if on else reasons.discard)(why)
        leg = self._legs.get(side)
        if leg is not None and not self._closed and bool(reasons) != before:
            leg.pause(bool(reasons))
