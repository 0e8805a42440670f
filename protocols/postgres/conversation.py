"""
What both directions of one session share: what was sent and not answered yet, what was
prepared, which portals are open, how the transaction stands.

The target answers strictly in order, so a queue of what is awaited tells every reply's
question. After an error in the extended protocol it ignores all until Sync.
Source: PostgreSQL 18 manual, 54.2.3 "Extended Query" and 54.2.4 "Pipelining".
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from protocols.command import Path, Statement, Transaction
from protocols.effects import Effect, Report
from protocols.encodings import UTF8, codec_of
from protocols.postgres.ahead import Ahead
from protocols.postgres.names import deallocated, deallocates, executable, executes, gives_names, moves_cursors
from protocols.postgres.running import Running, in_front_of_an_error
from protocols.result import Columns, Ending, Inspection, MaskPlan, RowBatch, Search
from protocols.verdict import Decision, Deny


DONE_LIMIT = 256
"""Commands that ended and wait for a ReadyForQuery to say how the transaction stands."""


class Opinions(Protocol):
    """The addons' synchronous answers, bound to one session."""

    hears_columns: bool
    hears_content: bool
    hears_data: bool
    hears_rows: bool
    hears_text: bool

    def kin(self, decision: Decision) -> re.Pattern[bytes] | None:
        """What other texts match about which the same was decided as about this query; None when there are none."""
    def plan(self, decision: Decision, columns: Columns) -> MaskPlan | None: ...
    def content(self, decision: Decision) -> Search | None: ...
    def inspection(self, decision: Decision) -> Inspection | None: ...
    def rows(self, decision: Decision, batch: RowBatch) -> Deny | None: ...
    def harmless(self, decision: Decision) -> bool:
        """Whether it changed nothing, so that it may be called failed though it ran."""
    def moves(self, decision: Decision, portals: bool) -> tuple[bool, bool]:
        """Whether code that it calls may give portals' names to cursors, looked for where there are `portals`; and take prepared statements away."""
    def text(self, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]: ...


class Kind(enum.Enum):
    """The messages that a target answers."""

    QUERY = "Query"
    CALL = "FunctionCall"
    SYNC = "Sync"
    PARSE = "Parse"
    BIND = "Bind"
    DESCRIBE = "Describe"
    EXECUTE = "Execute"
    CLOSE = "Close"


# Tuples: a member of an Enum is hashed by a function of Python's, in a tuple it is found by identity.
_READS = ("SELECT", "FETCH", "SHOW")
_ALL_GONE = ("DISCARD ALL", "DEALLOCATE ALL")  # command tags
_PREPARES = (Kind.PARSE, Kind.DESCRIBE, Kind.CLOSE)
_PREPARING = 8  # messages; more of them are a pipeline, and need not be looked through

_QUERY, _BIND, _DESCRIBE, _EXECUTE, _SYNC = Kind.QUERY, Kind.BIND, Kind.DESCRIBE, Kind.EXECUTE, Kind.SYNC

ENDS_IN_READY = (Kind.QUERY, Kind.CALL, Kind.SYNC)


@dataclass(slots=True, eq=False)
class Prepared:
    """A statement that Parse named."""

    text: str
    sent: str
    types: tuple[int, ...] = ()
    step: int = -1  #: pipeline step of its Parse, until the target has answered that
    habit: Any = None  #: `habit.Habit`, once it was executed outside of a transaction block
    habit_within: Any = None  #: and once it was inside one


@dataclass(slots=True, eq=False)
class Portal:
    """A bound statement; one command, however often it is resumed."""

    running: Running
    step: int  #: pipeline step (Syncs sent before it); a transaction's end drops older portals
    described: bool = False  #: a Describe of it was sent
    columns: Columns | None = None  #: from that Describe; one of its statement proves nothing, views change
    bound: bool = False  #: the target has made it
    naming: int = 0  #: the conversation's when it was decided
    doubtful: bool = False  #: SQL that was sent may have given its name to a cursor
    gone: bool = False  #: closed, replaced or past its transaction; SQL may have given its name to a cursor
    stale: bool = False  #: the configuration has changed since its command was decided

    def renew(self, decision: Decision) -> bool:
        """
        Go on under another decision that allows its command, by which its rows are described and masked again; False where that
        would have sent another text, or spends a grant: what the target has is the old one's.
        """
        before = self.running.decision
        if decision.sent != before.sent or decision.grant or decision.reveal or before.reveal:
            return False
        self.stale, self.described, self.running.decision, self.running.columns = False, False, decision, None
        return True


