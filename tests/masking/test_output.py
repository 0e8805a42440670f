"""Identifiers in what a terminal shows: starred out wherever the reads are cut, letter for letter, and nothing else changed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.masking.detectors import DETECTORS
from addons.masking.output import REACH, Output, Stars
from protocols.session import Identity, Session, Target

VALUES = ["123-45-6789", "4111 1111 1111 1111", "4111111111111111", "ann.smith@example.org", "(617) 555-0134", "MRN: 00471223", "1245319599"]
PLAIN = ["hello world", "2026-11-25 19:01:43", "error 404 at line 12", "v1.2.3", "grün 漢字 “é” £5 — ﬁ", "192.168.0.1", "a@b", "000-00-0000", "x" * 300]
BETWEEN = ["\r\n", " ", "\x1b[1;31m", "\x1b[K", "\t", "\x1b[2J\x1b[H", ": ", "\x1b]0;title\x07", ",\n", "\x1b(B\x1b[m", "\x1b]8;;http://x\x1b\\", "\0", "\x7f", "\x1b7", "\x1bM", "\x1b#8"]


def starred(data: bytes, cuts: list[int] | None = None, flushes: bool = False) -> bytes:
    stars, out, at = Stars(DETECTORS), b"", 0
    for cut in [*sorted(cuts or []), len(data)]:
        out += stars.feed(data[at:cut])
        out += stars.flush() if flushes else b""
        assert len(out) + sum(len(piece) for _, piece in stars._run) + len(stars._cut) == cut
        at = cut
    return out + stars.flush()


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_starred_letter_for_letter(value: str) -> None:
    """Alone, in a sentence, in colours."""
    for before, after in (("", ""), ("id: ", ", ok\r\n"), ("\x1b[1m", "\x1b[m\r\n")):
        shown = starred(f"{before}{value}{after}".encode()).decode()
        assert shown == before + "*" * len(value) + after
    half = len(value) // 2
    coloured = f"{value[:half]}\x1b[01;31m\x1b[K{value[half:]}\x1b[m\r\n"  # as `grep --color` does
    assert starred(coloured.encode()).decode() == re.sub(r"[^\x1b]+?(?=\x1b|$)", lambda m: m[0], "*" * half + "\x1b[01;31m\x1b[K" + "*" * (len(value) - half) + "\x1b[m\r\n")


UNSEEN = ["\x1b(B\x1b[m", "\x1b(0", "\x1b)0", "\x1b7", "\x1b%G", "\x1b F", "\x1b=", "\x1bH", "\x1b#5", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1b_a\x1b\\", "\0", "\x7f", "\x0f", "\x07", "\x9b31m", "\u200b", "\ufeff", "\u2060", "\u00ad", "\x84"]


@pytest.mark.parametrize("unseen", UNSEEN, ids=repr)
@pytest.mark.parametrize("value", VALUES)
def test_what_a_terminal_does_not_show_hides_no_value(value: str, unseen: str) -> None:
    """Before it, behind it and in it, wherever the reads are cut; terminfo's end of bold is `ESC ( B ESC [ m`."""
    half = len(value) // 2
    data = f"{unseen}{value}{unseen}\r\n{value[:half]}{unseen}{value[half:]}\r\n".encode()
    shown = f"{unseen}{'*' * len(value)}{unseen}\r\n{'*' * half}{unseen}{'*' * (len(value) - half)}\r\n".encode()
    assert starred(data) == shown
    for cut in range(len(data)):
        assert starred(data, [cut]) == shown


@pytest.mark.parametrize("moves", ["\x1bM", "\x1b8", "\x1bD", "\x1bE", "\x1bc", "\x1b#8", "\x1b[2J", "\x1b\\"], ids=repr)
@pytest.mark.parametrize("value", VALUES)
def test_a_value_behind_a_movement_of_the_cursor_is_a_value(value: str, moves: str) -> None:
    """The last letter of the sequence is none of the text's."""
    assert starred(f"{moves}{value}{moves}x".encode()) == f"{moves}{'*' * len(value)}{moves}x".encode()


