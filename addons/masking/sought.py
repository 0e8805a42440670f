"""
Bytes of results to what detectors find in them, and those bytes with it starred out.

A whole read is looked through once, by RE2, for anything that could be a value; only where there is something are rows
taken apart and values held against their exact form and checksums. What comes out has the length of what went in, so no
message changes its head; only cells whose type cannot show stars become NULL.

Source: PostgreSQL 18 manual, 54.7 (DataRow, CopyData), COPY ("Text Format": its escapes).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any

from addons.masking.detectors import DETECTORS, Detector
from addons.masking.lengths import Lengths
from protocols.errors import PeerError
from protocols.result import Columns

HOLD = 1024
"""Bytes of a large message that are kept back, since a value may go on in what comes next; no detector's value is longer."""
_BEHIND = 8  # bytes in front of a value that say whether it stands alone

_HEAD = Struct("!cI")  # tag, length that counts itself
_CELL = Struct("!i")  # bytes; -1 is NULL
_NULL = _CELL.pack(-1)
_LENGTH = Struct("!I")  # as in a message's head

_DIGIT, _WORD = "[0-9]", "[0-9A-Za-z_-]"
_LOOSE = {
    "ssn": rf"{_DIGIT}{{3}}-{_DIGIT}{{2}}-{_DIGIT}{{4}}",
    "npi": rf"[12]{_DIGIT}{{9}}",
    "card": rf"[3-6]{_DIGIT}{{3}}(?:[ -]?{_DIGIT}{{4}}){{2}}[ -]?{_DIGIT}|3{_DIGIT}{{3}}[ -]?{_DIGIT}{{6}}[ -]?{_DIGIT}{{5}}",
    "email": rf"@{_WORD}+\.",
    "phone": rf"[2-9]{_DIGIT}{{2}}(?:\) ?|[ .-])[2-9]{_DIGIT}{{2}}[ .-]{_DIGIT}{{4}}",
    "mrn": rf"(?i:MRN)[-:# ]{{0,2}}{_DIGIT}{{5}}",
}
"""What must be there for a detector to find anything, whatever stands around it: a read's heads and lengths are bytes too."""

FORMS: Mapping[str, Detector] = {each.name: each for each in DETECTORS if each.name in _LOOSE}
"""Detectors that know a form."""

_ANCHOR = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<anchor>[\^$])")
_ANCHORS = frozenset({r"\b", r"\B", r"\A", r"\z", r"\C"})
_STARS = frozenset({18, 19, 25, 114, 142, 705, 1009, 1015, 1042, 1043, 199, 2249, 3802, 3807, 2287})
"""char, name, text, json, xml, unknown, varchar, bpchar, jsonb, record, and arrays of them: their values may show stars."""
_NEVER = frozenset({16, 21, 26, 1082, 1083, 1114, 1184, 1186, 1266, 2950})
"""bool, int2, oid, dates and times, uuid: none is an identifier that a detector knows."""
_FIRST_USER_OID = 16384  # such types are enums, composites, extensions' texts: shown with stars
_ESCAPES = {0x62: 1, 0x66: 1, 0x6E: 1, 0x72: 1, 0x74: 1, 0x76: 1, 0x75: 5}
"""The letter behind a backslash, to how many bytes are the escape's and not the value's."""


class Record:
    """A site's own form of record number, in RE2's syntax; it must stand alone, as the built-in ones."""

    def __init__(self, name: str, pattern: str) -> None:
        """:raises ValueError: it cannot be looked for, with the reason."""
        import re2  # not before a site asks for it: looking through results is optional, and RE2 is loaded with it

        if any(found["anchor"] or found.group() in _ANCHORS for found in _ANCHOR.finditer(pattern)):
            raise ValueError(f"records.{name}: no anchors (^ $ \\b): a record number is found wherever it stands alone")
        try:
            self._form = re2.compile(pattern.encode(), _options(re2))
        except (re2.error, UnicodeEncodeError) as error:
            raise ValueError(f"records.{name}: {error}") from None
        if self._form.search(b"") is not None:
            raise ValueError(f"records.{name}: it fits the empty text")
        self.name, self.loose = name, pattern

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        for found in self._form.finditer(data):
            start, end = found.span()
            if not _word(data[end:end + 1]) and (not _word(data[start - 1:start]) or _escaped(data, start)):
                yield start, end


