"""
Which statement a name stands for: what the target may still refuse, skip or take away is not yet, or no more, what a Bind is judged by.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playbook import (
    BOUND, CLOSED, PARSED, READY_FAILED, READY_IDLE, READY_OPEN, SUSPENDED, SYNC, Playbook, Silent, asks, bind, close, complete, describe, error, execute, intends,
    parse, query, refuses, to_client, to_target,
)  # fmt: skip

from protocols.command import Path
from protocols.postgres.phrases import DESCRIBE_AND_RUN
from protocols.postgres.refusal import poison_parse
from protocols.verdict import Allow, Deny

OLD, NEW = "DELETE FROM t", "SELECT 1"


def prepared(**calling: tuple[bool, bool]) -> Playbook:
    """`s` is the old text. `calling`: functions, to whether they close portals, and whether they deallocate."""
    play = Playbook(Silent(calling={f"SELECT {name}()": does for name, does in calling.items()}))
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


@pytest.mark.parametrize("text", ["DEALLOCATE other", 'DEALLOCATE "S"', "SELECT 1", "SELECT discard FROM bin WHERE why = 'to discard'", "SELECT discarded", "SELECT 'DEALLOCATE s'", "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING -- deallocate"])
def test_other_names_stay_what_they_are(text: str) -> None:
    play = prepared()
    play.client(query(text), asks(text)).verdict(Allow(), intends(2, query(text)))
    play.client(bind("", "s") + execute() + SYNC, asks(OLD, Path.BIND))


@pytest.mark.parametrize("text", ["DISCARD/**/ALL", "DISCARD -- all\n ALL", "discard\tall", "SELECT 1;DISCARD\fALL", "DO $$ BEGIN EXECUTE 'deallocate all'; END $$"])
def test_everything_is_forgotten_however_discard_all_is_spelt(text: str) -> None:
    play = prepared()
    play.client(query(text), asks(text)).verdict(Allow(), intends(2, query(text)))
    play.client(bind("", "s") + execute() + SYNC, asks('EXECUTE "s"', Path.BIND))


LONG = "a" * 63


def test_a_name_that_the_server_cuts_is_taken_away_by_what_it_is_cut_to() -> None:
    play = Playbook()
    play.client(parse(OLD, LONG) + SYNC, asks(OLD, Path.PARSE)).verdict(Allow(), intends(1, parse(OLD, LONG)), to_target(SYNC))
    play.target(PARSED + READY_IDLE, ("reports", 1, "complete"), to_client(PARSED + READY_IDLE))
    text = f'DEALLOCATE "{LONG}zzz"'
    play.client(query(text), asks(text)).verdict(Allow(), intends(2, query(text)))
    play.client(bind("", LONG) + execute() + SYNC, asks(f'EXECUTE "{LONG}"', Path.BIND))


@pytest.mark.parametrize("name", ["a" * 64, "é" * 16])
@pytest.mark.parametrize(
    "message",
    [lambda name: parse(OLD, name), lambda name: bind("", name), lambda name: bind(name, "s"), lambda name: execute(name),
     lambda name: describe("S", name), lambda name: describe("P", name), lambda name: close("S", name), lambda name: close("P", name)],
    ids=["parse", "bind", "bind-portal", "execute", "describe", "describe-portal", "close", "close-portal"],
)  # fmt: skip
def test_a_name_that_the_server_would_cut_is_refused(message: Callable[[str], bytes], name: str) -> None:
    """Else two names would be one there and two here."""
    play = prepared()
    play.client(message(name) + SYNC, refuses(2), to_target(poison_parse(2) + SYNC))


def within(text: str, name: str) -> Playbook:
    """In a transaction, where another one is prepared as well."""
    play = prepared()
    play.client(parse(text, name) + SYNC, asks(text, Path.PARSE)).verdict(Allow(), intends(2, parse(text, name)), to_target(SYNC))
    play.target(PARSED + READY_IDLE, ("reports", 2, "complete"), to_client(PARSED + READY_IDLE))
    play.client(query("BEGIN"), asks("BEGIN")).verdict(Allow(), intends(3, query("BEGIN")))
    return play.target(complete("BEGIN") + READY_OPEN, ("reports", 3, "complete"), to_client(complete("BEGIN") + READY_OPEN))


def portal(play: Playbook) -> Playbook:
    """In a transaction, `p` is bound to the old text, and open."""
    play.client(query("BEGIN"), asks("BEGIN")).verdict(Allow(), intends(2, query("BEGIN")))
    play.target(complete("BEGIN") + READY_OPEN, ("reports", 2, "complete"), to_client(complete("BEGIN") + READY_OPEN))
    play.client(bind("p", "s") + SYNC, asks(OLD, Path.BIND)).verdict(Allow(), intends(3, bind("p", "s")), to_target(SYNC))
    return play.target(BOUND + READY_OPEN, to_client(BOUND + READY_OPEN))


@pytest.mark.parametrize("said", [execute("p"), describe("P", "p")], ids=["execute", "describe"])
def test_what_is_asked_of_a_portal_waits_while_a_close_of_it_may_still_be_skipped(said: bytes) -> None:
    """The target takes neither the Close nor the Bind behind what fails: the old portal is what runs."""
    play = portal(prepared())
    play.client(parse("bad", "b") + close("P", "p") + SYNC + said + SYNC, asks("bad", Path.PARSE))
    play.verdict(Allow(), intends(4, parse("bad", "b")), to_target(close("P", "p") + SYNC))
    failed = error() + READY_FAILED
    play.target(failed, ("reports", 4, "error"), to_client(failed), to_target(said + SYNC))


def test_an_execute_waits_while_the_bind_of_its_portal_may_still_fail() -> None:
    play = portal(prepared())
    play.client(parse(NEW, "n") + bind("p", "n") + SYNC + execute("p") + SYNC, asks(NEW, Path.PARSE))
    play.verdict(Allow(), intends(4, parse(NEW, "n")), asks(NEW, Path.BIND)).verdict(Allow(), intends(5, bind("p", "n")), to_target(SYNC))
    failed = PARSED + error() + READY_FAILED
    play.target(failed, ("reports", 4, "complete"), ("reports", 5, "error"), to_client(failed), to_target(execute("p") + SYNC))


def test_what_is_bound_takes_a_name_away_when_it_is_executed() -> None:
    """Not before: the name may be another's by then."""
    play = within("DEALLOCATE s", "d")
    play.client(bind("p", "d") + close("S", "s") + parse(NEW, "s") + SYNC, asks("DEALLOCATE s", Path.BIND))
    play.verdict(Allow(), intends(4, bind("p", "d")), to_target(close("S", "s")), asks(NEW, Path.PARSE))
    play.verdict(Allow(), intends(5, parse(NEW, "s")), to_target(SYNC))
    done = BOUND + CLOSED + PARSED + READY_OPEN
    play.target(done, ("reports", 5, "complete"), to_client(done))
    play.client(execute("p") + SYNC, to_target(execute("p") + SYNC))
    done = complete("DEALLOCATE") + READY_OPEN
    play.target(done, ("reports", 4, "complete"), to_client(done))
    play.client(bind("", "s") + execute() + SYNC, asks('EXECUTE "s"', Path.BIND))


