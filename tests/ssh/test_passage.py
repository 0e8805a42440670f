"""A channel as a transport: order kept, back-pressure both ways, one end."""

from __future__ import annotations

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from gateway.ssh.passage import HIGH, Passage


class Reader(Protocol):
    """Remembers; pauses after each read if told to, ends itself on "bye"."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.ends = 0
        self.pauses = False

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)
        if self.pauses:
            self.transport.pauseProducing()
        if data == b"bye":
            self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:
        self.ends += 1


class Way:
    """A passage whose client has room for so many bytes."""

    def __init__(self, room: int = 1 << 20) -> None:
        self.clock, self.left, self.sent, self.took, self.ended = Clock(), room, b"", 0, 0
        self.reader = Reader()
        self.passage = Passage(self.clock, send=self._send, took=self._took, end=self._end)
        self.passage.begin(self.reader)

    def _send(self, data: memoryview) -> int:
        piece = bytes(data[:self.left])
        self.sent, self.left = self.sent + piece, self.left - len(piece)
        return len(piece)

    def _took(self, count: int) -> None:
        self.took += count

    def _end(self) -> None:
        self.ended += 1


class Producer:
    paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None: ...


def test_what_does_not_fit_waits_in_order() -> None:
    way = Way(room=5)
    for piece in (b"abc", b"def", b"ghi"):
        way.passage.write(piece)
    assert way.sent == b"abcde"
    way.left = 100
    way.passage.room()
    assert way.sent == b"abcdefghi"


def test_nothing_is_kept_of_a_view_that_is_written() -> None:
    """Its bytes may be another session's when the client has room for them."""
    way, room = Way(room=2), bytearray(b"hello")
    way.passage.write(memoryview(room))
    room[:] = b"other"
    way.left = 100
    way.passage.room()
    assert way.sent == b"hello"


def test_whoever_writes_pauses_while_much_waits() -> None:
    way, producer = Way(room=0), Producer()
    way.passage.registerProducer(producer, True)
    way.passage.write(bytes(HIGH))
    assert not producer.paused
    way.passage.write(b"x")
    assert producer.paused
    way.left = HIGH // 2
    way.passage.room()
    assert producer.paused
    way.left = HIGH
    way.passage.room()
    assert not producer.paused


def test_a_reader_that_pauses_gets_no_more_and_the_client_no_credit() -> None:
    way = Way()
    way.reader.pauses = True
    for piece in (b"one", b"two", b"three"):
        way.passage.heard(piece)
    assert (way.reader.heard, way.took) == ([b"one"], 3)
    way.reader.pauses = False
    way.passage.resumeProducing()
    assert (way.reader.heard, way.took) == ([b"one", b"two", b"three"], 11)


def test_the_end_comes_behind_what_was_written_and_once() -> None:
    way = Way(room=2)
    way.passage.write(b"last words")
    way.passage.heard(b"bye")
    assert way.passage.disconnecting and (way.ended, way.reader.ends) == (0, 0)
    way.passage.write(b"nothing more")
    way.left = 100
    way.passage.room()
    assert way.sent == b"last words" and way.ended == 1 and way.reader.ends == 0
    way.clock.advance(0)
    way.passage.left()
    way.passage.abortConnection()
    way.clock.advance(0)
    assert (way.ended, way.reader.ends) == (1, 1)


def test_an_abort_does_not_wait_for_anybody() -> None:
    way = Way(room=0)
    way.passage.write(b"stuck")
    way.passage.abortConnection()
    way.clock.advance(0)
    assert (way.sent, way.ended, way.reader.ends) == (b"", 1, 1)


def test_a_send_that_ends_the_passage_is_survived() -> None:
    """What is sent may be what breaks the connection around it."""
    way = Way()
    way.passage._send = lambda data: way.passage.left() or 0
    way.passage.write(b"x")
    way.clock.advance(0)
    assert way.reader.ends == 1
