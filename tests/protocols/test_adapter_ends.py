"""The adapter: commands that are held, and every way in which a session ends."""

from __future__ import annotations

from typing import Any

import pytest
from scene import READY, REFUSED, TERMINATE, Scene, Scripted, allowed, query
from twisted.internet.defer import Deferred

from protocols.adapter import HELD_LIMIT, LINGER
from protocols.command import Statement
from protocols.effects import Ask, Hangup, Intend, Malformed, Report, ToClient, ToTarget
from protocols.postgres import messages, replies
from protocols.postgres.codec import encode
from protocols.postgres.refusal import poison_query
from protocols.result import Ending, Outcome
from protocols.verdict import Decision, Deny


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
    """`psql -c INSERT` and gone: the record becomes durable, then command and Terminate leave; with the answer both sides close."""
    scene = Scene()
    scene.adapter.client_data(query("INSERT") + TERMINATE)
    scene.adapter.client_lost()
    assert not scene.endings and scene.sent() == b""
    scene.durable()
    assert scene.sent() == query("INSERT") + TERMINATE and not scene.endings
    scene.adapter.target_data(replies.CommandComplete("INSERT 0 1").encode() + READY)
    assert scene.endings == ["client said goodbye"] and scene.target.closed == 1 and scene.ledger.of("report")[0][1] == "complete"


def test_goodbye_without_durability_runs_nothing() -> None:
    """The notary refuses instead: poison leaves, then Terminate."""
    scene = Scene()
    scene.adapter.client_data(query("INSERT") + TERMINATE)
    scene.adapter.unrecordable("notary gone")
    assert scene.sent() == poison_query(1) + TERMINATE
    scene.adapter.target_data(REFUSED)
    scene.adapter.target_lost()
    assert scene.endings == ["client said goodbye"]


def test_a_client_that_vanishes_runs_nothing_that_waits() -> None:
    """No goodbye: what has no durable record yet never leaves."""
    scene = Scene()
    scene.adapter.client_data(query("INSERT"))
    scene.adapter.client_lost()
    scene.durable()
    assert scene.sent() == b"" and scene.endings == ["client gone"] and scene.ledger.of("report")[0][1] == "refused"


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


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "not-taken"])
def test_who_is_ended_by_us_has_what_runs_stopped_before_the_target_is_left(taken: bool) -> None:
    """The client is told at once. A target that takes no cancel is left too."""
    scene = Scene()
    scene.adapter.client_data(query("SELECT 1"))
    scene.durable()
    scene.taking = Deferred()
    scene.adapter.close("killed", "killed")
    assert scene.cancels == 1 and (scene.client.closed, scene.target.closed) == (1, 0) and len(scene.endings) == 1
    scene.adapter.target_data(REFUSED)
    if taken:
        scene.taking.callback(None)
    else:
        scene.taking.errback(ConnectionError())
    assert scene.target.closed == 1 and scene.cancels == 1


@pytest.mark.parametrize("ended", ["idle", "client", "target"])
def test_nothing_is_cancelled_where_nothing_runs_or_somebody_else_left(ended: str) -> None:
    scene = Scene()
    if ended != "idle":
        scene.adapter.client_data(query("SELECT 1"))
        scene.durable()
    {"idle": lambda: scene.adapter.close("killed", "killed"), "client": scene.adapter.client_lost, "target": scene.adapter.target_lost}[ended]()
    scene.adapter.target_lost()
    assert scene.cancels == 0 and len(scene.endings) == 1
