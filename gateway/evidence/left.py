"""
What is left of a damaged store: the same view without what cannot be read or proved, and what that is.

Every segment is read by a child first, as `verify` does: a damaged file can kill whoever maps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from gateway.evidence.view import Row, View
from gateway.notary.examine import Findings, Job
from gateway.notary.layout import Files
from gateway.notary.lives import Life, absent, lives
from gateway.notary.record import unpack
from gateway.notary.segment import SealedSegment
from gateway.notary.verify import Report, check_segment

_PAGE = 4 << 20  # bytes per read


@dataclass(frozen=True, slots=True)
class Left:
    """
    As a View, of what is sound.

    :param missing: segment: what is wrong with it.
    :param gone: segments of which no record is left. :param bare: those whose bodies cannot be read.
    """

    view: View
    missing: Mapping[int, str]
    gone: frozenset[int]
    bare: frozenset[int]

    def close(self) -> None:
        self.view.close()

    def ledger(self) -> tuple[list[bytes], str]:
        return self.view.ledger()

    def events(self) -> list[list[Any]]:
        return self.view.events()

    def present(self) -> set[int]:
        return self.view.present() - self.gone

    def files(self, number: int) -> Files | None:
        files = None if number in self.gone else self.view.files(number)
        return (files[0], None) if files is not None and number in self.bare else files

    def page(self, number: int, start: int) -> tuple[list[Row], str]:
        files = self.files(number)
        if number not in self.bare or files is None:
            return self.view.page(number, start)
        with closing(SealedSegment(*files)) as segment:
            page = segment.page(start, _PAGE)
        return page.rows, page.head

    def unfit(self, number: int) -> str:
        """Of these it was looked at before."""
        return ""

    def record_viewing(self, what: str, facts: dict[str, str]) -> bool:
        return self.view.record_viewing(what, facts)

    def end(self) -> tuple[int, int] | None:
        return self.view.end()


def left(view: View, packed: Sequence[bytes], log: str) -> Left:
    """
    Looks at all of a store.

    :param packed: its ledger's entries, proved: they say what there must be.
    """
    told = _begun(packed)
    here = _jobs(view, told, log)
    found = dict(zip(here, view.examine(list(here.values())), strict=True))
    missing = {number: absent(number, told[number].events, None) for number in told if number not in here}
    missing |= _wrong(told, found)
    bare = _bare(view, {number: here[number] for number, findings in found.items() if not _is_provable(findings)})
    gone = frozenset(number for number in missing if number not in bare and (number not in found or not _is_provable(found[number])))
    return Left(view, dict(sorted(missing.items())), gone, bare)


def unproved(view: View, packed: Sequence[bytes], log: str) -> list[str]:
    """What is wrong with segments that are not sealed yet: those have no hash in the ledger that a search could compare, and are few."""
    told = {number: life for number, life in _begun(packed).items() if "seg.seal" not in life.events}
    here = _jobs(view, told, log)
    return list(_wrong(told, dict(zip(here, view.examine(list(here.values())), strict=True))).values())


def _begun(packed: Sequence[bytes]) -> dict[int, Life]:
    return {number: life for number, life in lives(map(unpack, packed)).items() if life.opened}


def _jobs(view: View, told: Mapping[int, Life], log: str) -> dict[int, Job]:
    """Of the segments that are here."""
    jobs = {number: view.job(number, log, life.opened["public_key"], life.promised) for number, life in told.items() if life.opened}
    return {number: job for number, job in jobs.items() if job is not None}


def _wrong(told: Mapping[int, Life], found: Mapping[int, Findings]) -> dict[int, str]:
    """The first of what is wrong with each segment."""
    wrong = {}
    for number, findings in found.items():
        report = Report()
        check_segment(report, number, told[number], findings)
        if report.problems:
            wrong[number] = report.problems[0]
    return wrong


def _is_provable(found: Findings) -> bool:
    """Whether its records can be proved, with all of their bodies but those that were changed one by one."""
    return all(problem.startswith("the body of record ") for problem in found.problems)


def _bare(view: View, jobs: Mapping[int, Job]) -> frozenset[int]:
    """Of these, segments whose records can be proved once their bodies are not looked at."""
    without = {number: replace(job, bodies=None, hashed=False) for number, job in jobs.items() if job.bodies is not None}
    found = zip(without, view.examine(list(without.values())), strict=True)
    return frozenset(number for number, findings in found if not findings.problems)
