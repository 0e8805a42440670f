"""
What was decided and may not leave yet: each command in front of the record that must be durable first, in the order in which the
target is to have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protocols.outflow import Outflow
from protocols.spool import Spool

LIMIT = 4 << 20
"""Bytes that may wait for durability before the client is paused; a pipeline of 10,000 fits."""

SLOW, LONG = "evidence is slow", "long values are on their way"
"""Why the client is paused."""


@dataclass(slots=True)
class Waiting:
    """An intent that is not durable yet, and the bytes that may not overtake it."""

    sequence: int
    number: int
    data: bytes | Spool
    poison: bytes
    settled: bool = False  #: refused: nothing of it needs a record any more
    behind: list[bytes] = field(default_factory=list)
    size: int = 0

    def settle(self) -> None:
        """Its poison leaves instead."""
        self.settled = True
        self.forget()
        self.data = self.poison

    def forget(self) -> None:
        if not isinstance(self.data, bytes):
            self.data.close()


class Withheld:
    """Of one session, toward its target."""

    __slots__ = ("_entries", "_failed", "_full", "_later", "_long", "_outflow", "_pause", "_released", "_size", "_write")

    def __init__(
        self, write: Callable[[bytes], None], later: Callable[[Callable[[], None]], object], pause: Callable[[str, bool], None],
        *, released: Callable[[], None], failed: Callable[[BaseException], None],
    ) -> None:
        """
        :param write: to the target.
        :param later: calls in the reactor's next turn.
        :param pause: told why the client is to wait, and that it need not any more.
        :param released: called when bytes have left that had waited.
        :param failed: called with what reading a spool raised; nothing more is sent.
        """
        self._write, self._later, self._pause, self._released, self._failed = write, later, pause, released, failed
        self._entries: list[Waiting] = []  # an empty deque is ten times an empty list, and each session has one
        self._size = 0
        self._long = 0  # how many spools wait or are being sent
        self._full = False
        self._outflow: Outflow | None = None  # while there are spools

    def __bool__(self) -> bool:
        """Whether something was decided and has not left."""
        return bool(self._entries or self._long)

    @property
    def undurable(self) -> bool:
        """Whether a record is waited for."""
        return bool(self._entries)

    @property
    def numbers(self) -> frozenset[int]:
        """Of the commands whose record is waited for."""
        return frozenset(entry.number for entry in self._entries)

    def wait(self, entry: Waiting) -> None:
        """It may leave when its record is durable, behind what waits already."""
        self._entries.append(entry)
        if isinstance(entry.data, bytes):
            self._grew(entry, len(entry.data))
        else:
            self._long += 1
            if self._outflow is None:
                self._outflow = Outflow(self._write, self._later, ended=self._flowed, failed=self._failed)
                self._outflow.full(self._full)
            self._pause(LONG, True)  # one message's at a time in a spool

    def send(self, data: bytes) -> None:
        """Needs no record of its own, and overtakes nothing."""
        if self._entries:
            entry = self._entries[-1]
            entry.behind.append(data)
            self._grew(entry, len(data))
        elif self._outflow is not None:
            self._outflow.push([data])
        else:
            self._write(data)

    def durable(self, sequence: int) -> None:
        """Release every byte that waited for records up to `sequence`."""
        count = next((at for at, entry in enumerate(self._entries) if not entry.settled and entry.sequence > sequence), len(self._entries))
        gone, self._entries = self._entries[:count], self._entries[count:]
        out: list[bytes | Spool] = [part for entry in gone for part in (entry.data, *entry.behind)]
        self._size -= sum(entry.size for entry in gone)
        if out:
            if self._outflow is not None:
                self._outflow.push(out)
            else:
                self._write(b"".join(out))
            self._went()

    def unsettled(self, sequence: int | None = None) -> list[Waiting]:
        """Those that still wait for their record, or the one that waits for this; `Waiting.settle` and `durable(-1)` let its poison go."""
        return [one for one in self._entries if not one.settled and sequence in (None, one.sequence)]

    def full(self, on: bool) -> None:
        """The target's own buffer is full, or has room again."""
        self._full = on
        if self._outflow is not None:
            self._outflow.full(on)

    def discard(self) -> None:
        """None of it will ever leave."""
        for entry in self._entries:
            entry.forget()
        self._entries.clear()
        if self._outflow is not None:
            self._outflow.discard()

    def _grew(self, entry: Waiting, count: int) -> None:
        entry.size += count
        self._size += count
        if self._size > LIMIT:
            self._pause(SLOW, True)

    def _flowed(self) -> None:
        """Nothing waits behind a spool that is being sent."""
        self._long = sum(not isinstance(entry.data, bytes) for entry in self._entries)
        if not self._long:
            self._outflow = None
            self._pause(LONG, False)
        self._went()

    def _went(self) -> None:
        if self._size <= LIMIT // 2:
            self._pause(SLOW, False)
        if not self:
            self._released()
