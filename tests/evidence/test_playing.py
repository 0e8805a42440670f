"""Showing recordings to others: paced as it was, and nothing that a watcher's terminal would answer or obey."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence.playing import Harmless, moment, paced
from protocols.screen import Screen

HARMFUL = {
    "answer who you are": b"\x1b[c", "and secondarily": b"\x1b[>c", "answer where the cursor is": b"\x1b[6n",
    "set the clipboard": b"\x1b]52;c;cm0gLXJmIH4=\x07", "set the title": b"\x1b]0;x\x1b\\", "report the title": b"\x1b[21t",
    "ask for a setting": b"\x1bP$qm\x1b\\", "mouse reports": b"\x1b[?1000h", "paste marks": b"\x1b[?2004h",
    "lock the keyboard": b"\x1b[2h", "run a key's macro": b"\x1b[?9999h", "answerback": b"\x05", "reset": b"\x1bc",
    "media copy": b"\x1b[4i", "a C1 control": "\x9b6n".encode(), "application program command": b"\x1b_Gx\x1b\\",
}
SHOWS = [b"\x1b[1;31mred\x1b[m", b"\x1b[2J\x1b[H", b"\x1b[?1049h", b"\x1b[?25l", b"a\r\n\tb\b", b"\x1b(0q\x1b(B", b"\x1bM", "ünï漢".encode()]


@pytest.mark.parametrize("data", HARMFUL.values(), ids=HARMFUL)
def test_nothing_passes_that_a_terminal_answers_or_keeps(data: bytes) -> None:
    """Whole, or in two reads."""
    for cut in range(len(data)):
        harmless = Harmless()
        passed = harmless.feed(b"<" + data[:cut]) + harmless.feed(data[cut:] + b">")
        assert passed.replace(b"6n", b"") == b"<>" and b"\x1b" not in passed


@pytest.mark.parametrize("data", SHOWS)
def test_what_shows_passes_as_it_is(data: bytes) -> None:
    """Text, colours, movement."""
    assert Harmless().feed(data) == data


def test_of_several_modes_only_those_that_show_pass() -> None:
    """In one sequence."""
    assert Harmless().feed(b"\x1b[?1049;1000;25h") == b"\x1b[?1049;25h"


@given(st.lists(st.sampled_from([*HARMFUL.values(), *SHOWS, b"text ", b"\x1b[5;5H", b"\x1b[K"]), max_size=30).map(b"".join))
def test_a_watcher_sees_the_screen_that_was(output: bytes) -> None:
    """What is kept back shows nothing; a full reset is the one thing that a watcher does not see."""
    output = output.replace(b"\x1bc", b"")
    live, watched = Screen(40, 10), Screen(40, 10)
    live.feed(output)
    watched.feed(Harmless().feed(output))
    assert watched.display() == live.display() and watched.cursor == live.cursor


def test_pace() -> None:
    """As it was, faster, from the middle, without its pauses; typing is not shown."""
    events = [(0, "t", b"xterm"), (0, "o", b"a"), (1_000_000, "i", b"x"), (2_000_000, "o", b"b"), (60_000_000, "n", b"c")]
    assert list(paced(events, 1, 0, 10**12)) == [(0, b"a"), (2, b"b"), (58, b"c")]
    assert list(paced(events, 4, 0, 10**12)) == [(0, b"a"), (0.5, b"b"), (14.5, b"c")]
    assert list(paced(events, 1, 3_000_000, 10**12)) == [(0, b"ab"), (57, b"c")]
    assert list(paced(events, 1, 0, 500_000)) == [(0, b"a"), (0.5, b"b"), (0.5, b"c")]
    assert list(paced(events, 1, 10**12, 0)) == [(0, b"abc")]


@pytest.mark.parametrize("text, micros", [("0", 0), ("75", 75_000_000), ("1:15", 75_000_000), ("1:02:03", 3_723_000_000)])
def test_moment(text: str, micros: int) -> None:
    assert moment(text) == micros


@pytest.mark.parametrize("text", ["", "x", "1:", "1:2:3:4", "-1", "1.5", "¹"])
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text)
