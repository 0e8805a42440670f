"""What a requester is told of a question that was asked, or answered with no."""

from __future__ import annotations

import pytest

from gateway.request import made, unfavourable
from protocols.verdict import Hold

HOLD = Hold("rule", "it is privileged.", frozenset({"dba"}), mode="retry")


def test_whoever_missed_a_yes_is_told_when_asking_again() -> None:
    """Else the same people are asked twice and nobody knows why."""
    missed = "r1 was approved, but not used in time"
    reason, code, hint = made("r2", HOLD, {"reason": missed})
    assert (reason, code) == (f"it is privileged; request r2 was made again: {missed}", "OST-301")
    assert "ostiary request approve r2" in hint and made("r2", HOLD, {})[0].endswith("request r2 was made")


@pytest.mark.parametrize(
    ("answer", "told", "code"),
    [
        ({"state": "denied", "by": "grace", "reason": "no"}, "request r1 was denied by grace: no", "OST-302"),
        ({"state": "expired", "reason": "nobody answered in time"}, "request r1 has expired: nobody answered in time", "OST-303"),
        ({"state": "withdrawn"}, "request r1 was withdrawn", "OST-304"),
    ],
    ids=["denied", "expired", "withdrawn"],
)
def test_a_no_is_told_in_words_that_fit(answer: dict[str, str], told: str, code: str) -> None:
    assert unfavourable("r1", answer) == (told, code)
