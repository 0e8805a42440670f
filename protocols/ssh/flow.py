"""
One direction of a channel: messages of one side in, messages for the other out, in the same order.

Nothing overtakes: behind what is held, or what the receiver's window has no room for,
everything waits, EOF and CLOSE too. What may wait is bounded.
"""

from __future__ import annotations

from collections import deque

from protocols.ssh.ledger import Ledger, Overrun
from protocols.ssh.messages import CLOSE, DATA, EOF, EXTENDED_DATA, addressed, read_data, write_bare, write_data

WAITING_LIMIT = 4 << 20
"""Bytes that may wait in one direction; OpenSSH's window is 2 MiB."""

OVERHEAD = 64
"""Counted for each waiting message besides its bytes, so that many small ones are bounded too."""


class Flow:
    """
    :ivar ended: EOF has left; no data leaves behind it.
    :ivar closed: CLOSE has left; nothing leaves behind it.
    """

    def __init__(self, ledger: Ledger, number: int, packet: int) -> None:
        """
        :param number: the receiver's number of the channel.
        :param packet: the longest data that the receiver takes in one message.
        """
        if packet < 1:
            raise Overrun("a channel that takes no data")
        self.ledger, self._number, self._packet = ledger, number, packet
        self._waiting: deque[bytes | tuple[int, bytes, bool]] = deque()
        self._size = 0
        self._held = False
        self.ended = self.closed = False

    def take(self, payload: bytes) -> list[bytes]:
        """What may leave now that this message came; it is for this channel, under the sender's number."""
        if payload[0] not in (DATA, EXTENDED_DATA):
            return self._queue(addressed(payload, self._number), len(payload))
        stream, data = read_data(payload)
        count = len(data)
        self.ledger.came(count)
        if not self._waiting and not self._held and count <= self._packet and not (self.ended or self.closed):
            if count <= self.ledger.room:
                self.ledger.passes(count)
                return [addressed(payload, self._number)]
        return self._queue((stream, data, False), count)

    def inject(self, data: bytes, stream: int = 0) -> list[bytes]:
        """The gateway's own words, behind what came before them."""
        return self._queue((stream, data, True), len(data))

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

    def _queue(self, item: bytes | tuple[int, bytes, bool], count: int) -> list[bytes]:
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
            if isinstance(item, tuple):
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

    def _release_data(self, item: tuple[int, bytes, bool], out: list[bytes]) -> bool:
        """Send as much of the first data as there is room for; whether it has left whole."""
        stream, data, own = item
        if self.ended or self.closed:
            raise Overrun("data behind the end of its stream")
        at = 0
        while at < len(data):
            count = min(len(data) - at, self._packet)
            count = self.ledger.injects(count) if own else self.ledger.passes(count)
            if not count:
                break
            out.append(write_data(self._number, data[at:at + count], stream))
            at += count
        self._waiting.popleft()
        self._size -= at
        if at < len(data):
            self._waiting.appendleft((stream, data[at:], own))
            return False
        self._size -= OVERHEAD
        return True

    def close(self) -> list[bytes]:
        """End this direction now, behind what has left; what waits is forgotten."""
        self._waiting.clear()
        self._size = 0
        if self.closed:
            return []
        self.ended = self.closed = True
        return [write_bare(CLOSE, self._number)]
