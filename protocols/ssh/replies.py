"""
Answers to one side's requests, in the order of the requests (RFC 4254, 4 and 5.4).

Some the gateway answers itself, some wait for people, some the other side answers. Whoever
is first with an answer waits for those that were asked before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocols.ssh.messages import Unreadable

OUTSTANDING_LIMIT = 1024
"""Requests of one channel, or global ones, that may wait for their answers."""


@dataclass(slots=True, eq=False)
class Slot:
    """
    One request and its place in the order.

    :ivar wanted: whether its sender wants an answer.
    :ivar done: told the other side's answer, whether success or not.
    """

    wanted: bool
    done: Callable[[bytes], None] | None = None
    answer: bytes | None = None


class Replies:
    """One side's requests that are not answered yet."""

    def __init__(self) -> None:
        self._asked: deque[Slot] = deque()
        self._passed: deque[Slot] = deque()

    def expect(self, wanted: bool, done: Callable[[bytes], None] | None = None) -> Slot:
        """
        A request came.

        :raises Unreadable: too many wait already.
        """
        slot = Slot(wanted, done)
        if wanted:
            if len(self._asked) >= OUTSTANDING_LIMIT:
                raise Unreadable("too many requests wait for their answers")
            self._asked.append(slot)
        return slot

    def own(self, done: Callable[[bytes], None] | None = None) -> Slot:
        """A request of the gateway's that the other side will answer: nobody is told."""
        slot = Slot(False, done)
        self._passed.append(slot)
        return slot

    def passed(self, slot: Slot) -> None:
        """The request went on to the other side, which will answer where an answer is wanted."""
        if slot.wanted:
            self._passed.append(slot)

    def forget(self, slot: Slot) -> None:
        """It did not go on after all."""
        if slot in self._passed:
            self._passed.remove(slot)

    def replied(self, payload: bytes) -> list[bytes]:
        """
        The other side's next answer: what may be said now, in order.

        :raises Unreadable: it answers what nobody asked.
        """
        if not self._passed:
            raise Unreadable("an answer to nothing")
        slot = self._passed.popleft()
        if slot.done is not None:
            slot.done(payload)
        return self.answer(slot, payload)

    def answer(self, slot: Slot, payload: bytes) -> list[bytes]:
        """This request is answered: what may be said now, in order; nothing for a request that wants no answer."""
        slot.answer = payload
        out: list[bytes] = []
        while self._asked and self._asked[0].answer is not None:
            out.append(self._asked.popleft().answer)
        return out
