"""
Every command that is intended is reported once, with what became of it, whatever the pipeline:
a tiny server that follows the protocol's rules (skip until Sync, portals die with their
transaction) says what really happened.
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import SETTINGS, Silent, bind, close, columns, complete, describe, error, execute, parse, query, row

from protocols.command import Statement, Transaction
from protocols.effects import Ask, Effect, Intend, Malformed, Refused, Report, ToClient, ToTarget
from protocols.postgres import messages
from protocols.postgres.codec import Frame, FrameReader, encode
from protocols.postgres.conversation import Awaited, Conversation, Kind, Portal, Prepared
from protocols.postgres.relay import PostgresRelay
from protocols.postgres.running import Running, in_front_of_an_error
from protocols.result import Column, Columns, Ending, MaskPlan
from protocols.verdict import Allow, Decision, Deny

DECISION = Decision(Statement("SELECT 1"), Allow(), "SELECT 1")


class Server:
    """Knows no SQL: a text with "bad" is an error, one with "boom" fails when it runs, "rows" returns three."""

    def __init__(self) -> None:
        self.reader, self.skipping, self.open = FrameReader(), False, False
        self.statements: dict[str, str] = {}
        self.portals: dict[str, list[object]] = {}  #: text, rows left
        self.ran: dict[str, str] = {}  #: text of Query and Parse to what became of it

    def hear(self, data: bytes) -> bytes:
        self.reader.feed(data)
        return b"".join(self._take(frame) for frame in iter(self.reader.next_frame, None))

    def _take(self, frame: Frame) -> bytes:
        message = messages.parse(frame)
        if self.skipping and not isinstance(message, messages.Sync):
            self._became(message, "skipped")
            return b""
        match message:
            case messages.Query(text):
                self._became(message, "error" if self._wrong(text) or "boom" in text else "complete")
                self.open = self.open ^ ("toggle" in text)
                rows = columns("a") + row(b"1") * 3 if "rows" in text else b""
                return (error() if self.ran[text] == "error" else rows + complete("OK")) + self._ready()
            case messages.Sync():
                self.skipping = False
                return self._ready()
            case messages.Flush():
                return b""
        answer = self._extended(message)
        self.skipping = not answer
        self._became(message, "complete" if answer else "error")
        return answer or error()

    def _extended(self, message: messages.Message) -> bytes:
        """b"" is an error."""
        match message:
            case messages.Parse(name, text) if not self._wrong(text):
                self.statements[name] = text
                return encode(b"1")
            case messages.Bind(portal, name) if name in self.statements:
                text = self.statements[name]
                self.portals[portal] = [text, 3 if "rows" in text else 0]
                return encode(b"2")
            case messages.Describe("P", name) if name in self.portals:
                return columns("a") if "rows" in str(self.portals[name][0]) else encode(b"n")
            case messages.Describe("S", name) if name in self.statements:
                return encode(b"t", b"\0\0") + encode(b"n")
            case messages.Close(kind, name):
                (self.statements if kind == "S" else self.portals).pop(name, None)
                return encode(b"3")
            case messages.Execute(portal, limit) if portal in self.portals and "boom" not in str(self.portals[portal][0]):
                left = int(str(self.portals[portal][1]))
                now = min(left, limit) if limit else left
                self.portals[portal][1] = left - now
                return row(b"1") * now + (encode(b"s") if limit and now == limit else complete("OK"))
        return b""

    def _ready(self) -> bytes:
        if not self.open:
            self.portals.clear()
        return encode(b"Z", b"T" if self.open else b"I")

    @staticmethod
    def _wrong(text: str) -> bool:
        return "bad" in text or "ostiary refused" in text

    def _became(self, message: messages.Message, what: str) -> None:
        if isinstance(message, (messages.Query, messages.Parse)):
            self.ran[message.text] = what


class House:
    """A relay, its addons, its notary and its server."""

    def __init__(self, hears: bool) -> None:
        self.relay = PostgresRelay(Silent(MaskPlan((b"*",)) if hears else None, hears_columns=hears), SETTINGS)
        self.server, self.wire = Server(), bytearray()
        self.verdicts: deque[str] = deque()
        self.texts: dict[int, str] = {}
        self.decided: set[bytes] = set()
        self.reports: dict[int, Ending] = {}
        self.to_client = bytearray()

    def client(self, data: bytes) -> None:
        self._perform(self.relay.from_client(data))

    def server_works(self) -> None:
        sent, self.wire = bytes(self.wire), bytearray()
        self._perform(self.relay.from_target(self.server.hear(sent)))

    def _perform(self, effects: list[Effect]) -> None:
        todo = deque(effects)
        while todo:
            match todo.popleft():
                case Ask(command):
                    assert isinstance(command, Statement)
                    verdict = Deny("no") if self.verdicts and self.verdicts[0] == "deny" else Allow()
                    todo += self.relay.answer(Decision(command, verdict, command.text))
                case Intend(number, decision, data, poison):
                    unrecorded = bool(self.verdicts) and self.verdicts[0] == "unrecorded"
                    self.texts[number] = decision.sent if data[:1] != b"B" else ""
                    if unrecorded:
                        todo += self.relay.refused(number, "full")
                        self.texts[number] = f"ostiary refused command {number}"
                    self._send(poison if unrecorded else data)
                case ToTarget(data):
                    self._send(data)
                case Report(number, _, outcome):
                    assert number in self.texts and number not in self.reports, f"{number} is reported twice or for nothing"
                    self.reports[number] = outcome.ending
                case ToClient(data):
                    self.to_client += data
                case Refused():
                    pass
                case Malformed(side, why):
                    raise AssertionError(f"{side}: {why}")

    def _send(self, data: bytes) -> None:
        self.wire += data


TEXTS = ("ok", "rows", "bad", "boom", "toggle")
NAMES = ("", "n")
LINE = st.one_of(
    st.tuples(st.just("Q"), st.sampled_from(TEXTS)), st.tuples(st.just("P"), st.sampled_from(TEXTS), st.sampled_from(NAMES)),
    st.tuples(st.just("B"), st.sampled_from(NAMES), st.sampled_from(NAMES)), st.tuples(st.just("E"), st.sampled_from(NAMES), st.integers(0, 2)),
    st.tuples(st.just("D"), st.sampled_from("PS"), st.sampled_from(NAMES)), st.tuples(st.just("C"), st.sampled_from("PS"), st.sampled_from(NAMES)),
    st.tuples(st.just("S")), st.tuples(st.just("H")),
)  # fmt: skip
SCENE = st.lists(st.tuples(LINE, st.sampled_from(["allow"] * 5 + ["deny", "unrecorded"]), st.booleans()), max_size=40)


def encoded(index: int, line: tuple[object, ...]) -> bytes:
    """The message; its text is its own, so that the server can say what became of it."""
    match line:
        case ("Q", str(text)):
            return query(f"{text} {index}")
        case ("P", str(text), str(name)):
            return parse(f"{text} {index}", name)
        case ("B", str(portal), str(name)):
            return bind(portal, name)
        case ("E", str(portal), int(limit)):
            return execute(portal, limit)
        case ("D", str(kind), str(name)):
            return describe(kind, name)
        case ("C", str(kind), str(name)):
            return close(kind, name)
    return encode(str(line[0]).encode())


@settings(max_examples=300, deadline=None)
@given(SCENE, st.booleans())
def test_every_intent_is_reported_once_with_what_became_of_it(scene: list[tuple[tuple[object, ...], str, bool]], hears: bool) -> None:
    """In any pipeline, with refusals anywhere, and the server working whenever it likes."""
    house = House(hears)
    for index, (line, verdict, works) in enumerate(scene):
        house.verdicts = deque([verdict])
        house.client(encoded(index, line))
        if works:
            house.server_works()
    house.verdicts.clear()
    house.client(encode(b"S"))
    while house.wire:  # a Bind waits for the answer to the Parse of its name, and all that is behind it
        house.server_works()
    open_portals = set(house.texts) - set(house.reports)
    assert all(house.texts[number] == "" or "ostiary" in house.texts[number] for number in open_portals)
    if not house.server.open:
        assert not open_portals, "the transaction is over, so every portal is"
    for effect in house.relay.close("end"):
        assert isinstance(effect, Report) and effect.number in open_portals
        house.reports[effect.number] = effect.outcome.ending
    assert house.reports.keys() == house.texts.keys()
    for number, text in house.texts.items():
        became = house.server.ran.get(text)
        if became is not None:
            refused = became == "error" and text.startswith("ostiary")
            assert house.reports[number].value == ("refused" if refused else became), text


@settings(max_examples=200, deadline=None)
@given(SCENE)
def test_nothing_reaches_the_target_that_was_not_decided(scene: list[tuple[tuple[object, ...], str, bool]]) -> None:
    """Every Query, Parse and Bind on the wire was allowed or is poison, and their order is the client's."""
    house, asked = House(False), []
    decide = house.relay.answer
    house.relay.answer = lambda decision: (asked.append(decision), decide(decision))[1]  # type: ignore[method-assign]
    sent = bytearray()
    house._send = sent.extend  # type: ignore[method-assign]
    for index, (line, verdict, _) in enumerate(scene):
        house.verdicts = deque([verdict])
        house.client(encoded(index, line))
    reader = FrameReader()
    reader.feed(bytes(sent))
    texts = [
        message.text for message in map(messages.parse, iter(reader.next_frame, None))
        if isinstance(message, (messages.Query, messages.Parse)) and not message.text.startswith("ostiary refused")
    ]  # fmt: skip
    allowed = [d.sent for d in asked if isinstance(d.verdict, Allow) and not d.sent.startswith(("EXECUTE", "FETCH"))]
    position = iter(allowed)
    assert all(text in position for text in texts), "in order, and each was asked about"
    denied = {d.sent for d in asked if isinstance(d.verdict, Deny)}
    assert not {text for text in texts if text in denied and text not in allowed}


