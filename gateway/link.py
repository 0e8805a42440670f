"""
One framing for every UNIX socket between our processes: u32 length, then one msgpack array.

AMP's values end at 64 KiB, which a statement's text may exceed; this does not. The
array's first element names the operation. Who may connect is checked here too, by
SO_PEERCRED: the file mode of a socket is not a check that an auditor can see.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any

import msgpack
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

_LENGTH = Struct("!I")  # bytes of msgpack that follow
_PEERCRED = Struct("=iII")  # pid, uid, gid; host order, from the kernel (unix(7), SO_PEERCRED)

_pack = msgpack.Packer(use_bin_type=True).pack

FRAME_LIMIT = 16 << 20
"""Bytes. A batch of records is at most 8 MiB; twice that leaves room and still bounds a broken peer."""


def pack(frame: Sequence[Any]) -> bytes:
    """One frame as it travels."""
    body = _pack(frame)
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a frame of {len(body)} bytes is over the limit")
    return _LENGTH.pack(len(body)) + body


def peer_credentials(connection: socket.socket) -> tuple[int, int, int]:
    """(pid, uid, gid) of the process at the other end of a UNIX socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    pid, uid, gid = _PEERCRED.unpack(raw)
    return pid, uid, gid


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
        if not self._buffer and len(data) > _LENGTH.size and _LENGTH.unpack_from(data)[0] == len(data) - _LENGTH.size:
            self.frame_received(msgpack.unpackb(data[_LENGTH.size :], raw=False, strict_map_key=False))  # one, whole
            return
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > FRAME_LIMIT:
                self.transport.abortConnection()
                return
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[start + _LENGTH.size : end])
            start = end
            self.frame_received(msgpack.unpackb(body, raw=False, strict_map_key=False))
        if start:
            del self._buffer[:start]

    def frame_received(self, frame: list[Any]) -> None:
        """One whole array came."""
        raise NotImplementedError