@pytest.mark.parametrize("text", ["CLOSE p", "close all", "/* */ CLOSE p; DECLARE p CURSOR FOR SELECT 2", "-- c\r\ndeclare x cursor for select 2"])
def test_a_portal_whose_name_sql_may_have_given_to_a_cursor_is_asked_about_in_sqls_words(text: str) -> None:
    """Before the target has answered, too."""
    play = portal(prepared())
    play.client(query(text), asks(text)).verdict(Allow(), intends(4, query(text)))
    play.client(execute("p") + SYNC, asks('FETCH FORWARD ALL FROM "p"', Path.BIND))


@pytest.mark.parametrize("text", ["SELECT close FROM prices", "SELECT 'close p'", "SELECT 1 AS declared"])
def test_a_portal_stays_what_it_is_where_no_statement_closes_or_declares_one(text: str) -> None:
    play = portal(prepared())
    play.client(query(text), asks(text)).verdict(Allow(), intends(4, query(text)))
    play.client(execute("p") + SYNC, to_target(execute("p") + SYNC))


def shown(play: Playbook, text: str) -> dict[str, str | None]:
    """What addons see of names when they are asked about this."""
    play.client(query(text), asks(text))
    return dict(play.asked[-1].prepared)


def test_sqls_execute_runs_nothing_under_a_name_that_sql_may_have_taken_away_or_not() -> None:
    """Where that fails, the target has the old statement still, whatever SQL prepared before."""
    play = prepared()
    play.client(query("DEALLOCATE s"), asks("DEALLOCATE s")).verdict(Allow(), intends(2, query("DEALLOCATE s")))
    failed = error() + READY_IDLE
    play.target(failed, ("reports", 2, "error"), to_client(failed))
    assert shown(play, "EXECUTE s") == {"s": None}


