"""
Sessions that somebody must observe: who does, until when, and what happens while nobody does.

An observer's `ostiary session watch` says every few seconds that it is there; control has proved who it is. What is heard
of nobody for a lease's time is nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from gateway.opinions import Opinions
from protocols.command import Command, Shell
from protocols.result import Outcome
from protocols.session import Session
from protocols.ssh.pause import Pause
from protocols.verdict import Allow, Decision, Deny, Hold

LEASE = 10.0
"""Seconds that an observer is believed to be there after its last word; `session watch` speaks every third of it."""
UNOBSERVED = "OST-214"


class Moderation:
    """As `protocols.adapter.Addons` for one SSH session, whose commands need an observer."""

    def __init__(
        self, opinions: Opinions, clock: IReactorTime, groups: Callable[[], frozenset[str]], note: Callable[[str, dict[str, str]], None],
        end: Callable[[str, Collection[int]], None],
    ) -> None:
        """
        :param groups: whose members may observe; none: nobody needs to.
        :param note: records who came and left.
        :param end: ends, for a reason, all but these channels: what cannot stand still. That is what is forwarded, since nobody would
            tell its two ends, and what began before an observer was needed.
        """
        self._opinions, self._clock, self._groups, self._note, self._end = opinions, clock, groups, note, end
        self._observers: dict[str, Any] = {}  # name: the timer of its lease
        self._pauses: dict[int, Pause] = {}  # by the client's number of the channel

    @property
    def session(self) -> Session:
        """As it is judged now."""
        return self._opinions.session

    @property
    def needed(self) -> bool:
        """Whether the target wants its sessions observed."""
        return bool(self._groups())

    @property
    def paused(self) -> bool:
        """Whether it does, and nobody is there."""
        return self.needed and not self._observers

    @property
    def unforwarded(self) -> str:
        """Why no forward may begin now; "" when one may."""
        return f"nobody observes this session [{UNOBSERVED}]" if self.paused else ""

    def observed(self, by: str, groups: frozenset[str]) -> None:
        """Somebody is there. Who it is about does not count."""
        who = self._opinions.session.identity
        if by in (who.subject, who.on_behalf_of) or not groups & self._groups():
            return
        timer = self._observers.pop(by, None)
        if timer is not None:
            timer.cancel()
        else:
            self._note("observer.came", {"by": by})
        self._observers[by] = self._clock.callLater(LEASE, self._left, by)
        self._turn()

    def reconsider(self) -> None:
        """The configuration has changed: perhaps an observer is needed now, or not any more."""
        self._turn()

    def pause(self, channel: int, resume: Callable[[], None]) -> Pause:
        """Of a channel that begins."""
        groups = " or ".join(sorted(self._groups()))
        words = (
            f"this session goes on while somebody of {groups} observes it: ostiary session watch {self._opinions.session.id}",
            "the session is observed, and goes on",
        )
        made = Pause(self.paused, words, self._clock.callLater, resume)
        self._pauses = {number: each for number, each in self._pauses.items() if not each.over} | {channel: made}
        return made

    def closed(self) -> None:
        """The session is over."""
        for timer in self._observers.values():
            timer.cancel()
        self._observers.clear()

    def _left(self, by: str) -> None:
        del self._observers[by]
        self._note("observer.left", {"by": by})
        self._turn()

    def _turn(self) -> None:
        for pause in list(self._pauses.values()):
            pause.turn(self.paused)
        if self.paused:
            self._end(self.unforwarded, {number for number, each in self._pauses.items() if not each.over})

    # protocols.adapter.Addons, as far as SSH asks

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]:
        """A shell begins and waits; everything else needs its observer first."""
        if self._unseen(command):
            return self._refused(command)
        decided = self._opinions.decide(command, held)
        return decided.addCallback(self._still) if isinstance(decided, Deferred) else decided

    def _still(self, decision: Decision) -> Decision:
        """What people or addons took their time for: the observer may have left meanwhile."""
        gone = isinstance(decision.verdict, Allow) and self._unseen(decision.command)
        return self._refused(decision.command) if gone else decision

    def _unseen(self, command: Command) -> bool:
        return self.paused and not (isinstance(command, Shell) and command.pty is not None)

    def _refused(self, command: Command) -> Decision:
        groups = " or ".join(sorted(self._groups()))
        deny = Deny("Nobody observes this session.", UNOBSERVED, rule="observers", hint=f"ask somebody of {groups}")
        return Decision(command, deny, sent=command.text, rule="observers")

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        """To everybody."""
        self._opinions.ended(decision, outcome)