class _Form:
    """A built-in detector over bytes."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self.name, self.loose = detector, detector.name, _LOOSE[detector.name]

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        detector = self._detector
        assert detector.value is not None
        for found in detector.value.finditer(data.decode("latin-1")):
            if detector.right(found.group()):
                yield found.span()


@dataclass(frozen=True, slots=True)
class Sought:
    """
    What is looked for, compiled once.

    :ivar may_be: finds the next place to look at more closely.
    :ivar which: the numbers of the forms that may be in a text; None when it does not know.
    :ivar masked: names of the forms that are starred out; the others are only counted.
    """

    forms: tuple[Any, ...]
    may_be: Any
    which: Callable[[bytes], list[int] | None]
    masked: frozenset[str]


def sought(mask: Iterable[str], alarm: Iterable[str], records: Mapping[str, str]) -> Sought:
    """:raises ValueError: a record's pattern cannot be looked for."""
    import re2  # as in Record

    own = {name: Record(name, pattern) for name, pattern in records.items()}
    masked = frozenset(mask)
    forms = tuple(own.get(name) or _Form(FORMS[name]) for name in dict.fromkeys((*mask, *alarm)))
    may_be = re2.compile("|".join(f"(?:{form.loose})" for form in forms).encode(), _options(re2))
    which = re2.Set.SearchSet(_options(re2))
    for form in forms:
        which.Add(form.loose.encode())
    which.Compile()
    return Sought(forms, may_be, which.Match, masked)


def _options(re2: Any) -> Any:
    options = re2.Options()
    options.encoding, options.log_errors = re2.Options.Encoding.LATIN1, False
    return options


