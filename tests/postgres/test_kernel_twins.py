"""The kernel compiled and the kernel interpreted say the same: results and errors, for any rows, splits and damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PeerError
from protocols.postgres.codec import encode
from protocols.postgres.messages import Bind
from protocols.postgres.replies import DataRow
from protocols.result import NULL
from tests.kernels import ROOT, Twins, beside, build, many
from tests.kernels import twins as made

CELL = st.none() | st.binary(max_size=40)
MASK = st.none() | st.just(NULL) | st.binary(max_size=50)
TAGS = st.sampled_from([frozenset(b"D"), frozenset(b"d"), frozenset(b"Dd"), frozenset()])
WORDS = st.sampled_from([0, 1, 3, 4, 5, 6, 0x7FFF, 0x10000, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])

@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return made(tmp_path_factory, "protocols.kernel")


def test_they_are_two(twins: Twins) -> None:
    """A mistake in the fixture would compare a module with itself."""
    assert isinstance(twins.interpreted.scan, FunctionType) and not isinstance(twins.compiled.scan, FunctionType)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, tuple[Any, ...]]:
    """A run of rows, and masks that fit it as a rule."""
    width = draw(st.integers(0, 7))
    masks = draw(st.lists(MASK, min_size=width, max_size=width + draw(st.booleans())))
    rows = draw(st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8))
    return b"".join(DataRow(tuple(row)).encode() for row in rows), tuple(masks)


@st.composite
def damaged(draw: st.DrawFn, clean: st.SearchStrategy[bytes]) -> bytes:
    """Bytes changed, lengths overwritten, stretches cut or doubled."""
    data = bytearray(draw(clean))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from("bwcd")):
            case "b":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "w":
                data[at : at + 4] = draw(WORDS).to_bytes(4, "big")
            case "c":
                del data[at : at + draw(st.integers(1, 9))]
            case "d":
                data[at:at] = data[at : at + draw(st.integers(1, 9))]
    return bytes(data)


@many
@given(table=tables())
def test_masked_rows_are_the_same(twins: Twins, table: tuple[bytes, tuple[Any, ...]]) -> None:
    twins.agree("mask_rows", *table)


def told(kernel: Any, frames: bytes, largest: int) -> tuple[int, int, bytes]:
    """What `carried` says, and what it told the hash."""
    heard: list[bytes] = []
    size, content = kernel.carried(memoryview(frames), largest, lambda piece: heard.append(bytes(piece)))
    return size, content, b"".join(heard)


@many
@given(
    bodies=st.lists(st.sampled_from([0, 1, 113, 2047, 2048, 5000, 20_000]), max_size=12), largest=st.sampled_from([100, 4000, 1 << 18]),
    data=st.data(),
)
def test_copied_data_is_heard_the_same(twins: Twins, bodies: list[int], largest: int, data: st.DataObject) -> None:
    """All that whole messages carry, in order; of a message that is cut, too large, damaged or of another kind nothing, nor of what is behind it."""
    run = b"".join(encode(b"d", bytes([65 + index]) * size) for index, size in enumerate(bodies))
    frames = data.draw(damaged(st.just(run)))
    size, content, heard = told(twins.compiled, frames, largest)
    assert (size, content, heard) == told(twins.interpreted, frames, largest)
    if frames == run:
        fits = list(takewhile(lambda body: body <= largest, bodies))
        expected = b"".join(bytes([65 + index]) * body for index, body in enumerate(fits))
        assert (size, content, heard) == (len(expected) + 5 * len(fits), len(expected), expected)


@many
@given(data=st.data())
def test_damaged_rows_are_refused_with_the_same_words(twins: Twins, data: st.DataObject) -> None:
    run, masks = data.draw(tables())
    twins.agree("mask_rows", data.draw(damaged(st.just(run))), masks)


@many
@given(data=st.data())
def test_splits_are_walked_alike(twins: Twins, data: st.DataObject) -> None:
    """Any span of any buffer, whole or damaged, rows and copied data mixed."""
    frames = st.lists(st.builds(encode, st.sampled_from([b"D", b"d", b"C"]), st.binary(max_size=30)), max_size=10).map(b"".join)
    raw = data.draw(damaged(frames))
    start, stop = (data.draw(st.integers(-1, len(raw) + 1)) for _ in "ab")
    largest = data.draw(st.integers(0, 40) | st.just(1 << 30))
    for buffer in (raw, bytearray(raw), memoryview(raw)):
        twins.agree("scan", buffer, start, stop, data.draw(TAGS), largest)


@many
@given(raw=damaged(st.lists(st.binary(max_size=30), max_size=8).map(lambda bodies: b"".join(encode(b"d", b) for b in bodies))))
def test_payloads_are_the_same(twins: Twins, raw: bytes) -> None:
    twins.agree("payload", raw)
    twins.agree("payload", bytearray(b"front" + raw + b"behind"), 5, 5 + len(raw))
    twins.agree("payload", raw, 3, len(raw) // 2)


BINDS = st.builds(
    lambda codes, values, results: Bind("", "", tuple(codes), tuple(values), tuple(results)).encode()[7:], st.lists(st.integers(0, 2), max_size=3),
    st.lists(st.none() | st.binary(max_size=20), max_size=4), st.lists(st.integers(0, 2), max_size=3),
)  # fmt: skip


@many
@given(raw=damaged(BINDS) | BINDS | st.binary(max_size=20), around=st.binary(max_size=4))
def test_the_values_of_a_bind_are_those_that_its_reader_finds(twins: Twins, raw: bytes, around: bytes) -> None:
    """Or none at all, of whatever that refuses."""
    found = twins.agree("bound", around + raw + around, len(around), len(around) + len(raw))
    try:
        read = Bind.parse(b"\0\0" + raw)
    except PeerError:
        assert found is None
    else:
        assert found == (read.formats, read.values)


@many
@given(raw=st.binary(max_size=80), masks=st.lists(MASK, max_size=4).map(tuple))
def test_any_bytes_are_judged_alike(twins: Twins, raw: bytes, masks: tuple[Any, ...]) -> None:
    for run in (raw, encode(b"D", raw), encode(b"D", len(masks).to_bytes(2, "big") + raw)):
        twins.agree("mask_rows", run, masks)
        twins.agree("payload", run)


def test_a_run_as_long_as_a_read(twins: Twins) -> None:
    """64 KiB of rows, whole, and cut anywhere near its end."""
    run = b"".join(DataRow((str(n).encode(), None if n % 3 else b"x" * (n % 50), b"e" * 30)).encode() for n in range(1000))
    masks = (None, b"***", NULL)
    data, count = twins.agree("mask_rows", run, masks)
    assert count == 1000 + 334 and b"eee" not in data
    for cut in range(1, 60):
        twins.agree("mask_rows", run[:-cut], masks)


@pytest.mark.parametrize("environment", [{"CC": "/bin/false"}, {"OSTIARY_PURE": "1"}], ids=["no compiler", "asked to leave it out"])
def test_a_build_without_the_compiled_kernel_succeeds(tmp_path: Path, environment: dict[str, str]) -> None:
    """The interpreted text is all that is shipped then."""
    done = build(tmp_path / "source", tmp_path / "out", **environment)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.parametrize(("pure", "chosen"), [("", "compiled"), ("1", "interpreted")])
def test_what_was_built_is_used_unless_asked_not_to(twins: Twins, tmp_path: Path, pure: str, chosen: str) -> None:
    """OSTIARY_PURE decides when both are there."""
    shutil.copytree(ROOT / "protocols", tmp_path / "protocols", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(twins.compiled.__file__, tmp_path / "protocols")
    program = "from protocols import kernel; print(kernel.mask_rows.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "OSTIARY_PURE": pure, "PYTHONPATH": str(tmp_path)},
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == {"compiled": "protocols._kernel", "interpreted": "protocols.kernel"}[chosen]


def test_an_older_build_does_what_it_can_and_the_text_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout may be newer than what is installed: it starts all the same."""
    newer, older = beside(monkeypatch, "protocols.kernel", "scan", "payload")
    assert newer.scan is older.scan and newer.payload is older.payload
    assert newer.bound.__module__ == newer.mask_rows.__module__ == "newer_kernel"
    assert newer.mask_rows(DataRow((b"x",)).encode(), (b"*",)) == (DataRow((b"*",)).encode(), 1)


def test_it_runs_where_cython_is_not_installed(tmp_path: Path) -> None:
    """An import of cython that fails changes nothing."""
    program = (
        "import sys; sys.modules['cython'] = None\n"
        "from protocols.kernel import cython, mask_rows\n"
        "print(cython.compiled, mask_rows(b'D' + bytes((0, 0, 0, 11, 0, 1, 0, 0, 0, 1, 65)), (b'*',)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "OSTIARY_PURE": "1", "PYTHONPATH": str(ROOT)},
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("False (b'D\\x00\\x00\\x00\\x0b") and done.stdout.rstrip().endswith(", 1)")
