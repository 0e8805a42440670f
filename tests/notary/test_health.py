"""What a notary says of itself to operators, and that an anchor file which is not there is noticed, said and recorded."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest_twisted
from click.testing import CliRunner, Result
from recorded import ORIGIN, fill, new_store, records, seal_all
from test_notary_process import TOKENS, Rig, short, until
from twisted.internet.threads import deferToThread

from gateway.cli.main import main
from gateway.evidence.view import live
from gateway.notary import anchor, keys
from gateway.notary.examine import read_ledger
from gateway.notary.layout import Layout
from gateway.notary.process import Notary
from gateway.notary.record import Kind
from gateway.notary.recovery import _check_anchor
from gateway.notary.seal import bodies_file, leaves_file
from gateway.notary.store import Store

__all__ = ["short"]


def ostiary(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["audit", "status", *words, "--store", str(folder / "audit")], catch_exceptions=False)


def noticed(store: Store | None) -> list[str]:
    """What the notary recorded of its anchor file, in the open segment."""
    found = records(store, store.segment.number) if store is not None else []
    return [record.get("why") for record in found if record.kind == Kind.NOTARY and record.get("what") == "anchor"]


@pytest_twisted.ensureDeferred
async def test_an_anchor_file_that_is_not_there_is_not_begun_anew_in_silence(tmp_path: Path) -> None:
    """A new store begins one, and a restart finds it; who takes it away, or empties it, is in the evidence."""
    file = tmp_path / "anchor"
    rig = Rig(tmp_path)
    await rig.journal()
    await until(lambda: rig.notary._anchor._size is not None)
    assert noticed(rig.notary.writer.store) == []
    await rig.stop()
    rig.start()
    await rig.journal()
    assert noticed(rig.notary.writer.store) == []
    await rig.stop()
    file.write_text("")
    rig.start()
    await rig.journal()
    (why,) = noticed(rig.notary.writer.store)
    assert why.startswith("anchor_file holds no checkpoint and is begun anew, behind ")
    await until(lambda: rig.notary._anchor._size is not None)
    file.unlink()
    rig.notary.writer.store.head()
    await until(lambda: len(noticed(rig.notary.writer.store)) == 2)
    assert noticed(rig.notary.writer.store)[1] == "anchor_file was removed while the notary ran, and is begun anew"
    await until(lambda: file.exists() and bool(anchor.newest(file, keys.load_public(tmp_path))))
    await rig.stop()
    file.unlink()
    packed, _ = read_ledger(tmp_path / "audit" / "ledger")
    said = _check_anchor(packed, keys.load_public(tmp_path), file)
    assert said.startswith(f"anchor_file is not there and is begun anew, behind {len(packed)} ledger entries")


@pytest_twisted.ensureDeferred
async def test_who_looks_while_a_notary_starts_waits_for_it(short: Path) -> None:
    """It is about to open its store; a command that came a moment too early is no failure."""
    rig, may_open = Rig(short), threading.Event()
    await rig.stop()
    rig.notary = Notary(rig.settings, ORIGIN, short, TOKENS)
    opens = rig.notary.writer._open
    rig.notary.writer._open = lambda: (may_open.wait(30), opens())[1]
    rig.notary.startService()
    rig.notary.listen(short / "n.sock")
    (short / "audit" / "notary.socket").write_text(str(short / "n.sock"))
    looking = deferToThread(lambda: live(short / "audit").end())
    await until(lambda: any(desk.role == "reader" for desk in rig.notary._desks))
    may_open.set()
    number, size = await looking
    assert number >= 1 and size > 0
    await rig.stop()


@pytest_twisted.ensureDeferred
async def test_a_closed_segment_that_is_damaged_before_it_is_sealed_is_in_the_status_and_in_the_evidence(short: Path) -> None:
    """Be it that LMDB cannot read it, or that it is not what its head covers; back as it was, it is sealed."""
    store = new_store(short, segment_records=12)
    fill(store, 12)
    store.close()
    closed, kept = {}, {}
    for number in (1, 2):
        file = closed[number] = Layout(short / "audit").open(number) / "data.mdb"
        kept[number] = file.read_bytes()
    assert b"clinic" in kept[1]
    closed[1].write_bytes(kept[1].replace(b"clinic", b"clinik"))
    closed[2].write_bytes(kept[2][:8192] + b"\xff" * (len(kept[2]) - 8192))
    rig = Rig(short)
    rig.notary.listen(short / "n.sock")
    await rig.journal()
    await until(lambda: len(rig.notary._unsealable) == 2)
    told = await deferToThread(ostiary, short)
    assert told.exit_code == 1 and "DAMAGED: segment 1 is closed and cannot be sealed: its records are not those that its head covers (noticed " in told.stdout, told.stdout
    assert "DAMAGED: segment 2 is closed and cannot be sealed: " in told.stdout and not Layout(short / "audit").sealed(1).with_suffix(".mdb").exists()
    for number, file in closed.items():
        file.write_bytes(kept[number])

    def said() -> list[tuple[str, str]]:
        store = rig.notary.writer.store
        noted = [r for r in records(store, store.segment.number) if r.kind == Kind.NOTARY]
        return sorted((r.get("what"), r.get("why")[:9]) for r in noted if r.get("what") in ("damaged", "mended"))

    await until(lambda: not rig.notary._unsealable and len(said()) == 4)
    assert said() == [("damaged", "segment 1"), ("damaged", "segment 2"), ("mended", "segment 1"), ("mended", "segment 2")]
    await rig.stop()
    assert "DAMAGED" not in ostiary(short).stdout


@pytest_twisted.ensureDeferred
async def test_status_says_what_a_person_should_look_after_and_exits_with_1(short: Path) -> None:
    """Damage, an anchor that cannot be written, and that nothing is recorded, by a notary or by none."""
    store = new_store(short, segment_records=12)
    fill(store, 6)
    seal_all(store)
    store.close()
    (short / "anchor").mkdir()
    rig = Rig(short, anchor_file=None)
    rig.notary.listen(short / "n.sock")
    await rig.journal()
    told = await deferToThread(ostiary, short)
    assert told.exit_code == 0 and told.stdout.splitlines()[0] == "evidence is recorded", told.stdout
    for file in (leaves_file, bodies_file):
        file(Layout(short / "audit").sealed(1)).unlink()
    rig.notary.rounds.look(rig.notary.writer.store)
    rig.notary._anchor = anchor.FileAnchor(short / "anchor", lambda e: None, lambda why: None)
    rig.notary._anchor.append("no checkpoint")
    await until(lambda: rig.notary._anchor.trouble is not None)
    told = await deferToThread(ostiary, short)
    lost = "segment 1 was removed: it is in the ledger and not here"
    assert told.exit_code == 1 and f"DAMAGED: {lost} (noticed 20" in told.stdout and "NOT ANCHORED: " in told.stdout
    rig.notary.writer._give_up(OSError(28, os.strerror(28), "/evidence"))
    told = await deferToThread(ostiary, short, "--json")
    found = json.loads(told.stdout)
    assert told.exit_code == 1 and found["why"] == "/evidence: No space left on device" and found["checked"] is None and found["code"] == "OST-802"
    assert [(one["segment"], one["what"]) for one in found["damaged"]] == [(1, lost)] and found["damaged"][0]["noticed"].startswith("20")
    assert found["sealed"] > found["read"] == 0
    await rig.stop()
    told = await deferToThread(ostiary, short)
    assert told.exit_code == 1 and told.stdout.splitlines()[:2] == ["NOTHING IS RECORDED: no notary runs on this store: everything is refused (OST-802)", f"DAMAGED: {lost}"]
