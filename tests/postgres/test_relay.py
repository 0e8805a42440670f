"""What a client can and cannot make a target do. Each test is named after a claim."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from playbook import (
    BOUND, CANCELS, CLOSED, COPY_DONE, COPY_IN, COPY_OUT, EMPTY, FLUSH, HANGS_UP, NO_DATA, PARSED, READY_FAILED,
    READY_IDLE, READY_OPEN, SUSPENDED, SYNC, TERMINATE, Playbook, Silent, asks, bind, close, columns, complete,
    copy_data, denied, describe, error, execute, intends, malformed, parse, query, refuses, reports, row, to_client,
    to_target,
)

from protocols.command import Path, Transaction
from protocols.effects import ToClient
from protocols.postgres import messages, replies
from protocols.postgres.codec import encode, encode_head
from protocols.postgres.conversation import DONE_LIMIT
from protocols.postgres.frontend import IN_FLIGHT_LIMIT
from protocols.postgres.refusal import poison_parse, poison_query, ungranted, unrecorded, waiting
from protocols.result import NULL, Ending, MaskPlan
from protocols.verdict import Allow, Decision, Deny, Hold, Reveal

ONE, DROP, TWO = query("SELECT 1"), query("DROP TABLE t"), query("SELECT 2")
NO = Deny("ask first")
CHANGED = Deny(
    "what this prepared statement means has changed since it was prepared", code="OST-704", sqlstate="0A000",
    hint="prepare it again (DEALLOCATE ALL, or reconnect)",
)


def prepared(opinions: Silent | None = None, text: str = "SELECT $1", name: str = "") -> Playbook:
    """A session in which a statement was parsed (command 1) and a portal bound (command 2)."""
    play = Playbook(opinions)
    play.client(parse(text, name), asks(text, Path.PARSE)).verdict(Allow(), intends(1, parse(text, name)))
    play.client(bind("", name), asks(text, Path.BIND)).verdict(Allow(), intends(2, bind("", name)))
    return play


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
    """The Execute was sent before anybody could know; its rows belong to no recorded command."""
    play = Playbook().client(parse("SELECT 1") + bind("p") + SYNC, asks("SELECT 1", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT 1")), asks("SELECT 1", Path.BIND))
    play.verdict(Allow(), intends(2, bind("p")), to_target(SYNC))
    play.target(PARSED + BOUND + READY_OPEN, to_client(PARSED + BOUND), reports(1), to_client(READY_OPEN))
    play.client(query("CLOSE p; DECLARE p ...") + execute("p"), asks("CLOSE p; DECLARE p ..."))
    play.verdict(Allow(), intends(3, query("CLOSE p; DECLARE p ...")), to_target(execute("p")))
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


# -- rows --------------------------------------------------------------------------------

HIDE = MaskPlan((None, b"***", NULL))


def test_masked_cells_never_leave_in_a_simple_query() -> None:
    """The second is replaced, the third NULL, NULL stays NULL; counts and names are in the outcome."""
    opinions = Silent(HIDE, hears_columns=True)
    play = Playbook(opinions).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    shape = columns("id", "ssn", "mrn")
    play.target(
        shape + row(b"1", b"078-05-1120", b"x") + row(b"2", None, None) + complete("SELECT 2") + READY_IDLE,
        to_client(shape + row(b"1", b"***", None) + row(b"2", None, None) + complete("SELECT 2")),
        reports(1), to_client(READY_IDLE),
    )
    outcome = play.outcomes[1]
    assert (outcome.cells_masked, outcome.columns, outcome.rows) == (2, ("ssn", "mrn"), 2)


def test_every_result_of_a_string_has_masks_of_its_own() -> None:
    """The second SELECT's shape replaces the first's; the outcome names the masked columns of both."""
    opinions = Silent(MaskPlan((b"***",)), hears_columns=True)
    play = Playbook(opinions).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    first, second = columns("ssn"), columns("mrn")
    play.target(
        first + row(b"a") + complete("SELECT 1") + second + row(b"b") + complete("SELECT 1") + READY_IDLE,
        to_client(first + row(b"***") + complete("SELECT 1") + second + row(b"***") + complete("SELECT 1")),
        reports(1), to_client(READY_IDLE),
    )
    assert opinions.shapes == [("ssn:0",), ("mrn:0",)] and play.outcomes[1].columns == ("ssn", "mrn")


def test_rows_come_byte_by_byte_and_are_masked_all_the_same() -> None:
    """How the network cuts them changes nothing."""
    shape = columns("id", "ssn", "mrn")
    stream = shape + row(b"1", b"078-05-1120", b"x") + complete("SELECT 1") + READY_IDLE
    play = Playbook(Silent(HIDE, hears_columns=True)).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    seen = b"".join(
        effect.data
        for i in range(len(stream))
        for effect in play.relay.from_target(stream[i : i + 1])
        if isinstance(effect, ToClient)
    )
    assert seen == shape + row(b"1", b"***", None) + complete("SELECT 1") + READY_IDLE


def test_a_portal_is_described_for_us_before_its_rows_come() -> None:
    """The hidden Describe's answer is swallowed, its formats are the portal's own."""
    opinions = Silent(HIDE, hears_columns=True)
    play = prepared(opinions).client(execute() + SYNC, to_target(describe("P") + execute() + SYNC))
    rows = row(b"1", b"078-05-1120", b"x")
    play.target(
        PARSED + BOUND + columns("id", "ssn", "mrn", code=1) + rows + complete("SELECT 1") + READY_IDLE,
        to_client(PARSED + BOUND + row(b"1", b"***", None) + complete("SELECT 1")),
        reports(1), reports(2), to_client(READY_IDLE),
    )
    assert opinions.shapes == [("id:1", "ssn:1", "mrn:1")]


def test_a_portal_that_the_client_described_is_not_described_again() -> None:
    """Its own answer is passed and used; a resumed portal is not described twice."""
    play = prepared(Silent(HIDE, hears_columns=True))
    sent = describe("P") + execute("", 1) + execute("", 1) + SYNC
    play.client(sent, to_target(sent))
    shape = columns("id", "ssn", "mrn")
    play.target(
        PARSED + BOUND + shape + row(b"1", b"a", b"b") + SUSPENDED + row(b"2", b"a", b"b") + complete("SELECT 2"),
        to_client(PARSED + BOUND + shape + row(b"1", b"***", None) + SUSPENDED + row(b"2", b"***", None) + complete("SELECT 2")),
    )


def test_a_description_of_the_statement_does_not_stand_for_the_portal() -> None:
    """Between the two a view may have been replaced: same types, other origin."""
    play = prepared(Silent(HIDE, hears_columns=True), name="s").client(describe("S", "s"), to_target(describe("S", "s")))
    play.client(execute(), to_target(describe("P") + execute()))


def test_a_skipped_hidden_describe_is_sent_again() -> None:
    """An error came before it; after the rollback the rows need their shape still."""
    play = prepared(Silent(HIDE, hears_columns=True), name="s").client(SYNC, to_target(SYNC))
    play.target(PARSED + BOUND + READY_OPEN, to_client(PARSED + BOUND), reports(1), to_client(READY_OPEN))
    play.client(parse("SELEC") + execute() + SYNC, asks("SELEC", Path.PARSE))
    play.verdict(Allow(), intends(3, parse("SELEC")), to_target(describe("P") + execute() + SYNC))
    play.target(error() + READY_FAILED, to_client(error()), reports(3, "error"), to_client(READY_FAILED))
    play.client(execute(), to_target(describe("P") + execute()))


def test_rows_of_a_cursor_are_described_for_us_too() -> None:
    """FETCH by Execute has columns like any other."""
    play = Playbook(Silent(HIDE, hears_columns=True)).client(execute("c"), asks('FETCH FORWARD ALL FROM "c"', Path.BIND))
    play.verdict(Allow(), to_target(describe("P", "c")), intends(1, execute("c"))).client(SYNC, to_target(SYNC))
    play.target(
        columns("id", "ssn", "mrn") + row(b"1", b"a", b"b") + complete("FETCH 1") + READY_OPEN,
        to_client(row(b"1", b"***", None) + complete("FETCH 1")), reports(1), to_client(READY_OPEN),
    )


def test_rows_without_a_description_do_not_pass_a_masking_chain() -> None:
    """What cannot be attributed to columns cannot be masked."""
    play = Playbook(Silent(HIDE, hears_columns=True)).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    play.target(row(b"1", b"078-05-1120", b"x"), malformed("target"))


def test_rows_that_do_not_fit_their_masks_do_not_pass() -> None:
    """A row with more cells than its description could show one unmasked."""
    play = Playbook(Silent(HIDE, hears_columns=True)).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    play.target(
        columns("a", "b", "c") + row(b"1", b"078-05-1120", b"x", b"y"),
        to_client(columns("a", "b", "c")), malformed("target"),
    )


def test_a_large_masked_row_is_masked_whole() -> None:
    """Over 256 KiB it comes in pieces; no piece leaves before the masks are in."""
    big = b"x" * 400_000
    play = Playbook(Silent(MaskPlan((None, b"***")), hears_columns=True))
    play.client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    shape, large = columns("a", "b"), row(b"1", big)
    play.target(shape + large[:100_000], to_client(shape)).target(large[100_000:-1])
    play.target(large[-1:] + complete("SELECT 1"), to_client(row(b"1", b"***") + complete("SELECT 1")))
    assert play.relay.from_target(READY_IDLE) and not play.relay.close("")


def test_a_row_too_large_to_be_masked_does_not_pass() -> None:
    """64 MiB of one row is more than is kept for anybody."""
    play = Playbook(Silent(MaskPlan((b"***",)), hears_columns=True)).client(ONE, asks("SELECT 1"))
    play.verdict(Allow(), intends(1, ONE)).target(columns("a"), to_client(columns("a")))
    play.target(encode_head(b"D", (64 << 20) + 1), malformed("target"))


def test_a_large_function_result_passes_in_pieces() -> None:
    """Its function was judged, its size is counted, and nothing in it has columns to mask."""
    call = messages.FunctionCall(764, (), ()).encode()
    play = Playbook(Silent(hears_rows=True)).client(call, asks("function 764", Path.FASTPATH)).verdict(Allow(), intends(1, call))
    big = replies.FunctionResult(b"x" * 400_000).encode()
    play.target(big[:9], to_client(big[:9])).target(big[9:], to_client(big[9:]))
    play.target(READY_IDLE, reports(1), to_client(READY_IDLE))


def test_a_large_clear_row_passes_in_pieces() -> None:
    """Nothing of it is kept; it is counted once."""
    big = row(b"x" * 400_000)
    opinions = Silent(hears_rows=True)
    play = Playbook(opinions).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    for start in range(0, len(big), 65536):
        play.target(big[start : start + 65536], to_client(big[start : start + 65536]))
    assert [batch.total_rows for batch in opinions.batches] == [1]


def test_nothing_of_ours_lands_inside_a_message_that_passes_in_pieces() -> None:
    """A NOTICE of a held command waits for the row's end, and last words are not said in the middle."""
    big, hold = row(b"x" * 400_000), Hold("r", "why", frozenset({"dba"}))
    notice = replies.NoticeResponse(waiting("r1", hold)).encode()
    play = Playbook().client(ONE + TWO, asks("SELECT 1")).verdict(Allow(), intends(1, ONE), asks("SELECT 2"))
    play.target(big[:70_000], to_client(big[:70_000]))
    assert play.relay.held("r1", hold) == [] and play.relay.farewell("bye") == b""
    play.target(big[70_000:], to_client(big[70_000:] + notice))
    assert play.relay.held("r1", hold) == [ToClient(notice)] and b"bye" in play.relay.farewell("bye")


