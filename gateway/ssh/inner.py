"""
The connection inside of one that jumps: the gateway answers as the target, with a certificate for the name it was asked by.

It is a stranger's as any other, but for where it leads and who has to prove themselves: that was settled outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.ssh.doors import Door
from gateway.ssh.entrance import Entrance, House
from gateway.ssh.sides import ServerLeg
from protocols.ssh.certificate import certified


class Inner(Entrance):
    """In a `Passage`."""

    def __init__(self, gate: House, peer: str, door: Door, certificates: Mapping[bytes, bytes], jump: str, given: str) -> None:
        """
        :param certificates: to show, by kind of key. :param jump: id of the connection that it is in.
        :param given: what was given there as a second step, which need not be given again: a code is good once.
        """
        super().__init__(gate, peer)
        self.door, self.certificates, self.given = door, certificates, given
        self.more = {"jump": door.host, "jump_id": jump}
        shown = [name for name in gate.algorithms if (b"ssh-rsa" if name.startswith(b"rsa-") else name) in certificates]
        self.supportedPublicKeys = [certified(name.decode()).encode() for name in shown] + gate.algorithms

    def makeConnection(self, transport: Any) -> None:
        """A passage is no socket: there is no `Line` to take it over."""
        ServerLeg.makeConnection(self, transport)

    def tuned(self) -> None:
        """Nor are there options to set."""
