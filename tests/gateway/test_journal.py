"""The worker's journal: what it sends, when it refuses, whom it wakes. A scripted client, a test's clock."""

from __future__ import annotations

import uuid
from hashlib import sha256

import pytest
from recorded import DONE, Told, allowed, denied, session
from scribe import Client
from twisted.internet.task import Clock

from gateway import journal as journals
from gateway.journal import WINDOW_RECORDS, Journal
from gateway.notary.record import FIELDS, LEAF_LIMIT, Kind
from gateway.values import VALUE_LIMIT, VALUES_LIMIT
from protocols.command import FunctionCall, Parameter, Statement
from protocols.errors import Unrecordable
from protocols.recording import CHUNK_LIMIT, EVENTS_LIMIT, Code, Recorder
from protocols.result import Ending, Outcome
from protocols.session import Identity
from protocols.verdict import Allow, Decision, Seen


def test_one_turn_is_one_append(book: Journal, client: Client, clock: Clock) -> None:
    who, told = session(), Told()
    sequences = [book.opened(who, {}, told)] + [book.intend(who, n, allowed("SELECT 1"), told) for n in range(10)]
    assert sequences == list(range(1, 12)) and not client.appends
    clock.advance(0)
    assert [(worker, first, len(items)) for worker, first, items in client.appends] == [(5, 1, 11)]
    book.refuse(who, 11, denied("DROP TABLE a"))
    book.flush()
    assert client.appends[1][:2] == (5, 12)
    clock.advance(0)
    assert len(client.appends) == 2


def test_an_intent_tells_an_auditor_everything(book: Journal, client: Client) -> None:
    """Who, for whom, where, as whom, what exactly, with which values, by which rule and grant."""
    agent = session(identity=Identity("claude", "agent", frozenset({"agents"}), "token", "ada@clinic.example"))
    text, binary = Parameter(25, 0, "Zoë".encode()), Parameter(23, 1, b"\0\0\0\7")
    values = (text, binary, Parameter(0, 0, None), Parameter(17, 0, b"\xff"))
    statement = Statement("SELECT ssn FROM patients WHERE n = $1", parameters=values, name="s1")
    decision = Decision(
        statement, Allow(), sent="SELECT '***' FROM patients WHERE n = $1", rule="reads", grant="g", request="r",
        binding=b"b" * 32, columns=("public.patients.ssn",),
    )
    book.opened(agent, {"tls": "verify"}, Told())
    book.intend(agent, 3, decision, Told())
    book.flush()
    (opened, opened_body), (intent, body) = client.items()
    assert opened["session"] == uuid.UUID(agent.id).bytes and opened_body["identity_kind"] == "agent"
    assert opened_body["groups"] == ["agents"] and opened_body["facts"] == {"tls": "verify"}
    assert client.appends[0][2][0][2] == ["identity\0claude", "identity\0ada@clinic.example"]
    assert (intent["command"], intent["rule"], intent["grant"], intent["request"]) == (3, "reads", "g", "r")
    assert intent["binding"] == b"b" * 32 and intent["rewritten"]
    assert intent["target"] == "clinic" and intent["verdict"] == 1
    assert body["identity"] == "claude" and body["on_behalf_of"] == "ada@clinic.example" and body["account"] == "rw"
    assert body["text"] == statement.text and body["sent"] == decision.sent and body["name"] == "s1"
    assert body["parameters"] == [[25, 0, "Zoë"], [23, 1, b"\0\0\0\7"], [0, 0, None], [17, 0, b"\xff"]]
    assert body["columns"] == ["public.patients.ssn"] and "clear_columns" not in body


def test_an_intent_names_the_columns_that_it_reads_in_the_clear(book: Journal, client: Client) -> None:
    decision = Decision(Statement("SELECT ssn FROM patients"), Allow(), seen=Seen(clear=("public.patients.ssn",)))
    book.intend(session(), 1, decision, Told())
    book.flush()
    [(_, body)] = client.items()
    assert body["clear_columns"] == ["public.patients.ssn"] and body["columns"] == []


