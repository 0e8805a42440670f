"""
Bytes that are too many for a worker's memory, in a file that has no name, under a key that is nowhere else.

A file is gone with its session, and with its process whatever ends that; what a disk keeps of it afterwards is noise.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from struct import Struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.logger import Logger

from protocols.spool import NoRoom

BLOCK = 256 << 10
"""Bytes that are encrypted together, and held in memory for each file."""

_TAG = 16  # bytes that AES-GCM adds to a block
_NONCE = Struct("!QI")  # number of the block, 0: a key seals one file, so no nonce comes twice


class Spools:
    """
    One worker's. What is written and not closed counts against its limit.

    :ivar directory: where the files are; made if it is missing.
    :ivar limit: bytes in all files together.
    """

    log = Logger()

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory, self.limit, self.used = directory, limit, 0

    def open(self) -> File:
        """:raises NoRoom: no file can be made."""
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            return File(self, tempfile.TemporaryFile(dir=self.directory, buffering=0))  # noqa: SIM115
        except OSError as error:
            raise self.failed(error) from None

    def take(self, count: int) -> None:
        """:raises NoRoom: that would be too much."""
        if self.used + count > self.limit:
            raise NoRoom(f"values of all sessions together are over the {self.limit} bytes that this gateway spools")
        self.used += count

    def failed(self, error: OSError) -> NoRoom:
        """The operating system's reason is the operator's to read."""
        self.log.error("cannot spool in {where}: {why}", where=self.directory, why=error.strerror)
        return NoRoom("the gateway has no room for values as long as these")


class File:
    """As `protocols.spool.Spool`."""

    def __init__(self, spools: Spools, file: tempfile._TemporaryFileWrapper[bytes]) -> None:
        self._spools, self._file = spools, file
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._block = bytearray()
        self._size = self._blocks = self._read = 0

    def write(self, data: bytes) -> None:
        self._spools.take(len(data))
        self._size += len(data)
        self._block += data
        while len(self._block) >= BLOCK:
            self._seal(BLOCK)

    def read(self) -> bytes:
        if self._read == self._blocks:
            last = bytes(self._block)  # never was on disk
            self._block.clear()
            return last
        sealed = os.pread(self._file.fileno(), BLOCK + _TAG, self._read * (BLOCK + _TAG))
        self._read += 1
        return self._cipher.decrypt(_NONCE.pack(self._read - 1, 0), sealed, None)

    def close(self) -> None:
        self._spools.used -= self._size
        self._size = 0
        self._block.clear()
        self._file.close()

    def _seal(self, count: int) -> None:
        sealed = self._cipher.encrypt(_NONCE.pack(self._blocks, 0), bytes(self._block[:count]), None)
        try:
            if os.pwrite(self._file.fileno(), sealed, self._blocks * (BLOCK + _TAG)) != len(sealed):
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise self._spools.failed(error) from None
        self._blocks += 1
        del self._block[:count]
