"""
The attack table: each case is done to a copy of a sound store, and must be named.

Section 13 of the design's table; what needs a later part (epoch keys, witnesses) is not here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy as duplicate
from pathlib import Path

import lmdb
import pytest
from recorded import ORIGIN, audit, checked, fill, new_store, seal_all

from gateway.notary import ahead, anchor, keys
from gateway.notary.environment import _ENGINE
from gateway.notary.examine import read_ledger
from gateway.notary.ledger import Ledger
from gateway.notary.merkle import CompactRange, leaf_hash
from gateway.notary.note import Checkpoint, Signer
from gateway.notary.recovery import Unsound
from gateway.notary.segment import HEAD, origin_of, row_key
from gateway.notary.store import Store

COMMANDS = 12
SEALED, CLOSED, OPEN = 1, 2, 3


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segment 1 sealed, 2 closed but not sealed, 3 left open by a kill; the anchor has seen all but the end of 3."""
    folder = tmp_path_factory.mktemp("original")
    store = new_store(folder)
    fill(store, COMMANDS)
    store.rotate("test")
    seal_all(store)
    fill(store, COMMANDS)
    store.rotate("test")
    fill(store, COMMANDS)
    store.head()
    anchor.append(folder / "anchor", store.ledger.checkpoint)
    fill(store, 1)
    store.segment.settle()
    store.abandon()
    for name in ("ledger", f"open/{CLOSED:012d}", f"open/{OPEN:012d}"):
        shrink(folder / "audit" / name)
    shutil.rmtree(folder / "audit" / "open" / "spare", ignore_errors=True)
    return folder


def shrink(environment: Path) -> None:
    """Without the reserved space, so that copies are small and flips hit something; what LMDB holds is nowhere else."""
    env = lmdb.open(str(environment), **_ENGINE)
    small = environment.with_suffix(".small")
    small.mkdir()
    env.copy(str(small), compact=True)
    env.close()
    for name in (ahead.NAME, "checkpoint"):
        if (environment / name).exists():
            (environment / name).rename(small / name)
    shutil.rmtree(environment)
    small.rename(environment)


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy", copy_function=shutil.copy2))


def problems(folder: Path) -> str:
    """All problems as one text, checked with the anchor that somebody else kept."""
    kept = anchor.parse((folder / "anchor").read_text(), keys.load_public(folder))
    return "\n".join(checked(folder, kept).problems)


def file_of(folder: Path, number: int, what: str = "leaves") -> Path:
    if number == SEALED:
        return folder / "audit" / "sealed" / f"{number:012d}{'.bodies' if what == 'bodies' else ''}.mdb"
    return folder / "audit" / "open" / f"{number:012d}" / "data.mdb"


@contextmanager
def opened(file: Path) -> Iterator[lmdb.Transaction]:
    """A write transaction, as an attacker with the disk has one."""
    os.chmod(file, 0o600)
    env = lmdb.open(str(file), subdir=False, lock=False, map_size=64 << 20, **_ENGINE)
    with env.begin(write=True) as txn:
        yield txn
    env.close()


def test_the_untouched_copy_is_sound(copy: Path) -> None:
    """Else no case below would mean anything."""
    kept = anchor.parse((copy / "anchor").read_text(), keys.load_public(copy))
    report = checked(copy, kept)
    assert report.problems == [] and report.code == 0 and report.anchor == "independent"
    assert report.segments == 3 and 0 < report.unanchored_records < 10


@pytest.mark.parametrize("number", [SEALED, CLOSED, OPEN])
@pytest.mark.parametrize("what", ["leaves", "bodies"])
def test_an_edited_byte_is_named_with_its_segment(copy: Path, number: int, what: str) -> None:
    file = file_of(copy, number, what)
    os.chmod(file, 0o600)
    key = row_key(9, what == "bodies")
    with opened(file) as txn:
        value = bytearray(txn.get(key) or b"")
        place = value.index(b"clinic") if what == "leaves" else 30
        value[place] ^= 1
        txn.put(key, bytes(value))
    found = problems(copy)
    assert f"segment {number}" in found
    assert "root does not match" in found if what == "leaves" else "body of record 9 was changed" in found


@pytest.mark.parametrize("number", [SEALED, CLOSED, OPEN])
def test_a_removed_record_is_named(copy: Path, number: int) -> None:
    with opened(file_of(copy, number)) as txn:
        txn.delete(row_key(7, False))
        txn.delete(row_key(7, True))
    assert f"segment {number}: record 7 is missing" in problems(copy)


def test_a_removed_record_with_the_rest_moved_up_is_named(copy: Path) -> None:
    with opened(file_of(copy, OPEN)) as txn:
        index = 7
        while (leaf := txn.get(row_key(index + 1, False))) is not None:
            txn.put(row_key(index, False), leaf)
            index += 1
        txn.delete(row_key(index, False))
    found = problems(copy)
    assert f"record 7 says that it is record 8 of segment {OPEN}" in found


