"""Two legs in memory, a client's and a server's, each with a transport that only remembers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.service import SSHService
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from gateway.ssh.keys import algorithms
from gateway.ssh.sides import ClientLeg, ServerLeg

UNCONNECTED = socket.socket()
HOST = Key(Ed25519PrivateKey.generate())
HOST_ECDSA = Key(generate_private_key(SECP256R1()))


class Wire(StringTransport):
    """What a TCP transport has besides."""

    disconnected = False

    def write(self, data: bytes | memoryview) -> None:
        super().write(bytes(data))

    def setTcpNoDelay(self, on: bool) -> None: ...
    def setTcpKeepAlive(self, on: bool) -> None: ...

    def getHandle(self) -> socket.socket:
        """Of no connection; it can be set like one."""
        return UNCONNECTED

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.tap = producer

    def unregisterProducer(self) -> None: ...

    def loseConnection(self) -> None:
        self.disconnected = True

    abortConnection = loseConnection

    def take(self) -> bytes:
        data = self.value()
        self.clear()
        return data


def lend(leg: Any, data: bytes) -> None:
    """As the wire: what was read is others' as soon as the leg has returned."""
    room = bytearray(data)
    leg.dataReceived(memoryview(room))
    room[:] = b"\xa5" * len(room)


class Login(SSHService):
    """Lets everybody in at once."""

    name = b"ssh-userauth"


class _Server(ServerLeg):
    def secured(self) -> None:
        self.was_secured = True


class _Client(ClientLeg):
    def secured(self) -> None:
        self.was_secured = True


class _Factory:
    privateKeys = {key.sshType(): key for key in (HOST, HOST_ECDSA)}
    publicKeys = {kind: key.public() for kind, key in privateKeys.items()}

    def getService(self, transport: object, name: bytes) -> Callable[[], SSHService] | None:
        return Login if name == Login.name else None


class Pair:
    """
    :ivar told: what a leg was told of its peer: (side, why).
    :ivar got: payloads of the connection layer, by the side that heard them.
    """

    def __init__(self, pinned: frozenset[bytes] | None = None, **offers: tuple[str, ...]) -> None:
        self.clock, self.told, self.got = Clock(), [], {"client": [], "server": []}
        self.server, self.client = _Server(), _Client(frozenset({HOST.public().blob()}) if pinned is None else pinned)
        self.server.factory = _Factory()
        self.server.supportedPublicKeys = [name for key in (HOST, HOST_ECDSA) for name in algorithms(key)]
        self.client.supportedPublicKeys = [name for key in (HOST, HOST_ECDSA) for name in algorithms(key)]
        for name, values in offers.items():
            setattr(self.client, name, [value.encode() for value in values])
        for side, leg in (("client", self.client), ("server", self.server)):
            leg.reactor = self.clock
            leg.on_broken = lambda why, side=side: self.told.append((side, why))
            leg.makeConnection(Wire())
        self.client_wire, self.server_wire = self.client.transport, self.server.transport

    def pump(self, cut: int = 0) -> None:
        """Carry bytes until nobody says anything more; `cut`: so many at once."""
        while True:
            up, down = self.client_wire.take(), self.server_wire.take()
            if not up and not down:
                return
            for leg, data in ((self.server, up), (self.client, down)):
                for at in range(0, len(data), cut or len(data) or 1):
                    lend(leg, data[at:at + (cut or len(data))])

    def secured(self) -> Pair:
        self.pump()
        assert self.server.was_secured and self.client.was_secured, self.told
        return self

    def logged_in(self) -> Pair:
        """Past the login on both sides."""
        self.secured()
        for side, leg in (("client", self.client), ("server", self.server)):
            leg.on_payload = self.got[side].append
            leg.authenticated()
        return self
