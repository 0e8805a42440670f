"""A session whose client goes while something runs: it ends when that is answered, and the evidence says with what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scene import READY, REFUSED, TERMINATE, Scene, allowed, query
from twisted.internet.defer import Deferred

from protocols.command import Command, Statement
from protocols.parting import PATIENCE, UNHEARD
from protocols.postgres import replies
from protocols.postgres.codec import encode
from protocols.verdict import Decision, Hold

DONE = replies.CommandComplete("DELETE 7").encode() + READY
SHAPE = encode(b"T", b"\0\1x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")
ROWS = encode(b"D", b"\0\1\0\0\4\0" + b"x" * 1024) * 64


def running(*texts: str) -> Scene:
    """The target has these."""
    scene = Scene()
    scene.adapter.client_data(b"".join(map(query, texts)))
    scene.durable()
    assert scene.sent() == b"".join(map(query, texts))
    return scene


def test_whoever_says_goodbye_behind_its_commands_hears_all_their_answers() -> None:
    scene = running("DELETE 1", "DELETE 2")
    scene.adapter.client_data(TERMINATE)
    assert scene.sent() == TERMINATE and not scene.endings and not scene.client.closed
    scene.adapter.target_data(DONE)
    scene.adapter.target_data(DONE[:-1])
    scene.adapter.target_data(DONE[-1:])
    assert scene.client.value() == 2 * DONE and not scene.endings
    scene.adapter.target_lost()
    assert scene.endings == ["client said goodbye"] and scene.client.closed == 1 and scene.client.value() == 2 * DONE
    assert [ending for _, ending, _ in scene.ledger.of("report")] == ["complete", "complete"]


def test_a_goodbye_with_nothing_on_its_way_ends_at_once() -> None:
    scene = running("DELETE 1")
    scene.adapter.target_data(DONE)
    scene.adapter.client_data(TERMINATE)
    assert scene.endings == ["client said goodbye"] and scene.target.closed == 1


def test_a_target_that_stays_behind_a_goodbye_is_left_in_the_end() -> None:
    scene = running("DELETE 1")
    scene.adapter.client_data(TERMINATE)
    scene.clock.advance(10 * PATIENCE)
    assert not scene.endings  # it still runs
    scene.adapter.target_data(DONE)
    scene.clock.advance(PATIENCE)
    assert scene.endings == ["client said goodbye"] and scene.target.closed == 1
    scene.adapter.client_lost()
    scene.adapter.target_lost()
    assert not scene.clock.getDelayedCalls()


def test_what_comes_behind_a_goodbye_is_nothing() -> None:
    scene = running("DELETE 1")
    scene.adapter.client_data(TERMINATE + query("DELETE 2"))
    scene.adapter.client_data(query("DELETE 1"))
    scene.durable()
    assert scene.sent() == TERMINATE and scene.addons.asked == ["DELETE 1"]


@pytest.mark.parametrize("answer", [DONE, REFUSED], ids=["done", "refused"])
def test_what_runs_when_its_client_vanishes_has_its_outcome_in_the_evidence(answer: bytes) -> None:
    """As from a client that is gone the target hears the end, finishes, and is heard."""
    scene = running("DELETE 1")
    scene.adapter.client_lost()
    assert scene.target.half_closed and not scene.endings and scene.adapter.busy
    scene.adapter.target_data(answer)
    assert scene.endings == ["client gone"] and scene.target.closed == 1 and scene.cancels == 0
    assert scene.ledger.of("report")[0][1] == ("complete" if answer is DONE else "error")


def test_what_was_not_sent_when_the_client_vanished_never_is() -> None:
    """Neither what waits for its record, nor what waits for somebody's word; what runs has its outcome, and of what was recorded the evidence says that it did not run."""
    scene = running("DELETE 1")
    scene.adapter.client_data(query("DELETE 2") + query("HOLD 3") + query("DELETE 4"))
    scene.adapter.client_lost()
    assert len(scene.addons.cancelled) == 1
    scene.durable()
    scene.adapter.target_data(DONE)
    assert scene.sent() == b"" and scene.addons.asked[-1] == "HOLD 3"
    assert scene.endings == ["client gone"] and [report[:2] for report in scene.ledger.of("report")] == [(1, "complete"), (2, "refused")]
    assert not scene.ledger.of("refuse")


