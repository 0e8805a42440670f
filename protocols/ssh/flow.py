"""
One direction of a channel: messages of one side in, messages for the other out, in the same order.

Nothing overtakes: behind what is held, what waits for its record, or what the receiver's window
has no room for, everything waits, EOF and CLOSE too. What may wait is bounded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from protocols.ssh.ledger import Ledger, Overrun
from protocols.ssh.messages import CLOSE, DATA, DATA_AT, EOF, EXTENDED_DATA, addressed, data_at, write_bare, write_data

WAITING_LIMIT = 4 << 20
"""Bytes that may wait in one direction; OpenSSH's window is 2 MiB."""

LITTLE = 4096
"""Bytes of messages that came together and leave as one: each packet costs as much as this many bytes."""

OVERHEAD = 64
"""Counted for each waiting message besides its bytes, so that many small ones are bounded too."""


@dataclass(slots=True)
class _Data:
    """Bytes of one stream. `own`: the gateway's, so that nobody's credit pays for them."""

    stream: int
    data: bytes | memoryview
    own: bool = False


@dataclass(slots=True)
class _Gate:
    """What belongs to one command, and may leave when that is durable."""

    number: int
    item: bytes | _Data

    @property
    def size(self) -> int:
        return len(self.item.data if isinstance(self.item, _Data) else self.item)


