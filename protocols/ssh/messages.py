"""
Connection-layer messages (RFC 4254, 5 to 7; OpenSSH PROTOCOL 2): payload bytes to values and back.

A length that does not fit its message raises Unreadable; so do bytes left over where
the message's form is known. Reading copies nothing of DATA but its one string.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TypeVar

GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = 80, 81, 82
OPEN, OPEN_CONFIRMATION, OPEN_FAILURE = 90, 91, 92
WINDOW_ADJUST, DATA, EXTENDED_DATA, EOF, CLOSE = 93, 94, 95, 96, 97
CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_FAILURE = 98, 99, 100

STDERR = 1
ADMINISTRATIVELY_PROHIBITED, CONNECT_FAILED, UNKNOWN_TYPE, RESOURCE_SHORTAGE = 1, 2, 3, 4
PORT_LIMIT = 65535

DATA_AT = 9
"""Where the bytes of a DATA begin: behind type, channel and their length."""

NAME_LIMIT = 256
"""Longest request or channel name taken; the longest in use is about 40."""

Bytes = TypeVar("Bytes", bytes, memoryview)

_U32 = Struct(">I")
_HEAD = Struct(">BI")


class Unreadable(Exception):
    """A payload that is not the message it claims to be. Its text never quotes what was sent."""


class Reader:
    """Fields of one payload, in order (RFC 4251, 5)."""

    __slots__ = ("_data", "_at")

    def __init__(self, data: bytes, at: int = 1) -> None:
        self._data, self._at = data, at

    @property
    def more(self) -> bool:
        """Whether there is another field."""
        return self._at < len(self._data)

    def u32(self) -> int:
        end = self._at + 4
        if end > len(self._data):
            raise Unreadable("a number is cut short")
        value: int = _U32.unpack_from(self._data, self._at)[0]
        self._at = end
        return value

    def flag(self) -> bool:
        if self._at >= len(self._data):
            raise Unreadable("a boolean is missing")
        self._at += 1
        return self._data[self._at - 1] != 0

    def string(self, limit: int | None = None) -> bytes:
        length = self.u32()
        start, end = self._at, self._at + length
        if end > len(self._data) or (limit is not None and length > limit):
            raise Unreadable("a string is longer than its message or its limit")
        self._at = end
        return self._data[start:end]

    def name(self) -> str:
        """Printable ASCII (RFC 4250, 4.6.1)."""
        raw = self.string(NAME_LIMIT)
        if not all(0x21 <= byte <= 0x7E for byte in raw):
            raise Unreadable("a name holds other than printable ASCII")
        return raw.decode("ascii")

    def rest(self) -> bytes:
        start, self._at = self._at, len(self._data)
        return self._data[start:]

    def end(self) -> None:
        if self._at != len(self._data):
            raise Unreadable("bytes are left over behind the last field")


def u32(value: int) -> bytes:
    return _U32.pack(value)


def string(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data


@dataclass(frozen=True, slots=True)
class Open:
    """CHANNEL_OPEN (RFC 4254, 5.1)."""

    kind: str
    sender: int
    window: int
    packet: int
    details: bytes = b""

    @classmethod
    def read(cls, payload: bytes) -> Open:
        fields = Reader(payload)
        return cls(fields.name(), fields.u32(), fields.u32(), fields.u32(), fields.rest())

    def write(self) -> bytes:
        numbers = u32(self.sender) + u32(self.window) + u32(self.packet)
        return bytes([OPEN]) + string(self.kind.encode("ascii")) + numbers + self.details


@dataclass(frozen=True, slots=True)
class Confirmation:
    """CHANNEL_OPEN_CONFIRMATION."""

    recipient: int
    sender: int
    window: int
    packet: int
    details: bytes = b""

    @classmethod
    def read(cls, payload: bytes) -> Confirmation:
        fields = Reader(payload)
        return cls(fields.u32(), fields.u32(), fields.u32(), fields.u32(), fields.rest())

    def write(self) -> bytes:
        numbers = (self.recipient, self.sender, self.window, self.packet)
        return bytes([OPEN_CONFIRMATION]) + b"".join(map(u32, numbers)) + self.details


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """CHANNEL_REQUEST (RFC 4254, 5.4)."""

    recipient: int
    kind: str
    reply: bool
    details: bytes = b""

    @classmethod
    def read(cls, payload: bytes) -> ChannelRequest:
        fields = Reader(payload)
        return cls(fields.u32(), fields.name(), fields.flag(), fields.rest())

    def write(self) -> bytes:
        head = _HEAD.pack(CHANNEL_REQUEST, self.recipient)
        return head + string(self.kind.encode("ascii")) + bytes([self.reply]) + self.details


@dataclass(frozen=True, slots=True)
class GlobalRequest:
    """GLOBAL_REQUEST (RFC 4254, 4)."""

    kind: str
    reply: bool
    details: bytes = b""

    @classmethod
    def read(cls, payload: bytes) -> GlobalRequest:
        fields = Reader(payload)
        return cls(fields.name(), fields.flag(), fields.rest())

    def write(self) -> bytes:
        return bytes([GLOBAL_REQUEST]) + string(self.kind.encode("ascii")) + bytes([self.reply]) + self.details


def recipient(payload: bytes | memoryview) -> int:
    """The channel that any message from 91 to 100 is for."""
    if len(payload) < 5:
        raise Unreadable("a number is cut short")
    number: int = _U32.unpack_from(payload, 1)[0]
    return number


def addressed(payload: Bytes, number: int) -> Bytes:
    """The same message for the channel that the other leg numbers so: itself, where both have the same number."""
    if len(payload) >= _HEAD.size and _U32.unpack_from(payload, 1)[0] == number:
        return payload
    return b"".join((_HEAD.pack(payload[0], number), memoryview(payload)[5:]))


def data_at(payload: bytes | memoryview) -> tuple[int, int]:
    """The stream (0, or an extended data type) of DATA or EXTENDED_DATA, and where its bytes begin, which go to the end."""
    stream, at = 0, DATA_AT
    if payload[0] == EXTENDED_DATA:
        if len(payload) < 9:
            raise Unreadable("a number is cut short")
        stream, at = _U32.unpack_from(payload, 5)[0], 13
    if len(payload) < at:
        raise Unreadable("a number is cut short")
    length = _U32.unpack_from(payload, at - 4)[0]
    if at + length > len(payload):
        raise Unreadable("a string is longer than its message or its limit")
    if at + length < len(payload):
        raise Unreadable("bytes are left over behind the last field")
    return stream, at


def read_data(payload: bytes) -> tuple[int, bytes]:
    """As `data_at`, with the bytes."""
    stream, at = data_at(payload)
    return stream, payload[at:]


def write_data(number: int, data: bytes | memoryview, stream: int = 0) -> bytes:
    head = _HEAD.pack(EXTENDED_DATA, number) + u32(stream) if stream else _HEAD.pack(DATA, number)
    return b"".join((head, u32(len(data)), data))


def read_adjust(payload: bytes | memoryview) -> int:
    fields = Reader(payload, 5)
    count = fields.u32()
    fields.end()
    return count


def write_adjust(number: int, count: int) -> bytes:
    return _HEAD.pack(WINDOW_ADJUST, number) + u32(count)


def write_bare(kind: int, number: int) -> bytes:
    """EOF, CLOSE, CHANNEL_SUCCESS or CHANNEL_FAILURE."""
    return _HEAD.pack(kind, number)


def write_open_failure(number: int, code: int, text: str) -> bytes:
    return _HEAD.pack(OPEN_FAILURE, number) + u32(code) + string(text.encode()) + string(b"")
