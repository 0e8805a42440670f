"""
An SFTP channel: its requests are asked, its answers tell what came of them, both pass in their streams.

Passive: nothing is terminated here. A refused request is taken out of the client's stream, and its
answer is put between two frames of the target's. Requests about handles follow what the handle stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocols.command import FileOperation
from protocols.result import Ending, Outcome
from protocols.ssh import filerequest, sftp
from protocols.ssh.desk import Desk
from protocols.ssh.file import OpenFile
from protocols.ssh.filerequest import Request
from protocols.ssh.flow import Flow
from protocols.ssh.messages import Unreadable
from protocols.ssh.refusal import words
from protocols.verdict import Decision, Deny

OUTSTANDING_LIMIT = 4096
"""Requests without an answer; OpenSSH's client sends 64, some mounts some hundred."""
OPEN_LIMIT = 4096
"""Files and folders open at once."""
OWN_LIMIT = 1024
"""Refusals that may wait for the end of an answer of the target's."""
LINES_LIMIT = 20
"""Refusals that are also shown on standard error: clients show little of a STATUS, but a script may refuse thousands."""

_FIRST = b"\0\0\0\5\1"
"""How every client begins: INIT, five bytes long. Servers take longer ones too."""
_HEAD = len(_FIRST)
_VERSION = 3


class Place(Protocol):
    """The channel."""

    client: int

    def grant(self, count: int) -> None:
        """Give the client this credit."""

    def own(self, frame: bytes) -> None:
        """Send the client the gateway's own bytes now."""

    def turned_out(self, files: bool) -> None:
        """It is SFTP, or it is not."""

    def wait(self, number: int) -> None:
        """Look at nothing more of the client's before this question is answered."""

    def leave(self, messages: list[bytes]) -> None:
        """Send the target these."""

    def judged(self) -> None: ...

    def breaks(self, why: str) -> None:
        """End it now: what it carries cannot be followed any more."""

    def tell(self, text: str) -> None: ...


class Filing:
    """One file operation on its way to its verdict and its record."""

    def __init__(self, files: Files, command: FileOperation, request: Request, raw: bytes) -> None:
        self._files, self.command, self._request, self._raw = files, command, request, raw

    def allowed(self, decision: Decision, number: int) -> None:
        self._files.intended(self._request, number, self._raw)

    def recorded(self, number: int) -> None:
        self._files.recorded(number)

    def denied(self, deny: Deny, number: int) -> None:
        self._files.denied(self._request, number, self._raw, deny)

    def told(self, text: str) -> None:
        self._files.place.tell(text)


@dataclass(slots=True)
class _Sent:
    """A request that the target has to answer. `number`: the command that it is, 0 for none."""

    kind: int
    number: int = 0
    command: FileOperation | None = None
    file: OpenFile | None = None
    offset: int = 0


def _begins(data: bytes, likely: bool) -> bool | None:
    """Whether a client that begins so speaks SFTP; None while that cannot be told."""
    if not likely:
        return None if len(data) < _HEAD and _FIRST.startswith(data) else data == _FIRST
    if data[:1] != b"\0":  # no length that any server takes
        return False if data else None
    return data[4] == sftp.INIT if len(data) == _HEAD else None


