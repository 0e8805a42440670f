"""What a client can and cannot make a target do. Each test is named after a claim."""

from __future__ import annotations


import pytest
from playbook import (
    BOUND, CLOSED, COPY_OUT, DROP, EMPTY, FLUSH, NO, ONE, PARSED, READY_FAILED, READY_IDLE, READY_OPEN, SUSPENDED,
    SYNC, TWO, Playbook, asks, bind, close, columns, complete, denied, error, execute, intends, malformed, parse,
    prepared, query, refuses, reports, row, to_client, to_target,
)

from protocols.command import Path, Transaction
from protocols.postgres import messages, replies
from protocols.postgres.codec import encode, encode_head
from protocols.postgres.refusal import poison_parse, poison_query, ungranted, unrecorded
from protocols.verdict import Allow, Deny


CHANGED = Deny(
    "what this prepared statement means has changed since it was prepared", code="OST-704", sqlstate="0A000",
    hint="prepare it again (DEALLOCATE ALL, or reconnect)",
)


# -- refusals ----------------------------------------------------------------------------


def test_a_denied_statement_never_reaches_the_target() -> None:
    """The target reads only what it must reject; the client gets our 42501 and the target's own status."""
    (
        Playbook()
        .client(DROP, asks("DROP TABLE t"))
        .verdict(NO, refuses(1), to_target(poison_query(1)))
        .target(error() + READY_IDLE, to_client(denied(NO) + READY_IDLE))
        .ends()
    )


@pytest.mark.parametrize("status", [READY_IDLE, READY_OPEN, READY_FAILED])
def test_the_status_after_a_refusal_is_the_targets_own(status: bytes) -> None:
    """Whatever it says of the transaction is what the client hears."""
    (
        Playbook()
        .client(DROP, asks("DROP TABLE t"))
        .verdict(NO, refuses(1), to_target(poison_query(1)))
        .target(error() + status, to_client(denied(NO) + status))
    )


def test_poison_names_nothing_of_the_client() -> None:
    """What the target's log shows of a refused command is its number."""
    assert b"DROP" not in poison_query(7) + poison_parse(7) and b"7" in poison_query(7)


def test_a_pipelined_statement_waits_its_turn() -> None:
    """While one is asked about, the next is not even looked at."""
    (
        Playbook()
        .client(ONE + DROP, asks("SELECT 1"))
        .client(TWO)
        .verdict(Allow(), intends(1, ONE), asks("DROP TABLE t"))
        .verdict(NO, refuses(2), to_target(poison_query(2)), asks("SELECT 2"))
        .verdict(Allow(), intends(3, TWO))
    )


def test_answers_of_a_pipeline_are_matched_in_order() -> None:
    """A refusal between two commands takes the place of the middle answer only."""
    play = Playbook().client(ONE + DROP + TWO, asks("SELECT 1"))
    play.verdict(Allow(), intends(1, ONE), asks("DROP TABLE t"))
    play.verdict(NO, refuses(2), to_target(poison_query(2)), asks("SELECT 2")).verdict(Allow(), intends(3, TWO))
    answer = columns("a") + row(b"1") + complete("SELECT 1")
    play.target(
        answer + READY_IDLE + error() + READY_IDLE + answer + READY_IDLE,
        to_client(answer), reports(1), to_client(READY_IDLE + denied(NO, 2) + READY_IDLE + answer), reports(3),
        to_client(READY_IDLE),
    )


def test_a_string_of_statements_is_decided_whole() -> None:
    """One question, one poison: nothing of `BEGIN; UPDATE; DROP` runs."""
    text = "BEGIN; UPDATE t SET a=1; DROP TABLE t"
    Playbook().client(query(text), asks(text)).verdict(NO, refuses(1), to_target(poison_query(1)))


