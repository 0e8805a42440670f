"""
SFTP version 3 as it passes (draft-ietf-secsh-filexfer-02; OpenSSH PROTOCOL 4): a stream cut into requests and answers.

Only what says something is kept whole; file data streams by. A length is checked before anything is buffered for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from protocols.ssh.messages import Reader, Unreadable, string, u32

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR = range(3, 13)
REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(13, 21)
STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
EXTENDED, EXTENDED_REPLY = 200, 201

OK, END_OF_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, OP_UNSUPPORTED = 0, 1, 3, 4, 5, 8

FRAME_LIMIT = 1 << 20
"""Longest frame that passes; OpenSSH's limit is 256 KiB."""
REQUEST_LIMIT = 64 << 10
"""Longest request that is kept whole: two paths and attributes."""
HANDLE_LIMIT = 256
"""Bytes of a handle (draft, 3)."""
WRITE_OVERHEAD = 4 + 1 + 4 + 4 + 8 + 4
"""Bytes of a WRITE besides handle and data: length, type, id, and the lengths and the offset in it."""
_WRITE_HEAD = WRITE_OVERHEAD - 4 + HANDLE_LIMIT
"""Bytes behind the length within which a WRITE's data begins."""
_ANSWER_HEADS = {STATUS: 9, HANDLE: 9 + HANDLE_LIMIT, DATA: 9}
"""Bytes of an answer that are looked at; of others type and id."""

_HEAD = Struct(">IB")  # length of what follows, type


@dataclass(slots=True)
class Head:
    """
    A frame, or its beginning.

    :ivar raw: its bytes, its length field included.
    :ivar length: of the whole frame, its length field included.
    """

    kind: int
    raw: bytes
    length: int

    def fields(self) -> Reader:
        """Behind the type."""
        return Reader(self.raw, 5)


@dataclass(slots=True)
class Came:
    """
    What is to be taken of one direction, in two parts.

    :ivar before: what came earlier and was not taken yet.
    :ivar total: bytes of all of it. :ivar last: of the last message.
    """

    before: bytes
    total: int
    last: int

    def passed(self, count: int, behind: int) -> bool:
        """Whether all of it passed but `behind` bytes of its last message, when `count` bytes have passed unchanged."""
        return count == self.total - behind and behind < self.last


class Frames:
    """
    One direction's bytes to heads and what follows them.

    :ivar passing: bytes of the frame at hand, behind its head, that have not come or were not taken.
    """

    def __init__(self, requests: bool) -> None:
        """:param requests: whether this is the client's direction."""
        self._requests = requests
        self._data: bytes | memoryview = b""
        self._at = self.passing = 0

    def came(self, bodies: Sequence[bytes | memoryview]) -> Came:
        """With these, which are to be fed."""
        before = bytes(self._data[self._at:])
        return Came(before, len(before) + sum(map(len, bodies)), len(bodies[-1]))

    def feed(self, data: bytes | memoryview) -> None:
        self._data = b"".join((self._data[self._at:], data)) if self._at < len(self._data) else data
        self._at = 0

    @property
    def between(self) -> bool:
        """Whether every frame whose head was taken has passed whole."""
        return not self.passing

    @property
    def behind(self) -> int:
        """Bytes that were fed and not taken."""
        return len(self._data) - self._at

    def left(self) -> bytes:
        """What was fed and not taken; it is taken now."""
        data, self._data = bytes(self._data[self._at:]), b""
        self._at = 0
        return data

    def next(self) -> Head | bytes | memoryview | None:
        """
        The head of the next frame, bytes behind the last one's, or None until more comes.

        :raises Unreadable: a frame too long, or none.
        """
        have = len(self._data) - self._at
        if self.passing and have:
            count = min(self.passing, have)
            self.passing -= count
            return self._take(count)
        if have < _HEAD.size:
            if not have:
                self._data, self._at = b"", 0  # a view would keep a whole message
            return None
        length, kind = _HEAD.unpack_from(self._data, self._at)
        if not 1 <= length <= FRAME_LIMIT:
            raise Unreadable("a frame of SFTP with a length that none has")
        wanted = 4 + self._looked_at(kind, length)
        if have < wanted:
            return None
        self.passing = 4 + length - wanted
        return Head(kind, bytes(self._take(wanted)), 4 + length)

    def _looked_at(self, kind: int, length: int) -> int:
        if not self._requests:
            return min(length, _ANSWER_HEADS.get(kind, 5))
        if kind == WRITE:
            return min(length, _WRITE_HEAD)
        if length > REQUEST_LIMIT:
            raise Unreadable("a request of SFTP that is too long")
        return length

    def _take(self, count: int) -> bytes | memoryview:
        at = self._at
        self._at += count
        return self._data[at:self._at]


def status(request: int, code: int, text: str) -> bytes:
    """A STATUS frame."""
    body = bytes([STATUS]) + u32(request) + u32(code) + string(text.encode()) + string(b"")
    return u32(len(body)) + body


def attributes(fields: Reader) -> tuple[tuple[str, int], ...]:
    """
    ATTRS by name (draft, 5), those that are there.

    :raises Unreadable: flags of another version.
    """
    flags = fields.u32()
    if flags & ~0x8000000F:
        raise Unreadable("attributes of another version of SFTP")
    found: list[tuple[str, int]] = []
    if flags & 1:
        found.append(("size", fields.u32() << 32 | fields.u32()))
    for bit, names in ((2, ("owner", "group")), (4, ("mode",)), (8, ("accessed", "modified"))):
        if flags & bit:
            found += [(name, fields.u32()) for name in names]
    if flags & 0x80000000:
        for _ in range(fields.u32()):
            fields.string(), fields.string()
    return tuple(found)