class Found:
    """
    One result that is looked through (`protocols.result.Search`).

    :param only_alarm: nothing is starred out.
    """

    def __init__(self, sought: Sought, *, only_alarm: bool = False) -> None:
        self._sought, self._masked = sought, frozenset() if only_alarm else sought.masked
        self.counts: Counter[str] = Counter()
        self._before = self._held = self._seen = b""  # of a large message: what left last, what waits, and that without lengths
        self._lengths: Lengths | None = None

    @property
    def alarm(self) -> str:
        """Names and numbers, never values."""
        if not self.counts:
            return ""
        told = ", ".join(f"{name} {count}{' masked' if name in self._masked else ''}" for name, count in self.counts.items())
        return f"found in what no declaration covers: {told}"

    def rows(self, rows: bytes, columns: Columns) -> tuple[bytes, int]:
        """As `Search`. :raises PeerError: a length does not add up."""
        if self._sought.may_be.search(rows) is None:
            return rows, 0
        kinds = [_kind(field.type_oid, field.format) for field in columns.fields]
        out, masked, kept = [], 0, 0
        for start, stop in self._suspects(rows):
            row, count = self._row(rows, start, stop, kinds)
            if count:
                out += [rows[kept:start], row]
                kept, masked = stop, masked + count
        return (b"".join((*out, rows[kept:])), masked) if masked else (rows, 0)

    def messages(self, run: bytes) -> tuple[bytes, int]:
        """As `Search`. :raises PeerError: a length does not add up."""
        if self._sought.may_be.search(run) is None:
            return run, 0
        out, masked = bytearray(run), 0
        for start, stop in self._suspects(run):
            shown, count = self.starred(run[start + 5:stop])
            if count:
                out[start + 5:stop], masked = shown, masked + 1
        return (bytes(out), masked) if masked else (run, 0)

    def _suspects(self, run: bytes) -> Iterator[tuple[int, int]]:
        """Where each message begins and ends that must be looked at more closely."""
        at, end, place, length = 0, len(run), 0, _LENGTH.unpack_from
        while at < end:
            if at >= place:
                found = self._sought.may_be.search(run, at)
                if found is None:
                    return
                place = found.end()
            stop = at + 1 + length(run, at + 1)[0] if end - at >= 5 else 0
            if not at + 5 <= stop <= end:
                raise PeerError("message outside its run", offset=at)
            if stop >= place:
                yield at, stop
                place = 0
            at = stop

    def begin(self, ahead: int | None) -> None:
        """As `Search`."""
        self._lengths = None if ahead is None else Lengths(ahead)

    def piece(self, data: bytes, *, last: bool = False) -> bytes:
        """As `Search`."""
        self._seen += data if self._lengths is None else self._lengths.blanked(data)
        data = self._held + data
        cut = len(data) if last else max(0, len(data) - HOLD)
        whole, offset = self._before + self._seen, len(self._before)
        spans = self._spans(whole)
        for start, end, _name in spans:
            if start - offset < cut < end - offset:
                cut = start - offset
        shown = bytearray(data)
        for start, end, name in spans:
            if offset <= start < cut + offset:
                self.counts[name] += 1
                if name in self._masked:
                    shown[start - offset:end - offset] = b"*" * (end - start)
        self._held, self._seen = (b"", b"") if last else (data[cut:], self._seen[cut:])
        self._before = b"" if last else whole[:cut + offset][-_BEHIND:]
        return bytes(shown[:cut])

    def starred(self, data: bytes) -> tuple[bytes, int]:
        """A text with what was found starred out, and how many stretches were."""
        out, count = bytearray(data), 0
        for start, end, name in self._spans(data):
            self.counts[name] += 1
            if name in self._masked:
                out[start:end] = _stars(data, start, end)
                count += 1
        return (bytes(out), count) if count else (data, 0)

    def _row(self, rows: bytes, start: int, stop: int, kinds: list[str]) -> tuple[bytes, int]:
        """One DataRow, and how many cells of it were masked."""
        cells, at, masked = [rows[start + 5:start + 7]], start + 7, 0
        for kind in kinds:
            if stop - at < 4:
                raise PeerError("cell outside its row", offset=at)
            size = max(0, _CELL.unpack_from(rows, at)[0])
            cell, after = rows[at + 4:at + 4 + size], at + 4 + size
            if after > stop:
                raise PeerError("cell outside its row", offset=at)
            shown, count = self.starred(cell) if kind and size else (cell, 0)
            if count:
                masked += 1
                cells.append(_NULL if kind == "null" else rows[at:at + 4] + shown)
            else:
                cells.append(rows[at:after])
            at = after
        body = b"".join(cells)
        return (_HEAD.pack(b"D", len(body) + 4) + body, masked) if masked else (b"", 0)

    def _spans(self, data: bytes) -> list[tuple[int, int, str]]:
        """What is found: from, to, and whose it is; without the letters of an escape that it seemed to begin with."""
        if self._sought.may_be.search(data) is None:
            return []
        forms = self._sought.forms
        # A set that ran out of memory says None as well; nothing is taken for clear because of it.
        which = self._sought.which(data) or range(len(forms))
        return [(start + _escape(data, start), end, forms[n].name) for n in which for start, end in forms[n].spans(data)]


def _kind(type_oid: int, form: int) -> str:
    """How a cell of a type is masked: "stars", "null"; "" when it is not looked at."""
    if type_oid in _STARS or type_oid >= _FIRST_USER_OID:
        return "stars"
    return "" if type_oid in _NEVER or form == 1 else "null"


def _stars(data: bytes, start: int, end: int) -> bytes:
    """A bare number of JSON stays one."""
    length = end - start
    if data[start:end].isdigit() and length > 2 and re.search(rb"[:\[,]\s{0,8}\Z", data[max(0, start - 9):start]) \
            and re.match(rb"\s{0,8}[,\]}]", data[end:end + 9]) and data.lstrip(b"\x01 \n")[:1] in (b"{", b"["):
        return b"0." + b"0" * (length - 2)
    return b"*" * length


def _word(byte: bytes) -> bool:
    return byte.isalnum() or byte == b"_"


def _escaped(data: bytes, start: int) -> bool:
    """Whether an escape, or a length in binary, ends right before."""
    return (
        start > 1 and data[start - 2] == 0x5C and data[start - 1] in _ESCAPES
        or start > 5 and data[start - 6:start - 4] == b"\\u"
        or start > 3 and data[start - 4] == 0
    )


def _escape(data: bytes, start: int) -> int:
    """How many bytes at a place belong to an escape."""
    return _ESCAPES.get(data[start], 0) if start and data[start - 1] == 0x5C and start < len(data) else 0
