"""SSH's adapter with a scripted relay: what waits for its record, who is asked, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from protocols.command import Exec
from protocols.effects import Hangup, Malformed, Report
from protocols.errors import Unrecordable
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.ssh.adapter import SshAdapter
from protocols.ssh.effects import (
    AskCommand, IntendCommand, ProveHostKeys, Remark, SendClient, SendTarget, SshEffect, WithdrawCommand,
)
from protocols.ssh.pulse import ASKINGS, INTERVAL
from protocols.verdict import Allow, Decision, Hold

SESSION = Session("0190-s", Identity("ada"), Target("web", "ssh", "h", 22), "app", "", "127.0.0.1:1")
LINE = Exec(b"true", 0)
ALLOWED = Decision(LINE, Allow())


class Leg:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.paused = False
        self.goodbye: list[str] = []

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def pause(self, on: bool) -> None:
        self.paused = on

    def watch(self, full: Callable[[bool], None]) -> None:
        self.full = full

    def disconnect(self, code: int, why: str) -> None:
        self.goodbye.append(why)


class Script:
    """A relay that answers as a test says, by (method, arguments)."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.answers: dict[str, list[SshEffect]] = {}

    def __getattr__(self, method: str) -> Callable[..., list[SshEffect]]:
        def called(*arguments: Any) -> list[SshEffect]:
            self.heard.append((method, *arguments))
            answer = self.answers.get(method, [])
            if isinstance(answer, Exception):
                raise answer
            return list(answer)

        return called


class Ledger:
    def __init__(self) -> None:
        self.records: list[tuple[Any, ...]] = []
        self.broken = self.full = False
        self.drained: list[Callable[[], None]] = []

    def when_drained(self, call: Callable[[], None]) -> None:
        self.drained.append(call)

    def _add(self, *record: Any) -> int:
        if self.broken:
            raise Unrecordable("disk full")
        self.records.append(record)
        return len(self.records)

    def intend(self, session: Session, number: int, decision: Decision, waiter: Any) -> int:
        return self._add("intend", number)

    def refuse(self, session: Session, number: int, decision: Decision) -> int:
        return self._add("refuse", number)

    def report(self, session: Session, number: int, decision: Decision, outcome: Outcome, micros: int) -> int:
        return self._add("report", number, outcome.ending, micros)

    def note(self, session: Session, kind: str, facts: Mapping[str, str]) -> int:
        return self._add("note", kind, dict(facts))


class Addons:
    session = SESSION

    def __init__(self) -> None:
        self.asked: list[Deferred[Decision]] = []
        self.held: list[Callable[[str, Hold], None]] = []
        self.over: list[Decision] = []

    def decide(self, command: Exec, held: Callable[[str, Hold], None]) -> Deferred[Decision]:
        self.held.append(held)
        self.asked.append(Deferred(lambda d: self.cancelled.append(d)))
        return self.asked[-1]

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        self.over.append(decision)

    cancelled: list[Any] = []


class Table:
    def __init__(self) -> None:
        self.relay, self.ledger, self.addons, self.clock, self.ended = Script(), Ledger(), Addons(), Clock(), []
        self.addons.cancelled = []
        self.client, self.target = Leg(), Leg()
        self.adapter = SshAdapter(
            self.relay, SESSION, self.addons, self.ledger, self.clock,
            prove=lambda details: b"proof of " + details, ended=self.ended.append,
        )
        self.adapter.attach(self.client, self.target)

    def client_says(self, *effects: SshEffect) -> Table:
        self.relay.answers["from_client"] = list(effects)
        self.adapter.client_payload(b"payload")
        return self


def test_messages_pass_in_order() -> None:
    table = Table().client_says(SendTarget(b"1"), SendClient(b"2"), SendTarget(b"3"))
    assert (table.target.sent, table.client.sent) == ([b"1", b"3"], [b"2"])


def test_a_command_runs_only_when_its_record_is_durable() -> None:
    table = Table()
    table.relay.answers["recorded"] = [SendTarget(b"run")]
    table.client_says(IntendCommand(1, ALLOWED), IntendCommand(2, ALLOWED))
    assert table.target.sent == [] and table.adapter.busy
    table.adapter.durable(1)
    assert table.target.sent == [b"run"] and ("recorded", 1) in table.relay.heard and ("recorded", 2) not in table.relay.heard
    table.adapter.durable(2)
    assert table.target.sent == [b"run", b"run"]


def test_one_record_that_is_refused_stops_one_command() -> None:
    table = Table().client_says(IntendCommand(1, ALLOWED), IntendCommand(2, ALLOWED))
    table.adapter.refused(1, "its grant is spent")
    table.adapter.durable(2)
    assert [h for h in table.relay.heard if h[0] in ("ungranted", "recorded")] == [("ungranted", 1, "its grant is spent"), ("recorded", 2)]


def test_when_nothing_can_be_recorded_nothing_runs() -> None:
    """Before and after: what waits is refused, and what comes."""
    table = Table().client_says(IntendCommand(1, ALLOWED))
    table.adapter.unrecordable("the disk is full")
    table.ledger.broken = True
    table.client_says(IntendCommand(2, ALLOWED))
    assert [h for h in table.relay.heard if h[0] in ("refused", "recorded")] == [("refused", 1, "the disk is full"), ("refused", 2, "disk full")]


