"""
Recordings as asciicast, versions 2 and 3, from chunks and from nothing else: the same chunks give the same bytes.

The verifier that bundles carry repeats these rules on its own. Source: docs.asciinema.org, asciicast v2 and v3.
"""

from __future__ import annotations

import json
import uuid
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.evidence.query import Found
from gateway.notary.record import Kind

FORMATS = {"asciicast": 2, "asciicast-v3": 3}
"""Names of `--format`, and the version of each."""

_SHOWN = {"o": "o", "e": "o", "n": "o", "i": "i", "r": "r", "h": "m"}
_MARK = "typing that is not recorded"
_DEFAULT_SIZE = "80x24"

Event = tuple[int, str, bytes]


@dataclass(slots=True)
class Recording:
    """One recording's chunks, as far as they were found."""

    session: bytes
    number: int
    time_ns: int = 0  #: when the first chunk found was recorded
    chunks: dict[int, list[Event]] = field(default_factory=dict)
    ended: int | None = None  #: how many chunks it has, once that was found

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{uuid.UUID(bytes=self.session)}-{self.number}.cast"

    def events(self) -> Iterator[Event]:
        """In order, of every chunk that there is."""
        for number in sorted(self.chunks):
            yield from self.chunks[number]

    def add(self, number: int, time_ns: int, events: Iterable[Any]) -> bool:
        """Whether this chunk is new: it may have been recorded twice, the same, around a notary's end."""
        if number in self.chunks:
            return False
        self.time_ns = self.time_ns or time_ns
        self.chunks[number] = [(micros, code, data) for micros, code, data in events]
        return True


class Recordings:
    """Takes what a search finds, and sorts it into recordings. Chunks whose body is closed are left out."""

    def __init__(self) -> None:
        self.all: dict[tuple[bytes, int], Recording] = {}

    def feed(self, found: Found) -> Recording | None:
        """The recording that this record is part of; None when it is none, or one seen before."""
        record = found.record
        if record.kind == Kind.CHUNK and found.body is not None:
            recording = self._of(record.session, record.get("recording"))
            return recording if recording.add(record.get("chunk"), record.stamp.time_ns, found.body[0]) else None
        if record.kind == Kind.RECORDED:
            recording = self._of(record.session, record.get("recording"))
            recording.ended = record.get("chunks")
            return recording
        return None

    def _of(self, session: bytes, number: int) -> Recording:
        return self.all.setdefault((session, number), Recording(session, number))


def cast(recording: Recording, version: int) -> str:
    """The file's text."""
    events = list(recording.events())
    size = next((data.decode() for _, code, data in events if code == "r"), _DEFAULT_SIZE)
    term = next((data.decode(errors="replace") for _, code, data in events if code == "t"), "")
    return "".join(f"{line}\n" for line in [_header(recording, version, size, term), *_lines(events, version)])


def _header(recording: Recording, version: int, size: str, term: str) -> str:
    columns, rows = map(int, (size if "0" not in size.split("x") else _DEFAULT_SIZE).split("x"))  # a client may say 0x0
    timestamp = recording.time_ns // 1_000_000_000
    if version == 2:
        head = {"version": 2, "width": columns, "height": rows, "timestamp": timestamp, "env": {"TERM": term}}
    else:
        head = {"version": 3, "term": {"cols": columns, "rows": rows, "type": term}, "timestamp": timestamp}
    return json.dumps(head, ensure_ascii=False)


def _lines(events: Iterable[Event], version: int) -> Iterator[str]:
    """Text is decoded for each kind of event on its own, across events; what is not UTF-8 shows as U+FFFD."""
    decoders = {code: getincrementaldecoder("utf-8")("replace") for code in _SHOWN}
    sized = False
    last = 0
    for micros, code, data in events:
        if code not in _SHOWN or (code == "r" and not sized):
            sized = sized or code == "r"  # the first size is in the header
            continue
        text = _MARK if code == "h" else decoders[code].decode(data)
        if text:
            since = micros - (last if version == 3 else 0)
            last = micros
            yield f'[{since // 1_000_000}.{since % 1_000_000:06d}, "{_SHOWN[code]}", {json.dumps(text, ensure_ascii=False)}]'
