"""
A target's messages to the client: rows counted and masked, errors and notices put to the
addons, each reply matched with what was asked.

A reply out of its order ends the session: what cannot be attributed cannot be masked.
Source: PostgreSQL 18 manual, 54.2 "Message Flow".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from protocols.command import FunctionCall, Transaction
from protocols.effects import CancelTarget, Effect, Hangup, Malformed, ToClient
from protocols.errors import PeerError
from protocols.kernel import mask_rows, payload
from protocols.postgres import replies
from protocols.postgres.codec import Frame, FrameReader, Opened, lacks_behind
from protocols.postgres.conversation import DONE_LIMIT, ENDS_IN_READY, Awaited, Conversation, Kind, Opinions
from protocols.postgres.exchange import answered
from protocols.postgres.passage import Passage
from protocols.postgres.phrases import LONGEST, NO_COLUMNS, NO_ROWS, NO_SHAPE, Shape, completed, ending, shape
from protocols.postgres.refusal import Poisoned, denial
from protocols.postgres.running import Running
from protocols.postgres.startup import meaning_changed
from protocols.postgres.texts import Texts
from protocols.result import Columns, Ending, RowBatch, Search

_STREAMED = frozenset(b"DdV")
_DONE = "It was done before it could be stopped. What it changed outside of an open transaction may stay."
_BETWEEN = (b"Z", b"N", b"S", b"A")
_UNHALTED = "a COPY that was failed ended without an error"
_COPY_DATA, _BOUND, _PHRASED, _ROWS = b"d"[0], b"2"[0], frozenset(b"2C"), {tag[0]: frozenset(tag) for tag in (b"D", b"d")}


class Backend:
    """The target's half of a relay."""

    def __init__(self, conversation: Conversation, opinions: Opinions) -> None:
        self._talk, self._opinions, self._texts = conversation, opinions, Texts(conversation, opinions)
        self._reader = FrameReader(limit=16 << 20, streamed=_STREAMED)
        self.portions = self._reader.portions  #: as FrameReader's
        self._passage: Passage | None = None  # the last message that came in pieces
        self._shape = NO_SHAPE
        self._after: list[Effect] = []  # what waits for the end of a message that is passing in pieces
        self._deaf = False  # it said nonsense: nothing more is taken
        self._amid = False  # what was taken last is a row: its answer goes on
        self._lacks: int | None = None  # of the message in which the read ends that was asked about last

    def feed(self, data: bytes | memoryview) -> list[Effect]:
        """Bytes came: the effects of every message that is whole."""
        if self._deaf:
            return []
        self._lacks = None
        wanted = answered(self._talk, self._opinions, self._shape, data) if self._reader.idle else None
        if wanted is not None:
            self._reader.passed(len(data))
            self._amid = False
            return wanted
        self._reader.feed(data)
        effects: list[Effect] = []
        try:
            while not self._deaf and self._next(effects):
                pass
        except PeerError as error:
            self._deaf = True
            self._pass(effects)
            effects.append(Malformed("target", error.why))
        self._pass(effects)
        if len(self._talk.done) > DONE_LIMIT:
            effects += self._talk.overdue()
        return effects

    @property
    def rests(self) -> bool:
        """Whether all that the target said is looked at, and more of it would be."""
        return self._reader.idle and not self._deaf

    def repeated(self, shape: Shape | None, size: int) -> None:
        """A habit's answer went by, of so many bytes; its rows had this shape, if they were described."""
        self._lacks, self._amid = None, False
        self._reader.passed(size)
        if shape is not None and shape is not NO_ROWS:
            self._shape = shape

    def cut(self, data: bytes) -> bool:
        """
        Whether the next read is of rows and ends inside one: the rest of it is still to come. With a head that is cut nobody
        can tell of what follows, but that something does. Of b"": whether the answer goes on, also where a row has just ended.
        """
        lacks = self._reader.lacks if self._lacks is None else self._lacks
        if lacks >= 0:
            lacks = lacks - len(data) if lacks > len(data) else lacks_behind(data, lacks)
        self._lacks = lacks
        return lacks > 0 or (not data and (lacks < 0 or self._amid))

    def _next(self, effects: list[Effect]) -> bool:
        """Take one message, one run of rows or one piece; False when more bytes must come first."""
        reader = self._reader
        if reader.body_left:
            return self._stream(effects)
        tag = reader.tag
        self._amid = self._amid if tag < 0 else tag in _ROWS
        if tag in _PHRASED and (self._begin() if tag == _BOUND else self._finish(effects)):
            return True
        kind = _ROWS.get(tag)  # whole rows of one kind, never mixed: only DataRow is masked
        if kind is not None and (count := reader.count_run(kind)):
            wanted = self._rows(count, reader.began)
        elif (frame := reader.next_frame()) is None:
            return False
        elif type(frame) is Opened:
            self._pass(effects)
            self._open(frame, effects)
            return True
        else:
            wanted = self._take(frame)
        self._go_on(effects, wanted)
        return True

    def _go_on(self, effects: list[Effect], wanted: list[Effect] | None) -> None:
        """With what is wanted of what was taken last; None lets it go on as it came."""
        if wanted is None:
            self._reader.keep()
        else:  # also when it is dropped: it must not go on with its neighbours
            self._pass(effects)
            effects += wanted

    def _begin(self) -> bool:
        """BindComplete and the RowDescription that was behind it the last time, at once; False for anything else."""
        talk = self._talk
        if not talk.beginning or not self._reader.take_known(self._shape.opening):
            return False
        self._reader.keep()
        self._bound(talk.awaited[0])
        self._described(talk.awaited[0], self._shape.columns)
        return True

    def _finish(self, effects: list[Effect]) -> bool:
        """CommandComplete and ReadyForQuery, the end of a read, at once; False for anything else."""
        reader = self._reader
        if not self._talk.finishing or (end := ending(reader.rest(LONGEST))) is None:
            return False
        reader.take(end.size)
        reader.keep()
        self._complete(self._talk.awaited[0], end.tag)
        reader.take(len(reader))
        self._go_on(effects, self._settle(end.transaction))
        return True

    def _pass(self, effects: list[Effect]) -> None:
        """What goes to the client as it came, in one piece."""
        if data := self._reader.kept():
            effects.append(ToClient(data))

    @property
    def midway(self) -> bool:
        """Whether the client has the beginning of a message whose end has not come."""
        return bool(self._reader.body_left) and self._passage is not None and self._passage.passing

    def aside(self, effect: Effect) -> list[Effect]:
        """Something of ours for the client, which must not land inside a message of the target's."""
        if not self.midway:
            return [effect]
        self._after.append(effect)
        return []

    def _take(self, frame: Frame) -> list[Effect] | None:
        """What is to be done about it; None for a message that goes to the client as it came."""
        taker = self._takers.get(frame.tag)
        if taker is None:
            raise PeerError(f"a message {frame.tag!r} that no server sends here")
        awaited = self._talk.awaited
        running = awaited[0].running if awaited else None
        if running is not None and running.late and frame.tag not in _BETWEEN:
            return self._end_too_late(running)  # the string goes on, and its client was to believe it did not
        return taker(self, frame)

    # -- rows --------------------------------------------------------------------------

    def _rows(self, count: int, tag: int) -> list[Effect] | None:
        """Whole DataRow messages, or whole CopyData messages; None for those that pass as they came."""
        copied = tag == _COPY_DATA
        running = self._producing(b"d" if copied else b"D")
        if running.cut:
            return []
        searched = self._searched(running) if copied and self._opinions.hears_content else None
        if copied:
            running.copy(payload(searched) if searched else self._reader.payload())
        refused = self._count(running, count, self._reader.size)
        if refused:
            return refused
        shown = searched if copied else self._masked(running)
        return None if shown is None else [ToClient(shown)]

    def _masked(self, running: Running) -> bytes | None:
        """The rows with their masks in; None where they pass as they came."""
        data = None
        if not running.clean:
            data, masked = mask_rows(self._reader.taken, running.plan.cells)
            running.cells_masked += masked
        search = self._search(running)
        if search is not None:
            rows = self._reader.taken if data is None else data
            shown, found = search.rows(rows, running.columns)
            running.cells_masked += found
            data = data if shown is rows else shown
        return data

    def _searched(self, running: Running) -> bytes | None:
        """Whole messages that are not rows, with what was found in them masked; None where they pass as they came."""
        search = self._search(running)
        if search is None:
            return None
        taken = self._reader.taken
        shown, found = search.messages(taken)
        running.cells_masked += found
        return None if shown is taken else shown

    def _search(self, running: Running) -> Search | None:
        """What looks through a command's result; asked for once."""
        if self._opinions.hears_content and not running.searched:
            running.searched, running.search = True, self._opinions.content(running.decision)
        return running.search

    def _producing(self, tag: bytes) -> Running:
        """The command whose rows these are."""
        head = self._talk.head
        if head is None or head.running is None or head.kind not in (Kind.QUERY, Kind.EXECUTE):
            raise PeerError("rows that nobody asked for")
        running = head.running
        if running.refusal is not None and not running.cut:
            raise Poisoned("rows in answer to a refused command")
        if head.portal is not None and head.portal.gone:
            raise PeerError("rows of a portal that is gone: those of an SQL cursor under its name")
        if tag == b"D" and self._opinions.hears_columns and running.columns is None:
            if head.portal is None or head.portal.columns is None:
                raise PeerError("rows without a description")
            self._plan(running, head.portal.columns)
        return running

    def _plan(self, running: Running, columns: Columns) -> None:
        plan = self._opinions.plan(running.decision, columns) if self._opinions.hears_columns else None
        running.shaped(columns, plan)

    def _count(self, running: Running, rows: int, size: int) -> list[Effect]:
        running.rows += rows
        running.bytes += size
        deny = running.plan.withheld if running.plan is not None else None
        if deny is None and not self._opinions.hears_rows and running.decision.reveal is None:
            return []
        deny = deny or self._opinions.rows(running.decision, RowBatch(rows, size, running.rows, running.bytes))
        if deny is None:
            return []
        running.cut, running.ending = True, Ending.LIMIT
        running.refusal = denial(deny, running.number)
        if not isinstance(running.decision.command, FunctionCall):
            return [CancelTarget()]
        # A call's one result is its end: nothing is left to cancel, and ReadyForQuery follows an error too.
        running.sqlstate = deny.sqlstate
        return [ToClient(replies.ErrorResponse(running.refusal).encode())]

    def _open(self, opened: Opened, effects: list[Effect]) -> None:
        """A message too large to collect begins."""
        self._passage = None  # where nobody asked for it the session ends, and nothing of it was passed
        running = self._expect(Kind.CALL).running if opened.tag == b"V" else self._producing(opened.tag)
        if not running.cut:
            effects += self._count(running, 1, opened.length + 5)
        self._search(running)
        self._passage = Passage(opened, running)
        effects += self._passage.begin()

    def _stream(self, effects: list[Effect]) -> bool:
        """Pass what has arrived of a large message; False when more must come first."""
        if not (chunk := self._reader.body_chunk()):
            return False
        effects += self._passage.piece(chunk)
        if not self._reader.body_left:
            effects += [*self._passage.end(), *self._after]
            self._after = []
        return True

    # -- replies -----------------------------------------------------------------------

    def _expect(self, *kinds: Kind) -> Awaited:
        """What the next reply answers; it must be one of these."""
        awaited = self._talk.awaited
        head = awaited[0] if awaited else None
        if head is None or head.kind not in kinds:
            due = head.kind.value if head else "nothing"
            raise PeerError(f"a reply to {'/'.join(k.value for k in kinds)} while {due} is awaited")
        running = head.running
        if running is not None and running.refusal is not None and not running.cut:
            raise Poisoned("a refused command was accepted by the target")
        return head

    def _parse_complete(self, frame: Frame) -> None:
        entry = self._expect(Kind.PARSE)
        self._talk.end(entry.running)
        self._talk.parsed(entry)
        self._talk.awaited.popleft()

    def _bind_complete(self, frame: Frame) -> None:
        self._bound(self._expect(Kind.BIND))

    def _bound(self, entry: Awaited) -> None:
        self._talk.awaited.popleft()
        entry.portal.bound = True
        before = entry.undo[2] if entry.undo else None
        if before is not None:  # the portal that stood under this name is gone
            self._talk.drop(before)

    def _close_complete(self, frame: Frame) -> list[Effect] | None:
        entry = self._expect(Kind.CLOSE)
        self._talk.awaited.popleft()
        self._talk.closed(entry, taken=True)
        if entry.portal is not None:
            self._talk.drop(entry.portal)
        return None

    def _parameter_description(self, frame: Frame) -> list[Effect] | None:
        return [] if self._expect(Kind.DESCRIBE).hidden else None

    def _row_description(self, frame: Frame) -> list[Effect] | None:
        entry = self._expect(Kind.DESCRIBE, Kind.QUERY)
        if frame.body != self._shape.body:
            self._shape = shape(frame.body)
        columns = self._shape.columns
        if entry.kind is Kind.QUERY:
            self._plan(entry.running, columns)
            return None
        return self._described(entry, columns)

    def _no_data(self, frame: Frame) -> list[Effect] | None:
        return self._described(self._expect(Kind.DESCRIBE), NO_COLUMNS)

    def _described(self, entry: Awaited, columns: Columns) -> list[Effect] | None:
        self._talk.awaited.popleft()
        if entry.portal is not None:
            entry.portal.columns = columns
        return [] if entry.hidden else None

    def _command_complete(self, frame: Frame) -> list[Effect] | None:
        entry = self._expect(Kind.QUERY, Kind.EXECUTE)
        tag = completed(frame.body)
        if entry.running.cut:
            return self._cut_too_late(entry, tag)
        self._complete(entry, tag)
        return None

    def _complete(self, entry: Awaited, tag: str) -> None:
        entry.running.tags += (tag,)
        self._executed(entry)
        if tag == "DECLARE CURSOR":
            self._talk.unsettle()

    def _empty_query(self, frame: Frame) -> None:
        self._executed(self._expect(Kind.QUERY, Kind.EXECUTE))

    def _executed(self, entry: Awaited) -> None:
        self._talk.copying = None if self._talk.copying is entry.running else self._talk.copying
        if entry.kind is Kind.EXECUTE:
            if entry.running.halted:
                raise Poisoned(_UNHALTED)
            self._talk.awaited.popleft()
            self._talk.end(entry.running, Ending.COMPLETE)

    def _portal_suspended(self, frame: Frame) -> list[Effect] | None:
        entry = self._expect(Kind.EXECUTE)
        if entry.running.cut:
            return self._cut_too_late(entry, "")
        self._talk.awaited.popleft()
        if not entry.portal.bound:  # an SQL cursor's: this FETCH is over, the next one is another command
            self._talk.end(entry.running, Ending.COMPLETE)
        elif not entry.running.ended:
            entry.running.ending = Ending.SUSPENDED
        return None

    def _cut_too_late(self, entry: Awaited, done: str) -> list[Effect]:
        """
        It ended before the cancel arrived. The client must not take a short result for the whole. A read that nothing follows did nothing
        that an error would belie; after anything else the session ends, since what was done, or runs next, would be taken for undone.
        """
        running, read = entry.running, not self._talk.belied(entry.running, done, self._opinions)
        running.tags += (done,) if done else ()
        if read and entry.kind is Kind.EXECUTE and [e.kind for e in list(self._talk.awaited)[1:2]] == [Kind.SYNC]:
            running.sqlstate = running.refusal["C"]
            self._talk.awaited.popleft()
            self._talk.end(running)
            return [ToClient(replies.ErrorResponse(running.refusal).encode())]
        if read and entry.kind is Kind.QUERY and not running.late:
            running.late = True  # told at ReadyForQuery, if that is what comes next
            return []
        return self._end_too_late(running)

    def _end_too_late(self, running: Running) -> list[Effect]:
        return self._end_session(running.refusal | {"S": "FATAL", "V": "FATAL", "H": _DONE}, "a limit ended the session")

    def _end_session(self, fatal: dict[str, str], why: str) -> list[Effect]:
        """Nothing more of the target is taken; the client hears why."""
        self._deaf = True
        return [ToClient(replies.ErrorResponse(fatal).encode()), Hangup(why)]

    def _call_result(self, frame: Frame) -> list[Effect] | None:
        running = self._expect(Kind.CALL).running
        refused = self._count(running, 1, self._reader.size)
        if refused:
            return refused
        shown = self._searched(running)
        return None if shown is None else [ToClient(shown)]

    def _ready(self, frame: Frame) -> list[Effect] | None:
        return self._settle(replies.transaction_of(frame.body))

    def _settle(self, transaction: Transaction) -> list[Effect] | None:
        head = self._talk.head
        if head is None or head.kind not in ENDS_IN_READY:
            raise PeerError("ReadyForQuery that nobody waits for")
        late: list[Effect] = []
        if head.running is not None and head.running.late:
            head.running.sqlstate = head.running.refusal["C"]
            late = [ToClient(replies.ErrorResponse(head.running.refusal).encode())]
        if head.running is not None and head.running.refusal is not None and not head.running.sqlstate:
            raise Poisoned("a refused command ended without an error")
        if head.running is not None and head.running.halted and not head.running.sqlstate:
            raise Poisoned(_UNHALTED)
        self._talk.awaited.popleft()
        if head.running is not None:
            self._talk.end(head.running)
        self._talk.copying = None
        first = late + self._talk.ready(transaction, head.step)
        return [*first, ToClient(self._reader.taken)] if first else None

    # -- COPY --------------------------------------------------------------------------

    def _copy_in(self, frame: Frame) -> list[Effect] | None:
        entry = self._expect(Kind.QUERY, Kind.EXECUTE)
        if entry is not self._talk.asking:
            raise PeerError("a demand for COPY data of what copies none")
        self._talk.copies(entry)
        return None

    def _copy_out(self, frame: Frame) -> list[Effect] | None:
        """Its rows have no description; whether they may come is asked all the same."""
        running = self._expect(Kind.QUERY, Kind.EXECUTE).running
        running.copies = True
        self._plan(running, NO_COLUMNS)
        return None

    def _copy_done(self, frame: Frame) -> list[Effect] | None:
        return [] if self._expect(Kind.QUERY, Kind.EXECUTE).running.cut else None

    # -- text --------------------------------------------------------------------------

    def _error(self, frame: Frame) -> list[Effect] | None:
        error = replies.ErrorResponse.parse(frame.body)
        head = self._talk.head
        running = self._talk.blamed
        if running is not None and running.halted:
            running.refusal = running.refusal or denial(running.halting, running.number)
        shown = running.refusal if running is not None else None
        if shown is None:
            shown = self._texts.shown("error", dict(error.fields), running)
            self._talk.dying = self._talk.dying or error.fields.get("V", error.fields.get("S")) in ("FATAL", "PANIC")
        if running is not None:
            running.failed(error.sqlstate)
        self._after_error(head)
        if head is not None:
            self._talk.broke(running)
        return None if shown is None else [ToClient(replies.ErrorResponse(shown).encode())]

    def _after_error(self, head: Awaited | None) -> None:
        if head is None:
            return
        self._talk.copying = None
        if head.kind not in ENDS_IN_READY:
            if head.running is not None:
                self._talk.end(head.running)
            self._talk.skip_to_sync()

    def _parameter(self, frame: Frame) -> list[Effect] | None:
        message = replies.ParameterStatus.parse(frame.body)
        changed = meaning_changed(message.name, message.value)
        if changed:
            return self._end_session(replies.error_fields("0A000", f"{changed} [OST-705]", "FATAL"), changed)
        if not self._talk.set(message.name, message.value):
            why = "client_encoding changed before text that was already on its way"
            return self._end_session(replies.error_fields("0A000", f"{why} [OST-705]", "FATAL"), why)
        cause = self._talk.blamed  # servers since 14 tell of it before ReadyForQuery
        shown = self._texts.shown("parameter", {"name": message.name, "value": message.value}, cause)
        if shown is None:
            return None
        return [ToClient(replies.ParameterStatus(message.name, shown["value"]).encode())]

    _takers: ClassVar[dict[bytes, Callable[[Backend, Frame], list[Effect] | None]]] = {  # of the class: bound methods take memory
        b"1": _parse_complete, b"2": _bind_complete, b"3": _close_complete, b"T": _row_description, b"n": _no_data,
        b"t": _parameter_description, b"C": _command_complete, b"I": _empty_query, b"s": _portal_suspended, b"E": _error,
        b"N": lambda self, frame: self._texts.notice(frame), b"A": lambda self, frame: self._texts.notification(frame),
        b"S": _parameter, b"Z": _ready, b"G": _copy_in, b"H": _copy_out, b"c": _copy_done, b"V": _call_result,
    }
