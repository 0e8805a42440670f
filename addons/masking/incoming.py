"""
COPY data from a client to the masks in it, as it comes: text, csv and binary, cut anywhere.

Nothing is decoded where no mask stands, nor an escape of an asterisk. Rows are kept until they are whole, up to a limit; in what is longer, or in an encoding
that hides a delimiter, a mask counts whichever column it stands in.
Source: PostgreSQL 18 manual, COPY ("File Formats").
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct

from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.masking.marks import Marked, Marks, Written
from addons.masking.strategies import MASK
from addons.sql.naming import strings
from addons.sql.parse import Unparsable, parse, unwrap
from protocols.encodings import safe
from protocols.verdict import Deny

_MASK = MASK.encode()
_ROW = 1 << 20  #: bytes of a row that are kept; longer ones are not taken apart
_LONGEST = 64  #: bytes that a mask may have
_ENDS = re.compile(rb"[\r\n]")
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|[\s\S])")
_ASTERISKS = (b"\\*", b"\\x2a", b"\\x2A", b"\\52", b"\\052", b"\\452")  # octals count modulo 256
_ROWS = re.compile(rb"(?:\\[\s\S]|[^\\\r\n])+")
_CONTROLS = dict(zip(b"bfnrtv", b"\b\f\n\r\t\v", strict=True))
_WORD = re.compile(rb"[^\s\"',;|{}\[\]()]+")
_COUNT = Struct("!h")  # fields of a tuple, -1 at the end
_LENGTH = Struct("!i")  # bytes of a field, -1 for NULL
_HEAD = 15  # bytes: signature, flags; then the length of what extends it

At = Callable[[int], Marked]
"""A field's place in its row to the marks of its column."""