@pytest.mark.parametrize(("text", "tag"), [("DEALLOCATE s", "DEALLOCATE"), ("DEALLOCATE ALL", "DEALLOCATE ALL"), ("DISCARD ALL", "DISCARD ALL")])
def test_a_name_is_free_when_the_target_says_that_it_was_taken_away(text: str, tag: str) -> None:
    play = prepared()
    play.client(query(text), asks(text)).verdict(Allow(), intends(2, query(text)))
    done = complete(tag) + READY_IDLE
    play.target(done, ("reports", 2, "complete"), to_client(done))
    assert shown(play, "PREPARE s AS SELECT 1") == {}


def test_a_doubtful_name_is_certain_again_when_the_target_has_parsed_it() -> None:
    play = prepared()
    play.client(query("DEALLOCATE s"), asks("DEALLOCATE s")).verdict(Allow(), intends(2, query("DEALLOCATE s")))
    failed = error() + READY_IDLE
    play.target(failed, ("reports", 2, "error"), to_client(failed))
    play.client(close("S", "s") + parse(NEW, "s") + SYNC, to_target(close("S", "s")), asks(NEW, Path.PARSE)).verdict(Allow(), intends(3, parse(NEW, "s")), to_target(SYNC))
    done = CLOSED + PARSED + READY_IDLE
    play.target(done, ("reports", 3, "complete"), to_client(done))
    assert shown(play, "EXECUTE s") == {"s": NEW}


@pytest.mark.parametrize("text", ["SET search_path = x", "ROLLBACK", "select set_config('a', 'b', false)", 'SELECT U&"\\0073et"()', "DEALLOCATE s"])
def test_sqls_execute_runs_no_more_of_the_protocols_than_sql_itself_could_have_prepared_and_nothing_that_sets(text: str) -> None:
    play = Playbook()
    play.client(parse(text, "s") + SYNC, asks(text, Path.PARSE)).verdict(Allow(), intends(1, parse(text, "s")), to_target(SYNC))
    play.target(PARSED + READY_IDLE, ("reports", 1, "complete"), to_client(PARSED + READY_IDLE))
    assert shown(play, "EXECUTE s") == {"s": None}


