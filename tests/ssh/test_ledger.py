"""The credit ledger against two honest peers that count for themselves, in random order."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocols.ssh.ledger import WINDOW_LIMIT, Ledger, Overrun

STEPS = st.lists(st.tuples(st.sampled_from(["send", "pass", "drop", "inject", "lend", "adjust", "hold", "free"]), st.integers(0, 5000)))


@given(st.integers(0, 10_000), STEPS)
def test_both_peers_count_what_the_ledger_counts(window: int, steps: list[tuple[str, int]]) -> None:
    ledger, sender, receiver, consumed = Ledger.opened(window), window, window, 0
    for step, count in steps:
        if step == "send":
            count = min(count, sender)
            sender -= count
            ledger.came(count)
        elif step == "pass":
            sent = ledger.passes(count)
            receiver, consumed = receiver - sent, consumed + sent
        elif step == "drop":
            sender += ledger.dropped(min(count, ledger.pending))
        elif step == "inject":
            sent = ledger.injects(count)
            receiver, consumed = receiver - sent, consumed + sent
        elif step == "lend":
            sender += ledger.lends(count)
        elif step == "adjust":
            count = min(count, consumed)
            receiver, consumed = receiver + count, consumed - count
            sender += ledger.adjusted(count)
        else:
            sender += ledger.withhold(step == "hold")
        assert sender == ledger.allowance >= 0
        assert receiver == ledger.room >= 0
        assert min(ledger.pending, ledger.debt, ledger.kept) >= 0
        assert ledger.allowance == ledger.room + ledger.debt - ledger.pending - ledger.kept


def test_data_beyond_the_window_is_refused() -> None:
    ledger = Ledger.opened(10)
    ledger.came(10)
    with pytest.raises(Overrun):
        ledger.came(1)


def test_an_adjust_beyond_the_limit_is_refused() -> None:
    with pytest.raises(Overrun):
        Ledger.opened(WINDOW_LIMIT).adjusted(1)


def test_the_adjust_for_injected_bytes_never_reaches_the_sender() -> None:
    ledger = Ledger.opened(100)
    assert ledger.injects(30) == 30
    assert ledger.adjusted(20) == 0
    assert ledger.adjusted(20) == 10


def test_what_was_lent_is_paid_back_by_the_receivers_next_adjust() -> None:
    """A server that opens no window before its shell runs: what was typed meanwhile arrives, and credit is neither lost nor doubled."""
    ledger = Ledger.opened(0)
    assert ledger.lends(30) == 30
    ledger.came(20)
    assert ledger.passes(20) == 0
    assert ledger.adjusted(100) == 70 and ledger.passes(20) == 20
    assert ledger.allowance == ledger.room == 80


def test_more_cannot_be_dropped_than_came() -> None:
    with pytest.raises(ValueError):
        Ledger.opened(10).dropped(1)
