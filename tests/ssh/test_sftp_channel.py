"""SFTP through the relay: each operation asked and recorded, answers put between the target's, totals and digests, bounds."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings, strategies as st

from protocols.command import FileAction, FileOperation
from protocols.effects import Malformed
from protocols.ssh import messages as m, sftp
from protocols.ssh.effects import AskCommand, IntendCommand, SendClient, SendTarget
from protocols.ssh.messages import string, u32
from protocols.verdict import Allow, Decision, Deny
from tests.ssh.channels import (
    CLIENT, TARGET, Playbook, adjust, asks, close, data, eof, intends, pty, refuses, reports, request, runs, to_client, to_target, yes,
)

NO = Deny("not that file", "OST-203")
WORDS = "not that file [OST-203]"
SUBSYSTEM = request("subsystem", string(b"sftp"))


def frame(kind: int, body: bytes) -> bytes:
    return u32(1 + len(body)) + bytes([kind]) + body


INIT, VERSION = frame(sftp.INIT, u32(3)), frame(sftp.VERSION, u32(3))
NOTHING = u32(0)  # attributes


def opens(number: int, path: bytes = b"/etc/motd", flags: int = 1) -> bytes:
    return frame(sftp.OPEN, u32(number) + string(path) + u32(flags) + NOTHING)


def removes(number: int, path: bytes = b"/x") -> bytes:
    return frame(sftp.REMOVE, u32(number) + string(path))


def reads(number: int, offset: int, handle: bytes = b"h") -> bytes:
    return frame(sftp.READ, u32(number) + string(handle) + u32(0) + u32(offset) + u32(100))


def writes(number: int, offset: int, payload: bytes, handle: bytes = b"h") -> bytes:
    return frame(sftp.WRITE, u32(number) + string(handle) + u32(0) + u32(offset) + string(payload))


def closes(number: int, handle: bytes = b"h") -> bytes:
    return frame(sftp.CLOSE, u32(number) + string(handle))


def extended(number: int, name: str, *fields: bytes) -> bytes:
    return frame(sftp.EXTENDED, u32(number) + string(name.encode()) + b"".join(fields))


def handle(number: int, name: bytes = b"h") -> bytes:
    return frame(sftp.HANDLE, u32(number) + string(name))


def contents(number: int, payload: bytes) -> bytes:
    return frame(sftp.DATA, u32(number) + string(payload))


def status(number: int, code: int = sftp.OK) -> bytes:
    return sftp.status(number, code, "")


class Files(Playbook):
    """A playbook whose first channel speaks SFTP; lines are frames, not messages."""

    def __init__(self) -> None:
        super().__init__()
        self.running(SUBSYSTEM, "subsystem sftp")
        self.asks(INIT, up(INIT)).says_target(VERSION, down(VERSION))

    def asks(self, frames: bytes, *expected: tuple) -> Files:
        self.client(data(frames), *expected)
        return self

    def says_target(self, frames: bytes, *expected: tuple) -> Files:
        self.target(data(frames), *expected)
        return self

    def allowed(self, frames: bytes, number: int, text: str) -> Files:
        """Asked, allowed, recorded, sent."""
        self.asks(frames, asks(number, text)).verdict(number, Allow(), intends(number)).recorded(number, up(frames))
        return self

    def opened(self, *args, **kwargs) -> Files:  # of the channel, before ours
        super().opened(*args, **kwargs)
        return self

    def with_file(self, flags: int = 1, modes: str = "read") -> Files:
        """Command 2 opened /etc/motd as "h"."""
        return self.allowed(opens(1, flags=flags), 2, f"open /etc/motd for {modes}").says_target(handle(1), down(handle(1)))


def up(frames: bytes) -> tuple:
    return to_target(data(frames, TARGET))


def down(frames: bytes) -> tuple:
    return to_client(data(frames, CLIENT))


def refused(number: int, count: int, text: str, request: int = 1) -> list[tuple]:
    """What comes of a refused operation of this many bytes: credit, an answer, a line."""
    line = f"ostiary: {text}: {WORDS}\r\n".encode()
    return [
        refuses(number), to_client(adjust(count, CLIENT)),
        down(sftp.status(request, sftp.PERMISSION_DENIED, WORDS)), to_client(data(line, CLIENT, 1)),
    ]


def test_an_operation_is_asked_and_recorded_before_it_leaves_and_its_answer_is_its_outcome() -> None:
    book = Files().allowed(removes(7), 2, "remove /x").says_target(status(7), reports(2), down(status(7)))
    assert book.asked[2] == FileOperation(FileAction.REMOVE, b"/x", CLIENT)
    book.allowed(removes(8), 3, "remove /x").says_target(status(8, sftp.FAILURE), reports(3, "error"), down(status(8, sftp.FAILURE)))
    assert book.outcomes[3].facts["status"] == "4"


def test_a_refused_operation_is_answered_and_the_session_lives() -> None:
    """The target never hears of it; the client gets its credit back, and the next request passes."""
    stat = frame(sftp.LSTAT, u32(2) + string(b"/x"))
    (
        Files().asks(removes(1) + stat, asks(2, "remove /x")).verdict(2, NO, *refused(2, len(removes(1)), "remove /x"), up(stat))
        .target(data(frame(sftp.ATTRS, u32(2) + NOTHING)), down(frame(sftp.ATTRS, u32(2) + NOTHING)))
    )


def test_an_operation_that_cannot_be_recorded_is_refused_and_the_session_lives() -> None:
    words = "the command was not recorded, so it was not sent: the store is full [OST-801]; try again later"
    answer = sftp.status(1, sftp.PERMISSION_DENIED, words)
    (
        Files().asks(removes(1), asks(2, "remove /x")).verdict(2, Allow(), intends(2))
        .unrecorded(
            2, reports(2, "refused"), to_client(adjust(len(removes(1)), CLIENT)), down(answer),
            to_client(data(f"ostiary: remove /x: {words}\r\n".encode(), CLIENT, 1)),
        )
        .client(data(removes(1)), asks(3, "remove /x"))
    )


def test_a_refusal_waits_for_the_end_of_an_answer() -> None:
    """It is put between two frames of the target's, never into one."""
    answer = contents(2, b"0123456789")
    own = sftp.status(3, sftp.PERMISSION_DENIED, WORDS)
    line = f"ostiary: remove /x: {WORDS}\r\n".encode()
    (
        Files().with_file().asks(reads(2, 0), up(reads(2, 0))).says_target(answer[:20], down(answer[:20]))
        .asks(removes(3), asks(3, "remove /x"))
        .verdict(3, NO, refuses(3), to_client(adjust(len(removes(3)), CLIENT)), to_client(data(line, CLIENT, 1)))
        .target(data(answer[20:] + status(9)[:2]), down(answer[20:]), down(own))
    )