@pytest.mark.parametrize("way", ["query", "bind", "prepared"])
def test_sqls_execute_waits_while_a_parse_or_close_of_a_name_may_still_fail(way: str) -> None:
    """Else it would be judged by what the target refuses, and run the old statement."""
    play, name = prepared(), "x" if way == "prepared" else ""
    if way != "query":
        play.client(parse("EXECUTE s", name) + SYNC, asks("EXECUTE s", Path.PARSE)).verdict(Allow(), intends(2, parse("EXECUTE s", name)), to_target(SYNC))
        play.target(PARSED + READY_IDLE, ("reports", 2, "complete"), to_client(PARSED + READY_IDLE))
    number = 2 if way == "query" else 3
    said = query("EXECUTE s") if way == "query" else bind("", name) + execute() + SYNC
    play.client(parse(NEW, "s") + SYNC + said, asks(NEW, Path.PARSE)).verdict(Allow(), intends(number, parse(NEW, "s")), to_target(SYNC))
    taken = error("42P05") + READY_IDLE
    play.target(taken, ("reports", number, "error"), to_client(taken), asks("EXECUTE s", Path.SIMPLE if way == "query" else Path.BIND))
    assert play.asked[-1].prepared["s"] == OLD


def test_a_portal_that_executes_by_name_is_decided_again_when_it_runs() -> None:
    """The name may be another's since it was bound."""
    play = within("EXECUTE s", "x")
    play.client(bind("p", "x") + SYNC, asks("EXECUTE s", Path.BIND)).verdict(Allow(), intends(4, bind("p", "x")), to_target(SYNC))
    play.target(BOUND + READY_OPEN, to_client(BOUND + READY_OPEN))
    play.client(execute("p", 1) + SYNC, to_target(execute("p", 1) + SYNC))  # nothing has happened
    play.target(SUSPENDED + READY_OPEN, to_client(SUSPENDED + READY_OPEN))
    play.client(close("S", "s") + SYNC, to_target(close("S", "s") + SYNC)).target(CLOSED + READY_OPEN, to_client(CLOSED + READY_OPEN))
    play.client(execute("p") + SYNC, asks("EXECUTE s", Path.BIND)).verdict(Deny("no"), refuses(5), to_target(poison_parse(5) + SYNC))


def test_what_has_waited_is_sent_as_itself() -> None:
    """And not as what was read last."""
    play = portal(prepared())
    play.client(close("P", "p") + SYNC + describe("P", "p") + SYNC, to_target(close("P", "p") + SYNC))
    play.target(CLOSED + READY_OPEN, to_client(CLOSED), ("reports", 3, "suspended"), to_client(READY_OPEN), to_target(describe("P", "p") + SYNC))


@pytest.mark.parametrize("text", ["DEALLOCATE s", "DEALLOCATE ALL"])
def test_a_close_that_is_skipped_puts_nothing_back_that_sql_took_away_behind_it(text: str) -> None:
    play = prepared()
    play.client(parse("bad", "b") + close("S", "s") + SYNC + query(text), asks("bad", Path.PARSE))
    play.verdict(Allow(), intends(2, parse("bad", "b")), to_target(close("S", "s") + SYNC), asks(text)).verdict(Allow(), intends(3, query(text)))
    failed = error() + READY_IDLE
    play.target(failed, ("reports", 2, "error"), to_client(failed))
    play.client(bind("", "s") + execute() + SYNC, asks('EXECUTE "s"', Path.BIND))
    assert play.asked[-1].prepared["s"] is None


@pytest.mark.parametrize("text", ["COMMIT AND CHAIN", "COMMIT; BEGIN", "END AND CHAIN", "ROLLBACK TO a", "/**/abort and chain"])
def test_a_portal_whose_transaction_may_have_ended_is_asked_about_in_sqls_words(text: str) -> None:
    """A function that was called since may have opened a cursor of its name."""
    play = portal(prepared())
    play.client(query(text), asks(text)).verdict(Allow(), intends(4, query(text)))
    play.client(execute("p") + SYNC, asks('FETCH FORWARD ALL FROM "p"', Path.BIND))


