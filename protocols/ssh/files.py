"""
An SFTP channel: its requests are asked, its answers tell what came of them, both pass in their streams.

Passive: nothing is terminated here. A refused request is taken out of the client's stream, and its
answer is put between two frames of the target's. Requests about handles follow what the handle stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from protocols.ssh.transfer import OUTSTANDING_LIMIT, Sent, Transfers
from protocols.verdict import Decision, Deny

OPEN_LIMIT = 4096
"""Files and folders open at once."""
OWN_LIMIT = 1024
"""Refusals that may wait for the end of an answer of the target's."""
LINES_LIMIT = 20
"""Refusals that are also shown on standard error: clients show little of a STATUS, but a script may refuse thousands."""

SEVERAL = 64
"""Messages of one read that are looked at one by one: a read has 256 KiB, OpenSSH's messages 32."""

Bytes = bytes | memoryview

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


def _begins(data: bytes, likely: bool) -> bool | None:
    """Whether a client that begins so speaks SFTP; None while that cannot be told."""
    if not likely:
        return None if len(data) < _HEAD and _FIRST.startswith(data) else data == _FIRST
    if data[:1] != b"\0":  # no length that any server takes
        return False if data else None
    return data[4] == sftp.INIT if len(data) == _HEAD else None


def _few(bodies: Sequence[Bytes]) -> Sequence[Bytes]:
    """As they are; put together where they are many, so that not each is looked at by itself."""
    return bodies if len(bodies) <= SEVERAL else [b"".join(bodies)]


def _behind(data: Bytes, at: int, passing: list[Bytes]) -> Bytes:
    """What is left to look at, when it has been gone through until there; the rest passes."""
    if not at:
        return data
    passing.append(data if at == len(data) else data[:at])
    return data[at:]


def _joined(pieces: list[Bytes]) -> Bytes:
    """All of them, which are no more in the list."""
    one = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    pieces.clear()
    return one