def test_masks_are_never_applied_to_copy_data() -> None:
    """COPY rows are not DataRow; a run never mixes the two, and neither borrows the other's plan."""
    play = Playbook(Silent(MaskPlan((b"***",)), hears_columns=True)).client(ONE, asks("SELECT 1"))
    play.verdict(Allow(), intends(1, ONE))
    copied = COPY_OUT + copy_data(b"a\n") + copy_data(b"b\n") + COPY_DONE + complete("COPY 2")
    shape = columns("a")
    play.target(
        shape + row(b"s") + complete("SELECT 1") + copied + READY_IDLE,
        to_client(shape + row(b"***") + complete("SELECT 1") + copied), reports(1), to_client(READY_IDLE),
    )
    assert play.outcomes[1].copied_bytes == 4 and play.outcomes[1].copied_sha256 == hashlib.sha256(b"a\nb\n").digest()


def test_a_limit_ends_the_result_in_an_error() -> None:
    """Rows stop, the target is told to cancel, and its error becomes ours."""
    limit = Deny("too many rows", code="OST-400", sqlstate="54000")
    opinions = Silent(cut=limit, hears_rows=True)
    play = Playbook(opinions).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    play.target(columns("a") + row(b"1"), to_client(columns("a")), CANCELS).target(row(b"2") + row(b"3" * 300_000))
    play.target(error("57014") + READY_IDLE, to_client(denied(limit)), reports(1, "limit"), to_client(READY_IDLE))
    assert len(opinions.batches) == 1


