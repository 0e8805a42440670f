"""
One TCP connection of a session, in clear or under TLS, as one descriptor of any Twisted reactor.

Takes over what Twisted accepted or dialled, before a byte of it is read, and is an ITCPTransport from then on, the same
before and behind `start_tls`. A write is tried at once, and only what the kernel does not take is queued. TLS is the
standard library's, straight on the socket: no buffer between them that an idle session would keep, and no copy.

What OpenSSL forces: a record is at most 16 KiB, read whole and written whole; a write that could not be finished is tried
again with the same bytes in front; reading may have to wait for room to write. Nothing decrypted stays behind when
`doRead` returns, since no reactor would tell of it.

What it knows of Twisted's inside: FileDescriptor's two buffers and `_postLoseConnection` (internet/abstract.py), and what
Connection does when it is lost (internet/tcp.py).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol as Shape

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHandshakeListener, IProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

TLS_HANDSHAKE = b"\x16"
"""ContentType handshake (RFC 8446, section 5.1): how a client begins that speaks TLS without asking."""

RECORD = 16 << 10
"""Bytes of the largest TLS record (RFC 8446, section 5.1)."""

PIECE = 64 << 10
"""Bytes that OpenSSL is given at once; it makes records of them."""

ROOM = 512 << 10
"""Bytes that one read may bring: what a fast target sends while we handle its last ones."""

LENT = 256 << 10
"""As `ROOM`, of a read that is lent: others wait while it is handled. Half of it costs a tenth more per byte."""

_ONE_OF_MANY = 4096  # bytes; behind a smaller record there is seldom another

_MUCH = 64 << 10  # bytes that are not copied if it can be helped; behind a read of so many, room for the next is taken before its size is known

_ROOM = memoryview(bytearray(ROOM))  # for the process: what is read is lent, or copied out before anybody is told


class Side(Shape):
    """Which end of a TLS connection we are, and with what certificates; see `gateway.tls`."""

    def wrap(self, plain: socket.socket) -> ssl.SSLSocket:
        """The same socket under TLS, the handshake not begun."""


def write_eagerly(transport: Any, data: bytes | memoryview, usually: Callable[[bytes], None]) -> None:
    """
    Send what the kernel takes now; the rest, and any error, goes the usual way and is met and told there. Of a view,
    whose bytes may change when this returns, the rest is copied.
    """
    waits = transport._tempDataBuffer or len(transport.dataBuffer) != transport.offset
    if waits or not data or not transport.connected or transport._writeDisconnected or transport.disconnecting:
        usually(bytes(data))
        return
    sent = transport.writeSomeData(data)
    if not isinstance(sent, int) or sent < 0:
        usually(bytes(data))
    elif type(data) is bytes and len(data) - sent > _MUCH:  # as `usually` does with a copy of the rest
        transport.dataBuffer, transport.offset = data, sent
        transport._maybePauseProducer()
        transport.startWriting()
    elif sent < len(data):
        usually(bytes(data[sent:]))


class Line(Connection):
    """
    See the module. A protocol that is an IHandshakeListener hears when TLS is spoken; what was written meanwhile leaves then.

    A handshake that fails ends in `connectionLost` with the ssl.SSLError; TLS that was cut off, with ConnectionLost.
    """

    logstr = "session"
    _looks = _lends = _shaking = _secure = _read_waits = _leaving = _parted = _paused = _much = False
    _before: bytes | None = None  # what a read that is lent comes behind
    _ended: Exception | None = None  # it came with bytes that made the protocol pause

    @classmethod
    def over(cls, transport: Any, protocol: IProtocol, *, looks: bool = False, lends: bool = False) -> Line:
        """
        Take over a Twisted TCP transport in `makeConnection`; it is never heard of again.

        :param looks: if the first byte is TLS_HANDSHAKE, tell the protocol of it and leave it in the kernel, so that
            `start_tls` finds the whole handshake.
        :param lends: what is read in clear is lent to the protocol: a view, whose bytes are others' when `dataReceived` returns.
        """
        transport.stopReading()
        line = cls(transport.getHandle(), protocol, transport.reactor)
        line._looks, line._lends = looks, lends
        line.connected = 1
        line.startReading()
        return line

    # -- as ITCPTransport ------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> None:
        """As ITransport; nothing is kept of a view."""
        if self._shaking:
            super().write(bytes(data))
        else:
            write_eagerly(self, data, super().write)

    def loseConnection(self, *_: Any) -> None:
        if not self._shaking:
            super().loseConnection()
        elif self._tempDataBuffer:
            self._leaving = True
        else:
            self.abortConnection()

    def pauseProducing(self) -> None:
        self._paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._ended is None:
            super().resumeProducing()
        elif self.connected:
            self._failed(self._ended)

    def wait_for(self, least: int) -> None:
        """The next read is one of so many bytes at least, as they travel, or of the last ones; 1 for whatever comes."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
        except OSError:  # gone already
            pass

    def lend(self, before: bytes | memoryview) -> None:
        """
        The next read is lent to the protocol, with these bytes before it: a view, whose bytes are others' when `dataReceived`
        returns.
        """
        if self._before is not None or len(before) > ROOM - LENT:
            raise AssertionError("what was to be shown again would be lost")
        self._before = bytes(before)

    def getPeer(self) -> IPv4Address | IPv6Address:
        return _address(self.socket.getpeername())

    def getHost(self) -> IPv4Address | IPv6Address:
        return _address(self.socket.getsockname())

    # -- TLS -------------------------------------------------------------------------------

    def start_tls(self, side: Side) -> None:
        """From here on TLS. What was written before must have left; one byte always has."""
        if self._tempDataBuffer or len(self.dataBuffer) != self.offset:
            self.abortConnection()
            return
        try:
            self.socket = side.wrap(self.socket)
        except (OSError, ValueError):  # gone already
            self.abortConnection()
            return
        self.fileno = self.socket.fileno
        self._secure = self._shaking = True
        self._looks = False
        if not self.socket.server_side:
            self._failed(self._shake())

    @property
    def tls_version(self) -> str:
        """Such as "TLSv1.3"; "" in clear."""
        return self.socket.version() or "" if self._secure else ""

    @property
    def alpn(self) -> bytes | None:
        """The protocol that both sides agreed on, behind the handshake."""
        chosen = self.socket.selected_alpn_protocol() if self._secure else None
        return chosen.encode() if chosen is not None else None

    def _shake(self) -> Exception | None:
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            self.stopWriting()
            return None
        except ssl.SSLWantWriteError:
            super().startWriting()
            return None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return CONNECTION_LOST
        except ssl.SSLError as error:
            return error
        except (OSError, ValueError):
            return CONNECTION_LOST
        self._shaking = False
        self.stopWriting()
        if IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()
        if self._tempDataBuffer:
            self.startWriting()
        if self._leaving:
            self.loseConnection()
        return None

    def _failed(self, why: Exception | None) -> None:
        """Told outside of the reactor's own calls."""
        if why is not None:
            self.stopReading()
            self.stopWriting()
            self.reactor.callLater(0, self.connectionLost, Failure(why))

    # -- as IReadDescriptor and IWriteDescriptor -------------------------------------------------

    def doRead(self) -> Exception | None:
        if self._parted:
            return self._wait_for_end()
        if self._secure:
            return self._shake() if self._shaking else self._read_tls()
        if self._looks and self._looked():
            return None
        if self._lends or self._before is not None:
            return self._lend()
        try:
            data = self.socket.recv(ROOM) if self._much else bytes(_ROOM[: self.socket.recv_into(_ROOM)])
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self._much = len(data) >= _MUCH
        self.protocol.dataReceived(data)
        return None

    def _lend(self) -> Exception | None:
        begin = len(before) if (before := self._before) else 0
        try:
            count = self.socket.recv_into(_ROOM[begin:], 0 if before is not None else LENT)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not count:
            return CONNECTION_DONE
        self._show(begin, begin + count)
        return None

    def _show(self, begin: int, end: int) -> None:
        """Lend what was read there, behind what is to come before it."""
        if begin:
            _ROOM[:begin] = self._before
        self._before = None
        self.protocol.dataReceived(_ROOM[:end])

    def _looked(self) -> bool:
        """Whether the connection begins with TLS, and the protocol has been told."""
        self._looks = False
        try:
            first = self.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return False  # and whoever reads meets it again
        if first != TLS_HANDSHAKE:
            return False
        self.protocol.dataReceived(first)
        return True

    def _read_tls(self) -> Exception | None:
        lends = self._before is not None
        begin = len(self._before) if lends else 0
        count, why = begin, None
        try:
            while count <= ROOM - RECORD:  # with room for a record none is left half read
                got = self.socket.recv_into(_ROOM[count:])
                count += got
                if got < _ONE_OF_MANY:
                    why = None if got else CONNECTION_DONE
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:
            self._read_waits = True
            self.startWriting()
        except OSError:
            why = CONNECTION_LOST
        if count > begin:
            if lends:
                self._show(begin, count)
            else:
                self.protocol.dataReceived(bytes(_ROOM[:count]))
            if why is not None and self._paused:
                why, self._ended = None, why
        return why if self.connected else None

    def doWrite(self) -> Exception | int | None:
        if self._shaking:
            return self._shake()
        if self._read_waits:
            self._read_waits = False
            why = self._read_tls()
            if why is not None or not self.connected:
                return why
        return super().doWrite()

    def startWriting(self) -> None:
        if not self._shaking:  # then the handshake alone says when to write
            super().startWriting()

    def writeSomeData(self, data: bytes | memoryview) -> int | Exception:
        try:
            return self._write_tls(data) if self._secure else self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return CONNECTION_LOST

    def _write_tls(self, data: bytes | memoryview) -> int:
        """
        A few records at a time, until all has left or the kernel takes no more. Then some of the piece may have left: OpenSSL
        knows, and wants it again, with at least as much behind it.
        """
        view, sent = memoryview(data), 0
        try:
            while sent < len(view):
                sent += self.socket.send(view[sent : sent + PIECE])
        except ssl.SSLWantWriteError:
            pass
        return sent

    # -- the end -----------------------------------------------------------------------------

    def _closeWriteConnection(self) -> None:
        """The socket's own, also under TLS: as from a peer that is gone, and what comes is read on."""
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
        except OSError:
            pass  # gone already, and whoever reads meets it

    def _postLoseConnection(self) -> Exception | None:
        """All has left. Under TLS that is said, and the peer's end awaited: closing on its bytes would destroy our last ones."""
        if not self._secure:
            return CONNECTION_DONE
        try:
            self.socket.unwrap()
        except ssl.SSLWantWriteError:
            self.startWriting()
            return None
        except ssl.SSLError:
            pass  # ours is said: theirs has not come, or what came instead is not wanted any more
        except (OSError, ValueError):
            return CONNECTION_DONE
        self._parted = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return CONNECTION_DONE
        self.startReading()
        return None

    def _wait_for_end(self) -> Exception | None:
        try:
            more = self.socket.recv(RECORD)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_DONE
        return None if more else CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        if self._secure and not self._shaking and not self._parted and not reason.check(ConnectionAborted):
            try:
                self.socket.unwrap()  # says the end, and waits for nothing
            except (OSError, ValueError, AttributeError):
                pass  # no matter: it is lost
        super().connectionLost(reason)


def _address(found: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in found[0] else IPv4Address)("TCP", found[0], found[1])