def test_after_a_denied_parse_all_is_skipped_until_sync() -> None:
    """Its Bind and Execute are neither asked about nor sent; the target would not hear them."""
    (
        Playbook()
        .client(parse("DROP TABLE t") + bind() + execute() + FLUSH, asks("DROP TABLE t", Path.PARSE))
        .verdict(NO, refuses(1), to_target(poison_parse(1)))
        .client(query("SELECT 1"))
        .client(SYNC + ONE, to_target(SYNC), asks("SELECT 1"))
        .target(error() + READY_IDLE, to_client(denied(NO) + READY_IDLE))
    )


def test_a_denied_bind_reaches_the_target_as_poison() -> None:
    """A refusal by values: the statement stays prepared, the portal is never made."""
    play = Playbook().client(parse("SELECT $1") + bind(values=(b"7",)) + execute() + SYNC, asks("SELECT $1", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT $1")), asks("SELECT $1", Path.BIND))
    assert play.asked[-1].parameters[0].value == b"7"
    play.verdict(NO, refuses(2), to_target(poison_parse(2) + SYNC))
    play.target(PARSED + error() + READY_IDLE, to_client(PARSED + denied(NO, 2)), reports(1), to_client(READY_IDLE))


def test_a_refusal_before_an_earlier_error_is_not_shown() -> None:
    """The target skips the poison as it would have skipped the command; the first error is the client's."""
    play = Playbook().client(parse("SELEC") + bind() + SYNC, asks("SELEC", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELEC")), asks("SELEC", Path.BIND))
    play.verdict(NO, refuses(2), to_target(poison_parse(2) + SYNC))
    play.target(error() + READY_IDLE, to_client(error()), reports(1, "error"), to_client(READY_IDLE))


def test_a_refusal_behind_sync_is_not_forgotten_when_an_earlier_error_arrives() -> None:
    """Skipping begun by the later refusal goes on until the client's next Sync."""
    play = Playbook().client(parse("SELEC") + SYNC + parse("DROP"), asks("SELEC", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELEC")), to_target(SYNC), asks("DROP", Path.PARSE))
    play.verdict(NO, refuses(2), to_target(poison_parse(2)))
    play.target(error() + READY_IDLE, to_client(error()), reports(1, "error"), to_client(READY_IDLE))
    play.client(bind() + execute()).client(SYNC, to_target(SYNC))
    play.target(error() + READY_IDLE, to_client(denied(NO, 2) + READY_IDLE))


def test_a_command_approved_after_an_earlier_error_does_not_run() -> None:
    """It was held while its pipeline failed: the target would skip it, so it is not sent nor recorded as sent."""
    play = prepared().client(bind("p2"), asks("SELECT $1", Path.BIND))
    play.target(PARSED + error(), to_client(PARSED + error()))
    play.verdict(Allow()).client(execute("p2"))
    play.client(SYNC, to_target(SYNC))
    play.target(READY_IDLE, reports(1), reports(2, "error"), to_client(READY_IDLE)).ends()


def test_a_command_denied_after_an_earlier_error_is_recorded_all_the_same() -> None:
    """The refusal is evidence; no poison goes where the target is skipping."""
    play = prepared().client(bind("p2"), asks("SELECT $1", Path.BIND))
    play.target(PARSED + error(), to_client(PARSED + error()))
    play.verdict(NO, refuses(3))


def test_a_target_that_accepts_poison_is_not_believed() -> None:
    """No PostgreSQL can; the session ends before a byte of the answer leaves."""
    for lie in (complete("DROP TABLE"), EMPTY, columns("a"), row(b"1"), COPY_OUT, READY_IDLE):
        play = Playbook().client(DROP, asks("DROP TABLE t")).verdict(NO, refuses(1), to_target(poison_query(1)))
        play.target(lie, malformed("target")).target(READY_IDLE)
    play = Playbook().client(parse("DROP"), asks("DROP", Path.PARSE)).verdict(NO, refuses(1), to_target(poison_parse(1)))
    play.target(PARSED, malformed("target"))


def test_an_intent_that_the_notary_refuses_ends_in_our_error() -> None:
    """Its poison is on the way instead; 58030 says why, and the outcome says that it did not run."""
    play = Playbook().client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE)).unrecorded(1, "disk full")
    shown = denied(unrecorded("disk full"))
    play.target(error() + READY_IDLE, to_client(shown), reports(1, "refused"), to_client(READY_IDLE))
    assert b"58030" in shown and b"disk full" in shown


def test_a_grant_that_was_spent_meanwhile_has_an_error_of_its_own() -> None:
    """Nothing is wrong with the evidence store, and the same command passes, or is masked, when it is sent again."""
    play = Playbook().client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE)).ungranted(1, "the grant is spent")
    shown = denied(ungranted("the grant is spent"))
    play.target(error() + READY_IDLE, to_client(shown), reports(1, "refused"), to_client(READY_IDLE))
    assert b"OST-308" in shown and b"42501" in shown and b"evidence" not in shown and b"recorded" not in shown


def test_an_unrecorded_bind_takes_its_execute_along() -> None:
    """Poison in Bind's place makes the target skip the Execute that was sent behind it."""
    play = prepared().client(execute() + SYNC, to_target(execute() + SYNC)).unrecorded(2, "spent")
    play.target(PARSED, to_client(PARSED))
    play.target(
        error() + READY_IDLE,
        to_client(denied(unrecorded("spent"), 2)), reports(1), reports(2, "refused"), to_client(READY_IDLE),
    )


# -- what is asked -----------------------------------------------------------------------


def test_a_replaced_text_is_what_leaves() -> None:
    """Masking's text goes to the target in both protocols; the client's is what is recorded as asked."""
    masked = query("SELECT '***'")
    Playbook().client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, masked), sent="SELECT '***'")
    play = Playbook().client(parse("SELECT a", "s"), asks("SELECT a", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT '***'", "s")), sent="SELECT '***'")
    assert play.asked[-1].prepared == {"s": "SELECT a"}


def test_a_prepared_statement_whose_rewriting_changed_is_refused() -> None:
    """What was prepared is not what would be sent today: 0A000, and drivers prepare it again."""
    play = Playbook().client(parse("SELECT a", "s"), asks("SELECT a", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT 1", "s")), sent="SELECT 1")
    play.client(bind("", "s"), asks("SELECT a", Path.BIND))
    play.verdict(Allow(), refuses(2), to_target(poison_parse(2)), sent="SELECT 2")
    play.target(PARSED + error(), to_client(PARSED + denied(CHANGED, 2)))


def test_execute_of_a_cursor_is_asked_as_fetch() -> None:
    """A portal that SQL declared is a command of its own at each Execute."""
    (
        Playbook()
        .client(execute("c", 10) + SYNC, asks('FETCH FORWARD 10 FROM "c"', Path.BIND))
        .verdict(Allow(), intends(1, execute("c", 10)), to_target(SYNC))
        .target(row(b"1") + SUSPENDED + READY_OPEN, to_client(row(b"1") + SUSPENDED), reports(1), to_client(READY_OPEN))
        .client(execute('we"ird'), asks('FETCH FORWARD ALL FROM "we""ird"', Path.BIND))
        .verdict(NO, refuses(2), to_target(poison_parse(2)))
    )


def test_what_has_no_name_and_is_not_there_is_refused_in_the_servers_own_terms() -> None:
    """SQL cannot make it, so nothing can be reached: nobody is asked, and it is recorded."""
    for message, state, words in ((execute(""), "34000", 'portal "" does not exist'), (bind("", ""), "26000", "unnamed prepared statement does not exist")):
        why = Deny(words, "OST-708", sqlstate=state)
        play = Playbook().client(message + SYNC, refuses(1), to_target(poison_parse(1) + SYNC))
        play.target(error() + READY_IDLE, to_client(denied(why, 1) + READY_IDLE))


def test_bind_of_what_sql_prepared_is_asked_as_execute() -> None:
    """PREPARE's statements share the namespace, and their text is not ours to know."""
    Playbook().client(bind("", "s"), asks('EXECUTE "s"', Path.BIND)).verdict(Allow(), intends(1, bind("", "s")))


def test_a_portal_is_one_command_however_often_it_is_resumed() -> None:
    """Execute with a limit, thrice: one intent, one outcome, all rows counted."""
    play = prepared()
    play.client(execute("", 1) + FLUSH, to_target(execute("", 1) + FLUSH))
    play.target(PARSED + BOUND + row(b"1") + SUSPENDED, to_client(PARSED + BOUND + row(b"1") + SUSPENDED))
    play.client(execute("", 1) + execute("", 1) + SYNC, to_target(execute("", 1) + execute("", 1) + SYNC))
    rest = row(b"2") + SUSPENDED + row(b"3") + complete("SELECT 3")
    play.target(rest + READY_IDLE, to_client(rest), reports(1), reports(2), to_client(READY_IDLE))
    assert play.outcomes[2].rows == 3 and play.outcomes[2].bytes == 3 * len(row(b"1"))


@pytest.mark.parametrize("ended_by", ["close", "bind", "transaction", "session"])
def test_a_suspended_portal_is_reported_when_it_goes(ended_by: str) -> None:
    """By Close, by another Bind, by its transaction's end, or with the session."""
    play = prepared().client(execute("", 1) + SYNC, to_target(execute("", 1) + SYNC))
    play.target(
        PARSED + BOUND + row(b"1") + SUSPENDED + READY_OPEN,
        to_client(PARSED + BOUND + row(b"1") + SUSPENDED), reports(1), to_client(READY_OPEN),
    )
    if ended_by == "session":
        play.ends(reports(2, "unknown"))
        return
    if ended_by == "close":
        play.client(close("P"), to_target(close("P"))).client(SYNC, to_target(SYNC))
        answer = CLOSED
    elif ended_by == "bind":
        play.client(bind(), asks("SELECT $1", Path.BIND)).verdict(Allow(), intends(3, bind())).client(SYNC, to_target(SYNC))
        answer = BOUND
    else:
        play.client(SYNC, to_target(SYNC)).target(READY_IDLE, reports(2, "suspended"), to_client(READY_IDLE))
        return
    play.target(answer + READY_OPEN, to_client(answer), reports(2, "suspended"), to_client(READY_OPEN))


@pytest.mark.parametrize("sent", ["close", "bind"])
def test_a_portal_on_its_way_out_is_reported_when_the_session_ends(sent: str) -> None:
    """Its Close or its successor's Bind is not answered: its outcome is unknown, not lost."""
    play = prepared().client(execute("", 1), to_target(execute("", 1)))
    play.target(PARSED + BOUND + SUSPENDED, to_client(PARSED + BOUND + SUSPENDED))
    if sent == "close":
        play.client(close("P"), to_target(close("P"))).ends(reports(1), reports(2, "unknown"))
    else:
        play.client(bind(), asks("SELECT $1", Path.BIND)).verdict(Allow(), intends(3, bind()))
        play.ends(reports(1), reports(2, "unknown"), reports(3, "unknown"))


def test_a_portal_that_survives_an_error_goes_on_as_the_same_command() -> None:
    """Its Execute was skipped; after a rollback to a savepoint it runs, and its rows are accounted for."""
    play = prepared(name="s").client(execute("", 1) + SYNC, to_target(execute("", 1) + SYNC))
    play.target(
        PARSED + BOUND + row(b"1") + SUSPENDED + READY_OPEN,
        to_client(PARSED + BOUND + row(b"1") + SUSPENDED), reports(1), to_client(READY_OPEN),
    )
    play.client(parse("SELEC", "x") + execute() + SYNC, asks("SELEC", Path.PARSE))
    play.verdict(Allow(), intends(3, parse("SELEC", "x")), to_target(execute() + SYNC))
    play.target(error() + READY_FAILED, to_client(error()), reports(3, "error"), to_client(READY_FAILED))
    play.client(query("ROLLBACK TO a"), asks("ROLLBACK TO a")).verdict(Allow(), intends(4, query("ROLLBACK TO a")))
    play.target(complete("ROLLBACK") + READY_OPEN, to_client(complete("ROLLBACK")), reports(4), to_client(READY_OPEN))
    play.client(execute() + SYNC, to_target(execute() + SYNC))
    play.target(
        row(b"2") + complete("SELECT 1") + READY_OPEN,
        to_client(row(b"2") + complete("SELECT 1")), reports(2), to_client(READY_OPEN),
    )
    assert play.outcomes[2].rows == 2


def test_a_simple_refusal_between_does_not_drop_the_portals_behind_it() -> None:
    """ReadyForQuery of the refused Query is older than the Bind that was sent behind it."""
    play = Playbook().client(DROP + parse("SELECT 1") + bind() + execute() + SYNC, asks("DROP TABLE t"))
    play.verdict(NO, refuses(1), to_target(poison_query(1)), asks("SELECT 1", Path.PARSE))
    play.verdict(Allow(), intends(2, parse("SELECT 1")), asks("SELECT 1", Path.BIND))
    play.verdict(Allow(), intends(3, bind()), to_target(execute() + SYNC))
    play.target(error() + READY_IDLE, to_client(denied(NO) + READY_IDLE))
    done = PARSED + BOUND + row(b"1") + complete("SELECT 1")
    play.target(done + READY_IDLE, to_client(done), reports(2), reports(3), to_client(READY_IDLE))


def test_a_portal_that_sql_may_have_replaced_is_asked_about_again() -> None:
    """CLOSE p; DECLARE p ...: Execute of p would fetch from another command than the one that Bind recorded."""
    play = Playbook().client(parse("SELECT 1") + bind("p") + SYNC, asks("SELECT 1", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT 1")), asks("SELECT 1", Path.BIND))
    play.verdict(Allow(), intends(2, bind("p")), to_target(SYNC))
    play.target(PARSED + BOUND + READY_OPEN, to_client(PARSED + BOUND), reports(1), to_client(READY_OPEN))
    swap = query("CLOSE p; DECLARE p CURSOR FOR SELECT ssn FROM patients")
    play.client(swap, asks(swap[5:-1].decode())).verdict(Allow(), intends(3, swap))
    done = complete("CLOSE CURSOR") + complete("DECLARE CURSOR")
    play.target(done + READY_OPEN, to_client(done), reports(2, "suspended"), reports(3), to_client(READY_OPEN))
    play.client(execute("p"), asks('FETCH FORWARD ALL FROM "p"', Path.BIND))


def test_rows_of_a_portal_that_sql_replaced_in_the_same_pipeline_do_not_pass() -> None:
    """Where its text did not say so, the Execute was sent before anybody could know; its rows belong to no recorded command."""
    play = Playbook().client(parse("SELECT 1") + bind("p") + SYNC, asks("SELECT 1", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT 1")), asks("SELECT 1", Path.BIND))
    play.verdict(Allow(), intends(2, bind("p")), to_target(SYNC))
    play.target(PARSED + BOUND + READY_OPEN, to_client(PARSED + BOUND), reports(1), to_client(READY_OPEN))
    play.client(query("SELECT opens(p)") + execute("p"), asks("SELECT opens(p)"))
    play.verdict(Allow(), intends(3, query("SELECT opens(p)")), to_target(execute("p")))
    done = complete("CLOSE CURSOR") + complete("DECLARE CURSOR")
    play.target(
        done + READY_OPEN + row(b"078-05-1120"),
        to_client(done), reports(2, "suspended"), reports(3), to_client(READY_OPEN), malformed("target"),
    )


def test_what_an_error_undoes_is_undone_here_too() -> None:
    """Parse, Bind and Close that the target skipped: the old statement and portal stand as before."""
    play = prepared(name="s").client(SYNC, to_target(SYNC))
    play.target(PARSED + BOUND + READY_OPEN, to_client(PARSED + BOUND), reports(1), to_client(READY_OPEN))
    play.client(parse("SELEC", "x") + close("S", "s") + parse("SELECT 2", "s") + close("P") + SYNC, asks("SELEC", Path.PARSE))
    play.verdict(Allow(), intends(3, parse("SELEC", "x")), to_target(close("S", "s")), asks("SELECT 2", Path.PARSE))
    play.verdict(Allow(), intends(4, parse("SELECT 2", "s")), to_target(close("P") + SYNC))
    play.target(
        error() + READY_FAILED,
        to_client(error()), reports(3, "error"), reports(4, "skipped"), to_client(READY_FAILED),
    )
    play.client(execute(), to_target(execute()))  # the portal of command 2: no new question
    play.client(bind("y", "s"), asks("SELECT $1", Path.BIND))
    assert play.asked[-1].prepared == {"s": "SELECT $1"}


def test_a_statement_knows_its_transaction_and_its_pipeline() -> None:
    """Approval inside a transaction or a pipeline has other rules, so both travel on the question."""
    play = Playbook().client(query("BEGIN") + ONE, asks("BEGIN"))
    assert (play.asked[-1].transaction, play.asked[-1].pipelined) == (Transaction.IDLE, False)
    play.verdict(Allow(), intends(1, query("BEGIN")), asks("SELECT 1")).verdict(Allow(), intends(2, ONE))
    assert play.asked[-1].pipelined
    done = complete("BEGIN") + READY_OPEN + EMPTY + READY_OPEN
    play.target(done, to_client(complete("BEGIN")), reports(1), to_client(READY_OPEN + EMPTY), reports(2), to_client(READY_OPEN))
    play.client(TWO, asks("SELECT 2"))
    assert (play.asked[-1].transaction, play.asked[-1].pipelined) == (Transaction.OPEN, False)


def test_a_function_call_is_asked_by_oid() -> None:
    """The fast path is a command like any other, with poison of its own."""
    call = messages.FunctionCall(1598, (1,), (b"\0\0\0\1",)).encode()
    play = Playbook().client(call, asks("function 1598", Path.FASTPATH)).verdict(Allow(), intends(1, call, poison_query(1)))
    result = replies.FunctionResult(b"\0\0\0\2").encode()
    play.target(result + READY_IDLE, to_client(result), reports(1), to_client(READY_IDLE))
    play.client(call, asks("function 1598", Path.FASTPATH)).verdict(NO, refuses(2), to_target(poison_query(2)))
    play.target(error() + READY_IDLE, to_client(denied(NO, 2) + READY_IDLE))


def test_text_that_is_not_utf8_is_refused_unread() -> None:
    """No addon can judge what cannot be decoded; the session goes on."""
    play = Playbook().client(encode(b"Q", b"SELECT '\xff'\0"), refuses(1), to_target(poison_query(1)))
    assert play.refusals[1].verdict.sqlstate == "22021"
    play.target(error() + READY_IDLE, to_client(denied(play.refusals[1].verdict) + READY_IDLE)).client(ONE, asks("SELECT 1"))


def test_a_statement_over_the_limit_is_refused_and_the_session_goes_on() -> None:
    """Its body is read past without being kept."""
    size = (1 << 20) + 1
    play = Playbook().client(encode_head(b"Q", size))
    for _ in range(size // 65536):
        play.client(bytes(65536))
    assert play.relay.behind < 65536 * 5
    play.client(bytes(size % 65536) + ONE, refuses(1), to_target(poison_query(1)), asks("SELECT 1"))
    assert play.refusals[1].verdict.code == "OST-701"
