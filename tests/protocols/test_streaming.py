"""COPY data from a client that is passed on from where it was read: the same bytes and the same outcome, and nothing overtaken."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import adapter as room
from protocols.adapter import LARGE
from protocols.command import Command
from protocols.postgres.codec import STREAM_OVER, encode, goes_on
from protocols.postgres.conversation import Awaited, Kind
from protocols.postgres.frontend import IN_FLIGHT_LIMIT
from protocols.result import Outcome
from protocols.verdict import Decision
from tests.protocols.scene import READY, REFUSED, TERMINATE, Addons, Scene, in_reads, query

COPY, COPY_IN, COPY_DONE = "COPY t FROM STDIN", encode(b"G", b"\0\0\0"), encode(b"c")
ROWS = encode(b"d", b"x" * 8187) * 8


class Watching(Addons):
    """Keeps what came of each command; has `looker` look through what is copied in."""

    def __init__(self, looker: Any = None) -> None:
        super().__init__()
        self.all: list[Outcome] = []
        self.looker, self.hears_data = looker, True

    def inspection(self, decision: Decision) -> Any:
        return self.looker

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        self.all.append(outcome)


def copying(addons: Addons | None = None) -> Scene:
    """The target asked for data."""
    scene = Scene(addons=addons or Watching())
    scene.adapter.client_data(query(COPY))
    scene.durable()
    scene.adapter.target_data(COPY_IN)
    scene.target.clear()
    return scene


def streaming(addons: Addons | None = None) -> Scene:
    """And got some: what comes next is lent."""
    scene = copying(addons)
    scene.reads(ROWS + ROWS[:100])
    assert scene.sent() == ROWS and scene.client.before == ROWS[:100]
    return scene


def copied(scene: Scene) -> tuple[int, bytes]:
    """What the evidence says of the first command."""
    outcome = scene.addons.all[0]
    return outcome.copied_bytes, outcome.copied_sha256


def of(content: bytes) -> tuple[int, bytes]:
    return len(content), hashlib.sha256(content).digest()


def test_data_is_passed_from_where_it_was_read() -> None:
    """Whole messages leave at once, what is cut is shown again with its rest; the evidence counts and digests all of it."""
    scene = streaming()
    assert scene.reads(ROWS[100:] + ROWS[:3]) and scene.sent() == ROWS
    assert scene.reads(ROWS[3:]) and scene.sent() == ROWS
    assert scene.reads(COPY_DONE) and scene.sent() == COPY_DONE
    assert not scene.reads(query("SELECT 2")) and scene.sent() == b""
    scene.adapter.target_data(encode(b"C", b"COPY 1\0") + READY)
    assert copied(scene) == of(b"x" * 8187 * 24)


def test_a_command_behind_streamed_data_is_recorded_before_it_leaves() -> None:
    scene = streaming()
    scene.reads(ROWS[100:] + COPY_DONE + query("SELECT 2"))
    assert scene.sent() == ROWS + COPY_DONE and scene.addons.asked[-1] == "SELECT 2"
    scene.durable()
    assert scene.sent() == query("SELECT 2")


def test_data_that_somebody_looks_through_is_never_only_passed_on() -> None:
    seen: list[bytes] = []

    class Looker:
        def take(self, data: bytes | memoryview) -> None:
            seen.append(bytes(data))

        def end(self) -> None:
            """Nor with all of it."""

    scene = copying(Watching(Looker()))
    for _ in range(3):
        assert not scene.reads(ROWS)
    assert b"".join(seen) == b"x" * 8187 * 24 and scene.sent() == ROWS * 3


def test_data_behind_a_failed_copy_goes_nowhere_and_the_next_command_is_asked_about() -> None:
    """The target gave up while its client still sends; what was to be shown again is looked at too."""
    scene = streaming()
    scene.adapter.target_data(REFUSED)
    assert scene.reads(ROWS[100:] + COPY_DONE + query("SELECT 2")) and scene.sent() == b""
    scene.durable()
    assert scene.sent() == query("SELECT 2") and scene.addons.asked[-1] == "SELECT 2"


def test_data_waits_while_the_evidence_is_behind() -> None:
    scene = streaming()
    scene.ledger.full = True
    scene.reads(ROWS[100:] + ROWS[:200])
    assert scene.sent() == b"" and scene.client.paused
    scene.ledger.drain()
    assert scene.sent() == ROWS and not scene.client.paused
    scene.reads(ROWS[200:] + COPY_DONE)
    assert scene.sent() == ROWS + COPY_DONE


@pytest.mark.parametrize("bad", [b"d\0\0\0\3", b"d\xff\xff\xff\xff", b"?\0\0\0\4"], ids=["too short", "negative", "unknown"])
def test_what_is_no_message_behind_streamed_data_ends_the_session_at_once(bad: bytes) -> None:
    """It does not wait for more."""
    scene = streaming()
    scene.reads(ROWS[100:] + bad)
    assert scene.sent() == ROWS and scene.endings == ["malformed bytes from the client"]


def test_a_goodbye_in_the_middle_of_streamed_data_is_one() -> None:
    scene = streaming()
    scene.reads(ROWS[100:] + TERMINATE)
    assert scene.sent() == ROWS + TERMINATE and not scene.endings
    scene.adapter.target_data(REFUSED)
    scene.adapter.target_lost()
    assert scene.endings == ["client said goodbye"]


def test_a_bug_while_data_streams_ends_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = streaming()

    def broken(data: memoryview) -> tuple[int, bool]:
        raise ValueError("078-05-1120")

    monkeypatch.setattr(scene.adapter._relay, "stream", broken)
    scene.reads(ROWS[100:])
    assert scene.sent() == b"" and scene.endings == ["internal error"]
    assert scene.ledger.of("note") == [("bug", {"error": "ValueError"})]


def test_a_message_over_the_limit_of_memory_passes_in_pieces_all_the_same() -> None:
    scene, large = streaming(), encode(b"d", b"z" * (STREAM_OVER + 9))
    scene.reads(ROWS[100:] + large[:LARGE])
    scene.reads(large[LARGE:] + ROWS)
    assert scene.sent() == ROWS + large + ROWS
    scene.reads(COPY_DONE)
    scene.adapter.target_data(encode(b"C", b"COPY 1\0") + READY)
    assert copied(scene) == of(b"x" * 8187 * 16 + b"z" * (STREAM_OVER + 9) + b"x" * 8187 * 8)


def test_nothing_is_lent_while_a_question_is_open() -> None:
    """Behind a held command is none of a COPY's data, whatever it looks like."""
    scene = Scene()
    scene.reads(query("HOLD 1") + ROWS)
    scene.reads(ROWS)
    assert scene.client.before is None and scene.sent() == b"" and isinstance(scene.addons.held[0][0], Command)


