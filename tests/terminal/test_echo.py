"""Typing is recorded when the terminal showed it, and in every doubt not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.echo import LINE_LIMIT, LINES_LIMIT, Echo, echoes

Talk = list[tuple[str, bytes]]

TALKS: dict[str, tuple[Talk, list[bytes]]] = {
    "a command, echoed key by key": (
        [("<", b"l"), (">", b"l"), ("<", b"s"), (">", b"s"), ("<", b"\r"), (">", b"\r\nfile\r\n$ ")], [b"ls\r"]),
    "a password": ([(">", b"Password: "), ("<", b"hunter2\r"), (">", b"\r\nWelcome\r\n")], [b""]),
    "a password shown as stars": ([("<", b"ab"), (">", b"**"), ("<", b"\r"), (">", b"\r\n")], [b""]),
    "a password that begins as the output does": ([("<", b"Welcome1\r"), (">", b"\r\nWelcome\r\n")], [b""]),
    "a password while another program writes": ([("<", b"ab"), (">", b"a...b"), ("<", b"\r"), (">", b"\r\n")], [b""]),
    "a password after a command": (
        [("<", b"su\r"), (">", b"su\r\nPassword: "), ("<", b"secret\r"), (">", b"\r\n# ")], [b"su\r", b""]),
    "a password whose first keys were typed too early": (
        [("<", b"se"), (">", b"sePassword: "), ("<", b"cret\r"), (">", b"\r\n# ")], [b""]),
    "Enter alone": ([("<", b"\r"), (">", b"\r\n$ ")], [b"\r"]),
    "an arrow, in both of its forms": (
        [("<", b"\x1b[A"), (">", b"old command"), ("<", b"\x1bOD"), (">", b"\b"), ("<", b"\r"), (">", b"\r\n")], [b"\x1b[A\x1bOD\r"]),
    "inserted in the middle": (
        [("<", b"ac"), (">", b"ac"), ("<", b"\x1b[D"), (">", b"\b"), ("<", b"b"), (">", b"bc\b"), ("<", b"\r"), (">", b"\r\n")],
        [b"ac\x1b[Db\r"]),
    "echoed in colours": ([("<", b"ls"), (">", b"\x1b[32ml\x1b[0ms"), ("<", b"\r"), (">", b"\r\n")], [b"ls\r"]),
    "letters of another alphabet": ([("<", "Größe漢".encode()), (">", "Größe漢".encode()), ("<", b"\r"), (">", b"\r\n")], ["Größe漢\r".encode()]),
    "keys of an editor": ([("<", b"dd"), (">", b"\x1b[2;1H\x1b[M"), ("<", b":wq\r"), (">", b"\x1b[24;1H:wq\r\n")], [b""]),
    "answered by nothing": ([("<", b"secret\r")], [b""]),
    "typed ahead of a slow program, and shown by the terminal": (
        [("<", b"sleep 1\r"), (">", b"sleep 1\r\n"), ("<", b"id\r"), (">", b"id\r\n"), (">", b"$ id\r\nuid=0\r\n$ ")], [b"sleep 1\r", b"id\r"]),
    "typed ahead of a slow program, and shown by its prompt alone": (
        [("<", b"sleep 1\r"), (">", b"sleep 1\r\n"), ("<", b"id\r"), (">", b"$ id\r\nuid=0\r\n$ ")], [b"sleep 1\r", b""]),
    "pasted two lines at once, of which the second is shown behind a prompt": (
        [("<", b"a\rb\r"), (">", b"a\r\n$ b\r\n$ ")], [b"a\r", b""]),
}


def played(talk: Talk, echo: Echo) -> list[bytes]:
    decided = []
    for way, data in talk:
        if way == "<":
            echo.typed(data)
        else:
            decided += echo.shown(data)
    return decided + echo.end()


@pytest.mark.parametrize("talk, recorded", TALKS.values(), ids=TALKS)
def test_a_line_is_recorded_when_it_was_shown(talk: Talk, recorded: list[bytes]) -> None:
    """Each line as it was typed, or hidden whole."""
    assert played(talk, Echo()) == recorded


@given(st.lists(st.tuples(st.sampled_from("<>"), st.binary(max_size=8)), max_size=30), st.text("abcdef", min_size=3, max_size=9))
def test_what_was_never_shown_is_never_recorded(talk: Talk, password: str) -> None:
    """Whatever was typed and shown before, and however it was cut."""
    secret = password.upper().encode()
    talk = [(way, data) for way, data in talk if not any(byte in data for byte in secret)]
    said = [*talk, ("<", secret), ("<", b"\r"), (">", b"\r\nnext\r\n")]
    assert not any(byte in line for line in played(said, Echo()) for byte in secret)


@given(st.lists(st.tuples(st.sampled_from("<>"), st.binary(max_size=8)), max_size=30))
def test_a_terminal_that_asked_for_no_echo_has_nothing_recorded(talk: Talk) -> None:
    """Even what came back."""
    assert not any(played([*talk, ("<", b"x\r"), (">", b"x\r\n")], Echo(on=False)))


def test_what_waits_is_bounded() -> None:
    """A line without an end, and lines without an answer."""
    echo = Echo()
    for _ in range(100):
        echo.typed(b"x" * 1000)
    assert len(echo._lines[0].typed) <= LINE_LIMIT and len(echo._lines[0].expected) <= 2 * LINE_LIMIT
    echo.typed(b"\r" + b"y\r" * 1000)
    assert len(echo._lines) <= LINES_LIMIT


MODES = {
    "none": (b"", True), "only the end": (b"\0", True), "on": (b"\x35\0\0\0\x01\0", True), "off": (b"\x35\0\0\0\0\0", False),
    "off behind others": (b"\x01\0\0\0\x03\x80\0\0\x96\0\x35\0\0\0\0\0", False), "cut": (b"\x35\0\0", True),
    "behind the end": (b"\0\x35\0\0\0\0", True),
}


@pytest.mark.parametrize("modes, on", MODES.values(), ids=MODES)
def test_modes(modes: bytes, on: bool) -> None:
    """Opcode 53, wherever it is."""
    assert echoes(modes) is on
