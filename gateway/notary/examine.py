"""
Whether one segment is what its signed head says, read where a crash hurts nobody.

Files go through a child process: LMDB trusts its file, and a damaged one can kill
whoever maps it. The child answers one msgpack array per job; if it dies, the job it was at
is blamed and the rest get a new child.

    python -m gateway.notary.examine < jobs > findings
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import msgpack

from gateway.notary import ledger as ledgers
from gateway.notary.body import body_hash
from gateway.notary.environment import Unfit, open_read_only
from gateway.notary.merkle import CompactRange, leaf_hash
from gateway.notary.note import Checkpoint, NoteError, Verifier
from gateway.notary.record import BadRecord, Kind, Record, is_canonical, pack, parse_leaf
from gateway.notary.segment import SealedSegment, origin_of
from gateway.notary.state import State

_PAGE = 4 << 20  # bytes per read transaction
_PROBLEMS = 20  # of one segment; more would say nothing new


@dataclass(frozen=True, slots=True)
class Job:
    """One segment to examine. `heads` are (size, root) pairs that the ledger promised."""

    leaves: str
    bodies: str | None
    number: int
    log: str
    public_key: bytes
    heads: tuple[tuple[int, bytes], ...] = ()
    hashed: bool = False  #: also hash the files


@dataclass(slots=True)
class Findings:
    """What a segment is, and what is wrong with it. No problems means sound."""

    size: int = 0
    root: bytes = b""
    problems: list[str] = field(default_factory=list)
    bodies_missing: int = 0
    first_ns: int = 0
    last_ns: int = 0
    kinds: dict[int, int] = field(default_factory=dict)
    workers: dict[int, tuple[int, int]] = field(default_factory=dict)  #: worker: (first, last sequence) here
    carried: list[list[Any]] = field(default_factory=list)  #: `State.carry` at its end
    next_worker: int = 1
    leaves_sha256: bytes = b""
    bodies_sha256: bytes = b""
    previous_root: bytes = b""
    torn: str = ""  #: that its write-ahead file ends in a batch that is not whole

    def state(self) -> State:
        """What was open when the segment ended."""
        state = State(self.next_worker, self.last_ns)
        for what, rows in self.carried:
            state.load(what, rows)
        return state


class Examiner:
    """Takes a segment's records in order, then its head."""

    def __init__(self, job: Job) -> None:
        self._job, self.found = job, Findings()
        self._tree, self._state = CompactRange(), State()
        self._heads: dict[int, set[bytes]] = {}
        for size, root in job.heads:
            self._heads.setdefault(size, set()).add(root)

    def feed(self, index: int, leaf: bytes, body: bytes | None) -> None:
        """The next record."""
        found = self.found
        if index != self._tree.size:
            self._problem(f"record {self._tree.size} is missing")
        self._tree.append(leaf_hash(leaf))
        try:
            record = parse_leaf(leaf)
        except BadRecord as e:
            self._problem(f"record {index} is no record: {e}")
            return
        self._check(index, leaf, record)
        self._check_body(index, record, body)
        self._check_sequence(record)
        found.kinds[record.kind] = found.kinds.get(record.kind, 0) + 1
        found.first_ns = found.first_ns or record.stamp.time_ns
        self._state.apply(record)
        self._check_head(self._tree.size)

    def finish(self, head: str) -> Findings:
        """The findings, once the last record was fed."""
        found, job = self.found, self._job
        found.size, found.root = self._tree.size, self._tree.root()
        found.last_ns, found.next_worker = self._state.last_ns, self._state.next_worker
        found.carried = [[what, rows] for what, rows in self._state.carry(0)]
        try:
            verifier = Verifier(origin_of(job.log, job.number), job.public_key)
            signed = Checkpoint.parse(verifier.open(head))
        except NoteError as e:
            found.problems.append(f"the head is not signed by the key that the ledger names: {e}")
            return found
        if signed.size != found.size:
            found.problems.append(f"{found.size} records, the signed head says {signed.size}")
        elif signed.root != found.root:
            found.problems.append("a record was changed: the root does not match the signed head")
        for size in self._heads:
            found.problems.append(f"truncated: the ledger has seen {size} records, {found.size} are here")
        return found

    def _check(self, index: int, leaf: bytes, record: Record) -> None:
        if (record.stamp.segment, record.stamp.index) != (self._job.number, index):
            where = f"record {record.stamp.index} of segment {record.stamp.segment}"
            self._problem(f"record {index} says that it is {where}: moved, swapped or repeated")
        if not is_canonical(leaf):
            self._problem(f"record {index} is not in canonical form")
        if index == 0:
            if record.kind != Kind.HEADER:
                self._problem("it does not begin with a header")
            else:
                self.found.previous_root = record.get("previous_root")

    def _check_body(self, index: int, record: Record, body: bytes | None) -> None:
        expected = record.stamp.body_hash
        if body is None:
            self.found.bodies_missing += expected is not None
        elif expected != body_hash(body):
            self._problem(f"the body of record {index} was changed")

    def _check_sequence(self, record: Record) -> None:
        worker, sequence = record.key
        first, last = self.found.workers.get(worker, (sequence, sequence - 1))
        if sequence != last + 1:
            self._problem(f"worker {worker}: record {last + 1} is missing before {sequence}")
        self.found.workers[worker] = (first, sequence)

    def _check_head(self, size: int) -> None:
        promised = self._heads.pop(size, None)
        if promised is not None and promised != {self._tree.root()}:
            self._problem(f"the first {size} records are not those that the ledger has seen")

    def _problem(self, text: str) -> None:
        if len(self.found.problems) < _PROBLEMS:
            self.found.problems.append(text)


