"""
The adapter between a relay and two transports. The relay is PostgreSQL's where the order of
bytes is the question, and a scripted one where only the adapter's own manners are.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from protocols.adapter import HELD_LIMIT, LINGER, WAITING_LIMIT, Adapter
from protocols.command import Command, Statement
from protocols.effects import Ask, Effect, Hangup, Intend, Malformed, Report, ToClient, ToTarget
from protocols.errors import Unrecordable
from protocols.postgres import messages, replies
from protocols.postgres.codec import Frame, FrameReader, encode
from protocols.postgres.frontend import IN_FLIGHT_LIMIT
from protocols.postgres.refusal import denial, poison_query, ungranted
from protocols.postgres.relay import PostgresRelay
from protocols.result import Columns, Ending, MaskPlan, Outcome, RowBatch
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Hold

SESSION = Session("0190-s", Identity("ada"), Target("clinic", "postgres", "db", 5432), "app", "clinic", "127.0.0.1:1")
TERMINATE, READY = encode(b"X"), encode(b"Z", b"I")
REFUSED = encode(b"E", b"SERROR\0C42601\0Mno\0\0") + READY


def query(text: str) -> bytes:
    return messages.Query(text).encode()


class Wire(StringTransport):
    """One side. `abortConnection`, both kinds of closing and how much is waited for are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.closed, self.aborted, self.least = 0, False, 1

    def wait_for(self, least: int) -> None:
        self.least = least

    def loseConnection(self) -> None:
        self.closed += 1

    def abortConnection(self) -> None:
        self.aborted = True

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

    def __init__(self, relay: Any = None) -> None:
        self.client, self.target, self.ledger, self.addons, self.clock = Wire(), Wire(), Ledger(), Addons(), Clock()
        self.cancels, self.endings = 0, []
        self.adapter = Adapter(
            relay or PostgresRelay(self.addons, {}), SESSION, self.addons, self.ledger, self.clock,
            cancel_target=self._cancel, ended=self.endings.append,
        )
        self.adapter.attach(self.client, self.target)

    def _cancel(self) -> None:
        self.cancels += 1

    def durable(self) -> None:
        """Everything recorded so far is on stable storage."""
        self.adapter.durable(len(self.ledger.records))

    def sent(self) -> bytes:
        """What the target was sent since the last look."""
        data = self.target.value()
        self.target.clear()
        return data


# -- durability --------------------------------------------------------------------------


def test_no_byte_of_a_command_leaves_before_its_record_is_durable() -> None:
    """The notary's word releases it, nothing else."""
    scene = Scene()
    scene.adapter.client_data(query("SELECT 1"))
    assert scene.ledger.of("intend") == [(1,)] and scene.sent() == b"" and scene.adapter.busy
    scene.adapter.durable(0)
    assert scene.sent() == b""
    scene.durable()
    assert scene.sent() == query("SELECT 1")


def test_nothing_overtakes_a_command_that_waits() -> None:
    """Sync, data, poison and later commands keep their place in one line."""
    scene = Scene()
    pipeline = messages.Parse("", "SELECT 1").encode() + encode(b"S") + query("DROP TABLE t") + query("SELECT 2")
    scene.adapter.client_data(pipeline)
    assert scene.sent() == b""
    scene.adapter.durable(1)
    assert scene.sent() == messages.Parse("", "SELECT 1").encode() + encode(b"S") + poison_query(2)
    scene.durable()
    assert scene.sent() == query("SELECT 2")


def test_a_refused_intent_turns_into_poison_in_its_place() -> None:
    """The commands around it run; the client sees OST-308 in the middle."""
    scene = Scene()
    scene.adapter.client_data(query("SELECT 1") + query("SELECT 2") + query("SELECT 3"))
    scene.adapter.refused(2, "grant spent")
    assert scene.sent() == b""
    scene.durable()
    assert scene.sent() == query("SELECT 1") + poison_query(2) + query("SELECT 3")
    done = replies.CommandComplete("SELECT 1").encode() + READY
    scene.adapter.target_data(done + REFUSED + done)
    shown = replies.ErrorResponse(denial(ungranted("grant spent"), 2)).encode() + READY
    assert scene.client.value() == done + shown + done
    assert [ending for _, ending, _ in scene.ledger.of("report")] == ["complete", "refused", "complete"]


