"""Compact copies: the same records, apart from their bodies, read-only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recorded import checked, fill, new_store, seal_all

from gateway.notary import seal
from gateway.notary.examine import file_sha256


def test_a_sealed_segment_holds_what_the_open_one_held(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    fill(store, 40)
    store.rotate("test")
    before = store.page(1, 0, 1 << 30)
    seal_all(store)
    assert not store.layout.open(1).exists()
    assert store.page(1, 0, 1 << 30) == before and len(before.rows) > 80
    store.close()
    entry = store.ledger.events[-2]
    assert entry[0] == "seg.seal" and entry[6] == file_sha256(seal.leaves_file(store.layout.sealed(1)))


def test_sealed_files_are_read_only_and_small(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    fill(store, 40)
    store.rotate("test")
    seal_all(store)
    for file in (seal.leaves_file(store.layout.sealed(1)), seal.bodies_file(store.layout.sealed(1))):
        assert os.stat(file).st_mode & 0o777 == 0o400 and file.stat().st_size < 1 << 20
    store.close()


def test_a_segment_that_was_sealed_but_not_let_go_is_let_go(tmp_path: Path) -> None:
    """Killed between the ledger entry and the removal: the copy must not be made, and hashed, again."""
    store = new_store(tmp_path)
    fill(store, 5)
    store.rotate("test")
    original = store.layout.open(1)
    kept = tmp_path / "kept"
    os.system(f"cp -r {original} {kept}")
    seal_all(store)
    kept.rename(original)
    store.close()
    store = new_store(tmp_path)
    assert not original.exists() and 1 not in store.unsealed
    store.close()
    assert checked(tmp_path).problems == []


def test_a_copy_that_was_cut_short_is_no_tampering(tmp_path: Path) -> None:
    """Killed between the two files, or before the ledger entry: verify and the next start see a sound store."""
    store = new_store(tmp_path)
    fill(store, 5)
    store.rotate("test")
    seal.seal(store.layout.open(1), store.layout.sealed(1))
    store.close()
    assert checked(tmp_path).problems == []
    seal.leaves_file(store.layout.sealed(1)).unlink()
    assert checked(tmp_path).problems == []
    store = new_store(tmp_path)
    assert 1 in store.unsealed
    seal_all(store)
    store.close()
    assert checked(tmp_path).problems == []


def test_a_copy_that_fails_leaves_the_segment_alone(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    fill(store, 5)
    store.rotate("test")
    with pytest.raises(seal.SealError):
        seal.seal(store.layout.open(1), tmp_path / "no" / "such" / "folder")
    assert store.unsealed == [1] and store.page(1, 0, 1 << 20).rows
    store.close()
    assert checked(tmp_path).problems == []
