"""SFTP from strangers: any bytes in any pieces give effects, what waits is bounded, and only that channel ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from protocols.effects import Malformed
from protocols.ssh import files, transfer, messages as m, sftp
from protocols.ssh.effects import AskCommand, IntendCommand, SendClient, SendTarget, SshEffect
from protocols.ssh.messages import string, u32
from protocols.verdict import Allow, Decision, Deny
from tests.ssh.channels import CLIENT, TARGET, Playbook, adjust, close, data
from tests.ssh.test_sftp_channel import INIT, SUBSYSTEM, VERSION, Files, frame, handle, opens, reads, removes, status


def ended(effects: list[SshEffect]) -> bool:
    """Whether the channel was closed toward the target, and the session was not."""
    assert not any(isinstance(effect, Malformed) for effect in effects)
    return any(isinstance(effect, SendTarget) and effect.payload == close(TARGET) for effect in effects)


def say(book: Playbook, payload: bytes, verdict: Allow | Deny) -> list[SshEffect]:
    """A client's bytes, and what comes when everything is answered so."""
    out, todo = [], list(book.relay.from_client(data(payload)))
    while todo:
        effect = todo.pop(0)
        out.append(effect)
        match effect:
            case AskCommand(number, command):
                todo += book.relay.answer(number, Decision(command, verdict))
            case IntendCommand(number, _):
                todo += book.relay.recorded(number)
    return out


def test_requests_without_answers_are_bounded() -> None:
    book = Files()
    for number in range(transfer.OUTSTANDING_LIMIT):
        stat = frame(sftp.STAT, u32(number) + string(b"/x"))
        assert not ended(book.relay.from_client(data(stat)))
        book.relay.from_target(adjust(len(stat)))
    assert ended(book.relay.from_client(data(frame(sftp.STAT, u32(10**6) + string(b"/x")))))


def test_open_files_are_bounded_and_the_channel_lives() -> None:
    book = Files()
    for number in range(files.OPEN_LIMIT):
        say(book, opens(number), Allow())
        book.relay.from_target(data(handle(number, b"%d" % number)))
        book.relay.from_target(adjust(len(opens(number))))
        book.relay.from_client(adjust(len(handle(number, b"%d" % number))))
    effects = book.relay.from_client(data(opens(10**6)))
    assert any(isinstance(effect, SendClient) and b"too many files are open" in effect.payload for effect in effects) and not ended(effects)


def test_refusals_behind_an_answer_that_never_ends_are_bounded() -> None:
    """A target that stops in the middle of a frame keeps the client's refusals waiting."""
    book = Files().with_file()
    say(book, reads(2, 0), Allow())
    book.relay.from_target(data(u32(100) + bytes([sftp.DATA]) + u32(2) + u32(91) + b"x"))
    for number in range(10, 10 + files.OWN_LIMIT):
        assert not ended(say(book, removes(number), Deny("no")))
    assert ended(say(book, removes(5000), Deny("no")))


def test_thousands_of_refusals_leave_nothing_behind() -> None:
    """Each gives its credit back; lines on standard error end after some."""
    book, window, lines = Files(), 2 << 20, 0
    for number in range(20_000):
        for effect in say(book, removes(number), Deny("no")):
            if isinstance(effect, SendClient) and effect.payload[0] == m.EXTENDED_DATA:
                lines += 1
            if isinstance(effect, SendClient) and effect.payload[0] in (m.DATA, m.EXTENDED_DATA):
                window -= len(m.read_data(effect.payload)[1])
        book.relay.from_client(adjust((2 << 20) - window))
        window = 2 << 20
    assert lines == files.LINES_LIMIT
    assert not ended(book.relay.from_client(data(frame(sftp.STAT, u32(1) + string(b"/x")))))


@pytest.mark.parametrize("answer", [
    status(9), frame(sftp.HANDLE, u32(1) + string(b"h")), u32(2**31) + b"\x65", u32(0) + b"\0", frame(sftp.STATUS, u32(2)),
    frame(sftp.HANDLE, u32(2) + u32(2**31)), frame(77, u32(2)), frame(sftp.DATA, u32(2) + string(b"x")),
])
def test_answers_that_fit_nothing_end_the_channel(answer: bytes) -> None:
    """The session goes on."""
    book = Files().with_file()
    say(book, frame(sftp.STAT, u32(2) + string(b"/x")), Allow())
    assert ended(book.relay.from_target(data(answer + bytes(20))))
    book.opened(gateway=1, client=8, target=43)


PIECES = st.lists(st.one_of(
    st.binary(max_size=12), st.builds(
        lambda kind, number, body: frame(kind, u32(number) + body),
        st.sampled_from([*range(1, 24), *range(101, 106), 200, 201]), st.integers(0, 4),
        st.lists(st.one_of(st.binary(max_size=6), st.binary(max_size=8).map(string), st.integers(0, 2**32 - 1).map(u32)), max_size=5).map(b"".join),
    ),
), max_size=20).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(PIECES, PIECES, st.lists(st.integers(1, 50), min_size=1, max_size=20), st.booleans())
def test_any_bytes_give_effects_and_end_one_channel_at_most(asked: bytes, answered: bytes, cuts: list[int], allow: bool) -> None:
    book = Playbook().running(SUBSYSTEM, "subsystem sftp")
    book.relay.from_client(data(INIT))
    book.relay.from_target(data(VERSION))
    at, step = 0, 0
    while at < max(len(asked), len(answered)):
        count = cuts[step % len(cuts)]
        for effect in say(book, asked[at:at + count] or b"\0", Allow() if allow else Deny("no")):
            assert not isinstance(effect, Malformed)
        for effect in book.relay.from_target(data(answered[at:at + count] or b"\0")):
            assert not isinstance(effect, Malformed)
        at, step = at + count, step + 1
    book.opened(gateway=1, client=CLIENT + 1, target=TARGET + 1)
