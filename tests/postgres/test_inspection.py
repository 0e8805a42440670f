"""COPY data that somebody looks through: what is refused fails the whole COPY at the target, whatever way it comes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from playbook import (
    BOUND, COPY_DONE, COPY_IN, FLUSH, PARSED, READY_FAILED, READY_IDLE, SYNC, Playbook, Silent, asks, bind, complete, copy_data, error, execute, intends,
    malformed, parse, query, reports, to_client, to_target,
)

from protocols.command import Path
from protocols.effects import ToTarget
from protocols.postgres import messages
from protocols.postgres.refusal import denial
from protocols.postgres.replies import ErrorResponse
from protocols.verdict import Allow, Decision, Deny

ONE, TEXT = query("SELECT 1"), "COPY t FROM STDIN"
BAD = Deny("no such data", "OST-999")
FAIL = messages.CopyFail("refused").encode()
REFUSED = ErrorResponse(denial(BAD, 1)).encode()


@dataclass
class Looker:
    """Refuses data with "bad" in it, and an end behind "unfinished"."""

    seen: bytes = b""
    ends: int = 0

    def take(self, data: bytes | memoryview) -> Deny | None:
        self.seen += bytes(data)
        return BAD if b"bad" in self.seen else None

    def end(self) -> Deny | None:
        self.ends += 1
        return BAD if self.seen.endswith(b"unfinished") else None


@dataclass
class Looking(Silent):
    hears_data: bool = True
    looker: Looker | None = field(default_factory=Looker)
    asked: int = 0

    def inspection(self, _decision: Decision) -> Looker | None:
        self.asked += 1
        return self.looker


def simple(opinions: Looking) -> Playbook:
    play = Playbook(opinions).client(query(TEXT), asks(TEXT)).verdict(Allow(), intends(1, query(TEXT)))
    return play.target(COPY_IN, to_client(COPY_IN))


def extended(opinions: Looking) -> Playbook:
    play = Playbook(opinions).client(parse(TEXT) + bind() + execute() + SYNC, asks(TEXT, Path.PARSE))
    return play.verdict(Allow(), intends(1, parse(TEXT)), asks(TEXT, Path.BIND)).verdict(Allow(), intends(2, bind()), to_target(execute() + FLUSH))


def test_clean_data_passes_and_is_asked_about_once() -> None:
    opinions = Looking()
    play = simple(opinions).client(copy_data(b"a\n") + copy_data(b"b\n"), to_target(copy_data(b"a\n") + copy_data(b"b\n")))
    play.client(copy_data(b"c\n"), to_target(copy_data(b"c\n"))).client(COPY_DONE, to_target(COPY_DONE))
    play.target(complete("COPY 3") + READY_IDLE, to_client(complete("COPY 3")), reports(1), to_client(READY_IDLE))
    assert (opinions.asked, opinions.looker.seen, opinions.looker.ends) == (1, b"a\nb\nc\n", 1)


def test_where_nobody_looks_all_passes() -> None:
    simple(Looking(looker=None)).client(copy_data(b"bad") + COPY_DONE, to_target(copy_data(b"bad") + COPY_DONE))


def test_what_is_refused_never_reaches_the_target_and_the_copy_fails() -> None:
    """In the addon's words; what the client still sends of it is dropped, and the next command is asked about."""
    play = simple(Looking()).client(copy_data(b"a\n"), to_target(copy_data(b"a\n"))).client(copy_data(b"b\nbad\n"), to_target(FAIL))
    play.client(copy_data(b"more\n") + COPY_DONE)
    play.target(error("57014") + READY_IDLE, to_client(REFUSED), reports(1, "refused"), to_client(READY_IDLE))
    play.client(ONE, asks("SELECT 1"))
    assert play.outcomes[1].alarm == "the client's data was refused (OST-999)"