class Lines:
    """
    :param delimiter: b"" where rows cannot be taken apart.
    :param quote: of csv, where it hides delimiters and ends of rows; b"" for text.
    """

    def __init__(self, at: At, every: Marked, delimiter: bytes, quote: bytes, escape: bytes) -> None:
        self._at, self._every = at, every
        self._delimiter, self._quote, self._escape = delimiter, quote, escape
        self._rest, self._lost = b"", False
        self._field = re.compile(rb"(?:\\(?:x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|[\s\S])|[^\\" + re.escape(delimiter) + rb"])*")

    def take(self, data: bytes) -> str:
        held = self._rest + data
        end = self._end(held)
        rows, self._rest = held[:end], held[end:]
        found = self._first(rows) if self._suspected(rows) else ""
        if len(self._rest) > _ROW:
            found = found or self._anywhere(self._rest[:-_LONGEST])
            self._rest, self._lost = self._rest[-_LONGEST:], True
        elif end:
            self._lost = False
        return found

    def end(self) -> str:
        rows, self._rest = self._rest, b""
        return self._first(rows) if self._suspected(rows) else ""

    def _suspected(self, part: bytes) -> bool:
        """Whether a mask can be in it: in csv quotes may stand between asterisks, in text each may be escaped."""
        if _MASK in part:
            return True
        if self._quote:
            return part.count(b"*") >= len(_MASK) and _MASK in part.replace(self._quote, b"")
        return b"\\" in part and any(asterisk in part for asterisk in _ASTERISKS)

    def _end(self, held: bytes) -> int:
        """Behind the last whole row."""
        end = max(held.rfind(b"\n"), held.rfind(b"\r"))
        if not self._quote:
            return self._unescaped(held, end) + 1
        if self._lost:
            return end + 1
        inside = self._odd(held[: end + 1])
        while end >= 0 and inside:
            before = max(held.rfind(b"\n", 0, end), held.rfind(b"\r", 0, end))
            inside = inside != self._odd(held[before + 1 : end])
            end = before
        return end + 1

    @staticmethod
    def _unescaped(held: bytes, end: int) -> int:
        """The last end of a row up to one that a backslash may make a part of a value."""
        while end > 0 and held[end - 1] == 0x5C and (end - len(held[:end].rstrip(b"\\"))) % 2:
            end = max(held.rfind(b"\n", 0, end), held.rfind(b"\r", 0, end))
        return end

    def _odd(self, part: bytes) -> bool:
        """Whether quotes are open behind it that were closed in front of it, or the other way round."""
        escaped = part.count(self._escape + self._quote) if self._escape != self._quote else 0
        return (part.count(self._quote) - escaped) % 2 == 1

    def _first(self, rows: bytes) -> str:
        if self._lost or not self._delimiter:
            return self._anywhere(rows)
        try:
            for row in self._csv(rows) if self._quote else self._text(rows):
                for place, field in enumerate(row):
                    if field.startswith(_MASK) and (label := _fitting(self._at(place), field)):
                        return label
        except csv.Error:
            return self._anywhere(rows)
        return ""

    def _text(self, rows: bytes) -> Iterator[list[bytes]]:
        """Those in which a mask may be, decoded."""
        for row in _ROWS.findall(rows) if b"\\" in rows else _ENDS.split(rows):
            if b"\\" not in row:
                if _MASK in row:
                    yield row.split(self._delimiter)
            elif self._suspected(row):
                yield self._decoded(row)

    def _decoded(self, row: bytes) -> list[bytes]:
        fields, at = [], 0
        while at <= len(row):
            field = self._field.match(row, at)
            assert field is not None  # it may be empty
            fields.append(_ESCAPE.sub(_meant, field[0]))
            at = field.end() + 1  # past a delimiter, or a backslash that nothing follows
        return fields

    def _csv(self, rows: bytes) -> Iterator[list[bytes]]:
        doubled = self._escape == self._quote
        reader = csv.reader(
            io.StringIO(rows.decode("latin-1"), newline=""), delimiter=self._delimiter.decode("latin-1"), quotechar=self._quote.decode("latin-1"),
            doublequote=doubled, escapechar=None if doubled else self._escape.decode("latin-1"),
        )  # fmt: skip
        return ([self._unquoted(field.encode("latin-1"), rows) for field in row] for row in reader)

    def _unquoted(self, field: bytes, rows: bytes) -> bytes:
        """The server takes quotes for such within a field too; those that are a part of it are doubled."""
        return field.replace(self._quote, b"") if self._quote in field and field in rows else field

    def _anywhere(self, data: bytes) -> str:
        if b"\\" in data and not self._quote:
            data = _ESCAPE.sub(_meant, data)
        words = (word for word in _WORD.findall(data) if word.startswith(_MASK)) if _MASK in data else ()
        return next((label for word in words if (label := _fitting(self._every, word))), "")


def _meant(escape: re.Match[bytes]) -> bytes:
    """The byte that an escape of COPY's text format stands for."""
    said = escape[1]
    if said[:1] == b"x" and len(said) > 1:
        return bytes((int(said[1:], 16),))
    return bytes((int(said, 8) & 0xFF,)) if said.isdigit() and said < b"8" else bytes((_CONTROLS.get(said[0], said[0]),))


