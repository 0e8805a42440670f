"""Names as this machine knows them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock

from gateway.names import PATIENCE, Names


def asked(*found: Any, complete: bool = True) -> tuple[Clock, list[frozenset[str]]]:
    """What comes of a resolver that finds these."""
    clock, out = Clock(), []

    def resolve(receiver: Any, name: str) -> None:
        receiver.resolutionBegan(None)
        for address in found:
            receiver.addressResolved(address)
        if complete:
            receiver.resolutionComplete()

    clock.nameResolver = SimpleNamespace(resolveHostName=resolve)
    Names(clock).addresses("host").addCallback(out.append)
    return clock, out


def test_every_address_counts() -> None:
    assert asked(IPv4Address("TCP", "10.0.0.1", 0), IPv6Address("TCP", "::1", 0))[1] == [frozenset({"10.0.0.1", "::1"})]


def test_an_unknown_name_has_none() -> None:
    assert asked()[1] == [frozenset()]


def test_a_name_that_nobody_answers_for_has_none_in_the_end() -> None:
    clock, out = asked(IPv4Address("TCP", "10.0.0.1", 0), complete=False)
    assert out == []
    clock.advance(PATIENCE)
    assert out == [frozenset()]


@pytest_twisted.ensureDeferred
async def test_the_machines_own_resolver_is_asked() -> None:
    assert "127.0.0.1" in await Names(reactor).addresses("localhost")
