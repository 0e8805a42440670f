"""When the system gathers for a leg: much has come in a row, and nothing waits for long."""

from __future__ import annotations

from twisted.internet.task import Clock

from gateway.ssh.tide import LITTLE, MUCH, PATIENCE, PLENTY, Tide

PACKET = 32 << 10


def flows() -> tuple[Clock, list[int], Tide]:
    """Much has come."""
    clock, asked = Clock(), []
    tide = Tide(clock.callLater, asked.append)
    for _ in range(MUCH // PACKET - 1):
        tide.came(PACKET)
    assert asked == [] and not clock.getDelayedCalls()
    tide.came(PACKET)
    assert asked == [PLENTY]
    return clock, asked, tide


def test_the_last_of_a_transfer_waits_for_patience_and_no_longer() -> None:
    """Each read begins it anew; then everything is read as it comes, until much has come again."""
    clock, asked, tide = flows()
    clock.advance(PATIENCE * 0.9)
    tide.came(PLENTY)
    clock.advance(PATIENCE * 0.9)
    assert asked == [PLENTY]
    clock.advance(PATIENCE * 0.2)
    assert asked == [PLENTY, 1] and not clock.getDelayedCalls()
    tide.came(PACKET)
    assert asked == [PLENTY, 1]


def test_whoever_types_is_read_key_by_key() -> None:
    """One small read ends the gathering, and small reads never begin it."""
    clock, asked, tide = flows()
    tide.came(LITTLE - 1)
    assert asked == [PLENTY, 1] and not clock.getDelayedCalls()
    for _ in range(2 * MUCH // LITTLE):
        tide.came(LITTLE - 1)
    assert asked == [PLENTY, 1]


def test_nothing_is_waited_for_when_the_leg_is_over() -> None:
    clock, asked, tide = flows()
    tide.stop()
    tide.came(MUCH)
    assert asked == [PLENTY, 1] and not clock.getDelayedCalls()
