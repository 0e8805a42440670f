"""The emulator: what it shows, whatever comes and however it is cut; the same as another emulator where both know a sequence."""

from __future__ import annotations

import re
from pathlib import Path

import pyte
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from programs import EDITOR, Program

from protocols.escapes import Escapes
from protocols.screen import Screen, width

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 12))
TEXTS = st.text(st.sampled_from("abz09 ~é漢字́­🙂"), min_size=1, max_size=40)
NUMBERS = st.lists(st.one_of(st.integers(0, 12), st.sampled_from(["", 999, 70000])), max_size=3)
SEQUENCES = st.builds(
    lambda mark, numbers, final: f"\x1b[{mark}{';'.join(map(str, numbers))}{final}",
    st.sampled_from(["", "", "?", ">", "!"]), NUMBERS, st.sampled_from("ABCDEFGHIJKLMPSTXZ@`abdefghlrsumnpqt"),
)
MODES = st.sampled_from([f"\x1b[{mode}{end}" for mode in ("4", "20", "?6", "?7", "?47", "?1047", "?1048", "?1049") for end in "hl"])
ESCAPES = st.sampled_from(["\x1b" + rest for rest in ("7", "8", "D", "E", "H", "M", "c", "(0", "(B", ")0", "#8", "=", "P1\x1b\\", "]0;t\x07")])
CONTROLS = st.sampled_from(list("\n\r\t\b\x07\x0b\x0c\x0e\x0f\x7f\x9b\x18"))
PIECES = st.one_of(TEXTS, SEQUENCES, MODES, ESCAPES, CONTROLS).map(str.encode) | st.binary(max_size=6)
OUTPUT = st.lists(PIECES, max_size=40).map(b"".join)


def consistent(screen: Screen) -> None:
    """What every screen is, always."""
    sheet = screen.sheet
    row, column = screen.cursor
    assert 0 <= row < screen.rows and 0 <= column < screen.columns
    assert len(sheet.cells) == len(sheet.wraps) == screen.rows and {len(cells) for cells in sheet.cells} == {screen.columns}
    for cells in sheet.cells:
        for left, right in zip(["", *cells], [*cells, "x"], strict=True):
            assert (width(left[0]) == 2 if left else False) == (right == "") or (left, right) == ("", cells[0])
        assert cells[0] != "" and not (cells[-1] and width(cells[-1][0]) == 2)


def shown(screen: Screen) -> tuple[object, ...]:
    return screen.display(), screen.cursor, screen.alternate, screen.scrolled, screen.sheet.wraps, list(screen.changed())


@given(SIZES, OUTPUT, SIZES, OUTPUT)
def test_any_bytes_leave_a_consistent_screen(size: tuple[int, int], first: bytes, then: tuple[int, int], rest: bytes) -> None:
    """Of any size, resized to any other."""
    screen = Screen(*size)
    screen.feed(first)
    consistent(screen)
    screen.resize(*then)
    consistent(screen)
    screen.feed(rest)
    consistent(screen)


@given(SIZES, OUTPUT, st.data())
@example((9, 3), b"\x1b[12\x073Habc", None)
@example((9, 3), b"\x1b]0;title\x1b\\after", None)
def test_where_the_reads_are_cut_makes_no_difference(size: tuple[int, int], output: bytes, data: st.DataObject | None) -> None:
    """One byte at a time, or anyhow, as whole."""
    whole, bytewise, cut = Screen(*size), Screen(*size), Screen(*size)
    whole.feed(output)
    for byte in output:
        bytewise.feed(bytes([byte]))
    place = 0
    while data is not None and place < len(output):
        count = data.draw(st.integers(1, 9))
        cut.feed(output[place:place + count])
        place += count
    assert shown(bytewise) == shown(whole)
    if data is not None:
        assert cut.display() == whole.display()


def test_strings_and_parameters_do_not_grow() -> None:
    """A title of a megabyte, a sequence of a million digits: nothing of either is kept."""
    screen = Screen()
    kept: Escapes = screen._escapes
    for begin, more, end in ((b"\x1b]0;", b"x" * 1000, b"\x07"), (b"\x1b[", b"1" * 1000, b"H"), (b"\x1b(", b" " * 1000, b"0")):
        screen.feed(begin)
        for _ in range(1000):
            screen.feed(more)
            assert len(kept._kept) <= 128
        screen.feed(end)
        screen.feed(b"ok\r\n")
    assert [line for line in screen.display() if line] == ["ok", "ok", "ok"]