def test_what_was_read_and_written_is_the_outcome_of_the_opening() -> None:
    book = Files().with_file(3, "read, write")
    book.asks(reads(2, 0) + reads(3, 4), up(reads(2, 0) + reads(3, 4)))
    book.says_target(contents(2, b"abcd") + contents(3, b"ef"), down(contents(2, b"abcd") + contents(3, b"ef")))
    book.asks(writes(4, 0, b"xyz"), up(writes(4, 0, b"xyz"))).says_target(status(4), down(status(4)))
    book.asks(closes(5), up(closes(5))).says_target(status(5), reports(2), down(status(5)))
    assert dict(book.outcomes[2].facts) == {
        "read_bytes": "6", "read_sha256": hashlib.sha256(b"abcdef").hexdigest(),
        "written_bytes": "3", "written_sha256": hashlib.sha256(b"xyz").hexdigest(),
    }


def test_what_was_not_read_from_one_end_to_the_other_has_no_digest() -> None:
    book = Files().with_file().asks(reads(2, 10), up(reads(2, 10))).says_target(contents(2, b"abcd"), down(contents(2, b"abcd")))
    book.asks(closes(5), up(closes(5))).says_target(status(5), reports(2), down(status(5)))
    assert dict(book.outcomes[2].facts) == {"read_bytes": "4"}


