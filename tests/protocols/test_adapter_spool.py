"""A command whose values lie in a spool: recorded before it leaves, in its place, and forgotten whenever it never will."""

from __future__ import annotations

from hashlib import sha256

import pytest
from scene import READY, TERMINATE, Scene, query
from twisted.internet.defer import Deferred

from protocols.command import Command, Digest, Statement
from protocols.postgres import messages
from protocols.postgres.codec import encode
from protocols.postgres.intake import VALUES_LIMIT
from protocols.postgres.refusal import poison_parse
from protocols.postgres.relay import PostgresRelay
from protocols.spool import NoRoom
from protocols.verdict import Decision, Deny

VALUE = b"v" * (VALUES_LIMIT + 1000)
PARSE, SYNC = messages.Parse("", "SELECT $1").encode(), encode(b"S")
BIND = messages.Bind("", "", (), (VALUE,)).encode()
EXECUTE = messages.Execute("").encode()
PIECE = 100_000


class Spooling:
    """Spools in memory; `open_now` are those that nobody has closed."""

    def __init__(self) -> None:
        self.files: list[File] = []

    def open(self) -> File:
        self.files.append(File())
        return self.files[-1]

    @property
    def open_now(self) -> int:
        return sum(not file.closed for file in self.files)


class File:
    def __init__(self) -> None:
        self.data, self.closed, self.full, self.rotten = bytearray(), False, False, False

    def write(self, data: bytes) -> None:
        if self.full:
            raise NoRoom("no room here")
        self.data += data

    def read(self) -> bytes:
        if self.rotten:
            raise ValueError("a changed block")
        piece = bytes(self.data[:PIECE])
        del self.data[:PIECE]
        return piece

    def close(self) -> None:
        self.closed = True


class Long(Scene):
    """A session that has a spool."""

    def __init__(self) -> None:
        super().__init__()
        self.spools, self.commands = Spooling(), []
        self.adapter._relay = PostgresRelay(self.addons, {}, self.spools)
        decide = self.addons.decide

        def listening(command: Command, held: object) -> Decision | Deferred[Decision]:
            self.commands.append(command)
            return decide(command, held)

        self.addons.decide = listening  # type: ignore[method-assign]

    def say(self, data: bytes) -> None:
        for start in range(0, len(data), 65_536):
            self.adapter.client_data(data[start : start + 65_536])


def test_long_values_are_recorded_before_a_byte_of_them_leaves() -> None:
    """And what leaves is what was sent, in its place; addons and evidence have its digest."""
    scene = Long()
    scene.say(PARSE + BIND + EXECUTE + SYNC)
    assert scene.sent() == b"" and scene.spools.open_now == 1
    scene.adapter.durable(1)
    assert scene.sent() == PARSE
    scene.durable()
    assert scene.sent() == BIND + EXECUTE + SYNC and scene.spools.open_now == 0
    bound = scene.commands[1]
    assert isinstance(bound, Statement) and bound.parameters[0].value == Digest(len(VALUE), sha256(VALUE).digest())


def test_one_message_at_a_time_is_spooled_and_its_client_is_read_on_when_it_left() -> None:
    """Else a pipeline of them would fill the disk."""
    scene = Long()
    scene.say(PARSE + BIND)
    assert scene.client.paused
    scene.durable()
    assert not scene.client.paused and scene.sent() == PARSE + BIND


def test_a_target_that_is_slow_gets_it_as_it_reads_and_nothing_overtakes() -> None:
    scene = Long()
    scene.say(PARSE + BIND)
    scene.adapter._target_full(True)
    scene.durable()
    assert scene.sent() == b"", "not even what came before: a full target is full"
    scene.adapter.client_data(SYNC + query("SELECT 2"))
    scene.durable()
    assert scene.sent() == b"" and scene.adapter.busy
    scene.adapter._target_full(False)
    assert scene.sent() == PARSE + BIND + SYNC + query("SELECT 2") and scene.spools.open_now == 0
    assert not scene.client.paused


