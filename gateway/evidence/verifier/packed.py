"""msgpack, the subset that records use; and how a bundle's files hold many things."""

from __future__ import annotations

import struct
from typing import Any, Dict, Iterator, Tuple

from gateway.evidence.verifier.fault import Tampered, require


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        end = self.place + count
        require(end <= len(self.data), "a record ends in the middle of a value")
        taken = self.data[self.place:end]
        self.place = end
        return taken

    def number(self, count: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(count), "big", signed=signed)

    def value(self) -> Any:
        tag = self.take(1)[0]
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 256
        if tag < 0x90:
            return self.mapping(tag & 15)
        if tag < 0xA0:
            return [self.value() for _ in range(tag & 15)]
        if tag < 0xC0:
            return self.take(tag & 31).decode()
        if tag in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
        if 0xC4 <= tag <= 0xC6:
            return self.take(self.number(1 << tag - 0xC4))
        if 0xCC <= tag <= 0xCF:
            return self.number(1 << tag - 0xCC)
        if 0xD0 <= tag <= 0xD3:
            return self.number(1 << tag - 0xD0, signed=True)
        if 0xD9 <= tag <= 0xDB:
            return self.take(self.number(1 << tag - 0xD9)).decode()
        if tag in (0xDC, 0xDD):
            return [self.value() for _ in range(self.number(2 << tag - 0xDC))]
        if tag in (0xDE, 0xDF):
            return self.mapping(self.number(2 << tag - 0xDE))
        raise Tampered("a record holds a value of a type that records never hold")

    def mapping(self, count: int) -> Dict[Any, Any]:
        return {self.value(): self.value() for _ in range(count)}


def unpack(data: bytes) -> Any:
    reader = Reader(data)
    value = reader.value()
    require(reader.place == len(data), "bytes follow a record's end")
    return value


def framed(data: bytes) -> Iterator[bytes]:
    """u32 length, bytes; again and again."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("!I", data, place)
        require(place + 4 + length <= len(data), "a file ends in the middle of an entry")
        yield data[place + 4:place + 4 + length]
        place += 4 + length


def framed_by_index(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """u64 index, u32 length, bytes; indexes rise."""
    place, last = 0, -1
    while place < len(data):
        index, length = struct.unpack_from("!QI", data, place)
        place += 12 + length
        require(place <= len(data) and index > last, "a file's entries are cut or out of order")
        yield index, data[place - length:place]
        last = index
