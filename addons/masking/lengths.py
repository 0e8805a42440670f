"""
A row, or a function's result, that comes in pieces, to the same bytes without the lengths of its values.

A length's last byte may look like a letter right before a value, or its first like one right behind: looked at as it is,
the value would seem to be part of something longer.

Source: PostgreSQL 18 manual, 54.7 "Message Formats", DataRow and FunctionCallResponse.
"""

from __future__ import annotations

from struct import Struct

_SIZE = Struct("!i")  # bytes of a value; -1 is NULL


class Lengths:
    """:param ahead: bytes in front of the first length."""

    def __init__(self, ahead: int) -> None:
        self._clear = ahead  # bytes to come that are no length
        self._length = b""  # what has come of one

    def blanked(self, piece: bytes) -> bytes:
        """As long as the piece: zeros where it has lengths."""
        out, at = bytearray(piece), 0
        while at < len(piece):
            if not self._clear:
                part = piece[at:at + _SIZE.size - len(self._length)]
                out[at:at + len(part)] = bytes(len(part))
                at += len(part)
                self._took(part)
            step = min(self._clear, len(piece) - at)
            at, self._clear = at + step, self._clear - step
        return bytes(out)

    def _took(self, part: bytes) -> None:
        self._length += part
        if len(self._length) == _SIZE.size:
            self._clear = max(0, _SIZE.unpack(self._length)[0])
            self._length = b""
