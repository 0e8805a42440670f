"""
A channel's recorder among its filters: what the target sent goes into chunks, and on to the person when it may.

Strict: behind the chunk that holds it, once that is durable. Buffered: at once, while little of it is on its way to the
evidence. When nothing can be recorded, nothing passes in either direction: bytes are held, which costs their sender's window,
the person is told, and it goes on by itself when the same chunks could be recorded after all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from protocols.command import Pty
from protocols.echo import Echo, echoes
from protocols.errors import Unrecordable
from protocols.recording import Chunk, Code, Input, Recorded, Recorder, Settings
from protocols.ssh.filter import Chunk as Piece
from protocols.ssh.filter import Filtered
from protocols.ssh.refusal import line

DELAY = 1.0
"""Seconds that a buffered recording may keep what was shown from the evidence."""
AHEAD_LIMIT = 256 << 10
"""Bytes that may have been shown and are not durable yet, where buffered; beyond it a recording is strict."""
_RETRY = 0.5  # seconds
_STOPPED = "nothing can be recorded now, so nothing passes; it goes on by itself [OST-801]"
_GOES_ON = "it is recorded again"


class Studio(Protocol):
    """What a tape is handed by its session."""

    def now(self) -> int:
        """Microseconds since anything; never backwards."""

    def chunk(self, chunk: Chunk, waiter: Tape) -> int:
        """As `protocols.journal.Journal.chunk`, for this session."""

    def recorded(self, recorded: Recorded, waiter: Tape) -> int:
        """As `protocols.journal.Journal.recorded`."""

    def later(self, seconds: float, call: Callable[[], None]) -> Any:
        """As IReactorTime.callLater."""

    def resume(self, channel: int) -> None:
        """`SshRelay.resume`."""


class Tape:
    """
    The filter of the target's bytes; a `protocols.journal.Waiter`.

    :ivar stopped: nothing can be recorded, so nothing may pass.
    """

    def __init__(self, studio: Studio, settings: Settings, recorder: Recorder, channel: int, pty: Pty | None) -> None:
        self._studio, self._settings, self._recorder, self._channel = studio, settings, recorder, channel
        self._began = studio.now()
        self._terminal = pty is not None
        self._echo = Echo(echoes(pty.modes)) if pty and settings.input is Input.ECHOED else None
        self._held: list[Piece] = []  # behind events that no chunk was made of
        self._tagged: deque[tuple[int, list[Piece]]] = deque()  # behind the record of that sequence
        self._ready: list[Piece] = []
        self._sent: deque[tuple[int, Chunk]] = deque()
        self._unsent: deque[Chunk] = deque()
        self._shown = 0  # bytes that were shown and are not durable
        self._timer: Any = None
        self._timer_is_soon = False
        self._notice = ""
        self._withhold: bool | None = None
        self.stopped = self._over = False
        if pty is not None:
            self._see(Code.TERM, pty.term.encode())
            self._see(Code.RESIZE, b"%dx%d" % (pty.columns, pty.rows))

    # protocols.ssh.filter.Filter

    def feed(self, stream: int, data: bytes) -> Filtered:
        """Output came."""
        self._see(Code.ERROR if stream and not self._terminal else Code.OUTPUT, data)
        if self._echo is not None:
            for typed in self._echo.shown(data):
                self._see(Code.INPUT if typed else Code.HIDDEN, typed)
        if self._must_wait:
            self._held.append((stream, data))
            self._schedule(0)
            return Filtered()
        self._shown += len(data)
        self._schedule(0 if self._shown > AHEAD_LIMIT // 4 else DELAY)
        return Filtered([(stream, data)])

    def resume(self) -> Filtered:
        """What is durable, and word of what happened to the store."""
        ready, self._ready = self._ready, []
        notice, self._notice = self._notice, ""
        withhold, self._withhold = self._withhold, None
        said = line(notice) if notice else b""
        if said:
            self._see(Code.NOTICE, said)
            self._schedule(0)
        return Filtered(ready, ahead=said, withhold=withhold)

    def end(self) -> Filtered:
        """The stream's end waits for its last chunk."""
        self._flush()
        return self.resume()

    def told(self, stream: int, data: bytes) -> None:
        """The gateway's own words are on the screen, so they are in the recording."""
        self._see(Code.NOTICE, data)
        self._schedule(0)

    def resized(self, columns: int, rows: int) -> None:
        """A recording is replayed in windows of the same size."""
        if self._terminal:
            self._see(Code.RESIZE, b"%dx%d" % (columns, rows))
            self._schedule(DELAY)

    def closed(self) -> None:
        """Last chunk and totals; nobody waits for them any more."""
        if self._over:
            return
        for typed in self._echo.end() if self._echo is not None else ():
            self._see(Code.HIDDEN, typed)
        self._flush()
        self._over = True
        self._cancel()
        if not self._unsent:
            try:
                self._studio.recorded(self._recorder.ended(self._studio.now() - self._began), self)
            except Unrecordable:
                pass  # the recording has no end then, and its session will not say that it is whole

    # What is typed

    def typed(self, data: bytes) -> None:
        """By the person, and on its way to the target."""
        if self._settings.input is Input.ALL:
            self._see(Code.INPUT, data)
            self._schedule(DELAY)
        elif self._echo is not None:
            self._echo.typed(data)

    # protocols.journal.Waiter

    def durable(self, sequence: int) -> None:
        """What it recorded may be shown."""
        while self._sent and self._sent[0][0] <= sequence:
            self._shown = max(0, self._shown - self._sent.popleft()[1].bytes)
        while self._tagged and self._tagged[0][0] <= sequence:
            self._ready += self._tagged.popleft()[1]
        if self._over:
            return
        if self.stopped and not self._unsent and not self._sent:
            self.stopped, self._withhold, self._notice = False, False, _GOES_ON
            self._studio.resume(self._channel)
        elif self._ready:
            self._studio.resume(self._channel)

    def refused(self, sequence: int, why: str) -> None:
        """Chunks spend no grants."""

    def unrecordable(self, why: str) -> None:
        """Whatever is not known to be durable is recorded once more."""
        again = deque(chunk for _, chunk in self._sent)
        again.extend(self._unsent)
        self._unsent = again
        self._sent.clear()
        held = [piece for _, pieces in self._tagged for piece in pieces]
        self._tagged.clear()
        self._held = held + self._held
        if not self._over:
            self._stop()

    # Inside

    @property
    def _must_wait(self) -> bool:
        behind = bool(self._held or self._tagged or self._ready)
        return self._settings.strict or self.stopped or behind or self._shown > AHEAD_LIMIT

    def _see(self, code: Code, data: bytes) -> None:
        self._recorder.event(self._studio.now() - self._began, code, data)

    def _schedule(self, seconds: float) -> None:
        """Flush then; what is due sooner stays so. A stopped tape has its own time."""
        if self._over or self.stopped or (self._timer is not None and (self._timer_is_soon or seconds)):
            return
        self._cancel()
        self._timer, self._timer_is_soon = self._studio.later(seconds, self._due), not seconds

    def _due(self) -> None:
        self._timer = None
        self._flush()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        """Everything seen goes to the evidence, and what was held waits for that."""
        self._unsent.extend(self._recorder.take())
        while self._unsent:
            try:
                sequence = self._studio.chunk(self._unsent[0], self)
            except Unrecordable:
                self._stop()
                return
            self._sent.append((sequence, self._unsent.popleft()))
        if self._held:
            if self._sent:
                self._tagged.append((self._sent[-1][0], self._held))
            else:
                self._ready += self._held
            self._held = []

    def _stop(self) -> None:
        """Nothing can be recorded. Try again, until it can."""
        if not self.stopped:
            self.stopped, self._withhold, self._notice = True, True, _STOPPED
            self._studio.later(0, lambda: None if self._over else self._studio.resume(self._channel))
        if not self._over:
            self._cancel()
            self._timer = self._studio.later(_RETRY, self._due)


class Typing:
    """The filter of the client's bytes: it stops when its tape does, and lets it know what is typed."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._held: list[Piece] = []

    def feed(self, stream: int, data: bytes) -> Filtered:
        """Something was typed, or sent."""
        if self._tape.stopped:
            self._held.append((stream, data))
            return Filtered()
        self._tape.typed(data)
        return Filtered([(stream, data)])

    def resume(self) -> Filtered:
        """What was kept back leaves once all is recorded again."""
        if self._tape.stopped or not self._held:
            return Filtered()
        held, self._held = self._held, []
        for _, data in held:
            self._tape.typed(data)
        return Filtered(held)

    def end(self) -> Filtered:
        """The end comes behind what is kept."""
        return self.resume()

    def told(self, stream: int, data: bytes) -> None:
        """Nobody types the gateway's words."""

    def resized(self, columns: int, rows: int) -> None:
        """The tape hears of it."""

    def closed(self) -> None:
        """There are no timers here."""
