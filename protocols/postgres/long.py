"""
A Bind or FunctionCall too large to be held: its bytes go to a spool as they come, its long values are hashed on the
way, and what remains is a small message of the same form, in which those values are empty.

Source: PostgreSQL 18 manual, 54.7 "Message Formats", Bind and FunctionCall.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from struct import Struct
from typing import Any

from protocols.command import Digest
from protocols.errors import PeerError
from protocols.postgres.codec import Opened, encode_head
from protocols.postgres.messages import Bind, FunctionCall
from protocols.spool import NoRoom, Spool, Spools

KEPT, KEPT_ALL = 4096, 1 << 20
"""Bytes of one value, and of all values of one message, that are held as they are: what evidence keeps (`gateway.journal`)."""

_FRAME_LIMIT = 1 << 20  # bytes before the first value, or behind the last; names and format codes need far less

_COUNT = Struct("!H")  # format codes, values
_LENGTH = Struct("!i")  # of a value; -1 is NULL


class LongMessage:
    """
    :ivar spool: all of it, head included; None once it has failed or was closed.
    :ivar failure: why it could not be spooled; "" while it could. The rest of it is read past.
    """

    def __init__(self, opened: Opened, spools: Spools) -> None:
        self.tag, self.length = opened
        self.spool: Spool | None = None
        self.failure = ""
        self._left = self.length  # bytes of body to come
        self._pending = bytearray()  # came, and not looked at
        self._values: int | None = None  # to come; None before they begin
        self._inside = 0  # bytes to come of the value that is hashed
        self._hash: Any = None
        self._room = KEPT_ALL
        self._small = bytearray()  # the message of the same form
        self._index = 0  # of the next value
        self._long: dict[int, Digest] = {}
        try:
            self.spool = spools.open()
        except NoRoom as error:
            self._fail(str(error))
        self._store(encode_head(*opened))

    def feed(self, data: bytes) -> None:
        """
        More of its body.

        :raises PeerError: no such message has this form.
        """
        self._store(data)
        self._left -= len(data)
        hashed = self._hashed(memoryview(data)[: self._inside]) if self._inside else 0
        self._pending += memoryview(data)[hashed:]
        at = 0
        while (then := self._step(at)) is not None:
            at = then
        del self._pending[:at]

    def bind(self, codec: str) -> Bind:
        """
        What it says, long values as `Digest`.

        :raises PeerError: it is no Bind.
        """
        return self._with_digests(Bind.parse(bytes(self._small), codec))

    @property
    def statement(self) -> bytes:
        """The name of the statement that a Bind is of."""
        return b"".join(bytes(self._small).split(b"\0", 2)[1:2])

    def call(self) -> FunctionCall:
        """The same of a FunctionCall."""
        return self._with_digests(FunctionCall.parse(bytes(self._small)))

    def close(self) -> None:
        """Nobody needs its bytes any more."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None

    def _with_digests(self, message: Any) -> Any:
        values = tuple(self._long.get(i, value) for i, value in enumerate(message.values))
        return replace(message, values=values)

    def _store(self, data: bytes) -> None:
        if self.spool is not None:
            try:
                self.spool.write(data)
            except NoRoom as error:
                self._fail(str(error))

    def _fail(self, why: str) -> None:
        self.failure = why
        self.close()

    # -- its form ----------------------------------------------------------------------

    def _step(self, at: int) -> int | None:
        """Take what is whole behind `at`: the place behind it, None when nothing is."""
        if self._values is None:
            return self._begin(at)
        return self._value(at) if self._values else self._end(at)

    def _begin(self, at: int) -> int | None:
        """Everything up to the number of values."""
        place: int | None = at
        for _ in range(2 if self.tag == b"B" else 0):  # names of the portal and of the statement
            place = self._pending.find(b"\0", place) + 1 or None
            if place is None:
                break
        if place is not None:
            place = self._counted(place if self.tag == b"B" else place + 4, 2)
        if place is None or len(self._pending) < place + 2:
            if len(self._pending) - at > _FRAME_LIMIT:
                raise self._wrong("its values do not begin")
            return None
        (self._values,) = _COUNT.unpack_from(self._pending, place)
        return self._keep(at, place + 2)

    def _counted(self, place: int, size: int) -> int | None:
        """Behind a count and so many fields."""
        if len(self._pending) < place + 2:
            return None
        return place + 2 + size * _COUNT.unpack_from(self._pending, place)[0]

    def _value(self, at: int) -> int | None:
        """One value, or the beginning of a long one."""
        there = len(self._pending) - at
        if there < 4:
            return None
        (length,) = _LENGTH.unpack_from(self._pending, at)
        if length < -1 or length > self._left + there - 4:
            raise self._wrong(f"a value of {length} bytes")
        if length <= KEPT and length <= self._room:
            if there < 4 + max(length, 0):
                return None
            self._room -= max(length, 0)
            self._taken()
            return self._keep(at, at + 4 + max(length, 0))
        self._small += _LENGTH.pack(0)
        self._inside, self._hash = length, sha256()
        self._long[self._index] = Digest(length, b"")
        with memoryview(self._pending) as view, view[at + 4 : at + 4 + length] as begun:
            return at + 4 + self._hashed(begun)

    def _hashed(self, part: memoryview) -> int:
        """Some of the long value, and nothing else; its length."""
        self._hash.update(part)
        self._inside -= len(part)
        if not self._inside:
            self._long[self._index] = Digest(self._long[self._index].length, self._hash.digest())
            self._taken()
        return len(part)

    def _taken(self) -> None:
        self._index += 1
        self._values -= 1

    def _end(self, at: int) -> int | None:
        """What is behind the last value."""
        if len(self._pending) - at + self._left > _FRAME_LIMIT:
            raise self._wrong("much is behind its values")
        return self._keep(at, len(self._pending)) if len(self._pending) > at else None

    def _keep(self, at: int, end: int) -> int:
        self._small += self._pending[at:end]
        return end

    def _wrong(self, why: str) -> PeerError:
        return PeerError(f"{'Bind' if self.tag == b'B' else 'FunctionCall'} of {self.length} bytes: {why}")