def test_the_poison_of_a_refused_intent_needs_no_further_word() -> None:
    """It is the last thing that was recorded: nothing later will be acknowledged, and the client must not wait."""
    scene = Scene()
    scene.adapter.client_data(query("SELECT 1"))
    scene.adapter.refused(1, "grant spent")
    assert scene.sent() == poison_query(1)


def test_everything_that_waits_is_refused_when_nothing_can_be_recorded() -> None:
    """In order, with what lies between; and what comes after is refused at once."""
    scene = Scene()
    scene.adapter.client_data(query("SELECT 1") + query("DROP TABLE t") + query("SELECT 2"))
    scene.adapter.unrecordable("notary gone")
    assert scene.sent() == poison_query(1) + poison_query(2) + poison_query(3)
    scene.ledger.broken = True
    scene.adapter.client_data(query("SELECT 4"))
    assert scene.sent() == poison_query(4)
    scene.adapter.target_data(REFUSED * 4)
    assert scene.client.value().count(b"58030") == 3 and b"disk full" in scene.client.value()
    assert not scene.adapter.busy and not scene.endings


def test_ten_thousand_statements_are_three_writes_and_no_recursion() -> None:
    """As many as may be in flight are recorded before anything is durable, and leave in one write; the next as they are answered."""
    scene, count = Scene(), 10_000
    texts = [query(f"SELECT {n}") for n in range(count)]
    done, writes = replies.CommandComplete("SELECT 1").encode() + READY, []
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        scene.adapter.client_data(b"".join(texts))
        while sum(map(len, writes)) < count:
            scene.durable()
            sent = scene.sent()
            writes.append([text for text in texts[sum(map(len, writes)) :][:IN_FLIGHT_LIMIT]])
            assert sent == b"".join(writes[-1])
            scene.adapter.target_data(done * len(writes[-1]))
    finally:
        sys.setrecursionlimit(limit)
    assert scene.ledger.of("intend") == [(n + 1,) for n in range(count)] and len(writes) == 3
    assert len(scene.ledger.of("report")) == count


class Slow(Addons):
    """Each decision takes two milliseconds."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]:
        self._clock.rightNow += 0.002
        return super().decide(command, held)


def slow_scene() -> Scene:
    scene = Scene()
    scene.addons = scene.adapter._addons = Slow(scene.clock)
    return scene


def one_turn(scene: Scene) -> None:
    """What is due runs once; a test's clock would go on with what that makes due."""
    for call in scene.clock.getDelayedCalls():
        due, arguments = call.func, call.args  # a cancelled one has forgotten them
        call.cancel()
        due(*arguments)


def test_others_have_their_turn_while_one_session_has_much_decided() -> None:
    """Ten new texts in one read, each two milliseconds: three a turn, in order, and a refused one keeps its place."""
    scene = slow_scene()
    texts = [f"SELECT {n}" if n != 4 else "DROP TABLE t" for n in range(10)]
    scene.adapter.client_data(b"".join(map(query, texts)))
    assert scene.addons.asked == texts[:3] and scene.adapter.busy
    one_turn(scene)
    assert scene.addons.asked == texts[:6]
    scene.adapter.client_data(query("SELECT 10"))
    assert scene.addons.asked == texts[:6]
    scene.clock.advance(0)
    assert scene.addons.asked == [*texts, "SELECT 10"] and not scene.clock.getDelayedCalls()
    scene.durable()
    sent = [query(text) if n != 4 else poison_query(5) for n, text in enumerate([*texts, "SELECT 10"])]
    assert scene.sent() == b"".join(sent)


def test_what_a_client_said_before_it_left_is_decided_though_others_have_their_turn() -> None:
    """Its goodbye came behind more than a turn's work; all of that leaves first."""
    scene = slow_scene()
    texts = [query(f"INSERT {n}") for n in range(10)]
    scene.adapter.client_data(b"".join(texts) + TERMINATE)
    scene.adapter.client_lost()
    assert not scene.endings and not scene.clock.getDelayedCalls()
    scene.durable()
    assert scene.sent() == b"".join(texts) + TERMINATE and scene.endings == ["client said goodbye"]


