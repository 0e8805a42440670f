"""
One open file of an SFTP channel: how much was read and written, with a digest where it went from one end to the other.
"""

from __future__ import annotations

import hashlib
from typing import Any

from protocols.command import FileOperation
from protocols.result import Ending, Outcome


class Amount:
    """Bytes in one direction, and the SHA-256 of the file from its beginning while nothing is skipped or repeated."""

    def __init__(self) -> None:
        self.bytes = 0
        self._digest: Any = hashlib.sha256()

    def begins(self, offset: int) -> None:
        """What comes next belongs here."""
        if offset != self.bytes:
            self._digest = None

    def add(self, data: bytes | memoryview) -> None:
        self.bytes += len(data)
        if self._digest is not None:
            self._digest.update(data)

    def facts(self, name: str) -> dict[str, str]:
        if not self.bytes:
            return {}
        digest = {f"{name}_sha256": self._digest.hexdigest()} if self._digest is not None else {}
        return {f"{name}_bytes": str(self.bytes)} | digest


class OpenFile:
    """:ivar number: the command that opened it."""

    def __init__(self, number: int, command: FileOperation) -> None:
        self.number, self.command = number, command
        self.read, self.written = Amount(), Amount()
        self.failed = False

    def outcome(self) -> Outcome:
        """What came of it until now."""
        facts = self.read.facts("read") | self.written.facts("written") | ({"write": "failed"} if self.failed else {})
        return Outcome(Ending.COMPLETE, bytes=self.read.bytes, copied_bytes=self.written.bytes, transaction="I", facts=facts)