def test_a_portal_whose_name_a_called_function_may_have_given_to_a_cursor_is_asked_about_in_sqls_words() -> None:
    """However it is called; the others stay what they are."""
    play, text = portal(prepared(f=(True, False), g=(False, False))), "SELECT f()"
    play.client(query("SELECT g()"), asks("SELECT g()")).verdict(Allow(), intends(4, query("SELECT g()")))
    play.target(complete("SELECT 0") + READY_OPEN, ("reports", 4, "complete"), to_client(complete("SELECT 0") + READY_OPEN))
    play.client(execute("p", 1) + SYNC, to_target(execute("p", 1) + SYNC)).target(SUSPENDED + READY_OPEN, to_client(SUSPENDED + READY_OPEN))
    play.client(parse(text) + bind() + execute() + SYNC, asks(text, Path.PARSE)).verdict(Allow(), intends(5, parse(text)), asks(text, Path.BIND))
    play.verdict(Allow(), intends(6, bind()), to_target(execute() + SYNC))
    play.client(execute("p") + SYNC, asks('FETCH FORWARD ALL FROM "p"', Path.BIND))


def test_a_portal_that_calls_such_a_function_itself_is_read_on_as_it_is_and_others_are_not() -> None:
    """Nothing closes a portal while it runs."""
    play, text = portal(prepared(f=(True, False))), "SELECT f()"
    play.client(parse(text) + bind("q") + execute("q", 1) + SYNC, asks(text, Path.PARSE)).verdict(Allow(), intends(4, parse(text)), asks(text, Path.BIND))
    play.verdict(Allow(), intends(5, bind("q")), to_target(execute("q", 1) + SYNC))
    done = PARSED + BOUND + SUSPENDED + READY_OPEN
    play.target(done, ("reports", 4, "complete"), to_client(done))
    play.client(execute("q", 1) + SYNC, to_target(execute("q", 1) + SYNC)).target(SUSPENDED + READY_OPEN, to_client(SUSPENDED + READY_OPEN))
    play.client(execute("p") + SYNC, asks('FETCH FORWARD ALL FROM "p"', Path.BIND))


def test_a_portal_whose_close_may_be_skipped_is_asked_about_in_sqls_words_likewise() -> None:
    """The Close was skipped, the call was before it failed."""
    play, text = portal(prepared(f=(True, False))), "SELECT f()"
    play.client(close("P", "p") + SYNC, to_target(close("P", "p") + SYNC))
    play.client(query(text), asks(text)).verdict(Allow(), intends(4, query(text)))
    failed = error() + READY_OPEN
    play.target(failed, to_client(failed))
    play.target(complete("SELECT 0") + READY_OPEN, ("reports", 4, "complete"), to_client(complete("SELECT 0") + READY_OPEN))
    play.client(execute("p") + SYNC, asks('FETCH FORWARD ALL FROM "p"', Path.BIND))


def test_a_name_that_a_called_function_may_have_given_to_another_statement_is_asked_about_in_sqls_words() -> None:
    play, text = prepared(f=(False, True)), "SELECT f()"
    play.client(query(text), asks(text)).verdict(Allow(), intends(2, query(text)))
    play.client(bind("", "s") + execute() + SYNC, asks('EXECUTE "s"', Path.BIND))
    assert play.asked[-1].prepared["s"] is None


def test_a_portal_that_ends_its_own_transaction_is_asked_about_in_sqls_words() -> None:
    play, text = portal(prepared()), "COMMIT AND CHAIN"
    play.client(parse(text) + bind("q") + execute("q") + SYNC, asks(text, Path.PARSE)).verdict(Allow(), intends(4, parse(text)), asks(text, Path.BIND))
    play.verdict(Allow(), intends(5, bind("q")), to_target(execute("q") + SYNC))
    done = PARSED + BOUND + complete("COMMIT") + READY_OPEN
    play.target(done, ("reports", 4, "complete"), ("reports", 5, "complete"), to_client(done))
    play.client(execute("q") + SYNC, asks('FETCH FORWARD ALL FROM "q"', Path.BIND))
