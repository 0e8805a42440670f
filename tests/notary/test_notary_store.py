"""The store: what is committed, when it rotates, and that what is open outlives segments and crashes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from recorded import (
    ORIGIN, Told, allowed, approve, audit, checked, fill, journal, new_store, records, seal_all, session,
)

from gateway.notary import keys, segment
from gateway.notary.ledger import named
from gateway.notary.process import init_store
from gateway.notary.record import Kind, event, pack, unpack
from gateway.notary.segment import Segment
from gateway.notary.store import HEAD_SECONDS, Clock, Store, StoreError

FAR = time.time_ns() + 10**16  # months away: a long run may come here late
BINDING = b"b" * 32


class Times:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.wall, self.boot = time.time_ns(), 10**12

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.boot)

    def pass_(self, seconds: float) -> None:
        self.wall, self.boot = self.wall + int(seconds * 1e9), self.boot + int(seconds * 1e9)


def store_at(folder: Path, times: Times, **changes: Any) -> Store:
    settings = audit(folder, **changes)
    init_store(settings, ORIGIN, folder)
    return Store(settings, keys.load(folder, ORIGIN), times.clock())


def kinds(store: Store, number: int) -> list[int]:
    return [record.kind for record in records(store, number)]


def test_a_session_is_recorded_whole_and_in_order(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    fill(store, 2)
    assert kinds(store, 1)[4:] == [Kind.OPENED, Kind.INTENT, Kind.OUTCOME, Kind.INTENT, Kind.OUTCOME, Kind.CLOSED]
    outcome, intent = records(store, 1)[6], records(store, 1)[5]
    assert outcome.fields[5] == list(intent.key)
    assert [r.fields[2] for r in records(store, 1)[4:]] == [0, 1, 2, 3, 4, 5]
    store.close()
    assert checked(tmp_path).problems == []


def test_nothing_private_is_in_clear(tmp_path: Path) -> None:
    """Names, text and values are in no leaf and in no byte of the files; target and verdict are."""
    store = new_store(tmp_path)
    fill(store, 3)
    leaves = b"".join(leaf for _, leaf, _ in store.page(1, 0, 1 << 30).rows)
    store.close()
    everything = b"".join(p.read_bytes() for p in (tmp_path / "audit").rglob("*") if p.is_file())
    for private in (b"ada@clinic", b"patients", b"secret-1", b"clinicdb", b"10.0.0.9"):
        assert private not in leaves and private not in everything
    assert b"clinic" in leaves


def test_rotation_by_records_carries_on_without_a_gap(tmp_path: Path) -> None:
    store = new_store(tmp_path, segment_records=20)
    fill(store, 30)
    assert store.segment.number > 2 and store.unsealed == list(range(1, store.segment.number))
    seal_all(store)
    assert not store.unsealed and not store.layout.open(1).exists()
    store.close()
    report = checked(tmp_path)
    assert report.problems == [] and report.segments == store.segment.number


def test_rotation_by_bytes_and_by_age(tmp_path: Path) -> None:
    times = Times()
    store = store_at(tmp_path, times, segment_seconds=60.0)
    told, book, who = Told(), journal(store), session()
    book.opened(who, {}, told)
    for number in range(3):
        book.intend(who, number, allowed("x" * 600_000), told)
        book.flush()
    assert store.segment.number == 2
    times.pass_(61)
    store.tick()
    assert store.segment.number == 3
    store.tick()
    assert store.segment.number == 3
    store.close()
    assert checked(tmp_path).problems == []


def test_a_statement_of_a_mebibyte_is_recorded_whole(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    told, book, who = Told(), journal(store), session()
    book.intend(who, 1, allowed("x" * (1 << 20)), told)
    book.flush()
    row = store.page(store.segment.number, 0, 1 << 30).rows[-1]
    plain, _ = keys.load(tmp_path, ORIGIN).bodies.open(records(store, 1)[-1].session, row[2] or b"")
    assert len(row[1]) < 4096 and b"x" * (1 << 20) in plain
    store.close()


def test_how_far_a_worker_had_come_is_known_over_several_deaths_and_segments(tmp_path: Path) -> None:
    """It asks when it comes back, which may be the third notary from there: nothing is recorded twice."""
    store = new_store(tmp_path)
    fill(store, 3)
    worker = max(entry.stamp.worker for entry in records(store, store.segment.number) if entry.kind == Kind.CLOSED)
    last = store.state.lasts[worker]
    assert last == max(one.stamp.sequence for one in records(store, store.segment.number) if one.stamp.worker == worker)
    store.rotate("rotated")
    for _ in range(2):
        store.abandon()
        store = new_store(tmp_path)
        assert store.state.lasts[worker] == last
    store.close()


def test_the_ledger_names_the_open_segments_size_while_it_grows(tmp_path: Path) -> None:
    times = Times()
    store = store_at(tmp_path, times)
    fill(store, 1)
    before = store.ledger.size
    store.tick()
    assert store.ledger.size == before
    times.pass_(HEAD_SECONDS + 1)
    store.tick()
    ((packed,), _) = store.ledger.page(before, 10)
    head = named(unpack(packed))
    assert head["what"] == "head" and head["size"] == store.segment.size
    times.pass_(HEAD_SECONDS + 1)
    store.tick()
    assert store.ledger.size == before + 1  # nothing new, nothing said
    store.close()


def test_a_step_of_the_wall_clock_is_recorded(tmp_path: Path) -> None:
    times = Times()
    store = store_at(tmp_path, times)
    times.pass_(5)
    fill(store, 1)
    times.wall -= 3600 * 10**9
    fill(store, 1)
    steps = [r.get("step_ns") for r in records(store, 1) if r.kind == Kind.CLOCK]
    assert steps == [-3600 * 10**9]
    store.close()
    assert checked(tmp_path).problems == []


def test_a_notary_that_is_stopped_between_two_clocks_tells_of_no_step(tmp_path: Path) -> None:
    """It looks at one after the other, and whatever stops it there stops no clock."""
    times, stops = Times(), [0]

    def boot_ns() -> int:
        seen = times.boot
        times.pass_(stops.pop() if stops else 0)
        return seen

    settings = audit(tmp_path)
    init_store(settings, ORIGIN, tmp_path)
    store = Store(settings, keys.load(tmp_path, ORIGIN), Clock(lambda: times.wall, boot_ns))
    stops.append(5)
    store.commit([store.own(event(Kind.ADMIN, "viewed", 1, 1), pack([{}]))])
    assert not stops and Kind.CLOCK not in kinds(store, 1)
    store.close()


def test_a_step_of_the_clock_leaves_no_gap_among_what_the_notary_records_with_it(tmp_path: Path) -> None:
    """A batch that asks for records of the notary's own has numbered them before the step is noticed."""
    times = Times()
    store = store_at(tmp_path, times)
    times.wall += 3600 * 10**9
    store.commit([store.own(event(Kind.ADMIN, "viewed", 1, 1), pack([{}])), store.own(event(Kind.ADMIN, "exported", 1, 1), pack([{}]))])
    times.wall -= 3600 * 10**9
    approve(store, "g", BINDING, FAR)
    own = [r for r in records(store, 1) if r.stamp.worker == store.worker]
    assert [r.stamp.sequence for r in own] == list(range(len(own)))
    assert [r.kind for r in own][-5:] == [Kind.ADMIN, Kind.ADMIN, Kind.CLOCK, Kind.APPROVAL, Kind.CLOCK]
    store.close()
    assert checked(tmp_path).problems == []