LIMIT = Deny("too many rows", code="OST-401", sqlstate="54000")


def cut_play() -> Playbook:
    play = Playbook(Silent(cut=LIMIT, hears_rows=True)).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    return play.target(columns("a") + row(b"1"), to_client(columns("a")), CANCELS)


def test_a_read_cut_too_late_ends_in_an_error_and_the_session_goes_on() -> None:
    """The target was done before the cancel came; it did nothing that the error would belie."""
    play = cut_play().target(row(b"2") + complete("SELECT 2"))
    play.target(READY_IDLE, to_client(denied(LIMIT)), reports(1, "limit"), to_client(READY_IDLE))
    play.client(TWO, asks("SELECT 2"))


def test_a_read_cut_too_late_in_a_pipeline_ends_in_an_error_before_its_sync() -> None:
    """As a native error there, with nothing behind it that would run."""
    play = Playbook(Silent(cut=LIMIT, hears_rows=True)).client(parse("SELECT 1"), asks("SELECT 1", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT 1"))).client(bind(), asks("SELECT 1", Path.BIND))
    play.verdict(Allow(), intends(2, bind())).client(execute() + SYNC, to_target(execute() + SYNC))
    play.target(PARSED + BOUND, to_client(PARSED + BOUND)).target(row(b"1"), CANCELS)
    play.target(complete("SELECT 1") + READY_IDLE, to_client(denied(LIMIT, 2)), reports(1), reports(2, "limit"), to_client(READY_IDLE))


@pytest.mark.parametrize("end", [complete("UPDATE 2"), complete("SELECT 2") + columns("b")])
def test_a_write_cut_too_late_or_a_string_that_goes_on_ends_the_session(end: bytes) -> None:
    """What was done, or runs next, would be taken for undone."""
    play = cut_play().target(end, to_client(denied(LIMIT, severity="FATAL")), HANGS_UP)
    play.ends(reports(1, "limit"))


@pytest.mark.parametrize("size", [3, 300_000])
def test_a_limit_on_the_fast_path_gives_an_error_instead_of_the_value(size: int) -> None:
    """A call has one result, large or small: it is withheld whole, and the transaction's status stays the server's."""
    limit = Deny("too many bytes", code="OST-402", sqlstate="54000")
    call = messages.FunctionCall(764, (), ()).encode()
    play = Playbook(Silent(cut=limit, hears_rows=True)).client(call, asks("function 764", Path.FASTPATH))
    play.verdict(Allow(), intends(1, call))
    result = replies.FunctionResult(b"x" * size).encode()
    play.target(result + READY_IDLE, to_client(denied(limit)), reports(1, "limit"), to_client(READY_IDLE))


# -- text --------------------------------------------------------------------------------


def test_text_of_the_target_is_put_to_the_addons() -> None:
    """Errors and notices with the command that they answer; a notification belongs to none."""
    opinions = Silent(hears_text=True, texts={"M": "?", "payload": "?"})
    play = Playbook(opinions).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    notice = replies.NoticeResponse(replies.error_fields("00000", "078-05-1120", "NOTICE")).encode()
    clean = replies.NoticeResponse(replies.error_fields("00000", "?", "NOTICE")).encode()
    play.target(notice + error(message="078-05-1120"), to_client(clean + error(message="?")))
    said, shown = (replies.NotificationResponse(4, "c", p).encode() for p in ("078-05-1120", "?"))
    play.target(said, to_client(shown))
    assert opinions.judged == [("notice", "SELECT 1"), ("error", "SELECT 1"), ("notification", "")]


def test_an_error_of_the_commit_at_sync_belongs_to_the_last_command() -> None:
    """A deferred constraint fails at Sync: its DETAIL holds values, and the command did not succeed."""
    opinions = Silent(hears_text=True, texts={"M": "?"})
    play = prepared(opinions).client(execute() + SYNC, to_target(execute() + SYNC))
    play.target(PARSED + BOUND + complete("INSERT 0 1"), to_client(PARSED + BOUND + complete("INSERT 0 1")))
    play.target(
        error("23505", "078-05-1120") + READY_IDLE,
        to_client(error("23505", "?")), reports(1), reports(2, "error"), to_client(READY_IDLE),
    )
    assert opinions.judged == [("error", "SELECT $1")] and play.outcomes[2].sqlstate == "23505"


def test_a_setting_that_changes_what_text_means_ends_the_session() -> None:
    """Judged text and run text would differ from here on; the client is told why."""
    status = replies.ParameterStatus("standard_conforming_strings", "off").encode()
    play = Playbook()
    said = play.relay.from_target(status)
    assert b"FATAL" in said[0].data and len(said) == 2
    for name, value in (("client_encoding", "SJIS"), ("client_encoding", "GBK")):
        assert len(Playbook().relay.from_target(replies.ParameterStatus(name, value).encode())) == 2
    status = replies.ParameterStatus("TimeZone", "UTC").encode()
    play = Playbook().target(status, to_client(status)).client(ONE, asks("SELECT 1"))
    assert play.asked[0].settings["timezone"] == "UTC"


def test_the_targets_own_fatal_error_is_its_last_word() -> None:
    """Shut down, timed out, killed: ours would only stand in its way."""
    fatal = error("57P01", "terminating connection", "FATAL")
    play = Playbook()
    assert b"08006" in play.relay.farewell("the target closed the connection")
    play.target(fatal, to_client(fatal))
    assert play.relay.farewell("the target closed the connection") == b""


# -- COPY --------------------------------------------------------------------------------


def copying_in() -> Playbook:
    play = Playbook().client(query("COPY t FROM STDIN"), asks("COPY t FROM STDIN"))
    return play.verdict(Allow(), intends(1, query("COPY t FROM STDIN"))).target(COPY_IN, to_client(COPY_IN))


def test_copied_rows_are_counted_and_digested() -> None:
    """Data belongs to its command: no question, and the outcome says what passed."""
    play = copying_in().client(copy_data(b"a\n") + copy_data(b"b\n"), to_target(copy_data(b"a\n") + copy_data(b"b\n")))
    play.client(COPY_DONE, to_target(COPY_DONE))
    play.target(complete("COPY 2") + READY_IDLE, to_client(complete("COPY 2")), reports(1), to_client(READY_IDLE))
    assert play.outcomes[1].copied_bytes == 4 and play.outcomes[1].copied_sha256 == hashlib.sha256(b"a\nb\n").digest()


def test_a_large_piece_of_copy_data_passes_in_pieces() -> None:
    """A megabyte in one message is not collected."""
    play, big = copying_in(), b"x" * (1 << 20)
    sent = copy_data(big)
    for start in range(0, len(sent), 65536):
        play.client(sent[start : start + 65536], to_target(sent[start : start + 65536]))
        assert play.relay.behind == 0
    play.client(COPY_DONE, to_target(COPY_DONE))
    play.target(complete("COPY 1") + READY_IDLE, to_client(complete("COPY 1")), reports(1), to_client(READY_IDLE))
    assert play.outcomes[1].copied_sha256 == hashlib.sha256(big).digest()


def test_copy_fail_ends_in_the_targets_error() -> None:
    """The client gave it up; what follows is a command again."""
    fail = messages.CopyFail("enough").encode()
    play = copying_in().client(fail, to_target(fail))
    play.target(error("57014") + READY_IDLE, to_client(error("57014")), reports(1, "error"), to_client(READY_IDLE))
    play.client(copy_data(b"late")).client(ONE, asks("SELECT 1"))


def extended_copy() -> Playbook:
    play = Playbook().client(parse("COPY t FROM STDIN") + bind() + execute() + SYNC, asks("COPY t FROM STDIN", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("COPY t FROM STDIN")), asks("COPY t FROM STDIN", Path.BIND))
    return play.verdict(Allow(), intends(2, bind()), to_target(execute() + SYNC))


def test_a_sync_before_the_copys_end_is_ignored_as_the_target_ignores_it() -> None:
    """libpq sends one behind Execute and one behind CopyDone; only the second is answered."""
    play = extended_copy().target(PARSED + BOUND + COPY_IN, to_client(PARSED + BOUND + COPY_IN))
    play.client(copy_data(b"a") + SYNC + copy_data(b"b"), to_target(copy_data(b"a") + SYNC + copy_data(b"b")))
    play.client(COPY_DONE + SYNC + ONE, to_target(COPY_DONE + SYNC), asks("SELECT 1"))
    done = complete("COPY 2")
    play.target(done + READY_IDLE, to_client(done), reports(1), reports(2), to_client(READY_IDLE))


def test_a_copy_fed_before_it_was_asked_for_is_whole() -> None:
    """Data, CopyDone and Sync sent in one breath with the command: all pass, and the answers fit."""
    play = extended_copy().client(copy_data(b"a") + COPY_DONE + SYNC, to_target(copy_data(b"a") + COPY_DONE + SYNC))
    play.target(PARSED + BOUND + COPY_IN, to_client(PARSED + BOUND + COPY_IN))
    done = complete("COPY 1")
    play.target(done + READY_IDLE, to_client(done), reports(1), reports(2), to_client(READY_IDLE))
    assert play.outcomes[2].copied_bytes == 1


def test_an_error_in_the_middle_of_a_copy_skips_to_sync() -> None:
    """The rest of the data is dropped here as it would be there; the next Sync is answered."""
    play = extended_copy().target(PARSED + BOUND + COPY_IN, to_client(PARSED + BOUND + COPY_IN))
    play.client(copy_data(b"a"), to_target(copy_data(b"a"))).target(error("22P02"), to_client(error("22P02")))
    play.client(copy_data(b"b") + COPY_DONE).client(SYNC, to_target(SYNC))
    play.target(READY_IDLE, reports(1), reports(2, "error"), to_client(READY_IDLE)).client(ONE, asks("SELECT 1"))


def test_two_copies_in_one_string_are_fed_in_turn() -> None:
    """Each CopyInResponse takes data again."""
    play = copying_in().client(copy_data(b"a") + COPY_DONE, to_target(copy_data(b"a") + COPY_DONE))
    play.target(complete("COPY 1") + COPY_IN, to_client(complete("COPY 1") + COPY_IN))
    play.client(copy_data(b"b") + COPY_DONE, to_target(copy_data(b"b") + COPY_DONE))
    play.target(complete("COPY 1") + READY_IDLE, to_client(complete("COPY 1")), reports(1), to_client(READY_IDLE))
    assert play.outcomes[1].copied_bytes == 2


def test_copy_messages_outside_a_copy_go_nowhere() -> None:
    """A server drops them; so do we, whatever state the conversation is in."""
    Playbook().client(copy_data(b"a") + COPY_DONE + messages.CopyFail("x").encode())
    play = prepared().client(execute("", 1), to_target(execute("", 1)))
    play.target(PARSED + BOUND + SUSPENDED, to_client(PARSED + BOUND + SUSPENDED)).client(copy_data(b"a") + COPY_DONE)


# -- order and ends ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [row(b"1"), complete("SELECT 1"), PARSED, BOUND, CLOSED, NO_DATA, SUSPENDED, EMPTY, READY_IDLE, COPY_IN, COPY_OUT,
     columns("a"), copy_data(b"x"), replies.FunctionResult(None).encode(), encode(b"R", b"\0\0\0\0"), encode(b"W", b"")],
    ids=lambda reply: reply[:1].decode(),
)  # fmt: skip
def test_an_answer_that_nobody_asked_for_ends_the_session(reply: bytes) -> None:
    """What cannot be attributed cannot be judged or masked."""
    Playbook().target(reply, malformed("target"))


