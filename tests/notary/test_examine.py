"""Reading evidence in a child that may die: its death is an answer, and only about what it was reading."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from recorded import ORIGIN, fill, new_store

from gateway.notary import examine
from gateway.notary.environment import Unfit
from gateway.notary.examine import Examiner, Job
from gateway.notary.note import Checkpoint, Signer
from gateway.notary.record import Kind, Stamp, event, pack_leaf
from gateway.notary.segment import origin_of

SIGNER = Signer.generate(origin_of("log", 1))


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    store = new_store(folder)
    fill(store, 10)
    store.head()
    store.segment.settle()
    store.abandon()
    return folder


def job(folder: Path, leaves: Path | None = None, **changes: object) -> Job:
    packed, _ = examine.read_ledger(folder / "audit" / "ledger")
    opened = [e for e in map(examine.ledgers.unpack, packed) if e[0] == "seg.open"][0]
    file = leaves or folder / "audit" / "open" / f"{1:012d}" / "data.mdb"
    return Job(str(file), None, 1, ORIGIN, opened[4], **changes)  # type: ignore[arg-type]


def test_a_sound_segment_has_findings_and_no_problems(store_folder: Path) -> None:
    found = examine.examine([job(store_folder, hashed=True)])[0]
    assert found.problems == [] and found.size == 26 and len(found.leaves_sha256) == 32
    assert found.kinds[Kind.INTENT] == 10 and found.kinds[Kind.OUTCOME] == 10 and found.first_ns <= found.last_ns
    assert found.workers[2] == (0, 22) and found.next_worker == 3
    assert found.state().open_intents == {} and found.bodies_missing == 0


def test_one_bad_file_does_not_spoil_the_others(store_folder: Path, tmp_path: Path) -> None:
    """Missing, empty, cut and no LMDB file at all, between two good ones."""
    good = job(store_folder)
    cut = Path(shutil.copy(good.leaves, tmp_path / "cut"))
    os.truncate(cut, 20_000)
    (tmp_path / "junk").write_bytes(os.urandom(50_000))
    (tmp_path / "empty").write_bytes(b"")
    bad = [job(store_folder, tmp_path / name) for name in ("cut", "junk", "empty", "missing")]
    found = examine.examine([good, *bad, good])
    assert [bool(one.problems) for one in found] == [False, True, True, True, True, False]
    assert "truncated" in found[1].problems[0]


def test_a_child_that_dies_is_replaced_and_its_job_is_blamed(
    store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a SIGBUS inside LMDB would; here the child is told to kill itself at the second job."""
    jobs = [["ledger", str(store_folder / "audit" / "ledger" / "data.mdb")], ["suicide"], ["ledger", "missing"]]
    real = examine._run_child

    def run(asked: list[list[object]]) -> tuple[list[list[object]], str]:
        before = asked[: asked.index(["suicide"])] if ["suicide"] in asked else asked
        answers, why = real(before)
        return answers, "SIGBUS" if before is not asked else why

    monkeypatch.setattr(examine, "_run_child", run)
    answers = list(examine._ask(jobs))
    assert [answer[0] for answer in answers] == ["ledger", "error", "error"]
    assert "killed the reader (SIGBUS)" in answers[1][1]


def test_a_real_child_that_fails_gives_its_exit(store_folder: Path) -> None:
    """Unknown work is a bug of ours and ends the child; the parent goes on."""
    answers = list(examine._ask([["nonsense"], ["ledger", str(store_folder / "audit" / "ledger" / "data.mdb")]]))
    assert answers[0][0] == "error" and "exit 1" in answers[0][1] and answers[1][0] == "ledger"


def test_a_missing_ledger_is_unfit(tmp_path: Path) -> None:
    with pytest.raises(Unfit):
        examine.read_ledger(tmp_path)


class Fed:
    """An examiner fed with records made here."""

    def __init__(self, **changes: object) -> None:
        self.examiner = Examiner(Job("", None, 1, "log", SIGNER.public, **changes))  # type: ignore[arg-type]
        self.index = 0
        header = event(Kind.HEADER, "log", 0, 1, bytes(32), 0, bytes(32), SIGNER.public, "boot", 1)
        self.add(header, worker=0, sequence=0)

    def add(self, packed: bytes, worker: int, sequence: int) -> None:
        self.examiner.feed(self.index, pack_leaf(Stamp(1, self.index, 5, 5, worker, sequence), packed), None)
        self.index += 1

    def problems(self) -> str:
        tree = self.examiner._tree
        head = SIGNER.sign(Checkpoint(SIGNER.name, tree.size, tree.root()).text)
        return "\n".join(self.examiner.finish(head).problems)


def test_a_gap_in_a_workers_sequence_is_named() -> None:
    """Also under a valid head: a notary that leaves a worker's record out shows it."""
    fed = Fed()
    note = event(Kind.NOTE, "x")
    for sequence in (0, 1, 3):
        fed.add(note, worker=7, sequence=sequence)
    assert "worker 7: record 2 is missing before 3" in fed.problems()


def test_a_segment_that_does_not_begin_with_a_header_is_named() -> None:
    examiner = Examiner(Job("", None, 1, "log", SIGNER.public))
    examiner.feed(0, pack_leaf(Stamp(1, 0, 5, 5, 1, 0), event(Kind.NOTE, "x")), None)
    assert "does not begin with a header" in "\n".join(examiner.finish("").problems)


def test_a_head_that_the_ledger_promised_must_be_a_prefix() -> None:
    fed = Fed(heads=((1, bytes(32)),))
    assert "the first 1 records are not those that the ledger has seen" in fed.problems()
    fed = Fed(heads=((9, bytes(32)),))
    assert "truncated: the ledger has seen 9 records, 1 are here" in fed.problems()
    assert Fed().problems() == ""


def test_problems_are_bounded_but_the_heads_are_always_told() -> None:
    fed = Fed()
    for _ in range(50):
        fed.examiner.feed(fed.index, b"junk", None)
        fed.index += 1
    found = fed.examiner.finish("no note at all")
    assert len(found.problems) == 21 and "not signed" in found.problems[-1]
