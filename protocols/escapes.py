"""
Terminal output to its parts: text, controls, escape and control sequences. Bytes in, calls out.

However the bytes are cut into reads, the calls mean the same; text alone may be cut elsewhere. What a
terminal would swallow (OSC, DCS, APC, PM, SOS strings) is swallowed, and nothing here grows with it.

Source: ECMA-48, 5th edition, sections 5.4 (control sequences) and 8.3; Paul Williams' VT500 state diagram.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import Protocol

PARAMETERS_LIMIT = 128
"""Characters of a control sequence's parameters and intermediates; a longer one is swallowed. Programs send up to 40."""

_PIECE = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<parameters>[0-?]{0,64})(?P<final>[@-~])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f-\x9f])"
)
_GROUND, _ESCAPE, _SEQUENCE, _IGNORED, _STRING, _STRING_ESCAPE = range(6)
_CANCELS = "\x18\x1a"
_STRINGS = "]PX^_"  # what follows ESC and opens a string: OSC, DCS, SOS, PM, APC


class Parts(Protocol):
    """Who is told what the output consists of."""

    def text(self, text: str) -> None:
        """Printable characters, never empty."""

    def control(self, char: str) -> None:
        """One C0 control, DEL, or a C1 control (U+0080 to U+009F)."""

    def escape(self, between: str, final: str) -> None:
        """ESC, intermediates, and a final character that opens nothing."""

    def sequence(self, parameters: str, between: str, final: str) -> None:
        """A control sequence: CSI, its parameter bytes as they came, intermediates, final."""


class Escapes:
    """
    One stream of a terminal's output.

    :param encoding: "utf-8" for what terminals show; "latin-1" keeps one character a byte.
    """

    def __init__(self, parts: Parts, encoding: str = "utf-8") -> None:
        self._parts = parts
        self._decode = getincrementaldecoder(encoding)("replace").decode
        self._state = _GROUND
        self._kept = ""  # of the sequence that has begun

    @property
    def between(self) -> bool:
        """Whether no sequence has begun that is not whole."""
        return self._state == _GROUND

    def feed(self, data: bytes) -> None:
        """Take what came, whatever its cuts."""
        text = self._decode(data)
        at, end, match, parts = 0, len(text), _PIECE.match, self._parts
        while at < end:
            if self._state == _GROUND:
                found = match(text, at)
                if found is None:  # an ESC, or a sequence that is cut or unusual
                    self._state, self._kept = _ESCAPE, ""
                    at += 1
                    continue
                at = found.end()
                kind = found.lastgroup
                if kind == "text":
                    parts.text(found.group())
                elif kind == "control":
                    parts.control(found.group())
                else:
                    parts.sequence(found["parameters"], "", found["final"])
            elif self._state in (_STRING, _STRING_ESCAPE):
                at = self._string(text, at)
            else:
                self._step(text[at])
                at += 1

    def _step(self, char: str) -> None:
        """One character inside an escape or control sequence."""
        if char in _CANCELS:
            self._state = _GROUND
        elif char == "\x1b":
            self._state, self._kept = _ESCAPE, ""
        elif char < " " or "\x7f" <= char <= "\x9f":
            if char < " ":
                self._parts.control(char)  # carried out at once; the sequence goes on (VT500)
        elif self._state == _ESCAPE:
            self._after_escape(char)
        elif char > "~":
            self._state = _GROUND  # no such thing in a sequence
            self._parts.text(char)
        elif "@" <= char:
            self._finish(char)
        elif len(self._kept) >= PARAMETERS_LIMIT:
            self._state = _IGNORED
        else:
            self._kept += char

    def _after_escape(self, char: str) -> None:
        if char == "[" and not self._kept:
            self._state = _SEQUENCE
        elif char in _STRINGS and not self._kept:
            self._state = _STRING
        elif " " <= char <= "/":
            if len(self._kept) < PARAMETERS_LIMIT:
                self._kept += char
        else:
            between, self._kept, self._state = self._kept, "", _GROUND
            if char <= "~":
                self._parts.escape(between, char)
            else:
                self._parts.text(char)

    def _finish(self, final: str) -> None:
        kept, ignored = self._kept, self._state == _IGNORED
        self._state, self._kept = _GROUND, ""
        parameters = kept.rstrip(" !\"#$%&'()*+,-./")
        if not ignored and not any(" " <= char <= "/" for char in parameters):
            self._parts.sequence(parameters, kept[len(parameters):], final)

    def _string(self, text: str, at: int) -> int:
        """Swallow up to BEL, ST, CAN or SUB; where to go on."""
        if self._state == _STRING_ESCAPE:
            if text[at] == "\\":
                self._state = _GROUND
                return at + 1
            self._state, self._kept = _ESCAPE, ""  # another sequence begins, and ends the string
            return at
        found = _STRING_END.search(text, at)
        if found is None:
            return len(text)
        self._state = _STRING_ESCAPE if found.group() == "\x1b" else _GROUND
        return found.end()


_STRING_END = re.compile("[\x07\x18\x1a\x1b\x9c]")


class _Plain:
    """Keeps text and line ends."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def text(self, text: str) -> None:
        self.kept.append(text)

    def control(self, char: str) -> None:
        if char in "\n\t":
            self.kept.append(char)

    def escape(self, between: str, final: str) -> None:
        """Shows nothing."""

    def sequence(self, parameters: str, between: str, final: str) -> None:
        """Shows nothing itself."""


class Stripped:
    """The text of a stream without what moves or colours it."""

    def __init__(self) -> None:
        self._plain = _Plain()
        self._escapes = Escapes(self._plain)

    def feed(self, data: bytes) -> str:
        """What of this is text; tabs and line feeds are."""
        self._escapes.feed(data)
        kept, self._plain.kept = self._plain.kept, []
        return "".join(kept)
