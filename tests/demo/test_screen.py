"""The demo's output: readable on a terminal, plain in a file, and nobody else's escape sequences."""

from __future__ import annotations

import io

import pytest

from gateway.demo.screen import Screen, clean


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def printed(action: str, *words: object, stream: io.StringIO | None = None) -> str:
    out = stream or io.StringIO()
    getattr(Screen(out), action)(*words)
    return out.getvalue()


def test_a_file_gets_no_colour() -> None:
    """Nor does a pipe."""
    for action, words in (("title", ["x"]), ("head", ["x"]), ("command", ["x", "ada"]), ("checked", ["x", True])):
        assert "\x1b" not in printed(action, *words)


def test_a_terminal_does_unless_it_is_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """no-color.org, and terminals that cannot."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in printed("checked", "x", True, stream=Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b" not in printed("checked", "x", True, stream=Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in printed("checked", "x", True, stream=Terminal())


def test_what_a_program_prints_cannot_drive_the_terminal() -> None:
    """A row or an error may hold anything."""
    assert clean("a\x1b[2Jb\rc\td") == "a\\x1b[2Jb\\rc    d"
    assert "\x1b" not in printed("output", "row \x1b]0;title\x07")


def test_wrong_stands_out_without_colour() -> None:
    """A log of a failed tour can be searched."""
    assert "✗ WRONG: it" in printed("checked", "it", False)
    assert "WRONG" not in printed("checked", "it", True)


def test_a_command_is_one_line() -> None:
    """However long, so that it can be copied."""
    assert printed("command", "x" * 400, "ada").count("\n") == 1


def test_prose_is_wrapped() -> None:
    """And keeps the empty lines around it."""
    lines = printed("say", "\n" + "word " * 60 + "\n").split("\n")
    assert lines[0] == "" and lines[-2] == "" and max(map(len, lines)) <= 100 and len(lines) > 4


def test_long_output_keeps_its_ends() -> None:
    """The middle is counted."""
    shown = printed("output", "\n".join(f"line {n}" for n in range(100)), 10)
    assert "line 0\n" in shown and "line 99\n" in shown and "… 91 lines …" in shown
    assert shown.count("\n") == 10


def test_messages_are_wrapped_and_tables_cut() -> None:
    """An error's end matters; a table's columns must stay below each other."""
    error = printed("output", "ERROR:  " + "why " * 40 + "[OST-203]")
    assert "[OST-203]" in error.replace("\n  │         ", " ") and error.count("\n") > 1
    row = printed("output", "x" * 300)
    assert row.count("\n") == 1 and row.endswith("…\n") and len(row) <= 101


def test_no_output_is_no_line() -> None:
    """A command that says nothing leaves nothing."""
    assert printed("output", "\n") == ""
