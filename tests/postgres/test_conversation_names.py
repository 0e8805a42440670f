"""
Which statement a name stands for: what the target may still refuse, skip or take away is not yet, or no more, what a Bind is judged by.
"""

from __future__ import annotations

import pytest
from playbook import PARSED, READY_IDLE, SYNC, Playbook, asks, bind, close, error, execute, intends, parse, query, to_client, to_target

from protocols.command import Path
from protocols.postgres.phrases import DESCRIBE_AND_RUN
from protocols.verdict import Allow

OLD, NEW = "DELETE FROM t", "SELECT 1"


def prepared() -> Playbook:
    """`s` is the old text."""
    play = Playbook()
    play.client(parse(OLD, "s") + SYNC, asks(OLD, Path.PARSE)).verdict(Allow(), intends(1, parse(OLD, "s")), to_target(SYNC))
    return play.target(PARSED + READY_IDLE, ("reports", 1, "complete"), to_client(PARSED + READY_IDLE))


def test_a_bind_waits_for_the_targets_word_on_a_parse_before_the_last_sync() -> None:
    """The name is taken: the target keeps the old statement, and so it is that which is asked about."""
    play, behind = prepared(), bind("", "s") + execute() + SYNC
    play.client(parse(NEW, "s") + SYNC + behind, asks(NEW, Path.PARSE)).verdict(Allow(), intends(2, parse(NEW, "s")), to_target(SYNC))
    refused = error("42P05") + READY_IDLE
    play.target(refused, ("reports", 2, "error"), to_client(refused), asks(OLD, Path.BIND))


def test_a_bind_goes_on_when_the_target_has_taken_the_parse() -> None:
    play = Playbook()
    play.client(parse(NEW, "s") + SYNC + bind("", "s") + execute() + SYNC, asks(NEW, Path.PARSE))
    play.verdict(Allow(), intends(1, parse(NEW, "s")), to_target(SYNC))
    play.client(query("SELECT 2"))  # nothing overtakes it
    play.target(PARSED + READY_IDLE, ("reports", 1, "complete"), to_client(PARSED + READY_IDLE), asks(NEW, Path.BIND))
    play.verdict(Allow(), intends(2, bind("", "s")), to_target(execute() + SYNC), asks("SELECT 2"))


def test_a_bind_of_what_is_parsed_in_its_own_step_waits_for_nothing() -> None:
    """Where that Parse fails the Bind is skipped."""
    play = prepared()
    play.client(parse(NEW, "s") + bind("", "s") + DESCRIBE_AND_RUN, asks(NEW, Path.PARSE)).verdict(Allow(), intends(2, parse(NEW, "s")), asks(NEW, Path.BIND))


@pytest.mark.parametrize("name", ["", "s"])
def test_a_parse_that_was_skipped_leaves_what_was_there(name: str) -> None:
    play = Playbook()
    play.client(parse(OLD, name) + SYNC, asks(OLD, Path.PARSE)).verdict(Allow(), intends(1, parse(OLD, name)), to_target(SYNC))
    play.target(PARSED + READY_IDLE, ("reports", 1, "complete"), to_client(PARSED + READY_IDLE))
    play.client(parse("bad", "b") + close("S", "s") + parse(NEW, name) + SYNC + bind("", name) + execute() + SYNC, asks("bad", Path.PARSE))
    play.verdict(Allow(), intends(2, parse("bad", "b")), to_target(close("S", "s")), asks(NEW, Path.PARSE))
    play.verdict(Allow(), intends(3, parse(NEW, name)), to_target(SYNC))
    failed = error() + READY_IDLE
    play.target(failed, ("reports", 2, "error"), ("reports", 3, "skipped"), to_client(failed), asks(OLD, Path.BIND))


def test_an_error_takes_nothing_back_that_was_said_behind_the_next_sync() -> None:
    """Nor does what comes before it stay under the name when that fails too."""
    play = prepared()
    play.client(parse("bad", "") + SYNC + parse(NEW, ""), asks("bad", Path.PARSE)).verdict(Allow(), intends(2, parse("bad")), to_target(SYNC), asks(NEW, Path.PARSE))
    play.verdict(Allow(), intends(3, parse(NEW)))
    failed = error() + READY_IDLE
    play.target(failed, ("reports", 2, "error"), to_client(failed))
    play.target(PARSED, to_client(PARSED))
    play.client(bind() + execute() + SYNC, asks(NEW, Path.BIND))


@pytest.mark.parametrize("text", ["DEALLOCATE s", 'deallocate prepare "s";', "DEALLOCATE ALL", "DISCARD ALL", "SELECT 1; DEALLOCATE s", "/**/ DEALLOCATE s"])
def test_a_name_that_sql_may_have_given_to_another_is_asked_about_in_sqls_words(text: str) -> None:
    play = prepared()
    play.client(query(text), asks(text)).verdict(Allow(), intends(2, query(text)))
    play.client(bind("", "s") + execute() + SYNC, asks('EXECUTE "s"', Path.BIND))


@pytest.mark.parametrize("text", ["DEALLOCATE other", 'DEALLOCATE "S"', "SELECT 1"])
def test_other_names_stay_what_they_are(text: str) -> None:
    play = prepared()
    play.client(query(text), asks(text)).verdict(Allow(), intends(2, query(text)))
    play.client(bind("", "s") + execute() + SYNC, asks(OLD, Path.BIND))
