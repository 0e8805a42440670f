"""
How many failed logins a subject and an address may have before nobody looks at their secrets.

Counted for subjects that do not exist too, so the brake does not tell who does. An
address from which a subject came in lately is braked only as an address: a stranger
who guesses at Ada's name must not be able to lock Ada out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from addons.needs import Clock

SUBJECT_FAILURES = 10  # in one window
PEER_FAILURES = 30  # in one window; an address may be a whole office behind NAT
WINDOW = 60.0  # seconds
FAMILIAR = 86400.0  # seconds that an address stays familiar to a subject
REMEMBERED = 65536  # counters; beyond it the ones untouched for longest are forgotten


def address(peer: str) -> str:
    """A peer without its port: "10.0.0.7:5123" and "[::1]:5123" are "10.0.0.7" and "[::1]"."""
    host, colon, port = peer.rpartition(":")
    return host if colon and port.isdigit() else peer


class Throttle:
    """Failures per subject and per address in a window that starts with the first of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._familiar: OrderedDict[str, float] = OrderedDict()
        self.changed = False

    def wait(self, subject: str, peer: str) -> float:
        """Seconds until this pair may try again; 0 when it may now."""
        waits = [self._left(f"peer {address(peer)}", PEER_FAILURES)]
        if subject and not self._knows(subject, peer):
            waits.append(self._left(f"subject {subject}", SUBJECT_FAILURES))
        return max(waits)

    def failed(self, subject: str, peer: str) -> bool:
        """Count one; whether it was the one that closes the door. Without a subject only the address counts."""
        now, closed, self.changed = self._clock.seconds(), False, True
        counted = [(f"peer {address(peer)}", PEER_FAILURES)]
        if subject:
            counted.append((f"subject {subject}", SUBJECT_FAILURES))
        for key, most in counted:
            since, count = self._failures.get(key, (now, 0))
            if now - since >= WINDOW:
                since, count = now, 0
            self._remember(self._failures, key, (since, count + 1))
            closed = closed or count + 1 == most
        return closed

    def succeeded(self, subject: str, peer: str) -> None:
        """A login forgives the subject, not the address: one good token must not buy guesses at others."""
        self._failures.pop(f"subject {subject}", None)
        self._remember(self._familiar, f"{subject}\0{address(peer)}", self._clock.seconds())
        self.changed = True

    def dump(self) -> dict[str, Any]:
        """What must survive a restart."""
        now, self.changed = self._clock.seconds(), False
        live = {key: list(value) for key, value in self._failures.items() if now - value[0] < WINDOW}
        return {"failures": live, "familiar": {k: t for k, t in self._familiar.items() if now - t < FAMILIAR}}

    def load(self, dumped: Mapping[str, Any]) -> None:
        for key, (since, count) in dumped.get("failures", {}).items():
            self._remember(self._failures, key, (since, count))
        for key, seen in dumped.get("familiar", {}).items():
            self._remember(self._familiar, key, seen)

    def _left(self, key: str, most: int) -> float:
        since, count = self._failures.get(key, (0.0, 0))
        left = since + WINDOW - self._clock.seconds()
        return left if count >= most and left > 0 else 0.0

    def _knows(self, subject: str, peer: str) -> bool:
        seen = self._familiar.get(f"{subject}\0{address(peer)}")
        return seen is not None and self._clock.seconds() - seen < FAMILIAR

    @staticmethod
    def _remember(memory: OrderedDict[str, Any], key: str, value: Any) -> None:
        memory[key] = value
        memory.move_to_end(key)
        while len(memory) > REMEMBERED:
            memory.popitem(last=False)
