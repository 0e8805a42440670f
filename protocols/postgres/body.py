"""
The inside of one frame, read field by field; every read is checked against the end.

Source: PostgreSQL 18 manual, 54.6 "Message Data Types".
"""

from __future__ import annotations

from struct import Struct

from protocols.errors import LocalError, PeerError
from protocols.postgres.names import SURELY, too_long

_U16 = Struct("!H")  # a count, a format code, an attribute number
_U32 = Struct("!I")  # an OID, a process id, a protocol version
_I32 = Struct("!i")  # a length where -1 is NULL, a row limit, a type modifier
_unpack_length, _unpack_u16 = _I32.unpack_from, _U16.unpack_from


class NotText(PeerError):
    """Bytes that are no text in the encoding in force. A server would answer 22021 and go on."""


class LongName(PeerError):
    """A name that a server would cut, so that it would mean another's."""


class Body:
    """A reader over one frame's body."""

    __slots__ = ("_data", "_at", "_what", "_codec")

    def __init__(self, data: bytes, what: str, codec: str = "utf-8") -> None:
        """
        :param codec: Python's name of the encoding that `text` reads; always a superset of ASCII.
        """
        self._data, self._at, self._what, self._codec = data, 0, what, codec

    def take(self, length: int) -> bytes:
        """Exactly so many bytes."""
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise self.wrong(f"{length} bytes are due, {len(self._data) - self._at} are there")
        piece, self._at = self._data[self._at : end], end
        return piece

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        at = self._at
        if at + 2 > len(self._data):
            self.take(2)  # says what is wrong
        self._at = at + 2
        return _unpack_u16(self._data, at)[0]

    def i16(self) -> int:
        value = self.u16()
        return value - 0x10000 if value & 0x8000 else value

    def u32(self) -> int:
        return _U32.unpack(self.take(4))[0]

    def i32(self) -> int:
        return _I32.unpack(self.take(4))[0]

    def raw(self) -> bytes:
        """A String's bytes; the NUL behind it is dropped."""
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise self.wrong("a string does not end")
        piece, self._at = self._data[self._at : end], end + 1
        return piece

    def text(self) -> str:
        """A String in the encoding in force."""
        at = self._at
        end = self._data.find(b"\0", at)
        if end < 0:
            raise self.wrong("a string does not end")
        self._at = end + 1
        try:
            return self._data[at:end].decode(self._codec)
        except UnicodeDecodeError:
            raise NotText(f"{self._what}: a string is not {self._codec}", offset=at) from None

    def name(self) -> str:
        """
        As `text`, of a prepared statement or a portal.

        :raises LongName: it is too long.
        """
        at = self._at
        name = self.text()
        if len(name) > SURELY and too_long(name):
            raise LongName(f"{self._what}: a name of {len(name)} characters", offset=at)
        return name

    def value(self) -> bytes | None:
        """A length and so many bytes; None for SQL NULL."""
        length = self.i32()
        return None if length == -1 else self.take(length)

    def values(self) -> tuple[bytes | None, ...]:
        """A count and so many values."""
        count, data, at, size, found = self.u16(), self._data, self._at, len(self._data), []
        for _ in range(count):
            if at + 4 > size:
                self._at = at
                raise self.wrong(f"4 bytes are due, {size - at} are there")
            (length,) = _unpack_length(data, at)
            at += 4
            if length == -1:
                found.append(None)
                continue
            if length < 0 or at + length > size:
                self._at = at
                raise self.wrong(f"{length} bytes are due, {size - at} are there")
            found.append(data[at : at + length])
            at += length
        self._at = at
        return tuple(found)

    def format(self) -> int:
        """A format code: 0 text, 1 binary."""
        code = self.u16()
        if code > 1:
            raise self.wrong(f"format code {code}")
        return code

    def formats(self) -> tuple[int, ...]:
        """A count and so many format codes."""
        count = self.u16()
        return tuple([self.format() for _ in range(count)]) if count else ()

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise self.wrong(f"{self.left} bytes too many")

    def wrong(self, why: str) -> PeerError:
        """The error to raise, naming the message and where."""
        return PeerError(f"{self._what}: {why}", offset=self._at)


def u8(number: int) -> bytes:
    return bytes((number,))


def u16(number: int) -> bytes:
    if not 0 <= number <= 0xFFFF:
        raise LocalError(f"{number} does not fit a 16-bit field")
    return _U16.pack(number)


def u32(number: int) -> bytes:
    return _U32.pack(number & 0xFFFFFFFF)


def string(text: str | bytes, codec: str = "utf-8") -> bytes:
    """
    A String; a NUL inside would start another field.

    :raises LocalError: there is such a NUL, or a character that another encoding than UTF-8 does not have.
    """
    try:
        raw = text.encode(codec, "replace" if codec == "utf-8" else "strict") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise LocalError(f"a string to send cannot be written in {codec}") from None
    if b"\0" in raw:
        raise LocalError("a string to send holds a NUL")
    return raw + b"\0"


def value(content: bytes | None) -> bytes:
    """A length and the bytes; -1 for None."""
    return b"\xff\xff\xff\xff" if content is None else _U32.pack(len(content)) + content


def values(contents: tuple[bytes | None, ...]) -> bytes:
    return u16(len(contents)) + b"".join(map(value, contents))


def formats(codes: tuple[int, ...]) -> bytes:
    return u16(len(codes)) + b"".join(map(u16, codes))