class Flow:
    """
    :ivar packet: the longest data that the receiver takes in one message.
    :ivar ended: EOF has left; no data leaves behind it.
    :ivar closed: CLOSE has left; nothing leaves behind it.
    """

    def __init__(self, ledger: Ledger, number: int, packet: int) -> None:
        """
        :param number: the receiver's number of the channel.
        """
        if packet < 1:
            raise Overrun("a channel that takes no data")
        self.ledger, self.number, self.packet = ledger, number, packet
        self._waiting: deque[bytes | _Data | _Gate] = deque()
        self._size = 0
        self._held = False
        self._eof = False
        self.ended = self.closed = False

    def take(self, payload: bytes) -> list[bytes]:
        """What may leave now that this message came; it is for this channel, under the sender's number."""
        if payload[0] not in (DATA, EXTENDED_DATA):
            return self.bare(payload)
        return self.pass_on(payload, *data_at(payload))

    def pass_on(self, payload: bytes, stream: int, at: int) -> list[bytes]:
        """As `take`, of data whose bytes begin there."""
        count = len(payload) - at
        self.came(count)
        if not self._waiting and not self._held and count <= self.packet and count <= self.ledger.room and not self.ended:
            self.ledger.passes(count)
            return [addressed(payload, self.number)]
        return self._queue(_Data(stream, payload[at:]), count)

    def clear(self, counts: list[int]) -> bool:
        """Whether messages with so much data may all leave now, with all that came before them."""
        count, ledger = sum(counts), self.ledger
        if self._waiting or self._held or self.ended or self._eof or max(counts) > self.packet:
            return False
        return count <= ledger.allowance and count + ledger.pending <= ledger.room

    def carry(self, messages: list[memoryview], before: bytes = b"", left: int = 0) -> list[bytes | memoryview]:
        """
        What leaves of messages that are `clear` and have been counted as they `came`: themselves.

        :param before: what came earlier and leaves in front of them; no more than one message takes.
        :param left: so many of the last one's bytes, not all, do not leave.
        """
        out: list[bytes | memoryview] = [write_data(self.number, before)] if before else []
        out += self._whole(messages)
        if left:
            out[-1] = write_data(self.number, out[-1][DATA_AT:-left])
        self.ledger.passes(self.ledger.pending - left)
        return out

    def _whole(self, messages: list[memoryview]) -> list[bytes | memoryview]:
        """Themselves under the receiver's number, or one in place of many little ones: acknowledgements of a file's pieces."""
        if len(messages) > 1 and sum(map(len, messages)) <= min(LITTLE, self.packet):
            return [write_data(self.number, b"".join([message[DATA_AT:] for message in messages]))]
        return [addressed(message, self.number) for message in messages]

    def came(self, count: int) -> None:
        """The sender sent this much data, and what becomes of it is said by `put`, `gate` and `drop`."""
        if self._eof:
            raise Overrun("data behind the end of its stream")
        self.ledger.came(count)

    def put(self, data: bytes | memoryview, stream: int = 0) -> list[bytes]:
        """What may leave now that this much of what came shall."""
        return self._queue(_Data(stream, data), len(data)) if data else []

    def bare(self, payload: bytes) -> list[bytes]:
        """What may leave now that this message without data came."""
        self._eof = self._eof or payload[0] in (EOF, CLOSE)
        return self._queue(addressed(payload, self.number), len(payload))

    def gate(self, number: int, item: bytes) -> list[bytes]:
        """A message without data that waits for command `number` to be durable, and everything behind it with it."""
        return self._queue(_Gate(number, addressed(item, self.number)), len(item))

    def gate_data(self, number: int, data: bytes) -> list[bytes]:
        """As `gate`, for data that came."""
        return self._queue(_Gate(number, _Data(0, data)), len(data))

    def open(self, number: int) -> list[bytes]:
        """A command is durable: what leaves."""
        for at, item in enumerate(self._waiting):
            if isinstance(item, _Gate) and item.number == number:
                self._waiting[at] = item.item
                break
        return self._release()

    def shut(self, number: int) -> tuple[list[bytes], int]:
        """A command will never be durable: what leaves without it, and the ADJUST that the sender gets (0 for none)."""
        grant = 0
        for item in self._waiting:
            if isinstance(item, _Gate) and item.number == number:
                self._waiting.remove(item)
                self._size -= OVERHEAD + item.size
                grant = self.ledger.dropped(item.size) if isinstance(item.item, _Data) else 0
                break
        return self._release(), grant

    def inject(self, data: bytes, stream: int = 0) -> list[bytes]:
        """The gateway's own words, behind what came before them; none where the stream has ended."""
        if self._eof:
            return []
        return self._queue(_Data(stream, data, True), len(data))

    def hold(self, on: bool) -> list[bytes]:
        """Keep what comes from here on, or let what was kept leave."""
        self._held = on
        return self._release()

    def adjusted(self, count: int) -> tuple[list[bytes], int]:
        """The receiver opened its window: what leaves, and the ADJUST that the sender gets (0 for none)."""
        grant = self.ledger.adjusted(count)
        return self._release(), grant

    @property
    def waiting(self) -> int:
        """Bytes that wait, with what each message costs."""
        return self._size

    def _queue(self, item: bytes | _Data | _Gate, count: int) -> list[bytes]:
        if self.closed:  # a filter lets go of what nobody takes any more
            return []
        self._waiting.append(item)
        self._size += count + OVERHEAD
        out = self._release()
        if self._size > WAITING_LIMIT:
            raise Overrun("too much waits in one channel")
        return out

    def _release(self) -> list[bytes]:
        out: list[bytes] = []
        while self._waiting and not self._held:
            item = self._waiting[0]
            if isinstance(item, _Gate):
                break
            if isinstance(item, _Data):
                if not self._release_data(item, out):
                    break
            else:
                self._waiting.popleft()
                self._size -= len(item) + OVERHEAD
                self._release_bare(item, out)
        return out

    def _release_bare(self, message: bytes, out: list[bytes]) -> None:
        if self.closed or (self.ended and message[0] == EOF):
            return
        self.ended = self.ended or message[0] in (EOF, CLOSE)
        self.closed = message[0] == CLOSE
        out.append(message)

    def _release_data(self, item: _Data, out: list[bytes]) -> bool:
        """Send as much of the first data as there is room for; whether it has left whole."""
        at = 0
        while at < len(item.data):
            count = min(len(item.data) - at, self.packet)
            count = self.ledger.injects(count) if item.own else self.ledger.passes(count)
            if not count:
                break
            out.append(write_data(self.number, item.data[at:at + count], item.stream))
            at += count
        self._size -= at
        if at < len(item.data):
            item.data = item.data[at:]
            return False
        self._waiting.popleft()
        self._size -= OVERHEAD
        return True

    def close(self) -> list[bytes]:
        """End this direction now, behind what has left; what waits is forgotten."""
        self._waiting.clear()
        self._size = 0
        self._eof = True
        if self.closed:
            return []
        self.ended = self.closed = True
        return [write_bare(CLOSE, self.number)]
