"""What masks output keeps back little, lets it go by itself, and loses nothing at the end."""

from __future__ import annotations

from twisted.internet.task import Clock

from protocols.ssh.veil import HELD, Veil


class Upper:
    """A mask that keeps its last byte back."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        data, self._kept = self._kept + data[:-1], data[-1:]
        return data.upper()

    def flush(self) -> bytes:
        kept, self._kept = self._kept, b""
        return kept.upper()

    @property
    def holds(self) -> bool:
        return bool(self._kept)


class Relay:
    def __init__(self) -> None:
        self.clock, self.out = Clock(), b""
        self.veil = Veil(Upper, self.clock.callLater, self.resume)

    def resume(self) -> None:
        self.out += b"".join(data for _, data in self.veil.resume().passed)


def test_what_is_kept_back_leaves_when_nothing_follows() -> None:
    """And not before; what follows starts the time anew."""
    relay = Relay()
    assert relay.veil.feed(0, b"abc").passed == [(0, b"AB")]
    relay.clock.advance(HELD / 2)
    assert relay.veil.feed(0, b"de").passed == [(0, b"CD")]
    relay.clock.advance(HELD * 0.9)
    relay.resume()  # somebody else asked
    assert relay.out == b""
    relay.clock.advance(HELD)
    assert relay.out == b"E"


def test_each_stream_has_its_own_mask_and_the_end_has_everything() -> None:
    """Standard error is not a part of standard output's values."""
    relay = Relay()
    relay.veil.feed(0, b"ab")
    relay.veil.feed(1, b"xy")
    assert relay.veil.end().passed == [(0, b"B"), (1, b"Y")]
    relay.veil.feed(0, b"z")
    relay.veil.closed()
    assert not relay.clock.getDelayedCalls()
