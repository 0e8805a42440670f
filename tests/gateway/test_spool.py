"""The spool: what goes in comes out, nothing of it is readable on the disk, and it is bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from gateway.spool import BLOCK, Spools
from protocols.spool import NoRoom

MARK = b"the patient's whole record, "


def descriptors() -> list[str]:
    """What this process has open."""
    return [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]


@pytest.mark.parametrize("step", [1, 1000, BLOCK, 3 * BLOCK])
def test_what_goes_in_comes_out(tmp_path: Path, step: int) -> None:
    data = os.urandom(2 * BLOCK + 77 if step > 1 else 5000)
    spool = Spools(tmp_path / "s", 1 << 30).open()
    for start in range(0, len(data), step):
        spool.write(data[start : start + step])
    assert b"".join(iter(spool.read, b"")) == data and spool.read() == b""
    spool.close()


def test_nothing_of_it_has_a_name_or_can_be_read_on_the_disk(tmp_path: Path) -> None:
    """The file is unlinked from its first byte on; who reads its blocks sees noise."""
    spool = Spools(tmp_path / "s", 1 << 30).open()
    spool.write(MARK * (3 * BLOCK // len(MARK)))
    assert list((tmp_path / "s").iterdir()) == []
    on_disk = os.pread(spool._file.fileno(), 4 * BLOCK, 0)
    assert len(on_disk) > 2 * BLOCK and MARK[:9] not in on_disk
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    spool.close()
    assert not [name for name in descriptors() if str(tmp_path) in name]


@pytest.mark.parametrize("place", [0, BLOCK // 2, BLOCK + 20])
def test_a_changed_bit_on_the_disk_is_noticed_before_it_is_sent(tmp_path: Path, place: int) -> None:
    spool = Spools(tmp_path, 1 << 30).open()
    spool.write(bytes(2 * BLOCK))
    fd = spool._file.fileno()
    os.pwrite(fd, bytes([os.pread(fd, 1, place)[0] ^ 1]), place)
    with pytest.raises(InvalidTag):
        list(iter(spool.read, b""))
    spool.close()


def test_blocks_cannot_change_places(tmp_path: Path) -> None:
    spool = Spools(tmp_path, 1 << 30).open()
    spool.write(bytes(2 * BLOCK))
    fd, size = spool._file.fileno(), BLOCK + 16
    one, two = os.pread(fd, size, 0), os.pread(fd, size, size)
    assert one != two, "two blocks of the same bytes"
    os.pwrite(fd, two + one, 0)
    with pytest.raises(InvalidTag):
        spool.read()


def test_all_files_together_are_bounded_and_what_is_closed_makes_room(tmp_path: Path) -> None:
    spools = Spools(tmp_path, 1000)
    one, two = spools.open(), spools.open()
    one.write(bytes(600))
    with pytest.raises(NoRoom, match="over the 1000 bytes"):
        two.write(bytes(401))
    two.write(bytes(400))
    one.close()
    one.close()
    assert spools.used == 400
    two.write(bytes(600))
    two.close()
    assert spools.used == 0


def test_a_disk_that_takes_nothing_is_no_room_and_names_no_path(tmp_path: Path) -> None:
    """What a client is told holds nothing of the operator's; a crash of the session would be the other way to say it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NoRoom) as told:
        Spools(tmp_path / "file" / "s", 1 << 30).open()
    assert str(tmp_path) not in str(told.value)
    spool = Spools(tmp_path, 1 << 30).open()
    spool._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(NoRoom):
        spool.write(bytes(BLOCK))
