"""
A whole store against its public key and the checkpoints that were kept of it.

Names what is wrong: an edited byte, a removed or repeated record, a removed or foreign
segment, a cut tail, a rolled-back directory. Needs no secret. Files are read by a
child process (`gateway.notary.examine`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.notary import anchor, ledger
from gateway.notary.environment import Unfit
from gateway.notary.examine import Findings, Job
from gateway.notary.lives import Life, lives
from gateway.notary.note import Checkpoint, NoteError, Verifier
from gateway.notary.record import BadRecord, unpack
from gateway.notary.segment import STREAM

SOUND, TAMPERED, INCOMPLETE = 0, 1, 2
_MAKER = 0  # the worker number of headers; its sequence starts again in every segment

_COPY = "ledger/checkpoint"


class Published(Protocol):
    """What of evidence goes on to others."""

    def ledger(self) -> tuple[list[bytes], str]:
        """Entries and checkpoint. Raises Unfit."""

    def published(self) -> bytes | None:
        """The checkpoint's copy that people mail, None when there is none. Asked before the ledger, which may grow. Raises OSError."""


class View(Published, Protocol):
    """Evidence to be read, of a live or a stopped store."""

    def job(self, number: int, log: str, key: bytes, heads: tuple[tuple[int, bytes], ...]) -> Job | None:
        """What to examine; None when the segment is nowhere."""

    def examine(self, jobs: Sequence[Job]) -> list[Findings]:
        """Findings per job."""

    def present(self) -> set[int]:
        """Numbers of all segments that are there."""


@dataclass(slots=True)
class Report:
    """What came of it. `problems` is tampering; `gaps` is what was not there to be checked."""

    problems: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  #: what is wrong with what was given to check against, not with the evidence
    remarks: list[str] = field(default_factory=list)  #: what to know, though the evidence is whole
    anchor: str = "none"  #: none, same administration, independent
    anchored: int = 0  #: ledger entries under the newest anchor
    entries: int = 0  #: ledger entries
    segments: int = 0
    records: int = 0
    unanchored_records: int = 0  #: recorded after the newest independent anchor, or after any when there is none
    checkpoint: str = ""

    @property
    def code(self) -> int:
        """The exit code."""
        if self.problems or self.strays:
            return TAMPERED
        return INCOMPLETE if self.gaps or self.anchor != "independent" else SOUND


def verify(
    view: View, verifier: Verifier, ours: Sequence[Checkpoint] = (), independent: Sequence[Checkpoint] = ()
) -> Report:
    """
    Check everything.

    :param ours: checkpoints that the same administration kept (`audit.anchor_file`).
    :param independent: checkpoints that somebody else kept.
    """
    report = Report()
    copy = read_copy(report, view)
    try:
        packed, report.checkpoint = view.ledger()
        ledger.check(packed, report.checkpoint, verifier)
        told = lives(map(unpack, packed))
    except (Unfit, ledger.LedgerError, BadRecord) as e:
        report.problems.append(f"ledger: {e}")
        return report
    report.entries = len(packed)
    _check_anchors(report, packed, ours, independent)
    if copy is not None:
        check_copy(report, copy, packed, verifier)
    _check_segments(report, view, verifier.name, told)
    report.unanchored_records = report.records - sum(life.size_at(report.anchored) for life in told.values())
    return report


def read_copy(report: Report, view: Published) -> bytes | None:
    """The checkpoint's copy that people mail, to be checked once the ledger is read; what keeps it from being read is in the report."""
    try:
        copy = view.published()
    except OSError as e:
        report.problems.append(f"{_COPY} cannot be read: {e.strerror}")
        return None
    if copy is None:
        report.gaps.append(f"{_COPY} is missing: the disk was full or the notary killed at its first entry, or somebody removed it")
    return copy