def test_refused_long_values_are_forgotten_and_the_session_goes_on() -> None:
    scene = Long()
    scene.say(messages.Parse("", "DROP $1").encode() + BIND + SYNC)
    assert scene.sent() == poison_parse(1) + SYNC, "skipped by us too, as the target skips"
    assert scene.spools.open_now == 0


def test_values_of_a_held_command_wait_with_it_and_go_when_it_is_cancelled() -> None:
    scene = Long()
    scene.say(messages.Parse("h", "SELECT $1").encode() + SYNC)
    scene.durable()
    scene.adapter.target_data(encode(b"1") + READY)
    scene.addons.decide = lambda command, held: scene.addons.held.append(command) or Deferred(refuse)  # type: ignore[method-assign]
    scene.say(messages.Bind("", "h", (), (VALUE,)).encode())
    assert scene.spools.open_now == 1 and not scene.client.paused, "its client is listened to"
    scene.adapter.cancel()
    assert scene.spools.open_now == 0
    scene.durable()
    assert scene.sent().endswith(poison_parse(2))


def refuse(asked: Deferred[Decision]) -> None:
    asked.callback(Decision(Statement("SELECT $1"), Deny("cancelled", "OST-304")))


def test_an_intent_that_is_not_recorded_sends_poison_instead_and_forgets_the_values() -> None:
    scene = Long()
    scene.say(PARSE + BIND + SYNC)
    scene.adapter.durable(1)
    assert scene.sent() == PARSE
    scene.adapter.refused(2, "grant spent")
    assert scene.sent() == poison_parse(2) + SYNC and scene.spools.open_now == 0 and not scene.client.paused
    scene = Long()
    scene.say(PARSE)
    scene.ledger.broken = True
    scene.say(BIND)
    scene.durable()
    assert scene.sent() == PARSE + poison_parse(2) and scene.spools.open_now == 0 and not scene.client.paused


def test_no_room_is_an_error_of_one_statement() -> None:
    """The rest of it is read past; the next is decided as ever."""
    scene = Long()
    scene.say(PARSE + BIND[:200_000])
    scene.spools.files[0].full = True
    scene.say(BIND[200_000:] + SYNC + query("SELECT 2"))
    scene.durable()
    assert scene.sent() == PARSE + poison_parse(2) + SYNC + query("SELECT 2") and scene.spools.open_now == 0
    assert scene.ledger.of("refuse") == [(2,)]


@pytest.mark.parametrize("end", ["client", "target", "waiting", "half"])
def test_however_a_session_ends_nothing_stays_spooled(end: str) -> None:
    scene = Long()
    if end == "half":
        scene.say(PARSE + BIND[:-1])
    else:
        scene.say(PARSE + BIND)
        scene.adapter._target_full(True)
        if end != "waiting":
            scene.durable()
    assert scene.spools.open_now == 1
    if end == "target":
        scene.adapter.target_lost()
    else:
        scene.adapter.client_lost()
    assert scene.spools.open_now == 0
    scene.adapter.target_lost()
    assert scene.endings


def test_what_was_said_before_goodbye_still_leaves() -> None:
    scene = Long()
    scene.say(PARSE + BIND + EXECUTE + SYNC + TERMINATE)
    scene.adapter._target_full(True)
    scene.durable()
    scene.adapter.client_lost()
    assert not scene.endings
    scene.adapter._target_full(False)
    assert scene.sent() == PARSE + BIND + EXECUTE + SYNC + TERMINATE
    scene.adapter.target_lost()
    assert scene.endings


def test_a_cancel_waits_until_the_values_have_left() -> None:
    """Before that the target has nothing to cancel."""
    scene = Long()
    scene.say(PARSE + BIND + EXECUTE + SYNC)
    scene.adapter._target_full(True)
    scene.durable()
    scene.adapter.cancel()
    assert scene.cancels == 0
    scene.adapter._target_full(False)
    assert scene.cancels == 1


def test_a_spool_that_cannot_be_read_ends_its_session() -> None:
    scene = Long()
    scene.say(PARSE + BIND)
    scene.spools.files[0].rotten = True
    scene.durable()
    assert scene.sent() == PARSE and scene.endings == ["internal error"] and scene.spools.open_now == 0
