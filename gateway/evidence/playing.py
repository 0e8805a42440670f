"""
Showing a recording to somebody else: when each piece is due, and what of it a terminal may obey.

A recorded terminal could be told to answer questions, to set the clipboard, to rename its window. Whoever watches is shown
text, colours and cursor movement, and nothing else gets through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from protocols.escapes import Escapes

Event = tuple[int, str, bytes]

_CONTROLS = "\b\t\n\r\x0e\x0f"
_FINALS = "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu"
_PRIVATE = {"1", "6", "7", "25", "47", "1047", "1048", "1049"}
"""Modes that move or show: cursor keys, origin, wrapping, the cursor itself, the other screen."""
_ESCAPES = "78DEHM"
_SETS = "0B"
RESTORED = b"\x1b[!p\x1b[?1049l\x1b[?25h\x1b[m\x1b(B\x0f\r\n"
"""What leaves the watcher's own terminal as it was."""


class Harmless:
    """Takes what a program wrote, gives what a watcher's terminal may get."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._escapes = Escapes(self)

    def feed(self, data: bytes) -> bytes:
        """The next of it."""
        self._escapes.feed(data)
        out, self._out = self._out, []
        return "".join(out).encode()

    def text(self, text: str) -> None:
        self._out.append(text)

    def control(self, char: str) -> None:
        if char in _CONTROLS:
            self._out.append(char)

    def escape(self, between: str, final: str) -> None:
        if (not between and final in _ESCAPES) or (between in ("(", ")") and final in _SETS):
            self._out.append(f"\x1b{between}{final}")

    def sequence(self, parameters: str, between: str, final: str) -> None:
        if between:
            return
        if parameters[:1] == "?":
            kept = [mode for mode in parameters[1:].split(";") if mode in _PRIVATE]
            if final in "hl" and kept:
                self._out.append(f"\x1b[?{';'.join(kept)}{final}")
        elif parameters[:1] < "<" and final in _FINALS:
            self._out.append(f"\x1b[{parameters}{final}")


def paced(events: Iterable[Event], speed: float, at: int, idle: int) -> Iterator[tuple[float, bytes]]:
    """
    Output with the seconds to wait before it; what was before `at` comes at once, as one.

    :param at: microseconds since the recording began.
    :param idle: microseconds; a longer pause is cut to this.
    """
    before, last = bytearray(), at
    for micros, code, data in events:
        if code not in ("o", "e", "n"):
            continue
        if micros < at:
            before += data
            continue
        if before:
            yield 0.0, bytes(before)
            before.clear()
        yield min(micros - last, idle) / 1e6 / speed, data
        last = micros
    if before:
        yield 0.0, bytes(before)


def moment(text: str) -> int:
    """
    Microseconds of "75", "1:15" or "1:02:03".

    :raises ValueError: anything else.
    """
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(part.isdecimal() and part.isascii() for part in parts):
        raise ValueError(f"no time {text!r}: write seconds, or 1:15 for a minute and a quarter")
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return seconds * 1_000_000