# -- the parts ---------------------------------------------------------------------------


def running(number: int = 1) -> Running:
    return Running(number, DECISION)


def test_what_is_replaced_can_be_taken_back() -> None:
    """In reverse order, back to what stood there first; the texts that addons see follow."""
    talk = Conversation(MappingProxyType({}))
    first = Prepared("TABLE t", "x")
    talk.replace(talk.prepared, "s", first)
    steps = [talk.replace(talk.prepared, "s", Prepared("second", "x")), talk.replace(talk.prepared, "s", None)]
    assert "s" not in talk.prepared and talk.texts == {} and talk.text_length == 0
    for undo in steps:
        talk.awaited.append(Awaited(Kind.CLOSE, undo=undo))
    talk.skip_to_sync()
    assert talk.prepared["s"] is first and talk.texts == {"s": "TABLE t"} and talk.text_length == 7 and talk.skipping


def test_skipping_stops_at_the_next_sync() -> None:
    """What was sent behind it is still answered."""
    talk = Conversation(MappingProxyType({}))
    talk.awaited.extend(Awaited(kind) for kind in (Kind.PARSE, Kind.BIND, Kind.SYNC, Kind.QUERY))
    talk.skip_to_sync()
    assert [entry.kind for entry in talk.awaited] == [Kind.SYNC, Kind.QUERY] and not talk.skipping