def test_answers_out_of_order_end_the_session() -> None:
    """BindComplete before ParseComplete, rows before BindComplete, ReadyForQuery before all."""
    for early in (BOUND, row(b"1"), READY_IDLE):
        prepared().client(execute() + SYNC, to_target(execute() + SYNC)).target(early, malformed("target"))


def test_what_was_decided_before_nonsense_is_still_performed() -> None:
    """A refusal's record cannot be hidden by a malformed message sent behind it."""
    nonsense = encode(b"Q", b"no end")
    play = Playbook().client(DROP + nonsense, asks("DROP TABLE t"))
    play.verdict(NO, refuses(1), to_target(poison_query(1)), malformed("client")).client(ONE)
    play = Playbook().client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    play.target(
        complete("SELECT 0") + READY_IDLE + PARSED + ONE,
        to_client(complete("SELECT 0")), reports(1), to_client(READY_IDLE), malformed("target"),
    ).ends()


def test_nothing_is_taken_behind_goodbye() -> None:
    """The target stops reading at Terminate, and so do we."""
    play = Playbook().client(TERMINATE + DROP, to_target(TERMINATE), HANGS_UP).client(DROP)
    assert play.relay.behind == len(DROP)


def test_goodbye_behind_a_held_command_is_heard() -> None:
    """However much was pipelined in between, and only when it is there whole."""
    play = Playbook().client(ONE + TWO * 3, asks("SELECT 1"))
    assert not play.relay.withdrawn()
    play.client(TERMINATE[:2])
    assert not play.relay.withdrawn()
    play.client(TERMINATE[2:])
    assert play.relay.withdrawn()


