"""What is open, as a function of records."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.notary.record import LEAF_LIMIT, Kind, Record, Stamp, event, pack_leaf, parse_event
from gateway.notary.state import UNLIMITED, Grant, State

BINDING = b"b" * 32
SESSION = b"s" * 16


def record(kind: Kind, *fields: Any, worker: int = 2, sequence: int = 1, **common: Any) -> Record:
    return Record(Stamp(1, 0, 1000, 0, worker, sequence), parse_event(event(kind, *fields, **common)))


def intent(sequence: int, grant: str = "", binding: bytes = b"") -> Record:
    fields = (7, "simple", "", grant, "", binding, False, 0, 0, 1)
    return record(Kind.INTENT, *fields, sequence=sequence, session=SESSION, target="clinic")


def approval(name: str, expires: int = 10_000, uses: int = 1) -> Record:
    return record(Kind.APPROVAL, name, BINDING, expires, uses, "r", worker=1)


def outcome(ref: list[int]) -> Record:
    return record(Kind.OUTCOME, 7, "complete", "", 0, 0, 0, 0, 0, "I", ref=ref, sequence=9)


def test_an_intent_is_open_until_its_outcome() -> None:
    state = State()
    state.apply(intent(4))
    assert state.open_intents == {(2, 4): (SESSION, "clinic", 7)}
    state.apply(outcome([2, 4]))
    assert not state.open_intents


def test_a_grant_is_refused_for_each_reason() -> None:
    state = State()
    state.apply(approval("g"))
    assert state.refusal("g", BINDING, 0, 0) == ""
    assert "unknown" in state.refusal("h", BINDING, 0, 0)
    assert "expired" in state.refusal("g", BINDING, 10_000, 0)
    assert "something else" in state.refusal("g", b"c" * 32, 0, 0)
    assert "spent" in state.refusal("g", BINDING, 0, 1)
    state.apply(intent(1, "g", BINDING))
    assert "spent" in state.refusal("g", BINDING, 0, 0)


def test_approving_twice_does_not_give_a_second_use() -> None:
    state = State()
    for one in (approval("g"), intent(1, "g", BINDING), approval("g")):
        state.apply(one)
    assert "spent" in state.refusal("g", BINDING, 0, 0)


def test_uses_are_counted_and_unlimited_is_not() -> None:
    three, window = Grant(BINDING, 10, 3, "r", spent=2), Grant(BINDING, 10, UNLIMITED, "r", spent=99)
    assert three.refusal(BINDING, 0, 0) == "" and three.refusal(BINDING, 0, 1)
    assert window.refusal(BINDING, 0, 50) == "" and window.refusal(BINDING, 10, 0)


def test_a_workers_own_is_told_apart() -> None:
    state = State()
    state.apply(intent(1))
    state.apply(record(Kind.OPENED, "postgres", 1, session=SESSION, target="clinic"))
    assert state.of_worker(2) == ([(2, 1)], [SESSION]) and state.of_worker(3) == ([], [])
    state.apply(record(Kind.CLOSED, 1, session=SESSION))
    assert state.of_worker(2)[1] == []
    assert state.next_worker == 3


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
grants = st.dictionaries(names, st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=40)


@settings(max_examples=40, deadline=None)
@given(grants, st.integers(0, 300))
def test_carried_state_is_the_same_state(known: dict[str, tuple[int, int]], count: int) -> None:
    """Through real leaves, so that no carried record is over the limit."""
    state = State()
    for name, (uses, spent) in known.items():
        state.grants[name] = Grant(BINDING, 2000, uses, "\U0001f600" * 64, spent)
    for sequence in range(count):
        state.open_intents[2, sequence] = (SESSION, "\U0001f600" * 128, sequence)
        state.sessions[sequence.to_bytes(16, "big")] = (2, "clinic")
    again = State()
    for what, rows in state.carry(1000):
        packed = event(Kind.CARRY, what, rows)
        assert len(pack_leaf(Stamp(1, 1, 1, 1, 1, 1), packed)) <= LEAF_LIMIT
        again.apply(Record(Stamp(1, 1, 1, 1, 0, 1), parse_event(packed)))
    assert (again.grants, again.open_intents, again.sessions) == (state.grants, state.open_intents, state.sessions)


def test_expired_grants_are_forgotten_and_spent_ones_are_not() -> None:
    """A spent grant that was forgotten could be approved and spent again."""
    state = State()
    state.apply(approval("old", expires=5))
    state.apply(approval("spent", expires=99))
    state.apply(intent(1, "spent", BINDING))
    state.forget_grants(10)
    carried = [row[0] for what, rows in state.carry(10) if what == "grants" for row in rows]
    assert list(state.grants) == carried == ["spent"]


def test_what_the_notary_remarks_ends_no_session() -> None:
    """Nor does its start: workers outlive notaries, and their sessions have to be ended when they die."""
    state = State()
    state.apply(record(Kind.OPENED, "postgres", 1, session=SESSION, target="clinic"))
    for what in ("damaged", "mended", "checked", "anchor", "stopped", "started"):
        state.apply(record(Kind.NOTARY, what, "segment 1 was removed"))
    assert state.of_worker(2) == ([], [SESSION])
