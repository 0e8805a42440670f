"""
Parts of files that are read and written, and their answers: nearly all that passes in an SFTP channel, gone through in runs.

Only what is common is known here. Whatever else stands in the stream, or does not stand in it whole, is left to `files`, which
knows these as well: with or without the runs the same passes, and the same is counted (draft-ietf-secsh-filexfer-02, 6.4, 7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from protocols.command import FileOperation
from protocols.ssh.file import Amount, OpenFile
from protocols.ssh.sftp import DATA, FRAME_LIMIT, HANDLE_LIMIT, OK, READ, STATUS, WRITE, Frames

OUTSTANDING_LIMIT = 4096
"""Requests without an answer; OpenSSH's client sends 64, some mounts some hundred."""

_ASKED = Struct(">IBII")  # length of what follows, type, id, length of the handle
_PLACE = Struct(">QI")  # offset, bytes
_ANSWERED = Struct(">IBII")  # length of what follows, type, id, length of the data or code of the status
_TRANSFER = _ASKED.size - 4 + _PLACE.size  # bytes behind the length of a READ, without its handle


@dataclass(slots=True)
class Sent:
    """A request that the target has to answer. `number`: the command that it is, 0 for none."""

    kind: int
    number: int = 0
    command: FileOperation | None = None
    file: OpenFile | None = None
    offset: int = 0


@dataclass(slots=True)
class Transfers:
    """
    Of one channel.

    :ivar sent: requests without an answer, by their numbers. :ivar handles: what is open.
    :ivar writing: whose bytes are behind the head of the last WRITE. :ivar reading: the same of the last DATA.
    """

    sent: dict[int, Sent] = field(default_factory=dict)
    handles: dict[bytes, OpenFile] = field(default_factory=dict)
    writing: OpenFile | None = None
    reading: OpenFile | None = None

    def asked(self, frames: Frames, data: bytes | memoryview) -> int:
        """
        Go through READs, and WRITEs whose heads are whole, of what is open.

        :returns: up to where, in what nothing of came before; all of that passes.
        """
        at, end, sent = 0, len(data), self.sent
        while at < end:
            if frames.passing:
                at = _part(frames, data, at, self.writing.written if self.writing else None)
                continue
            if end - at < _ASKED.size:
                break
            length, kind, number, size = _ASKED.unpack_from(data, at)
            place = at + _ASKED.size + size
            if kind not in (READ, WRITE) or size > HANDLE_LIMIT or place + _PLACE.size > end:
                break
            file = self.handles.get(bytes(data[at + _ASKED.size:place]))
            offset, count = _PLACE.unpack_from(data, place)
            follows = count if kind == WRITE else 0
            known = file is not None and number not in sent and len(sent) < OUTSTANDING_LIMIT
            if not known or length != _TRANSFER + size + follows or length > FRAME_LIMIT:
                break
            sent[number] = Sent(kind, 0, None, file, offset)
            self.writing = file if kind == WRITE else None
            if self.writing is not None:
                self.writing.written.begins(offset)
            frames.passing, at = follows, place + _PLACE.size
        return at

    def answered(self, frames: Frames, data: bytes | memoryview) -> int:
        """As `asked`, of DATA, and of each whole STATUS that says that a WRITE was done."""
        at, end, sent = 0, len(data), self.sent
        while at < end:
            if frames.passing:
                at = _part(frames, data, at, self.reading.read if self.reading else None)
                continue
            if end - at < _ANSWERED.size:
                break
            length, kind, number, said = _ANSWERED.unpack_from(data, at)
            one, whole = sent.get(number), at + 4 + length
            if one is None or one.file is None or not _ANSWERED.size - 4 <= length <= FRAME_LIMIT:
                break
            if kind == DATA:
                self.reading = one.file
                one.file.read.begins(one.offset)
                frames.passing, at = whole - at - _ANSWERED.size, at + _ANSWERED.size
            elif kind == STATUS and one.kind == WRITE and said == OK and whole <= end:
                self.reading, at = None, whole
            else:
                break
            del sent[number]
        return at


def _part(frames: Frames, data: bytes | memoryview, at: int, amount: Amount | None) -> int:
    """What belongs to the frame at hand; where it ends, or the data does."""
    until = min(at + frames.passing, len(data))
    if amount is not None:
        amount.add(data[at:until])
    frames.passing -= until - at
    return until
