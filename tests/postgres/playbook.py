"""
A conversation with a relay, checked at every step.

Effects are compared as short tuples, neighbouring bytes to one side joined, so that a test
says what matters: what is asked, what leaves and to whom, what is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from protocols.command import Command, Path, Statement
from protocols.effects import (
    Ask, CancelTarget, Effect, Hangup, Intend, Malformed, Refused, Report, ToClient, ToTarget,
)
from protocols.postgres import messages, replies
from protocols.postgres.codec import encode
from protocols.postgres.refusal import denial, poison_parse, poison_query
from protocols.postgres.relay import PostgresRelay
from protocols.result import Columns, MaskPlan, Outcome, RowBatch
from protocols.verdict import Allow, Decision, Deny

Step = tuple[Any, ...]

SETTINGS = {"client_encoding": "UTF8", "standard_conforming_strings": "on", "server_version": "15.14"}

READY_IDLE, READY_OPEN, READY_FAILED = (encode(b"Z", s) for s in (b"I", b"T", b"E"))
PARSED, BOUND, CLOSED, NO_DATA, SUSPENDED, EMPTY = (encode(t) for t in (b"1", b"2", b"3", b"n", b"s", b"I"))
SYNC, FLUSH, TERMINATE, COPY_DONE = (encode(t) for t in (b"S", b"H", b"X", b"c"))
COPY_IN, COPY_OUT = encode(b"G", b"\0\0\0"), encode(b"H", b"\0\0\0")


def query(text: str) -> bytes:
    return messages.Query(text).encode()


def parse(text: str, name: str = "") -> bytes:
    return messages.Parse(name, text).encode()


def bind(portal: str = "", statement: str = "", values: tuple[bytes | None, ...] = (), results: tuple[int, ...] = ()) -> bytes:
    return messages.Bind(portal, statement, (), values, results).encode()


def describe(kind: str, name: str = "") -> bytes:
    return messages.Describe(kind, name).encode()


def execute(portal: str = "", limit: int = 0) -> bytes:
    return messages.Execute(portal, limit).encode()


def close(kind: str, name: str = "") -> bytes:
    return messages.Close(kind, name).encode()


def copy_data(data: bytes) -> bytes:
    return encode(b"d", data)


def complete(tag: str) -> bytes:
    return replies.CommandComplete(tag).encode()


def error(sqlstate: str = "42601", message: str = "no", severity: str = "ERROR") -> bytes:
    return replies.ErrorResponse(replies.error_fields(sqlstate, message, severity)).encode()


def denied(deny: Deny, number: int = 1, severity: str = "ERROR", hint: str = "") -> bytes:
    """What a client sees of a refusal."""
    return replies.ErrorResponse(denial(deny, number) | {"S": severity, "V": severity} | ({"H": hint} if hint else {})).encode()


def row(*cells: bytes | None) -> bytes:
    return replies.DataRow(cells).encode()


def columns(*names: str, table: int = 0, code: int = 0) -> bytes:
    """A RowDescription of text columns."""
    fields = tuple(replies.Column(name, table, i + 1 if table else 0, 25, code) for i, name in enumerate(names))
    return replies.RowDescription(Columns(fields), ((-1, -1),) * len(names)).encode()


# -- what a relay wants done, in short ---------------------------------------------------


def asks(text: str, path: Path = Path.SIMPLE) -> Step:
    return "asks", path, text


def intends(number: int, data: bytes, poison: bytes | None = None) -> Step:
    return "intends", number, data, poison or (poison_query(number) if data[:1] in b"QF" else poison_parse(number))


def to_target(data: bytes) -> Step:
    return "to target", data


def to_client(data: bytes) -> Step:
    return "to client", data


def refuses(number: int) -> Step:
    return "refuses", number


def reports(number: int, ending: str = "complete") -> Step:
    return "reports", number, ending


HANGS_UP: Step = ("hangs up",)
CANCELS: Step = ("cancels",)


def malformed(side: str) -> Step:
    return "malformed", side


def brief(effect: Effect) -> Step:
    match effect:
        case Ask(Statement() as statement):
            return asks(statement.text, statement.path)
        case Ask(call):
            return asks(f"function {call.oid}", call.path)
        case Intend(number, _, data, poison):
            return "intends", number, data, poison
        case ToTarget(data):
            return to_target(data)
        case ToClient(data):
            return to_client(data)
        case Refused(number, _):
            return refuses(number)
        case Report(number, _, outcome):
            return reports(number, outcome.ending.value)
        case Malformed(side, _):
            return malformed(side)
        case Hangup():
            return HANGS_UP
        case CancelTarget():
            return CANCELS
    raise AssertionError(f"no short form of {effect}")


def joined(steps: list[Step]) -> list[Step]:
    """
    As the adapter does it. Neighbouring bytes to the same side are one step; those behind an intent go with it, or with its poison;
    what is reported behind bytes for the client, before they leave.
    """
    out: list[Step] = []
    for step in steps:
        if out and step[0] == "to target" and out[-1][0] == "intends" and isinstance(out[-1][2], bytes):
            _, number, data, poison = out[-1]
            out[-1] = ("intends", number, data + step[1], poison + step[1])
        elif out and step[0] == "reports" and out[-1][0] == "to client":
            out.insert(-1, step)
        elif out and step[0] == out[-1][0] and step[0] in ("to target", "to client"):
            out[-1] = (step[0], out[-1][1] + step[1])
        else:
            out.append(step)
    return out


# -- opinions ----------------------------------------------------------------------------


@dataclass
class Silent:
    """Opinions that nobody has; set what a test needs."""

    masks: MaskPlan | None = None
    cut: Deny | None = None
    texts: Mapping[str, str] | None = None
    hears_columns: bool = False
    hears_content: bool = False
    hears_data: bool = False
    hears_rows: bool = False
    hears_text: bool = False
    calling: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    shapes: list[tuple[str, ...]] = field(default_factory=list)
    batches: list[RowBatch] = field(default_factory=list)
    judged: list[tuple[str, str]] = field(default_factory=list)

    def kin(self, decision: Decision) -> None:
        """It knows of no other texts."""

    def plan(self, decision: Decision, columns: Columns) -> MaskPlan | None:
        self.shapes.append(tuple(f"{c.name}:{c.format}" for c in columns.fields))
        return self.masks

    def rows(self, decision: Decision, batch: RowBatch) -> Deny | None:
        self.batches.append(batch)
        return self.cut

    def harmless(self, decision: Decision) -> bool:
        return not decision.command.text.startswith("WITH")

    def moves(self, decision: Decision, portals: bool) -> tuple[bool, bool]:
        closes, deallocates = self.calling.get(decision.sent, (False, False))
        return closes and portals, deallocates

    def text(self, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]:
        self.judged.append((kind, decision.sent if decision else ""))
        return fields if self.texts is None else {k: self.texts.get(k, v) for k, v in fields.items()}


class Playbook:
    """Say a line, and what must come of it, no more and no less."""

    def __init__(self, opinions: Silent | None = None) -> None:
        self.relay = PostgresRelay(opinions or Silent(), SETTINGS)
        self.asked: list[Command] = []
        self.refusals: dict[int, Decision] = {}
        self.outcomes: dict[int, Outcome] = {}
        self._line = 0

    def client(self, data: bytes, *expected: Step) -> Self:
        return self._check(self.relay.from_client(data), expected)

    def target(self, data: bytes, *expected: Step) -> Self:
        return self._check(self.relay.from_target(data), expected)

    def verdict(self, verdict: Allow | Deny, *expected: Step, sent: str | None = None) -> Self:
        """Answer the last question."""
        command = self.asked[-1]
        text = command.text if isinstance(command, Statement) else ""
        return self._check(self.relay.answer(Decision(command, verdict, text if sent is None else sent)), expected)

    def unrecorded(self, number: int, why: str, *expected: Step) -> Self:
        """The notary refused the record of an intent."""
        return self._check(self.relay.refused(number, why), expected)

    def ungranted(self, number: int, why: str, *expected: Step) -> Self:
        """The grant of an intent is not good any more."""
        return self._check(self.relay.ungranted(number, why), expected)

    def ends(self, *expected: Step) -> Self:
        """The session is closed."""
        return self._check(self.relay.close("test"), expected)

    def _check(self, effects: list[Effect], expected: tuple[Step, ...]) -> Self:
        self._line += 1
        for effect in effects:
            match effect:
                case Ask(command):
                    self.asked.append(command)
                case Report(number, _, outcome):
                    assert number not in self.outcomes, f"line {self._line}: {number} is reported twice"
                    self.outcomes[number] = outcome
                case Refused(number, decision):
                    self.refusals[number] = decision
        got = joined([brief(effect) for effect in effects])
        assert got == joined(list(expected)), f"line {self._line}: {got}"
        return self


ONE, DROP, TWO = query("SELECT 1"), query("DROP TABLE t"), query("SELECT 2")
NO = Deny("ask first")


def prepared(opinions: Silent | None = None, text: str = "SELECT $1", name: str = "") -> Playbook:
    """A session in which a statement was parsed (command 1) and a portal bound (command 2)."""
    play = Playbook(opinions)
    play.client(parse(text, name), asks(text, Path.PARSE)).verdict(Allow(), intends(1, parse(text, name)))
    play.client(bind("", name), asks(text, Path.BIND)).verdict(Allow(), intends(2, bind("", name)))
    return play
