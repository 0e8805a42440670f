"""
A crash between the write-ahead file and LMDB: nothing acknowledged is lost, nothing is there twice, no grant is spent twice;
whoever edits, cuts or removes the file is found out. LMDB lags here on purpose.
"""

from __future__ import annotations

import random
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import cast

import lmdb
import pytest
from recorded import BINDING_OF_TESTS as BINDING
from recorded import allowed, approve, checked, fill, journal, new_store, records, session

from gateway.notary import ahead, segment, settling
from gateway.notary.environment import open_read_only
from gateway.notary.examine import examine_file
from gateway.notary.record import Kind
from gateway.notary.recovery import Unsound
from gateway.notary.segment import read_page, size_of
from gateway.notary.store import Store

FAR = time.time_ns() + 10**16  # months away: a long run may come here late


@pytest.fixture(autouse=True)
def lagging(monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB takes over what somebody waits for, and nothing else."""
    monkeypatch.setattr(settling, "PATIENCE", 1e6)
    monkeypatch.setattr(settling, "_ENOUGH", 1 << 40)


def held(store: Store) -> int:
    """Records in LMDB itself; the store is no longer open."""
    env = open_read_only(store.segment.path / "data.mdb")
    try:
        return size_of(read_page(env, 0, 0).head)
    finally:
        env.close()


def crashed(folder: Path, commands: int = 12) -> tuple[Store, list[bytes]]:
    """A store that was abandoned with most of its records in the write-ahead file only; all its leaves."""
    store = new_store(folder)
    fill(store, commands)
    store.head()
    leaves = [leaf for _, leaf, _ in store.page(1, 0, 1 << 30).rows]
    store.abandon()
    assert held(store) < 5 < len(leaves)
    return store, leaves


def test_what_is_added_while_others_read_keeps_neither_up() -> None:
    """Threads change places as often as they can: the one that adds takes no lock."""
    added: list[ahead.Batch] = []
    taken: list[ahead.Batch] = []
    enough, usual, seen = threading.Event(), sys.getswitchinterval(), [0]
    over = settling.Settling(cast(lmdb.Environment, None), lambda _, batches: taken.extend(batches))

    def adds() -> None:
        while not enough.is_set():
            added.append(ahead.Batch(len(added), [(b"", b"", b"")], ""))
            over.add(added[-1], 1)

    sys.setswitchinterval(1e-6)
    adding = threading.Thread(target=adds)
    try:
        adding.start()
        while adding.is_alive() and seen[-1] < 20_000:  # long enough to be walked that the other's turn comes meanwhile
            seen.append(len(over.waiting()))
    finally:
        enough.set()
        adding.join()
        sys.setswitchinterval(usual)
        over.wait(len(added))
        over.stop()
    assert taken == added and seen == sorted(seen) and seen[-1] >= 20_000


def test_an_auditor_reads_and_proves_it_before_anybody_recovers(tmp_path: Path) -> None:
    _, leaves = crashed(tmp_path)
    report = checked(tmp_path)
    assert report.problems == [] and report.records == len(leaves)


def test_the_next_notary_goes_on_behind_it(tmp_path: Path) -> None:
    """Twice over: a second crash right after the first changes nothing."""
    _, leaves = crashed(tmp_path)
    for number in (2, 3):
        store = new_store(tmp_path)
        assert [leaf for _, leaf, _ in store.page(1, 0, 1 << 30).rows] == leaves
        assert store.segment.number == number
        store.abandon()
    assert checked(tmp_path).problems == []


def test_a_recovery_that_is_itself_cut_short_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, leaves = crashed(tmp_path)

    def dies(env: lmdb.Environment, batches: object) -> None:
        raise lmdb.Error("the lights went out")

    with monkeypatch.context() as dark:
        dark.setattr(segment, "put", dies)
        with pytest.raises(lmdb.Error):
            new_store(tmp_path)
    store = new_store(tmp_path)
    assert [leaf for _, leaf, _ in store.page(1, 0, 1 << 30).rows] == leaves
    store.close()
    assert checked(tmp_path).problems == []


@pytest.mark.parametrize("spent", [False, True])
def test_a_grant_stays_as_it_was(tmp_path: Path, spent: bool) -> None:
    """Granted, and maybe spent, in the write-ahead file alone."""
    store = new_store(tmp_path)
    approve(store, "g", BINDING, FAR)
    said = session()
    book = journal(store)
    if spent:
        book.opened(said, {}, _Deaf())
        book.intend(said, 0, allowed("DELETE", grant="g", binding=BINDING), _Deaf())
        book.flush()
    store.abandon()
    store = new_store(tmp_path)
    assert store.state.refusal("g", BINDING, time.time_ns(), 0) == ("the grant is spent" if spent else "")
    store.close()


class _Deaf:
    def durable(self, sequence: int) -> None:
        """Nobody asks here."""

    def refused(self, sequence: int, why: str) -> None:
        raise AssertionError(why)

    def unrecordable(self, why: str) -> None:
        raise AssertionError(why)


def test_pages_join_both_without_a_seam(tmp_path: Path) -> None:
    """Of any size, from anywhere, while LMDB holds any part of it."""
    store = new_store(tmp_path)
    chance = random.Random(20261123)
    for _ in range(6):
        fill(store, 5)
        if chance.random() < 0.5:
            store.segment.settle()
        whole = store.page(1, 0, 1 << 30).rows
        assert [index for index, _, _ in whole] == list(range(store.segment.size))
        for _ in range(20):
            start, limit = chance.randrange(len(whole) + 2), chance.choice([1, 500, 3000, 1 << 20])
            page = store.page(1, start, limit).rows
            assert page == whole[start : start + len(page)] and (page or start >= len(whole))
    store.close()


@pytest.mark.parametrize("what", ["edited", "cut", "emptied", "removed", "older"])
def test_whoever_touches_the_file_is_found_out(tmp_path: Path, what: str) -> None:
    """The ledger has seen how many records there were."""
    store, _ = crashed(tmp_path)
    file = store.segment.path / ahead.NAME
    data = file.read_bytes()
    if what == "edited":
        file.write_bytes(data[:4196] + bytes([data[4196] ^ 1]) + data[4197:])
    elif what == "cut":
        last = data.rstrip(b"\0").rindex(b"OstAhead") // 4096 * 4096
        file.write_bytes(data[: last - 4096 * 3] + bytes(len(data) - last + 4096 * 3))
    elif what == "emptied":
        file.write_bytes(b"")
    elif what == "removed":
        file.unlink()
    else:
        file.write_bytes(data[: 4096 * 4] + bytes(len(data) - 4096 * 4))
    assert "segment 1" in "\n".join(checked(tmp_path).problems)
    with pytest.raises(Unsound, match="segment 1"):
        new_store(tmp_path)


@pytest.mark.parametrize("what", ["emptied", "older", "another's", "cut"])
def test_an_older_file_is_found_out_though_the_ledger_promised_nothing(tmp_path: Path, what: str) -> None:
    """LMDB has taken over more than it holds, or other records; the records in between are in LMDB, later ones are gone."""
    store = new_store(tmp_path)
    file = store.layout.open(1) / ahead.NAME
    fill(store, 3)
    older = file.read_bytes()
    fill(store, 3)
    store.segment.settle()
    fill(store, 3)
    store.abandon()
    if what == "another's":
        other = new_store(tmp_path / "other")
        fill(other, 3)
        other.abandon()
        older = (other.layout.open(1) / ahead.NAME).read_bytes()
    elif what == "emptied":
        older = bytes(len(older))
    elif what == "cut":
        older = file.read_bytes()[: 1 << 20]
    file.write_bytes(older)
    assert "write-ahead file" in "\n".join(checked(tmp_path).problems)
    with pytest.raises(Unsound, match="segment 1: .*write-ahead file"):
        new_store(tmp_path)


def test_a_changed_last_batch_is_never_passed_over_in_silence(tmp_path: Path) -> None:
    """It looks as one that a crash cut short, before anybody was answered: `verify` says so, and so does the next notary's first record."""
    store = new_store(tmp_path)
    fill(store, 3)
    store.abandon()
    file = store.layout.open(1) / ahead.NAME
    data = file.read_bytes()
    last = len(data.rstrip(b"\0")) - 20
    file.write_bytes(data[:last] + bytes([data[last] ^ 1]) + data[last + 1 :])
    report = checked(tmp_path)
    assert report.problems == [] and report.code == 2 and "is not whole" in report.gaps[0]
    store = new_store(tmp_path)
    (started,) = [one for one in records(store, 2) if one.kind == Kind.NOTARY]
    store.close()
    assert "is not whole" in started.get("why")


def test_a_closed_segment_is_whole_in_lmdb(tmp_path: Path) -> None:
    """Its write-ahead file could be lost then."""
    store = new_store(tmp_path)
    fill(store, 10)
    store.rotate("test")
    size = len(records(store, 1))
    with open_read_only(store.layout.open(1) / "data.mdb") as environment:
        held = read_page(environment, 0, 1 << 30)
    store.close()
    assert size > 20 and len(held.rows) == size_of(held.head) == size


def test_when_lmdb_refuses_nothing_more_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was durable by then still is, and the next notary has it."""
    store = new_store(tmp_path)
    fill(store, 3)
    size = store.segment.size

    def full(env: lmdb.Environment, batches: object) -> None:
        raise lmdb.DiskError("no")

    monkeypatch.setattr(store.segment._settling, "_put", full)
    with pytest.raises(lmdb.DiskError):
        store.segment.settle()
    with pytest.raises(lmdb.DiskError):
        fill(store, 1)
    store.abandon()
    store = new_store(tmp_path)
    assert len(records(store, 1)) >= size
    store.close()
    assert checked(tmp_path).problems == []


def test_records_leave_the_write_ahead_file_only_for_an_lmdb_that_is_in_its_place(tmp_path: Path) -> None:
    """One that was moved away takes them to where nobody looks; they stay in the file, and no more is acknowledged."""
    store = new_store(tmp_path)
    fill(store, 3)
    path, size = store.segment.path, store.segment.size
    (path / "data.mdb").rename(path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        store.segment.settle()
    with pytest.raises(FileNotFoundError):
        fill(store, 1)
    store.abandon()
    assert ahead.read(path / ahead.NAME).end >= size


def test_lmdb_never_takes_a_record_twice(tmp_path: Path) -> None:
    """It would say nothing by itself, and keep the one that it has."""
    store = new_store(tmp_path)
    fill(store, 2)
    store.segment.settle()
    kept = [leaf for _, leaf, _ in store.page(1, 0, 1 << 30).rows]
    again = ahead.Batch(store.segment.size - 1, [(b"another", None), (b"new", None)], "a head")
    with pytest.raises(lmdb.Error):
        segment.put(store.segment._env, [again])
    assert [leaf for _, leaf, _ in store.page(1, 0, 1 << 30).rows] == kept
    store.abandon()


def test_much_goes_through_a_small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves are used again and again, also when LMDB takes over nothing by itself."""
    monkeypatch.setattr(ahead, "HALF", 64 << 10)
    store = new_store(tmp_path, segment_bytes=8 << 20)
    fill(store, 150)
    leaves = [leaf for _, leaf, _ in store.page(1, 0, 1 << 30).rows]
    assert (store.segment.path / ahead.NAME).stat().st_size == 128 << 10
    kept = shutil.copytree(store.layout.root.parent, tmp_path / "kept")
    store.abandon()
    monkeypatch.setattr("gateway.notary.recovery.examine", lambda jobs: [examine_file(job) for job in jobs])  # a child has large halves
    again = new_store(Path(kept))
    assert [leaf for _, leaf, _ in again.page(1, 0, 1 << 30).rows] == leaves
    again.close()
