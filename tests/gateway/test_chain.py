"""Addons are built in the order of the file, and handed nothing that their constructor does not ask for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chain import WrongAddon, build
from gateway.config import AddonEntry

HERE = __name__


class Plain:
    """Asks for nothing."""


class Wants:
    """Asks for a clock, and takes options."""

    def __init__(self, clock: Any, limit: int = 3, *, names: tuple[str, ...] = ()) -> None:
        if limit < 0:
            raise ValueError("limit must not be negative")
        self.clock, self.limit, self.names = clock, limit, names


class Slipped:
    """Asks for `clock` by another name."""

    def __init__(self, clocks: Any) -> None:
        self.clock = clocks


class Needy:
    """Cannot do without an option."""

    def __init__(self, clock: Any, *, default: str) -> None:
        self.default = default


def function() -> None:
    """Is no class."""


NEEDS = {"clock": object(), "sink": object()}


def entry(name: str, **options: Any) -> AddonEntry:
    return AddonEntry(f"{HERE}.{name}", options)


def test_addons_come_in_the_order_of_the_file() -> None:
    """Each with its own options."""
    built = build([entry("Wants", limit=1), entry("Plain"), entry("Wants", limit=2)], NEEDS)
    assert [getattr(addon, "limit", None) for addon in built] == [1, None, 2]


def test_an_addon_is_handed_what_it_asks_for_and_nothing_else() -> None:
    """By parameter name: reading one constructor tells its powers."""
    (wants,) = build([entry("Wants")], NEEDS)
    assert wants.clock is NEEDS["clock"] and vars(wants).keys() == {"clock", "limit", "names"}


@pytest.mark.parametrize(
    ("wrong", "key", "says"),
    [
        (entry("Wants", typo=1), "typo", "it has: limit, names"),
        (entry("Plain", x=1), "x", "it has: none"),
        (entry("Wants", clock=1), "clock", "no such option"),  # a file cannot hand out a power
        (entry("Wants", limit=-1), "", "must not be negative"),
        (entry("Wants", limit="many"), "", "not supported"),
        (entry("Needy"), "default", r"addon\[1\].default: is missing"),
        (entry("Needy", defalt="x"), "defalt", "has no such option; it has: default$"),  # that it is missing only follows from that
        (entry("Slipped"), "clocks", "is missing; the gateway hands out 'clock' to a constructor that asks for it by that name"),
        (entry("Missing"), "use", "cannot be imported"),
        (entry("function"), "use", "is no class"),
        (AddonEntry("no.such.module.Addon", {}), "use", "cannot be imported"),
        (AddonEntry("bare", {}), "use", "cannot be imported"),
        (AddonEntry("", {}), "use", "cannot be imported"),
        (AddonEntry("builtins.dict", {}), "use", "does not say"),
    ],
)
def test_a_wrong_entry_is_named_by_position_and_option(wrong: AddonEntry, key: str, says: str) -> None:
    """So that the command line can say which line to mend."""
    with pytest.raises(WrongAddon, match=says) as raised:
        build([entry("Plain"), wrong], NEEDS)
    assert (raised.value.index, raised.value.key) == (1, key)


def test_a_need_that_is_not_there_is_an_error_at_start() -> None:
    """Not at the first command."""
    with pytest.raises(WrongAddon, match="clock"):
        build([entry("Wants")], {})
