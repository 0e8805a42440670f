"""
Evidence of real sessions, attacked on disk: `ostiary audit verify` names what was done and exits 1; so does the
verifier that an auditor runs on a bundle.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reckoning import ROLE

from gateway.notary import ahead
from gateway.notary.ahead import tail
from gateway.notary.environment import open_read_only
from gateway.notary.layout import Layout
from gateway.notary.segment import read_page, size_of
from tests.house import ADA, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

SESSIONS = 6
MARK = "the statement that somebody regrets"


@pytest.fixture(scope="module")
def house(server: PostgresServer, lasting_directory: Path) -> Iterator[House]:
    """Stopped, with several segments: sealed, closed and cut off by a kill."""
    made = House(lasting_directory, server, database="clinic", user=ROLE, audit={"segment_records": 60, "segment_bytes": 1 << 20})
    with made:
        for number in range(SESSIONS):
            with made.connect(ADA) as connection:
                for one in range(12):
                    connection.execute(f"SELECT '{MARK} {number}-{one}'")
        open_at_the_end = made.connect(ADA)  # so that the newest segment tells of the target, if only as carried over
        until(lambda: settled(made.directory / "state" / "audit"), "LMDB holds all records")
        for part in made.family():
            part.kill()
        open_at_the_end.close()
    yield made


def settled(store: Path) -> bool:
    """Nothing of the newest segment is in its write-ahead file alone, so that attacks on its LMDB take something away."""
    found = segments(store)
    newest = found[max(found)]
    with open_read_only(newest) as environment:
        held = size_of(read_page(environment, 0, 0).head)
    return not tail(newest.parent / ahead.NAME, held)


@pytest.fixture
def store(house: House) -> Iterator[Path]:
    """What can be attacked: a copy is put back afterwards."""
    there, kept = house.directory / "state" / "audit", house.directory / "kept"
    shutil.copytree(there, kept)
    yield there
    shutil.rmtree(there)
    kept.rename(there)


def segments(store: Path) -> dict[int, Path]:
    """The file that holds each segment's records; of one that was just sealed there may still be a copy."""
    layout = Layout(store)
    return {number: layout.files(number)[0] for number in sorted(layout.present())}


def overwrite(file: Path, old: bytes, new: bytes) -> None:
    """Everywhere in the file, as LMDB leaves old pages lying about."""
    data = file.read_bytes()
    assert old in data
    file.chmod(0o600)
    file.write_bytes(data.replace(old, new))


def edit(file: Path) -> None:
    """Sessions were on another target, it says now."""
    overwrite(file, b"\xa2db", b"\xa2dc")


def cut(file: Path) -> None:
    """Its last page that is in use, and all behind it: most of an open segment's size is only reserved."""
    with open_read_only(file) as environment:
        used = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    file.chmod(0o600)
    os.truncate(file, used - 1)


def remove(file: Path) -> None:
    """With the copy that there may be."""
    number, layout = _number(file), Layout(next(one for one in file.parents if one.name == "audit"))
    shutil.rmtree(layout.open(number), ignore_errors=True)
    for one in file.parent.glob(f"{number:012d}.*"):
        one.unlink()


def _number(file: Path) -> int:
    return int(file.parent.name if file.name == "data.mdb" else file.name.split(".")[0])


def test_untouched_it_is_sound(house: House) -> None:
    verdict = house.verify()
    assert verdict.returncode == 2 and "SOUND\n" in verdict.stdout, verdict.stdout + verdict.stderr
    assert len(segments(house.directory / "state" / "audit")) >= 3