def test_a_session_that_ends_while_others_have_their_turn_asks_nothing_more() -> None:
    """What waited for a turn is forgotten, and so is the turn."""
    scene = slow_scene()
    scene.adapter.client_data(b"".join(query(f"INSERT {n}") for n in range(10)))
    scene.adapter.close("revoked")
    scene.clock.advance(LINGER)
    scene.durable()
    assert len(scene.addons.asked) == 3 and scene.sent() == b"" and scene.endings == ["revoked"]


def test_while_the_evidence_is_behind_a_client_is_not_read() -> None:
    """One read waits, in front of what comes after it; nothing of it is asked about until there is room."""
    scene = Scene()
    scene.ledger.full = True
    scene.adapter.client_data(query("SELECT 1")[:7])
    assert scene.client.paused and scene.addons.asked == []
    scene.adapter.client_data(query("SELECT 1")[7:] + query("SELECT 2"))
    scene.ledger.drain()
    assert not scene.client.paused and scene.addons.asked == ["SELECT 1", "SELECT 2"]
    scene.ledger.full = True
    scene.adapter.client_data(query("SELECT 3"))
    scene.adapter.close("killed")
    scene.ledger.drain()
    assert scene.addons.asked == ["SELECT 1", "SELECT 2"]


def test_while_the_evidence_is_behind_a_target_is_not_read() -> None:
    """Every answer is a record too: it waits, and so does the client's next command; both go on in order."""
    scene, done = Scene(), replies.CommandComplete("SELECT 1").encode() + READY
    scene.adapter.client_data(query("SELECT 1"))
    scene.durable()
    scene.ledger.full = True
    scene.adapter.target_data(done[:9])
    scene.adapter.client_data(query("SELECT 2"))
    scene.adapter.target_data(done[9:])
    assert scene.target.paused and scene.client.paused and not scene.ledger.of("report")
    scene.ledger.drain()
    assert not scene.target.paused and not scene.client.paused and scene.client.value() == done
    assert len(scene.ledger.of("report")) == 1 and scene.ledger.of("intend") == [(1,), (2,)]


def test_a_side_that_fills_the_evidence_again_stays_paused() -> None:
    """There was room for one more read; what comes of it leaves none."""
    scene = Scene()
    scene.ledger.full = True
    scene.adapter.client_data(query("SELECT 1"))
    calls, scene.ledger.drained = scene.ledger.drained, []
    for call in calls:  # another session was woken first, and took the room
        call()
    assert scene.client.paused and scene.addons.asked == []
    scene.ledger.drain()
    assert not scene.client.paused and scene.addons.asked == ["SELECT 1"]


def test_a_client_that_waits_for_a_verdict_is_heard_though_the_evidence_is_behind() -> None:
    """Its Terminate ends the question."""
    scene = Scene()
    scene.adapter.client_data(query("HOLD"))
    scene.ledger.full = True
    scene.adapter.client_data(TERMINATE)
    assert len(scene.addons.cancelled) == 1 and scene.endings and not scene.ledger.of("intend")


def test_thousands_of_waiting_statements_can_be_refused() -> None:
    """Each is found at once, not by looking through the others."""
    scene, count = Scene(), IN_FLIGHT_LIMIT
    scene.adapter.client_data(b"".join(query("SELECT 1") for _ in range(count)))
    scene.adapter.unrecordable("notary gone")
    assert scene.sent() == b"".join(poison_query(n + 1) for n in range(count))
    scene.adapter.target_data(REFUSED * count)
    assert scene.client.value().count(b"58030") == count


def test_a_refusal_that_cannot_be_recorded_passes_nothing_all_the_same() -> None:
    """The evidence is gone, the poison stays."""
    scene = Scene()
    scene.ledger.broken = True
    scene.adapter.client_data(query("DROP TABLE t"))
    assert scene.sent() == poison_query(1)


def test_an_outcome_says_how_long_it_took() -> None:
    """From the intent to the report, in microseconds."""
    scene = Scene()
    scene.adapter.client_data(query("SELECT 1"))
    scene.clock.advance(1.5)
    scene.durable()
    scene.adapter.target_data(replies.CommandComplete("SELECT 1").encode() + READY)
    assert scene.ledger.of("report") == [(1, "complete", 1_500_000)] and scene.addons.outcomes == ["complete"]


# -- held commands -----------------------------------------------------------------------


