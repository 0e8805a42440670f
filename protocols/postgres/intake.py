"""
A client's bytes as whole messages, each under the ceiling of its kind.

What is over its ceiling is read past and named, so that it can be refused without ending
the session; COPY data of any size comes in pieces.
"""

from __future__ import annotations

from typing import NamedTuple

from protocols.postgres.codec import STREAM_LIMIT, Frame, FrameReader, Opened, Run, encode_head

TEXT_LIMIT = 1 << 20
"""Bytes of Query or Parse: larger statements are data in disguise."""

VALUES_LIMIT = 256 << 20
"""Bytes of Bind or FunctionCall. One session's memory is bounded by it."""

_CEILINGS = {b"Q": TEXT_LIMIT, b"P": TEXT_LIMIT, b"B": VALUES_LIMIT, b"F": VALUES_LIMIT}
_STREAMED = frozenset(b"QPBFd")
_COPY = b"d"[0]
_COPY_DATA = frozenset((_COPY,))


class TooLarge(NamedTuple):
    """A message over its ceiling; its body is dropped."""

    tag: bytes
    length: int


class Piece(NamedTuple):
    """Part of a large CopyData message: its head, or some of its body."""

    data: bytes
    head: bool = False


class Intake:
    """Frames of one client."""

    def __init__(self) -> None:
        self._reader = FrameReader(streamed=_STREAMED, limits=dict.fromkeys(_STREAMED, STREAM_LIMIT))
        self._opened: Opened | None = None
        self.kept = self._reader.kept  #: as FrameReader's
        self._collected: list[bytes] | None = None
        self._apart = False  # the frame taken last was collected, and lies nowhere

    def __len__(self) -> int:
        return len(self._reader)

    def feed(self, data: bytes) -> None:
        self._reader.feed(data)

    def keep(self) -> bool:
        """Whether the frame taken last lies there as it came; then it is kept, as FrameReader does."""
        if self._apart:
            return False
        self._reader.keep()
        return True

    def next_message(self) -> Frame | TooLarge | Piece | Run | None:
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
            return Piece(encode_head(head.tag, head.length), head=True)
        self._collected = [] if head.length <= _CEILINGS[head.tag] else None
        return self._next_of_opened()

    def _next_of_opened(self) -> Frame | TooLarge | Piece | None:
        opened = self._opened
        while self._reader.body_left and (chunk := self._reader.body_chunk()):
            if opened.tag == b"d":
                self._opened = opened if self._reader.body_left else None
                return Piece(chunk)
            if self._collected is not None:
                self._collected.append(chunk)
        if self._reader.body_left:
            return None
        body, self._opened, self._collected = self._collected, None, None
        return TooLarge(*opened) if body is None else Frame(opened.tag, b"".join(body))

    def terminates(self) -> bool:
        """Whether a Terminate waits among the whole messages not taken yet."""
        return not self._reader.body_left and self._reader.has_waiting(b"X")
