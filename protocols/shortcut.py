"""
The short way of what a session does again and again: from a client's read to the evidence, from there to the target, and from
its answer back, without commands, decisions and effects in between.

It is open while nothing else of the session is on its way, everybody who was asked the last time would say the same, and nobody has
to be told; what it records is what the general way would. Whatever comes between goes the general way, as does what is
on its way then (`leave`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocols.effects import Intend
from protocols.gathering import SMALL
from protocols.journal import Journal, Waiter
from protocols.relay import Addons, Relay

HandOver = Callable[[list[Intend], int, float, bool], None]
"""Takes what is recorded and goes on in the general way: with the last one's sequence, when that began, and whether the target has it."""


class Shortcut:
    """
    Of one session; at most one command is on it.

    :ivar taken: whether one is.
    """

    __slots__ = (
        "_addons", "_began", "_clear", "_hand_over", "_journal", "_repeat", "_seconds", "_sent", "_sequence", "_unrecorded", "_waiter", "taken",
    )  # fmt: skip

    def __init__(
        self, relay: Relay, addons: Addons, journal: Journal, seconds: Callable[[], float], waiter: Waiter,
        *, clear: Callable[[], bool], hand_over: HandOver, unrecorded: Callable[[], None],
    ) -> None:
        """
        :param waiter: is told when something is durable, and tells it here while this is `taken`.
        :param clear: whether nothing of the session waits outside of its relay.
        :param unrecorded: is told of an outcome that cannot be recorded: the intent stands, and recovery closes it as unknown.
        """
        self._repeat, self._addons, self._journal, self._seconds = relay.repeat, addons, journal, seconds
        self._waiter, self._clear, self._hand_over, self._unrecorded = waiter, clear, hand_over, unrecorded
        self.taken = self._sent = False
        self._sequence, self._began = 0, 0.0

    def asked(self, data: bytes) -> bool:
        """Whether what the client said goes this way; else nothing does."""
        repeat = self._repeat
        if repeat is None:
            return False
        if self.taken or not (repeat.calm or self._clear()) or not repeat.again(data):
            self.leave()
            return False
        habit = repeat.habit
        if habit.tally is not None and habit.tally.count == habit.count or self._stands(habit):
            before = None if habit.first is None else habit.first.score
            sequence = self._journal.intend_again(
                habit.score, repeat.number, repeat.text, repeat.types, repeat.formats, repeat.values, self._waiter, before
            )
            if sequence:
                self._sequence, self._began, self._sent, self.taken = sequence, self._seconds(), False, True
                return True
        repeat.withdraw()
        self.leave()
        return False

    def durable(self, sequence: int, target: Any) -> None:
        """As a Waiter."""
        if not self._sent and self._sequence <= sequence:
            self._sent = True
            target.write(self._repeat.data)

    def answered(self, data: bytes, client: Any) -> bool:
        """Whether what the target said was the end of it, and all is done; else nothing is on this way any more."""
        repeat = self._repeat
        if self.taken and self._sent and len(data) < SMALL:
            habit, number = repeat.habit, repeat.number
            if habit.tally.count == habit.count and repeat.over(data):
                self.taken = False
                micros = int((self._seconds() - self._began) * 1_000_000)
                if habit.first is not None and not self._journal.report_again(habit.first.score, number - 1, None, 0, 0, micros):
                    self._unrecorded()
                if not self._journal.report_again(habit.score, number, repeat.tag, repeat.rows, repeat.size, micros):
                    self._unrecorded()
                client.write(repeat.shown)
                return True
        self.leave()
        return False

    def leave(self) -> None:
        """The session goes on in the general way, and what is on this one with it."""
        if self.taken:
            self.taken = False
            self._hand_over(self._repeat.resume(), self._sequence, self._began, self._sent)
        elif self._repeat is not None and self._repeat.calm:
            self._repeat.settle()

    def _stands(self, habit: Any) -> bool:
        """Whether everybody would say so again, and nobody has to hear of it."""
        standing = self._addons.standing(habit.decision)
        if standing is None:
            return False
        if habit.first is not None and self._addons.standing(habit.first.decision) != standing:
            return False
        habit.tally, habit.count = standing
        for each in (habit, habit.first):
            if each is not None and each.score is None:
                each.score = self._journal.score(self._addons.session, each.decision)
        return True