def test_two_records_that_changed_places_are_named(copy: Path) -> None:
    with opened(file_of(copy, SEALED)) as txn:
        one, two = (txn.get(row_key(i, False)) or b"" for i in (6, 8))
        txn.put(row_key(6, False), two)
        txn.put(row_key(8, False), one)
    found = problems(copy)
    assert "record 6 says that it is record 8" in found and "record 8 says that it is record 6" in found


def test_a_repeated_record_is_named(copy: Path) -> None:
    with opened(file_of(copy, CLOSED)) as txn:
        count = 0
        while txn.get(row_key(count, False)) is not None:
            count += 1
        txn.put(row_key(count, False), txn.get(row_key(count - 1, False)) or b"")
    found = problems(copy)
    assert f"record {count} says that it is record {count - 1}" in found


def test_a_cut_tail_is_named_in_the_open_segment(copy: Path) -> None:
    with opened(file_of(copy, OPEN)) as txn:
        count = 0
        while txn.get(row_key(count, False)) is not None:
            count += 1
        for index in (count - 1, count - 2):
            txn.delete(row_key(index, False))
            txn.delete(row_key(index, True))
    assert f"{count - 2} records, the signed head says {count}" in problems(copy)


def test_a_cut_tail_with_a_new_head_by_another_key_is_named(copy: Path) -> None:
    """The open segment's key was never on disk; another one is not the one that the ledger names."""
    forge(file_of(copy, OPEN).with_name(ahead.NAME), 10)
    resign(file_of(copy, OPEN), 10, Signer.generate(origin_of(ORIGIN, OPEN)))
    assert "not signed by the key that the ledger names" in problems(copy)


def test_a_cut_below_the_ledgers_last_head_is_named_even_with_the_stolen_key(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    fill(store, 10)
    store.head()
    stolen = Signer(store.segment.signer.name, duplicate(store.segment.signer._private))  # while it was in memory
    seen = store.segment.size
    store.segment.settle()
    store.abandon()
    forge(store.layout.open(1) / ahead.NAME, 8)
    resign(store.layout.open(1) / "data.mdb", 8, stolen)
    assert f"truncated: the ledger has seen {seen} records, 8 are here" in "\n".join(checked(tmp_path).problems)
    with pytest.raises(Unsound, match="truncated"):
        new_store(tmp_path)


def forge(file: Path, keep: int) -> None:
    """A write-ahead file that never had more than the first batches."""
    held = [one for one in ahead.read(file).batches if one.end <= keep]
    file.unlink()
    ahead.reserve(file)
    made = ahead.AheadFile(file)
    for one in held:
        made.append(one, lambda size: None)
    made.close()


def resign(file: Path, keep: int, signer: Signer) -> None:
    """Cut a segment to its first records, and sign that."""
    tree = CompactRange()
    with opened(file) as txn:
        for key, value in list(txn.cursor()):
            if key[:1] == b"r" and int.from_bytes(key[1:9], "big") >= keep:
                txn.delete(key)
            elif key[:1] == b"r" and key[9] == 0:
                tree.append(leaf_hash(value))
        txn.put(HEAD, signer.sign(Checkpoint(signer.name, tree.size, tree.root()).text).encode())


@pytest.mark.parametrize("number", [SEALED, CLOSED, OPEN])
def test_a_removed_segment_is_named_the_newest_too(copy: Path, number: int) -> None:
    for file in (file_of(copy, number), file_of(copy, number, "bodies")):
        file.unlink(missing_ok=True)
    assert f"segment {number} (stream s0) was removed" in problems(copy)


def test_a_removed_stream_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "audit" / "open")
    shutil.rmtree(copy / "audit" / "sealed")
    assert "stream s0 was removed" in problems(copy)


def test_removed_bodies_are_named(copy: Path) -> None:
    file_of(copy, SEALED, "bodies").unlink()
    assert f"segment {SEALED}: " in problems(copy) and "bodies were removed" in problems(copy)


def test_swapped_segments_are_named(copy: Path) -> None:
    one, two = file_of(copy, CLOSED).parent, file_of(copy, OPEN).parent
    one.rename(copy / "x")
    two.rename(one)
    (copy / "x").rename(two)
    found = problems(copy)
    assert f"segment {CLOSED}: record 0 says that it is record 0 of segment {OPEN}" in found
    assert "not signed by the key that the ledger names" in found


def test_a_foreign_segment_is_named(copy: Path) -> None:
    shutil.copytree(file_of(copy, OPEN).parent, copy / "audit" / "open" / f"{OPEN + 1:012d}")
    assert f"segment {OPEN + 1} is not in the ledger" in problems(copy)