def test_a_window_of_four_billion_columns_is_not_allocated() -> None:
    """What a client claims is cut to what fits a wall."""
    assert (Screen(2**32 - 1, 2**32 - 1).columns, Screen(0, 0).columns) == (1000, 80)


WITH_PYTE = st.one_of(
    st.text(st.sampled_from("abcxyz019 -~"), min_size=1, max_size=30),
    st.sampled_from(list("\n\r\b\t")),
    st.builds(
        lambda numbers, final: f"\x1b[{';'.join(map(str, numbers))}{final}",
        st.lists(st.integers(1, 9), min_size=1, max_size=1), st.sampled_from("ABCDEFGHfdae"),
    ),
    st.builds(lambda row, column: f"\x1b[{row};{column}H", st.integers(1, 9), st.integers(1, 20)),
    st.builds(lambda n, final: f"\x1b[{n}{final}", st.integers(0, 2), st.sampled_from("JK")),
    st.builds(lambda n, final: f"\x1b[{n}{final}", st.integers(1, 7), st.sampled_from("LMPX@")),
    st.builds(lambda a, b: f"\x1b[{a};{a + b}r", st.integers(1, 4), st.integers(1, 3)),
    st.sampled_from(["\x1bM", "\x1bD", "\x1b[4h", "\x1b[4l", "\x1b[?6h", "\x1b[?6l", "\x1b[1;31m", "\x1b[m"]),
)


def other(columns: int, rows: int) -> tuple[pyte.Screen, pyte.ByteStream]:
    screen = pyte.Screen(columns, rows)
    return screen, pyte.ByteStream(screen)


@settings(max_examples=300)
@given(st.integers(8, 30), st.integers(7, 12), st.lists(WITH_PYTE, max_size=60))
def test_random_sequences_show_what_pyte_shows(columns: int, rows: int, pieces: list[str]) -> None:
    """For the sequences on whose meaning both agree: from the last column, and from outside a region, they move differently."""
    ours, (theirs, stream) = Screen(columns, rows), other(columns, rows)
    for piece in pieces:
        if piece[0] in "\x1b\t" and theirs.cursor.x >= columns - 1:
            piece = "\r" + piece
        if theirs.margins and not theirs.margins.top <= theirs.cursor.y <= theirs.margins.bottom:
            piece = "\x1b[?6h" + piece
        if "\x1b[?6" in piece or (piece[-1] in "Hdf" and pyte.modes.DECOM in theirs.mode):
            piece = "\x1b[?6h\x1b[?6l" if "l" in piece else "\x1b[?6h"  # positions outside the region, pyte ignores and xterm cuts
        ours.feed(piece.encode())
        stream.feed(piece.encode())
        assert ours.display() == [line.rstrip() for line in theirs.display], piece
        assert ours.cursor == (theirs.cursor.y, min(theirs.cursor.x, columns - 1)), piece


def same_as_pyte(reads: list[bytes], columns: int = 80, rows: int = 24) -> list[str]:
    """What both show in the end, having agreed after every read. What pyte does not know is kept from both."""
    ours, (theirs, stream) = Screen(columns, rows), other(columns, rows)
    carried = b""
    for data in reads:
        text = carried + data
        carried = tail.group() if (tail := re.search(rb"\x1b(?:P[^\x1b]*\x1b?|(?![P\\])[^a-zA-Z]*)\Z", text)) else b""
        plain = re.sub(rb"\x1bP[^\x1b]*\x1b\\|\x1b\[[0-9;]*%m|\x1b\[\?(?:1049|1047|47)[hl]|\x1b\[[>?][0-9;]*m|\x1b\[>[0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p", b"", text[:len(text) - len(carried)])
        ours.feed(plain)
        stream.feed(plain)
        assert ours.display() == [line.rstrip() for line in theirs.display]
    return ours.display()


