"""UUIDv7s: version and variant as RFC 9562 draws them, and rising whatever the clock does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import RFC_4122, UUID

from hypothesis import given, strategies as st

from gateway.ids import LEAST, Ids, meant, several


def ticking(*stamps: int) -> Callable[[], int]:
    """A clock that says these milliseconds, and then the last one for ever."""
    said: Iterator[int] = iter(stamps)
    return lambda: next(said, stamps[-1])


def test_layout() -> None:
    """The time is in front, then version 7, and the variant of RFC 9562."""
    made = UUID(Ids(ticking(0x0123_4567_89AB), lambda bits: 0)())
    assert (made.version, made.variant, made.int >> 80) == (7, RFC_4122, 0x0123_4567_89AB)
    assert str(made) == "01234567-89ab-7000-8000-000000000000"


@given(st.lists(st.integers(min_value=0, max_value=1 << 44), min_size=1, max_size=50))
def test_rising_whatever_the_clock_does(stamps: list[int]) -> None:
    """A clock that stands still or steps back makes no smaller id."""
    ids = Ids(ticking(*stamps))
    made = [ids() for _ in stamps]
    assert made == sorted(made) and len(set(made)) == len(made)


def test_more_ids_than_one_millisecond_counts() -> None:
    """The 4,096th id of a millisecond borrows from the next one."""
    ids = Ids(ticking(1_000))
    made = [ids() for _ in range(10_000)]
    assert made == sorted(made) and len(set(made)) == len(made)


def test_two_processes_do_not_meet() -> None:
    """Random bits keep ids of the same millisecond apart."""
    here, there = Ids(ticking(5)), Ids(ticking(5))
    assert not {here() for _ in range(500)} & {there() for _ in range(500)}


def test_an_id_may_be_begun_and_what_begins_several_ids_names_none() -> None:
    """In any case; too few characters are a slip of the hand, also where only one begins so."""
    ids = ["0193a2b4-aaaa", "0193a2b4-bbbb", "0193c000-cccc"]
    assert meant("0193C0", ids) == ["0193c000-cccc"] and meant("0193a2b4-b", ids) == ["0193a2b4-bbbb"]
    assert meant("0193a2b4", ids) == ids[:2] and meant("0193a2b4-aaaa", [*ids, "0193a2b4-aaaa-more"]) == ["0193a2b4-aaaa"]
    assert meant("0193c0"[: LEAST - 1], ids) == meant("", ids) == meant("ffffff", ids) == []
    assert several("0193a2", ids[:2]) == "2 sessions begin with 0193a2: 0193a2b4-aaaa, 0193a2b4-bbbb; write more of its id"
    assert "0193a2b4-aaaa (ada), 0193a2b4-bbbb;" in several("0193a2", ids[:2], {ids[0]: "ada"})
    assert "and 3 more" in several("0193a2", ids[:2] * 4)
