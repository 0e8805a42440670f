"""
Bytes to PostgreSQL v3 frames and back. No sockets, no clock, no meaning.

A frame that a stranger promises is judged by its five-byte head, before anything
is kept for it. Frames of the streamed tags that are larger than STREAM_OVER are
not collected: the reader says `Opened`, and their body is taken piece by piece.

Source: PostgreSQL 18 manual, 54.7 "Message Formats" and 54.2.1 "Start-up".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple

from protocols.errors import LocalError, PeerError
from protocols.kernel import payload, scan

_HEAD = Struct("!BI")  # tag, length (the length counts itself but not the tag)
_unpack_head = _HEAD.unpack_from
_LENGTH = Struct("!I")  # length of a start-up packet, or of a tagged frame behind its tag

BODY_LIMIT = 1 << 20
"""Bytes. Not the server's 1 GiB: what is collected here is memory that a stranger can spend."""

STARTUP_LIMIT = 10_000
"""Bytes, head included: MAX_STARTUP_PACKET_LENGTH in the server's pqcomm.h."""

STREAM_OVER = 256 << 10
"""Bytes. Larger bodies of streamed tags pass through in pieces."""

STREAM_LIMIT = (1 << 30) - 1
"""Bytes. The server's own largest message (MaxAllocSize, memutils.h)."""

ROWS = frozenset(b"Dd")
"""Tags of DataRow and CopyData: what runs of rows are made of."""

_ALIKE = {tag: frozenset((tag,)) for tag in ROWS}

_TAGS = tuple(bytes((tag,)) for tag in range(256))

_COMPACT_AT = 64 << 10  # bytes read and not yet dropped; below it, moving the rest costs more

LARGE = 32 << 10
"""Bytes of a read that is worth asking `FrameReader.portions` about."""

_LITTLE = 1024  # bytes of a cut message; these, or fewer than come next, are put before what comes next, which then stays bytes


class Frame(NamedTuple):
    """One whole message."""

    tag: bytes
    body: bytes


class Opened(NamedTuple):
    """A streamed message begins; `length` bytes of body follow through `body_*`."""

    tag: bytes
    length: int


class Run(NamedTuple):
    """Consecutive whole frames, as they came."""

    count: int
    data: bytes


def encode(tag: bytes, body: bytes = b"") -> bytes:
    """One tagged frame as it travels."""
    return _HEAD.pack(tag[0], _sized(len(body) + 4)) + body


def encode_head(tag: bytes, length: int) -> bytes:
    """The head of a frame whose `length` bytes of body are sent separately."""
    return _HEAD.pack(tag[0], _sized(length + 4))


def encode_startup(body: bytes) -> bytes:
    """One frame without a tag: how a connection begins."""
    return _LENGTH.pack(_sized(len(body) + 4)) + body


def _sized(length: int) -> int:
    """The protocol's lengths are signed 32-bit."""
    if length > 0x7FFFFFFF:
        raise LocalError(f"a frame of {length} bytes cannot be sent")
    return length


def lacks_behind(data: bytes, start: int) -> int:
    """
    Rows are walked from there: how many bytes the last one lacks that is not all there. 0 when none is cut or something
    else comes behind them, -1 when a head is cut or wrong.
    """
    _, end = scan(data, start, len(data), ROWS, STREAM_OVER)
    return _lacks(data, end) if end < len(data) and data[end] in ROWS else 0


def goes_on(data: bytes | memoryview, tag: int) -> bool:
    """Whether this is nothing, or the beginning of a frame of that tag that is no longer than what is collected."""
    if len(data) < _HEAD.size:
        return not data or data[0] == tag
    found, length = _unpack_head(data)
    return found == tag and 4 <= length <= STREAM_OVER + 4 and len(data) < 1 + length


def _lacks(data: bytes | bytearray, start: int) -> int:
    there = len(data) - start
    if there < _HEAD.size:
        return -1
    length = _unpack_head(data, start)[1]
    return max(0, 1 + length - there) if 4 <= length <= STREAM_LIMIT + 4 else -1


@cache
def _limits(streamed: frozenset[int], limits: frozenset[tuple[int, int]]) -> Mapping[int, int]:
    """One for all sessions' readers."""
    return MappingProxyType({tag: STREAM_LIMIT for tag in streamed} | dict(limits))