def test_what_has_not_ended_is_reported_as_unknown() -> None:
    """Once each, whether it waits, runs or is suspended; what was asked and not answered was never sent."""
    play = Playbook().client(ONE + TWO + DROP, asks("SELECT 1"))
    play.verdict(Allow(), intends(1, ONE), asks("SELECT 2")).verdict(Allow(), intends(2, TWO), asks("DROP TABLE t"))
    play.target(columns("a") + row(b"1"), to_client(columns("a") + row(b"1")))
    play.ends(reports(1, "unknown"), reports(2, "unknown")).ends()
    assert play.outcomes[1].rows == 1 and play.outcomes[1].ending is Ending.UNKNOWN


def test_a_long_lived_session_forgets_what_ended() -> None:
    """A thousand commands leave nothing behind."""
    play = Playbook()
    for number in range(1, 1001):
        play.client(ONE, asks("SELECT 1")).verdict(Allow(), intends(number, ONE))
        play.target(EMPTY + READY_IDLE, to_client(EMPTY), reports(number), to_client(READY_IDLE))
    assert play.relay.idle and not play.relay.close("")


def test_what_the_target_has_not_answered_is_bounded() -> None:
    """A flood of Syncs is read on as the answers come, and every one of them passes."""
    play, count = Playbook(), IN_FLIGHT_LIMIT + 10
    play.client(SYNC * count, to_target(SYNC * IN_FLIGHT_LIMIT))
    assert play.relay.behind == 10 * len(SYNC)
    play.client(ONE).target(READY_IDLE * 4, to_client(READY_IDLE * 4), to_target(SYNC * 4))
    play.target(READY_IDLE * 7, to_client(READY_IDLE * 7), to_target(SYNC * 6), asks("SELECT 1"))


