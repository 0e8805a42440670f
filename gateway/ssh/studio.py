"""
Where one SSH session's channels are recorded: which ones, with what settings, and by which clock and journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from protocols.command import Exec, Shell, Subsystem
from protocols.journal import Journal, Waiter
from protocols.recording import Chunk, Recorded, Recorder, Settings
from protocols.session import Session
from protocols.ssh.filter import Filter
from protocols.ssh.tape import Tape, Typing
from protocols.verdict import Decision


class Studio:
    """As `protocols.ssh.tape.Studio`."""

    def __init__(
        self, journal: Journal, clock: IReactorTime, session: Session, settings: Callable[[], Settings],
        resume: Callable[[int], None],
    ) -> None:
        """
        :param settings: those in force now; a channel keeps what it began with.
        :param resume: tells the relay that a filter of a channel has something to say.
        """
        self._journal, self._clock, self._session, self._settings = journal, clock, session, settings
        self.resume = resume
        self._count = 0

    def filters(self, decision: Decision, number: int) -> tuple[Sequence[Filter], Sequence[Filter]]:
        """Of a channel whose command was allowed. Where nothing is recorded the relay counts and digests by itself."""
        command, settings = decision.command, self._settings()
        if not isinstance(command, (Exec, Shell, Subsystem)):
            return (), ()
        pty = None if isinstance(command, Subsystem) else command.pty
        if pty is None and not settings.full:
            return (), ()
        self._count += 1
        tape = Tape(self, settings, Recorder(self._count, command.channel, number), command.channel, pty)
        return (Typing(tape),), (tape,)

    # protocols.ssh.tape.Studio

    def now(self) -> int:
        """Microseconds; the reactor's clock is monotonic."""
        return int(self._clock.seconds() * 1_000_000)

    def chunk(self, chunk: Chunk, waiter: Waiter) -> int:
        """Of this session."""
        return self._journal.chunk(self._session, chunk, waiter)

    def recorded(self, recorded: Recorded, waiter: Waiter) -> int:
        """Of this session."""
        return self._journal.recorded(self._session, recorded, waiter)

    def later(self, seconds: float, call: Callable[[], None]) -> Any:
        """By the reactor."""
        return self._clock.callLater(seconds, call)