def test_a_held_command_waits_while_the_client_is_told() -> None:
    """A NOTICE goes out, nothing to the target; approval sends it."""
    scene = Scene()
    scene.adapter.client_data(query("HOLD 1") + query("SELECT 2"))
    assert scene.client.value()[:1] == b"N" and scene.ledger.of("note")[0][0] == "request.held" and scene.adapter.busy
    assert scene.addons.asked == ["HOLD 1"] and scene.sent() == b""
    command, waiting = scene.addons.held[0]
    waiting.callback(allowed(command))
    scene.durable()
    assert scene.sent() == query("HOLD 1") + query("SELECT 2")


@pytest.mark.parametrize("gone", ["eof", "terminate", "closed"])
def test_a_client_that_leaves_takes_its_question_along(gone: str) -> None:
    """The request is withdrawn; approval afterwards runs nothing."""
    scene = Scene()
    scene.adapter.client_data(query("HOLD 1"))
    if gone == "eof":
        scene.adapter.client_lost()
    elif gone == "terminate":
        scene.adapter.client_data(query("SELECT 2") + TERMINATE)
    else:
        scene.adapter.close("revoked", "revoked")
    assert len(scene.addons.cancelled) == 1 and len(scene.endings) == 1
    assert scene.sent() == b"" and not scene.ledger.of("intend")


def test_a_cancelled_held_command_is_refused_and_the_session_goes_on() -> None:
    """Ctrl-C at a held prompt: the question ends; what comes next is asked, and is not cancelled with it."""
    scene = Scene()
    scene.adapter.client_data(query("HOLD 1") + query("SELECT 2"))
    scene.adapter.cancel()
    assert len(scene.addons.cancelled) == 1 and scene.ledger.of("refuse") == [(1,)]
    scene.durable()
    assert scene.sent() == poison_query(1) + query("SELECT 2") and scene.cancels == 0


def test_a_cancel_reaches_what_waits_and_what_runs() -> None:
    """While it waits for its record, the cancel waits too; an idle session has nothing to cancel."""
    scene = Scene()
    scene.adapter.cancel()
    assert scene.cancels == 0
    scene.adapter.client_data(query("SELECT 1"))
    scene.adapter.cancel()
    assert scene.cancels == 0
    scene.durable()
    assert scene.cancels == 1
    scene.adapter.cancel()
    assert scene.cancels == 2
    scene.adapter.target_data(replies.CommandComplete("SELECT 1").encode() + READY)
    scene.adapter.cancel()
    assert scene.cancels == 2


