"""
Output: identifiers in what a terminal shows, found by their form and starred out, letter for letter.

It helps against what is shown by accident. Values are found in runs of text, whatever colours and controls that show nothing are in them and however the
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
    rb"(?P<text>(?:[\x20-\x7e\x80-\xc1\xc3-\xe1\xe3-\xee\xf0-\xff]|\xc2(?![\x80-\x9f\xad]|\Z)|\xe2(?!\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf]|[\x80\x81]?\Z)"
    rb"|\xef(?!\xbb\xbf|\xbb?\Z))+)"
    rb"|(?P<unseen>(?:\x1b\[|\xc2\x9b)[0-9;:]{0,64}[mK]|\x1b(?:(?!#8)[ -/]{1,8}[0-~]|[679=>FHNOZaf-z{|}~]))"
    rb"|(?P<string>\x1b[]PX^_][\x20-\x7e\x80-\xff]{0,120}(?:\x07|\x1b\\))"
    rb"|(?P<cut>(?:\xc2|\xe2[\x80\x81]?|\xef\xbb?|\xc2\x9b[0-?]{0,125}[ -/]{0,8})\Z|\x1b(?:\[[0-?]{0,126}[ -/]{0,8}|[ -/]{1,8}|[]PX^_][\x20-\x7e\x80-\xff]{0,120}\x1b?)?\Z)"
    rb"|(?P<mute>[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]|\xe2..|\xef\xbb\xbf|\xc2\xad|\xc2(?!\x9b)[\x80-\x9f])"
    rb"|(?P<other>(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*[@-~]|\x1b(?:#8|[0-Z\\`-~])|[\x08-\x0d\x1b]|\xc2.)",
    re.DOTALL,
)
"""
What a terminal shows; what changes nothing of where the next letter stands (ECMA-48, 5.3 and 8.3; xterm's ctlseqs): colours and character sets, titles and links,
controls and characters of no width, which it ignores; and what does.
"""
_MAY_GO_ON = re.compile(r"(?:[\w.+@-]{1,128}|[\d(+][\d ().-]{0,32}|\bMRN[-:# ]{0,2}\d{0,12})\Z", re.ASCII | re.IGNORECASE)
"""What at a run's end may be the beginning of a value."""


class Stars:
    """One stream of output. What comes out is as long as what went in."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = [each for each in detectors if each.value is not None]
        self._cut = b""  # of an escape sequence
        self._run: list[tuple[bool, bytes]] = []  # what has not left, and whether it is text
        self._text = ""  # the run's text, behind the last of what has left of it
        self._mutes: list[int] = []  # places in it where a control stands, which parts values for whoever is no terminal
        self._left = 0  # how many characters of it have left

    def feed(self, data: bytes) -> bytes:
        """What may leave now."""
        data, self._cut, out = self._cut + data, b"", []
        for found in _PIECES.finditer(data):
            kind, piece = found.lastgroup, found.group()
            if kind == "text":
                self._run.append((True, piece))
                self._text += piece.decode("latin-1")
            elif kind == "cut" and len(piece) < _SEQUENCE_LIMIT:
                self._cut = piece
            elif kind in ("unseen", "string", "mute"):
                self._run.append((False, self._starred(piece) if kind == "string" else piece))
                if kind == "mute":
                    self._mutes.append(len(self._text))
            else:
                out += [self._leave(len(self._text)), piece]
                self._text, self._left, self._mutes = "", 0, []
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
        for text, piece in self._run:
            if not text:
                if at < end or end == len(self._text):
                    out.append(piece)
                else:
                    kept.append((False, piece))
                continue
            now = piece[:max(0, end - at)]
            out.append(bytes(0x2A if at + place in stars else byte for place, byte in enumerate(now)) if stars else now)
            if len(now) < len(piece):
                kept.append((True, piece[len(now):]))
            at += len(piece)
        forgotten = max(0, end - REACH)
        self._run, self._text, self._left = kept, self._text[forgotten:], end - forgotten
        self._mutes = [place - forgotten for place in self._mutes if place > forgotten]
        return b"".join(out)

    def _found(self) -> set[int]:
        """Places in the text that are part of a value: of all of it, and of what stands between two controls."""
        places = _values(self._text, self._detectors)
        ends = [0, *self._mutes, len(self._text)] if self._mutes else []
        for begin, end in zip(ends, ends[1:]):
            places.update(begin + place for place in _values(self._text[begin:end], self._detectors))
        return places

    def _starred(self, piece: bytes) -> bytes:
        """A title or a link, with no value in it."""
        stars = _values(piece[2:].decode("latin-1"), self._detectors)  # behind what begins it, a letter perhaps
        return piece[:2] + bytes(0x2A if place in stars else byte for place, byte in enumerate(piece[2:]))


def _values(text: str, detectors: Iterable[Detector]) -> set[int]:
    """Places in a text that are part of a value."""
    places: set[int] = set()
    for detector in detectors:
        assert detector.value is not None
        for found in detector.value.finditer(text):
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