def test_bash_shows_what_pyte_shows(tmp_path: Path) -> None:
    """Editing in the middle of a line that wraps, completion, history, colours."""
    (tmp_path / "completable-name").write_text("text\n" * 40)
    (tmp_path / "other").mkdir()
    with Program(["bash", "--norc"], tmp_path) as bash:
        bash.until(b"$ ")
        for keys in (
            b"ls --color=always -la\r", b"cat comp\t\r", b"echo " + b"x" * 100, b"\x01\x06\x06abc\x05 end\x7f\x7f", b"\r", b"\x1b[A\x1b[A\r",
            b"printf '\\033[2J\\033[5;10Hthere\\n'\r", b"seq 100\r", b"\x12echo\r", b"clear\r", b"exit\r",
        ):
            bash.send(keys)
            bash.quiet()
    same_as_pyte(bash.reads)


@pytest.mark.parametrize("words, keys", [
    ([EDITOR, "-u", "NONE", "-N", "text"], [b"Gonew line\x1b", b"ggdd", b"5p", b":set number\r", b"\x06\x06\x02", b"/line 77\r", b"3J", b"\x1b:vsplit\r"]),
    (["less", "text"], [b" ", b" ", b"b", b"/line 90\r", b"G", b"k", b"k", b"g", b"\x1b[C", b"h"]),
    (["top", "-d", "60"], [b" ", b"1", b"c", b"M", b"h", b" "]),
])
def test_full_screen_programs_show_what_pyte_shows(words: list[str], keys: list[bytes], tmp_path: Path) -> None:
    """They use scroll regions, inserted and deleted lines and characters, and all of cursor addressing."""
    (tmp_path / "text").write_text("".join(f"line {n} {'word ' * (n % 30)}\n" for n in range(200)))
    with Program(words, tmp_path) as program:
        program.quiet(0.4)
        for key in keys:
            program.send(key)
            program.quiet()
        seen = same_as_pyte(program.reads)
        assert sum(map(bool, seen)) > 10


SHOWS = {
    "wrap, then back over it": (b"abcdefghij\x08X", ["abcdefghXj"]),
    "alternate screen leaves the main one as it was": (b"main\x1b[?1049h\x1b[HALT\x1b[?1049l.", ["main."]),
    "a wide character does not fit the last column": ("123456789漢".encode(), ["123456789", "漢"]),
    "half a wide character overwritten": ("漢字\rx".encode(), ["x 字"]),
    "a combining accent": ("e\u0301x".encode(), ["e\u0301x"]),
    "a combining accent in the last column": ("123456789e\u0301x".encode(), ["123456789e\u0301", "x"]),
    "line drawing": (b"\x1b(0lqk\x1b(Bq", ["┌─┐q"]),
    "a broken character": (b"a\xe6\xbc\x1b[mb", ["a\ufffdb"]),
    "delete and insert lines in a region": (b"1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[2;1H\x1b[M\x1b[Lx", ["1", "x", "3", "4"]),
    "no wrapping": (b"\x1b[?7labcdefghijKLM", ["abcdefghiM"]),
    "repeat": (b"-\x1b[4b", ["-----"]),
    "tabs": (b"\x1b[3g\x1b[5G\x1bH\r\tx\x1b[Zy", ["    y"]),
    "a control inside a sequence": (b"ab\x1b[1\r;1Hx", ["xb"]),
    "a cancelled sequence": (b"\x1b[12\x18Hx", ["Hx"]),
    "OSC, ended either way": (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", ["ab"]),
    "DCS": (b"\x1bP$q\"p\x1b\\x", ["x"]),
    "reset": (b"junk\x1b[5;5Hmore\x1bcx", ["x"]),
}


@pytest.mark.parametrize("output, lines", SHOWS.values(), ids=SHOWS)
def test_shows(output: bytes, lines: list[str]) -> None:
    """As xterm does, where pyte differs or knows nothing."""
    screen = Screen(10, 4)
    screen.feed(output)
    assert screen.display() == lines + [""] * (4 - len(lines))


def test_changed_lines_are_told_once_and_whole() -> None:
    """A line that wraps is one line; one that scrolled away is told too; nothing is told twice."""
    screen = Screen(10, 3)
    screen.feed(b"first\r\nthe long second line\r\nthird")
    assert list(screen.changed()) == ["first", "the long second line", "third"]
    assert list(screen.changed()) == []
    screen.feed(b"!\r\n4\r\n5\r\n6")
    assert list(screen.changed()) == ["third!", "4", "5", "6"]
    assert screen.scrolled == 4
