"""A relay of PostgreSQL's on its adapter, between two wires, with an evidence and addons that a test moves by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from protocols.adapter import Adapter
from protocols.command import Command, Statement
from protocols.effects import Effect
from protocols.errors import Unrecordable
from protocols.postgres import messages
from protocols.postgres.codec import Frame, FrameReader, encode
from protocols.postgres.relay import PostgresRelay
from protocols.result import Columns, MaskPlan, Outcome, RowBatch
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Hold

SESSION = Session("0190-s", Identity("ada"), Target("clinic", "postgres", "db", 5432), "app", "clinic", "127.0.0.1:1")
TERMINATE, READY = encode(b"X"), encode(b"Z", b"I")
REFUSED = encode(b"E", b"SERROR\0C42601\0Mno\0\0") + READY


def query(text: str) -> bytes:
    return messages.Query(text).encode()


def in_reads(stream: bytes, sizes: list[int]) -> list[bytes]:
    """Cut to these sizes, which begin again at their end."""
    reads, at = [], 0
    while at < len(stream):
        size = sizes[len(reads) % len(sizes)]
        reads.append(stream[at : at + size])
        at += size
    return reads


class Wire(StringTransport):
    """One side. `abortConnection`, both kinds of closing and how much is waited for are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.closed, self.aborted, self.half_closed, self.least = 0, False, False, 1
        self.before: bytes | None = None

    def write(self, data: bytes | memoryview) -> None:
        super().write(bytes(data))

    def lend(self, before: bytes | memoryview) -> None:
        assert self.before is None, "what was to be shown again would be lost"
        self.before = bytes(before)

    def wait_for(self, least: int) -> None:
        self.least = least

    def loseConnection(self) -> None:
        self.closed += 1

    def abortConnection(self) -> None:
        self.aborted = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    @property
    def paused(self) -> bool:
        return self.producerState == "paused"

    def frames(self) -> list[Frame]:
        reader = FrameReader()
        reader.feed(self.value())
        return list(iter(reader.next_frame, None))


class Ledger:
    """A journal that is durable when a test says so. `broken` makes it unrecordable."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, ...]] = []
        self.broken = self.full = False
        self.drained: list[Callable[[], None]] = []

    def when_drained(self, call: Callable[[], None]) -> None:
        if self.full:
            self.drained.append(call)
        else:
            call()

    def drain(self) -> None:
        """There is room again."""
        self.full, calls = False, self.drained
        self.drained = []
        for call in calls:
            call()

    def _add(self, *record: Any) -> int:
        if self.broken:
            raise Unrecordable("disk full")
        self.records.append(record)
        return len(self.records)

    def opened(self, session: Session, facts: Mapping[str, str], waiter: Any) -> int:
        return self._add("opened")

    def intend(self, session: Session, number: int, decision: Decision, waiter: Any) -> int:
        return self._add("intend", number)

    def refuse(self, session: Session, number: int, decision: Decision) -> int:
        return self._add("refuse", number)

    def report(self, session: Session, number: int, decision: Decision, outcome: Outcome, micros: int) -> int:
        return self._add("report", number, outcome.ending.value, micros)

    def note(self, session: Session | None, kind: str, facts: Mapping[str, str]) -> int:
        return self._add("note", kind, dict(facts))

    def closed(self, session: Session, why: str) -> int:
        return self._add("closed", why)

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [record[1:] for record in self.records if record[0] == kind]


class Addons:
    """Everything is allowed but DROP; HOLD waits for a test's word."""

    hears_columns = hears_rows = hears_content = hears_data = hears_text = False
    session = SESSION

    def __init__(self) -> None:
        self.held: list[tuple[Command, Deferred[Decision]]] = []
        self.cancelled: list[Command] = []
        self.outcomes: list[str] = []
        self.asked: list[str] = []

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]:
        assert isinstance(command, Statement)
        self.asked.append(command.text)
        if command.text.startswith("DROP"):
            return Decision(command, Deny("no"), command.text)
        if command.text.startswith("HOLD"):
            waiting: Deferred[Decision] = Deferred(lambda d: self._cancel(command, d))
            self.held.append((command, waiting))
            held("r1", Hold("rule", "why", frozenset({"dba"})))
            return waiting
        return allowed(command)

    def _cancel(self, command: Command, waiting: Deferred[Decision]) -> None:
        self.cancelled.append(command)
        waiting.callback(Decision(command, Deny("cancelled", "OST-304"), ""))

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        self.outcomes.append(outcome.ending.value)

    def plan(self, decision: Decision, columns: Columns) -> MaskPlan | None:
        return None

    def rows(self, decision: Decision, batch: RowBatch) -> Deny | None:
        return None

    def text(self, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]:
        return fields


def allowed(command: Command) -> Decision:
    return Decision(command, Allow(), command.text if isinstance(command, Statement) else "")


class Scene:
    """A session between two wires, with everything it touches."""

    def __init__(self, relay: Any = None, *, addons: Addons | None = None, clock: Clock | None = None) -> None:
        """:param addons: and :param clock: another session's, on the same worker."""
        self.client, self.target, self.ledger, self.addons, self.clock = Wire(), Wire(), Ledger(), addons or Addons(), clock or Clock()
        self.cancels, self.endings = 0, []
        self.taking: Deferred[None] = succeed(None)  # until the target has taken a cancel
        self.adapter = Adapter(
            relay or PostgresRelay(self.addons, {}), SESSION, self.addons, self.ledger, self.clock,
            cancel_target=self._cancel, ended=self.endings.append,
        )
        self.adapter.attach(self.client, self.target)

    def _cancel(self) -> Deferred[None]:
        self.cancels += 1
        return self.taking

    def durable(self) -> None:
        """Everything recorded so far is on stable storage."""
        self.adapter.durable(len(self.ledger.records))

    def reads(self, data: bytes) -> bool:
        """The client said so, which is lent where that was asked for, and is others' then; whether it was."""
        before, self.client.before = self.client.before, None
        if before is None:
            self.adapter.client_data(data)
            return False
        lent = bytearray(before + data)
        self.adapter.client_data(memoryview(lent))
        lent[:] = b"!" * len(lent)
        return True

    def sent(self) -> bytes:
        """What the target was sent since the last look."""
        data = self.target.value()
        self.target.clear()
        return data


class Scripted:
    """A relay that does what it is told."""

    behind, repeat = 0, None

    def __init__(self, *effects: Effect) -> None:
        self.effects, self.bug, self.close_bug = list(effects), False, False

    def from_client(self, data: bytes) -> list[Effect]:
        if self.bug:
            raise ValueError(data.decode())
        return self.effects

    from_target = from_client

    def hand_back(self) -> bytes | None:
        return None

    def cut(self, data: bytes) -> bool:
        return False

    def answer(self, decision: Decision) -> list[Effect]:
        raise ValueError("078-05-1120")

    def held(self, request: str, hold: Hold) -> list[Effect]:
        return []

    def refused(self, number: int, why: str) -> list[Effect]:
        raise ValueError("078-05-1120")

    ungranted = refused

    def withdrawn(self) -> bool:
        return False

    def close(self, why: str, unsent: Collection[int]) -> list[Effect]:
        if self.close_bug:
            raise ValueError("078-05-1120")
        return []

    def farewell(self, why: str) -> bytes:
        return b"FATAL " + why.encode()
