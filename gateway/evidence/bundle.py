"""
Records to a directory that proves them: ledger, heads, leaves, proofs, opened bodies, and a verifier.

The same store and the same query give the same bytes. Nothing in a bundle needs
this product to be checked: `verify.py` is a copy of `standalone.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from struct import Struct

from gateway.evidence import standalone
from gateway.evidence.cast import FORMATS, Recordings, cast
from gateway.evidence.query import Found
from gateway.evidence.readable import canonical
from gateway.evidence.view import View
from gateway.notary.merkle import Levels, leaf_hash
from gateway.notary.note import Checkpoint, Verifier, split_note

FORMAT = "ostiary-bundle-1"
_LENGTH = Struct("!I")
_PLACED = Struct("!QI")  # index, length
_DENSE = 16
"""From one match in so many records, all hashes of the segment (32 bytes each) are smaller than the proofs."""

_README = """Evidence of the gateway {origin}

readable/records.jsonl   the records, one JSON object a line
readable/sessions/       recordings of terminals, if they were asked for: asciinema play FILE
segments/, ledger/       what proves them
verify.py                checks all of it: python3 verify.py --key PUB

PUB is the log's public key. Ask for it on another way than this bundle's: a forged
bundle would come with a forged key. MANIFEST.json names the key that signed this one.

What is proved: each record was in the log, at its place, unchanged, and each opened body is the one
recorded then. What is not: that the query found everything it should have (ask for
the whole segments), and that the gateway saw everything (compare with the target's own log).
"""


class ExportError(Exception):
    """The bundle cannot be made. Says why."""


def export(
    view: View, verifier: Verifier, found: Iterable[Found], query: Mapping[str, str], out: Path, form: str = "jsonl"
) -> int:
    """
    Write a bundle of what was found, in the store's order, to the new directory `out`.

    :param form: "jsonl", or one of `cast.FORMATS` for recordings beside that.
    :returns: the number of records.
    """
    if out.exists() and any(out.iterdir()):
        raise ExportError(f"{out} exists and is not empty: give --out a new directory, or remove this one first")
    writer = _Writer(out)
    numbers, records = [], 0
    lines: list[str] = []
    recordings = Recordings()
    for number, group in groupby(found, key=lambda f: f.record.stamp.segment):
        matched = list(group)
        _write_segment(writer, view, number, matched)
        lines += [canonical(f.shown()) for f in matched]
        if form in FORMATS:
            for each in matched:
                recordings.feed(each)
        numbers.append(number)
        records += len(matched)
    entries, checkpoint = view.ledger()  # after the records: it must name their segments
    writer.write("ledger/checkpoint", checkpoint.encode())
    writer.write("ledger/entries.bin", b"".join(_LENGTH.pack(len(e)) + e for e in entries))
    writer.write("readable/records.jsonl", "".join(f"{line}\n" for line in lines).encode())
    for recording in recordings.all.values():
        if recording.chunks:
            writer.write(f"readable/sessions/{recording.name}", cast(recording, FORMATS[form]).encode())
    writer.write("README.txt", _README.format(origin=verifier.name).encode())
    writer.write("verify.py", Path(standalone.__file__).read_bytes())
    manifest = {
        "format": FORMAT, "readable": form, "key": str(verifier), "query": dict(query), "records": records, "segments": numbers,
        "files": dict(sorted(writer.digests.items())),
    }
    (out / "MANIFEST.json").write_text(json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False) + "\n")
    return records


class _Writer:
    """Files of the bundle, and their digests."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.digests: dict[str, str] = {}

    def write(self, name: str, data: bytes) -> None:
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.digests[name] = sha256(data).hexdigest()


def _write_segment(writer: _Writer, view: View, number: int, matched: list[Found]) -> None:
    hashes, head = _whole(view, number)
    places = [f.record.stamp.index for f in matched]
    where = f"segments/{number}/"
    writer.write(where + "head.note", head.encode())
    writer.write(where + "leaves.bin", b"".join(_placed(f.row[0], f.row[1]) for f in matched))
    opened = [(f.row[0], f.opening + f.plain) for f in matched if f.opening is not None and f.plain is not None]
    writer.write(where + "bodies.bin", b"".join(_placed(index, data) for index, data in opened))
    if len(places) * _DENSE > len(hashes):
        writer.write(where + "level0.bin", b"".join(hashes))
        return
    levels = Levels(hashes)
    writer.write(where + "proofs.bin", b"".join(_placed(i, b"".join(levels.inclusion(i))) for i in places))


def _whole(view: View, number: int) -> tuple[list[bytes], str]:
    """All leaf hashes of a segment under one head. A live segment grows while it is read."""
    hashes: list[bytes] = []
    while True:
        page, head = view.page(number, len(hashes))
        hashes += [leaf_hash(leaf) for _, leaf, _ in page]
        size = Checkpoint.parse(split_note(head)[0]).size
        if len(hashes) >= size:
            return hashes[:size], head
        if not page:
            raise ExportError(f"segment {number} is cut: run `ostiary audit verify`")


def _placed(index: int, data: bytes) -> bytes:
    return _PLACED.pack(index, len(data)) + data