def test_what_is_open_when_the_channel_ends_is_reported() -> None:
    book = Files().with_file(2, "write").asks(writes(2, 0, b"xyz"), up(writes(2, 0, b"xyz")))
    book.target(close(), to_client(close(CLIENT)), reports(2), reports(1, "unknown"))
    assert book.outcomes[2].facts["written_bytes"] == "3"


@pytest.mark.parametrize(("frames", "text"), [
    (opens(1, b"/a", 26), "open /a for write, create, truncate"),
    (opens(1, b"/a", 8), "open /a for read, create"), (opens(1, b"/a", 0), "open /a for read"), (opens(1, b"/a", 65), "open /a for read, 0x40"),
    (frame(sftp.OPEN, u32(1) + string(b"/a") + u32(10) + u32(4) + u32(0o600)), "open /a for write, create mode=600"),
    (frame(sftp.RENAME, u32(1) + string(b"/a") + string(b"/b")), "rename /a to /b"),
    (frame(sftp.SYMLINK, u32(1) + string(b"/a") + string(b"/b")), "symlink /a to /b"),
    (frame(sftp.MKDIR, u32(1) + string(b"/a") + NOTHING), "mkdir /a"),
    (frame(sftp.RMDIR, u32(1) + string(b"/a")), "rmdir /a"),
    (frame(sftp.OPENDIR, u32(1) + string(b"/a")), "list /a"),
    (frame(sftp.SETSTAT, u32(1) + string(b"/a") + u32(1) + u32(1) + u32(0)), "setstat /a size=4294967296"),
    (frame(sftp.SETSTAT, u32(1) + string(b"/a") + u32(2) + u32(5) + u32(6)), "setstat /a owner=5 group=6"),
    (extended(1, "posix-rename@openssh.com", string(b"/a"), string(b"/b")), "rename /a to /b"),
    (extended(1, "hardlink@openssh.com", string(b"/a"), string(b"/b")), "hardlink /a to /b"),
    (extended(1, "lsetstat@openssh.com", string(b"/a"), u32(4), u32(0o777)), "setstat /a mode=777"),
])
def test_each_kind_of_operation_is_asked(frames: bytes, text: str) -> None:
    Files().allowed(frames, 2, text)


def test_operations_on_handles_are_asked_by_what_was_opened() -> None:
    set_mode = frame(sftp.FSETSTAT, u32(2) + string(b"h") + u32(4) + u32(0o777))
    Files().with_file().allowed(set_mode, 3, "setstat /etc/motd mode=777")
    copies = extended(3, "copy-data", string(b"h"), bytes(16), string(b"g"), bytes(8))
    (
        Files().with_file().allowed(opens(2, b"/b", 2), 3, "open /b for write").says_target(handle(2, b"g"), down(handle(2, b"g")))
        .allowed(copies, 4, "copy /etc/motd to /b")
    )


def answered(frames: bytes, code: int, why: str, number: int = 1) -> None:
    """The gateway answers without asking anybody."""
    Files().asks(frames, to_client(adjust(len(frames), CLIENT)), down(sftp.status(number, code, why)))


@pytest.mark.parametrize("name", ["check-file-name", "vendor-id", "statvfs", "posix-rename@example.com"])
def test_unknown_extensions_are_refused_by_name(name: str) -> None:
    answered(extended(1, name, string(b"/a")), sftp.OP_UNSUPPORTED, f"{name} is not known here")


def test_requests_of_other_versions_are_refused() -> None:
    answered(frame(21, u32(1) + string(b"/a") + string(b"/b") + b"\1"), sftp.OP_UNSUPPORTED, "request 21 is not known here")


@pytest.mark.parametrize("frames", [reads(1, 0), closes(1), frame(sftp.FSTAT, u32(1) + string(b"h")), frame(sftp.READDIR, u32(1) + string(b"h"))])
def test_a_handle_that_is_not_open_is_refused(frames: bytes) -> None:
    answered(frames, sftp.FAILURE, "a handle that is not open")


