"""
One direction of a channel with what looks at its bytes: filters before the flow, totals behind them.

EOF and CLOSE wait for what filters hold; so does everything behind them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from protocols.ssh.filter import Chunk, Filter, Filtered
from protocols.ssh.flow import Flow
from protocols.ssh.ledger import Overrun
from protocols.ssh.messages import CHANNEL_REQUEST, CLOSE, EOF, Unreadable, data_at, string

LATER_LIMIT = 64
"""Messages without data that may wait behind held bytes: signals, an exit status."""


@dataclass(slots=True)
class Moved:
    """
    What comes of one step in one direction.

    :ivar out: messages for the receiver.
    :ivar grant: the ADJUST that the sender gets, 0 for none.
    :ivar back: the gateway's own bytes for the sender.
    """

    out: list[bytes] = field(default_factory=list)
    grant: int = 0
    back: bytes = b""


class Totals:
    """
    What passed in one direction: bytes of each stream, and a digest over all of them where one is kept.

    :ivar bytes: of stream 0. :ivar extended: of all others.
    """

    def __init__(self) -> None:
        self.bytes = self.extended = 0
        self._digest: Any = None

    def digested(self) -> None:
        """Keep a SHA-256 from here on."""
        self._digest = hashlib.sha256()

    def count(self, stream: int, data: bytes | memoryview) -> None:
        if stream:
            self.extended += len(data)
        else:
            self.bytes += len(data)
        if self._digest is not None:
            self._digest.update(data)

    def counted(self, bodies: list[memoryview]) -> int:
        """Several of stream 0, and how many bytes that is."""
        count = sum(map(len, bodies))
        self.bytes += count
        if self._digest is not None:
            for body in bodies:
                self._digest.update(body)
        return count

    def undigested(self) -> None:
        """Keep none: it would say nothing."""
        self._digest = None

    @property
    def sha256(self) -> bytes:
        """Of all that passed, streams mixed as they came; b"" where none is kept."""
        return self._digest.digest() if self._digest is not None else b""


class Sink(Protocol):
    """What stands between the filters and the flow: it reads a protocol inside the stream 0 of this direction."""

    def take(self, data: bytes) -> list[bytes]:
        """Messages that leave now."""

    @property
    def carries(self) -> bool:
        """Whether it takes the bytes of several messages at once."""

    def carry(self, messages: list[memoryview], bodies: list[memoryview]) -> list[bytes | memoryview]:
        """As `take`, of messages of type DATA and their bytes."""

    def end(self) -> list[bytes]:
        """As `take`, when no more comes."""


class Stream:
    """:ivar flow: what the receiver takes, and when."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.totals = flow, Totals()
        self._filters: Sequence[Filter] = ()
        self._sink: Sink | None = None
        self._held = 0
        self._behind: deque[bytes] = deque()  # the stream's end, and what came after it
        self._later: list[bytes] = []  # other messages, behind what is held

    def filtered(self, filters: Sequence[Filter]) -> None:
        """From here on these see the bytes."""
        self._filters = filters

    def through(self, sink: Sink | None) -> None:
        """From here on the bytes that filters let pass go through this."""
        self._sink = sink

    def data(self, payload: bytes) -> Moved:
        """DATA or EXTENDED_DATA came."""
        if self._behind:
            raise Overrun("data behind the end of its stream")
        stream, at = data_at(payload)
        if not self._filters and self._sink is None:
            with memoryview(payload) as whole, whole[at:] as data:
                self.totals.count(stream, data)
            return Moved(self.flow.pass_on(payload, stream, at))
        data = payload[at:]
        self.flow.came(len(data))
        self._held += len(data)
        return self._run(0, [(stream, data)])

    def carry(self, messages: list[memoryview]) -> list[bytes | memoryview] | None:
        """As `data`, of several DATA that may all leave at once; None, and nothing has happened, where some may not."""
        if self._filters or self._behind or self._sink is not None and not self._sink.carries:
            return None
        try:
            bodies = [message[data_at(message)[1]:] for message in messages]
        except Unreadable:  # what came before it passes first
            return None
        if not self.flow.clear([len(body) for body in bodies]):
            return None
        self.flow.came(self.totals.counted(bodies))
        return self.flow.carry(messages) if self._sink is None else self._sink.carry(messages, bodies)

    def counted(self, stream: int, data: bytes) -> Moved:
        """As `data`, of bytes that the ledger has counted already."""
        self._held += len(data)
        return self._run(0, [(stream, data)])

    def bare(self, payload: bytes) -> Moved:
        """Any other message of the channel came."""
        if self._behind:
            self._behind.append(payload)
            return Moved()
        if payload[0] not in (EOF, CLOSE) or not (self._filters or self._sink):
            if self._held and not _is_window_change(payload):
                self._later.append(payload)
                if len(self._later) > LATER_LIMIT:
                    raise Overrun("too much waits in one channel")
                return Moved()
            return Moved(self.flow.bare(payload))
        self._behind.append(payload)
        return self._ended(Moved())

    def resized(self, columns: int, rows: int) -> None:
        """The terminal has another size from here on."""
        for each in self._filters:
            each.resized(columns, rows)

    def resume(self) -> Moved:
        """Ask every filter for what it has held until now."""
        moved = Moved()
        for at, each in enumerate(self._filters):
            self._did(at, each.resume(), moved)
        return self._ended(moved) if self._behind else moved

    def inject(self, data: bytes, stream: int = 0) -> list[bytes]:
        """The gateway's own words for the receiver."""
        for each in self._filters:
            each.told(stream, data)
        return self.flow.inject(data, stream)

    @property
    def quiet(self) -> bool:
        """Whether no filter holds anything back."""
        return not (self._held or self._behind)

    def close(self) -> list[bytes]:
        """End this direction now: the CLOSE that the receiver gets, if it has none yet."""
        self._behind.clear()
        return self.flow.close()

    def gone(self) -> None:
        """The channel is over."""
        for each in self._filters:
            each.closed()
        self._filters, self._sink = (), None

    def _run(self, at: int, chunks: Sequence[Chunk]) -> Moved:
        moved = Moved()
        self._feed(at, chunks, moved)
        return moved

    def _feed(self, at: int, chunks: Sequence[Chunk], moved: Moved) -> None:
        """Give bytes to the filters from this one on, and what the last lets go to the flow."""
        if at < len(self._filters):
            for stream, data in chunks:
                self._did(at, self._filters[at].feed(stream, data), moved)
            return
        for stream, data in chunks:
            self._held -= len(data)
            self.totals.count(stream, data)
            moved.out += self.flow.put(data, stream) if stream or self._sink is None else self._sink.take(data)
        self._caught_up(moved)

    def _caught_up(self, moved: Moved) -> None:
        """An exit status does not overtake output that waits."""
        if not self._held:
            for payload in self._later:
                moved.out += self.flow.bare(payload)
            self._later.clear()

    def _did(self, at: int, did: Filtered, moved: Moved) -> None:
        self._feed(at + 1, did.passed, moved)
        if did.dropped:
            self._held -= did.dropped
            moved.grant += self.flow.ledger.dropped(did.dropped)
            self._caught_up(moved)
        if did.ahead:
            for later in self._filters[at + 1:]:
                later.told(0, did.ahead)
            moved.out += self.flow.inject(did.ahead)
        if did.withhold is not None:
            moved.grant += self.flow.ledger.withhold(did.withhold)
        moved.back += did.back

    def _ended(self, moved: Moved) -> Moved:
        """Everything that is held is asked for; when nothing is, what waited behind it leaves."""
        for at, each in enumerate(self._filters):
            self._did(at, each.end(), moved)
        if not self._held:
            if self._sink is not None:
                moved.out += self._sink.end()
            while self._behind:
                moved.out += self.flow.bare(self._behind.popleft())
        return moved


def _is_window_change(payload: bytes) -> bool:
    """A terminal's size may overtake what is typed: it says nothing of it."""
    return payload[0] == CHANNEL_REQUEST and payload[5:22] == string(b"window-change")