def test_what_a_client_may_send_behind_a_held_command_is_bounded() -> None:
    """It is never paused, since a paused transport is deaf; over the limit the question ends in a refusal."""
    scene = Scene()
    scene.adapter.client_data(query("HOLD 1"))
    chunk = messages.Bind("", "", (), (b"x" * 65_536,)).encode()
    for _ in range(HELD_LIMIT // len(chunk)):
        scene.adapter.client_data(chunk)
    assert not scene.addons.cancelled and not scene.client.paused
    scene.adapter.client_data(chunk)
    assert len(scene.addons.cancelled) == 1 and scene.sent()[: len(poison_query(1))] == poison_query(1)


def test_nonsense_behind_a_held_command_is_the_clients_fault() -> None:
    """The verdict comes, then the malformed message: a protocol error and its record, not a bug of ours."""
    scene = Scene()
    scene.adapter.client_data(query("HOLD 1") + encode(b"Q", b"no end"))
    command, waiting = scene.addons.held[0]
    waiting.callback(Decision(command, Deny("no"), ""))
    assert scene.ledger.of("refuse") == [(1,)] and scene.ledger.of("note")[-1][0] == "malformed"
    assert scene.endings == ["malformed bytes from the client"] and b"FATAL" in scene.client.value()


# -- ends --------------------------------------------------------------------------------


def test_goodbye_lets_what_was_decided_leave() -> None:
    """`psql -c INSERT` and gone: the record becomes durable, then command and Terminate leave, then both sides close."""
    scene = Scene()
    scene.adapter.client_data(query("INSERT") + TERMINATE)
    scene.adapter.client_lost()
    assert not scene.endings and scene.sent() == b""
    scene.durable()
    assert scene.sent() == query("INSERT") + TERMINATE and scene.endings == ["client said goodbye"]
    assert scene.target.closed == 1 and scene.ledger.of("report")[0][1] == "unknown"


def test_goodbye_without_durability_runs_nothing() -> None:
    """The notary refuses instead: poison leaves, then Terminate."""
    scene = Scene()
    scene.adapter.client_data(query("INSERT") + TERMINATE)
    scene.adapter.unrecordable("notary gone")
    assert scene.sent() == poison_query(1) + TERMINATE and len(scene.endings) == 1


def test_a_client_that_vanishes_runs_nothing_that_waits() -> None:
    """No goodbye: what has no durable record yet never leaves."""
    scene = Scene()
    scene.adapter.client_data(query("INSERT"))
    scene.adapter.client_lost()
    scene.durable()
    assert scene.sent() == b"" and scene.endings == ["client gone"] and scene.ledger.of("report")[0][1] == "unknown"


def test_a_lost_target_is_told_in_the_protocols_own_words() -> None:
    """08006 and the outcome unknown; once."""
    scene = Scene()
    scene.adapter.client_data(query("SELECT 1"))
    scene.durable()
    scene.adapter.target_lost()
    scene.adapter.target_lost()
    assert scene.client.value().count(b"08006") == 1 and scene.endings == ["target gone"]
    assert scene.ledger.of("report")[0][1] == "unknown" and scene.client.closed == 1 and scene.target.closed == 0


def test_a_session_ends_once() -> None:
    """Closed, lost on both sides, fed and answered afterwards: one ending, one close of each side."""
    scene = Scene()
    scene.adapter.close("revoked", "revoked")
    seen = scene.client.value()
    scene.adapter.close("again", "again")
    for late in (scene.adapter.client_data, scene.adapter.target_data):
        late(query("SELECT 1"))
    scene.adapter.client_lost()
    scene.adapter.target_lost()
    scene.adapter.durable(99)
    scene.adapter.refused(1, "late")
    scene.adapter.unrecordable("late")
    scene.adapter.cancel()
    assert scene.endings == ["revoked"] and (scene.client.closed, scene.target.closed) == (1, 1)
    assert scene.client.value() == seen and scene.sent() == b"" and scene.cancels == 0


def test_a_peer_that_never_closes_is_cut_off() -> None:
    """A client that stops reading cannot keep a dead session's connection; one that left needs no cutting."""
    scene = Scene()
    scene.adapter.close("revoked")
    scene.adapter.target_lost()
    assert not scene.client.aborted
    scene.clock.advance(LINGER)
    assert scene.client.aborted and not scene.target.aborted
    scene = Scene()
    scene.adapter.close("revoked")
    scene.adapter.client_lost()
    scene.adapter.target_lost()
    assert not scene.clock.getDelayedCalls()


class Scripted:
    """A relay that does what it is told."""

    behind = 0

    def __init__(self, *effects: Effect) -> None:
        self.effects, self.bug, self.close_bug = list(effects), False, False

    def from_client(self, data: bytes) -> list[Effect]:
        if self.bug:
            raise ValueError(data.decode())
        return self.effects

    from_target = from_client

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

    def close(self, why: str) -> list[Effect]:
        if self.close_bug:
            raise ValueError("078-05-1120")
        return []

    def farewell(self, why: str) -> bytes:
        return b"FATAL " + why.encode()


COMMAND = Statement("SELECT 1")


@pytest.mark.parametrize("where", ["client", "target", "answer", "late answer", "refused", "addons"])
def test_a_bug_ends_one_session_with_a_fatal_and_a_note(where: str, caplog: Any) -> None:
    """Wherever it is; and what it said, which may be a value, shows nowhere."""
    relay = Scripted()
    scene = Scene(relay)
    if where in ("client", "target"):
        relay.bug = True
        (scene.adapter.client_data if where == "client" else scene.adapter.target_data)(b"078-05-1120")
    elif where == "refused":
        relay.effects = [Intend(1, allowed(COMMAND), b"data", b"poison")]
        scene.adapter.client_data(b"x")
        scene.adapter.refused(1, "no")
    else:
        relay.effects = [Ask(Statement("HOLD") if where == "late answer" else COMMAND)]
        if where == "addons":
            scene.addons.decide = None  # type: ignore[assignment]
        scene.adapter.client_data(b"x")
        if where == "late answer":
            scene.addons.held[0][1].callback(allowed(COMMAND))
    assert scene.endings == ["internal error"] and scene.client.value().startswith(b"FATAL internal error")
    assert scene.ledger.of("note")[-1][0] == "bug" and scene.sent() == b""
    assert (scene.client.closed, scene.target.closed) == (1, 1)
    assert "078-05-1120" not in repr(scene.ledger.records) + repr(scene.client.value()) + caplog.text


def test_a_failed_question_ends_the_session_and_runs_nothing() -> None:
    """The pipeline never fails; were it to, nothing passes."""
    scene = Scene()
    scene.adapter.client_data(query("HOLD 1"))
    scene.addons.held[0][1].errback(ValueError("bug"))
    assert scene.endings == ["internal error"] and scene.sent() == b""


def test_a_bug_while_closing_still_closes() -> None:
    """Never half open."""
    relay = Scripted()
    relay.close_bug = True
    scene = Scene(relay)
    scene.adapter.close("revoked")
    assert (scene.client.closed, scene.target.closed) == (1, 1) and scene.endings == ["revoked"]


def test_nothing_is_done_behind_a_hangup_or_nonsense() -> None:
    """Effects after the end are not performed, and what waited for its record does not leave."""
    for end in (Hangup("over"), Malformed("target", "lies")):
        scene = Scene(Scripted(Intend(1, allowed(COMMAND), b"data", b"poison"), ToClient(b"before"), end, ToTarget(b"no")))
        scene.adapter.client_data(b"x")
        scene.durable()
        assert scene.sent() == b"" and scene.client.value().startswith(b"before") and len(scene.endings) == 1


def test_a_report_without_an_intent_of_ours_is_told_and_not_recorded() -> None:
    """Its record was never made, so its outcome has nothing to refer to."""
    scene = Scene(Scripted(Report(9, allowed(COMMAND), Outcome(Ending.REFUSED))))
    scene.adapter.target_data(b"x")
    assert scene.addons.outcomes == ["refused"] and not scene.ledger.of("report")


# -- back-pressure -----------------------------------------------------------------------


def test_a_slow_client_pauses_the_target_and_a_slow_target_the_client() -> None:
    """And nobody else; each goes on when the other has room again."""
    scene = Scene()
    scene.client.producer.pauseProducing()
    assert (scene.client.paused, scene.target.paused) == (False, True)
    scene.target.producer.pauseProducing()
    assert (scene.client.paused, scene.target.paused) == (True, True)
    scene.client.producer.resumeProducing()
    scene.target.producer.resumeProducing()
    assert (scene.client.paused, scene.target.paused) == (False, False)


def test_slow_evidence_pauses_the_client_until_half_is_released() -> None:
    """What waits for durability is bounded; reasons add up and each must go."""
    scene = Scene()
    big = query("x" * 900_000)
    for _ in range(WAITING_LIMIT // len(big) + 1):
        scene.adapter.client_data(big)
    assert scene.client.paused and not scene.target.paused
    scene.target.producer.pauseProducing()
    scene.durable()
    assert scene.client.paused
    scene.target.producer.resumeProducing()
    assert not scene.client.paused


def test_a_client_whose_command_is_held_is_always_listened_to() -> None:
    """Paused before or during the question, it is heard leaving; afterwards the pause is back."""
    for early in (True, False):
        scene = Scene()
        if early:
            scene.target.producer.pauseProducing()
        scene.adapter.client_data(query("HOLD 1"))
        if not early:
            scene.target.producer.pauseProducing()
        assert not scene.client.paused
        command, waiting = scene.addons.held[0]
        waiting.callback(allowed(command))
        assert scene.client.paused
        scene.target.producer.resumeProducing()
        assert not scene.client.paused


def test_a_client_that_runs_ahead_of_its_answers_is_paused() -> None:
    """Until the relay has looked at what it sent."""
    relay = Scripted()
    scene = Scene(relay)
    relay.behind = HELD_LIMIT + 1
    scene.adapter.client_data(b"x")
    assert scene.client.paused
    relay.behind = 0
    scene.adapter.target_data(b"x")
    assert not scene.client.paused


def test_a_paused_side_is_resumed_to_be_closed() -> None:
    """TLS ends with the peer's answer, which a paused transport never reads."""
    scene = Scene()
    scene.client.producer.pauseProducing()
    scene.target.producer.pauseProducing()
    scene.adapter.close("revoked")
    assert not scene.client.paused and not scene.target.paused
    assert scene.client.producer is None and scene.target.producer is None
