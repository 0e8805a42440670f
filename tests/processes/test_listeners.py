"""Endpoint strings to bound sockets: what is accepted, what is refused by name, and what is adopted."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from gateway.listeners import CannotListen, Inherited, adopt, bind


def test_bound_and_listening_but_not_accepting() -> None:
    """A client waits in the kernel's queue: connected, and not refused."""
    with bind("tcp:0:interface=127.0.0.1") as bound:
        with socket.create_connection(bound.getsockname(), timeout=5) as client:
            assert client.getpeername() == bound.getsockname()
        assert not bound.getblocking()


def test_ipv6() -> None:
    """The form that has colons of its own."""
    with bind("tcp6:0:interface=\\:\\:1") as six:
        assert six.family == socket.AF_INET6


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("tcp", "no endpoint"),
        ("tcp:notaport", "no endpoint"),
        ("carrier-pigeon:6432", "use tcp, tcp6, systemd"),
        ("ssl:6432:privateKey=k.pem", "use tcp, tcp6, systemd"),
        ("tcp:6432:interfaec=127.0.0.1", "no endpoint"),
        ("tcp:0:interface=203.0.113.1", "cannot be bound"),
        ("unix:/tmp/gate.sock", "use tcp, tcp6, systemd"),
        ("stdio:", "use tcp, tcp6, systemd"),
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
        with pytest.raises(CannotListen, match="in use; stop what listens there .*make run.* or write another port"):
            bind(f"tcp:{first.getsockname()[1]}:interface=127.0.0.1")


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