def test_a_segment_of_another_log_is_named(copy: Path, tmp_path: Path) -> None:
    other = new_store(tmp_path / "other")
    fill(other, 3)
    other.abandon()
    shutil.rmtree(file_of(copy, OPEN).parent)
    shutil.copytree(tmp_path / "other" / "audit" / "open" / f"{1:012d}", file_of(copy, OPEN).parent)
    assert f"segment {OPEN}: " in problems(copy)


@pytest.mark.parametrize("number", [SEALED, CLOSED, OPEN])
@pytest.mark.parametrize("keep", [0, 5000, 0.5, 0.9])
def test_a_truncated_file_is_named_and_crashes_nobody(copy: Path, number: int, keep: float) -> None:
    file = file_of(copy, number)
    os.chmod(file, 0o600)
    os.truncate(file, int(keep if keep > 1 else keep * file.stat().st_size))
    assert f"segment {number}: " in problems(copy)


def test_a_flipped_bit_anywhere_in_a_sealed_file_is_named(copy: Path) -> None:
    """Also where it changes no record: the ledger holds the file's hash. The reader may die of it; the verifier not."""
    for what in ("leaves", "bodies"):
        file = file_of(copy, SEALED, what)
        os.chmod(file, 0o600)
        whole = file.read_bytes()
        for place in range(100, len(whole), len(whole) // 6):
            changed = bytearray(whole)
            changed[place] ^= 0x10
            file.write_bytes(changed)
            assert f"segment {SEALED}: " in problems(copy), (what, place)
        file.write_bytes(whole)
    assert problems(copy) == ""


@pytest.mark.parametrize("attack", ["entry", "drop", "checkpoint", "truncate", "remove"])
def test_a_touched_ledger_is_named(copy: Path, attack: str) -> None:
    file = copy / "audit" / "ledger" / "data.mdb"
    if attack == "truncate":
        os.truncate(file, 6000)
    elif attack == "remove":
        shutil.rmtree(file.parent)
    else:
        with opened(file) as txn:
            number = (2).to_bytes(8, "big")
            if attack == "entry":
                txn.put(number, (txn.get(number) or b"")[:-1] + b"\x01")
            elif attack == "drop":
                txn.delete(number)
            else:
                txn.put(b"c", (txn.get(b"c") or b"").replace(b"\n", b"\n9", 1))
    assert problems(copy).startswith("ledger: ")


def test_a_ledger_signed_by_another_identity_is_refused(copy: Path, tmp_path: Path) -> None:
    """A whole forged store is sound in itself; the key that the auditor has says that it is not ours."""
    forged = new_store(tmp_path / "forged")
    fill(forged, 2)
    forged.close()
    shutil.rmtree(copy / "audit")
    shutil.copytree(tmp_path / "forged" / "audit", copy / "audit")
    assert "not signed by the trusted key" in problems(copy)


def test_a_directory_that_was_put_back_is_found_by_an_anchor_alone(copy: Path) -> None:
    """Without one the older copy verifies, and the report must say that this was not excluded."""
    older = Path(shutil.copytree(copy, copy.parent / "older"))
    store = new_store(copy)
    fill(store, 2)
    store.close()
    anchor.append(older / "anchor", store.ledger.checkpoint)
    assert "rolled back" in problems(older)
    without = checked(older)
    assert without.problems == [] and without.anchor == "none" and without.code == 2


def test_a_notary_does_not_start_on_a_store_that_was_put_back(copy: Path) -> None:
    """The file anchor is asked at every start."""
    older = Path(shutil.copytree(copy, copy.parent / "older"))
    store = new_store(copy)
    store.close()
    anchor.append(older / "anchor", store.ledger.checkpoint)
    with pytest.raises(Unsound, match="rolled back"):
        new_store(older)


def damage_ledger(folder: Path) -> None:
    with opened(folder / "audit" / "ledger" / "data.mdb") as txn:
        txn.delete((1).to_bytes(8, "big"))


def damage_newest(folder: Path) -> None:
    with opened(file_of(folder, OPEN)) as txn:
        txn.delete(row_key(5, False))


def remove_newest(folder: Path) -> None:
    shutil.rmtree(file_of(folder, OPEN).parent)


def truncate_newest(folder: Path) -> None:
    os.truncate(file_of(folder, OPEN), 20_000)


@pytest.mark.parametrize("damage", [damage_ledger, damage_newest, remove_newest, truncate_newest])
def test_a_notary_does_not_start_on_damaged_evidence(copy: Path, damage: Callable[[Path], None]) -> None:
    """Nothing may be recorded, so nothing passes, until a person has looked. And nothing is moved or deleted."""
    damage(copy)
    before = sorted(str(p) for p in (copy / "audit").rglob("*"))
    with pytest.raises(Unsound):
        new_store(copy)
    after = sorted(str(p) for p in (copy / "audit").rglob("*") if p.name != "notary.lock")
    assert after == [name for name in before if not name.endswith("notary.lock")]


def test_a_ledger_that_was_put_back_alone_is_noticed_at_start(tmp_path: Path) -> None:
    """Its newest segment is then not in it, and holds records: no unfinished birth."""
    store = new_store(tmp_path)
    fill(store, 2)
    store.close()
    shutil.copytree(tmp_path / "audit" / "ledger", tmp_path / "ledger")
    store = new_store(tmp_path)
    fill(store, 2)
    store.close()
    shutil.rmtree(tmp_path / "audit" / "ledger")
    (tmp_path / "ledger").rename(tmp_path / "audit" / "ledger")
    with pytest.raises(Unsound, match="ledger was put back"):
        new_store(tmp_path)
    assert "segment 2 is not in the ledger" in "\n".join(checked(tmp_path).problems)


def test_an_unfinished_birth_that_cannot_be_read_is_not_thrown_away(copy: Path) -> None:
    """It might be a damaged segment under a ledger that was put back."""
    stray = copy / "audit" / "open" / f"{OPEN + 1:012d}"
    stray.mkdir()
    (stray / "data.mdb").write_bytes(b"damaged")
    with pytest.raises(Unsound):
        new_store(copy)
    assert (stray / "data.mdb").exists()


def test_bodies_that_expired_in_good_order_are_a_gap_and_no_tampering(copy: Path) -> None:
    identity = keys.load(copy, ORIGIN).identity
    ledger = Ledger(copy / "audit" / "ledger", identity)
    ledger.append([["body.expire", 1, 0, SEALED, "two people"]])
    ledger.close()
    file_of(copy, SEALED, "bodies").unlink()
    kept = anchor.parse((copy / "anchor").read_text(), keys.load_public(copy))
    report = checked(copy, kept)
    assert report.problems == [] and report.code == 2 and "expired" in report.gaps[0]


def test_the_store_goes_on_after_all_of_it(copy: Path) -> None:
    """The fixture itself: a kill, then a start, then a sound store."""
    store = Store(audit(copy), keys.load(copy, ORIGIN))
    fill(store, 1)
    store.close()
    assert problems(copy) == ""


# -- the copy of the checkpoint that people mail ---------------------------------------------


def garbage(file: Path, _: Signer) -> None:
    file.write_bytes(b"\xff garbage")


def flipped(file: Path, _: Signer) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def emptied(file: Path, _: Signer) -> None:
    file.write_bytes(b"")


def unreadable(file: Path, _: Signer) -> None:
    file.unlink()
    file.mkdir()


def of_another_log(file: Path, _: Signer) -> None:
    file.write_text(Signer.generate("other").sign(Checkpoint("other", 1, bytes(32)).text))


def forked(file: Path, signer: Signer) -> None:
    file.write_text(signer.sign(Checkpoint(signer.name, 2, bytes(32)).text))


def newer(file: Path, signer: Signer) -> None:
    file.write_text(signer.sign(Checkpoint(signer.name, 1000, bytes(32)).text))


def of_another_origin(file: Path, signer: Signer) -> None:
    file.write_text(signer.sign(Checkpoint("other", 2, bytes(32)).text))


@pytest.mark.parametrize("attack", [garbage, flipped, emptied, unreadable, of_another_log, of_another_origin, forked, newer])
def test_what_was_done_to_the_published_checkpoint_is_named(copy: Path, attack: Callable[[Path, Signer], None]) -> None:
    """Auditors are told to mail it: what is no checkpoint of this very ledger must not pass for one."""
    attack(copy / "audit" / "ledger" / "checkpoint", keys.load(copy, ORIGIN).identity)
    report = checked(copy)
    assert report.code == 1 and [one for one in report.problems if one.startswith("ledger/checkpoint ")] == report.problems


def test_a_published_checkpoint_that_a_crash_left_behind_is_told_and_is_no_tampering(copy: Path) -> None:
    """The notary was killed between its ledger and the copy: an older one that fits is remarked on, none at all is a gap."""
    kept = anchor.parse((copy / "anchor").read_text(), keys.load_public(copy))
    file, signer = copy / "audit" / "ledger" / "checkpoint", keys.load(copy, ORIGIN).identity
    packed, _ = read_ledger(copy / "audit" / "ledger")
    tree = CompactRange()
    tree.append(leaf_hash(packed[0]))
    file.write_text(signer.sign(Checkpoint(signer.name, 1, tree.root()).text))
    older = checked(copy, kept)
    assert older.code == 0 and f"1 of {len(packed)} entries" in older.remarks[0] and not older.gaps
    file.unlink()
    missing = checked(copy, kept)
    assert missing.code == 2 and missing.gaps[0].startswith("ledger/checkpoint is missing") and not missing.problems
