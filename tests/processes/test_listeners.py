"""Endpoint strings to bound sockets: what is accepted, what is refused by name, and what is adopted."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from gateway.listeners import CannotListen, Inherited, adopt, bind, bind_unix, close_all


def test_bound_and_listening_but_not_accepting() -> None:
    """A client waits in the kernel's queue: connected, and not refused."""
    with bind("tcp:0:interface=127.0.0.1") as bound:
        with socket.create_connection(bound.getsockname(), timeout=5) as client:
            assert client.getpeername() == bound.getsockname()
        assert not bound.getblocking()


def test_ipv6_and_unix(tmp_path: Path) -> None:
    """Both forms that are no IPv4."""
    with bind("tcp6:0:interface=\\:\\:1") as six:
        assert six.family == socket.AF_INET6
    with bind(f"unix:{tmp_path}/gate:mode=660") as local:
        assert local.family == socket.AF_UNIX
        assert stat.S_IMODE(os.stat(tmp_path / "gate").st_mode) == 0o660


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("tcp", "no endpoint"),
        ("tcp:notaport", "no endpoint"),
        ("carrier-pigeon:6432", "use tcp, tcp6, unix, systemd"),
        ("ssl:6432:privateKey=k.pem", "use tcp, tcp6, unix, systemd"),
        ("tcp:6432:interfaec=127.0.0.1", "no endpoint"),
        ("tcp:0:interface=203.0.113.1", "cannot be bound"),
        ("stdio:", "use tcp, tcp6, unix, systemd"),
    ],
)
def test_what_is_wrong_is_said(endpoint: str, says: str) -> None:
    """The text names the string and the mend."""
    with pytest.raises(CannotListen) as caught:
        bind(endpoint)
    assert says in str(caught.value) and endpoint in str(caught.value)


def test_a_port_that_is_taken() -> None:
    """Another process has it."""
    with bind("tcp:0:interface=127.0.0.1") as first:
        with pytest.raises(CannotListen, match="in use"):
            bind(f"tcp:{first.getsockname()[1]}:interface=127.0.0.1")


def test_own_sockets_are_private_and_replace_the_dead(tmp_path: Path) -> None:
    """Mode 0600; what a killed process left does not stop its successor; a file that is no socket stays."""
    path = tmp_path / "notary.sock"
    bind_unix(str(path)).close()
    with bind_unix(str(path)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    path.unlink()
    path.write_text("precious")
    with pytest.raises(OSError):
        bind_unix(str(path))
    assert path.read_text() == "precious"


def test_closing_removes_the_file(tmp_path: Path) -> None:
    """A UNIX socket's name goes with it."""
    path = tmp_path / "s"
    close_all([bind_unix(str(path))])
    assert not path.exists()


@pytest_twisted.ensureDeferred
async def test_an_adopted_socket_accepts() -> None:
    """The port takes the descriptor over and serves who waited."""
    bound = bind("tcp:0:interface=127.0.0.1")
    client = socket.create_connection(bound.getsockname(), timeout=5)
    came: Deferred[Any] = Deferred()

    class Door(Protocol):
        def connectionMade(self) -> None:
            self.transport.loseConnection()

        def connectionLost(self, reason: object) -> None:
            came.callback(self)

    inherited = Inherited(bound.detach(), socket.AF_INET)
    port = adopt(reactor, inherited, Factory.forProtocol(Door))
    await came
    await port.stopListening()
    client.close()
    with pytest.raises(OSError):
        os.fstat(inherited.fd)
