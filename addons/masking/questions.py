"""
What masking asks about a long text, as values that an analyst can be sent. An analyst keeps the last covers that it made.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from addons.masking.cover import Cover
from addons.masking.declared import Declaration
from addons.masking.issued import issued_in
from addons.masking.judgement import Judgement, UnknownNames
from addons.masking.marks import Marks
from addons.masking.reveals import reads
from addons.masking.statements import Statements
from addons.sql.calls import Calls
from addons.sql.catalog import Snapshot
from addons.sql.flux import Flux

_COVERS = 8  #: of groups and floors on databases, in one analyst


@dataclass(frozen=True, slots=True)
class Judging:
    """Is a text sent as it came, rewritten, or refused? As `Statements`, which see; the catalog has been found to fit what is declared."""

    text: str
    revision: str
    masked: tuple[Declaration, ...]
    floor: bool
    listed: frozenset[str]
    made: frozenset[str]
    types: tuple[int, ...]
    flux: Flux | None = None

    def answer(self, snapshot: Snapshot | None) -> Judgement | UnknownNames:
        cover, calls = kept_covering(snapshot, self.masked, self.listed, self.floor)
        try:
            return Statements(cover, calls, self.made, self.types, self.flux).judgement(self.text)
        except UnknownNames as unknown:
            return unknown.with_traceback(None)


@dataclass(frozen=True, slots=True)
class Reading:
    """Which of the columns that `rest` leaves clear does a text show? As `reveals.reads`."""

    text: str
    revision: str
    masked: tuple[Declaration, ...]
    rest: tuple[Declaration, ...]
    listed: frozenset[str]

    def answer(self, snapshot: Snapshot | None) -> frozenset[str]:
        full, calls = kept_covering(snapshot, self.masked, self.listed, False)
        return reads(self.text, calls, full, kept_covering(snapshot, self.rest, self.listed, False)[0])


@dataclass(frozen=True, slots=True)
class Issuing:
    """
    Which column would a text write a mask of its own to? As `issued`; without a revision by the declared names alone.

    :ivar clear: what the session sees as it is. :ivar flux: what its transaction changed. :ivar prepared, bound: of the statement: names to texts, numbers to values.
    """

    text: str
    revision: str
    clear: tuple[Declaration, ...]
    listed: frozenset[str]
    prepared: tuple[tuple[str, str | None], ...]
    bound: tuple[tuple[int, bytes], ...]
    flux: Flux | None = None

    def answer(self, snapshot: Snapshot | None) -> str:
        cover = kept_covering(snapshot, self.clear, self.listed, False)[0] if snapshot is not None else None
        return issued_in(self.text, dict(self.prepared), dict(self.bound), Marks(self.clear, cover, self.flux))


def covering(snapshot: Snapshot, masked: tuple[Declaration, ...], listed: frozenset[str], *, floor: bool) -> tuple[Cover, Calls]:
    """
    What is masked, and what may be called.

    :raises Misdeclared: the catalog does not have what is declared.
    """
    calls = Calls(snapshot, listed)
    return Cover(snapshot, masked, calls.opaque, floor=floor, foreign=calls.foreign), calls


def kept_covering(snapshot: Snapshot, masked: tuple[Declaration, ...], listed: frozenset[str], floor: bool) -> tuple[Cover, Calls]:
    """As `covering`, which see; the last ones are kept."""
    key = (snapshot.revision, masked, listed, floor)
    if key not in _made:
        _made[key] = covering(snapshot, masked, listed, floor=floor)
        if len(_made) > _COVERS:
            _made.popitem(last=False)
    return _made[key]


_made: OrderedDict[tuple, tuple[Cover, Calls]] = OrderedDict()