def test_a_command_ends_once() -> None:
    """The first ending stays."""
    talk, one = Conversation(MappingProxyType({})), running()
    talk.intended[1] = one
    talk.end(one, Ending.ERROR)
    talk.end(one, Ending.COMPLETE)
    assert [report.outcome.ending for report in talk.reports(None)] == [Ending.ERROR]
    assert not talk.reports(None) and not talk.abandon()


def test_portals_of_a_later_step_outlive_an_earlier_ready() -> None:
    """They were bound behind the Sync that is answered now."""
    talk = Conversation(MappingProxyType({}))
    talk.portals |= {"old": Portal(running(1), step=0), "new": Portal(running(2), step=1)}
    talk.ready(Transaction.IDLE, 0)
    assert list(talk.portals) == ["new"]
    talk.ready(Transaction.OPEN, 1)
    assert list(talk.portals) == ["new"]
    talk.ready(Transaction.IDLE, 1)
    assert not talk.portals


def test_an_outcome_names_masked_columns_once() -> None:
    """However many results had them, in the order of their coming."""
    one = running()
    shape = Columns((Column("b", 0, 0, 25), Column("a", 0, 0, 25)))
    one.shaped(shape, MaskPlan((b"x", b"x"), "odd"))
    one.shaped(shape, MaskPlan((None, b"x"), "again"))
    one.shaped(shape, None)
    assert one.outcome("I").columns == ("b", "a") and one.outcome("I").alarm == "odd"


def test_settings_are_kept_by_lower_case_name() -> None:
    """A statement that was asked about keeps the settings of its time."""
    talk = Conversation(MappingProxyType({"timezone": "UTC"}))
    before = talk.settings
    talk.set("TimeZone", "CET")
    assert talk.settings == {"timezone": "CET"} and before == {"timezone": "UTC"}


def test_what_a_failing_string_committed_itself_is_not_denied() -> None:
    """"INSERT" without a Sync, then "COMMIT; SELECT 1/0": the row stays."""

    def told(*endings: tuple[tuple[str, ...], str]) -> list[int]:
        done = [Running(number, DECISION) for number in range(len(endings))]
        for running, (running.tags, sqlstate) in zip(done, endings):
            if sqlstate:
                running.failed(sqlstate)
        return [running.number for running in in_front_of_an_error(done)]

    insert, failed = (("INSERT 0 1",), ""), ((), "22012")
    assert told(insert, insert, failed, insert) == [0, 1] and told(insert, insert) == []
    assert told(insert, (("COMMIT",), "22012")) == [] and told(insert, (("COMMIT",), ""), insert, failed) == [2]
    assert told(insert, (("ROLLBACK",), ""), insert, failed) == [0, 1, 2]  # to a savepoint, for all that is known