def test_a_statement_that_was_only_prepared_is_not_a_pipeline() -> None:
    """Parse, Describe, Bind: one person's one statement, which may be held. Behind an Execute, or a Bind, it is one of several."""
    play = Playbook().client(parse("SELECT 1"), asks("SELECT 1", Path.PARSE)).verdict(Allow(), intends(1, parse("SELECT 1")))
    play.client(describe("S"), to_target(describe("S"))).client(bind(), asks("SELECT 1", Path.BIND))
    assert not play.asked[-1].pipelined
    play.verdict(Allow(), intends(2, bind())).client(parse("SELECT 2", "b"), asks("SELECT 2", Path.PARSE))
    assert play.asked[-1].pipelined


def test_many_prepared_statements_are_a_pipeline() -> None:
    """However little they do."""
    play = Playbook()
    for number in range(1, 12):
        play.client(parse("SELECT 1"), asks("SELECT 1", Path.PARSE)).verdict(Allow(), intends(number, parse("SELECT 1")))
    assert play.asked[-1].pipelined and not play.asked[7].pipelined


@pytest.mark.parametrize(
    ("end", "ending"), [(READY_IDLE, "complete"), (error("23505", "deferred") + READY_IDLE, "error")]
)
def test_a_pipeline_without_sync_is_reported_as_it_goes(end: bytes, ending: str) -> None:
    """Of any number of commands few are remembered; the last one is, since an error at Sync is about it."""
    play, count = Playbook(), DONE_LIMIT + 1
    play.client(parse("SELECT 1", "s"), asks("SELECT 1", Path.PARSE)).verdict(Allow(), intends(1, parse("SELECT 1", "s")))
    run, answer = bind("", "s") + execute(), BOUND + complete("SELECT 0")
    for number in range(2, count + 1):
        play.client(run, asks("SELECT 1", Path.BIND)).verdict(Allow(), intends(number, bind("", "s")), to_target(execute()))
    told = [reports(number) for number in range(1, count)]
    play.target(PARSED + answer * (count - 1), to_client(PARSED + answer * (count - 1)), *told)
    assert play.outcomes[2].transaction == ""
    play.client(SYNC, to_target(SYNC)).target(end, *([to_client(end[: -len(READY_IDLE)])] if ending == "error" else []),
                                              reports(count, ending), to_client(READY_IDLE))