class Files:
    """
    :param sure: whether this is SFTP whatever comes; else it is if the client begins like it: as every client does,
        or, where `likely`, with an INIT of any length.
    :ivar spoken: whether it has turned out to be SFTP, None while that is open.
    :ivar begun: whether the client's INIT has come: what passes from there on passes unchanged.
    """

    def __init__(self, desk: Desk, place: Place, up: Flow, down: Flow, sure: bool, likely: bool) -> None:
        self._desk, self.place, self._up, self._down = desk, place, up, down
        self.spoken: bool | None = True if sure else None
        self._asked, self._answered = sftp.Frames(True), sftp.Frames(False)
        self._transfers = Transfers()
        self._sent, self._handles = self._transfers.sent, self._transfers.handles
        self._dropping = False
        self._own: list[bytes] = []
        self._passing: list[Bytes] = []  # to the target
        self._coming: list[Bytes] = []  # from it
        self.begun = False
        self._likely, self._first, self._first_left = likely, b"", False
        self._waiting = 0
        self._lines = 0

    # -- the client's stream -----------------------------------------------------------

    def up(self, bodies: Sequence[Bytes], messages: list[memoryview] | None = None) -> list[Bytes]:
        """
        What leaves for the target now that this came, and of what came before when no verdict is in the way any more.

        :param messages: what it came in, if all of it may leave now: then it leaves in them, where nothing is done with it.
        :raises Unreadable: it is no SFTP, or too much is asked at once; `rest` has what passed until there.
        """
        out: list[Bytes] = []
        if self.spoken is None:
            out, left = self._recognise(bytes(bodies[0]))
            bodies = [left]
        came = self._asked.came(bodies)
        for body in _few(bodies):
            usual = self.begun and not (self._waiting or self._dropping or self._asked.behind)
            rest = _behind(body, self._transfers.asked(self._asked, body) if usual else 0, self._passing)
            if rest or self._asked.behind:
                self._asked.feed(rest)
                self._look()
        return out + self._leaves(self._up, self._passing, came, messages)

    def _look(self) -> None:
        while not self._waiting and (piece := self._asked.next()) is not None:
            raw = self._request(piece) if isinstance(piece, sftp.Head) else self._body(piece)
            if raw is not None:
                self._passing.append(raw)

    def rest(self, up: bool) -> list[Bytes]:
        """What leaves in this direction of what passed, when what came behind it cannot be read."""
        return self._passed() if up else self._down.put(_joined(self._coming))

    def _passed(self) -> list[Bytes]:
        """What leaves of what passed until now."""
        return self._up.put(_joined(self._passing))

    def _leaves(self, flow: Flow, passing: list[Bytes], came: sftp.Came, messages: list[memoryview] | None) -> list[Bytes]:
        """What passed leaves: in the messages that brought it, where it is all that came, or in new ones."""
        frames = self._asked if flow is self._up else self._answered
        if messages is None or not came.passed(sum(map(len, passing)), frames.behind) or len(came.before) > flow.packet:
            return flow.put(_joined(passing))
        passing.clear()
        return flow.carry(messages, came.before, frames.behind)

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

    def _body(self, data: Bytes) -> Bytes | None:
        """What follows the head of a WRITE."""
        if self._dropping:
            self.place.grant(self._up.ledger.dropped(len(data)))
            return None
        if self._transfers.writing is not None:
            self._transfers.writing.written.add(data)
        return data

    def _request(self, head: sftp.Head) -> bytes | None:
        """What of a request passes at once; None where something else becomes of it."""
        self._dropping, self._transfers.writing = False, None
        if head.kind == sftp.INIT:
            return self._init(head)
        if not self.begun:
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
        if self.begun or version < _VERSION:
            raise Unreadable("an INIT that begins nothing")
        self.begun = True
        rest = _VERSION.to_bytes(4, "big") + head.raw[9:]
        return rest if self._first_left else head.raw[:5] + rest

    def _named(self, handle: bytes) -> bytes:
        found = self._handles.get(handle)
        if found is None:
            raise filerequest.Refused(sftp.FAILURE, "a handle that is not open")
        return found.command.file

    def _passes(self, request: Request) -> None:
        """What is no command of its own, and belongs to one."""
        sent = self._sent[request.id] = Sent(request.kind)
        file = self._handles.get(request.handle)
        if file is None:
            return
        sent.file, sent.offset = file, request.offset
        if request.kind == sftp.CLOSE:
            del self._handles[request.handle]  # the target may give the same one to what is opened next
        elif request.kind == sftp.WRITE:
            self._transfers.writing = file
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
        self._sent[request.id] = Sent(request.kind, number, request.operation)
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

    def down(self, bodies: Sequence[Bytes], messages: list[memoryview] | None = None) -> list[Bytes]:
        """
        What leaves for the client now that this came; as `up`.

        :raises Unreadable: it is no SFTP, or answers what nobody asked.
        """
        if not self.begun:
            return self._down.put(_joined(list(bodies))) if messages is None else self._down.carry(messages)
        out: list[Bytes] = []
        came = self._answered.came(bodies)
        for body in _few(bodies):
            usual = not (self._own or self._answered.behind)
            rest = _behind(body, self._transfers.answered(self._answered, body) if usual else 0, self._coming)
            if rest:
                self._answered.feed(rest)
            while rest and (piece := self._answered.next()) is not None:
                self._coming.append(self._answer_came(piece) if isinstance(piece, sftp.Head) else self._read(piece))
                if self._own and self._answered.between:
                    out += self._down.put(_joined(self._coming)) + self._owned()
        return out + self._leaves(self._down, self._coming, came, messages)

    def _read(self, data: Bytes) -> Bytes:
        """What follows the head of a DATA."""
        if self._transfers.reading is not None:
            self._transfers.reading.read.add(data)
        return data

    def _owned(self) -> list[bytes]:
        """Our refusals, between two frames."""
        own, self._own = b"".join(self._own), []
        return self._down.inject(own)

    def stops(self) -> list[bytes]:
        """The target's stream is over."""
        return self._down.put(self._answered.left())

    def _answer_came(self, head: sftp.Head) -> bytes:
        self._transfers.reading = None
        if head.kind != sftp.VERSION:
            self._answered_one(head)
        return head.raw

    def _answered_one(self, head: sftp.Head) -> None:
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
                self._transfers.reading = sent.file
                sent.file.read.begins(sent.offset)
            case sftp.NAME | sftp.ATTRS | sftp.EXTENDED_REPLY:
                pass  # answers to what was passed
            case _:
                raise Unreadable("an answer of SFTP that does not fit its request")

    def _status(self, sent: Sent, code: int) -> None:
        if sent.kind == sftp.CLOSE and sent.file is not None:
            self._desk.ended(sent.file.number, sent.file.outcome())
        elif sent.kind == sftp.WRITE and sent.file is not None and code != sftp.OK:
            sent.file.failed = True
        if sent.number:
            ending = Ending.COMPLETE if code == sftp.OK else Ending.ERROR
            self._desk.ended(sent.number, Outcome(ending, transaction="I", facts={"status": str(code)}))

    def _opened(self, sent: Sent, handle: bytes) -> None:
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
