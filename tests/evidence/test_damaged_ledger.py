"""A ledger that is not what the log's key signed: no bundle rests on it, and whoever exports hears why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_twisted
from click.testing import CliRunner, Result
from recorded import Told, allowed, fill, new_store, seal_all, session
from test_audit_cli import Live, until

from gateway.cli.main import main
from gateway.notary import keys
from gateway.notary.examine import read_ledger_file
from gateway.notary.layout import Layout


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    store = new_store(folder, segment_records=8)
    fill(store, 4)
    seal_all(store)
    store.close()
    return folder


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy")) / "audit"


def export(store: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["audit", "export", "--store", str(store), "--out", str(store.parent / "bundle"), *words], catch_exceptions=False)


def replaced(store: Path, old: bytes, new: bytes) -> None:
    """In place, wherever the file has it: LMDB keeps pages of before."""
    file = Layout(store).ledger / "data.mdb"
    data = file.read_bytes()
    assert old in data and len(old) == len(new)
    file.write_bytes(data.replace(old, new))


def entries(store: Path) -> tuple[list[bytes], str]:
    return read_ledger_file(str(Layout(store).ledger / "data.mdb"))


def change_entry(store: Path) -> None:
    change(store, entries(store)[0])


def change(store: Path, packed: list[bytes]) -> None:
    """One bit of a root that it names."""
    leaf = next(leaf for leaf in packed if len(leaf) > 60 and b"seg.open" in leaf)
    replaced(store, leaf, leaf[:40] + bytes([leaf[40] ^ 1]) + leaf[41:])


def change_signature(store: Path) -> None:
    note = entries(store)[1].encode()
    replaced(store, note, note[:-9] + (b"A" if note[-9:-8] != b"A" else b"B") + note[-8:])


def cut(store: Path) -> None:
    with open(Layout(store).ledger / "data.mdb", "r+b") as file:
        file.truncate(5000)


def other_log(store: Path) -> None:
    """Whole, and signed by a key that is not this log's."""
    other = new_store(store.parent.with_name("other"), segment_records=8)
    other.close()
    shutil.copy(other.layout.ledger / "data.mdb", Layout(store).ledger / "data.mdb")


HARMS: dict[str, tuple[Callable[[Path], None], str]] = {
    "entry": (change_entry, "ledger: an entry was changed: "), "signature": (change_signature, "ledger: the checkpoint is not signed by the trusted key: "),
    "cut": (cut, "ledger: truncated: "), "another log's": (other_log, "ledger: the checkpoint is not signed by the trusted key: "),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMS)
def test_no_bundle_is_made_on_a_ledger_that_its_key_did_not_sign(store: Path, name: str) -> None:
    """Its verifier would call it tampered with, and whoever was handed it would ask who did that. Nothing is left of it either."""
    harm, said = HARMS[name]
    harm(store)
    for words in ((), ("--what-is-left",), ("--json",), ("--identity", "ada@clinic.example")):
        made = export(store, *words)
        assert made.exit_code == 1 and said in made.stderr and "nothing can be proved of what is left" in made.stderr, made.stderr
        assert not (store.parent / "bundle").exists()
    assert said in json.loads(export(store, "--json").stdout)["error"]["text"]


@pytest.mark.parametrize("old, new, said", [
    (b"clinic", b"clinik", "records are not those that the ledger has seen"), (b"\xe2\x80\x94 test-gw/s0", b"\xe2\x80\x94 test-gv/s0", "the head is not signed by the key that the ledger names"),
], ids=["record", "head"])  # fmt: skip
def test_no_bundle_is_made_of_an_open_segment_that_its_head_does_not_prove(tmp_path: Path, old: bytes, new: bytes, said: str) -> None:
    """Nothing in the ledger tells of its file; its own head does, of which the bundle has a copy."""
    store = new_store(tmp_path)
    fill(store, 4)
    store.close()
    for file in store.layout.open(1).iterdir():
        file.write_bytes(file.read_bytes().replace(old, new))
    made = export(tmp_path / "audit")
    assert made.exit_code == 1 and "NOT SEARCHED: segment 1: " in made.stderr and said in made.stderr, made.stderr
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("harm, said", [
    (lambda copy: copy.write_text(copy.read_text()[:-9]), "ledger/checkpoint was changed, or is of another log: "),
    (lambda copy: copy.write_bytes(b"\xff\n"), "ledger/checkpoint was changed, or is of another log: "), (Path.unlink, "ledger/checkpoint is missing: "),
], ids=["cut", "no text", "gone"])  # fmt: skip
def test_a_damaged_copy_of_the_checkpoint_is_said_and_is_in_no_bundle(store: Path, harm: Callable[[Path], object], said: str) -> None:
    """The ledger has its own, which the bundle takes."""
    harm(Layout(store).checkpoint)
    made = export(store)
    assert made.exit_code == 0 and f"NOTE: {said}" in made.stderr, made.stderr
    verified = CliRunner().invoke(main, ["audit", "verify", str(store.parent / "bundle"), "--key", str(store.parent / keys.FOLDER / keys.PUBLIC)])
    assert "TAMPERED" not in verified.output and "SOUND" in verified.output


@pytest_twisted.ensureDeferred
async def test_so_it_is_under_a_running_notary(short: Path) -> None:
    """It read its ledger when it started, and answers with what is on the disk now; a question that it cannot answer is answered too, at once."""
    live = Live(short)
    book, told, who = await live.journal(), Told(), session()
    book.intend(who, 0, allowed("SELECT 1"), told)
    await until(lambda: book._acked == book._sequence)
    ledger = live.notary.writer.store.ledger
    change(short / "audit", ledger.page(0, 99)[0])
    made = await live.ostiary("export", "--store", short / "audit", "--out", short / "bundle")
    assert made.returncode == 1 and HARMS["entry"][1] in made.stderr and not (short / "bundle").exists(), made.stderr
    note = ledger.checkpoint.encode()
    replaced(short / "audit", note, b"\xff" * len(note))
    made = await live.ostiary("export", "--store", short / "audit", "--out", short / "bundle")
    assert made.returncode == 1 and "the notary: 'utf-8' codec" in made.stderr and "Traceback" not in made.stderr, made.stderr
    replaced(short / "audit", b"\xff" * len(note), note)
    await live.stop()
