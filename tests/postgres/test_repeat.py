"""
The short way does what the general way does: two sessions hear the same conversation in the same pieces, one of which knows no short
way, and nobody can tell them apart: not the client, nor the target, nor who reads the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from habits import Both
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import BOUND, READY_OPEN, SYNC, TERMINATE, close, columns, complete, describe, error, execute, parse, query, row

from gateway import journal
from protocols.postgres import messages, replies
from protocols.postgres.codec import encode
from protocols.postgres.phrases import DESCRIBE_AND_RUN, RUN

READY = encode(b"Z", b"I")
NOTICE = replies.NoticeResponse(replies.error_fields("00000", "psst", "NOTICE")).encode()
TOLD = [NOTICE, replies.ParameterStatus("application_name", "b").encode(), replies.ParameterStatus("TimeZone", "UTC").encode(),
        replies.NotificationResponse(7, "c", "p").encode()]  # fmt: skip
SECRET, SSN = b"078-05-1120", "rows ssn"


def bound(name: str = "s", *values: bytes | None, formats: tuple[int, ...] = (), results: tuple[int, ...] = (), portal: str = "") -> bytes:
    return messages.Bind(portal, name, formats, values, results).encode()


def run(name: str = "s", *values: bytes | None, behind: bytes = DESCRIBE_AND_RUN, **how: Any) -> bytes:
    return bound(name, *values, **how) + behind


def prepared(text: str = "rows", masks: bool = False, behind: bytes = DESCRIBE_AND_RUN, times: int = 2, many: int = 1, masked: bool = False) -> Both:
    """Both after so many executions of one statement, each of which had so many rows."""
    both = Both(masks=masks)
    both.server.many = many
    if masked:
        both.each("masks.turn", True)
    both.ask(parse(text, "s") + SYNC)
    for _ in range(times):
        both.ask(run(behind=behind))
    return both


def asked(text: str = "SELECT 'rows' AS a, 1", masks: bool = False) -> Both:
    """Both after some executions of one query."""
    both = Both(masks=masks)
    for _ in range(3):
        both.ask(query(text))
    return both


def taken(both: Both, data: bytes) -> bool:
    """Whether that exchange went the short way."""
    before = both.quick.ways
    both.ask(data)
    return both.quick.ways > before


@pytest.mark.parametrize("masks", [False, True], ids=["nobody", "columns"])
@pytest.mark.parametrize("behind", [DESCRIBE_AND_RUN, RUN], ids=["described", "run"])
@pytest.mark.parametrize("text", ["rows", "none"])
def test_the_short_way_is_taken(text: str, behind: bytes, masks: bool) -> None:
    """Else nothing here is tested."""
    both = prepared(text, masks, behind, times=2)
    assert taken(both, run(behind=behind)) and taken(both, run("s", b"1", None, b"\0" * 5000, formats=(1,), behind=behind))
    both.rest()


@pytest.mark.parametrize("masks", [False, True], ids=["nobody", "columns"])
def test_the_short_way_is_taken_by_queries_and_their_kin(masks: bool) -> None:
    both = asked(masks=masks)
    assert taken(both, query("SELECT 'rows' AS a, 1")) and taken(both, query("SELECT 'rows''; x' AS a, 200"))
    both.rest()
    for other in ("SELECT 'rows' AS a, 1 + 1", "SELECT 'rows' AS a, -1", "SELECT 'rows' AS a, 1 -- 1", "SELECT 'rows\\' AS a, 1", "SELECT E'rows' AS a, 1"):
        assert not taken(both, query(other))


@pytest.mark.parametrize("masks", [False, True], ids=["nobody", "columns"])
@pytest.mark.parametrize("behind", [DESCRIBE_AND_RUN, RUN], ids=["described", "run"])
def test_the_short_way_is_taken_by_what_is_prepared_each_time(behind: bytes, masks: bool) -> None:
    both = Both(masks=masks)
    one, other = (parse(text) + run("", b"1", behind=behind) for text in ("rows", "rows 2"))
    for _ in range(3):
        both.ask(one)
        both.ask(other)
    assert taken(both, one) and taken(both, other)
    both.rest()
    assert taken(both, parse("rows") + run("", b"2", None, formats=(1,), behind=behind))
    for way in (parse("rows 3") + run("", behind=behind), parse("rows", "s") + run("s", behind=behind), parse("rows") + describe("S") + run("", behind=behind)):
        assert not taken(both, way)
    assert not taken(both, parse("rows") + SYNC)


def test_what_was_prepared_without_a_name_the_short_way_is_what_is_executed_next() -> None:
    both = Both(masks=True)
    for _ in range(3):
        both.ask(parse("rows") + run(""))
        both.ask(parse("rows 2") + run(""))
    assert taken(both, parse("rows") + run(""))
    both.ask(run(""))
    both.rest()
    texts = [body[5] for _, fields, body, _ in both.quick.notary.records() if fields[0] == journal.Kind.INTENT]
    assert texts[-1] == "rows"


@pytest.mark.parametrize("how", ["cancel", "client_lost", "target_lost", "refused", "down", "more"])
@pytest.mark.parametrize("when", ["said", "durable"])
def test_what_is_prepared_each_time_goes_on_as_any_other_whatever_happens(when: str, how: str) -> None:
    both, one = Both(), parse("rows") + run("", b"1")
    for _ in range(3):
        both.ask(one)
    both.say(one)
    assert both.quick.short.taken
    if when == "durable":
        both.ack()
    match how:
        case "refused":
            both.each("turn")
            both.each("acknowledge", True)
        case "down":
            both.each("down")
        case "more":
            both.say(one)
        case _:
            both.each(f"adapter.{how}")
    assert not both.quick.short.taken or (when == "durable" and how in ("refused", "down"))  # then it is not concerned
    both.ack()
    both.tell(both.hear())
    both.rest()


WAYS = {
    "query": query("SELECT 'rows' AS a, 1"), "bind": run(), "parse": parse("rows") + run("", b"1"), "run": run(behind=RUN),
}  # fmt: skip


def rules(both: Both) -> list[str]:
    return [fields[8] for _, fields, _, _ in both.quick.notary.records() if fields[0] == journal.Kind.INTENT]


@pytest.mark.parametrize("masks", [False, True], ids=["nobody", "columns"])
@pytest.mark.parametrize("way", WAYS)
def test_the_short_way_is_taken_inside_a_transaction(way: str, masks: bool) -> None:
    both = prepared(masks=masks, behind=RUN if way == "run" else DESCRIBE_AND_RUN)
    both.ask(query("BEGIN"))
    for _ in range(2):
        both.ask(WAYS[way])
    assert taken(both, WAYS[way]) and taken(both, WAYS[way])
    both.rest()
    both.ask(query("COMMIT"))
    both.rest()
    both.each("wait", 1.0)
    outcomes = [fields[-1] for _, fields, _, _ in both.quick.notary.records() if fields[0] == journal.Kind.OUTCOME]
    assert outcomes[-3:] == ["T", "T", "I"]


@pytest.mark.parametrize("way", WAYS)
def test_what_was_allowed_outside_of_a_transaction_is_not_yet_allowed_inside_one(way: str) -> None:
    """Nor the other way round: whoever decides is asked, and its rule is in the record."""
    both = prepared(behind=RUN if way == "run" else DESCRIBE_AND_RUN)
    for text, rule in [("toggle", "alone in T"), ("toggle", "alone"), ("toggle", "alone in T"), ("toggle", "alone")]:
        both.ask(query(text))
        for _ in range(4):
            both.ask(WAYS[way])
            assert rules(both)[-1] == rule
        assert taken(both, WAYS[way])


@pytest.mark.parametrize("way", ["bind", "parse", "run"])
def test_what_was_executed_the_short_way_inside_a_transaction_stays_open(way: str) -> None:
    """Its portal can be asked for more, and is gone with the transaction."""
    both = prepared(behind=RUN if way == "run" else DESCRIBE_AND_RUN)
    both.ask(query("BEGIN"))
    for _ in range(4):
        both.ask(WAYS[way])
    assert taken(both, WAYS[way])
    assert both.ask(execute() + SYNC) == complete("OK") + READY_OPEN
    both.rest()
    assert taken(both, WAYS[way])
    both.each("reload")
    assert complete("OK") in both.ask(execute() + SYNC)
    both.ask(query("ROLLBACK"))
    assert b"34000" in both.ask(execute() + SYNC)
    both.rest()


@pytest.mark.parametrize("way", WAYS)
def test_what_fails_inside_a_transaction_ends_the_short_way(way: str) -> None:
    both = prepared(behind=RUN if way == "run" else DESCRIBE_AND_RUN)
    both.ask(query("BEGIN"))
    for _ in range(3):
        both.ask(WAYS[way])
    both.ask(query("bad"))
    for _ in range(3):
        assert not taken(both, WAYS[way])
    both.ask(query("ROLLBACK"))
    both.rest()


@pytest.mark.parametrize("way", WAYS)
def test_a_search_path_set_for_one_transaction_is_known_to_who_judges_the_next_command(way: str) -> None:
    both = prepared(behind=RUN if way == "run" else DESCRIBE_AND_RUN)
    for turn, rule in [
        ("BEGIN", "alone in T"), ("SAVEPOINT a", "alone in T"), ("SET LOCAL search_path TO a", "alone in T by ('a',)"), ("ROLLBACK TO a", "alone in T"),
        ("SET search_path TO b", "alone in T by ('b',)"), ("ROLLBACK", "alone"), ("BEGIN", "alone in T"),
    ]:  # fmt: skip
        both.ask(query(turn))
        for _ in range(4):
            both.ask(WAYS[way])
            assert rules(both)[-1] == rule
    both.rest()


@pytest.mark.parametrize("when", ["between", "said", "durable"])
def test_a_mask_that_comes_into_force_is_obeyed_by_the_next_rows_of_a_query(when: str) -> None:
    text = query("SELECT 'rows' AS ssn, 1")
    both = asked("SELECT 'rows' AS ssn, 1", masks=True)
    steps = {"between": lambda: both.say(text), "said": both.ack, "durable": lambda: both.tell(both.hear())}
    for name, perform_it in steps.items():
        if name == when:
            both.each("masks.turn", True)
        perform_it()
    assert both.quick.client.value().endswith(columns("ssn") + row(b"*") + complete("OK") + READY)


@pytest.mark.parametrize("behind", [DESCRIBE_AND_RUN, RUN], ids=["described", "run"])
def test_masks_hold_for_a_statement_whose_first_results_were_empty(behind: bytes) -> None:
    """Nobody is asked about columns before there is a row: that none was masked says nothing."""
    both = Both(masks=True)
    both.each("masks.turn", True)
    both.ask(parse(SSN, "s") + SYNC)
    both.server.many = 0
    for _ in range(3):
        both.ask(run(behind=behind))
    both.server.many = 1
    for _ in range(3):
        assert row(b"*") in both.ask(run(behind=behind))


@pytest.mark.parametrize("way", ["bind", "run", "parse", "query"])
def test_the_short_way_is_taken_by_what_never_had_a_row(way: str) -> None:
    """Whoever masks is asked about its columns all the same, and again when it says otherwise."""
    both, behind = Both(masks=True), RUN if way == "run" else DESCRIBE_AND_RUN
    both.ask(parse(SSN, "s") + SYNC)
    both.server.many = 0
    said = {"parse": parse(SSN) + run("", b"1"), "query": query("SELECT 'rows' AS ssn, 1")}.get(way, run(behind=behind))
    for _ in range(2):
        both.ask(said)
    assert taken(both, said)
    both.server.many = 1
    assert row(b"1") in both.ask(said)
    both.server.many = 0
    assert taken(both, said)
    both.each("masks.turn", True)
    for _ in range(3):
        assert not taken(both, said)
    both.server.many = 1
    for _ in range(3):
        assert row(b"*") in both.ask(said)
    both.rest()


@pytest.mark.parametrize("behind", [DESCRIBE_AND_RUN, RUN], ids=["described", "run"])
@pytest.mark.parametrize("when", ["between", "asked", "durable"])
def test_a_mask_that_comes_into_force_is_obeyed_by_the_next_rows(when: str, behind: bytes) -> None:
    both = prepared(SSN, True, behind)
    for at in ("between", "asked", "durable", "answered"):
        if at == "asked":
            both.say(run(behind=behind))
        elif at == "durable":
            both.ack()
        elif at == "answered":
            both.tell(both.hear())
        if at == when:
            both.each("masks.turn", True)
    assert both.quick.client.value().endswith(BOUND + (columns("ssn") if behind is not RUN else b"") + row(b"*") + complete("OK") + READY)
    both.each("masks.turn", False)
    assert row(b"1") in both.ask(run(behind=behind))


@pytest.mark.parametrize("how", ["turned", "reloaded"])
def test_a_refusal_that_comes_into_force_is_obeyed_by_the_next_execution(how: str) -> None:
    both = prepared(SSN)
    both.each("judge.turn", True)
    if how == "reloaded":
        both.each("reload")
    before = len(both.quick.target.value())
    assert b"42501" in both.ask(run())
    assert bound() not in both.quick.target.value()[before:]
    both.each("judge.turn", False)
    assert row(b"1") in both.ask(run())


def test_a_reload_that_brings_masks_is_obeyed_by_what_ran_without_description() -> None:
    both = prepared(SSN, behind=RUN)
    assert taken(both, run(behind=RUN))
    both.each("masks.turn", True)
    both.each("masking", True)
    for _ in range(3):
        assert row(b"*") in both.ask(run(behind=RUN))


def test_other_formats_of_a_result_are_another_shape() -> None:
    both = prepared()
    assert taken(both, run())
    assert columns("a", code=1) in both.ask(run(results=(1,)))
    assert columns("a") in both.ask(run())


def test_nothing_is_sent_before_its_record_is_durable() -> None:
    both = prepared()
    before = both.quick.target.value()
    both.say(run())
    both.each("turn")
    assert both.quick.short.taken and both.quick.target.value() == before
    both.ack()
    assert both.quick.target.value() == before + run()


def test_nothing_overtakes_what_a_target_answered_before_it_was_sent() -> None:
    both = prepared()
    both.each("tally.moved")  # the next goes the general way
    answer, before = BOUND + columns("a") + row(b"1") + complete("OK") + READY, both.quick.target.value()
    both.say(run())
    both.tell(answer)
    both.say(run("s", b"1"))
    both.ack()
    both.tell(answer)
    both.rest()
    assert both.quick.target.value() == before + run() + run("s", b"1")


def test_what_was_allowed_in_a_pipeline_is_not_yet_allowed_alone() -> None:
    """A pipelined command may be the only one that is still awaited when it is answered."""
    both = Both()
    both.ask(parse("rows", "s") + SYNC)
    for _ in range(4):
        both.say(run() + run())
        both.ack()
        answer = both.hear()
        both.tell(answer[: len(answer) // 2])
        both.tell(answer[len(answer) // 2 :])
    for _ in range(3):
        both.ask(run())
    both.each("wait", 1.0)
    rules = [fields[8] for _, fields, _, _ in both.quick.notary.records() if fields[0] == journal.Kind.INTENT]
    assert rules[-3:] == ["alone"] * 3 and "in a pipeline" in rules


def cut_everywhere(made: Callable[[], Both], said: bytes) -> None:
    """The answer to that comes in two reads, cut at each of its bytes."""
    answer, size = b"..", 0
    while (size := size + 1) < len(answer):
        both = made()
        both.say(said)
        both.ack()
        answer = both.hear()
        both.tell(answer[:size])
        assert both.quick.adapter.busy
        both.tell(answer[size:])
        both.rest()
    assert size == len(answer) > 40


def test_a_query_whose_answer_is_cut_is_not_over() -> None:
    """Wherever it is; also behind its description, or behind its last row."""
    cut_everywhere(lambda: asked(masks=True), query("SELECT 'rows' AS a, 1"))


def test_an_answer_that_is_cut_behind_a_message_is_not_over() -> None:
    """Also the first time that the short way is taken."""
    cut_everywhere(lambda: prepared(times=2), run())


def test_an_execution_after_a_reload_is_recorded_under_its_revision() -> None:
    both = prepared()
    both.each("reload")
    for _ in range(4):
        both.ask(run())
    both.each("wait", 1.0)
    intents = [fields for _, fields, _, _ in both.quick.notary.records() if fields[0] == journal.Kind.INTENT]
    assert [fields[-1] for fields in intents[-4:]] == [2] * 4


VALUE = st.sampled_from([None, b"", b"1", "Zoë".encode(), b"\xff\0", b"x" * 5000])
NAMES = st.sampled_from(["s", "s", "s", "", "t"])
BEHIND = st.sampled_from([DESCRIBE_AND_RUN, DESCRIBE_AND_RUN, RUN])
TEXTS = st.sampled_from(["rows", SSN, "none", "bad", "boom", "toggle", "boom rows", "rows 2"])
FORMATS = st.sampled_from([(), (), (1,), (0,)])
RUNS = st.one_of(
    st.builds(lambda name, values, formats, results, behind: run(name, *values, formats=formats, results=results, behind=behind),
              NAMES, st.lists(VALUE, max_size=3), FORMATS, FORMATS, BEHIND),
    st.builds(lambda name, behind: run(name, behind=behind), NAMES, BEHIND),
    st.just(run()), st.just(run()), st.just(run(behind=RUN)),
)  # fmt: skip
TURNING = st.sampled_from([
    "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "RELEASE a", "SET LOCAL search_path TO a", "SET search_path TO b",
])  # fmt: skip
SHAPES = st.one_of(  # each is one exchange of a driver's
    RUNS, RUNS, RUNS, RUNS, st.builds(query, TURNING), st.builds(query, TURNING), st.builds(lambda text, behind: parse(text) + run("", behind=behind), TURNING, BEHIND), st.builds(query, TEXTS), st.builds(lambda n, what: query(f"SELECT 'rows' AS {what}, {n}"), st.integers(0, 3), st.sampled_from(["a", "ssn"])), st.builds(lambda text, name: parse(text, name) + SYNC, TEXTS, NAMES),
    st.builds(lambda text, behind: parse(text) + run("", behind=behind), TEXTS, BEHIND),
    st.builds(lambda text, behind: parse(text) + describe("S") + run("", behind=behind), TEXTS, BEHIND),
    st.builds(lambda kind, name: close(kind, name) + SYNC, st.sampled_from("SP"), NAMES),
    st.builds(lambda name, limit: bound(name, portal="p") + execute("p", limit) + SYNC, NAMES, st.sampled_from([0, 1])), st.just(run("é")),
    st.just(SYNC), st.just(execute() + SYNC),
)  # fmt: skip
CUTS = st.lists(st.integers(0, 200), max_size=1)
ASKS = st.tuples(st.just("ask"), SHAPES)
SAYS = st.tuples(st.just("say"), st.lists(SHAPES, min_size=1, max_size=2), CUTS)
TELLS = st.tuples(st.just("tell"), CUTS, st.sampled_from([b"", b"", *TOLD, error(), READY]), st.integers(0, 9), st.booleans())
EVENTS = st.sampled_from([
    ("turn",), ("acknowledge",), ("acknowledge",), ("acknowledge", True), ("wait", 0.01), ("wait", 3.0), ("down",), ("up",), ("tally.moved",),
    ("judge.turn", True), ("judge.turn", False), ("masks.turn", True), ("masks.turn", False), ("reload",), ("masking", True), ("masking", False),
    ("adapter.cancel",), ("slow", True), ("slow", False), ("rest",), ("many", 0), ("many", 1), ("many", 3), ("open", True),
])  # fmt: skip
ENDS = st.sampled_from([
    ("none",), ("adapter.close", "killed", "bye"), ("adapter.client_lost",), ("adapter.target_lost",), ("say", [TERMINATE], []), ("say", [b"?"], []),
])  # fmt: skip
TURNS = st.sampled_from([
    ("masks.turn", True), ("masks.turn", True), ("masks.turn", False), ("judge.turn", True), ("judge.turn", False), ("judge.turn", False), ("reload",),
    ("many", 0), ("many", 1), ("many", 1), ("open", True), ("tally.moved",),
])  # fmt: skip
SELDOM = st.one_of(*[st.none()] * 7, TURNS, TURNS, EVENTS)
BEFORE = st.one_of(SELDOM, st.tuples(st.just("ask"), st.builds(query, TURNING)))
ROUNDS = st.tuples(st.just("round"), BEFORE, st.one_of(st.none(), st.none(), st.none(), RUNS), SELDOM, SELDOM)
STEPS = st.lists(st.one_of(*[ROUNDS] * 6, ASKS, SAYS, TELLS, EVENTS), min_size=4, max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in zip(at, at[1:])]


def amid(answer: bytes, stray: bytes, place: int) -> bytes:
    """With that said behind so many of its messages."""
    at = 0
    for _ in range(place):
        if at < len(answer):
            at += 1 + int.from_bytes(answer[at + 1 : at + 5], "big")
    return answer[:at] + stray + answer[at:]


def perform(both: Both, habit: bytes, steps: list[Any], inside: bool = False) -> None:
    """:param habit: what is asked again and again. :param inside: it is, as a rule, in a transaction block."""
    for one in steps:
        match one:
            case ("round", before, data, asked, durable):
                parts = [before, ("say", [data or habit], []), asked, ("ack",), durable, ("tell", [], b"", 0, False)]
                perform(both, habit, [part for part in parts if part is not None])
                stand(both, inside)
            case (what, *said):
                step(both, what, *said)


def stand(both: Both, inside: bool) -> None:
    """Bring the transaction to where it is to stand."""
    if both.server.failed or both.server.open and not inside:
        both.ask(query("ROLLBACK"))
    if inside and not both.server.open:
        both.ask(query("BEGIN"))


def step(both: Both, what: str, *said: Any) -> None:
    match what:
        case "ack":
            both.ack()
        case "ask":
            both.ask(said[0])
        case "say":
            for piece in pieces(b"".join(said[0]), said[1]):
                both.say(piece)
        case "tell":
            both.ack()
            for piece in pieces(amid(both.hear(), said[1], said[2]) if said[3] else both.hear() + said[1], said[0]):
                both.tell(piece)
        case "up":
            both.incarnation += 1
            both.each("up", both.incarnation)
        case "many":
            both.server.many = said[0]
        case "open":
            both.server.open = said[0]
        case "rest":
            both.rest()
        case "none":
            both.rest()
        case _:
            both.each(what, *said)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["", "masks", "masks", "masked"]), st.sampled_from(["rows", SSN, SSN, "none"]), BEHIND, st.sampled_from(["query", "bind", "parse"]),
    st.integers(0, 1), st.booleans(), STEPS, ENDS, STEPS,
)  # fmt: skip
def test_the_short_way_does_what_the_general_way_does(
    masks: str, text: str, behind: bytes, first: str, many: int, inside: bool, steps: list[Any], end: Any, after: list[Any]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "WINDOW_RECORDS", 12)
        both = prepared(text, masks != "", behind, many=many, masked=masks == "masked")
        habits = {"query": query("SELECT 'rows' AS ssn, 1"), "bind": run(behind=behind), "parse": parse(text) + run("", b"1", behind=behind)}
        habit = habits[first]
        stand(both, inside)
        perform(both, habit, [*[("ask", habit)] * 3, *steps, end, *after[:4]], inside)
        both.rest()


@pytest.mark.parametrize("way", ["query", "bind", "parse"])
def test_what_takes_prepared_statements_away_never_goes_the_short_way(way: str) -> None:
    """The conversation has to know: a name may be given to another statement then."""
    both, text = Both(), "DEALLOCATE t"
    both.ask(parse(text, "d") + SYNC)
    said = {"query": query(text), "bind": run("d"), "parse": parse(text) + run("")}[way]
    for _ in range(4):
        both.ask(parse("rows", "t") + SYNC)
        assert not taken(both, said) and "t" not in both.quick.relay._talk.prepared
    both.rest()


@pytest.mark.parametrize("text", ["PREPARE t AS rows", "EXECUTE t", "EXPLAIN EXECUTE t"])
def test_what_runs_another_text_by_its_name_never_goes_the_short_way(text: str) -> None:
    """Which it is stands in each record."""
    both = Both()
    for _ in range(4):
        assert not taken(both, query(text)) and not taken(both, parse(text) + run(""))
    both.rest()