class FrameReader:
    """
    Frames out of one direction of a connection.

    :param limits: largest body per tag (as an int), in bytes.
    :param limit: the same for every other tag.
    :param streamed: tags whose large bodies are not collected. Their limit is
        `limits`, else STREAM_LIMIT.
    """

    def __init__(
        self,
        limits: Mapping[int, int] = MappingProxyType({}),
        limit: int = BODY_LIMIT,
        streamed: frozenset[int] = frozenset(),
    ) -> None:
        self._limits, self._limit = _limits(streamed, frozenset(limits.items())), limit
        self._streamed = streamed
        # A read that finds nothing pending is kept as the bytes it is: no copy.
        self._buffer: bytes | bytearray = b""
        self._start = 0  # first unread byte of _buffer
        self._began = 0  # first byte of the frame taken last
        self._kept, self._kept_to = -1, 0  # where a stretch of frames begins that go on as they came, and its end
        self._dropped = 0  # bytes that left _buffer; for offsets in errors
        self._open = 0  # bytes of an opened body still to come
        self._looked = 0  # how many rows of one kind, and nothing else, are there when the first portion is fed
        self._walked = 0  # the same while that was fed last; 0 where nobody has looked
        self._searched = 0  # offset up to which has_waiting has looked

    def __len__(self) -> int:
        """Bytes that were fed and not yet taken."""
        return len(self._buffer) - self._start

    def portions(self, data: bytes) -> tuple[bytes | memoryview, ...]:
        """
        What is to be fed of a read, one after the other, so that no row is copied twice: where one is cut, all that
        comes up to the next cut goes on with it, and then is all that there is.
        """
        start, buffer = self._start, self._buffer
        if self._open or start == len(buffer) or type(buffer) is not bytes or buffer[start] not in ROWS:
            return (data,)
        lacks = _lacks(buffer, start)
        if not 0 < lacks < len(data) or len(buffer) - start + lacks > STREAM_OVER:
            return (data,)
        count, end = scan(data, lacks, len(data), _ALIKE[buffer[start]], STREAM_OVER)
        if end == len(data):
            return (data,)
        self._looked = count + 1
        return memoryview(data)[:end], data[end:]

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes arrived; a view, as `portions` makes them, only behind something that was not taken yet."""
        self._walked, self._looked = self._looked, 0
        if self._start == len(self._buffer):
            self._dropped += self._start
            self._buffer, self._start = data, 0
            return
        if type(self._buffer) is bytes and len(self._buffer) - self._start <= max(_LITTLE, len(data)):
            self._dropped += self._start
            self._buffer, self._start = self._buffer[self._start :] + data, 0
            return
        # Half of it at least, so that a backlog is not moved again for each read.
        worn = self._start >= _COMPACT_AT and self._start * 2 >= len(self._buffer)
        if worn or not isinstance(self._buffer, bytearray):
            self._dropped += self._start
            self._buffer, self._start = bytearray(memoryview(self._buffer)[self._start :]), 0
        self._buffer += data

    @property
    def idle(self) -> bool:
        """Whether nothing was fed that is not taken, and no body is open."""
        return self._start == len(self._buffer) and not self._open

    def hand_back(self, tag: int) -> bytes | None:
        """
        All that was fed and not taken, as if it had never been, where that `goes_on`; whoever gets it feeds it again. None for
        anything else.
        """
        rest = self._piece(self._start, min(len(self._buffer), self._start + STREAM_OVER + 6))
        if self._open or not goes_on(rest, tag):
            return None
        self._dropped += self._start
        self._buffer, self._start = b"", 0
        return rest

    def passed(self, size: int) -> None:
        """So many bytes went by that nothing had to be read of; whole frames, while nothing was unread."""
        self._dropped += size

    def peek_header(self) -> tuple[bytes, int] | None:
        """
        Tag and body length of the next frame, which stays where it is.

        :returns: None until its five-byte head has arrived.
        :raises PeerError: the length is below 4, or above the tag's limit. The
            stream has no resync point, so the reader is finished.
        """
        if len(self._buffer) - self._start < 5:
            return None
        tag, length = _HEAD.unpack_from(self._buffer, self._start)
        if not 4 <= length <= self._limits.get(tag, self._limit) + 4:
            raise PeerError(f"frame {_TAGS[tag]!r} of length {length}", offset=self.offset + 1)
        return _TAGS[tag], length - 4

    @property
    def lacks(self) -> int:
        """Bytes still to come of the message that has begun; 0 when none has, -1 when its head does not say yet."""
        there = len(self._buffer) - self._start
        if self._open:
            return max(0, self._open - there)
        return _lacks(self._buffer, self._start) if there else 0

    def next_frame(self) -> Frame | Opened | None:
        """
        Take one frame. `Opened` comes only of streamed tags; take its body before the next frame.

        :returns: None until a whole frame has arrived.
        :raises PeerError: as peek_header.
        """
        if self._open:
            raise RuntimeError(f"{self._open} bytes of an opened body were not taken")
        start, buffer = self._start, self._buffer
        there = len(buffer) - start
        if there < 5:
            return None
        number, length = _unpack_head(buffer, start)
        if not 4 <= length <= self._limits.get(number, self._limit) + 4:
            raise PeerError(f"frame {_TAGS[number]!r} of length {length}", offset=self.offset + 1)
        if length > STREAM_OVER + 4 and number in self._streamed:
            self._start += 5
            self._open = length - 4
            return Opened(_TAGS[number], length - 4)
        if there < 1 + length:
            return None
        self._began, self._start = start, start + 1 + length
        body = buffer[start + 5 : start + 1 + length] if type(buffer) is bytes else self._piece(start + 5, start + 1 + length)
        return Frame(_TAGS[number], body)

    def keep(self) -> None:
        """What `next_frame` or `count_run` took last goes on as it came, with what was kept right before it."""
        if self._kept < 0:
            self._kept = self._began
        elif self._kept_to != self._began:
            raise AssertionError("what was taken between would go on too")
        self._kept_to = self._start

    def kept(self) -> bytes:
        """All that was kept, in one piece; b"" for nothing. To be asked for before more is fed, or after a gap is taken."""
        start, self._kept = self._kept, -1
        return b"" if start < 0 else self._piece(start, self._kept_to)

    @property
    def taken(self) -> bytes:
        """The frame that `next_frame` gave last, or the run that `count_run` counted, as it came; until more is fed or taken."""
        return self._piece(self._began, self._start)

    def payload(self) -> memoryview:
        """What the CopyData messages that `taken` is carry."""
        return payload(self._buffer, self._began, self._start)

    @property
    def began(self) -> int:
        """The tag of what `taken` is."""
        return self._buffer[self._began]

    @property
    def size(self) -> int:
        """Bytes of what `taken` is."""
        return self._start - self._began

    @property
    def tag(self) -> int:
        """Of the next frame, which stays where it is; -1 until its first byte has arrived. Its length is not looked at."""
        return self._buffer[self._start] if self._start < len(self._buffer) else -1

    def take_known(self, data: bytes) -> bool:
        """Take these bytes, which are whole frames, as `count_run` takes a run, if they come next."""
        start = self._start
        if self._open or not data or not self._buffer.startswith(data, start):
            return False
        self._began, self._start = start, start + len(data)
        return True

    def take(self, size: int) -> None:
        """Take so many bytes, which are known to be one whole frame, likewise."""
        self._began, self._start = self._start, self._start + size

    def holds(self, data: bytes) -> bool:
        """Whether what was fed last, that very object, is all that there is, and none of it is taken."""
        return self._buffer is data and not self._start and not self._open

    def rest(self, most: int) -> bytes:
        """All that was fed and not taken, which stays; b"" when it is more than that."""
        return self._piece(self._start, len(self._buffer)) if 0 < len(self._buffer) - self._start <= most else b""

    def next_startup(self) -> bytes | None:
        """
        Take the body of one frame without a tag.

        :returns: None until it is whole.
        :raises PeerError: the length is out of what a server accepts.
        """
        if len(self) < 4:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, self._start)
        if not 8 <= length <= STARTUP_LIMIT:
            raise PeerError(f"start-up packet of length {length}", offset=self.offset)
        return self._take(4, length - 4) if len(self) >= length else None

    def next_run(self, tags: frozenset[int] = ROWS) -> Run | None:
        """Take all consecutive whole frames of these tags as one piece; None when there is none."""
        count = self.count_run(tags)
        return Run(count, self.taken) if count else None

    def count_run(self, tags: frozenset[int] = ROWS) -> int:
        """Take them likewise, and say only how many they are: `taken` and `keep` are about all of them."""
        if self._open:
            return 0
        if self._walked and not self._start and self._buffer[0] in tags:
            count, end = self._walked, len(self._buffer)
        else:
            count, end = scan(self._buffer, self._start, len(self._buffer), tags, STREAM_OVER)
        if count:
            self._began, self._start = self._start, end
        return count

    def has_waiting(self, tag: bytes) -> bool:
        """Whether a whole frame of this tag waits, behind whatever else does. Takes nothing."""
        at, stop = max(self._start, self._searched - self._dropped), len(self._buffer)
        while at + 5 <= stop:
            found, length = _HEAD.unpack_from(self._buffer, at)
            if length < 4 or at + 1 + length > stop:
                break
            if found == tag[0]:
                return True
            at += 1 + length
        self._searched = at + self._dropped
        return False

    @property
    def body_left(self) -> int:
        """Bytes of the opened body that were not taken yet."""
        return self._open

    def body_chunk(self, most: int = STREAM_OVER) -> bytes:
        """Take what has arrived of the opened body, at most so many bytes; b"" for nothing yet."""
        length = min(most, self._open, len(self))
        self._open -= length
        return self._take(0, length)

    def take_all(self) -> bytes:
        """Take everything that was not read, e.g. for the next reader of this connection."""
        return self._take(0, len(self))

    @property
    def offset(self) -> int:
        """Bytes taken since the connection began."""
        return self._dropped + self._start

    def _take(self, skip: int, length: int) -> bytes:
        """Bytes behind the next `skip`; both are read then. One copy at most."""
        start = self._start + skip
        self._start = start + length
        return self._piece(start, self._start)

    def _piece(self, start: int, stop: int) -> bytes:
        if type(self._buffer) is bytes:
            return self._buffer[start:stop]
        with memoryview(self._buffer) as view:
            return bytes(view[start:stop])
