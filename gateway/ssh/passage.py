"""
A channel as a transport: what is in a way of a client's, for the SSH connection that the gateway answers in it.

As ITransport and IConsumer, as far as a `Leg` uses them. What its reader does not take stays in the window of its client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

HIGH = 256 << 10
"""Bytes that wait for the client's window until whoever writes is told to pause."""


class Passage:
    """
    :ivar disconnecting: as Twisted's transports have it.
    """

    disconnecting = False

    def __init__(self, clock: IReactorTime, *, send: Callable[[memoryview], int], took: Callable[[int], None], end: Callable[[], None]) -> None:
        """
        :param send: sends as much of this as it may now, and says how much that was.
        :param took: so many bytes that came have been read.
        :param end: says goodbye on the channel; nothing is sent behind it.
        """
        self._clock, self._send, self._took, self._end = clock, send, took, end
        self._protocol: Protocol | None = None
        self._out: deque[memoryview] = deque()
        self._waits = 0  # bytes of _out
        self._came: deque[bytes] = deque()
        self._reading, self._gone, self._delivering = True, False, False
        self._producer: IPushProducer | None = None
        self._paused = False

    def begin(self, protocol: Protocol) -> None:
        """Somebody speaks through it from here on."""
        self._protocol = protocol
        protocol.makeConnection(self)

    # -- what the way says ---------------------------------------------------------------

    def heard(self, data: bytes) -> None:
        """Bytes came."""
        self._came.append(data)
        self._deliver()

    def room(self) -> None:
        """More may be sent."""
        while self._out:
            sent = self._send(self._out[0])
            if self._gone:  # what was sent was too much for the connection that it is in
                return
            self._waits -= sent
            if sent < len(self._out[0]):
                self._out[0] = self._out[0][sent:]
                break
            self._out.popleft()
        self._press()
        if self.disconnecting and not self._out:
            self._over(CONNECTION_DONE)

    def left(self) -> None:
        """The client is done with it."""
        self._over(CONNECTION_DONE)

    # -- as a transport --------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> None:
        """As ITransport; nothing is kept of a view."""
        if self._gone or self.disconnecting or not data:
            return
        self._out.append(memoryview(bytes(data)))
        self._waits += len(data)
        if len(self._out) == 1:
            self.room()
        else:
            self._press()

    def loseConnection(self, *_: Any) -> None:
        """Once what was written has left."""
        self.disconnecting = True
        self.room()

    def abortConnection(self) -> None:
        """At once."""
        self._over(CONNECTION_LOST)

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """As IConsumer; streaming ones only."""
        assert streaming
        self._producer = producer
        self._press()

    def unregisterProducer(self) -> None:
        """As IConsumer."""
        self._producer, self._paused = None, False

    def pauseProducing(self) -> None:
        """Read nothing more."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Read again."""
        self._reading = True
        self._deliver()

    # -- inside ------------------------------------------------------------------------

    def _press(self) -> None:
        full = self._waits > HIGH if not self._paused else self._waits > HIGH // 4
        if self._producer is None or full == self._paused:
            return
        self._paused = full
        (self._producer.pauseProducing if full else self._producer.resumeProducing)()

    def _deliver(self) -> None:
        if self._delivering or self._protocol is None:
            return
        self._delivering = True
        try:
            while self._came and self._reading and not self._gone:
                data = self._came.popleft()
                self._protocol.dataReceived(data)
                self._took(len(data))
        finally:
            self._delivering = False

    def _over(self, why: Any) -> None:
        """Told in a turn of its own: whoever ends it may be in the middle of writing."""
        if self._gone:
            return
        self._gone = True
        self._out.clear()
        self._came.clear()
        self._end()
        self._clock.callLater(0, self._tell, why)

    def _tell(self, why: Any) -> None:
        if self._protocol is not None:
            self._protocol.connectionLost(Failure(why))
