"""The lean reactor carries bytes as Twisted's own does: all of them, in order, and an end that is heard."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.error import ConnectionLost

from gateway.reactor import Eager

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def talk() -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(HERE / "lean_talk.py")], cwd=HERE.parent.parent, capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(HERE.parent.parent), "PATH": "/usr/bin:/bin"}, check=False,
    )
    assert run.returncode == 0 and not run.stderr, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_every_byte_arrives_in_order_past_a_slow_reader(talk: dict[str, Any], kind: str) -> None:
    """What the kernel does not take at once waits its turn behind nothing that came later."""
    assert talk["reactor"] == "LeanReactor"
    assert talk[kind] == {"bytes": 12 << 20, "sha256": talk[f"{kind} sent"]}


def test_a_reset_connection_is_heard_and_nothing_raises(talk: dict[str, Any]) -> None:
    assert talk["reset"] == "heard"


class Socket:
    """A transport's inside, by hand."""

    TLS, connected, disconnecting, _writeDisconnected, offset = False, True, False, False, 0

    def __init__(self, takes: object) -> None:
        self.takes, self.sent, self.queued = takes, b"", []
        self.dataBuffer, self._tempDataBuffer = b"", self.queued

    def writeSomeData(self, data: bytes) -> object:
        if isinstance(self.takes, int):
            self.sent += data[: self.takes]
            return min(self.takes, len(data))
        return self.takes

    def write(self, data: bytes) -> None:
        self.queued.append(data)


class Transport(Eager, Socket):
    pass


@pytest.mark.parametrize(("takes", "sent", "queued"), [
    (99, b"hello", []), (2, b"he", [b"llo"]), (0, b"", [b"hello"]), (ConnectionLost(), b"", [b"hello"]),
])
def test_what_an_early_write_leaves_goes_the_usual_way(takes: object, sent: bytes, queued: list[bytes]) -> None:
    """All, some, nothing, or an error that the usual way will meet again."""
    transport = Transport(takes)
    transport.write(b"hello")
    assert (transport.sent, transport.queued) == (sent, queued)


@pytest.mark.parametrize("state", [{"TLS": True}, {"connected": False}, {"disconnecting": True}, {"dataBuffer": b"x"}])
def test_nothing_is_written_early_when_something_waits_or_the_end_has_begun(state: dict[str, object]) -> None:
    transport = Transport(99)
    vars(transport).update(state)
    transport.write(b"hello")
    assert transport.sent == b"" and transport.queued == [b"hello"]


def test_what_the_reactor_relies_on_is_there() -> None:
    """Twisted's inside may change; this says where to look."""
    assert hasattr(tcp.Port, "_fromListeningDescriptor") and hasattr(tcp.Connector, "_makeTransport")
    assert hasattr(tcp.Connection, "TLS") and tcp.Port.transport is tcp.Server