def test_a_refusal_names_the_text_that_it_would_have_executed(book: Journal, client: Client) -> None:
    prepare, who = Decision(Statement("PREPARE q AS SELECT 1"), Allow()), session()
    book.intend(who, 1, prepare, Told())
    book.refuse(who, 2, denied("EXECUTE q"))
    book.refuse(who, 3, denied("SELECT 1"))
    book.flush()
    [_, (_, body), (_, other)] = client.items()
    assert body["executes"] == [["q", "PREPARE q AS SELECT 1", 1]] and "executes" not in other


@pytest.mark.parametrize("clear", [(), ("public.patients.ssn",)], ids=["masked", "clear"])
def test_an_intent_names_the_text_that_it_executes(book: Journal, client: Client, clear: tuple[str, ...]) -> None:
    prepare, who = Decision(Statement("PREPARE q AS SELECT 1"), Allow()), session()
    book.intend(who, 1, prepare, Told())
    book.report(who, 1, prepare, Outcome(Ending.COMPLETE), 5)
    book.intend(who, 2, Decision(Statement('EXECUTE "q"', name="q"), Allow(), seen=Seen(clear=clear)), Told())
    book.flush()
    [(_, first), _, (_, body)] = client.items()
    assert body["executes"] == [["q", "PREPARE q AS SELECT 1", 1]] and body["clear_columns"] == list(clear) and "executes" not in first


@pytest.mark.parametrize(
    ("seen", "wire", "cells", "columns", "facts"),
    [
        (Seen(("p.ssn", "p.mrn")), 0, 6, ["p.mrn", "p.ssn"], {"masked_by": "rewrite", "cells_rewritten": "6"}),
        (Seen(("p.ssn",)), 2, 5, ["p.ssn"], {"masked_by": "rewrite, wire", "cells_rewritten": "3"}),
        (None, 0, 0, ["p.mrn", "p.ssn"], {"masked_by": "rewrite", "cells_rewritten": "unknown"}),
        (Seen(()), 0, 0, [], {}),  # it only counts or compares them
    ],
)
def test_what_rewriting_masked_is_not_told_as_nothing(
    book: Journal, client: Client, seen: Seen | None, wire: int, cells: int, columns: list[str], facts: dict[str, str]
) -> None:
    """Rows times the columns that show masks; where nobody can count them, that is said."""
    who = session()
    decision = Decision(Statement("SELECT a"), Allow(), "SELECT b", columns=("p.ssn", "p.mrn"), seen=seen)
    book.intend(who, 1, decision, Told())
    book.report(who, 1, decision, Outcome(Ending.COMPLETE, ("SELECT 3",), rows=3, cells_masked=wire), 10)
    book.flush()
    _, (outcome, body) = client.items()
    assert (outcome["cells_masked"], body["columns"], body["facts"]) == (cells, columns, facts)


def test_what_is_private_is_in_the_body_only(book: Journal, client: Client) -> None:
    who = session()
    book.opened(who, {"note": "private-fact"}, Told())
    book.intend(who, 1, allowed("SELECT private-text", b"private-value"), Told())
    book.refuse(who, 2, denied("SELECT private-text", "private-reason"))
    book.note(who, "cancel", {"why": "private-fact"})
    book.closed(who, "private-why")
    book.flush()
    for event, body, _ in client.appends[0][2]:
        assert b"private" not in event and b"ada@" not in event and b"10.0.0.9" not in event
        assert body is not None


def test_text_that_is_sent_as_it_came_is_recorded_once(book: Journal, client: Client) -> None:
    book.intend(session(), 1, allowed("SELECT 1"), Told())
    book.flush()
    assert client.items()[0][1]["sent"] is None and client.items()[0][0]["rewritten"] is False


