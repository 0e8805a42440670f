"""
Records to a directory that proves them: ledger, heads, leaves, proofs, opened bodies, and a verifier.

The same store and the same query give the same bytes. Nothing in a bundle needs
this product to be checked: `verify.py` is what `standalone` joins.

Segments are read again here, after the search: what the log records of an export counts what matched, and no byte of a bundle
is written before that record. Reading is the least of it: a sixth of the time where little matches, less where all does.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from struct import Struct
from types import MappingProxyType

from gateway.evidence import standalone
from gateway.evidence.cast import FORMATS, Recordings, cast
from gateway.evidence.order import Chosen, by_number
from gateway.evidence.query import Found
from gateway.evidence.readable import canonical
from gateway.evidence.verifier.explained import readme
from gateway.evidence.view import Row, View
from gateway.notary.body import Bodies, BodyError
from gateway.notary.merkle import Levels, leaf_hash
from gateway.notary.note import Checkpoint, Verifier, split_note
from gateway.notary.record import parse_leaf

FORMAT = "ostiary-bundle-1"
_LENGTH = Struct("!I")
_PLACED = Struct("!QI")  # index, length
_DENSE = 16
"""From one match in so many records, all hashes of the segment (32 bytes each) are smaller than the proofs."""

def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


class ExportError(Exception):
    """The bundle cannot be made. Says why."""


def export(
    view: View, verifier: Verifier, chosen: Chosen, bodies: Bodies | None, query: Mapping[str, str], out: Path, form: str = "jsonl",
    missing: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """
    Write a bundle of what was chosen, in the store's order, to the new directory `out`.

    :param form: "jsonl", or one of `cast.FORMATS` for recordings beside that.
    :param missing: segment: what the store has lost of it.
    """
    check_new(out)
    if not out.exists():
        out.mkdir(mode=0o700)  # statements and values are opened in it; whom it is for, whoever made it decides
    writer = _Writer(out)
    entries, checkpoint = view.ledger()  # before the segments, whose heads must cover what it has seen of them
    writer.write("ledger/checkpoint", checkpoint.encode())
    writer.write("ledger/entries.bin", b"".join(_LENGTH.pack(len(e)) + e for e in entries))
    lines: list[str] = []
    recordings = Recordings()
    for number in sorted(chosen.places):
        for found in _write_segment(writer, view, number, chosen.places[number], bodies):
            lines.append(canonical(found.shown()))
            if form in FORMATS:
                recordings.feed(found)
    writer.write("readable/records.jsonl", "".join(f"{line}\n" for line in lines).encode())
    for recording in recordings.all.values():
        if recording.chunks:
            writer.write(f"readable/sessions/{recording.name}", cast(recording, FORMATS[form]).encode())
    writer.write("README.txt", readme(verifier.name, standalone.digest()))
    writer.write("verify.py", standalone.joined())
    manifest = {
        "format": FORMAT, "readable": form, "key": str(verifier), "query": dict(query), "records": chosen.records,
        "segments": sorted(chosen.places), "files": dict(sorted(writer.digests.items())),
    }
    if missing:
        manifest["missing"] = by_number(missing)
    if chosen.order is not None:
        manifest["export"] = f"{chosen.order[0]}/{chosen.order[1]}"
    (out / "MANIFEST.json").write_text(json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def check_new(out: Path) -> None:
    """:raises ExportError: `out` is not new, or what it is to be in is not there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} exists and is not empty: give --out a new directory, or remove this one first")
    if not out.absolute().parent.is_dir():
        raise ExportError(f"{out.absolute().parent} is no directory: --out makes one directory, not those above it")


class _Writer:
    """Files of the bundle, and their digests."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.digests: dict[str, str] = {}

    def write(self, name: str, data: bytes) -> None:
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.digests[name] = _digest(data)


def _write_segment(writer: _Writer, view: View, number: int, places: Sequence[int], bodies: Bodies | None) -> list[Found]:
    hashes, taken, head = _whole(view, number, set(places))
    where = f"segments/{number}/"
    writer.write(where + "head.note", head.encode())
    writer.write(where + "leaves.bin", b"".join(_placed(row[0], row[1]) for row in taken))
    matched = [_opened(row, bodies) for row in taken]
    opened = [(f.row[0], f.opening + f.plain) for f in matched if f.opening is not None and f.plain is not None]
    writer.write(where + "bodies.bin", b"".join(_placed(index, data) for index, data in opened))
    if len(places) * _DENSE > len(hashes):
        writer.write(where + "level0.bin", b"".join(hashes))
    else:
        levels = Levels(hashes)
        writer.write(where + "proofs.bin", b"".join(_placed(i, b"".join(levels.inclusion(i))) for i in places))
    return matched


def _opened(row: Row, bodies: Bodies | None) -> Found:
    found = Found(row, parse_leaf(row[1]), "")
    if bodies is not None and row[2] is not None:
        with contextlib.suppress(BodyError):
            found.plain, found.opening = bodies.open(found.record.session, row[2])
    return found


def _whole(view: View, number: int, places: set[int]) -> tuple[list[bytes], list[Row], str]:
    """All leaf hashes of a segment under one head, and the rows at `places`. A live segment grows while it is read."""
    hashes: list[bytes] = []
    taken: list[Row] = []
    while True:
        page, head = view.page(number, len(hashes))
        hashes += [leaf_hash(leaf) for _, leaf, _ in page]
        taken += [row for row in page if row[0] in places]
        size = Checkpoint.parse(split_note(head)[0]).size
        if len(hashes) >= size:
            if len(taken) != len(places):
                raise ExportError(f"segment {number} is not as it was searched: run `ostiary audit verify`")
            return hashes[:size], taken, head
        if not page:
            raise ExportError(f"segment {number} is cut: run `ostiary audit verify`")


def _placed(index: int, data: bytes) -> bytes:
    return _PLACED.pack(index, len(data)) + data
