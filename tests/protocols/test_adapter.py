"""
The adapter between a relay and two transports. The relay is PostgreSQL's where the order of
bytes is the question, and a scripted one where only the adapter's own manners are.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

from scene import READY, REFUSED, TERMINATE, Addons, Scene, Scripted, allowed, query
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from protocols.adapter import HELD_LIMIT, LINGER
from protocols.command import Command
from protocols.postgres import messages, replies
from protocols.postgres.codec import encode
from protocols.postgres.frontend import IN_FLIGHT_LIMIT
from protocols.postgres.refusal import denial, poison_query, ungranted
from protocols.verdict import Decision, Hold
from protocols.withheld import LIMIT


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


def test_another_session_is_answered_between_two_decisions_of_a_flood() -> None:
    """A hundred texts that nobody has seen are pipelined; whoever asks something meanwhile does not wait for the rest of them."""
    flood = slow_scene()
    other = Scene(addons=flood.addons, clock=flood.clock)
    texts = [f"SELECT {n}" for n in range(100)]
    flood.adapter.client_data(b"".join(map(query, texts)))
    for turn in range(1, 6):
        other.adapter.client_data(query("SELECT 'mine'"))  # comes between two turns, as all that is read
        other.durable()
        other.adapter.target_data(READY)
        assert other.sent() == query("SELECT 'mine'") and other.client.value() == READY * turn
        one_turn(flood)
    mine = [at for at, text in enumerate(flood.addons.asked) if text == "SELECT 'mine'"]
    assert mine == [3, 7, 11, 15, 19] and flood.adapter.busy
    flood.clock.advance(1)
    assert [text for text in flood.addons.asked if text in texts] == texts


def test_what_a_client_said_before_it_left_is_decided_though_others_have_their_turn() -> None:
    """Its goodbye came behind more than a turn's work; all of that leaves first."""
    scene = slow_scene()
    texts = [query(f"INSERT {n}") for n in range(10)]
    scene.adapter.client_data(b"".join(texts) + TERMINATE)
    scene.adapter.client_lost()
    assert not scene.endings and not scene.clock.getDelayedCalls()
    scene.durable()
    scene.adapter.target_lost()
    assert scene.sent() == b"".join(texts) + TERMINATE and len(scene.endings) == 1


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
    for _ in range(LIMIT // len(big) + 1):
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