def test_long_values_are_recorded_by_length_and_digest(book: Journal, client: Client) -> None:
    long = b"x" * (VALUE_LIMIT + 1)
    book.intend(session(), 1, allowed("INSERT", long, b"y" * VALUE_LIMIT), Told())
    book.intend(session(), 1, allowed("INSERT", *[b"z" * VALUE_LIMIT] * 1000), Told())
    book.flush()
    first, second = (body["parameters"] for _, body in client.items())
    assert first == [[25, 0, None, len(long), sha256(long).digest()], [25, 0, "y" * VALUE_LIMIT]]
    assert len(second) == 1000 and len(client.appends[-1][2][-1][1]) < 2 * VALUES_LIMIT


def test_a_leaf_stays_small_whatever_names_are(book: Journal, client: Client) -> None:
    long = "\U0001f600" * 5000
    who = session(database=long, account=long, application=long)
    book.opened(who, {long: long}, Told())
    decision = allowed(long, rule=long, request=long, columns=(long,) * 50)
    book.intend(who, 1, decision, Told())
    book.note(who, long, {})
    book.flush()
    assert all(len(event) < LEAF_LIMIT - 512 for _, _, items in client.appends for event, _, _ in items)


def test_text_that_is_not_quite_unicode_is_recorded(book: Journal, client: Client) -> None:
    """A lone surrogate must not make a statement unrecordable, or end the session in a traceback."""
    book.intend(session(), 1, allowed("SELECT '\ud800'"), Told())
    book.flush()
    assert "ud800" in client.items()[0][1]["text"]


def test_a_fastpath_call_is_recorded_by_oid(book: Journal, client: Client) -> None:
    call = FunctionCall(1598, (Parameter(0, 1, b"\0"),))
    book.intend(session(), 1, Decision(call, Allow()), Told())
    book.flush()
    fields, body = client.items()[0]
    assert fields["path"] == "fastpath" and body["function_oid"] == 1598 and body["parameters"] == [[0, 1, b"\0"]]


def test_an_outcome_refers_to_its_intent(book: Journal, client: Client) -> None:
    who = session()
    book.note(None, "login.failed", {"identity": "eve", "peer": "1.2.3.4"})
    book.intend(who, 7, allowed("SELECT 1"), Told())
    book.report(who, 7, allowed("SELECT 1"), DONE, 1234)
    book.flush()
    (note, _), _, (outcome, body) = client.items()
    assert note["session"] == b"" and client.appends[0][2][0][2] == ["identity\0eve"]
    assert outcome["ref"] == [5, 2] and outcome["micros"] == 1234 and outcome["cells_masked"] == 1
    assert body["tags"] == ["SELECT 1"] and body["columns"] == ["ssn"]


def test_numbers_in_a_session_have_no_gap(book: Journal, client: Client) -> None:
    one, two = session(), session()
    for who in (one, two, one):
        book.note(who, "cancel", {})
    book.closed(one, "bye")
    book.flush()
    numbers = [(fields["session"], fields["number_in_session"]) for fields, _ in client.items()]
    first, second = (uuid.UUID(who.id).bytes for who in (one, two))
    assert numbers == [(first, 0), (second, 0), (first, 1), (first, 2)]


def test_commands_without_a_report_end_as_unknown_with_their_session(book: Journal, client: Client) -> None:
    who = session()
    book.intend(who, 1, allowed("SELECT 1"), Told())
    book.closed(who, "client gone")
    book.flush()
    _, (outcome, _), (closed, body) = client.items()
    assert (outcome["ending"], outcome["ref"]) == ("unknown", [5, 1]) and body["why"] == "client gone"
    assert closed["commands"] == 1


def test_what_an_earlier_incarnation_left_open_is_closed_by_the_notary_alone(book: Journal, client: Client) -> None:
    """It says "unknown" when it loses a worker; the session's end says so of later commands only."""
    who, told = session(), Told()
    book.intend(who, 1, allowed("SELECT 1"), told)
    book.flush()
    book.acknowledged(1, ())
    book.down("disk full")
    book.up(6)
    client.appends.clear()
    book.intend(who, 2, allowed("SELECT 2"), told)
    book.closed(who, "client gone")
    book.flush()
    outcomes = [fields for fields, _ in client.items() if fields.get("ending")]
    assert [(one["command"], one["ending"], one["ref"]) for one in outcomes] == [(2, "unknown", [6, 1])]


