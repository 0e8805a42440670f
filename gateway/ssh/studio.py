"""
What looks at the bytes of one SSH session's channels: what masks output, who reads the lines of a shell, the recorder. By which
clock, journal and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from twisted.logger import Logger

from gateway.opinions import Opinions
from gateway.ssh.moderation import Moderation
from protocols.command import Exec, Line, Pty, Shell, Subsystem
from protocols.errors import Unrecordable
from protocols.journal import Journal, Waiter
from protocols.recording import Chunk, Recorded, Recorder, Settings
from protocols.session import Session
from protocols.ssh.filter import Filter
from protocols.ssh.guard import Guard
from protocols.ssh.tape import Tape, Typing
from protocols.ssh.veil import Veil
from protocols.verdict import Decision, Deny


class Studio:
    """As `protocols.ssh.tape.Studio`."""

    log = Logger()

    def __init__(
        self, journal: Journal, clock: IReactorTime, opinions: Opinions, settings: Callable[[], Settings],
        resume: Callable[[int], None], moderation: Moderation,
    ) -> None:
        """
        :param settings: those in force now; a channel keeps what it began with.
        :param resume: tells the relay that a filter of a channel has something to say.
        """
        self._journal, self._clock, self._opinions, self._settings = journal, clock, opinions, settings
        self.resume, self._moderation = resume, moderation
        self._count = 0

    @property
    def _session(self) -> Session:
        return self._opinions.session

    def filters(self, decision: Decision, number: int) -> tuple[Sequence[Filter], Sequence[Filter]]:
        """Of a channel whose command was allowed. Where nothing is recorded the relay counts and digests by itself."""
        command, settings = decision.command, self._settings()
        if not isinstance(command, (Exec, Shell, Subsystem)):
            return (), ()
        up: list[Filter] = []
        down: list[Filter] = []
        pty = None if isinstance(command, Subsystem) else command.pty
        if self._moderation.needed:
            pause = self._moderation.pause(command.channel, lambda: self.resume(command.channel))
            up.append(pause.keys)
            down.append(pause.screen)
        masks = self._opinions.masks(terminal=pty is not None)
        if masks is not None:
            down.append(Veil(masks, self.later, lambda: self.resume(command.channel)))
        if pty is not None and self._opinions.reads_lines:
            guard = self._guard(pty, command.channel, number)
            up.append(guard.keys)
            down.append(guard)
        if pty is not None or settings.full:
            self._count += 1
            tape = Tape(self, settings, Recorder(self._count, command.channel, number), command.channel, pty)
            up.append(Typing(tape))
            down.append(tape)
        return up, down

    def _guard(self, pty: Pty, channel: int, number: int) -> Guard:
        return Guard(
            pty, self._opinions.refuses_line, lambda line, deny: self._refused(number, Line(line, channel), deny), self.later,
            lambda: self.resume(channel),
        )

    def _refused(self, number: int, line: Line, deny: Deny) -> None:
        """A line is not sent; its record carries the number of the shell's command."""
        try:
            self._journal.refuse(self._session, number, Decision(line, deny, sent=line.text, rule=deny.rule))
        except Unrecordable:
            self.log.warn("session {id}: a refusal could not be recorded", id=self._session.id)

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