def test_a_closed_handle_names_nothing_even_before_the_target_answers() -> None:
    """The target may give the same one to the next file; what is asked about it must not be judged as the last."""
    touch = frame(sftp.FSETSTAT, u32(3) + string(b"h") + NOTHING)
    Files().with_file().asks(closes(2), up(closes(2))).asks(
        touch, to_client(adjust(len(touch), CLIENT)), down(sftp.status(3, sftp.FAILURE, "a handle that is not open")),
    )


def test_a_refused_write_is_taken_out_whole_though_it_comes_in_pieces() -> None:
    whole = writes(1, 0, bytes(5000), b"none")
    (
        Files().asks(
            whole[:1000], to_client(adjust(281, CLIENT)), down(sftp.status(1, sftp.FAILURE, "a handle that is not open")),
            to_client(adjust(719, CLIENT)),
        )
        .asks(whole[1000:4000], to_client(adjust(3000, CLIENT)))
        .asks(whole[4000:] + removes(2), to_client(adjust(len(whole) - 4000, CLIENT)), asks(2, "remove /x"))
    )


@pytest.mark.parametrize("frames", [
    frame(sftp.REMOVE, u32(1) + u32(50) + b"short"), frame(sftp.REMOVE, u32(1) + string(b"/a") + b"more"),
    frame(sftp.REMOVE, u32(1) + string(b"/a\0/b")), frame(sftp.REMOVE, u32(1) + string(bytes(5000))),
    frame(sftp.SETSTAT, u32(1) + string(b"/a") + u32(0x40)),
])
def test_what_servers_might_read_otherwise_is_refused(frames: bytes) -> None:
    book = Files()
    effects = book.relay.from_client(data(frames))
    assert isinstance(effects[0], SendClient) and isinstance(effects[1], SendClient) and len(effects) == 2
    assert u32(sftp.BAD_MESSAGE) in effects[1].payload


def test_a_client_of_a_later_version_is_made_to_speak_this_one() -> None:
    book = Playbook().running(SUBSYSTEM, "subsystem sftp")
    book.client(data(frame(sftp.INIT, u32(6))), to_target(data(INIT, TARGET)))


@pytest.mark.parametrize("frames", [
    INIT, removes(1)[:4] + b"\xff" * 4, u32(0) + b"x", u32(2**31) + b"\3", u32(100_000) + bytes([sftp.REMOVE]),
    reads(1, 0)[:4] + bytes([sftp.READ]) + b"\0",
])
def test_what_cannot_be_read_ends_its_channel_and_no_other(frames: bytes) -> None:
    book = Files()
    effects = book.relay.from_client(data(frames + bytes(200)))
    assert not any(isinstance(effect, Malformed) for effect in effects)
    assert to_target(close(TARGET))[1] in [effect.payload for effect in effects if isinstance(effect, SendTarget)] or not effects
    book.opened(gateway=1, client=8, target=43)


def test_two_requests_of_one_number_end_the_channel() -> None:
    """Whose answer it is could not be told."""
    book = Files().asks(frame(sftp.LSTAT, u32(1) + string(b"/x")), up(frame(sftp.LSTAT, u32(1) + string(b"/x"))))
    why = b"ostiary: this channel's SFTP cannot be read, so it ends: two requests of SFTP with one number [OST-706]\r\n"
    book.asks(removes(1), to_client(data(why, CLIENT, 1)), to_client(close(CLIENT)), to_target(close(TARGET)))


def test_an_answer_to_nothing_ends_the_channel() -> None:
    why = b"ostiary: this channel's SFTP cannot be read, so it ends: an answer of SFTP to nothing [OST-706]\r\n"
    Files().says_target(status(9), to_client(data(why, CLIENT, 1)), to_client(close(CLIENT)), to_target(close(TARGET)))


def test_while_an_operation_is_held_what_follows_waits_and_a_closed_channel_withdraws_it() -> None:
    (
        Files().asks(removes(1), asks(2, "remove /x")).asks(removes(2)).client(eof())
        .verdict(2, Allow(), intends(2), asks(3, "remove /x"))
        .client(close(), ("withdraws", 3)).recorded(2, up(removes(1)), to_target(close(TARGET)))
    )