def test_everyone_who_waits_is_woken_once_per_acknowledgement(book: Journal, client: Client) -> None:
    one, two = Told(), Told()
    for number in range(100):
        book.intend(session(), number, allowed("SELECT 1"), one if number % 2 else two)
    book.flush()
    book.acknowledged(60, [])
    assert one.told == [("durable", 60)] and two.told == [("durable", 60)]
    book.acknowledged(100, [])
    assert one.told[1:] == [("durable", 100)]


def test_a_refused_intent_is_told_before_what_follows_is_released(book: Journal, client: Client) -> None:
    told, who = Told(), session()
    sequences = [book.intend(who, n, allowed("DROP", grant="g"), told) for n in range(3)]
    book.flush()
    book.acknowledged(3, [(2, "the grant is spent")])
    assert told.told == [("refused", sequences[1], "the grant is spent"), ("durable", 3)]
    before = book._sequence
    assert book.report(who, 1, allowed("DROP"), DONE, 1) == before  # it never ran: no second outcome


def test_down_refuses_whoever_waits_and_whoever_comes(book: Journal, client: Client, clock: Clock) -> None:
    told, who = Told(), session()
    book.opened(who, {}, told)
    book.intend(who, 1, allowed("SELECT 1"), told)
    book.flush()
    book.intend(who, 2, allowed("SELECT 2"), told)
    book.down("disk full")
    assert told.told == [("unrecordable", "disk full")]
    for call in (lambda: book.opened(who, {}, told), lambda: book.intend(who, 3, allowed("x"), told)):
        with pytest.raises(Unrecordable, match="disk full"):
            call()
    clock.advance(10)
    assert len(client.appends) == 1  # what was queued is gone, not sent later


def test_after_an_interruption_sequences_rise_and_references_name_the_old_worker(book: Journal, client: Client) -> None:
    told, who = Told(), session()
    first = book.intend(who, 1, allowed("SELECT pg_sleep(9)"), told)
    book.flush()
    book.acknowledged(1, [])
    book.down("restarting")
    book.up(9)
    second = book.intend(who, 2, allowed("SELECT 2"), told)
    book.report(who, 1, allowed(""), DONE, 9)
    book.flush()
    assert second == first + 1 and client.appends[-1][:2] == (9, 1)
    assert client.items()[-1][0]["ref"] == [5, 1]
    told.told.clear()
    book.acknowledged(2, [])
    assert told.told == [("durable", second + 1)]


def test_a_store_that_does_not_answer_refuses_after_the_timeout(book: Journal, client: Client, clock: Clock) -> None:
    """The intent may still become durable; the outcome that follows it says that it did not run."""
    told, who = Told(), session()
    book.intend(who, 1, allowed("SELECT 1"), told)
    clock.advance(0)
    clock.advance(1.9)
    assert told.told == []
    clock.advance(0.2)
    clock.advance(0.01)
    assert told.told == [("unrecordable", "the evidence store does not answer")]
    with pytest.raises(Unrecordable):
        book.intend(who, 2, allowed("SELECT 2"), told)
    book.report(who, 1, allowed("SELECT 1"), DONE, 1)
    book.note(who, "still.told", {})
    book.flush()
    endings = [fields["ending"] for fields, _ in client.items() if fields["kind"] == Kind.OUTCOME]
    assert endings == ["refused"]
    book.acknowledged(3, [])
    assert book.intend(who, 3, allowed("SELECT 3"), told) == 4