def test_a_parameter_is_judged_with_the_command_that_changed_it() -> None:
    """Servers since 14 tell of it in front of ReadyForQuery, so in the extended protocol when that command has ended."""
    text, status = "SET application_name = 'x'", replies.ParameterStatus("application_name", "x").encode()
    opinions = Silent(hears_text=True)
    play = Playbook(opinions).client(query(text), asks(text)).verdict(Allow(), intends(1, query(text)))
    play.relay.from_target(complete("SET") + status)
    assert opinions.judged == [("parameter", text)]
    opinions = Silent(hears_text=True)
    play = Playbook(opinions).client(parse(text) + bind() + execute() + SYNC, asks(text, Path.PARSE))
    play.relay.answer(Decision(play.asked[-1], Allow(), text))
    play.relay.answer(Decision(replace(play.asked[-1], path=Path.BIND), Allow(), text))
    play.relay.from_target(PARSED + BOUND + complete("SET") + status + READY_IDLE)
    assert opinions.judged == [("parameter", text)]


def test_a_hidden_description_does_not_pass_between_messages_that_do() -> None:
    """All of it comes in one read; the client asked for no description and gets none."""
    hearing = Silent(hears_columns=True)
    one_read = PARSED + BOUND + columns("a") + row(b"1") + complete("SELECT 1") + READY_IDLE
    (
        Playbook(hearing)
        .client(parse("SELECT 1"), asks("SELECT 1", Path.PARSE))
        .verdict(Allow(), intends(1, parse("SELECT 1")))
        .client(bind(), asks("SELECT 1", Path.BIND))
        .verdict(Allow(), intends(2, bind()))
        .client(execute() + SYNC, to_target(describe("P") + execute() + SYNC))
        .target(
            one_read, to_client(PARSED + BOUND), to_client(row(b"1") + complete("SELECT 1")),
            reports(1), reports(2), to_client(READY_IDLE),
        )
    )