def test_what_its_end_completes_is_refused_too() -> None:
    play = simple(Looking()).client(copy_data(b"unfinished"), to_target(copy_data(b"unfinished"))).client(COPY_DONE, to_target(FAIL))
    play.target(error("57014") + READY_FAILED, to_client(REFUSED), reports(1, "refused"), to_client(READY_FAILED))


def test_a_client_that_gives_up_is_not_asked_what_it_did_not_end() -> None:
    opinions, fail = Looking(), messages.CopyFail("enough").encode()
    simple(opinions).client(copy_data(b"unfinished"), to_target(copy_data(b"unfinished"))).client(fail, to_target(fail))
    assert opinions.looker.ends == 0


def test_a_message_that_is_under_way_is_finished_before_it_fails() -> None:
    """The target waits for as many bytes as its head said."""
    play, big = simple(Looking()), b"x" * (300 << 10) + b"bad" + b"y" * (300 << 10)
    sent, passed = copy_data(big), b""
    for at in range(0, len(sent), 64 << 10):
        passed += b"".join(e.data for e in play.relay.from_client(sent[at : at + (64 << 10)]) if isinstance(e, ToTarget))
    assert passed == sent + FAIL
    play.client(copy_data(b"more") + COPY_DONE)
    play.target(error("57014") + READY_IDLE, to_client(REFUSED), reports(1, "refused"), to_client(READY_IDLE))


def test_in_the_extended_protocol_all_is_skipped_to_sync() -> None:
    play = extended(Looking()).target(PARSED + BOUND + COPY_IN, to_client(PARSED + BOUND + COPY_IN))
    play.client(copy_data(b"bad") + COPY_DONE + SYNC, to_target(FAIL + SYNC))
    refused = ErrorResponse(denial(BAD, 2)).encode()
    play.target(error("57014") + READY_IDLE, to_client(refused), reports(1), reports(2, "refused"), to_client(READY_IDLE))
    play.client(ONE, asks("SELECT 1"))


def test_data_that_came_before_the_target_asked_for_it_is_looked_through() -> None:
    play = extended(Looking()).client(copy_data(b"a") + copy_data(b"bad") + copy_data(b"c") + COPY_DONE + SYNC, to_target(FAIL + SYNC))
    play.target(PARSED + BOUND + COPY_IN, to_client(PARSED + BOUND + COPY_IN))
    refused = ErrorResponse(denial(BAD, 2)).encode()
    play.target(error("57014") + READY_IDLE, to_client(refused), reports(1), reports(2, "refused"), to_client(READY_IDLE))


@pytest.mark.parametrize("late", [b"bad", b"a"])
def test_data_of_no_copy_is_dropped_and_not_looked_at(late: bytes) -> None:
    opinions = Looking()
    Playbook(opinions).client(copy_data(late) + COPY_DONE)
    assert opinions.asked == 0


def test_a_target_that_takes_a_failed_copy_for_whole_is_not_believed() -> None:
    play = simple(Looking()).client(copy_data(b"bad"), to_target(FAIL))
    play.target(complete("COPY 1") + READY_IDLE, to_client(complete("COPY 1")), malformed("target"))


def test_of_two_copies_in_one_string_both_are_looked_through() -> None:
    """The data of the second may come before the first was answered."""
    opinions, both = Looking(), "COPY t FROM STDIN; COPY u FROM STDIN"
    play = Playbook(opinions).client(query(both), asks(both)).verdict(Allow(), intends(1, query(both))).target(COPY_IN, to_client(COPY_IN))
    play.client(copy_data(b"a") + COPY_DONE + copy_data(b"bad"), to_target(copy_data(b"a") + COPY_DONE + FAIL))
    play.target(complete("COPY 1") + COPY_IN, to_client(complete("COPY 1") + COPY_IN))
    play.target(error("57014") + READY_IDLE, to_client(REFUSED), reports(1, "refused"), to_client(READY_IDLE))
    assert opinions.looker.ends == 1