def test_a_slow_but_answering_store_is_not_timed_out(book: Journal, client: Client, clock: Clock) -> None:
    told, who = Told(), session()
    for number in range(1, 6):
        book.intend(who, number, allowed("SELECT 1"), told)
        clock.advance(0)
        clock.advance(1.5)
        book.acknowledged(number, [])
    assert [what[0] for what in told.told] == ["durable"] * 5


def test_while_others_are_acknowledged_the_store_is_not_silent(book: Journal, client: Client, clock: Clock) -> None:
    """A pipeline of thousands waits longer than the timeout in all, and none of it is refused."""
    told, who = Told(), session()
    for number in range(1, 6):
        book.intend(who, number, allowed("SELECT 1"), told)
        book.flush()
    for number in range(1, 6):
        clock.advance(1.9)
        book.acknowledged(number, [])
    assert [what[0] for what in told.told] == ["durable"] * 5


def test_a_word_that_lies_unread_is_read_before_anybody_is_refused(book: Journal, client: Client, clock: Clock) -> None:
    """This process was busy for longer than the timeout; its timers come before what its sockets hold."""
    told, who = Told(), session()
    book.intend(who, 1, allowed("SELECT 1"), told)
    clock.advance(0)
    clock.advance(2.0)
    assert told.told == []
    book.acknowledged(1, [])
    clock.advance(1.0)
    assert told.told == [("durable", 1)]


def test_the_window_asks_for_a_pause_and_is_bounded(book: Journal, client: Client) -> None:
    told, who, drained = Told(), session(), []
    book.when_drained(lambda: drained.append("at once"))
    for number in range(WINDOW_RECORDS):
        book.intend(who, number, allowed("SELECT 1"), told)
    assert book.full and drained == ["at once"]
    book.when_drained(lambda: drained.append("later"))
    for number in range(WINDOW_RECORDS):
        book.intend(who, number, allowed("SELECT 1"), told)
    with pytest.raises(Unrecordable, match="too much"):
        book.intend(who, 1, allowed("SELECT 1"), told)
    book.flush()
    book.acknowledged(WINDOW_RECORDS, [])
    assert drained == ["at once"] and book.full
    book.acknowledged(WINDOW_RECORDS + 1, [])
    assert drained == ["at once", "later"] and not book.full


def test_bytes_count_against_the_window_too(book: Journal, client: Client) -> None:
    for number in range(8):
        book.intend(session(), number, allowed("x" * (1 << 20)), Told())
    assert book.full and len(client.appends) == 8  # each was too large to wait for the end of the turn


def test_before_the_notary_is_up_nothing_is_taken(clock: Clock) -> None:
    with pytest.raises(Unrecordable, match="not up yet"):
        Journal(Client(None), clock).intend(session(), 1, allowed("SELECT 1"), Told())


def test_chunks_of_a_recording_are_awaited_like_a_session_s_opening(book: Journal, client: Client) -> None:
    """The bytes are in the body, what counts them is in clear, and who waits hears when it is durable."""
    who, told = session(), Told()
    book.opened(who, {}, Told())
    recorder = Recorder(3, 1, 2)
    recorder.event(5, Code.TERM, b"xterm")
    recorder.event(9, Code.OUTPUT, b"\x1b[1mhello\xff")
    (chunk,) = recorder.take()
    assert book.chunk(who, chunk, told) == 2
    assert book.recorded(who, recorder.ended(20), told) == 3
    book.flush()
    (_, (said, body), (ended, digest)) = client.items()
    assert [said[name] for name in FIELDS[Kind.CHUNK]] == [3, 0, 1, 2, 5, 2, 15]
    assert body["events"] == [[5, "t", b"xterm"], [9, "o", b"\x1b[1mhello\xff"]]
    assert [ended[name] for name in FIELDS[Kind.RECORDED]] == [3, 1, 2, 1, 10, 0, 20]
    assert digest["sha256"] == sha256(b"\x1b[1mhello\xff").digest()
    client.listener.acknowledged(2, [])
    assert told.told == [("durable", 2)]
    client.listener.down("gone")
    assert told.told == [("durable", 2), ("unrecordable", "gone")]
    with pytest.raises(Unrecordable):
        book.chunk(who, chunk, told)


