"""
How much an identity did in the last minute, over all workers.

Sixty counters of one second each, so the window slides and no minute's turn lets twice
the limit through. In memory: after a restart of control a minute starts anew.
"""

from __future__ import annotations

from collections import OrderedDict

from addons.needs import Clock

WINDOW = 60  # seconds, one counter each
SUBJECTS = 16384  # counted at once; beyond it the ones silent for longest are forgotten


class Limits:
    """Statements per identity."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, dict[int, int]] = OrderedDict()

    def count(self, subject: str, statements: int) -> int:
        """Add some; how many there were in the last minute with them. 0 asks without adding."""
        now = int(self._clock.seconds())
        seconds = {s: n for s, n in self._counts.get(subject, {}).items() if now - WINDOW < s <= now}
        seconds[now] = seconds.get(now, 0) + max(0, statements)
        self._counts[subject] = seconds
        self._counts.move_to_end(subject)
        while len(self._counts) > SUBJECTS:
            self._counts.popitem(last=False)
        return sum(seconds.values())
