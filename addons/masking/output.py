"""
Output: identifiers in what a terminal shows, found by their form and starred out, letter for letter.

It helps against what is shown by accident. Values are found in runs of text, whatever colours are in them and however the
run is cut into reads; one that a program breaks by moving the cursor, or writes slower than the hold-back, is not.
What must not be seen must not be there: mask it at its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from protocols.session import Session

from addons.masking.detectors import DETECTORS, Detector
from addons.sql.conditions import Conditions, Now, Table, conditions

REACH = 160
"""Characters of text; the longest value that a detector finds. So much is kept back, and so much is remembered of what left."""
TERMINALS, ALL = "terminals", "all"
_SEQUENCE_LIMIT = 128  # bytes of an escape sequence that is waited for

_PIECES = re.compile(
    rb"(?P<text>[\x20-\x7e\x80-\xff]+)"
    rb"|(?P<colour>\x1b\[[0-9;:]{0,64}[mK])"
    rb"|(?P<cut>\x1b(?:\[[0-?]{0,126}[ -/]{0,8})?\Z)"
    rb"|(?P<other>\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f])"
)
_MAY_GO_ON = re.compile(r"(?:[\w.+@-]{1,128}|[\d(+][\d ().-]{0,32}|\bMRN[-:# ]{0,2}\d{0,12})\Z", re.ASCII | re.IGNORECASE)
"""What at a run's end may be the beginning of a value."""


class Stars:
    """One stream of output. What comes out is as long as what went in."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = [each for each in detectors if each.value is not None]
        self._cut = b""  # of an escape sequence
        self._run: list[bytes] = []  # text and colours that have not left
        self._text = ""  # the run's text, behind the last of what has left of it
        self._left = 0  # how many characters of it have left

    def feed(self, data: bytes) -> bytes:
        """What may leave now."""
        data, self._cut, out = self._cut + data, b"", []
        for found in _PIECES.finditer(data):
            kind, piece = found.lastgroup, found.group()
            if kind == "text":
                self._run.append(piece)
                self._text += piece.decode("latin-1")
            elif kind == "colour":
                self._run.append(piece)
            elif kind == "cut" and len(piece) < _SEQUENCE_LIMIT:
                self._cut = piece
            else:
                out += [self._leave(len(self._text)), piece]
                self._text, self._left = "", 0
        held = _MAY_GO_ON.search(self._text, max(self._left, len(self._text) - REACH))
        out.append(self._leave(held.start() if held else len(self._text)))
        return b"".join(out)

    def flush(self) -> bytes:
        """Nothing came for a while: everything leaves, and is remembered as the beginning of what may follow."""
        cut, self._cut = self._cut, b""
        return self._leave(len(self._text)) + cut

    @property
    def holds(self) -> bool:
        """Whether anything is kept back."""
        return bool(self._run or self._cut)

    def _leave(self, end: int) -> bytes:
        """The run up to a character of its text, masked; all of it with its last colours when that is its end."""
        if not self._run or (end <= self._left and end < len(self._text)):
            return b""
        stars = self._found()
        out, kept, at = [], [], self._left
        for piece in self._run:
            if piece[:1] == b"\x1b":
                (out if at < end or end == len(self._text) else kept).append(piece)
                continue
            now = piece[:max(0, end - at)]
            out.append(bytes(0x2A if at + place in stars else byte for place, byte in enumerate(now)) if stars else now)
            if len(now) < len(piece):
                kept.append(piece[len(now):])
            at += len(piece)
        forgotten = max(0, end - REACH)
        self._run, self._text, self._left = kept, self._text[forgotten:], end - forgotten
        return b"".join(out)

    def _found(self) -> set[int]:
        """Places in the text that are part of a value."""
        places: set[int] = set()
        for detector in self._detectors:
            assert detector.value is not None
            for found in detector.value.finditer(self._text):
                if detector.right(found.group()):
                    places.update(range(found.start(), found.end()))
        return places


class Output:
    """
    :param detectors: names of those that look; all that know a form, unless said.
    :param channels: "terminals", or "all" for what runs without one too: a file that is copied then differs from its original.
    :param where: conditions of a session, such as { targets = ["web1"] }; every session, unless said.
    :param now: needed where they name hours or days.
    """

    def __init__(
        self, *, detectors: Iterable[str] = (), channels: str = TERMINALS, where: Mapping[str, object] | None = None, now: Now | None = None
    ) -> None:
        known = {each.name: each for each in DETECTORS if each.value is not None}
        wanted = tuple(detectors) or tuple(known)
        for name in wanted:
            if name not in known:
                raise ValueError(f"detectors: unknown {name!r}; known: {', '.join(known)}")
        if channels not in (TERMINALS, ALL):
            raise ValueError(f'channels: unknown {channels!r}; write "terminals" or "all"')
        self._detectors, self._all = tuple(known[name] for name in wanted), channels == ALL
        table = Table(dict(where or {}), "where")
        self._where: Conditions = conditions(table)
        table.end()
        if self._where.timed and now is None:
            raise ValueError("where: it names hours or days, and no clock was given")
        self._now = now

    def stars(self, session: Session, terminal: bool) -> Stars | None:
        """What looks at a channel's output; None where it passes as it is."""
        if not (terminal or self._all) or not self._where.fits(session):
            return None
        if self._where.timed and self._now is not None and not self._where.holds(self._now()):
            return None
        return Stars(self._detectors)