def test_a_goodbye_behind_a_held_command_takes_that_along_and_waits_for_what_runs() -> None:
    scene = running("DELETE 1")
    scene.adapter.client_data(query("HOLD 2"))
    scene.adapter.client_data(TERMINATE)
    assert len(scene.addons.cancelled) == 1 and not scene.endings and scene.sent() == b""
    scene.adapter.target_data(DONE)
    scene.adapter.target_lost()
    assert scene.endings == ["client left while its command was held"] and scene.client.value().endswith(DONE)
    assert scene.ledger.of("report")[0][1] == "complete"


def test_a_target_that_ends_with_its_clients_end_is_not_lost() -> None:
    """COPY, say: what comes of it is that nothing does."""
    scene = running("DELETE 1")
    scene.adapter.client_lost()
    scene.adapter.target_lost()
    assert scene.endings == ["client gone"] and scene.ledger.of("report")[0][1] == "unknown"


def test_a_target_that_ends_behind_a_goodbye_ends_silently() -> None:
    """It was told to; an open portal, or what had no Sync, is not answered any more."""
    scene = running("DELETE 1")
    scene.adapter.client_data(TERMINATE)
    scene.adapter.target_lost()
    assert scene.endings == ["client said goodbye"] and not scene.client.value() and scene.ledger.of("report")[0][1] == "unknown"


def test_a_goodbye_behind_what_the_gateway_itself_looks_up_takes_nothing_along() -> None:
    """Only people are not asked for somebody who left: all before the goodbye runs, and is answered."""
    scene = Scene()
    waiting: list[Deferred[Decision]] = []

    def decide(command: Command, held: object) -> Decision | Deferred[Decision]:
        waiting.append(Deferred())
        return waiting[-1]

    scene.addons.decide = decide  # type: ignore[method-assign]
    scene.adapter.client_data(query("CREATE 1") + query("INSERT 2") + TERMINATE)
    for text in ("CREATE 1", "INSERT 2"):
        assert not scene.endings
        waiting[-1].callback(allowed(Statement(text)))
    scene.durable()
    assert scene.sent() == query("CREATE 1") + query("INSERT 2") + TERMINATE
    scene.adapter.target_data(2 * DONE)
    scene.adapter.target_lost()
    assert scene.client.value() == 2 * DONE and scene.endings == ["client said goodbye"]


def test_a_command_that_people_are_asked_about_only_then_is_withdrawn_all_the_same() -> None:
    scene = Scene()
    waiting: Deferred[Decision] = Deferred(lambda _: None)
    said: list[Callable[[str, Hold], None]] = []
    scene.addons.decide = lambda command, held: (said.append(held), waiting)[1]  # type: ignore[method-assign]
    scene.adapter.client_data(query("DELETE 1") + TERMINATE)
    assert not scene.endings
    said[0]("r-1", Hold("rule", "why", frozenset({"approvers"})))
    assert scene.endings == ["client left while its command was held"] and scene.sent() == b""


def test_rows_for_nobody_are_not_read_for_ever() -> None:
    scene = running("DELETE 1")
    scene.adapter.client_lost()
    scene.adapter.target_data(SHAPE)
    for _ in range(UNHEARD // len(ROWS)):
        scene.adapter.target_data(ROWS)
    assert not scene.endings
    scene.adapter.target_data(2 * ROWS)
    assert scene.endings == ["client gone"] and scene.target.closed == 1


def test_a_target_that_waited_for_a_slow_client_is_heard_when_that_is_gone() -> None:
    scene = running("DELETE 1")
    scene.adapter._pause_target(True)
    assert scene.target.paused
    scene.adapter.client_lost()
    assert not scene.target.paused


def test_an_operator_ends_a_session_that_waits_for_its_last_answer() -> None:
    scene = running("DELETE 1")
    scene.adapter.client_lost()
    scene.adapter.close("killed", "killed")
    assert scene.cancels == 1 and scene.endings == ["killed"]


def test_a_goodbye_while_the_short_way_is_taken_waits_as_any_other() -> None:
    scene = running("DELETE 1")
    scene.adapter.target_data(DONE)
    scene.adapter.client_data(query("DELETE 1"))
    scene.durable()
    scene.adapter.client_data(TERMINATE)
    scene.adapter.client_lost()
    assert not scene.endings
    scene.adapter.target_data(DONE)
    assert scene.endings == ["client said goodbye"] and [report[1] for report in scene.ledger.of("report")] == ["complete", "complete"]