def test_the_largest_chunk_fits_a_record(book: Journal, client: Client) -> None:
    """Its leaf keeps its bound however many events it has."""
    who = session()
    recorder = Recorder(2**31, 2**32 - 1, 2**31)
    for micros in range(EVENTS_LIMIT):
        recorder.event(2**50 + micros, Code.OUTPUT, b"x" * (CHUNK_LIMIT // EVENTS_LIMIT))
    for chunk in recorder.take():
        book.chunk(who, chunk, Told())
    book.flush()
    (item,) = client.appends[0][2]
    assert len(item[0]) < LEAF_LIMIT // 4 and len(item[1]) < 128 << 10


def test_while_the_notary_is_at_work_what_comes_is_one_batch(book: Journal, client: Client, clock: Clock) -> None:
    """Three turns end before it answers; the end of the turn that brings its word sends them all, with what else that brought, and none twice."""
    who, told = session(), Told()
    book.opened(who, {}, told)
    clock.advance(0)
    for number in range(3):
        book.intend(who, number, allowed("SELECT 1"), told)
        clock.advance(0)
    assert len(client.appends) == 1
    book.acknowledged(1, [])
    book.intend(who, 3, allowed("SELECT 1"), told)
    clock.advance(0)
    assert [(first, len(items)) for _, first, items in client.appends] == [(1, 1), (2, 4)]
    book.acknowledged(5, [])
    clock.advance(0)
    assert len(client.appends) == 2 and book.settled


def test_what_was_held_back_is_sent_though_nothing_else_comes(book: Journal, client: Client, clock: Clock) -> None:
    who, told = session(), Told()
    book.opened(who, {}, told)
    clock.advance(0)
    book.intend(who, 1, allowed("SELECT 1"), told)
    clock.advance(0)
    book.acknowledged(1, [])
    clock.advance(0)
    assert [(first, len(items)) for _, first, items in client.appends] == [(1, 1), (2, 1)]


def test_much_does_not_wait_for_the_notary(book: Journal, client: Client, clock: Clock) -> None:
    """What is a batch by itself is sent behind the one that is not acknowledged."""
    who, told = session(), Told()
    book.opened(who, {}, told)
    clock.advance(0)
    for number in range(8):
        book.intend(who, number, allowed("SELECT '" + "x" * (200 << 10) + "'"), told)
    assert len(client.appends) == 2


def test_what_was_held_back_is_not_sent_to_a_notary_that_came_back(book: Journal, client: Client, clock: Clock) -> None:
    """It was refused when the connection was lost; a new incarnation starts at 1, with the session's beginning and what comes then."""
    who, told = session(), Told()
    book.opened(who, {}, told)
    clock.advance(0)
    book.intend(who, 1, allowed("DROP TABLE t"), told)
    clock.advance(0)
    book.down("gone")
    assert told.told[-1][0] == "unrecordable"
    book.up(6)
    book.intend(who, 2, allowed("SELECT 1"), told)
    clock.advance(0)
    assert [(worker, first, len(items)) for worker, first, items in client.appends] == [(5, 1, 1), (6, 1, 2)]
    assert [fields["kind"] for fields, _ in client.items()] == [Kind.OPENED, Kind.OPENED, Kind.INTENT]


def test_outcomes_alone_are_sent_in_time(book: Journal, client: Client, clock: Clock) -> None:
    """Nobody waits for them, but they do not wait for ever."""
    who, told = session(), Told()
    book.opened(who, {}, told)
    book.intend(who, 1, allowed("SELECT 1"), told)
    clock.advance(0)
    book.acknowledged(2, [])
    book.report(who, 1, allowed("SELECT 1"), DONE, 5)
    clock.advance(0)
    assert len(client.appends) == 1
    clock.advance(journals.LAZY)
    assert len(client.appends) == 2
