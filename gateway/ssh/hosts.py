"""
The gateway's own host certificates, which clients that jump are shown: one for each name of a target, asked of control.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from twisted.conch.ssh.keys import Key
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from gateway.control.client import ControlClient
from gateway.control.store import Value


@dataclass(frozen=True, slots=True)
class _Made:
    """Of one name; by kind of key."""

    certificates: Mapping[bytes, bytes]
    renewed: float  # from when on others are asked for


class Hosts:
    """Keeps them for half of their time."""

    def __init__(self, keys: Iterable[Key], control: ControlClient, clock: IReactorTime) -> None:
        """
        :param keys: the gateway's host keys.
        """
        self._blobs = {key.sshType(): key.public().blob() for key in keys}
        self._control, self._clock = control, clock
        self._made: dict[str, _Made] = {}

    def certificates(self, name: str) -> Deferred[Mapping[bytes, bytes]]:
        """For a name or an address of a registered target. Fails with ControlError; cancelling it is harmless."""
        made = self._made.get(name)
        if made is not None and self._clock.seconds() < made.renewed:
            return succeed(made.certificates)
        asked = [self._control.ssh_host_certificate(name, blob) for blob in self._blobs.values()]
        return gatherResults(asked, consumeErrors=True).addCallbacks(self._keep, _first, callbackArgs=(name,))

    def _keep(self, answers: list[Value], name: str) -> Mapping[bytes, bytes]:
        certificates = {kind: answer["certificate"] for kind, answer in zip(self._blobs, answers, strict=True)}
        now = self._clock.seconds()
        self._made[name] = _Made(MappingProxyType(certificates), (now + min(answer["expires"] for answer in answers)) / 2)
        return self._made[name].certificates


def _first(failure: Failure) -> None:
    """Why, out of the list's own error."""
    inner = getattr(failure.value, "subFailure", failure)
    inner.raiseException()