def test_what_a_skipped_client_says_does_not_pass_between_messages_that_do() -> None:
    """After an error, Describe and Execute are read past; the Sync behind them is all that leaves."""
    (
        Playbook()
        .client(parse("DROP TABLE t"), asks("DROP TABLE t", Path.PARSE))
        .verdict(NO, refuses(1), to_target(poison_parse(1)))
        .client(FLUSH + describe("P") + execute() + SYNC + FLUSH, to_target(SYNC + FLUSH))
    )


def test_the_relay_asks_about_the_rows_of_a_portal_left_open_though_nobody_else_hears_of_rows() -> None:
    opinions, over = Silent(), Deny("over", "OST-522")
    text, query = "SELECT ssn FROM patients", parse("SELECT ssn FROM patients")
    play = Playbook(opinions).client(query, asks(text, Path.PARSE)).verdict(Allow(), intends(1, query))
    play.client(bind(), asks(text, Path.BIND))
    play._check(play.relay.answer(Decision(play.asked[-1], Allow(), text, reveal=Reveal("r-1", "g-1", b"b" * 32, frozenset({"s"}), 100.0))), (intends(2, bind()),))
    play.client(execute("", 1) + SYNC, to_target(execute("", 1) + SYNC))
    first = PARSED + BOUND + row(b"1") + SUSPENDED
    play.target(first + READY_OPEN, to_client(first), reports(1), to_client(READY_OPEN))
    assert len(opinions.batches) == 1
    opinions.cut = over
    play.client(execute("", 1) + SYNC, to_target(execute("", 1) + SYNC))
    effects = play.relay.from_target(row(b"2"))
    assert not any(b"2" in getattr(effect, "data", b"") for effect in effects)


def test_a_large_row_that_nobody_asked_for_ends_the_session_with_words() -> None:
    """Nothing of it was passed, also where a large one was before it."""
    for play in (Playbook(), Playbook().client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))):
        if play.asked:
            play.target(columns("a"), to_client(columns("a"))).relay.from_target(encode(b"D", b"\0\1\0\4\x93\xe0" + b"x" * 300_000) + complete("X") + READY_IDLE)
        play.target(b"D\0\x20\0\0\0\1", malformed("target"))
        assert b"08006" in play.relay.farewell("gone")
