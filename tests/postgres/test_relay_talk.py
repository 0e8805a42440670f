"""Texts, COPY, order and ends: what passes between a client and a target beside rows. Each test is named after a claim."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from playbook import (
    BOUND, CLOSED, COPY_DONE, COPY_IN, COPY_OUT, DROP, EMPTY, FLUSH, HANGS_UP, NO, NO_DATA, ONE, PARSED,
    READY_IDLE, READY_OPEN, SUSPENDED, SYNC, TERMINATE, TWO, Playbook, Silent, asks, bind, close, columns, complete,
    copy_data, describe, error, execute, intends, malformed, parse, prepared, query, refuses, reports, row,
    to_client, to_target,
)

from protocols.command import Path
from protocols.postgres import messages, replies
from protocols.postgres.ahead import LIMIT
from protocols.postgres.codec import encode
from protocols.postgres.conversation import DONE_LIMIT
from protocols.postgres.frontend import IN_FLIGHT_LIMIT
from protocols.postgres.refusal import poison_parse, poison_query
from protocols.result import Ending
from protocols.verdict import Allow, Decision, Deny, Reveal


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
    assert b"57P01" in play.relay.farewell("ended by an operator: why not [OST-650]") and b"57P05" in play.relay.farewell("idle too long [OST-405]")
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
    return play.verdict(Allow(), intends(2, bind()), to_target(execute() + FLUSH))


def test_a_sync_before_the_copys_end_is_ignored_as_the_target_ignores_it() -> None:
    """libpq sends one behind Execute and one behind CopyDone; only the second is answered, and only that leaves."""
    play = extended_copy().target(PARSED + BOUND + COPY_IN, to_client(PARSED + BOUND + COPY_IN))
    play.client(copy_data(b"a") + SYNC + copy_data(b"b"), to_target(copy_data(b"a") + copy_data(b"b")))
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


def test_a_sync_before_a_copys_end_never_leaves_while_nobody_can_tell_who_answers_it() -> None:
    """A target whose COPY has failed answers a Sync that one which copies in reads past; each answer behind it was taken for the next command's."""
    play = copying_in().client(copy_data(b"zz") + SYNC + COPY_DONE, to_target(copy_data(b"zz") + COPY_DONE))
    play.client(ONE + TWO, asks("SELECT 1")).verdict(Allow(), intends(2, ONE), asks("SELECT 2")).verdict(Allow(), intends(3, TWO))
    play.target(error("22P02") + READY_IDLE, to_client(error("22P02")), reports(1, "error"), to_client(READY_IDLE))
    play.target(error("22012") + READY_IDLE, to_client(error("22012")), reports(2, "error"), to_client(READY_IDLE))
    play.target(complete("SELECT 0") + READY_IDLE, to_client(complete("SELECT 0")), reports(3), to_client(READY_IDLE))


@pytest.mark.parametrize("failed", ["before it asks", "amid the data"])
def test_a_sync_that_no_copy_reads_past_leaves_when_the_copy_has_failed(failed: str) -> None:
    """Its client waits for the answer."""
    play = extended_copy()
    if failed == "amid the data":
        play.target(PARSED + BOUND + COPY_IN, to_client(PARSED + BOUND + COPY_IN)).client(copy_data(b"a") + SYNC, to_target(copy_data(b"a")))
        play.target(error("22P02"), to_client(error("22P02")), to_target(SYNC))
    else:
        play.target(PARSED + BOUND + error("42501"), to_client(PARSED + BOUND + error("42501")), to_target(SYNC))
    play.target(READY_IDLE, reports(1), reports(2, "error"), to_client(READY_IDLE)).client(ONE, asks("SELECT 1"))


def test_what_comes_behind_a_sync_that_is_held_waits_with_it() -> None:
    """Also where the words stand in a statement that copies nothing: its answer is asked for."""
    play = Playbook().client(parse("SELECT '; copy stdin'") + bind() + execute(), asks("SELECT '; copy stdin'", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT '; copy stdin'")), asks("SELECT '; copy stdin'", Path.BIND))
    play.verdict(Allow(), intends(2, bind()), to_target(execute())).client(SYNC + parse("SELECT 1") + SYNC, to_target(FLUSH))
    done = PARSED + BOUND + complete("SELECT 0")
    play.target(done, to_client(done), to_target(SYNC), asks("SELECT 1", Path.PARSE))


@pytest.mark.parametrize("message", [query("SELECT 1"), parse("SELECT 1"), bind(), execute(), describe("S"), close("S")], ids=lambda m: chr(m[0]))
def test_a_message_amid_copy_data_that_is_none_ends_the_session(message: bytes) -> None:
    """As a server ends it, which cannot read on then; one whose COPY has failed by then is not told of it."""
    copying_in().client(copy_data(b"a"), to_target(copy_data(b"a"))).client(message, malformed("client"))


def test_a_demand_for_data_by_what_copies_none_ends_the_session() -> None:
    """Whose data it would be nobody could tell."""
    play = Playbook().client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    play.target(COPY_IN, malformed("target"))


def test_a_sync_behind_data_sent_ahead_is_answered_when_the_copy_is() -> None:
    """It came behind the data's end, so no target reads past it."""
    play = Playbook().client(query("COPY t FROM STDIN") + copy_data(b"a") + COPY_DONE + SYNC, asks("COPY t FROM STDIN"))
    play.verdict(Allow(), intends(1, query("COPY t FROM STDIN")), to_target(copy_data(b"a") + COPY_DONE))
    play.target(COPY_IN, to_client(COPY_IN))
    done = complete("COPY 1") + READY_IDLE
    play.target(done, to_client(complete("COPY 1")), reports(1), to_client(READY_IDLE), to_target(SYNC)).target(READY_IDLE, to_client(READY_IDLE))


def test_what_may_ask_for_data_waits_while_another_command_may() -> None:
    """Whose data it is that comes would else be the last one's: another statement's record had the COPY's."""
    play = Playbook().client(query("SELECT '; copy stdin'") + query("COPY t FROM STDOUT") + copy_data(b"a") + COPY_DONE, asks("SELECT '; copy stdin'"))
    play.verdict(Allow(), intends(1, query("SELECT '; copy stdin'")))
    done = complete("SELECT 1") + READY_IDLE
    play.target(done, to_client(complete("SELECT 1")), reports(1), to_client(READY_IDLE), asks("COPY t FROM STDOUT"))
    play.verdict(Allow(), intends(2, query("COPY t FROM STDOUT")), to_target(copy_data(b"a") + COPY_DONE))
    play.target(COPY_IN, to_client(COPY_IN))
    play.target(complete("COPY 1") + READY_IDLE, to_client(complete("COPY 1")), reports(2), to_client(READY_IDLE))
    assert (play.outcomes[1].copied_bytes, play.outcomes[2].copied_bytes) == (0, 1)


def test_a_goodbye_does_not_overtake_a_sync_that_is_held() -> None:
    """Without it the target would undo what stands before it."""
    play = Playbook().client(parse("SELECT '; copy stdin'") + bind() + execute() + SYNC + TERMINATE, asks("SELECT '; copy stdin'", Path.PARSE))
    play.verdict(Allow(), intends(1, parse("SELECT '; copy stdin'")), asks("SELECT '; copy stdin'", Path.BIND))
    play.verdict(Allow(), intends(2, bind()), to_target(execute() + FLUSH + SYNC + TERMINATE), HANGS_UP)


def test_syncs_that_are_held_are_bounded() -> None:
    """Five bytes each would else be memory without end."""
    copying_in().client(SYNC * LIMIT).client(SYNC, malformed("client"))


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
