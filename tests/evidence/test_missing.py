"""Looking at a store from which something was taken: what a search could not look at is said, and is no empty answer."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recorded import fill, new_store, seal_all, session

from gateway.cli.main import main
from gateway.notary import keys
from gateway.notary.environment import open_read_only
from gateway.notary.layout import Layout
from gateway.notary.seal import bodies_file, leaves_file
from gateway.notary.segment import row_key


def ostiary(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sealed segments, of two people, and an open one."""
    folder = tmp_path_factory.mktemp("whole")
    for subject in ("ada@clinic.example", "bob@clinic.example"):
        store = new_store(folder, segment_records=8)
        fill(store, 4, session(subject))
        seal_all(store)
        store.close()
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def remove_segment(layout: Layout) -> None:
    leaves_file(layout.sealed(1)).unlink()
    bodies_file(layout.sealed(1)).unlink()


def remove_leaves(layout: Layout) -> None:
    leaves_file(layout.sealed(1)).unlink()


def remove_bodies(layout: Layout) -> None:
    bodies_file(layout.sealed(1)).unlink()


REMOVED = "segment 1 was removed: it is in the ledger and not here"
BODIES = "segment 1: its bodies were removed"


@pytest.mark.parametrize("remove, said", [(remove_segment, REMOVED), (remove_leaves, REMOVED), (remove_bodies, BODIES)], ids=["both", "leaves", "bodies"])
def test_what_was_removed_is_no_empty_answer(folder: Path, remove: Callable[[Layout], None], said: str) -> None:
    """To who searches, follows or exports: he hears which segment it is, and a script that something is wrong."""
    store = folder / "audit"
    assert ostiary("search", "--store", store, "--text", "no such text").exit_code == 0
    remove(Layout(store))
    for words in (("search", "--text", "no such text"), ("tail", "--identity", "nobody"), ("show", "r-none")):
        looked = ostiary(*words, "--store", store)
        assert looked.exit_code == 1 and f"NOT SEARCHED: {said}\n" in looked.stderr, words
    listed = ostiary("search", "--json", "--store", store, "--identity", "bob@clinic.example")
    *found, last = map(json.loads, listed.stdout.splitlines())
    assert listed.exit_code == 1 and len(found) == 10 and last == {"not_searched": [said]}
    made = ostiary("export", "--store", store, "--identity", "bob@clinic.example", "--out", folder / "bundle", "--json")
    assert made.exit_code == 1 and said in made.stderr and json.loads(made.stdout)["not_searched"] == [said]
    assert not (folder / "bundle").exists()


def test_a_ledger_that_cannot_be_read_is_no_empty_answer(folder: Path) -> None:
    """Nothing else says what should be here."""
    (folder / "audit" / "ledger" / "data.mdb").unlink()
    looked = ostiary("search", "--store", folder / "audit", "--identity", "nobody")
    assert looked.exit_code == 1 and "NOT SEARCHED: ledger: " in looked.stderr


def test_bodies_that_the_ledger_let_expire_are_not_missing(folder: Path) -> None:
    store = new_store(folder, segment_records=8)
    store.ledger.append([["body.expire", 1, 0, 1, "ada"]])
    store.close()
    remove_bodies(Layout(folder / "audit"))
    looked = ostiary("search", "--store", folder / "audit", "--identity", "nobody")
    assert looked.exit_code == 0 and "NOT SEARCHED" not in looked.stderr


def damage(file: Path) -> None:
    """Every page but the two that say what the file is: LMDB meets one that is none."""
    data = bytearray(file.read_bytes())
    data[2 * 4096 :] = b"\xff" * (len(data) - 2 * 4096)
    file.chmod(0o600)
    file.write_bytes(data)


OTHER = "NOT SEARCHED: segment 1: its file is not the one that was sealed\n"


def truncate(file: Path) -> None:
    file.chmod(0o600)
    os.truncate(file, 2 * 4096)


def change(file: Path) -> None:
    """One record's target."""
    data = file.read_bytes()
    assert b"clinic" in data
    file.chmod(0o600)
    file.write_bytes(data.replace(b"clinic", b"clinik", 1))


@pytest.mark.parametrize("harm", [damage, truncate, change], ids=["pages", "cut", "record"])
def test_what_is_not_what_was_sealed_is_not_shown_and_the_rest_is(folder: Path, harm: Callable[[Path], None]) -> None:
    """A record that somebody changed is no true one; that one segment is damaged keeps nobody from what is recorded since."""
    store = folder / "audit"
    harm(leaves_file(Layout(store).sealed(1)))
    for words in (("search", "--json"), ("tail", "--json"), ("show", "r-none"), ("search", "--session", "01a2192c")):
        looked = ostiary(*words, "--store", store)
        assert looked.exit_code == 1 and "NOT SEARCHED: segment 1: " in looked.stderr and "Traceback" not in looked.stderr, looked.stderr
        assert harm is truncate or looked.stderr.count(OTHER) == 1
    shown = [json.loads(line) for line in ostiary("search", "--json", "--store", store).stdout.splitlines()]
    segments = {one["segment"] for one in shown if "segment" in one}
    assert 1 not in segments and 2 in segments and "not_searched" in shown[-1]
    made = ostiary("export", "--out", folder / "bundle", "--store", store)
    assert made.exit_code == 1 and not (folder / "bundle").exists()


def test_a_segment_that_has_anothers_place_is_damage(folder: Path) -> None:
    """Its records would be told twice, and those that were there not at all."""
    layout = Layout(folder / "audit")
    for file in (leaves_file, bodies_file):
        file(layout.sealed(1)).unlink()
        shutil.copy(file(layout.sealed(2)), file(layout.sealed(1)))
    looked = ostiary("search", "--store", folder / "audit")
    assert looked.exit_code == 1 and OTHER in looked.stderr


def changed_body(folder: Path) -> str:
    """Change one byte of one body of the first segment; which record that is."""
    file = bodies_file(Layout(folder / "audit").sealed(1))
    env = open_read_only(file)
    with env.begin() as txn:
        key, stored = next(iter(txn.cursor()))
        index = next(number for number in range(8) if row_key(number, True) == key)
    env.close()
    data = file.read_bytes()
    assert data.count(stored) == 1
    file.chmod(0o600)
    file.write_bytes(data.replace(stored, stored[:-1] + bytes([stored[-1] ^ 1])))
    return f"segment 1: the body of record {index} was changed"


def test_a_body_that_is_not_the_recorded_one_is_no_other_keys(folder: Path) -> None:
    """Nobody let it expire and the key is right: it was changed."""
    said = changed_body(folder)
    looked = ostiary("search", "--json", "--store", folder / "audit", "--text", "no such text")
    assert looked.exit_code == 1 and f"NOT SEARCHED: {said}\n" in looked.stderr and "by this key" not in looked.stderr
    assert json.loads(looked.stdout) == {"not_searched": [said]}
    made = ostiary("export", "--store", folder / "audit", "--out", folder / "bundle")
    assert made.exit_code == 1 and said in made.stderr and not (folder / "bundle").exists()


def test_bodies_of_another_key_are_no_damage(folder: Path) -> None:
    """They are as they were recorded; who has no key for them is told how many."""
    (folder / keys.FOLDER / keys.BODY).write_text("00" * 32)
    looked = ostiary("search", "--store", folder / "audit", "--text", "no such text")
    assert looked.exit_code == 0 and "not opened by this key" in looked.stderr and "NOT SEARCHED" not in looked.stderr
