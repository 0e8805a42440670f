"""What an EXECUTE runs, as far as anybody saw it prepared: never too little, and where it is not known, that is told."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from gateway import preparations
from gateway.preparations import Executed, Preparations
from protocols.command import FunctionCall, Path, Statement

ONE, OTHER = "PREPARE q(int) AS SELECT $1", "PREPARE q AS SELECT 2"


def after(*texts: str, complete: bool = True) -> Preparations:
    """A session in which these were sent, one by one, and ended so; their numbers are from 1 on."""
    made = Preparations()
    for number, text in enumerate(texts, 1):
        made.intended(number, Statement(text))
        made.ended(number, complete)
    return made


def executes(made: Preparations, text: str = "EXECUTE q(1)", **how: object) -> list[Executed]:
    return made.intended(99, Statement(text, **how))


@pytest.mark.parametrize("text", ["EXECUTE q(1)", 'EXECUTE "q"', "EXPLAIN ANALYZE EXECUTE q(1)", "CREATE TABLE t AS EXECUTE q(1)", "BEGIN; EXECUTE q(1); EXECUTE q(2)"])
def test_what_is_executed_is_told(text: str) -> None:
    assert executes(after(ONE), text) == [Executed("q", ONE, 1)]


def test_a_bind_of_what_sql_prepared_is_told_too() -> None:
    assert executes(after(ONE), 'EXECUTE "q"', path=Path.BIND, name="q") == [Executed("q", ONE, 1)]


def test_what_nobody_saw_prepared_is_said_to_be_unknown() -> None:
    assert executes(after('PREPARE "Q" AS SELECT 1')) == [Executed("q", None, None)]


def test_a_name_is_what_was_prepared_under_it_last() -> None:
    for gone in ("DEALLOCATE q", "DEALLOCATE PREPARE ALL", "DISCARD ALL"):
        assert executes(after(ONE, gone, OTHER)) == [Executed("q", OTHER, 3)]
        assert executes(after(ONE, gone)) == [Executed("q", None, None)]


def test_whatever_may_have_failed_is_told_beside_what_may_stand() -> None:
    """A second PREPARE of a name fails as a rule; whether it did nobody knows before the target has said so."""
    made = after(ONE)
    made.intended(2, Statement(OTHER))
    both = [Executed("q", ONE, 1), Executed("q", OTHER, 2)]
    assert executes(made) == both
    made.ended(2, False)
    assert executes(made) == both


def test_what_a_pipeline_prepares_behind_a_deallocate_stays() -> None:
    """Their ends come later than they."""
    made = after(ONE)
    for number, text in ((2, "DEALLOCATE q"), (3, OTHER)):
        made.intended(number, Statement(text))
    made.ended(2, True)
    assert executes(made) == [Executed("q", OTHER, 3)]
    made.ended(3, True)
    assert executes(made) == [Executed("q", OTHER, 3)]


def test_a_deallocate_that_failed_took_nothing_away() -> None:
    made = after(ONE)
    made.intended(2, Statement("DEALLOCATE q"))
    made.ended(2, False)
    assert executes(made) == [Executed("q", ONE, 1)]


def test_what_a_string_prepares_itself_is_in_its_own_text() -> None:
    made = Preparations()
    assert made.intended(1, Statement("PREPARE q AS SELECT 1; EXECUTE q")) == []
    made.ended(1, True)
    assert executes(made) == [Executed("q", "PREPARE q AS SELECT 1; EXECUTE q", 1)]


def test_a_name_of_the_protocols_is_known_by_what_was_parsed() -> None:
    assert executes(after(), prepared=MappingProxyType({"q": "SELECT 3"})) == [Executed("q", "SELECT 3", None)]


def test_nothing_runs_at_parse_and_no_other_command_executes_anything() -> None:
    made = after()
    assert made.intended(1, Statement(ONE, Path.PARSE)) == executes(made, "EXECUTE q", path=Path.PARSE) == []
    assert executes(made) == [Executed("q", None, None)]
    assert executes(made, "not SQL: execute q") == made.intended(5, FunctionCall(7)) == executes(made, "SELECT 'execute'") == []


def test_a_session_that_prepares_much_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not kept is in the record of the command that is named; a name that is not kept is said to be unknown."""
    monkeypatch.setattr(preparations, "NAMES", 2)
    monkeypatch.setattr(preparations, "ALL", 2 * len(ONE))
    made = after(*(ONE.replace("q(", f"q{number}(") for number in range(3)))
    known = [executes(made, f"EXECUTE q{number}(1)")[0] for number in range(3)]
    assert known == [Executed("q0", ONE.replace("q(", "q0("), 1), Executed("q1", None, 2), Executed("q2", None, None)]
    made = Preparations()
    for number in range(20):
        made.intended(number, Statement(f"PREPARE q AS SELECT {number}"))
    assert [one.command for one in executes(made)] == list(range(12, 20))


def test_what_is_refused_executes_what_it_would_have_run_and_prepares_nothing() -> None:
    made = after(ONE)
    assert made.refused(Statement("EXECUTE q(1)")) == [Executed("q", ONE, 1)]
    assert made.refused(Statement("PREPARE r AS SELECT 2; EXECUTE r")) == []
    assert executes(made, "EXECUTE r") == [Executed("r", None, None)]
