"""
A client's bytes as whole messages, each under the ceiling of its kind.

What is over its ceiling is read past and named, so that it can be refused without ending
the session; values of any size go to a spool, and COPY data of any size comes in pieces.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from protocols.postgres.codec import STREAM_LIMIT, Frame, FrameReader, Opened, Run, encode_head
from protocols.postgres.long import LongMessage
from protocols.spool import Spools

TEXT_LIMIT = 1 << 20
"""Bytes of Query or Parse: larger statements are data in disguise."""

VALUES_LIMIT = 1 << 20
"""Bytes of Bind or FunctionCall that are held in memory; larger ones go to a spool, where there is one."""

LITTLE = 4096
"""Bytes behind a verdict that are looked at as a whole; more is a pipeline, and would be looked at again for each of its commands."""

_CEILINGS = {b"Q": TEXT_LIMIT, b"P": TEXT_LIMIT, b"B": VALUES_LIMIT, b"F": VALUES_LIMIT}
_SPOOLED = (b"B", b"F")
_STREAMED = frozenset(b"QPBFd")
_COPY = b"d"[0]
_COPY_DATA = frozenset((_COPY,))


class TooLarge(NamedTuple):
    """A message over its ceiling; its body is dropped."""

    tag: bytes
    length: int


class Piece(NamedTuple):
    """Part of a large CopyData message: its head, or some of its body. `left` bytes of that are still to come."""

    data: bytes
    head: bool = False
    left: int = 0


class Intake:
    """Frames of one client."""

    def __init__(self, spools: Spools | None = None) -> None:
        """
        :param spools: for values over VALUES_LIMIT; None refuses them.
        """
        self._spools = spools
        self._long: LongMessage | None = None
        self._reader = FrameReader(streamed=_STREAMED, limits=dict.fromkeys(_STREAMED, STREAM_LIMIT))
        self._opened: Opened | None = None
        self.kept, self.portions = self._reader.kept, self._reader.portions  #: as FrameReader's
        self._collected: list[bytes] | None = None
        self._apart = False  # the frame taken last was collected, and lies nowhere

    def __len__(self) -> int:
        return len(self._reader)

    def feed(self, data: bytes | memoryview) -> None:
        self._reader.feed(data)

    def hand_back(self) -> bytes | None:
        """As FrameReader, of COPY data; None while something large is on its way."""
        return self._reader.hand_back(_COPY) if self._opened is None else None

    @property
    def idle(self) -> bool:
        """As FrameReader; where nothing large is on its way."""
        return self._opened is None and self._reader.idle

    def passed(self, size: int) -> None:
        """As FrameReader."""
        self._reader.passed(size)

    def keep(self) -> bool:
        """Whether the frame taken last lies there as it came; then it is kept, as FrameReader does."""
        if self._apart:
            return False
        self._reader.keep()
        return True

    def take_known(self, data: bytes) -> bool:
        """As FrameReader; where nothing large is on its way."""
        if self._opened is not None or not self._reader.take_known(data):
            return False
        self._apart = False
        return True

    def holds(self, data: bytes) -> bool:
        """As FrameReader; where nothing large is on its way."""
        return self._opened is None and self._reader.holds(data)

    def rest(self) -> bytes:
        """As FrameReader, where it is LITTLE; b"" while something large is on its way."""
        return b"" if self._opened is not None else self._reader.rest(LITTLE)

    def take(self, size: int) -> None:
        """As FrameReader."""
        self._reader.take(size)
        self._apart = False

    def discard(self) -> None:
        """The session is over: forget what is spooled and not whole."""
        if self._long is not None:
            self._long.close()

    def next_message(self) -> Frame | TooLarge | Piece | Run | LongMessage | None:
        """
        The next message, or a run of small CopyData messages.

        :raises PeerError: a length that no message has.
        """
        if self._opened is not None:
            return self._next_of_opened()
        reader = self._reader
        if reader.tag == _COPY and (run := reader.next_run(_COPY_DATA)) is not None:
            return run
        head = reader.next_frame()
        if type(head) is not Opened:
            self._apart = False
            return head
        self._opened, self._apart = head, True
        if head.tag == b"d":
            return Piece(encode_head(head.tag, head.length), True, head.length)
        if head.length <= _CEILINGS[head.tag]:
            self._collected = []
        elif head.tag in _SPOOLED and self._spools is not None:
            self._long = LongMessage(head, self._spools)
        return self._next_of_opened()

    def _next_of_opened(self) -> Frame | TooLarge | Piece | LongMessage | None:
        opened = self._opened
        while self._reader.body_left and (chunk := self._reader.body_chunk()):
            if opened.tag == b"d":
                self._opened = opened if self._reader.body_left else None
                return Piece(chunk, False, self._reader.body_left)
            if self._collected is not None:
                self._collected.append(chunk)
            elif self._long is not None:
                self._long.feed(chunk)
        if self._reader.body_left:
            return None
        body, long, self._opened, self._collected, self._long = self._collected, self._long, None, None, None
        if body is not None:
            return Frame(opened.tag, b"".join(body))
        return long or TooLarge(*opened)

    def terminates(self) -> bool:
        """Whether a Terminate waits among the whole messages not taken yet."""
        return not self._reader.body_left and self._reader.has_waiting(b"X")


def about(message: Any) -> tuple[str, bytes]:
    """Which statement ("S") or portal ("P") is bound, described or executed; "" for none."""
    if isinstance(message, LongMessage):
        return ("S", message.statement) if message.tag == b"B" and not message.failure else ("", b"")
    if type(message) is not Frame:
        return "", b""
    tag, body = message.tag, message.body
    if tag == b"B":
        return "S", b"".join(body.split(b"\0", 2)[1:2])
    if tag == b"E":
        return "P", body.partition(b"\0")[0]
    if tag == b"D" and body[:1] in (b"S", b"P"):
        return body[:1].decode(), body[1:].partition(b"\0")[0]
    return "", b""
