"""
Where an SSH client comes in: Conch's factory, who may stand at its door, and what answers inside of those that jump.

Whoever is not logged in is a stranger: bounded in time, in number, and in number per address, also inside.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

from twisted.conch.ssh.factory import SSHFactory

from gateway.config import Listen
from gateway.house import Worker
from gateway.ssh.doors import Door
from gateway.ssh.entrance import Entrance
from gateway.ssh.hosts import Hosts
from gateway.ssh.inner import Inner
from gateway.ssh.jump import Jump, Jumps
from gateway.ssh.keys import algorithms, private
from gateway.ssh.login import Login, Proved
from protocols.session import Identity
from protocols.ssh.auth import CODE

ENTRANCES = 1024
"""Connections that have not logged in, per worker. One more closes the one that has waited longest."""

FROM_ONE_ADDRESS = 128
"""Of them from one address; one more is closed at once, so that nobody alone pushes all others out."""


class Gate(SSHFactory):
    """One `[[listen]]` for SSH."""

    noisy = False

    def __init__(self, listen: Listen, worker: Worker) -> None:
        """
        :raises OSError: a host key cannot be read.
        :raises NoKey: it is none.
        """
        self.listen, self.worker = listen, worker
        keys = [private(file.read_bytes()) for file in listen.host_keys]
        self.privateKeys = {key.sshType(): key for key in keys}
        self.publicKeys = {kind: key.public() for kind, key in self.privateKeys.items()}
        self.primes = None
        self.algorithms = [name for key in keys for name in algorithms(key)]
        self.hosts, self._jumps = Hosts(keys, worker.control, worker.reactor), Jumps()
        self._entrances: OrderedDict[Entrance, None] = OrderedDict()
        self._from: Counter[str] = Counter()

    def buildProtocol(self, addr: Any) -> Entrance:
        entrance = Entrance(self, f"{addr.host}:{addr.port}" if hasattr(addr, "host") else "local")
        entrance.factory = self
        return entrance

    def getService(self, transport: Entrance, service: bytes) -> Any:
        """Conch asks which service a client may have: the login, once."""
        return transport.login if service == Login.name else None

    def entered(self, entrance: Entrance) -> bool:
        """Someone is at the door, and may be; who has stood there longest makes room."""
        if self._from[entrance.address] >= FROM_ONE_ADDRESS:
            return False
        self._entrances[entrance] = None
        self._from[entrance.address] += 1
        if len(self._entrances) > ENTRANCES:
            next(iter(self._entrances)).refuse("OST-630", "too many connections wait to log in")
        return True

    def left(self, entrance: Entrance) -> None:
        """Logged in, or gone."""
        if self._entrances.pop(entrance, entrance) is None:
            self._from[entrance.address] -= 1
            if not self._from[entrance.address]:
                del self._from[entrance.address]

    def jump(self, entrance: Entrance, identity: Identity, proof: Proved, id: str) -> Jump | None:
        """For who named no target; None where too many do."""
        if not self._jumps.enter(identity.subject):
            return None

        def inside(door: Door, certificates: Mapping[bytes, bytes]) -> Inner:
            inner = Inner(self, entrance.peer, door, certificates, id, f"{CODE} of the jump" if proof["second"] else "")
            inner.factory = self
            return inner

        def over(why: str) -> None:
            self._jumps.leave(identity.subject)
            entrance.left(id, why)

        return Jump(
            self.worker, entrance, entrance.peer, identity, proof.get("certificate"), id=id, token=proof["token"], inside=inside,
            certificates=self.hosts.certificates, broken=entrance.malformed, over=over,
        )


def factory_for(listen: Listen, worker: Worker) -> Gate:
    """The gate of one `[[listen]]`."""
    return Gate(listen, worker)
