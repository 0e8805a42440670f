"""
What is done to each record, compiled and interpreted: the same bytes from both, those of stores that exist, and those of the
standard library and `cryptography`, which know nothing of ours.
"""

from __future__ import annotations

import ctypes
import errno
import hmac
import os
import struct
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import msgpack
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from gateway.notary.body import Bodies
from gateway.notary.entry import Entry
from gateway.notary.record import LEAF_LIMIT, BadRecord, Stamp, pack_leaf
from tests.kernels import Twins, beside, interpreted, many, started
from tests.kernels import twins as made

NAME = "gateway.notary.kernel"
KEY, SALT = st.binary(max_size=70), st.binary(min_size=15, max_size=17) | st.binary(min_size=16, max_size=16)
PLAIN = st.binary(max_size=300) | st.sampled_from([b"x" * 65_536, b"y" * (1 << 20)])

WRITTEN = {  # by the code of commit e31589d: under the key 0, 1, 2…, session "ssss…", salts 0, 1, 2… modulo 251, the last drawn first
    b"": (
        "404142434445464748494a4b4c4d4e4f042cc828cb521ac2c2e29d2ce0fca2ac",
        "12798961668c37654da57170bc6529b338870e2d2d5000b7e0e9379a52e256f2",
        "cbe20330a0375a6537da44bbce642b43e964185c405e78e2b8a8b45745bc6478",
    ),
    b"SELECT 1": (
        "303132333435363738393a3b3c3d3e3f5cd8b2fc24445f4e7588854679d229c78e5697ab67d9b45d",
        "7d86f548d1b6585de25374bb2b24978c1cf561e4b7fde6ec811b43147210e61a",
        "1f7a9b42fc33ed2ab45c78873156d056a0ec6b390f9f1822ed15eaaaad9095e0",
    ),
}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return made(tmp_path_factory, NAME)


@pytest.fixture(params=["compiled", "interpreted"])
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    return request.getfixturevalue("twins").compiled if request.param == "compiled" else interpreted(NAME)


def test_they_are_two(twins: Twins) -> None:
    """A mistake in the fixture would compare a module with itself."""
    assert isinstance(twins.interpreted.sealed, FunctionType) and not isinstance(twins.compiled.sealed, FunctionType)