def test_a_command_line_that_turns_out_to_be_sftp_is_read_as_such() -> None:
    """Whatever program it starts; the client's first bytes decide, in any pieces."""
    book = Playbook().running(runs(b"sudo /usr/lib/sftp-server"), "exec sudo /usr/lib/sftp-server")
    later = frame(sftp.INIT, u32(6))
    book.client(data(later[:3]), to_target(data(INIT[:3], TARGET))).client(data(later[3:6]), to_target(data(INIT[3:5], TARGET)))
    book.client(data(later[6:]), to_target(data(INIT[5:], TARGET)))
    book.target(data(VERSION), to_client(data(VERSION, CLIENT))).client(data(removes(1)), asks(2, "remove /x"))


LONG = frame(sftp.INIT, u32(3) + b"x")


def test_an_init_of_another_length_is_one_where_the_line_names_a_server() -> None:
    """OpenSSH's server takes it; elsewhere it may be any file's beginning."""
    line = runs(b"/usr/lib/sftp-server")
    book = Playbook().running(line, "exec /usr/lib/sftp-server").client(data(LONG), to_target(data(LONG[:5], TARGET)), to_target(data(LONG[5:], TARGET)))
    book.target(data(VERSION), to_client(data(VERSION, CLIENT))).client(data(removes(1)), asks(2, "remove /x"))
    Playbook().running(runs(b"cat >x.ico"), "exec cat >x.ico").client(data(LONG + removes(1)), to_target(data(LONG + removes(1), TARGET)))


def test_any_subsystem_may_speak_sftp() -> None:
    other = request("subsystem", string(b"files"))
    book = Playbook().running(other, "subsystem files").client(data(INIT), to_target(data(INIT[:5], TARGET)), to_target(data(INIT[5:], TARGET)))
    book.client(data(removes(1)), asks(2, "remove /x"))


def test_a_terminal_hides_no_sftp() -> None:
    """Its modes can be such that it carries any bytes."""
    terminal = pty()
    book = Playbook().opened().client(terminal, to_target(m.addressed(terminal, TARGET))).target(yes(), to_client(yes(CLIENT)))
    book.client(SUBSYSTEM, asks(1, "subsystem sftp")).verdict(1, Allow(), intends(1))
    book.recorded(1, to_target(m.addressed(SUBSYSTEM, TARGET))).client(data(INIT), to_target(data(INIT, TARGET)))
    book.client(data(removes(1)), asks(2, "remove /x"))


def test_a_client_has_no_second_stream() -> None:
    """Nothing passes beside what is read: it would be in nobody's record."""
    Files().client(data(b"x", stream=1), to_client(adjust(1, CLIENT)))


def test_input_that_only_begins_like_sftp_is_not_kept_back() -> None:
    """scp's client says one NUL and waits for the target."""
    book = Playbook().running(runs(b"scp -f x"), "exec scp -f x").client(data(b"\0"), to_target(data(b"\0", TARGET)))
    book.client(data(b"\0tar"), to_target(data(b"\0tar", TARGET))).client(data(removes(1)), to_target(data(removes(1), TARGET)))
    book.client(eof(), to_target(eof(TARGET)))


# -- a client and a server in random pieces ------------------------------------------------


class Server:
    """What a target would answer, and what it was asked."""

    def __init__(self) -> None:
        self.buffer, self.asked, self.files = b"", [], 0

    def feed(self, payload: bytes) -> bytes:
        self.buffer += payload
        out = b""
        while len(self.buffer) >= 4 and len(self.buffer) >= 4 + int.from_bytes(self.buffer[:4], "big"):
            length = int.from_bytes(self.buffer[:4], "big")
            body, self.buffer = self.buffer[4:4 + length], self.buffer[4 + length:]
            out += self.answer(body[0], body[1:])
        return out

    def answer(self, kind: int, body: bytes) -> bytes:
        if kind == sftp.INIT:
            return VERSION
        self.asked.append((kind, body))
        number = int.from_bytes(body[:4], "big")
        if kind == sftp.OPEN:
            self.files += 1
            return handle(number, b"%d" % self.files)
        return contents(number, b"D" * 50) if kind == sftp.READ else status(number)