def test_a_grant_is_spent_once_also_within_one_transaction(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    approve(store, "g", BINDING, FAR)
    told, book, who = Told(), journal(store), session()
    first = book.intend(who, 1, allowed("DROP TABLE a", grant="g", binding=BINDING), told)
    second = book.intend(who, 2, allowed("DROP TABLE a", grant="g", binding=BINDING), told)
    book.flush()
    assert told.told == [("refused", second, "the grant is spent"), ("durable", second)] and first < second
    assert kinds(store, 1)[-2:] == [Kind.INTENT, Kind.UNGRANTED]
    assert records(store, 1)[-1].get("why") == "the grant is spent"
    store.close()
    assert checked(tmp_path).problems == []


@pytest.mark.parametrize(
    ("name", "binding", "expires", "why"),
    [
        ("other", BINDING, FAR, "unknown"), ("g", b"c" * 32, FAR, "something else"), ("g", BINDING, 1, "expired"),
        ("g", b"", FAR, "something else"),
    ],
    ids=["another name", "another statement", "expired", "no statement"],
)
def test_a_grant_that_does_not_fit_is_refused(
    tmp_path: Path, name: str, binding: bytes, expires: int, why: str
) -> None:
    store = new_store(tmp_path)
    approve(store, "g", BINDING, expires)
    told, book = Told(), journal(store)
    book.intend(session(), 1, allowed("DROP TABLE a", grant=name, binding=binding), told)
    book.flush()
    assert told.told[0][0] == "refused" and why in told.told[0][2]
    store.close()


@pytest.mark.parametrize("spent", [False, True])
@pytest.mark.parametrize("ending", ["rotated", "closed", "killed"])
def test_a_grant_and_its_spending_outlive(tmp_path: Path, spent: bool, ending: str) -> None:
    """Across rotation, a restart in good order, and a kill: never twice, and not lost either."""
    store = new_store(tmp_path)
    approve(store, "g", BINDING, FAR)
    told, book = Told(), journal(store)
    if spent:
        book.intend(session(), 1, allowed("DROP", grant="g", binding=BINDING), told)
        book.flush()
    for _ in range(2):
        if ending == "rotated":
            store.rotate("test")
        else:
            store.close() if ending == "closed" else store.abandon()
            store = new_store(tmp_path)
    told, book = Told(), journal(store)
    book.intend(session(), 1, allowed("DROP", grant="g", binding=BINDING), told)
    book.flush()
    assert told.told[0][0] == ("refused" if spent else "durable")
    store.close()
    assert checked(tmp_path).problems == []


@pytest.mark.parametrize("rotations", [0, 2])
def test_intents_of_a_killed_notary_get_an_unknown_outcome(tmp_path: Path, rotations: int) -> None:
    store = new_store(tmp_path)
    told, book, who = Told(), journal(store), session()
    book.opened(who, {}, told)
    for number in (1, 2):
        book.intend(who, number, allowed("SELECT pg_sleep(100)"), told)
    book.flush()
    keys_of_intents = [list(r.key) for r in records(store, 1) if r.kind == Kind.INTENT]
    for _ in range(rotations):
        store.rotate("test")
    store.abandon()
    store = new_store(tmp_path)
    unknown = [r for r in records(store, store.segment.number) if r.kind == Kind.OUTCOME]
    assert [r.fields[5] for r in unknown] == keys_of_intents
    assert {r.get("ending") for r in unknown} == {"unknown"} and unknown[0].session == records(store, 1)[4].session
    assert not store.state.open_intents
    store.close()
    assert checked(tmp_path).problems == []


def test_a_worker_that_leaves_has_its_sessions_closed(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    told, book, who = Told(), journal(store), session()
    book.opened(who, {}, told)
    book.intend(who, 1, allowed("SELECT 1"), told)
    book.flush()
    store.commit(store.leave(store.worker + 1))
    assert kinds(store, 1)[-3:] == [Kind.OUTCOME, Kind.CLOSED, Kind.WORKER]
    assert not store.state.open_intents and not store.state.sessions
    store.close()


def opened(store: Store, count: int) -> list[bytes]:
    """Sessions of one worker that are not closed."""
    told, book, said = Told(), journal(store), [session() for _ in range(count)]
    for who in said:
        book.opened(who, {}, told)
    book.flush()
    return [UUID(who.id).bytes for who in said]


def closed(store: Store, number: int) -> list[tuple[bytes, int]]:
    """Whose ends the notary recorded: the session, and its own number in it, which is none."""
    return [(r.session, r.fields[2]) for r in records(store, number) if r.kind == Kind.CLOSED]


def test_sessions_of_a_gateway_that_was_killed_are_closed_when_it_starts_again(tmp_path: Path) -> None:
    """All of its workers are gone; a notary that is only replaced under live ones closes none, nor does it forget them."""
    store = new_store(tmp_path)
    lives = opened(store, 2)
    store.abandon()
    store = new_store(tmp_path)
    assert closed(store, 2) == [] and set(store.state.sessions) == set(lives)
    store.abandon()
    store = Store(audit(tmp_path), keys.load(tmp_path, ORIGIN), alone=True)
    assert sorted(closed(store, 3)) == sorted((one, 0) for one in lives) and not store.state.sessions
    store.close()
    store = Store(audit(tmp_path), keys.load(tmp_path, ORIGIN), alone=True)
    assert closed(store, 4) == []
    store.close()
    assert checked(tmp_path).problems == []


def test_a_worker_that_outlived_a_notary_and_dies_has_its_sessions_closed(tmp_path: Path) -> None:
    """It opened them under the number that it had of the notary before."""
    store = new_store(tmp_path)
    (its_own,), (anothers,) = opened(store, 1), opened(store, 1)
    numbers = [store.state.sessions[one][0] for one in (its_own, anothers)]
    assert numbers[0] != numbers[1]
    store.abandon()
    store = new_store(tmp_path)
    store.commit(store.leave(store.join("worker", 1, 1).worker, numbers[:1]))
    assert closed(store, 2) == [(its_own, 0)] and set(store.state.sessions) == {anothers}
    store.close()


def test_worker_numbers_are_never_used_again(tmp_path: Path) -> None:
    seen = []
    for ending in (Store.close, Store.abandon, Store.close):
        store = new_store(tmp_path)
        seen += [store.worker, store.join("worker", 1, 1).worker]
        fill(store, 1)
        ending(store)
    assert len(set(seen)) == len(seen) and seen == sorted(seen)


def test_one_notary_per_store(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    with pytest.raises(StoreError, match="another notary"):
        new_store(tmp_path)
    store.close()
    new_store(tmp_path).close()


def test_no_store_says_what_to_do(tmp_path: Path) -> None:
    keys.create(tmp_path, ORIGIN)
    with pytest.raises(StoreError, match="ostiary init"):
        Store(audit(tmp_path), keys.load(tmp_path, ORIGIN))


def test_a_directory_that_is_moved_away_is_not_written_to(tmp_path: Path) -> None:
    """LMDB would go on writing into files that no path leads to."""
    store = new_store(tmp_path)
    (tmp_path / "audit").rename(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        fill(store, 1)
    store.abandon()
    (tmp_path / "elsewhere").rename(tmp_path / "audit")
    new_store(tmp_path).close()


def test_space_is_reserved_ahead_and_a_full_disk_is_met_at_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(tmp_path)
    store.prepare_spare()

    def full(path: Path, size: int) -> None:
        path.mkdir()
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("gateway.notary.store.reserve", full)
    store.rotate("the spare is there")
    with pytest.raises(OSError, match="No space"):
        store.rotate("there is none")
    assert not (tmp_path / "audit" / "open" / "spare.new").exists()
    store.abandon()
    with pytest.raises(OSError, match="No space"):
        new_store(tmp_path)
    monkeypatch.setattr("gateway.notary.store.reserve", segment.reserve)
    new_store(tmp_path).close()
    assert checked(tmp_path).problems == []


@pytest.mark.parametrize("step", ["_log", "segment"])
def test_a_birth_that_was_cut_short_leaves_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Killed between the new segment's first record and its ledger entry, or before that record."""
    store = new_store(tmp_path)
    said = fill(store, 3)
    broken = OSError(5, "Input/output error")

    def fails(*_: object, **__: object) -> None:
        raise broken

    with monkeypatch.context() as patched:
        patched.setattr(Store if step == "_log" else Segment, "_log" if step == "_log" else "commit", fails)
        with pytest.raises(OSError):
            store.rotate("test")
    store.abandon()
    if step == "_log":
        assert (tmp_path / "audit" / "open" / f"{2:012d}").exists()
    store = new_store(tmp_path)
    assert store.segment.number == 2 and said.id
    store.close()
    assert checked(tmp_path).problems == []


def test_a_segment_is_readable_while_it_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path was looked up, then the original was let go: the reader gets the copy, not an error."""
    store = new_store(tmp_path)
    fill(store, 5)
    store.rotate("test")
    before, real = store.page(1, 0, 1 << 20), store.layout.files

    def files(number: int) -> Any:
        found = real(number)
        if store.unsealed:
            seal_all(store)
        return found

    monkeypatch.setattr(type(store.layout), "files", lambda layout, number: files(number))
    assert store.page(1, 0, 1 << 20) == before and store.unsealed == []
    store.close()


def test_segments_are_read_by_many_while_they_rotate_and_are_sealed(tmp_path: Path) -> None:
    """LMDB opens no file twice in one process; readers in threads must not notice."""
    store = new_store(tmp_path, segment_records=20)
    fill(store, 1)
    wrong: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            newest = store.segment.number
            for number in range(1, newest + 1):
                try:
                    rows = store.page(number, 0, 1 << 20).rows
                    assert rows[0][0] == 0 if rows else number == newest  # that one may have just begun
                except BaseException as e:
                    wrong.append(e)
                    return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        fill(store, 12)
        seal_all(store)
    done.set()
    for reader in readers:
        reader.join()
    store.close()
    assert not wrong and store.segment.number > 3


def test_files_are_private(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    fill(store, 1)
    store.rotate("test")
    seal_all(store)
    store.close()
    for path in (tmp_path / "audit").rglob("*"):
        if path.name not in ("checkpoint", "notary.socket"):
            assert os.stat(path).st_mode & 0o077 == 0, path
