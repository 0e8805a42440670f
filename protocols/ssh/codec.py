"""
Bytes to SSH packets and back, each direction by itself. No sockets, no clock, no key exchange.

Keys, compression and the sequence number of the two directions change apart, at the two NEWKEYS.

Source: RFC 4253, 6; OpenSSH PROTOCOL 1.9 (strict key exchange resets the sequence).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from struct import Struct

from protocols.errors import LocalError, PeerError
from protocols.ssh.ciphers import HEAD, Lock, Open, Tampered

PACKET_LIMIT = 256 << 10
"""Largest packet_length taken, in bytes: OpenSSH's own. What is buffered here is memory a stranger can spend."""

PAYLOAD_LIMIT = PACKET_LIMIT - 512
"""Largest payload sent or inflated to, in bytes."""

WORN_BYTES = 1 << 30
WORN_PACKETS = 1 << 28
"""After this much a key should be changed (RFC 4253, 9; RFC 4344, 3)."""

SPENT_PACKETS = 1 << 31
"""After this many a key is not used any more: sequence numbers, which are nonces, must not come again."""

SLACK = 512
"""Bytes that a packet may be longer than its payload, deflated or not."""

_LEAST_PADDING = 4  # bytes
_PADDINGS = 256  # random bytes that are asked for at once: each asking is a call of the system's
_LEAST_PACKET = 16  # bytes, with its length (RFC 4253, 6)
_HEAD = Struct(">IB")  # packet_length, padding_length
_LENGTH = Struct(">I")


class _Direction:
    """What both have: a lock, a sequence number, and how long the lock has been in use."""

    def __init__(self) -> None:
        self._lock: Lock = Open()
        self._sequence = self._packets = self._bytes = 0

    def change(self, lock: Lock, *, restart: bool) -> None:
        """From the next packet on. `restart`: count packets from 0 again (strict key exchange)."""
        self._lock = lock
        self._packets = self._bytes = 0
        if restart:
            self._sequence = 0

    @property
    def worn(self) -> bool:
        """Whether the key should be changed."""
        return self._bytes >= WORN_BYTES or self._packets >= WORN_PACKETS

    @property
    def sequence(self) -> int:
        """Of the next packet."""
        return self._sequence

    def _count(self, size: int) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._packets += 1
        self._bytes += size


class Sealer(_Direction):
    """Payloads to bytes for the wire."""

    def __init__(self, randomness: Callable[[int], bytes]) -> None:
        """
        :param randomness: gives so many random bytes, for padding.
        """
        super().__init__()
        self._randomness = randomness
        self._random, self._used = b"", 0
        self._deflate: zlib._Compress | None = None

    def compress(self) -> None:
        """From the next packet on; what was compressed before is forgotten."""
        self._deflate = zlib.compressobj(6)

    def seal(self, payload: bytes | memoryview) -> bytes:
        """One packet; raises as `seal_into`."""
        room = bytearray(len(payload) + SLACK)
        with memoryview(room) as whole:
            end = self.seal_into(payload, whole, 0)
        del room[end:]
        return bytes(room)

    def seal_into(self, payload: bytes | memoryview, room: memoryview, at: int) -> int:
        """
        Put one packet there, with SLACK behind what is as long as the payload; where it ends.

        :raises LocalError: the payload is too long, or the key is spent.
        """
        if self._deflate is not None:
            payload = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_PARTIAL_FLUSH)
        count = len(payload)
        if not 1 <= count <= PAYLOAD_LIMIT:
            raise LocalError(f"a payload of {count} bytes")
        if self._packets >= SPENT_PACKETS:
            raise LocalError("the key is spent")
        lock = self._lock
        padding = -(lock.counted + 1 + count) % lock.block
        if padding < _LEAST_PADDING:
            padding += lock.block
        head = _HEAD.pack(1 + count + padding, padding)
        body = b"".join((head[HEAD:], payload, self._padding(padding)))
        size = HEAD + len(body) + lock.tag
        end = at + size
        lock.seal(self._sequence, head[:HEAD], body, room[at:end])
        self._count(size)
        return end

    def _padding(self, count: int) -> bytes:
        at = self._used
        if at + count > len(self._random):
            self._random, at = self._randomness(_PADDINGS), 0
        self._used = at + count
        return self._random[at:at + count]