@dataclass(slots=True, eq=False)
class Awaited:
    """One message that the target will answer."""

    kind: Kind
    running: Running | None = None
    portal: Portal | None = None
    prepared: Prepared | None = None
    undo: tuple[dict[str, Any], str, Any] | None = None  #: table, name and what stood there before
    hidden: bool = False  #: ours, so its answer is not the client's
    step: int = 0
    ahead: Ahead | None = None  #: of what may ask for COPY data

    def forget(self) -> None:
        """A Describe that was not answered: the next Execute must ask again."""
        if self.portal is not None:
            self.portal.described = self.portal.columns is not None


def _ascii(running: Running) -> bool:
    command = running.decision.command
    return not isinstance(command, Statement) or (command.text + command.name).isascii()


@dataclass(slots=True, eq=False)
class Habits:
    """What is learnt where the transaction stands as it does: whoever decides may say otherwise elsewhere."""

    queries: dict[str, Any] = field(default_factory=dict)  #: `habit.Habit`s by their texts
    parsings: dict[bytes, Any] = field(default_factory=dict)  #: by the Parse message that comes first


@dataclass(slots=True)
class Conversation:
    """The state of one session's protocol."""

    settings: Mapping[str, str]
    transaction: Transaction = Transaction.IDLE
    awaited: deque[Awaited] = field(default_factory=deque)
    prepared: dict[str, Prepared] = field(default_factory=dict)
    texts: dict[str, str | None] = field(default_factory=dict)  #: name to text, what `Statement.prepared` shows
    naming: int = 0  #: counts whatever may give a statement's name to another, or take it
    doubted: set[str] | frozenset[str] = frozenset()  #: names of statements that SQL may have taken away, or not; a set once there are any
    text_length: int = 0  #: characters in `texts`
    portals: dict[str, Portal] = field(default_factory=dict)
    outside: Habits = field(default_factory=Habits)  #: of a transaction block
    inside: Habits = field(default_factory=Habits)
    closing: dict[tuple[str, str], Awaited] = field(default_factory=dict)  #: Close messages that are not answered, by kind and name
    skipping: bool = False  #: the target ignores everything until the client's next Sync
    asking: Awaited | None = None  #: it may ask for CopyData, and is not answered
    copying: Running | None = None  #: takes CopyData from the client
    step: int = 0
    done: list[Running] = field(default_factory=list)  #: ended, reported at the next ReadyForQuery
    lost: bool = False  #: some of those were reported already
    intended: dict[int, Running] = field(default_factory=dict)  #: by number, until they end
    dying: bool = False  #: the target has said a FATAL error
    codec: str = UTF8  #: what the client's text is read with, by the target's last word

    def __post_init__(self) -> None:
        self.codec = codec_of(self.settings)

    @property
    def pipelining(self) -> bool:
        """
        Whether commands that run or may run are on their way. A Parse and a Describe do nothing yet: every driver sends
        one of them in front of its Bind, and a person behind that driver is as alone as one who sends a Query.
        """
        if not self.awaited:
            return False
        return len(self.awaited) > _PREPARING or any(entry.kind not in _PREPARES for entry in self.awaited)

    @property
    def rests(self) -> bool:
        """
        Whether nothing is awaited, open or to be told, and the target listens. Inside a transaction block the portal without a name stays;
        it has ended, or it would be intended still.
        """
        if self.awaited or self.done or self.intended or self.skipping or self.copying or self.dying:
            return False
        return self.transaction is not Transaction.FAILED and all(not name and self.within for name in self.portals)

    @property
    def within(self) -> bool:
        """Whether this is inside a transaction block, which has not failed."""
        return self.transaction is Transaction.OPEN

    @property
    def habits(self) -> Habits:
        """Those that are known as the transaction stands."""
        return self.inside if self.within else self.outside

    def copies(self, entry: Awaited) -> None:
        """The target asks for COPY data; of an Execute whose data is whole for no more."""
        entry.running.copies, whole = True, entry.ahead.ask()
        self.copying = None if whole else entry.running
        self.asking = None if whole and entry.kind is Kind.EXECUTE else entry

    def wait_for(self, entry: Awaited) -> None:
        """The target will answer this too."""
        entry.step = self.step
        self.awaited.append(entry)
        if entry.kind in ENDS_IN_READY:
            self.step += 1

    @property
    def head(self) -> Awaited | None:
        return self.awaited[0] if self.awaited else None

    @property
    def blamed(self) -> Running | None:
        """Whose error it is when one comes now. A commit that fails at Sync is the last command's."""
        head = self.head
        if head is not None and head.kind is _SYNC:
            return self.done[-1] if self.done else None
        return head.running if head else None

    @property
    def beginning(self) -> bool:
        """Whether a Bind and a Describe, which is the client's own, are answered next, and nothing says that they must not be."""
        if len(self.awaited) < 2:
            return False
        bind, described = self.awaited[0], self.awaited[1]
        return bind.kind is _BIND and described.kind is _DESCRIBE and not described.hidden and bind.running.refusal is None

    @property
    def finishing(self) -> bool:
        """Likewise, whether what is answered next may end with that in a ReadyForQuery."""
        if not self.awaited:
            return False
        head = self.awaited[0]
        last = head.kind is _QUERY or head.kind is _EXECUTE and len(self.awaited) > 1 and self.awaited[1].kind is _SYNC
        running = head.running
        return last and running.refusal is None and not running.cut and not running.halted

    def rename(self, decision: Decision, opinions: Opinions, own: Portal | None = None) -> None:
        """
        SQL that is sent, and code that it calls, may take prepared statements or portals away, and give others their names: what has such a
        name is asked about in SQL's words from here on. One that stays after all is asked about likewise.

        :param own: the portal that is run; what it calls cannot close it.
        """
        text, held = decision.sent, any(self.portals) or bool(self.closing)
        asked = held or "(" in text and any(self.prepared)  # nearly nothing else takes a statement away
        portals, statements = opinions.moves(decision, held) if asked else (False, False)
        if statements or gives_names(text):
            self.naming += 1
        if statements:
            self._take_away(None)
        elif deallocates(text):
            self._take_away(deallocated(text))
        moved = (self.portals or self.awaited) and moves_cursors(text)
        if moved or portals:
            for portal in (*self.portals.values(), *(entry.undo[2] for entry in self._replacing(self.portals) if entry.undo[2])):
                portal.doubtful = portal.doubtful or bool(moved) or portal is not own

    def _take_away(self, name: str | None) -> None:
        """A prepared statement may be gone; None for all of them."""
        pending = self._replacing(self.prepared)
        taken = {each for each in (*self.prepared, *(entry.undo[1] for entry in pending)) if each and (name is None or each == name)}
        self.doubted = {*self.doubted, *taken}
        for gone in taken:
            self._put(self.prepared, gone, None)
            for entry in pending:
                entry.undo = None if entry.undo and entry.undo[1] == gone else entry.undo

    def _replacing(self, table: dict[str, Any]) -> list[Awaited]:
        """What is awaited that would put back what stood there if it failed."""
        return [entry for entry in self.awaited if entry.undo and entry.undo[0] is table]

    def unsettled(self, kind: str, name: str) -> bool:
        """
        Whether nobody can tell yet which statement ("S") or portal ("P") has this name: a message before the last Sync gives it one, or
        takes it, and the target may still refuse that, or skip it. In the same step as what is asked about it is certain, since that would be skipped too.
        """
        if kind == "S":
            prepared = self.prepared.get(name)
            made = -1 if prepared is None else prepared.step
        else:
            portal = self.portals.get(name)
            made = -1 if portal is None or portal.bound else portal.step
            prepared = portal
        closing = self.closing.get((kind, name))
        return -1 < made < self.step or (prepared is None and closing is not None and closing.step < self.step)

    def unclear(self, kind: str, name: str) -> bool:
        """Likewise, or whether it executes by name, in SQL's words, what nobody can tell."""
        if self.unsettled(kind, name):
            return True
        prepared, portal = self.prepared.get(name), self.portal(name)
        text = (prepared.text if prepared else "EXECUTE") if kind == "S" else portal.running.decision.sent if portal else ""
        return executes(text) and self.renaming

    def portal(self, name: str) -> Portal | None:
        """The one that surely has this name."""
        portal = self.portals.get(name)
        return None if portal is None or portal.doubtful and name else portal

    @property
    def renaming(self) -> bool:
        """Whether it is unsettled of any name of a statement."""
        if any(kind == "S" and one.step < self.step for (kind, _), one in self.closing.items()):
            return True
        return any(name and -1 < one.step < self.step for name, one in self.prepared.items())

    def parsed(self, entry: Awaited) -> None:
        """A Parse was answered: its name had no statement, and has one."""
        entry.prepared.step = -1
        name = entry.undo[1] if entry.undo else ""
        if self.doubted and self.prepared.get(name) is entry.prepared:
            self.doubted.discard(name)

    def replace(self, table: dict[str, Any], name: str, value: Any) -> tuple[dict[str, Any], str, Any]:
        """Put a value (None removes) under a name, and say how to take it back."""
        before = table.get(name)
        self._put(table, name, value)
        return table, name, before

    def _put(self, table: dict[str, Any], name: str, value: Any) -> None:
        before = table.pop(name, None) if value is None else table.get(name)
        if value is not None:
            table[name] = value
        if table is not self.prepared:
            return
        self.naming += 1 if name else 0
        self.text_length += len(value.text if value else "") - len(before.text if before else "")
        if value is not None:
            self.texts[name] = value.text if executable(value.text) else None
        elif name in self.doubted:
            self.texts[name] = None
        else:
            self.texts.pop(name, None)

    def end(self, running: Running, ending: Ending | None = None) -> None:
        """A command is over; that a limit cut it stays."""
        if running.ended:
            return
        running.ended = True
        running.ending = running.ending if running.cut else ending or running.ending
        self.intended.pop(running.number, None)
        self.done.append(running)
        if self.doubted and running.ending is Ending.COMPLETE:
            self._took_away(running)

    def _took_away(self, running: Running) -> None:
        """What was doubted is certain when SQL has taken it away, and nothing is behind that."""
        if not running.tags or any(entry.running not in (None, running) for entry in self.awaited):
            return
        certain = {deallocated(running.decision.sent)} if running.tags == ("DEALLOCATE",) else self.doubted if running.tags[-1] in _ALL_GONE else set()
        for name in certain & self.doubted:
            self.doubted.discard(name)
            if name not in self.prepared:
                self.texts.pop(name, None)

    def belied(self, running: Running, tag: str, opinions: Opinions) -> bool:
        """Whether an error would deny something that was done: by what the target completed with `tag`, or before that, where an error takes it back."""
        return self.lost or not tag.startswith(_READS) or not all(opinions.harmless(one.decision) for one in (*self.done, running))

    def skip_to_sync(self) -> None:
        """The target answered with an error: what follows until Sync has no answer."""
        undone = []
        while self.awaited and self.awaited[0].kind is not Kind.SYNC:
            undone.append(self.awaited.popleft())
        for entry in reversed(undone):
            if entry.undo:
                self._undo(*entry.undo)
            if entry.kind is Kind.CLOSE and self.closing:
                self.closed(entry, taken=False)
            if entry.kind is Kind.DESCRIBE:
                entry.forget()
            if entry.running:
                self._skipped(entry)
        self.skipping = self.skipping or not self.awaited
        self.copying = None

    def closed(self, entry: Awaited, *, taken: bool) -> None:
        """A Close was answered, and nothing has its name; or it was skipped."""
        for name in [name for name, one in self.closing.items() if one is entry]:
            del self.closing[name]
        table, name, _ = entry.undo or (None, "", None)
        if taken and table is self.prepared and name in self.doubted and name not in self.prepared:
            self.doubted.discard(name)
            self.texts.pop(name, None)

    def _undo(self, table: dict[str, Any], name: str, before: Any) -> None:
        """Put back what stood there; where a later message has put something in its place, that one comes behind it."""
        later = next((one for one in self.awaited if one.undo and one.undo[0] is table and one.undo[1] == name), None)
        if later is None:
            self._put(table, name, before)
        else:
            later.undo = table, name, before

    def broke(self, running: Running | None) -> None:
        """The target said an error in answer to this; what is reported of it stands among the others, or else behind the last of them."""
        if self.done and running not in self.done:
            self.done[-1].undone = True

    def _skipped(self, entry: Awaited) -> None:
        """A portal that stays open can be resumed, after a rollback to a savepoint: its command has not ended."""
        running, portal = entry.running, entry.portal
        if entry.kind is not Kind.EXECUTE or portal is None or not portal.bound:
            self.end(running, Ending.SKIPPED)
        elif not running.ended and running.ending is Ending.COMPLETE:
            running.ending = Ending.SKIPPED

    def reports(self, transaction: Transaction | None) -> list[Effect]:
        """Tell of everything that ended since the last ReadyForQuery."""
        done, self.done = self.done, []
        if not done:
            return []
        status, last = transaction or "", done[-1]
        if transaction == Transaction.IDLE and (last.sqlstate or last.undone or len(done) > 1):
            for running in in_front_of_an_error(done):
                running.followed = True
        among = ("", "") if self._alone(done) else ("more", "last")
        return [Report(r.number, r.decision, r.outcome(status, among[r is last])) for r in done]

    def _alone(self, done: list[Running]) -> bool:
        """Whether one of these at most did anything; a Parse does nothing, unless it fails."""
        if self.lost or len(done) > 2:
            return False
        return len(done) == 1 or (done[0].decision.command.path is Path.PARSE and all(one.ending is Ending.COMPLETE for one in done))

    def overdue(self) -> list[Effect]:
        """
        Tell of what ended long ago and has seen no ReadyForQuery: a pipeline without Sync may be of any length. The last
        is kept, since an error at Sync (a deferred constraint) is said in answer to it.
        """
        if len(self.done) <= DONE_LIMIT:
            return []
        last = self.done.pop()
        effects, self.done, self.lost = self.reports(None), [last], True
        return effects

    def ready(self, transaction: Transaction, step: int) -> list[Effect]:
        """ReadyForQuery: the portals of a transaction that ended are gone."""
        self.transaction = transaction
        if transaction is Transaction.IDLE:
            for name in [n for n, p in self.portals.items() if p.step <= step]:
                self.drop(self.portals.pop(name))
        reports, self.lost = self.reports(transaction), False
        return reports

    def drop(self, portal: Portal) -> None:
        """A portal is gone from the target."""
        portal.gone = True
        skipped = portal.running.ending is Ending.SKIPPED
        self.end(portal.running, Ending.SKIPPED if skipped else Ending.SUSPENDED)

    def unsettle(self) -> None:
        """
        SQL made a cursor. It may bear the name of a portal that SQL closed before, so what
        Execute of an older name runs is not known any more and must be asked about.
        """
        for name in [n for n, p in self.portals.items() if n and p.bound]:
            self.drop(self.portals.pop(name))

    def abandon(self, unsent: Collection[int] = ()) -> list[Effect]:
        """The session is over: what has not ended is unknown, or did not run where it was refused, or the target never had it."""
        for number, running in list(self.intended.items()):
            ran = running.refusal is None and number not in unsent
            self.end(running, Ending.UNKNOWN if ran else Ending.REFUSED)
        return self.reports(None)

    def set(self, name: str, value: str) -> bool:
        """
        The target reported a parameter. False when it reads what is on its way in another encoding than we judged it in;
        in ASCII all say the same.
        """
        self.settings = MappingProxyType({**self.settings, name.lower(): value})
        before, self.codec = self.codec, codec_of(self.settings)
        if before == self.codec:
            return True
        behind = [entry.running for entry in list(self.awaited)[1:] if entry.running]
        return all(_ascii(running) for running in (*behind, *self.done))  # told at Sync, it may be older than what ended