class Tuples:
    """COPY's binary format."""

    def __init__(self, at: At) -> None:
        self._at, self._rest = at, b""
        self._skip = -1  #: bytes to pass over; -1 before the header
        self._place = self._fields = 0

    def take(self, data: bytes) -> str:
        held = self._rest + data
        at = 0
        while True:
            if self._skip > 0:
                passed = min(self._skip, len(held) - at)
                at, self._skip = at + passed, self._skip - passed
            step, label = self._next(held, at) if self._skip <= 0 else (0, "")
            if label or not step:
                self._rest = held[at:]
                return label
            at += step

    def end(self) -> str:
        return ""

    def _next(self, held: bytes, at: int) -> tuple[int, str]:
        """Bytes of the next part, 0 until all of it is there, and the column of a mask in it."""
        left = len(held) - at
        if self._skip < 0:
            if left < _HEAD + _LENGTH.size:
                return 0, ""
            self._skip = max(_LENGTH.unpack_from(held, at + _HEAD)[0], 0)
            return _HEAD + _LENGTH.size, ""
        if self._place == self._fields:
            if left < _COUNT.size:
                return 0, ""
            self._place, self._fields = 0, max(_COUNT.unpack_from(held, at)[0], 0)
            return _COUNT.size, ""
        return self._field(held, at, left)

    def _field(self, held: bytes, at: int, left: int) -> tuple[int, str]:
        if left < _LENGTH.size:
            return 0, ""
        length = max(_LENGTH.unpack_from(held, at)[0], 0)
        if len(_MASK) <= length <= _LONGEST:
            if left < _LENGTH.size + length:
                return 0, ""
            field = held[at + _LENGTH.size : at + _LENGTH.size + length]
            label = _fitting(self._at(self._place), field) if field.startswith(_MASK) else ""
            self._place += 1
            return _LENGTH.size + length, label
        self._place, self._skip = self._place + 1, length
        return _LENGTH.size, ""


class Incoming:
    """The COPYs of one text, one after the other; None for one that nothing is looked for in."""

    def __init__(self, copies: Iterable[Lines | Tuples | None]) -> None:
        self._copies = list(copies)

    def take(self, data: bytes | memoryview) -> Deny | None:
        """Some more of the data of the one that is under way."""
        now = self._copies[0] if self._copies else None
        return _refused(now.take(bytes(data))) if now is not None else None

    def end(self) -> Deny | None:
        """On to the next."""
        now = self._copies.pop(0) if self._copies else None
        return _refused(now.end()) if now is not None else None


def copies_in(text: str) -> bool:
    """Whether a text may hold a COPY from the client: no more than a look at its words."""
    return "stdin" in text.lower() and "copy" in text.lower()


def incoming(text: str, marks: Marks) -> Incoming | None:
    """What looks through the data of a text's COPYs; None where they write nothing that has marks."""
    try:
        copies = [s for s in parse(text).statements if isinstance(s, tree.CopyStmt) and s.is_from and not s.filename]
    except Unparsable:
        return _unread(text, marks.named_in(text))
    found = [_looking(copy, marks.of(copy.relation)) for copy in copies]
    return Incoming(found) if any(found) else None


def _unread(text: str, every: Marked) -> Incoming | None:
    """Of a text that is not read here: wherever a mask stands, in the data of as many as there may be."""
    lower = text.lower()
    looking = [Tuples(lambda _place: every) if "binary" in lower else Lines(lambda _place: every, every, b"", b"", b"") for _ in range(lower.count("stdin"))]
    return Incoming(looking) if every and looking else None


def _looking(copy: tree.CopyStmt, written: Written) -> Lines | Tuples | None:
    every = written.all + written.hidden
    if not every:
        return None
    names: Sequence[str] | None = strings(copy.attlist) or written.order

    def at(place: int) -> Marked:
        if names is None:
            return every
        return written.at(names[place]) if place < len(names) else ()

    options = {option.defname: getattr(unwrap(option.arg), "sval", "") for option in map(unwrap, copy.options)}
    form = options.get("format", "text").lower()
    if form == "binary":
        return Tuples(at)
    if "encoding" in options and not safe(options["encoding"].lower()):
        return Lines(at, every, b"", b"", b"")
    quote = options.get("quote", '"').encode() if form == "csv" else b""
    delimiter = options.get("delimiter", "," if quote else "\t").encode()
    return Lines(at, every, delimiter, quote, options.get("escape", "").encode() or quote)


def _fitting(marks: Marked, field: bytes) -> str:
    """As characters of UTF-8, and of an encoding of one byte each."""
    texts = {field.decode("utf-8", "replace"), field.decode("latin-1")}
    return next((mark.label for mark in marks if any(map(mark.fits, texts))), "")


def _refused(label: str) -> Deny | None:
    return refusals.saves_mask(label) if label else None
