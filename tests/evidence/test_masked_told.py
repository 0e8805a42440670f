"""One line, of a bundle's masking: how many cells, in how many commands, and what was in the clear."""

from __future__ import annotations

from typing import Any

import pytest
from auditor import verifier

SSN, DOB = "public.patients.ssn", "public.patients.dob"


def outcome(cells: int, facts: dict[str, str] | None = None, opened: bool = True) -> Any:
    return [21, b"s", 2, "clinic", 1, [1, 1], 1, "complete", "", 3, 90, cells, 0, 100, "I"], [[], [], None, facts, None] if opened else None


def intent(masked: int = 0, clear: list[str] | None = None, opened: bool = True) -> Any:
    body = ["ada", None, "rw", "clinicdb", "", "SELECT 1", None, [], [], "", "", 0, *([clear] if clear else [])]
    return [20, b"s", 1, "clinic", 1, None, 1, "simple", None, None, None, b"", False, 0, masked, 1], body if opened else None


@pytest.mark.parametrize(("events", "line"), [
    ([intent(), outcome(0)], None),
    ([intent(1), outcome(0)], "masking: 0 cells in 0 commands; columns in the clear: none"),
    ([outcome(6, {"masked_by": "wire"}), outcome(1), outcome(0)], "masking: 7 cells in 2 commands; columns in the clear: none"),
    ([outcome(6), outcome(0, {"cells_rewritten": "unknown"}), outcome(2, {"cells_rewritten": "unknown"})],
     "masking: 8 cells in 2 commands; in 2 commands nobody could count all; columns in the clear: none"),
    ([intent(0, [SSN, DOB]), intent(0, [SSN]), intent(), outcome(0)],
     f"masking: 0 cells in 0 commands; columns in the clear: {DOB}, {SSN}, in 2 commands"),
    ([intent(0, [f"c{number}" for number in range(7)])],
     "masking: 0 cells in 0 commands; columns in the clear: c0, c1, c2, c3, c4 and 2 more, in 1 command"),
    ([intent(2, opened=False), outcome(4, opened=False)],
     "masking: 4 cells in 1 command; columns in the clear: none (of 1 command not opened here that is not known)"),
    ([intent(0, ["public.patients.\x1b[2J"])], "masking: 0 cells in 0 commands; columns in the clear: public.patients.\\x1b[2J, in 1 command"),
], ids=["no masking", "masked, no rows", "cells", "uncounted", "clear", "many", "closed bodies", "escapes"])  # fmt: skip
def test_how_much_was_masked_and_what_was_in_the_clear_is_one_line(events: list[Any], line: str | None) -> None:
    assert list(verifier.told_masking(verifier.masking_of(events))) == ([] if line is None else [line])


def test_for_programs_all_columns_are_named() -> None:
    found = verifier.masking_of([intent(0, [f"c{number}" for number in range(7)]), outcome(5)])
    assert found == {
        "cells": 5, "commands": 1, "uncounted": 0, "outcomes_unknown": 0, "clear_columns": [f"c{number}" for number in range(7)], "clear_commands": 1, "unopened": 0,
    }  # fmt: skip


def test_commands_whose_outcome_nobody_knows_are_not_passed_over_as_masking_nothing() -> None:
    """Of those that read masked columns: their outcome is unknown, never came, or is not in the bundle. One that was known later is counted."""
    unknown, known = outcome(0)[0], outcome(6)
    unknown[7] = "unknown"
    events = [intent(1), (unknown, None), intent(1), intent(0), intent(1), known]
    keys = [[1, 1], [9, 9], [1, 2], [1, 3], [1, 4], [9, 10]]
    known[0][5] = [1, 4]
    (line,) = verifier.told_masking(verifier.masking_of(events, keys))
    assert line.startswith("masking: 6 cells in 1 command; and of 2 commands that read masked columns the outcome is not known here, so that its cells")
    later = [*events, (outcome(5)[0], None)]
    assert verifier.masking_of(later, [*keys, [9, 11]])["outcomes_unknown"] == 1


def test_a_query_is_told_in_words_and_utc() -> None:
    query = {"since_ns": "1764180000000000000", "until_ns": "1764183600000000000", "kind": "intent", "text": "drop table", "alarm": "True"}
    assert verifier.shown_query(query) == 'alarms only, kind intent, since 2025-11-26 18:00:00 UTC, text "drop table", before 2025-11-26 19:00:00 UTC'
    assert verifier.shown_query({}) == "the whole log" and "\x1b" not in verifier.shown_query({"text": "\x1b[2J"})


@pytest.mark.parametrize(("numbers", "closed", "why", "state", "words"), [
    ({0, 1}, None, verifier.FILTERED, "filtered", "records 0..1 without a gap; its end, if it had ended by then, was left out by the query, as the log recorded"),
    ({0, 3}, 3, verifier.FILTERED, "filtered", "2 records of it; the others up to 3 were left out by the query, as the log recorded"),
    ({0, 3}, 3, verifier.CLAIMED, "incomplete", "INCOMPLETE, without record 1, 2 of 0..3; the query, which is only claimed, may have left that out"),
    ({0, 1}, None, "", "open", "records 0..1 without a gap, but no close: it went on, or the rest is not in this bundle"),
], ids=["no end", "a part", "claimed", "no filter"])  # fmt: skip
def test_what_a_query_left_out_of_a_session_is_told_apart_from_what_is_missing(
    numbers: set[int], closed: int | None, why: str, state: str, words: str
) -> None:
    assert verifier.run_of(numbers, closed, why) == (state, words)
