"""
The frames of `gateway.frame` on a Twisted transport.
"""

from __future__ import annotations

from typing import Any

import msgpack
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from gateway.frame import FRAME_LIMIT, LENGTH, pack


class Link(Protocol):
    """Frames in, frames out. Subclass and write `frame_received`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.connected_now = False

    def connectionMade(self) -> None:
        self.connected_now = True

    def connectionLost(self, reason: Failure) -> None:
        self.connected_now = False

    def send(self, *frame: Any) -> None:
        """Send one array. The transport buffers; callers bound what they have outstanding."""
        self.transport.write(pack(frame))

    def dataReceived(self, data: bytes) -> None:
        if not self._buffer and len(data) > LENGTH.size and LENGTH.unpack_from(data)[0] == len(data) - LENGTH.size:
            self.frame_received(msgpack.unpackb(data[LENGTH.size :], raw=False, strict_map_key=False))  # one, whole
            return
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, start)
            if length > FRAME_LIMIT:
                self.transport.abortConnection()
                return
            end = start + LENGTH.size + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[start + LENGTH.size : end])
            start = end
            self.frame_received(msgpack.unpackb(body, raw=False, strict_map_key=False))
        if start:
            del self._buffer[:start]

    def frame_received(self, frame: list[Any]) -> None:
        """One whole array came."""
        raise NotImplementedError
