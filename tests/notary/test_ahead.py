"""The write-ahead file: what was appended is read back whole, in order, or not at all; and never with a hole in it."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.notary import ahead
from gateway.notary.ahead import HALF, AheadFile, Batch, TooLarge, read, tail
from gateway.notary.environment import Unfit

BLOCK = 4096


def made(folder: Path) -> tuple[Path, AheadFile]:
    path = folder / ahead.NAME
    ahead.reserve(path)
    return path, AheadFile(path)


def batch(first: int, count: int = 1, size: int = 100) -> Batch:
    rows = [(b"%d:" % index + bytes(size), b"body" if index % 2 else None) for index in range(first, first + count)]
    return Batch(first, rows, f"head of {first + count}")


def spread(path: Path, data: bytes) -> None:
    """A file of the right size that begins so; the rest is zeroes."""
    path.write_bytes(data)
    os.truncate(path, 2 * ahead.HALF)


def never(size: int) -> None:
    raise AssertionError("nobody has to wait here")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9000)), min_size=1, max_size=30), st.data())
def test_what_was_appended_comes_back_in_order(tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, int]], data: st.DataObject) -> None:
    path, file = made(tmp_path_factory.mktemp("a"))
    batches, size = [], 0
    for count, length in shapes:
        batches.append(batch(size, count, length))
        size = batches[-1].end
        file.append(batches[-1], never)
    file.close()
    assert tail(path, 0) == batches and tail(path, size) == []
    held = data.draw(st.integers(0, len(batches) - 1))
    assert tail(path, batches[held].first) == batches[held:], "LMDB holds what came before"


@pytest.mark.parametrize("refuses", ["to open", "to read", ""])
def test_it_is_written_past_the_page_cache_and_just_as_well_where_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    """Some file systems refuse such a file, others its blocks; either way each write is synchronous."""
    usual, asked = os.open, []

    def without(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_DIRECT and refuses == "to open":
            raise OSError(errno.EINVAL, "Invalid argument")
        asked.append(flags)
        return usual(path, flags, *mode)

    def unaligned(fd: int, buffers: object, offset: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "open", without)
    if refuses == "to read":
        monkeypatch.setattr(os, "preadv", unaligned)
    path, file = made(tmp_path)
    batches = [batch(0, 3, 3000), batch(3, 1, 10), batch(4, 2, 5000)]
    for one in batches:
        file.append(one, never)
    file.close()
    assert tail(path, 0) == batches
    assert asked[-1] & os.O_DSYNC == os.O_DSYNC and not (refuses and asked[-1] & os.O_DIRECT)


def test_what_is_written_to_a_file_that_somebody_cut_does_not_count(tmp_path: Path) -> None:
    """What was there before is gone with it."""
    path, file = made(tmp_path)
    file.append(batch(0), never)
    os.truncate(path, 0)
    with pytest.raises(OSError, match="was cut"):
        file.append(batch(1), never)


def test_a_closed_file_gives_its_memory_back(tmp_path: Path) -> None:
    """Each segment has one, and something may hold it a while longer."""

    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("/dev/zero")  # how memory that is shared and nobody's file is called

    before = mapped()
    _, file = made(tmp_path)
    file.append(batch(0), never)
    assert mapped() == before + 1
    file.close()
    assert mapped() == before


def test_the_file_keeps_its_size_and_a_half_waits_until_lmdb_holds_it(tmp_path: Path) -> None:
    """Three times its size goes through it; each half is written again only after its last record was settled."""
    path, file = made(tmp_path)
    waited: list[int] = []
    size = 0
    while size < 3 * 2 * HALF // (512 << 10):
        file.append(batch(size, 1, 512 << 10), waited.append)
        size += 1
        assert tail(path, size - 1)[-1].end == size
    assert path.stat().st_size == 2 * HALF
    a_half = waited[1]
    assert waited[0] == 0 and waited[1:] == [a_half * n for n in range(1, len(waited))], "in order, half by half"
    file.close()


def test_a_batch_that_is_too_large_is_not_written(tmp_path: Path) -> None:
    path, file = made(tmp_path)
    file.append(batch(0), never)
    with pytest.raises(TooLarge):
        file.append(batch(1, 1, HALF), never)
    assert [one.first for one in tail(path, 0)] == [0]
    file.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Batch]]:
    """Three batches, the second over two blocks; only the beginning of the file, the rest is zeroes."""
    path, file = made(tmp_path_factory.mktemp("w"))
    batches = [batch(0, 2), batch(2, 1, 5000), batch(3, 3)]
    for one in batches:
        file.append(one, never)
    file.close()
    return path.read_bytes()[: 5 * BLOCK], batches


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves of a few blocks: what is read hundreds of times need not be 8 MiB of zeroes."""
    monkeypatch.setattr(ahead, "HALF", 8 * BLOCK)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("cut", range(0, 4 * BLOCK, 37))