def test_bodies_are_sealed_as_those_of_stores_that_exist(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sealed", "record_key", "opening"):
        monkeypatch.setattr(f"gateway.notary.body.{name}", getattr(kernel, name))
    bodies = Bodies(bytes(range(32)), lambda count: bytes(i % 251 for i in range(count)))
    for plain, expected in WRITTEN.items():
        assert tuple(part.hex() for part in bodies.seal(b"s" * 16, plain)) == expected
        assert bodies.open(b"s" * 16, bytes.fromhex(expected[0]))[0] == plain
    assert bodies.term("identity\0ada").hex() == "7b691dcc10aaef9a2eaca6bff8c925c3"


@many
@given(key=KEY, salt=SALT, plain=PLAIN)
def test_what_is_sealed_is_the_same(twins: Twins, key: bytes, salt: bytes, plain: bytes) -> None:
    """Wrong lengths are refused in the same words; anything else is what other libraries make of it."""
    pads = twins.agree("padded", key)
    if not isinstance(pads[0], bytes):
        assert len(key) > 64
        return
    sealed = twins.agree("sealed", *pads, salt, plain)
    if len(salt) != 16:
        assert sealed[0] is ValueError
        return
    record = hmac.digest(key, b"ostiary-record" + salt, "sha256")
    opening = hmac.digest(record, b"ostiary-opening", "sha256")
    stored = salt + AESGCM(record).encrypt(bytes(12), plain, None)
    assert twins.agree("record_key", *pads, salt) == record and twins.agree("opening", record) == opening
    assert sealed == (stored, sha256(b"\x02" + stored).digest(), sha256(b"ostiary-body\x00" + opening + plain).digest())
    assert twins.agree("mac", *pads, plain) == hmac.digest(key, plain, "sha256")
    assert twins.agree("digest", salt, plain) == sha256(salt + plain).digest()


COUNT = st.integers(0, 1 << 40) | st.sampled_from([0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1])
RECORD = st.tuples(
    COUNT, COUNT, st.binary(max_size=300) | st.just(bytes(LEAF_LIMIT - 120)) | st.just(bytes(LEAF_LIMIT)), st.sampled_from([b"", b"s" * 16, b"t" * 16]),
    st.none() | PLAIN, st.lists(st.text(max_size=9), max_size=3) | st.just(list("abcdefghijklmnopqr")),
)  # fmt: skip


@many
@given(records=st.lists(RECORD, max_size=6), number=COUNT, first=COUNT, wall=COUNT, boot=COUNT)
def test_what_is_stored_of_records_is_the_same(
    twins: Twins, records: list[Any], number: int, first: int, wall: int, boot: int
) -> None:
    """And what `pack_leaf` and `Bodies` make of each; a leaf that is too long is refused in the same words."""

    def bodies() -> Bodies:
        return Bodies(bytes(32), lambda count: bytes(i * 7 % 251 for i in range(count)))

    def stored(module: ModuleType) -> object:
        try:
            return module.rows(entries, number, first, wall, boot, bodies())
        except BadRecord as error:
            return str(error)

    first = min(first, (1 << 63) - 10)
    entries, expected, one = [Entry(*record) for record in records], [], bodies()
    one.salts(len(entries))
    for index, entry in enumerate(entries, first):
        sealed = (None, None, None) if entry.body is None else one.seal(entry.session, entry.body)
        stamp = Stamp(number, index, wall, boot, entry.worker, entry.sequence, *sealed[1:], tuple(sorted(map(one.term, entry.terms))))
        try:
            expected.append((pack_leaf(stamp, entry.packed), sealed[0]))
        except BadRecord as error:
            expected = str(error)
            break
    assert stored(twins.compiled) == stored(twins.interpreted) == expected


SIZE = st.integers(0, 40) | st.sampled_from([255, 256, 65_535, 65_536])


@many
@given(
    sizes=st.lists(st.tuples(SIZE, st.none() | SIZE), min_size=1, max_size=4), times=st.sampled_from([1, 1, 4, 16, 20_000]),
    head=st.integers(0, 300) | st.sampled_from([65_535, 65_536]), first=COUNT, blocks=st.integers(1, 40),
)  # fmt: skip
def test_a_batch_is_framed_alike(
    twins: Twins, sizes: list[Any], times: int, head: int, first: int, blocks: int
) -> None:
    """Byte for byte, over whatever was there before; where it does not fit nothing is touched."""
    batch = [(b"l" * leaf, None if body is None else b"b" * body) for leaf, body in sizes] * (times if sum(leaf + (body or 0) for leaf, body in sizes) < 200 else 1)
    payload = msgpack.packb((batch, "h" * head), use_bin_type=True)
    facts = struct.pack("!QII", first, len(batch), len(payload))
    whole = -(-(56 + len(payload)) // 4096) * 4096
    expected = (b"OstAhead" + facts + sha256(facts + payload).digest() + payload).ljust(whole, b"\0")
    for length in (blocks * 4096, whole, whole - 4096):
        before = b"\xa5" * length
        for module in twins:
            room = bytearray(before)
            done = module.framed(memoryview(room), first, batch, "h" * head)
            assert done == (whole if whole <= length else 0) and room == expected[:done] + before[done:]


def test_only_bytes_are_framed_and_stored(twins: Twins) -> None:
    for row in (("text", None), (b"leaf", "text"), (bytearray(3), None), (None, b"")):
        with pytest.raises((TypeError, RuntimeError)):
            twins.compiled.framed(memoryview(bytearray(8192)), 0, [row], "head")
    for wrong in (("text", b""), (b"packed", "text"), (b"packed", bytearray(2)), (None, b"")):
        with pytest.raises(TypeError):
            twins.compiled.rows([Entry(1, 1, wrong[0], b"", wrong[1])], 1, 1, 1, 1, Bodies(bytes(32)))
    with pytest.raises((TypeError, BufferError)):
        twins.compiled.framed(b"a" * 8192, 0, [(b"leaf", None)], "head")


@many
@given(sizes=st.lists(st.lists(st.binary(max_size=40), max_size=9), max_size=6))
def test_trees_grow_alike(twins: Twins, sizes: list[list[bytes]]) -> None:
    """Batch by batch, and nothing happens to the edge that one grows from."""
    edge, size, single = [], 0, []
    for leaves in sizes:
        before = list(edge)
        grown = twins.agree("grown", edge, size, leaves)
        for place, leaf in enumerate(leaves, size):
            twins.compiled.climb(single, place, sha256(b"\0" + leaf).digest())
        assert edge == before and grown == single
        edge, size = grown, size + len(leaves)
        if edge:
            twins.agree("crown", edge)


@many
@given(sizes=st.lists(st.tuples(st.integers(0, 9000), st.none() | st.integers(0, 9000)), max_size=9))
def test_what_records_take_in_lmdb_is_counted_alike(twins: Twins, sizes: list[tuple[int, int | None]]) -> None:
    """A value of half a page or more lives in whole pages; a smaller one has a head of its own."""
    rows = [(bytes(leaf), None if body is None else bytes(body)) for leaf, body in sizes]
    values = [len(value) for row in rows for value in row if value is not None]
    least = sum(size + 32 if size + 32 < 2048 else -(-(size + 32) // 4096) * 4096 for size in values)
    assert twins.agree("room", rows) == least


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_an_opening_is_made_of_a_record_s_key_alone(kernel: ModuleType, length: int) -> None:
    with pytest.raises(ValueError):
        kernel.opening(bytes(length))


@pytest.mark.parametrize("wrong", [None, "text", bytearray(16), 7], ids=["nothing", "text", "a bytearray", "a number"])
def test_only_bytes_are_sealed(twins: Twins, wrong: object) -> None:
    """The compiled text reads memory by address: what is not bytes must not come so far."""
    pads = twins.compiled.padded(bytes(32))
    for place in range(4):
        arguments = [*pads, bytes(16), b"plain"]
        arguments[place] = wrong
        with pytest.raises(TypeError):
            twins.compiled.sealed(*arguments)
    for call in (twins.compiled.opening, twins.compiled.placed):
        with pytest.raises((TypeError, AttributeError)):
            call(wrong)
    with pytest.raises(TypeError):
        twins.compiled.room([(wrong, None)])
    with pytest.raises(TypeError):
        twins.compiled.digest(b"", wrong)
    with pytest.raises(TypeError):
        twins.compiled.grown([], 0, [wrong])
    with pytest.raises(TypeError):
        twins.compiled.grown([wrong], 1, [b"leaf"])


def test_a_file_is_told_apart_as_stat_does(kernel: ModuleType, tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null"), Path(__file__)):
        found = os.stat(path)
        assert kernel.placed(os.fsencode(path)) == (found.st_ino, found.st_size, os.major(found.st_dev), os.minor(found.st_dev))


def test_a_file_that_is_not_there_is_named_in_the_refusal(kernel: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        kernel.placed(os.fsencode(tmp_path / "gone"))
    assert refused.value.filename == str(tmp_path / "gone")


@pytest.mark.parametrize("missing", ["no such call in the library", "no such call in the kernel"])
def test_without_statx_files_are_told_apart_by_stat(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> int:
        ctypes.set_errno(errno.ENOSYS)
        return -1

    kernel = interpreted(NAME)
    monkeypatch.setattr(kernel, "_statx", refuses if "kernel" in missing else None)
    found = os.stat(tmp_path)
    assert kernel.placed(os.fsencode(tmp_path)) == (found.st_ino, found.st_size, os.major(found.st_dev), os.minor(found.st_dev))


def test_an_older_build_does_what_it_can_and_the_text_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may be newer than what is installed: it starts all the same."""
    newer, older = beside(monkeypatch, NAME, "sealed", "mac")
    assert newer.sealed is older.sealed and newer.mac is older.mac
    assert newer.placed.__module__ == newer.opening.__module__ == "newer_kernel"
    assert newer.placed(b"/dev/null") == interpreted(NAME).placed(b"/dev/null")


@pytest.mark.parametrize(("pure", "chosen"), [("", "gateway.notary._kernel"), ("1", "gateway.notary.kernel")], ids=["", "pure"])
def test_what_was_built_is_used_unless_asked_not_to(twins: Twins, pure: str, chosen: str) -> None:
    program = "from gateway.notary import body; print(body.sealed.__module__)"
    assert started(twins, program, OSTIARY_PURE=pure).strip() == chosen