class Files:
    """
    :param sure: whether this is SFTP whatever comes; else it is if the client begins like it: as every client does,
        or, where `likely`, with an INIT of any length.
    :ivar spoken: whether it has turned out to be SFTP, None while that is open.
    """

    def __init__(self, desk: Desk, place: Place, up: Flow, down: Flow, sure: bool, likely: bool) -> None:
        self._desk, self.place, self._up, self._down = desk, place, up, down
        self.spoken: bool | None = True if sure else None
        self._asked, self._answered = sftp.Frames(True), sftp.Frames(False)
        self._sent: dict[int, _Sent] = {}
        self._handles: dict[bytes, OpenFile] = {}
        self._writing: OpenFile | None = None
        self._dropping = False
        self._reading: OpenFile | None = None
        self._own: list[bytes] = []
        self._passing: list[bytes] = []
        self._begun = False
        self._likely, self._first, self._first_left = likely, b"", False
        self._waiting = 0
        self._lines = 0

    # -- the client's stream -----------------------------------------------------------

    def up(self, data: bytes) -> list[bytes]:
        """
        What leaves for the target now that this came.

        :raises Unreadable: it is no SFTP, or too much is asked at once.
        """
        out: list[bytes] = []
        if self.spoken is None:
            out, data = self._recognise(data)
        self._asked.feed(data)
        return out + self.more()

    def more(self) -> list[bytes]:
        """As `up`, of what came before and no verdict is in the way of any more."""
        while not self._waiting:
            piece = self._asked.next()
            if piece is None:
                break
            raw = self._body(piece) if isinstance(piece, bytes) else self._request(piece)
            if raw is not None:
                self._passing.append(raw)
        return self._passed()

    def _passed(self) -> list[bytes]:
        """What leaves of what passed until now."""
        passing, self._passing = b"".join(self._passing), []
        return self._up.put(passing)

    def _recognise(self, data: bytes) -> tuple[list[bytes], bytes]:
        """
        What leaves of the first bytes, and what is left to read. Nothing is kept back for being like SFTP's:
        scp's client says one NUL and waits.
        """
        count = min(len(data), _HEAD - len(self._first))
        self._first += data[:count]
        self.spoken = _begins(self._first, self._likely)
        if self.spoken is not None:
            self.place.turned_out(self.spoken)
        if not self.spoken:
            return self._up.put(data), b""
        self._first_left = True
        return self._up.put(data[:count]), self._first + data[count:]

    def _body(self, data: bytes) -> bytes | None:
        """What follows the head of a WRITE."""
        if self._dropping:
            self.place.grant(self._up.ledger.dropped(len(data)))
            return None
        if self._writing is not None:
            self._writing.written.add(data)
        return data

    def _request(self, head: sftp.Head) -> bytes | None:
        """What of a request passes at once; None where something else becomes of it."""
        self._dropping, self._writing = False, None
        if head.kind == sftp.INIT:
            return self._init(head)
        if not self._begun:
            raise Unreadable("a request of SFTP before its INIT")
        number = head.fields().u32()
        if number in self._sent:
            raise Unreadable("two requests of SFTP with one number")
        if len(self._sent) >= OUTSTANDING_LIMIT:
            raise Unreadable("too many requests of SFTP at once")
        try:
            request = filerequest.read(head, self.place.client, self._named)
        except filerequest.Refused as refused:
            self._refuse(number, len(head.raw), refused.code, refused.why)
            self._dropping = True
            return None
        if request.operation is not None:
            self._ask(request, head.raw)
            return None
        self._passes(request)
        return head.raw

    def _init(self, head: sftp.Head) -> bytes:
        """Versions above 3 write their requests otherwise: the client is made to say 3."""
        version = head.fields().u32()
        if self._begun or version < _VERSION:
            raise Unreadable("an INIT that begins nothing")
        self._begun = True
        rest = _VERSION.to_bytes(4, "big") + head.raw[9:]
        return rest if self._first_left else head.raw[:5] + rest

    def _named(self, handle: bytes) -> bytes:
        found = self._handles.get(handle)
        if found is None:
            raise filerequest.Refused(sftp.FAILURE, "a handle that is not open")
        return found.command.file

    def _passes(self, request: Request) -> None:
        """What is no command of its own, and belongs to one."""
        sent = self._sent[request.id] = _Sent(request.kind)
        file = self._handles.get(request.handle)
        if file is None:
            return
        sent.file, sent.offset = file, request.offset
        if request.kind == sftp.CLOSE:
            del self._handles[request.handle]  # the target may give the same one to what is opened next
        elif request.kind == sftp.WRITE:
            self._writing = file
            file.written.begins(request.offset)
            file.written.add(request.data)

    # -- verdicts ----------------------------------------------------------------------

    def _ask(self, request: Request, raw: bytes) -> None:
        if len(self._handles) >= OPEN_LIMIT and request.kind in (sftp.OPEN, sftp.OPENDIR):
            self._refuse(request.id, len(raw), sftp.FAILURE, "too many files are open")
            return
        self.place.leave(self._passed())  # what is asked about comes behind it
        self._waiting = self._desk.ask(Filing(self, request.operation, request, raw))
        self.place.wait(self._waiting)

    def intended(self, request: Request, number: int, raw: bytes) -> None:
        self._waiting = 0
        self._sent[request.id] = _Sent(request.kind, number, request.operation)
        self._up.gate_data(number, raw)
        self.place.judged()

    def recorded(self, number: int) -> None:
        self.place.leave(self._up.open(number))

    def denied(self, request: Request, number: int, raw: bytes, deny: Deny) -> None:
        """It goes nowhere: neither when it was refused, nor when its record was."""
        if self._waiting == number:
            self._waiting = 0
            self.place.grant(self._up.ledger.dropped(len(raw)))
            self.place.judged()
        else:
            out, grant = self._up.shut(number)
            self._sent.pop(request.id, None)
            self.place.grant(grant)
            self.place.leave(out)
        try:
            self._answer(request.id, sftp.PERMISSION_DENIED, words(deny))
        except Unreadable as error:
            self.place.breaks(str(error))
            return
        if self._lines < LINES_LIMIT:
            self._lines += 1
            self.place.tell(f"{request.operation.text}: {words(deny)}")

    def _refuse(self, request: int, count: int, code: int, why: str) -> None:
        self.place.grant(self._up.ledger.dropped(count))
        self._answer(request, code, why)

    def _answer(self, request: int, code: int, why: str) -> None:
        frame = sftp.status(request, code, why)
        if self._answered.between:
            self.place.own(frame)
        elif len(self._own) >= OWN_LIMIT:
            raise Unreadable("too many refused requests of SFTP at once")
        else:
            self._own.append(frame)

    # -- the target's stream -----------------------------------------------------------

    def down(self, data: bytes) -> list[bytes]:
        """
        What leaves for the client now that this came.

        :raises Unreadable: it is no SFTP, or answers what nobody asked.
        """
        if not self._begun:
            return self._down.put(data)
        self._answered.feed(data)
        out: list[bytes] = []
        passing: list[bytes] = []
        while (piece := self._answered.next()) is not None:
            if isinstance(piece, bytes):
                if self._reading is not None:
                    self._reading.read.add(piece)
                passing.append(piece)
            else:
                self._answer_came(piece)
                passing.append(piece.raw)
            if self._own and self._answered.between:
                out += self._down.put(b"".join(passing))
                passing = []
                out += self._owned()
        return out + self._down.put(b"".join(passing))

    def _owned(self) -> list[bytes]:
        """Our refusals, between two frames."""
        own, self._own = b"".join(self._own), []
        return self._down.inject(own)

    def stops(self) -> list[bytes]:
        """The target's stream is over."""
        return self._down.put(self._answered.left)

    def _answer_came(self, head: sftp.Head) -> None:
        self._reading = None
        if head.kind == sftp.VERSION:
            return
        fields = head.fields()
        sent = self._sent.pop(fields.u32(), None)
        if sent is None:
            raise Unreadable("an answer of SFTP to nothing")
        match head.kind:
            case sftp.STATUS:
                self._status(sent, fields.u32())
            case sftp.HANDLE if sent.command is not None:
                self._opened(sent, fields.string(sftp.HANDLE_LIMIT))
            case sftp.DATA if sent.file is not None:
                self._reading = sent.file
                sent.file.read.begins(sent.offset)
            case sftp.NAME | sftp.ATTRS | sftp.EXTENDED_REPLY:
                pass  # answers to what was passed
            case _:
                raise Unreadable("an answer of SFTP that does not fit its request")

    def _status(self, sent: _Sent, code: int) -> None:
        if sent.kind == sftp.CLOSE and sent.file is not None:
            self._desk.ended(sent.file.number, sent.file.outcome())
        elif sent.kind == sftp.WRITE and sent.file is not None and code != sftp.OK:
            sent.file.failed = True
        if sent.number:
            ending = Ending.COMPLETE if code == sftp.OK else Ending.ERROR
            self._desk.ended(sent.number, Outcome(ending, transaction="I", facts={"status": str(code)}))

    def _opened(self, sent: _Sent, handle: bytes) -> None:
        if handle in self._handles:
            raise Unreadable("a handle of SFTP for two files")
        file = self._handles[handle] = OpenFile(sent.number, sent.command)
        self._desk.runs(sent.number, file.outcome)

    def gone(self) -> None:
        """The channel is over: so is what was open, and what was sent has an unknown end."""
        for file in self._handles.values():
            self._desk.ended(file.number, file.outcome())
        for sent in self._sent.values():
            if sent.kind == sftp.CLOSE and sent.file is not None:
                self._desk.ended(sent.file.number, sent.file.outcome())
            elif sent.number:
                self._desk.ended(sent.number, Outcome(Ending.UNKNOWN, transaction="I"))
        self._handles.clear()
        self._sent.clear()
