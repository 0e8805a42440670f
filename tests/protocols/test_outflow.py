"""What goes to a target behind something spooled: in order, as fast as the target takes it, and never all at once."""

from __future__ import annotations

from collections import deque

from twisted.internet.task import Clock

from protocols.outflow import TURN, Outflow


class Pieces:
    """A spool of given pieces; one that is an exception is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces, self.closed = deque(pieces), False

    def write(self, data: bytes) -> None:
        raise AssertionError("it is being read")

    def read(self) -> bytes:
        piece = self.pieces.popleft() if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


class Target:
    """Takes `room` writes, then is full until it `drains`."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.taken: list[bytes] = []
        self.room, self.ends, self.failures = room, 0, []
        self.clock = Clock()
        self.flow = Outflow(self.write, lambda call: self.clock.callLater(0, call), ended=self._ended, failed=self.failures.append)

    def _ended(self) -> None:
        self.ends += 1

    def write(self, data: bytes) -> None:
        self.taken.append(data)
        self.room -= 1
        if self.room == 0:
            self.flow.full(True)

    def drains(self, room: int) -> None:
        self.room = room
        self.flow.full(False)


def test_everything_leaves_in_its_order() -> None:
    target, one, two = Target(), Pieces(b"1", b"2"), Pieces(b"4")
    target.flow.push([b"0", one, b"3", two])
    target.flow.push([b"5"])
    assert target.taken == [b"0", b"1", b"2", b"3", b"4", b"5"] and one.closed and two.closed and target.ends == 2


def test_a_target_that_is_full_is_waited_for_and_nothing_overtakes() -> None:
    target, spool = Target(room=2), Pieces(b"1", b"2", b"3")
    target.flow.push([b"0", spool])
    target.flow.push([b"4"])
    assert target.taken == [b"0", b"1"] and len(spool.pieces) == 2 and target.ends == 0
    target.drains(1)
    assert target.taken == [b"0", b"1", b"2"]
    target.drains(9)
    assert target.taken == [b"0", b"1", b"2", b"3", b"4"] and target.ends == 1


def test_a_large_spool_leaves_turns_for_others() -> None:
    half = bytes(TURN // 2)
    target, spool = Target(), Pieces(half, half, half, half, b"end")
    target.flow.push([spool, b"behind"])
    assert len(target.taken) == 2
    target.flow.full(False)
    target.flow.push([b"last"])
    assert len(target.taken) == 2, "its next turn is due already"
    assert len(target.clock.getDelayedCalls()) == 1
    target.clock.advance(0)
    assert target.taken == [half] * 4 + [b"end", b"behind", b"last"] and target.ends == 1 and not target.clock.getDelayedCalls()


def test_a_spool_that_cannot_be_read_ends_the_session_and_sends_nothing_behind_it() -> None:
    bad, behind = Pieces(b"1", ValueError("a changed block"), b"2"), Pieces(b"x")
    target = Target()
    target.flow.push([bad, b"behind", behind])
    assert target.taken == [b"1"] and len(target.failures) == 1 and bad.closed and behind.closed and target.ends == 0


def test_what_is_discarded_is_closed_and_never_sent() -> None:
    target, spool = Target(room=1), Pieces(b"1", b"2")
    target.flow.push([spool, b"3"])
    target.flow.discard()
    target.drains(9)
    assert target.taken == [b"1"] and spool.closed
