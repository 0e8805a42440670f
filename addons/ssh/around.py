"""
Forwards that would go around a registered target's own listener, where its questions and its record are.

Every spelling of an address counts, and what a name leads to is looked up here, as the target would. The target has the last word on
what a name means to it, so where this side cannot tell, it is refused unless a rule has that very name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from protocols.command import Forward, ForwardKind
from protocols.session import Session, Target
from protocols.verdict import Deny

from addons.needs import Names
from addons.ssh.hosts import LOOPBACK, canonical, is_address

CODE = "OST-212"
_UNREADABLE = Deny("The host of this connection cannot be read.", CODE, hint="write its name, or its address in the usual way")
_UNSURE = Deny(
    "It is not known whether this leads to a registered target.", CODE,
    hint="use an address, or ask the gateway's operator for a rule with this very name among its destinations",
)


class Around:
    """Judges forwards by where they lead."""

    def __init__(self, registry: Iterable[Target], names: Names | None) -> None:
        """
        :param names: what names lead to; None: names are only names.
        """
        self._registry, self._names = registry, names

    def refuses(self, session: Session, command: Forward, *, named: bool) -> Deny | None | Deferred[Deny | None]:
        """
        Why a connection is not to be made; loopback is the session's own host.

        :param named: a rule allows this very name, so a name that cannot be looked up is the operator's business.
        """
        if command.kind is not ForwardKind.DIRECT:
            return None
        host = canonical(command.host)
        if host is None:
            return _UNREADABLE
        rivals = [target for target in self._registry if target.port == command.port]
        same = {host, canonical(session.target.host)} if host == LOOPBACK else {host}
        for target in rivals:
            if canonical(target.host) in same:
                return _has_its_own(target)
        if self._names is None or not rivals:
            return None
        return self._looked_up(host, session.target, rivals, named)

    def _looked_up(self, host: str, own: Target, rivals: list[Target], named: bool) -> Deferred[Deny | None]:
        asked = [self._places(each) for each in (host, own.host, *(rival.host for rival in rivals))]

        def compare(found: list[frozenset[str]]) -> Deny | None:
            there, here, *others = found
            there = there | here if LOOPBACK in there else there
            for rival, places in zip(rivals, others, strict=True):
                if there & places:
                    return _has_its_own(rival)
            return None if named or (there and all(others)) else _UNSURE

        return gatherResults(asked, consumeErrors=True).addCallback(compare)

    def _places(self, host: str) -> Deferred[frozenset[str]]:
        """What a host is, spelled normally; none for a name that leads nowhere."""
        spelled = canonical(host) or host
        asked: Deferred[Any] = Deferred()
        if spelled == LOOPBACK or is_address(spelled):
            asked.callback(frozenset({spelled}))
            return asked
        assert self._names is not None
        return self._names.addresses(spelled).addCallback(lambda found: frozenset(filter(None, map(canonical, found))))


def _has_its_own(target: Target) -> Deny:
    return Deny(
        f"{target.name} is reached by a listener of its own.", CODE,
        hint=f"connect to the gateway's {target.protocol} listener as IDENTITY@{target.name}",
    )
