"""LMDB files: what is opened, what is not, and where it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.notary import environment
from gateway.notary.environment import Place, Unfit

SIZE = 4 << 20


def filled(path: Path) -> Path:
    environment.reserve(path, SIZE)
    env = environment.open_writable(path, SIZE)
    with env.begin(write=True) as txn:
        for number in range(1000):
            txn.put(number.to_bytes(8, "big"), bytes(500))
    env.close()
    return path / "data.mdb"


def test_reserved_space_is_really_written(tmp_path: Path) -> None:
    """Not a sparse file: a full disk must be met here, never in a commit."""
    environment.reserve(tmp_path / "e", SIZE)
    stat = (tmp_path / "e" / "data.mdb").stat()
    assert stat.st_size == SIZE and stat.st_blocks * 512 >= SIZE


def test_the_lock_file_is_really_written(tmp_path: Path) -> None:
    """LMDB maps it: a sparse one on a full disk would kill the notary with SIGBUS."""
    environment.reserve(tmp_path / "e", SIZE)
    stat = (tmp_path / "e" / "lock.mdb").stat()
    assert stat.st_blocks * 512 >= stat.st_size >= 8192


def test_a_filled_environment_is_fit_and_reads_back(tmp_path: Path) -> None:
    file = filled(tmp_path / "e")
    environment.check(file)
    env = environment.open_read_only(file)
    assert env.stat()["entries"] == 1000
    env.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    env = environment.open_writable(tmp_path / "e", SIZE)
    flags = env.flags()
    env.close()
    assert flags["sync"] and flags["metasync"] and not flags["writemap"] and not flags["map_async"]


@pytest.mark.parametrize("keep", [0, 100, 4096, 8192, 40_000])
def test_a_truncated_file_is_refused_before_lmdb_maps_it(tmp_path: Path, keep: int) -> None:
    """LMDB would die of SIGBUS, and the whole process with it."""
    file = filled(tmp_path / "e")
    os.truncate(file, keep)
    with pytest.raises(Unfit):
        environment.open_read_only(file)


@pytest.mark.parametrize("junk", [b"", b"\0" * 9000, b"\xff" * 9000, b"SQLite format 3\0" * 600])
def test_what_is_no_lmdb_file_is_refused(tmp_path: Path, junk: bytes) -> None:
    file = tmp_path / "f"
    file.write_bytes(junk)
    with pytest.raises(Unfit):
        environment.check(file)
    with pytest.raises(Unfit):
        environment.check(tmp_path / "missing")


def test_looking_whether_a_file_is_in_its_place_does_not_make_the_next_write_dearer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for a file's times gets new ones from its next write, and the inode is written along."""
    (tmp_path / "f").write_bytes(b"1")
    place = Place(tmp_path / "f")

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("stat asks for times")

    with monkeypatch.context() as watched:
        for name in ("stat", "lstat", "fstat"):
            watched.setattr(os, name, asked)
        place.check()


def test_a_place_notices_that_its_file_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(100))
    place, larger = Place(file, 100), Place(file)
    place.check()
    os.truncate(file, 99)
    larger.check()
    with pytest.raises(OSError, match="was cut: 99 bytes of 100"):
        place.check()


def test_a_place_notices_that_its_file_was_moved_or_replaced(tmp_path: Path) -> None:
    """Writing goes on without error into a file that no path leads to; it must not count."""
    file = tmp_path / "f"
    file.write_bytes(b"1")
    place = Place(file)
    place.check()
    file.rename(tmp_path / "g")
    with pytest.raises(OSError):
        place.check()
    file.write_bytes(b"1")
    with pytest.raises(OSError):
        place.check()