def test_a_control_parts_values_for_whoever_is_no_terminal() -> None:
    """`find -print0` writes one behind each name; a terminal shows none of them."""
    assert starred(b"123-45-6789\x00123-45-6788\x00") == b"***********\x00***********\x00"


def test_a_title_and_a_link_show_no_value() -> None:
    for begins in (b"\x1bP", b"\x1b_", b"\x1bX", b"\x1b^"):
        assert starred(begins + b"123-45-6789\x1b\\x") == begins + b"***********\x1b\\x"
    assert starred(b"\x1b]0;of 123-45-6789\x07\x1b]8;;mailto:ann.smith@example.org\x1b\\x") == b"\x1b]0;of ***********\x07\x1b]8;;mailto:" + b"*" * 21 + b"\x1b\\x"


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_found_across_any_two_reads(value: str) -> None:
    """And byte by byte, for as long as the reads follow each other."""
    data = f"of {value} now\r\n".encode()
    for cut in range(len(data)):
        assert starred(data, [cut]) == b"of " + b"*" * len(value) + b" now\r\n"
    assert starred(data, list(range(len(data)))) == b"of " + b"*" * len(value) + b" now\r\n"


def test_of_a_value_that_came_too_slowly_the_rest_is_starred() -> None:
    """What was shown already cannot be taken back; what follows it is known to be part of it."""
    assert starred(b"123-45-6789\r\n", [7], flushes=True) == b"123-45-****\r\n"


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_passes_as_it_is(text: str) -> None:
    assert starred(f"{text}\r\n".encode()) == f"{text}\r\n".encode()


PIECES = st.lists(st.sampled_from(VALUES + PLAIN + BETWEEN), max_size=12).map("".join).map(str.encode) | st.binary(max_size=60)


@given(PIECES, st.lists(st.integers(0, 400), max_size=8))
def test_the_length_stays_and_the_cuts_do_not_matter(data: bytes, cuts: list[int]) -> None:
    """Every byte leaves once, itself or a star; escape sequences are never starred."""
    whole, cut = starred(data), starred(data, [min(each, len(data)) for each in cuts])
    assert len(whole) == len(cut) == len(data) and whole == cut
    assert all(got in (byte, 0x2A) for got, byte in zip(whole, data, strict=True))
    assert [m.start() for m in re.finditer(b"\x1b", whole)] == [m.start() for m in re.finditer(b"\x1b", data)]


@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=6), st.lists(st.integers(0, 200), max_size=6))
def test_no_value_passes(values: list[str], cuts: list[int]) -> None:
    """A table of them, cut anyhow."""
    data = "".join(f"| {value} |\r\n" for value in values).encode()
    shown = starred(data, [min(cut, len(data)) for cut in cuts])
    assert not any(value.encode() in shown for value in values) and set(shown) <= set(b"*| \r\n")


def test_what_is_kept_back_is_bounded() -> None:
    """A megabyte of digits, and of letters, without an end."""
    for data in (b"5" * 1000, b"a" * 1000, b"\x1b[" + b"1;" * 500):
        stars, fed = Stars(DETECTORS), 0
        out = 0
        for _ in range(200):
            out += len(stars.feed(data))
            fed += len(data)
            assert fed - out <= 2 * REACH + 128
            assert len(stars._text) <= 2 * REACH + len(data)


def session(target: str = "web1") -> Session:
    return Session("s", Identity("ada", "human"), Target(target, "ssh", "h", 22), "a", "", "p")


def test_terminals_are_masked_and_transfers_only_where_it_is_said() -> None:
    """A file that is copied must be its original."""
    assert Output().stars(session(), True) is not None and Output().stars(session(), False) is None
    assert Output(channels="all").stars(session(), False) is not None
    assert Output(where={"targets": ["db1"]}).stars(session(), True) is None
    assert Output(where={"targets": ["web1"]}).stars(session(), True) is not None


@pytest.mark.parametrize("options", [{"detectors": ["nonsense"]}, {"channels": "some"}, {"where": {"nonsense": 1}}, {"where": {"hours": "9-17"}}])
def test_a_wrong_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Output(**options)  # type: ignore[arg-type]