def test_a_write_that_was_cut_short_loses_only_itself(written: tuple[bytes, list[Batch]], tmp_path: Path, cut: int) -> None:
    """Everything from a byte on is as it was before: batches that are whole stay, in order."""
    data, batches = written
    path = tmp_path / "cut"
    spread(path, data[:cut])
    ends = [len(data[: 4 * BLOCK].rstrip(b"\0")) if one is batches[-1] else at for one, at in zip(batches, (BLOCK, 3 * BLOCK, 4 * BLOCK), strict=True)]
    whole = [one for one, end in zip(batches, ends, strict=True) if data[:end].rstrip(b"\0") == data[:cut][:end].rstrip(b"\0")]
    assert tail(path, 0) == whole
    begun = (0, BLOCK, 3 * BLOCK, 4 * BLOCK)[len(whole)]
    assert read(path).torn == bool(data[begun:cut].strip(b"\0")) and not read(path).changed


@pytest.mark.parametrize(("block", "missing"), [(0, 0), (1, 2)])
def test_a_hole_before_something_whole_is_no_torn_write(written: tuple[bytes, list[Batch]], tmp_path: Path, block: int, missing: int) -> None:
    data = bytearray(written[0])
    data[block * BLOCK + 100] ^= 1
    path = tmp_path / "holed"
    spread(path, data)
    assert "was changed" in read(path).changed
    with pytest.raises(Unfit, match=f"record {missing} is missing"):
        tail(path, 0)


@pytest.mark.usefixtures("small")
def test_any_changed_byte_of_a_batch_ends_it(written: tuple[bytes, list[Batch]], tmp_path: Path) -> None:
    data, batches = written
    length = len(data.rstrip(b"\0"))
    path = tmp_path / "edited"
    for place in range(3 * BLOCK, length, 11):
        spread(path, data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        assert tail(path, 0) == batches[:2] and read(path).torn, place


@pytest.mark.parametrize("junk", [b"", b"OstAhead", b"OstAhead" * 900, os.urandom(20_000)])
def test_junk_is_nothing(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "junk"
    spread(path, junk)
    assert tail(path, 0) == [] and read(path).torn == (junk != b"")


@pytest.mark.parametrize("left", [0, BLOCK, HALF, 2 * HALF - 1])
def test_a_file_that_was_cut_is_said(written: tuple[bytes, list[Batch]], tmp_path: Path, left: int) -> None:
    """Also where only reserved room was cut off: nobody but a stranger does that."""
    spread(tmp_path / "cut", written[0])
    os.truncate(tmp_path / "cut", left)
    with pytest.raises(Unfit, match="was cut"):
        read(tmp_path / "cut")


@pytest.fixture(scope="module")
def used_again(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Batch]]:
    """A file that was filled twice and a half: both halves hold leftovers of an earlier use behind what is new."""
    path, file = made(tmp_path_factory.mktemp("u"))
    batches: list[Batch] = []
    while sum(len(one.rows[0][0]) for one in batches) < 5 * HALF // 2 * 2:
        batches.append(batch(batches[-1].end if batches else 0, 1, (300 + len(batches) % 7 * 50) << 10))
        file.append(batches[-1], lambda size: None)
    file.close()
    return path.read_bytes(), batches


def test_leftovers_of_an_earlier_use_are_neither_torn_nor_changed(used_again: tuple[bytes, list[Batch]], tmp_path: Path) -> None:
    data, batches = used_again
    (tmp_path / "again").write_bytes(data)
    remains = read(tmp_path / "again")
    assert not remains.torn and not remains.changed and remains.end == batches[-1].end
    held = sorted(remains.batches, key=lambda one: one.first)
    assert all(one.end == two.first for one, two in pairwise(held)) and held[-1] == batches[-1]


def test_a_changed_batch_is_told_also_where_lmdb_holds_it(used_again: tuple[bytes, list[Batch]], tmp_path: Path) -> None:
    """Every batch of the newest use, one after the other; the last of all, and the first of a half, might be a crash's doing."""
    data, _ = used_again
    (tmp_path / "again").write_bytes(data)
    whole = read(tmp_path / "again")
    for one in whole.batches:
        place = data.index(one.rows[0][0][:20])
        (tmp_path / "edited").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        found = read(tmp_path / "edited")
        assert found.changed or found.torn, one.first
        if one.end == whole.end:
            assert found.torn and not found.changed


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="write-ahead file"):
        tail(tmp_path / "nowhere", 0)


def test_a_file_that_was_moved_away_is_not_written_on(tmp_path: Path) -> None:
    path, file = made(tmp_path)
    file.append(batch(0), never)
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        file.append(batch(1), never)
    file.close()