def _request(number: int, what: str, path: bytes) -> bytes:
    return {
        "remove": lambda: removes(number, path), "open": lambda: opens(number, path), "read": lambda: reads(number, 0, b"1"),
        "rename": lambda: frame(sftp.RENAME, u32(number) + string(path) + string(b"/b")),
        "stat": lambda: frame(sftp.STAT, u32(number) + string(path)), "write": lambda: writes(number, 0, b"w" * 300, b"1"),
        "unknown": lambda: extended(number, "x@example.com"),
    }[what]()


def _answered(heard: bytes) -> set[int]:
    """The requests that a stream of whole answers is to, each once."""
    numbers, position = [], 0
    while position < len(heard):
        length, kind = int.from_bytes(heard[position:position + 4], "big"), heard[position + 4]
        if kind != sftp.VERSION:
            numbers.append(int.from_bytes(heard[position + 5:position + 9], "big"))
        position += 4 + length
    assert position == len(heard) and len(set(numbers)) == len(numbers), "an answer is cut, or came twice"
    return set(numbers)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["remove", "rename", "open", "stat", "read", "write", "unknown"]), st.booleans()), max_size=25),
    st.lists(st.integers(1, 200), min_size=1, max_size=30), st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(300, 5000),
)
def test_refused_and_allowed_operations_in_any_pieces(
    wants: list[tuple[str, bool]], pieces: list[int], answers: list[int], window: int
) -> None:
    """The target gets the allowed requests whole and in order; the client one whole answer to each request; no credit is lost."""
    book = Playbook()
    book.opened(window=window)
    server, to_server, to_us, credit = Server(), bytearray(), bytearray(), {"up": window, "down": window}
    stream = INIT + b"".join(_request(number, what, b"/yes" if allow else b"/no") for number, (what, allow) in enumerate(wants, 1))
    allowed = {
        number for number, (what, allow) in enumerate(wants, 1) if what in ("remove", "open", "rename") and allow or what == "stat"
    }

    def do(effects: list) -> None:
        for effect in effects:
            match effect:
                case AskCommand(number, command):
                    no = isinstance(command, FileOperation) and command.file == b"/no"
                    do(book.relay.answer(number, Decision(command, NO if no else Allow())))
                case IntendCommand(number, _):
                    do(book.relay.recorded(number))
                case SendTarget(payload) if payload[0] == m.DATA:
                    took = m.read_data(payload)[1]
                    to_us.extend(server.feed(took))
                    do(book.relay.from_target(adjust(len(took))))
                case SendClient(payload) if payload[0] in (m.DATA, m.EXTENDED_DATA):
                    kind, took = m.read_data(payload)
                    to_server.extend(took if not kind else b"")
                    do(book.relay.from_client(adjust(len(took))))
                case SendClient(payload) if payload[0] == m.WINDOW_ADJUST:
                    credit["up"] += m.read_adjust(payload)
                case SendTarget(payload) if payload[0] == m.WINDOW_ADJUST:
                    credit["down"] += m.read_adjust(payload)
                case Malformed(_, why):
                    raise AssertionError(why)

    def pump(step: int) -> None:
        while to_us:
            count = min(answers[step % len(answers)], len(to_us), credit["down"])
            piece = bytes(to_us[:count])
            del to_us[:count]
            credit["down"] -= count
            do(book.relay.from_target(data(piece)))
            step += 1

    do(book.relay.from_client(SUBSYSTEM))
    at, step = 0, 0
    while at < len(stream):
        count = min(pieces[step % len(pieces)], credit["up"], len(stream) - at)
        assert count, "credit was lost"
        credit["up"] -= count
        do(book.relay.from_client(data(stream[at:at + count])))
        at, step = at + count, step + 1
        if step % 3 == 0:
            pump(step)
    pump(step)
    assert credit == {"up": window, "down": window}
    sent = [int.from_bytes(body[:4], "big") for _, body in server.asked]
    assert sent == sorted(sent) and allowed <= set(sent)
    assert not any(body[8:11] == b"/no" for kind, body in server.asked if kind != sftp.STAT)
    assert _answered(to_server) == set(range(1, len(wants) + 1))
