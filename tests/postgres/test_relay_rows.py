"""Rows, masks and limits between a client and a target. Each test is named after a claim."""

from __future__ import annotations

import hashlib

import pytest
from playbook import (
    BOUND, CANCELS, COPY_DONE, COPY_OUT, HANGS_UP, NO, ONE, PARSED, READY_FAILED, READY_IDLE, READY_OPEN, SUSPENDED,
    SYNC, TWO, Playbook, Silent, asks, bind, columns, complete, copy_data, denied, describe, error, execute,
    intends, malformed, parse, prepared, refuses, reports, row, to_client, to_target,
)

from protocols.command import Path
from protocols.effects import ToClient
from protocols.postgres import messages, replies
from protocols.postgres.codec import encode_head
from protocols.postgres.refusal import poison_parse, waiting
from protocols.result import NULL, MaskPlan
from protocols.verdict import Allow, Deny, Hold


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


def suspended(opinions: Silent) -> Playbook:
    """Behind one row of a portal that has more, when the configuration has changed."""
    sent = describe("P") + execute("", 1) + SYNC
    play = prepared(opinions, "SELECT v").client(sent, to_target(sent))
    shape = columns("id", "ssn", "mrn")
    plain = row(b"1", b"a", b"b") + SUSPENDED
    play.target(PARSED + BOUND + shape + plain + READY_OPEN, to_client(PARSED + BOUND + shape + plain), reports(1), to_client(READY_OPEN))
    play.relay.reconsider()
    return play


def test_a_portal_that_goes_on_after_a_reload_is_masked_as_it_is_from_then_on() -> None:
    """It is asked about again, and described for us again."""
    opinions = Silent(hears_columns=True)
    play = suspended(opinions)
    opinions.masks = HIDE
    play.client(execute("", 1) + SYNC, asks("SELECT v", Path.BIND))
    play.verdict(Allow(), to_target(describe("P") + execute("", 1) + SYNC))
    play.target(
        columns("id", "ssn", "mrn") + row(b"2", b"a", b"b") + SUSPENDED + READY_OPEN,
        to_client(row(b"2", b"***", None) + SUSPENDED + READY_OPEN),
    )


@pytest.mark.parametrize("changed", [False, True], ids=["refused", "sent otherwise"])
def test_a_portal_does_not_go_on_that_would_not_be_opened_after_a_reload(changed: bool) -> None:
    play = suspended(Silent(hears_columns=True)).client(execute("", 1) + SYNC, asks("SELECT v", Path.BIND))
    play.verdict(Allow() if changed else NO, refuses(3), to_target(poison_parse(3) + SYNC), sent="SELECT w" if changed else None)


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


FATAL = denied(LIMIT, severity="FATAL", hint="It was done before it could be stopped. What it changed outside of an open transaction may stay.")


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
    play = cut_play().target(end, to_client(FATAL), HANGS_UP)
    play.ends(reports(1, "limit"))
    assert play.outcomes[1].tags == (("UPDATE 2",) if end == complete("UPDATE 2") else ("SELECT 2",))


WRITING = "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d"


def test_a_query_that_writes_is_not_called_failed_when_it_was_cut_too_late() -> None:
    """Its tag is a read's. The client is told that it was done, and the record has its tag."""
    text = messages.Query(WRITING).encode()
    play = Playbook(Silent(cut=LIMIT, hears_rows=True)).client(text, asks(WRITING)).verdict(Allow(), intends(1, text))
    play.target(columns("a") + row(b"1"), to_client(columns("a")), CANCELS)
    play.target(row(b"2") + complete("SELECT 2") + READY_IDLE, to_client(FATAL), HANGS_UP).ends(reports(1, "limit"))
    assert play.outcomes[1].tags == ("SELECT 2",) and b"It was done" in FATAL


def test_nor_is_what_was_done_before_a_read_in_its_pipeline() -> None:
    """An error there would take it back, and nothing does."""
    play = Playbook(Silent(cut=LIMIT, hears_rows=True)).client(parse(WRITING), asks(WRITING, Path.PARSE))
    play.verdict(Allow(), intends(1, parse(WRITING))).client(bind() + execute(), asks(WRITING, Path.BIND))
    play.verdict(Allow(), intends(2, bind()), to_target(execute())).client(parse("SELECT 1"), asks("SELECT 1", Path.PARSE))
    play.verdict(Allow(), intends(3, parse("SELECT 1"))).client(bind() + execute() + SYNC, asks("SELECT 1", Path.BIND))
    play.verdict(Allow(), intends(4, bind()), to_target(execute() + SYNC))
    play.target(PARSED + BOUND + complete("SELECT 0"), to_client(PARSED + BOUND + complete("SELECT 0")))
    play.target(PARSED + BOUND + row(b"1"), to_client(PARSED + BOUND), CANCELS)
    play.target(complete("SELECT 1") + READY_IDLE, to_client(denied(LIMIT, 4, "FATAL", "It was done before it could be stopped. What it changed outside of an open transaction may stay.")), HANGS_UP)


@pytest.mark.parametrize("size", [3, 300_000])
def test_a_limit_on_the_fast_path_gives_an_error_instead_of_the_value(size: int) -> None:
    """A call has one result, large or small: it is withheld whole, and the transaction's status stays the server's."""
    limit = Deny("too many bytes", code="OST-402", sqlstate="54000")
    call = messages.FunctionCall(764, (), ()).encode()
    play = Playbook(Silent(cut=limit, hears_rows=True)).client(call, asks("function 764", Path.FASTPATH))
    play.verdict(Allow(), intends(1, call))
    result = replies.FunctionResult(b"x" * size).encode()
    play.target(result + READY_IDLE, to_client(denied(limit)), reports(1, "limit"), to_client(READY_IDLE))