def test_several_commands_are_asked_about_at_once() -> None:
    """Each gets its own answer and its own notice."""
    table = Table().client_says(AskCommand(1, LINE), AskCommand(2, LINE))
    table.addons.held[1]("r-2", Hold("rule", "why", frozenset({"leads"})))
    table.addons.asked[1].callback(ALLOWED)
    assert ("answer", 2, ALLOWED) in table.relay.heard and ("answer", 1, ALLOWED) not in table.relay.heard
    assert [h[:3] for h in table.relay.heard if h[0] == "held"] == [("held", 2, "r-2")]
    assert ("note", "request.held", {"request": "r-2", "rule": "rule"}) in table.ledger.records
    table.addons.asked[0].callback(ALLOWED)
    assert ("answer", 1, ALLOWED) in table.relay.heard and not table.adapter.busy


def test_a_question_that_nobody_wants_is_withdrawn() -> None:
    table = Table().client_says(AskCommand(1, LINE))
    table.client_says(WithdrawCommand(1))
    assert table.addons.cancelled == [table.addons.asked[0]] and not table.ended


def test_a_client_that_leaves_takes_its_questions_along() -> None:
    """And its commands that wait for a record never run."""
    table = Table().client_says(AskCommand(1, LINE), IntendCommand(2, ALLOWED))
    table.relay.answers["recorded"] = [SendTarget(b"run")]
    table.adapter.client_lost()
    table.adapter.durable(9)
    assert table.addons.cancelled and table.ended == ["client gone"] and table.target.sent == []
    assert table.target.goodbye and not table.client.goodbye


def test_a_target_that_leaves_is_told_on_every_channel() -> None:
    table = Table()
    table.relay.answers["close"] = [SendClient(b"notice"), Report(1, ALLOWED, Outcome(Ending.UNKNOWN))]
    table.client_says(IntendCommand(1, ALLOWED))
    table.clock.advance(2)
    table.adapter.target_lost()
    assert table.client.sent == [b"notice"] and table.client.goodbye == ["the target closed the connection"]
    assert ("report", 1, Ending.UNKNOWN, 2_000_000) in table.ledger.records and table.addons.over == [ALLOWED]


def test_a_side_that_breaks_the_protocol_is_recorded_and_both_are_left() -> None:
    table = Table().client_says(SendTarget(b"before"), Malformed("client", "a string is cut short"), SendTarget(b"after"))
    assert table.target.sent == [b"before"] and table.ended == ["malformed bytes from the client"]
    assert ("note", "malformed", {"side": "client", "why": "a string is cut short"}) in table.ledger.records
    assert table.client.goodbye and table.target.goodbye


def test_a_bug_of_ours_ends_one_session_and_quotes_nothing() -> None:
    table = Table()
    table.relay.answers["from_client"] = ValueError("a secret that the client sent")
    table.adapter.client_payload(b"x")
    assert table.ended == ["internal error"] and ("note", "bug", {"error": "ValueError"}) in table.ledger.records
    assert table.client.goodbye == ["internal error of the gateway (OST-900)"]


def test_nothing_is_read_while_the_evidence_is_behind() -> None:
    """What one read brought waits, in order, and the rest stays in the kernel."""
    table = Table()
    table.relay.answers["from_client"] = [SendTarget(b"x")]
    table.ledger.full = True
    table.adapter.client_payload(b"1")
    table.adapter.client_payload(b"2")
    assert table.client.paused and not table.target.paused and table.target.sent == []
    table.ledger.full = False
    for call in table.ledger.drained:
        call()
    assert [h[1] for h in table.relay.heard] == [b"1", b"2"] and not table.client.paused


def test_a_slow_side_holds_back_the_other() -> None:
    table = Table()
    table.client.full(True)
    assert table.target.paused and not table.client.paused
    table.target.full(True)
    table.client.full(False)
    assert table.client.paused and not table.target.paused


def test_host_keys_are_proven_and_remarks_noted() -> None:
    table = Table().client_says(ProveHostKeys(b"keys"), Remark("forward.closed", {"port": "1"}))
    assert ("proved", b"proof of keys") in table.relay.heard
    assert ("note", "forward.closed", {"port": "1"}) in table.ledger.records


def test_a_cancel_ends_the_channels_that_run_something() -> None:
    table = Table().client_says(IntendCommand(1, ALLOWED))
    table.adapter.cancel()
    assert ("cut", 0, "cancelled") in table.relay.heard and not table.ended


def test_a_hangup_closes_once() -> None:
    table = Table().client_says(Hangup("done"), Hangup("again"))
    table.adapter.close("later")
    assert table.ended == ["done"]


def test_a_target_that_hangs_ends_the_session_and_the_client_is_told() -> None:
    """It keeps its connection; nothing is heard of it."""
    table = Table()
    table.relay.answers["keepalive"] = [SendTarget(b"are you there")]
    for _ in range(ASKINGS + 2):
        table.client_says()
        assert not table.ended
        table.clock.advance(INTERVAL)
    assert table.target.sent == [b"are you there"] * ASKINGS
    assert table.ended == ["the target does not answer"] == table.client.goodbye == table.target.goodbye
    assert not table.clock.getDelayedCalls()
