"""
What remembered answers rest on, and who has to hear of what is decided by them; see `protocols.verdict` for what addons promise.

Whatever an addon does not say, or fails to say, counts as no promise: it is asked, and it is told.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from twisted.logger import Logger

from gateway.memory import Memory, Remembered
from protocols.command import Statement
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision


class Grounds:
    """Of one chain of addons."""

    log = Logger()

    def __init__(self, addons: Sequence[object]) -> None:
        self._addons = addons
        resting = [place for place, addon in enumerate(addons) if callable(getattr(addon, "standing", None))]
        self._standing = [(type(addons[place]).__name__, addons[place].standing) for place in resting]
        self._at = {place: at for at, place in enumerate(resting)}
        names = [type(addon).__name__ for addon in addons]
        self._keys = [(name, names[:place].count(name)) for place, name in enumerate(names)]  # the same in another chain
        counted = [getattr(addons[place], "tallies", None) for place in resting]
        self._tallies = None if None in counted else tuple({tally: None for each in counted for tally in each})
        self._one = self._tallies[0] if self._tallies is not None and len(self._tallies) == 1 else None  # as in a worker

    def tallied(self) -> int | None:
        """How far everything is counted that answers may rest on; None when some of it is not."""
        return None if self._tallies is None else sum([tally.count for tally in self._tallies])  # none ever counts down

    def now(self, session: Session) -> list[Hashable] | None:
        """On what answers may be remembered; None when that cannot be told, and everybody is asked."""
        found, name = [], ""
        try:
            for name, standing in self._standing:
                found.append(standing(session))
        except Exception as error:
            self.log.error("addon {addon} failed in standing: {error}", addon=name, error=type(error).__name__)
            return None
        return found

    def hold(self, session: Session, memory: Memory) -> bool:
        """Have the memory forget what does not hold any more; False when that cannot be told."""
        tallied = self._one.count if self._one is not None else self.tallied()
        if tallied is None or tallied != memory.tallied:
            now = self.now(session)
            if now is None:
                return False
            memory.rest_on(now, tallied)
        return True

    def unmoved(self, known: Remembered, memory: Memory) -> bool:
        """Whether all is as it was that something rests on which was remembered, and nobody has to be asked whether it is."""
        tallied = self._one.count if self._one is not None else self.tallied()
        return tallied is not None and tallied == memory.tallied and known.rests_on is memory.rests_on

    def counted(self, known: Remembered, memory: Memory) -> tuple[Tally, int] | None:
        """Where it is counted, and how far, that all is `unmoved`; None where it is not, or in several places."""
        return (self._one, self._one.count) if self._one is not None and self.unmoved(known, memory) else None

    def untold(self, session: Session, statement: Statement, sent: str) -> tuple[bool, ...]:
        """Of each addon, whether it promises that it learns nothing from hearing of this question again."""
        decision = Decision(statement, Allow(), sent)
        return tuple([self._promises(addon, session, decision) for addon in self._addons])

    def _promises(self, addon: object, session: Session, decision: Decision) -> bool:
        untold = getattr(addon, "untold", None)
        if not callable(untold) or decision.command.pipelined:
            return False
        try:
            return untold(session, decision) is True
        except Exception as error:  # then it hears of it
            self.log.error("addon {addon} failed in untold: {error}", addon=type(addon).__name__, error=type(error).__name__)
            return False

    def said(self, place: int, known: Remembered | None) -> Any:
        """
        What the addon at this place said of itself when something was remembered, of which it is not told; else None. Where that was in
        another chain, before a reload, what the addon of that name said there.
        """
        if known is None or known.grounds is None:
            return None
        there, key = known.grounds, self._keys[place]
        place = place if there is self else there._keys.index(key) if key in there._keys else -1
        at = there._at.get(place)
        return None if at is None or not known.untold[place] else known.rests_on[at]