def check_copy(report: Report, copy: bytes, packed: Sequence[bytes], verifier: Verifier) -> None:
    """A notary that is killed, or meets a full disk, leaves an older copy behind; never another one."""
    try:
        signed = Checkpoint.parse(verifier.open(copy.decode()))
        if signed.origin != verifier.name:
            raise NoteError(f"it is of {signed.origin}")
        anchor.check([signed], packed)
    except (NoteError, UnicodeDecodeError) as e:
        report.problems.append(f"{_COPY} was changed, or is of another log: {e}")
    except anchor.AnchorMismatch as e:
        report.problems.append(f"{_COPY} contradicts the ledger: {e}")
    else:
        if signed.size < len(packed):
            report.remarks.append(f"{_COPY} is older than the ledger: it covers {signed.size} of {len(packed)} entries")


def _check_anchors(
    report: Report, packed: Sequence[bytes], ours: Sequence[Checkpoint], independent: Sequence[Checkpoint]
) -> None:
    for grade, kept in (("same administration", ours), ("independent", independent)):
        try:
            newest = anchor.check(kept, packed)
        except anchor.AnchorMismatch as e:
            report.problems.append(f"anchor ({grade}): {e}")
            continue
        if newest:
            report.anchor, report.anchored = grade, newest


def _check_segments(report: Report, view: View, log: str, told: Mapping[int, Life]) -> None:
    born = {number: life.opened for number, life in told.items() if life.opened}
    jobs = {}
    for number, opened in born.items():
        job = view.job(number, log, opened["public_key"], told[number].promised)
        if job is None:
            name = f"segment {number} (stream s{opened['stream']})"
            report.problems.append(f"{name} was removed: it is in the ledger and not here")
        else:
            jobs[number] = job
    if born and not jobs:
        report.problems.append(f"stream s{STREAM} was removed: none of its {len(born)} segments is here")
    findings = dict(zip(jobs, view.examine(list(jobs.values())), strict=True))
    for number, found in findings.items():
        check_segment(report, number, told[number], found)
    for number in sorted(view.present() - set(born)):
        report.problems.append(f"segment {number} is not in the ledger")
    report.problems.extend(_gaps_between(list(born.values()), findings))


def check_segment(report: Report, number: int, life: Life, found: Findings) -> None:
    """Add what one segment is, and what is wrong with it by the ledger."""
    report.segments += 1
    report.records += found.size
    report.problems.extend(f"segment {number}: {problem}" for problem in found.problems)
    if found.torn:
        report.gaps.append(f"segment {number}: {found.torn}")
    if found.problems:
        return
    about = life.events
    if found.previous_root != about["seg.open"]["previous_root"]:
        report.problems.append(f"segment {number}: its header names another predecessor than the ledger")
    closed, sealed = about.get("seg.close"), about.get("seg.seal")
    if closed and closed["size"] != found.size:
        report.problems.append(f"segment {number}: {found.size} records, the ledger closed it with {closed['size']}")
    if sealed and found.leaves_sha256 not in (b"", sealed["leaves_sha256"]):
        report.problems.append(f"segment {number}: its file is not the one that was sealed")
    if found.bodies_missing and "body.expire" not in about:
        report.problems.append(f"segment {number}: {found.bodies_missing} bodies were removed")
    elif found.bodies_missing:
        report.gaps.append(f"segment {number}: bodies expired")
    elif sealed and found.bodies_sha256 not in (b"", sealed["bodies_sha256"]):
        report.problems.append(f"segment {number}: its bodies are not the file that was sealed")


def _gaps_between(opened: Sequence[dict[str, Any]], found: dict[int, Findings]) -> Iterator[str]:
    """Order and completeness across segments: each follows the one before, and so does each worker's sequence."""
    sequences: dict[int, int] = {}
    previous: Findings | None = None
    for entry in opened:
        here = found.get(entry["segment"])
        if here is None or here.problems:
            previous, sequences = None, {}
            continue
        if previous is not None and entry["previous_root"] != previous.root:
            yield f"segment {entry['segment']} does not follow the one before it"
        for worker, (first, last) in here.workers.items():
            if worker != _MAKER and worker in sequences and first != sequences[worker] + 1:
                yield f"worker {worker}: record {sequences[worker] + 1} is missing before segment {entry['segment']}"
            sequences[worker] = last
        previous = here
