"""Observed sessions: nothing passes while nobody watches, nothing is lost, and nobody observes themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gateway.ssh.moderation import LEASE, Moderation
from protocols.command import Exec, Forward, ForwardKind, Pty, Shell, Subsystem
from protocols.session import Identity, Session, Target
from protocols.ssh.pause import Pause
from protocols.verdict import Allow, Decision, Deny

AUDITORS = frozenset({"auditors"})


class House:
    """A session of Claude's, on behalf of Ada."""

    def __init__(self, groups: frozenset[str] = AUDITORS) -> None:
        self.clock, self.groups, self.notes, self.ended = Clock(), groups, [], []
        session = Session("s-1", Identity("claude", "agent", on_behalf_of="ada"), Target("web1", "ssh", "h", 22), "a", "", "p")
        self.thinking: Deferred[Decision] | None = None
        opinions: Any = SimpleNamespace(session=session, decide=lambda command, held: self.thinking or Decision(command, Allow()))
        self.moderation = Moderation(
            opinions, self.clock, lambda: self.groups, lambda what, facts: self.notes.append((what, facts["by"])), lambda *told: self.ended.append(told)
        )
        self.shown = self.typed = b""
        self.told: list[bytes] = []
        self.pause = self.moderation.pause(3, self.resume)

    def resume(self) -> None:
        self.typed += b"".join(data for _, data in self.pause.keys.resume().passed)
        did = self.pause.screen.resume()
        self.shown += b"".join(data for _, data in did.passed)
        self.told += [did.ahead] if did.ahead else []

    def output(self, data: bytes) -> None:
        self.shown += b"".join(text for _, text in self.pause.screen.feed(0, data).passed)

    def types(self, data: bytes) -> None:
        self.typed += b"".join(text for _, text in self.pause.keys.feed(0, data).passed)


def test_a_session_pauses_when_its_observer_leaves_and_goes_on_when_one_comes() -> None:
    """Both directions; the person reads why, and the evidence has who came and left."""
    house = House()
    house.clock.advance(0)
    house.output(b"one ")
    house.types(b"ls\r")
    assert (house.shown, house.typed) == (b"", b"") and b"ostiary session watch s-1" in house.told[0]
    house.moderation.observed("grace", AUDITORS)
    assert (house.shown, house.typed) == (b"one ", b"ls\r") and b"goes on" in house.told[1]
    for _ in range(5):  # she is still there
        house.clock.advance(LEASE / 2)
        house.moderation.observed("grace", AUDITORS)
    house.output(b"two ")
    house.clock.advance(LEASE)
    house.output(b"three")
    house.types(b"id\r")
    assert (house.shown, house.typed) == (b"one two ", b"ls\r") and len(house.told) == 3
    house.moderation.observed("bob", AUDITORS)
    assert (house.shown, house.typed) == (b"one two three", b"ls\rid\r")
    assert house.ended == [("nobody observes this session [OST-214]", {3})] and not house.moderation.unforwarded
    assert house.notes == [("observer.came", "grace"), ("observer.left", "grace"), ("observer.came", "bob")]


@pytest.mark.parametrize("by, groups", [("claude", AUDITORS), ("ada", AUDITORS), ("grace", frozenset({"engineers"})), ("grace", frozenset())])
def test_who_it_is_about_and_who_may_not_do_not_observe(by: str, groups: frozenset[str]) -> None:
    """Nor whoever the session is on behalf of."""
    house = House()
    house.moderation.observed(by, groups)
    assert house.moderation.paused and not house.notes


@pytest.mark.parametrize("command", [Exec(b"id", 0), Shell(0), Subsystem("sftp", 0), Forward(ForwardKind.DIRECT, "h", 1, 0)])
def test_what_would_run_without_being_seen_is_refused(command: Any) -> None:
    """A shell on a terminal may begin: it waits."""
    house = House()

    def verdict() -> object:
        decided = house.moderation.decide(command, lambda request, hold: None)
        assert isinstance(decided, Decision)
        return decided.verdict

    denied = verdict()
    assert isinstance(denied, Deny) and denied.code == "OST-214"
    house.moderation.observed("grace", AUDITORS)
    assert isinstance(verdict(), Allow)
    shell = House().moderation.decide(Shell(0, Pty("xterm", 80, 24)), lambda request, hold: None)
    assert isinstance(shell, Decision) and isinstance(shell.verdict, Allow)


def test_a_reload_that_wants_an_observer_stops_what_it_can_and_ends_the_rest() -> None:
    """Channel 3 has a filter that holds it; others began without one."""
    house = House(frozenset())
    house.moderation.reconsider()
    assert not house.ended and not house.pause.on
    house.groups = AUDITORS
    house.moderation.reconsider()
    assert house.pause.on and house.ended == [("nobody observes this session [OST-214]", {3})]
    house.groups = frozenset()
    house.moderation.reconsider()
    assert not house.pause.on and len(house.ended) == 1


def test_what_is_approved_after_its_observer_has_left_does_not_run() -> None:
    """A shell on a terminal does, and stands still."""
    house = House()
    house.moderation.observed("grace", AUDITORS)
    verdicts: list[object] = []
    for command, allowed in ((Exec(b"id", 0), False), (Shell(0, Pty("xterm", 80, 24)), True)):
        house.moderation.observed("grace", AUDITORS)
        house.thinking = Deferred()
        waiting = house.moderation.decide(command, lambda request, hold: None)
        assert isinstance(waiting, Deferred)
        waiting.addCallback(lambda decision: verdicts.append(decision.verdict))
        house.clock.advance(LEASE)
        house.thinking.callback(Decision(command, Allow()))
        assert isinstance(verdicts[-1], Allow if allowed else Deny)


def test_other_targets_need_nobody() -> None:
    assert not House(frozenset()).moderation.needed and not House(frozenset()).moderation.paused


@given(st.lists(st.one_of(st.booleans(), st.binary(min_size=1, max_size=5)), max_size=30), st.booleans())
def test_nothing_is_lost_or_reordered_however_often_it_stops(steps: list[bool | bytes], begins: bool) -> None:
    """And nothing passes while it is stopped."""
    clock, out, sent = Clock(), b"", b""

    def resume() -> None:
        nonlocal out
        out += b"".join(data for _, data in pause.screen.resume().passed)

    pause = Pause(begins, ("stops", "goes on"), clock.callLater, resume)
    for step in steps:
        if isinstance(step, bool):
            pause.turn(step)
            continue
        before, sent = out, sent + step
        out += b"".join(data for _, data in pause.screen.feed(0, step).passed)
        assert out == (before if pause.on else sent)
    pause.turn(False)
    assert out == sent
    pause.screen.closed()
    clock.advance(1)


def test_the_end_of_a_session_forgets_its_observers() -> None:
    house = House()
    house.moderation.observed("grace", AUDITORS)
    house.clock.advance(0)
    house.moderation.closed()
    assert not house.clock.getDelayedCalls()


def test_what_is_recorded_is_of_the_session_as_it_is_judged_now() -> None:
    """A reload gives it another revision; the adapter asks here."""
    house = House()
    judged: Any = house.moderation._opinions
    assert house.moderation.session is judged.session
    judged.session = Session("s-1", Identity("claude"), Target("web1", "ssh", "h", 22), "a", "", "p", policy_revision=2)
    assert house.moderation.session.policy_revision == 2