class Opener(_Direction):
    """Bytes of the wire to payloads."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer: bytes | bytearray | memoryview = b""
        self._at = self._consumed = 0
        self._behind: bytes | memoryview = b""
        self._behind_at = 0  # what came behind the buffer, which ends with a packet then
        self._length = -1  # of the packet at hand; -1 when not known
        self._inflate: zlib._Decompress | None = None

    def decompress(self) -> None:
        """From the next packet on; what was inflated before is forgotten."""
        self._inflate = zlib.decompressobj()

    def feed(self, data: bytes | memoryview) -> None:
        """Of a long read only what ends the packet at hand is moved. A view's bytes may change when `keep` has been called."""
        if self._behind:
            data, self._behind = b"".join((self._behind[self._behind_at:], data)), b""
        rest = len(self._buffer) - self._at
        lacks = HEAD + self._length + self._lock.tag - rest if self._length >= 0 else 0
        if not rest:
            self._buffer = data
        elif 0 < lacks < len(data):
            with memoryview(self._buffer) as first, memoryview(data) as second:
                self._buffer = b"".join((first[self._at:], second[:lacks]))
            self._behind, self._behind_at = data, lacks
        elif rest > len(data):  # a long packet in small pieces: it is not moved for each of them
            if self._at or type(self._buffer) is not bytearray:
                self._buffer = bytearray(memoryview(self._buffer)[self._at:])
            self._buffer += data
        else:
            self._buffer = b"".join((memoryview(self._buffer)[self._at:], data))
        self._at = 0

    def keep(self) -> None:
        """Of what was fed nothing has to stay as it is any more."""
        if self._behind:
            self._behind, self._behind_at = bytes(self._behind[self._behind_at:]), 0
        if type(self._buffer) is memoryview:
            self._buffer, self._at = bytes(self._buffer[self._at:]), 0

    @property
    def behind(self) -> int:
        """Bytes fed and not yet opened."""
        return len(self._buffer) - self._at + (len(self._behind) - self._behind_at if self._behind else 0)

    def next_payload(self) -> memoryview | None:
        """
        :returns: None until a whole packet has arrived. The payload stays as it is, whatever is fed later.
        :raises PeerError: a length, tag, padding or compressed stream that cannot be. The opener is then finished.
        """
        if self._behind and self._at == len(self._buffer):
            self._buffer, self._at, self._behind = self._behind, self._behind_at, b""
        if self._length < 0 and not self._measure():
            return None
        size = HEAD + self._length + self._lock.tag
        end = self._at + size
        if len(self._buffer) < end:
            return None
        packet = memoryview(self._buffer)[self._at:end]
        try:
            body = self._lock.open(self._sequence, packet)
        except Tampered as error:
            raise self._wrong(str(error)) from None
        padding = body[0]
        if padding < _LEAST_PADDING or padding + 2 > len(body):
            raise self._wrong("the padding does not fit its packet")
        self._at = end
        self._consumed += size
        self._length = -1
        self._count(size)
        payload = memoryview(body)[1:len(body) - padding]
        return payload if self._inflate is None else memoryview(self._inflated(payload))

    def _measure(self) -> bool:
        """Whether packet_length is there and may be what it says; four bytes are enough to refuse it."""
        if len(self._buffer) - self._at < HEAD:
            return False
        if self._packets >= SPENT_PACKETS:
            raise self._wrong("too many packets under one key")
        lock = self._lock
        if lock.uncover is None:
            length = _LENGTH.unpack_from(self._buffer, self._at)[0]
        else:
            length = lock.uncover(self._sequence, bytes(self._buffer[self._at:self._at + HEAD]))
        least = _LEAST_PACKET - lock.counted if lock.counted else lock.block
        if not least <= length <= PACKET_LIMIT or (lock.counted + length) % lock.block:
            raise self._wrong("packet_length is out of range")
        self._length = length
        return True

    def _inflated(self, payload: memoryview) -> bytes:
        assert self._inflate is not None
        try:
            inflated = self._inflate.decompress(payload, PAYLOAD_LIMIT + 1)
        except zlib.error:
            raise self._wrong("what was compressed cannot be inflated") from None
        if not 1 <= len(inflated) <= PAYLOAD_LIMIT or self._inflate.unconsumed_tail or self._inflate.eof:
            raise self._wrong("a compressed payload inflates to nothing, to too much, or ends the stream")
        return inflated

    def _wrong(self, why: str) -> PeerError:
        return PeerError(why, offset=self._consumed)