def examine_file(job: Job) -> Findings:
    """In this very process. Only for a child that may die."""
    examiner = Examiner(job)
    segment = SealedSegment(Path(job.leaves), Path(job.bodies) if job.bodies else None)
    try:
        start, head = 0, ""
        while True:
            page = segment.page(start, _PAGE)
            head = head or page.head
            for row in page.rows:
                examiner.feed(*row)
            if not page.rows:
                break
            start = page.rows[-1][0] + 1
        found = examiner.finish(head)
        found.problems.extend(islice(segment.contradictions(), _PROBLEMS))
        if segment.ahead is not None and segment.ahead.torn:
            found.torn = f"what follows record {found.size - 1} is not whole: cut short by a crash, unanswered; or changed since"
    finally:
        segment.close()
    if job.hashed:
        found.leaves_sha256 = file_sha256(Path(job.leaves))
        found.bodies_sha256 = file_sha256(Path(job.bodies)) if job.bodies else b""
    return found


def file_sha256(path: Path) -> bytes:
    """Of a whole file; b"" when it is not there."""
    if not path.exists():
        return b""
    digest = sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def read_ledger_file(path: str) -> tuple[list[bytes], str]:
    """In this very process; see `examine_file`."""
    env = open_read_only(Path(path))
    try:
        return ledgers.read(env)
    finally:
        env.close()


def _answer(job: list[Any]) -> list[Any]:
    """What the child says of one job; ["error", why] when the file is unfit."""
    try:
        if job[0] == "ledger":
            return ["ledger", *read_ledger_file(job[1])]
        what, leaves, bodies, number, log, key, heads, hashed = job
        found = examine_file(Job(leaves, bodies, number, log, key, tuple((n, r) for n, r in heads), hashed))
        return ["segment", *(getattr(found, name) for name in Findings.__slots__)]
    except Unfit as e:
        return ["error", str(e)]
    except (lmdb.Error, ledgers.LedgerError, UnicodeDecodeError, OSError) as e:
        return ["error", f"{type(e).__name__}: {e}"]


def child() -> None:
    """Read jobs from stdin until it ends; answer each on stdout."""
    for job in msgpack.Unpacker(sys.stdin.buffer, raw=False, max_buffer_size=1 << 30):
        sys.stdout.buffer.write(pack(_answer(job)))
        sys.stdout.buffer.flush()


def _ask(jobs: Sequence[list[Any]]) -> Iterator[list[Any]]:
    """One answer per job, through as many children as it takes."""
    done = 0
    while done < len(jobs):
        answers, why = _run_child(jobs[done:])
        yield from answers
        done += len(answers)
        if done < len(jobs):
            yield ["error", f"reading it killed the reader ({why})"]
            done += 1


def _run_child(jobs: Sequence[list[Any]]) -> tuple[list[list[Any]], str]:
    ran = subprocess.run(
        [sys.executable, "-m", "gateway.notary.examine"],
        input=b"".join(map(pack, jobs)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=_ROOT, check=False,
    )
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=1 << 30)
    unpacker.feed(ran.stdout)
    code = ran.returncode
    return list(unpacker), signal.Signals(-code).name if code < 0 else f"exit {code}"


_ROOT = Path(__file__).parent.parent.parent


def examine(jobs: Iterable[Job]) -> list[Findings]:
    """Findings per job, from a child; an unreadable file has one problem and size 0."""
    asked = [
        ["segment", j.leaves, j.bodies, j.number, j.log, j.public_key, [list(h) for h in j.heads], j.hashed]
        for j in jobs
    ]
    return [_findings(answer) for answer in _ask(asked)]


def _findings(answer: list[Any]) -> Findings:
    if answer[0] == "error":
        return Findings(problems=[answer[1]])
    found = Findings(*answer[1:])
    found.workers = {int(k): (v[0], v[1]) for k, v in found.workers.items()}
    return found


def read_ledger(path: Path) -> tuple[list[bytes], str]:
    """
    A ledger's entries and checkpoint, from a child.

    :raises Unfit: it cannot be read.
    """
    (answer,) = _ask([["ledger", str(path / "data.mdb")]])
    if answer[0] == "error":
        raise Unfit(answer[1])
    return answer[1], answer[2]


if __name__ == "__main__":
    child()
