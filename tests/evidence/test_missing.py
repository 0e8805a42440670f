"""Looking at a store from which something was taken: what a search could not look at is said, and is no empty answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recorded import fill, new_store, seal_all, session

from gateway.cli.main import main
from gateway.notary.layout import Layout
from gateway.notary.seal import bodies_file, leaves_file


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
