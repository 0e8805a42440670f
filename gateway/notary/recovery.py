"""
What a store holds when the notary starts: read in a child, checked, and refused if it is not sound.

Moves nothing but records from the newest segment's write-ahead file into its LMDB, and deletes nothing but a segment that
the ledger never named and that holds no record of anybody: the notary died while making it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.notary import anchor, ledger
from gateway.notary.environment import Unfit
from gateway.notary.examine import Findings, Job, examine, read_ledger
from gateway.notary.layout import Layout
from gateway.notary.lives import Life, lives
from gateway.notary.note import NoteError, Verifier
from gateway.notary.record import Kind, unpack
from gateway.notary.segment import settle
from gateway.notary.state import State

_OURS = {Kind.HEADER, Kind.CARRY, Kind.WORKER, Kind.NOTARY}


class Unsound(Exception):
    """The evidence on disk is not what it was. Nothing is recorded until a person has looked."""


@dataclass(frozen=True, slots=True)
class Last:
    """The newest segment, as found."""

    number: int
    size: int
    root: bytes
    closed: bool
    state: State
    torn: str  #: see `Findings`
    begun: str  #: that the anchor file is begun anew, and from where on


def recover(layout: Layout, verifier: Verifier, anchor_file: Path | None) -> Last | None:
    """
    The newest segment, once it and the ledger are checked; None in a new store.

    :raises Unsound: something is missing, changed, or rolled back.
    """
    try:
        packed, checkpoint = read_ledger(layout.ledger)
        ledger.check(packed, checkpoint, verifier)
    except (Unfit, ledger.LedgerError) as e:
        raise Unsound(f"ledger: {e}") from e
    begun = _check_anchor(packed, verifier, anchor_file)
    told = lives(map(unpack, packed))
    newest = max((number for number, life in told.items() if life.opened), default=0)
    _drop_unborn(layout, verifier.name, newest)
    return _last(layout, verifier.name, newest, told[newest], begun) if newest else None


def _last(layout: Layout, log: str, number: int, life: Life, begun: str) -> Last:
    files = layout.files(number)
    if files is None:
        raise Unsound(f"segment {number} is in the ledger and not on disk")
    leaves, bodies = files
    assert life.opened is not None
    job = Job(str(leaves), bodies and str(bodies), number, log, life.opened["public_key"], life.promised)
    found = examine([job])[0]
    if found.problems:
        raise Unsound(f"segment {number}: {found.problems[0]}")
    closed = life.closed
    if closed and closed["size"] != found.size:
        raise Unsound(f"segment {number}: {found.size} records, the ledger closed it with {closed['size']}")
    if closed is None:
        settle(layout.open(number))
    return Last(number, found.size, found.root, closed is not None, found.state(), found.torn, begun)


def _check_anchor(packed: Sequence[bytes], verifier: Verifier, anchor_file: Path | None) -> str:
    """The newest checkpoint covers all that older ones do; `verify` looks at each of them. Says that there is none where one was to be."""
    if anchor_file is None:
        return ""
    if not anchor_file.exists():
        return _begun("is not there", len(packed))
    try:
        kept = anchor.newest(anchor_file, verifier)
        anchor.check(kept, packed)
    except (anchor.AnchorMismatch, NoteError) as e:
        raise Unsound(f"anchor: {e}") from e
    return "" if kept else _begun("holds no checkpoint", len(packed))


def _begun(what: str, entries: int) -> str:
    return f"anchor_file {what} and is begun anew, behind {entries} ledger entries: it is a new setting, or was removed, or its disk is not mounted"


def _drop_unborn(layout: Layout, log: str, newest: int) -> None:
    """A segment whose birth was cut short: on disk, not in the ledger, and empty of evidence."""
    for number in sorted(layout.present()):
        if number <= newest:
            continue
        path = layout.open(number)
        found = examine([Job(str(path / "data.mdb"), None, number, log, bytes(32))])[0]
        if number != newest + 1 or not _unborn(found, path):
            raise Unsound(f"segment {number} holds records and is not in the ledger: the ledger was put back")
        shutil.rmtree(path)


def _unborn(found: Findings, path: Path) -> bool:
    readable = found.root != b""  # a damaged one may hold anything
    return path.exists() and readable and set(found.kinds) <= _OURS
