"""
A client that says what it likes: raw bytes on a socket, before login or, with a real driver's login, after it.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct

import psycopg

from tests.house import BENCH, House

PATIENCE = 30.0  # seconds
_HEAD = Struct("!cI")  # tag, length, which counts itself
_SSL = Struct("!II")  # length, code
SSL_REQUEST = _SSL.pack(8, 80877103)
GSS_REQUEST = _SSL.pack(8, 80877104)


def message(tag: bytes, body: bytes = b"") -> bytes:
    return _HEAD.pack(tag, len(body) + 4) + body


def promise(tag: bytes, length: int, body: bytes = b"") -> bytes:
    """A message that says another length than it has."""
    return _HEAD.pack(tag, length & 0xFFFFFFFF) + body


def startup(parameters: bytes, code: int = 196608) -> bytes:
    return _SSL.pack(len(parameters) + 8, code) + parameters


def query(text: str | bytes) -> bytes:
    return message(b"Q", (text if isinstance(text, bytes) else text.encode()) + b"\0")


SYNC = message(b"S")


class Rough:
    """
    One connection.

    :param logged_in: a driver has shown a token first.
    """

    def __init__(self, house: House, logged_in: bool = False, **facts: object) -> None:
        self._driver: psycopg.Connection | None = None
        if logged_in:
            self._driver = house.connect(BENCH, **facts)
            self.socket: socket.socket = socket.socket(fileno=_own(self._driver.fileno()))
            self.socket.setblocking(True)
        else:
            self.socket = socket.create_connection(("127.0.0.1", house.port), timeout=PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.peer = "{}:{}".format(*self.socket.getsockname())

    def say(self, data: bytes) -> None:
        """It may have been turned out already."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def secure(self) -> None:
        """TLS from here on; nobody's certificate is asked for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def done(self) -> None:
        """Nothing more will be said."""
        with suppress(OSError):  # it was turned out already
            self.socket.shutdown(socket.SHUT_WR)

    def rest(self) -> bytes:
        """All it is told until the other side ends it."""
        told = bytearray()
        try:
            while data := self.socket.recv(1 << 16):
                told += data
        except (ConnectionResetError, ssl.SSLError):
            pass
        return bytes(told)

    def told(self, end: bytes = b"Z", times: int = 1) -> list[tuple[bytes, bytes]]:
        """Messages up to the nth of a kind, or the end of the connection."""
        heard = []
        for tag, body in self._messages():
            heard.append((tag, body))
            times -= tag == end
            if not times:
                break
        return heard

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        while head := self._exactly(_HEAD.size):
            tag, length = _HEAD.unpack(head)
            yield tag, self._exactly(length - 4)

    def _exactly(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            try:
                data = self.socket.recv(min(count - len(got), 1 << 20))
            except ConnectionResetError:
                data = b""
            if not data:
                return b""
            got += data
        return bytes(got)

    def exchange(self, data: bytes, end: bytes = b"Z", times: int = 1) -> list[tuple[bytes, bytes]]:
        """Say much and listen at the same time, as nobody's buffer is large enough."""
        self.socket.settimeout(None)
        self.socket.setblocking(False)
        view, got, heard = memoryview(data), bytearray(), []
        while times > 0:
            readable, writable, _ = select.select([self.socket], [self.socket] if view else [], [], PATIENCE)
            assert readable or writable, "neither side says anything"
            if writable:
                view = view[self.socket.send(view[: 1 << 16]):]
            if readable:
                data = self.socket.recv(1 << 18)
                if not data:
                    break
                got += data
                times -= _take(got, heard, end)
        self.socket.settimeout(PATIENCE)
        return heard

    def close(self) -> None:
        self.socket.close()
        if self._driver is not None:
            self._driver.close()


def _take(got: bytearray, heard: list[tuple[bytes, bytes]], end: bytes) -> int:
    """Whole messages off the buffer; how many were of that kind."""
    at = ends = 0
    while len(got) - at >= _HEAD.size:
        tag, length = _HEAD.unpack_from(got, at)
        if len(got) - at < length + 1:
            break
        heard.append((tag, bytes(got[at + 5 : at + 1 + length])))
        ends += tag == end
        at += length + 1
    del got[:at]
    return ends


def _own(descriptor: int) -> int:
    return socket.dup(descriptor)


def code(heard: list[tuple[bytes, bytes]]) -> str:
    """The first error's SQLSTATE; "" for none."""
    for tag, body in heard:
        if tag == b"E":
            return next((field[1:].decode() for field in body.split(b"\0") if field[:1] == b"C"), "")
    return ""