@pytest.mark.parametrize("attack", [edit, cut, remove])
@pytest.mark.parametrize("which", ["oldest", "middle", "newest"])
def test_every_attack_on_a_segment_is_named(house: House, store: Path, attack: Callable[[Path], None], which: str) -> None:
    found = segments(store)
    numbers = list(found)
    number = {"oldest": numbers[0], "middle": numbers[len(numbers) // 2], "newest": numbers[-1]}[which]
    attack(found[number])
    verdict = house.verify()
    assert verdict.returncode == 1, verdict.stdout
    named = [line for line in verdict.stdout.splitlines() if line.startswith("TAMPERED:") and f"segment {number}" in line]
    assert named, verdict.stdout


def edit_ahead(file: Path, other: Path) -> None:
    """One bit of its second batch."""
    second = sorted(ahead.read(file).batches, key=lambda one: one.first)[1]
    leaf = second.rows[0][0]
    overwrite(file, leaf, leaf[:-1] + bytes([leaf[-1] ^ 1]))


def cut_ahead(file: Path, other: Path) -> None:
    os.truncate(file, ahead.HALF)


def empty_ahead(file: Path, other: Path) -> None:
    file.write_bytes(bytes(2 * ahead.HALF))


def remove_ahead(file: Path, other: Path) -> None:
    file.unlink()


def swap_ahead(file: Path, other: Path) -> None:
    shutil.copy(other, file)


def replay_ahead(file: Path, other: Path) -> None:
    """As it was when it held its first batch."""
    first = min(ahead.read(file).batches, key=lambda one: one.first)
    file.unlink()
    ahead.reserve(file)
    older = ahead.AheadFile(file)
    older.append(first, lambda size: None)
    older.close()


@pytest.mark.parametrize("attack", [edit_ahead, cut_ahead, empty_ahead, remove_ahead, swap_ahead, replay_ahead])
def test_every_attack_on_the_write_ahead_file_is_named(house: House, store: Path, tmp_path: Path, attack: Callable[[Path, Path], None]) -> None:
    """Though LMDB held all of its records by then."""
    newest = segments(store)[max(segments(store))].parent
    attack(newest / ahead.NAME, another(tmp_path))
    verdict = house.verify()
    assert verdict.returncode == 1 and f"TAMPERED: segment {int(newest.name)}: " in verdict.stdout, verdict.stdout
    assert "write-ahead file" in verdict.stdout


def another(folder: Path) -> Path:
    """The file of another segment, as whole as this one."""
    file = folder / ahead.NAME
    ahead.reserve(file)
    made = ahead.AheadFile(file)
    made.append(ahead.Batch(0, [(b"a leaf of elsewhere", None)], "its head"), lambda size: None)
    made.close()
    return file


def test_records_that_were_never_shown_to_the_notary_are_named(house: House, store: Path) -> None:
    """A segment put in another's place, and one that the ledger does not know."""
    shutil.copy(segments(store)[1], store / "sealed" / "000000000099.mdb")
    verdict = house.verify()
    assert verdict.returncode == 1 and "99" in verdict.stdout, verdict.stdout


def test_a_touched_ledger_is_named(house: House, store: Path) -> None:
    overwrite(store / "ledger" / "data.mdb", b"seg.open", b"seg.0pen")
    verdict = house.verify()
    assert verdict.returncode == 1 and "ledger" in verdict.stdout, verdict.stdout


def test_a_store_that_was_put_back_is_found_by_the_anchor(house: House, store: Path) -> None:
    """An older copy is whole in itself; the checkpoint that was kept is newer."""
    older = house.directory / "older"
    shutil.copytree(store, older)
    with house:
        with house.connect(ADA) as connection:
            connection.execute("SELECT 'what is to be forgotten'")
    kept = house.directory / "checkpoints.auditor"
    shutil.copy(house.directory / "state" / "anchor" / "checkpoints", kept)
    sound = house.audit("verify", "--key", str(house.public_key), "--anchor", str(kept))
    assert sound.returncode == 0, sound.stdout
    shutil.rmtree(store)
    older.rename(store)
    verdict = house.audit("verify", "--key", str(house.public_key), "--anchor", str(kept))
    assert verdict.returncode == 1 and "TAMPERED" in verdict.stdout, verdict.stdout


def test_every_file_of_a_bundle_is_proved(house: House, tmp_path: Path) -> None:
    """A byte changed in each, one after the other; the verifier is the bundle's own, its key and itself are not."""
    bundle, auditors = tmp_path / "bundle", tmp_path / "verify.py"
    made = house.audit("export", "--out", str(bundle), "--text", MARK)
    assert made.returncode == 0, made.stderr
    shutil.copy(bundle / "verify.py", auditors)

    def verdict() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(auditors), str(bundle), "--key", house.public_key.read_text().strip()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    sound = verdict()
    assert sound.returncode in (0, 2), sound.stdout + sound.stderr
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    assert len(files) > 4
    for file in files:
        whole = file.read_bytes()
        for at in {len(whole) // 2} if whole else ():
            changed = bytearray(whole)
            changed[at] ^= 1
            file.write_bytes(changed)
            told = verdict()
            assert told.returncode == 1 and "TAMPERED" in told.stdout, f"{file} at {at}: {told.stdout}"
            assert file.name in told.stdout or file.name == "MANIFEST.json", f"{file} at {at}: {told.stdout}"
        file.write_bytes(whole)
    assert verdict().returncode == sound.returncode
