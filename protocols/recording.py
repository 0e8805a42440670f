"""
What a recording of a channel consists of: timed events in numbered chunks, and totals when it ends.

Events become chunks here, of bounded size and without gaps in their numbers; the same events
in the same turns give the same chunks. Knows no clock: whoever sees an event says when it was.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from hashlib import sha256

CHUNK_LIMIT = 48 << 10
"""Bytes of events' data in one chunk; with what frames them a record stays far below the notary's batch limit."""
EVENTS_LIMIT = 4096
"""Events in one chunk: a terminal written to byte by byte has many small ones."""


class Code(enum.StrEnum):
    """What an event is. The first four are asciicast's own letters."""

    OUTPUT = "o"
    ERROR = "e"  #: standard error of a channel without a terminal
    INPUT = "i"
    RESIZE = "r"  #: data is b"80x24", columns first
    TERM = "t"  #: data is the terminal's name
    HIDDEN = "h"  #: something was typed that is not recorded; no data
    NOTICE = "n"  #: the gateway's own words to the client


Event = tuple[int, Code, bytes]
"""Microseconds since the recording began, what, and its bytes."""


class Input(enum.StrEnum):
    """What of a person's typing is recorded."""

    OFF = "off"
    ECHOED = "echoed"  #: lines of which every character came back
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    How a target's channels are recorded.

    :ivar strict: output of a terminal is shown only once its chunk is durable; else within `DELAY` of it.
    :ivar full: channels without a terminal are recorded too, not just counted and digested.
    :ivar observers: groups of whom somebody must observe a session for it to go on; empty for nobody.
    """

    strict: bool = True
    full: bool = False
    input: Input = Input.OFF
    observers: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """As the evidence of a session says it."""
        words = ["strict" if self.strict else "buffered", "full" if self.full else "totals", f"input {self.input}"]
        words += [f"observed by {' or '.join(sorted(self.observers))}"] if self.observers else []
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    :ivar recording: number of the recording in its session, from 1.
    :ivar number: of the chunk in its recording, from 0.
    :ivar channel: the client's own number of the channel, which may be used again later.
    :ivar command: number in the session of the command that runs in the channel; 0 when not known.
    """

    recording: int
    number: int
    channel: int
    command: int
    events: tuple[Event, ...]

    @property
    def bytes(self) -> int:
        """Of all its events' data."""
        return sum(len(data) for _, _, data in self.events)


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    A recording ended.

    :ivar chunks: how many there are.
    :ivar output: bytes of output, errors and notices; `digest` is the SHA-256 over them as they came.
    :ivar micros: how long it took.
    """

    recording: int
    channel: int
    command: int
    chunks: int
    output: int
    input: int
    micros: int
    digest: bytes


class Recorder:
    """The events of one recording, on their way into chunks."""

    def __init__(self, recording: int, channel: int, command: int = 0) -> None:
        self._name = recording, channel, command
        self._events: list[Event] = []
        self._size = self._chunks = self._output = self._input = self._last = 0
        self._digest = sha256()
        self._full: list[Chunk] = []

    @property
    def pending(self) -> int:
        """Events that no chunk was taken of."""
        return len(self._events) + len(self._full)

    def event(self, micros: int, code: Code, data: bytes) -> None:
        """Something was seen. Time never runs backwards in a recording."""
        self._last = micros = max(micros, self._last)
        if code in (Code.OUTPUT, Code.ERROR, Code.NOTICE):
            self._output += len(data)
            self._digest.update(data)
        elif code is Code.INPUT:
            self._input += len(data)
        at = 0
        while True:
            part = data[at:at + CHUNK_LIMIT - self._size]
            self._events.append((micros, code, part))
            self._size += len(part)
            at += len(part)
            if self._size >= CHUNK_LIMIT or len(self._events) >= EVENTS_LIMIT:
                self._cut()
            if at >= len(data):
                return

    def take(self) -> list[Chunk]:
        """Everything that was seen and not yet taken."""
        if self._events:
            self._cut()
        full, self._full = self._full, []
        return full

    def ended(self, micros: int) -> Recorded:
        """The totals; what is pending must have been taken."""
        recording, channel, command = self._name
        digest = self._digest.digest()
        return Recorded(
            recording, channel, command, self._chunks, self._output, self._input, max(micros, self._last), digest
        )

    def _cut(self) -> None:
        recording, channel, command = self._name
        self._full.append(Chunk(recording, self._chunks, channel, command, tuple(self._events)))
        self._events, self._size = [], 0
        self._chunks += 1
