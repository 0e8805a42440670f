"""
Text on recorded screens: which chunk of a recording brought it there.

Each recording has a terminal of its own here, so that a word is found however a program wrote it: letter by letter, in
colours, over something else, across two chunks. Chunks must come in order; one that comes again is not looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protocols.escapes import Stripped
from protocols.screen import Screen

KEPT = 256
"""Recordings looked at together; of the one that was quiet longest only what comes next is seen."""

_LINES = 64


@dataclass(slots=True)
class _Terminal:
    screen: Screen = field(default_factory=Screen)
    stripped: Stripped = field(default_factory=Stripped)
    typed: Stripped = field(default_factory=Stripped)
    carried: str = ""
    lines: list[str] = field(default_factory=list)  # that held the text: what is written behind it is not another find
    next: int = 0


class Shown:
    """:param text: what is looked for, in any case."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._terminals: OrderedDict[tuple[bytes, int], _Terminal] = OrderedDict()

    def feed(self, session: bytes, recording: int, number: int, events: Iterable[Any]) -> bool:
        """Whether this chunk brought the text to the screen, or holds it as it was typed."""
        key = session, recording
        terminal = self._terminals.pop(key, None) or _Terminal()
        self._terminals[key] = terminal
        if len(self._terminals) > KEPT:
            self._terminals.popitem(last=False)
        if number < terminal.next:
            return False
        terminal.next = number + 1
        typed, shown = [], [terminal.carried]
        for _, code, data in events:
            if code in ("o", "e", "n"):
                terminal.screen.feed(data)
                shown.append(terminal.stripped.feed(data))
            elif code == "i":
                typed.append(terminal.typed.feed(data))
            elif code == "r":
                terminal.screen.resize(*map(int, data.split(b"x")))
        text = "".join(shown)
        terminal.carried = text[-len(self._text):] if not self._holds(text) else ""
        lines = [line for line in terminal.screen.changed() if self._holds(line)]
        new = [line for line in lines if not any(line.startswith(old) or old.startswith(line) for old in terminal.lines)]
        terminal.lines = [*lines, *terminal.lines][:_LINES]
        return bool(new) or any(map(self._holds, [text, "".join(typed)]))

    def ended(self, session: bytes, recording: int) -> None:
        """Nothing more comes of this one."""
        self._terminals.pop((session, recording), None)

    def _holds(self, text: str) -> bool:
        return self._text in text.casefold()