def test_whole_messages_that_wait_are_never_handed_back() -> None:
    """They would wait for bytes that may not come: of a client that has asked for too much at once, say."""
    scene = copying()
    sync = encode(b"S")
    for _ in range(IN_FLIGHT_LIMIT):
        scene.adapter._relay._talk.awaited.append(Awaited(Kind.SYNC))
    assert not scene.reads(sync * (LARGE // len(sync) + 1))
    assert scene.client.before is None and scene.adapter._relay.behind > 0


@pytest.mark.parametrize(("data", "expected"), [
    (b"", True), (b"d", True), (b"d\0\0\0\x05", True), (b"d\0\4\0\4", True), (b"d\0\4\0\5", False), (b"d\0\0\0\3", False), (b"d\0\0\0\4", False),
    (b"c", False), (b"c\0\0\0\4", False), (encode(b"d", b"x") + b"d", False),
], ids=repr)
def test_only_the_beginning_of_one_more_message_is_shown_again(data: bytes, expected: bool) -> None:
    assert goes_on(memoryview(data), b"d"[0]) is expected


@settings(deadline=None)
@given(
    least=st.sampled_from([1, LARGE]),
    sizes=st.lists(st.integers(1, 70_000) | st.sampled_from([8192, 65_536]), min_size=1, max_size=6),
    bodies=st.lists(st.sampled_from([0, 1, 113, 113, 2048, 5000, 20_000]), min_size=1, max_size=6),
    large=st.booleans(),
)
def test_any_cut_of_a_copy_in_gives_the_target_the_same_bytes_and_the_same_outcome(
    least: int, sizes: list[int], bodies: list[int], large: bool
) -> None:
    """The command behind it is asked about, and leaves, behind the data."""
    content = [bytes([65 + index]) * size for index, size in enumerate(bodies)] * 15
    if large:
        content.insert(len(content) // 2, b"z" * (STREAM_OVER + 9))
    stream = b"".join(encode(b"d", one) for one in content) + COPY_DONE
    scene = copying()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "LARGE", least)
        for read in in_reads(stream + query("SELECT 2"), [*sizes, 70_000]):
            scene.reads(read)
    assert scene.target.value() == stream
    scene.durable()
    assert scene.target.value() == stream + query("SELECT 2")
    scene.adapter.target_data(encode(b"C", b"COPY 1\0") + READY)
    assert copied(scene) == of(b"".join(content))
