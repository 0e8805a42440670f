"""The lean reactor carries bytes as Twisted's own does: all of them, in order, and an end that is heard."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from gateway.reactor import LeanReactor, end_of_turn

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def talk() -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(HERE / "lean_talk.py")], cwd=HERE.parent.parent, capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(HERE.parent.parent), "PATH": "/usr/bin:/bin"}, check=False,
    )
    assert run.returncode == 0 and not run.stderr, run.stderr
    return json.loads(run.stdout)


def test_every_byte_arrives_in_order_past_a_slow_reader(talk: dict[str, Any]) -> None:
    """What the kernel does not take at once waits its turn behind nothing that came later."""
    assert talk["reactor"] == "LeanReactor"
    assert talk["unix"] == {"bytes": 12 << 20, "sha256": talk["unix sent"]}


def test_a_reset_connection_is_heard_and_nothing_raises(talk: dict[str, Any]) -> None:
    assert talk["reset"] == "heard"


class Reader(FileDescriptor):
    """Reads what comes and says so."""

    def __init__(self, reactor: LeanReactor, connection: socket.socket, read: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._connection, self._read = connection, read

    def fileno(self) -> int:
        return self._connection.fileno()

    def doRead(self) -> None:
        self._connection.recv(100)
        self._read()


def test_the_end_of_a_turn_comes_once_and_after_all_that_can_be_read() -> None:
    """What fails there is told, and stops nobody; what is asked for outside of a turn, or there, gets a timer."""
    reactor = LeanReactor()
    end = end_of_turn(reactor)
    done: list[str] = []
    pairs = [socket.socketpair() for _ in "ab"]

    def ended() -> None:
        done.append("ended")
        end(lambda: done.append("the next turn's"))

    def fails() -> None:
        done.append("failed")
        raise ZeroDivisionError

    def read() -> None:
        done.append("read")
        end(fails if len(done) == 1 else ended)

    for ours, theirs in pairs:
        reactor.addReader(Reader(reactor, ours, read))
        theirs.send(b"x")
    failures: list[LogEvent] = []
    globalLogPublisher.addObserver(failures.append)
    try:
        reactor.doPoll(5)
        assert done == ["read", "read", "failed", "ended"]
        assert [event["log_failure"].type for event in failures if "log_failure" in event] == [ZeroDivisionError]
        end(lambda: done.append("a timer's"))
        reactor.runUntilCurrent()
        assert done[4:] == ["the next turn's", "a timer's"]
    finally:
        globalLogPublisher.removeObserver(failures.append)
        reactor.removeAll()
        for one in (*pairs[0], *pairs[1]):
            one.close()


def test_on_another_reactor_the_end_of_a_turn_is_a_timer() -> None:
    clock, done = Clock(), []
    end_of_turn(clock)(lambda: done.append(1))
    assert not done
    clock.advance(0)
    assert done == [1]


def test_what_the_reactor_relies_on_is_there() -> None:
    """Twisted's inside may change; this says where to look."""
    assert unix.Port.transport is unix.Server and hasattr(unix.Connector, "_makeTransport")
    assert EPollReactor.doPoll and hasattr(EPollReactor, "_doReadOrWrite")
