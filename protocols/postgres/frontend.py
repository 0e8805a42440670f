"""
A client's messages into commands, and decided commands into bytes for the target.

Takes one message at a time and none while a verdict is outstanding. Parse is decided as
text, Bind as text with values; the Execute messages of its portal are that same command.
What this session never prepared or bound is asked about in SQL's own words.
Source: PostgreSQL 18 manual, 54.2 "Message Flow".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from protocols.command import Command, FunctionCall, Parameter, Path, Statement
from protocols.effects import Ask, Effect, Hangup, Intend, Malformed, Refused, ToTarget
from protocols.errors import PeerError
from protocols.kernel import payload
from protocols.postgres import messages
from protocols.postgres.body import LongName, NotText
from protocols.postgres.codec import Frame, Run
from protocols.postgres.conversation import (
    Awaited, Conversation, Kind, Opinions, Portal, Prepared,
)
from protocols.postgres.exchange import asked
from protocols.postgres.feed import Feed
from protocols.postgres.intake import Intake, Piece, TooLarge, about
from protocols.postgres.long import LongMessage
from protocols.postgres.names import LONGEST, executes, feeds
from protocols.postgres.phrases import DESCRIBE_AND_RUN, RUN, described, executed
from protocols.postgres.refusal import CHANGED, denial, poison_parse, poison_query
from protocols.postgres.running import Running
from protocols.spool import Spool, Spools
from protocols.verdict import Allow, Decision, Deny

PREPARED_LIMIT = 10_000
"""Statements, and open portals: what one session may make us remember."""

TEXTS_LIMIT = 64 << 20
"""Characters of prepared text in one session."""

IN_FLIGHT_LIMIT = 4096
"""
Messages that the target has not answered: five bytes of Sync cost us a hundred, and every command is a record that
waits to be durable. Not below 8192 / 5: a server keeps its answers, of five bytes at least, until it has 8 KiB of them.
"""

_ALWAYS_HEARD = (b"S", b"X")  # what a target that skips still listens to

_Release = Callable[[Decision], list[Effect]]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Frontend:
    """The client's half of a relay."""

    def __init__(self, conversation: Conversation, opinions: Opinions, spools: Spools | None) -> None:
        """
        :param spools: as Intake's.
        """
        self._talk, self._opinions = conversation, opinions
        self._intake = Intake(spools)
        self.portions = self._intake.portions  #: as FrameReader's
        self._long: LongMessage | None = None  # what is asked about, if that is spooled
        self.number = 0  #: of the last command
        self._release: _Release | None = None
        self._deaf = False  # it said goodbye or nonsense: nothing more is taken
        self.full = False  # it stopped taking messages until the target has answered some
        self._later: Any = None  # a Bind that was taken, and waits for the target's word on its statement
        self._feed = Feed(conversation, opinions)
        self.due = self._feed.answered  #: as Feed's
        self._texts = MappingProxyType(conversation.texts)

    @property
    def intake(self) -> Intake | None:
        """What it takes messages from as they come; None while it takes none."""
        return None if self._deaf or self._release is not None or self._later is not None else self._intake

    @property
    def behind(self) -> int:
        """Bytes read and not looked at."""
        return len(self._intake)

    @property
    def rests(self) -> bool:
        """Whether all that the client said is looked at and decided."""
        return self._release is None and self._later is None and not self._deaf and self._intake.idle

    def terminates(self) -> bool:
        """Whether the client has already said goodbye behind what is held."""
        return self._intake.terminates()

    def resume(self, read: bytes, *decided: Decision) -> list[Effect]:
        """Take commands that are decided, by what is remembered so, and intended: as if it had never been anything but its messages."""
        effects = self.feed(read)
        for each in decided:
            command = effects.pop().command
            same = each.sent == each.command.text
            effects += self.answer(replace(each, command=command, sent=command.text if same else each.sent))
        return effects

    def repeated(self, count: int, size: int) -> None:
        """So many executions went by, of so many bytes."""
        self.number += count
        self._intake.passed(size)

    def feed(self, data: bytes | memoryview) -> list[Effect]:
        """Bytes came: take what can be taken."""
        if not self._deaf:
            self._intake.feed(data)
            whole = self._release is None and type(data) is bytes and data.endswith(RUN) and self._intake.holds(data)
            if whole and (wanted := self._bind_at_once(data)):
                return wanted
        return self.pull()

    def _bind_at_once(self, data: bytes) -> list[Effect] | None:
        """As `pull` would take the Bind of all that is there, if that is `exchange.asked`; None for all else, of which nothing is taken."""
        talk = self._talk
        if talk.skipping or talk.asking is not None or self._later is not None or len(talk.awaited) >= IN_FLIGHT_LIMIT or len(talk.portals) >= PREPARED_LIMIT:
            return None
        found = asked(talk, data)
        if found is None or (talk.awaited and talk.unclear("S", found.bind.statement)):
            return None
        self.full = False
        self._intake.take(found.size)
        return self._ask_bound(found.bind, found.prepared, data[: found.size])

    def pull(self) -> list[Effect]:
        """Take messages until one needs a verdict or none is whole."""
        effects: list[Effect] = []
        intake, awaited = self._intake, self._talk.awaited
        try:
            while self._release is None and not self._deaf:
                self.full = len(awaited) >= IN_FLIGHT_LIMIT
                waited = self._later
                message = None if self.full else waited or intake.next_message()
                if message is None:
                    break
                self.full = bool(awaited) and self._unsettled(message)
                self._later = message if self.full else None
                if self.full:
                    break
                wanted = self._take(message)
                if wanted is None and type(message) is Frame and not waited and intake.keep():  # else its bytes are there no more
                    continue
                self._pass(effects)  # also when it is dropped: it must not go on with its neighbours
                effects += [ToTarget(_encoded(message))] if wanted is None else wanted
        except PeerError as error:
            self._pass(effects)
            self._deaf = True
            effects.append(Malformed("client", error.why))
        self._pass(effects)
        return effects

    def _unsettled(self, message: Any) -> bool:
        """Whether it is about a statement or a portal of which nobody can tell yet what it is, or comes behind what may ask for COPY data."""
        if self._feed.waits(message):
            return True
        if type(message) is Frame and message.tag == b"Q":
            return executes(message.body) and self._talk.renaming
        kind, name = about(message)
        return bool(kind) and self._talk.unclear(kind, name.decode(self._talk.codec, "replace"))

    def _pass(self, effects: list[Effect]) -> None:
        """What goes to the target as it came, in one piece."""
        data = self._intake.kept()
        if data:
            effects.append(ToTarget(data))

    def answer(self, decision: Decision) -> list[Effect]:
        """The verdict on what was asked; then on with the next message."""
        release, self._release = self._release, None
        if release is None:
            raise AssertionError("an answer to no question")
        effects = self._moot(decision) if self._talk.skipping else release(decision)
        if self._long is not None:
            self._hand_over(effects)
        if not len(self._intake):
            return effects
        rest = self._intake.rest()
        wanted = self._bind_at_once(rest) if rest.endswith(RUN) else None
        return effects + (self.pull() if wanted is None else wanted)

    def _hand_over(self, effects: list[Effect]) -> None:
        """Whoever performs the Intend has the spool now; when there is none, nobody needs it."""
        if not any(isinstance(effect, Intend) for effect in effects):
            self._long.close()
        self._long = None

    def discard(self) -> None:
        """The session is over: forget what is spooled."""
        self._intake.discard()
        for one in (self._long, self._later):
            if isinstance(one, LongMessage):
                one.close()

    def _moot(self, decision: Decision) -> list[Effect]:
        """While it was held an earlier command failed, and the target would read past this one."""
        return [Refused(self._next_number(), decision)] if isinstance(decision.verdict, Deny) else []

    # -- messages ----------------------------------------------------------------------

    def _take(self, message: Frame | TooLarge | Piece | Run | LongMessage) -> list[Effect] | None:
        """What is to be done about it; None for a frame that goes to the target as it came."""
        if type(message) is Frame:
            return self._take_frame(message)
        if isinstance(message, Piece):
            return self._feed.data(message.data, b"" if message.head else message.data, message)
        if isinstance(message, Run):
            return self._feed.data(message.data, payload(message.data))
        if isinstance(message, LongMessage):
            return self._take_long(message)
        return [] if self._talk.skipping else self._too_large(message)

    def _take_frame(self, message: Frame) -> list[Effect] | None:
        if self._talk.skipping and message.tag not in _ALWAYS_HEARD:
            return []  # the target would read past it too
        taker = self._takers.get(message.tag)
        if taker is None:
            raise PeerError(f"no client sends a message {message.tag!r} here")
        try:
            return taker(self, message)
        except (NotText, LongName) as error:
            return self._misread(message.tag, error)

    def _take_long(self, message: LongMessage) -> list[Effect]:
        """Values that lie in a spool."""
        if self._talk.skipping:
            message.close()
            return []
        if message.failure:
            return self._refuse_unread(message.tag, message.failure, "53400", "OST-707", "try again, or send it in parts")
        self._long = message
        try:
            if message.tag == b"F":
                return self._ask_call(message.call(), message)
            return self._ask_bind(message.bind(self._talk.codec), message)
        except (NotText, LongName) as error:
            return self._misread(message.tag, error)
        finally:
            if self._release is None:
                self._hand_over([])

    def _misread(self, tag: bytes, error: NotText | LongName) -> list[Effect]:
        if isinstance(error, LongName):
            return self._refuse_unread(tag, f"the name of a statement or a portal has more than {LONGEST} bytes", "42622", "OST-709", "shorten it")
        why = f"text that is not {self._talk.codec}, as client_encoding says it is"
        return self._refuse_unread(tag, why, "22021", "OST-702")

    def _query(self, frame: Frame) -> list[Effect]:
        text = messages.Query.parse(frame.body, self._talk.codec).text
        return self._ask(self._statement(text, Path.SIMPLE), lambda decision: self._run_query(frame, decision))

    def _parse(self, frame: Frame) -> list[Effect]:
        parse = messages.Parse.parse(frame.body, self._talk.codec)
        full = len(self._talk.prepared) >= PREPARED_LIMIT and parse.name not in self._talk.prepared
        if full or self._talk.text_length > TEXTS_LIMIT:
            return self._refuse_unread(frame.tag, "too many prepared statements in one session", "54000", "OST-703")
        statement = self._statement(parse.text, Path.PARSE, name=parse.name, types=parse.type_oids)
        return self._ask(statement, lambda decision: self._run_parse(parse, frame, decision))

    def _bind(self, frame: Frame) -> list[Effect]:
        return self._ask_bind(messages.Bind.parse(frame.body, self._talk.codec), frame)

    def _ask_bind(self, bind: messages.Bind, source: Frame | LongMessage) -> list[Effect]:
        if len(self._talk.portals) >= PREPARED_LIMIT and bind.portal not in self._talk.portals:
            return self._refuse_unread(source.tag, "too many open portals in one session", "54000", "OST-703")
        if not bind.statement and "" not in self._talk.prepared:  # SQL prepares none without a name
            return self._refuse_unread(source.tag, "unnamed prepared statement does not exist", "26000", "OST-708")
        return self._ask_bound(bind, self._talk.prepared.get(bind.statement), source)

    def _ask_bound(self, bind: messages.Bind, prepared: Prepared | None, source: Frame | LongMessage | bytes) -> list[Effect]:
        """:param source: of `bind`; bytes are the message as it came."""
        text = prepared.text if prepared else f"EXECUTE {_quoted(bind.statement)}"
        types = prepared.types if prepared else ()
        values = tuple([Parameter(types[i] if i < len(types) else 0, bind.format_of(i), value) for i, value in enumerate(bind.values)])
        statement = self._statement(text, Path.BIND, values, bind.statement, bind.portal, types)
        return self._ask(statement, lambda decision: self._run_bind(bind, prepared, source, decision))

    def _describe(self, frame: Frame) -> None:
        self._describing(described(frame.body, self._talk.codec), hidden=False)

    def _describing(self, message: messages.Describe, hidden: bool) -> None:
        prepared = self._talk.prepared.get(message.name) if message.kind == "S" else None
        portal = self._talk.portal(message.name) if message.kind == "P" else None
        if portal is not None:
            portal.described = True
        self._await(Awaited(Kind.DESCRIBE, None, portal, prepared, None, hidden))

    def _execute(self, frame: Frame) -> list[Effect] | None:
        execute = executed(frame.body, self._talk.codec)
        portal = self._talk.portal(execute.portal)
        if portal is not None and (portal.stale or portal.naming != self._talk.naming and executes(portal.running.decision.sent)):
            return self._ask(portal.running.decision.command, lambda decision: self._run_stale(portal, execute, frame, decision))
        if portal is not None:
            return self._run_portal(portal, execute, frame)
        if not execute.portal:  # SQL declares none without a name
            return self._refuse_unread(frame.tag, 'portal "" does not exist', "34000", "OST-708")
        statement = self._statement(f"FETCH FORWARD {execute.limit or 'ALL'} FROM {_quoted(execute.portal)}", Path.BIND)
        return self._ask(statement, lambda decision: self._run_cursor(execute, frame, decision))

    def _run_portal(self, portal: Portal, execute: messages.Execute, frame: Frame) -> list[Effect] | None:
        self._talk.rename(portal.running.decision, self._opinions, portal)  # now it runs; it may have been bound long ago
        hidden = self._opinions.hears_columns and not portal.described
        message = messages.Describe("P", execute.portal)
        if hidden:
            self._describing(message, hidden=True)
        self._await(Awaited(Kind.EXECUTE, portal.running, portal))
        return [ToTarget(message.encode(self._talk.codec) + _encoded(frame))] if hidden else None

    def _run_stale(self, portal: Portal, execute: messages.Execute, frame: Frame, decision: Decision) -> list[Effect]:
        if isinstance(decision.verdict, Allow) and not portal.renew(decision):
            decision = Decision(decision.command, CHANGED, decision.sent, columns=decision.columns)
        if isinstance(decision.verdict, Deny):
            return self._refused(decision, simple=False)
        portal.naming = self._talk.naming
        return self._run_portal(portal, execute, frame) or [ToTarget(_encoded(frame))]

    def _close(self, frame: Frame) -> None:
        close = messages.Close.parse(frame.body, self._talk.codec)
        table = self._talk.prepared if close.kind == "S" else self._talk.portals
        portal = self._talk.portals.get(close.name) if close.kind == "P" else None
        entry = Awaited(Kind.CLOSE, portal=portal, undo=self._talk.replace(table, close.name, None))
        self._talk.closing[close.kind, close.name] = entry
        self._await(entry)

    def _sync(self, frame: Frame) -> list[Effect] | None:
        messages.Sync.parse(frame.body)
        self._talk.skipping = False
        held = self._feed.hold()
        if held is None:
            self._talk.wait_for(Awaited(Kind.SYNC))
        return held

    def _flush(self, frame: Frame) -> None:
        messages.Flush.parse(frame.body)

    def _call(self, frame: Frame) -> list[Effect]:
        return self._ask_call(messages.FunctionCall.parse(frame.body), frame)

    def _ask_call(self, call: messages.FunctionCall, source: Frame | LongMessage) -> list[Effect]:
        arguments = tuple(Parameter(0, call.format_of(i), value) for i, value in enumerate(call.values))
        command = FunctionCall(call.oid, arguments, self._talk.transaction, self._talk.settings)
        return self._ask(command, lambda decision: self._run_call(source, decision))

    def _copy_end(self, frame: Frame) -> list[Effect] | None:
        return self._feed.end(frame)

    def _terminate(self, frame: Frame) -> list[Effect]:
        self._deaf = True
        return [ToTarget(self._feed.parting() + _encoded(frame)), Hangup("client said goodbye", drain=True)]

    # -- questions ---------------------------------------------------------------------

    def _statement(
        self, text: str, path: Path, parameters: tuple[Parameter, ...] = (), name: str = "", portal: str = "",
        types: tuple[int, ...] = (),
    ) -> Statement:
        talk = self._talk
        return Statement(
            text, path, parameters, name, portal, talk.transaction, talk.pipelining, talk.settings, self._texts, types
        )

    def _ask(self, command: Command, release: _Release) -> list[Effect]:
        self._release = release
        return [Ask(command)]

    def _refuse_unread(self, tag: bytes, why: str, sqlstate: str, code: str, hint: str = "") -> list[Effect]:
        """Refuse a message that no addon can be asked about."""
        path = {b"Q": Path.SIMPLE, b"P": Path.PARSE, b"F": Path.FASTPATH}.get(tag, Path.BIND)
        decision = Decision(self._statement("", path), Deny(why, code, hint=hint, sqlstate=sqlstate))
        return self._refused(decision, tag in b"QF")

    def _too_large(self, message: TooLarge) -> list[Effect]:
        why = f"a message of {message.length} bytes is over the gateway's limit"
        return self._refuse_unread(message.tag, why, "54000", "OST-701", "send long values as parameters, or with COPY")

    # -- verdicts ----------------------------------------------------------------------

    def _refused(self, decision: Decision, simple: bool) -> list[Effect]:
        """Poison in the command's place; in the extended protocol the target then skips to Sync, and so do we."""
        running = Running(self._next_number(), decision)
        running.refusal = denial(decision.verdict, running.number)
        running.ended = True  # its record is the refusal, not an outcome
        self._await(Awaited(Kind.QUERY if simple else Kind.PARSE, running))
        self._talk.skipping = not simple
        poison = poison_query(running.number) if simple else poison_parse(running.number)
        return [Refused(running.number, decision), ToTarget(poison)]

    def _run_query(self, frame: Frame, decision: Decision) -> list[Effect]:
        if isinstance(decision.verdict, Deny):
            return self._refused(decision, simple=True)
        running = self._running(decision)
        self._await(Awaited(Kind.QUERY, running))
        same = decision.sent == decision.command.text  # then it is the very bytes that were judged
        data = _encoded(frame) if same else messages.Query(decision.sent).encode(self._talk.codec)
        return [Intend(running.number, decision, data, poison_query(running.number))]

    def _run_parse(self, parse: messages.Parse, frame: Frame, decision: Decision) -> list[Effect]:
        if isinstance(decision.verdict, Deny):
            return self._refused(decision, simple=False)
        running, prepared = self._running(decision), Prepared(parse.text, decision.sent, parse.type_oids, self._talk.step)
        undo = self._talk.replace(self._talk.prepared, parse.name, prepared)
        self._await(Awaited(Kind.PARSE, running, prepared=prepared, undo=undo))
        same = decision.sent == parse.text
        data = _encoded(frame) if same else messages.Parse(parse.name, decision.sent, parse.type_oids).encode(self._talk.codec)
        return [Intend(running.number, decision, data, poison_parse(running.number))]

    def _run_bind(
        self, bind: messages.Bind, prepared: Prepared | None, source: Frame | LongMessage | bytes, decision: Decision
    ) -> list[Effect]:
        if isinstance(decision.verdict, Allow) and prepared and decision.sent != prepared.sent:
            decision = Decision(decision.command, CHANGED, decision.sent, columns=decision.columns)
        if isinstance(decision.verdict, Deny):
            return self._refused(decision, simple=False)
        running = self._running(decision)
        portal = Portal(running, self._talk.step, naming=self._talk.naming)
        undo = self._talk.replace(self._talk.portals, bind.portal, portal)
        self._await(Awaited(Kind.BIND, running, portal, undo=undo))
        data, poison = _content(source), poison_parse(running.number)
        behind = self._run_at_once(portal) if not bind.portal and isinstance(data, bytes) else b""
        return [Intend(running.number, decision, data + behind, poison + behind) if behind else Intend(running.number, decision, data, poison)]

    def _run_at_once(self, portal: Portal) -> bytes:
        """What nearly always follows a Bind, as its messages would be taken one by one: what is sent then. b"" for what else follows."""
        talk = self._talk
        awaited, step = talk.awaited, talk.step
        known = len(awaited) < IN_FLIGHT_LIMIT - 3 and talk.asking is None and not feeds(portal.running.decision.sent)
        if not (own := known and self._intake.take_known(DESCRIBE_AND_RUN)) and not (known and self._intake.take_known(RUN)):
            return b""
        portal.described = own or self._opinions.hears_columns
        if portal.described:
            awaited.append(Awaited(_DESCRIBE, None, portal, hidden=not own, step=step))
        awaited.extend((Awaited(_EXECUTE, portal.running, portal, step=step), Awaited(_SYNC, step=step)))
        talk.step = step + 1
        return DESCRIBE_AND_RUN if portal.described else RUN

    def _run_cursor(self, execute: messages.Execute, frame: Frame, decision: Decision) -> list[Effect]:
        """Execute of a portal that SQL made (DECLARE): a command of its own."""
        if isinstance(decision.verdict, Deny):
            return self._refused(decision, simple=False)
        running, effects = self._running(decision), []
        portal = Portal(running, self._talk.step, described=True)
        if self._opinions.hears_columns:
            self._await(Awaited(Kind.DESCRIBE, portal=portal, hidden=True))
            effects.append(ToTarget(messages.Describe("P", execute.portal).encode(self._talk.codec)))
        self._await(Awaited(Kind.EXECUTE, running, portal))
        return [*effects, Intend(running.number, decision, _encoded(frame), poison_parse(running.number))]

    def _run_call(self, source: Frame | LongMessage, decision: Decision) -> list[Effect]:
        if isinstance(decision.verdict, Deny):
            return self._refused(decision, simple=True)
        running = self._running(decision)
        self._await(Awaited(Kind.CALL, running))
        return [Intend(running.number, decision, _content(source), poison_query(running.number))]

    def _next_number(self) -> int:
        self.number += 1
        return self.number

    def _running(self, decision: Decision) -> Running:
        running = Running(self._next_number(), decision)
        self._talk.intended[running.number] = running
        if decision.command.path is not Path.PARSE:
            self._talk.rename(decision, self._opinions)
        return running

    def _await(self, entry: Awaited) -> None:
        self._talk.wait_for(entry)
        if (entry.kind is _EXECUTE or entry.kind is _QUERY) and not entry.running.ended:
            self._feed.asked(entry)

    _takers: ClassVar[dict[bytes, Callable[[Frontend, Frame], list[Effect] | None]]] = {  # of the class: bound methods take memory
        b"Q": _query, b"P": _parse, b"B": _bind, b"D": _describe, b"E": _execute,
        b"C": _close, b"S": _sync, b"H": _flush, b"F": _call, b"X": _terminate,
        b"c": _copy_end, b"f": _copy_end,
    }


def _content(source: Frame | LongMessage | bytes) -> bytes | Spool:
    if type(source) is bytes:
        return source
    return _encoded(source) if isinstance(source, Frame) else source.spool


def _encoded(frame: Frame) -> bytes:
    return messages.encode(frame.tag, frame.body)


_DESCRIBE, _EXECUTE, _QUERY, _SYNC = Kind.DESCRIBE, Kind.EXECUTE, Kind.QUERY, Kind.SYNC
